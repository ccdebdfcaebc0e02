// ExampleTests.swift - the examples of Tests/Examples: each as one would run it, and with ranks killed in it.

import Foundation
import TestSupport
import Testing

private func built(_ name: String) -> String {
    URL(fileURLWithPath: CommandRunner.muster).deletingLastPathComponent()
        .appendingPathComponent(name).path
}

@Suite(.serialized) struct ExampleTests {
    /// What every rank prints behind its own share: the same in all, and for any number of them.
    private func results(_ result: CommandResult) -> Set<Substring> {
        Set(result.output.split(separator: "\n").compactMap { $0.split(separator: ", ").last })
    }

    @Test(
        "In C, C++ and Swift: alone and as a team, with the same result",
        arguments: ["example-c-member", "example-cxx-member", "example-swift-member"])
    func compiled(_ name: String) throws {
        let alone = try CommandRunner.run([], program: built(name))
        #expect(alone.status == 0 && results(alone).count == 1, "\(alone)")
        let team = try CommandRunner.run(["run", "-n", "4", "--", built(name)])
        #expect(team.status == 0, "\(team)")
        #expect(team.output.split(separator: "\n").count == 4 && results(team) == results(alone))
        #expect(team.errors.contains("each exactly once, by 4 ranks"), "\(team.errors)")
        if name.contains("swift") { #expect(results(team) == ["78498 primes below 1000000"]) }
    }

    @Test("A leader in Swift: the same result with its workers killed", arguments: [false, true])
    func swiftLeader(_ kills: Bool) throws {
        var victims: Set<pid_t> = []
        let result = try CommandRunner.run([], program: built("example-swift-leader")) { pid in
            let workers = CommandRunner.children(of: pid).filter {
                let name = try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8)
                return name?.hasPrefix("muster-") ?? false  // it has its rank
            }
            guard kills, victims.count < 2, let victim = workers.last else { return }
            if victims.insert(victim).inserted { kill(victim, SIGKILL) }
        }
        #expect(result.status == 0 && victims.isEmpty == !kills, "\(result)")
        #expect(
            result.output.hasPrefix("800 chunks, each exactly once, by 4 ranks; "), "\(result)")
        #expect(result.output.hasSuffix("; 107568 of 640000 points never escape\n"), "\(result)")
    }

    @Test("Stencils over rows, of any width")
    func swiftStencil() throws {
        for size in [["90", "130"], ["130", "90"], ["3", "3"], ["1", "1"]] {
            let result = try CommandRunner.run(size, program: built("example-swift-stencil"))
            #expect(result.status == 0, "\(result)")
            #expect(result.output.contains("exactly once, by 4 ranks"), "\(result)")
        }
    }
}
