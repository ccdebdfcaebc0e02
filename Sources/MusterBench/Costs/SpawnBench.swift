// SpawnBench.swift - how long a team takes that is made, runs one job with nothing to do, and ends.

internal import MusterCore
internal import Glibc
public import Muster

/// Times teams from nothing to nothing: what a program pays that needs one only once.
///
/// Only for a process that may fork: its memory is copied with each rank.
public struct SpawnBench {
    /// Where ranks run.
    public var binding: Binding = .spread
    /// Has the job of one more team recorded, after the last sample of each size; nil: it has not.
    public var tracer: Tracer?
    public let sizes: [Int]
    /// Sizes that are measured where nobody asks for others.
    public static let usualSizes = [2, 8, 32, 64]
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
            var times: [[Double]] = [[], [], [], [], []]
            for round in 0...samples {
                let now = try once(size, &total) + [try bare(size)]
                if round > 0 { for part in times.indices { times[part].append(now[part]) } }
                progress((Double(number) + Double(round) / Double(samples)) / Double(sizes.count))
            }
            if let tracer {
                let team = try Team(size: size, binding: binding, start: .fork)
                try tracer.begin(team, most: 1)
                total.add(try team.eachRank(Empty()))
                try tracer.end(team, "spawn job")
            }
            for (part, values) in zip(["team", "start", "job", "end", "bare fork"], times) {
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

    /// The least that this process can pay for as many: forks that wait for a pipe's end and leave.
    private func bare(_ size: Int) throws(MusterError) -> Double {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SpawnBench.failure("no pipe") }
        let begun = nanoseconds()
        var children: [Int32] = []
        for _ in 0..<size {
            let pid = muster_child_start()
            if pid == 0 {
                var byte: UInt8 = 0
                close(ends[1])
                _ = read(ends[0], &byte, 1)
                muster_worker_exit()
            }
            if pid > 0 { children.append(pid) }
        }
        close(ends[1])
        for child in children { waitpid(child, nil, 0) }
        let elapsed = nanoseconds() - begun
        close(ends[0])
        guard children.count == size else { throw SpawnBench.failure("can't fork \(size) times") }
        return elapsed
    }

    private static func failure(_ reason: String) -> MusterError {
        MusterError(.system, subject: "spawn", reason: reason, errorNumber: errno)
    }
}
