/// The quick answer to "was each chunk done once?": it must be what the audit of the rolls says, for
/// whatever ranks may have committed. And a loop that is dispatched once more, which begins without
/// looking at its job again: it must be dealt and counted as the first time.

import MusterCore
import TestSupport
import Testing

/// Ranks that commit what a test says, whatever was dealt to them.
private final class Committers {
    let team: SimulatedTeam
    private let loops: UnsafeMutablePointer<muster_loop>

    init(size: Int) throws {
        team = try SimulatedTeam(size: size)
        loops = .allocate(capacity: size)
        loops.initialize(repeating: muster_loop(), count: size)
    }

    deinit { loops.deallocate() }

    func prepare(chunks: Int, schedule: muster_schedule) {
        let job = muster_team_job(team.team)!
        job.pointee.kind = MUSTER_JOB_LOOP.rawValue
        job.pointee.schedule = schedule.rawValue
        job.pointee.first_chunk = 0
        job.pointee.chunk_count = UInt64(chunks)
        job.pointee.elements = UInt64(chunks)
        job.pointee.grain = 1
        job.pointee.batch = 1
    }

    /// Has rank r commit lists[r], in that order. Returns whether the loop went well, as the quick way
    /// has it, and how many findings the audit of the rolls has.
    func run(_ number: UInt64, _ lists: [[Int]]) throws -> (isClean: Bool, findings: Int64) {
        for (rank, list) in lists.enumerated() {
            let loop = loops + rank
            try #require(muster_loop_begin(loop, team.team, UInt32(rank)) == 0)
            for chunk in list {
                var chunk = muster_chunk(
                    index: UInt64(chunk), first: UInt64(chunk), end: UInt64(chunk) + 1)
                muster_loop_commit(loop, &chunk)
            }
            finish(rank, number)
        }
        return try verdict()
    }

    /// The same with what the schedule deals to them, one rank after the other.
    func runAsDealt(_ number: UInt64) throws -> (isClean: Bool, findings: Int64) {
        for rank in 0..<team.size {
            var chunk = muster_chunk()
            try #require(muster_loop_begin(loops + rank, team.team, UInt32(rank)) == 0)
            while muster_loop_next(loops + rank, &chunk) {
                muster_loop_commit(loops + rank, &chunk)
            }
            finish(rank, number)
        }
        return try verdict()
    }

    private func finish(_ rank: Int, _ number: UInt64) {
        let tally = muster_loop_end(loops + rank)
        muster_slot_conclude(
            muster_team_slot(team.team, UInt32(rank)), MUSTER_OUTCOME_FINE.rawValue, tally, number)
        muster_worker_done(team.team, UInt32(rank), number)
    }

    private func verdict() throws -> (isClean: Bool, findings: Int64) {
        try #require(muster_team_join(team.team, 0) == 1)
        var audit = muster_audit()
        let findings = muster_team_audit(team.team, &audit, nil, 0)
        return (muster_team_is_clean(team.team), findings)
    }
}

@Suite struct TallyTests {
    /// Each way to give up to four chunks to two ranks, each chunk to none, one or both of them.
    @Test func allOutcomesOfSmallLoops() throws {
        let ranks = try Committers(size: 2)
        var clean = 0
        for chunks in 1...4 {
            ranks.prepare(chunks: chunks, schedule: MUSTER_SCHEDULE_STATIC)
            for outcome in 0..<(1 << (2 * chunks)) {
                let lists = (0..<2).map { rank in
                    (0..<chunks).filter { outcome >> (2 * $0 + rank) & 1 == 1 }
                }
                let times = (0..<chunks).map { chunk in
                    lists.count { $0.contains(chunk) }
                }
                let number = muster_team_dispatch(ranks.team.team)
                let found = try ranks.run(number, lists)
                let isRight = times.allSatisfy { $0 == 1 }
                #expect(found.isClean == isRight, "\(lists) of \(chunks)")
                #expect((found.findings == 0) == isRight, "\(lists) of \(chunks)")
                clean += isRight ? 1 : 0
            }
        }
        #expect(clean == 2 + 4 + 8 + 16)
    }

    @Test(arguments: seeds)
    func anyOutcomeOfLargerLoops(seed: UInt64) throws {
        var random = Seeded(seed)
        var clean = 0
        for _ in 0..<2000 {
            let size = 1 + random.below(5)
            let chunks = 1 + random.below(200)
            let ranks = try Committers(size: size)
            ranks.prepare(chunks: chunks, schedule: MUSTER_SCHEDULE_STATIC)
            // Blocks, sometimes with their borders moved, and a fault or two in every second loop.
            var lists = (0..<size).map { rank in
                Array(chunks * rank / size..<chunks * (rank + 1) / size)
            }
            for _ in 0..<(random.below(2) * (1 + random.below(2))) {
                let rank = random.below(size)
                switch random.below(4) {
                case 0: if !lists[rank].isEmpty { lists[rank].removeLast() }
                case 1: if !lists[rank].isEmpty { lists[rank].removeFirst() }
                case 2: lists[rank].append(random.below(chunks))
                default: lists.swapAt(rank, random.below(size))
                }
            }
            var times = [Int](repeating: 0, count: chunks)
            for chunk in lists.joined() { times[chunk] += 1 }
            let isRight = times.allSatisfy { $0 == 1 }
            let found = try ranks.run(muster_team_dispatch(ranks.team.team), lists)
            #expect(found.isClean == isRight, "seed \(seed): \(lists)")
            #expect((found.findings == 0) == isRight, "seed \(seed): \(lists)")
            clean += isRight ? 1 : 0
        }
        #expect(clean > 200 && clean < 1900, "seed \(seed)")
    }

    /// A tally is read from shared memory: what a stray store has left there is no interval.
    @Test func aRollThatMakesNoSenseHasNoTally() throws {
        let ranks = try Committers(size: 1)
        ranks.prepare(chunks: 10, schedule: MUSTER_SCHEDULE_STATIC)
        let roll = muster_team_roll(ranks.team.team, 0)!
        let log = UnsafeMutableRawPointer(roll + 1).assumingMemoryBound(to: muster_interval.self)
        var writer = muster_roll_writer()
        func tally(_ first: UInt64, _ end: UInt64, length: UInt64 = 1, bitmap: UInt32 = 0) -> UInt64
        {
            muster_roll_begin(&writer, roll, 100, 1, 0, 5, 10)
            log.pointee = muster_interval(first: first, end: end)
            roll.pointee.length = length
            roll.pointee.bitmap_used = bitmap
            return muster_roll_tally(&writer)
        }
        #expect(tally(5, 15) == muster_schedule_pack(muster_interval(first: 0, end: 10)))
        #expect(tally(7, 8) == muster_schedule_pack(muster_interval(first: 2, end: 3)))
        #expect(tally(4, 15) == 0)
        #expect(tally(5, 16) == 0)
        #expect(tally(9, 9) == 0)
        #expect(tally(9, 8) == 0)
        #expect(tally(5, .max) == 0)
        #expect(tally(5, 15, length: 0) == 0)
        #expect(tally(5, 15, length: 2) == 0)
        #expect(tally(5, 15, bitmap: 1) == 0)
    }

    /// The same loop again and again, and others in between.
    @Test(arguments: seeds)
    func aLoopDispatchedOnceMoreIsDealtAnew(seed: UInt64) throws {
        var random = Seeded(seed)
        for size in 1...4 {
            let ranks = try Committers(size: size)
            for _ in 0..<60 {
                let schedule = allSchedules[random.below(allSchedules.count)]
                ranks.prepare(chunks: 1 + random.below(300), schedule: schedule)
                let what = "seed \(seed), size \(size), schedule \(schedule.rawValue)"
                var number = muster_team_dispatch(ranks.team.team)
                let first = try ranks.runAsDealt(number)
                #expect(first.isClean && first.findings == 0, "\(what)")
                for _ in 0..<random.below(4) {
                    let next = muster_team_dispatch_same(ranks.team.team)
                    #expect(next == number + 1)
                    number = next
                    let again = try ranks.runAsDealt(number)
                    #expect(again.isClean && again.findings == 0, "\(what), again")
                }
                // Ranks that have lost a chunk of a loop like the one before.
                number = muster_team_dispatch_same(ranks.team.team)
                let none = try ranks.run(number, Array(repeating: [], count: size))
                #expect(!none.isClean && none.findings == 1, "\(what), nothing done")
            }
        }
    }
}
