// RunTests.swift - `muster run`: who is started, with what, and what it exits with.

import Foundation
import Muster
import Testing

/// Runs `muster run` over a shell script.
func runShell(
    _ options: [String], _ script: String, environment: [String: String] = [:],
    meanwhile: (pid_t) throws -> Void = { _ in }
) throws -> CommandResult {
    try CommandRunner.run(
        ["run"] + options + ["--", "sh", "-c", script], environment: environment,
        meanwhile: meanwhile)
}

@Suite struct RunTests {
    @Test("Each rank is told who it is")
    func identity() throws {
        let result = try runShell(
            ["-n", "3", "--bind", "none"],
            """
            echo $MUSTER_RANK/$MUSTER_SIZE $MUSTER_LOCAL_RANK $MUSTER_NODE [$MUSTER_CPU] \
            $MUSTER_GLOBAL_RANK/$MUSTER_GLOBAL_SIZE $MUSTER_INCARNATION [$MUSTER_HOST_RANK]
            """,
            // Left over from elsewhere, these are no rank's business.
            environment: ["MUSTER_RANK": "9", "MUSTER_CPU": "9", "MUSTER_INCARNATION": "9"])
        #expect(result.status == 0 && result.errors == "")
        #expect(
            result.output.split(separator: "\n").sorted()
                == (0..<3).map { "\($0)/3 \($0) 0 [] \($0)/3 1 []" })
    }

    @Test("Without -n there is a rank for each CPU, bound to it")
    func defaultSize() throws {
        let cpus = try Topology.read().cpus.filter { $0.isOnline && $0.isAllowed }.map(\.id)
        let result = try runShell(
            ["--report-bindings"],
            "echo $MUSTER_SIZE $MUSTER_CPU $(taskset -cp $$ | sed 's/.*: //')")
        #expect(result.status == 0)
        let lines = result.output.split(separator: "\n").sorted()
        #expect(lines == cpus.map { "\(cpus.count) \($0) \($0)" }.sorted())
        #expect(result.errorLines.count == cpus.count, "\(result.errors)")
    }

    @Test(
        "The kernel has the policy that --placement asks for",
        .enabled(if: access("/proc/self/numa_maps", R_OK) == 0, "this kernel has no NUMA"))
    func placement() throws {
        for (placement, policy) in [
            ("first-touch", "default"), ("bind:0", "bind:0"), ("interleave", "interleave:0"),
            ("interleave:0", "interleave:0"), ("blocked", "prefer:0"),
        ] {
            let result = try runShell(
                ["-n", "1", "--placement", placement], "grep -m 1 stack /proc/self/numa_maps")
            let words = result.output.split(separator: " ")
            #expect(result.status == 0 && words.count > 1, "\(result)")
            // The kernel calls it "prefer" or "prefer (many)", by version.
            #expect(
                words.count > 1 && words[1].hasPrefix(policy.prefix { $0 != ":" }),
                "\(placement): \(result.output)")
        }
        let weighted = try runShell(["--placement", "weighted:0=1"], "true")
        #expect(weighted.status == 64 && weighted.errors.contains("whole system"))
        let mirrored = try runShell(["--placement", "mirrored"], "true")
        #expect(mirrored.status == 64 && mirrored.errors.contains("has none"))
        // The kernel would drop such nodes without a word.
        for absent in ["bind:1023", "bind:99999", "interleave:0,1023", "interleave:0,99999"] {
            let run = try runShell(["--placement", absent], "echo ran")
            #expect(run.status == 2 && run.output == "", "\(run)")
            #expect(
                run.errors.contains("no such node with memory; this host's only one is node 0"),
                "\(run)")
        }
    }

    @Test("Standard input is rank 0's, the others have none")
    func input() throws {
        let result = try CommandRunner.run(
            [
                "-c",
                """
                printf 'a\\nb\\n' | "$0" run -n 3 -- sh -c 'cat | sed "s/^/$MUSTER_RANK /"'
                """, CommandRunner.muster,
            ], program: "/bin/sh")
        #expect(result.status == 0 && result.output == "0 a\n0 b\n", "\(result)")
    }

    @Test("What is typed at a terminal goes to rank 0, and prompts of a single one show")
    func terminalInput() throws {
        var terminal: Int32 = -1
        var side: Int32 = -1
        try #require(openpty(&terminal, &side, nil, nil, nil) == 0)
        defer { [terminal, side].forEach { close($0) } }
        let name = String(cString: ttyname(side))
        var isTyped = false
        // A session of its own, whose terminal this is: only its foreground processes may read there.
        let result = try CommandRunner.run(
            [
                "-c",
                "exec setsid -c -w sh -c 'exec \"$0\" run -n 1 -- sh -c \"$1\"' \"$0\" \"$1\" "
                    + "<\(name)",
                CommandRunner.muster, "printf 'name? '; read name; echo hello $name; cat; echo end",
            ], program: "/bin/sh"
        ) { _ in
            if !isTyped { _ = "you\nmore\n\u{4}".withCString { write(terminal, $0, strlen($0)) } }
            isTyped = true
        }
        #expect(result.status == 0, "\(result)")
        #expect(result.output == "name? hello you\nmore\nend\n", "\(result)")
    }

    @Test("A run that comes from the background into the foreground takes what is typed then")
    func foreground() throws {
        let folder = try TemporaryFolder()
        var terminal: Int32 = -1
        var side: Int32 = -1
        try #require(openpty(&terminal, &side, nil, nil, nil) == 0)
        defer { [terminal, side].forEach { close($0) } }
        let name = String(cString: ttyname(side))
        let started = folder.path("started")
        var isTyped = false
        let result = try CommandRunner.run(
            [
                "-c",
                "exec setsid -c -w sh -mc '\"$0\" run -n 1 -- sh -c \"$1\" & "
                    + "until [ -e \"$2\" ]; do sleep 0.01; done; fg' \"$0\" \"$1\" \"$2\" <\(name)",
                CommandRunner.muster, "touch \(started); read line; echo got $line", started,
            ], program: "/bin/sh"
        ) { _ in
            guard !isTyped, FileManager.default.fileExists(atPath: started) else { return }
            _ = "it\n".withCString { write(terminal, $0, strlen($0)) }
            isTyped = true
        }
        #expect(result.status == 0 && result.output.hasSuffix("got it\n"), "\(result)")
    }

    @Test("What a dead rank has left in its process group is gone before it comes again")
    func restartAlone() throws {
        let script = """
            if [ $MUSTER_INCARNATION = 1 ]; then sleep 1000 & echo $! >"$0"; kill -9 $$; fi
            while kill -0 $(cat "$0") 2>/dev/null; do sleep 0.01; done
            """
        let folder = try TemporaryFolder()
        let result = try CommandRunner.run([
            "run", "-n", "1", "--on-death", "restart", "--timeout", "20", "--", "sh", "-c", script,
            folder.path("pid"),
        ])
        #expect(result.status == 0, "\(result)")
    }

    @Test("Signals are default and none is blocked, but what nohup ignores stays ignored")
    func cleanSignals() throws {
        /// Of a line "SigIgn:\t0000000000000001"; 32 and 33 are the C library's own.
        func mask(_ line: Substring?) -> UInt64? {
            line?.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }.map {
                $0 & ~0x1_8000_0000
            }
        }
        let script = "grep -E 'SigBlk|SigIgn' /proc/self/status"
        let plain = try CommandRunner.run(["run", "-n", "1", "--", "sh", "-c", script])
            .output.split(separator: "\n")
        #expect(mask(plain.first) == 0 && mask(plain.last) == 0, "\(plain)")
        let nohup = try CommandRunner.run(
            [
                "-c", "trap '' HUP PIPE; exec \"$0\" run -n 1 -- sh -c \"$1\"",
                CommandRunner.muster,
                script,
            ], program: "/bin/sh"
        ).output.split(separator: "\n")
        // The tool takes SIGPIPE back for itself and its programs.
        #expect(mask(nohup.first) == 0 && mask(nohup.last) == 1, "\(nohup)")
    }

    @Test("Arguments and variables arrive byte by byte")
    func bytes() throws {
        let result = try CommandRunner.run(
            [
                "-c",
                """
                a=$(printf 'x\\377y'); A="$a" exec "$0" run -n 1 sh -c \
                'printf "%s %s" "$1" "$A" | od -An -tx1' - "$a"
                """, CommandRunner.muster,
            ], program: "/bin/sh")
        #expect(result.output == " 78 ff 79 20 78 ff 79\n", "\(result)")
    }

    @Test("A rank that fails ends the others, and is what is reported")
    func failure() throws {
        let result = try runShell(["-n", "4"], "[ $MUSTER_RANK = 2 ] && exit 7; sleep 100")
        #expect(result.status == 7)
        #expect(result.errorLines.count == 1, "\(result.errors)")
        #expect(result.errors.hasPrefix("muster: rank 2 (process "))
        #expect(result.errors.hasSuffix(") exited with status 7: ending the others\n"))
        let alone = try runShell(["-n", "1"], "exit 7")
        #expect(alone.errors.hasSuffix(") exited with status 7\n"), "\(alone)")
    }

    @Test("With --on-death continue the others go on")
    func goOn() throws {
        let result = try runShell(
            ["-n", "3", "--on-death", "continue"],
            "[ $MUSTER_RANK = 1 ] && kill -9 $$; sleep 0.3; echo $MUSTER_RANK")
        #expect(result.status == 137, "\(result)")
        #expect(result.output.split(separator: "\n").sorted() == ["0", "2"])
        #expect(result.errors.contains("was killed by signal 9 (SIGKILL): the others go on"))
    }

    @Test("With --on-death restart a rank comes again, up to a limit")
    func restart() throws {
        let script = "echo $MUSTER_INCARNATION; [ $MUSTER_INCARNATION -ge 3 ] || kill -SEGV $$"
        let enough = try runShell(["-n", "1", "--on-death", "restart", "--restarts", "2"], script)
        #expect(enough.status == 0 && enough.output == "1\n2\n3\n", "\(enough)")
        #expect(enough.errors.contains("starting it again (2 of 2)"))
        let short = try runShell(["-n", "1", "--on-death", "restart", "--restarts", "1"], script)
        #expect(short.status == 139 && short.output == "1\n2\n", "\(short)")
    }

    /// Length: one row of the table after the other.
    @Test("The exit status is what the table in the help says, line by line")
    func exitStatus() throws {
        let help = try CommandRunner.run(["run", "--help"]).output
        let lines = help.split(separator: "\n", omittingEmptySubsequences: false)
            .drop { $0 != "EXIT STATUS" }.dropFirst().prefix { $0 != "" }
        // A row begins with two blanks and its status; what is further in goes on with the last one.
        let rows = lines.filter { $0.dropFirst(2).first != " " }
            .map { String($0.split(separator: " ")[0]) }
        func status(_ options: [String], _ script: String) throws -> Int32? {
            try runShell(["-n", "2"] + options, script).status
        }
        func program(_ name: String) throws -> Int32? {
            try CommandRunner.run(["run", "-n", "2", "--", name]).status
        }
        func member(_ what: String) throws -> Int32? {
            try CommandRunner.run(["run", "-n", "2", "--", testHost, "member", what, "/"]).status
        }
        func signalled(_ number: Int32, _ script: String) throws -> Int32? {
            var isSent = false
            return try runShell(["-n", "2"], script) { pid in
                // Once each shell has a child, its traps are set.
                let ranks = Self.ranks(of: pid)
                guard !isSent, ranks.count == 2,
                    ranks.allSatisfy({ !CommandRunner.children(of: $0).isEmpty })
                else { return }
                isSent = true
                kill(pid, number)
            }.status
        }
        let folder = try TemporaryFolder()
        let script = try folder.program("script", "#!/no/such\n")
        let tests: [String: () throws -> Bool] = [
            "0": {
                try status([], "exit 0") == 0 && member("all") == 0
                    && signalled(SIGTERM, "trap 'exit 0' TERM; sleep 100 & wait") == 0
                    && status(["--on-death", "restart"], "[ $MUSTER_INCARNATION = 2 ]") == 0
            },
            "1": { try member("skip") == 1 && member("forget") == 1 },
            "2": {
                try status(["--output-dir", "/dev/null/x"], "exit 0") == 2
                    && status(["--json", "/dev/null/x"], "exit 0") == 2
                    && status(["--placement", "bind:1023"], "exit 0") == 2
                    && CommandRunner.run(
                        ["run", "-n", "2", "--", "echo"], output: .path("/dev/full")
                    ).status == 2
            },
            "64": { try status(["--on-death", "panic"], "exit 0") == 64 },
            "124": { try status(["--timeout", "0.2"], "sleep 100") == 124 },
            "126": { try ["/etc/passwd", "/etc", script].allSatisfy { try program($0) == 126 } },
            "127": { try program("/no/such/program") == 127 && program("no-such-program") == 127 },
            "128+S": {
                for (name, number) in [("KILL", Int32(9)), ("SEGV", 11), ("USR1", 10)] {
                    let rank = "[ $MUSTER_RANK = 1 ] && kill -\(name) $$; sleep 100"
                    guard try status([], "ulimit -c 0; \(rank)") == 128 + number else {
                        return false
                    }
                }
                let hidden = try CommandRunner.run([
                    "run", "-n", "2", "--", "sh", "-c", "\"$0\" member die /; exit 0", testHost,
                ])
                return try hidden.status == 137
                    && [SIGTERM, SIGINT, SIGHUP].allSatisfy {
                        try signalled($0, "sleep 100 & wait") == 128 + $0
                    }
            },
            "1-255": {
                try status([], "exit $((MUSTER_RANK * 255))") == 255
                    && status([], "[ $MUSTER_RANK = 0 ] && exit 3; sleep 100") == 3
                    // Not what others exit with when they are ended.
                    && status(
                        [], "trap 'exit 4' TERM; [ $MUSTER_RANK = 0 ] && exit 3; sleep 100 & wait")
                        == 3
                    && status(
                        ["--on-death", "continue"],
                        "[ $MUSTER_RANK = 0 ] && exit 3; sleep 0.2; exit 5") == 3
            },
        ]
        #expect(rows.sorted() == tests.keys.sorted())
        for (row, test) in tests { #expect(try test(), "exit status \(row)") }
    }

    /// Processes of the ranks of a `muster run`: children of its supervisor.
    static func ranks(of pid: pid_t) -> [pid_t] {
        // Below the tool's keeper and its supervisor.
        CommandRunner.children(of: pid).flatMap(CommandRunner.children).flatMap(
            CommandRunner.children)
    }

    @Test(
        "What can't be is wrong usage, in one line",
        arguments: [
            ["-n", "0", "--", "true"], ["-n", "4097", "--", "true"], ["-n", "1"],
            ["-n", "1", "--"],
            ["--fast", "--", "true"], ["--timeout", "0", "--", "true"],
            ["--grace", "-1", "--", "true"], ["--restarts", "-1", "--", "true"],
            ["--tag-output", "--output-dir", "x", "--", "true"], ["--json", "", "--", "true"],
            ["--placement", "x", "--", "true"], ["-n", "1", "--", ""], ["-n", "1", ""],
            ["--restarts", "2", "--", "true"], ["--json", "-", "--", "true"],
            ["--restarts", "2", "--on-death", "continue", "--", "true"],
        ])
    func usage(_ arguments: [String]) throws {
        let result = try CommandRunner.run(["run"] + arguments)
        #expect(result.status == 64 && result.output == "", "\(result)")
        #expect(result.errorLines.count == 1, "\(result.errors)")
    }
}
