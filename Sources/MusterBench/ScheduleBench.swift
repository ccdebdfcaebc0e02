// ScheduleBench.swift - what dealing a chunk costs: claim, roll, audit, and no work.

internal import CMuster
public import Muster

/// Times loops of empty chunks of one element, under each schedule.
///
/// A sample is the time of a whole loop over its chunks, audit included, divided by their number.
/// With one rank that is the cost of a claim and a commit; with more it shows whether ranks hinder
/// each other. The leader waits.
public struct ScheduleBench {
    /// Most chunks of a loop.
    public static let mostChunks = Int(MUSTER_CHUNKS_MAX)
    /// Most chunks of a loop that is recorded: more make no other picture, and a large file.
    private static let mostTraced = 4096

    /// Where ranks run.
    public var binding: Binding = .spread
    /// Has one more loop recorded, after the last sample of each schedule; nil: it has not.
    public var tracer: Tracer?
    let rankCounts: [Int]
    let chunkCounts: [Int]
    let samples: Int

    /// Teams of 1 and of `ranks`; loops of each of `chunkCounts`; `samples` loops each, at least 1.
    public init(ranks: Int, chunkCounts: [Int], samples: Int = 5) {
        precondition(ranks >= 1 && samples >= 1 && chunkCounts.allSatisfy { $0 >= 1 })
        rankCounts = ranks == 1 ? [1] : [1, ranks]
        self.chunkCounts = chunkCounts
        self.samples = samples
    }

    /// Measures. `progress` is called between loops with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Measurement {
        var rows: [Row] = []
        var total = AuditTotal()
        let loops = rankCounts.count * chunkCounts.count * Schedule.allCases.count * (samples + 1)
        var done = 0
        for ranks in rankCounts {
            let team = try Team(size: ranks, binding: binding)
            for chunks in chunkCounts {
                for schedule in Schedule.allCases {
                    var values: [Double] = []
                    for round in 0...samples {
                        let started = nanoseconds()
                        let report = try team.run(
                            Empty(), count: chunks, grain: 1, schedule: schedule)
                        let elapsed = nanoseconds() - started
                        total.add(report)
                        if round > 0 { values.append(elapsed / Double(chunks)) }
                        done += 1
                        progress(Double(done) / Double(loops))
                    }
                    if let tracer, chunks == chunkCounts[0] {
                        try tracer.begin(team, most: ScheduleBench.mostTraced)
                        total.add(
                            try team.run(
                                Empty(), count: min(chunks, ScheduleBench.mostTraced), grain: 1,
                                schedule: schedule))
                        try tracer.end(team, "schedule \(schedule)")
                    }
                    rows.append(
                        Row(
                            test: "schedule/\(schedule)/\(chunks)", kernel: "empty", ranks: ranks,
                            quantity: .time, samples: Samples(values)))
                }
            }
        }
        return Measurement(rows: rows, audit: total.report)
    }
}
