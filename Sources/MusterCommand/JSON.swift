// JSON.swift - reports as JSON: one object, "schema" first, numbers as numbers, null for what is not
// available.

import FoundationEssentials
import Muster

/// What a command reports with `--json`.
protocol JSONReport: Encodable {
    /// "muster.stats/1"
    static var schema: String { get }
}

extension Output {
    /// Prints a report as JSON on stdout.
    static func json<Report: JSONReport>(_ report: Report) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // The encoder spreads empty lists over three lines. A line break in a string is escaped, so
        // only lists are met here.
        let body = String(decoding: try encoder.encode(report), as: UTF8.self)
            .replacing(/\[\n\n *\]/, with: "[]")
        // The encoder can't keep an order, so the schema is set before its first key.
        line("{\n  \"schema\" : \"\(Report.schema)\"," + body.dropFirst())
    }
}

/// A number that may be missing: nil, NaN and infinities become null (synthesised encoders would leave
/// the key out, or fail).
struct Nullable: Encodable {
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

/// The audit as every command reports it.
struct AuditJSON: Encodable {
    struct Interval: Encodable {
        let first: Int
        let last: Int
    }
    struct Repeat: Encodable {
        let first: Int
        let last: Int
        let ranks: [Int]
    }
    struct Death: Encodable {
        let rank: Int
        let signal: Int
        let chunk: Int?
        let attempt: Int

        enum CodingKeys: CodingKey { case rank, signal, chunk, attempt }
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(rank, forKey: .rank)
            try container.encode(signal, forKey: .signal)
            try container.encode(chunk, forKey: .chunk)  // null: on none
            try container.encode(attempt, forKey: .attempt)
        }
    }
    let chunks: Int
    let exactly_once: Int
    let missing: [Interval]
    let repeated: [Repeat]
    let deaths: [Death]

    init(_ report: AuditReport) {
        chunks = report.chunks
        exactly_once = report.exactlyOnce
        missing = report.missing.map { Interval(first: $0.lowerBound, last: $0.upperBound - 1) }
        repeated = report.repeated.map {
            Repeat(first: $0.chunks.lowerBound, last: $0.chunks.upperBound - 1, ranks: $0.ranks)
        }
        deaths = report.deaths.map {
            Death(rank: $0.rank, signal: $0.signal, chunk: $0.chunk, attempt: $0.attempt)
        }
    }
}
