// TouchBench.swift - how fast memory becomes memory: arrays made, every page touched by its rank.

public import Muster

/// Times the making of arrays: room, pages touched in parallel by the ranks they belong to.
public struct TouchBench {
    /// Where ranks run.
    public var binding: Binding = .spread
    /// Whether it is read back where the arrays' pages lie.
    public var verifiesPlacement = false
    /// For tests: one element is changed before it is checked.
    package var isSpoilt = false
    let ranks: Int
    let elements: Int
    let samples: Int

    /// A team of `ranks`; `samples` arrays of `arrayBytes` (nil: 256 MiB) after the first.
    public init(ranks: Int, arrayBytes: Int? = nil, samples: Int = 10) {
        precondition(ranks >= 1 && samples >= 1 && arrayBytes ?? 8 >= 8)
        self.ranks = ranks
        self.samples = samples
        elements = (arrayBytes ?? 256 << 20) / 8
    }

    /// Measures. `progress` is called between arrays with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Measurement {
        let team = try Team(size: ranks, binding: binding)
        var rows: [Row] = []
        var total = AuditTotal()
        for (name, pages) in [("small pages", Pages.small), ("huge pages", .transparent)] {
            var rates: [Double] = []
            var hasHugePages = false
            var placed: Double?
            for round in 0...samples {
                let started = nanoseconds()
                var array = try team.array(of: Double.self, count: elements, pages: pages)
                let elapsed = nanoseconds() - started
                if round > 0 { rates.append(8 * Double(elements) / elapsed) }
                hasHugePages = array.hugePageBytes > 0
                if isSpoilt { array[elements / 2] = 1 }
                let (sum, report) = try team.reduce(Bulk.Sum(array.input), grain: StreamBench.grain)
                total.add(report)
                guard sum == 0 else {
                    throw MusterError(
                        .audit, subject: "touch",
                        reason: "new memory is wrong: its sum is \(sum) and not 0",
                        report: total.report)
                }
                // The least of all rounds.
                let found = try placedFraction(of: array, verifiesPlacement)
                placed = [placed, found].compactMap { $0 }.min()
                let part = Double(round + 1) / Double(samples + 1)
                progress((Double(rows.count) + part) / 2)
            }
            // What this system has not has no row.
            if pages == .transparent && !hasHugePages { continue }
            rows.append(
                Row(
                    test: "touch/\(name)", kernel: "populate", ranks: ranks, quantity: .rate,
                    samples: Samples(rates),
                    parameters: ["size_bytes": .number(elements * 8)], placedFraction: placed))
        }
        return Measurement(rows: rows, audit: total.report)
    }
}
