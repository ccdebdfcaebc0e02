// BenchOutput.swift - where a report of `muster bench` goes: text, JSON, CSV, a page.

import ArgumentParser
import Muster
@preconcurrency import Rainbow

/// When text is coloured.
enum ColorChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never
}

struct BenchOutput: ParsableArguments {
    @Flag(help: "Say which tests there are.")
    var list = false

    @Flag(help: "Say what would be run and about how long it takes.")
    var dryRun = false

    @Flag(help: "Print one JSON object (schema muster.bench/1) in place of text.")
    var json = false

    @Option(help: ArgumentHelp("Write the JSON object to a file; -: to stdout.", valueName: "file"))
    var save: String?

    @OptionGroup var forms: ReportForms

    func validate() throws {
        try forms.validate(besides: ["--json": json, "--save -": save == "-"])
    }

    /// Before the first test: a minute's measurements should not be lost to a wrong path.
    func check() throws {
        for path in [save].compactMap({ $0 }) + forms.paths where path != "-" {
            try OutputFile.check(path)
        }
    }

    func write(_ report: BenchReport) throws {
        let text = try Output.jsonText(report, schema: BenchReport.schema)
        if let save { try ReportForms.write(text + "\n", to: save) }
        try forms.write(report)
        if json {
            Output.line(text)
        } else if save != "-" && !forms.paths.contains("-") {
            report.print()
        }
    }
}

/// `--csv`, `--html` and `--color`: the forms of a report besides JSON. A file's name "-" is stdout.
struct ReportForms: ParsableArguments {
    @Option(help: ArgumentHelp("Write a row a figure as CSV; -: to stdout.", valueName: "file"))
    var csv: String?

    @Option(help: ArgumentHelp("Write one self-contained page; -: to stdout.", valueName: "file"))
    var html: String?

    @Option(help: "Colours: auto (a terminal, unless NO_COLOR is set), always, never.")
    var color: ColorChoice = .auto

    var paths: [String] { [csv, html].compactMap { $0 } }

    /// Fails where more than one form is for standard output, `others` included.
    func validate(besides others: KeyValuePairs<String, Bool> = [:]) throws {
        let all =
            others.map { ($0.key, $0.value) } + [
                ("--csv -", csv == "-"), ("--html -", html == "-"),
            ]
        guard all.count(where: \.1) > 1 else { return }
        let names = all.map(\.0)
        throw ValidationError(
            names.dropLast().joined(separator: ", ")
                + " and \(names.last!): one of them has standard output")
    }

    func write(_ report: BenchReport) throws {
        if let csv { try ReportForms.write(report.csv, to: csv) }
        if let html { try ReportForms.write(report.page, to: html) }
    }

    static func write(_ text: String, to path: String) throws {
        guard path == "-" else { return try OutputFile.write(text, to: path) }
        // CSV's lines end in "\r\n", which is one character to Swift.
        let end = text.hasSuffix("\r\n") ? "\r" : ""
        Output.line((text.last?.isNewline == true ? String(text.dropLast()) : text) + end)
    }
}

extension ColorChoice {
    /// Before the first line.
    func apply() {
        guard self != .auto else { return }
        Paint.choice = self == .always
        if self == .always {
            Rainbow.outputTarget = .console
            Rainbow.enabled = true
        }
    }
}

extension BenchReport {
    /// A line a row; columns of all parameters of the report; samples separated by blanks. Numbers are
    /// the JSON's to the last bit.
    var csv: String {
        var names: [String] = []
        for row in rows { for name in row.names where !names.contains(name) { names.append(name) } }
        let head =
            ["test", "kernel", "ranks"] + names
            + [
                "unit", "median", "minimum", "maximum", "samples", "placed_fraction", "verified",
                "reason",
            ]
        var lines = [head]
        for row in rows {
            var line = [row.test, row.kernel, "\(row.ranks)"]
            line += names.map { row.parameters[$0]?.description ?? "" }
            line.append(row.quantity.unit)
            if let figures = row.figures {
                line += ["\(figures.median)", "\(figures.minimum)", "\(figures.maximum)"]
                line.append(figures.samples.map { "\($0)" }.joined(separator: " "))
            } else {
                line += ["", "", "", ""]
            }
            line += [
                row.placed_fraction.map { "\($0)" } ?? "", "\(row.verified)", row.reason ?? "",
            ]
            lines.append(line)
        }
        return lines.map { $0.map(BenchReport.quoted).joined(separator: ",") + "\r\n" }.joined()
    }

    /// As RFC 4180 has it.
    private static func quoted(_ cell: String) -> String {
        cell.contains { $0 == "," || $0 == "\"" || $0.isNewline }
            ? "\"" + cell.replacing("\"", with: "\"\"") + "\"" : cell
    }
}
