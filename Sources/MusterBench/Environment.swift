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

    /// Reads this host.
    public static func read() throws(MusterError) -> Environment {
        let topology = try Topology.read()
        return Environment(
            cpuModel: cpuModelName(), kernel: kernelRelease(), cpus: topology.usableCPUCount,
            nodes: topology.nodes.count,
            memoryTotalBytes: topology.nodes.reduce(0) { $0 + $1.memoryTotalBytes },
            lastLevelCacheBytes: topology.lastLevelCacheTotalBytes, pageBytes: topology.pageBytes,
            version: Version.text)
    }
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
