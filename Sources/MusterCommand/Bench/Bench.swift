// Bench.swift - `muster bench`: the tour and its tests.

import ArgumentParser
@preconcurrency import Glibc
import Muster
import MusterBench

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure this machine, and Muster's own costs.",
        discussion: """
            Without a test, a tour of about a minute: bandwidth and latency by node, by size and under \
            load, cache lines between CPUs, and what Muster costs. With tests, those. Their options \
            (--quick, --html FILE, --save FILE, ...): muster bench tour --help.

            Processes work on shared arrays, as users' programs do. Every loop is audited, every result \
            checked and every placement read back before a figure is printed. The first run of \
            everything is dropped. Memory's speed and the CPUs' quiet are read before and after, and a \
            verdict says whether to trust the figures.

            EXAMPLES
              muster bench                          the tour
              muster bench --html report.html       the tour, as a page
              muster bench --list                   the tests
              muster bench latency c2c --json       two tests, as JSON
              muster bench stream                   memory bandwidth, one rank a CPU
              muster bench stream -n 1 --json       of one rank, as JSON
              muster bench dispatch                 a job with nothing to do
              muster bench schedule                 a chunk with nothing to do
              muster bench barrier                  members' barrier and sum
              muster bench spawn                    a team, from its start to its end
              muster bench sum                      bandwidth of reading
              muster bench touch                    first touch of an array's memory
              muster bench recovery                 roll, journal, and a worker's death
              muster bench pages                    memory over small and huge pages
            """,
        // A parent with options of its own would take those that are meant for its subcommands.
        subcommands: [
            BenchTour.self, BenchStream.self, BenchDispatch.self, BenchSchedule.self,
            BenchBarrier.self, BenchSpawn.self, BenchSum.self, BenchTouch.self, BenchRecovery.self,
            BenchPages.self,
        ], defaultSubcommand: BenchTour.self)
}

/// `muster bench [tour] [TEST...]`
struct BenchTour: JSONCommand {
    static let schema = BenchReport.schema
    static let configuration = CommandConfiguration(
        commandName: "tour",
        abstract: "All tests, or those that are named, in one report.",
        discussion: """
            The word tour can be left out unless the first test has a command of its own. What can't be \
            measured here is a dash, null in JSON, with its reason. A canary is read before the first \
            test and after each, and the verdict says whether the machine was quiet and its memory as \
            fast at the end as at the start. Ctrl-C or SIGTERM ends it with what was measured \
            until then, marked as partial, and exit status 130 or 143. --bind is for ranks of tests that \
            use all CPUs; those by node or by pairs of CPUs choose their own.

            --trace records the loops that are measured; a chunk takes some 0.1 us more then. Of those \
            that measure empty chunks it records one more run, after the last sample, and of touch and \
            migrate nothing, since they time no loop.

            EXAMPLES
              muster bench --dry-run                        what the tour would do
              muster bench --html report.html               the tour, as a page
              muster bench matrix --nodes 0,1 --save a.json
              muster bench tour stream latency --samples 20
              muster bench kernel --kernel-library ./mine.so --kernel scale3
            """)

    @Argument(help: ArgumentHelp("Tests to run in place of all: see --list.", valueName: "test"))
    var tests: [String] = []

    @OptionGroup var effort: BenchEffort
    @OptionGroup var place: BenchWhere
    @OptionGroup var binding: BindingOptions
    @OptionGroup var tracing: TraceOptions
    @OptionGroup var output: BenchOutput

    var json: Bool { output.json }

    func validate() throws {
        for name in tests where BenchTest.named(name) == nil {
            throw ValidationError("\(name): no test of that name; muster bench --list shows them")
        }
        if tests.contains("kernel") && (place.kernelLibrary == nil || place.kernel == nil) {
            throw ValidationError("kernel: needs --kernel-library FILE.so and --kernel NAME")
        }
        try TraceOptions.refuse(tracing.trace, tests.compactMap(BenchTest.named))
    }

    func run() throws {
        output.forms.color.apply()
        if output.list { return list() }
        let tests =
            self.tests.isEmpty
            ? BenchTest.all.filter(\.isInTour) : self.tests.compactMap(BenchTest.named)
        let settings = settings()
        let host = try Topology.read()
        if output.dryRun {
            plan(tests, settings, host, Output.line)
            return
        }
        // The plan is for a person who waits: on stderr, so that stdout is the report alone.
        if isatty(2) == 1 { plan(tests, settings, host) { Output.writeError($0 + "\n") } }
        try output.check()
        try binding.announce(size: host.ranks(binding.bind), of: host.usableCPUCount)
        let trace = try tracing.open()
        Interruption.watch()
        let meter = Meter("bench")
        let run = try BenchRun(
            settings, isInterrupted: { Interruption.hasCome },
            onProgress: { test, done in meter.show(done, test) })
        run.tracer = trace?.tracer
        try run.run(tests)
        meter.clear()
        guard let audit = run.audit else { throw Failure.cannotRun("bench: nothing was measured") }
        trace?.finish()
        let report = try BenchReport(run, tests, audit: audit, trace)
        try output.write(report)
        if report.partial {
            throw Failure(
                line: "bench: interrupted: the report is partial",
                status: Interruption.exitStatus ?? 2, report: report)
        }
        try trace?.check()
    }

    private func settings() -> BenchSettings {
        var settings = BenchSettings()
        settings.isQuick = effort.quick
        settings.samples = effort.samples
        settings.secondsPerTest = effort.seconds
        settings.sizeBytes = place.size?.bytes
        settings.nodes = place.nodes?.ids
        settings.ranksPerNode = place.ranksPerNode
        settings.binding = binding.bind
        settings.pages = place.pages
        let least = place.verifyPlacement ?? 0.99
        settings.leastPlaced = least == 0 ? nil : least
        settings.demandsPlacement = place.verifyPlacement != nil
        if let path = place.kernelLibrary, let name = place.kernel {
            settings.library = (path, name)
        }
        settings.isSpoilt = effort.corrupt
        settings.isMisplaced = effort.misplace
        return settings
    }

    private func list() {
        var table = AlignedTable([("test", .left), ("tour", .left), ("what it measures", .left)])
        for test in BenchTest.all {
            table.add([test.name, test.isInTour ? "yes" : "no", test.summary])
        }
        table.print()
    }

    private func plan(
        _ tests: [BenchTest], _ settings: BenchSettings, _ host: Topology,
        _ line: (String) -> Void
    ) {
        let seconds = tests.map { $0.estimate(on: host, settings) }
        line(
            "plan: \(Output.counted(tests.count, "test")), about "
                + "\(Int(seconds.reduce(0, +).rounded(.up))) s")
        for (test, time) in zip(tests, seconds) {
            let name = test.name + String(repeating: " ", count: max(0, 10 - test.name.count))
            let text = "\(Int(time.rounded(.up)))"
            line(
                "  \(name) \(String(repeating: " ", count: max(0, 4 - text.count)))\(text) s  "
                    + test.summary)
        }
    }
}

/// How much is measured.
struct BenchEffort: ParsableArguments {
    @Flag(help: "Small sizes and few samples: whether everything works, not figures to keep.")
    var quick = false

    @Option(
        parsing: .unconditional,
        help: """
            Seconds after which a test takes no more than 3 samples of each further figure. \
            (default: no limit)
            """)
    var seconds: Double?

    @Option(
        parsing: .unconditional,
        help: """
            Samples of each figure, 1 to 10000, after a first run that is dropped. (default: 10; \
            staircase, loaded, schedule: 5)
            """)
    var samples: Int?

    @Flag(help: .private) var corrupt = false
    @Flag(help: .private) var misplace = false

    func validate() throws {
        try BenchOptions.validate(samples: samples)
        if let seconds, !(seconds > 0 && seconds <= 1e6) {
            throw ValidationError("--seconds \(seconds): more than 0, at most 1000000")
        }
    }
}

/// Where it is measured, and with what.
struct BenchWhere: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of each array: \(ByteCount.examples). (default: four times the last-level caches)"
        ),
        transform: ByteCount.init(argument:))
    var size: ByteCount?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Nodes for tests by node: 0-1,3. (default: all)", valueName: "list"))
    var nodes: NumberList?

    @Option(
        parsing: .unconditional,
        help: "Ranks on each node, in tests by node. (default: one a CPU)")
    var ranksPerNode: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Pages of arrays: 4k, thp, 2m, 1g or auto. (default: each test's own)",
            valueName: "pages"))
    var pages: Pages?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            Fail where less than this part of an array is where it should be, or where that can't be \
            read back; 0: don't look. (default: 0.99, and a note where it can't be read)
            """,
            valueName: "fraction"))
    var verifyPlacement: Double?

    @Option(help: ArgumentHelp("A shared library with a kernel of yours.", valueName: "file"))
    var kernelLibrary: String?

    @Option(help: ArgumentHelp("The name of its function.", valueName: "name"))
    var kernel: String?

    func validate() throws {
        try size?.validate(atLeast: 65536, "at least 65536 bytes")
        if let ranksPerNode, ranksPerNode < 1 || ranksPerNode > 4096 {
            throw ValidationError("--ranks-per-node \(ranksPerNode): 1 to 4096")
        }
        if let verifyPlacement, !(0...1).contains(verifyPlacement) {
            throw ValidationError("--verify-placement \(verifyPlacement): from 0 to 1")
        }
    }
}

/// Numbers as the kernel lists them: "0-3,8".
struct NumberList: ExpressibleByArgument {
    let ids: [Int]

    init?(argument: String) {
        guard case .cpus(let list)? = Binding(argument), !list.isEmpty else { return nil }
        ids = list
    }
}

extension Output {
    /// "1 CPU", "2 CPUs"
    static func counted(_ count: Int, _ noun: String) -> String {
        "\(count) \(noun)\(count == 1 ? "" : "s")"
    }

    /// Two digits after the point; a dash for what could not be measured.
    static func figure(_ value: Double?) -> String { value.map { fixed($0) } ?? "-" }

    /// Two digits after the point; a dash for what is no number.
    static func fixed(_ value: Double) -> String {
        guard value.isFinite else { return "-" }
        let rounded = (abs(value) * 100).rounded()
        // Beyond this there are no digits after the point, and no Int.
        guard rounded < 1e18 else { return Figures.short(value) }
        let hundredths = Int(rounded)
        let rest = hundredths % 100
        let sign = value < 0 && hundredths > 0 ? "-" : ""
        return "\(sign)\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}

extension Row.Quantity {
    /// "GB/s"
    var unit: String {
        switch self {
        case .rate: "GB/s"
        case .time: "ns"
        case .percent: "%"
        case .ratio: "x"
        }
    }
}
