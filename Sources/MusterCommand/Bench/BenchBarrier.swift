// BenchBarrier.swift - `muster bench barrier`.

import ArgumentParser
import Muster
import MusterBench

struct BenchBarrier: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "barrier",
        abstract: "Time of a barrier, and of a sum that every rank gets.",
        discussion: """
            Members are ranks of a program under `muster run`; here they are processes of \
            this one, 1 to N of them. Beside them a team runs a job with nothing to do. A sample is the mean of a batch of calls that takes some \
            20 ms. Before, barriers are checked to keep every rank until all have come, and every \
            sum is compared with what it must be.

            EXAMPLES
              muster bench barrier
              muster bench barrier -n 8 --json
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var tracing: TraceOptions

    func run() throws {
        var bench = BarrierBench(ranks: try team.size(), samples: options.samples ?? 10)
        bench.binding = team.binding
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let measurement = try measured { try bench.run(progress: $0) }
        try show(
            measurement, trace, label: "call",
            method: [
                "members: a barrier, and an all-reduce of one double; ns a call, mean of a batch; first "
                    + "batch dropped",
                "a team's job: one empty chunk a rank, audited; the leader is rank 0",
            ])
    }
}
