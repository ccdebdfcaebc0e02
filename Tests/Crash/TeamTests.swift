// TeamTests.swift - ranks, loops, kernels and arrays in forked teams, and the documented traps.

import Glibc
import TestSupport
import Testing

/// Everything here forks teams: one after the other within a suite, suites side by side, since most of
/// them wait more than they work.
@Suite(.enabled(if: canFork, whyNotFork))
struct CrashTests {}

let schedules = ["static", "cyclic", "dynamic", "guided", "static-steal"]
private let leaders = ["waits", "works"]

extension CrashTests {
    @Suite(.serialized) struct Ranks {
        @Test func threeTeamsOfEightEachHaveRanksZeroToSeven() throws { try run(.ranks) }

        @Test func twoTeamsAtOnceKeepTheirRanksApart() throws { try run(.twoTeams) }

        @Test func aLeaderThatWorksIsRankZero() throws { try run(.leaderWorks) }

        @Test(arguments: ["fork", "server"])
        func ranksRunWhereTheyAreBoundAndTheLeaderIsLeftAsItWas(start: String) throws {
            try run(.binding, start)
        }

        @Test func aLeaderOfTwoTeamsIsFreeAfterTheLast() throws { try run(.bindingTwice) }

        @Test func onlyCPUsThatThisProcessMayUseAreBoundTo() throws { try run(.bindingLimited) }

        @Test func aHeldRankIsRefused() throws { try run(.heldRank) }

        @Test func impossibleSizesAreRefused() throws { try run(.badSizes) }

        @Test func twoHundredRanksWorkAndEnd() throws { try run(.hello, 200) }

        @Test func fiveHundredAndTwelveRanksWorkAndEnd() throws { try run(.manyRanks, 512) }
    }

    @Suite(.serialized) struct Loops {
        @Test(arguments: [1, 2, 3, 8, 31], leaders)
        func everyAccessAndScheduleGivesTheRightResult(size: Int, leader: String) throws {
            try run(.loops, size, leader)
        }

        /// By every schedule, in a worker or in a leader that works.
        @Test(arguments: schedules, leaders)
        func aKernelThatForksAndComesBackTwiceWorksOnce(schedule: String, leader: String) throws {
            try run(.copies, 3, leader, schedule)
            try run(.copies, in: .served, 3, leader, schedule)
        }

        @Test func reductionsHaveTheSameBitsForAnyTeam() throws {
            let expected = try run(.reductions, 1, "waits")
            #expect(expected.count == 14)
            for (size, leader) in [1, 2, 3, 8, 31].flatMap({ size in leaders.map { (size, $0) } }) {
                let found = try run(.reductions, size, leader)
                #expect(found == expected, "\(size) ranks, the leader \(leader)")
            }
        }

        @Test(arguments: ["automatic", "spin", "yield", "sleep"], leaders)
        func aLoopLikeTheOneBeforeMissesNothing(wait: String, leader: String) throws {
            try run(.repeated, 3, leader, wait)
        }

        @Test func loopsOverNothing() throws { try run(.empty) }

        @Test func anyGrainAndMoreRanksThanChunks() throws { try run(.grains) }

        @Test func theReportSaysWhatWasDone() throws { try run(.report) }

        @Test func arraysThatDifferInLengthNeedACount() throws { try run(.mismatch) }

        /// A worker is killed within a row, of any width, by every schedule.
        @Test func rowsAreDoneAgainWholeAndNoOthers() throws { try run(.rowsRedone) }

        @Test func aStencilOverRowsIsTheSerialOne() throws { try run(.rowStencils) }

        @Test func aCountThatFitsNoArrayIsRefused() throws { try run(.rowRefusals) }

        @Test func aDefaultChunkIsOfWholeRowsAndBoundedInBytes() throws { try run(.rowGrains) }

        @Test(arguments: schedules, leaders)
        func anErrorNamesItsChunkAndTheTeamGoesOn(schedule: String, leader: String) throws {
            try run(.throwing, schedule, leader)
        }

        @Test func aLoopCanBeCancelled() throws { try run(.cancel) }
    }

    @Suite(.serialized) struct Kernels {
        @Test(arguments: leaders)
        func anyTypeOfKernelReachesTheRanks(leader: String) throws { try run(.kernels, leader) }

        @Test func ranksStayWhenWorkersAreForkedAnew() throws { try run(.lateGeneric) }

        @Test func largeArgumentsArriveAndTooLargeOnesAreRefused() throws { try run(.arguments) }
    }

    @Suite(.serialized) struct Arrays {
        @Test(arguments: leaders)
        func anyPlacementAndShape(leader: String) throws { try run(.arrays, leader) }

        @Test func aThousandRoundsLeaveNothing() throws { try run(.rounds, 1000) }

        @Test func moreThanTheMachineHasIsRefused() throws { try run(.tooLarge) }

        @Test func moreThanACgroupHasIsRefusedAndNobodyIsKilled() throws { try run(.memoryGroup) }

        @Test func npyFilesRoundTrip() throws { try run(.npy) }

        @Test func statisticsOfChannelsArraysAndDataSets() throws { try run(.statistics) }

        @Test(arguments: leaders)
        func rawFilesAreReadAndChanged(leader: String) throws { try run(.rawFiles, leader) }

        @Test func filesOpenedLaterReachEveryRank() throws { try run(.manyFiles) }

        @Test func aFileThatShrinksEndsTheLoopOnly() throws { try run(.shrunk) }
    }

    @Suite(.serialized) struct Traps {
        /// What can throw refuses the mistake, in release too, with the sentence that C has.
        @Test(
            arguments: [
                ("two-accesses", "one array under two accesses"),
                ("input-and-output", "one array under two accesses"),
                ("freed", "an array that has been freed"),
                ("freed-and-reused", "an array that has been freed"),
                ("other-team", "an array of another team"),
                ("nested", "one is already running on this team"),
                ("view-open", "it can't run while the leader has a view of an array open"),
                ("read-only-output", "an array that can only be read"),
                ("mirrored-output", "an array that can only be read"),
                ("grain", "a chunk has at least 1 element"),
                ("array-in-loop", "it can't be made, written or recorded while a loop runs"),
            ])
        func aMistakeOfTheProgramIsRefused(mistake: String, words: String) throws {
            let host = try HostProcess(.trap, [mistake])
            let outcome = host.finish()
            #expect(!outcome.isLate)
            #expect(outcome.lines == ["ready"], "\(outcome.errors)")
            #expect(outcome.exitStatus == 1, "status \(outcome.status): \(outcome.errors)")
            #expect(outcome.errors.contains(words), "\(outcome.errors)")
            host.expectNothingLeft(mistake)
        }

        /// What can't ends the process, with words in release too.
        @Test(arguments: [
            ("index", "index 100 of 100 elements"), ("negative-index", "index -1 of 100 elements"),
            ("store-index", "index 100 of 100 elements"),
            ("read-only-store", "the array is mapped read-only"),
            ("read-only-view", "the array is mapped read-only"),
            ("view-in-loop", "an array can't be viewed, made or freed while a loop runs"),
            ("chunk", "no chunk 5000"),
            ("working-leader", "two mutable views of one array in one chunk"),
        ])
        func aMistakeOfTheProgramEndsItWithWords(mistake: String, words: String) throws {
            let host = try HostProcess(.trap, [mistake])
            let outcome = host.finish()
            #expect(!outcome.isLate)
            #expect(outcome.lines == ["ready"], "\(outcome.errors)")
            #expect(
                outcome.signal == SIGILL || outcome.signal == SIGTRAP,
                "status \(outcome.status): \(outcome.errors)")
            #expect(outcome.errors.contains("Fatal error: " + words), "\(outcome.errors)")
            host.expectNothingLeft(mistake)
        }

        @Test func aTrapInAWorkerIsADeath() throws { try run(.trapInWorker) }
    }
}
