// RunOutputTests.swift - what ranks of `muster run` write: whole lines, all of them, each rank's in its order.

import Foundation
import Testing

@Suite struct RunOutputTests {
    /// Lines of many lengths, written by blocks that end anywhere in them.
    private static let writer = """
        awk 'BEGIN {
            r = ENVIRON["MUSTER_RANK"]; for (i = 0; i < 200; i++) x = x "x"
            for (i = 0; i < 6250; i++) print r ":" i ":" substr(x, 1, (i * 7 + r) % 200)
        }'
        """

    @Test("100,000 lines of 16 ranks: none torn, none lost, each rank's in its order")
    func manyLines() throws {
        let result = try runShell(["-n", "16", "--tag-output"], Self.writer)
        #expect(result.status == 0 && result.errors == "")
        var next = Array(repeating: 0, count: 16)
        var wrong = 0
        for line in result.output.utf8.split(separator: 10) {
            let parts = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            let head = Substring(parts[0]).split(separator: " ")
            guard parts.count == 3, head.count == 2, let rank = Int(head[1]),
                (0..<16).contains(rank),
                head[0] == "[\(rank)]", Int(Substring(parts[1])) == next[rank],
                parts[2].count == (next[rank] * 7 + rank) % 200
            else {
                wrong += 1
                continue
            }
            next[rank] += 1
        }
        #expect(wrong == 0 && next.allSatisfy { $0 == 6250 }, "\(wrong) wrong lines, \(next)")
    }

    @Test("Lines up to 1 MiB are whole without tags too, and last lines keep apart")
    func longLines() throws {
        let script = "head -c 1000000 /dev/zero | tr '\\0' $MUSTER_RANK; echo; printf end"
        let result = try runShell(["-n", "4"], script)
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 8, "\(lines.map(\.count))")
        #expect(lines.filter { $0 == "end" }.count == 4)
        for rank in 0..<4 {
            #expect(
                lines.contains {
                    $0.utf8.count == 1_000_000 && $0.allSatisfy { "\($0)" == "\(rank)" }
                })
        }
    }

    @Test("A line without end beyond that passes in parts, and nothing of it is lost")
    func endlessLine() throws {
        let script = "head -c 5000000 /dev/zero | tr '\\0' $MUSTER_RANK"
        let result = try runShell(["-n", "2"], script)
        #expect(result.output.utf8.count { $0 == UInt8(ascii: "0") } == 5_000_000)
        #expect(result.output.utf8.count { $0 == UInt8(ascii: "1") } == 5_000_000)
        #expect(result.output.split(separator: "\n").allSatisfy { Set($0.utf8).count == 1 })
    }

    @Test("A single rank's bytes are passed on as they are")
    func bytesOfOne() throws {
        let result = try runShell(["-n", "1"], "printf 'a\\n\\nb'; printf 'c' >&2")
        #expect(result.output == "a\n\nb" && result.errors == "c")
    }

    @Test("Both streams into one file keep their order")
    func oneFile() throws {
        let result = try CommandRunner.run(
            [
                "-c",
                "\"$0\" run -n 1 -- sh -c 'for i in 1 2 3; do echo out $i; echo err $i >&2; done' 2>&1",
                CommandRunner.muster,
            ], program: "/bin/sh")
        #expect(result.output == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n", "\(result)")
    }

    @Test("A reader that is slow is waited for, and misses nothing")
    func slowReader() throws {
        // More than all pipes and buffers between hold; RelayTests looks at those.
        let result = try CommandRunner.run(
            [
                "-c",
                "\"$0\" run -n 2 -- sh -c 'yes 0123456789 | head -c 22000000' | { sleep 0.5; wc -c; }",
                CommandRunner.muster,
            ], program: "/bin/sh")
        #expect(result.output == "44000000\n", "\(result)")
    }

    @Test("Into a closed pipe: everything ends, without a word", arguments: [[], ["--tag-output"]])
    func closedPipe(_ options: [String]) throws {
        let result = try CommandRunner.run(
            ["run", "-n", "4"] + options + ["--", "yes"], output: .closedPipe)
        #expect(result.signal == SIGPIPE, "\(result)")
        #expect(result.errors == "")
    }

    @Test("Onto a full device: one line, status 2")
    func fullDevice() throws {
        let result = try CommandRunner.run(
            ["run", "-n", "2", "--", "yes"], output: .path("/dev/full"))
        #expect(result.status == 2, "\(result)")
        #expect(result.errorLines.count == 1 && result.errors.contains("No space left"))
    }

    /// `muster run` with redirections that a shell makes.
    private func redirected(
        _ options: String, _ script: String, _ redirections: String
    ) throws -> CommandResult {
        try CommandRunner.run(
            [
                "-c", "\"$0\" run \(options) -- sh -c '\(script)' \(redirections)",
                CommandRunner.muster,
            ], program: "/bin/sh")
    }

    @Test(
        "What can't be written is one line and status 2, however short it is",
        arguments: [">&-", ">/dev/full"])
    func lostOutput(_ redirection: String) throws {
        for options in ["-n 1", "-n 2", "-n 2 --tag-output", "-n 2 --on-death continue"] {
            let result = try redirected(options, "echo hi", redirection)
            #expect(result.status == 2 && result.output == "", "\(options): \(result)")
            #expect(result.errorLines.count == 1, "\(options): \(result.errors)")
            #expect(result.errors.hasPrefix("muster: standard output: can't write to it: "))
        }
        // Who writes nothing there has lost nothing.
        let quiet = try redirected("-n 2", "echo hi >&2", redirection)
        #expect(quiet.status == 0 && quiet.errors == "hi\nhi\n", "\(quiet)")
        let apart = try redirected("-n 2", "echo hi >&2", "2>/dev/null \(redirection)")
        #expect(apart.status == 0, "\(apart)")
        let silent = try redirected("-n 2", "echo hi", "2>/dev/null \(redirection)")
        #expect(silent.status == 2, "\(silent)")
    }

    @Test("What a rank wrote last comes before what is said of its end")
    func lastWords() throws {
        for _ in 0..<20 {
            let result = try redirected("-n 1", "echo last; exit 3", "2>&1")
            #expect(result.output.hasPrefix("last\nmuster: rank 0 "), "\(result)")
        }
    }

    @Test("Into a closed standard error all is lost, and nothing else is")
    func closedErrors() throws {
        let result = try redirected(
            "-n 2 --on-death continue", "echo err >&2; echo out; exit 3", "2>&-")
        #expect(result.status == 3 && result.output == "out\nout\n", "\(result)")
        let both = try redirected("-n 1", "echo err >&2; exit 3", "2>&- >&-")
        #expect(both.status == 3, "\(both)")
    }

    @Test("A closed standard input has nothing in it")
    func closedInput() throws {
        let result = try redirected("-n 2", "wc -c", "<&-")
        #expect(result.status == 0 && result.output == "0\n0\n", "\(result)")
    }

    @Test("--output-dir: a file for each rank and stream, by global rank, appended to by restarts")
    func outputDirectory() throws {
        let folder = try TemporaryFolder()
        let directory = folder.path("a/b")
        let result = try runShell(
            ["-n", "2", "--output-dir", directory, "--on-death", "restart"],
            "echo out $MUSTER_INCARNATION; echo err >&2; [ $MUSTER_INCARNATION = 2 ]",
            environment: ["MUSTER_HOST_RANK": "1", "MUSTER_HOST_SIZE": "2"])
        #expect(result.status == 0 && result.output == "", "\(result)")
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        #expect(names == ["2.stderr", "2.stdout", "3.stderr", "3.stdout"])
        for rank in 2...3 {
            let text = try String(contentsOfFile: "\(directory)/\(rank).stdout", encoding: .utf8)
            #expect(text == "out 1\nout 2\n")
        }
    }
}
