// ScheduleBench.swift - what dealing a chunk costs: claim, roll, audit, and no work.

internal import MusterCore
public import Muster

/// Times loops of empty chunks of one element, under each schedule.
///
/// A sample is the time of whole loops, audit included, divided by the number of their chunks; short
/// ones are repeated for a millisecond or two. With one rank that is the cost of a claim and a commit;
/// with more it shows whether ranks hinder each other.
public struct ScheduleBench {
    /// Most chunks of a loop.
    public static let mostChunks = Int(MUSTER_CHUNKS_MAX)
    /// Most chunks of a loop that is recorded: more make no other picture, and a large file.
    private static let mostTraced = 4096
    /// Loops of a sample take at least so long.
    private static let sampleNanoseconds = 2e6

    /// Where ranks run.
    public var binding: Binding = .spread
    /// Has one more loop recorded, after the last sample of each schedule; nil: it has not.
    public var tracer: Tracer?
    /// Whether the leader is rank 0, as the first thread of an OpenMP program is.
    public var leader: Team.Leader = .waits
    let rankCounts: [Int]
    let chunkCounts: [Int]
    let samples: Int

    /// Teams of 1 and of `ranks`; loops of each of `chunkCounts`; `samples` of each, at least 1.
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
            let team = try Team(size: ranks, leader: leader, binding: binding)
            for chunks in chunkCounts {
                for schedule in Schedule.allCases {
                    var values: [Double] = []
                    var repeats = 1
                    for round in 0...samples {
                        let started = nanoseconds()
                        for _ in 0..<repeats {
                            total.add(
                                try team.run(Empty(), count: chunks, grain: 1, schedule: schedule))
                        }
                        let mean = (nanoseconds() - started) / Double(repeats)
                        if round == 0 {
                            repeats = Int(
                                max(1, min(10_000, ScheduleBench.sampleNanoseconds / mean)))
                        } else {
                            values.append(mean / Double(chunks))
                        }
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
                            test: "schedule/\(leader == .works ? "leader-works/" : "")"
                                + "\(schedule)/\(chunks)", kernel: "empty", ranks: ranks,
                            quantity: .time, samples: Samples(values)))
                }
            }
        }
        return Measurement(rows: rows, audit: total.report)
    }
}
