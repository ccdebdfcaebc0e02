// BenchDispatch.swift - `muster bench dispatch`.

import ArgumentParser
import Muster
import MusterBench

struct BenchDispatch: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "dispatch",
        abstract: "Time of a job with nothing to do: dispatch, join and audit.",
        discussion: """
            One empty chunk a rank, for teams of 1 to N ranks, first with a leader that \
            waits and then with one that is rank 0. A sample is the mean of a batch of jobs \
            that takes some 20 ms.

            EXAMPLES
              muster bench dispatch
              muster bench dispatch -n 8 --json
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var tracing: TraceOptions

    func run() throws {
        var bench = DispatchBench(ranks: try team.size(), samples: options.samples ?? 10)
        bench.binding = team.binding
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let measurement = try measured { try bench.run(progress: $0) }
        try show(
            measurement, trace, label: "leader",
            method: [
                "an empty job of one chunk a rank: dispatch, join and audit; ns a job, mean of a "
                    + "batch; first batch dropped",
                "leader-waits: every rank is another process; leader-works: the leader is rank 0",
            ])
    }
}
