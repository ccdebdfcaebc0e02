// GuestMirrorScenarios.swift - mirrored arrays: every rank reads its own node's copy. On a machine of one
// node there is one copy, and the rest holds all the same.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// What a rank finds at a mirrored array's address.
private struct Found: BitwiseCopyable {
    var wrongElements: Int32 = -1
    /// Pages that lie on another node than `node`.
    var farPages: Int32 = -1
    var node: Int32 = -1
    /// Whether the rank could write there.
    var isWritable: Int32 = -1
}

/// Chunk r is rank r's: compares all elements, and asks the kernel where this process's pages are.
private struct Look: Kernel {
    let values: SharedArray<Int64>.Input
    let round: Int64
    let found: SharedArray<Found>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let values = values.span(0..<values.count, in: chunk)
        var result = Found(wrongElements: 0, farPages: 0)
        for i in values.indices where values[i] != Int64(i) &* round { result.wrongElements += 1 }
        try values.withUnsafeBufferPointer { buffer in
            let start = UnsafeRawPointer(buffer.baseAddress!)
            let nodes = try nodesOfPages(start, bytes: buffer.count * 8)
            result.node = Int32(nodes[0])
            result.farPages = Int32(nodes.count { $0 != nodes[0] })
            result.isWritable = isWritable(start) ? 1 : 0
        }
        found.write(chunk) { $0[0] = result }
    }
}

/// Whether this process has write access at an address, by its own list of mappings.
private func isWritable(_ address: UnsafeRawPointer) -> Bool {
    let place = UInt(bitPattern: address)
    for line in contents(of: "/proc/self/maps").split(separator: "\n") {
        let words = line.split(separator: " ")
        let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        if ends.count == 2, (ends[0]..<ends[1]).contains(place) { return words[1].contains("w") }
    }
    return true
}

/// Each rank reads what the leader wrote, from its home node, and can't write; after a write and a new
/// mirroring, and after a rank's death, too; a loop before the new mirroring is refused.
func guestMirrored(_: [String]) throws {
    try leavingNothing("mirrored arrays") {
        let cpus = try Topology.read().usableCPUCount
        for size in Set([min(cpus, 4), cpus]).sorted() {
            for start in [Team.Start.fork, .forkServer] {
                let team = try Team(size: size, start: start)
                for (pages, count) in [(Pages.small, 100_001), (.transparent, 600_003)] {
                    try mirror(team, pages, count, "\(size) ranks, \(start), pages \(pages)")
                }
            }
        }
    }
}

private func mirror(_ team: borrowing Team, _ pages: Pages, _ count: Int, _ what: String) throws {
    let homes = team.seats.map(\.homeNode)
    let before = memoryFileBytes(named: "muster-arrays")
    do {
        var array = try team.array(
            of: Int64.self, count: count, placement: .mirrored, pages: pages)
        try claim(array.notes.isEmpty, "\(what): \(array.notes)")
        try claim(equal: array.copies, Set(homes).count, "\(what): copies")
        try claim(equal: try array.verifiedFraction(), 1, "\(what): read back")
        let residency = try array.residency()
        try claim(equal: Set(residency.bytesByNode.keys), Set(homes), "\(what): nodes")
        for (node, bytes) in residency.bytesByNode {
            try claim(bytes >= UInt64(count * 8), "\(what): \(bytes) bytes on node \(node)")
        }
        for chunk in try array.residencyByChunk() {
            try claim(equal: Set(chunk.bytesByNode.keys), Set(homes), "\(what): chunk's nodes")
        }
        if pages == .transparent {
            try claim(
                array.hugePageBytes >= array.copies * (count * 8 / (2 << 20)) * (2 << 20),
                "\(what): \(array.hugePageBytes) bytes in huge pages")
        }
        for round: Int64 in 1...2 {
            array.withMutableSpan { values in
                for i in values.indices { values[i] = Int64(i) &* round }
            }
            let found = try team.array(of: Found.self, count: team.size)
            let look = Look(values: array.input, round: round, found: found.output)
            let early = try refusal("\(what): a loop before mirroring") { try team.eachRank(look) }
            try claim(early.description.contains("mirror()"), "\(early)")
            try array.mirror()
            try team.eachRank(look)
            try expect(found, homes, "\(what), round \(round)")
            if round == 1 {
                // Who takes over a rank maps its node's copy, also where the copies are newer than it.
                let victim = pid_t(team.processIDs[team.size - 1])
                kill(victim, SIGKILL)
                wait { state(of: Int(victim)) == "Z" || state(of: Int(victim)) == nil }
                try team.eachRank(look)
                try claim(
                    pid_t(team.processIDs[team.size - 1]) != victim, "\(what): nobody took over")
                try expect(found, homes, "\(what), after a death")
            }
        }
        try array.fill(7)
        try claim(equal: array[count - 1], 7, "\(what): filled")
    }
    try claim(equal: memoryFileBytes(named: "muster-arrays"), before, "\(what): memory is left")
    // The place in the window is free again, for another array.
    let next = try team.array((0..<1000).map(Int64.init), placement: .mirrored)
    let found = try team.array(of: Found.self, count: team.size)
    try team.eachRank(Look(values: next.input, round: 1, found: found.output))
    try expect(found, homes, "\(what), the next array")
}

private func expect(
    _ found: borrowing SharedArray<Found>, _ homes: [Int], _ what: String
) throws {
    for (rank, result) in found.toArray().enumerated() {
        try claim(equal: Int(result.wrongElements), 0, "\(what), rank \(rank): wrong elements")
        try claim(equal: Int(result.node), homes[rank], "\(what), rank \(rank): node")
        try claim(equal: Int(result.farPages), 0, "\(what), rank \(rank): pages elsewhere")
        try claim(equal: Int(result.isWritable), 0, "\(what), rank \(rank): write access")
    }
}
