// BenchRunner.swift - runs the built tool as a user does, for the tests of bench and demo.

import Foundation
import Testing
@preconcurrency import Glibc

/// One run of the tool to its end, or to the watchdog's.
struct ToolRun {
    let status: Int32
    let output: String
    let errors: String
    /// Whether the watchdog had to end it.
    let hasHung: Bool

    /// The built tool lies beside the test runner.
    static let tool: URL = {
        let runner = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return runner.deletingLastPathComponent().appendingPathComponent("muster")
    }()

    /// Runs it. The watchdog is generous: it is for what hangs, never for what is slow.
    init(_ arguments: String..., watchdogSeconds: Double = 120) throws {
        try self.init(arguments: arguments, watchdogSeconds: watchdogSeconds)
    }

    init(arguments: [String], watchdogSeconds: Double = 120) throws {
        // Files, not pipes: a full pipe would stop a tool that nobody reads from.
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("muster-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (out, err) = (
            folder.appendingPathComponent("out"), folder.appendingPathComponent("err")
        )
        for file in [out, err] {
            _ = FileManager.default.createFile(atPath: file.path, contents: nil)
        }
        let process = Process()
        process.executableURL = ToolRun.tool
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: out)
        process.standardError = try FileHandle(forWritingTo: err)
        try process.run()
        let deadline = Date(timeIntervalSinceNow: watchdogSeconds)
        while process.isRunning && Date() < deadline { usleep(5_000) }
        hasHung = process.isRunning
        if hasHung { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        status = process.terminationStatus
        output = try String(contentsOf: out, encoding: .utf8)
        errors = try String(contentsOf: err, encoding: .utf8)
    }

    /// The output as one JSON object.
    func object() throws -> [String: Any] {
        let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
        return try #require(value as? [String: Any])
    }
}

/// The tool in the background, recognisable with all its processes.
final class RunningTool {
    /// Every process of the tool inherits it in its environment.
    private let mark = "MUSTER_TEST_MARK=\(UUID().uuidString)"
    private var first = pid_t()

    /// Signals as a shell in a terminal leaves them: a test runner may ignore or block some, and
    /// what it spawns inherits that.
    init(_ arguments: String...) throws {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        var none = sigset_t()
        sigfillset(&all)
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK))
        var files = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&files)
        defer { posix_spawn_file_actions_destroy(&files) }
        for descriptor in Int32(0)...2 {
            posix_spawn_file_actions_addopen(&files, descriptor, "/dev/null", O_RDWR, 0)
        }
        let path = ToolRun.tool.path
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        let environment = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
        var settings: [UnsafeMutablePointer<CChar>?] =
            (environment + [mark]).map { strdup($0) } + [nil]
        defer { for text in words + settings { free(text) } }
        let status = posix_spawn(&first, path, &files, &attributes, &words, &settings)
        try #require(status == 0, "can't start \(path): \(String(cString: strerror(status)))")
    }

    deinit {
        for pid in processes() { kill(pid, SIGKILL) }
        var status: Int32 = 0
        waitpid(first, &status, 0)
    }

    /// Those that are alive now, the tool's first process included.
    func processes() -> [pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap(pid_t.init).filter { pid in
            // Empty for those that have ended and wait to be reaped.
            let bytes = try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(pid)/environ"))
            return bytes?.range(of: Data(mark.utf8)) != nil
        }
    }

    /// Waits for a condition. Returns whether it came before the watchdog's end.
    func wait(seconds: Double = 30, until condition: ([pid_t]) -> Bool) -> Bool {
        let deadline = Date(timeIntervalSinceNow: seconds)
        while Date() < deadline {
            if condition(processes()) { return true }
            usleep(2_000)
        }
        return false
    }

    func send(_ signal: Int32) { kill(first, signal) }
}
