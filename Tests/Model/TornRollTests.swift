/// Rolls that a crash or a stranger has left behind: torn between two stores, or random bytes. The
/// answer is -EUCLEAN or one that follows from the bytes; never a crash, never an access outside.

import MusterCore
import Glibc
import Synchronization
import TestSupport
import Testing

private let uclean = Int64(-EUCLEAN)

/// What the bytes of a roll mean, read without the library; nil: they are not well formed.
private func meaning(of box: RollBox, first: UInt64, count: UInt64) -> [Int]? {
    let roll = box.roll.pointee
    let limit = max(count / 128, UInt64(MUSTER_ROLL_LOG_LEAST)) + UInt64(MUSTER_ROLL_REPEATS)
    guard roll.length <= limit, roll.bitmap_used <= 1 else { return nil }
    var times = [Int](repeating: 0, count: Int(count))
    for entry in UnsafeBufferPointer(start: box.log, count: Int(roll.length)) {
        guard entry.first >= first, entry.first < entry.end, entry.end <= first + count else {
            return nil
        }
        for chunk in entry.first..<entry.end { times[Int(chunk - first)] += 1 }
    }
    if roll.bitmap_used == 1 {
        let bitmapBytes = (Int(box.capacity) + 63) / 64 * 8
        let bitmap = box.words.suffix((bitmapBytes + 4095) / 4096 * 512)
        for chunk in 0..<Int(count)
        where bitmap[bitmap.startIndex + chunk / 64] >> (chunk % 64) & 1 == 1 {
            times[chunk] += 1
        }
    }
    return times
}

@Suite struct TornRollTests {
    @Test(.timeLimit(.minutes(10)), arguments: seeds)
    func randomBytesAreRefusedOrRead(seed: UInt64) {
        var random = Seeded(seed ^ 0x7021)
        var refused = 0
        var read = 0
        for round in 0..<(isThreadSanitized ? 300 : 800) {
            let count: UInt64 = [0, 1, 64, 129, 500, 8193][random.below(6)]
            let first: UInt64 = [0, 3, 1 << 32][random.below(3)]
            let box = RollBox(capacity: count)
            for index in box.words.indices { box.words[index] = random.next() & random.next() }
            let plausible = random.below(3) > 0
            box.roll.pointee.job = Rolls.job
            box.roll.pointee.bitmap_used =
                [0, 1, plausible ? 1 : 2, plausible ? 0 : .max][random.below(4)]
            let lengths: [UInt64] = [0, 1, 5, 64, 128, 129, .max, 1 << 60]
            box.roll.pointee.length = lengths[random.below(plausible ? 5 : 8)]
            if plausible {
                for index in 0..<128 {
                    let from = random.below(Int(count))
                    box.log[index].first = first + UInt64(from)
                    box.log[index].end = first + UInt64(from + 1 + random.below(Int(count) - from))
                }
                // One entry off by a little: outside at either end, empty, or reversed.
                switch random.below(10) {
                case 0: box.log[random.below(128)].end = first + count + 1
                case 1 where first > 0: box.log[random.below(128)].first = first - 1
                case 2: box.log[random.below(128)].first = .max
                case 3:
                    let index = random.below(128)
                    box.log[index].end = box.log[index].first
                default: break
                }
            }
            let times = meaning(of: box, first: first, count: count)
            times == nil ? (refused += 1) : (read += 1)
            if let fault = fault(box, first, count, times, &random) {
                Issue.record("MUSTER_SEED=\(seed), round \(round): \(fault)")
                return
            }
        }
        #expect(refused > 30 && read > 30, "\(refused) refused, \(read) read: a lopsided test")
    }

    private func fault(
        _ box: RollBox, _ first: UInt64, _ count: UInt64, _ times: [Int]?, _ random: inout Seeded
    ) -> String? {
        var audit = muster_audit()
        audit.chunks = 12345
        var findings = [muster_finding](repeating: muster_finding(), count: 3)
        let found = muster_audit(
            [UnsafePointer(box.roll)], 1, count, Rolls.job, first, count, &audit, &findings, 3)
        let middle = first + count / 2
        let contains = muster_roll_contains(box.roll, count, Rolls.job, first, count, middle)
        var chunk: UInt64 = 12345
        let whole = muster_interval(first: first, end: first + count)
        let missing = muster_roll_first_missing(
            box.roll, count, Rolls.job, first, count, whole, &chunk)
        var ranks: [UInt32] = [0]
        let holders = muster_audit_ranks(
            [UnsafePointer(box.roll)], 1, count, Rolls.job, first, count, whole, &ranks, 1)
        _ = muster_roll_progress(box.roll, count, Rolls.job)
        guard let times else {
            // Outputs are set on success only.
            return found == uclean && contains == -EUCLEAN && missing == -EUCLEAN
                && holders == uclean && audit.chunks == 12345 && chunk == 12345
                ? nil
                : "malformed, but audit \(found), contains \(contains), missing \(missing), "
                    + "ranks \(holders)"
        }
        let once = times.count { $0 == 1 }
        let firstMissing = times.firstIndex(of: 0) ?? times.count
        guard found >= 0, audit.exactly_once == UInt64(once),
            audit.missing == UInt64(times.count { $0 == 0 }),
            audit.repeated == UInt64(times.count { $0 > 1 })
        else { return "audit \(found), \(audit), not \(once) once" }
        guard count == 0 || contains == (times[Int(count / 2)] > 0 ? 1 : 0) else {
            return "contains \(contains)"
        }
        guard missing == 0, chunk == first + UInt64(firstMissing) else { return "missing \(chunk)" }
        guard holders == (times.contains { $0 > 0 } ? 1 : 0) else { return "ranks \(holders)" }
        return nil
    }

    @Test func questionsOutsideTheJobOrTheRoomAreRefused() {
        let box = RollBox(capacity: 100)
        var writer = box.begin(job: 3, first: 10, count: 100)
        muster_roll_commit(&writer, 10)
        var audit = muster_audit()
        var chunk: UInt64 = 0
        let roll = UnsafePointer(box.roll)
        // A job larger than the roll's room can't have been written there.
        #expect(muster_audit([roll], 1, 100, 3, 10, 101, &audit, nil, 0) == uclean)
        #expect(muster_roll_contains(roll, 100, 3, 10, 101, 10) == -EUCLEAN)
        for (first, end): (UInt64, UInt64) in [(9, 20), (10, 111), (0, .max)] {
            let interval = muster_interval(first: first, end: end)
            #expect(muster_roll_first_missing(roll, 100, 3, 10, 100, interval, &chunk) == -EUCLEAN)
        }
        // A roll of another job holds nothing.
        let interval = muster_interval(first: 12, end: 20)
        #expect(
            muster_roll_first_missing(roll, 100, 4, 10, 100, interval, &chunk) == 0 && chunk == 12)
        #expect(muster_roll_contains(roll, 100, 4, 10, 100, 10) == 0)
        #expect(muster_roll_progress(roll, 100, 4) == 0)
        #expect(
            muster_audit([roll], 1, 100, 4, 10, 100, &audit, nil, 0) == 1 && audit.missing == 100)
    }

    /// A roll for 64 million chunks whose log is as full as it can be, so that any work of entries
    /// times entries, or entries times chunks, would take hours: the watchdog is what fails.
    private func fullLog(_ entry: (UInt64) -> muster_interval) -> RollBox {
        let box = RollBox(capacity: 64_000_000)
        box.roll.pointee.job = Rolls.job
        box.roll.pointee.length = box.capacity / 128
        for index in 0..<box.capacity / 128 { box.log[Int(index)] = entry(index) }
        return box
    }

    @Test(.timeLimit(.minutes(10))) func aFullLogIsAuditedInTime() {
        // Every entry holds all chunks but the last, and there is a bitmap too.
        let count: UInt64 = 64_000_000
        let box = fullLog { _ in muster_interval(first: 0, end: count - 1) }
        box.roll.pointee.bitmap_used = 1
        var audit = muster_audit()
        let found = muster_audit(
            [UnsafePointer(box.roll)], 1, count, Rolls.job, 0, count, &audit, nil, 0)
        #expect(found == 2 && audit.repeated == count - 1 && audit.missing == 1)
    }

    @Test(.timeLimit(.minutes(10))) func inAFullLogTheFirstMissingChunkIsFoundInTime() {
        // Single chunks in rising order, which no writer leaves behind.
        let count: UInt64 = 64_000_000
        let box = fullLog { muster_interval(first: $0, end: $0 + 1) }
        var chunk: UInt64 = 0
        let status = muster_roll_first_missing(
            box.roll, count, Rolls.job, 0, count, muster_interval(first: 0, end: count), &chunk)
        #expect(status == 0 && chunk == count / 128)
    }

    /// The ranks that hold a chunk of an interval: none if it has no chunk, and an interval beyond the
    /// job ends with it.
    @Test(.timeLimit(.minutes(10))) func anIntervalThatIsNotInTheJob() {
        for usesBitmap in [false, true] {
            let box = RollBox(capacity: 300)
            var writer = box.begin(job: Rolls.job, rank: 5, first: 1000, count: 300)
            // Every second chunk fills the log; from 1128 on a bitmap holds them.
            let commits: [UInt64] =
                usesBitmap ? (0..<140).map { 1000 + $0 * 2 } : Array(1000..<1150)
            for chunk in commits { muster_roll_commit(&writer, chunk) }
            #expect(box.roll.pointee.bitmap_used == (usesBitmap ? 1 : 0))
            func holders(_ first: UInt64, _ end: UInt64) -> Int64 {
                muster_audit_ranks(
                    [UnsafePointer(box.roll)], 1, 300, Rolls.job, 1000, 300,
                    muster_interval(first: first, end: end), nil, 0)
            }
            #expect(holders(0, .max) == 1 && holders(1000, 1300) == 1)
            #expect(holders(1290, .max) == 0 && holders(0, 1000) == 0)
            #expect(holders(1010, 1010) == 0 && holders(1200, 1200) == 0)
            #expect(holders(1020, 1010) == 0 && holders(.max, 0) == 0)
        }
    }

    /// Killed inside a commit, between any two of its stores: the roll says what it said before.
    @Test func aCommitThatWasCutOffSaysNothing() {
        func answer(_ box: RollBox) -> [Int]? { meaning(of: box, first: 0, count: 200) }
        func audited(_ box: RollBox) -> UInt64 {
            var audit = muster_audit()
            let found = muster_audit(
                [UnsafePointer(box.roll)], 1, 200, Rolls.job, 0, 200, &audit, nil, 0)
            return found < 0 ? .max : audit.exactly_once
        }
        let box = RollBox(capacity: 200)
        var writer = box.begin(job: Rolls.job, first: 0, count: 200)
        // An entry written, the length not yet.
        muster_roll_commit(&writer, 4)
        box.log[1] = muster_interval(first: 9, end: 10)
        box.roll.pointee.closed = 1
        #expect(audited(box) == 1 && answer(box)![9] == 0)
        // Half an entry.
        box.log[1] = muster_interval(first: 9, end: 0)
        #expect(audited(box) == 1)
        // The switch: garbage in the bitmap before the flag, an empty bitmap after it.
        for chunk: UInt64 in (0..<64).map({ $0 * 2 + 20 }) { muster_roll_commit(&writer, chunk) }
        #expect(box.roll.pointee.bitmap_used == 1 && audited(box) == 65)
        let flagged = box.words.endIndex - 512
        for index in flagged..<box.words.endIndex { box.words[index] = .max }
        box.roll.pointee.bitmap_used = 0
        #expect(audited(box) == 64)
        for index in flagged..<box.words.endIndex { box.words[index] = 0 }
        box.roll.pointee.bitmap_used = 1
        #expect(audited(box) == 64)
        // Emptied, the new number not yet stored: neither the old job's nor the new one's.
        box.roll.pointee.job = 0
        #expect(audited(box) == 0)
    }

    /// proof/audit.c: a roll that changes under the audit's hands can give a wrong count, never a wrong
    /// access. Another thread plays a worker that was taken for dead and switches to its bitmap.
    @Test(.timeLimit(.minutes(10))) func aRollThatChangesMeanwhileIsHarmless() {
        let box = RollBox(capacity: 400)
        var writer = box.begin(job: Rolls.job, first: 0, count: 400)
        for chunk: UInt64 in 0..<10 { muster_roll_commit(&writer, chunk * 3) }
        let offset = MemoryLayout<muster_roll>.offset(of: \.bitmap_used)!
        nonisolated(unsafe) let flag = (UnsafeMutableRawPointer(box.roll) + offset)
            .assumingMemoryBound(to: Atomic<UInt32>.self)
        let stop = UnsafeMutablePointer<Atomic<Bool>>.allocate(capacity: 1)
        stop.initialize(to: Atomic(false))
        final class Words {
            let flag: UnsafeMutablePointer<Atomic<UInt32>>
            let stop: UnsafeMutablePointer<Atomic<Bool>>
            init(
                _ flag: UnsafeMutablePointer<Atomic<UInt32>>,
                _ stop: UnsafeMutablePointer<Atomic<Bool>>
            ) {
                self.flag = flag
                self.stop = stop
            }
        }
        var thread = pthread_t()
        let created = pthread_create(
            &thread, nil,
            { argument in
                let words = Unmanaged<Words>.fromOpaque(argument!).takeRetainedValue()
                while !words.stop.pointee.load(ordering: .relaxed) {
                    words.flag.pointee.store(1, ordering: .releasing)
                    words.flag.pointee.store(0, ordering: .releasing)
                }
                return nil
            }, Unmanaged.passRetained(Words(flag, stop)).toOpaque())
        #expect(created == 0)
        var audit = muster_audit()
        for _ in 0..<100_000 {
            let found = muster_audit(
                [UnsafePointer(box.roll)], 1, 400, Rolls.job, 0, 400, &audit, nil, 0)
            if found != 10 && found != uclean {
                Issue.record("\(found) findings")
                break
            }
        }
        stop.pointee.store(true, ordering: .relaxed)
        pthread_join(thread, nil)
        stop.deinitialize(count: 1)
        stop.deallocate()
    }
}
