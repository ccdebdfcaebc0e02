// CommandRunner.swift - runs the built tool as its users do: arguments in; status, stdout, stderr out.
//
// Every run has a watchdog: a tool that hangs fails its test, not the whole suite.

import Foundation
import Synchronization
import Testing

/// How a run ended.
struct CommandResult {
    /// Exit status; nil: a signal ended it.
    var status: Int32?
    /// The signal that ended it.
    var signal: Int32?
    var output = ""
    var errors = ""

    /// Lines on stderr.
    var errorLines: [Substring] { errors.split(separator: "\n") }

    /// stdout as a JSON object.
    func json() throws -> [String: Any] {
        try #require(
            try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any],
            "not a JSON object: \(output.prefix(200))")
    }
}

/// A number of a report, to the last bit: `as? Double` would go by way of decimal arithmetic and err by
/// an ulp. nil: null, or no number.
func number(_ value: Any?) -> Double? { value.flatMap { Double("\($0)") } }

/// Where a run's stdout goes.
enum CommandOutput {
    case captured
    /// A pipe that nobody reads.
    case closedPipe
    case path(String)
    /// The test's own.
    case descriptor(Int32)
    /// A pseudo terminal; what is written there is captured.
    case terminal
}

enum CommandRunner {
    /// Seconds until a run counts as hanging.
    static let limitSeconds = 60.0

    /// The tool, built beside the test runner.
    static let muster: String = {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        let runner = String(
            decoding: path.prefix(max(0, length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return URL(fileURLWithPath: runner).deletingLastPathComponent().path + "/muster"
    }()

    /// Runs `muster` under a filter of system calls: "placement-refused", "affinity-refused" or
    /// "residency-refused".
    static func refused(_ what: String, _ arguments: [String]) throws -> CommandResult {
        let folder = try TemporaryFolder()
        let host = URL(fileURLWithPath: muster).deletingLastPathComponent()
            .appendingPathComponent("muster-test-host").path
        return try run(["refused", what, muster] + arguments + [folder.path("")], program: host)
    }

    /// Runs `muster`, or another program, and waits for its end. `errorTerminal`: the terminal that its
    /// stderr is, not captured then. `meanwhile` is called every few milliseconds with its process id
    /// while it runs.
    static func run(
        _ arguments: [String], program: String = muster, output: CommandOutput = .captured,
        errorTerminal: String? = nil, environment: [String: String] = [:],
        meanwhile: (pid_t) throws -> Void = { _ in }
    ) throws -> CommandResult {
        let folder = try TemporaryFolder()
        let errorPath = errorTerminal ?? folder.path("stderr")
        let outputPath = folder.path("stdout")
        var terminal: Int32 = -1
        var closeAfter: [Int32] = []
        defer { closeAfter.forEach { close($0) } }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        switch output {
        case .captured:
            posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_CREAT | O_WRONLY, 0o600)
        case .path(let path):
            posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY, 0)
        case .descriptor(let descriptor):
            posix_spawn_file_actions_adddup2(&actions, descriptor, 1)
        case .closedPipe:
            // By name, since pipe() can't close on exec: another test's tool would keep it open.
            let path = folder.path("pipe")
            try #require(mkfifo(path, 0o600) == 0)
            let reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            let writer = open(path, O_WRONLY | O_CLOEXEC)
            try #require(reader >= 0 && writer >= 0)
            close(reader)
            closeAfter.append(writer)
            posix_spawn_file_actions_adddup2(&actions, writer, 1)
        case .terminal:
            var side: Int32 = -1
            try #require(openpty(&terminal, &side, nil, nil, nil) == 0)
            closeAfter += [terminal, side]
            posix_spawn_file_actions_adddup2(&actions, side, 1)
        }
        posix_spawn_file_actions_addopen(
            &actions, 2, errorPath, O_CREAT | O_WRONLY | O_NOCTTY, 0o600)

        // A group of its own, as a shell gives each job: Ctrl-C reaches it and not the tests.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Threads of the test runner block signals, and background jobs ignore SIGINT; neither is the
        // tool's to inherit.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for signal in [SIGINT, SIGTERM, SIGPIPE] { sigaddset(&signals, signal) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        var argumentPointers = ([program] + arguments).map { strdup($0) } + [nil]
        var variablePointers = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (argumentPointers + variablePointers).forEach { free($0) } }
        var pid: pid_t = 0
        let status = posix_spawn(
            &pid, program, &actions, &attributes, &argumentPointers, &variablePointers)
        try #require(status == 0, "\(program): \(String(cString: strerror(status)))")

        var result = try wait(for: pid, arguments, meanwhile)
        if terminal >= 0 {
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            _ = fcntl(terminal, F_SETFL, O_NONBLOCK)
            let length = read(terminal, &buffer, buffer.count)
            result.output = String(decoding: buffer.prefix(max(0, length)), as: UTF8.self)
        } else if case .captured = output {
            result.output = try String(contentsOfFile: outputPath, encoding: .utf8)
        }
        if errorTerminal == nil {
            result.errors = try String(contentsOfFile: errorPath, encoding: .utf8)
        }
        return result
    }

    private static func wait(
        for pid: pid_t, _ arguments: [String], _ meanwhile: (pid_t) throws -> Void
    ) throws -> CommandResult {
        let deadline = Date().addingTimeInterval(limitSeconds)
        while true {
            var status: Int32 = 0
            let ended = waitpid(pid, &status, WNOHANG)
            if ended == pid {
                let signal = status & 0x7f
                return signal == 0
                    ? CommandResult(status: (status >> 8) & 0xff) : CommandResult(signal: signal)
            }
            do {
                try #require(
                    Date() < deadline,
                    "muster \(arguments.joined(separator: " ")) still runs after \(limitSeconds) s")
                try meanwhile(pid)
            } catch {
                kill(-pid, SIGKILL)
                waitpid(pid, nil, 0)
                throw error
            }
            usleep(2000)
        }
    }

    /// Processes whose parent this is.
    static func children(of pid: pid_t) -> [pid_t] {
        let path = "/proc/\(pid)/task/\(pid)/children"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { pid_t($0) }
    }
}

/// A folder that goes away with the last use of it.
final class TemporaryFolder {
    private let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory
            .appendingPathComponent("muster-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    /// One that constants keep: it goes away with this process, since no constant does before.
    static func untilExit() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        kept.withLock { $0.append(folder.url.path) }
        return folder
    }

    private static let kept: Mutex<[String]> = {
        atexit {
            TemporaryFolder.kept.withLock {
                for path in $0 { try? FileManager.default.removeItem(atPath: path) }
            }
        }
        return Mutex<[String]>([])
    }()

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    /// Writes a file and returns its path.
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: url.appendingPathComponent(name))
        return path(name)
    }

    /// A file that may be executed. Written by another process: what one of this process's forks may
    /// still have open to be written can't be executed.
    func program(_ name: String, _ text: String) throws -> String {
        let draft = try write("\(name).draft", Array(text.utf8))
        let installed = try CommandRunner.run(
            ["-m", "755", draft, path(name)], program: "/usr/bin/install")
        try #require(installed.status == 0, "\(installed)")
        return path(name)
    }
}
