// BenchTest.swift - the registry: every test of the benchmark, with its name, its method in words, about
// how long it takes, and what it runs. The tool's list, plan, report and page are made from it; a new
// test is one entry here.

public import Muster

/// A test of the benchmark.
public struct BenchTest: Sendable {
    /// One word: "latency".
    public let name: String
    /// What it measures, in a line.
    public let summary: String
    /// How it measures: sentences that stand in every report.
    public let method: [String]
    /// Whether it is part of the tour.
    public let isInTour: Bool
    /// Why its loops are not recorded with the others (`BenchRun.tracer`); nil: they are.
    public let whyUntraced: String?
    /// About how many seconds it takes, for the plan and for the time left.
    let seconds: @Sendable (Topology, BenchSettings) -> Double
    let body: @Sendable (BenchRun) throws(MusterError) -> Void

    init(
        _ name: String, _ summary: String, method: [String], isInTour: Bool = true,
        whyUntraced: String? = nil,
        seconds: @escaping @Sendable (Topology, BenchSettings) -> Double,
        body: @escaping @Sendable (BenchRun) throws(MusterError) -> Void
    ) {
        self.name = name
        self.summary = summary
        self.method = method
        self.isInTour = isInTour
        self.whyUntraced = whyUntraced
        self.seconds = { host, settings in
            let time = seconds(host, settings)
            let limited = settings.secondsPerTest.map { min(time, $0 * 1.5) } ?? time
            return settings.isQuick ? limited / 20 : limited
        }
        self.body = body
    }

    /// About how many seconds it takes on a host.
    public func estimate(on host: Topology, _ settings: BenchSettings) -> Double {
        seconds(host, settings)
    }

    /// All of them, in the order of the tour.
    public static let all: [BenchTest] = [
        .stream, .sum, .matrix, .mixes, .scaling, .placement, .latency, .staircase, .loaded,
        .lines, .touch, .migrate, .dispatch, .schedule, .barrier, .spawn, .recovery, .pages,
        .kernel,
    ]

    /// The test of that name.
    public static func named(_ name: String) -> BenchTest? { all.first { $0.name == name } }
}

// MARK: - Benchmarks that also have a command of their own

extension BenchTest {
    static let stream = BenchTest(
        "stream", "copy, scale, add, triad as STREAM counts them",
        method: [
            "three arrays of doubles, one rank a CPU; bytes as STREAM counts them: copy and scale 16 "
                + "an element, add and triad 24; dispatch, join and audit are within the time"
        ],
        seconds: { _, _ in 1.5 }
    ) { run throws(MusterError) in
        let settings = run.settings
        var bench = try StreamBench(
            ranks: run.ranks,
            arrayBytes: settings.arrayBytes(run.host), samples: run.samples(10),
            pages: settings.pages ?? .automatic)
        bench.binding = settings.binding
        bench.tracer = run.tracer
        let outcome = try bench.run(
            isSpoilt: settings.isSpoilt, verifiesPlacement: settings.leastPlaced != nil,
            progress: run.show)
        for note in outcome.notes { run.note("stream: \(note)") }
        if let fault = outcome.faults.first {
            try run.require(
                false, "stream: array \(fault.array)",
                "\(fault.wrongElements) of \(outcome.elements) elements are wrong")
        }
        let placed = try run.checked(outcome.measurement.placedFraction, "stream")
        for row in outcome.measurement.rows {
            run.add(
                Row(
                    test: row.test, kernel: row.kernel, ranks: row.ranks, quantity: row.quantity,
                    samples: row.samples!,
                    parameters: ["size_bytes": .number(outcome.elements * 8)],
                    placedFraction: placed))
        }
        run.add(outcome.measurement.audit)
    }

    static let sum = BenchTest(
        "sum", "reading alone: the sum of an array",
        method: [
            "a reduction over doubles, 8 bytes an element; dispatch, join, audit and the combining of "
                + "partial results are within the time"
        ],
        seconds: { _, _ in 0.5 }
    ) { run throws(MusterError) in
        var bench = try SumBench(
            ranks: run.ranks, arrayBytes: run.settings.arrayBytes(run.host),
            samples: run.samples(10))
        bench.binding = run.settings.binding
        bench.verifiesPlacement = run.settings.leastPlaced != nil
        bench.tracer = run.tracer
        bench.isSpoilt = run.settings.isSpoilt
        try run.add(bench.run(progress: run.show), of: "sum")
    }

    public static let touch = BenchTest(
        "touch", "making an array: its pages touched for the first time, by all ranks at once",
        method: [
            "bytes of an array by the time of making it: room, and pages that the kernel zeroes where the "
                + "rank runs that they belong to; small pages, and huge ones where there are any"
        ], whyUntraced: "what it times is no loop of a team but the kernel, which makes pages",
        seconds: { _, _ in 3 }
    ) { run throws(MusterError) in
        let settings = run.settings
        var bench = TouchBench(
            ranks: run.ranks, arrayBytes: settings.sizeBytes ?? (settings.isQuick ? 4 << 20 : nil),
            samples: run.samples(10))
        bench.binding = settings.binding
        bench.verifiesPlacement = settings.leastPlaced != nil
        bench.isSpoilt = settings.isSpoilt
        try run.add(bench.run(progress: run.show), of: "touch")
    }

    static let dispatch = BenchTest(
        "dispatch", "a job with nothing to do: dispatch, join, audit",
        method: [
            "an empty job of one chunk a rank, ns a job, mean of a batch; leader-waits: every rank is "
                + "another process; leader-works: the leader is rank 0"
        ],
        seconds: { host, _ in 1 + 0.5 * Double(min(host.usableCPUCount, 16)) }
    ) { run throws(MusterError) in
        var bench = DispatchBench(ranks: run.ranks, samples: run.samples(10))
        bench.binding = run.settings.binding
        bench.tracer = run.tracer
        try run.add(bench.run(progress: run.show))
    }

    static let schedule = BenchTest(
        "schedule", "a chunk with nothing to do, under each schedule",
        method: [
            "empty chunks of one element, roll and audit on; ns of the whole loop divided by its chunks"
        ],
        seconds: { _, _ in 1 }
    ) { run throws(MusterError) in
        var bench = ScheduleBench(
            ranks: run.ranks,
            chunkCounts: [run.settings.isQuick ? 10_000 : 1_000_000], samples: run.samples(5))
        bench.binding = run.settings.binding
        bench.tracer = run.tracer
        try run.add(bench.run(progress: run.show))
    }

    static let barrier = BenchTest(
        "barrier", "ranks that meet: a barrier and an all-reduce of members, and a team's job",
        method: [
            "members, as ranks of a program under muster run: a barrier, and an all-reduce of one double; "
                + "ns a call, mean of a batch; a team's job: one empty chunk a rank, the leader is rank 0"
        ],
        seconds: { host, settings in
            Double(DispatchBench.sizes(upTo: host.ranks(settings.binding)).count) * 0.75
        }
    ) { run throws(MusterError) in
        var bench = BarrierBench(ranks: run.ranks, samples: run.samples(10))
        bench.binding = run.settings.binding
        bench.tracer = run.tracer
        try run.add(bench.run(progress: run.show))
    }

    static let spawn = BenchTest(
        "spawn", "a team from its start to its end, and as many bare forks",
        method: [
            "a team forked from this process, one empty job, the team's end; bare fork: as many forks "
                + "that wait for a pipe's end and leave"
        ],
        seconds: { _, _ in 1.5 }
    ) { run throws(MusterError) in
        var bench = SpawnBench(
            sizes: run.settings.isQuick ? [2, 8] : SpawnBench.usualSizes, samples: run.samples(10))
        bench.binding = run.settings.binding
        bench.tracer = run.tracer
        try run.add(bench.run(progress: run.show))
    }

    static let recovery = BenchTest(
        "recovery", "what roll, journal and a worker's death cost",
        method: [
            "recovery: from SIGKILL to the chunk begun again; in place: bytes read and written, "
                + "without a journal, tile by tile, whole chunk, in turn"
        ],
        isInTour: false, seconds: { _, _ in 15 }
    ) { run throws(MusterError) in
        var bench = try RecoveryBench(
            ranks: run.ranks, samples: run.samples(10),
            arrayBytes: run.settings.arrayBytes(run.host))
        bench.binding = run.settings.binding
        bench.verifiesPlacement = run.settings.leastPlaced != nil
        bench.tracer = run.tracer
        try run.add(bench.run(progress: run.show), of: "recovery")
    }

    static let pages = BenchTest(
        "pages", "memory over small and huge pages: commit, collapse, sum, random, a new rank",
        method: [
            "one array after the other of 4 KiB pages, of collapsed huge pages and of the system's pool, "
                + "in turn; commit and collapse: making them; random: one rank, each address known only "
                + "after the read before; new rank: a rank that has just started reads of each 4 KiB"
        ],
        isInTour: false, seconds: { _, _ in 20 }
    ) { run throws(MusterError) in
        let settings = run.settings
        let bytes = max(4 << 20, settings.sizeBytes ?? (settings.isQuick ? 4 << 20 : 1 << 30))
        var bench = PagesBench(
            ranks: run.ranks, samples: run.samples(5), arrayBytes: bytes)
        bench.binding = settings.binding
        bench.verifiesPlacement = settings.leastPlaced != nil
        bench.isSpoilt = settings.isSpoilt
        bench.tracer = run.tracer
        let outcome = try bench.run(progress: run.show)
        for note in outcome.notes { run.note("pages: \(note)") }
        try run.add(outcome.measurement, of: "pages")
    }
}
