// TopologyCommandTests.swift - `muster topology`, of this host and of recorded ones.

import Foundation
import Muster
import Testing

@Suite struct TopologyCommandTests {
    /// A recorded host of Tests/RecordedHosts.
    private func recorded(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("RecordedHosts/Hosts/\(name)").path
    }

    @Test("This host, with exactly the keys that are documented")
    func thisHost() throws {
        let result = try CommandRunner.run(["topology", "--json"])
        #expect(result.status == 0 && result.errors == "")
        let json = try result.json()
        #expect(
            Set(json.keys)
                == ["schema", "nodes", "distances", "cpus", "caches", "pages", "limits", "notes"])
        #expect(json["schema"] as? String == "muster.topology/1")
        let host = try Topology.read()
        let nodes = try #require(json["nodes"] as? [[String: Any]])
        #expect(nodes.map { $0["id"] as? Int } == host.nodes.map(\.id))
        for (node, expected) in zip(nodes, host.nodes) {
            #expect(
                Set(node.keys)
                    == [
                        "id", "cpus", "memory_total_bytes", "memory_free_bytes", "has_cpus",
                        "allowed",
                        "huge_pages",
                    ])
            #expect(node["cpus"] as? [Int] == expected.cpus)
            #expect(
                (node["memory_total_bytes"] as? Int).map(UInt64.init) == expected.memoryTotalBytes)
        }
        let cpus = try #require(json["cpus"] as? [[String: Any]])
        #expect(cpus.map { $0["id"] as? Int } == host.cpus.map(\.id))
        #expect(
            cpus.allSatisfy {
                Set($0.keys) == [
                    "id", "node", "core", "package", "online", "allowed", "core_cpu",
                    "package_cpu", "cache_cpu",
                ]
            })
        let distances = try #require(json["distances"] as? [[String: Any]])
        #expect(distances.count == nodes.count * nodes.count)
        #expect(distances.allSatisfy { Set($0.keys) == ["from", "to", "distance"] })
    }

    @Test("Nodes by their own numbers, a node without CPUs, CPUs off line")
    func gaps() throws {
        let result = try CommandRunner.run(
            ["topology", "--json", "--from", recorded("node-id-gap")])
        let json = try result.json()
        let nodes = try #require(json["nodes"] as? [[String: Any]])
        #expect(nodes.map { $0["id"] as? Int } == [0, 1, 3])
        #expect(nodes.map { $0["has_cpus"] as? Bool } == [true, true, false])
        let distances = try #require(json["distances"] as? [[String: Any]])
        #expect(Set(distances.map { $0["from"] as! Int }) == [0, 1, 3])
        let cpus = try #require(json["cpus"] as? [[String: Any]])
        let offline = cpus.filter { $0["online"] as? Bool == false }
        #expect(!offline.isEmpty)
        #expect(offline.allSatisfy { $0["core"] is NSNull && $0["package"] is NSNull })
    }

    @Test("As text: nodes, distances from row to column, CPUs")
    func text() throws {
        let result = try CommandRunner.run(
            ["topology", "--from", recorded("asymmetric-distances")])
        #expect(result.status == 0 && result.errors == "")
        let rows = result.output.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(rows.contains(["0", "10", "21", "31"]))
        #expect(rows.contains(["1", "22", "10", "32"]))
        #expect(rows.contains(["0", "218.9", "MiB", "192.5", "MiB", "1", "0"]))
        #expect(result.output.contains("3 on line"))
    }

    @Test("No such recording: one line, status 2")
    func noRecording() throws {
        let result = try CommandRunner.run(["topology", "--from", "/nonexistent"])
        #expect(result.status == 2 && result.output == "" && result.errorLines.count == 1)
        #expect(result.errors.contains("/nonexistent"))
    }
}
