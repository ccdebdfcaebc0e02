// LaunchScenarios.swift - programs for `muster run`, and `muster run`'s own machinery with a failure in it.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster
import MusterLaunch

/// A process that joins; throws with the advice where it can't.
private func joined() throws -> OpaquePointer {
    var me: OpaquePointer?
    let status = muster_join(&me)
    var advice = [CChar](repeating: 0, count: 512)
    _ = muster_join_advice(status, &advice, advice.count)
    guard status == 0, let me else {
        throw Failure(
            description: advice.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
    }
    return me
}

/// Begins a loop of 10 chunks, dealt in turn. Returns a status beside it.
private func beginLoop(
    _ name: String, _ me: OpaquePointer, adopting: Bool = false
) -> (status: Int32, loop: UnsafeMutablePointer<muster_member_loop>?) {
    var options = muster_member_loop_options()
    options.size_bytes = UInt32(MemoryLayout<muster_member_loop_options>.size)
    options.schedule = MUSTER_SCHEDULE_CYCLIC.rawValue
    options.elements = 10
    options.grain = 1
    options.flags = adopting ? MUSTER_LOOP_ADOPT.rawValue : 0
    var loop: UnsafeMutablePointer<muster_member_loop>?
    let status = name.withCString { name in
        options.name = name
        return muster_member_loop_begin(me, &options, &loop)
    }
    return (status, loop)
}

/// A loop "cut" of 10 chunks. `dies`: rank 0 does, when it has committed one.
private func cyclicLoop(_ me: OpaquePointer, dies: Bool) throws -> Int32 {
    let (status, loop) = beginLoop("cut", me)
    guard status == 0 else { return status }
    var chunk = muster_chunk()
    while muster_member_loop_next_call(loop, &chunk) > 0 {
        muster_member_loop_commit_call(loop, &chunk)
        if dies && muster_member_rank(me) == 0 { kill(getpid(), SIGKILL) }
    }
    return muster_member_loop_end(loop, nil)
}

/// Arguments: what to do. A rank of a team, for tests of what the launcher makes of it.
/// Length: one case a request of the test.
func member(_ arguments: [String]) throws {
    let me = try joined()
    switch arguments.first {
    case "leave":
        _ = muster_leave(me)
    case "twice":
        _ = try joined()
    case "abort", "exit":
        // Rank 0 ends so, and has not left; the others wait for it.
        if muster_member_rank(me) == 0 {
            if arguments[0] == "exit" { _exit(Int32(try number(arguments, 1))) }
            abort()
        }
        try claim(equal: muster_member_barrier(me), -EOWNERDEAD, "the barrier")
        _ = muster_leave(me)
    case "die":
        // Rank 0 dies the first time, before the others or while they wait for it; they recover.
        let rank = muster_member_rank(me)
        let isFirst = getenv("MUSTER_INCARNATION").map { String(cString: $0) } == "1"
        if rank == 0 && isFirst { kill(getpid(), SIGKILL) }
        try claim(equal: muster_member_barrier(me), -EOWNERDEAD, "the barrier")
        try claim(equal: muster_recover(me), 0, "recovery")
        try claim(equal: muster_member_barrier(me), 0, "the barrier after it")
        print(
            "rank \(rank) recovered, rank 0 is \(muster_member_alive(me, 0) == 1 ? "there" : "gone")"
        )
        // Nobody leaves before all have come through.
        try claim(equal: muster_member_barrier(me), 0, "the last barrier")
        _ = muster_leave(me)
    case "wait":
        // For rank 0, where that one does not join.
        print(
            "rank \(muster_member_rank(me)): "
                + String(cString: muster_status_text(muster_member_barrier(me))))
        _ = muster_leave(me)
    case "cut":
        // Rank 0 dies in a loop the first time; the others end it, recover, and do it again.
        let isFirst = getenv("MUSTER_INCARNATION").map { String(cString: $0) } == "1"
        var status: Int32 = isFirst ? try cyclicLoop(me, dies: true) : -EOWNERDEAD
        while status == -EOWNERDEAD {
            try claim(equal: muster_recover(me), 0, "recovery")
            status = try cyclicLoop(me, dies: false)
        }
        try claim(equal: status, 0, "the loop")
        _ = muster_leave(me)
    case "skip", "all", "forget":
        // Each rank does what it claims, but for one chunk that nobody does.
        let (status, loop) = beginLoop("leaky", me)
        try claim(equal: status, 0, "begin")
        var chunk = muster_chunk()
        while muster_member_loop_next_call(loop, &chunk) > 0 {
            if arguments[0] == "skip" && chunk.index == 3 { continue }
            muster_member_loop_commit_call(loop, &chunk)
        }
        if arguments[0] == "forget" { break }  // to end the loop, and to leave
        let expected = arguments[0] == "skip" ? -EBADMSG : 0
        try claim(equal: muster_member_loop_end(loop, nil), expected, "audit")
        _ = muster_leave(me)
    case "leave-in-loop":
        // Rank 1 leaves in the middle of a loop, the others run what it has left.
        let (status, loop) = beginLoop("left", me, adopting: true)
        try claim(equal: status, 0, "begin")
        var chunk = muster_chunk()
        while muster_member_loop_next_call(loop, &chunk) > 0 {
            muster_member_loop_commit_call(loop, &chunk)
            if muster_member_rank(me) == 1 {
                _ = muster_leave(me)
                return
            }
        }
        try claim(equal: muster_member_loop_end(loop, nil), 0, "audit")
        _ = muster_leave(me)
    default:
        throw Failure(description: "member \(arguments): what?")
    }
}

/// Arguments: n, errno. The n-th system call of a launch fails; prints whether it had so many. The
/// process that this returns in is a new one: the supervisor.
func launchFault(_ arguments: [String]) throws {
    let n = try number(arguments, 0)
    let directory = "out"
    var plan = LaunchPlan(
        .words(["sh", "-c", "echo word; echo more >&2"]), size: 2, outer: try OuterLauncher.read())
    plan.timeout = 30
    if n % 2 == 0 { plan.outputDirectory = directory }
    defer {
        for rank in 0..<2 {
            for stream in ["stdout", "stderr"] { unlink("\(directory)/\(rank).\(stream)") }
        }
        rmdir(directory)
    }
    muster_testing_fail_call(UInt64(n), Int32(try number(arguments, 1)))
    defer { muster_testing_fail_call(0, 0) }
    do {
        let report = try Launch(plan) { _ in nil }.run()
        try claim(report.cause != .timeout, "a launch that hangs")
    } catch let error as MusterError {
        try claim(!error.description.isEmpty, "an error without words")
    }
    var status: Int32 = 0
    try claim(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD, "a process is left")
    print(muster_testing_failed() ? "delivered" : "passed")
}
