// TraceTests.swift - `--trace FILE`: a trace as viewers read it, and how evenly work was shared.

import Foundation
import Testing

@Suite struct TraceTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private func file(count: Int = 100_000) throws -> String {
        try folder.write("a.npy", StatsFiles.npy(StatsFiles.awkward(count: count, seed: 1)))
    }

    @Test("Every chunk is in it once, and its rank has a name")
    func stats() throws {
        let (path, trace) = (try file(), folder.path("trace.json"))
        for (schedule, ranks) in [("static", 1), ("dynamic", 3), ("static-steal", 2)] {
            let result = try CommandRunner.run([
                "stats", path, "-n", "\(ranks)", "--schedule", schedule, "--trace", trace, "--json",
            ])
            try #require(result.status == 0, "\(result.errors)")
            let text = try TraceText(trace)
            try text.expectEachChunkOnce()
            let report = try result.json()
            let audit = try #require(report["audit"] as? [String: Any])
            let chunks = text.events("chunk")
            #expect(chunks.count == audit["chunks"] as? Int)
            let loops = text.events("loop").compactMap { $0["name"] as? String }
            #expect(loops.count == 2 && loops[0].contains("Moments"), "\(loops)")
            #expect(text.other["dropped_chunks"] as? Int == 0)
            let names = text.events.filter { $0["name"] as? String == "thread_name" }
                .compactMap { ($0["args"] as? [String: Any])?["name"] as? String }
            #expect(names.count == ranks + 1 && names[0] == "leader")
            #expect(names[1].hasPrefix("rank 0 ("), "\(names)")

            let timeline = try #require(report["timeline"] as? [String: Any])
            let loads = try #require(timeline["loads"] as? [[String: Any]])
            #expect(loads.count == ranks)
            #expect(loads.compactMap { $0["chunks"] as? Int }.reduce(0, +) == chunks.count)
            let stolen = chunks.count { ($0["args"] as? [String: Any])?["stolen"] as? Bool == true }
            #expect(loads.compactMap { $0["stolen"] as? Int }.reduce(0, +) == stolen)
            for (rank, load) in loads.enumerated() {
                let busy = chunks.filter { TraceText.rank($0) == rank }
                    .compactMap { number($0["dur"]) }.reduce(0, +)
                let found = try #require(number(load["busy_s"]))
                #expect(abs(found - busy / 1e6) <= 1e-9 * Double(chunks.count), "rank \(rank)")
            }
        }
    }

    @Test("Deaths are in it, and chunks that were done again")
    func storm() throws {
        let trace = folder.path("trace.json")
        let result = try CommandRunner.run([
            "storm", "-n", "3", "--kills", "30", "--trace", trace, "--json",
        ])
        try #require(result.status == 0, "\(result.errors)")
        let text = try TraceText(trace)
        try text.expectEachChunkOnce()
        let audit = try #require(try result.json()["audit"] as? [String: Any])
        #expect(
            text.events("chunk").count {
                ($0["args"] as? [String: Any])?["committed"] as? Bool == true
            }
                == audit["chunks"] as? Int)
        #expect(!text.events("death").isEmpty)
        for death in text.events("death") {
            let cause = (death["args"] as? [String: Any])?["cause"] as? String
            #expect(cause?.contains("signal 9") == true, "\(death)")
        }
        let again = text.events("chunk").filter {
            (($0["args"] as? [String: Any])?["attempt"] as? Int ?? 0) > 1
        }
        #expect(again.count == text.events("redo").count)
    }

    @Test("Verified loops of programs are in it, and the death of a rank")
    func run() throws {
        let (trace, path) = (folder.path("trace.json"), folder.path("report.json"))
        let calm = try CommandRunner.run(
            [
                "run", "-n", "3", "--trace", trace, "--json", path, "--", testHost, "member", "all",
                "/",
            ])
        #expect(calm.status == 0 && calm.output == "", "\(calm)")
        #expect(
            calm.errors.contains("run  1 loop, traced") && calm.errors.contains("rank  CPU  node"))
        var text = try TraceText(trace)
        try text.expectEachChunkOnce()
        #expect(text.events("loop").map { $0["name"] as? String } == ["leaky"])
        #expect(text.events("chunk").count == 10)
        let report = try CommandResult(output: String(contentsOfFile: path, encoding: .utf8)).json()
        let loads = try #require(
            (report["timeline"] as? [String: Any])?["loads"] as? [[String: Any]])
        #expect(loads.compactMap { $0["chunks"] as? Int } == [4, 3, 3])
        #expect(loads.allSatisfy { $0["remote_bytes"] is NSNull })
        let reasons = loads.map { $0["bytes_reason"] as? String ?? "" }
        #expect(reasons.allSatisfy { $0.contains("which arrays their chunks are of") })
        #expect(calm.errors.contains("\nremote: not known: \(reasons[0])\n"), "\(calm.errors)")

        // A chunk that nobody did has no event that is committed.
        let leaky = try CommandRunner.run(
            ["run", "-n", "3", "--trace", trace, "--", testHost, "member", "skip", "/"])
        #expect(leaky.status == 1)
        let skipped = try TraceText(trace).events("chunk").compactMap {
            $0["args"] as? [String: Any]
        }.filter { $0["committed"] as? Bool == false }
        #expect(skipped.map { $0["chunk"] as? Int } == [3])

        let death = try CommandRunner.run(
            [
                "run", "-n", "3", "--on-death", "continue", "--trace", trace, "--", testHost,
                "traced-member", "/",
            ])
        #expect(death.status == 137, "\(death)")
        text = try TraceText(trace)
        try text.expectEachChunkOnce()
        #expect(text.events("death").map(TraceText.rank) == [2])
        let open = text.events("chunk").filter {
            ($0["args"] as? [String: Any])?["committed"] as? Bool == false
        }
        #expect(open.map { $0["name"] as? String } == ["adopted (died)"])
        #expect(open.map { ($0["args"] as? [String: Any])?["chunk"] as? Int } == [8])
        #expect(text.events("redo").count == 1)

        // A member died when it did, not when who started it ended.
        let lost = try CommandRunner.run(
            [
                "run", "-n", "3", "--on-death", "continue", "--trace", trace, "--", "sh", "-c",
                "\"$0\" traced-member /; status=$?; sleep 0.05; exit $status", testHost,
            ])
        #expect(lost.status == 137, "\(lost)")
        text = try TraceText(trace)
        let ended = try #require(text.events("death").compactMap { number($0["ts"]) }.first)
        let redone = try #require(text.events("redo").compactMap { number($0["ts"]) }.first)
        #expect(ended <= redone)
    }

    @Test(
        "All loops of a program are in it, and those that have no room are counted everywhere",
        arguments: [(nil, 5000), (100, 100)] as [(Int?, Int)])
    func manyLoops(room: Int?, recorded: Int) throws {
        let (trace, path) = (folder.path("trace.json"), folder.path("report.json"))
        let run = try CommandRunner.run(
            ["run", "-n", "2", "--trace", trace, "--json", path]
                + (room.map { ["--trace-events", "\($0)"] } ?? [])
                + ["--", testHost, "traced-loops", "5000", "/"])
        try #require(run.status == 0, "\(run.errors)")
        let text = try TraceText(trace)
        try text.expectEachChunkOnce()
        #expect(text.events("loop").count == recorded && text.events("chunk").count == 2 * recorded)
        #expect(text.other["dropped_loops"] as? Int == 5000 - recorded)
        let report = try CommandResult(output: String(contentsOfFile: path, encoding: .utf8)).json()
        let timeline = try #require(report["timeline"] as? [String: Any])
        #expect(timeline["loops"] as? Int == recorded)
        #expect(timeline["dropped_loops"] as? Int == 5000 - recorded)
        let line = "incomplete: no room for the last 4,900 loops: --trace-events makes more\n"
        #expect(run.errors.contains(line) == (recorded < 5000), "\(run.errors)")
    }

    @Test("How evenly the work was shared is said in text, and what is missing")
    func text() throws {
        let (path, trace) = (try file(), folder.path("trace.json"))
        var result = try CommandRunner.run(["stats", path, "-n", "2", "--trace", trace])
        #expect(result.status == 0 && result.output.contains("rank  CPU  node  chunks"))
        #expect(!result.output.contains("incomplete"))
        #expect(result.output.hasSuffix("trace  \(trace)\n"))
        result = try CommandRunner.run([
            "stats", path, "-n", "2", "--trace", trace, "--trace-events", "3",
        ])
        #expect(result.status == 0 && result.output.contains("incomplete: no room for the last "))
        #expect(result.output.contains("remote: not known: not all of the rank's chunks were"))
        let text = try TraceText(trace)
        #expect(text.events("chunk").count == 6)
        #expect(text.other["dropped_chunks"] as? Int ?? 0 > 100)
    }

    @Test("A trace that can't be written takes no result with it")
    func full() throws {
        let (path, report) = (try file(), folder.path("report.json"))
        let stats = try CommandRunner.run([
            "stats", path, "-n", "2", "--trace", "/dev/full", "--json",
        ])
        #expect(
            stats.status == 2 && stats.errors.contains("/dev/full: can't be written"), "\(stats)")
        #expect(try stats.json()["audit"] != nil)
        // The ranks' own status comes first.
        for (program, status) in [(["true"], 2), (["sh", "-c", "exit 3"], 3)] as [([String], Int32)]
        {
            let run = try CommandRunner.run(
                ["run", "-n", "1", "--trace", "/dev/full", "--json", report, "--"] + program)
            #expect(run.status == status && run.errors.contains("/dev/full: can't be"), "\(run)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: report)).count > 0)
            try FileManager.default.removeItem(atPath: report)
        }
    }

    @Test("A file that can't be written is refused before the work")
    func refused() throws {
        let path = try file()
        for command in [
            ["stats", path], ["storm"], ["bench", "stream"], ["bench", "sum"], ["bench"],
            ["bench", "dispatch"], ["bench", "recovery"],
        ] {
            let result = try CommandRunner.run(command + ["--trace", "/nowhere/trace.json"])
            #expect(result.status == 2 && result.output == "", "\(command)")
            #expect(result.errors.hasPrefix("muster: /nowhere/trace.json: can't be written"))
        }
        for wrong in [["--trace-events", "3"], ["--trace", "x", "--trace-events", "0"]] {
            #expect(try CommandRunner.run(["stats", path] + wrong).status == 64)
        }
        // A run that fails leaves what was there.
        let trace = try folder.write("old.json", Array("old".utf8))
        let damaged = try folder.write("b.npy", Array("no array".utf8))
        #expect(try CommandRunner.run(["stats", damaged, "--trace", trace]).status == 2)
        #expect(try String(contentsOfFile: trace, encoding: .utf8) == "old")
    }
}
