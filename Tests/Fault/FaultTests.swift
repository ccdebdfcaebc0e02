// FaultTests.swift - what the system refuses: calls that fail, limits, threads, signals; and what a
// team costs.

import Glibc
import TestSupport
import Testing

/// Everything here forks teams, on few CPUs: one after the other.
@Suite(.serialized, .enabled(if: canFork, whyNotFork))
struct FaultTests {}

/// The address sanitizer looks for accesses, and those do not depend on the error's number: there one
/// stands for all, since its forks cost ten times as much.
private let errors = isAddressSanitized ? [ENOMEM] : [EIO, ENOMEM, EMFILE, EAGAIN, EINVAL]

extension FaultTests {
    /// The n-th system call fails, for n = 1, 2, ... until it passes.
    @Suite struct Calls {
        @Test(
            arguments: pairs(
                [
                    "start", "array", "array-blocked", "array-bound", "array-mirrored", "file",
                    "run",
                    "refill", "end",
                ], errors))
        func theLeaderMeetsAFailure(stage: String, error: Int32) throws {
            let lines = try run(.fault, stage, error)
            // Ending a team is clean-up, which is not made to fail.
            #expect(stage == "end" || lines.last?.contains(": 0 calls") == false, "\(lines)")
        }

        @Test(arguments: errors)
        func anyProcessMeetsAFailure(error: Int32) throws { try run(.faultLife, error) }

        /// A rank without its array of a file once summed zeros: in a checked loop they can be read.
        @Test(arguments: errors)
        func anyProcessOfACheckedTeamMeetsAFailure(error: Int32) throws {
            try run(.faultLife, in: .checked, error)
        }

        @Test func anIncompleteFileIsNotLeft() throws { try run(.faultSave) }
    }

    @Suite struct Limits {
        @Test func tooFewDescriptors() throws { try run(.descriptors) }

        @Test func tooFewProcesses() throws { try run(.processes) }

        @Test(arguments: [1, 4, 16, 64, 1000])
        func fewAddresses(gib: Int) throws { try run(.addresses, gib) }

        @Test func aLimitOnFileSizes() throws { try run(.fileSize) }

        @Test func aLimitOnFilesThatAreSaved() throws {
            #expect(try run(.smallSave) == ["refused"])
        }

        @Test func aLeaderWithThreadsIsRefused() throws { try run(.threads) }

        @Test func signalsAreTheLeadersAffair() throws { try run(.signals) }
    }

    @Suite struct Costs {
        /// The one figure that an issue gives: 50 ms of CPU for 8 ranks and 2 s, all together.
        @Test func anIdleTeamCostsNothing() throws {
            let line = try #require(try run(.idle).first { $0.hasPrefix("idle ") })
            let microseconds = try #require(Int(line.dropFirst(5)))
            #expect(microseconds < 50_000)
            print("a team of 8, idle for 2 s: \(microseconds) us of CPU")
        }

        @Test func makingAnArray() throws {
            for line in try run(.creation, 2) { print("made by 2 ranks, \(line)") }
        }

        #if DEBUG
            static let chunks = 1_000_000
        #else
            static let chunks = 100_000_000
        #endif

        /// At most two bits of verification memory a chunk and rank.
        @Test(arguments: ["static", "cyclic", "dynamic", "guided", "static-steal"])
        func chunksOfOneElement(schedule: String) throws {
            let lines = try run(.chunks, Costs.chunks, 2, schedule)
            print("\(schedule): \(lines.last ?? "")")
        }
    }
}

extension FaultTests {
    /// `muster run` in a process of its own each time, since it forks the supervisor from it.
    @Test func aLaunchMeetsAFailure() throws {
        var n = 1
        while try run(.launchFault, n, EMFILE).contains("delivered") {
            n += 1
            try #require(n < 2000, "no end of calls")
        }
        #expect(n > 20)
    }
}
