/// The kernels against naive loops that follow bulk.h to the letter: results are compared bit by
/// bit, never with a tolerance.

import MusterCore
import Glibc
import TestSupport
import Testing

// MARK: - Selection

@Suite struct KernelSelectionTests {
    @Test func bestIsTheHighestVariantThatRuns() {
        let best = muster_kernels_best().pointee
        #expect(best.variant == variants.last!.rawValue)
        for which in variants { #expect(variant(which)!.variant == which.rawValue) }
        #expect(muster_kernels_variant(MUSTER_KERNEL_VARIANTS) == nil)
        #expect(muster_kernels_variant(muster_kernel_variant(rawValue: 77)) == nil)
    }

    @Test func costsAreKnownByName() {
        #expect(muster_kernel_cost("triad").pointee.bytes_per_element == 24)
        #expect(muster_kernel_cost("triad").pointee.flops_per_element == 2)
        #expect(muster_kernel_cost("copy").pointee.bytes_per_element == 16)
        #expect(muster_kernel_cost("sum").pointee.bytes_per_element == 8)
        for name in ["", "Triad", "triads", "tri"] { #expect(muster_kernel_cost(name) == nil) }
    }

    @Test func dtypeSizes() {
        #expect(
            dtypes.map { muster_type_bytes($0.rawValue) } == [2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1])
        for unknown in [0, 13, .max] as [UInt32] {
            #expect(muster_type_bytes(unknown) == 0)
        }
    }

    @Test func anUnknownDtypeIsAnAssertion() async {
        await #expect(processExitsWith: .failure) {
            var result = muster_moments()
            muster_kernels_best().pointee.moments(muster_type(rawValue: 0), [0], 1, &result)
        }
        await #expect(processExitsWith: .failure) {
            var count: UInt64 = 0
            muster_kernels_best().pointee.histogram(
                muster_type(rawValue: 13), [0], 1, [0, 1], 1, &count)
        }
    }
}

// MARK: - Streams and reductions

@Suite struct KernelStreamTests {
    @Test(arguments: variants, [false, true])
    func elementwiseKernelsWriteTheirRangeOnly(_ which: muster_kernel_variant, streaming: Bool) {
        let kernels = variant(which)!
        let seed: UInt64 = 11
        var random = Seeded(seed)
        for count in lengths {
            let a = numbers(count, wild: true, &random), b = numbers(count, wild: true, &random)
            let factor = Double.random(in: -3...3, using: &random)
            let start = 8 + Int(random.next() % 8)
            func check(
                _ name: String, _ expected: (Int) -> Double,
                _ call: (UnsafeMutablePointer<Double>) -> Void
            ) {
                // Guards on both sides of the range, whose alignment to a line is any.
                var to = [Double](repeating: 7, count: count + 24)
                to.withUnsafeMutableBufferPointer { call($0.baseAddress! + start) }
                let wanted = to.indices.map {
                    (start..<start + count).contains($0) ? expected($0 - start) : 7
                }
                #expect(
                    tamed(to) == tamed(wanted),
                    "\(name), \(count) elements, start \(start), seed \(seed)")
            }
            check("fill", { _ in factor }) { kernels.fill($0, factor, count, streaming) }
            check("copy", { a[$0] }) { kernels.copy($0, a, count, streaming) }
            check("scale", { factor * a[$0] }) { kernels.scale($0, factor, a, count, streaming) }
            check("add", { a[$0] + b[$0] }) { kernels.add($0, a, b, count, streaming) }
            check("triad", { a[$0] + factor * b[$0] }) {
                kernels.triad($0, a, factor, b, count, streaming)
            }
        }
    }

    @Test(arguments: variants)
    func reductionsFollowTheLanes(_ which: muster_kernel_variant) {
        let kernels = variant(which)!
        let seed: UInt64 = 12
        var random = Seeded(seed)
        for count in lengths {
            for wild in [false, true] {
                let a = numbers(count, wild: wild, &random), b = numbers(count, wild: wild, &random)
                let comment: Comment = "\(count) elements, wild \(wild), seed \(seed)"
                #expect(bits([kernels.sum(a, count)]) == bits([fold(a)]), comment)
                #expect(bits([kernels.dot(a, b, count)]) == bits([fold(zip(a, b).map(*))]), comment)
                var low = 0.0, high = 0.0
                kernels.minmax(a, count, &low, &high)
                #expect(bits([low, high]) == bits([extremes(a).0, extremes(a).1]), comment)
            }
        }
    }

    @Test(arguments: variants)
    func negativeZeroIsLessThanZeroWhereverItStands(_ which: muster_kernel_variant) {
        for place in [0, 1, 31, 32, 40] {
            for (many, one) in [(0.0, -0.0), (-0.0, 0.0)] {
                var values = [Double](repeating: many, count: 41)
                values[place] = one
                var low = 1.0, high = 1.0
                variant(which)!.minmax(values, 41, &low, &high)
                let moments = variant(which)!.moments(MUSTER_TYPE_F64, raw(values))
                #expect(bits([low, high]) == bits([-0.0, 0.0]), "place \(place)")
                #expect(bits([moments.minimum, moments.maximum]) == bits([-0.0, 0.0]))
            }
        }
    }
}

// MARK: - Moments

private struct KnownDeviation {
    let values: [Double]
    let mean: Double
    let deviation: Double
    init(_ values: [Double], _ mean: Double, _ deviation: Double) {
        (self.values, self.mean, self.deviation) = (values, mean, deviation)
    }
}

@Suite struct KernelMomentsTests {
    @Test(arguments: variants, dtypes)
    func countsExtremesAndSumsAreExact(_ which: muster_kernel_variant, _ dtype: muster_type) {
        let seed = 100 + UInt64(dtype.rawValue)
        var random = Seeded(seed)
        for count in lengths {
            for wild in [false, true] {
                let run = bytes(of: dtype, count, wild: wild, &random)
                let offset = Int(random.next() % 64)
                #expect(
                    exactBits(variant(which)!.moments(dtype, run, offset: offset))
                        == exactBits(naiveMoments(dtype, run)),
                    "\(count) elements, wild \(wild), offset \(offset), seed \(seed)")
            }
        }
    }

    @Test(arguments: variants) func everyHalfIsConverted(_ which: muster_kernel_variant) {
        for half in UInt16.min...UInt16.max {
            let value = Double(Float16(bitPattern: half))
            let m = variant(which)!.moments(
                MUSTER_TYPE_F16, [UInt8(half & 0xff), UInt8(half >> 8)])
            let wanted = value.isFinite ? [value, 0, 0] : [.infinity, value.isNaN ? 1 : 0, 1]
            let got = [m.minimum, Double(m.nan_count), Double(m.nan_count + m.infinity_count)]
            guard bits(got) == bits(wanted) else {
                Issue.record("half \(half) became \(got), not \(wanted)")
                return
            }
        }
    }

    @Test(arguments: variants) func integerSumsAreExact(_ which: muster_kernel_variant) {
        let most = [UInt8](repeating: 0xff, count: 5000 * 8)
        let unsigned = variant(which)!.moments(MUSTER_TYPE_U64, most)
        #expect(exact(unsigned) == 5000 * Int128(UInt64.max))
        #expect(muster_moments_sum([unsigned]) == 5000 * 0x1p64)
        #expect(muster_moments_mean([unsigned]) == 0x1p64)
        #expect(muster_moments_deviation([unsigned]) == 0)
        let least = [Int64](repeating: .min, count: 5000).withUnsafeBytes { Array($0) }
        #expect(exact(variant(which)!.moments(MUSTER_TYPE_I64, least)) == 5000 * Int128(Int64.min))
        // 2^53 + 1 is no double: rounding each element, or the running sum, would lose the ones.
        let ones = [Int64](repeating: (1 << 53) + 1, count: 3).withUnsafeBytes { Array($0) }
        #expect(
            muster_moments_sum([variant(which)!.moments(MUSTER_TYPE_I64, ones)]) == 0x1.8p54 + 4)
    }

    @Test(arguments: variants, integerTypes)
    func integerSumsDontDependOnTheCut(_ which: muster_kernel_variant, _ dtype: muster_type) {
        let seed = 200 + UInt64(dtype.rawValue), size = Int(muster_type_bytes(dtype.rawValue))
        var random = Seeded(seed)
        let run = bytes(of: dtype, 4999, wild: true, &random)
        let whole = variant(which)!.moments(dtype, run)
        #expect(exact(whole) == integers(dtype, run)!.reduce(0, +))
        for cut in [1, 2048, 3001] {
            let left = variant(which)!.moments(dtype, Array(run[..<(cut * size)]))
            let right = variant(which)!.moments(dtype, Array(run[(cut * size)...]))
            #expect(
                exactBits(combined(left, right)) == exactBits(whole), "cut \(cut), seed \(seed)")
            #expect(
                exactBits(combined(right, left)) == exactBits(whole), "cut \(cut), seed \(seed)")
        }
    }

    @Test func combineKeepsTheSideThatHasNumbers() {
        let best = muster_kernels_best().pointee
        let numbers = best.moments(MUSTER_TYPE_F64, raw([-3, -1, .nan]))
        let lost = best.moments(MUSTER_TYPE_F64, raw([.nan, .infinity, -.infinity]))
        let nothing = muster_moments()
        #expect(bits(of: combined(nothing, numbers)) == bits(of: numbers))
        #expect(bits(of: combined(numbers, nothing)) == bits(of: numbers))
        for both in [combined(numbers, lost), combined(lost, numbers)] {
            #expect([both.count, both.nan_count, both.infinity_count] == [6, 2, 2])
            #expect([muster_moments_sum([both]), muster_moments_mean([both])] == [-4, -2])
            #expect([both.minimum, both.maximum] == [-3, -1])
            #expect(muster_moments_deviation([both]) == 1)
        }
        for empty in [combined(nothing, nothing), best.moments(MUSTER_TYPE_F64, [])] {
            #expect(empty.count == 0 && empty.minimum == .infinity && empty.maximum == -.infinity)
            #expect(muster_moments_sum([empty]) == 0 && muster_moments_mean([empty]).isNaN)
            #expect(muster_moments_deviation([empty]).isNaN)
        }
    }

    /// Deviations that are known, where squares overflow, underflow, or are lost beside the mean.
    @Test(arguments: variants) func deviationsAreRightForAnyNumbers(_ which: muster_kernel_variant)
    {
        let tiny = Double.leastNonzeroMagnitude
        let table: [KnownDeviation] = [
            KnownDeviation([1e-200, -1e-200], 0, 1e-200),
            KnownDeviation([1.7e308, 1.7e308, -1.7e308, -1.7e308], 0, 1.7e308),
            KnownDeviation([0, 2 * tiny], tiny, tiny),
            KnownDeviation([1e15, 1e15 + 2], 1e15 + 1, 1),
            KnownDeviation([0x1p1023, -0x1p1023], 0, 0x1p1023),
            KnownDeviation([1.7e308, 1.7e308, 1.7e308], 1.7e308, 0),
            KnownDeviation([0x1p-600, -0x1p-600, 0x1p-600, -0x1p-600], 0, 0x1p-600),
        ]
        for known in table {
            let (values, mean, deviation) = (known.values, known.mean, known.deviation)
            // Several blocks of them, and runs that no vector divides.
            for copies in [1, 7, 1024, 3001] {
                let many = raw(Array(repeatElement(values, count: copies).joined()))
                let m = variant(which)!.moments(MUSTER_TYPE_F64, many)
                #expect(muster_moments_mean([m]) == mean, "\(values)")
                #expect(muster_moments_deviation([m]) == deviation, "\(values), \(copies) copies")
            }
        }
        let tenths = variant(which)!.moments(
            MUSTER_TYPE_F64, raw(Array(repeating: 0.1, count: 100_003)))
        #expect(muster_moments_mean([tenths]) == 0.1 && muster_moments_deviation([tenths]) == 0)
        let seventeen = [Int64](repeating: 12_345_678_901_234_567, count: 500)
        let equal = variant(which)!.moments(
            MUSTER_TYPE_I64, seventeen.withUnsafeBytes { Array($0) })
        #expect(muster_moments_deviation([equal]) == 0)
        let ends = [Int64.min, .max].withUnsafeBytes { Array($0) }
        #expect(
            muster_moments_deviation([variant(which)!.moments(MUSTER_TYPE_I64, ends)]) == 0x1p63)
    }
}

// MARK: - Exact sums

private struct KnownSum {
    let values: [Double]
    let sum: Double
    init(_ values: [Double], _ sum: Double) { (self.values, self.sum) = (values, sum) }
}

@Suite struct ExactSumTests {
    private func rounded(_ values: [Double]) -> Double {
        var sum = muster_exact_sum()
        for value in values { muster_exact_add(&sum, value) }
        return muster_exact_round(&sum)
    }

    /// As math.fsum gives them.
    @Test func sumsAreRoundedOnce() {
        let most = Double.greatestFiniteMagnitude, tiny = Double.leastNonzeroMagnitude
        let table: [KnownSum] = [
            KnownSum([], 0), KnownSum([-0.0], 0), KnownSum([1e308, 1e308, -1e308], 1e308),
            KnownSum([1, 1e100, 1, -1e100], 2), KnownSum([1, 0x1p-53], 1),
            KnownSum([1, 0x1p-53, tiny], 1.nextUp), KnownSum([1.nextUp, 0x1p-53], 1.nextUp.nextUp),
            KnownSum([-1, -0x1p-53, -tiny], -(1.nextUp)),
            KnownSum([Double](repeating: 0.1, count: 10), 1), KnownSum([tiny, tiny], 2 * tiny),
            KnownSum([tiny, -tiny], 0), KnownSum([0x1p-1022, -tiny], 0x1p-1022 - tiny),
            KnownSum([most, 0x1p969], most), KnownSum([most, 0x1p970], .infinity),
            KnownSum([-most, -most], -.infinity), KnownSum([most, most, -most, -most, 3], 3),
            KnownSum([.infinity, 1], .infinity), KnownSum([-.infinity], -.infinity),
        ]
        for (values, sum) in table.map({ ($0.values, $0.sum) }) {
            #expect(rounded(values).bitPattern == sum.bitPattern, "\(values)")
            #expect(rounded(values.reversed()).bitPattern == sum.bitPattern, "\(values)")
        }
        #expect(rounded([.infinity, -.infinity]).isNaN && rounded([.nan, 1]).isNaN)
    }

    /// By the kernels as element by element, for numbers near each other, far apart, and beside zeros.
    @Test(arguments: variants) func kernelsAddAsOneByOne(_ which: muster_kernel_variant) {
        let seed = chosenSeed()
        print("seed \(seed) (MUSTER_SEED)")
        var random = Seeded(UInt64(seed))
        for round in 0..<60 {
            let count = [0, 1, 9, 8191, 8192, 8193, 20_000].randomElement(using: &random)!
            let spread = [0, 3, 40, 300, 900][round % 5]
            var values: [Double] = []
            for _ in 0..<count {
                let exponent = spread == 0 ? 0 : Int.random(in: -spread...spread, using: &random)
                let number = scalbn(Double.random(in: -2...2, using: &random), exponent)
                let isZero = round % 3 == 1 && random.next() % 4 == 0
                let isNone = round % 7 == 6 && random.next() % 999 == 0
                values.append(
                    isNone ? (random.next() % 2 == 0 ? .nan : .infinity) : isZero ? 0 : number)
            }
            var sum = muster_exact_sum()
            for value in values { muster_exact_add(&sum, value) }
            #expect(
                bits(of: variant(which)!.exactSum(values)) == bits(of: sum),
                "\(count) elements, spread \(spread), seed \(seed)")
            // In two halves, added the other way round.
            var other = variant(which)!.exactSum(Array(values[(count / 3)...]))
            var first = variant(which)!.exactSum(Array(values[..<(count / 3)]))
            muster_exact_combine(&other, &first)
            #expect(bits(of: other) == bits(of: sum), "seed \(seed)")
        }
    }
}

// MARK: - Histogram

@Suite struct KernelHistogramTests {
    @Test(arguments: variants, dtypes)
    func countsAreDefinedByTheEdges(_ which: muster_kernel_variant, _ dtype: muster_type) {
        let seed = 300 + UInt64(dtype.rawValue)
        var random = Seeded(seed)
        for count in [0, 1, 15, 16, 63, 200, 2049] {
            let run = bytes(of: dtype, count, wild: count % 2 == 0, &random)
            let values = doubles(dtype, run), finite = values.filter(\.isFinite)
            let (low, high) = finite.isEmpty ? (0, 1) : extremes(finite)
            for bins in [1, 2, 7, 64] {
                let even = (0...bins).map {
                    low * (1 - Double($0) / Double(bins)) + high * (Double($0) / Double(bins))
                }.sorted()
                // Elements on edges, edges that repeat, bins without any width.
                let drawn = (0...bins).map { _ in
                    finite.randomElement(using: &random) ?? 0
                }.sorted()
                for edges in [even, drawn] {
                    #expect(
                        variant(which)!.histogram(dtype, run, edges, offset: count % 9)
                            == naiveHistogram(values, edges),
                        "\(count) elements, \(bins) bins, seed \(seed)")
                }
            }
        }
    }

    @Test(arguments: variants) func unusualEdges(_ which: muster_kernel_variant) {
        let most = Double.greatestFiniteMagnitude, tiny = Double.leastNonzeroMagnitude
        let values: [Double] = [
            -most, -1e308, -1, -tiny, -0.0, 0, tiny, 2 * tiny, 0.1, 0.2, 0.3, 0.1 + 0.2,
            1.nextDown, 1, 1.nextUp, 2, 3, 1e308, most, .nan, .infinity, -.infinity,
        ]
        for edges: [Double] in [
            [-most, 0, most], [-most, -1e308, 1e308, most],
            [0, tiny, 2 * tiny, 3 * tiny], [0, tiny], [1, 1], [1, 1, 1], [0, 1, 1, 2], [0, 0, 1],
            [0, 0.1, 0.2, 0.3], [-1, 0, 1, 2, 3], [0, 1e-300, 1, 1e300], [-0.0, 0.0, 1],
            [-2, -1.5],
            [1, 1.nextUp, 1.nextUp.nextUp],
        ] {
            // Many copies too: with more elements than bins the even edges are recognised.
            for copies in [1, 40] {
                let many = Array(repeatElement(values, count: copies).joined())
                #expect(
                    variant(which)!.histogram(MUSTER_TYPE_F64, raw(many), edges)
                        == naiveHistogram(many, edges), "edges \(edges)")
            }
        }
    }

    /// 0, 0.1, 0.2, ... as NumPy's linspace has them: the estimated bin is often one off.
    @Test(arguments: variants) func elementsOnEvenEdges(_ which: muster_kernel_variant) {
        for bins in [3, 10, 49, 1000] {
            let edges = (0...bins).map { Double($0) * (1 / Double(bins)) }
            let values = edges + edges.map(\.nextDown) + edges.map(\.nextUp)
            #expect(
                variant(which)!.histogram(MUSTER_TYPE_F64, raw(values), edges)
                    == naiveHistogram(values, edges), "\(bins) bins")
        }
    }

    @Test func countsAreAddedTo() {
        var counts: [UInt64] = [5, 6]
        muster_kernels_best().pointee.histogram(
            MUSTER_TYPE_U8, [0, 1, 2, 9] as [UInt8], 4, [0, 1, 2], 2, &counts)
        #expect(counts == [6, 8])
        muster_kernels_best().pointee.histogram(MUSTER_TYPE_U8, [0] as [UInt8], 1, [0], 0, &counts)
        #expect(counts == [6, 8])
    }
}

// MARK: - Variants

@Suite struct KernelVariantTests {
    @Test(.enabled(if: variant(MUSTER_KERNEL_AVX2) != nil, "this CPU or build has no AVX2"))
    func avx2GivesThePortableBits() { compare(MUSTER_KERNEL_AVX2) }

    @Test(.enabled(if: variant(MUSTER_KERNEL_AVX512) != nil, "this CPU or build has no AVX-512"))
    func avx512GivesThePortableBits() { compare(MUSTER_KERNEL_AVX512) }

    /// On runs longer than the naive kernels could do in time, and at every offset.
    private func compare(_ which: muster_kernel_variant) {
        let one = variant(MUSTER_KERNEL_PORTABLE)!, other = variant(which)!
        let seed: UInt64 = 400
        var random = Seeded(seed)
        let edges = (0...100).map { Double($0) * 0.15 - 7.5 }
        for count in lengths + [60_007] {
            for dtype in dtypes {
                let run = bytes(of: dtype, count, wild: random.next() % 2 == 0, &random)
                let offset = Int(random.next() % 64)
                let comment: Comment =
                    "dtype \(dtype.rawValue), \(count) elements, offset \(offset), seed \(seed)"
                #expect(
                    bits(of: one.moments(dtype, run, offset: offset))
                        == bits(of: other.moments(dtype, run, offset: offset)), comment)
                #expect(
                    one.histogram(dtype, run, edges, offset: offset)
                        == other.histogram(dtype, run, edges, offset: offset), comment)
            }
            let a = numbers(count, wild: count % 2 == 0, &random)
            let b = numbers(count, wild: count % 2 == 0, &random)
            var to = [a, a]
            one.triad(&to[0], a, 0.1, b, count, count % 3 == 0)
            other.triad(&to[1], a, 0.1, b, count, count % 3 == 1)
            #expect(tamed(to[0]) == tamed(to[1]), "\(count) elements, seed \(seed)")
            #expect(bits([one.sum(a, count)]) == bits([other.sum(a, count)]), "seed \(seed)")
            #expect(bits(of: one.exactSum(a)) == bits(of: other.exactSum(a)), "seed \(seed)")
            #expect(bits([one.dot(a, b, count)]) == bits([other.dot(a, b, count)]), "seed \(seed)")
        }
    }
}
