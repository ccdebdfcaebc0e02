// RunRefusalTests.swift - what `muster run` refuses, and its report.

import Foundation
import Muster
import Testing

extension RunTests {
    @Test("What can't be executed is named, with what is wrong with it")
    func refusedPrograms() throws {
        let folder = try TemporaryFolder()
        let plain = try folder.write("plain", Array("echo hi\n".utf8))
        let lost = try folder.program("lost", "#! /no/such/interpreter -x\n")
        let binary = try folder.program("binary", "\u{7f}ELF\0\0\0\0")
        // Kernels look at the machine's number first: 22 is S/390's.
        let foreign = try folder.program(
            "foreign",
            "\u{7f}ELF\u{2}\u{2}\u{1}" + String(repeating: "\0", count: 10) + "\u{2}\u{16}\0"
                + String(repeating: "\0", count: 64))
        let windows = try folder.program("windows", "#!/bin/sh\r\necho hi\r\n")
        let shellProgram = try folder.program("busy", "#!/bin/sh\n")
        let unfit = try folder.program("unfit", "#!\(plain)\n")
        for (program, status, words) in [
            (
                binary, Int32(126),
                "can't be executed: it is neither a binary of this machine nor a script"
            ),
            (
                foreign, 126,
                "can't be executed: it is a binary for another kind of machine (ELF machine 22)"
            ),
            (
                windows, 126,
                "can't be executed: its interpreter '/bin/sh\\r' is not there: its first line ends in "
                    + "CR LF; convert it with dos2unix"
            ),
            (
                unfit, 126,
                "can't be executed: its interpreter \(plain) may not be executed"
            ),
            (plain, 126, "can't be executed: nobody may execute it: chmod +x"),
            (folder.path(""), 126, "can't be executed: it is a directory"),
            (lost, 126, "can't be executed: its interpreter /no/such/interpreter is not there"),
            ("/no/such", 127, "can't be executed: No such file or directory"),
            ("no-such-program", 127, "there is no such program in PATH"),
            ("/dev/null/x", 126, "can't be executed: Not a directory"),
        ] {
            let run = try CommandRunner.run(["run", "-n", "2", "--", program])
            #expect(run.status == status && run.output == "", "\(run)")
            #expect(run.errors == "muster: \(program): \(words)\n", "\(run)")
        }
        // Open to be written by somebody: here by the tool's own parent.
        let open =
            "exec 9>>'\(shellProgram)'; exec '\(CommandRunner.muster)' run -n 1 -- '\(shellProgram)'"
        let busy = try CommandRunner.run(["-c", open], program: "/bin/sh")
        #expect(
            busy.status == 126 && busy.errors.contains("somebody has it open for writing"),
            "\(busy)")
        // As found by way of PATH, too.
        let path = ["PATH": "/no/such:\(folder.path("")):/usr/bin:/bin"]
        let found = try CommandRunner.run(["run", "-n", "1", "--", "lost"], environment: path)
        #expect(
            found.status == 126 && found.errors.contains("its interpreter /no/such/"), "\(found)")
        // A script without a first line of that kind is the shell's, as execvp has it.
        let shell = try folder.program("shell", "echo hi\n")
        #expect(try CommandRunner.run(["run", "-n", "1", "--", shell]).output == "hi\n")
    }

    @Test("The number of ranks, as people write it")
    func writings() throws {
        for options in [["-n", "2"], ["-n2"], ["-n=2"], ["--ranks", "2"], ["--ranks=2"]] {
            let run = try runShell(options, "echo $MUSTER_SIZE")
            #expect(run.status == 0 && run.output == "2\n2\n", "\(options): \(run)")
        }
    }

    @Test("What is short is named, with where to get more")
    func shortage() throws {
        func limited(_ limit: String, _ ranks: Int) throws -> CommandResult {
            try CommandRunner.run(
                ["-c", "\(limit); \"$0\" run -n \(ranks) -- sleep 100", CommandRunner.muster],
                program: "/bin/sh")
        }
        let files = try limited("ulimit -n 24", 40)
        #expect(files.status == 2 && files.errorLines.count == 1, "\(files)")
        #expect(files.errors.contains("can't be") && files.errors.contains("ulimit -n"), "\(files)")
        // What is said must not be short of the same.
        let bytes = try CommandRunner.run(
            [
                "-c", "(ulimit -f 0; \"$0\" run -n 1 -- true; echo $?) 2>&1 | cat",
                CommandRunner.muster,
            ], program: "/bin/sh")
        let lines = bytes.output.split(separator: "\n")
        #expect(lines.count == 2 && lines.last == "2", "\(bytes)")
        #expect(
            lines.first?.contains("RLIMIT_FSIZE allows files of 0 bytes") == true
                && lines.first?.contains("raise it (ulimit -f ") == true, "\(bytes)")
    }

    @Test("--version is the tool's")
    func version() throws {
        let run = try CommandRunner.run(["run", "--version"])
        let tool = try CommandRunner.run(["--version"])
        #expect(run.status == 0 && run.output == tool.output && !tool.output.isEmpty, "\(run)")
        #expect(
            try CommandRunner.run(["run", "--", "sh", "-c", "echo $0", "--version"]).status == 0)
    }

    @Test("A run that can't start leaves no report of an earlier one, and hosts have their own")
    func reports() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("report.json")
        func report(_ path: String) throws -> [String: Any] {
            try CommandResult(output: String(contentsOfFile: path, encoding: .utf8)).json()
        }
        _ = try CommandRunner.run(["run", "-n", "1", "--json", path, "--", "true"])
        #expect(try report(path)["exit_status"] as? Int == 0)
        let missing = try CommandRunner.run(["run", "-n", "1", "--json", path, "--", "/no/such"])
        #expect(missing.status == 127, "\(missing)")
        let error = try report(path)["error"] as? String
        #expect(error?.hasPrefix("/no/such: can't be executed") == true, "\(error ?? "")")

        let full = try CommandRunner.run([
            "run", "-n", "1", "--json", "/dev/full", "--", "sh", "-c", "exit 5",
        ])
        #expect(full.status == 5 && full.errors.contains("/dev/full: can't be written"), "\(full)")
        let unstarted = try CommandRunner.run(
            ["run", "-n", "1", "--json", "/dev/full", "--", "/no/such"])
        #expect(unstarted.status == 127 && unstarted.errorLines.count == 2, "\(unstarted)")
        let both = folder.path("both")
        let appended = try CommandRunner.run(
            [
                "-c", "\"$0\" run -n 1 --json /dev/stdout -- echo hi >\"$1\"",
                CommandRunner.muster, both,
            ], program: "/bin/sh")
        let text = try String(contentsOfFile: both, encoding: .utf8)
        #expect(appended.status == 0 && text.hasPrefix("hi\n{"), "\(text)")
        let lost = try CommandRunner.run(["run", "-n", "1", "--json", "/dev/full", "--", "true"])
        #expect(lost.status == 2, "\(lost)")

        let host = try CommandRunner.run(
            ["run", "-n", "1", "--json", path, "--trace", folder.path("a.b/trace"), "--", "true"],
            environment: ["MUSTER_HOST_RANK": "1", "MUSTER_HOST_SIZE": "2"])
        #expect(host.status == 2, "\(host)")  // there is no such folder
        #expect(host.errors.contains("a.b/trace.1: can't be written"), "\(host)")
        let second = try CommandRunner.run(
            ["run", "-n", "1", "--json", path, "--", "true"],
            environment: ["MUSTER_HOST_RANK": "1", "MUSTER_HOST_SIZE": "2"])
        #expect(second.status == 0, "\(second)")
        let own = try report(folder.path("report.1.json"))
        #expect((own["host"] as? [String: Any])?["rank"] as? Int == 1)
    }

    /// Whether this process may make a name space of its own.
    private static let canUnshare =
        (try? CommandRunner.run(
            ["-rm", "mount", "-t", "tmpfs", "none", "/proc"], program: "/usr/bin/unshare"
        ).status) == 0

    @Test(
        "Without /proc nothing is taken for what it is not",
        .enabled(if: canUnshare, "this system gives no name spaces (unshare -rm)"))
    func withoutProc() throws {
        let result = try CommandRunner.run(
            [
                "-rm", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" run -n 1 -- false",
                CommandRunner.muster,
            ], program: "/usr/bin/unshare")
        #expect(result.status == 2 && result.errors.contains("/proc is not there"), "\(result)")
    }

    @Test("--json - is for where standard output is nobody else's")
    func reportOnStandardOutput() throws {
        let folder = try TemporaryFolder()
        let run = try runShell(
            ["-n", "2", "--output-dir", folder.path("out"), "--json", "-"], "echo hi; exit 3")
        #expect(run.status == 3, "\(run)")
        #expect(try run.json()["exit_status"] as? Int == 3)
        let mixed = try runShell(["-n", "2", "--json", "-"], "echo hi")
        #expect(mixed.errors.contains("add --output-dir"), "\(mixed)")
    }

    @Test("The report has every key of JSONReports.md, and what became of each rank")
    func report() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("report.1.json")  // of host 1
        let result = try runShell(
            [
                "-n", "2", "--on-death", "restart", "--restarts", "1", "--json",
                folder.path("report.json"),
            ],
            "[ $MUSTER_RANK = 0 ] || kill -9 $$",
            environment: ["MUSTER_HOST_RANK": "1", "MUSTER_HOST_SIZE": "3"])
        #expect(result.status == 137 && result.output == "")
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let report = try CommandResult(output: text).json()
        let missing = JSONReportTests.keys(of: report)
            .subtracting(try JSONReportTests.documentedKeys().map(String.init))
        #expect(missing.isEmpty, "not in JSONReports.md: \(missing.sorted())")
        #expect(text.hasPrefix("{\n  \"schema\" : \"muster.run/1\",\n  \"error\" : \"rank 1 was "))
        #expect(report["exit_status"] as? Int == 137 && report["global_size"] as? Int == 6)
        #expect(report["ended_by"] as? String == "failure")
        let ranks = try #require(report["ranks"] as? [[String: Any]])
        #expect(ranks.map { $0["global_rank"] as? Int } == [2, 3])
        let exits = try #require(ranks[1]["exits"] as? [[String: Any]])
        #expect(exits.map { $0["signal"] as? Int } == [9, 9])
        #expect(exits.map { $0["incarnation"] as? Int } == [1, 2])
        #expect(exits.allSatisfy { $0["exit_code"] is NSNull })
        #expect(ranks[1]["restarts"] as? Int == 1)
        let leftovers = try FileManager.default.contentsOfDirectory(
            atPath: (path as NSString).deletingLastPathComponent)
        #expect(leftovers.filter { $0.hasPrefix("report") } == ["report.1.json"])
    }
}
