// LaunchPlan.swift - what a launch is asked to do, and what became of it.

internal import MusterCore
package import Muster

/// What is to be started, where, and what a death means.
package struct LaunchPlan: Sendable {
    /// What follows when a rank fails: exits with another status than 0, or is killed.
    package enum OnDeath: String, Sendable, CaseIterable {
        /// All others are ended.
        case kill
        /// The others go on without it.
        case `continue`
        /// It is started again, up to a limit; then as `kill`.
        case restart
    }

    /// A program and its arguments.
    package enum Command: Sendable {
        /// The last so many arguments of this process: taken from there, they need not be UTF-8.
        case ownArguments(count: Int)
        case words([String])

        /// The program as it was named.
        package var program: String {
            switch self {
            case .ownArguments(let count): OwnArguments.words.suffix(count).first ?? ""
            case .words(let words): words.first ?? ""
            }
        }
    }

    package var command: Command
    /// Ranks.
    package var size: Int
    /// The launcher that started this one.
    package var outer: OuterLauncher
    package var binding: Binding = .spread
    /// Policy of each process's own memory; nil: as this process's.
    package var placement: Placement?
    /// Programs check their loops: MUSTER_CHECK=1.
    package var checks = false
    /// Each line begins with its rank.
    package var tagsOutput = false
    /// A file for each rank and stream here, in place of this process's own output.
    package var outputDirectory: String?
    /// Seconds until everything is ended; nil: never.
    package var timeout: Double?
    package var onDeath: OnDeath = .kill
    /// How often each rank is started again.
    package var restarts = 3
    /// Seconds between the signal that asks programs to end and the one that ends them.
    package var grace = 0.5
    /// Chunks of verified loops that are recorded, a rank; 0: none.
    package var timelineEvents = 0

    /// A plan with defaults.
    package init(_ command: Command, size: Int, outer: OuterLauncher) {
        self.command = command
        self.size = size
        self.outer = outer
    }

    /// The number of a rank across all hosts.
    package func globalRank(_ rank: Int) -> Int { outer.hostRank * size + rank }
    /// Ranks of all hosts.
    package var globalSize: Int { outer.hostSize * size }
}

/// What became of a launch.
package struct LaunchReport: Sendable {
    /// How a process ended.
    package struct Exit: Sendable {
        package let pid: Int
        /// From 1; one more with each restart.
        package let incarnation: Int
        /// What it exited with; nil: a signal killed it.
        package let code: Int?
        /// The signal that killed it.
        package let signal: Int?
        /// How the process ended that had joined as this rank, where that is not the one that was
        /// started; nil: it ended well, or there was none.
        package var lostMember: MemberEnd?
        /// Since the launch.
        package let seconds: Double
        /// When it, or its member before it, ended.
        package var failedSeconds: Double
        /// What its member has noted of the signal that ended it; nil: nothing.
        package var lastWords: LastWords?

        package var isFailure: Bool { code != 0 || lostMember != nil }
        /// As a shell shows it: 128 + signal for a killed process.
        package var status: Int {
            // The process that started the member may be asked or made to end since it died.
            if let lostMember, code ?? 0 == 0 { return lostMember.status }
            return signal.map { 128 + $0 } ?? code!
        }
    }

    /// How a process ended that is not a child of the launcher.
    package enum MemberEnd: Sendable, Equatable {
        case exited(Int)
        case killed(signal: Int)
        /// Before Linux 6.15, when somebody else has reaped it by the time one looks.
        case unknown

        /// As a shell shows it; SIGKILL's where it is not known.
        package var status: Int {
            switch self {
            case .exited(let code): code
            case .killed(let signal): 128 + signal
            case .unknown: 137
            }
        }
    }

    /// What a member has noted of the signal that ended it (`muster_launcher_last_words`). Texts are as
    /// that process has written them.
    package struct LastWords: Sendable {
        /// A kernel touched what is not its chunk's, and check mode has found it.
        package let isStray: Bool
        /// Why the system refused to protect memory; nil: it didn't.
        package let refusal: String?
        /// The address that was touched; nil: the signal has none.
        package let address: UInt?
        package let isStackOverflow: Bool
        /// The loop that it was in, and the chunk in work with its indices.
        package let loop: String?
        package let chunk: Int?
        package let indices: Range<Int>?
        /// "wrote element 9 of array "x", right beyond its chunk 0..<9"; empty: nothing of an array.
        package let deed: String
        /// Bytes that were found changed when the chunk had ended; 0: the instruction is known.
        package let foundBytes: Int
        /// Functions and lines; empty: not known.
        package let place: String
        /// The last words of a runtime; empty: none.
        package let said: String
        /// The same for deaths by one signal at one place.
        let kind: UInt64
        /// The rank of which the same has been told already; nil: none.
        package var toldOf: Int?
    }

    /// A rank.
    package struct Rank: Sendable {
        package let rank: Int
        package let globalRank: Int
        package let seat: Seat
        /// Its processes, in their order.
        package var exits: [Exit] = []
        /// Whether one of them has joined the team.
        package var hasJoined = false
    }

    /// A process that asked for a rank and did not get it.
    package struct Refusal: Sendable {
        package let rank: Int
        package let pid: Int
        /// Positive, as in errno.
        package let errorNumber: Int
        package let reason: String
    }

    /// Why everything was ended before it had come to its own end.
    package enum Cause: Sendable, Equatable {
        /// A rank failed, and `onDeath` says that all others end.
        case failure(rank: Int)
        /// A signal to the launcher.
        case signal(Int)
        case timeout
        /// Nobody reads the output any more.
        case closedOutput
        /// The output can't be written; positive, as in errno.
        case output(Int)
    }

    package var ranks: [Rank] = []
    package var refusals: [Refusal] = []
    package var cause: Cause?
    /// The rank that failed first and was not started again.
    package var firstFailure: Int?
    /// Of all verified loops, by name.
    package var loops: [LaunchAudit] = []
    /// Loops that a rank has begun and, though it ended well, never ended: nobody audited them.
    package var unended: [Unended] = []
    /// Of all verified loops; nil: not asked for.
    package var timeline: Timeline?
    /// Why there is none though it was asked for.
    package var timelineProblem: MusterError?
    package var seconds = 0.0

    /// A loop that was not ended, and the rank that was in it.
    package struct Unended: Sendable {
        package let rank: Int
        package let name: String
    }

    /// "SIGINT"
    package static func name(signal: Int) -> String {
        String(cString: muster_signal_name(Int32(clamping: signal)))
    }

    /// Every verified loop was ended, and committed each chunk exactly once.
    package var auditIsClean: Bool {
        unended.isEmpty && loops.allSatisfy { $0.report.failedLoops == 0 }
    }

    /// What the launcher exits with. nil: by SIGPIPE, as programs end whose output nobody reads.
    package var exitStatus: Int? {
        switch cause {
        case .closedOutput: return nil
        case .output: return 2
        case .timeout: return 124
        case .signal(let number):
            // Programs that take a signal as a request and end well have ended well.
            if ranks.contains(where: { $0.exits.last?.isFailure ?? true }) { return 128 + number }
        case .failure, nil:
            if let rank = firstFailure, let exit = ranks[rank].exits.last { return exit.status }
        }
        return auditIsClean ? 0 : 1
    }
}

/// What the audits of all loops of one name amount to (`muster_launcher_audited`).
package struct LaunchAudit: Sendable {
    package let name: String
    /// A sum; `loops` is 0 where a death has ended each of them.
    package let report: AuditReport
}
