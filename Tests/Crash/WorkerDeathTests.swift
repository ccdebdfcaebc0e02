// WorkerDeathTests.swift - a worker's death ends the run with an error and costs nothing else.

import MusterCore.Testing
import TestSupport
import Testing

/// Points that a worker passes, in order.
private let workerPoints = [
    MUSTER_POINT_FORKED, MUSTER_POINT_RANK_HELD, MUSTER_POINT_JOB_SEEN, MUSTER_POINT_CLAIMED,
    MUSTER_POINT_CURRENT, MUSTER_POINT_LOOP_ENDED,
].map(\.rawValue)

extension CrashTests {
    @Suite(.serialized) struct WorkerDeaths {
        @Test(arguments: ["kill", "segv", "abort", "exit"], schedules)
        func aDeathInAChunkIsNamedAndTheRankReplaced(fate: String, schedule: String) throws {
            try run(.death, fate, schedule, "waits")
        }

        @Test(arguments: ["static", "cyclic"])
        func theSameWhereTheLeaderWorks(schedule: String) throws {
            try run(.death, "kill", schedule, "works")
        }

        @Test(arguments: workerPoints, [0, 1, 2])
        func aDeathAtAnyPoint(point: UInt32, rank: Int) throws {
            for schedule in ["static", "static-steal"] {
                try run(.deathAtPoint, point, rank, schedule)
            }
        }

        @Test func anIdleWorkerThatDiesIsReplaced() throws { try run(.idleDeath) }

        @Test func allWorkersCanDieAtOnce() throws { try run(.allDie) }

        @Test func aDeathWhileAnArrayIsMade() throws { try run(.deathInCreation) }

        @Test func aDeathBetweenALoopAndAReduction() throws { try run(.deathInReduce) }

        @Test func everyMissingChunkIsCounted() throws { try run(.manyMissing) }

        @Test func stoppedWorkersGoOn() throws { try run(.stopped) }

        @Test func manyDeathsAtRandomChunks() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            try run(.deathStorm, seed)
        }
    }
}
