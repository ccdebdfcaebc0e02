// BenchFaultTests.swift - `muster bench` when something is wrong: a result, a rank, a kernel of the user.

import Foundation
import Muster
import Testing

@Suite("muster bench: what is wrong is not printed")
struct BenchFaultTests {
    static let tests = [
        "stream", "sum", "matrix", "mixes", "scaling", "placement", "latency", "staircase",
        "loaded", "c2c", "touch", "pages",
    ]

    @Test("A wrong result and a wrong placement: exit 1, no figure", arguments: tests)
    func wrong(test: String) throws {
        let needsTwo = test == "loaded" || test == "c2c"
        if needsTwo, try Topology.read().usableCPUCount < 2 {
            let run = try ToolRun("bench", test, "--quick")
            #expect(run.status == 0 && run.output.contains("two CPUs that this process may use"))
            return
        }
        for (flag, words) in [("--corrupt", ["wrong", "broken"]), ("--misplace", ["only 0 %"])] {
            let arguments = ["bench", "tour", test, "--quick", "--samples", "1", flag]
            let run = try ToolRun(arguments: arguments)
            #expect(run.status == 1 && run.output.isEmpty && !run.hasHung, "\(flag): \(run.errors)")
            #expect(words.contains { run.errors.contains($0) }, "\(run.errors)")
        }
        // Who reads JSON gets the schema's other kind of report, and no file is written.
        let folder = try TemporaryFolder()
        let run = try ToolRun(
            "bench", "tour", test, "--quick", "--samples", "1", "--misplace", "--json", "--save",
            folder.path("none.json"))
        try SchemaCheck.bench().expect(try run.object())
        #expect(try run.object()["error"] is String)
        #expect(!FileManager.default.fileExists(atPath: folder.path("none.json")))
    }

    @Test(
        "loaded: the chase alone, which one CPU is enough for, is checked and read back as well",
        arguments: [("--corrupt", "ended at a wrong one"), ("--misplace", "only 0 %")])
    func chaseAlone(flag: String, words: String) throws {
        let arguments = ["bench", "loaded", "--quick", "--samples", "1", "--ranks-per-node", "1"]
        let good = try ToolRun(arguments: arguments + ["--json"])
        #expect(good.status == 0, "\(good.errors)")
        let rows = try #require(try good.object()["rows"] as? [[String: Any]])
        #expect(rows.count { figures($0) != nil } == 1 && rows.count == 3)
        let wrong = try ToolRun(arguments: arguments + [flag])
        #expect(wrong.status == 1 && wrong.output.isEmpty, "\(wrong.errors)")
        #expect(wrong.errors.contains("the chase alone") && wrong.errors.contains(words))
    }

    @Test("Without reading back, a wrong placement passes: the check is what catches it")
    func unchecked() throws {
        let run = try ToolRun(
            "bench", "matrix", "--quick", "--samples", "1", "--misplace", "--verify-placement", "0",
            "--json")
        #expect(run.status == 0)
        let rows = try #require(try run.object()["rows"] as? [[String: Any]])
        #expect(rows.allSatisfy { $0["placed_fraction"] is NSNull })
    }

    @Test("What can't be measured here has null figures and its reason")
    func unmeasured() throws {
        let arguments = ["bench", "latency", "--quick", "--samples", "1", "--size", "512TiB"]
        let run = try ToolRun(arguments: arguments + ["--json"])
        #expect(run.status == 0, "\(run.errors)")
        let report = try run.object()
        try SchemaCheck.bench().expect(report)
        let rows = try #require(report["rows"] as? [[String: Any]])
        #expect(rows.count == 1 && figures(rows[0]) == nil)
        let reason = try #require(rows[0]["reason"] as? String)
        let text = try ToolRun(arguments: arguments)
        #expect(text.output.contains("-  \(reason.prefix(20))"), "\(text.output)")
    }

    @Test("Where a sandbox refuses placement, pages are measured all the same, and it is noted")
    func refusedPlacement() throws {
        let folder = try TemporaryFolder()
        let host = URL(fileURLWithPath: CommandRunner.muster).deletingLastPathComponent()
            .appendingPathComponent("muster-test-host").path
        for test in [["tour", "latency", "--quick"], ["pages", "--size", "4MiB"]] {
            let result = try CommandRunner.run(
                ["refused", "placement-refused", CommandRunner.muster, "bench"] + test
                    + ["--samples", "1", "--json", folder.path("")], program: host)
            #expect(result.status == 0, "\(result.errors)")
            let report = try result.json()
            let rows = try #require(report["rows"] as? [[String: Any]])
            #expect(rows.contains { figures($0) != nil }, "\(test): \(rows)")
            for row in rows {
                #expect((row["reason"] as? String)?.contains("enforced") != true, "\(row)")
            }
            // Only latency binds its memory.
            guard test[0] == "tour" else { continue }
            let notes = report["notes"] as? [String] ?? []
            #expect(notes.contains { $0.contains("can't be enforced here") }, "\(notes)")
        }
    }

    @Test(
        "Pages that can't be had are noted by every test that asked for them",
        .enabled(
            if: (try? String(
                contentsOfFile: "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages",
                encoding: .utf8)) ?? "0\n" == "0\n", "this host has pages of 1 GiB to give"),
        arguments: ["stream", "matrix", "mixes", "scaling", "placement", "loaded"])
    func absentPages(test: String) throws {
        let run = try ToolRun(
            "bench", "tour", test, "--quick", "--samples", "1", "--pages", "1g", "--json")
        let notes = try #require(try run.object()["notes"] as? [String])
        #expect(notes.contains { $0.hasPrefix(test) && $0.contains("pages 1g: ") }, "\(notes)")
    }

    @Test("A node that is not there is refused")
    func absentNode() throws {
        let run = try ToolRun("bench", "latency", "--quick", "--nodes", "1000")
        #expect(
            run.status == 2 && run.output.isEmpty && run.errors.contains("node 1000: there is no"))
    }

    @Test("Ctrl-C: what was measured until then, marked as partial, and nothing left over")
    func interrupted() throws {
        let folder = try TemporaryFolder()
        let canary = try Topology.read().usableCPUCount
        var children: [pid_t] = []
        let result = try CommandRunner.run(
            [
                "bench", "tour", "matrix", "loaded", "--quick", "--samples", "2000", "--save",
                folder.path("part.json"),
            ],
            meanwhile: { pid in
                // Its teams run: the canary's ranks and the matrix's.
                let now = CommandRunner.children(of: pid)
                guard children.isEmpty, now.count > canary else { return }
                children = now
                kill(pid, SIGINT)
            })
        #expect(result.status == 130 && result.errors.contains("interrupted"), "\(result.errors)")
        #expect(result.output.contains("PARTIAL"))
        #expect(!children.isEmpty && children.allSatisfy { kill($0, 0) != 0 })
        let text = try String(contentsOfFile: folder.path("part.json"), encoding: .utf8)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        try SchemaCheck.bench().expect(report)
        #expect(report["partial"] as? Bool == true)
    }
}

@Suite("muster bench: a rank that dies")
struct BenchDeathTests {
    @Test(
        "loaded ends when the rank that chases is killed, and names it",
        .enabled(
            if: ((try? Topology.read().usableCPUCount) ?? 1) > 1, "needs two CPUs to make traffic"))
    func chaserIsKilled() throws {
        let canary = try Topology.read().usableCPUCount
        var kills = 0
        let result = try CommandRunner.run(
            [
                "bench", "tour", "loaded", "--size", "1MiB", "--samples", "1000",
                "--ranks-per-node", "2",
            ],
            meanwhile: { pid in
                // The canary's ranks are older than those of the team that chases and moves.
                let ranks = CommandRunner.children(of: pid)
                let chasers = ranks.filter {
                    let name = try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8)
                    return name == "muster-0\n"
                }
                guard ranks.count == canary + 2, let victim = chasers.max() else { return }
                // Who dies between two loops is replaced, and the run goes on: until it is in a chase,
                // which is nearly all of the time.
                kill(victim, SIGKILL)
                kills += 1
                usleep(100_000)
            })
        #expect(kills > 0)
        #expect(result.status == 1 && result.output.isEmpty, "\(result.errors)")
        #expect(result.errors.contains("rank 0"), "\(result.errors)")
    }
}

@Suite("muster bench: a kernel of the user's")
struct BenchLibraryTests {
    private static let source = """
        #include <stddef.h>
        #include <stdint.h>
        struct cost { const char *name; uint32_t bytes, flops; };
        void scale3(double *to, const double *a, const double *b, size_t n)
        { (void)b; for (size_t i = 0; i < n; i++) to[i] = 3 * a[i]; }
        const struct cost scale3_cost = {"scale3", 16, 1};
        size_t scale3_check(const double *to, const double *a, const double *b, size_t n)
        { (void)b; size_t wrong = 0; for (size_t i = 0; i < n; i++) wrong += to[i] != 3 * a[i];
          return wrong; }
        void bare(double *to, const double *a, const double *b, size_t n)
        { for (size_t i = 0; i < n; i++) to[i] = a[i] + b[i]; }
        const struct cost bare_cost = {"bare", 24, 1};
        void costless(double *to, const double *a, const double *b, size_t n)
        { (void)to; (void)a; (void)b; (void)n; }
        """

    private func library(_ folder: TemporaryFolder) throws -> String {
        let file = try folder.write("mine.c", Array(Self.source.utf8))
        let path = folder.path("mine.so")
        let made = try CommandRunner.run(
            ["clang", "-O2", "-shared", "-fPIC", "-o", path, file], program: "/usr/bin/env")
        try #require(made.status == 0, "\(made.errors)")
        return path
    }

    private func run(_ path: String, _ kernel: String, _ rest: String...) throws -> ToolRun {
        try ToolRun(
            arguments: [
                "bench", "kernel", "--quick", "--samples", "2", "--json", "--kernel-library", path,
                "--kernel", kernel,
            ] + rest)
    }

    @Test("It is run, counted as it declares, and checked where it has a check")
    func kernel() throws {
        let folder = try TemporaryFolder()
        let path = try library(folder)
        let good = try run(path, "scale3", "--trace", folder.path("trace.json"))
        #expect(good.status == 0, "\(good.errors)")
        let trace = try TraceText(folder.path("trace.json"))
        try trace.expectEachChunkOnce()
        #expect(
            trace.events("loop").contains {
                ($0["name"] as? String)?.contains("UserKernel") == true
            })
        let row = try #require((try good.object()["rows"] as? [[String: Any]])?.first)
        let parameters = try #require(row["parameters"] as? [String: Any])
        #expect(parameters["bytes_per_element"] as? Int == 16 && row["verified"] as? Bool == true)
        let bare = try #require((try run(path, "bare").object()["rows"] as? [[String: Any]])?.first)
        #expect(bare["verified"] as? Bool == false && figures(bare) != nil)
        let spoilt = try run(path, "scale3", "--corrupt")
        #expect(spoilt.status == 1 && spoilt.errors.contains("1 of "))
    }

    @Test("What is missing is named")
    func missing() throws {
        let folder = try TemporaryFolder()
        let path = try library(folder)
        for (library, kernel, words) in [
            (path, "absent", "no function absent"), (path, "costless", "costless_cost"),
            ("/nowhere.so", "x", "can't load it"),
        ] {
            let run = try run(library, kernel)
            #expect(run.status == 2 && run.errors.contains(words), "\(run.errors)")
        }
        #expect(try ToolRun("bench", "kernel").status == 64)
    }
}
