// LineBench.swift - cache lines that go from one CPU to another: `c2c`.
//
// Two ranks, each bound to its CPU. The holder takes 256 lines into its cache, clean or modified, and
// posts; the reader follows a random chain through them, so each load waits for one line to come over.
// Lines stand three apart: their neighbours, which CPUs like to fetch along, are none of them.

internal import MusterCore
internal import Muster

/// Longest that one side waits for the other before it counts as gone.
private let patienceNanoseconds: UInt64 = 5_000_000_000

private let strideBytes = 3 * Int(muster_cache_line_bytes(nil))
private let lines = 256

/// Words of the shared page.
private enum Word {
    static let ready = 0
    static let held = 1
    static let turn = 2
    /// Samples begin here.
    static let first = 3
}

/// What is wrong when one side has waited for as long as it does.
private let silence = MusterError(
    .system, subject: "c2c", reason: "the other CPU's rank was silent for 5 s")

extension SharedPage {
    fileprivate func wait(_ word: Int, _ value: UInt64) throws {
        guard muster_line_wait(self.word(word), value, patienceNanoseconds) == 0 else {
            throw silence
        }
    }
}

/// The reader is rank 0, the holder rank 1.
private struct Transfer: Kernel {
    let memory: SharedArray<UInt64>.Input
    let page: SharedPage
    let isModified: Bool
    let samples: Int
    let rounds: Int

    func process(_ chunk: borrowing Chunk) throws {
        let words = memory.span(0..<memory.count, in: chunk)
        try words.withUnsafeBufferPointer { words in
            // Lines are one rank's at a time, by the relay: no output, which would be one chunk's only.
            let base = UnsafeMutableRawPointer(mutating: words.baseAddress!)
            for sample in 0...samples {
                var elapsed = 0.0
                for round in 1...rounds {
                    let turn = UInt64(sample * rounds + round)
                    if chunk.index == 0 {
                        muster_line_post(page.word(Word.ready), turn)
                        try page.wait(Word.held, turn)
                        let found = LinkChase.run(base, lines * strideBytes, 0, lines)
                        guard let found, found.end == 0 else {
                            throw MusterError(
                                .audit, subject: "c2c",
                                reason: "the chain through the lines is broken")
                        }
                        elapsed += found.elapsed
                    } else {
                        try page.wait(Word.ready, turn)
                        let status = muster_hold_lines(
                            base, lines * strideBytes, strideBytes,
                            isModified ? MUSTER_HOLD_MODIFIED : MUSTER_HOLD_CLEAN)
                        precondition(status == 0, "asked before")
                        muster_line_post(page.word(Word.held), turn)
                    }
                }
                // The first is dropped.
                if chunk.index == 0 && sample > 0 {
                    page[Word.first + sample - 1] = elapsed / Double(rounds * lines)
                }
            }
        }
    }

}

/// One line to and fro.
private struct PingPong: Kernel {
    let page: SharedPage
    let samples: Int
    let rounds: Int

    func process(_ chunk: borrowing Chunk) throws {
        let side = UInt32(chunk.index)
        for sample in 0...samples {
            // Between samples the line is side 0's to set back; side 1 waits for it.
            if side == 0 {
                muster_line_post(page.word(Word.turn), 0)
                muster_line_post(page.word(Word.ready), UInt64(sample + 1))
            } else {
                try page.wait(Word.ready, UInt64(sample + 1))
            }
            let began = nanoseconds()
            let status = muster_line_run(
                page.word(Word.turn), side, UInt64(rounds), patienceNanoseconds)
            let elapsed = nanoseconds() - began
            guard status == 0 else { throw silence }
            if side == 0 {
                if sample > 0 { page[Word.first + sample - 1] = elapsed / Double(2 * rounds) }
            } else {
                // Not before side 0 has seen the last answer: it would wait for ever.
                muster_line_post(page.word(Word.held), UInt64(sample + 1))
            }
            if side == 0 { try page.wait(Word.held, UInt64(sample + 1)) }
        }
    }
}

extension BenchTest {
    /// More CPUs than this are represented by one of each core, and those by evenly spaced ones.
    private static let mostCPUs = 32

    /// CPUs that are paired.
    private static func chosen(_ run: BenchRun) throws(MusterError) -> [Topology.CPU] {
        let nodes = run.nodes.map(\.id)
        let all = run.host.cpus.filter {
            $0.isOnline && $0.isAllowed && ($0.node.map(nodes.contains) ?? true)
        }
        guard all.count > mostCPUs else { return all }
        let cores = all.filter { $0.coreCPU == $0.id }
        guard cores.count > mostCPUs else { return cores }
        run.note("c2c: \(mostCPUs) of \(all.count) CPUs, evenly spaced, one a core")
        return (0..<mostCPUs).map { cores[$0 * cores.count / mostCPUs] }
    }

    /// What two CPUs have in common.
    private static func relation(_ a: Topology.CPU, _ b: Topology.CPU) -> String {
        if a.coreCPU == b.coreCPU { return "core" }
        if let cache = a.cacheCPU, cache == b.cacheCPU { return "cache" }
        return a.node == b.node ? "node" : "host"
    }

    static let lines = BenchTest(
        "c2c", "a cache line from one CPU to another, each pair: clean, modified, to and fro",
        method: [
            "hit, modified: 256 lines lie in the holder's cache, clean (flushed everywhere, then read) "
                + "or written; the reader follows a random chain through them; ns a line. What a clean "
                + "line costs tells whether caches or memory answer",
            "ping-pong: two CPUs write one line in turn; ns one way. shared: what the two CPUs share: "
                + "core, last-level cache, node, host",
        ],
        seconds: { host, _ in
            let cpus = Double(min(host.usableCPUCount, mostCPUs))
            return cpus * (cpus - 1) / 2 * 0.06 + 0.5
        }
    ) { run throws(MusterError) in
        let cpus = try chosen(run)
        guard cpus.count > 1 else {
            for kernel in ["hit", "modified", "ping-pong"] {
                run.add(
                    Row(
                        test: "c2c", kernel: kernel, ranks: 2, quantity: .time,
                        reason: "needs two CPUs that this process may use"))
            }
            return
        }
        // 20 rounds of 256 loads: long enough for the clock, short against a tick.
        let rounds = run.settings.isQuick ? 4 : 20
        let exchanges = run.settings.isQuick ? 200 : 2000
        let pairs = cpus.count * (cpus.count - 1)
        var done = 0
        for reader in cpus {
            for holder in cpus where holder.id != reader.id {
                try run.progress(Double(done) / Double(pairs))
                done += 1
                let samples = run.samples(10)
                let page = try SharedPage(words: Word.first + samples)
                defer { page.release() }
                // Ranks talk by words that each of them writes, which check mode takes for what it is.
                let team = try Team(size: 2, binding: .cpus([reader.id, holder.id]), check: .off)
                let home = holder.node.flatMap { id in
                    run.host.nodes.first { $0.id == id && $0.isAllowed && $0.hasMemory }
                }
                var memory = try team.array(
                    of: UInt64.self, count: MusterBench.lines * strideBytes / 8,
                    placement: home.map { run.placement(on: $0.id) } ?? .firstTouch)
                let isSpoilt = run.settings.isSpoilt
                let links = memory.withMutableSpan { words in
                    words.withUnsafeMutableBufferPointer {
                        linkChain(
                            $0.baseAddress!, bytes: $0.count * 8, stride: strideBytes,
                            window: Int.max, seed: 1, isSpoilt: isSpoilt)
                    }
                }
                guard links == MusterBench.lines else {
                    throw MusterError(.memory, subject: "c2c", reason: "no memory to link lines")
                }
                var parameters: [String: Row.Parameter] = [
                    "cpu": .number(reader.id), "holder_cpu": .number(holder.id),
                    "shared": .text(relation(reader, holder)),
                ]
                try run.tracer?.begin(team, most: 3)
                var placed: Double?
                for isModified in [false, true] {
                    let kernel = isModified ? "modified" : "hit"
                    #if !(arch(x86_64) || arch(arm64))
                        if !isModified {
                            run.add(
                                Row(
                                    test: "c2c", kernel: kernel, ranks: 2, quantity: .time,
                                    parameters: parameters,
                                    reason: "this build can't flush lines of this CPU"))
                            continue
                        }
                    #endif
                    muster_line_post(page.word(Word.ready), 0)
                    muster_line_post(page.word(Word.held), 0)
                    run.add(
                        try team.eachRank(
                            Transfer(
                                memory: memory.input, page: page, isModified: isModified,
                                samples: samples, rounds: rounds), recovery: .fail))
                    if let home {
                        placed = try run.placed(memory, on: home.id, "c2c")
                        parameters["memory_node"] = .number(home.id)
                    }
                    run.add(
                        Row(
                            test: "c2c", kernel: kernel, ranks: 2, quantity: .time,
                            samples: Samples((0..<samples).map { page[Word.first + $0] }),
                            parameters: parameters, placedFraction: placed))
                }
                if reader.id < holder.id {
                    for word in [Word.ready, Word.held] { muster_line_post(page.word(word), 0) }
                    run.add(
                        try team.eachRank(
                            PingPong(page: page, samples: samples, rounds: exchanges),
                            recovery: .fail))
                    parameters["memory_node"] = nil
                    run.add(
                        Row(
                            test: "c2c", kernel: "ping-pong", ranks: 2, quantity: .time,
                            samples: Samples((0..<samples).map { page[Word.first + $0] }),
                            parameters: parameters))
                }
                // All pairs under one name: tables for each would be many.
                try run.tracer?.end(team, "c2c")
            }
        }
    }
}
