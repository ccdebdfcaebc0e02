// MigrateBench.swift - what it costs to move an array's pages from one node to another.
//
// The kernel moves only pages that no other process maps, so the team is the leader alone, and it
// makes the calls itself. After each move the pages are read back: a page that stayed cost nothing,
// and would make the others look cheap.

internal import MusterCore
internal import Muster

/// Pages of one array, moved to and fro between two nodes.
private struct Migration: ~Copyable {
    private let team: Team
    private let array: SharedArray<Double>
    private let stepBytes: Int
    let bytes: Int

    /// nil: such pages can't be had, and `reason` says why.
    private(set) var reason: String?

    init(_ run: BenchRun, pages: Pages, on node: Topology.Node, bytes: Int) throws(MusterError) {
        let binding: Binding = run.cpus(of: node).first.map { .cpus([$0]) } ?? .none
        // Locals first: what owns memory can't be half made when an error ends this.
        let team = try Team(size: 1, leader: .works, binding: binding)
        let array = try team.array(
            of: Double.self, count: bytes / 8, placement: .bind(node: node.id), pages: pages)
        run.add(try team.run(Patterned(to: array.output, value: 1), grain: StreamBench.grain))
        stepBytes = pages == .small ? run.host.pageBytes : Int(MUSTER_HUGE_PAGE_BYTES)
        if pages != .small && array.hugePageBytes < bytes {
            reason =
                array.notes.first
                ?? "\(array.hugePageBytes) of \(bytes) bytes were given in huge pages"
        }
        self.bytes = bytes
        self.team = team
        self.array = array
    }

    /// Moves all pages. Returns the nanoseconds that it took, and the bytes that are there then.
    func move(to node: Int) throws(MusterError) -> (nanoseconds: Double, moved: UInt64) {
        let started = nanoseconds()
        let status = array.withSpan { span in
            span.withUnsafeBytes {
                muster_placement_move(
                    UnsafeMutableRawPointer(mutating: $0.baseAddress!), UInt64(bytes),
                    UInt64(stepBytes), UInt32(node))
            }
        }
        let elapsed = nanoseconds() - started
        guard status == 0 else {
            throw MusterError(
                .placement, subject: "node \(node)",
                reason: "the kernel moves no pages there (status \(status))", errorNumber: -status)
        }
        return (elapsed, try array.residency().bytesByNode[node] ?? 0)
    }

    /// Fails unless every element is what it was.
    func check(_ run: BenchRun, _ subject: String) throws(MusterError) {
        let expected = run.settings.isSpoilt ? 2.0 : 1.0
        let (wrong, report) = try team.reduce(
            WrongElements(array: array.input, expected: expected), grain: StreamBench.grain)
        run.add(report)
        try run.require(wrong == 0, subject, "\(wrong) of \(bytes / 8) elements are wrong")
    }
}

extension BenchTest {
    static let migrate = BenchTest(
        "migrate", "moving an array's pages from one node to another, by the size of a page",
        method: [
            "one process moves all pages of an array that it alone maps (move_pages), to and fro; GB/s: "
                + "bytes moved; page: ns a page; read back after each move, elements compared at the end"
        ], whyUntraced: "what it times is no loop of a team but the kernel, which moves pages",
        seconds: { host, _ in
            let nodes = host.nodes.count { $0.hasMemory && $0.isAllowed }
            return Double(nodes * (nodes - 1)) * 0.4
        }
    ) { run throws(MusterError) in
        let nodes = run.nodes.filter { $0.hasMemory && $0.isAllowed }
        let kinds: [Pages] = run.settings.pages.map { [$0] } ?? [.small, .transparent]
        // Whole huge pages.
        let unit = Int(MUSTER_HUGE_PAGE_BYTES)
        let wanted = run.settings.sizeBytes ?? (run.settings.isQuick ? 4 << 20 : 32 << 20)
        let bytes = max(1, wanted / unit) * unit
        if nodes.count < 2 {
            let others = run.host.nodes.count - nodes.count
            let reason =
                "pages can only be moved between two nodes with memory, and "
                + (others > 0 || run.settings.nodes != nil
                    ? "this process may use \(nodes.count) of those it is to use"
                    : "this host has one node")
            for pages in kinds { run.skipMigration(pages, reason: reason) }
            return
        }
        var done = 0.0
        let pairs = nodes.indices.flatMap { a in nodes[(a + 1)...].map { (nodes[a], $0) } }
        for pages in kinds {
            for (one, other) in pairs {
                try run.progress(done / Double(kinds.count * pairs.count))
                done += 1
                try run.migrate(one, other, pages, bytes)
            }
        }
    }
}

extension BenchRun {
    fileprivate func skipMigration(
        _ pages: Pages, _ nodes: (from: Int, to: Int)? = nil, reason: String
    ) {
        var parameters: [String: Row.Parameter] = ["pages": .text("\(pages)")]
        if let nodes {
            parameters["from_node"] = .number(nodes.from)
            parameters["to_node"] = .number(nodes.to)
        }
        for (kernel, quantity) in [("move", Row.Quantity.rate), ("page", .time)] {
            add(
                Row(
                    test: "migrate", kernel: kernel, ranks: 0, quantity: quantity,
                    parameters: parameters, reason: reason))
        }
    }

    /// Both ways between two nodes.
    fileprivate func migrate(
        _ one: Topology.Node, _ other: Topology.Node, _ pages: Pages, _ bytes: Int
    ) throws(MusterError) {
        let ways = [(from: one.id, to: other.id), (from: other.id, to: one.id)]
        func skip(_ reason: String) {
            for way in ways { skipMigration(pages, way, reason: reason) }
        }
        var taken: [[Double]] = [[], []]
        let pageBytes = pages == .small ? host.pageBytes : Int(MUSTER_HUGE_PAGE_BYTES)
        do throws(MusterError) {
            let migration = try Migration(self, pages: pages, on: one, bytes: bytes)
            if let reason = migration.reason { return skip(reason) }
            for round in 0...samples(5) {
                for (number, way) in ways.enumerated() {
                    let (time, moved) = try migration.move(to: way.to)
                    guard moved == UInt64(bytes) else {
                        return skip(
                            "\(UInt64(bytes) - moved) of \(bytes) bytes stayed where they were, from "
                                + "node \(way.from) to node \(way.to)")
                    }
                    if round > 0 { taken[number].append(time) }
                }
            }
            try migration.check(self, "migrate: pages \(pages), nodes \(one.id) and \(other.id)")
        } catch {
            switch error.code {
            case .placement, .memory: return skip(error.description)
            default: throw error
            }
        }
        for (way, times) in zip(ways, taken) {
            let parameters: [String: Row.Parameter] = [
                "from_node": .number(way.from), "to_node": .number(way.to),
                "pages": .text("\(pages)"), "size_bytes": .number(bytes),
            ]
            add(
                Row(
                    test: "migrate", kernel: "move", ranks: 1, quantity: .rate,
                    samples: Samples(times.map { Double(bytes) / $0 }), parameters: parameters,
                    placedFraction: 1))
            add(
                Row(
                    test: "migrate", kernel: "page", ranks: 1, quantity: .time,
                    samples: Samples(times.map { $0 / Double(bytes / pageBytes) }),
                    parameters: parameters, placedFraction: 1))
        }
    }
}
