/// A team whose ranks are all run by the calling thread, a step at a time, so that a test decides
/// who claims next. Everything but the processes is real: control segment, slots, rolls, audit.

import MusterCore
import Glibc
import TestSupport
import Testing

/// In which order the ranks take their steps. A step is one claim-or-next with its commit.
enum Interleaving: CaseIterable {
    /// Rank 0 to its end, then rank 1, and so on: the greediest rank gets all it can.
    case oneAfterTheOther
    /// A step each in turn.
    case roundRobin
    /// Any rank next.
    case random
}

struct Shape: CustomStringConvertible {
    var schedule: muster_schedule
    var elements: UInt64
    var grain: UInt64
    var batch: UInt64 = 1
    /// The job's range of chunks.
    var first: UInt64
    var count: UInt64

    var description: String {
        "schedule \(schedule.rawValue), \(elements) elements, grain \(grain), batch \(batch), "
            + "chunks \(first)..<\(first + count)"
    }
}

let allSchedules = [
    MUSTER_SCHEDULE_STATIC, MUSTER_SCHEDULE_CYCLIC, MUSTER_SCHEDULE_DYNAMIC, MUSTER_SCHEDULE_GUIDED,
    MUSTER_SCHEDULE_STATIC_STEAL,
]

/// One thread has no races to find, and the thread sanitizer makes it thirty times slower: there
/// every fifth chunk size is enough.
let grains: [UInt64] = dlsym(nil, "__tsan_init") == nil ? Array(1...16) : [1, 6, 11, 16]

final class SimulatedTeam {
    let team: OpaquePointer
    let size: Int
    let rolls: UnsafeMutablePointer<UnsafePointer<muster_roll>?>
    private let loops: UnsafeMutablePointer<muster_loop>
    private let isDone: UnsafeMutablePointer<Bool>
    /// How often each element was handed out and committed.
    let times: UnsafeMutablePointer<UInt8>
    let elementsMost = 64

    init(size: Int) throws {
        var options = muster_team_options()
        options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
        options.size = UInt32(size)
        options.usable_cpus = 1
        var made: OpaquePointer?
        try #require(muster_team_create(&options, &made) == 0)
        team = made!
        self.size = size
        rolls = .allocate(capacity: size)
        loops = .allocate(capacity: size)
        isDone = .allocate(capacity: size)
        times = .allocate(capacity: elementsMost)
        loops.initialize(repeating: muster_loop(), count: size)
        isDone.initialize(repeating: false, count: size)
        times.initialize(repeating: 0, count: elementsMost)
        rolls.initialize(repeating: nil, count: size)
        for rank in 0..<size {
            try #require(muster_team_adopt(team, UInt32(rank)) == 0)
            rolls[rank] = UnsafePointer(muster_team_roll(team, UInt32(rank)))
        }
    }

    deinit {
        muster_team_destroy(team)
        rolls.deallocate()
        loops.deallocate()
        isDone.deallocate()
        times.deallocate()
    }

    /// Runs a job. Returns what is wrong, nil when each of its elements was dealt once, none
    /// beside them, and the audit says so.
    func fault(_ shape: Shape, _ order: Interleaving, _ random: inout Seeded) -> String? {
        let job = muster_team_job(team)!
        job.pointee.kind = MUSTER_JOB_LOOP.rawValue
        job.pointee.schedule = shape.schedule.rawValue
        job.pointee.first_chunk = shape.first
        job.pointee.chunk_count = shape.count
        job.pointee.elements = shape.elements
        job.pointee.grain = shape.grain
        job.pointee.batch = shape.batch
        let number = muster_team_dispatch(team)
        times.update(repeating: 0, count: elementsMost)
        for rank in 0..<size {
            let status = muster_loop_begin(loops + rank, team, UInt32(rank))
            if status != 0 { return "rank \(rank) can't begin: \(status)" }
            isDone[rank] = false
        }
        if let fault = steps(shape, order, &random) { return fault }
        for rank in 0..<size {
            _ = muster_loop_end(loops + rank)
            muster_worker_done(team, UInt32(rank), number)
        }
        if muster_team_join(team, 0) != 1 { return "the join does not see that all are done" }

        let from = min(shape.first * shape.grain, shape.elements)
        let to = min((shape.first + shape.count) * shape.grain, shape.elements)
        for element in 0..<shape.elements {
            let wanted = element >= from && element < to ? 1 : 0
            if times[Int(element)] != wanted {
                return "element \(element) was dealt \(times[Int(element)]) times, not \(wanted)"
            }
        }
        var audit = muster_audit()
        let block = muster_team_block(team)!
        let found = muster_audit(
            rolls, UInt32(size), block.pointee.chunk_capacity, number, shape.first, shape.count,
            &audit, nil, 0)
        if found != 0 || audit.chunks != shape.count || audit.exactly_once != shape.count
            || audit.missing != 0 || audit.repeated != 0 || audit.unnamed != 0
        {
            return "the audit says \(found): \(audit)"
        }
        return nil
    }

    private func steps(_ shape: Shape, _ order: Interleaving, _ random: inout Seeded) -> String? {
        var chunk = muster_chunk()
        var left = size
        var rank = 0
        while left > 0 {
            if order == .random { rank = Int(random.next() % UInt64(size)) }
            while isDone[rank] { rank = rank + 1 == size ? 0 : rank + 1 }
            guard muster_loop_next(loops + rank, &chunk) else {
                isDone[rank] = true
                left -= 1
                continue
            }
            if chunk.index < shape.first || chunk.index >= shape.first + shape.count
                || chunk.first != chunk.index * shape.grain
                || chunk.end != min(chunk.first + shape.grain, shape.elements)
                || chunk.first >= chunk.end
            {
                return "chunk \(chunk) is none of the job's"
            }
            for element in chunk.first..<chunk.end { times[Int(element)] += 1 }
            muster_loop_commit(loops + rank, &chunk)
            if order == .roundRobin { rank = rank + 1 == size ? 0 : rank + 1 }
        }
        return nil
    }
}
