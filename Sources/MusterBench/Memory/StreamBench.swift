// StreamBench.swift - memory bandwidth as STREAM measures it: copy, scale, add, triad.
//
// Source: John D. McCalpin, STREAM 5.10. Kernels, their order and what counts as a byte moved are
// STREAM's: 8 bytes for each element read and each written, none for lines that the CPU reads only
// to write to them. Two things differ, and make the check stronger. The factor is 0.4 as in
// BabelStream, so that values neither overflow nor vanish over many rounds. And elements are not
// all equal: element i begins as STREAM's value times 2^(i mod 7). Multiplying by a power of two is
// exact, so one expected value serves for all elements; and an element that was taken from a
// neighbouring vector, tile, page or chunk shows, since 7 divides no power of two.

internal import MusterCore
public import Muster

/// Copy, scale, add and triad over three arrays of doubles.
public struct StreamBench {
    /// How kernels write.
    public enum Stores: Sendable {
        /// Past the caches when the three arrays together exceed the last-level caches.
        case automatic
        /// Through the caches.
        case plain
    }

    /// An array with wrong elements after the last round.
    public struct Fault: Sendable {
        /// "a", "b" or "c".
        public let array: String
        /// How many of its elements are wrong.
        public let wrongElements: Int
    }

    /// What a run gives. The rates mean something only where there are no faults.
    public struct Outcome: Sendable {
        /// Rates and audit.
        public let measurement: Measurement
        /// Arrays that don't hold what they should.
        public let faults: [Fault]
        /// Elements of each array.
        public let elements: Int
        /// Whether the kernels wrote past the caches.
        public let isStreaming: Bool
        /// Bytes of the three arrays that are in huge pages.
        public let hugePageBytes: Int
        /// What could not be done as asked about placement and pages.
        public let notes: [String]
    }

    /// Elements of a chunk: 256 KiB of doubles.
    public static let grain = 32_768

    /// STREAM's rule: an array has at least four times the size of all last-level caches.
    public static let cacheMultiple = 4

    /// Where ranks run.
    public var binding: Binding = .spread
    /// Has its loops recorded; nil: they are not.
    public var tracer: Tracer?
    let ranks: Int
    let elements: Int
    let samples: Int
    let isStreaming: Bool
    let cacheBytes: UInt64
    let placement: Placement
    let pages: Pages

    /// A run. Nothing is allocated yet.
    ///
    /// - Parameters:
    ///   - ranks: Size of the team.
    ///   - arrayBytes: Size of each array, at least 8; nil: `cacheMultiple` times all last-level
    ///     caches, or 256 MiB where the host doesn't say how large they are.
    ///   - samples: Rounds after the first, which is dropped; at least 1.
    ///   - stores: How kernels write.
    ///   - placement: On which nodes the arrays should lie.
    ///   - pages: Which pages they should have.
    /// - Throws: `.memory` when this host has not enough of it now.
    public init(
        ranks: Int, arrayBytes: Int? = nil, samples: Int = 10, stores: Stores = .automatic,
        placement: Placement = .firstTouch, pages: Pages = .automatic
    ) throws(MusterError) {
        precondition(samples >= 1 && arrayBytes ?? 8 >= 8, "at least one sample and one element")
        self.ranks = ranks
        self.samples = samples
        self.placement = placement
        self.pages = pages
        let host = try Topology.read()
        cacheBytes = host.lastLevelCacheTotalBytes
        elements = (arrayBytes ?? host.uncachedBytes) / 8
        let bytes = UInt64(elements) * 8
        isStreaming =
            stores == .automatic
            && bytes.multipliedReportingOverflow(by: 3).partialValue > cacheBytes
        try StreamBench.checkMemory(arrayBytes: bytes, isDefault: arrayBytes == nil)
    }

    /// Whether the arrays are too small for the result to be the memory's.
    public var isCached: Bool {
        UInt64(elements) * 8 < cacheBytes * UInt64(StreamBench.cacheMultiple)
    }

    private static func checkMemory(arrayBytes: UInt64, isDefault: Bool) throws(MusterError) {
        var available: UInt64 = 0
        guard muster_memory_available(&available) == 0 else { return }
        let (total, overflow) = arrayBytes.multipliedReportingOverflow(by: 3)
        guard overflow || total > available else { return }
        let why = isDefault ? " (\(cacheMultiple) times this host's last-level caches)" : ""
        throw MusterError(
            .memory, subject: "stream",
            reason:
                "three arrays of \(arrayBytes) bytes each\(why) don't fit into the \(available) "
                + "bytes of memory that are available now; --size sets smaller arrays",
            errorNumber: ENOMEM)
    }

    /// Measures and checks.
    ///
    /// - Parameters:
    ///   - isSpoilt: For tests: one bit of one result is flipped before the check.
    ///   - verifiesPlacement: Reads back where the pages lie, after the last round.
    ///   - progress: Called between loops with what is done, 0...1.
    public func run(
        isSpoilt: Bool = false, verifiesPlacement: Bool = false,
        progress: (Double) -> Void = { _ in }
    ) throws(MusterError) -> Outcome {
        let team = try Team(size: ranks, binding: binding)
        var a = try team.array(
            of: Double.self, count: elements, placement: placement, pages: pages)
        let b = try team.array(
            of: Double.self, count: elements, placement: placement, pages: pages)
        let c = try team.array(
            of: Double.self, count: elements, placement: placement, pages: pages)
        try tracer?.begin(team)
        var total = AuditTotal()
        total.add(
            try team.run(
                Begin(a: a.output, b: b.output, c: c.output), grain: StreamBench.grain))

        let factor = 0.4
        let copy = Bulk.Copy(to: c.output, from: a.input, streaming: isStreaming)
        let scale = Bulk.Scale(to: b.output, factor: factor, from: c.input, streaming: isStreaming)
        let add = Bulk.Add(to: c.output, a: a.input, b: b.input, streaming: isStreaming)
        let triad = Bulk.Triad(
            to: a.output, a: b.input, factor: factor, b: c.input, streaming: isStreaming)
        var rates: [[Double]] = [[], [], [], []]
        // The first round is the one that finds page tables, branch predictors and caches cold.
        for round in 0...samples {
            let now = [
                try rate(of: copy, bytes: 16, team, &total),
                try rate(of: scale, bytes: 16, team, &total),
                try rate(of: add, bytes: 24, team, &total),
                try rate(of: triad, bytes: 24, team, &total),
            ]
            if round > 0 { for kernel in 0..<4 { rates[kernel].append(now[kernel]) } }
            progress(Double(round + 1) / Double(samples + 2))
        }

        if isSpoilt {
            let victim = elements / 2
            a[victim] = Double(bitPattern: a[victim].bitPattern ^ 1)
        }
        let expected = StreamBench.expected(rounds: samples + 1, factor: factor)
        var faults: [Fault] = []
        for (name, array, value) in [
            ("a", a.input, expected.a), ("b", b.input, expected.b), ("c", c.input, expected.c),
        ] {
            let (wrong, report) = try team.reduce(
                WrongElements(array: array, expected: value), grain: StreamBench.grain)
            total.add(report)
            if wrong > 0 { faults.append(Fault(array: name, wrongElements: wrong)) }
        }
        try tracer?.end(team, "stream")
        let parts = [
            try placedFraction(of: a, verifiesPlacement),
            try placedFraction(of: b, verifiesPlacement),
            try placedFraction(of: c, verifiesPlacement),
        ]
        let fraction = parts.compactMap { $0 }.min()
        var notes: [String] = []
        for note in a.notes + b.notes + c.notes where !notes.contains(note) { notes.append(note) }
        let rows = zip(["copy", "scale", "add", "triad"], rates).map { name, values in
            Row(
                test: "stream", kernel: name, ranks: ranks, quantity: .rate,
                samples: Samples(values), placedFraction: fraction)
        }
        return Outcome(
            measurement: Measurement(rows: rows, audit: total.report), faults: faults,
            elements: elements, isStreaming: isStreaming,
            hugePageBytes: a.hugePageBytes + b.hugePageBytes + c.hugePageBytes, notes: notes)
    }

    /// Runs a kernel once. Returns GB/s: bytes a nanosecond.
    private func rate<Work: Kernel>(
        of kernel: Work, bytes: Int, _ team: borrowing Team, _ total: inout AuditTotal
    ) throws(MusterError) -> Double {
        let started = nanoseconds()
        let report = try team.run(kernel, grain: StreamBench.grain)
        let elapsed = nanoseconds() - started
        total.add(report)
        return Double(bytes) * Double(elements) / elapsed
    }

    /// What an element with i mod 7 = 0 holds after some rounds, computed one at a time in the
    /// order and with the roundings of the kernels.
    static func expected(rounds: Int, factor: Double) -> (a: Double, b: Double, c: Double) {
        var (a, b, c) = (Begin.a, Begin.b, Begin.c)
        for _ in 0..<rounds {
            c = a
            b = factor * c
            c = a + b
            a = b + factor * c
        }
        return (a, b, c)
    }
}

/// By what element i differs from element 0.
func pattern(_ index: Int) -> Double { Double(1 << (index % 7)) }

/// Values to begin with: STREAM's, times the pattern.
private struct Begin: Kernel {
    static let (a, b, c) = (1.0, 2.0, 0.0)
    let a: SharedArray<Double>.Output
    let b: SharedArray<Double>.Output
    let c: SharedArray<Double>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let first = chunk.range.lowerBound
        a.write(chunk) { a in for i in a.indices { a[i] = Begin.a * pattern(first + i) } }
        b.write(chunk) { b in for i in b.indices { b[i] = Begin.b * pattern(first + i) } }
        c.write(chunk) { c in for i in c.indices { c[i] = Begin.c * pattern(first + i) } }
    }
}

/// Counts elements that are not, to the bit, what they should be.
struct WrongElements: Reduction {
    let array: SharedArray<Double>.Input
    let expected: Double

    var identity: Int { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Int {
        let first = chunk.range.lowerBound
        let values = array.span(chunk)
        var wrong = 0
        for i in values.indices
        where values[i].bitPattern != (expected * pattern(first + i)).bitPattern {
            wrong += 1
        }
        return wrong
    }

    func combine(_ left: Int, _ right: Int) -> Int { left + right }
}
