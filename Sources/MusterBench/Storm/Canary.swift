// Canary.swift - two small measurements before the first test and after each: was the machine quiet,
// and was its memory as fast at the end as at the start?
//
// A virtual machine's memory speed can jump between levels for minutes at a time, and neighbours take
// CPU time; no repeat within one test shows either. So every figure of a run has a reading on each
// side, and a verdict says whether to trust comparisons.

internal import MusterCore
internal import Muster

/// A team and an array that stay for the whole run.
public struct Canary: ~Copyable {
    /// What it found at one moment.
    public struct Reading: Sendable {
        /// "before", or the test that had just ended.
        public let when: String
        /// A fixed piece of arithmetic, in nanoseconds.
        public let spin: Samples
        /// Reading memory larger than the caches with all CPUs, in GB/s.
        public let read: Samples
        /// CPU time that the hypervisor gave to others, in seconds since boot; nil: not said.
        public let stolenSeconds: Double?
        /// CLOCK_MONOTONIC, in seconds.
        public let seconds: Double
    }

    /// What the readings of a run amount to.
    public struct Verdict: Sendable {
        /// Why figures of this run should not be compared; empty: it was quiet.
        public let reasons: [String]
        /// Whether the machine was quiet.
        public var isQuiet: Bool { reasons.isEmpty }
    }

    /// By how much the slowest tenth of the spins may be slower than the fastest.
    public static let spinLimit = 0.10
    /// By how much the memory's speed may differ between two readings.
    public static let levelLimit = 0.10
    /// The part of the CPUs' time that others may have.
    public static let stolenLimit = 0.01

    private let team: Team
    private let array: SharedArray<Double>
    private let cpus: Int

    init(_ host: Topology, isQuick: Bool) throws(MusterError) {
        cpus = host.ranks()
        let caches = Int(clamping: host.lastLevelCacheTotalBytes)
        let bytes = isQuick ? 1 << 20 : max(64 << 20, 2 * caches)
        let team = try Team(size: cpus)
        var array = try team.array(of: Double.self, count: bytes / 8)
        try array.fill(1)
        self.team = team
        self.array = array
    }

    /// Runs a benchmark between two readings.
    public static func around<Outcome>(
        _ name: String, _ body: () throws -> Outcome
    ) throws -> (outcome: Outcome, readings: [Reading]) {
        let canary = try Canary(Topology.read(), isQuick: false)
        // Its loops are no part of what is measured; one that is not clean throws.
        var total = AuditTotal()
        let before = try canary.read(when: "before", adding: &total)
        let outcome = try body()
        return (outcome, [before, try canary.read(when: name, adding: &total)])
    }

    borrowing func read(
        when: String, adding total: inout AuditTotal
    ) throws(MusterError) -> Reading {
        var spins: [Double] = []
        for _ in 0..<21 { spins.append(Canary.spin()) }
        var rates: [Double] = []
        for _ in 0..<6 {
            let started = nanoseconds()
            let (sum, report) = try team.reduce(Bulk.Sum(array.input))
            let elapsed = nanoseconds() - started
            total.add(report)
            guard sum == Double(array.count) else {
                throw MusterError(
                    .audit, subject: "canary", reason: "the sum of \(array.count) ones is \(sum)",
                    report: report)
            }
            rates.append(Double(array.count) * 8 / elapsed)
        }
        return Reading(
            when: when, spin: Samples(Array(spins.dropFirst())),
            read: Samples(Array(rates.dropFirst())), stolenSeconds: Canary.stolen(),
            seconds: nanoseconds() / 1e9)
    }

    /// A chain of dependent multiplications: nothing but the clock and other users of the CPU change
    /// its time.
    private static func spin() -> Double {
        let started = nanoseconds()
        let last = muster_spin(200_000)
        let elapsed = nanoseconds() - started
        precondition(last != 0)
        return elapsed
    }

    /// The eighth number of /proc/stat's first line, in ticks of 10 ms.
    private static func stolen() -> Double? {
        guard let line = HostFiles().line("proc/stat", "cpu ") else { return nil }
        let words = line.split(separator: " ")
        return words.count > 7 ? Double(words[7]).map { $0 / 100 } : nil
    }

    /// What some readings amount to.
    public static func verdict(_ readings: [Reading], cpus: Int) -> Verdict {
        var reasons: [String] = []
        let shaken = readings.filter {
            $0.spin.quantile(0.9) > $0.spin.minimum * (1 + spinLimit)
        }
        if !shaken.isEmpty {
            reasons.append(
                "noisy: the CPUs were not ours alone ("
                    + shaken.map(moment).joined(separator: ", ") + ")")
        }
        if let slow = readings.min(by: { $0.read.median < $1.read.median }),
            let fast = readings.max(by: { $0.read.median < $1.read.median }),
            fast.read.median > slow.read.median * (1 + levelLimit)
        {
            reasons.append(
                "memory speed changed level: \(tenths(slow.read.median)) GB/s (\(moment(slow))), "
                    + "\(tenths(fast.read.median)) GB/s (\(moment(fast)))")
        }
        if let first = readings.first, let last = readings.last, last.seconds > first.seconds,
            let before = first.stolenSeconds, let after = last.stolenSeconds
        {
            let part = (after - before) / (last.seconds - first.seconds) / Double(max(1, cpus))
            if part > stolenLimit {
                reasons.append("the hypervisor gave \(tenths(part * 100)) % of the CPUs to others")
            }
        }
        return Verdict(reasons: reasons)
    }

    /// "before", "after stream"
    private static func moment(_ reading: Reading) -> String {
        reading.when == "before" ? "before" : "after \(reading.when)"
    }

    private static func tenths(_ value: Double) -> String {
        "\((value * 10).rounded() / 10)"
    }
}

extension Samples {
    /// The value below which a part of the samples lies, between neighbours in proportion.
    public func quantile(_ part: Double) -> Double {
        let sorted = values.sorted()
        let place = part * Double(sorted.count - 1)
        let low = Int(place)
        let high = min(low + 1, sorted.count - 1)
        return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
    }
}
