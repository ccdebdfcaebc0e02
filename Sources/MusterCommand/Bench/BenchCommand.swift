// BenchCommand.swift - what the commands of single benchmarks have in common: their options, how they are
// run, and how their measurement is printed.

import ArgumentParser
import Muster
import MusterBench
import TextTable

/// `--samples` and `--json`, with each benchmark's own default.
struct BenchOptions: ParsableArguments {
    // Unconditional: "--samples -1" is a wrong number, not a missing one.
    @Option(
        parsing: .unconditional,
        help: """
            Samples of each figure, 1 to 10000, after a first run that is dropped. (default: 10; \
            bench schedule and pages: 5)
            """)
    var samples: Int?

    @Flag(help: "Print one JSON object (schema muster.bench/1).")
    var json = false

    func validate() throws { try BenchOptions.validate(samples: samples) }

    static func validate(samples: Int?) throws {
        if let samples, samples < 1 || samples > 10_000 {
            throw ValidationError("--samples \(samples): 1 to 10000 samples")
        }
    }
}

/// A benchmark with a command of its own.
protocol BenchCommand: JSONCommand {
    var options: BenchOptions { get }
}

extension BenchCommand {
    static var schema: String { BenchReport.schema }
    var json: Bool { options.json }

    /// Runs a benchmark, with a meter for a person who waits.
    func measured<Outcome>(_ run: (_ progress: (Double) -> Void) throws -> Outcome) rethrows
        -> Outcome
    {
        let meter = Meter("bench \(Self._commandName)")
        defer { meter.clear() }
        return try run(meter.show)
    }

    /// The same between two readings of the canary, for what measures memory.
    func watched<Outcome>(
        _ run: (_ progress: (Double) -> Void) throws -> Outcome
    ) throws -> (outcome: Outcome, canaries: [Canary.Reading]) {
        let (outcome, readings) = try Canary.around(Self._commandName) { try measured(run) }
        return (outcome, readings)
    }

    /// Fails where less of its memory lay where it should than was asked for.
    func verify(
        _ measurement: Measurement, _ check: PlacementCheck, _ placement: Placement = .firstTouch
    ) throws {
        if let line = check.complaint(measurement.placedFraction, placement) {
            throw Failure.wrong(line, report: FailedJSON(measurement.audit))
        }
    }

    /// Ends the trace, and prints what was measured, as JSON or as a table between a line that says how it was made and the
    /// audit. `label`: heading of what tells rows apart.
    func show(
        _ measurement: Measurement, canaries: [Canary.Reading] = [], _ trace: Trace? = nil,
        label: String, method: [String]
    ) throws {
        trace?.finish()
        let report = try BenchReport(measurement, canaries: canaries, trace)
        if json {
            try print(json: report)
        } else {
            show(measurement, report, label: label, method: method)
            trace?.print()
        }
        try trace?.check()
    }

    private func show(
        _ measurement: Measurement, _ report: BenchReport, label: String, method: [String]
    ) {
        Output.line(report.environment.line)
        for sentence in method { Output.line(sentence) }
        Output.line()
        let units = Set(measurement.rows.map(\.quantity))
        let unit = units.count == 1 ? " \(measurement.rows[0].quantity.unit)" : ""
        let table = TextTable<Row> { row in
            [
                Column(title: label, value: name(row)),
                Column(title: "ranks", value: row.ranks, align: .right),
                Column(
                    title: "median\(unit)", value: Output.figure(row.samples?.median), align: .right
                ),
                Column(title: "min", value: Output.figure(row.samples?.minimum), align: .right),
                Column(title: "max", value: Output.figure(row.samples?.maximum), align: .right),
                Column(title: "samples", value: row.samples?.values.count ?? 0, align: .right),
            ] + (units.count > 1 ? [Column(title: "unit", value: row.quantity.unit)] : [])
        }
        Output.rows(table.string(for: measurement.rows))
        Output.line()
        report.canary?.print()
        Output.line(
            "all loops: \(measurement.audit.chunks) chunks, each exactly once"
                + (units == [.rate] ? "; every element checked" : ""))
    }

    /// What tells a row from its neighbours: the kernel, or the test without its first part.
    private func name(_ row: Row) -> String {
        let parts = row.test.split(separator: "/")
        return parts.count == 1 ? row.kernel : parts.dropFirst().joined(separator: ", ")
    }
}

extension Output {
    /// A table's lines, without the blanks that its last column ends in.
    static func rows(_ table: String?) {
        for row in (table ?? "").split(separator: "\n") {
            line(String(row.reversed().drop { $0 == " " }.reversed()))
        }
    }
}
