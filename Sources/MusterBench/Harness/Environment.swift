// Environment.swift - the host a measurement was made on, as far as it bears on the figures.

internal import Glibc
public import Muster

/// A host, in the terms that a reader of a figure asks for first.
public struct Environment: Sendable {
    /// "AMD EPYC 7763 64-Core Processor"; nil: the system doesn't say (as on most ARM hosts).
    public let cpuModel: String?
    /// Release of the kernel, as `uname -r`.
    public let kernel: String
    /// CPUs that this process may use.
    public let cpus: Int
    /// NUMA nodes on line.
    public let nodes: Int
    /// Memory of all nodes, in bytes.
    public let memoryTotalBytes: UInt64
    /// All last-level caches together, in bytes; 0: unknown.
    public let lastLevelCacheBytes: UInt64
    /// Size of a base page, in bytes.
    public let pageBytes: Int
    /// Version of Muster.
    public let version: String
    /// Each node: its number, CPUs and memory.
    public let nodeList: [Topology.Node]
    /// How CPUs choose their clock: "performance"; nil: the system doesn't say, as in most guests.
    public let governor: String?
    /// Whether the kernel moves pages to the nodes that use them; nil: not said.
    public let isBalancing: Bool?
    /// Transparent huge pages of private and of shared memory, in the kernel's words; nil: not said.
    public let transparentPages: String?
    public let transparentSharedPages: String?
    /// "KVM", "QEMU": what the machine calls itself where it is virtual; nil: it seems to be none.
    public let virtualization: String?
    /// "docker", "podman", "lxc": nil: none that leaves a mark.
    public let container: String?
    /// Whether instructions are emulated: then no time means anything.
    public let isEmulated: Bool

    /// Reads this host.
    public static func read() throws(MusterError) -> Environment {
        let topology = try Topology.read()
        let files = HostFiles()
        let model = cpuModelName()
        return Environment(
            cpuModel: model, kernel: kernelRelease(), cpus: topology.usableCPUCount,
            nodes: topology.nodes.count,
            memoryTotalBytes: topology.nodes.reduce(0) { $0 + $1.memoryTotalBytes },
            lastLevelCacheBytes: topology.lastLevelCacheTotalBytes, pageBytes: topology.pageBytes,
            version: Version.text, nodeList: topology.nodes,
            governor: files.word("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            isBalancing: files.number("proc/sys/kernel/numa_balancing").map { $0 != 0 },
            transparentPages: files.choice("sys/kernel/mm/transparent_hugepage/enabled"),
            transparentSharedPages: files.choice(
                "sys/kernel/mm/transparent_hugepage/shmem_enabled"),
            virtualization: hypervisorName(files), container: containerName(files),
            // QEMU's emulation names itself so in place of a CPU's model.
            isEmulated: model?.contains("TCG") == true
                || model?.hasPrefix("QEMU Virtual CPU") == true)
    }
}

/// What the firmware or the CPU says of a hypervisor.
private func hypervisorName(_ files: HostFiles) -> String? {
    if let type = files.word("sys/hypervisor/type") { return type }
    let isGuest = files.line("proc/cpuinfo", "flags")?.split(separator: " ").contains("hypervisor")
    let maker = files.text("sys/class/dmi/id/sys_vendor")?.split(separator: "\n").first
    guard isGuest == true else { return nil }
    return maker.map(String.init) ?? "hypervisor not named"
}

/// Marks that container engines leave.
private func containerName(_ files: HostFiles) -> String? {
    if let name = files.word("run/systemd/container") { return name }
    if files.text(".dockerenv") != nil { return "docker" }
    if files.text("run/.containerenv") != nil { return "podman" }
    return nil
}

private func kernelRelease() -> String {
    var name = utsname()
    guard uname(&name) == 0 else { return "unknown" }
    return withUnsafeBytes(of: &name.release) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// The first "model name" of /proc/cpuinfo; its first block is within the first 4 KiB.
private func cpuModelName() -> String? {
    guard let file = fopen("/proc/cpuinfo", "re") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let length = fread(&bytes, 1, bytes.count, file)
    for line in String(decoding: bytes.prefix(length), as: UTF8.self).split(separator: "\n")
    where line.hasPrefix("model name") {
        guard let colon = line.firstIndex(of: ":") else { continue }
        return String(line[line.index(after: colon)...].drop { $0 == " " })
    }
    return nil
}
