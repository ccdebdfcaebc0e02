// RunCheckTests.swift - members whose kernels are wrong: what `muster run` says of each, once.

import Foundation
import Testing

@Suite struct RunCheckTests {
    /// Runs three ranks whose chunk 3 does what is wrong.
    private func run(_ options: [String], _ wrong: String) throws -> CommandResult {
        try CommandRunner.run(
            ["run", "-n", "3"] + options + ["--", testHost, "stray-member", wrong, "/"],
            environment: ["MUSTER_CHECK": ""])
    }

    private func death(_ result: CommandResult) throws -> String {
        let lines = result.errorLines.filter { !$0.hasPrefix("muster: audit") }
        #expect(lines.count == 1, "\(result)")
        return String(try #require(lines.first))
    }

    @Test("A right program runs under check mode as without it")
    func right() throws {
        for options in [[], ["--check"]] {
            let result = try run(options, "nothing")
            #expect(result.status == 0, "\(result)")
            #expect(
                result.errors == "muster: audit  double  8 chunks, each exactly once, by 3 ranks\n")
        }
    }

    @Test("A stray access ends the run at its instruction, and is not tried again")
    func stray() throws {
        for (wrong, deed) in [
            ("beyond", "wrote element 16384 of array \"x\", right beyond its chunk 12288..<16384"),
            ("input", "wrote element 7 of array \"a\", which this loop only reads"),
        ] {
            let off = try run([], wrong)
            #expect(off.status == 0 && !off.errors.contains(" killed "), "\(off)")
            for options in [[], ["--on-death", "restart"], ["--on-death", "continue"]] {
                let result = try run(["--check"] + options, wrong)
                #expect(result.status == 139, "\(result)")
                let line = try death(result)
                #expect(
                    line.hasPrefix("muster: rank 0 (process ")
                        && line.contains(
                            ") was killed by signal 11 (SIGSEGV) when chunk 3 (indices "
                                + "12288..<16384) of loop \"double\" \(deed), in ")
                        && line.hasSuffix(": ending the others"), "\(line)")
            }
        }
    }

    @Test("A member that dies by a signal says where and why, once")
    func crashes() throws {
        for (wrong, words) in [
            ("words", ["(SIGILL)", ".double", ": 3 is no even number"]),
            ("null", ["(SIGSEGV) at address 0x10", "double"]),
            ("index", ["(SIGILL)", "double"]),
        ] {
            let result = try run([], wrong)
            let line = try death(result)
            for word in words { #expect(line.contains(word), "\(line)") }
            #expect(
                line.contains("in chunk 3 (indices 12288..<16384) of loop \"double\""), "\(line)")
            let again = try run(["--on-death", "restart"], wrong)
            #expect(again.status == 0 && again.errors.contains("starting it again"), "\(again)")
        }
    }

    @Test("The report has the crash of each process")
    func report() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("report.json")
        let result = try run(["--check", "--json", path], "beyond")
        #expect(result.status == 139, "\(result)")
        let report = try CommandResult(output: String(contentsOfFile: path, encoding: .utf8)).json()
        let missing = JSONReportTests.keys(of: report)
            .subtracting(try JSONReportTests.documentedKeys().map(String.init))
        #expect(missing.isEmpty, "not in JSONReports.md: \(missing.sorted())")
        let ranks = try #require(report["ranks"] as? [[String: Any]])
        let exits = try #require(ranks[0]["exits"] as? [[String: Any]])
        let crash = try #require(exits[0]["crash"] as? [String: Any])
        #expect(crash["stray_access"] as? Bool == true && crash["chunk"] as? Int == 3)
        #expect(crash["loop"] as? String == "double")
        #expect((crash["deed"] as? String)?.hasPrefix("wrote element 16384 of array") == true)
        #expect((report["error"] as? String)?.contains("right beyond its chunk") == true)
        #expect(ranks[1]["exits"] is [[String: Any]])
    }
}
