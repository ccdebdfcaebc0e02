// Which CPU each rank gets: every kind of binding, on every recorded host and on parts of it, for every
// size of team, held against rules and not against a second implementation.

import MusterCore
import MusterCore.Testing
import Foundation
import TestSupport
import Testing

private let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Hosts")

private func hostNames() -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
}

/// Seats of a team; nil: the status was `failed`.
private func assign(
    _ topology: UnsafeMutablePointer<muster_topology>, _ kind: muster_binding, ranks: Int,
    cpus: [UInt32] = []
) -> (status: Int32, bad: UInt32, seats: [muster_seat]) {
    var seats = [muster_seat](repeating: muster_seat(cpu: 77_777, home: 77_777), count: ranks)
    var bad: UInt32 = 77_777
    let status = muster_binding_assign(
        topology, kind.rawValue, cpus, UInt32(cpus.count), UInt32(ranks), &seats, &bad)
    return (status, bad, seats)
}

private func cpus(_ topology: UnsafeMutablePointer<muster_topology>) -> [muster_cpu] {
    Array(
        UnsafeBufferPointer(start: topology.pointee.cpus, count: Int(topology.pointee.cpu_count)))
}

private func nodes(_ topology: UnsafeMutablePointer<muster_topology>) -> [muster_node] {
    Array(
        UnsafeBufferPointer(start: topology.pointee.nodes, count: Int(topology.pointee.node_count)))
}

/// What must hold of any team's seats. Returns the CPUs in the order of ranks.
private func checkRules(
    _ topology: UnsafeMutablePointer<muster_topology>, _ kind: muster_binding, _ ranks: Int,
    _ what: String
) -> [muster_cpu] {
    let usable = cpus(topology).filter { $0.online == 1 && $0.allowed == 1 }
    let (status, _, seats) = assign(topology, kind, ranks: ranks)
    #expect(status == 0, "\(what)")
    // Homes have memory that may be used, wherever there is any.
    let homes = nodes(topology).filter { $0.allowed == 1 }.map(\.id)
    if !homes.isEmpty { #expect(seats.allSatisfy { homes.contains($0.home) }, "\(what)") }
    if ranks > usable.count || kind == MUSTER_UNBOUND {
        #expect(seats.allSatisfy { $0.cpu == UInt32.max }, "\(what)")
        return []
    }
    let byID = Dictionary(uniqueKeysWithValues: usable.map { ($0.id, $0) })
    let chosen = seats.compactMap { byID[$0.cpu] }
    #expect(chosen.count == ranks, "\(what): only CPUs that may be used")
    #expect(Set(chosen.map(\.id)).count == ranks, "\(what): one rank a CPU")
    // Never two ranks on SMT siblings while a core is free; a third only when each core has two.
    let cores = Dictionary(grouping: usable, by: \.core_cpu).mapValues(\.count)
    let taken = Dictionary(grouping: chosen, by: \.core_cpu).mapValues(\.count)
    let most = taken.values.max() ?? 0
    for (core, threads) in cores {
        #expect(taken[core, default: 0] >= min(threads, most - 1), "\(what): core \(core)")
    }
    // A rank is at home where its CPU is, if memory is allowed there.
    for (seat, cpu) in zip(seats, chosen) where cpu.node >= 0 && homes.contains(UInt32(cpu.node)) {
        #expect(seat.home == UInt32(cpu.node), "\(what)")
    }
    // Ranks of one node are neighbours.
    let changes = zip(chosen, chosen.dropFirst()).count { $0.node != $1.node }
    #expect(changes == Set(chosen.map(\.node)).count - 1, "\(what)")
    return chosen
}

private func checkAllSizes(_ topology: UnsafeMutablePointer<muster_topology>, _ what: String) {
    let usable = cpus(topology).filter { $0.online == 1 && $0.allowed == 1 }
    for ranks in 1...(usable.count + 3) {
        let what = "\(what), \(ranks) ranks"
        let spread = checkRules(topology, MUSTER_SPREAD, ranks, "spread, \(what)")
        let compact = checkRules(topology, MUSTER_COMPACT, ranks, "compact, \(what)")
        _ = checkRules(topology, MUSTER_UNBOUND, ranks, "unbound, \(what)")
        if ranks > usable.count { continue }
        // While cores are free, a node has at most one rank more than any other with a free core.
        let cores = Set(usable.map(\.core_cpu))
        let free = Dictionary(
            grouping: cores, by: { core in usable.first { $0.core_cpu == core }!.node }
        )
        .mapValues(\.count)
        let load = Dictionary(grouping: spread, by: \.node).mapValues(\.count)
        if ranks <= cores.count {
            for (node, count) in load {
                for (other, most) in free where load[other, default: 0] < most {
                    #expect(
                        count <= load[other, default: 0] + 1, "\(what): nodes \(node), \(other)")
                }
            }
            // Compact leaves no core free in a node but the last one.
            let packed = Dictionary(grouping: compact, by: \.node).mapValues(\.count)
            #expect(packed.count { $0.value < free[$0.key]! } <= 1, "\(what)")
        }
    }
}

@Suite("Binding of ranks")
struct BindingTests {
    @Test("Every recorded host, every size of team", arguments: hostNames())
    func allSizes(_ name: String) throws {
        try withTopology(folder.appendingPathComponent(name).path) { topology in
            checkAllSizes(topology, name)
        }
    }

    /// A cpuset can leave any CPUs and any memory.
    @Test("Every recorded host under seeded cpusets", arguments: hostNames())
    func cpusets(_ name: String) throws {
        try withTopology(folder.appendingPathComponent(name).path) { topology in
            let seed = UInt64.random(in: 0...999_999)
            var random = Seeded(seed)
            for round in 0..<40 {
                for i in 0..<Int(topology.pointee.cpu_count) {
                    topology.pointee.cpus[i].allowed = random.next() % 3 == 0 ? 0 : 1
                }
                for i in 0..<Int(topology.pointee.node_count) {
                    let hasMemory = topology.pointee.nodes[i].memory_total_bytes > 0
                    topology.pointee.nodes[i].allowed = hasMemory && random.next() % 3 > 0 ? 1 : 0
                }
                #expect(muster_testing_predict_homes(topology) == 0)
                checkAllSizes(topology, "\(name), seed \(seed), round \(round)")
            }
        }
    }

    @Test("Two ranks on four sub-NUMA clusters: spread over packages, compact on one node")
    func packages() throws {
        try withTopology(folder.appendingPathComponent("sub-numa-clusters").path) { topology in
            #expect(assign(topology, MUSTER_SPREAD, ranks: 2).seats.map(\.home) == [0, 2])
            #expect(assign(topology, MUSTER_COMPACT, ranks: 2).seats.map(\.cpu) == [0, 1])
            // The nearer node comes before the farther one.
            #expect(
                assign(topology, MUSTER_COMPACT, ranks: 5).seats.map(\.home) == [0, 0, 1, 1, 2])
            #expect(
                assign(topology, MUSTER_SPREAD, ranks: 5).seats.map(\.home) == [0, 0, 1, 2, 3])
        }
    }

    @Test("Siblings are used when each core has a rank, and sit next to each other")
    func siblings() throws {
        try withTopology(folder.appendingPathComponent("two-sockets-smt").path) { topology in
            #expect(assign(topology, MUSTER_SPREAD, ranks: 2).seats.map(\.cpu) == [0, 2])
            #expect(assign(topology, MUSTER_SPREAD, ranks: 4).seats.map(\.cpu) == [0, 1, 2, 3])
            #expect(assign(topology, MUSTER_COMPACT, ranks: 4).seats.map(\.cpu) == [0, 1, 2, 3])
            #expect(assign(topology, MUSTER_COMPACT, ranks: 5).seats.map(\.cpu) == [0, 4, 1, 2, 3])
            #expect(
                assign(topology, MUSTER_SPREAD, ranks: 8).seats.map(\.cpu) == [
                    0, 4, 1, 5, 2, 6, 3, 7,
                ])
        }
    }

    @Test("A rank on a node without memory is at home on the nearest node that has some")
    func homes() throws {
        try withTopology(folder.appendingPathComponent("memoryless-node").path) { topology in
            let seats = assign(topology, MUSTER_SPREAD, ranks: 3).seats
            #expect(seats.map(\.cpu) == [0, 1, 2])
            // Nodes 0 and 2 are as near to node 1: as the kernel has it, the next number comes first.
            #expect(seats.map(\.home) == [0, 2, 2])
            topology.pointee.distances[3 + 0] = 15
            #expect(muster_testing_predict_homes(topology) == 0)
            #expect(assign(topology, MUSTER_SPREAD, ranks: 3).seats.map(\.home) == [0, 0, 2])
        }
    }

    @Test("Equally near nodes are dealt out in turn, as the recorded kernel did")
    func homesInTurn() throws {
        // Eight nodes of a CPU, of which 2, 3 and 4 have memory, all 20 apart: recorded in a guest of
        // Linux 6.1, where a page that CPUs 0 to 7 touched lay on these nodes (6.12: the same).
        try withTopology(folder.appendingPathComponent("homes-in-turn").path) { topology in
            let seats = assign(topology, MUSTER_SPREAD, ranks: 8).seats
            #expect(seats.map(\.home) == [2, 3, 2, 3, 4, 3, 2, 3])
            // A cpuset leaves the order of the kernel's lists as it is.
            topology.pointee.nodes[3].allowed = 0
            #expect(muster_testing_predict_homes(topology) == 0)
            #expect(assign(topology, MUSTER_SPREAD, ranks: 8).seats[3].home == 4)
        }
    }

    @Test("Compact goes from node to nearest node of those that ranks can use")
    func unusableNodes() throws {
        // Node 0, which no rank may use, is 11 from nodes 1 and 2, which are 30 apart; 3 is 12 from 1.
        try withTopology(folder.appendingPathComponent("node-without-ranks").path) { topology in
            #expect(assign(topology, MUSTER_COMPACT, ranks: 4).seats.map(\.cpu) == [2, 3, 6, 7])
            #expect(
                assign(topology, MUSTER_COMPACT, ranks: 6).seats.map(\.home) == [1, 1, 3, 3, 2, 2])
        }
    }

    @Test("Ranks that outnumber CPUs get homes in blocks, and no CPU")
    func crowded() throws {
        try withTopology(folder.appendingPathComponent("asymmetric-distances").path) { topology in
            let seats = assign(topology, MUSTER_SPREAD, ranks: 6).seats
            #expect(seats.map(\.cpu) == Array(repeating: UInt32.max, count: 6))
            #expect(seats.map(\.home) == [0, 0, 1, 1, 2, 2])
        }
    }

    @Test("A list gives ranks its CPUs in order, and faults are named")
    func lists() throws {
        try withTopology(folder.appendingPathComponent("node-id-gap").path) { topology in
            func seats(_ cpus: [UInt32], ranks: Int) -> (Int32, UInt32, [UInt32]) {
                let result = assign(topology, MUSTER_CPUS, ranks: ranks, cpus: cpus)
                return (result.status, result.bad, result.seats.map(\.cpu))
            }
            #expect(seats([2, 0, 1], ranks: 2) == (0, 77_777, [2, 0]))
            #expect(seats([2, 0], ranks: 3).0 == -EINVAL)
            #expect(seats([0, 4], ranks: 1) == (-ENODEV, 4, [77_777]))  // off line
            #expect(seats([0, 99], ranks: 1).1 == 99)
            #expect(seats([1, 0, 1], ranks: 2) == (-EEXIST, 1, [77_777, 77_777]))
            topology.pointee.cpus[1].allowed = 0
            #expect(seats([0, 1], ranks: 1) == (-EACCES, 1, [77_777]))
            #expect(seats([0], ranks: 1) == (0, 77_777, [0]))
        }
    }

    @Test("An unknown kind and no ranks are refused")
    func refused() throws {
        try withTopology(folder.appendingPathComponent("one-node").path) { topology in
            var seat = muster_seat()
            #expect(muster_binding_assign(topology, 4, nil, 0, 1, &seat, nil) == -EINVAL)
            #expect(muster_binding_assign(topology, 0, nil, 0, 0, &seat, nil) == -EINVAL)
        }
    }
}
