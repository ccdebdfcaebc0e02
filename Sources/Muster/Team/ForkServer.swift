// ForkServer.swift - ranks from a clean copy of the program, for leaders with threads or large heaps.
//
// What server and leader do is in the C core (server.h tells the story). Here: the line that lets a
// program take part, the choice between fork and server, what a kernel needs to be found in another
// process, and the words for what can go wrong.

internal import MusterCore
internal import Glibc

extension Team {
    /// How the ranks of a team become processes.
    public enum Start: Sendable, CaseIterable {
        /// By fork, the default. This process must have one thread. Ranks see what its variables
        /// hold. Each rank takes some 40 ms per GiB of this process's private memory.
        case fork
        /// By a fork server: the program is executed once more, and that clean process forks the ranks.
        /// For leaders with threads or large private heaps. Needs ``Team/serveIfAsked()`` in `main`.
        /// Ranks see none of this process's variables: each global has its initial value. They have
        /// no descriptors but standard input, output and error. Because a kernel that reads a global
        /// computes something else there, a team has a server only if you ask for it.
        case forkServer
    }

    /// Serves, where this process was started as a fork server; returns at once everywhere else.
    ///
    /// Must be the first line of `main`, before anything starts a thread (or use ``TeamProgram``):
    ///
    /// ```swift
    /// Team.serveIfAsked()
    /// let team = try Team(size: 8, start: .forkServer)
    /// ```
    ///
    /// A team with ``Start/forkServer`` executes this program once more, with the same arguments,
    /// working directory and environment. There this call does not return: the process forks the
    /// team's ranks, and ends with the team or with the leader, whichever ends first. A process that
    /// has not come to this line can't start such a team: its copy would only run its job again.
    ///
    /// Kernels that run in such ranks see global and static variables as they are before `main`: those
    /// of `main.swift` have no value there.
    public static func serveIfAsked() {
        var team: OpaquePointer?
        var rank: UInt32 = 0
        var cpu: Int32 = -1
        guard muster_server_serve(&team, &rank, &cpu) == 1, let team else { return }
        if cpu >= 0 { _ = muster_binding_enter(UInt32(cpu)) }  // best effort, as after a fork
        var worker = Worker(team: team, rank: rank)
        worker.run()
        muster_worker_exit()
    }
}

/// A program whose teams can be started by a fork server: ``Team/serveIfAsked()``, then ``run()``.
///
/// ```swift
/// @main struct Simulation: TeamProgram {
///     static func run() throws {
///         let team = try Team(size: 8, start: .forkServer)
///         ...
///     }
/// }
/// ```
public protocol TeamProgram {
    /// What the program does.
    static func run() throws
}

extension TeamProgram {
    /// The program's entry, for `@main`. An error that ``run()`` throws ends it with a trap.
    public static func main() throws {
        Team.serveIfAsked()
        try run()
    }
}

extension Team.Start {
    var source: RankSource {
        switch self {
        case .fork: .fork
        case .forkServer: .server
        }
    }
}

extension Ranks {
    /// A process that was started as a server and went past the line must start nothing.
    static func refuseInStrayServer(_ subject: String, _ caller: Caller) throws(MusterError) {
        guard muster_server_is_stray() else { return }
        throw MusterError(
            .start, subject: subject,
            reason:
                "this process was started as a fork server (\(MUSTER_SERVER_VARIABLE) is in its "
                + "environment) and is not one: make \(caller.serve) the first line of main, and "
                + "reach it in every run")
    }

    /// Makes the server the source of ranks.
    func useServer() throws(MusterError) {
        let cpus = seats.map { $0.cpu.map(UInt32.init) ?? .max }
        let status = withServerProgram { muster_team_use_server(team, cpus, $0) }
        guard status != -EPERM else {
            throw MusterError(
                .start, subject: "fork server",
                reason:
                    "this process has not come to the line that a fork server needs: make "
                    + caller.serveFirst,
                errorNumber: EPERM)
        }
        guard status != -EACCES else {
            throw MusterError(
                .start, subject: "fork server",
                reason:
                    "this program has privileges of its own (set-user-ID, set-group-ID, file "
                    + "capabilities, or ids that it has changed), and a copy of it would get back what "
                    + "this process has dropped: start the team by fork",
                errorNumber: EACCES)
        }
        guard status == 0 else {
            throw .system(.memory, "fork server", "no memory for it", status: status)
        }
    }

    /// The server's program as C has it: NULL-ended, or nil for this program.
    private func withServerProgram(
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Int32
    ) -> Int32 {
        guard let serverProgram else { return body(nil) }
        let texts = serverProgram.map(copyText)
        defer { for text in texts { text.deallocate() } }
        return body(texts.map { UnsafePointer($0) } + [nil])
    }

    /// What errors call the server: by its program, where that is another than this one.
    var serverSubject: String {
        serverProgram.map { "fork server \($0[0])" } ?? "fork server"
    }

    /// The error where a rank could not be started because the server is in trouble; nil: it isn't.
    func serverTrouble(rank: Int) -> MusterError? {
        var trouble = muster_server_trouble()
        guard muster_team_server_trouble(team, &trouble) else { return nil }
        let subject = serverSubject
        let isOther = serverProgram != nil
        if trouble.threads > 1 {
            return MusterError(
                .start, subject: subject,
                reason:
                    "it has \(trouble.threads) threads, so it can't fork: make \(caller.serve) the "
                    + "first line of main, before anything starts a thread", errorNumber: EBUSY)
        }
        if trouble.late != 0, isOther {
            return MusterError(
                .start, subject: subject,
                reason:
                    "the server's program did not come to \(caller.serve) in 30 s, and was killed: "
                    + "let it load less before that call", errorNumber: ETIMEDOUT)
        }
        if trouble.late != 0 {
            return MusterError(
                .start, subject: subject,
                reason:
                    "the program, executed once more, did not come to \(caller.serve) in 30 s, and "
                    + "was killed: make it the first line of main, and reach it in every run",
                errorNumber: ETIMEDOUT)
        }
        // A server that a refused call keeps from its leader has died of that.
        var call: UnsafePointer<CChar>?
        if trouble.died != 0, muster_refused_call(trouble.status, &call) == 0 {
            return MusterError(
                .serverDied, subject: subject,
                reason: "\(end(of: trouble)) before rank \(rank) of \(size) had started",
                errorNumber: EOWNERDEAD)
        }
        if trouble.lost == 0, isOther {
            return .system(
                .start, subject,
                "can't execute the server's program (limits: ulimit -u, ulimit -n, pids.max)",
                status: trouble.status)
        }
        return .system(
            .start, subject,
            trouble.lost != 0
                ? "can't start rank \(rank) of \(size) by it"
                : "can't execute this program once more (/proc/self/exe; limits: ulimit -u, ulimit -n, "
                    + "pids.max)", status: trouble.status)
    }

    /// "was killed by signal 9 (SIGKILL)"
    func end(of trouble: muster_server_trouble) -> String {
        guard trouble.signal != 0 else { return "left with exit status \(trouble.exit_code)" }
        return "was killed by signal \(trouble.signal) "
            + "(\(String(cString: muster_signal_name(trouble.signal))))"
    }
}

extension TeamCore {
    /// Takes note of a server's end, once: the next start of a rank brings a new server.
    func noteServerDeath(_ losses: inout Losses) {
        var trouble = muster_server_trouble()
        guard muster_team_server_trouble(team, &trouble), trouble.lost != 0,
            trouble.serial != losses.serverSerial
        else { return }
        losses.serverSerial = trouble.serial
        losses.serverDeaths.append(
            trouble.died != 0
                ? ranks.end(of: trouble) : "was given up (\(statusText(trouble.status)))")
    }

    /// The error where ranks died because the server did; nil: it didn't.
    func serverDeath(_ report: AuditReport) -> MusterError? {
        guard let end = report.serverDeaths.last else { return nil }
        let lost = report.deaths.count
        return MusterError(
            .serverDied, subject: ranks.serverSubject,
            reason:
                "\(end), and \(lost == 1 ? "its 1 rank" : "its \(lost) ranks") with it; "
                + "\(report.missingCount) of \(report.chunks) chunks are missing",
            report: report)
    }

    /// The error for a kernel that no other process can find.
    func unknownToServer(_ type: any _Work.Type) -> MusterError {
        MusterError(
            .kernelUnknown, subject: "\(type)",
            reason:
                "ranks of a fork server can't find this type, since it is private and generic, or "
                + "private and in a library: make it internal or public, or start the team by fork")
    }
}

extension KernelTable {
    /// How another process of this program finds a type.
    static func lookupAcross<Work: _Work>(_ type: Work.Type, isOther: Bool) -> KernelLookup {
        let (metadata, witnesses) = words(of: type)
        let places = [metadata, witnesses].map {
            muster_program_offset(UnsafeRawPointer(bitPattern: $0))
        }
        if !isOther, isComplete(metadata), places.allSatisfy({ $0 >= 0 }) {
            return .program(UInt(places[0]), UInt(places[1]))
        }
        if let name = _mangledTypeName(type), let found = _typeByName(name),
            ObjectIdentifier(found) == ObjectIdentifier(type)
        {
            return .name(Array(name.utf8))
        }
        return .nowhere
    }

    /// The type whose metatype's words lie at these places of the program's image; nil: no place in it.
    static func type(places: (UInt, UInt)) -> (any _Work.Type)? {
        guard
            let metadata = muster_program_address(Int64(truncatingIfNeeded: places.0)),
            let witnesses = muster_program_address(Int64(truncatingIfNeeded: places.1))
        else { return nil }
        return type(words: (UInt(bitPattern: metadata), UInt(bitPattern: witnesses)))
    }
}
