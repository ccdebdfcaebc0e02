// StormCommand.swift - `muster storm`: kill workers while they work, and prove that nothing was lost.

import ArgumentParser
@preconcurrency import Glibc
import Muster
import MusterBench

struct StormCommand: JSONCommand {
    static let schema = "muster.storm/1"

    static let configuration = CommandConfiguration(
        commandName: "storm",
        abstract: "Kills workers while they work, and proves that nothing was lost.",
        discussion: """
            Loops over an array of 16 MiB, 256 chunks each, run one after the other while another \
            process kills workers at random instants (SIGKILL), kills all of them at once, stops \
            and continues them, and has them die at named points of the protocol. After each loop \
            the result is compared, bit by bit, with the same work done by one process. After \
            50 loops another team is made. Ctrl-C or SIGTERM ends the storm after the loop in \
            progress, with a report of what it has so far. \
            --seconds ends the blows; the loop in progress still comes to its end.

            EXAMPLES
              muster storm                              100 kills, in place, static-steal
              muster storm --kills 1000 --kernel reduce --schedule dynamic
              muster storm --seconds 600 -n 8
              muster storm --seed 42 --json             the same blows, for programs

            EXIT STATUS
              0    the result has the bits of a calm run, nothing lost, doubled or left over
              1    it has not
              130  Ctrl-C ended it
              143  SIGTERM ended it
            """)

    @OptionGroup var team: TeamOptions

    @Option(parsing: .unconditional, help: "End after so many kills. (default: 100)")
    var kills: Int?

    @Option(parsing: .unconditional, help: "End after so many seconds instead.")
    var seconds: Double?

    @Option(parsing: .unconditional, help: "Seed of the blows. (default: another each time)")
    var seed: UInt64?

    @Option(help: "What a loop does: in-place, out-of-place or reduce.")
    var kernel: Storm.Work = .inPlace

    @Option(help: "How chunks are dealt.")
    var schedule: Schedule = .staticSteal

    @OptionGroup var tracing: TraceOptions

    /// Mean seconds between two blows.
    @Option(help: .private) var gap = 0.002

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if kills != nil, seconds != nil {
            throw ValidationError("--kills and --seconds: one of them, please")
        }
        if let kills, kills < 1 || kills > 100_000_000 {
            throw ValidationError("--kills \(kills): from 1 to 100000000")
        }
        if let seconds, !(seconds > 0 && seconds <= 1e7) {
            throw ValidationError("--seconds \(seconds): more than 0, at most 10000000")
        }
        if !(gap >= 0 && gap <= 10) { throw ValidationError("--gap \(gap): from 0 to 10") }
    }

    func run() throws {
        let ranks = try team.size(atLeast: 2)
        let seed = seed ?? UInt64.random(in: 0...999_999_999)
        let limit: Storm.Limit =
            seconds.map { .seconds($0) } ?? .kills(kills ?? 100)
        var storm = Storm(
            ranks: ranks, limit: limit, seed: seed, work: kernel, schedule: schedule,
            meanGap: gap)
        storm.binding = team.binding
        let trace = try tracing.open()
        try trace?.begin()  // or the storm would find a descriptor that was not there before it
        storm.tracer = trace?.tracer
        let meter = Meter("storm")
        Interruption.watch()
        let outcome = try storm.run(
            progress: { fraction, _ in meter.show(min(1, fraction)) },
            shouldEnd: { Interruption.hasCome })
        meter.clear()
        trace?.finish()
        let report = StormJSON(outcome, self, ranks: ranks, seed: seed, trace?.shares.first)
        if !json {
            print(outcome, ranks: ranks, seed: seed)
            trace?.print()
        }
        try Output.flush()
        if let failure = outcome.failure {
            throw Failure.wrong("storm: \(failure) (again with --seed \(seed))", report: report)
        }
        guard outcome.isClean else {
            throw Failure.wrong(
                "storm: \(outcome.lost) chunks lost, \(outcome.doubled) doubled, bits "
                    + "\(outcome.bitsEqual ? "equal" : "differ"), \(outcome.leftovers) things left "
                    + "over (again with --seed \(seed))", report: report)
        }
        if json { try print(json: report) }
        try trace?.check()
        if let status = Interruption.exitStatus {
            throw Failure(line: "storm: interrupted", status: status, report: report)
        }
    }

    private func print(_ outcome: Storm.Outcome, ranks: Int, seed: UInt64) {
        Output.line(
            Paint.heading("storm")
                + "  \(kernel.rawValue), \(schedule), \(ranks) ranks, seed \(seed)")
        let seconds = Figures.time(outcome.elapsed)
        Output.line(
            "loops     \(outcome.rounds) by \(Figures.count(outcome.teams, "team")) in \(seconds), "
                + "\(outcome.audit.chunks) chunks of 64 KiB")
        Output.line("kills     \(outcome.kills), and \(outcome.stops) stops")
        for state in Storm.State.allCases {
            guard let count = outcome.killsByState[state] else { continue }
            let share = Double(count) / Double(max(1, outcome.kills)) * 100
            Output.line("  \(state.rawValue.padded(to: 9)) \(count) (\(Int(share.rounded())) %)")
        }
        Output.line(
            "chunks    \(outcome.redone) redone, \(outcome.lost) lost, \(outcome.doubled) doubled")
        Output.line(
            "bits      "
                + (outcome.bitsEqual
                    ? "equal to a serial computation" : "differ from a serial computation"))
        let (first, last) = outcome.residentBytes
        Output.line(
            "left over \(outcome.leftovers); memory of the leader \(Figures.capacity(first)) after the "
                + "first team, \(Figures.capacity(last)) after the last")
        if let recovery = Recovery(outcome.recovery) {
            Output.line(
                "recovery  median \(Int(recovery.median)) us, 99 % under \(Int(recovery.p99)) us, "
                    + "maximum \(Int(recovery.maximum)) us, from the signal to the chunk redone "
                    + "(\(outcome.recovery.count) timed)")
        }
        Output.line("\(Paint.heading("audit"))     \(Paint.verdict(outcome.audit))")
    }

    /// Recovery times, in microseconds.
    fileprivate struct Recovery: Encodable {
        let median: Double
        let p99: Double
        let maximum: Double

        init?(_ values: [Double]) {
            guard !values.isEmpty else { return nil }
            let sorted = values.sorted()
            median = sorted[sorted.count / 2]
            p99 = sorted[min(sorted.count - 1, sorted.count * 99 / 100)]
            maximum = sorted[sorted.count - 1]
        }
    }
}

extension Storm.Work: ExpressibleByArgument {}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }
}

/// Ctrl-C or SIGTERM, noted and acted upon later; a second one ends the program at once.
enum Interruption {
    /// Number of the first signal that came; 0: none.
    nonisolated(unsafe) private static var came: sig_atomic_t = 0

    static func watch() {
        for number in [SIGINT, SIGTERM] {
            signal(number) {
                if Interruption.came == 0 { Interruption.came = $0 }
                signal($0, SIG_DFL)
            }
        }
    }

    static var hasCome: Bool { came != 0 }

    /// What a shell shows of a program that the signal has ended, 128 + its number; nil: none came.
    static var exitStatus: Int32? { hasCome ? 128 + came : nil }
}

/// `muster.storm/1`
private struct StormJSON: Encodable, Sendable {
    struct Resident: Encodable {
        let first: UInt64
        let last: UInt64
    }
    let kills: Int
    let kills_by_state: [String: Int]
    let stops: Int
    let redone: Int
    let lost: Int
    let doubled: Int
    let bits_equal: Bool
    let leftovers: Int
    let recovery_us: StormCommand.Recovery?
    let audit: AuditJSON
    let seed: UInt64
    let elapsed_s: Double
    let rounds: Int
    let teams: Int
    let resident_bytes: Resident
    let kernel: String
    let schedule: String
    let size: Int
    @OrNull var timeline: TimelineShare?

    init(
        _ outcome: Storm.Outcome, _ command: StormCommand, ranks: Int, seed: UInt64,
        _ timeline: TimelineShare?
    ) {
        kills = outcome.kills
        kills_by_state = Dictionary(
            uniqueKeysWithValues: Storm.State.allCases.compactMap { state in
                outcome.killsByState[state].map { (state.rawValue, $0) }
            })
        stops = outcome.stops
        redone = outcome.redone
        lost = outcome.lost
        doubled = outcome.doubled
        bits_equal = outcome.bitsEqual
        leftovers = outcome.leftovers
        recovery_us = StormCommand.Recovery(outcome.recovery)
        audit = AuditJSON(outcome.audit)
        self.seed = seed
        elapsed_s = outcome.elapsed
        rounds = outcome.rounds
        teams = outcome.teams
        resident_bytes = Resident(
            first: outcome.residentBytes.first, last: outcome.residentBytes.last)
        kernel = command.kernel.rawValue
        schedule = command.schedule.description
        size = ranks
        self.timeline = timeline
    }
}
