// BenchTests.swift - `muster bench`: what it reports, and that it reports nothing that is wrong.

import Foundation
import Muster
import Testing

/// Keys that every measurement has, and no others; beside them all that the schema asks for.
private func checkFrame(_ report: [String: Any]) throws -> [[String: Any]] {
    try SchemaCheck.bench().expect(report)
    let environment = try #require(report["environment"] as? [String: Any])
    #expect((environment["command"] as? String)?.hasPrefix("muster bench ") == true)
    let audit = try #require(report["audit"] as? [String: Any])
    #expect(audit["chunks"] as? Int == audit["exactly_once"] as? Int)
    for key in ["missing", "repeated", "deaths"] {
        #expect((audit[key] as? [Any])?.isEmpty == true)
    }
    return try #require(report["rows"] as? [[String: Any]])
}

/// Sense of one row.
private func checkRow(_ row: [String: Any], quantity: String, samples: Int) throws {
    #expect(row["verified"] as? Bool == true && row["reason"] is NSNull)
    let figures = try #require(row[quantity] as? [String: Any])
    let values = try #require(figures["samples"] as? [Double])
    let (low, middle, high) = try (
        #require(figures["minimum"] as? Double), #require(figures["median"] as? Double),
        #require(figures["maximum"] as? Double)
    )
    #expect(values.count == samples)
    #expect(low == values.min() && high == values.max())
    #expect(low > 0 && low <= middle && middle <= high)
}

private func auditedChunks(_ report: [String: Any]) -> Int? {
    (report["audit"] as? [String: Any])?["chunks"] as? Int
}

@Suite("muster bench")
struct BenchTests {
    @Test("stream: JSON has exactly its keys, four verified rows, a clean audit")
    func streamJSON() throws {
        let run = try ToolRun(
            "bench", "stream", "-n", "3", "--size", "1MiB", "--samples", "4", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let report = try run.object()
        let rows = try checkFrame(report)
        #expect(rows.map { $0["kernel"] as? String } == ["copy", "scale", "add", "triad"])
        for row in rows {
            #expect(row["test"] as? String == "stream" && row["ranks"] as? Int == 3)
            try checkRow(row, quantity: "rate_gb_per_s", samples: 4)
        }
        // 4 chunks of 32,768 elements: begin, five rounds of four kernels, three checks.
        #expect(auditedChunks(report) == 4 * (1 + 5 * 4 + 3))
    }

    @Test(
        "stream: right at every size and team, with both kinds of stores",
        arguments: ["8", "56", "262136", "262152", "3MiB"], ["1", "2", "5"])
    func streamSizes(size: String, ranks: String) throws {
        for stores in [[], ["--plain"]] {
            let run = try ToolRun(
                arguments: ["bench", "stream", "--size", size, "-n", ranks, "--samples", "1"]
                    + stores)
            #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
            #expect(run.output.contains("each exactly once; every element checked"))
        }
    }

    @Test(
        "stream: one wrong bit in one element: exit 1, the array named, no figure printed",
        arguments: ["8", "1MiB", "5000000"])
    func streamNoticesAWrongResult(size: String) throws {
        let arguments = [
            "bench", "stream", "-n", "2", "--size", size, "--samples", "1", "--corrupt",
        ]
        let text = try ToolRun(arguments: arguments)
        #expect(text.status == 1 && !text.hasHung)
        #expect(text.output.isEmpty)
        #expect(text.errors.contains("stream: array a: 1 of "))

        let json = try ToolRun(arguments: arguments + ["--json"])
        #expect(json.status == 1 && json.errors.contains("stream: array a: 1 of "))
        let report = try json.object()
        #expect(Set(report.keys) == ["schema", "error", "audit"])
        #expect(report["schema"] as? String == "muster.bench/1")
        #expect((report["error"] as? String)?.hasPrefix("stream: array a: 1 of ") == true)
        let audit = try #require(report["audit"] as? [String: Any])
        #expect(audit["exactly_once"] as? Int == audit["chunks"] as? Int)
    }

    @Test("stream: arrays beyond the machine's memory are refused before they are made")
    func streamWithoutMemory() throws {
        for size in ["1024TiB", "9223372036854775807"] {
            let run = try ToolRun("bench", "stream", "--size", size)
            #expect(run.status == 2 && run.output.isEmpty)
            #expect(run.errors.contains("memory that are available now"))
        }
    }

    @Test("dispatch: a row for each size, leader waiting and working")
    func dispatchJSON() throws {
        let run = try ToolRun("bench", "dispatch", "-n", "3", "--samples", "2", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let rows = try checkFrame(try run.object())
        #expect(
            rows.map { "\($0["test"] ?? "") \($0["ranks"] ?? "")" } == [
                "dispatch/leader-waits 1", "dispatch/leader-waits 2", "dispatch/leader-waits 3",
                "dispatch/leader-works 1", "dispatch/leader-works 2", "dispatch/leader-works 3",
            ])
        for row in rows { try checkRow(row, quantity: "time_ns", samples: 2) }
    }

    @Test(
        "schedule: a row for each schedule, number of chunks and team; every chunk counted",
        arguments: ["waits", "works"])
    func scheduleJSON(leader: String) throws {
        let run = try ToolRun(
            "bench", "schedule", "-n", "3", "--chunks", "1001", "--chunks", "77", "--samples", "2",
            "--leader", leader, "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let report = try run.object()
        let rows = try checkFrame(report)
        var expected: [String] = []
        for ranks in [1, 3] {
            for chunks in [1001, 77] {
                for schedule in ["static", "cyclic", "dynamic", "guided", "static-steal"] {
                    let who = leader == "works" ? "leader-works/" : ""
                    expected.append("schedule/\(who)\(schedule)/\(chunks) \(ranks)")
                }
            }
        }
        #expect(rows.map { "\($0["test"] ?? "") \($0["ranks"] ?? "")" } == expected)
        for row in rows { try checkRow(row, quantity: "time_ns", samples: 2) }
        // Short loops are repeated: each of them whole.
        let chunks = try #require(auditedChunks(report))
        #expect(chunks >= 2 * 5 * 3 * 1078 && chunks % 77 == 0)
    }

    @Test("spawn: the whole, its parts and bare forks, for each size asked for")
    func spawnJSON() throws {
        let run = try ToolRun(
            "bench", "spawn", "-n", "1", "-n", "3", "--samples", "2", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let report = try run.object()
        let rows = try checkFrame(report)
        let parts = ["team", "start", "job", "end", "bare fork"]
        #expect(
            rows.map { "\($0["test"] ?? "") \($0["ranks"] ?? "")" }
                == [1, 3].flatMap { size in parts.map { "spawn/\($0) \(size)" } })
        for row in rows { try checkRow(row, quantity: "time_ns", samples: 2) }
        #expect(auditedChunks(report) == 3 * (1 + 3))
    }

    @Test("barrier: members meet, and a team does, for every size up to -n")
    func barrierJSON() throws {
        let run = try ToolRun("bench", "barrier", "-n", "3", "--samples", "2", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let report = try run.object()
        let rows = try checkFrame(report)
        #expect(
            rows.map { "\($0["test"] ?? "") \($0["ranks"] ?? "")" }
                == (1...3).flatMap { size in
                    ["barrier", "all-reduce", "team's job"].map { "barrier/\($0) \(size)" }
                })
        for row in rows { try checkRow(row, quantity: "time_ns", samples: 2) }
        #expect(try #require(auditedChunks(report)) > 0)
    }

    @Test("sum and touch: verified rates", arguments: ["sum", "touch"])
    func memoryJSON(bench: String) throws {
        let run = try ToolRun(
            "bench", bench, "-n", "3", "--size", "3000000", "--samples", "2", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let rows = try checkFrame(try run.object())
        #expect(rows.first?["test"] as? String == (bench == "sum" ? "sum" : "touch/small pages"))
        for row in rows { try checkRow(row, quantity: "rate_gb_per_s", samples: 2) }
    }

    @Test(
        "Benchmarks of memory have the canary's readings around them and its verdict, others have none",
        arguments: [
            ["stream", "--size", "1MiB"], ["sum", "--size", "1MiB"], ["touch", "--size", "1MiB"],
            ["pages", "--size", "4MiB"], ["recovery", "--size", "1MiB"], ["dispatch"],
            ["schedule", "--chunks", "10"], ["spawn"],
        ])
    func canary(bench: [String]) throws {
        let arguments = ["bench"] + bench + ["-n", "1", "--samples", "1"]
        let report = try ToolRun(arguments: arguments + ["--json"]).object()
        try SchemaCheck.bench().expect(report)
        let text = try ToolRun(arguments: arguments).output
        guard !["dispatch", "schedule", "spawn"].contains(bench[0]) else {
            #expect(report["canary"] is NSNull && !text.contains("verdict: "))
            return
        }
        let canary = try #require(report["canary"] as? [String: Any])
        let readings = try #require(canary["readings"] as? [[String: Any]])
        #expect(readings.map { $0["when"] as? String } == ["before", bench[0]])
        #expect(text.contains("\ncanary: memory read at ") && text.contains("\nverdict: "))
    }

    @Test("text: a line of method, an aligned table, the audit")
    func text() throws {
        let run = try ToolRun("bench", "schedule", "-n", "1", "--chunks", "500", "--samples", "1")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        #expect(run.output.contains("divided by its chunks"))
        let audit = try #require(
            run.output.firstMatch(of: /all loops: (\d+) chunks, each exactly once/))
        let chunks = try #require(Int(audit.1))
        #expect(chunks >= 5000 && chunks % 500 == 0)
        let rule = run.output.split(separator: "\n").first { $0.hasPrefix("---") }
        #expect(rule?.split(separator: " ").count == 6)
    }

    @Test("help names the subcommands, the examples and nothing that is for tests")
    func help() throws {
        let run = try ToolRun("bench", "--help")
        #expect(run.status == 0)
        for word in ["tour", "stream", "dispatch", "schedule", "EXAMPLES"] {
            #expect(run.output.contains(word))
        }
        let tour = try ToolRun("bench", "tour", "--help")
        #expect(tour.status == 0 && tour.output.contains("--quick"))
        for word in ["corrupt", "misplace"] {
            #expect(!run.output.contains(word) && !tour.output.contains(word))
        }
    }

    @Test(
        "bad input: usage, exit 64, and the offending value in the first line",
        arguments: [
            ["stream", "-n", "0"], ["stream", "-n", "-1"], ["stream", "-n", "100000"],
            ["stream", "--size", "0"], ["stream", "--size", "7"], ["stream", "--size", "-8"],
            ["stream", "--size", "1QB"], ["stream", "--samples", "0"],
            ["stream", "--samples", "10001"], ["dispatch", "-n", "0"],
            ["dispatch", "--samples", "0"], ["schedule", "-n", "100000"],
            ["spawn", "-n", "0"], ["spawn", "-n", "4097"], ["sum", "--size", "7"],
            ["touch", "--size", "0"], ["schedule", "--chunks", "0"],
            ["schedule", "--chunks", "4294967295"],
            ["--samples", "0"], ["--seconds", "0"], ["--size", "1000"], ["--nodes", "x"],
            ["--ranks-per-node", "0"], ["--pages", "8k"], ["--verify-placement", "1.5"],
            ["--color", "red"], ["latency", "nonsense"],
        ])
    func badInput(arguments: [String]) throws {
        let run = try ToolRun(arguments: ["bench"] + arguments)
        #expect(run.status == 64 && run.output.isEmpty && !run.hasHung)
        let first = run.errors.split(separator: "\n").first ?? ""
        #expect(first.contains(arguments.last!), "\(run.errors)")
    }

    @Test("killed in the middle, it leaves no process", arguments: [SIGKILL, SIGINT, SIGTERM])
    func leavesNothing(signal: Int32) throws {
        let tool = try RunningTool(
            "bench", "stream", "-n", "4", "--size", "4MiB", "--samples", "10000")
        // Itself, the canary's ranks and its own.
        let all = try 1 + Topology.read().usableCPUCount + 4
        try #require(tool.wait { $0.count == all })
        tool.send(signal)
        #expect(tool.wait { $0.isEmpty })
    }
}
