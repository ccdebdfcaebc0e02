// CompareCommand.swift - `muster compare`: two reports of `muster bench`, row by row.
//
// A row is a regression when its median got worse by more than the threshold and by more than the noise.
// Noise is the widest of three: the spreads of the two rows (the middle half of their samples), and by how
// much the canaries of both reports differ, since a memory that changed its level between the two runs
// moves all medians and no spread.

import ArgumentParser
import Muster
import MusterBench

struct CompareCommand: JSONCommand {
    static let schema = "muster.compare/1"
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compares two saved reports of muster bench.",
        discussion: """
            Rows are paired by test, kernel, ranks and parameters. Change is that of the median: + is \
            more, better is more GB/s or less time. Noise is the widest of the two spreads, the middle \
            half of the samples, and of the canaries' range over both runs. Worse by more than both threshold and noise is a regression, and the \
            exit status is 1.

            EXAMPLES
              muster compare before.json after.json
              muster compare before.json after.json --threshold 10% --all
            """)

    @Argument(help: "The report to compare with.", completion: .file())
    var before: String

    @Argument(help: "The report that may be better or worse.", completion: .file())
    var after: String

    @Option(parsing: .unconditional, help: "The least change that counts: 5%, 0.05.")
    var threshold = Threshold(part: 0.05)

    @Flag(help: "Show all rows, not only those that changed.")
    var all = false

    @Flag(help: "Print one JSON object (schema muster.compare/1).")
    var json = false

    func run() throws {
        let comparison = Comparison(
            try BenchReport(file: before), try BenchReport(file: after), threshold: threshold.part)
        let report = CompareJSON(
            comparison, before: before.jsonName, after: after.jsonName)
        if !json { print(comparison) }
        guard !comparison.pairs.isEmpty else {
            throw Failure.cannotRun("\(before) and \(after) have no row in common")
        }
        let worse = comparison.pairs.count { $0.verdict == .worse }
        if worse > 0 {
            let line =
                "\(after): \(Output.counted(worse, "row")) worse than \(before) by more than "
                + "\(Output.fixed(threshold.part * 100)) % and the noise"
            throw Failure.wrong(line, report: report)
        }
        if json { try print(json: report) }
    }

    private func print(_ comparison: Comparison) {
        for difference in comparison.differences {
            Output.line("note: \(Output.plain(difference))")
        }
        let shown = comparison.pairs.filter { all || $0.verdict != .same }
        if !shown.isEmpty {
            var table = AlignedTable([
                ("row", .left), ("before", .right), ("after", .right), ("unit", .left),
                ("change", .right), ("noise", .right), ("", .left),
            ])
            for pair in shown {
                table.add([
                    Output.plain(pair.before.identity), Output.fixed(pair.before.figures!.median),
                    Output.fixed(pair.after.figures!.median), pair.before.quantity.unit,
                    Output.percent(change: pair.change),
                    Output.percent(change: pair.noise, sign: ""),
                    pair.verdict.rawValue,
                ])
            }
            table.print()
        }
        let counts = Pair.Verdict.allCases.map { verdict in
            "\(comparison.pairs.count { $0.verdict == verdict }) \(verdict.rawValue)"
        }
        Output.line(
            "\(Output.counted(comparison.pairs.count, "row")) compared: "
                + counts.joined(separator: ", "))
        for row in comparison.alone {
            Output.line("only in one report, or not measured: \(Output.plain(row))")
        }
    }
}

/// "5%", "0.05"
struct Threshold: ExpressibleByArgument {
    let part: Double

    init(part: Double) { self.part = part }

    init?(argument: String) {
        let isPercent = argument.hasSuffix("%")
        guard let number = Double(isPercent ? String(argument.dropLast()) : argument),
            number.isFinite, number >= 0
        else { return nil }
        part = isPercent ? number / 100 : number
    }

    var defaultValueDescription: String { "5%" }
}

/// A row of two reports.
struct Pair {
    enum Verdict: String, CaseIterable { case better, same, worse }

    let before: BenchReport.Row
    let after: BenchReport.Row
    let threshold: Double
    /// By how much the speed of memory differed in the two runs, as their canaries say.
    let level: Double

    /// The median's, as a part of the earlier one's size; infinite where that is 0.
    var change: Double {
        let (old, new) = (before.figures!.median, after.figures!.median)
        return new == old ? 0 : (new - old) / abs(old)
    }

    var noise: Double { max(before.figures!.spread, after.figures!.spread, level) }

    var verdict: Verdict {
        guard abs(change) > threshold, abs(change) > noise else { return .same }
        return (change > 0) == (before.quantity == .rate) ? .better : .worse
    }
}

extension Output {
    /// "+4.20 %"; a dash for what is no number, such as a change from 0.
    fileprivate static func percent(change: Double, sign: String = "+") -> String {
        guard change.isFinite else { return "-" }
        return (change < 0 ? "" : sign) + fixed(change * 100) + " %"
    }
}

/// Two reports, paired.
struct Comparison {
    let pairs: [Pair]
    /// Rows that have no partner, or no figures in one of the two.
    let alone: [String]
    /// What is not the same of the two machines and runs.
    let differences: [String]

    init(_ before: BenchReport, _ after: BenchReport, threshold: Double) {
        var pairs: [Pair] = []
        var alone: [String] = []
        var partners: [String: BenchReport.Row] = [:]
        for row in after.rows { partners[row.identity] = row }
        let readings = ((before.canary?.readings ?? []) + (after.canary?.readings ?? []))
            .map(\.read_gb_per_s.median)
        // Of a reading that is none, nothing follows.
        let (slow, fast) = (readings.min() ?? 0, readings.max() ?? 0)
        let level = slow > 0 ? fast / slow - 1 : 0
        for row in before.rows {
            guard let partner = partners.removeValue(forKey: row.identity),
                partner.quantity == row.quantity, row.figures != nil, partner.figures != nil
            else {
                alone.append(row.identity)
                continue
            }
            pairs.append(
                Pair(before: row, after: partner, threshold: threshold, level: level))
        }
        alone += after.rows.map(\.identity).filter { partners[$0] != nil }
        self.pairs = pairs
        self.alone = alone
        differences = Comparison.differences(before, after)
    }

    private static func differences(_ before: BenchReport, _ after: BenchReport) -> [String] {
        let (a, b) = (before.environment, after.environment)
        var found: [String] = []
        for (name, old, new) in [
            ("CPU", a.cpu_model ?? "unknown", b.cpu_model ?? "unknown"),
            ("CPUs", "\(a.cpus)", "\(b.cpus)"), ("nodes", "\(a.nodes)", "\(b.nodes)"),
            ("Linux", a.kernel, b.kernel), ("Muster", a.version, b.version),
            ("governor", a.governor ?? "unknown", b.governor ?? "unknown"),
        ] where old != new { found.append("\(name): \(old) before, \(new) after") }
        for (name, report) in [("before", before), ("after", after)] {
            if report.partial { found.append("the report \(name) is partial") }
            for reason in report.canary?.reasons ?? [] { found.append("\(name): \(reason)") }
        }
        return found
    }
}

/// `muster.compare/1`
private struct CompareJSON: Encodable, Sendable {
    /// `change` is null where the earlier median is 0.
    struct Row: Encodable, Sendable {
        let row: String
        let unit: String
        let before: Double
        let after: Double
        let change: Nullable
        let noise: Nullable
        let verdict: String
    }
    let before: String
    let after: String
    let threshold: Double
    let rows: [Row]
    let unpaired: [String]
    let differences: [String]

    init(_ comparison: Comparison, before: String, after: String) {
        self.before = before
        self.after = after
        threshold = comparison.pairs.first?.threshold ?? 0
        rows = comparison.pairs.map {
            Row(
                row: $0.before.identity, unit: $0.before.quantity.unit,
                before: $0.before.figures!.median, after: $0.after.figures!.median,
                change: Nullable($0.change), noise: Nullable($0.noise),
                verdict: $0.verdict.rawValue)
        }
        unpaired = comparison.alone
        differences = comparison.differences
    }
}
