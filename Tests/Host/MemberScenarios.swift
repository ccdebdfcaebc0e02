// MemberScenarios.swift - members that use the Swift face, under a launcher of the C core.

import MusterCore
@preconcurrency import Glibc
import Muster

/// Runs one program in each of `size` processes to their ends. Returns their exit statuses by rank, -1
/// for a process that was killed.
private func launch(
    _ size: Int, _ program: (Int) throws -> Void
) throws -> (statuses: [Int], deaths: Int, audits: [muster_launcher_audit]) {
    var options = muster_launcher_options()
    options.size_bytes = UInt32(MemoryLayout<muster_launcher_options>.size)
    options.size = UInt32(size)
    var launcher: OpaquePointer?
    try claim(muster_launcher_create(&options, &launcher) == 0, "a launcher is made")
    let address = String(cString: muster_launcher_address(launcher))
    var ranks: [Int32: Int] = [:]
    for rank in 0..<size {
        let pid = muster_child_start()
        try claim(pid >= 0, "a process is started")
        if pid > 0 {
            ranks[pid] = rank
            continue
        }
        setenv("MUSTER_TEAM", address, 1)
        setenv("MUSTER_RANK", "\(rank)", 1)
        do {
            try program(rank)
            _exit(0)
        } catch {
            fputs("rank \(rank): \(error)\n", stderr)
            _exit(1)
        }
    }
    var statuses = [Int](repeating: 0, count: size)
    var deaths = 0
    while !ranks.isEmpty {
        var event = muster_launcher_event()
        while muster_launcher_serve(launcher, &event, 1) == 1 {
            if event.kind == MUSTER_LAUNCHER_DIED.rawValue {
                deaths += 1
                try claim(muster_launcher_lose(launcher, event.rank) == 0, "a dead rank is lost")
            }
        }
        var status: Int32 = 0
        let pid = waitpid(-1, &status, WNOHANG)
        if pid > 0, let rank = ranks.removeValue(forKey: pid) {
            statuses[rank] = status & 0x7f == 0 ? Int(status >> 8) & 0xff : -1
        } else {
            usleep(200)
        }
    }
    var audits: [muster_launcher_audit] = []
    var audit = muster_launcher_audit()
    while muster_launcher_audited(launcher, UInt32(audits.count), &audit) == 1 {
        audits.append(audit)
    }
    muster_launcher_destroy(launcher)
    return (statuses, deaths, audits)
}

/// Arrays, both ways through a loop, reductions, and what ranks tell one another.
private func everything(rank: Int, size: Int) throws {
    let me = try Muster.Member.join()
    try claim(me.rank == rank && me.size == size && me.incarnation == 1 && !me.isAlone, "who I am")
    try claim(me.globalRank == rank && me.globalSize == size && me.node == nil, "where I am")
    try me.barrier()
    try claim(try me.broadcast(rank * 10, from: size - 1) == (size - 1) * 10, "broadcast")
    try claim(try me.allReduce(rank + 1, .sum) == size * (size + 1) / 2, "all-reduce")
    try claim(try me.reduce(rank, .max, to: 0) == (rank == 0 ? size - 1 : rank), "reduce")
    try claim(try me.scan(1, .sum) == rank + 1, "scan through")
    try claim(try me.scan(2.5, .sum, .before) == 2.5 * Double(rank), "scan before")
    var many = [Double](repeating: Double(rank), count: 5000)
    try me.allReduce(&many, .max)
    try claim(many.allSatisfy { $0 == Double(size - 1) }, "all-reduce of many")

    let x = try me.array("x", of: Double.self, count: 10_000)
    let loop = try me.loop(
        over: x.count, schedule: .dynamic, grain: 100, partial: Double.self, name: "claims")
    while let part = try loop.next() {
        x.write(part) { for i in $0.indices { $0[i] = 1 / Double(part.range.lowerBound + i + 1) } }
        let values = x.span(part)
        var sum = 0.0
        for i in values.indices { sum += values[i] }
        part.leave(partial: sum)
        part.commit()
    }
    let report = try loop.end()
    try claim(report.chunks == 100 && report.exactlyOnce == 100, "\(report)")
    try claim(report.description == "100 chunks, each exactly once, by \(size) ranks", "\(report)")
    try claim(x[9_999] == 1 / 10_000, "the last element")
    let sum = try loop.reduce(Double.self, .sum)
    try claim(try me.allReduce(sum, .min) == sum, "the same bits in all")
    let prefixes = try loop.scan(Double.self, .sum)
    try claim(prefixes.count == 100 && abs(prefixes[99] - sum) < 1e-9, "scan of partial results")

    let second = try me.loop(over: x.count, schedule: .staticSteal, grain: 64, name: "for")
    for part in second { x.write(part) { for i in $0.indices { $0[i] += 1 } } }
    try claim(try second.end().exactlyOnce == second.chunks, "for commits")
    try claim(x[0] == 2, "the first element")

    // What is left by `break` is named.
    let third = try me.loop(over: 100, schedule: .cyclic, grain: 1, name: "broken off")
    for part in third where part.index == rank { break }
    let broken = try refusal("a loop that was broken off") { try third.end() }
    try claim(broken.code == .audit && broken.reason.contains("missing"), "\(broken)")
    let nobody = try refusal("a broadcast from nobody") { try me.broadcast(1, from: size) }
    try claim(nobody.code == .invalidArgument, "\(nobody)")
    try me.barrier()
    try me.leave()
}

/// The last rank dies in a loop; the others adopt, recover and go on.
private func dying(rank: Int, size: Int) throws {
    let me = try Muster.Member.join()
    let x = try me.array("x", of: Int32.self, count: 1000)
    let loop = try me.loop(over: 1000, grain: 10, adopting: true)
    while let part = try loop.next() {
        if rank == size - 1 && part.index == 100 - 3 { kill(getpid(), SIGKILL) }
        x.write(part) { for i in $0.indices { $0[i] = Int32(part.index) } }
        part.commit()
    }
    let report = try loop.end()
    try claim(
        report.deathCount == 1 && report.adopted >= 3 && report.exactlyOnce == 100, "\(report)")
    for i in 0..<1000 { try claim(x[i] == Int32(i / 10), "element \(i)") }
    let death = try refusal("a barrier without a dead rank") { try me.barrier() }
    try claim(death.code == .rankDied, "\(death)")
    try me.recover()
    try me.barrier()
    try claim(me.isAlive(rank) && !me.isAlive(size - 1) && !me.isAlive(-1), "who is there")
}

/// A loop that names its arrays: an index is a row, and a count that fits none is refused in words.
private func rows(_ me: borrowing Muster.Member) throws {
    let x = try me.array("rows", of: Int32.self, count: 60 * 7)
    let loop = try me.loop(
        over: 60, grain: 8,
        uses: [x.use(.output, elementsPerIndex: 7), x.use(.input, length: .gather)])
    while let part = try loop.next() {
        let first = part.range.lowerBound * 7
        x.write(part, elementsPerIndex: 7) { for i in $0.indices { $0[i] = Int32(first + i) } }
        try claim(
            equal: x.span(part, elementsPerIndex: 7).count, part.range.count * 7, "a part of rows")
        part.commit()
    }
    try claim(equal: try loop.end().exactlyOnce, 8, "chunks of rows")
    for i in 0..<x.count { try claim(equal: x[i], Int32(i), "element \(i)") }
    let error = try refusal("a count of rows over elements") {
        _ = try me.loop(over: 60, uses: [x.use(.inPlace)])
    }
    try claim(equal: error.code, .invalidArgument, "\(error)")
    try claim(error.description.contains("elements_per_index to 7"), "\(error)")
    let part = try me.loop(over: 59, uses: [x.use(.output, elementsPerIndex: 7, length: .prefix)])
    for _ in part {}
    try part.end()
}

func swiftMembers(_ arguments: [String]) throws {
    unsetenv("MUSTER_TEAM")
    let alone = try Muster.Member.join()
    try claim(alone.isAlone && alone.size == 1 && alone.rank == 0, "alone")
    try rows(alone)
    try alone.leave()

    // Who has left does not die.
    let left = try launch(2) { _ in
        let me = try Muster.Member.join()
        try me.barrier()
        try me.leave()
        kill(getpid(), SIGKILL)
    }
    try claim(left.statuses == [-1, -1] && left.deaths == 0, "\(left)")

    let (statuses, deaths, audits) = try launch(3) { try everything(rank: $0, size: 3) }
    try claim(statuses == [0, 0, 0] && deaths == 0, "\(statuses)")
    try claim(audits.map(\.report.loops) == [1, 1, 1], "\(audits.map(\.report.loops))")
    try claim(audits.map(\.report.failed) == [0, 0, 1], "\(audits.map(\.report.failed))")

    let (ends, _, adopted) = try launch(3) { try dying(rank: $0, size: 3) }
    try claim(ends == [0, 0, -1], "\(ends)")
    try claim(adopted.count == 1 && adopted[0].report.adopted >= 3, "\(adopted)")
}
