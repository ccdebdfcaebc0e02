// PlacementCommandTests.swift - `muster placement`, and placement options of `muster bench stream`.

import Foundation
import Muster
import Testing

@Suite struct PlacementCommandTests {
    private func run(_ arguments: String...) throws -> CommandResult {
        try CommandRunner.run(["placement"] + arguments)
    }

    /// A node of this host with memory.
    private func node() throws -> Int {
        try #require(try Topology.read().nodes.first { $0.isAllowed }?.id)
    }

    @Test("The report has exactly the keys that are documented, and its bytes add up")
    func report() throws {
        let result = try run("--size", "3MiB", "-n", "2", "--placement", "interleave", "--json")
        #expect(result.status == 0)
        let json = try result.json()
        #expect(
            Set(json.keys) == [
                "schema", "asked", "shares", "verified_fraction", "huge_page_bytes", "copies",
                "notes",
            ])
        #expect(json["schema"] as? String == "muster.placement/1")
        let asked = try #require(json["asked"] as? [String: Any])
        #expect(asked["kind"] as? String == "interleave" && asked["pages"] as? String == "auto")
        #expect(asked["nodes"] as? [Int] == [])
        let shares = try #require(json["shares"] as? [[String: Any]])
        #expect(shares.reduce(0) { $0 + ($1["bytes"] as? Int ?? 0) } == 3 << 20)
        #expect(number(json["verified_fraction"]) == 1)
    }

    @Test("Every placement, and what was asked for stands in the report")
    func everyPlacement() throws {
        let node = try node()
        for placement in [
            "first-touch", "bind:\(node)", "interleave:\(node)", "weighted:\(node)=7", "blocked",
            "mirrored",
        ] {
            let result = try run(
                "--size", "9MiB", "-n", "2", "--placement", placement, "--pages", "4k",
                "--verify-placement", "1")
            #expect(result.status == 0, "\(placement): \(result.errors)")
            #expect(result.output.contains("asked  \(placement), pages 4k"))
            #expect(result.output.contains("where it should be: 100 %"))
        }
    }

    @Test("Huge pages where they can be had, else a note")
    func hugePages() throws {
        let json = try run("--size", "16MiB", "-n", "1", "--pages", "thp", "--json").json()
        let notes = try #require(json["notes"] as? [String])
        #expect(json["huge_page_bytes"] as? Int == 16 << 20 || !notes.isEmpty)
        let small = try run("--size", "1MiB", "--pages", "thp", "--json").json()
        #expect(small["huge_page_bytes"] as? Int == 0)
        #expect(
            small["notes"] as? [String] == [
                "pages thp: the array is smaller than a huge page, 2 MiB, so it has small ones"
            ])
        let plain = try run("--size", "16MiB", "-n", "1", "--pages", "4k", "--json").json()
        #expect(plain["huge_page_bytes"] as? Int == 0)
    }

    @Test(
        "Pages of a pool that has too few: transparent ones, and how to fill it",
        .enabled(if: getenv("MUSTER_CHECK") == nil, "in check mode arrays have ordinary pages"),
        arguments: ["2m", "1g"])
    func pool(_ pages: String) throws {
        let json = try run("--size", "6MiB", "-n", "2", "--pages", pages, "--json").json()
        let notes = try #require(json["notes"] as? [String])
        // A machine whose pool has enough gives it.
        guard !notes.isEmpty else {
            return #expect((json["huge_page_bytes"] as? Int ?? 0) == 6 << 20)
        }
        #expect(notes.first?.hasPrefix("pages \(pages): ") == true, "\(notes)")
        #expect(notes.first?.contains("transparent huge pages in their place") == true, "\(notes)")
    }

    @Test("Each chunk's nodes, on request")
    func byChunk() throws {
        let json = try run("--size", "1MiB", "-n", "2", "--by-chunk", "--json").json()
        let chunks = try #require(json["chunks"] as? [[String: Any]])
        #expect(chunks.count == 64)
        let bytes = chunks.flatMap { $0["shares"] as? [[String: Any]] ?? [] }
            .reduce(0) { $0 + ($1["bytes"] as? Int ?? 0) }
        #expect(bytes == 1 << 20)
        let text = try run("--size", "1MiB", "-n", "2", "--by-chunk")
        #expect(text.output.contains("chunk 63  ") && !text.output.contains("chunk 64"))
    }

    @Test("Where a sandbox refuses placement: said, null, and status 1 when it was to be verified")
    func sandbox() throws {
        func refused(_ arguments: String...) throws -> CommandResult {
            try CommandRunner.refused(
                "placement-refused", ["placement", "--size", "1MiB"] + arguments)
        }
        for placement in ["bind:\(try node())", "blocked", "mirrored", "interleave"] {
            let result = try refused("--placement", placement, "--json")
            let json = try result.json()
            #expect(result.status == 0 && json["verified_fraction"] is NSNull, "\(placement)")
            let notes = try #require(json["notes"] as? [String])
            #expect(
                notes.contains { $0.contains("can't be enforced here") }, "\(placement): \(notes)")
        }
        let verified = try refused("--placement", "blocked", "--verify-placement", "0.99")
        #expect(verified.status == 1 && verified.errorLines.count == 1)
        #expect(verified.errors.contains("muster doctor"))
    }

    @Test("Ranks run where --bind says, and --report-bindings says where")
    func bindings() throws {
        let cpu = try #require(try Topology.read().cpus.last { $0.isOnline && $0.isAllowed }?.id)
        let result = try run("--size", "1MiB", "--bind", "\(cpu)", "--report-bindings")
        #expect(result.status == 0 && result.errors.hasPrefix("rank 0: CPU \(cpu)"))
        #expect(result.errorLines.count == 1)
    }

    @Test("A file's pages")
    func file() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("a.npy", StatsFiles.npy((0..<10_000).map { Double($0) }))
        let result = try run(file, "-n", "2")
        #expect(result.status == 0 && result.output.contains("100 %"))
        #expect(try run("/nowhere").status == 2)
    }

    @Test(
        "Mistakes: one line, and where to find help",
        arguments: [
            [], ["--size", "0"], ["--size", "-1"], ["--size", "1MiB", "--placement", "bnd:1"],
            ["--size", "1MiB", "--placement", "bind"], ["--size", "1MiB", "--pages", "8k"],
            ["--size", "1MiB", "--verify-placement", "2"], ["file", "--size", "1MiB"],
            ["file", "--placement", "bind:0"],
        ])
    func usage(_ arguments: [String]) throws {
        let result = try CommandRunner.run(["placement"] + arguments)
        #expect(result.status == 64 && result.output == "" && result.errorLines.count == 1)
        #expect(result.errors.contains("placement --help"))
    }

    @Test("A node that is not there: what there is")
    func absentNode() throws {
        let result = try run("--size", "1MiB", "--placement", "bind:1023")
        #expect(result.status == 2 && result.errorLines.count == 1)
        #expect(result.errors.contains("bind:1023") && result.errors.contains("this host's "))
    }

    @Test("More than a node has: the numbers, and status 2")
    func fullNode() throws {
        let result = try run("--size", "64TiB", "--placement", "bind:\(try node())")
        #expect(result.status == 2 && result.errorLines.count == 1)
        #expect(result.errors.contains("64 TiB"), "\(result.errors)")
    }

    @Test("bench stream writes, so nothing mirrored there")
    func benchMirrored() throws {
        let result = try CommandRunner.run(["bench", "stream", "--placement", "mirrored"])
        #expect(result.status == 64 && result.errors.contains("only read"))
    }

    @Test("bench stream takes the same options")
    func benchStream() throws {
        let result = try CommandRunner.run([
            "bench", "stream", "--size", "4MiB", "-n", "2", "--samples", "1", "--placement",
            "blocked", "--pages", "4k", "--verify-placement", "0.99",
        ])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("placement blocked, pages 4k; 100 % where it should be"))
    }

    @Test(
        "Every benchmark that uses arrays reads back where they lie, when asked to",
        arguments: [
            ["stream", "--size", "4MiB"], ["sum", "--size", "4MiB"], ["touch", "--size", "4MiB"],
            ["recovery", "--size", "4MiB"], ["pages", "--size", "4MiB"],
        ])
    func benchVerified(_ bench: [String]) throws {
        let command = ["bench"] + bench + ["-n", "2", "--samples", "1", "--json"]
        let asked = try CommandRunner.run(command + ["--verify-placement", "0.99"])
        #expect(asked.status == 0, "\(asked.errors)")
        let rows = try #require(try asked.json()["rows"] as? [[String: Any]])
        #expect(
            rows.allSatisfy {
                // An empty chunk has no memory.
                number($0["placed_fraction"]) == 1 || $0["kernel"] as? String == "empty"
            }, "\(rows)")
        let folder = try TemporaryFolder()
        let host = URL(fileURLWithPath: CommandRunner.muster).deletingLastPathComponent()
            .appendingPathComponent("muster-test-host").path
        let refused = try CommandRunner.run(
            ["refused", "placement-refused", CommandRunner.muster] + command
                + ["--verify-placement", "0.99", folder.path("")], program: host)
        #expect(refused.status == 1 && refused.errors.contains("muster doctor"), "\(refused)")
        #expect(try refused.json()["rows"] == nil)
    }
}
