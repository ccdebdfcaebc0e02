// Histogram.swift - how many numbers lie between which edges.
//
// Each chunk leaves its counts behind as a partial result.

internal import MusterCore
internal import Glibc

/// How many elements lie between which edges.
public struct Histogram: Sendable {
    /// Rising edges, one more than bins: bin b is edges[b] ..< edges[b + 1], the last one closed.
    public let edges: [Double]
    /// Elements in each bin.
    public let counts: [Int]

    /// The counts of two data sets between the same edges as those of one. Precondition: the edges are
    /// equal.
    public static func + (left: Histogram, right: Histogram) -> Histogram {
        guard left.edges == right.edges else { misuse("histograms between different edges") }
        return Histogram(edges: left.edges, counts: zip(left.counts, right.counts).map { $0 + $1 })
    }

    /// Edges of equal bins from `minimum` to `maximum`, the same doubles as NumPy's `histogram` makes
    /// (`linspace`); half a unit to each side when the two are equal.
    public static func edges(minimum: Double, maximum: Double, bins: Int) -> [Double] {
        guard bins >= 1 && minimum <= maximum else {
            misuse("\(bins) bins from \(minimum) to \(maximum): at least 1, in rising order")
        }
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

    /// Edges for what statistics have found. nil: there is no finite element.
    ///
    /// Bins of integers have one whole width, so that each covers as many integers as any other; the last
    /// one may reach beyond the maximum, and then covers fewer that can be there. Of integers from 2^52 on,
    /// whose edges doubles don't all hold, and of floating-point types, edges are those of
    /// ``edges(minimum:maximum:bins:)``.
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
        guard bins >= 1 && minimum > 0 && minimum <= maximum else {
            misuse("\(bins) bins from \(minimum) to \(maximum): at least 1, from above 0, rising")
        }
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

    /// Counts an array's elements between edges. NaN, infinities and what lies outside is left out.
    ///
    /// - Parameters:
    ///   - array: Of this team.
    ///   - edges: 2 to 65,537 finite numbers that rise or stay equal.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    /// - Throws: `.invalidArgument` for other edges; otherwise as
    ///   ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func histogram<Element: NPYElement>(
        of array: borrowing SharedArray<Element>, edges: [Double], schedule: Schedule = .static
    ) throws(MusterError) -> (result: Histogram, report: AuditReport) {
        try histogram(of: array.numbers, edges: edges, schedule: schedule)
    }

    /// Counts a file's numbers between edges, as of an array.
    ///
    /// - Throws: `.invalidArgument` for other edges; otherwise as
    ///   ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
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
            Binning(numbers: numbers, edges: shared.gather, bins: bins),
            LoopPlan(count: numbers.count, schedule: schedule),
            partialBytes: bins * MemoryLayout<UInt64>.stride
        ) { partials, chunks in
            let all = partials.assumingMemoryBound(to: UInt64.self)
            for index in 0..<chunks * bins { counts[index % bins] += Int(all[index]) }
        }
        return (Histogram(edges: edges, counts: counts), report)
    }
}

/// Leaves `bins` counts a chunk.
struct Binning: _Work {
    let numbers: NumberInput
    let edges: SharedArray<Double>.Gather
    let bins: Int

    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws {
        var raw = muster_chunk()
        let partials = UnsafeMutableRawPointer(loop.pointee.cursor.partials!)
        var hot = HotLoop(loop)
        while hot.next(&raw) {
            let chunk = Chunk(_loop: loop, raw: raw)
            let counts = (partials + Int(raw.index) * Int(loop.pointee.cursor.partial_bytes))
                .assumingMemoryBound(to: UInt64.self)
            counts.update(repeating: 0, count: bins)
            let edgeSpan = edges.span(in: chunk)
            numbers.withElements(of: chunk) { start, count in
                edgeSpan.withUnsafeBufferPointer { edges in
                    muster_kernels_best().pointee.histogram(
                        muster_type(numbers.dtype), start, count, edges.baseAddress, bins, counts)
                }
            }
            hot.commit(raw.index)
        }
    }
}
