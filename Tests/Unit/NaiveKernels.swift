// NaiveKernels.swift - loops that follow bulk.h to the letter, and the data that kernels are tried on.

import MusterCore
import Glibc
import TestSupport
import Testing

func variant(_ which: muster_kernel_variant) -> muster_kernels? {
    muster_kernels_variant(which)?.pointee
}

/// What this CPU can run. What it lacks is said by the skipped tests in `KernelVariantTests`.
let variants = [MUSTER_KERNEL_PORTABLE, MUSTER_KERNEL_AVX2, MUSTER_KERNEL_AVX512].filter {
    variant($0) != nil
}

let dtypes = (MUSTER_TYPE_F16.rawValue...MUSTER_TYPE_BOOL.rawValue).map {
    muster_type(rawValue: $0)
}
let integerTypes = dtypes.filter { $0.rawValue >= MUSTER_TYPE_I8.rawValue }

/// Lengths around every border of lanes and blocks.
let lengths = Array(0...200) + [2047, 2048, 2049, 5003]

/// Doubles of ordinary size; `wild` mixes in everything that has rules of its own.
func numbers(_ count: Int, wild: Bool, _ random: inout Seeded) -> [Double] {
    let odd: [Double] = [
        .nan, .infinity, -.infinity, 0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude,
        .greatestFiniteMagnitude, 1e-300, -1e300,
    ]
    return (0..<count).map { _ in
        wild && random.next() % 16 == 0
            ? odd.randomElement(using: &random)! : Double.random(in: -100...100, using: &random)
    }
}

/// Bytes of `count` elements. For floating-point types `wild` means any bits at all: NaNs,
/// infinities, subnormals and sums that overflow; otherwise all are finite and of ordinary size.
func bytes(of dtype: muster_type, _ count: Int, wild: Bool, _ random: inout Seeded)
    -> [UInt8]
{
    func raw<T>(_ values: [T]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }
    switch dtype {
    case MUSTER_TYPE_F16 where !wild:
        return raw((0..<count).map { _ in Float16.random(in: -8...8, using: &random) })
    case MUSTER_TYPE_F32 where !wild:
        return raw((0..<count).map { _ in Float.random(in: -8...8, using: &random) })
    case MUSTER_TYPE_F64 where !wild:
        return raw(numbers(count, wild: random.next() % 2 == 0, &random))
    default:
        return (0..<count * Int(muster_type_bytes(dtype.rawValue))).map { _ in
            UInt8(truncatingIfNeeded: random.next() >> 32)
        }
    }
}

/// Elements as integers, exactly; nil for floating-point types.
func integers(_ dtype: muster_type, _ bytes: [UInt8]) -> [Int128]? {
    func all<T: FixedWidthInteger>(_: T.Type) -> [Int128] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / MemoryLayout<T>.size).map {
                Int128(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
            }
        }
    }
    switch dtype {
    case MUSTER_TYPE_I8: return all(Int8.self)
    case MUSTER_TYPE_I16: return all(Int16.self)
    case MUSTER_TYPE_I32: return all(Int32.self)
    case MUSTER_TYPE_I64: return all(Int64.self)
    case MUSTER_TYPE_U8: return all(UInt8.self)
    case MUSTER_TYPE_U16: return all(UInt16.self)
    case MUSTER_TYPE_U32: return all(UInt32.self)
    case MUSTER_TYPE_U64: return all(UInt64.self)
    case MUSTER_TYPE_BOOL: return all(UInt8.self).map { $0 == 0 ? 0 : 1 }
    default: return nil
    }
}

func doubles(_ dtype: muster_type, _ bytes: [UInt8]) -> [Double] {
    func all<T: BinaryFloatingPoint>(_: T.Type) -> [Double] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / MemoryLayout<T>.size).map {
                Double(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
            }
        }
    }
    switch dtype {
    case MUSTER_TYPE_F16: return all(Float16.self)
    case MUSTER_TYPE_F32: return all(Float.self)
    case MUSTER_TYPE_F64: return all(Double.self)
    // Through Int64 and UInt64, whose conversions are the CPU's own.
    default:
        return integers(dtype, bytes)!.map { $0 < 0 ? Double(Int64($0)) : Double(UInt64($0)) }
    }
}

// MARK: - Naive kernels

func fold(_ values: [Double?]) -> Double {
    var lanes = [Double](repeating: 0, count: 16)
    for (i, value) in values.enumerated() {
        if let value { lanes[i % 16] += value }
    }
    for half in [8, 4, 2, 1] {
        for l in 0..<half { lanes[l] += lanes[l + half] }
    }
    return lanes[0].isNaN ? .nan : lanes[0]
}

func extremes(_ values: [Double]) -> (Double, Double) {
    // Total order has -0.0 below +0.0.
    let numbers = values.filter { !$0.isNaN }.sorted { $0.isTotallyOrdered(belowOrEqualTo: $1) }
    return (numbers.first ?? .infinity, numbers.last ?? -.infinity)
}

/// Counts, extremes, and the exact sum by adding one element after another.
func naiveMoments(_ dtype: muster_type, _ bytes: [UInt8]) -> muster_moments {
    let all = doubles(dtype, bytes)
    let whole = integers(dtype, bytes)
    let finite = all.filter(\.isFinite)
    var m = muster_moments()
    m.count = UInt64(all.count)
    m.nan_count = UInt64(all.count(where: \.isNaN))
    m.infinity_count = UInt64(all.count(where: \.isInfinite))
    (m.minimum, m.maximum) = extremes(finite)
    if dtype == MUSTER_TYPE_I64 || dtype == MUSTER_TYPE_U64, let least = whole?.min(),
        let most = whole?.max()
    {
        m.is_signed = dtype == MUSTER_TYPE_I64 ? 1 : 0
        m.integer_minimum = UInt64(truncatingIfNeeded: least)
        m.integer_maximum = UInt64(truncatingIfNeeded: most)
    }
    var sum = muster_exact_sum()
    for (place, x) in finite.enumerated() {
        guard let whole else { muster_exact_add(&sum, x); continue }
        // In two halves: an integer of 8 bytes is no double.
        muster_exact_add(&sum, Double(whole[place] >> 32) * 0x1p32)
        muster_exact_add(&sum, Double(whole[place] & 0xffff_ffff))
    }
    m.sum = sum.words
    return m
}

func naiveHistogram(_ values: [Double], _ edges: [Double]) -> [UInt64] {
    var counts = [UInt64](repeating: 0, count: edges.count - 1)
    for x in values where x.isFinite {
        for b in counts.indices where edges[b] <= x {
            if x < edges[b + 1] || (b == counts.count - 1 && x == edges[b + 1]) { counts[b] += 1 }
        }
    }
    return counts
}

// MARK: - Calls

/// Runs `body` on a copy of `bytes` that starts `offset` bytes past a multiple of 64.
func withBytes<R>(_ bytes: [UInt8], offset: Int, _ body: (UnsafeRawPointer) -> R) -> R {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + 64, alignment: 64)
    defer { room.deallocate() }
    let start = room.baseAddress! + offset
    bytes.withUnsafeBytes {
        if let from = $0.baseAddress { start.copyMemory(from: from, byteCount: $0.count) }
    }
    return body(start)
}

extension muster_kernels {
    func moments(_ dtype: muster_type, _ bytes: [UInt8], offset: Int = 0) -> muster_moments {
        withBytes(bytes, offset: offset) {
            var result = muster_moments()
            moments(dtype, $0, bytes.count / Int(muster_type_bytes(dtype.rawValue)), &result)
            return result
        }
    }

    func histogram(_ dtype: muster_type, _ bytes: [UInt8], _ edges: [Double], offset: Int = 0)
        -> [UInt64]
    {
        withBytes(bytes, offset: offset) {
            var counts = [UInt64](repeating: 0, count: edges.count - 1)
            let count = bytes.count / Int(muster_type_bytes(dtype.rawValue))
            histogram(dtype, $0, count, edges, counts.count, &counts)
            return counts
        }
    }
}

func raw(_ values: [Double]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

func bits(_ values: [Double]) -> [UInt64] { values.map(\.bitPattern) }

/// Bits, with all NaNs the same: two meeting NaNs may give either payload.
func tamed(_ values: [Double]) -> [UInt64] { bits(values.map { $0.isNaN ? .nan : $0 }) }

/// All words of a struct. Padding there is none.
func bits<Words: BitwiseCopyable>(of words: Words) -> [UInt64] {
    withUnsafeBytes(of: words) { Array($0.bindMemory(to: UInt64.self)) }
}

/// Everything but the squares, whose last bits are not exact.
func exactBits(_ m: muster_moments) -> [UInt64] {
    var m = m
    m.squares = muster_moments().squares
    return bits(of: m)
}

func exact(_ m: muster_moments) -> Int128 {
    var high: Int64 = 0
    var low: UInt64 = 0
    muster_moments_integer_sum([m], &high, &low)
    return Int128(high) << 64 | Int128(low)
}

func combined(_ left: muster_moments, _ right: muster_moments) -> muster_moments {
    var both = left
    muster_moments_combine(&both, [right])
    return both
}

extension muster_kernels {
    func exactSum(_ values: [Double]) -> muster_exact_sum {
        var sum = muster_exact_sum()
        exact_sum(values, values.count, &sum)
        return sum
    }
}
