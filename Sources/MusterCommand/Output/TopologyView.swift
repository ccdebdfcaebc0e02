// TopologyView.swift - a host as text for people.

import Muster

/// A host as text.
struct TopologyView {
    private let host: Topology
    private let pages: Topology.Pages
    private let caches: [Topology.Cache]
    private let limits: Topology.Limits
    private let notes: [String]

    init(_ host: Topology) throws {
        self.host = host
        pages = host.pages()
        limits = host.limits()
        let read = try host.readCaches()
        caches = read.caches
        notes = read.notes + pages.notes + limits.notes
    }

    /// Prints everything.
    func print() {
        printNodes()
        if host.nodes.count > 1 {
            Output.line()
            printDistances()
        }
        Output.line()
        printCPUs()
        printCaches()
        printPages()
        printLimits()
        if !notes.isEmpty { Output.line() }
        for note in notes { Output.line("note: \(Output.plain(note))") }
    }

    private func printNodes() {
        let hasPools = !pages.nodePools.isEmpty
        var table = AlignedTable(
            [("node", .right), ("memory", .right), ("free", .right)]
                + (hasPools ? [("huge pages", .right)] : [])
                + [("CPUs", .right), ("CPU numbers", .left)])
        for node in host.nodes {
            let hasMemory = node.hasMemory
            let total = node.memoryTotalBytes > 0 ? Figures.capacity(node.memoryTotalBytes) : "?"
            let free = node.knowsFreeMemory ? Figures.capacity(node.memoryFreeBytes) : "?"
            let remarks =
                node.cpus.isEmpty
                ? (hasMemory ? "none: memory only" : "none, and no memory")
                : Figures.list(node.cpus)
            let refused = node.isAllowed || !hasMemory ? "" : " (memory not for us: cpuset)"
            table.add(
                [
                    "\(node.id)", hasMemory ? total : "none", hasMemory ? free : "-",
                ] + (hasPools ? [pools(pages.nodePools[node.id] ?? [])] : [])
                    + ["\(node.cpus.count)", remarks + refused])
        }
        table.print()
    }

    /// "8 of 512 x 2 MiB": free ones of all.
    private func pools(_ pools: [Topology.Pages.Pool]) -> String {
        let filled = pools.filter { $0.total > 0 }.map {
            "\($0.free) of \($0.total) x \(Figures.capacity($0.pageBytes))"
        }
        return filled.isEmpty ? "-" : filled.joined(separator: ", ")
    }

    /// Row: from; column: to. Hot is far.
    private func printDistances() {
        let cells = host.distances.map { row in row.map { $0 == 0 ? "-" : "\($0)" } }
        let ids = host.nodes.map { "\($0.id)" }
        let width = (cells.joined() + ids).map(\.count).max() ?? 1
        let most = max(host.distances.joined().max() ?? 10, 11)
        func padded(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let corner = "from \\ to"
        Output.line(Paint.heading("distances"))
        Output.line(
            Paint.heading(
                corner + ids.map { "  " + padded($0, width) }.joined()))
        for (from, row) in cells.enumerated() {
            let painted = row.enumerated().map { to, cell in
                let distance = host.distances[from][to]
                let heat = distance == 0 ? nil : Double(distance - 10) / Double(most - 10)
                return "  " + Paint.heat(padded(cell, width), heat)
            }
            Output.line(padded(ids[from], corner.count) + painted.joined())
        }
    }

    private func printCPUs() {
        let online = host.cpus.filter(\.isOnline)
        var parts = ["\(Figures.count(online.count)) on line"]
        if host.cpus.count > online.count {
            parts.append("\(Figures.count(host.cpus.count - online.count)) off line")
        }
        let threads = Dictionary(grouping: online, by: \.coreCPU).values.map(\.count)
        let packages = Set(online.compactMap(\.packageCPU))
        let place = packages.isEmpty ? "" : " in \(Figures.count(packages.count, "package"))"
        var cores = Figures.count(threads.count, "core") + place
        if let most = threads.max(), most > 1 {
            let alone = threads.count { $0 == 1 }
            cores += ", \(most) threads each"
            if alone > 0 { cores += " but for \(alone) of one" }
        }
        parts.append(cores)
        row("CPUs", parts.joined(separator: ", "))
        let usable = host.usableCPUs
        let refused = usable.count == online.count ? "" : ": \(Figures.list(usable))"
        row("for a team", "\(Figures.count(usable.count, "CPU"))\(refused) (affinity and cpuset)")
    }

    /// "L2 512 KiB x 4 (2 CPUs each)"
    private func printCaches() {
        var kinds: [(name: String, count: Int, least: Int, most: Int)] = []
        for cache in caches {
            let suffix = cache.type == "Data" ? "d" : cache.type == "Instruction" ? "i" : ""
            let size = cache.sizeBytes.map(Figures.capacity) ?? "of unknown size"
            let name = "L\(cache.level)\(suffix) \(size)"
            let sharers = cache.cpus.count
            if let at = kinds.firstIndex(where: { $0.name == name }) {
                kinds[at].count += 1
                kinds[at].least = min(kinds[at].least, sharers)
                kinds[at].most = max(kinds[at].most, sharers)
            } else {
                kinds.append((name, 1, sharers, sharers))
            }
        }
        if kinds.isEmpty { return row("caches", "not known") }
        for (number, kind) in kinds.enumerated() {
            let sharers = kind.least == kind.most ? "\(kind.least)" : "\(kind.least)-\(kind.most)"
            let shared = kind.most > 1 ? " (\(sharers) CPUs each)" : ""
            row(number == 0 ? "caches" : "", "\(kind.name) x \(kind.count)\(shared)")
        }
    }

    private func printPages() {
        var parts: [String] = []
        if host.pageBytes > 0 { parts.append(Figures.capacity(UInt64(host.pageBytes))) }
        if let own = pages.transparent { parts.append("transparent huge pages: \(own)") }
        if let shared = pages.shared { parts.append("in shared memory: \(shared)") }
        if !parts.isEmpty { row("pages", parts.joined(separator: "; ")) }
        let sizes = pages.pools.map { Figures.capacity($0.pageBytes) }
        if !sizes.isEmpty {
            let filled = pools(pages.pools)
            row(
                "huge pages",
                filled == "-"
                    ? "none set aside (\(sizes.joined(separator: ", ")))" : "\(filled) free")
        }
    }

    private func printLimits() {
        var parts: [String] = []
        if let bytes = limits.memoryBytes { parts.append("\(Figures.capacity(bytes)) of memory") }
        if let quota = limits.cpuQuota {
            parts.append("CPU time of \(Figures.short(quota, digits: 4)) CPUs")
        }
        if let count = limits.processCount {
            parts.append(Figures.count(count, "process", "processes"))
        }
        if let bytes = limits.addressSpaceBytes {
            parts.append("\(Figures.capacity(bytes)) of addresses")
        }
        // A file that makes no sense may set one.
        if !limits.notes.isEmpty { parts.append(parts.isEmpty ? "not known" : "others not known") }
        row("limits", parts.isEmpty ? "none" : parts.joined(separator: ", "))
    }

    private func row(_ name: String, _ value: String) {
        let blank = String(repeating: " ", count: 12 - name.count)
        Output.line(Paint.heading(name) + blank + value)
    }
}

extension Topology {
    /// CPUs that ranks may use, by number.
    var usableCPUs: [Int] { cpus.filter { $0.isOnline && $0.isAllowed }.map(\.id) }
}
