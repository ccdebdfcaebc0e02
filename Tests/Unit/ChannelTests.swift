// ChannelTests.swift - moments of mixed channels, and counts of keys in intervals, against plain loops.

import MusterCore
import TestSupport
import Testing

@Suite struct ChannelTests {
    /// An element's value: below 64, so that every type holds it and sums are exact.
    private static func value(_ element: Int) -> Int {
        Int((UInt64(truncatingIfNeeded: element) &* 0x9E37_79B9_7F4A_7C15) >> 58)
    }

    private static func bytes(_ dtype: muster_type, _ elements: Range<Int>) -> [UInt8] {
        func all<Number: BitwiseCopyable>(_ make: (Int) -> Number) -> [UInt8] {
            elements.map { make(value($0)) }.withUnsafeBytes { Array($0) }
        }
        return switch dtype {
        case MUSTER_TYPE_U8: all { UInt8($0) }
        case MUSTER_TYPE_U16: all { UInt16($0) }
        case MUSTER_TYPE_I32: all { Int32($0) }
        default: all { Double($0) }
        }
    }

    @Test("Each element goes to its channel, for any layout and any part of an array")
    func channels() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(seed)
        func pick<Value>(_ values: [Value]) -> Value {
            values[Int(random.next() % UInt64(values.count))]
        }
        let room = UnsafeMutableRawPointer.allocate(
            byteCount: Int(MUSTER_CHANNEL_ROOM_BYTES), alignment: 64)
        defer { room.deallocate() }
        for _ in 0..<60 {
            let dtype = pick([MUSTER_TYPE_U8, MUSTER_TYPE_U16, MUSTER_TYPE_I32, MUSTER_TYPE_F64])
            let channels = pick([1, 1, 2, 3, 7, 8, 9, 64, 65, 300])
            let inner = pick([1, 1, 1, 2, 5, 31, 300, 2047, 2048, 5000])
            // Enough to fill the rows of one channel or a few.
            let count = pick([1, 50, 3000, 40_000, channels < 4 ? 200_000 : 40_000])
            let first = Int(random.next() % 20_000)
            let offset = pick([0, 1, 5])
            let data =
                [UInt8](repeating: 0, count: offset) + Self.bytes(dtype, first..<first + count)
            var found = [muster_moments](repeating: muster_moments(), count: channels)
            data.withUnsafeBytes {
                muster_channel_moments(
                    dtype, $0.baseAddress! + offset, count, UInt64(first), UInt64(channels),
                    UInt64(inner), room, &found)
            }
            var counts = [UInt64](repeating: 0, count: channels)
            var sums = [Int](repeating: 0, count: channels)
            for element in first..<first + count {
                counts[element / inner % channels] += 1
                sums[element / inner % channels] += Self.value(element)
            }
            let what = "seed \(seed): \(dtype), \(channels) x \(inner), \(count) from \(first)"
            #expect(found.map(\.count) == counts, "\(what)")
            #expect(
                found.indices.map { muster_moments_sum(&found[$0]) } == sums.map { Double($0) },
                "\(what)")
        }
    }

    @Test("Each key is counted in the interval that holds it, and nowhere else")
    func intervals() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(seed)
        for _ in 0..<300 {
            // Intervals within 2^bits keys: far apart, neighbours, or of one key.
            let bits = random.next() % 65
            let mask: UInt64 = bits == 64 ? .max : (1 << bits) - 1
            let base = random.next() & ~mask
            var ends = (0..<2 * (1 + random.next() % 40)).map { _ in base | random.next() & mask }
            if random.next() % 4 == 0 { ends += [base, base | mask] }
            ends.sort()
            var intervals: [muster_key_interval] = []
            for pair in stride(from: 0, to: ends.count, by: 2) {
                if let last = intervals.last, ends[pair] <= last.last { continue }
                let isSingle = random.next() % 3 == 0
                intervals.append(
                    muster_key_interval(
                        first: ends[pair], last: ends[isSingle ? pair : pair + 1]))
            }
            let keys = (0..<400).map { _ in
                random.next() % 2 == 0
                    ? base | random.next() & mask
                    : ends[Int(random.next() % UInt64(ends.count))] &+ random.next() % 3 &- 1
            }
            var counts = [UInt64](repeating: 0, count: 2 * intervals.count)
            muster_count_keys(
                MUSTER_TYPE_U64, keys, keys.count, intervals, intervals.count, 63, 2, &counts)
            var expected = [UInt64](repeating: 0, count: 2 * intervals.count)
            for key in keys {
                for (index, interval) in intervals.enumerated()
                where interval.first <= key && key <= interval.last {
                    expected[2 * index + Int((key - interval.first) >> 63)] += 1
                }
            }
            #expect(counts == expected, "seed \(seed), \(bits) bits")
        }
    }
}
