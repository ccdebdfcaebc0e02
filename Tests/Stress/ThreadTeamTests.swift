/// The library's own loops with its ranks as threads: the thread sanitizer sees one process, so
/// this is where dispatch, join, claims, steals, rolls and views are looked at for races.

import Glibc
import Muster
import TestSupport
import Testing

let leaders: [Team.Leader] = [.waits, .works]

func threads(_ size: Int, _ leader: Team.Leader = .waits) throws -> Team {
    try Team(threads: size, leader: leader)
}

/// Each rank is a thread that may spin: a few teams at a time are enough for two cores.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ThreadTeamTests {
    @Test(arguments: Schedule.allCases, leaders)
    func eachElementOnceInPlace(schedule: Schedule, leader: Team.Leader) throws {
        for size in [1, 2, 3, 8] {
            let team = try threads(size, leader)
            let count = 5000
            let x = try team.array(of: Int32.self, count: count)
            var expected: Int32 = 0
            for grain in [1, 7, 64, 5000, 9000] {
                let report = try team.run(
                    Increment(by: Int32(grain), x: x.inPlace), grain: grain, schedule: schedule)
                expected += Int32(grain)
                #expect(report.isClean && report.chunks == (count + grain - 1) / grain)
                #expect(report.exactlyOnce == report.chunks && report.size == size)
            }
            #expect(x.toArray().allSatisfy { $0 == expected }, "\(size) ranks, \(schedule)")
        }
    }

    @Test(arguments: Schedule.allCases, leaders)
    func outputThenInputWithHalo(schedule: Schedule, leader: Team.Leader) throws {
        let team = try threads(3, leader)
        let count = 3001
        let x = try team.array(of: Int.self, count: count)
        let y = try team.array(of: Int.self, count: count)
        for round in 0..<20 {
            try team.run(Line(plus: round, y: x.output), grain: 1 + round * 7, schedule: schedule)
            try team.run(Stencil(x: x.input, y: y.output), grain: 50 - round, schedule: schedule)
            let line = (0..<count).map { 3 * $0 + round }
            let wanted = line.indices.map { i in
                line[i] + (i > 0 ? line[i - 1] : 0) + (i + 1 < count ? line[i + 1] : 0)
            }
            #expect(y.toArray() == wanted, "round \(round)")
        }
    }

    @Test(arguments: Schedule.allCases, leaders)
    func eachChunkOnceInATimeline(schedule: Schedule, leader: Team.Leader) throws {
        let team = try threads(3, leader)
        let x = try team.array(of: Int32.self, count: 3000)
        try team.startTimeline()
        for _ in 0..<5 {
            try team.run(Increment(by: 1, x: x.inPlace), grain: 10, schedule: schedule)
        }
        let timeline = try team.endTimeline()
        let chunks = Set(timeline.events.map { [$0.loop, $0.chunk] })
        #expect(timeline.events.count == 1500 && chunks.count == 1500 && timeline.isComplete)
    }

    /// Thousands of small jobs in a row: what one leaves behind must not reach the next.
    @Test(arguments: seeds, leaders)
    func manySmallJobs(seed: UInt64, leader: Team.Leader) throws {
        var random = Seeded(seed)
        let team = try threads(3, leader)
        let most = 300
        let x = try team.array(of: Int32.self, count: most)
        var expected = [Int32](repeating: 0, count: most)
        for job in 0..<2000 {
            let count = random.below(most + 1)
            let by = Int32(random.below(5))
            let schedule = Schedule.allCases[random.below(5)]
            let grain = 1 + random.below(20)
            let report = try team.run(
                Increment(by: by, x: x.prefix(count).inPlace), grain: grain, schedule: schedule)
            for i in 0..<count { expected[i] += by }
            if !report.isClean || report.chunks != (count + grain - 1) / grain {
                Issue.record("MUSTER_SEED=\(seed), job \(job): \(report)")
                return
            }
        }
        #expect(x.toArray() == expected, "MUSTER_SEED=\(seed)")
    }

    @Test(arguments: leaders) func skewedWorkIsStolen(leader: Team.Leader) throws {
        let team = try threads(4, leader)
        let x = try team.array(of: Int32.self, count: 512)
        for round in 1...20 {
            let report = try team.run(
                Skewed(x: x.inPlace), grain: 2, schedule: round % 4 == 0 ? .guided : .staticSteal)
            #expect(report.isClean)
            #expect(x.toArray().allSatisfy { $0 == Int32(round) }, "round \(round)")
        }
    }

    /// Promise 4: the same bits for any team, schedule and leader.
    @Test func reductionsHaveTheSameBits() throws {
        var random = Seeded(4)
        for count in [0, 1, 63, 1000, 20_011] {
            let values = (0..<count).map { _ in Double.random(in: -1...1, using: &random) }
            var bits: Set<UInt64> = []
            for size in [1, 2, 3, 8] {
                for leader in leaders {
                    let team = try threads(size, leader)
                    let x = try team.array(values)
                    for schedule in Schedule.allCases {
                        let (sum, report) = try team.reduce(
                            RoughSum(x: x.input), schedule: schedule)
                        #expect(report.isClean)
                        bits.insert(sum.bitPattern)
                    }
                }
            }
            #expect(bits.count == 1, "\(count) elements: \(bits.count) different results")
        }
    }

    /// The tree over chunk numbers, by hand: combine is not commutative, so order shows.
    @Test func reductionsCombineInOrder() throws {
        let team = try threads(3)
        let x = try team.array([1.0, 10, 100, 1000, 10_000])
        let (sum, _) = try team.reduce(RoughSum(x: x.input), grain: 1, schedule: .dynamic)
        let left = (1.0 * 0.999 + 10) * 0.999 + (100.0 * 0.999 + 1000)
        #expect(sum == left * 0.999 + 10_000)
    }

    @Test(arguments: Schedule.allCases, leaders)
    func aThrowNamesItsChunkAndTheTeamGoesOn(schedule: Schedule, leader: Team.Leader) throws {
        let team = try threads(3, leader)
        let x = try team.array(of: Int32.self, count: 400)
        for at in [0, 57, 399] {
            do {
                try team.run(Thrower(at: at, x: x.inPlace), grain: 1, schedule: schedule)
                Issue.record("a throw at \(at) went unseen")
            } catch {
                #expect(error.code == .kernelThrew && error.description.contains("chunk \(at) "))
                #expect(error.description.contains("not to my taste"))
                let report = try #require(error.report)
                #expect(report.missing.contains { $0.contains(at) })
                #expect(report.exactlyOnce + report.missingCount == 400)
                #expect(report.repeated.isEmpty)
            }
            try team.run(Increment(by: 1, x: x.inPlace), schedule: schedule)
            let fresh = try team.array(of: Int.self, count: 9)
            #expect(try team.run(Line(plus: at, y: fresh.output), grain: 2).isClean)
            #expect(fresh[8] == 24 + at)
        }
    }

    @Test(arguments: leaders) func reportsOfThrownLoopsMatchTheData(leader: Team.Leader) throws {
        let team = try threads(4, leader)
        for schedule in Schedule.allCases {
            let x = try team.array(of: Int32.self, count: 1000)
            do {
                try team.run(Thrower(at: 500, x: x.inPlace), grain: 1, schedule: schedule)
            } catch {
                let report = try #require(error.report)
                let missing = Set(report.missing.flatMap { Array($0) })
                let done = x.toArray()
                for chunk in 0..<1000 where (done[chunk] == 1) == missing.contains(chunk) {
                    Issue.record("chunk \(chunk) under \(schedule): \(done[chunk]), \(report)")
                    break
                }
            }
        }
    }

    @Test(arguments: leaders) func cancellingEndsTheLoopAndOnlyThatLoop(leader: Team.Leader) throws
    {
        let team = try threads(3, leader)
        let x = try team.array(of: Int32.self, count: 30_000)
        for schedule in Schedule.allCases {
            do {
                try team.run(Canceller(x: x.inPlace), grain: 1, schedule: schedule)
                Issue.record("not cancelled under \(schedule)")
            } catch {
                #expect(error.code == .cancelled && error.report?.isCancelled == true)
                let report = try #require(error.report)
                #expect((1...3).contains(report.exactlyOnce) && report.repeated.isEmpty)
                #expect(report.missingCount == 30_000 - report.exactlyOnce)
            }
            #expect(try team.run(Increment(by: 0, x: x.inPlace), schedule: schedule).isClean)
        }
    }

    /// From the leader, while it waits: the loop would go on for minutes.
    @Test func cancellingFromTheProgress() throws {
        struct Slow: Kernel {
            let x: SharedArray<Int32>.InPlace
            func process(_ chunk: borrowing Chunk) throws {
                usleep(2000)
                x.update(chunk) { $0[0] += 1 }
            }
        }
        let team = try threads(2)
        let x = try team.array(of: Int32.self, count: 100_000)
        let cancellation = team.cancellation
        var calls = 0
        team.onProgress = { progress in
            calls += 1
            #expect(progress.chunks == 100_000 && progress.done <= progress.chunks)
            #expect(progress.elapsedNanoseconds > 0)
            cancellation.cancel()
        }
        let thrown = #expect(throws: MusterError.self) {
            try team.run(Slow(x: x.inPlace), grain: 1, schedule: .dynamic)
        }
        #expect(thrown?.code == .cancelled && calls >= 1)
        team.onProgress = nil
        #expect(try team.run(Increment(by: 1, x: x.inPlace)).isClean)
    }

    @Test(arguments: leaders) func eachRankRunsOnceAndKnowsItself(leader: Team.Leader) throws {
        for size in [1, 2, 5, 8] {
            let team = try threads(size, leader)
            let ranks = try team.array(of: Int32.self, count: size)
            for _ in 0..<20 { #expect(try team.eachRank(Mark(ranks: ranks.output)).isClean) }
            #expect(ranks.toArray() == (0..<size).map { Int32($0 * 1000 + size) })
        }
    }

    @Test(arguments: leaders) func genericAndPrivateKernels(leader: Team.Leader) throws {
        struct Hidden<Value: BitwiseCopyable>: Kernel {
            let value: Value
            let array: SharedArray<Value>.Output
            func process(_ chunk: borrowing Chunk) throws {
                array.write(chunk) { values in
                    for i in values.indices { values[i] = value }
                }
            }
        }
        let team = try threads(3, leader)
        let a = try team.array(of: UInt8.self, count: 1000)
        let b = try team.array(of: Int64.self, count: 1000)
        let c = try team.array(of: Double.self, count: 1000)
        for round in 0..<20 {
            try team.run(Fill(value: UInt8(round), array: a.output), grain: 10, schedule: .dynamic)
            try team.run(Fill(value: Int64(-round), array: b.output), grain: 10)
            try team.run(Hidden(value: Double(round), array: c.output), schedule: .cyclic)
            #expect(a.toArray().allSatisfy { $0 == UInt8(round) })
            #expect(b.toArray().allSatisfy { $0 == Int64(-round) })
            #expect(c.toArray().allSatisfy { $0 == Double(round) })
        }
    }

    @Test(arguments: seeds) func teamsOneAfterAnotherAndAtOnce(seed: UInt64) throws {
        var random = Seeded(seed)
        for round in 0..<15 {
            let one = try threads(1 + random.below(4), leaders[round % 2])
            let other = try threads(1 + random.below(4), leaders[random.below(2)])
            let x = try one.array(of: Int32.self, count: 100 + random.below(2000))
            let y = try other.array(of: Int32.self, count: 100 + random.below(2000))
            for _ in 0..<10 {
                let schedule = Schedule.allCases[random.below(5)]
                try one.run(Increment(by: 1, x: x.inPlace), grain: 9, schedule: schedule)
                try other.run(Increment(by: 2, x: y.inPlace), grain: 11, schedule: schedule)
            }
            #expect(x.toArray().allSatisfy { $0 == 10 } && y.toArray().allSatisfy { $0 == 20 })
        }
    }

    /// Arrays come and go between jobs: new ones are zeroed, and nobody writes to an old one.
    @Test(arguments: seeds) func arraysCreatedAndFreedBetweenJobs(seed: UInt64) throws {
        var random = Seeded(seed)
        let team = try threads(3, .works)
        let kept = try team.array(of: Int32.self, count: 777)
        for round in 1...40 {
            let a = try team.array(
                of: Int32.self, count: 1 + random.below(20_000),
                placement: [.firstTouch, .blocked, .interleave()][random.below(3)])
            let b = try team.array(of: Int64.self, count: random.below(5000))
            #expect(a.toArray().allSatisfy { $0 == 0 }, "MUSTER_SEED=\(seed), round \(round)")
            try team.run(Increment(by: 7, x: a.inPlace), grain: 100, schedule: .staticSteal)
            try team.run(Fill(value: .max, array: b.output), schedule: .guided)
            try team.run(Increment(by: 1, x: kept.inPlace), grain: 10)
            #expect(a.toArray().allSatisfy { $0 == 7 } && b.toArray().allSatisfy { $0 == .max })
            #expect(kept.toArray().allSatisfy { $0 == Int32(round) })
        }
    }
}
