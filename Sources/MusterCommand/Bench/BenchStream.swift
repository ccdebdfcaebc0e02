// BenchStream.swift - `muster bench stream`.

import ArgumentParser
import Muster
import MusterBench

struct BenchStream: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "stream",
        abstract: "Memory bandwidth by copy, scale, add and triad, counted as STREAM does.",
        discussion: """
            Three arrays of doubles, each at least four times the last-level caches. \
            Bytes of an element: copy 16, scale 16, add 24, triad 24; GB = 10^9 B. \
            Dispatch, join and audit are within the time. If a single element is wrong \
            afterwards, no figure is printed.

            EXAMPLES
              muster bench stream
              muster bench stream -n 4 --samples 20
              muster bench stream --size 1GiB --plain
              muster bench stream --placement blocked --pages 4k --verify-placement 0.99
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var tracing: TraceOptions
    @OptionGroup var wish: PlacementOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of each array: \(ByteCount.examples). (default: four times the last-level caches)"
        ),
        transform: ByteCount.init(argument:))
    var size: ByteCount?

    @Flag(help: "Write through the caches. Without it, large arrays are written past them.")
    var plain = false

    @Flag(help: .private)
    var corrupt = false

    func validate() throws {
        if wish.placement == .mirrored {
            throw ValidationError(
                "--placement mirrored: is for arrays that are only read, and stream writes to all "
                    + "three")
        }
        try size?.validate(atLeast: 8, "an array has at least one element, 8 bytes")
    }

    func run() throws {
        let ranks = try team.size()
        var bench = try StreamBench(
            ranks: ranks, arrayBytes: size?.bytes, samples: options.samples ?? 10,
            stores: plain ? .plain : .automatic, placement: wish.placement, pages: wish.pages)
        if bench.isCached {
            Output.note(
                "arrays smaller than \(StreamBench.cacheMultiple) times the last-level caches "
                    + "measure the caches as well")
        }
        bench.binding = team.binding
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let (outcome, canaries) = try watched {
            try bench.run(
                isSpoilt: corrupt, verifiesPlacement: wish.check.isAsked, progress: $0)
        }
        for note in outcome.notes { Output.note(note) }
        try verify(outcome.measurement, wish.check, wish.placement)
        if let fault = outcome.faults.first {
            throw Failure.wrong(
                "stream: array \(fault.array): \(fault.wrongElements) of \(outcome.elements) "
                    + "elements are wrong, so no rate is printed: suspect memory or CPU",
                report: FailedJSON(outcome.measurement.audit))
        }
        try show(
            outcome.measurement, canaries: canaries, trace, label: "kernel",
            method: [
                "3 arrays of \(outcome.elements) doubles "
                    + "(\(mebibytes(outcome.elements)) MiB each), chunks of \(StreamBench.grain) elements, static schedule, audit on",
                "\(outcome.isStreaming ? "streaming" : "plain") stores; bytes as STREAM counts "
                    + "them, GB = 10^9 B; first run dropped",
                "placement \(wish.placement), pages \(wish.pages)"
                    + (outcome.hugePageBytes > 0
                        ? " (\(Figures.capacity(UInt64(outcome.hugePageBytes))) in huge pages)"
                        : "")
                    + (outcome.measurement.placedFraction.map {
                        "; \(Output.percent($0, of: 1)) where it should be"
                    } ?? ""),
            ])
    }

    private func mebibytes(_ elements: Int) -> String {
        Output.fixed(Double(elements) * 8 / 1_048_576)
    }
}
