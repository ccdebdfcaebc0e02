// RunMemberTests.swift - `muster run` and programs that join: audits, deaths, refusals.

import Foundation
import Testing

/// The helper program whose scenario `member` joins.
let testHost = URL(fileURLWithPath: CommandRunner.muster).deletingLastPathComponent()
    .appendingPathComponent("muster-test-host").path

@Suite struct RunMemberTests {
    private func member(
        _ options: [String], _ what: String..., environment: [String: String] = [:],
        meanwhile: (pid_t) throws -> Void = { _ in }
    ) throws -> CommandResult {
        try CommandRunner.run(
            ["run"] + options + ["--", testHost, "member"] + what + ["/"], environment: environment,
            meanwhile: meanwhile)
    }

    @Test("Every loop's audit is printed and reported, and a bad one is exit status 1")
    func audits() throws {
        let clean = try member(["-n", "3"], "all")
        #expect(clean.status == 0, "\(clean)")
        #expect(clean.errors == "muster: audit  leaky  10 chunks, each exactly once, by 3 ranks\n")
        let folder = try TemporaryFolder()
        let path = folder.path("report.json")
        let leaky = try member(["-n", "3", "--json", path], "skip")
        #expect(leaky.status == 1, "\(leaky)")
        #expect(
            leaky.errors
                == "muster: audit  leaky  9 of 10 chunks exactly once, by 3 ranks; 1 missing: 3\n")
        let report = try CommandResult(
            output: String(contentsOfFile: path, encoding: .utf8)
        ).json()
        let missing = JSONReportTests.keys(of: report)
            .subtracting(try JSONReportTests.documentedKeys().map(String.init))
        #expect(missing.isEmpty, "not in JSONReports.md: \(missing.sorted())")
        #expect(report["error"] as? String == "an audit failed")
        let loops = try #require(report["verified_loops"] as? [[String: Any]])
        #expect(loops.count == 1 && loops[0]["name"] as? String == "leaky")
        let audit = try #require(loops[0]["audit"] as? [String: Any])
        #expect(Set(audit.keys) == AuditKeys.all && audit["missing_count"] as? Int == 1)
        let missed = try #require(audit["missing"] as? [[String: Int]])
        #expect(missed == [["first": 3, "last": 3]])
        let ranks = try #require(report["ranks"] as? [[String: Any]])
        #expect(ranks.allSatisfy { $0["joined"] as? Bool == true })
    }

    @Test("A loop that is never ended is named, and is exit status 1")
    func unended() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("report.json")
        let run = try member(["-n", "2", "--json", path], "forget")
        #expect(run.status == 1, "\(run)")
        #expect(
            run.errors
                == "muster: audit  leaky  begun and never ended by ranks 0, 1: not audited\n")
        let report = try CommandResult(
            output: String(contentsOfFile: path, encoding: .utf8)
        ).json()
        let loops = try #require(report["unended_loops"] as? [[String: Any]])
        #expect(loops.map { $0["rank"] as? Int } == [0, 1])
        #expect(loops.allSatisfy { $0["name"] as? String == "leaky" })
    }

    @Test("A loop that a rank has left and the others have audited is not called unended")
    func left() throws {
        let run = try member(["-n", "3"], "leave-in-loop")
        #expect(run.status == 0, "\(run)")
        let line =
            "muster: audit  left  10 chunks, each exactly once, by 3 ranks; 1 death; 2 adopted\n"
        #expect(run.errors == line, "\(run)")
    }

    @Test("A rank without its team's address is told so, and is no team of one")
    func lostAddress() throws {
        let run = try CommandRunner.run([
            "run", "-n", "2", "--", "env", "-u", "MUSTER_TEAM", testHost, "member", "all", "/",
        ])
        #expect(run.status != 0 && !run.errors.contains("audit"), "\(run)")
        #expect(run.errors.contains("MUSTER_SIZE=2 is set and MUSTER_TEAM is not: "), "\(run)")
    }

    @Test("A death: the others recover without it, or with a process in its place, or end")
    func deaths() throws {
        let goOn = try member(["-n", "3", "--on-death", "continue"], "die")
        #expect(goOn.status == 137, "\(goOn)")
        #expect(
            goOn.output.split(separator: "\n").sorted()
                == (1..<3).map { "rank \($0) recovered, rank 0 is gone" })
        let again = try member(["-n", "3", "--on-death", "restart"], "die")
        #expect(again.status == 0, "\(again)")
        #expect(
            again.output.split(separator: "\n").sorted()
                == (0..<3).map { "rank \($0) recovered, rank 0 is there" })
        let end = try member(["-n", "3"], "die")
        #expect(end.status == 137 && end.errors.contains("ending the others"), "\(end)")
    }

    @Test("A process that has joined is watched, also if another program started it")
    func grandchildren() throws {
        let lost = "has lost the process that had joined"
        for (script, statuses, words) in [
            ("\"$0\" member die /; exit 0", [137], lost),
            ("\"$0\" member die / & sleep 1000", [137], lost),
            ("\"$0\" member die /; exit $?", [137], "exited with status 137"),
            // Where the kernel does not say how, it is taken for SIGKILL.
            ("\"$0\" member abort /; exit 0", [134, 137], lost),
            ("\"$0\" member exit 7 /; exit 0", [7, 137], lost),
            ("\"$0\" member exit 7 / & sleep 1000", [7, 137], lost),
        ] as [(String, [Int32], String)] {
            let result = try CommandRunner.run([
                "run", "-n", "2", "--", "sh", "-c", "ulimit -c 0; \(script)", testHost,
            ])
            #expect(statuses.contains(result.status ?? -1), "\(script): \(result)")
            #expect(result.errors.contains("rank 0") && result.errors.contains(words), "\(result)")
        }
        let folder = try TemporaryFolder()
        let path = folder.path("report.json")
        let reported = try CommandRunner.run([
            "run", "-n", "2", "--json", path, "--", "sh", "-c", "\"$0\" member die /; :", testHost,
        ])
        #expect(reported.status == 137, "\(reported)")
        let exits =
            try #require(
                try Self.json(path)["ranks"] as? [[String: Any]])[0]["exits"] as? [[String: Any]]
        #expect(exits?[0]["lost_member"] as? Bool == true && exits?[0]["exit_code"] as? Int == 0)
        #expect(exits?[0]["member_exit_code"] is NSNull)
        if let signal = exits?[0]["member_signal"] as? Int { #expect(signal == 9) }
        let goOn = try CommandRunner.run([
            "run", "-n", "3", "--on-death", "continue", "--", "sh", "-c", "\"$0\" member die /; :",
            testHost,
        ])
        #expect(goOn.status == 137 && goOn.output.contains("rank 0 is gone"), "\(goOn)")
        let again = try CommandRunner.run([
            "run", "-n", "2", "--on-death", "restart", "--", "sh", "-c", "\"$0\" member die /; :",
            testHost,
        ])
        #expect(again.status == 0 && again.output.contains("rank 0 is there"), "\(again)")
    }

    private static func json(_ path: String) throws -> [String: Any] {
        try CommandResult(output: String(contentsOfFile: path, encoding: .utf8)).json()
    }

    @Test("A loop that a death has ended is named, with how far it had come and who was gone")
    func interrupted() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("report.json")
        for onDeath in ["continue", "restart"] {
            let run = try member(["-n", "3", "--on-death", onDeath, "--json", path], "cut")
            #expect(run.status == (onDeath == "restart" ? 0 : 137), "\(run)")
            let audits = run.errorLines.filter { $0.hasPrefix("muster: audit  cut  ") }
            try #require(audits.count == 2, "\(run)")
            #expect(audits[0].hasSuffix("10 chunks, each exactly once, by 3 ranks"))
            #expect(audits[1].contains("cut  interrupted, rank 0 was gone: "), "\(audits[1])")
            #expect(audits[1].hasSuffix(" of 10 chunks committed, not audited"), "\(audits[1])")
            let report = try Self.json(path)
            let missing = JSONReportTests.keys(of: report)
                .subtracting(try JSONReportTests.documentedKeys().map(String.init))
            #expect(missing.isEmpty, "not in JSONReports.md: \(missing.sorted())")
            let loops = try #require(report["interrupted_loops"] as? [[String: Any]])
            try #require(loops.count == 1)
            #expect(loops[0]["name"] as? String == "cut" && loops[0]["loops"] as? Int == 1)
            #expect(loops[0]["chunks"] as? Int == 10 && loops[0]["rank"] as? Int == 0)
            #expect((1...10).contains(loops[0]["committed"] as? Int ?? 0))
            #expect((report["verified_loops"] as? [Any])?.count == 1)
        }
    }

    @Test("Where a death ends the whole team, the loop that it ended is named too")
    func interruptedForAll() throws {
        let run = try member(["-n", "3"], "cut")
        #expect(run.status == 137, "\(run)")
        // Survivors may have done it again before they are ended, or may be ended in the midst of that.
        #expect(
            run.errors.contains("audit  cut  interrupted, rank 0 was gone: ")
                || run.errors.contains("audit  cut  interrupted 2 times; the last time, rank "),
            "\(run)")
    }

    @Test("A process that joins twice is told so, by itself and by the launcher")
    func twice() throws {
        let run = try member(["-n", "1"], "twice")
        #expect(run.status == 1, "\(run)")
        #expect(run.errors.contains("asked for rank 0 and was refused: it has joined already"))
        #expect(run.errors.contains("this process has joined already: muster_leave comes first"))
    }

    @Test("A rank that ends without joining is not waited for", arguments: ["exit 0", "sleep 0.2"])
    func neverJoins(_ rankZero: String) throws {
        let result = try CommandRunner.run([
            "run", "-n", "2", "--", "sh", "-c",
            "[ $MUSTER_RANK = 0 ] && { \(rankZero); exit 0; }; exec \"$0\" member wait /", testHost,
        ])
        #expect(result.status == 0 && result.output == "rank 1: a rank died\n", "\(result)")
    }

    @Test("Two processes with one number: the second is refused, and that is reported")
    func sameNumber() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("report.json")
        let result = try CommandRunner.run([
            "run", "-n", "2", "--json", path, "--", "env", "MUSTER_RANK=1", testHost, "member",
            "wait", "/",
        ])
        #expect(result.status == 1, "\(result)")
        #expect(result.errors.contains("asked for rank 1 and was refused: a live process holds it"))
        #expect(result.errors.contains("a live process holds this rank"))
        let report = try CommandResult(
            output: String(contentsOfFile: path, encoding: .utf8)
        ).json()
        let refused = try #require(report["refused"] as? [[String: Any]])
        #expect(refused.count == 1 && refused[0]["rank"] as? Int == 1)
        let other = try CommandRunner.run([
            "run", "-n", "1", "--", "env", "MUSTER_RANK=1", testHost, "member", "leave", "/",
        ])
        #expect(other.status == 1 && other.errors.contains("there is no such rank"), "\(other)")
    }
}
