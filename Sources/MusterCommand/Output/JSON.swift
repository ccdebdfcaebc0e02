// JSON.swift - reports as JSON: one object, "schema" first, numbers as numbers, null for what is not
// available. A run that fails after it has begun reports too: "error" next, and its audit.

import ArgumentParser
import FoundationEssentials
import Muster

/// A command that reports as JSON when asked to.
protocol JSONCommand: ParsableCommand {
    /// What its reports are: "muster.stats/1".
    static var schema: String { get }
    /// Whether it was asked to.
    var json: Bool { get }
}

extension JSONCommand {
    /// Prints a report on stdout. `error`: why the run failed; nil: it did not.
    func print(json report: some Encodable, error: String? = nil) throws {
        try Output.json(report, schema: Self.schema, error: error)
    }
}

/// What there is to report of a run that failed.
struct FailedJSON: Encodable {
    /// Of the loop that failed; nil: it has none.
    @OrNull var audit: AuditJSON?

    init(_ audit: AuditReport?) { self.audit = audit.map { AuditJSON($0) } }
}

extension Output {
    /// Prints one object on stdout.
    static func json(_ report: some Encodable, schema: String, error: String?) throws {
        line(try jsonText(report, schema: schema, error: error))
    }

    /// One object, its schema first.
    static func jsonText(
        _ report: some Encodable, schema: String, error: String? = nil
    ) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        func text(_ value: some Encodable) throws -> String {
            String(decoding: try encoder.encode(value), as: UTF8.self)
        }
        // The encoder spreads empty lists over three lines. A line break in a string is escaped, so
        // only lists are met here.
        let body = try text(report).replacing(/\[\n\n *\]/, with: "[]")
        // The encoder can't keep an order, so these are set before its first key.
        let first = try error.map { "\n  \"error\" : \(try text(plain($0)))," } ?? ""
        return "{\n  \"schema\" : \"\(schema)\",\(first)" + body.dropFirst()
    }
}

/// A number that may be missing: nil, NaN and infinities become null (synthesised encoders would leave
/// the key out, or fail).
struct Nullable: Encodable, Sendable {
    let value: Double?
    init(_ value: Double?) { self.value = value }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value, value.isFinite {
            try container.encode(value)
        } else {
            try container.encodeNil()
        }
    }
}

/// An optional that is written as null and not left out.
@propertyWrapper
struct OrNull<Value: Encodable & Sendable>: Encodable, Sendable {
    var wrappedValue: Value?
    init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue {
            try container.encode(wrappedValue)
        } else {
            try container.encodeNil()
        }
    }
}

extension OrNull: Decodable where Value: Decodable {
    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
    }
}

extension KeyedDecodingContainer {
    /// A report of an older version may lack a key.
    func decode<Value: Decodable>(
        _ type: OrNull<Value>.Type, forKey key: Key
    ) throws -> OrNull<Value> {
        OrNull(wrappedValue: try decodeIfPresent(Value.self, forKey: key))
    }
}

/// The audit as every command reports it.
struct AuditJSON: Codable, Sendable {
    struct Interval: Codable, Sendable {
        let first: Int
        let last: Int
    }
    struct Repeat: Codable, Sendable {
        let first: Int
        let last: Int
        let ranks: [Int]
    }
    struct Death: Codable, Sendable {
        let rank: Int
        let signal: Int
        /// Where `signal` is 0; nil: it was killed, or the report is of an older version.
        @OrNull var exit_code: Int?
        /// nil: on none
        @OrNull var chunk: Int?
        let attempt: Int
        /// nil: of an older version
        @OrNull var stalled: Bool?
    }
    let chunks: Int
    let exactly_once: Int
    /// nil, as the others below: the report is of an older version, which did not have it.
    @OrNull var missing_count: Int?
    let missing: [Interval]
    @OrNull var repeated_count: Int?
    let repeated: [Repeat]
    let deaths: [Death]
    @OrNull var redone: Int?
    @OrNull var quarantined: [Int]?
    @OrNull var vacant_ranks: [Int]?
    @OrNull var server_deaths: [String]?
    @OrNull var cancelled: Bool?
    @OrNull var loops: Int?
    @OrNull var failed_loops: Int?
    @OrNull var death_count: Int?
    @OrNull var adopted: Int?

    init(_ report: AuditReport) {
        loops = report.loops
        failed_loops = report.failedLoops
        death_count = report.deathCount
        adopted = report.adopted
        chunks = report.chunks
        exactly_once = report.exactlyOnce
        missing_count = report.missingCount
        missing = report.missing.map { Interval(first: $0.lowerBound, last: $0.upperBound - 1) }
        repeated_count = report.repeatedCount
        repeated = report.repeated.map {
            Repeat(first: $0.chunks.lowerBound, last: $0.chunks.upperBound - 1, ranks: $0.ranks)
        }
        deaths = report.deaths.map {
            Death(
                rank: $0.rank, signal: $0.signal, exit_code: $0.signal == 0 ? $0.exitCode : nil,
                chunk: $0.chunk, attempt: $0.attempt, stalled: $0.isStalled)
        }
        redone = report.redone
        quarantined = report.quarantined
        vacant_ranks = report.vacantRanks
        server_deaths = report.serverDeaths
        cancelled = report.isCancelled
    }
}
