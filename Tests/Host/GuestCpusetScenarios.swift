// GuestCpusetScenarios.swift - what others do to an array's pages: cpusets that differ from rank to rank,
// and pages that are moved. They need root and a machine of several nodes: a guest.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

private func write(_ text: String, to file: String) throws {
    try claim(equal: put(text + "\n", into: file), 0, "writing \(text) to \(file)")
}

private struct AddOne: Kernel {
    let values: SharedArray<Int64>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        values.update(chunk) { values in for i in values.indices { values[i] += 1 } }
    }
}

/// Two ranks that may use different nodes: what one of them can't place is said, and no more; loops run.
func guestCpusets(_: [String]) throws {
    let memory = try Topology.read().nodes.filter { $0.memoryTotalBytes > 0 }.map(\.id)
    guard let first = memory.first, let last = memory.last, first != last else {
        return print("cpusets: skipped, one node only")
    }
    let root = "/sys/fs/cgroup"
    try write("+cpuset", to: "\(root)/cgroup.subtree_control")
    let team = try Team(size: 2, binding: .none)
    for (rank, node) in [first, last].enumerated() {
        mkdir("\(root)/rank\(rank)", 0o755)
        try write("\(node)", to: "\(root)/rank\(rank)/cpuset.mems")
        try write("\(team.processIDs[rank])", to: "\(root)/rank\(rank)/cgroup.procs")
    }
    let count = 1 << 18
    for wish in [Placement.bind(node: first), .firstTouch, .blocked] {
        let array = try team.array(
            of: Int64.self, count: count, placement: wish, pages: .small)
        let found = try array.withSpan { span in
            try span.withUnsafeBufferPointer { try nodesOfPages($0.baseAddress!, bytes: count * 8) }
        }
        // Each rank's half lies where its cpuset has it, whatever was asked for.
        let half = found.count / 2
        try claim(
            found[..<half].allSatisfy { $0 == first } && found[half...].allSatisfy { $0 == last },
            "\(wish): \(Dictionary(found.map { ($0, 1) }, uniquingKeysWith: +))")
        if case .bind = wish {
            try claim(equal: try array.verifiedFraction(), 0.5, "\(wish): read back")
            try claim(
                array.notes.count == 1 && array.notes[0].contains("1 MiB")
                    && array.notes[0].contains("cpuset"), "\(wish): \(array.notes)")
        }
        try team.run(AddOne(values: array.inPlace), schedule: .staticSteal)
        try claim(array.toArray().allSatisfy { $0 == 1 }, "\(wish): elements")
    }
    print("cpusets: two ranks on nodes \(first) and \(last), said where bind could not be had")
}

/// Pages that somebody moves later are found when the placement is verified, and only then.
func guestMigrated(_: [String]) throws {
    let memory = try Topology.read().nodes.filter { $0.memoryTotalBytes > 0 }.map(\.id)
    guard let first = memory.first, let last = memory.last, first != last else {
        return print("migrated: skipped, one node only")
    }
    let team = try Team(size: 2)
    for pages in [Pages.small, .transparent] {
        let array = try team.array(
            of: Int64.self, count: 1 << 19, placement: .bind(node: last), pages: pages)
        try team.run(AddOne(values: array.inPlace))
        try claim(equal: try array.verifiedFraction(), 1, "pages \(pages): before")
        let left = muster_testing_migrate(UInt32(last), UInt32(first))
        try claim(left == 0, "pages \(pages): \(left) pages stay")
        try claim(equal: try array.verifiedFraction(), 0, "pages \(pages): moved away")
        try claim(equal: Set(try array.residency().bytesByNode.keys), [first], "pages \(pages)")
        try team.run(AddOne(values: array.inPlace))
        try claim(array.toArray().allSatisfy { $0 == 2 }, "pages \(pages): elements")
        _ = muster_testing_migrate(UInt32(first), UInt32(last))
        try claim(equal: try array.verifiedFraction(), 1, "pages \(pages): moved back")
    }
    print("migrated: found when verified")
}

/// A CPU that goes off line between two teams is none that the second one's ranks are bound to, and
/// one that comes back is.
func guestHotplug(_: [String]) throws {
    let cpus = try Topology.read().cpus.filter { $0.isOnline }.map(\.id)
    guard let last = cpus.last, last != cpus.first else {
        return print("hotplug: skipped, one CPU only")
    }
    /// CPUs on line, as teams know them and as they are.
    func onLine(_ read: (UnsafeMutablePointer<UnsafeMutablePointer<muster_topology>?>) -> Int32)
        throws -> [UInt32]
    {
        var raw: UnsafeMutablePointer<muster_topology>?
        try claim(equal: read(&raw), 0, "reading the host")
        defer { muster_topology_destroy(raw) }
        return (0..<Int(raw!.pointee.cpu_count)).map { raw!.pointee.cpus[$0] }
            .filter { $0.online == 1 }.map(\.id)
    }
    func cpusOfTeam() throws -> [Int?] {
        try claim(
            equal: try onLine { muster_topology_recall($0) },
            try onLine { muster_topology_create(nil, $0) }, "CPUs on line")
        let team = try Team(size: cpus.count)
        try claim(try team.eachRank(Nothing()).isClean, "a loop")
        return team.seats.map(\.cpu)
    }
    try claim(equal: Set(try cpusOfTeam()), Set(cpus.map(Optional.some)), "all CPUs")
    let file = "/sys/devices/system/cpu/cpu\(last)/online"
    try write("0", to: file)
    let without = Result { try cpusOfTeam() }
    try write("1", to: file)
    // More ranks than CPUs: bound to none.
    try claim(equal: try without.get(), cpus.map { _ in nil }, "without CPU \(last)")
    try claim(equal: Set(try cpusOfTeam()), Set(cpus.map(Optional.some)), "all CPUs again")
    print("hotplug: CPU \(last) went and came back")
}
