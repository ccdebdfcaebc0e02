/// The one tree that gives a reduction its bits, against a naive one, for joins that no rule of algebra
/// helps: another shape gives another value.

import MusterCore
import TestSupport
import Testing

@testable import Muster

@Suite struct TreeTests {
    /// Neither commutative nor associative.
    private struct Join {
        let seed: UInt64

        func callAsFunction(_ left: UInt64, _ right: UInt64) -> UInt64 {
            let mixed = (left &* 0x9e37_79b9_7f4a_7c15) ^ (right &+ seed)
            return (mixed << 23 | mixed >> 41) &* 0xd6e8_feb8_6659_fd93 &+ left
        }
    }

    /// The largest power of two below the count goes left, the rest right.
    private static func naive(_ values: ArraySlice<UInt64>, _ join: Join) -> UInt64? {
        if values.count < 2 { return values.first }
        var left = 1
        while left * 2 < values.count { left *= 2 }
        let middle = values.startIndex + left
        return join(naive(values[..<middle], join)!, naive(values[middle...], join)!)
    }

    /// By pushing values in order, as members combine. `width`: words a value; the join looks at the last.
    private static func pushed(_ values: [UInt64], _ join: Join, width: Int) -> UInt64? {
        var join = join
        let levels = Int(muster_tree_levels(UInt64(values.count)))
        var stack = [UInt64](repeating: .max, count: levels * width + 1)
        let last = stack.count - 1
        let result: UInt64? = withUnsafeMutablePointer(to: &join) { context in
            stack.withUnsafeMutableBytes { bytes in
                var tree = muster_tree()
                tree.stack = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
                tree.value_bytes = UInt64(width * 8)
                tree.context = UnsafeMutableRawPointer(context)
                // One function for both widths: it finds the last word by the distance of the two.
                tree.combine = { left, right, context in
                    let words = (right! - UnsafeRawPointer(left!)) / 8
                    let join = context!.assumingMemoryBound(to: Join.self).pointee
                    let offset = (words - 1) * 8
                    let joined = join(
                        left!.load(fromByteOffset: offset, as: UInt64.self),
                        right!.load(fromByteOffset: offset, as: UInt64.self))
                    left!.storeBytes(of: joined, toByteOffset: offset, as: UInt64.self)
                }
                for value in values {
                    var words = [UInt64](repeating: 7, count: width)
                    words[width - 1] = value
                    muster_tree_push(&tree, words)
                }
                guard let top = muster_tree_value(&tree) else { return nil }
                return top.load(fromByteOffset: (width - 1) * 8, as: UInt64.self)
            }
        }
        #expect(stack[last] == .max, "nothing was written behind muster_tree_levels values")
        return result
    }

    /// Over values that stay where they are, as teams combine.
    private static func walked(_ values: [UInt64], _ join: Join) -> UInt64? {
        var values = values
        walkTree(values.count) { left, right in
            values[left] = join(values[left], values[right])
        }
        return values.first
    }

    private static func expect(_ count: Int, _ generator: inout Seeded) {
        let join = Join(seed: generator.next())
        let values = (0..<count).map { _ in generator.next() }
        let wanted = naive(values[...], join)
        #expect(pushed(values, join, width: 1) == wanted, "\(count) values pushed")
        #expect(pushed(values, join, width: 3) == wanted, "\(count) values of 24 bytes pushed")
        #expect(walked(values, join) == wanted, "\(count) values walked")
    }

    @Test func eachSmallCount() {
        var generator = Seeded(1)
        for count in 0...140 { Self.expect(count, &generator) }
    }

    @Test func randomCountsAndJoins() {
        let seed = chosenSeed()
        print("tree: seed \(seed) (MUSTER_SEED)")
        var generator = Seeded(UInt64(seed))
        for power in 8...12 {
            for count in [(1 << power) - 1, 1 << power, (1 << power) + 1] {
                Self.expect(count, &generator)
            }
        }
        for _ in 0..<40 { Self.expect(generator.below(5000), &generator) }
    }
}
