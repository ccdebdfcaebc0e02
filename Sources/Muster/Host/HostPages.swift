// HostPages.swift - the sizes of pages that a host can give, and its caches.

extension Topology {
    /// What huge pages there are.
    public struct Pages: Sendable {
        /// Pages of one size that are set aside (hugetlb).
        public struct Pool: Sendable {
            /// Size of a page, in bytes.
            public let pageBytes: UInt64
            /// Pages of the pool.
            public let total: Int
            /// Of them, those that nothing uses.
            public let free: Int
        }
        /// Transparent huge pages of private memory: always, madvise or never; nil: unknown.
        public internal(set) var transparent: String?
        /// The same for shared memory: always, within_size, advise, never, deny or force.
        public internal(set) var shared: String?
        /// Pools of the host, by rising size.
        public internal(set) var pools: [Pool] = []
        /// Pools by node number.
        public internal(set) var nodePools: [Int: [Pool]] = [:]
        /// What could not be read of them, as in `Topology.notes`.
        public internal(set) var notes: [String] = []
    }

    /// A cache.
    public struct Cache: Sendable {
        /// 1: the nearest to the core.
        public let level: Int
        /// Data, Instruction or Unified; nil: unknown.
        public let type: String?
        /// nil: unknown.
        public let sizeBytes: UInt64?
        /// On-line CPUs that share it.
        public let cpus: [Int]
    }

    /// Reads the state of huge pages, now.
    public func pages() -> Pages { pages(HostFiles(root: root)) }

    package func pages(_ files: HostFiles) -> Pages {
        let settings = "sys/kernel/mm/transparent_hugepage"
        var pages = Pages()
        let earlier = files.notes.count
        pages.transparent = files.choice("\(settings)/enabled")
        pages.shared = files.choice("\(settings)/shmem_enabled")
        pages.pools = pools(in: "sys/kernel/mm/hugepages", files)
        for node in nodes {
            let found = pools(in: "sys/devices/system/node/node\(node.id)/hugepages", files)
            if !found.isEmpty { pages.nodePools[node.id] = found }
        }
        pages.notes = Array(files.notes.dropFirst(earlier))
        return pages
    }

    private func pools(in folder: String, _ files: HostFiles) -> [Pages.Pool] {
        files.names(folder).compactMap { name -> Pages.Pool? in
            let head = "hugepages-"
            guard name.hasPrefix(head) else { return nil }
            let effect = "this pool of huge pages is unknown"
            guard name.hasSuffix("kB"),
                let size = UInt64(name.dropFirst(head.count).dropLast(2)), size > 0, size < 1 << 50
            else {
                files.remark(on: "\(folder)/\(name)", "is no size of a page", effect)
                return nil
            }
            let paths = ["nr_hugepages", "free_hugepages"].map { "\(folder)/\(name)/\($0)" }
            guard let total: UInt32 = files.number(paths[0], or: effect),
                let free: UInt32 = files.number(paths[1], or: effect)
            else { return nil }
            return Pages.Pool(pageBytes: size * 1024, total: Int(total), free: Int(free))
        }.sorted { $0.pageBytes < $1.pageBytes }
    }
}
