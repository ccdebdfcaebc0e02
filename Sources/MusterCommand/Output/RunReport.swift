// RunReport.swift - what `muster run` has to say at the end: lines for people, and `muster.run/1`.

@preconcurrency import Glibc
import Muster
import MusterLaunch

enum RunReport {
    /// "exited with status 3", "was killed by signal 9 (SIGKILL)"
    static func words(_ exit: LaunchReport.Exit) -> String {
        func killed(_ signal: Int) -> String {
            "was killed by signal \(signal) (\(name(signal: signal)))"
                + (exit.lastWords.map(words) ?? limits[signal] ?? perhapsByLimit(signal))
        }
        if let member = exit.lostMember, exit.code ?? 0 == 0 {
            let what = "has lost the process that had joined"
            switch member {
            case .killed(let signal): return "\(what): it \(killed(signal))"
            case .exited(let code): return "\(what): it exited with status \(code)"
            case .unknown: return what
            }
        }
        return exit.signal.map(killed) ?? "exited with status \(exit.code ?? 0)"
    }

    /// What follows "was killed by signal 11 (SIGSEGV)".
    private static func words(_ last: LaunchReport.LastWords) -> String {
        if let rank = last.toldOf { return ", as rank \(rank) was" }
        let loop = last.loop.map { "loop \"\(Output.plain($0))\"" }
        if let refusal = last.refusal {
            return ": \(loop ?? "its loop") can't be checked: the system refuses to protect its "
                + "memory (limits: vm.max_map_count): \(refusal)"
        }
        let chunk = last.chunk.map { number in
            "chunk \(number)" + (last.indices.map { " (indices \($0))" } ?? "")
                + (loop.map { " of \($0)" } ?? "")
        }
        var text: String
        if !last.deed.isEmpty {
            text = " when \(chunk ?? "it") \(Output.plain(last.deed))"
            if last.foundBytes > 0 {
                text += " (\(last.foundBytes) bytes, found when the chunk had ended)"
            }
            if !last.place.isEmpty { text += ", in \(Output.plain(last.place))" }
        } else {
            text =
                last.isStackOverflow
                ? ", a stack overflow"
                : last.address.map { " at address 0x\(String($0, radix: 16))" } ?? ""
            if !last.place.isEmpty { text += " in \(Output.plain(last.place))" }
            if let chunk { text += ", in \(chunk)" } else if let loop { text += ", in \(loop)" }
        }
        // More follows: "ending the others".
        let said = last.said.hasSuffix(".") ? String(last.said.dropLast()) : last.said
        return text + (said.isEmpty ? "" : ": \(Output.plain(said))")
    }

    /// A hard limit on CPU time kills without a sign, and the programs have this process's.
    private static func perhapsByLimit(_ signal: Int) -> String {
        var limit = rlimit()
        guard signal == Int(SIGKILL),
            getrlimit(__rlimit_resource_t(RLIMIT_CPU.rawValue), &limit) == 0,
            limit.rlim_max < UInt(Int.max)
        else { return "" }
        return
            ": the kernel does so, too, to a program that has used \(limit.rlim_max) s of CPU time "
            + "(ulimit -Ht)"
    }

    /// Signals that a resource limit sends, which the program alone can have met.
    private static let limits = [
        Int(SIGXFSZ): ": it wrote more to a file than RLIMIT_FSIZE allows (ulimit -f)",
        Int(SIGXCPU): ": it used more CPU time than RLIMIT_CPU allows (ulimit -t)",
    ]

    /// "SIGINT"
    static func name(signal: Int) -> String { LaunchReport.name(signal: signal) }

    /// A line for each verified loop's name.
    static func audits(_ report: LaunchReport) -> [String] {
        let width = (report.loops.map(\.name) + report.unended.map(\.name)).map(\.count).max() ?? 0
        func line(_ name: String, _ verdict: String) -> String {
            let name = Output.plain(name)
            let padding = String(repeating: " ", count: max(0, width - name.count))
            return "audit  \(name)\(padding)  \(verdict)"
        }
        let open = Dictionary(grouping: report.unended, by: \.name).sorted { $0.key < $1.key }
        let audited = report.loops.filter { $0.report.loops > 0 }
        let interrupted = report.loops.compactMap { loop in
            loop.report.interruption.map { line(loop.name, interruption($0)) }
        }
        return audited.map { line($0.name, $0.report.description) } + interrupted
            + open.map { name, ranks in
                let numbers = ranks.map { String($0.rank) }.joined(separator: ", ")
                return line(
                    name,
                    "begun and never ended by \(ranks.count == 1 ? "rank" : "ranks") \(numbers): not "
                        + "audited")
            }
    }

    /// "interrupted, rank 2 was gone: 120 of 256 chunks committed, not audited"
    private static func interruption(_ of: AuditReport.Interruption) -> String {
        let gone = of.rank.map { "rank \($0) was gone" } ?? "a rank was gone"
        if of.committed == of.chunks && of.chunks > 0 {
            let times = of.loops == 1 ? "" : "\(of.loops) times; the last time "
            let all = of.chunks == 1 ? "its 1 chunk" : "all \(of.chunks) chunks"
            return "interrupted \(times)after \(all) had been committed: \(gone) before the audit"
        }
        let rank = of.rank.map { ", rank \($0) was gone" } ?? " by a death"
        let chunks = of.chunks == 1 ? "1 chunk" : "\(of.chunks) chunks"
        return
            (of.loops == 1
            ? "interrupted\(rank): " : "interrupted \(of.loops) times; the last time\(rank): ")
            + "\(of.committed) of \(chunks) committed, not audited"
    }
}

/// `muster.run/1`
struct RunJSON: Encodable, Sendable {
    struct Variable: Encodable, Sendable {
        let name: String
        let value: Int
        let launcher: String
    }
    struct Host: Encodable, Sendable {
        let rank: Int
        let size: Int
        let variables: [Variable]
    }
    struct Exit: Encodable, Sendable {
        let pid: Int
        let incarnation: Int
        @OrNull var exit_code: Int?
        @OrNull var signal: Int?
        let lost_member: Bool
        @OrNull var member_exit_code: Int?
        @OrNull var member_signal: Int?
        let elapsed_s: Double
        @OrNull var crash: Crash?
    }
    struct Crash: Encodable, Sendable {
        let stray_access: Bool
        @OrNull var loop: String?
        @OrNull var chunk: Int?
        @OrNull var deed: String?
        @OrNull var place: String?
        @OrNull var said: String?
        @OrNull var address: String?
        let stack_overflow: Bool
        @OrNull var unchecked: String?
    }
    struct Rank: Encodable, Sendable {
        let rank: Int
        let global_rank: Int
        @OrNull var cpu: Int?
        let node: Int
        let joined: Bool
        let restarts: Int
        let exits: [Exit]
    }
    struct Refusal: Encodable, Sendable {
        let rank: Int
        let pid: Int
        let reason: String
    }
    struct Loop: Encodable, Sendable {
        let name: String
        let audit: AuditJSON
    }

    struct Interrupted: Encodable, Sendable {
        let name: String
        let loops: Int
        let chunks: Int
        let committed: Int
        @OrNull var rank: Int?
    }

    struct Unended: Encodable, Sendable {
        let name: String
        let rank: Int
    }

    let command: [String]
    let size: Int
    let global_size: Int
    let host: Host
    let binding: String
    @OrNull var placement: String?
    let on_death: String
    let exit_status: Int
    @OrNull var ended_by: String?
    let elapsed_s: Double
    let ranks: [Rank]
    let refused: [Refusal]
    let verified_loops: [Loop]
    let interrupted_loops: [Interrupted]
    let unended_loops: [Unended]
    @OrNull var timeline: TimelineShare?
    /// Why the exit status is not 0, in words: not among its own keys, since it comes first.
    let error: String?

    enum CodingKeys: CodingKey {
        case command, size, global_size, host, binding, placement, on_death, exit_status, ended_by
        case elapsed_s, ranks, refused, verified_loops, interrupted_loops, unended_loops, timeline
    }

    init(
        _ plan: LaunchPlan, _ report: LaunchReport, command: [String], _ timeline: TimelineShare?
    ) {
        self.timeline = timeline
        self.command = command.map(\.jsonName)
        size = plan.size
        global_size = plan.globalSize
        host = Host(
            rank: plan.outer.hostRank, size: plan.outer.hostSize,
            variables: plan.outer.variables.map {
                Variable(name: $0.name, value: $0.value, launcher: $0.launcher)
            })
        binding = plan.binding.description
        placement = plan.placement?.description
        on_death = plan.onDeath.rawValue
        exit_status = report.exitStatus ?? 141
        elapsed_s = report.seconds
        ranks = report.ranks.map { rank in
            Rank(
                rank: rank.rank, global_rank: rank.globalRank, cpu: rank.seat.cpu,
                node: rank.seat.homeNode, joined: rank.hasJoined,
                restarts: max(0, rank.exits.count - 1),
                exits: rank.exits.map(Exit.init))
        }
        refused = report.refusals.map { Refusal(rank: $0.rank, pid: $0.pid, reason: $0.reason) }
        interrupted_loops = report.loops.compactMap { loop in
            loop.report.interruption.map {
                Interrupted(
                    name: loop.name, loops: $0.loops, chunks: $0.chunks, committed: $0.committed,
                    rank: $0.rank)
            }
        }
        verified_loops = report.loops.filter { $0.report.loops > 0 }.map {
            Loop(name: $0.name, audit: AuditJSON($0.report))
        }
        unended_loops = report.unended.map { Unended(name: $0.name, rank: $0.rank) }
        let endedBy: String? =
            switch report.cause {
            case .failure: "failure"
            case .signal(let number): RunReport.name(signal: number)
            case .timeout: "timeout"
            case .closedOutput: "closed output"
            case .output: "output"
            case nil: nil
            }
        ended_by = endedBy
        error = RunJSON.error(report, endedBy)
    }

    private static func error(_ report: LaunchReport, _ endedBy: String?) -> String? {
        if report.exitStatus == 0 { return nil }
        switch report.cause {
        case .failure, nil:
            if let rank = report.firstFailure, let exit = report.ranks[rank].exits.last {
                return "rank \(rank) \(RunReport.words(exit))"
            }
        default: break
        }
        return endedBy.map { "ended by \($0)" }
            ?? (report.unended.isEmpty
                ? "an audit failed" : "a loop was never ended, so not audited")
    }
}

extension RunJSON.Exit {
    init(_ exit: LaunchReport.Exit) {
        pid = exit.pid
        incarnation = exit.incarnation
        lost_member = exit.lostMember != nil
        elapsed_s = exit.seconds
        exit_code = exit.code
        signal = exit.signal
        var member: (code: Int?, signal: Int?)
        switch exit.lostMember {
        case .exited(let code): member.code = code
        case .killed(let signal): member.signal = signal
        case .unknown, nil: break
        }
        member_exit_code = member.code
        member_signal = member.signal
        crash = exit.lastWords.map(RunJSON.Crash.init)
    }
}

extension RunJSON.Crash {
    init(_ last: LaunchReport.LastWords) {
        func text(_ text: String) -> String? { text.isEmpty ? nil : text }
        stray_access = last.isStray
        loop = last.loop
        chunk = last.chunk
        deed = text(last.deed)
        place = text(last.place)
        said = text(last.said)
        address = last.address.map { "0x" + String($0, radix: 16) }
        stack_overflow = last.isStackOverflow
        unchecked = last.refusal
    }
}
