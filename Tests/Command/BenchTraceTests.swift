// BenchTraceTests.swift - `muster bench --trace FILE`: what each benchmark has recorded, and what is refused.

import Foundation
import Muster
import Testing

/// A benchmark, and what its trace must have.
struct TracedBench: Sendable, CustomTestStringConvertible {
    let command: [String]
    /// Kernels of its loops, each at least once.
    let kernels: Set<String>
    /// What its timelines are called, or begin with.
    let names: [String]
    /// How often ranks die in it.
    var deaths = 0
    var testDescription: String { command.joined(separator: " ") }

    init(_ command: String, _ kernels: Set<String>, _ names: [String], deaths: Int = 0) {
        self.command = command.split(separator: " ").map(String.init)
        (self.kernels, self.names, self.deaths) = (kernels, names, deaths)
    }

    /// With commands of their own, then as tests of the tour.
    static let all = [
        TracedBench(
            "dispatch -n 2", ["Empty"], ["dispatch leader-waits", "dispatch leader-works"]),
        TracedBench(
            "schedule -n 2 --chunks 100 --chunks 5000", ["Empty"],
            Schedule.allCases.map { "schedule \($0)" }),
        TracedBench("barrier -n 2", ["Empty"], ["barrier team's job"]),
        TracedBench("spawn -n 2 -n 3", ["Empty"], ["spawn job"]),
        TracedBench("pages -n 2 --size 4MiB", ["Sum", "RandomReads"], ["pages 4k"]),
        TracedBench(
            "recovery -n 2 --size 1MiB", ["DieOnce", "TouchAll", "ScaleInPlace", "ScaleWhole"],
            ["recovery little touched", "recovery 1 GiB touched, 4 KiB", "recovery in place"],
            deaths: 4),
        TracedBench("stream -n 2 --size 1MiB", ["Copy", "Triad"], ["stream"]),
        TracedBench("sum -n 2 --size 1MiB", ["Sum"], ["sum"]),
        TracedBench("tour matrix --quick", ["Write", "Sum", "Triad"], ["matrix: CPU node"]),
        TracedBench("tour mixes --quick", ["MixWork"], ["mixes"]),
        TracedBench("tour scaling --quick", ["Sum", "Triad"], ["scaling: 1 ranks"]),
        TracedBench(
            "tour placement --quick", ["Triad"], ["placement leader", "placement mirrored"]),
        TracedBench("tour latency --quick", ["LinkChase"], ["latency: CPU node"]),
        TracedBench("tour staircase --quick", ["LinkChase"], ["staircase: CPU node"]),
        TracedBench(
            "tour dispatch schedule barrier spawn --quick", ["Empty"],
            ["dispatch", "schedule", "barrier", "spawn"]),
    ]

    /// Those that measure nothing on one CPU.
    static let betweenCPUs = [
        TracedBench(
            "tour loaded --quick", ["LinkChase", "Loaded"], ["loaded, the chase alone", "loaded"]),
        TracedBench("tour c2c --quick", ["Transfer", "PingPong"], ["c2c"]),
    ]
}

@Suite struct BenchTraceTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    @Test(
        "What goes on between two CPUs is traced like all else",
        .enabled(if: try Topology.read().usableCPUCount > 1, "this machine has one CPU"),
        arguments: TracedBench.betweenCPUs)
    func tracedBetweenCPUs(_ bench: TracedBench) throws { try traced(bench) }

    @Test("A traced benchmark's file has its loops, each chunk once", arguments: TracedBench.all)
    func traced(_ bench: TracedBench) throws {
        let trace = folder.path("trace.json")
        let result = try CommandRunner.run(
            ["bench"] + bench.command + ["--samples", "1", "--trace", trace, "--json"])
        try #require(result.status == 0, "\(result.errors)")
        let text = try TraceText(trace)
        try text.expectEachChunkOnce()
        #expect(text.other["dropped_chunks"] as? Int == 0)
        #expect(text.other["dropped_loops"] as? Int == 0)
        let kernels = Set(text.events("loop").compactMap { $0["name"] as? String })
        for kernel in bench.kernels {
            #expect(
                kernels.contains { $0.split { !$0.isLetter }.contains(kernel[...]) }, "\(kernels)")
        }
        #expect(text.events("death").count >= bench.deaths)
        #expect((text.events("redo").count > 0) == (bench.deaths > 0))

        let report = try result.json()
        try SchemaCheck.bench().expect(report)
        let timelines = try #require(report["timelines"] as? [[String: Any]])
        let names = timelines.compactMap { $0["name"] as? String }
        for name in bench.names { #expect(names.contains { $0.hasPrefix(name) }, "\(names)") }
        let loads = timelines.flatMap { $0["loads"] as? [[String: Any]] ?? [] }
        let committed = text.events("chunk").count {
            ($0["args"] as? [String: Any])?["committed"] as? Bool == true
        }
        #expect(committed > 0)
        #expect(loads.compactMap { $0["chunks"] as? Int }.reduce(0, +) == committed)
        #expect(
            timelines.compactMap { $0["loops"] as? Int }.reduce(0, +) == text.events("loop").count)
    }

    @Test("Every test of the registry is traced here, or says why it is not")
    func allAreTested() throws {
        let list = try CommandRunner.run(["bench", "--list"]).output.split(separator: "\n")
        let tests = Set(list.dropFirst().compactMap { $0.split(separator: " ").first })
        let traced = Set(
            (TracedBench.all + TracedBench.betweenCPUs).flatMap(\.command).map { $0[...] }
        ).intersection(tests)
        // A kernel of the user's needs a library: BenchLibraryTests.
        #expect(tests.subtracting(traced) == ["touch", "migrate", "kernel"])
    }

    @Test(
        "What times no loop refuses a trace, in one line, and leaves no file",
        arguments: [["touch"], ["tour", "touch"], ["migrate"], ["tour", "migrate", "touch"]])
    func refused(tests: [String]) throws {
        let trace = folder.path("trace.json")
        let result = try CommandRunner.run(["bench"] + tests + ["--trace", trace])
        let first = result.errors.split(separator: "\n").first ?? ""
        #expect(result.status == 64 && result.output == "" && first.contains("--trace: not of"))
        #expect(
            first.contains(tests.last == "migrate" || tests.count == 3 ? "moves pages" : "makes"))
        #expect(!FileManager.default.fileExists(atPath: trace))
    }

    @Test("Beside others it is left out, and noted; where no loop has run, no file is written")
    func leftOut() throws {
        let trace = folder.path("trace.json")
        let some = try CommandRunner.run([
            "bench", "tour", "touch", "sum", "--quick", "--samples", "1", "--trace", trace,
            "--json",
        ])
        #expect(some.status == 0, "\(some.errors)")
        let notes = try some.json()["notes"] as? [String] ?? []
        #expect(notes.contains { $0.hasPrefix("touch is not traced: ") }, "\(notes)")
        try FileManager.default.removeItem(atPath: trace)
        let none = try CommandRunner.run([
            "bench", "latency", "--quick", "--size", "512TiB", "--trace", trace, "--json",
        ])
        #expect(none.status == 2 && none.errors.contains("no loop has run"), "\(none.errors)")
        #expect((try none.json()["timelines"] as? [Any])?.isEmpty == true)
        #expect(!FileManager.default.fileExists(atPath: trace))
    }

    @Test("Shares are on the page and in text, and a saved report has them again")
    func shares() throws {
        let (json, html) = (folder.path("a.json"), folder.path("a.html"))
        let run = try CommandRunner.run([
            "bench", "tour", "stream", "placement", "--quick", "--size", "1MiB", "--samples", "1",
            "--trace", folder.path("trace.json"), "--save", json, "--html", html,
        ])
        try #require(run.status == 0, "\(run.errors)")
        let report = try CommandResult(output: String(contentsOfFile: json, encoding: .utf8)).json()
        let timelines = try #require(report["timelines"] as? [[String: Any]])
        #expect(timelines.count == 7)
        let loads = timelines.flatMap { $0["loads"] as? [[String: Any]] ?? [] }
        #expect(loads.allSatisfy { $0["chunks"] as? Int ?? 0 > 0 && number($0["busy_s"])! > 0 })
        // Every number of the JSON, to the last bit.
        let keys = ["chunks", "busy_s", "waiting_s", "stolen", "remote_bytes", "bytes"]
        let page = try String(contentsOfFile: html, encoding: .utf8)
        let section = try #require(page.components(separatedBy: "<section id=\"timelines\"").last)
            .components(separatedBy: "</section>")[0]
        let found = section.components(separatedBy: "data-value=\"").dropFirst().map {
            Double($0.prefix { $0 != "\"" })
        }
        #expect(found == loads.flatMap { load in keys.compactMap { number(load[$0]) } })
        let names = timelines.compactMap { $0["name"] as? String }
        for name in names {
            #expect(section.contains("<caption>\(name): "))
            #expect(run.output.contains("\n\(name)  ") && names.count == timelines.count)
        }
        // The rounded text of a table's row is the page's.
        for row in section.components(separatedBy: "<tr>").dropFirst().filter({ $0.contains("<td") }
        ) {
            let cells = row.components(separatedBy: "</t").dropLast().map {
                String($0.reversed().prefix { $0 != ">" }.reversed())
            }.filter { !$0.isEmpty }
            let line = run.output.split(separator: "\n").first {
                $0.split(separator: " ").joined() == cells.joined().filter { $0 != " " }
            }
            #expect(line != nil, "\(cells)")
        }
        let again = try CommandRunner.run(["report", json])
        #expect(again.status == 0 && run.output.contains(again.output))
        #expect(try CommandRunner.run(["report", json, "--html", "-"]).output == page)
    }
}
