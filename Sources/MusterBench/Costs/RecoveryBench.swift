// RecoveryBench.swift - what it costs that nothing can be lost: roll and audit, journal, a death.

internal import MusterCore
internal import Glibc
public import Muster

/// Costs of verification and recovery.
public struct RecoveryBench {
    /// Where ranks run.
    public var binding: Binding = .spread
    /// Whether it is read back where the arrays' pages lie.
    public var verifiesPlacement = false
    /// Has its loops recorded but for those whose empty chunks are measured; nil: they are not.
    public var tracer: Tracer?
    let ranks: Int
    let samples: Int
    let elements: Int

    /// Bytes of the array that a worker has touched before it dies, in the dear case.
    public static let touchedBytes = 1 << 30

    /// A team of `ranks`; `samples` of each figure, at least 1; an array of `arrayBytes`, nil: four times
    /// the last-level caches.
    public init(ranks: Int, samples: Int = 10, arrayBytes: Int? = nil) throws(MusterError) {
        precondition(ranks >= 1 && samples >= 1 && arrayBytes ?? 4096 >= 4096)
        self.ranks = ranks
        self.samples = samples
        let usual = try Topology.read().uncachedBytes
        elements = (arrayBytes ?? usual) / 8
    }

    /// Measures. `progress` is called between figures with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Measurement {
        var rows: [Row] = []
        var total = AuditTotal()
        // Deaths first: they fork, and a leader that has touched much is slower to fork.
        try deaths(&rows, &total, touched: 0, huge: false)
        progress(0.1)
        try deaths(&rows, &total, touched: RecoveryBench.touchedBytes, huge: false)
        progress(0.4)
        try deaths(&rows, &total, touched: RecoveryBench.touchedBytes, huge: true)
        progress(0.6)
        try verification(&rows, &total)
        progress(0.8)
        try journal(&rows, &total)
        progress(1)
        return Measurement(rows: rows, audit: total.report)
    }

    // MARK: - Roll and audit

    /// The cost of a chunk with nothing to do, and what share that is of loops over chunks of some sizes.
    private func verification(_ rows: inout [Row], _ total: inout AuditTotal) throws(MusterError) {
        let team = try Team(size: ranks, binding: binding)
        var array = try team.array(of: Double.self, count: elements)
        try array.fill(1)
        let placed = try placedFraction(of: array, verifiesPlacement)
        let chunks = 1_000_000
        var empty: [Double] = []
        for round in 0...samples {
            let time = try timed(&total) { () throws(MusterError) in
                try team.run(Empty(), count: chunks, grain: 1, schedule: .staticSteal)
            }
            if round > 0 { empty.append(time / Double(chunks)) }
        }
        rows.append(row("verification/ns a chunk", "empty", .time, empty, nil))
        for bytes in [4096, 65536, 262_144] {
            var shares: [Double] = []
            for round in 0...samples {
                let loop = try timed(&total) { () throws(MusterError) in
                    try team.run(
                        ScaleInPlace(factor: 1, x: array.inPlace), grain: bytes / 8,
                        schedule: .staticSteal, recovery: .fail)
                }
                let count = (elements * 8 + bytes - 1) / bytes
                let bare = try timed(&total) { () throws(MusterError) in
                    try team.run(Empty(), count: count, grain: 1, schedule: .staticSteal)
                }
                if round > 0 { shares.append(bare / loop * 100) }
            }
            rows.append(
                row("verification/\(bytes / 1024) KiB chunks", "scale", .percent, shares, placed))
        }
    }

    // MARK: - Journal

    /// Scale in place without a journal, with it, and with a view of the whole chunk: in turn.
    private func journal(_ rows: inout [Row], _ total: inout AuditTotal) throws(MusterError) {
        let team = try Team(size: ranks, binding: binding)
        var array = try team.array(of: Double.self, count: elements)
        try array.fill(1)
        let placed = try placedFraction(of: array, verifiesPlacement)
        let grain = 32_768
        var rates: [[Double]] = [[], [], []]
        var factor = 2.0
        try tracer?.begin(team)
        for round in 0...samples {
            for kind in 0..<3 {
                let tiles = ScaleInPlace(factor: factor, x: array.inPlace)
                let whole = ScaleWhole(factor: factor, x: array.inPlace)
                let time = try timed(&total) { () throws(MusterError) in
                    switch kind {
                    case 0: try team.run(tiles, grain: grain, recovery: .fail)
                    case 1: try team.run(tiles, grain: grain)
                    default: try team.run(whole, grain: grain)
                    }
                }
                factor = factor == 2 ? 0.5 : 2
                if round > 0 { rates[kind].append(Double(elements) * 16 / time) }
            }
        }
        try tracer?.end(team, "recovery in place")
        let last = factor == 2 ? 1.0 : 2.0
        let wrong = array.withSpan { span in span.indices.count { span[$0] != last } }
        guard wrong == 0 else {
            throw MusterError(
                .audit, subject: "recovery", reason: "\(wrong) elements are wrong after scaling")
        }
        for (name, values) in zip(["plain", "tile by tile", "whole chunk"], rates) {
            rows.append(row("in place/\(name)", "scale", .rate, values, placed))
        }
        for (name, kind) in [("tile by tile", 1), ("whole chunk", 2)] {
            let ratios = rates[0].indices.map { rates[0][$0] / rates[kind][$0] }
            rows.append(row("in place/\(name), time over plain", "scale", .ratio, ratios, placed))
        }
    }

    // MARK: - Death

    /// From a worker's SIGKILL to the end of its chunk's second attempt, less that attempt's own time.
    private func deaths(
        _ rows: inout [Row], _ total: inout AuditTotal, touched: Int, huge: Bool
    ) throws(MusterError) {
        let stamps = Stamps(page: try SharedPage(words: Stamps.words))
        defer { stamps.page.release() }
        let team = try Team(size: ranks, binding: binding)
        let count = max(ranks * 512, touched / 8)
        let array = try team.array(
            of: Double.self, count: count, pages: huge ? .transparent : .small)
        let isHuge = array.hugePageBytes > 0
        // What can't be measured here has no row.
        if huge && !isHuge { return }
        let what =
            touched == 0 ? "little touched" : "1 GiB touched, \(isHuge ? "2 MiB" : "4 KiB") pages"
        try tracer?.begin(team)
        var values: [Double] = []
        for round in 0...samples {
            // Every rank touches all of it, as the first process of its rank or as a successor.
            if touched > 0 {
                total.add(try team.run(TouchAll(x: array.gather), count: ranks, grain: 1))
            }
            stamps.reset()
            let kernel = DieOnce(
                x: array.prefix(ranks * 512).output, stamps: stamps, deadly: round % ranks)
            total.add(try team.run(kernel, count: ranks * 512, grain: 512))
            if round > 0, let time = stamps.recovery { values.append(time) }
        }
        try tracer?.end(team, "recovery \(what)")
        guard !values.isEmpty else { return }
        rows.append(
            row(
                "recovery/\(what)", "redo", .time, values,
                try placedFraction(of: array, verifiesPlacement)))
    }

    private func row(
        _ test: String, _ kernel: String, _ quantity: Row.Quantity, _ values: [Double],
        _ placed: Double?
    ) -> Row {
        Row(
            test: test, kernel: kernel, ranks: ranks, quantity: quantity, samples: Samples(values),
            placedFraction: placed)
    }

    private func timed(
        _ total: inout AuditTotal, _ body: () throws(MusterError) -> AuditReport
    ) throws(MusterError) -> Double {
        let started = nanoseconds()
        let report = try body()
        let elapsed = nanoseconds() - started
        total.add(report)
        return elapsed
    }
}

private struct ScaleInPlace: Kernel {
    let factor: Double
    let x: SharedArray<Double>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        x.update(chunk) { x in
            for i in x.indices { x[i] *= factor }
        }
    }
}

private struct ScaleWhole: Kernel {
    let factor: Double
    let x: SharedArray<Double>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        x.updateWhole(chunk) { x in
            for i in x.indices { x[i] *= factor }
        }
    }
}

/// Maps every page into the rank's process.
private struct TouchAll: Kernel {
    let x: SharedArray<Double>.Gather
    func process(_ chunk: borrowing Chunk) throws {
        let all = x.span(in: chunk)
        var sum = 0.0
        for i in stride(from: 0, to: all.count, by: 512) { sum += all[i] }
        if sum.isNaN { throw MusterError(.audit, subject: "x", reason: "no number") }
    }
}

/// Times that all processes see; 0: has not happened.
private struct Stamps: BitwiseCopyable {
    private static let (killed, began, ended) = (0, 1, 2)
    static let words = 3
    let page: SharedPage

    func reset() { for word in 0..<Stamps.words { page[word] = 0 } }
    var hasKilled: Bool { page[Stamps.killed] > 0 }
    func kill() { page[Stamps.killed] = nanoseconds() }
    func begin() { page[Stamps.began] = nanoseconds() }
    func end() { page[Stamps.ended] = nanoseconds() }

    /// From the kill to the redone chunk's end, less its own time; nil: nobody was killed.
    var recovery: Double? {
        guard hasKilled, page[Stamps.ended] > 0 else { return nil }
        return page[Stamps.began] - page[Stamps.killed]
    }
}

/// Writes its chunk; one chunk's first worker kills itself half-way.
private struct DieOnce: Kernel {
    let x: SharedArray<Double>.Output
    let stamps: Stamps
    let deadly: Int
    func process(_ chunk: borrowing Chunk) throws {
        let isDeadly = chunk.index == deadly
        let isAgain = isDeadly && stamps.hasKilled
        if isAgain { stamps.begin() }
        x.write(chunk) { x in
            for i in x.indices {
                if isDeadly && !isAgain && i == x.count / 2 {
                    stamps.kill()
                    raise(SIGKILL)
                }
                x[i] = 1
            }
        }
        if isAgain { stamps.end() }
    }
}
