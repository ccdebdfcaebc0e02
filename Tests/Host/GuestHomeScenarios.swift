// GuestHomeScenarios.swift - where pages lie that CPUs of nodes without memory touch first. They run in guests
// (Tests/Guest/run), and hold on any machine.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// The node of a page that a CPU touches first: this thread goes there, touches one and asks the kernel.
private func firstTouch(on cpu: Int) throws -> Int {
    try claim(equal: muster_binding_hold(UInt32(cpu)), 0, "CPU \(cpu)")
    defer { muster_binding_release() }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let memory = mmap(nil, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
    defer { munmap(memory, page) }
    memory.storeBytes(of: 1, as: UInt8.self)
    var pages: [UnsafeMutableRawPointer?] = [memory]
    var status: [Int32] = [-1]
    try claim(muster_testing_move_pages(&pages, 1, &status) == 0, "move_pages")
    return Int(status[0])
}

private func homes(_ host: UnsafeMutablePointer<muster_topology>) -> [Int: Int] {
    Dictionary(
        uniqueKeysWithValues: (0..<Int(host.pointee.node_count)).map { position in
            let node = host.pointee.nodes[position]
            return (Int(node.id), Int(node.home))
        })
}

/// The homes of all nodes are those of the kernel's own first touch: asked, asked in the other way when a
/// system call is refused, and predicted. Every page of arrays by first touch and in blocks lies there.
func guestHomes(_: [String]) throws {
    let topology = try Topology.read()
    var truth: [Int: Int] = [:]  // by CPU
    var ofNode: [Int: Int] = [:]
    for cpu in topology.cpus where cpu.isOnline && cpu.isAllowed {
        let node = try firstTouch(on: cpu.id)
        truth[cpu.id] = node
        if let own = cpu.node {
            try claim(ofNode[own] ?? node == node, "node \(own) has two homes")
            ofNode[own] = node
        }
    }
    try checkHomes(ofNode)
    let ranks = truth.count
    let team = try Team(size: ranks)
    let seats = team.seats
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    for placement in [Placement.firstTouch, .blocked] {
        for (pages, bytes) in [(Pages.small, ranks << 20), (.automatic, ranks * 4 << 20)] {
            let array = try team.array(
                of: UInt8.self, count: bytes, placement: placement, pages: pages)
            try claim(array.notes.isEmpty, "\(placement): \(array.notes)")
            let found = try array.withSpan { span in
                try span.withUnsafeBufferPointer {
                    try nodesOfPages($0.baseAddress!, bytes: bytes)
                }
            }
            let each = found.count / ranks
            for (number, node) in found.enumerated() {
                let cpu = seats[min(ranks - 1, number / each)].cpu!
                try claim(
                    node == truth[cpu],
                    "\(placement), \(pages): page \(number) of \(page) bytes "
                        + "on node \(node), first touch of CPU \(cpu) is \(truth[cpu]!)")
            }
            try claim(equal: try array.verifiedFraction(), 1, "\(placement), \(pages)")
        }
    }
    print("homes: \(ofNode.sorted { $0.key < $1.key }.map { "\($0.key)->\($0.value)" })")
}

private func checkHomes(_ ofNode: [Int: Int]) throws {
    var refused = 0
    // The n-th system call fails, until none does: then the answer comes in the other way.
    for number in 0...10_000 {
        var host: UnsafeMutablePointer<muster_topology>?
        if number > 0 { muster_testing_fail_call(UInt64(number), number % 2 == 0 ? EPERM : ENOSYS) }
        let status = muster_topology_create(nil, &host)
        let isOver = number > 0 && !muster_testing_failed()
        muster_testing_fail_call(0, 0)
        if number == 0 { try claim(equal: status, 0, "topology") }
        guard status == 0, let host else { continue }
        defer { muster_topology_destroy(host) }
        if isOver { break }
        let found = homes(host)
        // A file that can't be read can hide a node, or what this process may use.
        guard host.pointee.node_count == ofNode.count || number == 0 else { continue }
        if number > 0 { refused += 1 }
        for (node, home) in ofNode {
            if number == 0 { try claim(equal: found[node], home, "node \(node)") }
        }
        if number == 0 {
            try claim(muster_testing_predict_homes(host) == 0, "prediction")
            let predicted = homes(host)
            for (node, home) in ofNode {
                try claim(equal: predicted[node], home, "node \(node), predicted")
            }
        }
    }
    try claim(refused > 0, "no call was refused")
}
