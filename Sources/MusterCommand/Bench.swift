// Bench.swift - `muster bench`: the subcommands' common frame, and how a measurement is reported.

import ArgumentParser
import Muster
import MusterBench
import TextTable

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure this machine and Muster's own costs.",
        discussion: """
            Every loop is audited and every result checked before a figure is printed. \
            The first run of everything is dropped.

            EXAMPLES
              muster bench stream                   memory bandwidth, one rank a CPU
              muster bench stream -n 1 --json       of one rank, as JSON
              muster bench dispatch                 a job with nothing to do
              muster bench schedule                 a chunk with nothing to do
              muster bench spawn                    a team, from its start to its end
              muster bench sum                      bandwidth of reading
              muster bench touch                    first touch of an array's memory
              muster bench recovery                 roll, journal, and a worker's death
              muster bench pages                    memory over small and huge pages
            """,
        subcommands: [
            BenchStream.self, BenchDispatch.self, BenchSchedule.self, BenchSpawn.self,
            BenchSum.self, BenchTouch.self, BenchRecovery.self, BenchPages.self,
        ])
}

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

    func validate() throws {
        if let samples, samples < 1 || samples > 10_000 {
            throw ValidationError("--samples \(samples): 1 to 10000 samples")
        }
    }
}

/// A benchmark.
protocol BenchCommand: JSONCommand {
    var options: BenchOptions { get }
}

extension BenchCommand {
    static var schema: String { "muster.bench/1" }
    var json: Bool { options.json }
}

/// A benchmark's report as JSON.
struct BenchJSON: Encodable {
    struct EnvironmentJSON: Encodable {
        let cpu_model: String?
        let kernel: String
        let cpus: Int
        let nodes: Int
        let memory_total_bytes: UInt64
        let last_level_cache_bytes: UInt64?
        let page_bytes: Int
        let version: String
        let command: String

        enum CodingKeys: CodingKey {
            case cpu_model, kernel, cpus, nodes, memory_total_bytes, last_level_cache_bytes,
                page_bytes, version, command
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(cpu_model, forKey: .cpu_model)  // null: the host doesn't say
            try container.encode(kernel, forKey: .kernel)
            try container.encode(cpus, forKey: .cpus)
            try container.encode(nodes, forKey: .nodes)
            try container.encode(memory_total_bytes, forKey: .memory_total_bytes)
            try container.encode(last_level_cache_bytes, forKey: .last_level_cache_bytes)
            try container.encode(page_bytes, forKey: .page_bytes)
            try container.encode(version, forKey: .version)
            try container.encode(command, forKey: .command)
        }
    }

    /// `samples` are the values themselves, in the order measured: who wants another statistic than
    /// ours has what it takes, and their number is the list's length.
    struct SamplesJSON: Encodable {
        let median: Double
        let minimum: Double
        let maximum: Double
        let samples: [Double]
    }

    /// One of `rate_gb_per_s`, `time_ns`, `percent` and `ratio` is there.
    struct RowJSON: Encodable {
        let test: String
        let kernel: String
        let ranks: Int
        let rate_gb_per_s: SamplesJSON?
        let time_ns: SamplesJSON?
        let percent: SamplesJSON?
        let ratio: SamplesJSON?
        let verified: Bool
    }

    let environment: EnvironmentJSON
    let rows: [RowJSON]
    let audit: AuditJSON

    /// Only for results that were checked and found right: `verified` is always true.
    init(_ measurement: Measurement) throws {
        let host = try Environment.read()
        // The program's own name without the way to it: the same command on another machine.
        let command = (["muster"] + CommandLine.arguments.dropFirst()).joined(separator: " ")
        environment = EnvironmentJSON(
            cpu_model: host.cpuModel, kernel: host.kernel, cpus: host.cpus, nodes: host.nodes,
            memory_total_bytes: host.memoryTotalBytes,
            last_level_cache_bytes: host.lastLevelCacheBytes == 0 ? nil : host.lastLevelCacheBytes,
            page_bytes: host.pageBytes, version: host.version, command: command)
        rows = measurement.rows.map { row in
            let samples = SamplesJSON(
                median: row.samples.median, minimum: row.samples.minimum,
                maximum: row.samples.maximum, samples: row.samples.values)
            return RowJSON(
                test: row.test, kernel: row.kernel, ranks: row.ranks,
                rate_gb_per_s: row.quantity == .rate ? samples : nil,
                time_ns: row.quantity == .time ? samples : nil,
                percent: row.quantity == .percent ? samples : nil,
                ratio: row.quantity == .ratio ? samples : nil, verified: true)
        }
        audit = AuditJSON(measurement.audit)
    }
}

extension Output {
    /// A measurement as a table, between a line that says how it was made and the audit.
    static func table(_ measurement: Measurement, label: String, method: [String]) throws {
        let host = try Environment.read()
        line(
            "\(host.cpuModel ?? "unknown CPU"), \(counted(host.cpus, "CPU")), "
                + "\(counted(host.nodes, "node")), Linux \(host.kernel), Muster \(host.version)")
        for sentence in method { line(sentence) }
        line()
        let units = Set(measurement.rows.map(\.quantity))
        let unit = units.count == 1 ? " \(measurement.rows[0].quantity.unit)" : ""
        let table = TextTable<Row> { row in
            [
                Column(title: label, value: name(row)),
                Column(title: "ranks", value: row.ranks, align: .right),
                Column(title: "median\(unit)", value: fixed(row.samples.median), align: .right),
                Column(title: "min", value: fixed(row.samples.minimum), align: .right),
                Column(title: "max", value: fixed(row.samples.maximum), align: .right),
                Column(title: "samples", value: row.samples.values.count, align: .right),
            ] + (units.count > 1 ? [Column(title: "unit", value: row.quantity.unit)] : [])
        }
        rows(table.string(for: measurement.rows))
        line()
        line(
            "all loops: \(measurement.audit.chunks) chunks, each exactly once"
                + (units == [.rate] ? "; every element checked" : ""))
    }

    /// A table's lines, without the blanks that its last column ends in.
    static func rows(_ table: String?) {
        for row in (table ?? "").split(separator: "\n") {
            line(String(row.reversed().drop { $0 == " " }.reversed()))
        }
    }

    /// What tells a row from its neighbours: the kernel, or the test without its first part.
    private static func name(_ row: Row) -> String {
        let parts = row.test.split(separator: "/")
        return parts.count == 1 ? row.kernel : parts.dropFirst().joined(separator: ", ")
    }

    /// "1 CPU", "2 CPUs"
    static func counted(_ count: Int, _ noun: String) -> String {
        "\(count) \(noun)\(count == 1 ? "" : "s")"
    }

    /// Two digits after the point.
    static func fixed(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}

extension Row.Quantity {
    /// "GB/s"
    var unit: String {
        switch self {
        case .rate: "GB/s"
        case .time: "ns"
        case .percent: "%"
        case .ratio: "x"
        }
    }
}
