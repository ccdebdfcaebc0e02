// BandwidthBench.swift - bandwidth from the CPUs of one node to the memory of another: `matrix`, `mixes`,
// `scaling`, `placement`.
//
// A rig is a team, its arrays and what the kernels move. Every kernel's result is checked to the bit
// after the last sample, and where the pages lie is read back.

internal import MusterCore
internal import Muster

/// What the ranks of a bandwidth test run.
enum BandwidthKernel: String, CaseIterable {
    case read, write
    case writePast = "write-nt"
    case copy, triad

    /// Bytes an element, as STREAM counts.
    var bytes: Int {
        switch self {
        case .read, .write, .writePast: 8
        case .copy: 16
        case .triad: 24
        }
    }
}

/// Sets every element, past the caches or through them.
private struct Write: Kernel {
    let to: SharedArray<Double>.Output
    let value: Double
    let isStreaming: Bool

    func process(_ chunk: borrowing Chunk) throws {
        to.write(chunk) { to in
            to.withUnsafeMutableBufferPointer {
                muster_kernels_best().pointee.fill($0.baseAddress, value, $0.count, isStreaming)
            }
        }
    }
}

/// Begins an array with a pattern that tells neighbours apart.
struct Patterned: Kernel {
    let to: SharedArray<Double>.Output
    let value: Double

    func process(_ chunk: borrowing Chunk) throws {
        let first = chunk.range.lowerBound
        to.write(chunk) { to in for i in to.indices { to[i] = value * pattern(first + i) } }
    }
}

/// Counts elements that are not exactly a value.
private struct NotEqual: Reduction {
    let array: SharedArray<Double>.Input
    let value: Double

    var identity: Int { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Int {
        let values = array.span(chunk)
        var wrong = 0
        for i in values.indices where values[i] != value { wrong += 1 }
        return wrong
    }

    func combine(_ left: Int, _ right: Int) -> Int { left + right }
}

/// A team with three arrays of doubles.
struct BandwidthRig: ~Copyable {
    private let team: Team
    private var a: SharedArray<Double>
    private let b: SharedArray<Double>
    private let c: SharedArray<Double>
    private let run: BenchRun
    private let subject: String
    private let isStreaming: Bool
    let elements: Int
    var ranks: Int { team.size }
    /// Copies of each array that kernels only read.
    var copies: Int { b.copies }

    /// Elements of a chunk.
    private static let grain = StreamBench.grain
    /// 1 + 0.5 * 1.5, times a power of two: exact.
    private static let (one, other, factor) = (1.0, 1.5, 0.5)

    /// A mirrored placement is for the arrays that are read: the one that kernels write has first touch.
    init(
        _ run: BenchRun, ranks: Int, binding: Binding, placement: Placement, pages: Pages,
        subject: String
    ) throws(MusterError) {
        self.run = run
        self.subject = subject
        let bytes = run.settings.arrayBytes(run.host)
        elements = max(1, bytes / 8)
        isStreaming = UInt64(bytes) * 3 > run.host.lastLevelCacheTotalBytes
        // Locals first: what owns memory can't be half made when an error ends this.
        let team = try Team(size: ranks, binding: binding)
        let a = try team.array(
            of: Double.self, count: elements,
            placement: placement == .mirrored ? .firstTouch : placement, pages: pages)
        var b = try team.array(
            of: Double.self, count: elements, placement: placement, pages: pages)
        var c = try team.array(
            of: Double.self, count: elements, placement: placement, pages: pages)
        try run.tracer?.begin(team)
        for note in a.notes + b.notes + c.notes { run.note("\(subject): \(note)") }
        run.add(try team.run(Patterned(to: a.output, value: 0), grain: BandwidthRig.grain))
        try BandwidthRig.begin(&b, BandwidthRig.one, team, run)
        try BandwidthRig.begin(&c, BandwidthRig.other, team, run)
        self.team = team
        self.a = a
        self.b = b
        self.c = c
    }

    /// Gives an array the pattern. A mirrored one is the leader's to write.
    private static func begin(
        _ array: inout SharedArray<Double>, _ value: Double, _ team: borrowing Team, _ run: BenchRun
    ) throws(MusterError) {
        guard array.placement == .mirrored else {
            run.add(try team.run(Patterned(to: array.output, value: value), grain: grain))
            return
        }
        array.withMutableSpan { span in
            for i in span.indices { span[i] = value * pattern(i) }
        }
        try array.mirror()
    }

    /// GB/s of one kernel after a first run that is dropped; its result is checked then.
    mutating func samples(_ kernel: BandwidthKernel, count: Int) throws(MusterError) -> Samples {
        var values: [Double] = []
        for round in 0...count {
            let rate = try once(kernel)
            if round > 0 { values.append(rate) }
        }
        try check(kernel)
        return Samples(values)
    }

    private func once(_ kernel: BandwidthKernel) throws(MusterError) -> Double {
        let grain = BandwidthRig.grain
        let started = nanoseconds()
        let report: AuditReport
        switch kernel {
        case .read:
            let (sum, found) = try team.reduce(Bulk.Sum(b.input), grain: grain)
            report = found
            // Sums of small powers of two are exact in any order.
            let right = BandwidthRig.one * BandwidthRig.patternSum(elements)
            try run.require(sum == right, subject, "read: the sum is \(sum) and not \(right)")
        case .write, .writePast:
            report = try team.run(
                Write(to: a.output, value: 7, isStreaming: kernel == .writePast), grain: grain)
        case .copy:
            report = try team.run(
                Bulk.Copy(to: a.output, from: b.input, streaming: isStreaming), grain: grain)
        case .triad:
            report = try team.run(
                Bulk.Triad(
                    to: a.output, a: b.input, factor: BandwidthRig.factor, b: c.input,
                    streaming: isStreaming), grain: grain)
        }
        let elapsed = nanoseconds() - started
        run.add(report)
        return Double(kernel.bytes) * Double(elements) / elapsed
    }

    /// Sum of the pattern over the first elements: 127 for each full seven.
    static func patternSum(_ elements: Int) -> Double {
        Double(elements / 7 * 127 + ((1 << (elements % 7)) - 1))
    }

    private mutating func check(_ kernel: BandwidthKernel) throws(MusterError) {
        guard kernel != .read else { return }
        if run.settings.isSpoilt {
            a[elements / 2] = Double(bitPattern: a[elements / 2].bitPattern ^ 1)
        }
        let wrong: Int
        let report: AuditReport
        if kernel == .write || kernel == .writePast {
            (wrong, report) = try team.reduce(
                NotEqual(array: a.input, value: 7), grain: BandwidthRig.grain)
        } else {
            let value =
                kernel == .copy
                ? BandwidthRig.one : BandwidthRig.one + BandwidthRig.factor * BandwidthRig.other
            (wrong, report) = try team.reduce(
                WrongElements(array: a.input, expected: value), grain: BandwidthRig.grain)
        }
        run.add(report)
        try run.require(
            wrong == 0, "\(subject): \(kernel.rawValue)",
            "\(wrong) of \(elements) elements are wrong")
    }

    /// After the last kernel.
    func endTrace() throws(MusterError) { try run.tracer?.end(team, subject) }

    /// The part of the arrays that lies on a node.
    func placed(on node: Int) throws(MusterError) -> Double? {
        let parts = [
            try run.placed(a, on: node, subject), try run.placed(b, on: node, subject),
            try run.placed(c, on: node, subject),
        ]
        return parts.compactMap { $0 }.min()
    }

    /// The part of the arrays that lies where their placement says.
    func placed() throws(MusterError) -> Double? {
        try run.placed(subject) { () throws(MusterError) in
            min(try a.verifiedFraction(), try b.verifiedFraction(), try c.verifiedFraction())
        }
    }
}

extension BenchTest {
    private static let counted =
        "bytes as STREAM counts them, no write-allocate: read and write 8 an element, copy 16, triad "
        + "24; dispatch, join and audit are within the time"

    static let matrix = BenchTest(
        "matrix",
        "bandwidth, CPU node x memory node: read, write, write past the caches, copy, triad",
        method: [
            "all ranks of one node work on three arrays that lie on one node, each of 4 times all "
                + "last-level caches unless --size says otherwise; \(counted)",
            "write goes through the caches, so the memory also reads each line; write-nt, copy and "
                + "triad store past them where the arrays don't fit in",
        ],
        seconds: { host, _ in Double(host.nodes.count * host.nodes.count) * 1.5 }
    ) { run throws(MusterError) in
        let nodes = run.nodes
        let all = Double(nodes.count * nodes.count * BandwidthKernel.allCases.count)
        var done = 0.0
        for cpu in nodes {
            for memory in nodes {
                var parameters: [String: Row.Parameter] = [
                    "cpu_node": .number(cpu.id), "memory_node": .number(memory.id),
                ]
                if let reason = run.obstacle(cpu: cpu, memory: memory) {
                    for kernel in BandwidthKernel.allCases {
                        run.add(
                            Row(
                                test: "matrix", kernel: kernel.rawValue, ranks: 0, quantity: .rate,
                                parameters: parameters, reason: reason))
                        done += 1
                    }
                    continue
                }
                let cpus = run.cpus(of: cpu)
                var rig = try BandwidthRig(
                    run, ranks: cpus.count, binding: .cpus(cpus),
                    placement: run.placement(on: memory.id),
                    pages: run.settings.pages ?? .automatic,
                    subject: "matrix: CPU node \(cpu.id), memory node \(memory.id)")
                var found: [Samples] = []
                for kernel in BandwidthKernel.allCases {
                    try run.progress(done / all)
                    found.append(try rig.samples(kernel, count: run.samples(10)))
                    done += 1
                }
                try rig.endTrace()
                let placed = try rig.placed(on: memory.id)
                parameters["size_bytes"] = .number(rig.elements * 8)
                for (kernel, samples) in zip(BandwidthKernel.allCases, found) {
                    run.add(
                        Row(
                            test: "matrix", kernel: kernel.rawValue, ranks: rig.ranks,
                            quantity: .rate, samples: samples, parameters: parameters,
                            placedFraction: placed))
                }
            }
        }
    }

    static let mixes = BenchTest(
        "mixes", "bandwidth by how much is read for what is written: 1:0, 3:1, 2:1, 1:1",
        method: [
            "all ranks; reads : writes in lines, in turn; bytes that the program reads and writes; "
                + "stores go through the caches, so the memory also reads each line that is written"
        ],
        seconds: { _, _ in 1 }
    ) { run throws(MusterError) in
        let ranks = run.ranks
        let grain = StreamBench.grain
        let chunks = max(1, run.settings.arrayBytes(run.host) / 8 / grain)
        let words = chunks * grain
        let team = try Team(size: ranks, binding: run.settings.binding)
        let pages = run.settings.pages ?? .automatic
        let from = try team.array(of: UInt64.self, count: words, pages: pages)
        var to = try team.array(of: UInt64.self, count: words, pages: pages)
        for note in from.notes + to.notes { run.note("mixes: \(note)") }
        try run.tracer?.begin(team)
        run.add(try team.run(Number(words: from.output), grain: grain))
        for (turn, mix) in Mix.all.enumerated() {
            try run.progress(Double(turn) / Double(Mix.all.count))
            // Of each chunk the first words are read, and they are numbered.
            let read = mix.wordsRead(of: grain)
            var right: UInt64 = 0
            for chunk in 0..<chunks {
                let (first, count) = (UInt64(chunk * grain), UInt64(read))
                right &+= count &* first &+ count &* (count &- 1) / 2
            }
            let work = MixWork(
                mix: mix, from: from.input, to: to.output, value: UInt64(turn + 1))
            var values: [Double] = []
            let samples = run.samples(10)
            for round in 0...samples {
                let started = nanoseconds()
                let (sum, report) = try team.reduce(work, count: words, grain: grain)
                let elapsed = nanoseconds() - started
                run.add(report)
                try run.require(sum == right, "mixes \(mix.name)", "what was read adds up wrongly")
                if round > 0 { values.append(Double(mix.bytes(words: grain) * chunks) / elapsed) }
            }
            if run.settings.isSpoilt && mix.writes > 0 { to[0] ^= 1 }
            let (wrong, report) = try team.reduce(
                MixWrong(mix: mix, to: to.input, value: UInt64(turn + 1)), grain: grain)
            run.add(report)
            try run.require(wrong == 0, "mixes \(mix.name)", "\(wrong) words are wrong")
            let placed = try run.placed("mixes") { () throws(MusterError) in
                min(try from.verifiedFraction(), try to.verifiedFraction())
            }
            run.add(
                Row(
                    test: "mixes", kernel: mix.name, ranks: ranks, quantity: .rate,
                    samples: Samples(values), parameters: ["size_bytes": .number(words * 8)],
                    placedFraction: placed))
        }
        try run.tracer?.end(team, "mixes")
    }

    static let scaling = BenchTest(
        "scaling", "bandwidth by the number of ranks",
        method: [
            "1 to 8 ranks, then twice as many each time, and N, spread over nodes and cores "
                + "unless --bind says otherwise, each on its own share of arrays that lie where "
                + "their ranks run; saturated: the fewest ranks that reach 95 % of the most; \(counted)"
        ],
        seconds: { host, _ in
            Double(DispatchBench.sizes(upTo: max(1, host.usableCPUCount)).count) * 0.6
        }
    ) { run throws(MusterError) in
        let kernels: [BandwidthKernel] = [.read, .triad]
        let sizes = DispatchBench.sizes(upTo: run.ranks)
        for (turn, ranks) in sizes.enumerated() {
            try run.progress(Double(turn) / Double(sizes.count))
            var rig = try BandwidthRig(
                run, ranks: ranks, binding: run.settings.binding, placement: .firstTouch,
                pages: run.settings.pages ?? .automatic, subject: "scaling: \(ranks) ranks")
            var found: [Samples] = []
            for kernel in kernels {
                found.append(try rig.samples(kernel, count: run.samples(10)))
            }
            try rig.endTrace()
            let placed = try rig.placed()
            for (kernel, samples) in zip(kernels, found) {
                run.add(
                    Row(
                        test: "scaling", kernel: kernel.rawValue, ranks: ranks, quantity: .rate,
                        samples: samples, parameters: ["size_bytes": .number(rig.elements * 8)],
                        placedFraction: placed))
            }
        }
    }

    static let placement = BenchTest(
        "placement", "triad by placement: what a wrong one costs",
        method: [
            "all ranks, spread over the nodes unless --bind says otherwise; default: first touch by "
                + "each rank of its share; leader: all on one node, as when one process touches the memory "
                + "first; blocked; interleave; weighted: every node alike; mirrored: both arrays that "
                + "are read, a copy on each node that has ranks, and first touch of the one that is "
                + "written; \(counted)"
        ],
        seconds: { _, _ in 2.5 }
    ) { run throws(MusterError) in
        let ranks = run.ranks
        let usable = run.host.nodes.filter { $0.isAllowed && $0.hasMemory }.map(\.id)
        guard let first = usable.first else {
            throw MusterError(
                .placement, subject: "placement", reason: "no node has memory for this process")
        }
        let leader = Topology.here().map(\.node).flatMap { usable.contains($0) ? $0 : nil } ?? first
        let kinds: [(String, Placement)] = [
            ("default", .firstTouch), ("leader", .bind(node: leader)), ("blocked", .blocked),
            ("interleave", .interleave()),
            ("weighted", .weighted(Dictionary(uniqueKeysWithValues: usable.map { ($0, 1) }))),
            ("mirrored", .mirrored),
        ]
        if usable.count == 1 {
            run.note(
                "placement: this host has one node, so all placements are the same, and mirrored has "
                    + "one copy")
        }
        for (turn, (name, placement)) in kinds.enumerated() {
            try run.progress(Double(turn) / Double(kinds.count))
            var parameters: [String: Row.Parameter] = ["placement": .text(name)]
            do throws(MusterError) {
                var rig = try BandwidthRig(
                    run, ranks: ranks, binding: run.settings.binding, placement: placement,
                    pages: run.settings.pages ?? .automatic, subject: "placement \(name)")
                let samples = try rig.samples(.triad, count: run.samples(10))
                try rig.endTrace()
                let placed = try rig.placed()
                parameters["size_bytes"] = .number(rig.elements * 8)
                if placement == .mirrored { parameters["copies"] = .number(rig.copies) }
                run.add(
                    Row(
                        test: "placement", kernel: "triad", ranks: ranks, quantity: .rate,
                        samples: samples, parameters: parameters, placedFraction: placed))
            } catch {
                // One node may have too little where all together have enough, and copies need more.
                guard error.code == .memory else { throw error }
                run.add(
                    Row(
                        test: "placement", kernel: "triad", ranks: ranks, quantity: .rate,
                        parameters: parameters, reason: error.description))
            }
        }
    }
}
