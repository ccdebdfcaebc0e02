// Stats.swift - `muster stats`: what a file of numbers amounts to.
//
// Two loops over the mapped file: one for the moments and extremes, one that counts elements between
// edges that the first has found. The file is never held in memory whole.

import ArgumentParser
import Muster

struct Stats: JSONCommand {
    static let schema = "muster.stats/1"
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Statistics and a histogram of a .npy file.",
        discussion: """
            Sum, mean, standard deviation (of a population), extremes and histogram are over finite \
            elements; NaN and infinities are counted. Sum and mean are those of exact arithmetic, \
            rounded once; sums and extremes of integers are exact. The deviation is within 4 units in \
            the last place. The results have the same bits for any number of ranks and any schedule.

            Bins of integers have one whole width, so that each covers as many integers as any other: \
            there may be fewer of them than asked for. Other bins are NumPy's.

            The time is that of the loops over the file: one for the statistics, one for the \
            histogram. Starting the processes and reading the header are not in it. The rate is the \
            bytes of the elements, once for each loop, over that time; GB = 10^9 bytes.

            The file is what numpy.load reads: version 1 to 3, C or Fortran order, either byte order, \
            data at any alignment, float16 to float64, integers of 1 to 8 bytes, or bool. It may be \
            larger than memory.

            A percentile between two elements is interpolated, as NumPy does it by default. Percentiles \
            take more passes over the file: two of 16-bit types, up to five of wider ones, and up to \
            eight where many percentiles are asked for.

            EXAMPLES
              muster stats data.npy                     by all CPUs
              muster stats data.npy -n 4 --bins 50      by 4 processes, finer
              muster stats data.npy --schedule dynamic  where some CPUs are busy
              muster stats data.npy --percentiles 5,50,95
              muster stats data.npy --range 0,1 --bins 100
              muster stats data.npy --log               bins of equal ratios
              muster stats - < data.npy                 a file, or a pipe, as standard input
              muster stats data.npy --trace trace.json  what each rank did when
              muster stats data.npy --json | jq .mean   for programs
            """)

    @Argument(help: "The .npy file; - is standard input.", completion: .file(extensions: ["npy"]))
    var file: String

    @OptionGroup var team: TeamOptions

    @Option(help: "How chunks are dealt.")
    var schedule: Schedule = .static

    @Option(parsing: .unconditional, help: "Bins of the histogram, 1 to 65,536.")
    var bins = 20

    @OptionGroup var selection: StatsSelection

    @OptionGroup var tracing: TraceOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard !file.isEmpty else { throw ValidationError("<file>: an empty name is no file's") }
        guard (1...Team.maximumBinCount).contains(bins) else {
            throw ValidationError(
                "--bins \(bins): a histogram has 1 to \(Team.maximumBinCount) bins")
        }
    }

    func run() throws {
        // Before any process is started: most mistakes show here.
        let path = try file == "-" ? StandardInput.path() : file
        let isNamed = path == file
        let read = { [self] in
            _ = try NPYHeader(path: path)
            let trace = try tracing.open()
            return (try measure(path, trace), trace)
        }
        let (report, trace) = try isNamed ? read() : StandardInput.naming(path, read)
        trace?.finish()
        if json {
            try print(json: StatsJSON(report, trace?.shares.first))
        } else {
            report.print()
            trace?.print()
        }
        try trace?.check()
    }

    private func measure(_ path: String, _ trace: Trace?) throws -> StatsReport {
        let team = try Team(size: try team.size(), binding: team.binding)
        let numbers = try team.numbers(npy: path)
        let meter = Meter(file)
        defer {
            team.onProgress = nil
            meter.clear()
        }
        try trace?.begin(team)
        let clock = ContinuousClock()
        let start = clock.now

        team.onProgress = { meter.show($0.fraction / 2) }
        let (statistics, statisticsAudit) = try team.statistics(of: numbers, schedule: schedule)
        var histogram: (result: Histogram, report: AuditReport)?
        if let edges = try selection.edges(of: statistics, bins: bins, file: file) {
            team.onProgress = { meter.show(0.5 + $0.fraction / 2) }
            histogram = try team.histogram(
                of: numbers, edges: edges, schedule: schedule)
        }
        var percentiles: (result: [Percentile], report: AuditReport, passes: Int)?
        if let wanted = selection.percentiles {
            team.onProgress = nil
            percentiles = try team.percentiles(wanted.percents, of: numbers, schedule: schedule)
        }
        let elapsed = start.duration(to: clock.now)
        try trace?.end(team, "stats")

        let report = StatsReport(
            file: file, header: numbers.header,
            statistics: statistics, histogram: histogram?.result, size: team.size,
            schedule: schedule, statisticsAudit: statisticsAudit,
            histogramAudit: histogram?.report, percentiles: percentiles,
            elapsed: elapsed / .seconds(1))
        // All edges lie around all finite elements, so every one of them has its bin.
        let counted = histogram?.result.counts.reduce(0, +) ?? 0
        guard selection.range != nil || counted == statistics.finiteCount else {
            throw Failure.wrong(
                "\(file): changed while it was read: \(statistics.finiteCount) finite elements in the "
                    + "first loop, \(counted) between its minimum and maximum in the second; run it "
                    + "again when nobody writes to it",
                report: FailedJSON(report.audit))
        }
        return report
    }
}

extension Progress {
    /// 0...1
    fileprivate var fraction: Double { chunks == 0 ? 1 : Double(done) / Double(chunks) }
}

/// What the command found, and what it took.
struct StatsReport {
    let file: String
    let header: NPYHeader
    let statistics: Statistics
    /// nil: no finite element.
    let histogram: Histogram?
    let size: Int
    let schedule: Schedule
    let statisticsAudit: AuditReport
    let histogramAudit: AuditReport?
    /// nil: not asked for.
    let percentiles: (result: [Percentile], report: AuditReport, passes: Int)?
    /// Seconds of the loops over the file.
    let elapsed: Double

    var dtype: DType { header.dtype }
    var shape: [Int] { header.shape }
    /// Bytes of the elements, once.
    var bytes: Int { header.dataByteCount }

    var passes: Int { (histogram == nil ? 1 : 2) + (percentiles?.passes ?? 0) }

    /// Finite elements that lie in no bin.
    var outsideCount: Int {
        histogram.map { statistics.finiteCount - $0.counts.reduce(0, +) } ?? 0
    }

    /// nil: nothing was read.
    var gigabytesPerSecond: Double? {
        bytes == 0 || elapsed <= 0 ? nil : Double(bytes) * Double(passes) / elapsed / 1e9
    }

    /// All loops together. Each is clean, or there would be no report.
    var audit: AuditReport {
        [histogramAudit, percentiles?.report].compactMap { $0 }
            .reduce(statisticsAudit) { $0.joined(by: $1) }
    }

    func print() {
        let lengths = shape.map(String.init).joined(separator: ", ")
        row("file", Output.plain(file))
        row("dtype", dtype.name + (header.isBigEndian ? ", big-endian" : ""))
        row(
            "shape",
            (shape.count == 1 ? "(\(lengths),)" : "(\(lengths))")
                + (header.isFortranOrder ? ", Fortran order" : ""))
        row("count", Figures.count(statistics.count))
        row("NaN", Figures.count(statistics.nanCount))
        row("infinite", Figures.count(statistics.infinityCount))
        row("sum", sumText)
        row("mean", statistics.mean.map { "\($0)" } ?? "-")
        row("std deviation", statistics.standardDeviation.map { "\($0)" } ?? "-")
        row("minimum", text(statistics.minimum, statistics.integers?.minimum))
        row("maximum", text(statistics.maximum, statistics.integers?.maximum))
        for percentile in percentiles?.result ?? [] { row(percentile.name, percentile.text) }
        if let histogram {
            Output.line()
            for line in histogram.lines(width: Output.width) { Output.line(line) }
            if outsideCount > 0 {
                Output.line("\(Figures.count(outsideCount, "element")) outside the range")
            }
        }
        Output.line()
        let rate =
            gigabytesPerSecond.map {
                $0 < 0.01 ? "under 0.01 GB/s, " : "\(Figures.short($0, digits: 3)) GB/s, "
            } ?? ""
        row(
            "time",
            "\(Figures.time(elapsed)) (\(rate)\(Figures.count(passes, "pass", "passes")) over "
                + "\(Figures.amount(Double(bytes))), \(schedule) schedule)")
        row("audit", "statistics: \(Paint.verdict(statisticsAudit))")
        if let histogramAudit { row("", "histogram: \(Paint.verdict(histogramAudit))") }
        if let percentiles { row("", "percentiles: \(Paint.verdict(percentiles.report))") }
    }

    private func row(_ name: String, _ value: String) {
        let blank = String(repeating: " ", count: max(1, 15 - name.count))
        Output.line((Paint.heading(name) + blank + value))
    }

    private var sumText: String {
        if let integers = statistics.integers { return "\(integers.sum)" }
        return statistics.sum.isFinite
            ? "\(statistics.sum)"
            : "\(statistics.sum) (it is beyond the largest double; mean and deviation are right)"
    }

    /// An element: the shortest text that reads back as the same number of its type.
    private func text(_ value: Double?, _ integer: Int128?) -> String {
        guard let value else { return "-" }
        if let integer { return "\(integer)" }
        return switch dtype {
        case .f2: "\(Float16(value))"
        case .f4: "\(Float(value))"
        default: "\(value)"
        }
    }
}

/// `muster.stats/1`. Every key is always there.
struct StatsJSON: Encodable {
    struct Bins: Encodable {
        let edges: [Double]
        let counts: [Int]
        let outside_count: Int
    }
    struct Team: Encodable {
        let size: Int
        let schedule: String
    }

    private let report: StatsReport
    private let timeline: TimelineShare?
    init(_ report: StatsReport, _ timeline: TimelineShare?) {
        self.report = report
        self.timeline = timeline
    }

    enum CodingKeys: CodingKey {
        case file, dtype, shape, count, nan_count, infinity_count, sum, sum_bits, mean
        case standard_deviation, minimum, maximum, percentiles, histogram, team, audit, elapsed_s
        case rate_gb_per_s, timeline
    }

    func encode(to encoder: any Encoder) throws {
        var json = encoder.container(keyedBy: CodingKeys.self)
        let statistics = report.statistics
        try json.encode(report.file.jsonName, forKey: .file)
        try json.encode(report.dtype.name, forKey: .dtype)
        try json.encode(report.shape, forKey: .shape)
        try json.encode(statistics.count, forKey: .count)
        try json.encode(statistics.nanCount, forKey: .nan_count)
        try json.encode(statistics.infinityCount, forKey: .infinity_count)
        if let integers = statistics.integers {
            try json.encode(integers.sum, forKey: .sum)
            try json.encode(integers.minimum, forKey: .minimum)
            try json.encode(integers.maximum, forKey: .maximum)
        } else {
            try json.encode(Nullable(statistics.sum), forKey: .sum)
            try json.encode(Nullable(statistics.minimum), forKey: .minimum)
            try json.encode(Nullable(statistics.maximum), forKey: .maximum)
        }
        let bits = String(statistics.sum.bitPattern, radix: 16)
        try json.encode(
            String(repeating: "0", count: 16 - bits.count) + bits, forKey: .sum_bits)
        try json.encode(Nullable(statistics.mean), forKey: .mean)
        try json.encode(Nullable(statistics.standardDeviation), forKey: .standard_deviation)
        // An optional encodes itself as null here; only synthesised encoders leave its key out.
        try json.encode(
            report.histogram.map {
                Bins(edges: $0.edges, counts: $0.counts, outside_count: report.outsideCount)
            }, forKey: .histogram)
        try json.encode(
            report.percentiles.map { $0.result.map { PercentileJSON($0) } }, forKey: .percentiles)
        try json.encode(
            Team(size: report.size, schedule: report.schedule.description), forKey: .team)
        try json.encode(AuditJSON(report.audit), forKey: .audit)
        try json.encode(Nullable(report.elapsed), forKey: .elapsed_s)
        try json.encode(Nullable(report.gigabytesPerSecond), forKey: .rate_gb_per_s)
        try json.encode(timeline, forKey: .timeline)
    }
}
