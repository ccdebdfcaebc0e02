// BenchReport.swift - a report of `muster bench`, as JSON has it: written, read again, compared.
//
// Text, CSV and the page are made from this value and from nothing else, so their numbers are the
// JSON's, also of a report that is read from a file. Keys are never left out; what is not known or
// could not be measured is null. The schema is Muster.docc/Resources/muster.bench-1.schema.json.

import FoundationEssentials
import Muster
import MusterLaunch
import MusterBench

/// `muster.bench/1`
struct BenchReport: Codable, Sendable {
    struct Environment: Codable, Sendable {
        struct Node: Codable, Sendable {
            let id: Int
            let cpus: [Int]
            let memory_total_bytes: UInt64
        }
        @OrNull var cpu_model: String?
        let kernel: String
        let cpus: Int
        let nodes: Int
        let node_list: [Node]
        let memory_total_bytes: UInt64
        @OrNull var last_level_cache_bytes: UInt64?
        let page_bytes: Int
        @OrNull var governor: String?
        @OrNull var numa_balancing: Bool?
        @OrNull var transparent_huge_pages: String?
        @OrNull var transparent_huge_pages_shared: String?
        @OrNull var virtualization: String?
        @OrNull var container: String?
        let emulated: Bool
        let version: String
        let command: String
    }

    /// `samples` are the values themselves, in the order measured: any other statistic can be computed
    /// from them, and their number is the list's length.
    struct Summary: Codable, Sendable, Equatable {
        let median: Double
        let minimum: Double
        let maximum: Double
        let samples: [Double]

        init(_ samples: Samples) {
            median = samples.median
            minimum = samples.minimum
            maximum = samples.maximum
            self.samples = samples.values
        }

        /// The width of the middle half of the samples, as a part of the median's size; infinite where
        /// that is 0 and they differ.
        var spread: Double {
            let samples = Samples(samples)
            let width = samples.quantile(0.75) - samples.quantile(0.25)
            return width == 0 ? 0 : width / abs(median)
        }
    }

    typealias Parameter = MusterBench.Row.Parameter

    struct Row: Codable, Sendable {
        let test: String
        let kernel: String
        let ranks: Int
        let parameters: [String: Parameter]
        let quantity: MusterBench.Row.Quantity
        /// nil: not measured, and `reason` says why.
        let figures: Summary?
        let reason: String?
        let placed_fraction: Double?
        let verified: Bool

        /// The quantity is in the key, with its unit.
        enum CodingKeys: String, CodingKey {
            case test, kernel, ranks, parameters, reason, placed_fraction, verified
            case rate_gb_per_s, time_ns, percent, ratio

            init(_ quantity: MusterBench.Row.Quantity) {
                switch quantity {
                case .rate: self = .rate_gb_per_s
                case .time: self = .time_ns
                case .percent: self = .percent
                case .ratio: self = .ratio
                }
            }
        }

        init(_ row: MusterBench.Row) {
            test = row.test
            kernel = row.kernel
            ranks = row.ranks
            parameters = row.parameters
            quantity = row.quantity
            figures = row.samples.map { Summary($0) }
            reason = row.reason
            placed_fraction = row.placedFraction
            verified = row.isVerified
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            test = try container.decode(String.self, forKey: .test)
            kernel = try container.decode(String.self, forKey: .kernel)
            ranks = try container.decode(Int.self, forKey: .ranks)
            parameters =
                try container.decodeIfPresent([String: Parameter].self, forKey: .parameters) ?? [:]
            let quantities = MusterBench.Row.Quantity.allCases.filter {
                container.contains(CodingKeys($0))
            }
            guard let quantity = quantities.first, quantities.count == 1 else {
                throw DecodingError.dataCorrupted(
                    .init(
                        codingPath: container.codingPath,
                        debugDescription: "a row has one of rate_gb_per_s, time_ns, percent, ratio")
                )
            }
            self.quantity = quantity
            figures = try container.decodeIfPresent(Summary.self, forKey: CodingKeys(quantity))
            guard figures?.samples.isEmpty != true else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: container.codingPath, debugDescription: "no samples"))
            }
            reason = try container.decodeIfPresent(String.self, forKey: .reason)
            placed_fraction = try container.decodeIfPresent(Double.self, forKey: .placed_fraction)
            verified = try container.decode(Bool.self, forKey: .verified)
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(test, forKey: .test)
            try container.encode(kernel, forKey: .kernel)
            try container.encode(ranks, forKey: .ranks)
            try container.encode(parameters, forKey: .parameters)
            try container.encode(figures, forKey: CodingKeys(quantity))
            try container.encode(reason, forKey: .reason)
            try container.encode(placed_fraction, forKey: .placed_fraction)
            try container.encode(verified, forKey: .verified)
        }

        /// What tells it from all other rows of a report.
        var identity: String {
            let given = names.map { " \($0)=\(parameters[$0]!)" }.joined()
            return "\(test) \(kernel) ranks=\(ranks)\(given)"
        }

        /// Names of its parameters, those that say where before those that say what.
        var names: [String] { parameters.keys.sorted { Row.order($0) < Row.order($1) } }

        private static func order(_ name: String) -> (Int, String) {
            let known = [
                "cpu_node", "cpu", "holder_cpu", "memory_node", "from_node", "to_node", "shared",
                "placement", "mix",
                "delay_turns", "pages", "size_bytes",
            ]
            return (known.firstIndex(of: name) ?? known.count, name)
        }

        /// The test that the row belongs to: "schedule" of "schedule/cyclic/1000000".
        var family: String { String(test.prefix { $0 != "/" }) }
    }

    struct Test: Codable, Sendable {
        let name: String
        let summary: String
        let method: [String]
    }

    struct Canary: Codable, Sendable {
        struct Reading: Codable, Sendable {
            let when: String
            let spin_ns: Summary
            let read_gb_per_s: Summary
        }
        let quiet: Bool
        let reasons: [String]
        let readings: [Reading]

        init(_ readings: [MusterBench.Canary.Reading], cpus: Int) {
            let verdict = MusterBench.Canary.verdict(readings, cpus: cpus)
            quiet = verdict.isQuiet
            reasons = verdict.reasons
            self.readings = readings.map {
                Reading(
                    when: $0.when, spin_ns: Summary($0.spin), read_gb_per_s: Summary($0.read))
            }
        }
    }

    let environment: Environment
    let tests: [Test]
    let rows: [Row]
    @OrNull var canary: Canary?
    let partial: Bool
    let notes: [String]
    let audit: AuditJSON
    /// nil: not asked for.
    @OrNull var timelines: [TimelineShare]?
}

extension BenchReport.Environment {
    /// This host, and the command as it was given.
    static func here() throws -> BenchReport.Environment {
        let host = try MusterBench.Environment.read()
        return BenchReport.Environment(
            cpu_model: host.cpuModel, kernel: host.kernel, cpus: host.cpus, nodes: host.nodes,
            node_list: host.nodeList.map {
                Node(id: $0.id, cpus: $0.cpus, memory_total_bytes: $0.memoryTotalBytes)
            }, memory_total_bytes: host.memoryTotalBytes,
            last_level_cache_bytes: host.lastLevelCacheBytes == 0 ? nil : host.lastLevelCacheBytes,
            page_bytes: host.pageBytes, governor: host.governor, numa_balancing: host.isBalancing,
            transparent_huge_pages: host.transparentPages,
            transparent_huge_pages_shared: host.transparentSharedPages,
            virtualization: host.virtualization, container: host.container,
            emulated: host.isEmulated, version: host.version,
            // The program's own name without the way to it: the same command on another machine.
            command: (["muster"] + OwnArguments.words.dropFirst().map(\.shellWord))
                .joined(separator: " "))
    }

    /// "AMD EPYC, 2 CPUs, 1 node, Linux 6.18, Muster 0.1.0"
    var line: String {
        "\(cpu_model ?? "unknown CPU"), \(Output.counted(cpus, "CPU")), "
            + "\(Output.counted(nodes, "node")), Linux \(kernel), Muster \(version)"
    }
}

extension BenchReport {
    /// Of a benchmark with a command of its own. Only for results that were checked and found right.
    /// `canaries`: the readings around it; empty: it does not measure memory.
    init(
        _ measurement: Measurement, canaries: [MusterBench.Canary.Reading] = [],
        _ trace: Trace? = nil
    ) throws {
        let environment = try Environment.here()
        self.init(
            environment: environment, tests: [], rows: measurement.rows.map { Row($0) },
            canary: canaries.isEmpty ? nil : Canary(canaries, cpus: environment.cpus),
            partial: false, notes: [], audit: AuditJSON(measurement.audit),
            timelines: trace?.shares)
    }

    /// Of a run of some tests.
    init(
        _ run: BenchRun, _ tests: [BenchTest], audit: AuditReport, _ trace: Trace? = nil
    ) throws {
        let environment = try Environment.here()
        self.init(
            environment: environment,
            tests: tests.map { Test(name: $0.name, summary: $0.summary, method: $0.method) },
            rows: run.rows.map { Row($0) },
            canary: Canary(run.canaries, cpus: environment.cpus), partial: run.isPartial,
            notes: run.notes, audit: AuditJSON(audit), timelines: trace?.shares)
    }

    static let schema = "muster.bench/1"

    /// A report from a file. Throws a failure that names the file and what is wrong with it.
    init(file: String) throws {
        let data = try InputFile.read(file)
        struct Head: Decodable {
            let schema: String
            let error: String?
        }
        guard let head = try? JSONDecoder().decode(Head.self, from: data) else {
            throw Failure.cannotRun(
                "\(file): not a report of muster's: no JSON object with a schema")
        }
        guard head.schema == BenchReport.schema else {
            throw Failure.cannotRun(
                "\(file): its schema is \(head.schema), and this needs \(BenchReport.schema)")
        }
        if let error = head.error {
            throw Failure.cannotRun("\(file): the report of a run that failed: \(error)")
        }
        do {
            self = try JSONDecoder().decode(BenchReport.self, from: data)
        } catch let error as DecodingError {
            throw Failure.cannotRun("\(file): not a whole report: \(FileErrors.reason(error))")
        }
    }

    /// Tests in the order of their rows, each with its rows.
    var families: [(test: Test?, name: String, rows: [Row])] {
        var order: [String] = []
        var rows: [String: [Row]] = [:]
        for row in self.rows {
            if rows[row.family] == nil { order.append(row.family) }
            rows[row.family, default: []].append(row)
        }
        return order.map { name in
            (tests.first { $0.name == name }, name, rows[name]!)
        }
    }
}

/// What is wrong with a report, in a few words.
enum FileErrors {
    static func reason(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            "\(path(context.codingPath)) has no \(key.stringValue)"
        case DecodingError.typeMismatch(_, let context),
            DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context):
            "\(path(context.codingPath)): \(context.debugDescription)"
        default: "\(error)"
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.isEmpty
            ? "the report"
            : keys.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
    }
}
