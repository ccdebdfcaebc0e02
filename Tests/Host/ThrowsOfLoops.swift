// ThrowsOfLoops.swift - what a team and its loops throw, each error provoked.

import MusterCore
@preconcurrency import Glibc
import Muster

// MARK: - Teams

func teamThrows() -> [Provocation] {
    let make = "Team.init(size:leader:binding:start:wait:check:)"
    return [
        Provocation(make, .invalidArgument) { _ = try Team(size: 0) },
        Provocation(make, .threads) {
            startThread()
            _ = try Team(size: 2, start: .fork)
        },
        Provocation(make, .memory) {
            try littleAddressSpace()
            _ = try Team(size: 2)
        },
        Provocation(make, .start) {
            try noProcesses()
            _ = try Team(size: 2, start: .fork)
        },
        Provocation(make, .serverDied) {
            setenv(dyingServerVariable, "1", 1)
            _ = try Team(size: 2, start: .forkServer)
        },
        Provocation(make, .system) {
            try noDescriptors()
            _ = try Team(size: 2)
        },
        Provocation("Binding.seats(size:)", .invalidArgument) {
            _ = try Binding.cpus([0, 0]).seats(size: 2)
        },
        Provocation("Binding.seats(size:)", .system) {
            try noDescriptors()
            _ = try Binding.spread.seats(size: 2)
        },
    ]
}

// MARK: - Loops

/// What a kernel does at chunk 1 of 2.
private enum Mischief: Int32, BitwiseCopyable {
    case nothing, die, complain, killServer, stray, shrink
}

private func misbehave(
    _ mischief: Mischief, _ file: SharedArray<UInt8>.Gather, _ chunk: borrowing Chunk
) throws {
    guard chunk.index == 1 else { return }
    let bytes = file.span(in: chunk)
    switch mischief {
    case .nothing: break
    case .die: raise(SIGKILL)
    case .complain: throw Refuses()
    case .killServer:
        kill(getppid(), SIGKILL)
        while true { pause() }
    case .stray:
        bytes.withUnsafeBufferPointer {
            UnsafeMutablePointer(mutating: $0.baseAddress! + opaqueZero()).pointee = 1
        }
    case .shrink:
        truncate(fileName, 0)
        keep(Double(bytes[opaqueZero()]))
    }
}

private let fileName = "throws.raw"

private struct Misbehaving: Kernel {
    let mischief: Mischief
    let file: SharedArray<UInt8>.Gather
    func process(_ chunk: borrowing Chunk) throws { try misbehave(mischief, file, chunk) }
}

private struct MisbehavingSum: Reduction {
    let mischief: Mischief
    let file: SharedArray<UInt8>.Gather
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int64 {
        try misbehave(mischief, file, chunk)
        return 1
    }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { left &+ right }
}

/// No kernel can do this by what the library offers: the audit must see it.
private func commitTwice(_ loop: UnsafeMutablePointer<muster_loop>) {
    var chunk = muster_chunk()
    while muster_loop_next(loop, &chunk) {
        muster_loop_commit(loop, &chunk)
        muster_loop_commit_apart(loop, chunk.index)
    }
}

private struct CommitsTwice: Kernel {
    func process(_ chunk: borrowing Chunk) throws {}
    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws { commitTwice(loop) }
}

private struct CommitsTwiceSum: Reduction {
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int64 { 0 }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { 0 }
    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws { commitTwice(loop) }
}

/// Ranks of a fork server can't find these types.
private struct Hidden<Ballast: BitwiseCopyable>: Kernel {
    let ballast: Ballast
    func process(_ chunk: borrowing Chunk) throws {}
}

private struct HiddenSum<Ballast: BitwiseCopyable>: Reduction {
    let ballast: Ballast
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int64 { 0 }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { 0 }
}

/// The three ways to run a loop, here of two chunks.
private enum Way: String, CaseIterable {
    case run = "Team.run(_:count:grain:schedule:recovery:stallTimeout:)"
    case eachRank = "Team.eachRank(_:recovery:stallTimeout:)"
    case reduce = "Team.reduce(_:count:grain:schedule:recovery:stallTimeout:)"

    func start<Work: Kernel, Sum: Reduction>(
        _ team: borrowing Team, _ kernel: Work, _ sum: Sum, recovery: Recovery = .redo()
    ) throws {
        switch self {
        case .run: try team.run(kernel, count: 2, grain: 1, recovery: recovery)
        case .eachRank: try team.eachRank(kernel, recovery: recovery)
        case .reduce: _ = try team.reduce(sum, count: 2, grain: 1, recovery: recovery)
        }
    }

    /// A team of two whose kernel reads a file of ten bytes.
    func start(
        _ mischief: Mischief, _ team: borrowing Team, recovery: Recovery = .redo(limit: 2)
    ) throws {
        try [UInt8](repeating: 7, count: 10).withUnsafeBytes { try write($0, to: fileName) }
        let file = try prepared { try team.array(file: fileName, of: UInt8.self) }
        try start(
            team, Misbehaving(mischief: mischief, file: file.gather),
            MisbehavingSum(mischief: mischief, file: file.gather), recovery: recovery)
    }
}

func loopThrows() -> [Provocation] {
    Way.allCases.flatMap { kernelThrows($0) + rankThrows($0) }
        + [
            Provocation(Way.run.rawValue, .memory) { try runWithoutRoomForJournals() },
            Provocation(Way.reduce.rawValue, .memory) {
                let team = try aTeam()
                // 2^31 partial results of 4 KiB.
                _ = try team.reduce(LargeSum(), count: 1 << 31, grain: 1)
            },
        ]
}

/// What kernels are the cause of.
private func kernelThrows(_ way: Way) -> [Provocation] {
    let name = way.rawValue
    return [
        Provocation(name, .kernelThrew) { try way.start(.complain, try aTeam()) },
        Provocation(name, .strayAccess) { try way.start(.stray, try aTeam(check: .on)) },
        Provocation(name, .quarantined) { try way.start(.die, try aTeam()) },
        Provocation(name, .workerDied) {
            try way.start(.die, try aTeam(), recovery: .fail)
        },
        Provocation(name, .fileShrank) { try way.start(.shrink, try aTeam()) },
        Provocation(name, .audit) {
            try way.start(try aTeam(), CommitsTwice(), CommitsTwiceSum())
        },
        Provocation(name, .kernelUnknown) {
            let team = try aTeam(start: .forkServer)
            try way.start(team, Hidden<Int16>(ballast: 1), HiddenSum<Int16>(ballast: 1))
        },
        Provocation(name, .serverDied) {
            let team = try aTeam(start: .forkServer)
            try way.start(.killServer, team, recovery: .fail)
        },
        Provocation(name, .cancelled) {
            let team = try aTeam()
            if way == .run { try team.run(CancelAt(bad: 3), count: 1 << 24, grain: 1) }
            if way == .reduce { _ = try team.reduce(CancellingSum(), count: 1 << 20, grain: 1) }
            // Chunks that are begun are done, so one rank must not have begun.
            let pid = pid_t(team.processIDs[1])
            kill(pid, SIGSTOP)
            team.onProgress = { progress in
                progress.cancel()
                kill(pid, SIGCONT)
            }
            try way.start(team, Nothing(), MembersOfNothing())
        },
    ]
}

/// What ranks and the system are the cause of.
private func rankThrows(_ way: Way) -> [Provocation] {
    let name = way.rawValue
    return [
        Provocation(name, .invalidArgument) {
            try whileLoopRuns { try way.start($0.team, Nothing(), MembersOfNothing()) }
        },
        Provocation(name, .start) {
            let team = try aTeam(start: .fork)
            killAllRanks(of: team)
            try noProcesses()
            try way.start(team, Nothing(), MembersOfNothing())
        },
        Provocation(name, .threads) {
            let team = try aTeam(start: .fork)
            killAllRanks(of: team)
            startThread()
            try way.start(team, Nothing(), MembersOfNothing())
        },
        Provocation(name, .system) {
            try atSomeCall(.system) { arm in
                // So long that the leader has to ask the system for its ranks.
                let team = try sleepingTeam()
                arm()
                try way.start(team, Drowsy(), MembersOfNothing(microseconds: 50_000))
            }
        },
    ]
}

private struct CancellingSum: Reduction {
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int64 {
        if chunk.index == 3 { chunk.cancelLoop() }
        return 1
    }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { left &+ right }
}

private struct Drowsy: Kernel {
    func process(_ chunk: borrowing Chunk) throws { usleep(50_000) }
}

private struct MembersOfNothing: Reduction {
    var microseconds: UInt32 = 0
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int64 {
        usleep(microseconds)
        return 1
    }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { left &+ right }
}

private struct LargeSum: Reduction {
    var identity: Eight<Eight<Eight<UInt64>>> { Eight(Eight(Eight(0))) }
    func process(_ chunk: borrowing Chunk) throws -> Partial { identity }
    func combine(_ left: Partial, _ right: Partial) -> Partial { left }
}

/// So many ranks that their journals could take more than there is: one chunk changes 128 MiB.
private func runWithoutRoomForJournals() throws {
    var available: UInt64 = 0
    try claim(muster_memory_available(&available) == 0, "memory is not known")
    let bytes = 128 << 20
    let team = try Team(size: min(4096, Int(available) / bytes + 2))
    let array = try prepared { try team.array(of: Int64.self, count: bytes / 8) }
    try team.run(AddPlace(array: array.inPlace), grain: bytes / 8)
}
