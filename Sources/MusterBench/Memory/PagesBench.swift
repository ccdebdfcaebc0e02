// PagesBench.swift - what the size of a page does to memory: commit, collapse, sum, random access, and a new
// rank's first read, over 4 KiB and huge pages in turn.

internal import MusterCore
internal import Glibc
public import Muster

/// Memory over small and huge pages.
public struct PagesBench {
    /// A run's result.
    public struct Outcome: Sendable {
        /// Rows and audit.
        public let measurement: Measurement
        /// Pages that could not be had, and placements that could not be enforced, in words.
        public let notes: [String]
    }

    /// Where ranks run.
    public var binding: Binding = .spread
    /// Whether it is read back where the arrays' pages lie.
    public var verifiesPlacement = false
    /// Has the loops of sum and random recorded; nil: they are not.
    public var tracer: Tracer?
    /// For tests: one element is changed before it is checked.
    package var isSpoilt = false
    let ranks: Int
    let samples: Int
    let elements: Int

    /// Random reads of one sample.
    static let steps = 1 << 20
    private static let multiplier: UInt64 = 6_364_136_223_846_793_005  // Knuth's MMIX
    private static let increment: UInt64 = 1_442_695_040_888_963_407

    /// A team of `ranks`; `samples` of each figure, at least 1; arrays of `arrayBytes`, at least 4 MiB.
    public init(ranks: Int, samples: Int = 5, arrayBytes: Int = 1 << 30) {
        precondition(ranks >= 1 && samples >= 1 && arrayBytes >= 4 << 20)
        self.ranks = ranks
        self.samples = samples
        elements = arrayBytes / 8
    }

    /// Measures. `progress` is called between figures with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Outcome {
        let team = try Team(size: ranks, binding: binding)
        var kinds = [Pages.small, .transparent, .pool2MiB]
        var figures: [Figure: [Pages: [Double]]] = [:]
        var placed: [Pages: Double] = [:]
        var notes: [String] = []
        var total = AuditTotal()
        // In turn, since a machine's memory can change its speed meanwhile. The first round is dropped: a
        // virtual machine has its memory handed over in it.
        for round in 0...samples {
            for (number, pages) in kinds.enumerated() {
                let found = try measure(team, pages, &total)
                for note in found.notes where !notes.contains(note) { notes.append(note) }
                if let part = found.placed { placed[pages] = min(part, placed[pages] ?? 1) }
                if found.values.isEmpty { kinds.removeAll { $0 == pages } }
                for (figure, value) in found.values where round > 0 {
                    figures[figure, default: [:]][pages, default: []].append(value)
                }
                progress(
                    Double(round * kinds.count + number + 1) / Double((samples + 1) * kinds.count))
            }
        }
        var rows: [Row] = []
        for figure in Figure.allCases {
            for pages in kinds {
                guard let values = figures[figure]?[pages], values.count == samples else {
                    continue
                }
                rows.append(
                    Row(
                        test: "pages/\(figure.rawValue)/\(pages)", kernel: figure.rawValue,
                        ranks: ranks,
                        quantity: figure.isTime ? .time : .rate, samples: Samples(values),
                        placedFraction: placed[pages]))
            }
        }
        return Outcome(measurement: Measurement(rows: rows, audit: total.report), notes: notes)
    }

    private enum Figure: String, CaseIterable {
        case commit
        case collapse
        case sum
        case random
        case newRank = "new rank"

        /// Else a rate.
        var isTime: Bool { self == .random || self == .newRank }
    }

    /// One array of such pages, from its making to its end; nothing where they can't be had.
    private func measure(
        _ team: borrowing Team, _ pages: Pages, _ total: inout AuditTotal
    ) throws(MusterError) -> (values: [Figure: Double], placed: Double?, notes: [String]) {
        var values: [Figure: Double] = [:]
        let bytes = Double(elements * 8)
        var start = nanoseconds()
        var array = try team.array(of: UInt64.self, count: elements, pages: pages)
        values[.commit] = bytes / (nanoseconds() - start)
        // What stands in for pages that can't be had is measured under its own name.
        guard array.pageNotes.isEmpty else { return ([:], nil, array.notes) }
        try array.fill(1)
        if isSpoilt { array[elements / 2] = 2 }

        try tracer?.begin(team)
        let sum = Sum(values: array.input)
        for _ in 0..<2 {  // the first finds page tables cold
            start = nanoseconds()
            let (result, report) = try team.reduce(sum)
            values[.sum] = bytes / (nanoseconds() - start)
            total.add(report)
            try check(result == UInt64(elements), "sum", pages)
        }
        let end = try team.array(of: UInt64.self, count: 1)
        start = nanoseconds()
        total.add(
            try team.run(
                RandomReads(
                    values: array.input, end: end.output, multiplier: PagesBench.multiplier,
                    increment: PagesBench.increment), count: 1))
        values[.random] = (nanoseconds() - start) / Double(PagesBench.steps)
        try check(end[0] == expectedEnd, "random access", pages)
        // Not further: loops that wait for a death to be noticed would fill the room.
        try tracer?.end(team, "pages \(pages)")

        // A rank that takes over another has no page table yet. Loops with nothing to do notice the death,
        // and start it.
        let last = ranks - 1
        let victim = team.processIDs[last]
        let killed = muster_team_kill(team.handle, UInt32(last))
        guard killed == 0 else {
            throw MusterError(
                .system, subject: "rank \(last)", reason: "can't be ended: status \(killed)")
        }
        while team.processIDs[last] == victim {
            total.add(try team.run(Empty(), count: ranks, grain: 1))
        }
        let touched = try team.array(of: UInt64.self, count: ranks)
        start = nanoseconds()
        total.add(
            try team.eachRank(TouchAll(rank: last, values: array.input, sum: touched.output)))
        values[.newRank] = nanoseconds() - start
        try check(touched[last] == UInt64((elements + 511) / 512), "first read", pages)

        if pages == .small {
            let collapsed = array.withSpan { span in
                span.withUnsafeBufferPointer { buffer -> Double? in
                    let whole = elements * 8 / (2 << 20) * (2 << 20)
                    let address = UnsafeMutableRawPointer(mutating: buffer.baseAddress!)
                    let begun = nanoseconds()
                    guard madvise(address, whole, 25) == 0 else { return nil }  // MADV_COLLAPSE
                    return Double(whole) / (nanoseconds() - begun)
                }
            }
            values[.collapse] = collapsed
        }
        let placed = try placedFraction(of: array, verifiesPlacement)
        return (values, placed, array.notes)
    }

    private var expectedEnd: UInt64 {
        var state: UInt64 = 0
        for _ in 0..<PagesBench.steps {
            state = state &* PagesBench.multiplier &+ PagesBench.increment
        }
        return state
    }

    private func check(_ holds: Bool, _ what: String, _ pages: Pages) throws(MusterError) {
        guard holds else {
            throw MusterError(
                .audit, subject: "pages \(pages)", reason: "\(what) has a wrong result")
        }
    }
}

private struct Sum: Reduction {
    let values: SharedArray<UInt64>.Input
    var identity: UInt64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> UInt64 {
        let values = values.span(chunk)
        var sum: UInt64 = 0
        for i in values.indices { sum &+= values[i] }
        return sum
    }
    func combine(_ left: UInt64, _ right: UInt64) -> UInt64 { left &+ right }
}

/// Reads at random, each address made of the value before: all values are 1, which the CPU can't know.
private struct RandomReads: Kernel {
    let values: SharedArray<UInt64>.Input
    let end: SharedArray<UInt64>.Output
    let multiplier: UInt64
    let increment: UInt64

    func process(_ chunk: borrowing Chunk) throws {
        let values = values.span(0..<values.count, in: chunk)
        let count = UInt64(values.count)
        var state: UInt64 = 0
        for _ in 0..<PagesBench.steps {
            // The high half of a product: a number below count.
            let index = Int(state.multipliedFullWidth(by: count).high)
            state = state &* multiplier &+ increment &+ (values[index] &- 1)
        }
        end.write(chunk) { $0[0] = state }
    }
}

/// One rank reads an element of each 4 KiB of all the array.
private struct TouchAll: Kernel {
    let rank: Int
    let values: SharedArray<UInt64>.Input
    let sum: SharedArray<UInt64>.Output

    func process(_ chunk: borrowing Chunk) throws {
        var found: UInt64 = 0
        if chunk.rank == rank {
            let values = values.span(0..<values.count, in: chunk)
            for i in stride(from: 0, to: values.count, by: 512) { found &+= values[i] }
        }
        sum.write(chunk) { $0[0] = found }
    }
}
