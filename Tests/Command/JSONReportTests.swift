// JSONReportTests.swift - every key that a report can have stands in JSONReports.md.

import Foundation
import Muster
import Testing

@Suite struct JSONReportTests {
    /// The words in code spans of the page that documents the reports.
    static func documentedKeys() throws -> Set<Substring> {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appendingPathComponent("Sources/Muster/Muster.docc/JSONReports.md"),
            encoding: .utf8)
        let spans = page.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map(\.element)
        return Set(spans.flatMap { $0.split { !($0.isLetter || $0.isNumber || $0 == "_") } })
    }

    static func keys(of value: Any) -> Set<String> {
        if let object = value as? [String: Any] {
            return object.values.reduce(into: Set(object.keys)) { $0.formUnion(keys(of: $1)) }
        }
        let list = value as? [Any] ?? []
        return list.reduce(into: []) { $0.formUnion(keys(of: $1)) }
    }

    @Test(
        "Every key of every report is documented",
        arguments: [
            ["stats", "FILE"], ["hello"], ["storm", "--kills", "20"], ["demo", "--rounds", "10"],
            ["topology"], ["doctor"], ["placement", "--size", "3MiB", "-n", "2"],
            ["placement", "FILE", "-n", "1"],
            ["placement", "--size", "1MiB", "--placement", "mirrored", "--by-chunk"],
            ["bench", "pages", "-n", "1", "--samples", "1", "--size", "4MiB"],
            ["bench", "stream", "--size", "8", "--samples", "1"],
            ["bench", "stream", "--size", "8", "--samples", "1", "--corrupt"],
            ["bench", "dispatch", "-n", "1", "--samples", "1"],
            ["bench", "schedule", "-n", "1", "--samples", "1", "--chunks", "10"],
            ["bench", "recovery", "-n", "1", "--samples", "1", "--size", "1MiB"],
            ["bench", "latency", "mixes", "c2c", "--quick", "--samples", "1"],
        ])
    func keysAreDocumented(_ arguments: [String]) throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("a.npy", StatsFiles.npy([1.0, 2]))
        let result = try CommandRunner.run(
            arguments.map { $0 == "FILE" ? file : $0 } + ["--json"])
        let keys = Self.keys(of: try result.json())
        #expect(keys.count > 3)
        let missing = keys.subtracting(try Self.documentedKeys().map(String.init))
        #expect(missing.isEmpty, "not in JSONReports.md: \(missing.sorted())")
    }
}
