// GuestScenarios.swift - placement on machines with several nodes, page by page. They run in guests
// (Tests/Guest/run), and hold on any machine.
//
// Where pages lie is asked of the kernel here once more, not by way of the library: a mistake in its
// reading back must not hide one in its placing.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

private func list(_ text: String) -> [Int] { text.split(separator: ",").compactMap { Int($0) } }

/// Node of each page, asked of the kernel (`move_pages` without nodes); every page is touched before.
func nodesOfPages(_ start: UnsafeRawPointer, bytes: Int) throws -> [Int] {
    let page = sysconf(Int32(_SC_PAGESIZE))
    var sum: UInt8 = 0
    var pages: [UnsafeMutableRawPointer?] = []
    for offset in stride(from: 0, to: bytes, by: page) {
        sum &+= start.load(fromByteOffset: offset, as: UInt8.self)
        pages.append(UnsafeMutableRawPointer(mutating: start + offset))
    }
    var status = [Int32](repeating: -99, count: pages.count)
    let result = muster_testing_move_pages(&pages, UInt64(pages.count), &status)
    try claim(result == 0, "move_pages: \(result), \(sum)")
    return status.map(Int.init)
}

/// The nodes that have memory, and the home node of each rank, worked out again.
private struct Host {
    let topology: Topology
    var memory: [Int] { topology.nodes.filter { $0.memoryTotalBytes > 0 }.map(\.id) }
    var withCPUs: [Int] { topology.nodes.filter { !$0.cpus.isEmpty }.map(\.id) }

    /// Nearest node with memory.
    func memoryNode(of node: Int) -> Set<Int> {
        let from = topology.nodes.firstIndex { $0.id == node }!
        if topology.nodes[from].memoryTotalBytes > 0 { return [node] }
        let distances = topology.nodes.indices.filter { topology.nodes[$0].memoryTotalBytes > 0 }
            .map { (topology.distances[from][$0], topology.nodes[$0].id) }
        let least = distances.map(\.0).min()!
        return Set(distances.filter { $0.0 == least }.map(\.1))
    }
}

/// Arguments: nodes, nodes with memory, nodes with CPUs.
func guestTopology(_ arguments: [String]) throws {
    let host = Host(topology: try Topology.read())
    try claim(equal: host.topology.nodes.map(\.id), list(arguments[0]), "nodes")
    try claim(equal: host.memory, list(arguments[1]), "nodes with memory")
    try claim(equal: host.withCPUs, list(arguments[2]), "nodes with CPUs")
}

/// Adds one, and notes on which node each chunk was worked on.
private struct Visit: Kernel {
    let values: SharedArray<Int64>.InPlace
    let nodes: SharedArray<Int32>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let here = Topology.here()?.node ?? -1
        values.update(chunk) { values in for i in values.indices { values[i] += 1 } }
        nodes.write(chunk) { nodes in for i in nodes.indices { nodes[i] = Int32(here) } }
    }
}

private struct Total: Reduction {
    let values: SharedArray<Int64>.Input
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int64 {
        let values = values.span(chunk)
        var sum: Int64 = 0
        for i in values.indices { sum += values[i] }
        return sum
    }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { left + right }
}

/// Every placement with every kind of page on teams of several sizes: each page where it belongs, also
/// while all ranks work on the array, and after one of them was killed.
func guestPlacements(_: [String]) throws {
    let host = Host(topology: try Topology.read())
    var wishes: [Placement] = [.firstTouch, .blocked, .interleave()]
    wishes += Set([host.memory.first!, host.memory.last!]).sorted().map { .bind(node: $0) }
    if host.memory.count > 1 {
        let (first, last) = (host.memory.first!, host.memory.last!)
        wishes += [.interleave(nodes: [first, last]), .weighted([first: 3, last: 1])]
    }
    let cpus = host.topology.usableCPUCount
    var checked = 0
    // An emulated machine of many CPUs takes long for every loop: one team size there.
    for size in cpus > 2 ? [cpus] : [1, cpus, cpus + 1] {
        let team = try Team(size: size)
        for wish in wishes {
            var arrays = [(Pages.small, 100_001), (.transparent, 600_003)]
            if wish == .blocked { arrays.append((.automatic, size * 530_000)) }
            for (pages, count) in arrays {
                try check(wish, pages, count, team, host)
                checked += 1
            }
        }
    }
    print("\(checked) arrays of \(wishes.count) placements: every page where it was asked to be")
}

private func check(
    _ wish: Placement, _ pages: Pages, _ count: Int, _ team: borrowing Team, _ host: Host
) throws {
    let what = "\(wish), pages \(pages), \(count) elements, \(team.size) ranks"
    let array = try team.array(of: Int64.self, count: count, placement: wish, pages: pages)
    // Free memory may lie in small pieces on a machine that has run for long.
    let isScattered = array.notes.contains { $0.contains("no free memory in one piece") }
    let unexpected = array.notes.filter {
        !$0.contains("dealt in blocks") && !$0.contains("no free memory in one piece")
    }
    try claim(unexpected.isEmpty, "\(what): \(unexpected)")
    if pages == .small { try claim(equal: array.hugePageBytes, 0, what) }
    if pages == .transparent && !isScattered {
        try claim(equal: array.hugePageBytes, count * 8 / (2 << 20) * (2 << 20), what)
    }
    let before = try verify(array, wish, team, host, what)

    // In use by all ranks: the pages stay.
    let nodes = try team.array(of: Int32.self, count: count)
    let visit = Visit(values: array.inPlace, nodes: nodes.output)
    try team.run(visit)
    if pages == .small {
        // A killed rank's successor finds everything where it was, and runs where its predecessor ran.
        let victim = pid_t(team.processIDs[team.size - 1])
        kill(victim, SIGKILL)
        wait { state(of: Int(victim)) == "Z" || state(of: Int(victim)) == nil }
    }
    try team.run(visit, schedule: .staticSteal)
    let sum = try team.reduce(Total(values: array.input)).result
    try claim(equal: sum, Int64(2 * count), "\(what): sum")
    try team.run(visit)
    let after = try verify(array, wish, team, host, what)
    try claim(before == after, "\(what): pages have moved")

    // What a rank works on lies on its node.
    guard wish == .blocked || wish == .firstTouch, team.size > 1,
        team.seats.allSatisfy({ $0.cpu != nil })  // ranks that outnumber the CPUs run anywhere
    else { return }
    let page = 4096
    let worked = nodes.toArray()
    let unit = array.hugePageBytes > 0 ? 2 << 20 : page
    var local = 0
    var all = 0
    for number in after.indices where number * page / unit == (number * page + unit - 1) / unit {
        // The unit at a border between two shares belongs to the later one.
        let here = Int(worked[number * page / 8])
        let end = min(count, (number * page / unit + 1) * unit / 8)
        guard worked[number * page / unit * unit / 8] == worked[end - 1] else { continue }
        all += 1
        if host.memoryNode(of: here).contains(after[number]) { local += 1 }
    }
    try claim(equal: local, all, "\(what): local pages")
}

/// Checks each page, and returns their nodes.
private func verify(
    _ array: borrowing SharedArray<Int64>, _ wish: Placement, _ team: borrowing Team, _ host: Host,
    _ what: String
) throws -> [Int] {
    let bytes = array.count * 8
    let found = try array.withSpan { span in
        try span.withUnsafeBufferPointer { try nodesOfPages($0.baseAddress!, bytes: bytes) }
    }
    try claim(found.allSatisfy { host.memory.contains($0) }, "\(what): pages nowhere")
    let fraction = try array.verifiedFraction()
    try claim(fraction == 1, "\(what): \(fraction) of it is where it should be")
    let counts = Dictionary(found.map { ($0, 1) }, uniquingKeysWith: +)
    let residency = try array.residency()
    for (node, pages) in counts {
        try claim(equal: residency.bytesByNode[node], UInt64(pages * 4096), "\(what): node \(node)")
    }
    let byChunk = try array.residencyByChunk(grain: 1000)
    for (number, chunk) in byChunk.enumerated() {
        let nodes = Set(
            found[number * 8000 / 4096..<(min(bytes, number * 8000 + 8000) + 4095) / 4096])
        try claim(Set(chunk.bytesByNode.keys) == nodes, "\(what): chunk \(number)")
    }
    switch wish {
    case .bind(let node): try claim(counts.count == 1 && counts[node] != nil, "\(what): \(counts)")
    case .interleave(let nodes):
        // In turn: neighbours differ where pages are small; in all, each has its part.
        let nodes = nodes.isEmpty ? host.memory : nodes
        let most = array.hugePageBytes > 0 ? 512 : 1
        for node in nodes {
            try claim(
                abs((counts[node] ?? 0) - found.count / nodes.count) <= most, "\(what): \(counts)")
        }
        if nodes.count > 1 && array.hugePageBytes == 0 {
            try claim(zip(found, found.dropFirst()).allSatisfy { $0 != $1 }, "\(what): not in turn")
        }
    case .weighted(let weights):
        let round = weights.values.reduce(0, +)
        let slack = (array.hugePageBytes > 0 ? 512 : 1) * round * 2
        for (node, weight) in weights {
            try claim(
                abs((counts[node] ?? 0) - found.count * weight / round) <= slack,
                "\(what): \(counts)")
        }
    case .firstTouch, .blocked, .mirrored: break  // by rank, above
    }
    return found
}

/// An array on one node. Returns why it can't be had.
private func attempt(
    _ team: borrowing Team, _ bytes: Int, _ node: Int, _ pages: Pages
) throws -> MusterError? {
    do {
        let array = try team.array(
            of: UInt8.self, count: bytes, placement: .bind(node: node), pages: pages)
        try claim(try array.verifiedFraction() == 1, "it is not where it was said to be")
        return nil
    } catch let error as MusterError {
        return error
    }
}

/// More than a node has: an error with the numbers, and everybody lives.
func guestFullNode(_: [String]) throws {
    let host = Host(topology: try Topology.read())
    guard host.memory.count > 1 else { return print("skipped: one node only") }
    let node = host.memory.last!
    let team = try Team(size: 2)
    let processes = team.processIDs
    do {
        let before = memoryFileBytes(named: "muster-arrays")
        let total = Int(host.topology.nodes.first { $0.id == node }!.memoryTotalBytes)
        // Beyond what it has; and what is free, without what the kernel keeps for itself: found too
        // large when memory is looked at, or when pages have gone elsewhere.
        for (pages, share) in [(Pages.small, 1.1), (.small, 0.999), (.transparent, 0.999)] {
            var free: UInt64 = 0
            try claim(muster_memory_node_available(UInt32(node), &free) == 0, "node \(node)")
            let bytes = share > 1 ? Int(Double(total) * share) : Int(Double(free) * share)
            let error = try attempt(team, bytes, node, pages)
            if let error {
                try claim(
                    error.code == .placement && error.errorNumber == ENOMEM
                        && error.description.contains("node \(node)")
                        && error.description.contains("MiB"), "\(error)")
            }
            print("\(pages), \(share): \(error?.description ?? "all of it fits")")
            try claim(equal: memoryFileBytes(named: "muster-arrays"), before, "memory is left")
        }
    }
    try claim(equal: team.processIDs, processes, "somebody was killed")
    let array = try team.array(
        of: UInt8.self, count: 1 << 20, placement: .bind(node: node))
    try claim(try array.verifiedFraction() == 1, "afterwards")
}
