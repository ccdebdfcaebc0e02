// Topology.swift - nodes, CPUs, memory and distances of a host.

internal import MusterCore

/// A host: its NUMA nodes, CPUs, memory and distances, read when asked (`muster_topology_create`).
public struct Topology: Sendable {
    /// A NUMA node that is on line.
    public struct Node: Sendable {
        /// The kernel's number; numbers may have gaps.
        public let id: Int
        /// Its on-line CPUs, by number; empty: it has none; with memory it is memory only.
        public let cpus: [Int]
        /// Whether it has memory.
        public let hasMemory: Bool
        /// Memory in bytes; 0: none, or of unknown size.
        public let memoryTotalBytes: UInt64
        /// Memory that nothing uses, in bytes; 0: none, or unknown.
        public let memoryFreeBytes: UInt64
        /// Whether the host says how much of the memory is free.
        public let knowsFreeMemory: Bool
        /// Whether this process may allocate on it (cpuset).
        public let isAllowed: Bool
    }

    /// A logical CPU.
    public struct CPU: Sendable {
        /// The kernel's number.
        public let id: Int
        /// Its node; nil: unknown, as for CPUs off line.
        public let node: Int?
        /// Number of its core, unique within the package; nil: unknown.
        public let core: Int?
        /// Number of its package (socket), which some hosts give twice; nil: unknown.
        public let package: Int?
        /// Whether it is on line.
        public let isOnline: Bool
        /// Whether this process may run on it (affinity and cpuset).
        public let isAllowed: Bool
        /// The first on-line CPU of its core, itself where it is alone: SMT siblings share it.
        public let coreCPU: Int
        /// The first on-line CPU of its package, by which packages are told apart; nil: unknown.
        public let packageCPU: Int?
        /// The first on-line CPU that shares its last-level cache; nil: unknown.
        public let cacheCPU: Int?
    }

    /// Nodes, by rising number.
    public let nodes: [Node]
    /// CPUs, by rising number.
    public let cpus: [CPU]
    /// ACPI SLIT values by position in `nodes`, `distances[from][to]`; 10 is local, 0 unknown.
    public let distances: [[Int]]
    /// CPUs on line that this process may run on.
    public let usableCPUCount: Int
    /// Size of the last-level cache that one CPU sees, in bytes; 0: unknown.
    public let lastLevelCacheBytes: UInt64
    /// All last-level caches together, in bytes; 0: unknown.
    public let lastLevelCacheTotalBytes: UInt64
    /// Size of a base page, in bytes; 0: unknown, of a recorded host.
    public let pageBytes: Int
    /// What could not be read of the host, or had to be taken from elsewhere: a sentence each, which
    /// begins with the file. What no file says is unknown.
    public let notes: [String]
    /// Where it was recorded; nil: this host.
    let root: String?

    /// Reads this host.
    ///
    /// - Throws: `.system` if its files can't be read.
    public static func read() throws(MusterError) -> Topology {
        try Topology(root: nil)
    }

    /// Reads a recorded tree: a directory that holds `sys/devices/system` as a host has it.
    ///
    /// - Throws: `.system` if there is none or it can't be read, `.file` for a name with a NUL byte.
    public init(recordedAt path: String) throws(MusterError) {
        try self.init(root: path)
    }

    private init(root: String?) throws(MusterError) {
        let raw = try Topology.readRaw(root)
        defer { muster_topology_destroy(raw) }
        self.root = root
        let host = raw.pointee
        let allCPUs = (0..<Int(host.cpu_count)).map { host.cpus[$0] }
        cpus = allCPUs.map { cpu in
            CPU(
                id: Int(cpu.id), node: known(cpu.node), core: known(cpu.core),
                package: known(cpu.package), isOnline: cpu.online != 0,
                isAllowed: cpu.allowed != 0, coreCPU: Int(cpu.core_cpu),
                packageCPU: known(cpu.package_cpu), cacheCPU: known(cpu.cache_cpu))
        }
        nodes = (0..<Int(host.node_count)).map { position in
            let node = host.nodes[position]
            let own = allCPUs.filter { $0.node == Int32(node.id) && $0.online != 0 }
            return Node(
                id: Int(node.id), cpus: own.map { Int($0.id) }, hasMemory: node.has_memory != 0,
                memoryTotalBytes: node.memory_total_bytes,
                memoryFreeBytes: node.memory_free_bytes,
                knowsFreeMemory: node.knows_free != 0, isAllowed: node.allowed != 0)
        }
        let count = nodes.count
        distances = (0..<count).map { from in
            (0..<count).map { to in Int(host.distances[from * count + to]) }
        }
        usableCPUCount = Int(host.usable_cpu_count)
        lastLevelCacheBytes = host.last_level_cache_bytes
        lastLevelCacheTotalBytes = host.last_level_cache_total_bytes
        pageBytes = Int(host.page_bytes)
        notes = Topology.notes(of: raw)
    }

    private static func readRaw(
        _ root: String?
    ) throws(MusterError) -> UnsafeMutablePointer<muster_topology> {
        var raw: UnsafeMutablePointer<muster_topology>?
        if let root { try checkName(root) }
        let status = withFileName(root) { muster_topology_create($0, &raw) }
        if status == 0, let raw { return raw }
        guard let root, status == -ENOENT else {
            throw .system(
                .system, root ?? "this host", "can't read its topology", status: status)
        }
        throw MusterError(
            .system, subject: root,
            reason:
                "is no recorded host: it is not there, or has no file that names a CPU, such as "
                + "sys/devices/system/cpu/online",
            errorNumber: ENOENT)
    }

    private static func notes(of raw: UnsafeMutablePointer<muster_topology>) -> [String] {
        (0..<Int(raw.pointee.note_count)).map { place in
            withUnsafeBytes(of: raw.pointee.notes[place].text) { String(upToNUL: $0) }
        }
    }

    /// Reads all caches of on-line CPUs, each once: by level, type and first CPU.
    ///
    /// - Throws: `.system` when the host can't be read any more (`muster_topology_caches`).
    public func caches() throws(MusterError) -> [Cache] { try readCaches().caches }

    /// All caches, and all notes: those about caches that do not matter to teams are among them.
    package func readCaches() throws(MusterError) -> (caches: [Cache], notes: [String]) {
        final class Found { var caches: [Cache] = [] }
        let raw = try Topology.readRaw(root)
        defer { muster_topology_destroy(raw) }
        let found = Found()
        let status = muster_topology_caches(
            root, raw,
            { cache, context in
                let types = [nil, "Data", "Instruction", "Unified"]
                let cache = cache!.pointee
                Unmanaged<Found>.fromOpaque(context!).takeUnretainedValue().caches.append(
                    Cache(
                        level: Int(cache.level), type: types[Int(cache.type)],
                        sizeBytes: cache.size_bytes == 0 ? nil : cache.size_bytes,
                        cpus: (0..<Int(cache.cpu_count)).map { Int(cache.cpus[$0]) }))
                return 0
            }, Unmanaged.passUnretained(found).toOpaque())
        guard status == 0 else {
            throw .system(.system, root ?? "this host", "can't read its caches", status: status)
        }
        let caches = found.caches.sorted {
            ($0.level, $0.type ?? "", $0.cpus.first ?? 0)
                < ($1.level, $1.type ?? "", $1.cpus.first ?? 0)
        }
        return (caches, Topology.notes(of: raw))
    }

    /// CPU and node that the calling thread runs on at this moment, by the kernel's numbers; nil: the
    /// system does not say (`muster_topology_here`).
    public static func here() -> (cpu: Int, node: Int)? {
        var cpu: UInt32 = 0
        var node: UInt32 = 0
        guard muster_topology_here(&cpu, &node) == 0 else { return nil }
        return (Int(cpu), Int(node))
    }
}

/// -1 stands for "unknown" in the C core.
private func known(_ number: Int32) -> Int? { number < 0 ? nil : Int(number) }
