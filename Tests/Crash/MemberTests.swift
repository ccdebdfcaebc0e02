// MemberTests.swift - ranks of a launched program: what they do together, with any of them killed in it.
//
// The scenarios are in Tests/MemberHost, in C, and those that use the Swift face in Tests/Host.

import TestSupport
import Testing

extension CrashTests {
    @Suite struct Members {
        private func member(
            _ scenario: String, _ arguments: any CustomStringConvertible...,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> [Substring] {
            try run(
                verb: scenario, arguments.map(\.description), program: HostProcess.memberProgram,
                sourceLocation: sourceLocation)
        }

        @Test(arguments: ["join-errors", "call-errors", "loop-errors", "launcher-errors", "rows"])
        func eachDocumentedError(scenario: String) throws { _ = try member(scenario) }

        @Test(arguments: ["launcher-gone", "supervision"])
        func eachDocumentedErrorOfTheOutside(scenario: String) throws { _ = try member(scenario) }

        @Test func aFailureOfAnySystemCallLeavesNothing() throws {
            let lines = try member("faults")
            #expect(lines.count >= 2)
        }

        @Test func theSmallestProgramGivesTheSameBitsForAnySize() throws {
            _ = try member("example")
        }

        @Test func aDeathInAnyCallIsAnErrorInEverySurvivor() throws {
            // Seven calls, their points, each of three ranks.
            #expect(try member("deaths") == ["deaths 99"])
        }

        @Test func survivorsAdoptWhatADeadRankHasLeft() throws {
            // Five schedules, seven points, and two deaths at once.
            #expect(try member("adoption") == ["adoptions 40"])
        }

        @Test func ranksThatStartAgainRecover() throws { _ = try member("recovery") }

        @Test func aCopyThatAMemberForksInALoopWorksOnNothing() throws { _ = try member("copies") }

        @Test func noCallerShutsOutAnother() throws { _ = try member("callers") }

        @Test func aMemberJoinsOnceItsAnswerIsOver() throws {
            _ = try member("joining")
        }

        @Test func whatTheLauncherReadsOfNotesIsOfOneMoment() throws { _ = try member("notes") }

        @Test func whoCannotGoOnInALoopKeepsNobodyWaiting() throws { _ = try member("giving-up") }

        @Test func aGuardThatPassesASignalOnToNobodyEndsWhatIsLeft() throws {
            _ = try member("guard")
        }

        @Test func aReplacementChangesNothingBeforeItHasRecovered() throws {
            _ = try member("replacement")
        }
        @Test func aLoopThatADeathEndsIsNoted() throws { _ = try member("interruption") }

        /// 19 mistakes, in chunks of whole pages and of some rows, with check mode off and on.
        @Test(
            .enabled(
                if: !isAddressSanitized, "the address sanitizer takes a crash's signals for itself")
        )
        func whatAWrongKernelDoesIsToldToTheLauncher() throws {
            #expect(try member("stray").count == 76)
        }

        @Test func aGrandchildIsWhoIsWatched() throws { _ = try member("grandchild") }

        @Test func membersDieWithTheirLauncher() throws { _ = try member("launcher-death") }

        @Test func randomHistoriesEqualTheModel() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            let lines = try member("history", seed, 150)
            let words = try #require(lines.last).split(separator: " ")
            // "histories 150 steps S armed A deaths D ...": most of what is armed is reached.
            try #require(words.count == 12)
            #expect(try #require(Int(words[3])) > 1000)
            #expect(try #require(Int(words[7])) > 10)
        }

        /// The tests above can fail: each breakage is found.
        @Test(arguments: ["folded", "one-mail", "unrung", "stay-dead"])
        func aBreakageIsFound(canary: String) throws {
            let host = try HostProcess(
                verb: "history", ["7", "200", canary], program: HostProcess.memberProgram)
            let outcome = host.finish()
            #expect(!outcome.isLate)
            #expect(outcome.exitStatus == (canary == "unrung" ? 3 : 1), "\(outcome.output)")
            host.expectNothingLeft(canary)
        }

        @Test(.enabled(if: canFork, whyNotFork))
        func membersInSwift() throws { try run(.swiftMembers) }
    }
}
