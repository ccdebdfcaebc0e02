// Caller.swift - what an error tells its reader to write, in the language that they write.

/// The language of a team's caller. Each remedy that names a function or an option is one property here,
/// so that a C programmer never reads a name of Swift's.
enum Caller: CaseIterable {
    case swift, c

    /// The line that a program with a fork server needs.
    var serve: String {
        switch self {
        case .swift: "Team.serveIfAsked()"
        case .c: "muster_leader_serve()"
        }
    }

    /// The same where it has not been reached, with what does it by itself.
    var serveFirst: String {
        switch self {
        case .swift: "\(serve) the first line of main, or the program a TeamProgram"
        case .c: "\(serve) the first line of main"
        }
    }

    /// Starting ranks by a fork server.
    var askForServer: String {
        switch self {
        case .swift: "start: .forkServer"
        case .c: "start = MUSTER_START_SERVER"
        }
    }

    /// A loop that redoes nothing.
    var failInsteadOfRedo: String {
        switch self {
        case .swift: "recovery: .fail"
        case .c: "recovery = MUSTER_RECOVERY_FAIL"
        }
    }

    /// Copying a mirrored array to its nodes again.
    var mirror: String {
        switch self {
        case .swift: "mirror() on the array"
        case .c: "muster_array_mirror on the array"
        }
    }
}
