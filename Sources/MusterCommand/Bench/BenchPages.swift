// BenchPages.swift - `muster bench pages`.

import ArgumentParser
import Muster
import MusterBench

struct BenchPages: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "pages",
        abstract: "Memory over 4 KiB and huge pages: commit, collapse, sum, random access.",
        discussion: """
            An array is made of 4 KiB pages, of huge pages that are collapsed as it is made (thp), \
            and of the system's pool of huge pages (2m) where that has enough, in turn. For each:

              commit     making the array, all of its pages there at the end
              collapse   making huge pages of small ones that are in use (of 4k)
              sum        all ranks read it, each its share
              random     one rank reads at random, each address known only after the read before
              new rank   a rank that has just started reads an element of each 4 KiB

            Every result is checked.

            EXAMPLES
              muster bench pages
              muster bench pages -n 1 --size 256MiB --samples 20
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var tracing: TraceOptions
    @OptionGroup var check: PlacementCheck

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of the array, at least 4MiB: \(ByteCount.examples). (default: 1GiB)"),
        transform: ByteCount.init(argument:))
    var size: ByteCount?

    func validate() throws {
        try size?.validate(atLeast: 4 << 20, "at least 4 MiB, two huge pages")
    }

    func run() throws {
        let bytes = size?.bytes ?? 1 << 30
        var bench = PagesBench(
            ranks: try team.size(), samples: options.samples ?? 5, arrayBytes: bytes)
        bench.binding = team.binding
        bench.verifiesPlacement = check.isAsked
        let trace = try tracing.open()
        bench.tracer = trace?.tracer
        let (outcome, canaries) = try watched { try bench.run(progress: $0) }
        for note in outcome.notes { Output.note(note) }
        try verify(outcome.measurement, check)
        try show(
            outcome.measurement, canaries: canaries, trace, label: "what",
            method: [
                "arrays of \(Figures.capacity(UInt64(bytes))), one after the other, GB = 10^9 B; "
                    + "first round dropped"
            ])
    }
}
