// TopologyCommand.swift - `muster topology`: nodes, CPUs, memory, distances and limits of a host.

import ArgumentParser
import Muster

struct TopologyCommand: JSONCommand {
    static let schema = "muster.topology/1"
    static let configuration = CommandConfiguration(
        commandName: "topology",
        abstract: "Shows NUMA nodes, CPUs, memory, distances, caches and limits.",
        discussion: """
            Distances are those that the firmware reports (ACPI SLIT): 10 is local, 20 is twice as \
            far. A node with memory and without CPUs is memory only. Huge pages are those set aside for hugetlb. \
            Memory is in KiB, MiB, GiB (powers of 1024).

            A recording is a directory with copies of the files of /sys and /proc that are read, \
            some hundred bytes each. Of processes it has only what this one may use: CPUs, nodes, \
            cgroup and limits. It can be shown on any machine.

            EXAMPLES
              muster topology
              muster topology --json | jq '.nodes[].memory_free_bytes'
              muster topology --record tree       copy this host's files
              muster topology --from tree         show the host they were copied from
            """)

    @Option(
        help: ArgumentHelp(
            "Show a recorded host: a directory with the files of its /sys in sys/.",
            valueName: "directory")
    )
    var from: String?

    @Option(
        help: ArgumentHelp(
            "Record this host: copy its files into a directory, made where it is missing.",
            valueName: "directory")
    )
    var record: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if from != nil, record != nil {
            throw ValidationError("--from and --record: one of them, please")
        }
        if from == "" || record == "" {
            throw ValidationError("an empty name is no directory's")
        }
    }

    func run() throws {
        if let record {
            let count = try Topology.record(to: record)
            Output.note("\(record): \(count) files; show them with --from")
        }
        let host = try from.map { try Topology(recordedAt: $0) } ?? Topology.read()
        if json { return try print(json: try TopologyJSON(host)) }
        try TopologyView(host).print()
    }
}

/// `muster.topology/1`
private struct TopologyJSON: Encodable {
    struct Node: Encodable {
        let id: Int
        let cpus: [Int]
        /// nil: the host does not say.
        @OrNull var memory_total_bytes: UInt64?
        @OrNull var memory_free_bytes: UInt64?
        let has_cpus: Bool
        let allowed: Bool
        let huge_pages: [Pool]
    }
    struct Pool: Encodable {
        let page_bytes: UInt64
        let total: Int
        let free: Int

        init(_ pool: Topology.Pages.Pool) {
            page_bytes = pool.pageBytes
            total = pool.total
            free = pool.free
        }
    }
    struct Distance: Encodable {
        let from: Int
        let to: Int
        /// nil: the host does not say.
        @OrNull var distance: Int?
    }
    struct CPU: Encodable {
        let cpu: Topology.CPU

        enum CodingKeys: CodingKey {
            case id, node, core, package, online, allowed, core_cpu, package_cpu, cache_cpu
        }
        func encode(to encoder: any Encoder) throws {
            var json = encoder.container(keyedBy: CodingKeys.self)
            try json.encode(cpu.id, forKey: .id)
            try json.encode(cpu.node, forKey: .node)
            try json.encode(cpu.core, forKey: .core)
            try json.encode(cpu.package, forKey: .package)
            try json.encode(cpu.isOnline, forKey: .online)
            try json.encode(cpu.isAllowed, forKey: .allowed)
            try json.encode(cpu.coreCPU, forKey: .core_cpu)
            try json.encode(cpu.packageCPU, forKey: .package_cpu)
            try json.encode(cpu.cacheCPU, forKey: .cache_cpu)
        }
    }
    struct Cache: Encodable {
        let cache: Topology.Cache

        enum CodingKeys: CodingKey { case level, type, size_bytes, cpus }
        func encode(to encoder: any Encoder) throws {
            var json = encoder.container(keyedBy: CodingKeys.self)
            try json.encode(cache.level, forKey: .level)
            try json.encode(cache.type?.lowercased(), forKey: .type)
            try json.encode(cache.sizeBytes, forKey: .size_bytes)
            try json.encode(cache.cpus, forKey: .cpus)
        }
    }
    struct Pages: Encodable {
        let base: Int
        let pages: Topology.Pages

        enum CodingKeys: CodingKey { case base_bytes, transparent, transparent_shared, huge_pages }
        func encode(to encoder: any Encoder) throws {
            var json = encoder.container(keyedBy: CodingKeys.self)
            try json.encode(base == 0 ? nil : base, forKey: .base_bytes)
            try json.encode(pages.transparent, forKey: .transparent)
            try json.encode(pages.shared, forKey: .transparent_shared)
            try json.encode(pages.pools.map(Pool.init), forKey: .huge_pages)
        }
    }
    struct Limits: Encodable {
        let host: Topology
        let limits: Topology.Limits

        enum CodingKeys: CodingKey {
            case cpus, nodes, cpu_quota, memory_bytes, processes, address_space_bytes,
                locked_memory_bytes, open_files
        }
        func encode(to encoder: any Encoder) throws {
            var json = encoder.container(keyedBy: CodingKeys.self)
            try json.encode(host.usableCPUs, forKey: .cpus)
            try json.encode(host.nodes.filter(\.isAllowed).map(\.id), forKey: .nodes)
            try json.encode(limits.cpuQuota, forKey: .cpu_quota)
            try json.encode(limits.memoryBytes, forKey: .memory_bytes)
            try json.encode(limits.processCount, forKey: .processes)
            try json.encode(limits.addressSpaceBytes, forKey: .address_space_bytes)
            try json.encode(limits.lockedMemoryBytes, forKey: .locked_memory_bytes)
            try json.encode(limits.openFileCount, forKey: .open_files)
        }
    }
    let nodes: [Node]
    let distances: [Distance]
    let cpus: [CPU]
    let caches: [Cache]
    let pages: Pages
    let limits: Limits
    let notes: [String]

    init(_ host: Topology) throws {
        let found = host.pages()
        nodes = host.nodes.map {
            let isKnown = !$0.hasMemory || $0.memoryTotalBytes > 0
            return Node(
                id: $0.id, cpus: $0.cpus, memory_total_bytes: isKnown ? $0.memoryTotalBytes : nil,
                memory_free_bytes: !$0.hasMemory || $0.knowsFreeMemory ? $0.memoryFreeBytes : nil,
                has_cpus: !$0.cpus.isEmpty,
                allowed: $0.isAllowed,
                huge_pages: found.nodePools[$0.id, default: []].map(Pool.init))
        }
        distances = host.nodes.enumerated().flatMap { from, node in
            host.nodes.enumerated().map { to, other in
                let distance = host.distances[from][to]
                return Distance(
                    from: node.id, to: other.id, distance: distance == 0 ? nil : distance)
            }
        }
        cpus = host.cpus.map(CPU.init)
        let read = try host.readCaches()
        caches = read.caches.map(Cache.init)
        pages = Pages(base: host.pageBytes, pages: found)
        let bounds = host.limits()
        limits = Limits(host: host, limits: bounds)
        notes = read.notes + found.notes + bounds.notes
    }
}
