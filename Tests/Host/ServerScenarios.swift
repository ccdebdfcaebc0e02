// ServerScenarios.swift - teams whose ranks come from a fork server.
//
// Any scenario runs with such teams where its name is given as `served:NAME`. The ones here are about
// the server itself. In the server the program has the same arguments, so `main` gets here too where
// a scenario wants a program that does not reach its line.

import MusterCore
import MusterCore.Testing
@preconcurrency import Glibc
import Muster
import TestSupport

/// How the scenarios' teams are started where they don't say it. Set by `main`, before any scenario. Not
/// automatic: under a sanitizer, which takes much memory, that would be a server, and many scenarios
/// share pages with their ranks that only forked ones have.
nonisolated(unsafe) var usualStart = Team.Start.fork

extension Team {
    /// Preferred to the library's, which has one argument more to fill in.
    init(size: Int, leader: Leader = .waits) throws(MusterError) {
        try self.init(size: size, leader: leader, start: usualStart)
    }
}

/// Set for a server that must die before it serves.
let dyingServerVariable = "MUSTER_TEST_SERVER_DIES"

/// "n errno": the server's n-th system call fails.
private let failVariable = "MUSTER_TEST_SERVER_FAIL"

/// `main`'s first line; `scenario` decides what kind of program this is.
func takePart(_ scenario: String) {
    let isCopy = getenv(MUSTER_SERVER_VARIABLE) != nil
    if isCopy, let text = getenv(failVariable) {
        let numbers = String(cString: text).split(separator: " ").compactMap { Int($0) }
        muster_testing_fail_call(UInt64(numbers[0]), Int32(numbers[1]))
    }
    switch scenario {
    case "forgotten", "program": return
    case "stray" where isCopy, "never" where isCopy: return
    case "crashing" where isCopy: raise(SIGKILL)
    case "throws" where isCopy && getenv(dyingServerVariable) != nil: _exit(7)
    case "threads-first" where isCopy: startThread()
    case "served:paused" where isCopy:
        // As the leader has armed it; the ranks inherit it from here.
        let words = CommandLine.arguments.compactMap { Int64($0) }
        muster_testing_arm(
            muster_point(UInt32(words[0])), MUSTER_POINT_PAUSE, 1, words[1], STDOUT_FILENO)
    default: break
    }
    Team.serveIfAsked()
}

/// Starts a thread that waits, for as long as the body runs.
private func withThread(_ body: () throws -> Void) throws {
    var thread = pthread_t()
    var gate = pthread_mutex_t()
    pthread_mutex_init(&gate, nil)
    try withUnsafeMutablePointer(to: &gate) { gate in
        pthread_mutex_lock(gate)
        pthread_create(
            &thread, nil,
            { gate in
                pthread_mutex_lock(gate!.assumingMemoryBound(to: pthread_mutex_t.self))
                return nil
            }, UnsafeMutableRawPointer(gate))
        defer {
            pthread_mutex_unlock(gate)
            pthread_join(thread, nil)
        }
        try body()
    }
}

/// The server of this process's one team: the child that is no rank.
func serverProcess() throws -> Int {
    let children = contents(of: "/proc/self/task/\(getpid())/children")
        .split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    try claim(equal: children.count, 1, "children: \(children)")
    return children[0]
}

/// A leader with threads: `.forkServer` gives a team, `.fork` and the default are refused.
func serverForThreads(_: [String]) throws {
    try withThread {
        do {
            try leavingNothing("threads") {
                let team = try Team(size: 3, start: .forkServer)
                let server = try serverProcess()
                try claim(
                    !(try members(of: team)).contains { Int($0.pid) == server },
                    "the server is a rank")
                var array = try team.array(of: Int64.self, count: 70_000)
                try array.fill(2)
                try team.run(AddPlace(array: array.inPlace), schedule: .staticSteal)
                for i in 0..<array.count { try claim(equal: array[i], Int64(2 + i), "\(i)") }
                // A rank that dies is replaced although there are threads.
                kill(pid_t(team.processIDs[1]), SIGKILL)
                wait { state(of: team.processIDs[1]) == "Z" }
                usleep(2000)
                _ = try members(of: team)
                try claim(equal: try serverProcess(), server, "another server")
            }
        }
        for error in [
            try refusal("fork") { try Team(size: 3, start: .fork) },
            try refusal("the default") { try Team(size: 3) },
        ] {
            try claim(equal: error.code, .threads, "\(error)")
            try claim(error.description.contains("start: .forkServer"), "no remedy: \(error)")
        }
    }
    // A team that was made by a thread which has ended meanwhile.
    try leavingNothing("a thread that has ended") {
        final class Box: @unchecked Sendable { var team: Team? }
        let box = Box()
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { box in
                let box = Unmanaged<Box>.fromOpaque(box!).takeUnretainedValue()
                box.team = try? Team(size: 2, start: .forkServer)
                return nil
            }, Unmanaged.passUnretained(box).toOpaque())
        pthread_join(thread, nil)
        usleep(20_000)
        let report = try box.team!.run(Nothing(), count: 10, grain: 1)
        try claim(report.isClean && report.deaths.isEmpty, "\(report)")
        box.team = nil
    }
}

/// What a program learns after its first line. A server's ranks have its initial value.
nonisolated(unsafe) private var learnt = 0

private struct WriteLearnt: Kernel {
    let to: SharedArray<Int64>.Output
    func process(_ chunk: borrowing Chunk) throws {
        to.write(chunk) { to in for i in to.indices { to[i] = Int64(learnt) } }
    }
}

/// A team has the same start, and its kernels see the same, whatever the leader's heap is. Argument: MiB.
func sameStart(_ arguments: [String]) throws {
    func seen(_ start: Team.Start?) throws -> Int64 {
        let team = try start.map { try Team(size: 2, start: $0) } ?? Team(size: 2)
        let array = try team.array(of: Int64.self, count: 8)
        try team.run(WriteLearnt(to: array.output))
        return array[7]
    }
    learnt = 7
    try leavingNothing("same start") { print("small: \(try seen(nil))") }
    let heap = try touched(mebibytes: try number(arguments, 0))
    try leavingNothing("same start") {
        print("large: \(try seen(nil)), by a server: \(try seen(.forkServer))")
    }
    munmap(heap.baseAddress, heap.count)
}

/// Private memory, touched, in pages of 4 KiB: what a fork has to copy the tables of.
private func touched(mebibytes: Int) throws -> UnsafeMutableRawBufferPointer {
    let bytes = max(4096, mebibytes << 20)
    let address = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    try claim(address != MAP_FAILED, "no room for \(bytes) bytes")
    madvise(address, bytes, 15)  // MADV_NOHUGEPAGE
    for at in stride(from: 0, to: bytes, by: 4096) {
        address!.storeBytes(of: 1, toByteOffset: at, as: UInt8.self)
    }
    return UnsafeMutableRawBufferPointer(start: address, count: bytes)
}

/// Prints the medians of the times from `Team(size:)` to the end of its first loop, in microseconds.
/// Arguments: MiB of private heap, ranks, times.
func startTimes(_ arguments: [String]) throws {
    let mebibytes = try number(arguments, 0)
    let size = try number(arguments, 1)
    let times = try number(arguments, 2)
    func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
    func measure(_ start: Team.Start) throws -> (whole: UInt64, first: UInt64) {
        var found: [UInt64] = []
        for _ in 0..<times {
            let before = now()
            let team = try Team(size: size, start: start)
            try team.run(Nothing(), count: size, grain: 1)
            found.append((now() - before) / 1000)
        }
        found.sort()
        return (found[times / 2], found[0])
    }
    let heap = try touched(mebibytes: mebibytes)
    defer { munmap(heap.baseAddress, heap.count) }
    try leavingNothing("times") {
        for start in [Team.Start.fork, .forkServer] {
            let (median, least) = try measure(start)
            print("\(start), \(mebibytes) MiB, \(size) ranks: \(median) us (least \(least))")
        }
    }
}

/// A program without the line: refused before anything is started.
func forgottenLine(_: [String]) throws {
    try leavingNothing("a forgotten line") {
        let error = try refusal("a forgotten line") { try Team(size: 2, start: .forkServer) }
        try claim(equal: error.code, .start, "\(error)")
        try claim(error.description.contains("Team.serveIfAsked()"), "no remedy: \(error)")
        try claimNoChild("a refused team")
        print(error)
        let team = try Team(size: 2)
        _ = try members(of: team)
    }
    try withThread {
        let error = try refusal("threads and no line") { try Team(size: 2) }
        try claim(equal: error.code, .threads, "\(error)")
        try claimNoChild("a refused team")
    }
}

/// A program whose line is in the protocol's `main`.
private struct Program: TeamProgram {
    static func run() throws {
        try leavingNothing("a TeamProgram") {
            let team = try Team(size: 3, start: .forkServer)
            _ = try members(of: team)
        }
        print("ran")
    }
}

func teamProgram(_: [String]) throws { try Program.main() }

/// A program that reaches its line in the leader only. The copy can't make a team, in whatever way.
func strayServer(_: [String]) throws {
    if muster_server_is_stray() {
        for start in [Team.Start.fork, .forkServer] {
            let error = try refusal("a stray server's team") { try Team(size: 2, start: start) }
            guard error.code == .start, error.description.contains(MUSTER_SERVER_VARIABLE) else {
                _exit(8)
            }
            try claimNoChild("a stray server")
        }
        _exit(7)
    }
    try leavingNothing("a stray server") {
        let error = try refusal("a stray server") { try Team(size: 2, start: .forkServer) }
        try claim(equal: error.code, .serverDied, "\(error)")
        try claim(error.description.contains("exit status 7"), "\(error)")
        print(error)
    }
}

/// A copy that never comes to its line is ended after a while. Takes 30 s.
func neverServes(_: [String]) throws {
    if muster_server_is_stray() {
        while true { pause() }
    }
    try leavingNothing("a program that never serves") {
        let error = try refusal("it") { try Team(size: 2, start: .forkServer) }
        try claim(equal: error.code, .start, "\(error)")
        try claim(error.description.contains("Team.serveIfAsked()"), "no remedy: \(error)")
        print(error)
    }
}

/// A program that has threads before its line, and one that crashes before it.
func badServer(_ arguments: [String]) throws {
    try leavingNothing("a server that can't") {
        let error = try refusal("it") { try Team(size: 2, start: .forkServer) }
        if getenv(MUSTER_SERVER_VARIABLE) != nil { _exit(9) }
        print(error)
    }
}

/// A stranger's variable of that name stops no program, and starts nothing.
func strangeVariable(_: [String]) throws {
    for value in ["", "1", "1:", "1:1", "99:\(getppid())", "1:\(getpid())", "1:-3", "x"] {
        setenv(MUSTER_SERVER_VARIABLE, value, 1)
        Team.serveIfAsked()
        for start in [Team.Start.fork, .forkServer] {
            let error = try refusal(value) { try Team(size: 2, start: start) }
            try claim(equal: error.code, .start, "\(error)")
            try claimNoChild(value)
        }
    }
    unsetenv(MUSTER_SERVER_VARIABLE)
    _ = try members(of: try Team(size: 2, start: .forkServer))
}

private struct Hidden: Kernel {
    let array: SharedArray<Int64>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        array.update(chunk) { values in
            for i in values.indices { values[i] &+= 1 }
        }
    }
}

private struct HiddenGeneric<Ballast: BitwiseCopyable>: Kernel {
    let ballast: Ballast
    func process(_ chunk: borrowing Chunk) throws {}
}

/// Kernels of every kind in ranks that were forked from another process.
func servedKernels(_ arguments: [String]) throws {
    let leader: Team.Leader = arguments.first == "works" ? .works : .waits
    struct Local: Kernel {
        let array: SharedArray<Int64>.InPlace
        func process(_ chunk: borrowing Chunk) throws {
            array.update(chunk) { values in
                for i in values.indices { values[i] &+= 3 }
            }
        }
    }
    try leavingNothing("kernels") {
        let team = try Team(size: 3, leader: leader, start: .forkServer)
        let pids = team.processIDs
        let array = try team.array(of: Int64.self, count: 5000)
        var expected: Int64 = 0
        func check(_ what: String, _ adds: Int64, _ run: () throws -> AuditReport) throws {
            expected += adds
            try claim(try run().isClean, what)
            try claim(array.toArray().allSatisfy { $0 == expected }, "\(what): \(array[0])")
        }
        for _ in 0..<2 {
            try check("generic", 5) {
                try team.run(Generic<Int64>(array: array.inPlace, by: 5), grain: 100)
            }
            try check("private", 1) { try team.run(Hidden(array: array.inPlace), grain: 100) }
            try check("local", 3) { try team.run(Local(array: array.inPlace), grain: 100) }
            try check("nested", 2) {
                try team.run(
                    Outer.Inner<Double>.Innermost(array: array.inPlace, ballast: 0), grain: 100)
            }
            try check("nested over a structure", 2) {
                try team.run(
                    Outer.Inner<(Member, Int8)>.Innermost(
                        array: array.inPlace,
                        ballast: (Member(rank: 0, size: 0, pid: 0, times: 0), 1)), grain: 100)
            }
            let error = try refusal("private generic") {
                try team.run(HiddenGeneric<Int32>(ballast: 1), count: 10)
            }
            try claim(equal: error.code, .kernelUnknown, "\(error)")
            try claim(error.description.contains("HiddenGeneric<Int32>: "), "\(error)")
            print(error)
        }
        try claim(equal: team.processIDs, pids, "ranks were started again")
    }
}

/// The n-th system call of the server and its ranks fails, n = 1, 2, ... Argument: errno.
func faultInServer(_ arguments: [String]) throws {
    let code = try number(arguments, 0)
    let file = path("fault.raw")
    try [Int64](repeating: 3, count: 5000).withUnsafeBytes { try write($0, to: file) }
    var errors = 0
    for n in 1...70 {
        let what = "call \(n), error \(code)"
        setenv(failVariable, "\(n) \(code)", 1)
        try leavingNothing(what) {
            func attempt(_ body: () throws -> Void) throws -> Bool {
                do {
                    try body()
                    return true
                } catch let error as MusterError {
                    try claim(!error.description.isEmpty, what)
                    errors += 1
                    unsetenv(failVariable)  // the next server is a healthy one
                    return false
                }
            }
            _ = try attempt {
                let team = try Team(size: 3, start: .forkServer)
                _ = try attempt {
                    let array = try team.array(file: file, of: Int64.self)
                    try claim(
                        equal: try team.reduce(LongSum(array: array.input)).result, 15_000, what)
                }
                unsetenv(failVariable)
                var tries = 0
                while !(try attempt { _ = try members(of: team) }) {
                    tries += 1
                    try claim(tries < 6, "\(what): the team does not recover")
                }
            }
        }
    }
    unlink(file)
    print("70 calls failed in turn, \(errors) errors")
}
