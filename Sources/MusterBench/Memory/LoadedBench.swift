// LoadedBench.swift - latency of memory while it is busy: `loaded`.
//
// Rank 0 follows a pointer chase; all others move memory in a given proportion of reads to writes and
// wait a while after each KiB. The shorter the wait, the more traffic, and the longer each load of the
// chase takes. The two figures of one wait make one point of a curve.

internal import MusterCore
internal import Glibc
internal import Muster

private let patienceNanoseconds: UInt64 = 5_000_000_000

/// Words of the shared page; three a rank from `first` on.
private enum Word {
    static let stop = 0
    static let elapsed = 1
    static let end = 2
    static let before = 3
    static let after = 4
    /// Process id of rank 0.
    static let chaser = 5
    static let first = 6
    static func started(_ rank: Int) -> Int { first + 3 * rank }
    static func bytes(_ rank: Int) -> Int { first + 3 * rank + 1 }
    static func time(_ rank: Int) -> Int { first + 3 * rank + 2 }
    static func all(_ ranks: Int) -> Int { first + 3 * ranks }
}

/// Chunk r is rank r's share: chunk 0 chases, the others make traffic until it is done.
private struct Loaded: Kernel {
    let chain: SharedArray<UInt64>.Input
    let from: SharedArray<UInt64>.Input
    let to: SharedArray<UInt64>.Output
    let page: SharedPage
    let mix: Mix
    let delay: Int
    let start: Int
    let steps: Int
    /// Number of the run, from 1: flags of earlier ones don't count.
    let turn: UInt64

    func process(_ chunk: borrowing Chunk) throws {
        if chunk.index > 0 { return move(chunk) }
        // However this ends: the others move until they are told.
        defer { muster_line_post(page.word(Word.stop), turn) }
        for rank in 1..<chunk.size {
            guard
                muster_line_wait(page.word(Word.started(rank)), turn, patienceNanoseconds) == 0
            else {
                throw MusterError(
                    .system, subject: "loaded", reason: "rank \(rank) was silent for 5 s")
            }
        }
        let found = chain.span(0..<chain.count, in: chunk).withUnsafeBufferPointer {
            LinkChase.run(UnsafeRawPointer($0.baseAddress!), $0.count * 8, start, steps)
        }
        guard let found else {
            throw MusterError(
                .audit, subject: "loaded", reason: "the chain leads out of its array")
        }
        page[Word.elapsed] = found.elapsed
        page[Word.end] = Double(found.end)
        page[Word.before] = Double(found.ordinalBefore)
        page[Word.after] = Double(found.ordinalAfter)
    }

    /// Whether rank 0 has died, so that it never says that the chase is over: the loop is not redone, and
    /// nobody follows it.
    private var isAbandoned: Bool { kill(pid_t(page[Word.chaser]), 0) != 0 }

    /// Piece by piece, so that the end is seen soon.
    private func move(_ chunk: borrowing Chunk) {
        let from = from.span(chunk)
        let piece = 8192
        to.write(chunk) { to in
            to.withUnsafeMutableBufferPointer { to in
                from.withUnsafeBufferPointer { from in
                    var bytes: UInt64 = 0
                    var place = 0
                    var pieces = 0
                    let began = nanoseconds()
                    repeat {
                        if place + piece > to.count { place = 0 }
                        let words = min(piece, to.count)
                        var sum: UInt64 = 0
                        bytes += muster_mix_run(
                            mix.raw, from.baseAddress! + place, words * 8,
                            to.baseAddress! + place, words * 8, turn, UInt64(delay), &sum)
                        place += piece
                        pieces += 1
                        // After the first piece: the chase begins when traffic is under way, and a rank
                        // that loses its CPU right then has still moved something.
                        muster_line_post(page.word(Word.started(chunk.rank)), turn)
                        // A question of the kernel's: seldom, so that traffic is what it was.
                        if pieces % 64 == 0 && isAbandoned { break }
                    } while !muster_line_has(page.word(Word.stop), turn)
                    page[Word.time(chunk.rank)] = nanoseconds() - began
                    page[Word.bytes(chunk.rank)] = Double(bytes)
                }
            }
        }
    }
}

extension BenchTest {
    /// Turns of an empty loop after each KiB.
    private static func delays(_ settings: BenchSettings) -> [Int] {
        settings.isQuick ? [0, 2048] : [0, 64, 128, 256, 512, 1024, 2048, 8192]
    }

    private static func sampleNanoseconds(_ settings: BenchSettings) -> Double {
        settings.isQuick ? 5e5 : 5e6
    }

    static let loaded = BenchTest(
        "loaded", "latency while others move memory, by mix and by how much they move",
        method: [
            "rank 0 follows a random pointer chase, as in latency, in huge pages where --pages asks for no "
                + "others; every other rank of its node reads and writes arrays on the same node in the "
                + "given proportion, and waits for delay_turns turns of an empty loop after each KiB",
            "two rows a point: chase, ns a load; traffic, GB/s of the other ranks together, from "
                + "the start of each to the chase's end. mix none: the chase alone",
        ],
        seconds: { _, settings in Double(delays(settings).count * Mix.all.count) * 0.1 + 1 }
    ) { run throws(MusterError) in
        let usable = run.nodes.filter { run.obstacle(cpu: $0, memory: $0) == nil }
        let busy = usable.first { run.cpus(of: $0).count > 1 }
        var rows: [Row] = []
        if let node = busy { rows = try together(run, node) }
        if let node = busy ?? usable.first { run.add(try alone(run, node)) }
        for row in rows { run.add(row) }
        guard busy == nil else { return }
        for (kernel, quantity) in [("chase", Row.Quantity.time), ("traffic", .rate)] {
            run.add(
                Row(
                    test: "loaded", kernel: kernel, ranks: 2, quantity: quantity,
                    reason: "needs a node with memory and two CPUs that this process may use"))
        }
    }

    private static func parameters(_ node: Topology.Node) -> [String: Row.Parameter] {
        ["cpu_node": .number(node.id), "memory_node": .number(node.id)]
    }

    /// What a load takes while nobody else moves memory.
    private static func alone(_ run: BenchRun, _ node: Topology.Node) throws(MusterError) -> Row {
        let bytes = run.settings.arrayBytes(run.host) / 64 * 64
        var rig = try ChaseRig(
            run, cpu: run.cpus(of: node)[0], cpuNode: node.id, memoryNode: node.id, bytes: bytes,
            pages: run.settings.pages ?? .transparent, subject: "loaded, the chase alone")
        if let why = rig.whyNotHuge { run.note("\(rig.subject): \(why)") }
        let first = try rig.link(bytes: bytes, order: .random, seed: 1)
        let samples = try rig.samples(
            run.samples(5), each: sampleNanoseconds(run.settings), firstWalk: first)
        try rig.endTrace()
        return Row(
            test: "loaded", kernel: "chase", ranks: 1, quantity: .time, samples: samples,
            parameters: parameters(node).merging(["mix": .text("none")]) { $1 },
            placedFraction: try rig.placed())
    }

    /// What a load takes while the other ranks move memory, and how much they move.
    ///
    /// Length: one team and its arrays, which can't leave the function that owns them.
    private static func together(
        _ run: BenchRun, _ node: Topology.Node
    ) throws(MusterError) -> [Row] {
        let cpus = run.cpus(of: node)
        let page = try SharedPage(words: Word.all(cpus.count))
        defer { page.release() }
        // Ranks talk by words that each of them writes, which check mode takes for what it is.
        let team = try Team(size: cpus.count, binding: .cpus(cpus), check: .off)
        let bytes = run.settings.arrayBytes(run.host)
        let pages = run.settings.pages ?? .transparent
        var chain = try team.array(
            of: UInt64.self, count: bytes / 8, placement: run.placement(on: node.id), pages: pages)
        // Shares of whole lines, and rank 0's is never touched.
        let share = max(64, bytes / 8 / cpus.count / 64 * 64)
        let from = try team.array(
            of: UInt64.self, count: share * cpus.count, placement: run.placement(on: node.id),
            pages: pages)
        let to = try team.array(
            of: UInt64.self, count: share * cpus.count, placement: run.placement(on: node.id),
            pages: pages)
        for note in chain.notes + from.notes + to.notes { run.note("loaded: \(note)") }
        let isSpoilt = run.settings.isSpoilt
        let links = chain.withMutableSpan { words in
            words.withUnsafeMutableBufferPointer {
                linkChain(
                    $0.baseAddress!, bytes: $0.count * 8, stride: Int(muster_cache_line_bytes(nil)),
                    window: Int.max, seed: 1, isSpoilt: isSpoilt)
            }
        }
        guard links > 0 else {
            throw MusterError(.memory, subject: "loaded", reason: "no memory to shuffle links")
        }

        try run.tracer?.begin(team)
        var turn: UInt64 = 0
        var position = 0
        // Typed as the loop's one way to take a sample: nanoseconds a load, GB/s of the rest.
        func sample(
            _ team: borrowing Team, _ chain: SharedArray<UInt64>.Input,
            _ from: SharedArray<UInt64>.Input, _ to: SharedArray<UInt64>.Output, mix: Mix,
            delay: Int, steps: Int
        ) throws(MusterError) -> (latency: Double, rate: Double) {
            turn += 1
            page[Word.chaser] = Double(team.processIDs[0])
            // Traffic's pieces know of their end by the turn: 0 is nobody's.
            run.add(
                try team.run(
                    Loaded(
                        chain: chain, from: from, to: to, page: page, mix: mix, delay: delay,
                        start: position, steps: steps, turn: turn),
                    grain: share, recovery: .fail))
            try run.require(
                (Int(page[Word.before]) + steps) % links == Int(page[Word.after]), "loaded",
                "\(steps) steps along a chain of \(links) links ended at a wrong one")
            position = Int(page[Word.end])
            var rate = 0.0
            for rank in 1..<team.size {
                rate += page[Word.bytes(rank)] / max(1, page[Word.time(rank)])
            }
            return (page[Word.elapsed] / Double(steps), rate)
        }

        let time = sampleNanoseconds(run.settings)
        let delays = delays(run.settings)
        var found: [Point] = []
        for (number, mix) in Mix.all.enumerated() {
            for (place, delay) in delays.enumerated() {
                try run.progress(
                    Double(number * delays.count + place) / Double(Mix.all.count * delays.count))
                // First run, dropped: as many steps of the next as take the time.
                let first = try sample(
                    team, chain.input, from.input, to.output, mix: mix, delay: delay, steps: 4096)
                let steps = max(1024, Int(time / first.latency) / 16 * 16)
                var latencies: [Double] = []
                var rates: [Double] = []
                for _ in 0..<run.samples(5) {
                    let (latency, rate) = try sample(
                        team, chain.input, from.input, to.output, mix: mix, delay: delay,
                        steps: steps)
                    latencies.append(latency)
                    rates.append(rate)
                }
                found.append((mix, delay, Samples(latencies), Samples(rates)))
            }
        }
        try run.tracer?.end(team, "loaded")
        let parts = [
            try run.placed(chain, on: node.id, "loaded"),
            try run.placed(from, on: node.id, "loaded"),
            try run.placed(to, on: node.id, "loaded"),
        ]
        return rows(found, node, ranks: cpus.count, placed: parts.compactMap { $0 }.min())
    }

    /// Latency and rate at one mix and delay.
    private typealias Point = (mix: Mix, delay: Int, latency: Samples, rate: Samples)

    private static func rows(
        _ found: [Point], _ node: Topology.Node, ranks: Int, placed: Double?
    ) -> [Row] {
        found.flatMap { point in
            let parameters = parameters(node).merging([
                "mix": .text(point.mix.name), "delay_turns": .number(point.delay),
            ]) { $1 }
            return [
                Row(
                    test: "loaded", kernel: "chase", ranks: ranks, quantity: .time,
                    samples: point.latency, parameters: parameters, placedFraction: placed),
                Row(
                    test: "loaded", kernel: "traffic", ranks: ranks, quantity: .rate,
                    samples: point.rate, parameters: parameters, placedFraction: placed),
            ]
        }
    }
}
