// Support.swift - what scenarios share: claims, and a look at what this process has.

import MusterCore
@preconcurrency import Glibc
import Muster

/// A claim that did not hold.
struct Failure: Error, CustomStringConvertible {
    let description: String
}

/// Throws unless the claim holds.
func claim(
    _ holds: Bool, _ what: @autoclosure () -> String, line: Int = #line, file: String = #fileID
) throws {
    guard holds else { throw Failure(description: "\(file):\(line): \(what())") }
}

/// Throws unless both are equal.
func claim<Value: Equatable>(
    equal left: Value, _ right: Value, _ what: @autoclosure () -> String, line: Int = #line,
    file: String = #fileID
) throws {
    try claim(left == right, "\(what()): \(left), not \(right)", line: line, file: file)
}

/// The error that the body throws. `MusterError` is the only one that the library may throw.
func refusal<Result: ~Copyable>(_ what: String, _ body: () throws -> Result) throws -> MusterError {
    do {
        _ = try body()
    } catch let error as MusterError {
        try claim(!error.description.isEmpty, "\(what): an error without words")
        try claim(!error.description.contains("\n"), "\(what): an error of two lines")
        return error
    }
    throw Failure(description: "\(what) was not refused")
}

func explain(_ text: String) {
    fputs(text + "\n", stderr)
}

func number(_ arguments: [String], _ position: Int) throws -> Int {
    guard position < arguments.count, let number = Int(arguments[position]) else {
        throw Failure(description: "argument \(position) is not a number: \(arguments)")
    }
    return number
}

func schedule(_ arguments: [String], _ position: Int) throws -> Schedule {
    guard position < arguments.count, let schedule = Schedule(arguments[position]) else {
        throw Failure(description: "argument \(position) is not a schedule: \(arguments)")
    }
    return schedule
}

/// A sanitizer's symbol, where the program was built with one.
func isSanitized(by symbol: String) -> Bool { dlsym(nil, symbol) != nil }

/// Names in a directory.
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

func contents(of path: String) -> String {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let length = fread(&buffer, 1, buffer.count, file)
        if length == 0 { break }
        bytes += buffer[..<length]
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Writes to a file that is there, as one of /proc or /sys. Returns 0 or an error number.
func put(_ text: String, into path: String) -> Int32 {
    let file = open(path, O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return errno }
    defer { close(file) }
    return Glibc.write(file, text, text.utf8.count) == text.utf8.count ? 0 : errno
}

/// What must be the same before and after a team.
struct Holdings: Equatable, CustomStringConvertible {
    let descriptors: [String]
    let mappings: Int

    init() {
        descriptors = names(in: "/proc/self/fd").sorted()
        mappings = contents(of: "/proc/self/maps").split(separator: "\n")
            .count { $0.contains("/memfd:muster") }
    }

    var description: String { "\(mappings) mappings, descriptors \(descriptors)" }
}

/// Runs the body, then throws if it has left a child, a descriptor or a mapping behind.
func leavingNothing<Result>(_ what: String, _ body: () throws -> Result) throws -> Result {
    let before = Holdings()
    let result = try body()
    try claimNoChild(what)
    try claim(equal: Holdings(), before, "\(what): what is left")
    return result
}

func claimNoChild(_ what: String) throws {
    errno = 0
    let pid = waitpid(-1, nil, WNOHANG)
    try claim(pid == -1 && errno == ECHILD, "\(what): a child is left (waitpid gave \(pid))")
}

func isAlive(_ pid: Int) -> Bool { kill(pid_t(pid), 0) == 0 }

/// State letter of a process: R, S, T, Z; nil: there is no such process.
func state(of pid: Int) -> Character? {
    let text = contents(of: "/proc/\(pid)/stat")
    guard let name = text.lastIndex(of: ")") else { return nil }
    return text[text.index(after: name)...].first { $0 != " " }
}

/// Waits for something that must come; the test's watchdog ends it when it doesn't.
func wait(until holds: () -> Bool) {
    while !holds() { usleep(200) }
}

/// Comes back when the leader's last look at its ranks is older than any tick of the coarse clock, so
/// that the next loop looks again.
func letLooksAge() { usleep(20_000) }

/// A directory of its own for a scenario's files: the one that the test has made for it.
func path(_ name: String) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    return String(cString: getcwd(&buffer, buffer.count)) + "/" + name
}

func write(_ bytes: UnsafeRawBufferPointer, to path: String) throws {
    guard let file = fopen(path, "w") else { throw Failure(description: "can't create \(path)") }
    let written = fwrite(bytes.baseAddress, 1, bytes.count, file)
    try claim(fclose(file) == 0 && written == bytes.count, "can't write \(path)")
}
