// Trace.swift - `--trace FILE`: what each rank did when, for a viewer, and how evenly work was shared.

import ArgumentParser
import Muster
import MusterBench

struct TraceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Record when each rank began and ended each chunk: write it as Chrome trace JSON, which \
            ui.perfetto.dev opens, and report how evenly the work was shared.
            """, valueName: "file"))
    var trace: String?

    @Option(
        parsing: .unconditional,
        help: """
            Chunks that --trace has room for, a rank, and loops, 1 to 100000000. (default: 131072)
            """)
    var traceEvents: Int?

    func validate() throws {
        if let traceEvents, traceEvents < 1 || traceEvents > 100_000_000 {
            throw ValidationError("--trace-events \(traceEvents): 1 to 100000000")
        }
        if traceEvents != nil, trace == nil {
            throw ValidationError("--trace-events: only with --trace FILE")
        }
    }

    /// Fails where a trace is wanted of tests that have nothing to record, one and all.
    static func refuse(_ path: String?, _ tests: [BenchTest]) throws {
        let reasons = tests.compactMap(\.whyUntraced)
        guard path != nil, let reason = reasons.first, reasons.count == tests.count else { return }
        throw ValidationError("--trace: not of \(tests[0].name): \(reason)")
    }

    /// Looks at the file, before anything is measured; nil: none is wanted.
    func open(name: (String) -> String = { $0 }) throws -> Trace? {
        try trace.map { try Trace(name($0), eventsPerRank: eventsPerRank) }
    }

    var eventsPerRank: Int { traceEvents ?? 1 << 17 }
}

/// A trace being written, and what its timelines amount to.
final class Trace {
    private let path: String
    private let eventsPerRank: Int
    /// Begun with the first timeline: a command that is ended before has left nothing.
    private var draft: OutputDraft?
    private var writer: ChromeTrace<any Error>?
    private var problem: (any Error)?
    /// Teams by what they were for, in the order of their first ends.
    private(set) var shares: [TimelineShare] = []

    fileprivate init(_ path: String, eventsPerRank: Int) throws {
        self.path = path
        self.eventsPerRank = eventsPerRank
        try OutputFile.check(path)
    }

    /// Opens the file, which else the first timeline does.
    func begin() throws {
        guard draft == nil else { return }
        let draft = try OutputDraft(path)
        self.draft = draft
        writer = ChromeTrace { try draft.put($0) }
    }

    /// For benchmarks.
    var tracer: Tracer {
        Tracer(eventsPerRank: eventsPerRank) { timeline, name in self.take(timeline, name) }
    }

    func begin(_ team: borrowing Team) throws {
        try team.startTimeline(eventsPerRank: eventsPerRank)
    }

    /// While the arrays of its loops are still there.
    func end(_ team: borrowing Team, _ name: String) throws {
        take(try team.endTimeline(), name)
    }

    /// What can't be written is said by `check`: first come the results.
    func take(_ timeline: Timeline, _ name: String) {
        let place = shares.firstIndex {
            $0.name == name && $0.loads.count == timeline.loads.count
        }
        if let place {
            shares[place].add(timeline)
        } else {
            shares.append(TimelineShare(name, timeline))
        }
        guard problem == nil else { return }
        do {
            try begin()
            try writer!.add(timeline, name: name)
        } catch {
            problem = error
        }
    }

    /// There is no timeline, for a reason.
    func fail(_ reason: any Error) { problem = problem ?? reason }

    /// The file takes its name. Without this call, nothing is left of it.
    func finish() {
        guard problem == nil else { return }
        do {
            guard !shares.isEmpty else {
                throw Failure.cannotRun(
                    "\(path): not written: no loop has run that could be traced")
            }
            try begin()
            guard let writer = writer.take() else { return }
            try writer.end()
            try draft!.finish()
        } catch {
            problem = error
        }
    }

    /// Fails where there is no file, once all results are printed.
    func check() throws {
        if let problem { throw problem }
    }

    /// How evenly the work was shared, as text.
    var lines: [String] {
        shares.flatMap(\.lines) + (problem == nil ? ["", "trace  \(Output.plain(path))"] : [])
    }

    /// The same on stdout.
    func print() { for line in lines { Output.line(line) } }
}

/// What the ranks of one or more teams had to do, rank by rank.
struct TimelineShare: Codable, Sendable {
    struct Load: Codable, Sendable {
        let rank: Int
        /// nil: bound to none, or to another in each team.
        @OrNull var cpu: Int?
        let node: Int
        var chunks: Int
        var busy_s: Double
        @OrNull var waiting_s: Double?
        var stolen: Int
        @OrNull var bytes: UInt64?
        @OrNull var remote_bytes: UInt64?
        /// nil: both are known.
        @OrNull var bytes_reason: String?
    }
    let name: String
    private(set) var teams = 1
    private(set) var loops: Int
    private(set) var dropped_chunks: Int
    private(set) var dropped_loops: Int
    private(set) var loads: [Load]

    init(_ name: String, _ timeline: Timeline) {
        self.name = name
        loops = timeline.loops.count
        dropped_chunks = timeline.droppedChunks
        dropped_loops = timeline.droppedLoops
        loads = zip(timeline.loads, timeline.seats).map { load, seat in
            Load(
                rank: load.rank, cpu: seat.cpu, node: seat.homeNode, chunks: load.chunks,
                busy_s: Double(load.busy) / 1e9, waiting_s: load.waiting.map { Double($0) / 1e9 },
                stolen: load.stolen, bytes: load.bytes, remote_bytes: load.remoteBytes,
                bytes_reason: load.bytesReason)
        }
    }

    /// Another team of as many ranks.
    mutating func add(_ timeline: Timeline) {
        let other = TimelineShare(name, timeline)
        teams += 1
        loops += other.loops
        dropped_chunks += other.dropped_chunks
        dropped_loops += other.dropped_loops
        for (rank, more) in other.loads.enumerated() {
            if loads[rank].cpu != more.cpu { loads[rank].cpu = nil }
            loads[rank].chunks += more.chunks
            loads[rank].busy_s += more.busy_s
            loads[rank].waiting_s = sum(loads[rank].waiting_s, more.waiting_s)
            loads[rank].stolen += more.stolen
            loads[rank].bytes = sum(loads[rank].bytes, more.bytes)
            loads[rank].remote_bytes = sum(loads[rank].remote_bytes, more.remote_bytes)
            loads[rank].bytes_reason = loads[rank].bytes_reason ?? more.bytes_reason
        }
    }

    private func sum<Number: Numeric>(_ one: Number?, _ other: Number?) -> Number? {
        guard let one, let other else { return nil }
        return one + other
    }

    /// "98.2": per cent of the time of its loops; nil: not known.
    private func part(_ load: Load, _ seconds: Double) -> String? {
        guard let waiting = load.waiting_s, load.busy_s + waiting > 0 else { return nil }
        return Figures.short((seconds / (load.busy_s + waiting) * 1000).rounded() / 10)
    }

    /// Columns of its table, in text and on a page.
    static let columns = [
        "rank", "CPU", "node", "chunks", "busy", "%", "waiting", "%", "stolen", "remote", "of",
    ]

    /// A cell of that table: rounded, and with all of its digits where it has more; nil: it is not known.
    struct Cell {
        let text: String?
        let exact: String?
        init(_ text: String?, exact: String? = nil) { (self.text, self.exact) = (text, exact) }
    }

    /// One for each column.
    func cells(_ load: Load) -> [Cell] {
        func time(_ seconds: Double?) -> Cell {
            Cell(seconds.map { Figures.time($0) }, exact: seconds.map { "\($0)" })
        }
        func count(_ number: Int) -> Cell { Cell(Figures.count(number), exact: "\(number)") }
        func amount(_ bytes: UInt64?) -> Cell {
            Cell(bytes.map { Figures.amount(Double($0)) }, exact: bytes.map { "\($0)" })
        }
        return [
            Cell("\(load.rank)"), Cell(load.cpu.map { "\($0)" }), Cell("\(load.node)"),
            count(load.chunks), time(load.busy_s), Cell(part(load, load.busy_s)),
            time(load.waiting_s), Cell(load.waiting_s.flatMap { part(load, $0) }),
            count(load.stolen), amount(load.remote_bytes), amount(load.bytes),
        ]
    }

    /// "12 loops of 3 teams"
    var extent: String {
        Figures.count(loops, "loop") + (teams == 1 ? "" : " of \(Figures.count(teams, "team"))")
    }

    /// What is not in it, and why.
    var remarks: [String] {
        var remarks: [String] = []
        let dropped = [(dropped_chunks, "chunk"), (dropped_loops, "loop")].filter { $0.0 > 0 }
        if !dropped.isEmpty {
            let what = dropped.map { Figures.count($0.0, $0.1) }.joined(separator: " and ")
            remarks.append("incomplete: no room for the last \(what): --trace-events makes more")
        }
        for reason in Set(loads.compactMap(\.bytes_reason)).sorted() {
            let ranks = loads.filter { $0.bytes_reason == reason }.map(\.rank)
            let whose = ranks.count == loads.count ? "" : " of rank \(Figures.list(ranks))"
            remarks.append("remote: not known\(whose): \(reason)")
        }
        return remarks
    }

    /// As text.
    var lines: [String] {
        var table = AlignedTable(TimelineShare.columns.map { ($0, .right) })
        for load in loads { table.add(cells(load).map { $0.text ?? "-" }) }
        return [
            "", Paint.heading(name) + "  \(extent), traced: how evenly they were shared", "",
        ] + table.lines() + (remarks.isEmpty ? [] : [""] + remarks)
    }
}
