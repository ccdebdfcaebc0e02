// BenchSpawn.swift - `muster bench spawn`.

import ArgumentParser
import Muster
import MusterBench

struct BenchSpawn: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "spawn",
        abstract: "Time of a team that is made, runs one job and ends.",
        discussion: """
            Teams of 2, 8, 32 and 64 ranks unless -n says otherwise, forked from this process. \
            team: the whole; start, job, end: its parts; bare fork: as many forks of this process \
            that do nothing but wait for a pipe's end.

            EXAMPLES
              muster bench spawn
              muster bench spawn -n 4 -n 512 --samples 3
            """)

    @Option(
        name: [.customShort("n"), .customLong("ranks")], parsing: .unconditionalSingleValue,
        help: "Ranks of a team; may be given again. (default: 2, 8, 32 and 64)")
    var ranks: [Int] = []

    @OptionGroup var place: BindingOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var tracing: TraceOptions

    func validate() throws {
        for ranks in ranks { try TeamOptions.validate(ranks: ranks) }
    }

    func run() throws {
        var bench = SpawnBench(
            sizes: ranks.isEmpty ? SpawnBench.usualSizes : ranks, samples: options.samples ?? 10)
        bench.binding = place.bind
        for size in bench.sizes where place.reportBindings {
            Output.writeError("team of \(size):\n")
            try place.report(size: size)
        }
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let measurement = try measured { try bench.run(progress: $0) }
        try show(
            measurement, trace, label: "part",
            method: [
                "a team forked from this process, one empty job, the team's end; ns; first of each "
                    + "dropped"
            ])
    }
}
