// A topology as values that compare and print, and what the tests of this folder share.

import MusterCore
import Testing

/// A copy of a `muster_topology` in values that compare and print.
struct Host: Equatable {
    struct Node: Equatable {
        var id: UInt32
        var cpus: UInt32
        var totalKiB: UInt64
        var freeKiB: UInt64
        var allowed = true
    }

    struct CPU: Equatable {
        var id: UInt32
        var node: Int32
        var core: Int32
        var package: Int32
        var online = true
        var allowed = true
        var sharing = Sharing()
        var coreCPU: UInt32 { sharing.coreCPU }
        var cacheCPU: Int32 { sharing.cacheCPU }
        var packageCPU: Int32 { sharing.packageCPU }
    }

    /// Left out of comparisons, so that hosts can be written down without it.
    struct Sharing: Equatable {
        var coreCPU: UInt32 = 0
        var cacheCPU: Int32 = -1
        var packageCPU: Int32 = -1
        static func == (_: Sharing, _: Sharing) -> Bool { true }
    }

    /// The same.
    struct Notes: Equatable {
        var all: [String] = []
        static func == (_: Notes, _: Notes) -> Bool { true }
    }

    var nodes: [Node]
    var cpus: [CPU]
    var distances: [[UInt32]]
    var usableCPUs: UInt32
    var cacheKiB: UInt64
    var allCachesKiB: UInt64
    var pageBytes: UInt64 = 0
    var noted = Notes()
    var notes: [String] { noted.all }

    /// What comparisons leave out, for those that want it.
    var whole: [[Int64]] {
        cpus.map { [Int64($0.coreCPU), Int64($0.packageCPU), Int64($0.cacheCPU)] }
    }
}

struct Status: Error, Equatable, CustomStringConvertible {
    let value: Int32
    var description: String { String(cString: muster_status_text(value)) }
}

func withTopology<Result>(
    _ root: String?, _ body: (UnsafeMutablePointer<muster_topology>) throws -> Result
) throws -> Result {
    // An output that a failure must leave alone.
    let untouched = UnsafeMutablePointer<muster_topology>(bitPattern: 8)
    var topology = untouched
    let status = muster_topology_create(root, &topology)
    guard status == 0, let topology else {
        #expect(topology == untouched)
        throw Status(value: status)
    }
    defer { muster_topology_destroy(topology) }
    return try body(topology)
}

func notesOf(_ topology: UnsafeMutablePointer<muster_topology>) -> [String] {
    (0..<Int(topology.pointee.note_count)).map { place in
        withUnsafeBytes(of: topology.pointee.notes[place].text) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

func readHost(_ root: String?) throws -> Host { try withTopology(root, hostOf) }

func hostOf(_ pointer: UnsafeMutablePointer<muster_topology>) -> Host {
    let topology = pointer.pointee
    let nodes = UnsafeBufferPointer(start: topology.nodes, count: Int(topology.node_count))
    let cpus = UnsafeBufferPointer(start: topology.cpus, count: Int(topology.cpu_count))
    return Host(
        nodes: nodes.map {
            Host.Node(
                id: $0.id, cpus: $0.cpu_count, totalKiB: $0.memory_total_bytes / 1024,
                freeKiB: $0.memory_free_bytes / 1024, allowed: $0.allowed == 1)
        },
        cpus: cpus.map {
            Host.CPU(
                id: $0.id, node: $0.node, core: $0.core, package: $0.package,
                online: $0.online == 1, allowed: $0.allowed == 1,
                sharing: Host.Sharing(
                    coreCPU: $0.core_cpu, cacheCPU: $0.cache_cpu, packageCPU: $0.package_cpu))
        },
        distances: nodes.indices.map { from in
            let row = topology.distances + from * nodes.count
            return Array(UnsafeBufferPointer(start: row, count: nodes.count))
        },
        usableCPUs: topology.usable_cpu_count,
        cacheKiB: topology.last_level_cache_bytes / 1024,
        allCachesKiB: topology.last_level_cache_total_bytes / 1024,
        pageBytes: topology.page_bytes,
        noted: Host.Notes(all: notesOf(pointer)))
}

/// A host with as many rows as `nodes`, each CPU a core of its own in package 0.
func plainCPUs(_ nodes: Int32...) -> [Host.CPU] {
    nodes.enumerated().map { id, node in
        Host.CPU(id: UInt32(id), node: node, core: Int32(id), package: 0)
    }
}
