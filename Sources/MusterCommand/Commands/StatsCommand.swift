// StatsCommand.swift - `muster stats`: what files of numbers amount to.
//
// One loop over each mapped file for the moments and extremes, one that counts elements between edges that
// the first has found, and some more for percentiles or channels. No file is held in memory whole.

import ArgumentParser
import Muster

struct Stats: JSONCommand {
    static let schema = "muster.stats/1"
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Statistics and a histogram of .npy files.",
        discussion: """
            Sum, mean, standard deviation (of a population), extremes, percentiles and histogram are \
            over finite elements; NaN and infinities are counted. Sum and mean are those of exact \
            arithmetic, rounded once; sums and extremes of integers are exact. The deviation is within \
            4 units in the last place. The results have the same bits for any number of ranks and any \
            schedule.

            Several files are one data set: a row for each, in six digits, then all of them together. \
            Their types may differ, except for percentiles.

            With --axis K there is a row for each channel: all elements that have one index along that \
            axis. -1 is the last axis: of images of shape (height, width, 3), the three colours. Up to \
            4096 channels.

            A percentile is an element, or lies between two, interpolated as NumPy does it by default. \
            Percentiles take more passes over the file: two of 16-bit types, up to five of wider ones, \
            and up to eight where many percentiles are asked for; of small files up to 15.

            Bins of integers have one whole width, so that each covers as many integers as any other: \
            there may be fewer of them than asked for, and the last may reach beyond the maximum. Other \
            bins are NumPy's, and so are those of integers from 2^52 on, whose edges doubles don't all \
            hold, and those of --range.

            The time is that of the passes over the files. Starting the processes is not in it. The rate \
            is the bytes of the elements, once for each pass, over that time; GB = 10^9 bytes.

            A file is what numpy.load reads: version 1 to 3, C or Fortran order, either byte order, \
            data at any alignment, float16 to float64, integers of 1 to 8 bytes, or bool. It may be \
            larger than memory. With - it is standard input: a file, read from its beginning, or a \
            pipe, which is copied to a file without a name in TMPDIR.

            EXAMPLES
              muster stats data.npy                     by all CPUs
              muster stats monday.npy tuesday.npy       each, and both together
              muster stats image.npy --axis -1          a row for each channel
              muster stats data.npy -n 4 --bins 50      by 4 processes, finer
              muster stats data.npy --percentiles 5,50,95
              muster stats data.npy --range 0,1 --bins 100
              muster stats data.npy --log               bins of equal ratios
              muster stats - < data.npy                 standard input
              muster stats data.npy --schedule dynamic  where some CPUs are busy
              muster stats data.npy --trace trace.json  what each rank did when
              muster stats data.npy --json | jq .mean   for programs
            """)

    @Argument(
        help: "The .npy files; - is standard input.", completion: .file(extensions: ["npy"]))
    var files: [String]

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
        guard !files.contains("") else {
            throw ValidationError("<files>: an empty name is no file's")
        }
        guard files.filter({ $0 == "-" }).count <= 1 else {
            throw ValidationError("-: standard input can be read once; name it once")
        }
        guard (1...Team.maximumBinCount).contains(bins) else {
            throw ValidationError(
                "--bins \(bins): a histogram has 1 to \(Team.maximumBinCount) bins")
        }
    }

    func run() throws {
        // Before any process is started: most mistakes show here.
        let input = files.contains("-") ? try StandardInput.path() : nil
        try StandardInput.naming(input) {
            let data = try NPYFiles(paths: files.map { $0 == "-" ? input! : $0 })
            try selection.check(data)
            let trace = try tracing.open()
            let report = try measure(data, trace)
            trace?.finish()
            if json {
                try print(json: StatsJSON(report, trace?.shares.first))
            } else {
                report.print()
                trace?.print()
            }
            try trace?.check()
        }
    }

    private func measure(_ data: NPYFiles, _ trace: Trace?) throws -> StatsReport {
        let team = try Team(size: try team.size(), binding: team.binding)
        let loops = selection.axis == nil ? 2 : 3
        let meter = StatsMeter(files, loops: loops * files.count)
        defer {
            team.onProgress = nil
            meter.clear()
        }
        team.onProgress = { meter.show($0) }
        try trace?.begin(team)
        let clock = ContinuousClock()
        let start = clock.now

        let (each, statisticsAudit) = try team.statistics(
            of: data, schedule: schedule, willRead: meter.begin)
        let all = each.dropFirst().reduce(each[0], +)
        var report = StatsReport(
            names: files, headers: data.headers, each: each, all: all,
            size: team.size, schedule: schedule)
        report.add("statistics", statisticsAudit)
        if let axis = selection.axis {
            let found = try team.channelStatistics(
                of: data, axis: axis, schedule: schedule, willRead: meter.begin)
            report.channels = (axis, found.result)
            report.add("channels", found.report)
        }
        if let edges = try selection.edges(of: all, bins: bins, file: report.name) {
            let found = try team.histogram(
                of: data, edges: edges, schedule: schedule, willRead: meter.begin)
            report.histogram = found.result
            report.add("histogram", found.report)
        }
        if let wanted = selection.percentiles {
            meter.endless = true
            let found = try team.percentiles(
                wanted.percents, of: data, schedule: schedule, willRead: meter.begin)
            report.percentiles = found.result
            report.add("percentiles", found.report, passes: found.passes)
            if let axis = selection.axis, report.channels?.rows.isEmpty == false {
                let found = try team.channelPercentiles(
                    wanted.percents, of: data, axis: axis, schedule: schedule, willRead: meter.begin
                )
                report.channelPercentiles = found.result
                report.add("percentiles of channels", found.report, passes: found.passes)
            }
        }
        report.elapsed = start.duration(to: clock.now) / .seconds(1)
        try trace?.end(team, "stats")
        try check(report)
        return report
    }

    /// Each loop must have seen the same elements.
    private func check(_ report: StatsReport) throws {
        let finite = report.all.finiteCount
        var seen: [(String, Int)] = []
        if let channels = report.channels {
            seen.append(("in its channels", channels.rows.reduce(0) { $0 + $1.finiteCount }))
        }
        // All edges lie around all finite elements, so every one of them has its bin.
        if selection.range == nil {
            seen.append(
                ("between its minimum and maximum", report.histogram?.counts.reduce(0, +) ?? 0))
        }
        for (place, count) in seen where count != finite {
            throw Failure.wrong(
                "\(report.name): changed while it was read: \(finite) finite elements in the "
                    + "first loop, \(count) \(place) in a later one; run it "
                    + "again when nobody writes to it",
                report: FailedJSON(report.audit))
        }
    }
}

/// How far the loops over the files are, on stderr.
final class StatsMeter {
    private let names: [String]
    private let meter: Meter
    private let loops: Int
    private var begun = 0
    private var index = 0
    /// How many loops there will be is not known.
    var endless = false { didSet { begun = 0 } }

    init(_ names: [String], loops: Int) {
        self.names = names
        self.loops = loops
        meter = Meter(names.count == 1 ? names[0] : "\(names.count) files")
    }

    /// The next loop reads this file.
    func begin(_ file: Int) {
        begun += 1
        index = file
    }

    func show(_ progress: Progress) {
        let part = progress.chunks == 0 ? 1 : Double(progress.done) / Double(progress.chunks)
        if endless {
            meter.show(part, "percentiles, pass \((begun - 1) / names.count + 1)")
        } else {
            meter.show((Double(begun - 1) + part) / Double(loops))
        }
    }

    func clear() { meter.clear() }
}
