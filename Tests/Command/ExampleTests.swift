// ExampleTests.swift - the examples of Tests/Examples: each as one would run it, and with ranks killed in it.

import Foundation
import TestSupport
import Testing

/// libmuster.so for Python, of the C core alone, compiled once.
private enum Library {
    static let compiler = ["cc", "gcc", "clang"].compactMap(find).first
    static let python = access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : nil

    static func find(_ program: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    /// Why Python's example can't run here; nil: it can.
    static let obstacle: String? = {
        guard compiler != nil else { return "no C compiler is here" }
        guard let python else { return "/usr/bin/python3 is not here" }
        let numpy = try? CommandRunner.run(["-c", "import numpy"], program: python)
        return numpy?.status == 0 ? nil : "NumPy is not here (apt-get install python3-numpy)"
    }()

    nonisolated(unsafe) private static let folder = try? TemporaryFolder.untilExit()

    /// Its path.
    static let path: String? = {
        guard let compiler, let folder else { return nil }
        let sources = root.appendingPathComponent("CSources")
        let names = FileManager.default.enumerator(atPath: sources.path)?.allObjects ?? []
        let files = names.compactMap { $0 as? String }
            .filter { $0.hasSuffix(".c") && !$0.hasPrefix("include/") }
            .map { sources.appendingPathComponent($0).path }
        let path = folder.path("libmuster.so")
        let result = try? CommandRunner.run(
            [
                "-std=gnu11", "-O1", "-shared", "-fPIC",
                "-I", root.appendingPathComponent("include").path, "-I", sources.path, "-o", path,
            ] + files + ["-ldl"], program: compiler)
        return result?.status == 0 ? path : nil
    }()

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    static let member = root.appendingPathComponent("Tests/Examples/PythonMember/member.py").path
}

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

    private func python(
        _ options: [String], elements: Int, rounds: Int,
        meanwhile: (pid_t) throws -> Void = { _ in }
    ) throws -> CommandResult {
        let library = try #require(Library.path, "libmuster.so does not compile")
        return try CommandRunner.run(
            ["run", "-n", "8"] + options + [
                "--", Library.python!, Library.member, "\(elements)", "\(rounds)",
            ], environment: ["MUSTER_LIBRARY": library, "PYTHONDONTWRITEBYTECODE": "1"],
            meanwhile: meanwhile)
    }

    @Test(
        "In Python: eight processes fill and reduce one NumPy view, each chunk once",
        .enabled(if: Library.obstacle == nil, "\(Library.obstacle ?? "")"))
    func inPython() throws {
        let result = try python([], elements: 1 << 20, rounds: 1)
        #expect(result.status == 0, "\(result)")
        #expect(result.output.split(separator: "\n").count == 8 && results(result).count == 1)
        #expect(
            result.errors
                == ["fill", "sum "].map {
                    "muster: audit  \($0)  256 chunks, each exactly once, by 8 ranks\n"
                }.joined())
    }

    @Test(
        "In Python, a member that has left raises whatever is asked of it",
        .enabled(if: Library.obstacle == nil, "\(Library.obstacle ?? "")"))
    func leftInPython() throws {
        let library = try #require(Library.path, "libmuster.so does not compile")
        let program = """
            import muster
            me = muster.Member()
            loop = me.loop("left", 10)
            me.leave()
            for call in me.barrier, me.leave, lambda: me.array("x", 4), loop.end, lambda: list(loop):
                try:
                    call()
                except ValueError as error:
                    print(error)
            """
        let result = try CommandRunner.run(
            ["-c", program], program: Library.python!,
            environment: [
                "MUSTER_LIBRARY": library, "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": URL(fileURLWithPath: Library.member).deletingLastPathComponent().path,
            ])
        #expect(result.status == 0, "\(result)")
        #expect(
            result.output.split(separator: "\n")
                == Array(
                    repeating: "this member has left its team: it can't be used any more", count: 5)
        )
    }

    @Test(
        "In Python, killed at any moment: what --on-death says",
        .enabled(if: Library.obstacle == nil, "\(Library.obstacle ?? "")"),
        arguments: ["kill", "continue", "restart"])
    func killedInPython(_ onDeath: String) throws {
        let calm = try results(python([], elements: 1 << 16, rounds: 1))
        let seed = UInt64.random(in: 0...999_999)
        var random = Seeded(seed)
        for _ in 0..<2 {
            // From before the first import to after the last chunk.
            var left = Int.random(in: 0...700, using: &random)
            let victim = Int.random(in: 0..<8, using: &random)
            var killed: pid_t?
            let result = try python(
                ["--on-death", onDeath], elements: 1 << 16, rounds: 20
            ) { pid in
                let ranks = RunTests.ranks(of: pid)
                guard killed == nil, ranks.count == 8 else { return }
                left -= 1
                if left < 0 && kill(ranks[victim], SIGKILL) == 0 { killed = ranks[victim] }
            }
            let hit = killed.map { result.errors.contains("(process \($0)) was killed") } ?? false
            let comment: Comment = "seed \(seed), \(onDeath), \(hit): \(result)"
            // A rank that had printed its line before it died has the result all the same.
            let lines = result.output.split(separator: "\n").count
            switch (onDeath, hit) {
            case ("kill", true): #expect(result.status == 137, comment)
            case ("continue", true):
                #expect(result.status == 137 && (7...8).contains(lines), comment)
            case ("restart", true): #expect(result.status == 0 && (8...9).contains(lines), comment)
            default: #expect(result.status == 0 && lines == 8, comment)
            }
            if onDeath != "kill" || !hit { #expect(results(result) == calm, comment) }
            if onDeath != "kill" {
                #expect(
                    result.errorLines.filter { $0.hasPrefix("muster: audit") }.allSatisfy {
                        $0.contains("each exactly once") || $0.contains("interrupted")
                    }, comment)
            }
        }
    }
}
