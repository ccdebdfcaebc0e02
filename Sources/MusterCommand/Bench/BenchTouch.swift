// BenchTouch.swift - `muster bench touch`.

import ArgumentParser
import Muster
import MusterBench

struct BenchTouch: BenchCommand {
    static let configuration = CommandConfiguration(
        commandName: "touch",
        abstract: "How fast an array's memory is touched first, by all ranks at once.",
        discussion: """
            The time of making an array, divided into its bytes: room, pages zeroed by the kernel \
            where the rank runs that they belong to. Once with the host's ordinary pages and, \
            where there are any, with transparent huge pages.

            EXAMPLES
              muster bench touch
              muster bench touch -n 1 --size 1GiB
            """)

    @OptionGroup var team: TeamOptions
    @OptionGroup var options: BenchOptions
    @OptionGroup var check: PlacementCheck

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of the array: \(ByteCount.examples). (default: 256MiB)"),
        transform: ByteCount.init(argument:))
    var size: ByteCount?

    @Option(help: .private) var trace: String?

    func validate() throws {
        try TraceOptions.refuse(trace, [.touch])
        try size?.validate(atLeast: 8, "an array has at least one element, 8 bytes")
    }

    func run() throws {
        var bench = TouchBench(
            ranks: try team.size(), arrayBytes: size?.bytes, samples: options.samples ?? 10)
        bench.binding = team.binding
        bench.verifiesPlacement = check.isAsked
        let (measurement, canaries) = try watched { try bench.run(progress: $0) }
        try verify(measurement, check)
        try show(
            measurement, canaries: canaries, label: "pages",
            method: ["bytes of an array by the time of making it; GB = 10^9 B; first dropped"])
    }
}
