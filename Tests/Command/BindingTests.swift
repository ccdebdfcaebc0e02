// BindingTests.swift - `--bind` and `--report-bindings`, which every command that starts a team has.

import Foundation
import Muster
import Testing

@Suite struct BindingOptionTests {
    private var cpus: [Int] {
        get throws { try Topology.read().cpus.filter { $0.isOnline && $0.isAllowed }.map(\.id) }
    }

    @Test("hello runs its ranks where --report-bindings says", arguments: ["spread", "compact"])
    func hello(_ kind: String) throws {
        let result = try CommandRunner.run(["hello", "--bind", kind, "--report-bindings", "--json"])
        #expect(result.status == 0)
        let teams = try #require(try result.json()["teams"] as? [[String: Any]])
        let members = try #require(teams[0]["members"] as? [[String: Any]])
        #expect(result.errorLines.count == members.count)
        for (rank, member) in members.enumerated() {
            let cpu = try #require(member["cpu"] as? Int)
            let node = try #require(member["node"] as? Int)
            let line = result.errorLines[rank]
            #expect(line.hasPrefix("rank \(rank): CPU \(cpu),") && line.hasSuffix("node \(node)"))
        }
    }

    @Test("A list is the team, in its order")
    func list() throws {
        let reversed = Array(try cpus.reversed())
        let list = reversed.map(String.init).joined(separator: ",")
        let result = try CommandRunner.run(["hello", "--bind", list, "--json"])
        let teams = try #require(try result.json()["teams"] as? [[String: Any]])
        let members = try #require(teams[0]["members"] as? [[String: Any]])
        #expect(members.map { $0["cpu"] as? Int } == reversed)
    }

    @Test("Ranks that outnumber CPUs: said once, and bound to none")
    func crowded() throws {
        let size = try cpus.count + 1
        let result = try CommandRunner.run(["hello", "-n", "\(size)", "--report-bindings"])
        #expect(result.status == 0)
        #expect(result.errorLines.count == size + 1)
        #expect(result.errorLines.count { $0.contains("bound to none") } == 1)
        #expect(result.errorLines.count { $0.contains("any CPU") } == size)
    }

    @Test("Where the system binds nobody, that is said, and nothing else is reported")
    func refused() throws {
        let result = try CommandRunner.refused(
            "affinity-refused", ["hello", "-n", "1", "--report-bindings"])
        #expect(result.status == 0, "\(result)")
        #expect(
            result.errorLines == [
                "muster: note: ranks are not bound to CPUs: the system call sched_setaffinity is "
                    + "refused here: a seccomp filter (of a container runtime, of systemd's "
                    + "SystemCallFilter= or of a sandbox) or an old kernel does not allow it",
                "rank 0: any CPU, memory of node 0",
            ])
    }

    @Test(
        "Every command that starts a team has both",
        arguments: [
            ["hello"], ["demo", "--rounds", "1"], ["storm", "--kills", "3"],
            ["bench", "dispatch", "--samples", "1"],
            ["bench", "schedule", "--samples", "1", "--chunks", "100"],
            ["bench", "stream", "--samples", "1", "--size", "1MiB"],
            ["bench", "recovery", "--help"], ["stats", "--help"],
            ["bench", "mixes", "scaling", "--quick", "--samples", "1"],
        ])
    func everyCommand(_ arguments: [String]) throws {
        let result = try CommandRunner.run(arguments + ["--bind", "none", "--report-bindings"])
        #expect(result.status == 0)
        if arguments.last == "--help" {
            #expect(
                result.output.contains("--bind ") && result.output.contains("--report-bindings"))
        } else {
            #expect(result.errors.contains("rank 0: any CPU, memory of node 0"))
        }
    }

    @Test(
        "Lists that can't be: one line that names the CPU",
        arguments: [("1000000", "1000000"), ("0,0", "twice")])
    func faults(_ list: String, _ word: String) throws {
        let result = try CommandRunner.run(["hello", "-n", "1", "--bind", list])
        #expect(result.status == 2 && result.output == "" && result.errorLines.count == 1)
        #expect(result.errors.contains(word))
    }

    @Test(
        "What is no binding is wrong usage",
        arguments: ["", "x", "1-", "3-1", "0,,1", "-1", "0-9999999"])
    func usage(_ text: String) throws {
        let result = try CommandRunner.run(["hello", "--bind=\(text)"])
        #expect(result.status == 64 && result.output == "" && result.errorLines.count == 1)
    }

    @Test("bench: a list is the team of the tests that use all CPUs")
    func benchList() throws {
        let cpu = try #require(try cpus.last)
        let result = try CommandRunner.run([
            "bench", "tour", "stream", "mixes", "scaling", "placement", "dispatch", "--quick",
            "--samples", "1", "--bind", "\(cpu)", "--report-bindings", "--json",
        ])
        #expect(result.status == 0 && result.errors.hasPrefix("rank 0: CPU \(cpu),"), "\(result)")
        let rows = try #require(try result.json()["rows"] as? [[String: Any]])
        #expect(!rows.isEmpty && rows.allSatisfy { $0["ranks"] as? Int == 1 })
    }

    @Test(
        "More ranks than a list has: the error alone",
        arguments: [["hello"], ["demo"], ["bench", "stream"]])
    func shortList(_ command: [String]) throws {
        let cpus = try cpus
        let list = cpus.map(String.init).joined(separator: ",")
        let result = try CommandRunner.run(command + ["-n", "\(cpus.count + 1)", "--bind", list])
        #expect(result.status == 2 && result.output == "" && result.errorLines.count == 1)
        #expect(result.errors.contains("a list of \(cpus.count) for"), "\(result.errors)")
    }

    @Test("A binding's words and lists")
    func words() {
        for kind in [Binding.spread, .compact, .none, .cpus([3, 1, 2])] {
            #expect(Binding(kind.description) == kind)
        }
        #expect(Binding("0-3,8") == .cpus([0, 1, 2, 3, 8]))
    }
}
