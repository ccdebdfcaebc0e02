// ServerTests.swift - teams of a fork server: the same promises, and nothing is left after any death.

import MusterCore.Testing
import Glibc
import TestSupport
import Testing

private let leaders = ["waits", "works"]

/// The address sanitizer's forks cost ten times as much: one error stands for all there.
private let errors = isAddressSanitized ? [ENOMEM] : [EIO, ENOMEM, EMFILE, EAGAIN]

/// Processes of a run that are servers: the name is the server's own, and for a moment that of a rank
/// which it has just forked.
private func servers(of host: HostProcess) -> [Int] {
    host.processes().filter { name(of: $0) == "muster-server" && parent(of: $0) == Int(host.pid) }
}

private func parent(of pid: Int) -> Int? {
    guard let file = fopen("/proc/\(pid)/stat", "r") else { return nil }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 1024)
    guard fgets(&buffer, 1024, file) != nil else { return nil }
    let line = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    guard let end = line.lastIndex(of: ")") else { return nil }
    let fields = line[line.index(after: end)...].split(separator: " ")
    return fields.count > 1 ? Int(fields[1]) : nil
}

private func name(of pid: Int) -> String {
    guard let file = fopen("/proc/\(pid)/comm", "r") else { return "" }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 64)
    guard fgets(&buffer, 64, file) != nil else { return "" }
    return String(decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init), as: UTF8.self)
}

extension CrashTests {
    /// What holds for forked ranks holds for these.
    @Suite(.serialized) struct ServedTeams {
        @Test(arguments: [
            Scenario.ranks, .twoTeams, .leaderWorks, .empty, .report, .grains, .mismatch, .cancel,
            .arguments, .npy, .manyFiles, .shrunk, .tooLarge, .signals, .idleDeath,
            .allDie, .stopped, .descriptors, .processes,
        ])
        func theSameScenarios(scenario: Scenario) throws { try run(scenario, in: .served) }

        @Test func twoHundredRanksWorkAndEnd() throws { try run(.hello, in: .served, 200) }

        @Test(arguments: [1, 3, 8], leaders)
        func everyAccessAndScheduleGivesTheRightResult(size: Int, leader: String) throws {
            try run(.loops, in: .served, size, leader)
        }

        @Test(arguments: leaders)
        func reductionsHaveTheSameBitsAsInForkedTeams(leader: String) throws {
            #expect(try run(.reductions, in: .served, 3, leader) == run(.reductions, 2, "waits"))
        }

        @Test(arguments: leaders)
        func arraysAndFiles(leader: String) throws {
            try run(.arrays, in: .served, leader)
            try run(.rawFiles, in: .served, leader)
        }

        @Test func manyRoundsLeaveNothing() throws { try run(.rounds, in: .served, 200) }

        @Test(arguments: schedules)
        func errorsAndDeathsInAChunkAreNamed(schedule: String) throws {
            try run(.throwing, in: .served, schedule, "waits")
            for fate in ["kill", "segv", "abort", "exit"] {
                try run(.death, in: .served, fate, schedule, "waits")
            }
        }

        @Test func manyDeathsAtRandomChunks() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            try run(.deathStorm, in: .served, seed)
        }

        @Test(arguments: leaders)
        func kernelsAreFoundInAnotherProcess(leader: String) throws {
            try run(.servedKernels, leader)
        }
    }

    /// What a server is for, and what it needs.
    @Suite(.serialized) struct Servers {
        @Test func aLeaderWithThreadsHasATeam() throws { try run(.serverThreads) }

        @Test func kernelsSeeTheSameVariablesHoweverLargeTheLeaderIs() throws {
            #expect(try run(.sameStart, 300) == ["small: 7", "large: 7, by a server: 0"])
        }

        /// Times are printed, not judged.
        @Test func aLeaderWithALargeHeap() throws {
            for line in try run(.times, 1024, 4, 5) { print(line) }
        }

        @Test func ranksSeeTheLeadersSurroundings() throws { try run(.surroundings) }

        @Test func theProgramsFileMayBeGone() throws { try run(.deletedProgram, "copy") }

        @Test func theLineCanBeTheProtocols() throws { #expect(try run(.program) == ["ran"]) }

        /// Making such a program needs root, as CI has it.
        @Test(.enabled(if: geteuid() == 0, "only root can make a set-user-ID program"))
        func aSetUserIDProgramObeysNobodysEnvironment() throws {
            #expect(try run(.raised) == ["main of its own", "main of its own"])
        }

        @Test func aForgottenLineIsAnErrorAndStartsNothing() throws { try run(.forgotten) }

        @Test func aLineThatOnlyTheLeaderReachesIsAnError() throws {
            let lines = try run(.stray)
            #expect(lines.last?.contains("left with exit status 7") == true, "\(lines)")
        }

        @Test func threadsBeforeTheLineAreAnError() throws {
            let lines = try run(.threadsFirst)
            #expect(lines.last?.contains("it has 2 threads") == true, "\(lines)")
        }

        @Test func aCrashBeforeTheLineIsAnError() throws {
            let lines = try run(.crashing)
            #expect(lines.last?.contains("signal 9 (SIGKILL)") == true, "\(lines)")
        }

        @Test func aStrangersVariableStartsNothing() throws { try run(.variable) }
    }

    @Suite(.serialized) struct ServerDeaths {
        @Test func aKilledServerIsSaidAndReplaced() throws { try run(.serverDeath) }

        @Test func aLoopSurvivesItsServer() throws { try run(.serverRedo) }

        @Test func killedAtRandomMoments() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            for line in try run(.serverDeaths, seed, 40) { print(line) }
        }

        /// As for forked teams: half of the moments lie in the start, half in the work.
        @Test func theLeaderIsKilledAtRandomMoments() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            var random = Seeded(UInt64(seed))
            var slowest = 0.0
            var seen = 0
            for moment in 0..<60 {
                let host = try HostProcess(.work, in: .served, ["8"])
                if moment >= 30 { #expect(host.readLine() != nil) }
                let delay = UInt32.random(in: 0..<40_000, using: &random)
                usleep(delay)
                seen += servers(of: host).count
                host.signal(SIGKILL)
                let outcome = host.finish()
                #expect(outcome.signal == SIGKILL, "moment \(moment): \(outcome.errors)")
                slowest = max(
                    slowest, host.expectNothingLeft("seed \(seed), \(moment), after \(delay) us"))
                if slowest >= 5 { break }
            }
            #expect(seen > 20, "only \(seen) servers were found")
            print("all gone after at most \(Int(slowest * 1000)) ms, \(seen) servers seen")
        }

        /// A rank waits at a named point while the leader, or the server, is killed.
        @Test(
            arguments: [MUSTER_POINT_RANK_HELD, MUSTER_POINT_JOB_SEEN, MUSTER_POINT_CURRENT].map {
                $0.rawValue
            })
        func killedAtANamedPoint(point: UInt32) throws {
            // Before it has begun a loop, a rank's death costs nothing, and the leader would go on.
            let victims =
                point == MUSTER_POINT_CURRENT.rawValue ? ["leader", "server"] : ["leader"]
            for victim in victims {
                let host = try HostProcess(.paused, in: .served, ["\(point)", "3", "pause", "8"])
                #expect(host.readByte() == UInt8(point))
                let found = servers(of: host)
                #expect(found.count == 1, "servers")
                if victim == "leader" {
                    host.signal(SIGKILL)
                    #expect(host.finish().signal == SIGKILL)
                } else {
                    if let server = found.first { kill(pid_t(server), SIGKILL) }
                    let outcome = host.finish()
                    #expect(outcome.exitStatus == 1, "\(outcome)")
                    #expect(outcome.errors.contains("fork server: was killed by"), "\(outcome)")
                }
                host.expectNothingLeft("point \(point), \(victim)")
            }
        }

        /// Nobody but the kernel is left then to end the ranks.
        @Test func leaderAndServerAreKilledTogether() throws {
            for moment in 0..<10 {
                let host = try HostProcess(.work, in: .served, ["8"])
                #expect(host.readLine() != nil)
                usleep(UInt32(moment) * 500)
                var found: [Int] = []
                let start = now()
                while found.isEmpty && now() - start < limitSeconds { found = servers(of: host) }
                // In this order: the other way round the leader would end the ranks.
                kill(host.pid, SIGSTOP)
                for server in found { kill(pid_t(server), SIGKILL) }
                host.signal(SIGKILL)
                #expect(host.finish().signal == SIGKILL)
                host.expectNothingLeft("moment \(moment)")
            }
        }

        /// A server that is stopped is woken by its leader's end. A companion in the group: the kernel
        /// would wake the stopped processes of a group that nobody outside it has as children.
        @Test func theLeaderIsKilledWhileTheServerIsStopped() throws {
            let host = try HostProcess(.work, in: .served, ["4"])
            #expect(host.readLine() != nil)
            var attributes = posix_spawnattr_t()
            posix_spawnattr_init(&attributes)
            defer { posix_spawnattr_destroy(&attributes) }
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
            posix_spawnattr_setpgroup(&attributes, host.pid)
            var companion: pid_t = 0
            var words: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
            defer { for word in words { Glibc.free(word) } }
            try #require(
                posix_spawnp(&companion, "sleep", nil, &attributes, &words, environ) == 0)
            defer {
                kill(companion, SIGKILL)
                waitpid(companion, nil, 0)
            }
            var stopped = 0
            let start = now()
            while stopped == 0 && now() - start < limitSeconds {
                guard let server = servers(of: host).first else { continue }
                kill(pid_t(server), SIGSTOP)
                usleep(2000)
                if state(of: server) == "T" { stopped = server }
            }
            #expect(stopped != 0)
            host.signal(SIGKILL)
            #expect(host.finish().signal == SIGKILL)
            host.expectNothingLeft()
        }
    }

    /// The n-th system call fails, in the leader or in the server.
    @Suite(.serialized) struct ServerFaults {
        @Test(arguments: ["start", "array", "file", "run", "refill", "end"], errors)
        func theLeaderMeetsAFailure(stage: String, error: Int32) throws {
            let lines = try run(.fault, in: .served, stage, error)
            #expect(stage == "end" || lines.last?.contains(": 0 calls") == false, "\(lines)")
        }

        @Test(arguments: errors)
        func theServerMeetsAFailure(error: Int32) throws {
            let lines = try run(.serverFault, error)
            #expect(lines.last?.contains(", 0 errors") == false, "\(lines)")
        }

        @Test func theWholeLifeOfATeam() throws { try run(.faultLife, in: .served, ENOMEM) }
    }
}
