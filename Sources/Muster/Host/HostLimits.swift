// HostLimits.swift - what cgroups and resource limits leave of a host.

extension Topology {
    /// What this process may use, by its cgroups and resource limits; nil: unlimited, or unknown.
    public struct Limits: Sendable {
        /// Least of the memory limits of this process's cgroup and those above it, in bytes.
        public internal(set) var memoryBytes: UInt64?
        /// CPU time of its cgroups, in CPUs: 1.5 is 150 ms in each 100 ms.
        public internal(set) var cpuQuota: Double?
        /// Processes and threads of its cgroups.
        public internal(set) var processCount: Int?
        /// `ulimit -v`, in bytes.
        public internal(set) var addressSpaceBytes: UInt64?
        /// `ulimit -l`, in bytes.
        public internal(set) var lockedMemoryBytes: UInt64?
        /// `ulimit -n`.
        public internal(set) var openFileCount: Int?
        /// The file that sets each limit of a cgroup.
        package internal(set) var memoryFile = ""
        package internal(set) var cpuQuotaFile = ""
    }

    /// Reads the limits, now.
    public func limits() -> Limits { limits(HostFiles(root: root)) }

    package func limits(_ files: HostFiles) -> Limits {
        var limits = Limits()
        for folder in controlGroups("memory", files) {
            for name in ["memory.max", "memory.limit_in_bytes"] {
                // Version 1 writes a number near 2^63 for "none".
                guard let bytes = files.word("\(folder)/\(name)").flatMap({ UInt64($0) }),
                    bytes < 1 << 62, bytes < limits.memoryBytes ?? .max
                else { continue }
                limits.memoryBytes = bytes
                limits.memoryFile = "/\(folder)/\(name)"
            }
        }
        for folder in controlGroups("cpu", files) {
            guard let quota = cpuQuota(of: folder, files), quota.cpus < limits.cpuQuota ?? .infinity
            else { continue }
            limits.cpuQuota = quota.cpus
            limits.cpuQuotaFile = "/\(folder)/\(quota.file)"
        }
        for folder in controlGroups("pids", files) {
            guard let most = files.number("\(folder)/pids.max") else { continue }
            limits.processCount = min(most, limits.processCount ?? .max)
        }
        limits.addressSpaceBytes = resourceLimit("Max address space", files)
        limits.lockedMemoryBytes = resourceLimit("Max locked memory", files)
        limits.openFileCount = resourceLimit("Max open files", files).flatMap { Int(exactly: $0) }
        return limits
    }

    /// Directories of this process's cgroup and those above it that have a controller's files.
    private func controlGroups(_ controller: String, _ files: HostFiles) -> [String] {
        var folders: [String] = []
        for line in (files.text("proc/self/cgroup") ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            var mounts = ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
            if !parts[1].isEmpty {
                guard parts[1].split(separator: ",").contains(Substring(controller)) else {
                    continue
                }
                mounts = ["sys/fs/cgroup/\(parts[1])", "sys/fs/cgroup/\(controller)"]
                if mounts[0] == mounts[1] { mounts.removeLast() }
            }
            var names = parts[2].split(separator: "/")
            guard !names.contains("..") else { continue }
            while true {
                folders += mounts.map { ([$0] + names.map(String.init)).joined(separator: "/") }
                if names.popLast() == nil { break }
            }
        }
        return folders
    }

    private func cpuQuota(of folder: String, _ files: HostFiles) -> (cpus: Double, file: String)? {
        let words = (files.text("\(folder)/cpu.max") ?? "").split(whereSeparator: \.isWhitespace)
        if words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0
        {
            return (quota / period, "cpu.max")
        }
        guard let quota = files.number("\(folder)/cpu.cfs_quota_us"), quota > 0,
            let period = files.number("\(folder)/cpu.cfs_period_us"), period > 0
        else { return nil }
        return (Double(quota) / Double(period), "cpu.cfs_quota_us")
    }

    /// The soft limit of a line of proc/self/limits.
    private func resourceLimit(_ name: String, _ files: HostFiles) -> UInt64? {
        files.line("proc/self/limits", name)?.split(separator: " ").first.flatMap { UInt64($0) }
    }
}
