// GuestStealScenarios.swift - from whom a rank steals first, on machines whose nodes are not equally far.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// Words that all ranks share, beside any array: mapped before the team is made.
private struct Board {
    let address: UInt

    init() throws {
        let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        guard let page, page != MAP_FAILED else { throw Failure(description: "no page") }
        address = UInt(bitPattern: page)
    }

    func done() { munmap(UnsafeMutableRawPointer(bitPattern: address), 4096) }
}

/// Every rank but the thief holds on to its first chunk until the thief has done all that can be stolen;
/// each chunk notes who did it, and as which in its turn.
private struct Hold: Kernel {
    let board: UInt
    let thief: Int
    let stealable: Int
    /// rank << 32 | turn
    let log: SharedArray<Int64>.Output

    private func word(_ number: Int) -> UnsafeMutablePointer<UInt64> {
        UnsafeMutablePointer<UInt64>(bitPattern: board)! + number
    }

    func process(_ chunk: borrowing Chunk) throws {
        if chunk.rank == thief {
            wait { muster_testing_load(word(0)) == UInt64(chunk.size - 1) }
        } else {
            if chunk.range.lowerBound % 16 == 0 { muster_testing_add(word(0), 1) }
            wait { muster_testing_load(word(1)) == UInt64(stealable) }
        }
        let turn = chunk.rank == thief ? muster_testing_load(word(1)) : 0
        log.write(chunk) { $0[0] = Int64(chunk.rank) << 32 | Int64(turn) }
        if chunk.rank == thief { muster_testing_add(word(1), 1) }
    }
}

/// A thief that has done its own takes all of the nearest ranks' before any of those farther away.
func guestSteal(_: [String]) throws {
    let host = try Topology.read()
    let size = host.usableCPUCount
    guard size > 1 else { return print("steal: skipped, one CPU") }
    let positions = Dictionary(
        uniqueKeysWithValues: host.nodes.enumerated().map { ($0.element.id, $0.offset) })
    var levels = 0
    for thief in 0..<size {
        let board = try Board()
        defer { board.done() }
        let team = try Team(size: size)
        // 16 chunks a rank, of which the owner takes one at a time.
        let log = try team.array(of: Int64.self, count: size * 16)
        let stealable = 16 + (size - 1) * 15
        try team.run(
            Hold(board: board.address, thief: thief, stealable: stealable, log: log.output),
            grain: 1, schedule: .staticSteal)
        let homes = team.seats.map { positions[$0.homeNode]! }
        // Distances of the thief's chunks in the order in which it did them.
        var order = [Int](repeating: -1, count: stealable)
        for (chunk, entry) in log.toArray().enumerated() {
            let (rank, turn) = (Int(entry >> 32), Int(entry & 0xffff_ffff))
            guard rank == thief else { continue }
            order[turn] =
                chunk / 16 == thief ? 0 : host.distances[homes[thief]][homes[chunk / 16]]
        }
        try claim(!order.contains(-1), "thief \(thief) has not done all: \(order)")
        try claim(equal: order, order.sorted(), "thief \(thief): distances in turn")
        levels = max(levels, Set(order).count - 1)
    }
    print("steal: \(size) thieves, \(levels) distances, near ones first")
}
