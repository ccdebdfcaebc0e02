// RecoveryEdgeTests.swift - deaths together with throws, cancels, stops, odd sizes and a system that
// refuses; and the proof that these tests notice a broken protocol.

import MusterCore.Testing
import Glibc
import TestSupport
import Testing

/// In place, out of place, reduction: what differs where a worker is not replaced.
private let kinds = ["in-place", "out-of-place", "reduce"]

/// With the protocol broken so, the scenario must fail. `enum muster_breakage` tells what each is.
private let canaries: [(muster_breakage, Scenario, [String])] = [
    (MUSTER_BROKEN_NO_JOURNAL, .edgeMany, ["static"]),
    (MUSTER_BROKEN_NO_JOURNAL, .edgeUntouched, []),
    (MUSTER_BROKEN_NO_JOURNAL, .edgeFile, []), (MUSTER_BROKEN_NO_JOURNAL, .edgeTwoArrays, ["0"]),
    (MUSTER_BROKEN_NO_JOURNAL, .edgeTwoArrays, ["3"]), (MUSTER_BROKEN_NO_JOURNAL, .edgeJournal, []),
    (MUSTER_BROKEN_NO_JOURNAL, .edgeStopped, ["dynamic"]),
    (MUSTER_BROKEN_NO_JOURNAL, .edgeQuarantines, ["cyclic"]),
    (MUSTER_BROKEN_NO_RESTORE, .edgeMany, ["static"]),
    (MUSTER_BROKEN_NO_RESTORE, .edgeEachRank, []),
    (MUSTER_BROKEN_NO_RESTORE, .edgeFile, []), (MUSTER_BROKEN_NO_RESTORE, .edgeTwoArrays, ["1"]),
    (MUSTER_BROKEN_NO_RESTORE, .edgeTwoArrays, ["2"]),
    (MUSTER_BROKEN_NO_RESTORE, .edgeWorks, ["static"]),
    (MUSTER_BROKEN_NO_RESTORE, .edgeClash, ["guided", "throw"]),
    (MUSTER_BROKEN_NO_RESTORE, .edgeClash, ["guided", "cancel"]),
    (MUSTER_BROKEN_COMMIT_EARLY, .edgeReadsOutput, []),
    (MUSTER_BROKEN_COMMIT_EARLY, .edgeReduce, ["3"]), (MUSTER_BROKEN_COMMIT_EARLY, .edgeReport, []),
    (MUSTER_BROKEN_STALE_ROLL, .edgeThousand, ["1"]), (MUSTER_BROKEN_STALE_ROLL, .edgeTwoTeams, []),
    (MUSTER_BROKEN_ROLL_FORGOTTEN, .edgeReduce, ["3"]),
    (MUSTER_BROKEN_ROLL_FORGOTTEN, .edgeMany, ["static"]),
    (MUSTER_BROKEN_REDO_ALL, .edgeReadsOutput, []), (MUSTER_BROKEN_REDO_ALL, .edgeUntouched, []),
    (MUSTER_BROKEN_REDO_ALL, .edgeReaped, []),
]

extension CrashTests {
    @Suite(.serialized) struct RecoveryEdges {
        @Test(.enabled(if: !isChecked, "no leader of a checked team works"), arguments: schedules)
        func othersDieWhereTheLeaderWorks(schedule: String) throws {
            try run(.edgeWorks, schedule)
        }

        @Test(arguments: schedules, ["throw", "cancel"])
        func aDeathAndAnotherEndInOneLoop(schedule: String, other: String) throws {
            try run(.edgeClash, schedule, other)
        }

        @Test func theErrorOfADeadRankIsTheLoops() throws { try run(.edgeLastWords) }

        @Test(arguments: schedules)
        func severalDeathsAtOnce(schedule: String) throws { try run(.edgeMany, schedule) }

        @Test(arguments: schedules)
        func allAreKilledFromOutside(schedule: String) throws {
            try run(.edgeAllKilled, schedule)
        }

        @Test func deathsWhereEachRankHasAChunk() throws { try run(.edgeEachRank) }

        @Test(arguments: schedules)
        func twoChunksThatAlwaysKill(schedule: String) throws {
            try run(.edgeQuarantines, schedule)
        }

        @Test func aKernelThatReadsItsOutputIsFound() throws { try run(.edgeReadsOutput) }

        @Test func chunksThatChangeNothing() throws { try run(.edgeUntouched) }

        @Test func aFileIsChangedInPlace() throws { try run(.edgeFile) }

        @Test func theReportsWords() throws { try run(.edgeReport) }

        @Test func aReductionHasTheSameBitsAfterDeaths() throws {
            let lines = try [1, 2, 3, 8].map { try run(.edgeReduce, $0) }
            #expect(Set(lines).count == 1, "\(lines)")
            #expect(lines[0].count == 1)
        }

        @Test(arguments: pairs(kinds + ["whole"], schedules))
        func aTeamOfOne(kind: String, schedule: String) throws {
            try run(.edgeAlone, kind, schedule)
        }

        @Test func aThousandLoops() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            try run(.edgeThousand, seed)
        }

        @Test func anErrorIsOneLine() throws { try run(.edgeOneLine) }

        @Test func othersReapTheChildren() throws { try run(.edgeReaped) }

        @Test(arguments: ["waits", "works"])
        func workersForkedAnewDoNothingTwice(leader: String) throws {
            try run(.edgeRestarts, leader)
        }

        @Test func twoTeamsInTurn() throws { try run(.edgeTwoTeams) }

        @Test(arguments: 0...3)
        func twoArraysOfOddElements(way: Int) throws { try run(.edgeTwoArrays, way) }

        @Test func aChunkThatTheJournalCanNotHold() throws { try run(.edgeJournal) }

        @Test func theJournalsMemory() throws { try run(.edgeJournalMemory) }

        @Test(arguments: schedules)
        func workersThatStop(schedule: String) throws { try run(.edgeStopped, schedule) }

        @Test func ranksThatGetOnAreNotStalled() throws { try run(.edgeNotStalled) }

        @Test(arguments: kinds, schedules)
        func nobodyCanBeStarted(kind: String, schedule: String) throws {
            try run(.edgeShortage, "descriptors", kind, schedule)
        }

        @Test(arguments: schedules)
        func noMoreProcesses(schedule: String) throws {
            try run(.edgeShortage, "processes", "in-place", schedule)
        }

        @Test func noDescriptorToSpare() throws { try run(.edgeFullTable) }

        @Test func aRankThatCanNotBeHad() throws { try run(.edgeShortageForRank) }

        @Test(arguments: kinds, [ENOMEM, EMFILE, EIO])
        func aCallFailsInRecovery(kind: String, error: Int32) throws {
            try run(.edgeFault, kind, error)
        }

        @Test(
            .enabled(
                if: !isChecked,
                "some need a leader that works; a broken protocol is none of check mode's"),
            arguments: canaries.indices)
        func theseTestsNoticeABrokenProtocol(number: Int) throws {
            let (breakage, name, arguments) = canaries[number]
            let scenario = [name.rawValue] + arguments
            let host = try HostProcess(verb: "broken", ["\(breakage.rawValue)"] + scenario)
            let outcome = host.finish()
            #expect(
                outcome.exitStatus == 0 && !outcome.isLate,
                "\(breakage), \(scenario): \(outcome.errors)")
            host.expectNothingLeft("\(scenario)")
        }
    }
}
