// LeaderDeathTests.swift - however the leader ends, no worker, shared memory or file is left.

import MusterCore.Testing
import Glibc
import TestSupport
import Testing

extension CrashTests {
    @Suite(.serialized) struct LeaderDeaths {
        /// Half of the moments lie in the start of program and team, half in its work.
        @Test func killedAtAHundredRandomMoments() throws {
            let seed = chosenSeed()
            print("seed \(seed) (MUSTER_SEED)")
            var random = Seeded(UInt64(seed))
            var slowest = 0.0
            var most = 0
            for moment in 0..<100 {
                let host = try HostProcess(.work, ["8"])
                if moment >= 50 { #expect(host.readLine() != nil) }
                let delay = UInt32.random(in: 0..<20_000, using: &random)
                usleep(delay)
                if moment >= 50 { most = max(most, host.processes().count) }
                host.signal(SIGKILL)
                let outcome = host.finish()
                #expect(outcome.signal == SIGKILL, "moment \(moment): \(outcome.errors)")
                slowest = max(
                    slowest, host.expectNothingLeft("seed \(seed), \(moment), after \(delay) us"))
                if slowest >= 5 { break }  // it is broken; no need to wait a hundred times
            }
            #expect(most >= 1, "no process was found while the leader was alive")
            print("all gone after at most \(Int(slowest * 1000)) ms")
        }

        /// A process at a named point waits there while the leader is killed. Rank -1: the leader.
        @Test(
            arguments: [
                (MUSTER_POINT_ARRAY_CREATED, [-1]), (MUSTER_POINT_DISPATCHED, [-1]),
                (MUSTER_POINT_RANK_HELD, [0, 4, 7]), (MUSTER_POINT_JOB_SEEN, [0, 7]),
                (MUSTER_POINT_CLAIMED, [0, 7]), (MUSTER_POINT_CURRENT, [0, 7]),
                (MUSTER_POINT_LOOP_ENDED, [0, 7]),
            ].map { ($0.0.rawValue, $0.1) })
        func killedAtANamedPoint(point: UInt32, ranks: [Int]) throws {
            for rank in ranks {
                let host = try HostProcess(.paused, ["\(point)", "\(rank)", "pause", "8"])
                #expect(host.readByte() == UInt8(point))
                #expect(rank != -1 || host.processes().count == 9, "8 workers and their leader")
                host.signal(SIGKILL)
                #expect(host.finish().signal == SIGKILL)
                host.expectNothingLeft("point \(point), rank \(rank)")
            }
        }

        /// Between the fork and the parent-death signal: the worker must find out by itself.
        @Test(arguments: [0, 3, 7])
        func killedBeforeAWorkerHasAskedForTheSignal(rank: Int) throws {
            let host = try HostProcess(
                .paused, ["\(MUSTER_POINT_FORKED.rawValue)", "\(rank)", "stop", "8"])
            var stopped: Int?
            let start = now()
            while stopped == nil && now() - start < limitSeconds {
                stopped = host.processes().first { state(of: $0) == "T" }
            }
            let worker = try #require(stopped)
            host.signal(SIGKILL)
            #expect(host.finish().signal == SIGKILL)
            // No signal was asked for, so the worker survives its leader. It goes on when the kernel
            // finds a stopped process in a group without a leader (setpgid(2)), or here.
            if host.processes().contains(worker) { kill(pid_t(worker), SIGCONT) }
            host.expectNothingLeft("rank \(rank)")
        }

        /// Whether ranks are forked by the leader or by its server.
        @Test(arguments: [Scenario.Way.plain, .served])
        func interruptedFromTheKeyboard(way: Scenario.Way) throws {
            for moment in 0..<5 {
                let host = try HostProcess(.work, in: way, ["8"])
                // The first time also before a server has begun.
                if moment > 0 || way == .plain { #expect(host.readLine() != nil) }
                usleep(UInt32(moment) * (way == .plain ? 1500 : 3000))
                kill(-host.pid, SIGINT)  // as a terminal does: to everybody
                #expect(host.finish().signal == SIGINT)
                host.expectNothingLeft("\(way), moment \(moment)")
            }
        }

        @Test(arguments: [SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGUSR1])
        func endedBySignal(number: Int32) throws {
            let host = try HostProcess(.work, ["8"])
            #expect(host.readLine() != nil)
            usleep(3000)
            host.signal(number)
            #expect(host.finish().signal == number)
            host.expectNothingLeft("signal \(number)")
        }

        @Test(arguments: [Scenario.Way.plain, .served])
        func endedByItsOwnCrash(way: Scenario.Way) throws {
            let host = try HostProcess(.work, in: way, ["8", "crash"])
            let outcome = host.finish()
            #expect(!outcome.isLate)
            #expect(
                outcome.signal == SIGILL || outcome.signal == SIGTRAP,
                "status \(outcome.status): \(outcome.errors)")
            host.expectNothingLeft()
        }

        /// Workers that are stopped go as well.
        @Test func killedWhileStopped() throws {
            let host = try HostProcess(.work, ["8"])
            #expect(host.readLine() != nil)
            kill(-host.pid, SIGSTOP)
            usleep(5000)
            host.signal(SIGKILL)
            #expect(host.finish().signal == SIGKILL)
            host.expectNothingLeft()
        }
    }
}
