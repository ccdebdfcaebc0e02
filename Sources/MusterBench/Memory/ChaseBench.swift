// ChaseBench.swift - latency of memory by pointer chases: node by node, and by size.
//
// The chain is linked by the leader and followed by rank 0, a process bound to a CPU of the node in
// question, in an array bound to the other. Every link knows how many come before it, so where a run
// ends proves that it took exactly its steps along the chain: the check costs nothing while the clock
// runs.

internal import MusterCore
internal import Muster

/// In which order a chase visits memory.
enum ChaseOrder: String, CaseIterable {
    /// Anywhere next: where the TLBs don't reach, each step pays for the translation of its address.
    case random
    /// Window by window, each within what the first TLB holds: the caches' misses alone. Prefetchers
    /// that fetch neighbours find some there.
    case local = "tlb-local"

    /// 64 pages of 4 KiB: no first-level TLB in use has fewer entries for them.
    static let windowBytes = 256 << 10

    func windowBytes(of size: Int) -> Int { self == .random ? size : ChaseOrder.windowBytes }
}

/// What a run of the chase leaves.
struct ChaseResult: BitwiseCopyable {
    var elapsed = 0.0
    /// Bytes from the start of the array to the link it ended at.
    var end = 0
    var ordinalBefore = 0
    var ordinalAfter = 0
}

/// Follows a chain; one chunk.
struct LinkChase: Kernel {
    let memory: SharedArray<UInt64>.Input
    let result: SharedArray<ChaseResult>.Output
    /// Bytes to the link to begin at.
    let start: Int
    let steps: Int

    func process(_ chunk: borrowing Chunk) throws {
        let words = memory.span(0..<memory.count, in: chunk)
        let found = words.withUnsafeBufferPointer { words in
            LinkChase.run(UnsafeRawPointer(words.baseAddress!), words.count * 8, start, steps)
        }
        guard let found else {
            throw MusterError(
                .audit, subject: "chase", reason: "the chain leads out of its array in this process"
            )
        }
        result.write(chunk) { $0[0] = found }
    }

    /// nil: the chain was linked for another address than this process has the array at.
    static func run(
        _ base: UnsafeRawPointer, _ bytes: Int, _ start: Int, _ steps: Int
    ) -> ChaseResult? {
        let first = UnsafeMutableRawPointer(mutating: base + start)
            .assumingMemoryBound(to: muster_link.self)
        let next = UnsafeRawPointer(first.pointee.next!)
        guard next >= base, next < base + bytes else { return nil }
        let began = nanoseconds()
        let last = muster_chase_run(first, UInt64(steps))!
        let elapsed = nanoseconds() - began
        return ChaseResult(
            elapsed: elapsed, end: UnsafeRawPointer(last) - base,
            ordinalBefore: Int(first.pointee.ordinal), ordinalAfter: Int(last.pointee.ordinal))
    }
}

/// Links a chain (`muster_chase_link`). `isSpoilt`: for tests, one link is left out.
func linkChain(
    _ words: UnsafeMutablePointer<UInt64>, bytes: Int, stride: Int, window: Int, seed: UInt64,
    isSpoilt: Bool
) -> Int {
    let links = Int(muster_chase_link(words, bytes, stride, window, seed))
    if isSpoilt && links > 2 {
        let link = UnsafeMutableRawPointer(words).assumingMemoryBound(to: muster_link.self)
        link.pointee.next = link.pointee.next.pointee.next
    }
    return links
}

/// A team of one, an array on a node, and a chain through it.
struct ChaseRig: ~Copyable {
    private let team: Team
    private var memory: SharedArray<UInt64>
    private let result: SharedArray<ChaseResult>
    private let cpuNode: Int
    private let memoryNode: Int
    private var links = 0
    private var position = 0
    private let run: BenchRun
    let subject: String
    /// Bytes of the array.
    let bytes: Int
    /// Why it is not in huge pages though they were asked for; nil: it is, or they were not.
    var whyNotHuge: String? {
        guard memory.pages != .small, memory.pages != .automatic else { return nil }
        if let note = memory.pageNotes.first { return note }
        guard memory.pages == .transparent, memory.hugePageBytes < bytes else { return nil }
        return "the kernel had no huge pages for all of the array"
    }

    /// `bytes`: rounded up to whole pages of the kind that is asked for.
    init(
        _ run: BenchRun, cpu: Int, cpuNode: Int, memoryNode: Int, bytes: Int, pages: Pages,
        subject: String
    ) throws(MusterError) {
        self.run = run
        let page = pages == .small ? 4096 : Int(MUSTER_HUGE_PAGE_BYTES)
        let bytes = (bytes + page - 1) / page * page
        self.bytes = bytes
        self.cpuNode = cpuNode
        self.memoryNode = memoryNode
        self.subject = "\(subject): CPU node \(cpuNode), memory node \(memoryNode)"
        // Locals first: what owns memory can't be half made when an error ends this.
        let team = try Team(size: 1, binding: .cpus([cpu]))
        let memory = try team.array(
            of: UInt64.self, count: bytes / 8, placement: run.placement(on: memoryNode),
            pages: pages)
        let result = try team.array(of: ChaseResult.self, count: 1)
        try run.tracer?.begin(team)
        // Pages are its tests' affair: figures of others than were asked for are not theirs.
        for note in memory.notes where !memory.pageNotes.contains(note) {
            run.note("\(subject): \(note)")
        }
        self.team = team
        self.memory = memory
        self.result = result
    }

    /// Links the first bytes of the array, and walks the whole chain once: that warms what can be warm
    /// and proves that it is one cycle. Returns nanoseconds a step, of this first walk.
    mutating func link(bytes: Int, order: ChaseOrder, seed: UInt64) throws(MusterError) -> Double {
        let isSpoilt = run.settings.isSpoilt
        let status = memory.withMutableSpan { words in
            words.withUnsafeMutableBufferPointer {
                linkChain(
                    $0.baseAddress!, bytes: bytes, stride: Int(muster_cache_line_bytes(nil)),
                    window: order.windowBytes(of: bytes), seed: seed, isSpoilt: isSpoilt)
            }
        }
        guard status > 0 else {
            throw MusterError(
                .memory, subject: subject, reason: "no memory to shuffle \(bytes) bytes of links",
                errorNumber: Int32(-status))
        }
        links = status
        position = 0
        return try walk(steps: max(16, (links + 15) / 16 * 16))
    }

    /// Nanoseconds a step, of `steps` steps from where the last walk ended.
    mutating func walk(steps: Int) throws(MusterError) -> Double {
        let report = try team.run(
            LinkChase(
                memory: memory.input, result: result.output, start: position, steps: steps),
            count: 1, grain: 1, recovery: .fail)
        run.add(report)
        let found = result[0]
        try run.require(
            (found.ordinalBefore + steps) % links == found.ordinalAfter, subject,
            "\(steps) steps along a chain of \(links) links ended at a wrong one")
        position = found.end
        return found.elapsed / Double(steps)
    }

    /// Samples of the linked chain, each of about so many nanoseconds.
    mutating func samples(
        _ count: Int, each nanoseconds: Double, firstWalk: Double
    ) throws(MusterError) -> Samples {
        let steps = max(1024, Int(nanoseconds / max(firstWalk, 0.1)) / 16 * 16)
        _ = try walk(steps: steps)  // first run, dropped
        var values: [Double] = []
        for _ in 0..<count { values.append(try walk(steps: steps)) }
        return Samples(values)
    }

    /// After the last walk.
    func endTrace() throws(MusterError) { try run.tracer?.end(team, subject) }

    /// The part of the array that is where it should be.
    func placed() throws(MusterError) -> Double? {
        try run.placed(memory, on: memoryNode, subject)
    }
}

extension BenchTest {
    /// Pages that a latency test is done with.
    private static func kinds(_ settings: BenchSettings) -> [Pages] {
        settings.pages.map { [$0] } ?? [.transparent, .small]
    }

    private static func sampleNanoseconds(_ settings: BenchSettings) -> Double {
        settings.isQuick ? 5e5 : 1e7
    }

    static let latency = BenchTest(
        "latency", "pointer chase, CPU node x memory node, huge and small pages",
        method: [
            "one rank follows a chain through all lines of an array, of 4 times all last-level caches "
                + "unless --size says otherwise, each load waiting for the last; ns a load",
            "random: the next line is anywhere, so small pages also pay for address translation; "
                + "tlb-local: windows of 256 KiB in random order, lines within one at random: "
                + "translation is nearly free, and prefetchers that fetch neighbours may help",
            "the place in the chain at which each run ends is checked",
        ],
        seconds: { host, settings in
            Double(host.nodes.count * host.nodes.count) * 1 * Double(kinds(settings).count)
        }
    ) { run throws(MusterError) in
        let nodes = run.nodes
        let bytes = run.settings.arrayBytes(run.host) / 64 * 64
        let kinds = kinds(run.settings)
        let all = Double(nodes.count * nodes.count * kinds.count)
        var done = 0.0
        for cpu in nodes {
            for memory in nodes {
                var base: [String: Row.Parameter] = [
                    "cpu_node": .number(cpu.id), "memory_node": .number(memory.id),
                ]
                for pages in kinds {
                    try run.progress(done / all)
                    done += 1
                    base["pages"] = .text(pages.rawValue)
                    func note(_ reason: String, ranks: Int) {
                        for order in ChaseOrder.allCases {
                            run.add(
                                Row(
                                    test: "latency", kernel: order.rawValue, ranks: ranks,
                                    quantity: .time, parameters: base, reason: reason))
                        }
                    }
                    if let reason = run.obstacle(cpu: cpu, memory: memory) {
                        note(reason, ranks: 0)
                        continue
                    }
                    var rig = try ChaseRig(
                        run, cpu: run.cpus(of: cpu)[0], cpuNode: cpu.id, memoryNode: memory.id,
                        bytes: bytes, pages: pages, subject: "latency")
                    if let reason = rig.whyNotHuge {
                        note(reason, ranks: 1)
                        continue
                    }
                    var rows: [(String, Samples)] = []
                    for order in ChaseOrder.allCases {
                        let first = try rig.link(bytes: bytes, order: order, seed: 1)
                        try run.progress((done - 0.5) / all)
                        rows.append(
                            (
                                order.rawValue,
                                try rig.samples(
                                    run.samples(10), each: sampleNanoseconds(run.settings),
                                    firstWalk: first)
                            ))
                    }
                    try rig.endTrace()
                    let placed = try rig.placed()
                    base["size_bytes"] = .number(bytes)
                    for (kernel, samples) in rows {
                        run.add(
                            Row(
                                test: "latency", kernel: kernel, ranks: 1, quantity: .time,
                                samples: samples, parameters: base, placedFraction: placed))
                    }
                    base["size_bytes"] = nil
                }
            }
        }
    }

    /// 4 KiB, 6 KiB, 8 KiB, ... up to the last.
    static func staircaseSizes(upTo last: Int) -> [Int] {
        var sizes: [Int] = []
        var size = 4096
        while size <= last {
            sizes.append(size)
            // Half an octave further, in whole lines.
            if size * 3 / 2 <= last { sizes.append(size * 3 / 2) }
            size *= 2
        }
        return sizes
    }

    static let staircase = BenchTest(
        "staircase", "pointer chase by size, from 4 KiB until caches no longer help",
        method: [
            "a random chase by one rank in its own node's memory, as in latency, through more and more "
                + "of one array, up to 4 times a last-level cache or --size: each step up is the end of "
                + "a cache or of a TLB"
        ],
        seconds: { _, settings in 2 * Double(kinds(settings).count) }
    ) { run throws(MusterError) in
        guard let node = run.nodes.first(where: { run.obstacle(cpu: $0, memory: $0) == nil })
        else {
            throw MusterError(
                .placement, subject: "staircase", reason: "no node has both CPUs and memory to use")
        }
        let cache = Int(clamping: run.host.lastLevelCacheBytes)
        let largest =
            run.settings.sizeBytes ?? (run.settings.isQuick ? 1 << 20 : max(4 * cache, 8 << 20))
        let sizes = staircaseSizes(upTo: max(largest, 4096))
        let kinds = kinds(run.settings)
        for (turn, pages) in kinds.enumerated() {
            var rig = try ChaseRig(
                run, cpu: run.cpus(of: node)[0], cpuNode: node.id, memoryNode: node.id,
                bytes: sizes.last!, pages: pages, subject: "staircase")
            if let reason = rig.whyNotHuge {
                run.add(
                    Row(
                        test: "staircase", kernel: "random", ranks: 1, quantity: .time,
                        parameters: ["pages": .text(pages.rawValue)], reason: reason))
                continue
            }
            var found: [(Int, Samples)] = []
            let all = Double(sizes.reduce(0, +))
            var done = 0.0
            for size in sizes {
                try run.progress((Double(turn) + done / all) / Double(kinds.count))
                let first = try rig.link(bytes: size, order: .random, seed: UInt64(size))
                found.append(
                    (
                        size,
                        try rig.samples(
                            run.samples(5), each: sampleNanoseconds(run.settings) / 4,
                            firstWalk: first)
                    ))
                done += Double(size)
            }
            try rig.endTrace()
            let placed = try rig.placed()
            for (size, samples) in found {
                run.add(
                    Row(
                        test: "staircase", kernel: "random", ranks: 1, quantity: .time,
                        samples: samples,
                        parameters: [
                            "size_bytes": .number(size),
                            "pages": .text(pages.rawValue),
                            "cpu_node": .number(node.id),
                        ], placedFraction: placed))
            }
        }
    }
}
