// ServerProcessScenarios.swift - what the fork server's process, and those that it forks, have of the
// leader's, and where its program comes from.

import MusterCore
@preconcurrency import Glibc
import Muster

/// What ranks see of the leader: its directory and environment, but not the server's variable, no
/// descriptor of its own, and no signal handling.
struct Surroundings: Kernel {
    let seen: SharedArray<Int64>.InPlace
    let directory: UInt64
    func process(_ chunk: borrowing Chunk) throws {
        var information = stat()
        stat(".", &information)
        let here = information.st_ino == directory
        let variable = getenv(MUSTER_SERVER_VARIABLE) == nil && getenv("MUSTER_TEST_MARK") != nil
        let hidden = fcntl(77, F_GETFD) == -1
        // What a rank executes does not take itself for a server either.
        let clean = system("test -z \"$\(MUSTER_SERVER_VARIABLE)\"") == 0
        let value: Int64 =
            (here ? 1 : 0) + (variable ? 2 : 0) + (hidden ? 4 : 0) + (clean ? 8 : 0)
        seen.update(chunk) { $0[0] = value }
    }
}

func surroundings(_: [String]) throws {
    setenv("MUSTER_TEST_MARK", "1", 1)
    dup2(2, 77)  // not close-on-exec
    var here = stat()
    stat(".", &here)
    let names = [CommandLine.arguments[0], "/proc/self/exe"]
    try leavingNothing("surroundings") {
        let team = try Team(size: 3, start: .forkServer)
        let seen = try team.array(of: Int64.self, count: 3)
        try team.eachRank(Surroundings(seen: seen.inPlace, directory: UInt64(here.st_ino)))
        try claim(equal: seen.toArray(), [15, 15, 15], "what ranks see (\(names))")
        for pid in team.processIDs + [try serverProcess()] {
            let lines = contents(of: "/proc/\(pid)/status").split(separator: "\n")
            try claim(lines.contains("Threads:\t1"), "threads of \(pid)")
            try claim(
                equal: contents(of: "/proc/\(pid)/cmdline"), contents(of: "/proc/self/cmdline"),
                "arguments of \(pid)")
        }
    }
}

/// The leader's file is gone, or another one, by the time the server is started.
func deletedProgram(_ arguments: [String]) throws {
    if arguments.first == "copy" {
        let program = contents(ofBytes: "/proc/self/exe")
        try program.withUnsafeBytes { try write($0, to: path("program")) }
        chmod(path("program"), 0o755)
        let texts: [String] = [path("program"), "deleted-program", "run", path("")]
        let words: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        execv(path("program"), words)
        throw Failure(description: "can't execute the copy: errno \(errno)")
    }
    try claim(unlink("program") == 0, "the program's file was not there")
    try leavingNothing("a deleted program") {
        _ = try members(of: try Team(size: 2, start: .forkServer))
    }
}

private func contents(ofBytes path: String) -> [UInt8] {
    let file = open(path, O_RDONLY)
    defer { close(file) }
    var information = stat()
    fstat(file, &information)
    return [UInt8](unsafeUninitializedCapacity: Int(information.st_size)) { buffer, count in
        while count < buffer.count {
            let length = read(file, buffer.baseAddress! + count, buffer.count - count)
            if length <= 0 { break }
            count += length
        }
    }
}
