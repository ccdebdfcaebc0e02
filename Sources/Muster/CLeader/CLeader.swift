// CLeader.swift - the functions of muster/leader.h: a leader in C.
//
// C owns a leader by an opaque pointer to a CLeader; arrays and the report belong to it. Mistakes of a
// C caller that would be traps in Swift are errors here, with the same words.

package import MusterCore

/// A team for C.
final class CLeader {
    let team: Team
    private(set) var arrays: [UnsafeRawPointer: CArray] = [:]
    /// The last loop's audit.
    var audit: AuditReport? { didSet { words = nil } }
    private var words: CReport?
    /// The last loop, where one like it can be run without looking at everything again.
    var repeated: CRepeatedLoop?

    init(_ team: consuming Team) { self.team = team }

    /// The audit as C reads it, made when it is asked for.
    var report: CReport? {
        if words == nil { words = audit.map(CReport.init) }
        return words
    }

    var pointer: OpaquePointer { OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }

    static func at(_ pointer: OpaquePointer) -> CLeader {
        Unmanaged<CLeader>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
    }

    /// The leader that a call was given.
    static func given(_ pointer: OpaquePointer?) throws(MusterError) -> CLeader {
        guard let pointer else { throw invalid("leader", "is NULL") }
        return at(pointer)
    }

    func add(_ array: CArray) -> OpaquePointer {
        let place = UnsafeRawPointer(Unmanaged.passUnretained(array).toOpaque())
        arrays[place] = array
        return OpaquePointer(place)
    }

    /// nil: none of this leader's.
    func array(_ pointer: OpaquePointer?) -> CArray? {
        pointer.flatMap { arrays[UnsafeRawPointer($0)] }
    }

    func remove(_ array: CArray) {
        arrays[UnsafeRawPointer(Unmanaged.passUnretained(array).toOpaque())] = nil
    }

    /// Throws where this process is a copy of the leader's.
    func checkLeader(_ subject: String) throws(MusterError) {
        guard team.core.isLeader else { throw notLeader(subject) }
    }

    /// Throws where nothing new can be made, also since the team has ended.
    func checkCanMake(_ subject: String) throws(MusterError) {
        try checkLeader(subject)
        guard !team.core.hasEnded else { throw invalid(subject, "the team has ended") }
    }
}

/// `.system` with EPERM: no other error of a leader's has that number.
func notLeader(_ subject: String) -> MusterError {
    MusterError(
        .system, subject: subject,
        reason: "this process was forked by the leader's, and only that one leads the team",
        errorNumber: EPERM)
}

func invalid(_ subject: String, _ reason: String) -> MusterError {
    MusterError(.invalidArgument, subject: subject, reason: reason, errorNumber: EINVAL)
}

/// Reads an options struct of the size that the caller was compiled with. What a shorter one of an
/// earlier version lacks is zero. (Inlined, and what throws returns nothing: of a function that throws a
/// typed error and returns a struct of 32 bytes, Swift 6.3.1 takes each return for an error when it
/// optimises.)
@inline(__always)
func options<Options: BitwiseCopyable>(
    _ pointer: UnsafePointer<Options>?, least: Int, empty: Options, _ name: String
) throws(MusterError) -> Options {
    try checkOptions(pointer, MemoryLayout<Options>.size, least: least, name)
    var options = empty
    withUnsafeMutableBytes(of: &options) {
        $0.copyMemory(
            from: .init(
                start: pointer!,
                count: Int(UnsafeRawPointer(pointer!).loadUnaligned(as: UInt32.self))))
    }
    return options
}

/// Throws where the struct's first word, its size, is none that this library knows.
@inline(never)
func checkOptions(
    _ pointer: UnsafeRawPointer?, _ most: Int, least: Int, _ name: String
) throws(MusterError) {
    guard let pointer else { throw invalid(name, "is NULL") }
    let size = Int(pointer.loadUnaligned(as: UInt32.self))
    guard size < least || size > most else { return }
    throw invalid(
        name,
        "size_bytes is \(size), and this library knows \(least) to \(most): set it to sizeof the struct"
    )
}

/// A string of C's. Bytes that are no UTF-8 become replacement characters.
func text(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

/// Runs what a C function does, and puts its error into words.
func report(
    _ error: UnsafeMutablePointer<muster_error>?, _ body: () throws(MusterError) -> Void
) -> CInt {
    do throws(MusterError) {
        try body()
        return 0
    } catch let problem {
        let code = problem.cCode
        if let error { problem.write(code, to: error) }
        return code
    }
}

extension MusterError {
    func write(_ code: Int32, to error: UnsafeMutablePointer<muster_error>) {
        var raw = muster_error()
        raw.code = code
        raw.error_number = errorNumber
        raw.kernel_status = kernelStatus
        withUnsafeMutableBytes(of: &raw.subject) { copyText(subject, to: $0) }
        withUnsafeMutableBytes(of: &raw.message) { copyText(description, to: $0) }
        error.pointee = raw
    }
}

// MARK: - Leader

@c @implementation
package func muster_leader_serve() { Team.serveIfAsked() }

@c @implementation
package func muster_leader_create(
    _ given: UnsafePointer<muster_leader_options>!, _ leader: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<muster_error>!
) -> CInt {
    report(error) { () throws(MusterError) in
        guard let leader else { throw invalid("leader", "is NULL: no place for the new one") }
        let options = try options(
            given, least: MemoryLayout<muster_leader_options>.offset(of: \.check)!,
            empty: muster_leader_options(), "leader options")
        guard let start = Team.Start(code: options.start) else {
            throw invalid("start \(options.start)", "is none of enum muster_start")
        }
        let spelled = text(options.binding) ?? "spread"
        guard let binding = Binding(spelled) else {
            throw invalid(
                "binding \(spelled)", "is none of spread, compact, none, and no list of CPUs")
        }
        guard let check = Team.Check(code: options.check) else {
            throw invalid("check \(options.check)", "is none of enum muster_check_mode")
        }
        guard let wait = Team.Wait(code: options.wait) else {
            throw invalid("wait \(options.wait)", "is none of enum muster_wait")
        }
        let server = try readServer(options)
        let team = try Team(
            size: Int(options.size), leader: options.works == 0 ? .waits : .works, binding: binding,
            start: start, wait: wait, check: check, serverProgram: server, caller: .c)
        leader.pointee = OpaquePointer(Unmanaged.passRetained(CLeader(team)).toOpaque())
    }
}

/// The program and the arguments of a server that is not this program.
private func readServer(_ options: muster_leader_options) throws(MusterError) -> [String]? {
    guard let server = options.server else { return nil }
    guard options.start == MUSTER_START_SERVER.rawValue else {
        throw invalid("server", "is for start = MUSTER_START_SERVER only: leave it NULL")
    }
    var arguments: [String] = []
    while let argument = server[arguments.count] { arguments.append(String(cString: argument)) }
    guard let path = arguments.first, !path.isEmpty else {
        throw invalid("server", "has no path: its first string is the program's")
    }
    return arguments
}

@c @implementation
package func muster_leader_end(_ leader: OpaquePointer!) {
    guard let leader, CLeader.at(leader).team.core.isLeader else { return }
    CLeader.at(leader).team.core.end()
}

@c @implementation
package func muster_leader_destroy(_ leader: OpaquePointer!) {
    // A forked process has a copy of all this: what it refers to is the leader's.
    guard let leader, CLeader.at(leader).team.core.isLeader else { return }
    Unmanaged<CLeader>.fromOpaque(UnsafeRawPointer(leader)).release()
}

@c @implementation
package func muster_leader_size(_ leader: OpaquePointer!) -> UInt32 {
    leader.map { UInt32(CLeader.at($0).team.size) } ?? 0
}

@c @implementation
package func muster_leader_process(_ leader: OpaquePointer!, _ rank: UInt32) -> CInt {
    guard let leader else { return 0 }
    let team = CLeader.at(leader).team.core
    return rank < UInt32(team.size) ? muster_team_process(team.team, rank) : 0
}

@c @implementation
package func muster_leader_cancel(_ leader: OpaquePointer!) {
    if let leader { muster_team_cancel(CLeader.at(leader).team.core.team) }
}

@c @implementation
package func muster_leader_report(_ leader: OpaquePointer!) -> UnsafePointer<muster_report>! {
    leader.flatMap { CLeader.at($0).report }.map { UnsafePointer($0.raw) }
}
