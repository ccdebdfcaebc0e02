// Launch.swift - starts a program as the ranks of a team, and ends all that came of it.
//
// Invariant: a process is reaped here and nowhere else, so a pid in `processes` is never another's;
// and `run` only returns or throws once no descendant of this process is left.

internal import MusterCore
package import Muster
internal import MusterCore.Supervision
@preconcurrency internal import Glibc

/// One launch: made, run once.
package final class Launch {
    /// Something that a person may want to know, while it happens.
    package enum Event {
        case unbound(rank: Int, errorNumber: Int)
        case refused(LaunchReport.Refusal)
        case failed(rank: Int, LaunchReport.Exit, Consequence)
        case signalled(Int)
        case timedOut(seconds: Double)
        /// What is left is being killed: it had its time, or a second signal asked for it.
        case killed(isAsked: Bool)
    }

    /// What follows from a rank's failure.
    package enum Consequence {
        case othersEnd
        case othersGoOn
        case restart(left: Int)
    }

    /// The processes of a rank: the one that was started, and the one that has joined, which may be a
    /// child of it.
    struct Process {
        /// 0: none.
        var pid: Int32 = 0
        /// From 1; 0: never started.
        var incarnation: Int32 = 0
        /// The process that has joined and has not left; 0: none.
        var member: Int32 = 0
        /// How a member died that was not `pid`; nil: none did.
        var lostMember: LaunchReport.MemberEnd?
        /// Since the launch.
        var lostSeconds = 0.0
        /// When `pid` is killed since its member died; nil: not at all.
        var killAt: UInt64?
        /// `pid` has ended so, and `member` has not yet.
        var exit: LaunchReport.Exit?
        /// What the member has noted of its end.
        var lastWords: LaunchReport.LastWords?

        var isOver: Bool { pid == 0 && exit == nil }
    }

    let plan: LaunchPlan
    /// Words for an event, one line to be said on stderr; nil: nothing is said.
    let words: (Event) -> String?
    var report = LaunchReport()
    var processes: [Process]
    let supervisor: OpaquePointer
    let relay: OpaquePointer
    let environment: LaunchEnvironment
    let team: LaunchTeam
    let started = monotonicNanoseconds()
    /// When what is still there gets SIGKILL; nil: nothing is being ended.
    var killAt: UInt64?
    var hasKilled = false
    /// Since Ctrl-Z: no time-out is looked at.
    var isStopped = false
    /// Signals that have asked for the end.
    var requests = 0
    /// Whether even what is written, but not yet read by others, is not waited for.
    var isUrgent = false
    var isUnboundSaid = false
    /// The ranks whose deaths were told of first, by their kind.
    var told: [UInt64: Int] = [:]
    /// The policy of each process's own memory; nil: as this process's.
    let policy: muster_placement?

    /// - Throws: `.invalidArgument` for a binding that can't be; `.system`.
    package init(_ plan: LaunchPlan, words: @escaping (Event) -> String?) throws(MusterError) {
        self.plan = plan
        self.words = words
        let seats = try plan.binding.seats(size: plan.size)
        policy = try plan.placement?.checkedRaw()
        report.ranks = seats.enumerated().map { rank, seat in
            LaunchReport.Rank(rank: rank, globalRank: plan.globalRank(rank), seat: seat)
        }
        processes = Array(repeating: Process(), count: plan.size)
        environment = LaunchEnvironment()
        var supervisor: OpaquePointer?
        var relay: OpaquePointer?
        var status = muster_supervisor_create(&supervisor)
        if status == 0 { status = muster_relay_create(1, 2, &relay) }
        guard let supervisor, let relay, status == 0 else {
            muster_supervisor_destroy(supervisor)
            throw Self.supervisorError(status)
        }
        self.supervisor = supervisor
        self.relay = relay
        do {
            team = try LaunchTeam(plan, seats: seats)
        } catch {
            muster_relay_destroy(relay)
            muster_supervisor_destroy(supervisor)
            throw error
        }
    }

    deinit {
        muster_relay_destroy(relay)
        muster_supervisor_destroy(supervisor)
    }

    /// Starts every rank, and waits for the end of all.
    ///
    /// - Throws: `.start` for a program that can't be executed (its error number tells why), or a
    ///   host that gives no more processes; `.placement`; `.file` for the output's directory. No
    ///   process is left then.
    package func run() throws(MusterError) -> LaunchReport {
        do throws(MusterError) {
            try checkFiles()
            for rank in 0..<plan.size where report.cause == nil {
                try start(rank)
                takeSignals()
            }
            muster_relay_seal(relay)
            // A rank that ended meanwhile has been told of above, and is told of once.
            try reap()
            while try !isOver() { try turn() }
        } catch {
            abandon()
            throw error
        }
        report.loops = try team.audits()
        // A rank that was killed or failed is told of by its status.
        let endedWell = report.ranks.filter { $0.exits.last.map { !$0.isFailure } ?? false }
        report.unended = try team.unended(endedWell.map(\.rank))
        report.seconds = seconds
        do throws(MusterError) {
            report.timeline = try team.timeline(of: report.ranks, since: started)
        } catch {
            report.timelineProblem = error  // all else is as true without it
        }
        return report
    }

    // MARK: - Starting

    /// Sees before anything is started whether there are descriptors for all of it: the ends of pipes
    /// that stay here for each rank, and those that starting one takes for a moment.
    func checkFiles() throws(MusterError) {
        let pipes = plan.outputDirectory != nil ? 0 : muster_relay_is_one(relay) ? 1 : 2
        var shortage = muster_shortage()
        let status = muster_limits_files(UInt64(plan.size * pipes + 8), &shortage)
        guard status == 0 else {
            throw .system(
                .start, "a team of \(plan.size)", "can't be started", status: status, shortage)
        }
    }

    func start(_ rank: Int) throws(MusterError) {
        var outputs: [Int32] = [-1, -1]
        defer { for fd in Set(outputs) where fd >= 0 { muster_supervisor_close(fd) } }
        if let directory = plan.outputDirectory {
            for (index, stream) in ["stdout", "stderr"].enumerated() {
                let path = "\(directory)/\(plan.globalRank(rank)).\(stream)"
                outputs[index] = try openOutput(path, isFirst: processes[rank].incarnation == 0)
            }
        } else {
            let tag = plan.tagsOutput ? "[\(plan.globalRank(rank))] " : nil
            try open(&outputs[0], to: MUSTER_RELAY_OUTPUT, tag)
            // One pipe for both keeps their order, where both end up in one file.
            if muster_relay_is_one(relay) {
                outputs[1] = outputs[0]
            } else {
                try open(&outputs[1], to: MUSTER_RELAY_ERRORS, tag)
            }
        }
        let input = try openInput(rank)
        defer { if input != 0 { muster_supervisor_close(input) } }

        let seat = report.ranks[rank].seat
        var step: UInt32 = 0
        var stepStatus: Int32 = 0
        let incarnation = processes[rank].incarnation + 1
        let variables = variables(of: rank, seat, incarnation)
        let pid = environment.with(variables, plan.command) { arguments, environment in
            var program = muster_program()
            program.name = arguments[0]
            program.arguments = arguments
            program.environment = environment
            program.input = input
            program.output = outputs[0]
            program.errors = outputs[1]
            program.cpu = seat.cpu.map { UInt32($0) } ?? .max
            program.home = UInt32(seat.homeNode)
            guard var placement = policy else {
                return muster_supervisor_start(supervisor, &program, &step, &stepStatus)
            }
            return withUnsafePointer(to: &placement) {
                program.placement = $0
                return muster_supervisor_start(supervisor, &program, &step, &stepStatus)
            }
        }
        guard pid > 0 else { throw startError(rank, pid, step, stepStatus) }
        processes[rank] = Process(pid: pid, incarnation: incarnation)
        if step == MUSTER_STEP_CPU.rawValue && !isUnboundSaid {
            isUnboundSaid = true
            say(.unbound(rank: rank, errorNumber: Int(-stepStatus)))
        }
    }

    func open(
        _ writer: inout Int32, to destination: some BinaryInteger, _ tag: String?
    ) throws(MusterError) {
        let status = muster_relay_open(relay, UInt32(destination), tag, &writer)
        guard status == 0 else {
            throw cannotStart("a pipe for output", "can't be made", status)
        }
    }

    /// Standard input of a rank: this process's own for rank 0, by way of a pipe where it is a
    /// terminal, since only its foreground processes may read from that.
    func openInput(_ rank: Int) throws(MusterError) -> Int32 {
        if rank == 0 {
            guard muster_supervisor_is_terminal(0) else { return 0 }
            var reader: Int32 = -1
            let status = muster_relay_feed(relay, 0, &reader)
            guard status == 0 else {
                throw cannotStart("a pipe for input", "can't be made", status)
            }
            return reader
        }
        let nothing = muster_supervisor_open_nothing()
        guard nothing >= 0 else {
            throw cannotStart("/dev/null", "can't be opened", nothing)
        }
        return nothing
    }

    func openOutput(_ path: String, isFirst: Bool) throws(MusterError) -> Int32 {
        // A rank that is started again goes on behind what it wrote before.
        let fd = path.withFileName { muster_supervisor_open_output($0, !isFirst) }
        guard fd >= 0 else { throw .system(.file, path, "can't be opened", status: fd) }
        return fd
    }

    func variables(of rank: Int, _ seat: Seat, _ incarnation: Int32) -> [String] {
        var variables = [
            "\(MUSTER_VARIABLE_RANK)=\(rank)",
            "\(MUSTER_VARIABLE_SIZE)=\(plan.size)",
            "\(MUSTER_VARIABLE_LOCAL_RANK)=\(rank)",
            "\(MUSTER_VARIABLE_NODE)=\(seat.homeNode)",
            "\(MUSTER_VARIABLE_GLOBAL_RANK)=\(plan.globalRank(rank))",
            "\(MUSTER_VARIABLE_GLOBAL_SIZE)=\(plan.globalSize)",
            "\(MUSTER_VARIABLE_INCARNATION)=\(incarnation)",
            "\(MUSTER_VARIABLE_TEAM)=\(team.address)",
        ]
        if let cpu = seat.cpu { variables.append("\(MUSTER_VARIABLE_CPU)=\(cpu)") }
        if plan.checks { variables.append("MUSTER_CHECK=1") }
        return variables
    }

    func startError(
        _ rank: Int, _ status: Int32, _ step: UInt32, _ stepStatus: Int32
    ) -> MusterError {
        guard status == -ECHILD else {
            return cannotStart("rank \(rank)", "can't be started", status)
        }
        switch step {
        case MUSTER_STEP_PROGRAM.rawValue:
            return Self.programError(plan.command.program, stepStatus)
        case MUSTER_STEP_PLACEMENT.rawValue:
            let placement = plan.placement?.description ?? ""
            return .system(
                .placement, "placement \(placement)", "refused to rank \(rank)", status: stepStatus)
        default:
            return cannotStart("rank \(rank)", "can't be started", stepStatus)
        }
    }

    func cannotStart(_ subject: String, _ what: String, _ status: Int32) -> MusterError {
        .system(.start, subject, what, status: status, needed: 1, processes: true)
    }

    // MARK: - Running

    /// Waits until something happens, and does what follows from it.
    func turn() throws(MusterError) {
        let descriptors = [
            muster_supervisor_descriptor(supervisor), muster_relay_descriptor(relay),
            team.descriptor,
        ]
        var ready: UInt64 = 0
        // A shell that brings this into the foreground tells nobody.
        let isInBackground = muster_relay_feed_again(relay)
        let status = muster_supervisor_wait(
            descriptors, UInt32(descriptors.count),
            isInBackground ? (pollTimeout < 0 ? 200 : min(200, pollTimeout)) : pollTimeout, &ready)
        guard status == 0 else {
            throw .system(.system, "muster run", "can't wait", status: status)
        }
        takeSignals()
        try passOn()
        try serveTeam()
        try reap()
        keepTime()
    }

    func serveTeam() throws(MusterError) {
        let before = seconds  // of what others do about it
        for event in try team.serve() {
            switch event {
            case .joined(let rank, let pid):
                processes[rank].member = pid
                report.ranks[rank].hasJoined = true
            case .refused(let refusal):
                report.refusals.append(refusal)
                say(.refused(refusal))
            case .left(let rank):
                processes[rank].member = 0
                try settle(rank)
            case .died(let rank, let pid, let end, let lastWords):
                processes[rank].member = 0
                processes[rank].lastWords = lastWords
                let isStarted = pid == processes[rank].pid || processes[rank].exit?.pid == Int(pid)
                if !isStarted && end == .exited(0) {
                    // The process that started it may go on for long: the others recover without it
                    // now.
                    team.lose(rank)
                } else if !isStarted && processes[rank].exit?.isFailure != true {
                    processes[rank].lostMember = end
                    processes[rank].lostSeconds = before
                    // Shells exit by themselves when their last command dies.
                    processes[rank].killAt = monotonicNanoseconds() + 100_000_000
                }
                try settle(rank)
            }
        }
    }

    /// Milliseconds until something is due; -1: nothing is.
    var pollTimeout: Int32 {
        let ends = processes.lazy.compactMap { $0.pid > 0 ? $0.killAt : nil }.min()
        let due = [killAt, report.cause == nil ? deadline : nil, ends].compactMap { $0 }.min()
        guard let due else { return -1 }
        let moment = monotonicNanoseconds()
        return due <= moment ? 0 : Int32(clamping: (due - moment) / 1_000_000 + 1)
    }

    var deadline: UInt64? {
        isStopped ? nil : plan.timeout.map { started + nanoseconds($0) }
    }
    var seconds: Double { Double(monotonicNanoseconds() - started) * 1e-9 }

    func passOn() throws(MusterError) {
        var failed: UInt32 = 0
        let status = muster_relay_serve(relay, &failed)
        switch status {
        case 0: return
        case -EPIPE: end(.closedOutput)
        case -ENOMEM: throw .system(.memory, "output", "can't be passed on", status: status)
        default: end(.output(Int(-status)))
        }
    }

    func takeSignals() {
        while case let number = muster_supervisor_signal(supervisor), number > 0 {
            take(signal: number)
        }
    }

    func take(signal number: Int32) {
        switch number {
        case SIGCHLD: return
        case SIGUSR1, SIGUSR2: forward(number)
        case SIGTSTP:  // The guard has stopped itself.
            isStopped = true
            forward(SIGTSTP)
        case SIGKILL:  // The guard was killed: nobody waits for us any more.
            hasKilled = true
            end(.signal(Int(number)), by: number)
            killAt = monotonicNanoseconds()
        case SIGCONT:
            isStopped = false
            forward(SIGCONT)
        default:
            // The second one is meant. A terminal that goes away says so twice by itself.
            if requests > 0 && number != SIGHUP {
                requests += 1
                killAt = monotonicNanoseconds()
            } else {
                requests = 1
                say(.signalled(Int(number)))
                end(.signal(Int(number)), by: number)
            }
        }
    }

    func forward(_ number: Int32) {
        for process in processes where process.pid > 0 {
            _ = muster_supervisor_forward(supervisor, process.pid, number)
        }
    }

    func reap() throws(MusterError) {
        var pid: Int32 = 0
        var code: Int32 = 0
        var signal: Int32 = 0
        while muster_supervisor_reap(supervisor, &pid, &code, &signal) == 1 {
            guard let rank = processes.firstIndex(where: { $0.pid == pid }) else { continue }
            // What it wrote last, which fits into its pipe, comes before any word on its end.
            try passOn()
            processes[rank].pid = 0
            processes[rank].exit = LaunchReport.Exit(
                pid: Int(pid), incarnation: Int(processes[rank].incarnation),
                code: signal == 0 ? Int(code) : nil, signal: signal == 0 ? nil : Int(signal),
                lostMember: nil, seconds: seconds, failedSeconds: seconds)
            // That it has left, if it did, is known before its end is judged.
            try serveTeam()
            if processes[rank].member == pid { processes[rank].member = 0 }
            // A member may outlive the process that has started it, if that one ended well.
            if code != 0 || signal != 0 { team.kill(rank) }
            // What it has left in its process group would run next to its successor.
            if plan.onDeath == .restart && (code != 0 || signal != 0) {
                _ = muster_supervisor_forward(supervisor, pid, SIGKILL)
            }
            try settle(rank)
        }
    }

    /// What follows, once both processes of a rank have ended.
    func settle(_ rank: Int) throws(MusterError) {
        guard var exit = processes[rank].exit, processes[rank].member == 0 else { return }
        if let lostMember = processes[rank].lostMember {
            exit.lostMember = lostMember
            exit.failedSeconds = processes[rank].lostSeconds
        }
        if var lastWords = processes[rank].lastWords {
            lastWords.toldOf = told[lastWords.kind]
            if told[lastWords.kind] == nil { told[lastWords.kind] = rank }
            exit.lastWords = lastWords
        }
        processes[rank].exit = nil
        report.ranks[rank].exits.append(exit)
        if exit.isFailure {
            try fail(rank, exit)
        } else {
            team.lose(rank)
        }
    }

    func fail(_ rank: Int, _ exit: LaunchReport.Exit) throws(MusterError) {
        let left = plan.restarts - Int(exit.incarnation) + 1
        // Its kernel is wrong: any process that did the chunk again would do the same.
        let isWrong = exit.lastWords?.isStray ?? false
        if report.cause != nil {
            team.lose(rank)
        } else if plan.onDeath == .restart && left > 0 && !isWrong {
            say(.failed(rank: rank, exit, .restart(left: left - 1)))
            guard team.reopen(rank) else {
                throw MusterError(
                    .start, subject: "rank \(rank)", reason: "can't be started again: it is held")
            }
            try start(rank)
        } else {
            report.firstFailure = report.firstFailure ?? rank
            team.lose(rank)
            let goOn = plan.onDeath == .continue && !isWrong
            say(.failed(rank: rank, exit, goOn ? .othersGoOn : .othersEnd))
            if !goOn { end(.failure(rank: rank)) }
        }
    }
}

func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(seconds * 1e9) }
