// TopologyCommand.swift - `muster topology`: nodes, CPUs, memory and distances of a host.

import ArgumentParser
import Muster

struct TopologyCommand: JSONCommand {
    static let schema = "muster.topology/1"
    static let configuration = CommandConfiguration(
        commandName: "topology",
        abstract: "Shows NUMA nodes, CPUs, memory and distances.",
        discussion: """
            Distances are those that the firmware reports (ACPI SLIT): 10 is local, 20 is twice as \
            far. A node without CPUs is memory only. Memory is in KiB, MiB, GiB (powers of 1024).

            EXAMPLES
              muster topology
              muster topology --json | jq '.nodes[].memory_free_bytes'
              muster topology --recorded tree      the host whose /sys is in tree/sys
            """)

    @Option(
        help: ArgumentHelp(
            "Show a recorded host: a directory with the files of its /sys in sys/.",
            valueName: "directory")
    )
    var recorded: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let host = try recorded.map { try Topology(recordedAt: $0) } ?? Topology.read()
        if json { return try print(json: TopologyJSON(host)) }
        printNodes(of: host)
        if host.nodes.count > 1 {
            Output.line()
            printDistances(of: host)
        }
        Output.line()
        printSummary(of: host)
    }

    private func printNodes(of host: Topology) {
        var table = AlignedTable([
            ("node", .right), ("memory", .right), ("free", .right), ("CPUs", .right),
            ("CPU numbers", .left),
        ])
        for node in host.nodes {
            let remarks =
                node.cpus.isEmpty ? "none: memory only" : Figures.list(node.cpus)
            let refused =
                node.isAllowed || node.memoryTotalBytes == 0 ? "" : " (not for us: cpuset)"
            table.add([
                "\(node.id)",
                node.memoryTotalBytes == 0 ? "none" : Figures.capacity(node.memoryTotalBytes),
                node.memoryTotalBytes == 0 ? "-" : Figures.capacity(node.memoryFreeBytes),
                "\(node.cpus.count)", remarks + refused,
            ])
        }
        table.print()
    }

    /// Row: from; column: to.
    private func printDistances(of host: Topology) {
        Output.line(Paint.heading("distances"))
        var table = AlignedTable(
            [("from \\ to", .right)] + host.nodes.map { ("\($0.id)", .right) })
        for (from, node) in host.nodes.enumerated() {
            table.add(
                ["\(node.id)"] + host.distances[from].map { $0 == 0 ? "-" : "\($0)" })
        }
        table.print()
    }

    private func printSummary(of host: Topology) {
        let online = host.cpus.filter(\.isOnline)
        var parts = ["\(online.count) on line"]
        if host.cpus.count > online.count {
            parts.append("\(host.cpus.count - online.count) off line")
        }
        let packages = Set(online.compactMap(\.package))
        let cores = Set(online.compactMap { cpu in cpu.core.map { [cpu.package ?? -1, $0] } })
        if !cores.isEmpty {
            let place = packages.isEmpty ? "" : " in \(Figures.count(packages.count, "package"))"
            parts.append(Figures.count(cores.count, "core") + place)
        }
        row("CPUs", parts.joined(separator: ", "))
        row("for a team", "\(Figures.count(host.usableCPUCount, "CPU")) (affinity and cpuset)")
        if host.lastLevelCacheBytes > 0 {
            row(
                "caches",
                "last level \(Figures.capacity(host.lastLevelCacheBytes)), "
                    + "\(Figures.capacity(host.lastLevelCacheTotalBytes)) in all")
        } else {
            row("caches", "not known")
        }
        if host.pageBytes > 0 { row("page", Figures.capacity(UInt64(host.pageBytes))) }
    }

    private func row(_ name: String, _ value: String) {
        let blank = String(repeating: " ", count: 12 - name.count)
        Output.line(Paint.heading(name) + blank + value)
    }
}

/// `muster.topology/1`
private struct TopologyJSON: Encodable {
    struct Node: Encodable {
        let id: Int
        let cpus: [Int]
        let memory_total_bytes: UInt64
        let memory_free_bytes: UInt64
        let has_cpus: Bool
    }
    struct Distance: Encodable {
        let from: Int
        let to: Int
        let distance: Int?

        enum CodingKeys: CodingKey { case from, to, distance }
        func encode(to encoder: any Encoder) throws {
            var json = encoder.container(keyedBy: CodingKeys.self)
            try json.encode(from, forKey: .from)
            try json.encode(to, forKey: .to)
            try json.encode(distance, forKey: .distance)  // null: the host does not say
        }
    }
    struct CPU: Encodable {
        let cpu: Topology.CPU

        enum CodingKeys: CodingKey { case id, node, core, package, online }
        func encode(to encoder: any Encoder) throws {
            var json = encoder.container(keyedBy: CodingKeys.self)
            try json.encode(cpu.id, forKey: .id)
            try json.encode(cpu.node, forKey: .node)
            try json.encode(cpu.core, forKey: .core)
            try json.encode(cpu.package, forKey: .package)
            try json.encode(cpu.isOnline, forKey: .online)
        }
    }
    let nodes: [Node]
    let distances: [Distance]
    let cpus: [CPU]

    init(_ host: Topology) {
        nodes = host.nodes.map {
            Node(
                id: $0.id, cpus: $0.cpus, memory_total_bytes: $0.memoryTotalBytes,
                memory_free_bytes: $0.memoryFreeBytes, has_cpus: !$0.cpus.isEmpty)
        }
        distances = host.nodes.enumerated().flatMap { from, node in
            host.nodes.enumerated().map { to, other in
                let distance = host.distances[from][to]
                return Distance(
                    from: node.id, to: other.id, distance: distance == 0 ? nil : distance)
            }
        }
        cpus = host.cpus.map(CPU.init)
    }
}
