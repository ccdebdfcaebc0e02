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
        /// What could not be read of them, as in `Topology.notes`.
        public internal(set) var notes: [String] = []
        /// The file that sets each limit of a cgroup.
        package internal(set) var memoryFile = ""
        package internal(set) var cpuQuotaFile = ""
        /// Limits of which a file makes no sense: there may be one, or a lower one.
        package internal(set) var unknown: Set<Kind> = []

        package enum Kind: Sendable {
            case memory, cpuQuota, processes, resources
        }
    }

    /// Reads the limits, now.
    public func limits() -> Limits { limits(HostFiles(root: root)) }

    package func limits(_ files: HostFiles) -> Limits {
        var limits = Limits()
        func read(_ kind: Limits.Kind, _ read: () -> Void) {
            let before = files.remarkCount
            read()
            if files.remarkCount > before { limits.unknown.insert(kind) }
        }
        let earlier = files.notes.count
        read(.memory) {
            for folder in controlGroups("memory", files) {
                for name in ["memory.max", "memory.limit_in_bytes"] {
                    // Version 1 writes a number near 2^63 for "none".
                    let path = "\(folder)/\(name)"
                    guard
                        let bytes: UInt64 = files.number(
                            path, besides: ["max"], or: "how much memory is left is unknown"),
                        bytes < 1 << 62, bytes < limits.memoryBytes ?? .max
                    else { continue }
                    limits.memoryBytes = bytes
                    limits.memoryFile = "/\(path)"
                }
            }
        }
        read(.cpuQuota) {
            for folder in controlGroups("cpu", files) {
                guard let quota = cpuQuota(of: folder, files),
                    quota.cpus < limits.cpuQuota ?? .infinity
                else { continue }
                limits.cpuQuota = quota.cpus
                limits.cpuQuotaFile = "/\(folder)/\(quota.file)"
            }
        }
        read(.processes) {
            for folder in controlGroups("pids", files) {
                guard
                    let most: Int = files.number(
                        "\(folder)/pids.max", besides: ["max"],
                        or: "how many processes there may be is unknown")
                else { continue }
                limits.processCount = min(most, limits.processCount ?? .max)
            }
        }
        read(.resources) {
            limits.addressSpaceBytes = resourceLimit("Max address space", files)
            limits.lockedMemoryBytes = resourceLimit("Max locked memory", files)
            limits.openFileCount = resourceLimit("Max open files", files)
                .flatMap { Int(exactly: $0) }
        }
        limits.notes = Array(files.notes.dropFirst(earlier))
        return limits
    }

    /// Directories of this process's cgroup and those above it that have a controller's files.
    private func controlGroups(_ controller: String, _ files: HostFiles) -> [String] {
        var folders: [String] = []
        for line in (files.text("proc/self/cgroup") ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[2].hasPrefix("/") else {
                files.remark(
                    on: "proc/self/cgroup", "makes no sense", "limits of its cgroup are unknown")
                continue
            }
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
        let effect = "how much CPU time there is is unknown"
        if let words = files.words("\(folder)/cpu.max", or: effect) {
            if words.count == 2, let period = UInt64(words[1]), period > 0 {
                if words[0] == "max" { return nil }
                if let quota = UInt64(words[0]), quota > 0 {
                    return (Double(quota) / Double(period), "cpu.max")
                }
            }
            files.remark(on: "\(folder)/cpu.max", "makes no sense", effect)
            return nil
        }
        let path = "\(folder)/cpu.cfs_period_us"
        guard let quota: Int = files.number("\(folder)/cpu.cfs_quota_us", or: effect), quota > 0,
            let period: Int = files.number(path, or: effect)
        else { return nil }
        guard period > 0 else {
            files.remark(on: path, "makes no sense", effect)
            return nil
        }
        return (Double(quota) / Double(period), "cpu.cfs_quota_us")
    }

    /// The soft limit of a line of proc/self/limits.
    private func resourceLimit(_ name: String, _ files: HostFiles) -> UInt64? {
        let path = "proc/self/limits"
        guard files.words(path) != nil, let line = files.line(path, name) else { return nil }
        let word = line.split(separator: " ").first
        if word == "unlimited" { return nil }
        guard let number = word.flatMap({ UInt64($0) }) else {
            files.remark(on: path, "has no number after \(name)")
            return nil
        }
        return number
    }
}
