// StatsSelection.swift - what `muster stats` is asked for besides the plain statistics: percentiles,
// channels, and which bins its histogram has.

import ArgumentParser
import Muster

/// `--percentiles`, `--axis`, `--range`, `--log`.
struct StatsSelection: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Percentiles of the finite elements, exact: 0 is the minimum, 50 the median, 100 the maximum.",
            valueName: "P,P,..."),
        transform: PercentList.init(argument:))
    var percentiles: PercentList?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "A row for each channel: all elements with one index along this axis. -1 is the last axis.",
            valueName: "K"))
    var axis: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The histogram covers LOW to HIGH instead of minimum to maximum.", valueName: "LOW,HIGH"
        ), transform: NumberRange.init(argument:))
    var range: NumberRange?

    @Flag(help: "The histogram's edges have equal ratios, not equal distances.")
    var log = false

    func validate() throws {
        if let range, log, range.low <= 0 {
            throw ValidationError("--log: the range must begin above 0, not at \(range.low)")
        }
    }

    /// Refuses files that can't give what is asked for, before any is read.
    func check(_ files: NPYFiles) throws {
        if let axis { _ = try files.channelCount(axis: axis) }
        if percentiles != nil { try files.requireOneType(for: "percentiles") }
        if let axis, percentiles != nil { try files.requireFewChannels(axis: axis) }
    }

    /// The histogram's edges, for data with these statistics; nil: there is no finite element.
    func edges(of statistics: Statistics, bins: Int, file: String) throws -> [Double]? {
        guard let minimum = statistics.minimum, let maximum = statistics.maximum else { return nil }
        guard range != nil || log else { return Histogram.edges(of: statistics, bins: bins) }
        let low = range?.low ?? minimum
        let high = range?.high ?? maximum
        guard log else { return Histogram.edges(minimum: low, maximum: high, bins: bins) }
        guard low > 0 else {
            throw Failure.cannotRun(
                "\(file): --log: the minimum is \(low), and a logarithmic histogram has edges above 0; "
                    + "choose them with --range LOW,HIGH")
        }
        return Histogram.logarithmicEdges(minimum: low, maximum: high, bins: bins)
    }
}

/// "5,50,95"
struct PercentList {
    let percents: [Double]

    init(argument: String) throws {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        percents = try parts.map { part in
            guard let percent = Double(part), 0 <= percent, percent <= 100 else {
                throw ValidationError(
                    "--percentiles \(argument): '\(part)' is no number from 0 to 100; give some with "
                        + "commas between them, as 5,50,95")
            }
            return percent
        }
        guard percents.count <= Team.maximumPercentileCount else {
            throw ValidationError(
                "--percentiles: \(percents.count) are too many; ask for "
                    + "\(Team.maximumPercentileCount) at most")
        }
    }
}

/// "0,100", "-1.5,1.5"
struct NumberRange {
    let low: Double
    let high: Double

    init(argument: String) throws {
        let numbers = argument.split(separator: ",", omittingEmptySubsequences: false).map {
            Double($0)
        }
        guard numbers.count == 2, let low = numbers[0], let high = numbers[1], low.isFinite,
            high.isFinite, low < high
        else {
            throw ValidationError(
                "--range \(argument): needs two finite numbers, the lower one first, as 0,100")
        }
        (self.low, self.high) = (low, high)
    }
}

extension Percentile {
    /// "median", "percentile 99.9"
    var name: String {
        if percent == 50 { return "median" }
        let isWhole = percent == percent.rounded()
        return "percentile \(isWhole ? "\(Int(percent))" : "\(percent)")"
    }

    /// As it is shown. `dtype`: of the elements.
    func element(_ dtype: DType?) -> Element { Element(value, integer, isElement ? dtype : nil) }
}
