// PrivilegeScenarios.swift - a set-user-ID program does not act on its caller's environment.

import MusterCore
@preconcurrency import Glibc
import Muster

/// Runs a set-user-ID copy of this program as another user, who claims to be the leader of a fork server
/// and the launcher of a team. The copy must run its own main, and refuse both. Needs root.
func raised(_: [String]) throws {
    try claim(geteuid() == 0, "only root can make a set-user-ID program")
    try claim(chmod(".", 0o755) == 0, "can't open the directory to others")
    var own = [CChar](repeating: 0, count: 4096)
    try claim(readlink("/proc/self/exe", &own, 4095) > 0, "no path of this program")
    let path = String(decoding: own.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    try runHelper("/bin/cp", [path, "raised"])
    defer { unlink("raised") }
    try claim(chmod("raised", 0o4755) == 0, "can't set the user ID")
    let version = Int(MUSTER_LAYOUT_VERSION)
    for variable in ["\(MUSTER_SERVER_VARIABLE)=\(version):\(getpid())", "MUSTER_TEAM=@nobody"] {
        var ends: [Int32] = [-1, -1]
        try claim(
            socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0, "no sockets")
        close(ends[0])  // a server would end at once, and quietly
        defer { close(ends[1]) }
        try runHelper(
            "/usr/bin/setpriv",
            ["--reuid=65534", "--clear-groups", "./raised", "raised-inner", "/"],
            environment: [variable], descriptor: ends[1])
    }
}

/// What the copy finds.
func raisedInner(_: [String]) throws {
    try claim(geteuid() == 0 && getuid() == 65534, "this is no set-user-ID program")
    try claim(!muster_server_is_stray(), "it takes the variable for true")
    let served = try refusal("a server's team") { try Team(size: 2, start: .forkServer) }
    try claim(equal: served.code, .start, "\(served)")
    try claim(served.description.contains("privileges of its own"), "\(served)")
    if getenv("MUSTER_TEAM") != nil {
        let joined = try refusal("a member") { try Muster.Member.join() }
        try claim(joined.description.contains("privileges of its own"), "\(joined)")
    }
    _ = try members(of: try Team(size: 2))  // its own team is its own affair
    print("main of its own")
}

/// Waits for a program, which must exit with 0. `descriptor`: becomes 3.
private func runHelper(
    _ path: String, _ arguments: [String], environment: [String] = [], descriptor: Int32? = nil
) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let descriptor { posix_spawn_file_actions_adddup2(&actions, descriptor, 3) }
    let words = ([path] + arguments).map { strdup($0) } + [nil]
    let variables = environment.map { strdup($0) } + [nil]
    defer { for text in words + variables { free(text) } }
    var pid: pid_t = 0
    let status = posix_spawn(&pid, path, &actions, nil, words, variables)
    try claim(status == 0, "can't execute \(path): \(status)")
    var ended: Int32 = 0
    try claim(waitpid(pid, &ended, 0) == pid, "\(path) is gone")
    try claim(equal: ended, 0, "\(path) \(arguments)")
}
