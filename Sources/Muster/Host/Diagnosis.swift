// Diagnosis.swift - what on a host stands in the way of arrays that lie where they should and of loops
// that run as fast as they could.
//
// Each check looks at one cause. It says what it has seen, what that does here, and the command that
// mends it; where the host does not say, the check is unknown, never clear.

internal import MusterCore
internal import Glibc

/// What a host was checked for, and what was found.
public struct Diagnosis: Sendable {
    /// A thing in the way.
    public struct Finding: Sendable {
        /// Its name, the same in every version: "numa-balancing".
        public let id: String
        /// What was seen, and where.
        public let evidence: String
        /// What it does to arrays or loops.
        public let effect: String
        /// The command that mends it.
        public let remedy: String
    }

    /// Things in the way.
    public private(set) var findings: [Finding] = []
    /// Names of the checks that found nothing.
    public private(set) var clear: [String] = []
    /// Names of the checks that this host can't answer.
    public private(set) var unknown: [String] = []
    /// What could not be read of the host, as in `Topology.notes`: nothing to mend, but to know.
    public private(set) var notes: [String] = []

    /// Checks this host, as it is for this process.
    ///
    /// - Throws: As ``Topology/read()``.
    public init() throws(MusterError) {
        self.init(of: try Topology.read(), HostFiles())
    }

    /// Checks a recorded host. What has to be tried out is unknown then.
    ///
    /// - Throws: As ``Topology/init(recordedAt:)``.
    public init(recordedAt path: String) throws(MusterError) {
        self.init(of: try Topology(recordedAt: path), HostFiles(root: path))
    }

    init(of host: Topology, _ files: HostFiles) {
        let checks: [(id: String, check: (Topology, HostFiles) -> Outcome)] = [
            ("calls-refused", callsRefused), ("placement-refused", placementRefused),
            ("residency-refused", residencyRefused),
            ("affinity-refused", affinityRefused),
            ("cpuset", cpuset), ("numa-balancing", numaBalancing),
            ("weighted-interleave", weightedInterleave), ("map-count", mapCount),
            ("shared-huge-pages", sharedHugePages), ("huge-page-pool", hugePagePool),
            ("memory-limit", memoryLimit), ("address-space", addressSpace),
            ("overcommit", overcommit), ("cpu-quota", cpuQuota), ("cpu-frequency", cpuFrequency),
        ]
        notes = (try? host.readCaches().notes) ?? host.notes
        for (id, check) in checks {
            switch check(host, files) {
            case .clear: clear.append(id)
            case .unknown: unknown.append(id)
            case .found(let evidence, let effect, let remedy):
                findings.append(
                    Finding(id: id, evidence: evidence, effect: effect, remedy: remedy))
            }
        }
        notes += files.notes
    }
}

private enum Outcome {
    case clear
    case unknown
    case found(evidence: String, effect: String, remedy: String)
}

// MARK: - What this process may do

private func callsRefused(_: Topology, _ files: HostFiles) -> Outcome {
    guard files.isLive else { return .unknown }
    var statuses = [Int32](repeating: 0, count: 256)
    let count = muster_host_try_calls(&statuses, UInt32(statuses.count))
    guard count > 0 else { return .clear }
    let refused = statuses.prefix(Int(count)).map { status in
        var name: UnsafePointer<CChar>?
        let number = muster_refused_call(status, &name)
        return "\(name.map { String(cString: $0) } ?? "") (\(number == EPERM ? "EPERM" : "ENOSYS"))"
    }
    return .found(
        evidence: "made to no effect, and refused: \(refused.joined(separator: ", "))",
        effect: "where there is no other way, a command says which call it needs, and ends",
        remedy:
            "allow them in the seccomp filter: docker run --security-opt seccomp=PROFILE.json ... "
            + "(Kubernetes: securityContext.seccompProfile; systemd: SystemCallFilter=; ENOSYS may "
            + "also be an old kernel)")
}

private func placementRefused(_: Topology, _ files: HostFiles) -> Outcome {
    guard files.isLive else { return .unknown }
    let status = muster_host_try_placement()
    guard status < 0 else { return .clear }
    return .found(
        evidence: "mbind of a page of its own and set_mempolicy of its own policy: "
            + statusText(status),
        effect: "every array is placed by first touch, whatever was asked for",
        remedy: "docker run --cap-add SYS_NICE ... (the default seccomp profile then lets mbind "
            + "through; Kubernetes: securityContext.capabilities.add: [SYS_NICE])")
}

private func residencyRefused(_: Topology, _ files: HostFiles) -> Outcome {
    guard files.isLive else { return .unknown }
    let status = muster_host_try_residency()
    guard status < 0 else { return .clear }
    return .found(
        evidence: "move_pages, asked for the node of a page of its own: \(statusText(status))",
        effect:
            "placements are asked for, and where pages lie can't be read back: nothing is verified",
        remedy:
            "docker run --cap-add SYS_NICE ... (the default seccomp profile then lets move_pages "
            + "through; Kubernetes: securityContext.capabilities.add: [SYS_NICE])")
}

private func affinityRefused(_: Topology, _ files: HostFiles) -> Outcome {
    guard files.isLive else { return .unknown }
    let status = muster_host_try_affinity()
    guard status < 0 else { return .clear }
    return .found(
        evidence: "sched_setaffinity to the CPUs that it has: \(statusText(status))",
        effect: "ranks are not bound: they may run far from their pages, and two on one core",
        remedy: "docker run --security-opt seccomp=unconfined ... (or a profile that allows "
            + "sched_setaffinity)")
}

private func cpuset(_ host: Topology, _: HostFiles) -> Outcome {
    let online = host.cpus.filter(\.isOnline)
    let refusedNodes = host.nodes.filter { !$0.isAllowed && $0.hasMemory }.map(\.id)
    let usable = online.filter(\.isAllowed)
    guard usable.count < online.count || !refusedNodes.isEmpty else { return .clear }
    let nodes = refusedNodes.map(String.init).joined(separator: ", ")
    return .found(
        evidence: "\(usable.count) of \(online.count) CPUs"
            + (refusedNodes.isEmpty ? "" : ", and no memory of node \(nodes)")
            + " (Cpus_allowed_list and Mems_allowed_list in /proc/self/status)",
        effect: "teams are \(usable.count) ranks by default"
            + (refusedNodes.isEmpty ? "" : "; placements on these nodes are refused"),
        remedy:
            "taskset -pc 0-\(online.last?.id ?? 0) $$ (docker: --cpuset-cpus and --cpuset-mems; "
            + "cgroup: cpuset.cpus and cpuset.mems)")
}

// MARK: - Where pages go

private func numaBalancing(_ host: Topology, _ files: HostFiles) -> Outcome {
    let path = "proc/sys/kernel/numa_balancing"
    guard host.nodes.count > 1 else { return .clear }
    guard let mode: Int = files.number(path) else { return .unknown }
    if mode == 0 { return .clear }
    return .found(
        evidence: "/\(path) is \(mode), on \(host.nodes.count) nodes",
        effect: "the kernel unmaps pages to see who uses them, which costs page faults in every "
            + "loop, and may move those of files and of first-touch arrays",
        remedy: "sysctl kernel.numa_balancing=0")
}

private func weightedInterleave(_ host: Topology, _ files: HostFiles) -> Outcome {
    guard host.nodes.count > 1 else { return .clear }
    let path = "proc/sys/kernel/osrelease"
    guard let release = files.word(path) else { return .unknown }
    let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else { return .unknown }
    if (numbers[0], numbers[1]) >= (6, 9) { return .clear }
    return .found(
        evidence: "/\(path) is \(release); weighted interleave came with 6.9",
        effect: "weighted placements are made of blocks with a policy each, not page by page",
        remedy: "apt-get install linux-image-amd64 from a release with Linux 6.9 or later "
            + "(Debian 12: -t bookworm-backports), and boot it")
}

private func mapCount(_ host: Topology, _ files: HostFiles) -> Outcome {
    let path = "proc/sys/vm/max_map_count"
    guard let most: Int = files.number(path) else { return .unknown }
    // A blocked array can take one mapping a rank; the program and its libraries need some, too.
    let ranks = max(1, host.usableCPUCount)
    let arrays = max(0, most - 1024) / ranks
    if arrays >= 64 { return .clear }
    return .found(
        evidence: "/\(path) is \(most), for \(ranks) ranks",
        effect: "a team has room for some \(arrays) blocked arrays: each may take a mapping a rank",
        remedy: "sysctl vm.max_map_count=\(max(65_530, 1024 + 1024 * ranks))")
}

// MARK: - Huge pages

private func sharedHugePages(_: Topology, _ files: HostFiles) -> Outcome {
    let path = "sys/kernel/mm/transparent_hugepage/shmem_enabled"
    guard let mode = files.choice(path) else { return .unknown }
    guard mode == "never" || mode == "deny" else { return .clear }
    return .found(
        evidence: "/\(path) is \(mode)",
        effect:
            "arrays get 4 KiB pages when they are touched; huge ones have to be made afterwards, "
            + "which costs as much again, or come from a file system of their own",
        remedy: "echo advise > /\(path)")
}

private func hugePagePool(_ host: Topology, _ files: HostFiles) -> Outcome {
    let pools = host.pages(files).pools
    guard !pools.isEmpty else { return .unknown }
    if pools.contains(where: { $0.free > 0 }) { return .clear }
    let seen = pools.map { "\($0.free) of \($0.total) x \(formatBytes($0.pageBytes))" }
    return .found(
        evidence: "/sys/kernel/mm/hugepages: free \(seen.joined(separator: ", "))",
        effect: "arrays of 2m or 1g pages get smaller ones instead",
        remedy: "sysctl vm.nr_hugepages=\((pools.first?.total ?? 0) + 512)")
}

// MARK: - Limits

private func memoryLimit(_ host: Topology, _ files: HostFiles) -> Outcome {
    guard files.text("proc/self/cgroup") != nil else { return .unknown }
    let limits = host.limits(files)
    let total = host.nodes.reduce(0) { $0 + $1.memoryTotalBytes }
    guard let most = limits.memoryBytes, most < total else {
        return limits.unknown.contains(.memory) ? .unknown : .clear
    }
    let none = limits.memoryFile.hasSuffix("memory.max") ? "max" : "-1"
    return .found(
        evidence: "\(limits.memoryFile) is \(most): \(formatBytes(most)) of \(formatBytes(total))",
        effect: "larger arrays are refused; a program that grows past it is killed",
        remedy: "echo \(none) > \(limits.memoryFile) (docker: --memory; systemd: MemoryMax=)")
}

private func addressSpace(_ host: Topology, _ files: HostFiles) -> Outcome {
    guard files.text("proc/self/limits") != nil else { return .unknown }
    let limits = host.limits(files)
    guard let most = limits.addressSpaceBytes else {
        return limits.unknown.contains(.resources) ? .unknown : .clear
    }
    return .found(
        evidence: "/proc/self/limits: Max address space \(most) (\(formatBytes(most)))",
        effect: "a team reserves less room for its arrays, or can't be made at all",
        remedy: "ulimit -v unlimited")
}

private func overcommit(_: Topology, _ files: HostFiles) -> Outcome {
    let path = "proc/sys/vm/overcommit_memory"
    guard let mode: Int = files.number(path) else { return .unknown }
    if mode != 2 { return .clear }
    let limit = files.line("proc/meminfo", "CommitLimit:")
    let used = files.line("proc/meminfo", "Committed_AS:")
    let figures = limit.flatMap { limit in used.map { ", \($0) of \(limit) promised" } } ?? ""
    return .found(
        evidence: "/\(path) is 2\(figures)",
        effect: "arrays are refused when the promises of all programs reach the limit, though "
            + "memory is free",
        remedy: "sysctl vm.overcommit_memory=0")
}

private func cpuQuota(_ host: Topology, _ files: HostFiles) -> Outcome {
    guard files.text("proc/self/cgroup") != nil else { return .unknown }
    let limits = host.limits(files)
    guard let quota = limits.cpuQuota, quota < Double(host.usableCPUCount) else {
        return limits.unknown.contains(.cpuQuota) ? .unknown : .clear
    }
    let none = limits.cpuQuotaFile.hasSuffix("cpu.max") ? "max" : "-1"
    let ranks = max(1, Int(quota))
    return .found(
        evidence: "\(limits.cpuQuotaFile): CPU time of \(tenths(quota)) CPUs for "
            + "\(host.usableCPUCount) CPUs",
        effect: "all ranks are stopped for the rest of each period when it is spent, spinning "
            + "included; use -n \(ranks)",
        remedy: "echo \(none) > \(limits.cpuQuotaFile) (docker: --cpus; systemd: CPUQuota=)")
}

private func cpuFrequency(_ host: Topology, _ files: HostFiles) -> Outcome {
    var seen = 0
    var first: (evidence: String, remedy: String)?
    var slow = 0
    for cpu in host.cpus where cpu.isOnline && cpu.isAllowed {
        let folder = "sys/devices/system/cpu/cpu\(cpu.id)/cpufreq"
        guard let governor = files.word("\(folder)/scaling_governor") else { continue }
        seen += 1
        var found: (String, String)?
        if governor != "performance" {
            found = (
                "/\(folder)/scaling_governor is \(governor)",
                "cpupower frequency-set -g performance"
            )
        } else if let most: Int = files.number("\(folder)/scaling_max_freq"),
            let possible: Int = files.number("\(folder)/cpuinfo_max_freq"), most < possible
        {
            found = (
                "/\(folder)/scaling_max_freq is \(most) kHz of \(possible) kHz",
                "cpupower frequency-set --max \(possible)kHz"
            )
        }
        guard let found else { continue }
        slow += 1
        first = first ?? found
    }
    guard seen > 0 else { return .unknown }
    guard let first else { return .clear }
    return .found(
        evidence: "\(first.evidence) (\(slow) of \(seen) CPUs)",
        effect: "CPUs that have waited begin a loop slowly, and timings move",
        remedy: first.remedy)
}

/// "4.5"
private func tenths(_ value: Double) -> String {
    let all = Int((value * 10).rounded())
    return all % 10 == 0 ? "\(all / 10)" : "\(all / 10).\(all % 10)"
}
