/// Seeded random histories of several processes: what the library reads in their rolls equals the
/// naive model, whatever was committed, in whatever order, twice or never.

import MusterCore
import Glibc
import TestSupport
import Testing

/// Around every border in the code: words, log limits, the switch to the bitmap, audit blocks.
private let countsAtBorders: [UInt64] = [
    0, 1, 2, 63, 64, 65, 127, 128, 129, 191, 300, 8191, 8192, 8193, 32_767, 32_768, 32_769, 65_535,
    65_536, 65_537,
]
private let firsts: [UInt64] = [0, 1, 63, 64, 1 << 31, UInt64(MUSTER_CHUNKS_MAX) - 70_000]

/// Repeats that one roll is sure to have room for.
private let repeatsMost = Int(MUSTER_ROLL_REPEATS)

/// Ways in which a process can go through a job's chunks.
private func commits(_ first: UInt64, _ count: Int, _ random: inout Seeded) -> [UInt64] {
    guard count > 0 else { return [] }
    let from = random.below(count)
    let length = 1 + random.below(count - from)
    let part = (first + UInt64(from))..<(first + UInt64(from + length))
    var chunks: [UInt64]
    switch random.below(8) {
    case 0: chunks = Array(part)
    case 1: chunks = Array(part.reversed())
    case 2: chunks = part.shuffled(using: &random)
    case 3:
        let step = 2 + random.below(5)
        chunks = stride(from: part.lowerBound, to: part.upperBound, by: step).map { $0 }
    case 4:
        // Half in order, then scattered: the switch comes in the middle of an interval's life.
        let middle = part.count / 2
        chunks = part.prefix(middle) + part.dropFirst(middle).shuffled(using: &random)
    case 5: chunks = []
    case 6:
        // Short intervals in any order, as stealing leaves them.
        var starts = Array(stride(from: part.lowerBound, to: part.upperBound, by: 5))
        starts.shuffle(using: &random)
        chunks = starts.flatMap { Array($0..<min($0 + 5, part.upperBound)) }
    default: chunks = Array(first..<(first + UInt64(count)))
    }
    // Repeats: of the last chunk, of an early one, of any.
    for _ in 0..<(random.below(3) == 0 ? random.below(repeatsMost) : 0) where !chunks.isEmpty {
        let again =
            random.below(2) == 0 ? chunks[chunks.count - 1] : chunks.randomElement(using: &random)!
        chunks.insert(again, at: random.below(2) == 0 ? chunks.count : random.below(chunks.count))
    }
    return chunks
}

func histories(_ first: UInt64, _ count: UInt64, _ random: inout Seeded) -> [History] {
    let processes = 1 + random.below(5)
    return (0..<processes).map { number in
        // Now and then two processes believe that they have the same rank.
        let rank = random.below(4) == 0 ? 0 : number
        return History(
            rank: UInt32(rank), commits: commits(first, Int(count), &random),
            isOfThisJob: random.below(6) != 0)
    }
}

@Suite struct HistoryTests {
    @Test(.timeLimit(.minutes(10)), arguments: seeds)
    func rollsAndAuditEqualTheModel(seed: UInt64) {
        var random = Seeded(seed)
        for count in countsAtBorders {
            // The same rolls job after job: what one job left behind must not shine through.
            let rolls = Rolls(processes: 5, capacity: count + UInt64(random.below(3)) * 1000)
            for round in 0..<(isThreadSanitized ? 1 : count > 1000 ? 2 : 40) {
                let first = firsts[random.below(firsts.count)]
                let done = histories(first, count, &random)
                rolls.write(done, first: first, count: count)
                let model = NaiveRolls(done, first: first, count: count)
                if let difference = rolls.difference(model, &random) {
                    Issue.record(
                        "MUSTER_SEED=\(seed), \(count) chunks, round \(round): \(difference)")
                    return
                }
            }
        }
    }

    /// The comparison itself must be able to fail: a dropped, a doubled and a moved commit, each in
    /// one process of a random history, are all seen.
    @Test(arguments: seeds) func canary(seed: UInt64) {
        var random = Seeded(seed ^ 0xca9a)
        var tried = 0
        while tried < 90 {
            let count = countsAtBorders[3 + random.below(9)]
            let first = firsts[random.below(firsts.count)]
            let done = histories(first, count, &random)
            guard
                let process = done.indices.first(where: { index in
                    done[index].isOfThisJob && !done[index].commits.isEmpty
                        // A repeat among the commits could hide a dropped one from `contains`.
                        && Set(done[index].commits).count == done[index].commits.count
                })
            else { continue }
            var wrong = done
            let place = random.below(done[process].commits.count)
            let chunk = done[process].commits[place]
            switch tried % 3 {
            case 0: wrong[process].commits.remove(at: place)
            case 1: wrong[process].commits.append(chunk)
            default:
                let other = first + (chunk - first + 1) % count
                if done[process].commits.contains(other) { continue }
                // Where others committed it too it stays repeated, and only a sample of single rolls
                // is compared.
                let holders = done.filter { $0.isOfThisJob && $0.commits.contains(chunk) }
                if holders.count != 1 { continue }
                wrong[process].commits[place] = other
            }
            let rolls = Rolls(processes: done.count, capacity: count)
            rolls.write(wrong, first: first, count: count)
            #expect(
                rolls.difference(NaiveRolls(done, first: first, count: count), &random) != nil,
                "MUSTER_SEED=\(seed): a wrong roll goes unseen: \(chunk) of \(done[process])")
            tried += 1
        }
    }

    /// A writer that is killed between two commits, after any number of them: what it did before
    /// stands, across the switch from log to bitmap too.
    @Test(.timeLimit(.minutes(10)), arguments: seeds)
    func aWriterStoppedAfterAnyNumberOfCommits(seed: UInt64) {
        var random = Seeded(seed ^ 0x570b)
        let count: UInt64 = 260
        for pattern in 0..<(isThreadSanitized ? 3 : 6) {
            let first = firsts[pattern]
            let chunks = first..<(first + count)
            let order: [UInt64] =
                switch pattern {
                case 0: Array(chunks)
                case 1: chunks.reversed()
                // Every second one, then the ones between: 130 intervals, then a full bitmap.
                case 2: chunks.filter { $0 % 2 == 0 } + chunks.filter { $0 % 2 == 1 }
                // Goes on with the very chunk that would lengthen the log's last interval.
                case 3:
                    Array(chunks.prefix(128)).filter { $0 % 2 == first % 2 } + chunks.suffix(133)
                default: chunks.shuffled(using: &random) + chunks.prefix(60)
                }
            let rolls = Rolls(processes: 1, capacity: count)
            var writer = rolls.boxes[0].begin(job: Rolls.job, first: first, count: count)
            for stopped in 0...order.count {
                let done = [History(rank: 0, commits: Array(order.prefix(stopped)))]
                let model = NaiveRolls(done, first: first, count: count)
                if let difference = rolls.difference(model, &random) {
                    Issue.record(
                        "MUSTER_SEED=\(seed), order \(pattern), \(stopped) commits: \(difference)")
                    break
                }
                if stopped < order.count { muster_roll_commit(&writer, order[stopped]) }
            }
        }
    }

    /// More repeats than the log has room for: the first 64 are named, the rest counted, and none
    /// is lost from the progress.
    @Test func repeatsBeyondTheRoomAreCounted() {
        let count: UInt64 = 1000
        let rolls = Rolls(processes: 1, capacity: count)
        var writer = rolls.boxes[0].begin(job: Rolls.job, first: 0, count: count)
        let chunks = (0..<count).map { $0 * 7 % count }
        for chunk in chunks + chunks.suffix(500) { muster_roll_commit(&writer, chunk) }
        var audit = muster_audit()
        let found = muster_audit(rolls.pointers, 1, count, Rolls.job, 0, count, &audit, nil, 0)
        #expect(found > 0)
        #expect(audit.repeated == UInt64(repeatsMost) && audit.missing == 0)
        #expect(audit.unnamed == 500 - UInt64(repeatsMost))
        #expect(audit.exactly_once == count - UInt64(repeatsMost))
        #expect(muster_roll_progress(rolls.pointers[0], count, Rolls.job) == count + 500)
    }

    /// Promise: at most two bits a chunk, and a constant.
    @Test func aRollTakesAtMostTwoBitsAChunk() {
        let constant: UInt64 = 4 * 4096
        let counts = countsAtBorders + [10_000_000, 100_000_000, UInt64(MUSTER_CHUNKS_MAX)]
        for count in counts {
            let bytes = muster_roll_bytes(count)
            #expect(bytes * 8 <= 2 * count + 8 * constant, "\(count) chunks: \(bytes) bytes")
            #expect(bytes % 4096 == 0)
        }
        #expect(muster_roll_bytes(100_000_000) <= 25_000_000 + constant)
    }

    /// 70 processes, so that the audit leaves its room for small jobs.
    @Test func manyProcessesWithFewIntervals() {
        var random = Seeded(70)
        for processes in [63, 64, 65, 70] {
            let done = (0..<processes).map { (number: Int) -> History in
                let from = UInt64(number) * 3
                return History(rank: UInt32(number), commits: Array(from..<(from + 4)))
            }
            let count = UInt64(processes * 3 + 4)
            let rolls = Rolls(processes: processes, capacity: count)
            rolls.write(done, first: 0, count: count)
            let difference = rolls.difference(
                NaiveRolls(done, first: 0, count: count), &random)
            #expect(difference == nil, "\(processes) processes")
        }
    }
}
