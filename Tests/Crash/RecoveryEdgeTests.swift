// RecoveryEdgeTests.swift - deaths together with throws, cancels, stops, odd sizes and a system that
// refuses; and the proof that these tests notice a broken protocol.

import MusterCore.Testing
import Glibc
import TestSupport
import Testing

/// In place, out of place, reduction: what differs where a worker is not replaced.
private let kinds = ["in-place", "out-of-place", "reduce"]

/// With the protocol broken so, the scenario must fail. `enum muster_breakage` tells what each is.
private let canaries: [(muster_breakage, [String])] = [
    (MUSTER_BROKEN_NO_JOURNAL, "edge-many static"), (MUSTER_BROKEN_NO_JOURNAL, "edge-untouched"),
    (MUSTER_BROKEN_NO_JOURNAL, "edge-file"), (MUSTER_BROKEN_NO_JOURNAL, "edge-two-arrays 0"),
    (MUSTER_BROKEN_NO_JOURNAL, "edge-two-arrays 3"), (MUSTER_BROKEN_NO_JOURNAL, "edge-journal"),
    (MUSTER_BROKEN_NO_JOURNAL, "edge-stopped dynamic"),
    (MUSTER_BROKEN_NO_JOURNAL, "edge-quarantines cyclic"),
    (MUSTER_BROKEN_NO_RESTORE, "edge-many static"), (MUSTER_BROKEN_NO_RESTORE, "edge-each-rank"),
    (MUSTER_BROKEN_NO_RESTORE, "edge-file"), (MUSTER_BROKEN_NO_RESTORE, "edge-two-arrays 1"),
    (MUSTER_BROKEN_NO_RESTORE, "edge-two-arrays 2"),
    (MUSTER_BROKEN_NO_RESTORE, "edge-works static"),
    (MUSTER_BROKEN_NO_RESTORE, "edge-clash guided throw"),
    (MUSTER_BROKEN_NO_RESTORE, "edge-clash guided cancel"),
    (MUSTER_BROKEN_COMMIT_EARLY, "edge-reads-output"),
    (MUSTER_BROKEN_COMMIT_EARLY, "edge-reduce 3"), (MUSTER_BROKEN_COMMIT_EARLY, "edge-report"),
    (MUSTER_BROKEN_STALE_ROLL, "edge-thousand 1"), (MUSTER_BROKEN_STALE_ROLL, "edge-two-teams"),
    (MUSTER_BROKEN_ROLL_FORGOTTEN, "edge-reduce 3"),
    (MUSTER_BROKEN_ROLL_FORGOTTEN, "edge-many static"),
    (MUSTER_BROKEN_REDO_ALL, "edge-reads-output"), (MUSTER_BROKEN_REDO_ALL, "edge-untouched"),
    (MUSTER_BROKEN_REDO_ALL, "edge-reaped"),
].map { ($0, $1.split(separator: " ").map(String.init)) }

extension CrashTests {
    @Suite(.serialized) struct RecoveryEdges {
        @Test(.enabled(if: !isChecked, "no leader of a checked team works"), arguments: schedules)
        func othersDieWhereTheLeaderWorks(schedule: String) throws {
            try run("edge-works", schedule)
        }

        @Test(arguments: schedules, ["throw", "cancel"])
        func aDeathAndAnotherEndInOneLoop(schedule: String, other: String) throws {
            try run("edge-clash", schedule, other)
        }

        @Test func theErrorOfADeadRankIsTheLoops() throws { try run("edge-last-words") }

        @Test(arguments: schedules)
        func severalDeathsAtOnce(schedule: String) throws { try run("edge-many", schedule) }

        @Test(arguments: schedules)
        func allAreKilledFromOutside(schedule: String) throws {
            try run("edge-all-killed", schedule)
        }

        @Test func deathsWhereEachRankHasAChunk() throws { try run("edge-each-rank") }

        @Test(arguments: schedules)
        func twoChunksThatAlwaysKill(schedule: String) throws {
            try run("edge-quarantines", schedule)
        }

        @Test func aKernelThatReadsItsOutputIsFound() throws { try run("edge-reads-output") }

        @Test func chunksThatChangeNothing() throws { try run("edge-untouched") }

        @Test func aFileIsChangedInPlace() throws { try run("edge-file") }

        @Test func theReportsWords() throws { try run("edge-report") }

        @Test func aReductionHasTheSameBitsAfterDeaths() throws {
            let lines = try [1, 2, 3, 8].map { try run("edge-reduce", $0) }
            #expect(Set(lines).count == 1, "\(lines)")
            #expect(lines[0].count == 1)
        }

        @Test(arguments: pairs(kinds + ["whole"], schedules))
        func aTeamOfOne(kind: String, schedule: String) throws {
            try run("edge-alone", kind, schedule)
        }

        @Test func aThousandLoops() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            try run("edge-thousand", seed)
        }

        @Test func anErrorIsOneLine() throws { try run("edge-one-line") }

        @Test func othersReapTheChildren() throws { try run("edge-reaped") }

        @Test(arguments: ["waits", "works"])
        func workersForkedAnewDoNothingTwice(leader: String) throws {
            try run("edge-restarts", leader)
        }

        @Test func twoTeamsInTurn() throws { try run("edge-two-teams") }

        @Test(arguments: 0...3)
        func twoArraysOfOddElements(way: Int) throws { try run("edge-two-arrays", way) }

        @Test func aChunkThatTheJournalCanNotHold() throws { try run("edge-journal") }

        @Test func theJournalsMemory() throws { try run("edge-journal-memory") }

        @Test(arguments: schedules)
        func workersThatStop(schedule: String) throws { try run("edge-stopped", schedule) }

        @Test func ranksThatGetOnAreNotStalled() throws { try run("edge-not-stalled") }

        @Test(arguments: kinds, schedules)
        func nobodyCanBeStarted(kind: String, schedule: String) throws {
            try run("edge-shortage", "descriptors", kind, schedule)
        }

        @Test(arguments: schedules)
        func noMoreProcesses(schedule: String) throws {
            try run("edge-shortage", "processes", "in-place", schedule)
        }

        @Test func noDescriptorToSpare() throws { try run("edge-full-table") }

        @Test func aRankThatCanNotBeHad() throws { try run("edge-shortage-for-rank") }

        @Test(arguments: kinds, [ENOMEM, EMFILE, EIO])
        func aCallFailsInRecovery(kind: String, error: Int32) throws {
            try run("edge-fault", kind, error)
        }

        @Test(
            .enabled(
                if: !isChecked,
                "some need a leader that works; a broken protocol is none of check mode's"),
            arguments: canaries.indices)
        func theseTestsNoticeABrokenProtocol(number: Int) throws {
            let (breakage, scenario) = canaries[number]
            let host = try HostProcess("broken", ["\(breakage.rawValue)"] + scenario)
            let outcome = host.finish()
            #expect(
                outcome.exitStatus == 0 && !outcome.isLate,
                "\(breakage), \(scenario): \(outcome.errors)")
            host.expectNothingLeft("\(scenario)")
        }
    }
}
