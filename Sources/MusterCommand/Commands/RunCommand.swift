// RunCommand.swift - `muster run`: any program as the ranks of a team.

import ArgumentParser
@preconcurrency import Glibc
import Muster
import MusterBench
import MusterLaunch

struct Run: ParsableCommand {
    static let schema = "muster.run/1"
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Starts any program as a team of ranks.",
        discussion: """
            Starts N processes of PROGRAM. Each finds in its environment who it is: MUSTER_RANK, \
            MUSTER_SIZE, MUSTER_LOCAL_RANK, MUSTER_NODE (its NUMA node), MUSTER_CPU, \
            MUSTER_GLOBAL_RANK, MUSTER_GLOBAL_SIZE, MUSTER_INCARNATION (above 1: started again). A \
            program that calls muster_join (C, C++, Python) or Member.join (Swift) shares arrays \
            and verified loops with the other ranks; one that does not is fine as well.

            Output is passed on line by line, no line torn, each rank's in its order. Standard \
            input goes to rank 0. INT, TERM, HUP, QUIT, USR1, USR2, TSTP and CONT are forwarded to \
            all ranks; after one of the first four, what has not ended within --grace is killed, \
            and a second one (not of HUP) kills at once. Whatever ranks have started, in the background too, ends \
            with them. The audits of all verified loops are printed on standard error at the end.

            --placement sets the policy of each process's own memory: first-touch (the kernel's \
            default), bind:NODE (only there), interleave[:NODES] (page by page), blocked (each rank \
            on its home node as long as there is room). Shared arrays have placements of their own.

            Under mpirun, srun, flux or in a Kubernetes indexed job, each `muster run` is one host: \
            global rank = host rank x N + rank. It says which variables decided. MUSTER_HOST_RANK \
            and MUSTER_HOST_SIZE come before them. With several hosts the files of --json and \
            --trace have the host's rank in their names: report.json is report.1.json on host 1.

            EXAMPLES
              muster run -n 8 -- python3 member.py
              muster run -n 4 --tag-output -- hostname
              muster run -n 4 --on-death restart --restarts 5 -- ./solver input.dat
              mpirun -n 2 muster run -n 16 -- ./solver
              muster run -n 4 --output-dir logs --timeout 60 --json report.json -- ./solver
              muster run -n 4 --trace trace.json -- ./solver

            EXIT STATUS
              0    all ranks exited with 0, and each chunk was done exactly once
              1    the ranks did, but an audit failed, or a loop was never ended
              2    ranks could not be started, or output or REPORT not written
              64   wrong usage
              124  --timeout was reached
              126  PROGRAM can't be executed
              127  there is no such PROGRAM
              128+S  signal S killed a rank (137: KILL, 139: SEGV) or ended the run
              1-255  else: what the first rank to fail exited with

            Whatever ended the run decides; what others exit with while they are being ended does \
            not count, nor does a rank that was started again. A signal to the run is the ranks' to \
            answer: if all then exit with 0, so does the run. Where a shell hides how the process \
            that had joined died, and the kernel does not say (before Linux 6.15), it is 137.
            """)

    // So that "-n -3" is a wrong number, not a missing one.
    @Option(
        name: [.customShort("n", allowingJoined: true), .customLong("ranks")],
        parsing: .unconditional,
        help: """
            Ranks of the team. (default: one for each CPU that this process may use, or of the list \
            given with --bind)
            """)
    var ranks: Int?

    @OptionGroup var place: BindingOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Policy of each process's own memory: "
                + "first-touch | bind:NODE | interleave[:NODE,...] | blocked. "
                + "(default: as inherited)",
            valueName: "placement"))
    var placement: Placement?

    @Flag(
        help: """
            Run with MUSTER_CHECK=1: a kernel that touches what is not its chunk's ends the loop and is \
            named, in loops of members that name their arrays, and in teams that the program leads.
            """)
    var check = false

    @Flag(help: "Begin each line with \"[RANK] \", the global rank.")
    var tagOutput = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Write each rank's output to RANK.stdout and RANK.stderr in this directory instead.",
            valueName: "directory"))
    var outputDir: String?

    @Option(parsing: .unconditional, help: "End everything after so many seconds.")
    var timeout: Double?

    @Option(
        help: ArgumentHelp(
            "When a rank fails: kill the others, continue without it, or restart it.",
            valueName: "kill|continue|restart"))
    var onDeath: LaunchPlan.OnDeath = .kill

    @Option(
        parsing: .unconditional,
        help: """
            How often --on-death restart starts each rank again before it ends the others. (default: 3)
            """)
    var restarts: Int?

    @Option(
        parsing: .unconditional,
        help: "Seconds between the signal that asks ranks to end and the one that ends them.")
    var grace = 0.5

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Write one JSON object to this file at the end; -: to standard output, with --output-dir.",
            valueName: "report"))
    var json: String?

    @OptionGroup var tracing: TraceOptions

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp(
            "The program, and its arguments; best after \"--\".", valueName: "program"))
    var command: [String] = []

    private var restartsMost: Int { restarts ?? 3 }

    /// PROGRAM and its arguments, without the "--" before them.
    private var program: ArraySlice<String> {
        command.first == "--" ? command.dropFirst() : command[...]
    }

    func validate() throws {
        // What comes before PROGRAM and is no option of ours arrives here as well.
        if ["-h", "--help", "-help"].contains(command.first) { throw CleanExit.helpRequest(self) }
        if command.first == "--version" { throw CleanExit.message(Version.text) }
        if let first = command.first, first.hasPrefix("-"), first != "--" {
            throw ValidationError("Unknown option '\(first)'")
        }
        guard !program.isEmpty else {
            throw ValidationError("PROGRAM is missing: muster run -n 4 -- PROGRAM ARGUMENTS")
        }
        if program.first == "" {
            throw ValidationError("PROGRAM is an empty string: a variable that is not set?")
        }
        if let ranks { try TeamOptions.validate(ranks: ranks) }
        if case .weighted = placement {
            throw ValidationError(
                "--placement weighted: the kernel has weights for the whole system only, not for a "
                    + "process's own memory")
        }
        if placement == .mirrored {
            throw ValidationError(
                "--placement mirrored: arrays have copies, a process's own memory has none")
        }
        if tagOutput && outputDir != nil {
            throw ValidationError(
                "--tag-output and --output-dir: one of them, since files are by rank already")
        }
        for (name, value) in [("--timeout", timeout), ("--grace", grace)] {
            if let value, !(value > 0 && value <= 1e8) {
                throw ValidationError("\(name) \(value): more than 0, at most 100000000")
            }
        }
        if let restarts, !(0...1_000_000).contains(restarts) {
            throw ValidationError("--restarts \(restarts): from 0 to 1000000")
        }
        if let restarts, onDeath != .restart {
            throw ValidationError(
                "--restarts \(restarts): nothing is started again without --on-death restart")
        }
        if json == "-" && outputDir == nil {
            throw ValidationError(
                "--json -: standard output is the ranks'; name a file, or add --output-dir")
        }
        if outputDir == "" || json == "" {
            throw ValidationError("--output-dir and --json need a name")
        }
    }

    func run() throws {
        let outer = try OuterLauncher.read()
        let json = json.map { outer.ownName($0) }
        if let json, json != "-" { try OutputFile.check(json) }
        var plan = LaunchPlan(
            .ownArguments(count: program.count), size: try size(outer), outer: outer)
        plan.binding = place.bind
        plan.placement = placement
        plan.checks = check
        plan.tagsOutput = tagOutput
        plan.outputDirectory = outputDir
        plan.timeout = timeout
        plan.onDeath = onDeath
        plan.restarts = restartsMost
        plan.grace = grace
        let trace = try tracing.open { outer.ownName($0) }
        plan.timelineEvents = trace == nil ? 0 : tracing.eventsPerRank
        if outer.hostSize > 1 || !outer.variables.isEmpty {
            let first = plan.globalRank(0)
            Output.note(
                "\(outer.description): global ranks \(first)-\(first + plan.size - 1) of "
                    + "\(plan.globalSize)")
        }
        try finish(plan, try launch(plan, json), trace, json)
    }

    private func launch(_ plan: LaunchPlan, _ json: String?) throws -> LaunchReport {
        do {
            return try Launch(plan, words: { words($0, plan.size) }).run()
        } catch {
            // A report of an earlier run would be taken for this one's.
            do {
                if let json {
                    try write(
                        Output.jsonText(
                            FailedJSON(error.report), schema: Self.schema,
                            error: error.line), to: json)
                }
            } catch { tell(error) }
            guard error.code == .start else { throw error }
            throw Failure(
                line: error.line, status: startStatus(error), report: FailedJSON(nil))
        }
    }

    private func tell(_ problem: any Error) {
        Output.error((problem as? Failure)?.line ?? "\(problem)")
    }

    private func write(_ text: String, to json: String) throws {
        guard json == "-" else { return try OutputFile.write(text + "\n", to: json) }
        Output.line(text)
        try Output.flush()  // before the exit status, which is thrown
    }

    /// As shells have it, where the program itself is at fault.
    private func startStatus(_ error: MusterError) -> Int32 {
        guard let name = program.first, error.subject.utf8.elementsEqual(name.utf8) else {
            return 2
        }
        return error.errorNumber == ENOENT ? 127 : 126
    }

    private func size(_ outer: OuterLauncher) throws -> Int {
        if ranks == nil && outer.hostSize > 1 {
            throw ValidationError(
                "-n is missing: \(outer.description), and global ranks need the same -n on each")
        }
        let host = try Topology.read()
        let size = ranks ?? host.ranks(place.bind)
        guard outer.hostSize <= Int(UInt32.max) / size else {
            throw ValidationError("-n \(size) on \(outer.hostSize) hosts: too many ranks in all")
        }
        _ = try place.bind.seats(size: size)  // its error comes alone
        // Standard error is the programs' too: only where a person reads it.
        if isatty(2) == 1 { Output.noteSharing(size, of: host.usableCPUCount) }
        try place.report(size: size)
        return size
    }

    /// What is said while ranks run.
    private func words(_ event: Launch.Event, _ size: Int) -> String? {
        switch event {
        case .unbound(_, let number):
            return "muster: note: ranks are not bound to CPUs: "
                + MusterError.words(Int32(number))
        case .refused(let refusal):
            return "muster: process \(refusal.pid) asked for rank \(refusal.rank) and was refused: "
                + refusal.reason
        case .failed(let rank, let exit, let consequence):
            let what = "muster: rank \(rank) (process \(exit.pid)) \(RunReport.words(exit))"
            switch consequence {
            case .othersEnd: return what + (size == 1 ? "" : ": ending the others")
            case .othersGoOn: return what + (size == 1 ? "" : ": the others go on")
            case .restart(let left):
                return what + ": starting it again (\(restartsMost - left) of \(restartsMost))"
            }
        case .signalled(let number):
            return
                "muster: \(RunReport.name(signal: number)): ending \(size == 1 ? "the rank" : "all ranks")"
        case .timedOut(let seconds):
            return
                "muster: \(Figures.short(seconds)) s are over: ending \(size == 1 ? "the rank" : "all ranks")"
        case .killed(let isAsked):
            return isAsked
                ? "muster: asked again: killing what has not ended"
                : "muster: killing what has not ended within \(Figures.short(grace)) s"
        }
    }

    /// The end: audits as text, the report as JSON, and the exit status.
    private func finish(
        _ plan: LaunchPlan, _ report: LaunchReport, _ trace: Trace?, _ json: String?
    ) throws {
        for line in RunReport.audits(report) { Output.writeError("muster: \(line)\n") }
        if let trace {
            if let timeline = report.timeline { trace.take(timeline, "run") }
            if let problem = report.timelineProblem { trace.fail(problem) }
            trace.finish()
            for line in trace.lines { Output.writeError("\(line)\n") }
        }
        // What else goes wrong.
        var problems: [any Error] = []
        if let json {
            let report = RunJSON(
                plan, report, command: Array(program), trace?.shares.first)
            do {
                try write(
                    Output.jsonText(report, schema: Self.schema, error: report.error), to: json)
            } catch { problems.append(error) }
        }
        do { try trace?.check() } catch { problems.append(error) }
        for problem in problems { tell(problem) }
        guard let status = report.exitStatus else {
            // As every program ends whose output nobody reads.
            signal(SIGPIPE, SIG_DFL)
            raise(SIGPIPE)
            throw Said(status: 141)
        }
        if case .output(let number) = report.cause {
            throw Failure.cannotRun(
                "standard output: can't write to it: \(Output.reason(Int32(number), 1, 1))")
        }
        // The ranks' status tells more than that of a file.
        if status != 0 { throw Said(status: Int32(status)) }
        if !problems.isEmpty { throw Said(status: 2) }
    }
}

extension LaunchPlan.OnDeath: ExpressibleByArgument {}

extension OuterLauncher {
    /// The name of this host's file, where several hosts are given one name: `report.1.json`.
    func ownName(_ path: String) -> String {
        guard hostSize > 1, path != "-", !path.hasPrefix("/dev/") else { return path }
        // By scalars: what combines with a "/" or a "." is another character, and still a separator.
        let all = path.unicodeScalars
        let file = all.lastIndex(of: "/").map { all.index(after: $0) } ?? all.startIndex
        let dot = all[file...].dropFirst().lastIndex(of: ".") ?? all.endIndex
        return "\(path[..<dot]).\(hostRank)\(path[dot...])"
    }
}
