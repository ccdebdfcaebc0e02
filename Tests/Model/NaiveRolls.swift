/// The naive model: an array of counts per chunk and process, and the comparison of everything the
/// library says about rolls with what follows from those counts.

import MusterCore
import TestSupport

/// What one process does in a job: it commits these chunks, in this order.
struct History {
    var rank: UInt32
    var commits: [UInt64]
    /// False: its roll is of another job, so none of it counts.
    var isOfThisJob = true
}

struct Run: Equatable, CustomStringConvertible {
    var first: UInt64
    var end: UInt64
    var repeated: Bool
    var description: String { "\(repeated ? "repeated" : "missing") \(first)..<\(end)" }
}

struct NaiveRolls {
    let first: UInt64
    let count: Int
    /// Times that each process committed each chunk.
    private(set) var counts: [[Int]]
    let ranks: [UInt32]

    init(_ histories: [History], first: UInt64, count: UInt64) {
        self.first = first
        self.count = Int(count)
        ranks = histories.map(\.rank)
        counts = histories.map { history in
            var times = [Int](repeating: 0, count: Int(count))
            if history.isOfThisJob {
                for chunk in history.commits { times[Int(chunk - first)] += 1 }
            }
            return times
        }
    }

    var totals: [Int] {
        (0..<count).map { chunk in counts.reduce(0) { $0 + $1[chunk] } }
    }

    /// Runs of chunks with the same fault.
    var runs: [Run] {
        var found: [Run] = []
        for (offset, times) in totals.enumerated() where times != 1 {
            let chunk = first + UInt64(offset)
            if let last = found.last, last.end == chunk, last.repeated == (times > 1) {
                found[found.count - 1].end = chunk + 1
            } else {
                found.append(Run(first: chunk, end: chunk + 1, repeated: times > 1))
            }
        }
        return found
    }

    func holders(_ from: UInt64, _ to: UInt64) -> [UInt32] {
        zip(ranks, counts).compactMap { rank, times in
            (from..<to).contains { times[Int($0 - first)] > 0 } ? rank : nil
        }
    }
}

/// The rolls of some processes, and what the library reads in them.
final class Rolls {
    static let job: UInt64 = 7
    let boxes: [RollBox]
    let pointers: [UnsafePointer<muster_roll>?]
    let capacity: UInt64

    init(processes: Int, capacity: UInt64) {
        self.capacity = capacity
        boxes = (0..<processes).map { _ in RollBox(capacity: capacity) }
        pointers = boxes.map { UnsafePointer($0.roll) }
    }

    func write(_ histories: [History], first: UInt64, count: UInt64) {
        for (box, history) in zip(boxes, histories) {
            var writer = box.begin(
                job: history.isOfThisJob ? Rolls.job : Rolls.job - 1, rank: history.rank,
                first: first, count: count)
            for chunk in history.commits { muster_roll_commit(&writer, chunk) }
        }
    }

    /// How the library's answers differ from the model's; nil: not at all. The model must not have
    /// more repeats than a roll can name.
    func difference(_ model: NaiveRolls, _ random: inout Seeded) -> String? {
        let first = model.first
        let count = UInt64(model.count)
        let used = UInt32(model.counts.count)
        let totals = model.totals
        let runs = model.runs
        // Room for all, for some, for none.
        for room in [runs.count + 2, runs.count / 2, 0] {
            var audit = muster_audit()
            let untouched = muster_finding(first: 77, end: 78, repeated: 79, reserved: 80)
            var findings = [muster_finding](repeating: untouched, count: room + 1)
            let found = muster_audit(
                pointers, used, capacity, Rolls.job, first, count, &audit, &findings, UInt64(room))
            if found != Int64(runs.count) { return "\(found) findings, not \(runs.count)" }
            let once = UInt64(totals.count { $0 == 1 })
            let missing = UInt64(totals.count { $0 == 0 })
            if audit.chunks != count || audit.exactly_once != once || audit.missing != missing
                || audit.repeated != count - once - missing || audit.unnamed != 0
            {
                return "\(audit), not \(once) once, \(missing) missing"
            }
            for (finding, run) in zip(findings.prefix(room), runs) {
                if Run(
                    first: finding.first, end: finding.end, repeated: finding.repeated != 0) != run
                    || finding.repeated > 1
                {
                    return "\(finding), not \(run)"
                }
            }
            if findings[min(room, runs.count)].first != 77 { return "a finding beyond the room" }
        }
        for run in runs.shuffled(using: &random).prefix(4) {
            let holders = model.holders(run.first, run.end)
            var ranks = [UInt32](repeating: 99, count: holders.count + 1)
            let held = muster_audit_ranks(
                pointers, used, capacity, Rolls.job, first, count,
                muster_interval(first: run.first, end: run.end), &ranks, UInt64(holders.count))
            if held != Int64(holders.count) || ranks.dropLast() != holders[...] || ranks.last != 99
            {
                return "\(run) is held by \(ranks) (\(held)), not \(holders)"
            }
        }
        for (number, times) in model.counts.enumerated() {
            if let difference = difference(of: number, times, first, &random) {
                return "process \(number): \(difference)"
            }
        }
        return nil
    }

    private func difference(of number: Int, _ times: [Int], _ first: UInt64, _ random: inout Seeded)
        -> String?
    {
        let roll = pointers[number]
        let count = UInt64(times.count)
        let progress = muster_roll_progress(roll, capacity, Rolls.job)
        if progress != UInt64(times.reduce(0, +)) {
            return "progress \(progress), not \(times.reduce(0, +))"
        }
        // Every chunk of a small job, some of a large one.
        let asked =
            times.count <= 300
            ? Array(0..<times.count)
            : (0..<60).map { _ in
                random.below(times.count)
            }
        for offset in asked {
            let held = muster_roll_contains(
                roll, capacity, Rolls.job, first, count, first + UInt64(offset))
            if held != (times[offset] > 0 ? 1 : 0) {
                return "chunk \(first + UInt64(offset)) held: \(held), but \(times[offset]) commits"
            }
        }
        for outside in [first &- 1, first + count, .max] {
            if muster_roll_contains(roll, capacity, Rolls.job, first, count, outside) != 0 {
                return "chunk \(outside), outside the job, is held"
            }
        }
        for _ in 0..<8 {
            let from = random.below(times.count + 1)
            let to = from + random.below(times.count - from + 1)
            var chunk: UInt64 = 0
            let status = muster_roll_first_missing(
                roll, capacity, Rolls.job, first, count,
                muster_interval(first: first + UInt64(from), end: first + UInt64(to)), &chunk)
            let wanted = (from..<to).first { times[$0] == 0 } ?? to
            if status != 0 || chunk != first + UInt64(wanted) {
                return "first missing in \(from)..<\(to) from \(first): \(chunk) (\(status)), "
                    + "not \(first + UInt64(wanted))"
            }
        }
        return nil
    }
}
