// Statistics.swift - what a numeric array amounts to: moments, extremes, histogram.
//
// Each chunk leaves its moments (or its counts) behind as a partial result. Sums are exact and rounded at
// the end, so the bits depend on nothing but the elements.

internal import CMuster
internal import Glibc

/// Count, sum, mean, deviation and extremes of the finite elements of an array.
public struct Statistics: Sendable {
    /// Elements, NaN and infinities included.
    public let count: Int
    /// Elements that are not a number.
    public let nanCount: Int
    /// Infinite elements, of either sign.
    public let infinityCount: Int
    /// Sum of the finite elements: the exact sum, rounded once. An infinity where it is beyond the largest
    /// double.
    public let sum: Double
    /// Mean of the finite elements: their exact sum over their number, rounded once; nil when there are
    /// none.
    public let mean: Double?
    /// Standard deviation of the finite elements as a population (divided by their number), within 4 units
    /// in the last place; nil when there are none.
    public let standardDeviation: Double?
    /// Least finite element; nil when there are none. An integer of 8 bytes is rounded to a double.
    public let minimum: Double?
    /// Greatest finite element; nil when there are none. An integer of 8 bytes is rounded to a double.
    public let maximum: Double?
    /// What is exact of integers and bools; nil for floating-point types.
    public let integers: Integers?

    /// Sum and extremes of integers, exactly.
    public struct Integers: Sendable, Equatable {
        /// Sum of all elements.
        public let sum: Int128
        /// Least element; nil when there are none.
        public let minimum: Int128?
        /// Greatest element; nil when there are none.
        public let maximum: Int128?
    }

    /// Elements that are neither NaN nor infinite.
    public var finiteCount: Int { count - nanCount - infinityCount }

    init(_ moments: muster_moments, dtype: UInt32) {
        count = Int(moments.count)
        nanCount = Int(moments.nan_count)
        infinityCount = Int(moments.infinity_count)
        let isEmpty = moments.count == moments.nan_count + moments.infinity_count
        minimum = isEmpty ? nil : moments.minimum
        maximum = isEmpty ? nil : moments.maximum
        (sum, mean, standardDeviation, integers) = withUnsafePointer(to: moments) {
            (
                muster_moments_sum($0), isEmpty ? nil : muster_moments_mean($0),
                isEmpty ? nil : muster_moments_deviation($0),
                dtype < MUSTER_I1.rawValue ? nil : Integers($0, isEmpty: isEmpty, dtype: dtype)
            )
        }
    }
}

extension Statistics.Integers {
    fileprivate init(_ moments: UnsafePointer<muster_moments>, isEmpty: Bool, dtype: UInt32) {
        var high: Int64 = 0
        var low: UInt64 = 0
        muster_moments_integer_sum(moments, &high, &low)
        sum = Int128(high) << 64 | Int128(low)
        func exact(_ bits: UInt64, _ value: Double) -> Int128? {
            switch dtype {
            case _ where isEmpty: nil
            case MUSTER_I8.rawValue: Int128(Int64(bitPattern: bits))
            case MUSTER_U8.rawValue: Int128(bits)
            default: Int128(value)  // 4 bytes at most: a double holds each
            }
        }
        minimum = exact(moments.pointee.integer_minimum, moments.pointee.minimum)
        maximum = exact(moments.pointee.integer_maximum, moments.pointee.maximum)
    }
}

/// How many elements lie between which edges.
public struct Histogram: Sendable {
    /// Rising edges, one more than bins: bin b is edges[b] ..< edges[b + 1], the last one closed.
    public let edges: [Double]
    /// Elements in each bin.
    public let counts: [Int]

    /// Edges of equal bins from `minimum` to `maximum`, the same doubles as NumPy's `histogram` makes
    /// (`linspace`); half a unit to each side when the two are equal.
    public static func edges(minimum: Double, maximum: Double, bins: Int) -> [Double] {
        precondition(bins >= 1 && minimum <= maximum)
        let first = minimum == maximum ? minimum - 0.5 : minimum
        let last = minimum == maximum ? maximum + 0.5 : maximum
        let delta = last - first
        guard delta.isFinite else {
            // Ends of both signs whose distance overflows, where NumPy gives up.
            return (0...bins).map { index in
                let part = Double(index) / Double(bins)
                return index == bins ? last : first * (1 - part) + last * part
            }
        }
        let step = delta / Double(bins)
        var edges = (0...bins).map { index in
            // As linspace: where the step underflows, divide last. A subnormal step has lost digits, and
            // its multiples could go beyond the last edge.
            step < .leastNormalMagnitude
                ? Double(index) / Double(bins) * delta + first : Double(index) * step + first
        }
        edges[bins] = last
        return edges
    }

    /// Edges for what statistics have found: of integers, bins of one whole width, so that each covers
    /// as many integers as any other; otherwise as ``edges(minimum:maximum:bins:)``. nil: there is no
    /// finite element.
    ///
    /// - Parameters:
    ///   - statistics: Of the elements.
    ///   - bins: The most bins; integers may have fewer.
    public static func edges(of statistics: Statistics, bins: Int) -> [Double]? {
        guard let minimum = statistics.minimum, let maximum = statistics.maximum else { return nil }
        guard let integers = statistics.integers, let low = integers.minimum,
            let high = integers.maximum, max(low.magnitude, high.magnitude) < 1 << 52
        else { return edges(minimum: minimum, maximum: maximum, bins: bins) }
        let span = Int(high - low) + 1
        let width = (span + bins - 1) / bins
        return (0...(span + width - 1) / width).map { Double(Int(low) + $0 * width) }
    }
}

extension Histogram {
    /// Edges of bins whose ratios are equal, from `minimum` to `maximum`. Precondition: 0 < minimum <=
    /// maximum. They rise or stay equal; where the two are equal, all edges are.
    public static func logarithmicEdges(minimum: Double, maximum: Double, bins: Int) -> [Double] {
        precondition(bins >= 1 && minimum > 0 && minimum <= maximum)
        let (first, last) = (log2(minimum), log2(maximum))
        var edges = [minimum]
        for index in 1..<max(1, bins) {
            let part = Double(index) / Double(bins)
            let edge = exp2(first * (1 - part) + last * part)
            edges.append(min(maximum, max(edges[index - 1], edge)))
        }
        return edges + [maximum]
    }
}

extension Team {
    /// Most bins of a histogram.
    public static var maximumBinCount: Int { 65_536 }

    /// Statistics of an array, with the audit of the loop that made them.
    ///
    /// - Parameters:
    ///   - array: Of this team.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    public func statistics<Element: NPYElement>(
        of array: borrowing SharedArray<Element>, schedule: Schedule = .static
    ) throws(MusterError) -> (result: Statistics, report: AuditReport) {
        let (moments, report) = try moments(of: array.numbers, schedule: schedule)
        return (Statistics(moments, dtype: array.numbers.dtype), report)
    }

    /// Statistics of a file's numbers, with the audit of the loop that made them.
    public func statistics(
        of numbers: borrowing NPYNumbers, schedule: Schedule = .static
    ) throws(MusterError) -> (result: Statistics, report: AuditReport) {
        let (moments, report) = try moments(of: numbers.input, schedule: schedule)
        return (Statistics(moments, dtype: numbers.input.dtype), report)
    }

    func moments(
        of numbers: NumberInput, schedule: Schedule
    ) throws(MusterError) -> (muster_moments, AuditReport) {
        let found = try reduce(
            Moments(numbers: numbers), count: numbers.count, schedule: schedule)
        return (found.result, found.report)
    }

    /// Counts an array's elements between edges. NaN, infinities and what lies outside is left out.
    ///
    /// - Parameters:
    ///   - array: Of this team.
    ///   - edges: 2 to 65,537 finite numbers that rise or stay equal.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    /// - Throws: `.invalidArgument` for other edges; else as ``reduce(_:count:grain:schedule:)``.
    public func histogram<Element: NPYElement>(
        of array: borrowing SharedArray<Element>, edges: [Double], schedule: Schedule = .static
    ) throws(MusterError) -> (result: Histogram, report: AuditReport) {
        try histogram(of: array.numbers, edges: edges, schedule: schedule)
    }

    /// Counts a file's numbers between edges, like ``histogram(of:edges:schedule:)-swift.method``.
    public func histogram(
        of numbers: borrowing NPYNumbers, edges: [Double], schedule: Schedule = .static
    ) throws(MusterError) -> (result: Histogram, report: AuditReport) {
        try histogram(of: numbers.input, edges: edges, schedule: schedule)
    }

    func histogram(
        of numbers: NumberInput, edges: [Double], schedule: Schedule
    ) throws(MusterError) -> (result: Histogram, report: AuditReport) {
        guard edges.count >= 2, edges.count - 1 <= Team.maximumBinCount,
            edges.allSatisfy({ $0.isFinite }),
            zip(edges, edges.dropFirst()).allSatisfy({ $0 <= $1 })
        else {
            throw MusterError(
                .invalidArgument, subject: "histogram of \(edges.count) edges",
                reason: "needs 2 to \(Team.maximumBinCount + 1) finite edges that never fall")
        }
        let bins = edges.count - 1
        let shared = try self.array(edges)
        var counts = [Int](repeating: 0, count: bins)
        let report = try core.run(
            Binning(numbers: numbers, edges: shared.input, bins: bins),
            LoopPlan(count: numbers.count, schedule: schedule),
            partialBytes: bins * MemoryLayout<UInt64>.stride
        ) { partials, chunks in
            let all = partials.assumingMemoryBound(to: UInt64.self)
            for index in 0..<chunks * bins { counts[index % bins] += Int(all[index]) }
        }
        return (Histogram(edges: edges, counts: counts), report)
    }
}

extension SharedArray where Element: NPYElement {
    /// For kernels that read its numbers. Of a bool file any byte but 0 counts as 1.
    var numbers: NumberInput {
        let stride = MemoryLayout<Element>.stride
        return NumberInput(
            bytes: SharedArray<UInt8>.Input(
                handle: _ArrayHandle(
                    team: handle.team, offset: handle.offset, count: count * stride,
                    id: handle.id, generation: handle.generation)),
            count: count, stride: stride, dtype: (fileDType ?? Element.dtype).code,
            isSwapped: false)
    }
}

extension DType {
    /// As the C core numbers it.
    var code: UInt32 {
        switch self {
        case .f2: MUSTER_F2.rawValue
        case .f4: MUSTER_F4.rawValue
        case .f8: MUSTER_F8.rawValue
        case .i1: MUSTER_I1.rawValue
        case .i2: MUSTER_I2.rawValue
        case .i4: MUSTER_I4.rawValue
        case .i8: MUSTER_I8.rawValue
        case .u1: MUSTER_U1.rawValue
        case .u2: MUSTER_U2.rawValue
        case .u4: MUSTER_U4.rawValue
        case .u8: MUSTER_U8.rawValue
        case .bool: MUSTER_BOOL.rawValue
        }
    }
}

// Neither this nor Binning is private: a worker finds a generic type that it was forked before by name.
// A private one has no such name, and all ranks would be started anew.
struct Moments: Reduction {
    let numbers: NumberInput

    var identity: muster_moments { muster_moments() }

    func process(_ chunk: borrowing Chunk) throws -> muster_moments {
        var moments = muster_moments()
        numbers.withElements(of: chunk) { start, count in
            muster_kernels_best().pointee.moments(
                muster_dtype(numbers.dtype), start, count, &moments)
        }
        return moments
    }

    func combine(_ left: muster_moments, _ right: muster_moments) -> muster_moments {
        var both = left
        withUnsafePointer(to: right) { muster_moments_combine(&both, $0) }
        return both
    }
}

/// Leaves `bins` counts a chunk.
struct Binning: _Work {
    let numbers: NumberInput
    let edges: SharedArray<Double>.Input
    let bins: Int

    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws {
        var raw = muster_chunk()
        let partials = UnsafeMutableRawPointer(loop.pointee.partials!)
        var hot = HotLoop(loop)
        while hot.next(&raw) {
            let chunk = Chunk(_loop: loop, raw: raw)
            let counts = (partials + Int(raw.index) * Int(loop.pointee.partial_bytes))
                .assumingMemoryBound(to: UInt64.self)
            counts.update(repeating: 0, count: bins)
            let edgeSpan = edges.span(0..<bins + 1, in: chunk)
            numbers.withElements(of: chunk) { start, count in
                edgeSpan.withUnsafeBufferPointer { edges in
                    muster_kernels_best().pointee.histogram(
                        muster_dtype(numbers.dtype), start, count, edges.baseAddress, bins, counts)
                }
            }
            hot.commit(raw.index)
        }
    }
}
