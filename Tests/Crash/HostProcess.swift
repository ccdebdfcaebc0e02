// HostProcess.swift - starts `muster-test-host`, watches it, and looks for what it leaves behind.
//
// Each run has a directory of its own to work in, which is its last argument. Forked workers have the
// same command line, so whatever process still shows that name has been left over. (A zombie has no
// command line: it is dead, and its new parent's to reap.) Tests/Fault has a link to this file.

import Glibc
import TestSupport
import Testing

/// Forked teams can't run under the thread sanitizer, which keeps a thread of its own.
let canFork = dlsym(nil, "__tsan_init") == nil
let whyNotFork: Comment = "the thread sanitizer keeps a thread, so no team can be forked"

/// Whether every team of this run is checked (MUSTER_CHECK=1).
let isChecked = getenv("MUSTER_CHECK").map { String(cString: $0) } == "1"

let isAddressSanitized = dlsym(nil, "__asan_init") != nil

/// Pairs of two lists: all in a release build. In a debug build, where a case takes longer and which is run
/// before the other, each value with one or more of the others.
func pairs<First, Second>(_ first: [First], _ second: [Second]) -> [(First, Second)] {
    #if DEBUG
        if min(first.count, second.count) > 2 {
            return (0..<max(first.count, second.count)).map { i in
                (first[i % first.count], second[i % second.count])
            }
        }
    #endif
    return first.flatMap { one in second.map { (one, $0) } }
}

/// Seconds after which a run is killed. Sanitizers make everything several times slower.
let limitSeconds = isAddressSanitized ? 240.0 : 60.0

/// How a run ended.
struct Outcome {
    /// As waitpid gives it.
    var status: Int32
    var output: String
    var errors: String
    /// Ended by the watchdog.
    var isLate: Bool

    var exitStatus: Int32? { status & 0x7f == 0 ? (status >> 8) & 0xff : nil }
    var signal: Int32? { status & 0x7f == 0 ? nil : status & 0x7f }
    var lines: [Substring] { output.split(separator: "\n") }
}

/// Held while pipes are made that a program started by another test must not inherit.
private nonisolated(unsafe) let spawning = {
    let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    return mutex
}()

struct HostFailure: Error, CustomStringConvertible {
    let description: String
}

/// A running helper.
final class HostProcess {
    let pid: pid_t
    let directory: String
    private let output: Int32
    private let errors: Int32
    private let sharedMemory: Set<String>
    private var isReaped = false

    /// Starts a scenario of the team tests' program.
    convenience init(
        _ scenario: Scenario, in way: Scenario.Way = .plain, _ arguments: [String] = []
    ) throws {
        try self.init(verb: way.rawValue + scenario.rawValue, arguments)
    }

    /// The same by another word, or another program.
    init(
        verb scenario: String, _ arguments: [String] = [], program: String = HostProcess.program
    ) throws {
        directory = try HostProcess.makeDirectory()
        sharedMemory = sharedMemoryObjects()
        var out: [Int32] = [-1, -1]
        var err: [Int32] = [-1, -1]
        // Or a program that another test starts meanwhile would hold these pipes open.
        pthread_mutex_lock(spawning)
        defer { pthread_mutex_unlock(spawning) }
        guard pipe(&out) == 0, pipe(&err) == 0 else {
            throw HostFailure(description: "no pipes: errno \(errno)")
        }
        for end in out + err { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (output, errors) = (out[0], err[0])

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, out[1], 1)
        posix_spawn_file_actions_adddup2(&actions, err[1], 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A process group of its own, as a shell gives one: Ctrl-C reaches leader and workers.
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
        posix_spawnattr_setflags(&attributes, Int16(flags))
        posix_spawnattr_setpgroup(&attributes, 0)
        // A runner in the background of a shell ignores SIGINT, and would hand that down.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)

        let words = [program, scenario] + arguments + [directory]
        var argv = words.map { strdup($0) } + [nil]
        var environment = HostProcess.environment.map { strdup($0) } + [nil]
        defer { for text in argv + environment { Glibc.free(text) } }
        var child: pid_t = 0
        let status = posix_spawn(
            &child, program, &actions, &attributes, &argv, &environment)
        close(out[1])
        close(err[1])
        guard status == 0 else {
            throw HostFailure(description: "can't start \(program): errno \(status)")
        }
        pid = child
    }

    deinit {
        if !isReaped { _ = finish(after: 0) }
        close(output)
        close(errors)
        removeTree(directory)
    }

    /// The helper lies beside the test runner.
    static let program = beside("muster-test-host")

    /// The helper for members, in C.
    static let memberProgram = beside("muster-test-member")

    private static func beside(_ name: String) -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let bytes = buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }
        let runner = String(decoding: bytes, as: UTF8.self)
        return runner[..<(runner.lastIndex(of: "/") ?? runner.startIndex)] + "/" + name
    }

    /// Ours, but without backtraces: of a trap that is expected they only take time.
    private static let environment: [String] = {
        var found: [String] = []
        var next = environ
        while let text = next.pointee {
            let line = String(cString: text)
            if !line.hasPrefix("SWIFT_BACKTRACE=") { found.append(line) }
            next += 1
        }
        return found + ["SWIFT_BACKTRACE=enable=no"]
    }()

    private static func makeDirectory() throws -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        let template = strdup("\(parent)/muster-test-XXXXXX")!
        defer { Glibc.free(template) }
        guard mkdtemp(template) != nil else {
            throw HostFailure(description: "no directory in \(parent): errno \(errno)")
        }
        chmod(template, 0o777)  // a scenario may become another user
        return String(cString: template)
    }

    func signal(_ number: Int32) { kill(pid, number) }

    /// The output's next line. nil: it has ended, or the time is over.
    func readLine() -> String? {
        var bytes: [UInt8] = []
        while let byte = readByte() {
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        return nil
    }

    /// The output's next byte. nil: as for a line.
    func readByte() -> UInt8? {
        let start = now()
        while now() - start < limitSeconds {
            var wanted = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            guard poll(&wanted, 1, 100) > 0 else { continue }
            var byte: UInt8 = 0
            return Glibc.read(output, &byte, 1) == 1 ? byte : nil
        }
        return nil
    }

    /// Waits for the end; kills the run when its time is over.
    func finish(after seconds: Double = limitSeconds) -> Outcome {
        var outcome = Outcome(status: 0, output: "", errors: "", isLate: false)
        var texts: [Int32: [UInt8]] = [output: [], errors: []]
        var buffer = [UInt8](repeating: 0, count: 65536)
        let start = now()
        var hasEnded = false
        while true {
            // After the end once more, without waiting: what is in the pipes belongs to it. Not until
            // their end, since a worker that was left over would hold them open.
            var wanted = texts.keys.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let ready = poll(&wanted, nfds_t(wanted.count), hasEnded ? 0 : 2)
            var taken = 0
            for entry in wanted where ready > 0 && entry.revents != 0 {
                let length = max(0, Glibc.read(entry.fd, &buffer, buffer.count))
                texts[entry.fd]! += buffer[..<length]
                taken += length
            }
            if hasEnded {
                if taken == 0 { break }
                continue
            }
            hasEnded = waitpid(pid, &outcome.status, WNOHANG) == pid
            if hasEnded { continue }
            if taken == 0 && ready > 0 { usleep(1000) }  // it has closed its pipes, and goes on
            if now() - start > seconds {
                outcome.isLate = true
                kill(-pid, SIGKILL)
                waitpid(pid, &outcome.status, 0)
                hasEnded = true
            }
        }
        isReaped = true
        outcome.output = String(decoding: texts[output]!, as: UTF8.self)
        outcome.errors = String(decoding: texts[errors]!, as: UTF8.self)
        return outcome
    }

    /// Processes of this run that are alive.
    func processes() -> [Int] {
        names(in: "/proc").compactMap { name in
            guard let pid = Int(name), text(of: "/proc/\(pid)/cmdline").contains(directory) else {
                return nil
            }
            return pid
        }
    }

    /// Says what of this run is still there once its leader has ended; waits up to five seconds for
    /// it to go. The promise is one second, but not on a machine that others keep busy.
    ///
    /// - Returns: How long it took, in seconds.
    @discardableResult
    func expectNothingLeft(
        _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) -> Double {
        let start = now()
        var left = processes()
        while !left.isEmpty && now() - start < limitSeconds {
            usleep(1000)
            left = processes()
        }
        let taken = now() - start
        if !left.isEmpty {
            let lines = left.map { text(of: "/proc/\($0)/stat").prefix(40) }
            Issue.record(
                "left after \(taken) s (\(what)): \(lines.joined(separator: "; "))",
                sourceLocation: sourceLocation)
            for pid in left { kill(pid_t(pid), SIGKILL) }
        }
        let objects = sharedMemoryObjects().subtracting(sharedMemory)
        #expect(objects.isEmpty, "shared memory is left: \(what)", sourceLocation: sourceLocation)
        // A scenario that is killed may leave one file of its own.
        let files = names(in: directory).filter { $0 != "own.raw" }
        #expect(files.isEmpty, "files are left: \(what)", sourceLocation: sourceLocation)
        return taken
    }
}

/// Runs a scenario to its end, which must be a success with nothing left. Returns its output.
@discardableResult
func run(
    _ scenario: Scenario, in way: Scenario.Way = .plain,
    _ arguments: any CustomStringConvertible...,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> [Substring] {
    try run(
        verb: way.rawValue + scenario.rawValue, arguments.map(\.description),
        program: HostProcess.program, sourceLocation: sourceLocation)
}

/// The same by another helper program.
func run(
    verb scenario: String, _ words: [String], program: String,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> [Substring] {
    let host = try HostProcess(verb: scenario, words, program: program)
    let outcome = host.finish()
    let what = "\(scenario) \(words.joined(separator: " "))"
    #expect(!outcome.isLate, "\(what) hangs", sourceLocation: sourceLocation)
    #expect(
        outcome.exitStatus == 0, "\(what): \(outcome.errors)\(outcome.output)",
        sourceLocation: sourceLocation)
    host.expectNothingLeft(what, sourceLocation: sourceLocation)
    for line in outcome.lines where line.hasPrefix("skipped: ") { print("\(what): \(line)") }
    return outcome.lines
}

/// Removes a directory and all that is in it; a link, not what it points at.
private func removeTree(_ directory: String) {
    for name in names(in: directory) {
        let path = "\(directory)/\(name)"
        if unlink(path) != 0 { removeTree(path) }
    }
    rmdir(directory)
}

func names(in directory: String) -> [String] {
    guard let handle = opendir(directory) else { return [] }
    defer { closedir(handle) }
    var found: [String] = []
    while let entry = readdir(handle) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { found.append(name) }
    }
    return found
}

private func text(of path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let length = Glibc.read(file, &buffer, buffer.count)
    return String(decoding: buffer[..<max(0, length)], as: UTF8.self)
}

/// State letter of a process: R, S, T, Z; nil: there is no such process.
func state(of pid: Int) -> Character? {
    let line = text(of: "/proc/\(pid)/stat")
    guard let name = line.lastIndex(of: ")") else { return nil }
    return line[line.index(after: name)...].first { $0 != " " }
}

/// Named shared memory of Muster's: there should never be any. Other programs' comes and goes.
private func sharedMemoryObjects() -> Set<String> {
    Set(names(in: "/dev/shm").filter { $0.contains("muster") })
}

/// CLOCK_MONOTONIC in seconds.
func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
