// RecoveryTests.swift - workers die anywhere, and not one chunk is lost, doubled or half-written.

import CMuster.Testing
import Testing

private let kinds = ["in-place", "whole", "out-of-place", "reduce"]

/// Points that a worker passes from its start to the end of a loop.
private let points = [
    MUSTER_POINT_FORKED, MUSTER_POINT_RANK_HELD, MUSTER_POINT_JOB_SEEN, MUSTER_POINT_CLAIMED,
    MUSTER_POINT_CURRENT, MUSTER_POINT_JOURNALING, MUSTER_POINT_JOURNALED, MUSTER_POINT_COMMITTING,
    MUSTER_POINT_COMMITTED, MUSTER_POINT_RESTORING, MUSTER_POINT_RESTORED, MUSTER_POINT_LOOP_ENDED,
].map(\.rawValue)

extension CrashTests {
    @Suite struct Recovery {
        @Test(arguments: kinds, schedules)
        func aChunkIsDoneAgain(kind: String, schedule: String) throws {
            try run("redo", "kill", kind, schedule)
        }

        @Test(arguments: ["segv", "abort", "exit"])
        func whateverTheCause(fate: String) throws { try run("redo", fate, "in-place", "static") }

        @Test(arguments: points, [0, 1, 2])
        func aDeathAtAnyPoint(point: UInt32, rank: Int) throws {
            for schedule in ["static", "cyclic", "dynamic", "static-steal"] {
                try run("redo-at-point", point, rank, "in-place", schedule)
            }
            try run("redo-at-point", point, rank, "out-of-place", "guided")
            try run("redo-at-point", point, rank, "reduce", "static")
        }

        @Test(arguments: kinds, schedules)
        func aChunkThatKillsIsLeftAlone(kind: String, schedule: String) throws {
            try run("quarantine", kind, schedule)
        }

        @Test(arguments: schedules)
        func aThrowLeavesTheChunkAsItWas(schedule: String) throws { try run("undo", schedule) }

        @Test func aChunkThatHangsIsEnded() throws { try run("stall") }

        @Test(arguments: kinds, schedules)
        func othersTakeOver(kind: String, schedule: String) throws {
            try run("vacant", kind, schedule)
        }

        @Test func aKernelThatAlwaysKills() throws { try run("hopeless") }

        /// The checks are worth something: with the protocol broken on purpose they fail.
        @Test(arguments: 0...6)
        func canaries(breakage: Int) throws { try run("canary", breakage) }
    }
}
