// BenchTourTests.swift - `muster bench` as a whole: one report in all its forms, and what is refused.

import Foundation
import Muster
import Testing

/// One quick tour in all its forms, run once for all tests here.
final class QuickTour: Sendable {
    static let shared = Result { try QuickTour() }

    let folder: TemporaryFolderBox
    let text: String
    var json: String { folder.path("tour.json") }

    /// Keeps the folder for as long as there are tests.
    final class TemporaryFolderBox: @unchecked Sendable {
        private let folder: TemporaryFolder
        init() throws { folder = try TemporaryFolder.untilExit() }
        func path(_ name: String) -> String { folder.path(name) }
    }

    private init() throws {
        folder = try TemporaryFolderBox()
        let run = try ToolRun(arguments: [
            "bench", "--quick", "--samples", "2", "--save", folder.path("tour.json"),
            "--csv", folder.path("tour.csv"), "--html", folder.path("tour.html"),
            "--trace", folder.path("trace.json"),
        ])
        try #require(run.status == 0 && !run.hasHung, "\(run.errors)")
        text = run.output
    }

    func file(_ name: String) throws -> String {
        try String(contentsOfFile: folder.path(name), encoding: .utf8)
    }

    func report() throws -> [String: Any] {
        let value = try JSONSerialization.jsonObject(with: Data(file("tour.json").utf8))
        return try #require(value as? [String: Any])
    }

    /// A copy with every figure of some rows changed.
    func changed(_ name: String, _ change: (inout [String: Any]) -> Void) throws -> String {
        var report = try report()
        var rows = try #require(report["rows"] as? [[String: Any]])
        for index in rows.indices { change(&rows[index]) }
        report["rows"] = rows
        let path = folder.path(name)
        try JSONSerialization.data(withJSONObject: report).write(to: URL(fileURLWithPath: path))
        return path
    }
}

/// The figures of a row, and the key that they are under.
func figures(_ row: [String: Any]) -> (key: String, value: [String: Any])? {
    for key in ["rate_gb_per_s", "time_ns", "percent", "ratio"] {
        if let value = row[key] as? [String: Any] { return (key, value) }
    }
    return nil
}

@Suite("muster bench, all of it")
struct BenchTourTests {
    private let tour: QuickTour
    init() throws { tour = try QuickTour.shared.get() }

    @Test("The JSON is as its schema says, and has rows of every test of the tour")
    func schema() throws {
        let report = try tour.report()
        try SchemaCheck.bench().expect(report)
        let rows = try #require(report["rows"] as? [[String: Any]])
        let families = Set(rows.compactMap { ($0["test"] as? String)?.split(separator: "/").first })
        let tests = try #require(report["tests"] as? [[String: Any]])
        #expect(Set(tests.compactMap { ($0["name"] as? String).map { $0[...] } }) == families)
        #expect(families.count == 16)
        #expect(report["partial"] as? Bool == false)
        let readings = try #require(
            (report["canary"] as? [String: Any])?["readings"] as? [[String: Any]])
        #expect(readings.count == tests.count + 1)
        for row in rows {
            #expect((figures(row) == nil) == (row["reason"] is String))
            guard let found = figures(row)?.value else { continue }
            let samples = try #require(found["samples"] as? [Double])
            #expect(samples.count >= 2 && samples.allSatisfy { $0 > 0 })
            #expect(found["minimum"] as? Double == samples.min())
        }
    }

    @Test("The schema's check finds what is wrong")
    func schemaCheckFails() throws {
        let check = try SchemaCheck.bench()
        var report = try tour.report()
        report["partial"] = "no"
        #expect(!check.faults(report, check.root, "report").isEmpty)
        report = try tour.report()
        report["extra"] = 1
        #expect(!check.faults(report, check.root, "report").isEmpty)
        report = try tour.report()
        var rows = try #require(report["rows"] as? [[String: Any]])
        rows[0]["ratio"] = NSNull()
        report["rows"] = rows
        #expect(!check.faults(report, check.root, "report").isEmpty)
    }

    @Test("Every row is in CSV with the JSON's numbers, to the last bit")
    func csv() throws {
        let lines = try tour.file("tour.csv").split(separator: "\r\n")
        let rows = try #require(try tour.report()["rows"] as? [[String: Any]])
        #expect(lines.count == rows.count + 1)
        let head = lines[0].split(separator: ",", omittingEmptySubsequences: false)
        let (median, samples) = try (
            #require(head.firstIndex(of: "median")), #require(head.firstIndex(of: "samples"))
        )
        for (line, row) in zip(lines.dropFirst(), rows) {
            let cells = line.split(separator: ",", omittingEmptySubsequences: false)
            guard let found = figures(row)?.value else { continue }
            #expect(cells.count == head.count)
            #expect(Double(cells[median]) == number(found["median"]))
            #expect(
                cells[samples].split(separator: " ").map { Double($0) }
                    == (found["samples"] as? [Any])?.map { number($0) })
        }
    }

    @Test("Every row's numbers are in the page, to the last bit, and rounded in the text")
    func pageAndText() throws {
        let page = try tour.file("tour.html")
        let rows = try #require(try tour.report()["rows"] as? [[String: Any]])
        let expected = rows.flatMap { row in
            ["median", "minimum", "maximum"].compactMap { key in
                figures(row).flatMap { number($0.value[key]) }
            }
        }
        // What the ranks did comes after the figures: BenchTraceTests.
        let figuresAlone = page.components(separatedBy: "<section id=\"timelines\"")[0]
        let found = figuresAlone.split(separator: "data-value=\"").dropFirst().map {
            Double($0.prefix { $0 != "\"" })
        }
        #expect(found == expected)
        for row in rows {
            guard let median = figures(row).flatMap({ number($0.value["median"]) }) else {
                continue
            }
            let hundredths = Int((median * 100).rounded())
            let text = "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
            #expect(tour.text.contains(text), "\(row["test"] ?? "") \(row["kernel"] ?? "")")
        }
        // The report itself is in it, whole.
        let script = try #require(page.split(separator: "id=\"report\">").last)
        let body = script.prefix(upTo: try #require(script.range(of: "</script>")).lowerBound)
        let inside = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? NSDictionary
        let outside = try tour.report() as NSDictionary
        #expect(inside == outside)
    }

    @Test("The page loads nothing from anywhere")
    func pageIsAlone() throws {
        let page = try tour.file("tour.html")
        for word in ["http:", "https:", "src=", "@import", "url(", "<link rel=\"stylesheet"] {
            #expect(!page.contains(word), "\(word)")
        }
    }

    @Test("report shows a saved report again: the same text, the same page")
    func report() throws {
        let text = try ToolRun("report", tour.json)
        #expect(text.status == 0 && text.output == tour.text)
        let page = try ToolRun("report", tour.json, "--html", "-")
        let saved = try tour.file("tour.html")
        #expect(page.status == 0 && page.output == saved)
        let csv = try ToolRun("report", tour.json, "--csv", "-")
        #expect(
            csv.output.replacing("\r\n", with: "\n")
                == (try tour.file("tour.csv")).replacing("\r\n", with: "\n"))
    }

    @Test(
        "A report that is none is refused, with what is wrong with it",
        arguments: [
            ("", "no JSON object"), ("[]", "no JSON object"),
            ("{\"schema\":\"muster.stats/1\"}", "muster.stats/1"),
            ("{\"schema\":\"muster.bench/1\"}", "has no"),
            (
                "{\"schema\":\"muster.bench/1\",\"error\":\"x went wrong\",\"audit\":null}",
                "x went wrong"
            ),
        ])
    func badReport(text: String, words: String) throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("bad.json", Array(text.utf8))
        for arguments in [["report", file], ["compare", file, tour.json]] {
            let run = try ToolRun(arguments: arguments)
            #expect(run.status == 2 && run.output.isEmpty)
            #expect(run.errors.contains(words), "\(run.errors)")
            #expect(run.errors.split(separator: "\n").count == 1)
        }
        #expect(try ToolRun("report", "/nowhere.json").errors.contains("no such file"))
    }

    @Test("A run against itself is clean")
    func compareWithItself() throws {
        let run = try ToolRun("compare", tour.json, tour.json)
        #expect(run.status == 0 && run.output.contains(" 0 worse"), "\(run.output)\(run.errors)")
        // With one CPU some rows have no figures.
        let all = try #require(try tour.report()["rows"] as? [[String: Any]])
        let alone = run.output.split(separator: "\n").count { $0.hasPrefix("only in one report, ") }
        #expect(alone == all.count { figures($0) == nil })
        let json = try ToolRun("compare", tour.json, tour.json, "--json").object()
        #expect(
            Set(json.keys) == [
                "schema", "before", "after", "threshold", "rows", "unpaired", "differences",
            ])
        let rows = try #require(json["rows"] as? [[String: Any]])
        #expect(
            rows.allSatisfy { $0["verdict"] as? String == "same" && $0["change"] as? Double == 0 })
    }

    /// A report whose rows are quiet, so that only what a test changes differs.
    private func quiet(_ name: String, factor: Double) throws -> String {
        let path = try tour.changed(name) { row in
            guard let (key, _) = figures(row) else { return }
            let value = key == "rate_gb_per_s" ? 10 / factor : 10 * factor
            let samples = [0.99, 1, 1.01].map { $0 * value }
            row[key] = [
                "median": samples[1], "minimum": samples[0], "maximum": samples[2],
                "samples": samples,
            ]
        }
        var report = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path)))
                as? [String: Any])
        report["canary"] = NSNull()
        try JSONSerialization.data(withJSONObject: report).write(to: URL(fileURLWithPath: path))
        return path
    }

    @Test("Ten per cent slower is caught, two is not, ten faster is no regression")
    func compare() throws {
        let before = try quiet("before.json", factor: 1)
        let rows = try #require(try tour.report()["rows"] as? [[String: Any]])
        let measured = rows.count { figures($0) != nil }
        let slower = try ToolRun("compare", before, try quiet("slower.json", factor: 1.1))
        #expect(slower.status == 1 && slower.output.contains("\(measured) worse"))
        #expect(slower.errors.contains("worse than"))
        let bit = try ToolRun("compare", before, try quiet("bit.json", factor: 1.02))
        #expect(bit.status == 0 && bit.output.contains("\(measured) same"))
        let faster = try ToolRun("compare", before, try quiet("faster.json", factor: 1 / 1.1))
        #expect(faster.status == 0 && faster.output.contains("\(measured) better"))
        let lenient = try ToolRun(
            "compare", before, try quiet("lenient.json", factor: 1.1), "--threshold", "20%")
        #expect(lenient.status == 0)
    }

    /// A quiet report in which every row has this one figure, whatever it is.
    private func constant(_ name: String, _ value: Double) throws -> String {
        let path = try quiet(name, factor: 1)
        let url = URL(fileURLWithPath: path)
        var report = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
        var rows = try #require(report["rows"] as? [[String: Any]])
        for index in rows.indices {
            guard let (key, _) = figures(rows[index]) else { continue }
            rows[index][key] = [
                "median": value, "minimum": value, "maximum": value, "samples": [value, value],
            ]
        }
        report["rows"] = rows
        try JSONSerialization.data(withJSONObject: report).write(to: url)
        return path
    }

    @Test(
        "Medians of 0 and below: a change has the sign of the difference, and none is a dash",
        arguments: [
            (0.0, 0.0, "same", "+0.00 %"), (0, 1, "", "-"), (-0.5, -0.5, "same", "+0.00 %"),
            (-10, -5, "", "+50.00 %"), (-5, -10, "", "-100.00 %"), (1e300, 1e300, "same", "1e+300"),
        ])
    func oddMedians(old: Double, new: Double, verdict: String, words: String) throws {
        // Cases run side by side.
        let (before, after) = try (
            constant("odd \(old) \(new).json", old), constant("odder \(old) \(new).json", new)
        )
        let run = try ToolRun("compare", before, after, "--all")
        #expect((0...1).contains(run.status) && run.output.contains(words), "\(run.errors)")
        if old == -0.5 { #expect(run.output.contains(" -0.50 ") && !run.output.contains("0.0-50")) }
        let json = try ToolRun("compare", before, after, "--json").object()
        let rows = try #require(json["rows"] as? [[String: Any]])
        for row in rows {
            #expect((row["change"] is NSNull) == (old == 0 && new != 0))
            // More is better where bytes are counted by time, and worse where time is.
            let isBetter = (new > old) == (row["unit"] as? String == "GB/s")
            let right = verdict.isEmpty ? (isBetter ? "better" : "worse") : verdict
            #expect(row["verdict"] as? String == right, "\(row)")
        }
        #expect(try ToolRun("report", after).status == 0)
        #expect(try ToolRun("report", after, "--html", "-").status == 0)
    }

    @Test("What is within the noise is no regression")
    func noise() throws {
        let before = try quiet("calm.json", factor: 1)
        let after = try tour.changed("shaken.json") { row in
            guard let (key, _) = figures(row) else { return }
            let value = key == "rate_gb_per_s" ? 10 / 1.1 : 11.0
            let samples = [0.8, 1, 1.2].map { $0 * value }
            row[key] = [
                "median": samples[1], "minimum": samples[0], "maximum": samples[2],
                "samples": samples,
            ]
        }
        let run = try ToolRun("compare", before, after)
        #expect(run.status == 0 && run.output.contains(" 0 worse"), "\(run.output)\(run.errors)")
    }

    @Test("The plan and the list name every test, and measure nothing")
    func plan() throws {
        let list = try ToolRun("bench", "--list")
        let plan = try ToolRun("bench", "--dry-run")
        #expect(list.status == 0 && plan.status == 0 && plan.output.contains("plan: 16 tests"))
        for name in [
            "stream", "sum", "matrix", "latency", "staircase", "loaded", "c2c", "touch", "barrier",
            "spawn",
        ] {
            #expect(list.output.contains("\n\(name) ") && plan.output.contains("  \(name) "))
        }
    }
}
