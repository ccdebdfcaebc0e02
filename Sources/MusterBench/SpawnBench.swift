// SpawnBench.swift - how long a team takes that is made, runs one job with nothing to do, and ends.

public import Muster

/// Times teams from nothing to nothing: what a program pays that needs one only once.
///
/// Only for a process that may fork: its memory is copied with each rank.
public struct SpawnBench {
    /// Where ranks run.
    public var binding: Binding = .spread
    let sizes: [Int]
    let samples: Int

    /// Teams of each of `sizes`; `samples` of each, at least 1.
    public init(sizes: [Int], samples: Int = 10) {
        precondition(samples >= 1 && !sizes.isEmpty && sizes.allSatisfy { $0 >= 1 })
        self.sizes = sizes
        self.samples = samples
    }

    /// Measures. `progress` is called between teams with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Measurement {
        var rows: [Row] = []
        var total = AuditTotal()
        for (number, size) in sizes.enumerated() {
            var times: [[Double]] = [[], [], [], []]
            for round in 0...samples {
                let now = try once(size, &total)
                if round > 0 { for part in 0..<4 { times[part].append(now[part]) } }
                progress((Double(number) + Double(round) / Double(samples)) / Double(sizes.count))
            }
            for (part, values) in zip(["team", "start", "job", "end"], times) {
                rows.append(
                    Row(
                        test: "spawn/\(part)", kernel: "empty", ranks: size, quantity: .time,
                        samples: Samples(values)))
            }
        }
        return Measurement(rows: rows, audit: total.report)
    }

    /// The whole, and its parts: until `Team` returns, the job, the end.
    private func once(_ size: Int, _ total: inout AuditTotal) throws(MusterError) -> [Double] {
        let begun = nanoseconds()
        let made: Double
        let worked: Double
        do {
            let team = try Team(size: size, binding: binding, start: .fork)
            made = nanoseconds()
            total.add(try team.eachRank(Empty()))
            worked = nanoseconds()
        }
        let ended = nanoseconds()
        return [ended - begun, made - begun, worked - made, ended - worked]
    }
}
