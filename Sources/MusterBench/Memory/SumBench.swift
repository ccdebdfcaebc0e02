// SumBench.swift - reading memory: the sum of an array, as a reduction.

public import Muster

/// Times sums over an array of doubles.
public struct SumBench {
    /// Where ranks run.
    public var binding: Binding = .spread
    /// Whether it is read back where the arrays' pages lie.
    public var verifiesPlacement = false
    /// Has its loops recorded; nil: they are not.
    public var tracer: Tracer?
    /// For tests: one element is changed before the sums.
    package var isSpoilt = false
    let ranks: Int
    let elements: Int
    let samples: Int

    /// A team of `ranks`; `samples` sums after the first, at least 1; an array of `arrayBytes`, nil:
    /// four times the last-level caches.
    public init(ranks: Int, arrayBytes: Int? = nil, samples: Int = 10) throws(MusterError) {
        precondition(ranks >= 1 && samples >= 1 && arrayBytes ?? 8 >= 8)
        self.ranks = ranks
        self.samples = samples
        let usual = try Topology.read().uncachedBytes
        elements = (arrayBytes ?? usual) / 8
    }

    /// Measures and checks. `progress` is called between sums with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Measurement {
        let team = try Team(size: ranks, binding: binding)
        var array = try team.array(of: Double.self, count: elements)
        try tracer?.begin(team)
        var total = AuditTotal()
        total.add(try team.run(Count(array: array.output), grain: StreamBench.grain))
        if isSpoilt { array[elements / 2] += 1 }
        // Whole numbers, and all partial sums below 2^53: the one right result, in any order.
        let expected = Double(elements / 7 * 21 + (0..<elements % 7).reduce(0, +))
        var rates: [Double] = []
        for round in 0...samples {
            let started = nanoseconds()
            let (sum, report) = try team.reduce(Bulk.Sum(array.input), grain: StreamBench.grain)
            let elapsed = nanoseconds() - started
            total.add(report)
            guard sum == expected else {
                throw MusterError(
                    .audit, subject: "sum",
                    reason: "is wrong: \(sum) and not \(expected): suspect memory or CPU",
                    report: total.report)
            }
            if round > 0 { rates.append(8 * Double(elements) / elapsed) }
            progress(Double(round + 1) / Double(samples + 1))
        }
        try tracer?.end(team, "sum")
        let placed = try placedFraction(of: array, verifiesPlacement)
        return Measurement(
            rows: [
                Row(
                    test: "sum", kernel: "sum", ranks: ranks, quantity: .rate,
                    samples: Samples(rates),
                    parameters: ["size_bytes": .number(elements * 8)], placedFraction: placed)
            ], audit: total.report)
    }
}

/// Element i is i mod 7.
private struct Count: Kernel {
    let array: SharedArray<Double>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let first = chunk.range.lowerBound
        array.write(chunk) { values in
            for i in values.indices { values[i] = Double((first + i) % 7) }
        }
    }
}
