// OutputFileTests.swift - files that the tool writes: checked before work begins, whole or not at all.

import Foundation
import Testing

@Suite struct OutputFileTests {
    /// A saved report, made once.
    private static let report = Result<String, any Error> {
        let run = try CommandRunner.run([
            "bench", "dispatch", "-n", "1", "--samples", "1", "--json",
        ])
        return run.output
    }

    private let folder: TemporaryFolder
    /// Its file.
    private let report: String

    init() throws {
        folder = try TemporaryFolder()
        report = try folder.write("report.json", Array(Self.report.get().utf8))
    }

    private func csv(_ path: String) throws -> CommandResult {
        try CommandRunner.run(["report", report, "--csv", path])
    }

    private func text(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8)
    }

    private func mode(_ path: String) -> mode_t {
        var information = stat()
        return lstat(path, &information) == 0 ? information.st_mode & 0o7777 : 0
    }

    /// Whether these files are there beside the report, and no others: no draft is left over.
    private func has(_ names: String...) throws -> Bool {
        try FileManager.default.contentsOfDirectory(atPath: folder.path("")).sorted()
            == (["report.json"] + names).sorted()
    }

    @Test(
        "bench says before its first test that a file can't be written",
        arguments: ["--save", "--csv", "--html"])
    func checkedBefore(option: String) throws {
        for path in ["/nonexistent/a", "/proc/a", folder.path(""), folder.path("") + "/a/"] {
            // The tour would take hours, and the watchdog would end it.
            let run = try CommandRunner.run(["bench", "--samples", "10000", option, path])
            #expect(run.status == 2 && run.output == "" && run.errorLines.count == 1, "\(run)")
            #expect(run.errors.contains("\(path): can't be written: "), "\(run.errors)")
        }
        #expect(try has())
    }

    @Test("run says before its ranks start that the report can't be written")
    func runCheckedBefore() throws {
        let mark = folder.path("mark")
        for path in ["/nonexistent/a", folder.path("")] {
            let run = try CommandRunner.run(["run", "-n", "1", "--json", path, "--", "touch", mark])
            #expect(run.status == 2 && run.errorLines.count == 1, "\(run)")
            #expect(run.errors.contains("\(path): can't be written: "))
        }
        #expect(try has())
    }

    @Test("What was there is replaced, with its permissions, and no draft is left over")
    func replaced() throws {
        let path = try folder.write("a.csv", Array("old".utf8))
        try #require(chmod(path, 0o604) == 0)
        #expect(try csv(path).status == 0)
        #expect(try text(path).hasPrefix("test,kernel,ranks,"))
        #expect(mode(path) == 0o604)
        #expect(try has("a.csv"))
    }

    @Test("A file that may not be written is left alone; who may keeps its permissions")
    func readOnly() throws {
        let path = try folder.write("a.csv", Array("old".utf8))
        try #require(chmod(path, 0o444) == 0)
        let run = try csv(path)
        if access(path, W_OK) == 0 {
            #expect(try run.status == 0 && text(path).hasPrefix("test,"))
        } else {
            #expect(try run.status == 2 && text(path) == "old")
        }
        #expect(mode(path) == 0o444)
        #expect(try has("a.csv"))
    }

    @Test("What can't be written to its end leaves the old file, and no draft")
    func cutShort() throws {
        let path = try folder.write("a.html", Array("old".utf8))
        let run = try CommandRunner.run(
            [
                "-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" report \"$1\" --html \"$2\"",
                CommandRunner.muster, report, path,
            ], program: "/bin/sh")
        #expect(run.status == 2 && run.errors.contains("\(path): can't be written: "), "\(run)")
        #expect(try text(path) == "old")
        #expect(try has("a.html"))
    }

    @Test("A full device: one line, status 2")
    func full() throws {
        let run = try csv("/dev/full")
        #expect(run.status == 2 && run.output == "" && run.errorLines.count == 1)
        #expect(run.errors.contains("/dev/full: can't be written: No space left"))
    }

    @Test("A link stays one, and what it leads to is written, made where it is missing")
    func link() throws {
        let (target, link) = (folder.path("a.csv"), folder.path("link"))
        try #require(symlink("a.csv", link) == 0)
        // Looked at before the run, then not written: there is no folder for the other.
        let none = try CommandRunner.run(
            ["run", "-n", "1", "--json", link, "--trace", folder.path("no/trace"), "--", "true"])
        #expect(try none.status == 2 && has("link"), "\(none)")
        for _ in 0..<2 {
            #expect(try csv(link).status == 0)
            #expect(try text(target).hasPrefix("test,"))
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "a.csv")
        }
        #expect(try has("a.csv", "link"))
    }

    @Test("A pipe is written to, and waits for no reader when it is looked at first")
    func pipe() throws {
        let path = folder.path("pipe")
        try #require(mkfifo(path, 0o600) == 0)
        let run = try CommandRunner.run(
            [
                "-c", "cat \"$2\" & \"$0\" report \"$1\" --csv \"$2\" && wait",
                CommandRunner.muster,
                report, path,
            ], program: "/bin/sh")
        #expect(run.status == 0 && run.output.hasPrefix("test,"), "\(run)")
        // Nobody reads: looking at it must not wait, nor leave it other than it was.
        let none = try CommandRunner.run(
            ["run", "-n", "1", "--json", path, "--trace", folder.path("no/trace"), "--", "true"])
        #expect(try none.status == 2 && has("pipe"))
    }

    @Test("--save -: the JSON object in place of text; one report has standard output")
    func standardOutput() throws {
        let tour = ["bench", "tour", "dispatch", "--quick", "--samples", "1"]
        let run = try CommandRunner.run(tour + ["--save", "-"])
        #expect(run.status == 0)
        try SchemaCheck.bench().expect(try run.json())
        for two in [["--json", "--save", "-"], ["--save", "-", "--csv", "-"]] {
            let refused = try CommandRunner.run(tour + two)
            #expect(refused.status == 64 && refused.errors.contains("--save -"), "\(refused)")
        }
    }

    @Test("A host's recording that can't be made: the directory is named")
    func recording() throws {
        let run = try CommandRunner.run(["topology", "--record", "/dev/null"])
        #expect(run.status == 2 && run.output == "" && run.errorLines.count == 1)
        #expect(run.errors.hasPrefix("muster: /dev/null: can't write "), "\(run.errors)")
    }
}
