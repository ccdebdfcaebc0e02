// DispatchBench.swift - how long a loop takes that has nothing to do: from the leader's call to the
// audit's answer.

public import Muster

/// Times an empty job of one chunk a rank: dispatch, join and audit.
public struct DispatchBench {
    /// A batch is long enough that reading the clock, some 50 ns, and one time slice lost to
    /// another process don't decide its mean.
    static let batchNanoseconds = 20e6
    /// Jobs that are recorded where a trace is wanted: enough for a viewer, and no file of 100 MB.
    private static let tracedJobs = 1000

    /// Where ranks run.
    public var binding: Binding = .spread
    /// Has one more run recorded, after the last sample of each figure; nil: it has not.
    public var tracer: Tracer?
    let ranks: Int
    let samples: Int

    /// Teams of up to `ranks`; `samples` batches each, at least 1.
    public init(ranks: Int, samples: Int = 10) {
        precondition(ranks >= 1 && samples >= 1)
        self.ranks = ranks
        self.samples = samples
    }

    /// Sizes to measure: all of them up to 8, then powers of two and the last.
    static func sizes(upTo ranks: Int) -> [Int] {
        guard ranks > 8 else { return Array(1...ranks) }
        var sizes = Array(1...8)
        while sizes.last! * 2 < ranks { sizes.append(sizes.last! * 2) }
        return sizes + [ranks]
    }

    /// Measures. `progress` is called between batches with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Measurement {
        let sizes = DispatchBench.sizes(upTo: ranks)
        var rows: [Row] = []
        var total = AuditTotal()
        for leader in [Team.Leader.waits, .works] {
            for size in sizes {
                let team = try Team(size: size, leader: leader, binding: binding)
                let name = leader == .works ? "leader-works" : "leader-waits"
                let samples = try DispatchBench.measure(
                    team, samples, &total, tracer, "dispatch \(name)")
                rows.append(
                    Row(
                        test: "dispatch/\(name)", kernel: "empty", ranks: size, quantity: .time,
                        samples: samples))
                progress(Double(rows.count) / Double(2 * sizes.count))
            }
        }
        return Measurement(rows: rows, audit: total.report)
    }

    static func measure(
        _ team: borrowing Team, _ samples: Int, _ total: inout AuditTotal, _ tracer: Tracer?,
        _ name: String
    ) throws(MusterError) -> Samples {
        // The first jobs also wait for the workers to have started.
        _ = try batch(10, team, &total)
        let estimate = try batch(20, team, &total)
        let jobs = Int(min(20_000, max(10, DispatchBench.batchNanoseconds / estimate)))
        _ = try batch(jobs, team, &total)  // first run, dropped
        var values: [Double] = []
        for _ in 0..<samples { values.append(try batch(jobs, team, &total)) }
        if let tracer {
            try tracer.begin(team, most: tracedJobs)
            _ = try batch(min(jobs, tracedJobs), team, &total)
            try tracer.end(team, name)
        }
        return Samples(values)
    }

    /// Mean time of a job, in nanoseconds.
    private static func batch(
        _ jobs: Int, _ team: borrowing Team, _ total: inout AuditTotal
    ) throws(MusterError) -> Double {
        let started = nanoseconds()
        for _ in 0..<jobs { total.add(try team.eachRank(Empty())) }
        return (nanoseconds() - started) / Double(jobs)
    }
}
