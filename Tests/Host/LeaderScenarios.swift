// LeaderScenarios.swift - leaders that work until the test kills them, and what they hand down.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// Loops, reductions, arrays, files and new teams, for ever. Arguments: size, "crash" or "on".
func work(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    let crashes = arguments.count > 1 && arguments[1] == "crash"
    let file = path("own.raw")
    try [Int64](repeating: 1, count: 40_000).withUnsafeBytes { try write($0, to: file) }
    let mappedOnce = open(file, O_RDWR)
    unlink(file)
    let name = "/proc/self/fd/\(mappedOnce)"
    var round = 0
    while true {
        let team = try Team(size: size, leader: round % 2 == 0 ? .waits : .works)
        if round == 0 { print("ready \(team.processIDs.map(String.init).joined(separator: " "))") }
        for schedule in Schedule.allCases {
            let array = try team.array(of: Int64.self, count: 40_000)
            let mapped = try team.array(file: name, of: Int64.self, writable: true)
            try team.run(Square(from: mapped.input, to: array.output), schedule: schedule)
            try team.run(AddPlace(array: mapped.inPlace), schedule: schedule)
            _ = try team.reduce(Compose(array: array.input), schedule: schedule)
            if crashes && round == 1 { fatalError("as the test wishes") }
        }
        round += 1
    }
}

/// Arguments: point, rank (-1: the leader), "pause" or "stop", team size. The process named waits at
/// the point, having written the point's number as a byte, or stopped.
func paused(_ arguments: [String]) throws {
    let point = muster_point(UInt32(try number(arguments, 0)))
    let rank = try number(arguments, 1)
    let stops = arguments.count > 2 && arguments[2] == "stop"
    muster_testing_arm(
        point, stops ? MUSTER_POINT_STOP : MUSTER_POINT_PAUSE, 1, Int64(rank), STDOUT_FILENO)
    let team = try Team(size: try number(arguments, 3))
    let array = try team.array(of: Int64.self, count: 100_000)
    // Who comes after a dead one would pause as well: a death ends it.
    while true {
        try team.run(
            AddPlace(array: array.inPlace), schedule: .staticSteal, recovery: .fail)
    }
}

/// A leader with threads is refused, and nothing is started.
func threadedLeader(_: [String]) throws {
    var thread = pthread_t()
    var gate = pthread_mutex_t()
    pthread_mutex_init(&gate, nil)
    try leavingNothing("a leader with threads") {
        try withUnsafeMutablePointer(to: &gate) { gate in
            pthread_mutex_lock(gate)
            pthread_create(
                &thread, nil,
                { gate in
                    pthread_mutex_lock(gate!.assumingMemoryBound(to: pthread_mutex_t.self))
                    return nil
                }, UnsafeMutableRawPointer(gate))
            let error = try refusal("a leader with threads") {
                try Team(size: 2, start: .fork)
            }
            try claim(equal: error.code, .threads, "\(error)")
            try claim(error.description.contains("2 threads"), "\(error)")
            print(error)
            try claimNoChild("a refused team")
            pthread_mutex_unlock(gate)
            pthread_join(thread, nil)
        }
        // The thread is gone from /proc a moment after it was joined.
        wait { muster_process_threads() == 1 }
        let team = try Team(size: 2)
        _ = try members(of: team)
    }
}

/// Calls of the leader's handler, in memory that a worker would share.
nonisolated(unsafe) private var handled: UnsafeMutablePointer<Int32>!

/// Workers leave INT, TERM and HUP to the leader, run none of its handlers and inherit no mask.
func signals(_: [String]) throws {
    handled = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        .assumingMemoryBound(to: Int32.self)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE] {
        signal(number) { _ in handled.pointee += 1 }
    }
    signal(SIGUSR2, SIG_IGN)
    var mask = sigset_t()
    sigemptyset(&mask)
    sigaddset(&mask, SIGALRM)
    sigprocmask(SIG_BLOCK, &mask, nil)
    try leavingNothing("signals") {
        let team = try Team(size: 3)
        _ = try members(of: team)
        let pids = team.processIDs
        for pid in pids {
            for number in [SIGINT, SIGTERM, SIGHUP] { kill(pid_t(pid), number) }
            let lines = contents(of: "/proc/\(pid)/status").split(separator: "\n")
            func bits(_ name: String) -> UInt64? {
                lines.first { $0.hasPrefix(name) }
                    .flatMap { $0.split(separator: "\t").last }.flatMap { UInt64($0, radix: 16) }
            }
            try claim(equal: bits("SigBlk:"), 0, "signals blocked in a worker")
            // Of crashes: a rank notes where it was (fault.h).
            let crashes = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS]
            let noted = crashes.reduce(UInt64(0)) { $0 | 1 << UInt64($1 - 1) }
            try claim(
                equal: bits("SigCgt:").map { UInt64($0) & 0xffff_ffff }, noted,
                "handlers in a worker")
            let ignored: UInt64 = [SIGINT, SIGTERM, SIGHUP].reduce(0) { $0 | 1 << UInt64($1 - 1) }
            try claim(
                equal: bits("SigIgn:").map { $0 & 0x7fff_ffff }, ignored,
                "signals that a worker ignores")
        }
        usleep(2000)
        _ = try members(of: team)
        try claim(equal: team.processIDs, pids, "a worker was replaced")
        kill(pid_t(pids[2]), SIGUSR1)
        wait { state(of: pids[2]) == "Z" }
        usleep(2000)
        _ = try members(of: team)
        try claim(equal: handled.pointee, 0, "the leader's handler ran in a worker")
        raise(SIGUSR1)
        try claim(equal: handled.pointee, 1, "the leader's handler was taken away")
        // A handler that interrupts the leader's wait changes nothing.
        team.onProgress = nil
        let array = try team.array(of: Int64.self, count: 100)
        var timer = itimerval(
            it_interval: timeval(tv_sec: 0, tv_usec: 1000), it_value: timeval(tv_sec: 0, tv_usec: 1)
        )
        sigprocmask(SIG_UNBLOCK, &mask, nil)
        signal(SIGALRM) { _ in handled.pointee += 1 }
        setitimer(__itimer_which_t(UInt32(ITIMER_REAL.rawValue)), &timer, nil)
        let report = try team.run(Slow(to: array.output), grain: 1)
        var filled = try team.array(of: Int64.self, count: 2_000_000)
        try filled.fill(1)
        timer.it_value.tv_usec = 0
        setitimer(__itimer_which_t(UInt32(ITIMER_REAL.rawValue)), &timer, nil)
        try claim(report.isClean, "\(report)")
        try claim(handled.pointee > 10, "\(handled.pointee) interruptions")
    }
}

/// `crash team|member|back SIGNAL`: sends itself the signal of a crash while it leads a team or is a member.
/// Swift's backtracer, where it is on, would write and let it go on. `back`: when the team has ended, the
/// handler is there again.
func crash(_ arguments: [String]) throws {
    let signal = Int32(try number(arguments, 1))
    var before = sigaction()
    sigaction(signal, nil, &before)
    try claim(
        unsafeBitCast(before.__sigaction_handler, to: Int.self) > 1, "no backtracer is on")
    func crashes() {
        guard arguments[0] != "back" else { return }
        kill(getpid(), signal)
        print("went on")
    }
    if arguments[0] == "member" {
        let me = try Muster.Member.join()
        crashes()
        try me.barrier()
    } else {
        let team = try Team(size: 2)
        crashes()
        withExtendedLifetime(team) {}
    }
    var after = sigaction()
    sigaction(signal, nil, &after)
    try claim(
        unsafeBitCast(after.__sigaction_handler, to: Int.self)
            == unsafeBitCast(before.__sigaction_handler, to: Int.self), "the handler is not back")
    print("back")
}
