// BenchRecovery.swift - `muster bench recovery`.

import ArgumentParser
import Muster
import MusterBench

struct BenchRecovery: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "recovery",
        abstract: "What it costs that nothing is lost: roll and audit, journal, a death.",
        discussion: """
            Recovery is the time from a worker's SIGKILL to the moment at which its successor has \
            put everything back and begins the chunk again. The kernel tears a dead process's \
            address space down before it reports the death, which takes the longer the more pages \
            the worker has touched. In-place loops are timed in turn: without a journal, tile by \
            tile, and with a view of the whole chunk. Verification is the time of empty chunks as \
            a share of a loop that scales chunks of that size.

            EXAMPLES
              muster bench recovery
              muster bench recovery -n 4 --samples 30 --json
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var tracing: TraceOptions
    @OptionGroup var check: PlacementCheck

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of the scaled array: \(ByteCount.examples). (default: four times the last-level caches)"
        ),
        transform: ByteCount.init(argument:))
    var size: ByteCount?

    func validate() throws {
        try size?.validate(atLeast: 4096, "at least 4096 bytes")
    }

    func run() throws {
        var bench = try RecoveryBench(
            ranks: try team.size(), samples: options.samples ?? 10, arrayBytes: size?.bytes)
        bench.binding = team.binding
        bench.verifiesPlacement = check.isAsked
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let (measurement, canaries) = try watched { try bench.run(progress: $0) }
        try verify(measurement, check)
        try show(
            measurement, canaries: canaries, trace, label: "what",
            method: [
                "recovery: from SIGKILL to the chunk begun again; in place: bytes read and written; "
                    + "first run dropped"
            ])
    }
}
