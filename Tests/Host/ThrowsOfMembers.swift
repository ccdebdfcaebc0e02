// ThrowsOfMembers.swift - what ranks of a launched program throw, each error provoked.

import MusterCore
import MusterCore.Testing
@preconcurrency import Glibc
import Muster

/// Processes of a team of two: this one becomes rank 0.
private struct Launched {
    var launcher: pid_t
    /// Rank 1.
    var other: pid_t

    /// Ends the other rank, and comes back when the launcher has told of it.
    func loseOther() {
        kill(other, SIGKILL)
        usleep(100_000)
    }

    func loseLauncher() {
        kill(launcher, SIGKILL)
        waitpid(launcher, nil, 0)
    }
}

/// A page that processes share.
private func sharedPage() -> UnsafeMutableRawPointer {
    mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
}

/// Serves two ranks until it is killed. The page receives its address. `tells`: what
/// becomes of a dead rank.
private func startLauncher(
    _ page: UnsafeMutableRawPointer, tells: Bool = true
) throws -> pid_t {
    let launcher = muster_child_start()
    if launcher == 0 {
        var options = muster_launcher_options()
        options.size_bytes = UInt32(MemoryLayout<muster_launcher_options>.size)
        options.size = 2
        var made: OpaquePointer?
        guard muster_launcher_create(&options, &made) == 0 else { _exit(1) }
        strcpy(page.assumingMemoryBound(to: CChar.self), muster_launcher_address(made))
        while true {
            var event = muster_launcher_event()
            while muster_launcher_serve(made, &event, 1) == 1 {
                if event.kind == MUSTER_LAUNCHER_DIED.rawValue {
                    while !tells { pause() }
                    _ = muster_launcher_lose(made, event.rank)
                }
            }
            usleep(200)
        }
    }
    let first = page.assumingMemoryBound(to: UInt8.self)
    wait { first.pointee == UInt8(ascii: "@") }
    setenv("MUSTER_TEAM", page.assumingMemoryBound(to: CChar.self), 1)
    return launcher
}

private func join(_ rank: Int) throws -> Muster.Member {
    setenv("MUSTER_RANK", "\(rank)", 1)
    return try Muster.Member.join()
}

/// Members of this process and its children don't end with their launcher: they look for it instead.
private func outliveLaunchers() throws {
    try claim(muster_testing_refuse(MUSTER_REFUSE_SOCKET_SIGNALS) == 0, "no filter")
}

/// Runs rank 0 here and rank 1 in another process, which then waits. `stays`: neither ends with its
/// launcher.
private func asRank0(
    stays: Bool = false, tells: Bool = true,
    other: (borrowing Muster.Member) throws -> Void = { _ in },
    _ body: (borrowing Muster.Member, Launched) throws -> Void
) throws {
    let launcher = try prepared { try startLauncher(sharedPage(), tells: tells) }
    if stays { try outliveLaunchers() }
    let pid = muster_child_start()
    if pid == 0 {
        do {
            let me = try join(1)
            try me.barrier()
            try? other(me)  // it may have its part of the error
            while me.size > 0 { pause() }  // a member that is not used any more would leave
        } catch {
            explain("rank 1: \(error)")
            _exit(1)
        }
    }
    let me = try prepared {
        let me = try join(0)
        try me.barrier()
        return me
    }
    try body(me, Launched(launcher: launcher, other: pid))
}

private typealias Call = @Sendable (borrowing Muster.Member) throws -> Void

/// Each collective function, once rightly and once with arguments that can't be.
private let calls: [(name: String, right: Call, wrong: Call)] = [
    ("Member.barrier()", { try $0.barrier() }, { try $0.barrier() }),
    (
        "Member.broadcast(_:from:)", { _ = try $0.broadcast(1, from: 0) },
        { _ = try $0.broadcast(1, from: 7) }
    ),
    (
        "Member.reduce(_:_:to:)", { _ = try $0.reduce(1, .sum, to: 0) },
        { _ = try $0.reduce(1, .sum, to: 7) }
    ),
    (
        "Member.allReduce(_:_:)-Number", { _ = try $0.allReduce(1, .sum) },
        { _ = try $0.allReduce(1.5, .and) }
    ),
    (
        "Member.allReduce(_:_:)-[Number]",
        {
            var values = [1, 2]
            try $0.allReduce(&values, .sum)
        },
        {
            var values = [1.5]
            try $0.allReduce(&values, .and)
        }
    ),
    (
        "Member.scan(_:_:_:)", { _ = try $0.scan(1, .sum) },
        { _ = try $0.scan(1.5, .and) }
    ),
    (
        "Member.array(_:of:count:)", { _ = try $0.array("a", of: Int8.self, count: 10) },
        { _ = try $0.array("", of: Int8.self, count: 10) }
    ),
    (
        "Member.loop(over:schedule:grain:batch:adopting:partial:name:uses:)",
        { _ = try $0.loop(over: 10) }, { _ = try $0.loop(over: -1) }
    ),
]

func memberThrows() -> [Provocation] {
    calls.flatMap { name, right, wrong in
        [
            Provocation(name, .rankDied) {
                try asRank0 { me, team in
                    team.loseOther()
                    try right(me)
                }
            },
            Provocation(name, .launcher) {
                try asRank0(stays: true) { me, team in
                    team.loseLauncher()
                    try right(me)
                }
            },
            Provocation(name, .invalidArgument) {
                // Of a barrier nothing can be wrong but what the other rank calls.
                try asRank0(other: { _ = try $0.allReduce(1, .sum) }) { me, _ in try wrong(me) }
            },
            Provocation(name, .system) {
                try asRank0 { me, _ in try inFork { try right(me) } }
            },
        ]
    } + lifeThrows()
}

private func lifeThrows() -> [Provocation] {
    [
        Provocation("Member.join()", .launcher) {
            setenv("MUSTER_TEAM", "@nobody", 1)
            setenv("MUSTER_RANK", "0", 1)
            _ = try Muster.Member.join()
        },
        Provocation("Member.join()", .memory) {
            unsetenv("MUSTER_TEAM")
            try littleAddressSpace()
            _ = try Muster.Member.join()
        },
        Provocation("Member.leave()", .launcher) {
            let launcher = try startLauncher(sharedPage())
            try outliveLaunchers()
            let me = try prepared { try join(0) }
            kill(launcher, SIGKILL)
            waitpid(launcher, nil, 0)
            try me.leave()
        },
        Provocation("Member.leave()", .system) {
            unsetenv("MUSTER_TEAM")
            let me = try prepared { try Muster.Member.join() }
            try leaveInFork(me)
        },
        Provocation("Member.recover()", .launcher) {
            // It waits for what the launcher says of the dead.
            try asRank0(stays: true, tells: false) { me, team in
                team.loseOther()
                team.loseLauncher()
                try me.recover()
            }
        },
        Provocation("Member.recover()", .system) {
            try asRank0 { me, _ in try inFork { try me.recover() } }
        },
        Provocation(
            "Member.loop(over:schedule:grain:batch:adopting:partial:name:uses:)", .invalidArgument
        ) {
            unsetenv("MUSTER_TEAM")
            let me = try prepared { try Muster.Member.join() }
            _ = try me.loop(over: 1 << 40, grain: 1)
        },
        Provocation("Member.array(_:of:count:)", .memory) {
            unsetenv("MUSTER_TEAM")
            let me = try prepared { try Muster.Member.join() }
            _ = try me.array("a", of: Int8.self, count: 1 << 50)
        },
        Provocation("Member.loop(over:schedule:grain:batch:adopting:partial:name:uses:)", .memory) {
            unsetenv("MUSTER_TEAM")
            try atSomeCall(.memory, errno: ENOMEM) { arm in
                let me = try prepared { try Muster.Member.join() }
                arm()
                _ = try me.loop(over: 10, partial: Int64.self)
            }
        },
    ]
}

/// Leaving takes the member away from its owner, so the forked process has to take it first.
private func leaveInFork(_ me: consuming Muster.Member) throws {
    var mine: Muster.Member? = consume me
    try inFork {
        let taken = mine.take()!
        try taken.leave()
    }
}

// MARK: - Loops

private func looped(
    adopting: Bool = false, stays: Bool = false,
    other: @escaping (borrowing Muster.Member, MemberLoop) throws -> Void = { _, _ in },
    _ body: (borrowing Muster.Member, MemberLoop, Launched) throws -> Void
) throws {
    func begin(_ me: borrowing Muster.Member) throws -> MemberLoop {
        try me.loop(over: 10, grain: 1, adopting: adopting, partial: Int64.self)
    }
    try asRank0(stays: stays, other: { try other($0, try begin($0)) }) { me, team in
        let loop = try prepared { try begin(me) }
        try body(me, loop, team)
    }
}

private func commitAll(_ loop: MemberLoop) throws {
    while let claim = try loop.next() {
        claim.leave(partial: Int64(1))
        claim.commit()
    }
}

/// A loop of a team of one, in which every other chunk is committed, or each.
private func withoutMemory(every step: Int, _ body: (MemberLoop) throws -> Void) throws {
    unsetenv("MUSTER_TEAM")
    let me = try prepared { try Muster.Member.join() }
    let loop = try me.loop(over: 1000, grain: 1, partial: Int64.self)
    while let claim = try loop.next() {
        if claim.index % step == 0 { claim.commit() }
    }
    try body(loop)
}

func memberLoopThrows() -> [Provocation] {
    let (next, end) = ("MemberLoop.next()", "MemberLoop.end()")
    return [
        Provocation(next, .rankDied) {
            try looped { _, loop, team in
                team.loseOther()
                try commitAll(loop)
            }
        },
        Provocation(next, .launcher) {
            try looped(adopting: true, stays: true) { _, loop, team in
                team.loseLauncher()
                try commitAll(loop)
            }
        },
        Provocation(next, .invalidArgument) {
            try alone { loop in
                try commitAll(loop)
                try loop.end()
                _ = try loop.next()
            }
        },
        Provocation(next, .system) { try alone { loop in try inFork { _ = try loop.next() } } },
        Provocation(next, .memory) {
            try looped(adopting: true) { _, loop, team in
                team.loseOther()
                muster_testing_fail_memory(1)
                try commitAll(loop)
            }
        },
        Provocation(end, .audit) { try alone { try $0.end() } },
        Provocation(end, .rankDied) {
            try looped { _, loop, team in
                team.loseOther()
                try loop.end()
            }
        },
        Provocation(end, .launcher) {
            try looped(stays: true) { _, loop, team in
                try commitAll(loop)
                team.loseLauncher()
                try loop.end()
            }
        },
        Provocation(end, .invalidArgument) {
            try alone { loop in
                try commitAll(loop)
                try loop.end()
                try loop.end()
            }
        },
        Provocation(end, .system) { try alone { loop in try inFork { try loop.end() } } },
        Provocation(end, .memory) {
            // Of a roll in so many pieces the audit needs a list.
            try withoutMemory(every: 2) { loop in
                muster_testing_fail_memory(1)
                try loop.end()
            }
        },
    ] + partialThrows()
}

private func partialThrows() -> [Provocation] {
    let (reduce, scan) = ("MemberLoop.reduce(_:_:)", "MemberLoop.scan(_:_:_:)")
    return [
        Provocation(reduce, .invalidArgument) {
            try alone { _ = try $0.reduce(Int32.self, .sum) }
        },
        Provocation(reduce, .memory) {
            try withoutMemory(every: 1) { loop in
                try loop.end()
                muster_testing_fail_memory(1)
                _ = try loop.reduce(Int64.self, .sum)
            }
        },
        Provocation(scan, .invalidArgument) { try alone { _ = try $0.scan(Int32.self, .sum) } },
    ]
}

/// A loop of a team of one.
private func alone(_ body: (MemberLoop) throws -> Void) throws {
    unsetenv("MUSTER_TEAM")
    let me = try prepared { try Muster.Member.join() }
    let loop = try prepared { try me.loop(over: 10, grain: 1, partial: Int64.self) }
    try body(loop)
}
