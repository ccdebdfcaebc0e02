// ThrowsScenarios.swift - each error that a public function documents, provoked: a function, a code, and
// what makes the function throw it. Tests/Documents/throws.py holds the list against the sources.
//
// Each row runs in a process of its own, since most of them take something away from it for good.

import MusterCore
import MusterCore.Testing
@preconcurrency import Glibc
import Muster

/// A function, named by its type and labels, and what makes it throw an error of this code.
struct Provocation {
    let function: String
    /// A case of `MusterError.Code`, or of `NPYError.Reason`.
    let code: String
    let provoke: () throws -> Void

    init(_ function: String, _ code: MusterError.Code, _ provoke: @escaping () throws -> Void) {
        self.function = function
        self.code = "\(code)"
        self.provoke = provoke
    }

    init(_ function: String, _ reason: NPYError.Reason, _ provoke: @escaping () throws -> Void) {
        self.function = function
        self.code = "\(reason)"
        self.provoke = provoke
    }
}

/// Argument: a part of a row's text, "FUNCTION CODE"; without it, all. Prints the rows that came true.
func documentedThrows(_ arguments: [String]) throws {
    let rows =
        teamThrows() + loopThrows() + makingThrows() + arrayThrows() + hostThrows()
        + headerThrows() + numberThrows() + timelineThrows() + memberThrows() + memberLoopThrows()
    var faults = 0
    for row in rows {
        let text = "\(row.function) \(row.code)"
        if let wanted = arguments.first, !text.contains(wanted) { continue }
        let found = try outcome(of: row.provoke)
        if found == row.code {
            print(text)
        } else {
            explain("\(text): \(found)")
            faults += 1
        }
    }
    try claim(faults == 0, "\(faults) errors did not come")
}

/// What a row comes to in a process of its own: a code, or a sentence.
private func outcome(of provoke: () throws -> Void) throws -> String {
    var ends: [Int32] = [0, 0]
    try claim(pipe(&ends) == 0, "no pipe")
    defer { for end in ends { close(end) } }
    let child = muster_child_start()
    if child == 0 {
        signal(SIGALRM, SIG_DFL)
        alarm(40)
        let text: String
        do {
            try provoke()
            text = "nothing was thrown"
        } catch let error as MusterError {
            text = "\(error.code)"
        } catch let error as NPYError {
            text = "\(error.reason)"
        } catch {
            text = "\(error)"
        }
        _ = Glibc.write(ends[1], text, text.utf8.count)
        _exit(0)
    }
    var status: Int32 = 0
    try claim(waitpid(child, &status, 0) == child, "no child")
    if status != 0 { return "the process ended with status \(status)" }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let length = Glibc.read(ends[0], &buffer, buffer.count)
    return String(decoding: buffer.prefix(max(0, length)), as: UTF8.self)
}

// MARK: - Circumstances

/// What a row needs before its call: an error there is no proof.
func prepared<Result: ~Copyable>(_ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch let error as MusterError {
        throw Failure(description: "in preparation: \(error)")
    }
}

/// A team of two.
func aTeam(start: Team.Start = usualStart, check: Team.Check = .automatic) throws -> Team {
    try prepared { try Team(size: 2, start: start, check: check) }
}

/// Throws the first error of this code that comes where the n-th system call fails, n = 1, 2, ...
/// The body makes what the call needs, arms the failure and calls. A leader whose ranks are quick makes
/// fewer calls, so there are several rounds.
func atSomeCall(
    _ code: MusterError.Code, errno: Int32 = EIO, _ body: (_ arm: () -> Void) throws -> Void
) throws {
    var others: Set<String> = []
    for _ in 0..<5 {
        for n in UInt64(1)...100 {
            do {
                defer { muster_testing_fail_call(0, 0) }
                try body { muster_testing_fail_call(n, errno) }
                if !muster_testing_failed() { break }
            } catch let error as MusterError where error.code == code {
                throw error
            } catch let error as MusterError {
                others.insert("\(error.code)")
            }
        }
    }
    throw Failure(description: "no call that fails makes it throw this, but \(others.sorted())")
}

/// A team whose leader waits by a system call, at once.
func sleepingTeam() throws -> Team {
    try prepared { try Team(size: 2, start: usualStart, wait: .sleep) }
}

/// Leaves this process no descriptor to open anything with.
func noDescriptors() throws { try limit(RLIMIT_NOFILE, 3) }

/// Leaves this process, and all that come of it, no process to start.
func noProcesses() throws {
    if geteuid() == 0 {  // root may have any number
        try claim(setgid(54_323) == 0 && setuid(54_323) == 0, "can't become another user")
    }
    try limit(__RLIMIT_NPROC, 0)
}

/// Leaves this process little more address space than it has.
func littleAddressSpace() throws {
    let pages = contents(of: "/proc/self/statm").split(separator: " ").first.flatMap { Int($0) }
    try limit(RLIMIT_AS, pages! * Int(sysconf(Int32(_SC_PAGESIZE))) + 4 << 20)
}

/// From then on no process can be forked into a team.
func startThread() {
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { _ in
            while true { pause() }
        }, nil)
}

/// Kills all ranks, and comes back when the next loop can't but see it.
func killAllRanks(of team: borrowing Team) {
    for pid in team.processIDs {
        kill(pid_t(pid), SIGKILL)
        wait { state(of: pid) == "Z" || !isAlive(pid) }
    }
    letLooksAge()
}

/// In each rank, what would give memory or addresses ends the process.
struct DieOfMemory: Kernel {
    func process(_ chunk: borrowing Chunk) throws {
        guard muster_testing_refuse(MUSTER_REFUSE_MEMORY) == 0 else { throw Refuses() }
    }
}

/// A team of two and an array, for closures, which can't capture them.
final class Shelf {
    let team: Team
    var array: SharedArray<Double>

    init(_ placement: Placement = .firstTouch) throws {
        team = try aTeam()
        do {
            array = try team.array(of: Double.self, count: 1000, placement: placement)
        } catch {
            throw Failure(description: "in preparation: \(error)")
        }
    }
}

/// Calls the body while a loop runs on the shelf's team, and throws what it throws.
func whileLoopRuns(
    _ placement: Placement = .firstTouch, _ body: @escaping (Shelf) throws -> Void
) throws {
    let shelf = try Shelf(placement)
    let target = try prepared { try shelf.team.array(of: Int64.self, count: 10_000) }
    var found: (any Error)?
    shelf.team.onProgress = { [unowned shelf] progress in
        guard found == nil else { return }
        do {
            try body(shelf)
            found = Failure(description: "nothing was thrown")
        } catch {
            found = error
        }
        progress.cancel()
    }
    let error = try refusal("a cancelled loop") {
        try shelf.team.run(Slow(to: target.output), grain: 1)
    }
    try claim(equal: error.code, .cancelled, "\(error)")
    throw found ?? Failure(description: "no progress was reported")
}

/// Calls the body in a process that this one has forked, and throws an error of the code that came.
func inFork(_ body: () throws -> Void) throws {
    let codes: [MusterError.Code] = [
        .system, .invalidArgument, .launcher, .rankDied, .memory, .audit, .start,
    ]
    let child = muster_child_start()
    if child == 0 {
        do {
            try body()
        } catch let error as MusterError {
            _exit(codes.firstIndex(of: error.code).map { Int32($0 + 1) } ?? 126)
        } catch {}
        _exit(0)
    }
    var status: Int32 = 0
    try claim(waitpid(child, &status, 0) == child, "no child")
    let place = Int(status >> 8) - 1
    guard status & 0x7f == 0, codes.indices.contains(place) else {
        throw Failure(description: "the forked process ended with status \(status)")
    }
    throw MusterError(codes[place], subject: "", reason: "in a forked process")
}
