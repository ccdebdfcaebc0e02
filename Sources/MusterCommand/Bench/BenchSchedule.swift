// BenchSchedule.swift - `muster bench schedule`.

import ArgumentParser
import Muster
import MusterBench

struct BenchSchedule: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule",
        abstract: "Time of a chunk with nothing to do, under each schedule.",
        discussion: """
            Loops of empty chunks of one element, roll and audit on, for teams of 1 and of \
            N ranks. A sample is the time of a loop divided by its chunks, short loops \
            repeated for 2 ms: with one rank the cost of a claim and a commit.

            EXAMPLES
              muster bench schedule
              muster bench schedule -n 4 --chunks 100000000 --samples 1
              muster bench schedule --leader works --chunks 10000
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var tracing: TraceOptions

    @Option(
        parsing: .unconditionalSingleValue,
        help: "Chunks of a loop; may be given again. (default: 1000000 and 10000000)")
    var chunks: [Int] = []

    @Option(
        help: ArgumentHelp(
            "Whether the leader is rank 0 (works), or every rank another process (waits).",
            valueName: "waits|works"))
    var leader: Leader = .waits

    enum Leader: String, ExpressibleByArgument, CaseIterable {
        case waits, works
    }

    func validate() throws {
        for chunks in chunks where chunks < 1 || chunks > ScheduleBench.mostChunks {
            throw ValidationError(
                "--chunks \(chunks): a loop has 1 to \(ScheduleBench.mostChunks) chunks")
        }
    }

    func run() throws {
        var bench = ScheduleBench(
            ranks: try team.size(), chunkCounts: chunks.isEmpty ? [1_000_000, 10_000_000] : chunks,
            samples: options.samples ?? 5)
        bench.binding = team.binding
        bench.leader = leader == .works ? .works : .waits
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let measurement = try measured { try bench.run(progress: $0) }
        try show(
            measurement, trace, label: "schedule, chunks",
            method: [
                "empty chunks of one element, roll and audit on; ns of the whole loop, from "
                    + "dispatch to audit, divided by its chunks",
                (leader == .works
                    ? "leader-works: the leader is rank 0"
                    : "the leader waits: every rank is another process")
                    + "; first loop dropped, short loops repeated",
            ])
    }
}
