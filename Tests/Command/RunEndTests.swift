// RunEndTests.swift - how a `muster run` ends: by signals, by its own death, and what it leaves. Nothing.

import Foundation
import Testing

@Suite struct RunEndTests {
    /// Live processes that have this in their environment, where no two runs have the same.
    private static func processes(marked mark: String) -> [pid_t] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { pid_t($0) }.filter { pid in
            guard let bytes = FileManager.default.contents(atPath: "/proc/\(pid)/environ") else {
                return false
            }
            return bytes.range(of: Data("MARK=\(mark)\0".utf8)) != nil
        }
    }

    /// Runs a script in 4 ranks, acts once `ready` of their processes are there, and checks that none
    /// is left once the tool has ended.
    private func end(
        _ script: String, options: [String] = [], processes ready: Int,
        _ act: @escaping (pid_t) -> Void
    ) throws -> CommandResult {
        let mark = UUID().uuidString
        var hasActed = false
        let result = try runShell(["-n", "4"] + options, script, environment: ["MARK": mark]) {
            pid in
            // The tool itself, its keeper and its supervisor have the mark too.
            if !hasActed && Self.processes(marked: mark).count >= ready + 3 {
                hasActed = true
                act(pid)
            }
        }
        #expect(hasActed)
        // After kill -9 the other processes end them, in a moment; in all other cases it has by now.
        let deadline = Date().addingTimeInterval(CommandRunner.limitSeconds)
        while result.signal == SIGKILL, !Self.processes(marked: mark).isEmpty, Date() < deadline {
            usleep(5000)
        }
        #expect(Self.processes(marked: mark).isEmpty, "left over")
        return result
    }

    /// In each rank: a child in the background, a grandchild in a session of its own, all deaf.
    private static let deaf = """
        trap '' INT TERM HUP; sleep 1000 & setsid sh -c 'sleep 1000 & wait' & wait; sleep 1000
        """

    @Test(
        "INT, TERM, HUP and QUIT are forwarded, and end all",
        arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT])
    func signals(_ number: Int32) throws {
        let result = try end("ulimit -c 0; exec sleep 1000", processes: 4) { kill($0, number) }
        #expect(result.status == 128 + number && result.errorLines.count == 1, "\(result)")
    }

    @Test("Ranks that take a signal as a request and end well have ended well")
    func request() throws {
        let result = try end("trap 'echo bye; exit 0' TERM; sleep 1000 & wait", processes: 8) {
            kill($0, SIGTERM)
        }
        #expect(result.status == 0 && result.output == "bye\nbye\nbye\nbye\n", "\(result)")
    }

    @Test("Ctrl-C at a terminal reaches each rank once")
    func once() throws {
        // As the terminal does it: to the whole group.
        let result = try end(
            "trap 'echo int; n=x$n; [ $n = x ] || exit 4' INT; sleep 1000 & wait; sleep 0.1; exit 3",
            processes: 8
        ) {
            kill(-$0, SIGINT)
        }
        #expect(result.status == 130, "\(result)")
        #expect(result.output == "int\nint\nint\nint\n", "\(result)")
    }

    @Test("Who does not listen is killed, with all that came of it")
    func deaf() throws {
        let result = try end(Self.deaf, options: ["--grace", "0.1"], processes: 12) {
            kill($0, SIGINT)
        }
        #expect(result.status == 130 && result.errors.contains("killing"), "\(result)")
    }

    @Test("A second Ctrl-C kills at once")
    func twice() throws {
        let result = try end(Self.deaf, options: ["--grace", "100000"], processes: 12) { pid in
            kill(pid, SIGINT)
            usleep(20_000)
            kill(pid, SIGINT)
        }
        #expect(result.status == 130, "\(result)")
        #expect(
            result.errors
                == "muster: SIGINT: ending all ranks\nmuster: asked again: killing what has not ended\n"
        )
    }

    @Test("Ctrl-C ends the deaf too within a second")
    func second() throws {
        // A busy machine may take longer at times, and not each time.
        var fastest = Double.infinity
        for _ in 0..<5 where fastest >= 1 {
            var asked = Date()
            let result = try end(Self.deaf, processes: 12) {
                asked = Date()
                kill(-$0, SIGINT)
            }
            fastest = min(fastest, Date().timeIntervalSince(asked))
            #expect(result.status == 130, "\(result)")
        }
        #expect(fastest < 1)
    }

    /// Ends well when asked to.
    private static let obedient = "trap 'exit 0' TERM INT; sleep 1000 & wait"

    @Test("What others exit with while they are being ended does not count")
    func obedient() throws {
        let late = try end(Self.obedient, options: ["--timeout", "5"], processes: 8, { _ in })
        #expect(late.status == 124, "\(late)")
        let failed = try runShell(
            ["-n", "3"], "[ $MUSTER_RANK = 1 ] && { sleep 0.3; exit 9; }; \(Self.obedient)")
        #expect(failed.status == 9, "\(failed)")
        let killed = try runShell(
            ["-n", "3"], "[ $MUSTER_RANK = 1 ] && { sleep 0.3; kill -9 $$; }; \(Self.obedient)")
        #expect(killed.status == 137, "\(killed)")
        // A signal is the ranks' to answer; one that does not end well decides.
        let mixed = try end(
            "[ $MUSTER_RANK = 1 ] && trap 'exit 5' TERM || trap 'exit 0' TERM; sleep 1000 & wait",
            processes: 8
        ) { kill($0, SIGTERM) }
        #expect(mixed.status == 143, "\(mixed)")
    }

    @Test(
        "kill -9 of the launcher, of its keeper, of its supervisor or of a shell's job leaves nothing",
        arguments: ["launcher", "keeper", "supervisor", "job", "stopped job"])
    func launcherDies(_ who: String) throws {
        let result = try end(Self.deaf, processes: 12) { pid in
            let keeper = CommandRunner.children(of: pid)[0]
            switch who {
            case "launcher": kill(pid, SIGKILL)
            case "keeper": kill(keeper, SIGKILL)
            case "supervisor": kill(CommandRunner.children(of: keeper)[0], SIGKILL)
            case "job": kill(-pid, SIGKILL)
            default:
                kill(-pid, SIGSTOP)
                while Self.state(pid) != "T" { usleep(1000) }
                kill(-pid, SIGKILL)
            }
        }
        #expect(result.signal == SIGKILL, "\(result)")
    }

    @Test("A timeout ends all")
    func timeout() throws {
        let result = try end(
            Self.deaf, options: ["--timeout", "8", "--grace", "0.1"], processes: 12, { _ in })
        #expect(result.status == 124 && result.errors.contains("8 s are over"), "\(result)")
    }

    @Test("What ranks leave in the background ends with them")
    func background() throws {
        let mark = UUID().uuidString
        let result = try runShell(
            ["-n", "2", "--grace", "0.1"],
            "(trap '' TERM; setsid sleep 1000 &); sleep 1000 & echo done",
            environment: ["MARK": mark])
        #expect(result.status == 0 && result.output == "done\ndone\n", "\(result)")
        #expect(Self.processes(marked: mark).isEmpty)
    }

    @Test("USR1 and USR2 are forwarded and end nothing")
    func userSignals() throws {
        // The group gets them too: what waits in the background must not mind.
        let script = """
            trap 'echo 1' USR1; trap 'echo 2; kill $!' USR2
            (trap '' USR1 USR2; exec sleep 1000) & wait; wait; wait; :
            """
        let result = try end(script, processes: 8) { pid in
            kill(pid, SIGUSR1)
            usleep(50_000)
            kill(pid, SIGUSR2)
        }
        #expect(result.status == 0, "\(result)")
        #expect(result.output.filter { $0 == "1" }.count == 4)
        #expect(result.output.filter { $0 == "2" }.count == 4)
    }

    /// As in /proc: "T" is stopped.
    private static func state(_ pid: pid_t) -> Character? {
        let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        return text?.split(separator: ") ", maxSplits: 1).last?.first
    }

    @Test("A stopped run ends with the shell that has stopped it")
    func shellDies() throws {
        var terminal: Int32 = -1
        var side: Int32 = -1
        try #require(openpty(&terminal, &side, nil, nil, nil) == 0)
        defer { [terminal, side].forEach { close($0) } }
        let mark = UUID().uuidString
        let script = """
            "$0" run -n 1 -- sleep 1000 & job=$!
            until [ -n "$(cat /proc/$job/task/$job/children)" ]; do sleep 0.01; done
            kill -s TSTP %%
            until grep -q ' (.*) T ' /proc/$job/stat; do sleep 0.01; done
            kill -9 $$
            """
        // A session of its own, whose terminal this is, and jobs in groups of their own.
        let result = try CommandRunner.run(
            [
                "-c", "exec setsid -c -w sh -mc \"$1\" \"$0\" <\(String(cString: ttyname(side)))",
                CommandRunner.muster, script,
            ], program: "/bin/sh", environment: ["MARK": mark])
        #expect(result.errors.contains("did not exit normally"), "\(result)")  // as setsid has it
        let deadline = Date().addingTimeInterval(CommandRunner.limitSeconds)
        while !Self.processes(marked: mark).isEmpty, Date() < deadline { usleep(5000) }
        #expect(Self.processes(marked: mark).isEmpty, "left over")
    }

    @Test("Ctrl-Z stops the launcher and its ranks, and they go on")
    func stopping() throws {
        let folder = try TemporaryFolder()
        let mayEnd = folder.path("may-end")
        var phase = 0
        let result = try runShell(
            ["-n", "2"], "while [ ! -e \(mayEnd) ]; do sleep 0.05; done; echo done"
        ) { pid in
            let ranks = RunTests.ranks(of: pid)
            let keepers = CommandRunner.children(of: pid)
            let all = [pid] + keepers + keepers.flatMap(CommandRunner.children) + ranks
            // Keeper and supervisor stay awake for what may come.
            let stopped = [pid] + ranks
            switch phase {
            // Once each shell has a child: before it is a shell, a signal may be lost on it.
            case 0
            where all.count == 5 && ranks.allSatisfy({ !CommandRunner.children(of: $0).isEmpty }):
                kill(-pid, SIGTSTP)
                phase = 1
            // "D": a shell whose vforked child was stopped before it could execute anything.
            case 1 where stopped.allSatisfy { ["T", "D"].contains(Self.state($0)) }:
                #expect(FileManager.default.createFile(atPath: mayEnd, contents: nil))
                kill(-pid, SIGCONT)
                phase = 2
            default: break
            }
        }
        #expect(phase == 2 && result.status == 0 && result.output == "done\ndone\n", "\(result)")
    }
}
