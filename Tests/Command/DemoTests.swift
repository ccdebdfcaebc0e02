// DemoTests.swift - `muster demo`: faults show in the pools and never in Muster.
//
// Whether a pool's fault shows in one round is up to the scheduler. The second pool's always does.
// The first pool's shows in nearly every round; the tests allow sixty, of which the demo takes as
// many as it needs, so only a demo that no longer shows it can fail here. The one-task pool's may
// stay hidden, and nothing is asked of it but a report that makes sense.

import Foundation
import Testing

@Suite("muster demo")
struct DemoTests {
    private struct Case {
        let name: String
        let rounds: Int
        let roundsAtFault: Int
        let exactlyOnce: Int
        let missing: [Int]
        let repeated: [Int: [Int]]
    }

    /// Reads a report and checks what holds for every case.
    private func cases(of run: ToolRun, size: Int) throws -> [Case] {
        let report = try run.object()
        #expect(Set(report.keys) == ["schema", "cases"])
        #expect(report["schema"] as? String == "muster.demo/1")
        return try #require(report["cases"] as? [[String: Any]]).map { item in
            #expect(Set(item.keys) == ["name", "size", "rounds", "rounds_at_fault", "audit"])
            #expect(item["size"] as? Int == size)
            let audit = try #require(item["audit"] as? [String: Any])
            #expect(Set(audit.keys) == AuditKeys.all)
            #expect(audit["chunks"] as? Int == size)
            var missing: [Int] = []
            for range in try #require(audit["missing"] as? [[String: Int]]) {
                #expect(Set(range.keys) == ["first", "last"])
                missing += Array(range["first"]!...range["last"]!)
            }
            var repeated: [Int: [Int]] = [:]
            for range in try #require(audit["repeated"] as? [[String: Any]]) {
                #expect(Set(range.keys) == ["first", "last", "ranks"])
                let (first, last) = (range["first"] as! Int, range["last"] as! Int)
                for section in first...last { repeated[section] = range["ranks"] as? [Int] }
            }
            let found = Case(
                name: item["name"] as! String, rounds: item["rounds"] as! Int,
                roundsAtFault: item["rounds_at_fault"] as! Int,
                exactlyOnce: audit["exactly_once"] as! Int, missing: missing, repeated: repeated)
            #expect(found.exactlyOnce + missing.count + repeated.count == size)
            #expect((found.roundsAtFault > 0) == (found.exactlyOnce < size))
            #expect(found.roundsAtFault <= found.rounds && found.rounds >= 1)
            return found
        }
    }

    @Test(
        "pools repeat and miss sections, by the ranks that did it; Muster does not",
        arguments: [4, 7])
    func faults(size: Int) throws {
        let run = try ToolRun("demo", "-n", "\(size)", "--rounds", "60", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let found = try cases(of: run, size: size)
        #expect(
            found.map(\.name) == [
                "worker number as rank", "second pool counts on", "one task per worker",
                "ranks, as Muster gives them",
            ])
        let (first, second, muster) = (found[0], found[1], found[3])
        #expect(first.roundsAtFault >= 1)
        #expect(!first.missing.isEmpty && !first.repeated.isEmpty)
        // Of one process, which took several tasks: section r by rank r. Neighbouring sections are one
        // finding, with the ranks of both.
        let repeated = Set(first.repeated.map(\.0))
        for (section, ranks) in first.repeated {
            #expect(ranks.contains(section) && repeated.isSuperset(of: ranks))
        }
        #expect(second.roundsAtFault == second.rounds)
        #expect(second.missing == Array(0..<size) && second.repeated.isEmpty)
        #expect(muster.roundsAtFault == 0 && muster.rounds == 60 && muster.exactlyOnce == size)
    }

    @Test("one process has nobody to be confused with, but a second pool still counts on")
    func oneProcess() throws {
        let run = try ToolRun("demo", "-n", "1", "--rounds", "3", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        #expect(try cases(of: run, size: 1).map(\.roundsAtFault) == [0, 3, 0, 0])
    }

    @Test("many more processes than CPUs")
    func manyProcesses() throws {
        let run = try ToolRun("demo", "-n", "100", "--rounds", "2", "--json")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        let found = try cases(of: run, size: 100)
        #expect(found[3].exactlyOnce == 100)
    }

    @Test("text: cases side by side")
    func text() throws {
        let run = try ToolRun("demo", "-n", "4", "--rounds", "20")
        #expect(run.status == 0 && !run.hasHung, "\(run.errors)")
        #expect(run.output.contains("4 processes have 4 sections"))
        #expect(run.output.contains("second pool counts on"))
        #expect(run.output.contains("0 of 20"))
    }

    @Test(
        "bad input: usage, exit 64",
        arguments: [["-n", "0"], ["-n", "-1"], ["-n", "100000"], ["--rounds", "0"]])
    func badInput(arguments: [String]) throws {
        let run = try ToolRun(arguments: ["demo"] + arguments)
        #expect(run.status == 64 && run.output.isEmpty && !run.hasHung)
        #expect(run.errors.split(separator: "\n").first?.contains(arguments[1]) == true)
    }

    @Test("killed in the middle, it leaves no process", arguments: [SIGKILL, SIGINT, SIGTERM])
    func leavesNothing(signal: Int32) throws {
        // Enough rounds that it is still at it whenever the signal comes.
        let tool = try RunningTool("demo", "-n", "8", "--rounds", "100000")
        try #require(tool.wait { $0.count >= 6 })
        tool.send(signal)
        #expect(tool.wait { $0.isEmpty })
    }
}
