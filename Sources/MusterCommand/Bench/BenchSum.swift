// BenchSum.swift - `muster bench sum`.

import ArgumentParser
import Muster
import MusterBench

struct BenchSum: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "sum",
        abstract: "Bandwidth of reading: the sum of an array.",
        discussion: """
            A reduction over doubles, 8 bytes an element; dispatch, join, audit and the combining \
            of partial results are within the time. A sum that is not the right one ends it.

            EXAMPLES
              muster bench sum
              muster bench sum -n 4 --size 1GiB --json
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var check: PlacementCheck
    @OptionGroup var tracing: TraceOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of the array: \(ByteCount.examples). (default: four times the last-level caches)"
        ),
        transform: ByteCount.init(argument:))
    var size: ByteCount?

    func validate() throws {
        try size?.validate(atLeast: 8, "an array has at least one element, 8 bytes")
    }

    func run() throws {
        var bench = try SumBench(
            ranks: try team.size(), arrayBytes: size?.bytes, samples: options.samples ?? 10)
        bench.binding = team.binding
        bench.verifiesPlacement = check.isAsked
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let (measurement, canaries) = try watched { try bench.run(progress: $0) }
        try verify(measurement, check)
        try show(
            measurement, canaries: canaries, trace, label: "kernel",
            method: [
                "sum of doubles, chunks of \(StreamBench.grain) elements, static schedule, audit on; "
                    + "GB = 10^9 B; first run dropped"
            ])
    }
}
