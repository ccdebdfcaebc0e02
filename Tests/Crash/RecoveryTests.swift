// RecoveryTests.swift - workers die anywhere, and not one chunk is lost, doubled or half-written.

import MusterCore.Testing
import TestSupport
import Testing

/// Under the address sanitizer a fork costs ten times as much, and it looks for accesses, which do not
/// depend on who died or how work was dealt: there a few stand for all.
private let kinds =
    isAddressSanitized ? ["in-place", "reduce"] : ["in-place", "whole", "out-of-place", "reduce"]
private let deals = isAddressSanitized ? ["static-steal"] : schedules

/// Points that a worker passes from its start to the end of a loop.
private let points = [
    MUSTER_POINT_FORKED, MUSTER_POINT_RANK_HELD, MUSTER_POINT_JOB_SEEN, MUSTER_POINT_CLAIMED,
    MUSTER_POINT_CURRENT, MUSTER_POINT_JOURNALING, MUSTER_POINT_JOURNALED, MUSTER_POINT_COMMITTING,
    MUSTER_POINT_COMMITTED, MUSTER_POINT_RESTORING, MUSTER_POINT_RESTORED, MUSTER_POINT_LOOP_ENDED,
].map(\.rawValue)

extension CrashTests {
    @Suite(.serialized) struct Recovery {
        @Test(arguments: pairs(kinds, deals))
        func aChunkIsDoneAgain(kind: String, schedule: String) throws {
            try run(.redo, "kill", kind, schedule)
        }

        @Test(arguments: ["segv", "abort", "exit"])
        func whateverTheCause(fate: String) throws { try run(.redo, fate, "in-place", "static") }

        @Test(arguments: points, isAddressSanitized ? [1] : [0, 1, 2])
        func aDeathAtAnyPoint(point: UInt32, rank: Int) throws {
            try run(.redoAtPoint, point, rank, "in-place", "static")
            if isAddressSanitized { return }
            #if DEBUG
                if rank != 1 { return }
            #endif
            for schedule in ["cyclic", "dynamic", "static-steal"] {
                try run(.redoAtPoint, point, rank, "in-place", schedule)
            }
            try run(.redoAtPoint, point, rank, "out-of-place", "guided")
            try run(.redoAtPoint, point, rank, "reduce", "static")
        }

        @Test(arguments: pairs(kinds, deals))
        func aChunkThatKillsIsLeftAlone(kind: String, schedule: String) throws {
            try run(.quarantine, kind, schedule)
        }

        @Test(arguments: deals)
        func aThrowLeavesTheChunkAsItWas(schedule: String) throws { try run(.undo, schedule) }

        @Test func aChunkThatHangsIsEnded() throws { try run(.stall) }

        @Test(arguments: pairs(kinds, deals))
        func othersTakeOver(kind: String, schedule: String) throws {
            try run(.vacant, kind, schedule)
        }

        @Test(.enabled(if: !isAddressSanitized, "thousands of forks"))
        func aKernelThatAlwaysKills() throws { try run(.hopeless) }

        @Test(arguments: [
            Scenario.forkedAgain, .neverBegins, .hiddenAccess, .caughtThrow, .throwAndDie,
            .shrunkBeside, .ownFork, .deathsAtOnce,
        ])
        func faultsOnceFound(scenario: Scenario) throws { try run(scenario) }

        /// The checks are worth something: with the protocol broken on purpose they fail.
        @Test(arguments: isAddressSanitized ? 0...1 : 0...6)
        func canaries(breakage: Int) throws { try run(.canary, breakage) }
    }
}
