// Topologies of machines we don't own, from `/sys` trees in `Hosts`, and of this machine.
//
// asymmetric-distances, eight-nodes, homes-in-turn, memory-only-node, memoryless-node, node-id-gap and
// node-without-ranks (but for its list of CPUs) were recorded in virtual machines on Linux 6.1,
// one-node on a cloud machine on Linux 6.18. The others were written by hand after the kernel's
// documentation, for shapes that no machine at hand has. All are cut down to the files that are read.

import MusterCore
import Foundation
import Testing

private func readRecorded(_ name: String) throws -> Host {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    return try readHost(folder.appendingPathComponent("Hosts/\(name)").path)
}

// MARK: - Recorded hosts

@Suite("Recorded hosts")
struct RecordedHostTests {
    @Test("One node")
    func oneNode() throws {
        let expected = Host(
            nodes: [.init(id: 0, cpus: 2, totalKiB: 5_204_180, freeKiB: 3_703_004)],
            cpus: plainCPUs(0, 0),
            distances: [[10]],
            usableCPUs: 2, cacheKiB: 32_768, allCachesKiB: 32_768)
        #expect(try readRecorded("one-node") == expected)
    }

    @Test("Two sockets with two threads per core")
    func twoSockets() throws {
        let expected = Host(
            nodes: [
                .init(id: 0, cpus: 4, totalKiB: 131_840_000, freeKiB: 120_000_000),
                .init(id: 1, cpus: 4, totalKiB: 132_096_000, freeKiB: 131_000_000),
            ],
            cpus: [
                .init(id: 0, node: 0, core: 0, package: 0),
                .init(id: 1, node: 0, core: 1, package: 0),
                .init(id: 2, node: 1, core: 0, package: 1),
                .init(id: 3, node: 1, core: 1, package: 1),
                .init(id: 4, node: 0, core: 0, package: 0),
                .init(id: 5, node: 0, core: 1, package: 0),
                .init(id: 6, node: 1, core: 0, package: 1),
                .init(id: 7, node: 1, core: 1, package: 1),
            ],
            distances: [[10, 21], [21, 10]],
            usableCPUs: 8, cacheKiB: 32_768, allCachesKiB: 65_536)
        #expect(try readRecorded("two-sockets-smt") == expected)
    }

    /// Two nodes share each last-level cache, so it must not be counted per node.
    @Test("Sub-NUMA clusters")
    func subNUMAClusters() throws {
        let expected = Host(
            nodes: [
                .init(id: 0, cpus: 2, totalKiB: 65_536_000, freeKiB: 60_000_000),
                .init(id: 1, cpus: 2, totalKiB: 65_536_000, freeKiB: 60_000_001),
                .init(id: 2, cpus: 2, totalKiB: 65_536_000, freeKiB: 60_000_002),
                .init(id: 3, cpus: 2, totalKiB: 65_536_000, freeKiB: 60_000_003),
            ],
            cpus: (0..<8).map { (id: Int32) -> Host.CPU in
                .init(id: UInt32(id), node: id / 2, core: id % 4, package: id / 4)
            },
            distances: [
                [10, 12, 21, 21], [12, 10, 21, 21], [21, 21, 10, 12], [21, 21, 12, 10],
            ],
            usableCPUs: 8, cacheKiB: 61_440, allCachesKiB: 122_880)
        #expect(try readRecorded("sub-numa-clusters") == expected)
    }

    @Test("Eight nodes")
    func eightNodes() throws {
        let memoryKiB: [(total: UInt64, free: UInt64)] = [
            (95_156, 78_288), (128_604, 123_600), (128_604, 121_064), (128_604, 119_588),
            (128_604, 112_920), (128_604, 123_884), (128_604, 123_756), (128_440, 112_496),
        ]
        let expected = Host(
            nodes: memoryKiB.enumerated().map { id, memory -> Host.Node in
                .init(id: UInt32(id), cpus: 1, totalKiB: memory.total, freeKiB: memory.free)
            },
            cpus: plainCPUs(0, 1, 2, 3, 4, 5, 6, 7),
            distances: [
                [10, 12, 12, 12, 32, 32, 32, 32],
                [12, 10, 12, 12, 32, 32, 32, 32],
                [12, 12, 10, 12, 32, 32, 32, 32],
                [12, 12, 12, 10, 32, 32, 32, 32],
                [32, 32, 32, 32, 10, 12, 12, 12],
                [32, 32, 32, 32, 12, 10, 12, 12],
                [32, 32, 32, 32, 12, 12, 10, 12],
                [32, 32, 32, 32, 12, 12, 12, 10],
            ],
            usableCPUs: 8, cacheKiB: 16_384, allCachesKiB: 8 * 16_384)
        #expect(try readRecorded("eight-nodes") == expected)
    }

    @Test("A node of memory only")
    func memoryOnlyNode() throws {
        let expected = Host(
            nodes: [
                .init(id: 0, cpus: 2, totalKiB: 223_936, freeKiB: 211_764),
                .init(id: 1, cpus: 2, totalKiB: 257_384, freeKiB: 231_972),
                .init(id: 2, cpus: 0, totalKiB: 257_708, freeKiB: 248_812),
            ],
            cpus: plainCPUs(0, 0, 1, 1),
            distances: [[10, 20, 20], [20, 10, 20], [20, 20, 10]],
            usableCPUs: 4, cacheKiB: 16_384, allCachesKiB: 2 * 16_384)
        #expect(try readRecorded("memory-only-node") == expected)
    }

    @Test("A node without memory is not allowed for memory")
    func memorylessNode() throws {
        let expected = Host(
            nodes: [
                .init(id: 0, cpus: 1, totalKiB: 224_180, freeKiB: 211_500),
                .init(id: 1, cpus: 1, totalKiB: 0, freeKiB: 0, allowed: false),
                .init(id: 2, cpus: 2, totalKiB: 256_808, freeKiB: 228_016),
            ],
            cpus: plainCPUs(0, 1, 2, 2),
            distances: [[10, 20, 20], [20, 10, 20], [20, 20, 10]],
            usableCPUs: 4, cacheKiB: 16_384, allCachesKiB: 3 * 16_384)
        #expect(try readRecorded("memoryless-node") == expected)
    }

    /// Node 2 and CPUs 3 to 5 are off line; the distance files have a column for nodes 0, 1 and 3.
    @Test("A gap in the node numbers and off-line CPUs")
    func nodeGap() throws {
        let offline = (3...5).map {
            Host.CPU(id: $0, node: -1, core: -1, package: -1, online: false, allowed: false)
        }
        let expected = Host(
            nodes: [
                .init(id: 0, cpus: 2, totalKiB: 223_692, freeKiB: 199_996),
                .init(id: 1, cpus: 1, totalKiB: 190_332, freeKiB: 170_520),
                .init(id: 3, cpus: 0, totalKiB: 262_144, freeKiB: 262_144),
            ],
            cpus: plainCPUs(0, 0, 1) + offline,
            distances: [[10, 20, 20], [20, 10, 20], [20, 20, 10]],
            usableCPUs: 3, cacheKiB: 16_384, allCachesKiB: 2 * 16_384)
        #expect(try readRecorded("node-id-gap") == expected)
    }

    @Test("Asymmetric distances keep their direction")
    func asymmetricDistances() throws {
        let expected = Host(
            nodes: [
                .init(id: 0, cpus: 1, totalKiB: 224_180, freeKiB: 197_152),
                .init(id: 1, cpus: 1, totalKiB: 257_628, freeKiB: 240_908),
                .init(id: 2, cpus: 1, totalKiB: 257_464, freeKiB: 245_268),
            ],
            cpus: plainCPUs(0, 1, 2),
            distances: [[10, 21, 31], [22, 10, 32], [31, 32, 10]],
            usableCPUs: 3, cacheKiB: 16_384, allCachesKiB: 3 * 16_384)
        #expect(try readRecorded("asymmetric-distances") == expected)
    }

    /// Package files say -1 or are missing; the device tree names the last cache without its size.
    @Test("An aarch64 host")
    func aarch64() throws {
        let expected = Host(
            nodes: [.init(id: 0, cpus: 4, totalKiB: 33_554_432, freeKiB: 30_000_000)],
            cpus: [
                .init(id: 0, node: 0, core: 0, package: -1),
                .init(id: 1, node: 0, core: 1, package: -1),
                .init(id: 2, node: 0, core: 0, package: -1),
                .init(id: 3, node: 0, core: 1, package: -1),
            ],
            distances: [[10]],
            usableCPUs: 4, cacheKiB: 0, allCachesKiB: 0)
        #expect(try readRecorded("aarch64") == expected)
    }

    @Test("A host without node directories is one node with all CPUs")
    func noNodeDirectories() throws {
        let expected = Host(
            nodes: [.init(id: 0, cpus: 1, totalKiB: 1_018_412, freeKiB: 700_124)],
            cpus: [
                .init(id: 0, node: 0, core: 0, package: 0),
                .init(id: 1, node: 0, core: -1, package: -1, online: false, allowed: false),
            ],
            distances: [[10]],
            usableCPUs: 1, cacheKiB: 0, allCachesKiB: 0)
        #expect(try readRecorded("no-node-directories") == expected)
    }

    @Test("A container on the second socket: its cpuset, and siblings from the list")
    func container() throws {
        let host = try readRecorded("container")
        #expect(host.usableCPUs == 6)
        #expect(host.cpus.filter(\.allowed).map(\.id) == [5, 6, 7, 13, 14, 15])
        #expect(host.nodes.map(\.allowed) == [false, true])
        #expect(host.cpus.map(\.coreCPU) == (0..<16).map { $0 % 8 })
        #expect(host.cpus.map(\.cacheCPU) == (0..<16).map { $0 % 8 < 4 ? 0 : 4 })
    }

    @Test("Cores of two threads and of one share a package")
    func hybridCores() throws {
        let host = try readRecorded("hybrid-cores")
        #expect(host.cpus.map(\.coreCPU) == [0, 0, 2, 2, 4, 5, 6, 7])
        #expect(host.cpus.allSatisfy { $0.cacheCPU == 0 })
    }

    @Test("Siblings without a list: same core and package, both known")
    func siblingsByNumbers() throws {
        #expect(
            try readRecorded("two-sockets-smt").cpus.map(\.coreCPU) == [0, 1, 2, 3, 0, 1, 2, 3])
        // Package unknown: core numbers repeat, and mean nothing.
        #expect(try readRecorded("aarch64").cpus.map(\.coreCPU) == [0, 1, 2, 3])
    }

    @Test("Nodes are found by number across a gap")
    func nodePosition() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        try withTopology(folder.appendingPathComponent("Hosts/node-id-gap").path) { topology in
            let positions = [0, 1, 2, 3, 4, UInt32.max].map {
                muster_topology_node_position(topology, $0)
            }
            #expect(positions == [0, 1, -ENOENT, 2, -ENOENT, -ENOENT])
        }
    }
}

// MARK: - This host

@Suite("This host")
struct LiveHostTests {
    /// What `/proc/self/status` lists behind `key`.
    private func allowedIDs(_ key: String) throws -> Set<UInt32> {
        let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
        let list = try #require(line).dropFirst(key.count)
        return Set(try #require(parseList(String(list), capacity: 1024).ids))
    }

    @Test("CPUs agree with the kernel's own count and affinity")
    func liveCPUs() throws {
        let host = try readHost(nil)
        let online = host.cpus.filter(\.online)
        let allowed = host.cpus.filter(\.allowed)
        #expect(online.count == sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        #expect(Set(allowed.map(\.id)) == (try allowedIDs("Cpus_allowed_list:")))
        #expect(Int(host.usableCPUs) == host.cpus.count { $0.online && $0.allowed })
        #expect(host.nodes.reduce(0) { $0 + Int($1.cpus) } == online.count)
        #expect(host.pageBytes == UInt64(sysconf(Int32(_SC_PAGESIZE))))
    }

    @Test("Nodes agree with the memory policy")
    func liveNodes() throws {
        let host = try readHost(nil)
        let withMemory = Set(host.nodes.filter { $0.totalKiB > 0 }.map(\.id))
        let allowed = Set(host.nodes.filter(\.allowed).map(\.id))
        #expect(!withMemory.isEmpty)
        #expect(allowed == withMemory.intersection(try allowedIDs("Mems_allowed_list:")))
        #expect(host.nodes.allSatisfy { $0.freeKiB <= $0.totalKiB })
        #expect(host.nodes.indices.allSatisfy { host.distances[$0][$0] == 10 })
    }

    @Test("This host read as a recorded one has the same shape")
    func liveAsRecorded() throws {
        let live = try readHost(nil)
        let recorded = try readHost("/")
        #expect(recorded.nodes.map(\.id) == live.nodes.map(\.id))
        #expect(recorded.nodes.map(\.cpus) == live.nodes.map(\.cpus))
        #expect(recorded.cpus.map(\.core) == live.cpus.map(\.core))
        #expect(recorded.distances == live.distances)
        #expect(recorded.allCachesKiB == live.allCachesKiB)
        #expect(recorded.cpus.map(\.allowed) == live.cpus.map(\.allowed))
        #expect(recorded.pageBytes == 0)
    }
}
