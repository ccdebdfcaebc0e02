// Topologies of machines we don't own, from `/sys` trees in `Hosts`; of this machine; and of trees
// made on purpose to be wrong.
//
// asymmetric-distances, eight-nodes, memory-only-node, memoryless-node and node-id-gap were recorded
// in virtual machines on Linux 6.1, one-node on a cloud machine on Linux 6.18. The others were
// written by hand after the kernel's documentation, for shapes that no machine at hand has. All are
// cut down to the files that are read.

import CMuster
import Foundation
import Testing

// MARK: - What a test compares

/// A copy of a `muster_topology` in values that compare and print.
private struct Host: Equatable {
    struct Node: Equatable {
        var id: UInt32
        var cpus: UInt32
        var totalKiB: UInt64
        var freeKiB: UInt64
        var allowed = true
    }

    struct CPU: Equatable {
        var id: UInt32
        var node: Int32
        var core: Int32
        var package: Int32
        var online = true
        var allowed = true
    }

    var nodes: [Node]
    var cpus: [CPU]
    var distances: [[UInt32]]
    var usableCPUs: UInt32
    var cacheKiB: UInt64
    var allCachesKiB: UInt64
    var pageBytes: UInt64 = 0
}

private struct Status: Error, Equatable, CustomStringConvertible {
    let value: Int32
    var description: String { String(cString: muster_status_text(value)) }
}

private func withTopology<Result>(
    _ root: String?, _ body: (UnsafeMutablePointer<muster_topology>) throws -> Result
) throws -> Result {
    // An output that a failure must leave alone.
    let untouched = UnsafeMutablePointer<muster_topology>(bitPattern: 8)
    var topology = untouched
    let status = muster_topology_create(root, &topology)
    guard status == 0, let topology else {
        #expect(topology == untouched)
        throw Status(value: status)
    }
    defer { muster_topology_destroy(topology) }
    return try body(topology)
}

private func readHost(_ root: String?) throws -> Host {
    try withTopology(root) { pointer in
        let topology = pointer.pointee
        let nodes = UnsafeBufferPointer(start: topology.nodes, count: Int(topology.node_count))
        let cpus = UnsafeBufferPointer(start: topology.cpus, count: Int(topology.cpu_count))
        return Host(
            nodes: nodes.map {
                Host.Node(
                    id: $0.id, cpus: $0.cpu_count, totalKiB: $0.memory_total_bytes / 1024,
                    freeKiB: $0.memory_free_bytes / 1024, allowed: $0.allowed == 1)
            },
            cpus: cpus.map {
                Host.CPU(
                    id: $0.id, node: $0.node, core: $0.core, package: $0.package,
                    online: $0.online == 1, allowed: $0.allowed == 1)
            },
            distances: nodes.indices.map { from in
                nodes.indices.map { to in topology.distances[from * nodes.count + to] }
            },
            usableCPUs: topology.usable_cpu_count,
            cacheKiB: topology.last_level_cache_bytes / 1024,
            allCachesKiB: topology.last_level_cache_total_bytes / 1024,
            pageBytes: topology.page_bytes)
    }
}

private func readRecorded(_ name: String) throws -> Host {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    return try readHost(folder.appendingPathComponent("Hosts/\(name)").path)
}

/// A host with as many rows as `nodes`, each CPU a core of its own in package 0.
private func plainCPUs(_ nodes: Int32...) -> [Host.CPU] {
    nodes.enumerated().map { id, node in
        Host.CPU(id: UInt32(id), node: node, core: Int32(id), package: 0)
    }
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
        #expect(recorded.cpus.allSatisfy { $0.allowed == $0.online })
        #expect(recorded.pageBytes == 0)
    }
}

// MARK: - Lists

/// The count that `muster_list_parse` returns, and the numbers, nil for an error.
private func parseList(_ text: String, capacity: Int) -> (count: Int64, ids: [UInt32]?) {
    let beyond = UInt32.max
    var ids = [UInt32](repeating: beyond, count: capacity + 1)
    let count = muster_list_parse(text, &ids, capacity)
    #expect(ids[capacity] == beyond, "\(text) written beyond the capacity")
    return (count, count < 0 ? nil : Array(ids.prefix(min(Int(count), capacity))))
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Suite("Kernel lists")
struct ListTests {
    @Test(
        "A kernel list is read",
        arguments: [
            ("", []), ("\n", []), (" \t\n", []), ("0", [0]), ("7\n", [7]), ("0-3\n", [0, 1, 2, 3]),
            ("0-3,8,10-11\n", [0, 1, 2, 3, 8, 10, 11]), (" 0 ,\t2-3 \n", [0, 2, 3]), ("5-5", [5]),
            ("0,1,2", [0, 1, 2]), ("1048575", [1_048_575]),
        ] as [(String, [UInt32])])
    func readsList(text: String, expected: [UInt32]) {
        let (count, ids) = parseList(text, capacity: 16)
        #expect(count == Int64(expected.count))
        #expect(ids == expected)
    }

    @Test(
        "Anything else is not a list",
        arguments: [
            ",", "1,", ",1", "1,,2", "1,\n", "-", "1-", "-1", "1-2-3", "1--2", "1 - 2", "1 2",
            "1;2",
            "a", "1a", "all", "0x1", "+1", "1.5", "0-31:2/16", "1\n\n", "\n\n", "\n1", "1\n2",
            "1\r\n",
            "1\u{b}",
        ])
    func refusesOtherText(text: String) {
        #expect(parseList(text, capacity: 64).count == -Int64(EUCLEAN))
    }

    @Test(
        "A falling range or list is refused",
        arguments: ["3-1", "2,1", "1,1", "0-3,3", "0-3,2-5", "4-6,0-3"])
    func refusesFalling(text: String) {
        #expect(parseList(text, capacity: 64).count == -Int64(EUCLEAN))
    }

    @Test(
        "A number above the limit is refused",
        arguments: [
            "1048576", "0-1048576", "0,1048576", "4294967296", "18446744073709551616",
            "99999999999999999999999999999999999999999999",
        ])
    func refusesLargeNumbers(text: String) {
        #expect(parseList(text, capacity: 64).count == -Int64(EUCLEAN))
    }

    @Test("The count may exceed the capacity")
    func capacity() {
        #expect(parseList("0-9,20", capacity: 4) == (11, [0, 1, 2, 3]))
        #expect(parseList("0-9,20", capacity: 10) == (11, Array(0...9)))
        #expect(muster_list_parse("0-1048575", nil, 0) == 1_048_576)
    }

    /// Writes `ids` as the kernel's `%*pbl` does.
    private func kernelList(_ ids: [UInt32]) -> String {
        var ranges: [ClosedRange<UInt32>] = []
        for id in ids {
            if let last = ranges.last, last.upperBound + 1 == id {
                ranges[ranges.count - 1] = last.lowerBound...id
            } else {
                ranges.append(id...id)
            }
        }
        let parts = ranges.map {
            $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
        }
        return parts.joined(separator: ",") + "\n"
    }

    @Test("A list written and read again is the same")
    func roundTrip() {
        for seed in UInt64(1)...300 {
            var random = SeededGenerator(state: seed)
            let limit = UInt32(1) << UInt32.random(in: 1...20, using: &random)
            let density = Double.random(in: 0...1, using: &random)
            let numbers = (0..<200).map { _ in UInt32.random(in: 0..<limit, using: &random) }
            let runs = numbers.flatMap { number in
                Double.random(in: 0..<1, using: &random) < density
                    ? [number] : [number, min(number + 1, limit - 1), min(number + 2, limit - 1)]
            }
            let ids = Set(runs).sorted()
            let text = kernelList(ids)
            let (count, parsed) = parseList(text, capacity: ids.count)
            #expect(count == Int64(ids.count), "seed \(seed)")
            #expect(parsed == ids, "seed \(seed)")
        }
    }
}

// MARK: - Trees made to be wrong

/// A `/sys` tree in a directory of its own, which goes away with it.
private final class Tree {
    let root: String

    init(_ files: [String: String]) throws {
        var template = Array((NSTemporaryDirectory() + "/muster-topology-XXXXXX").utf8CString)
        root = String(cString: try #require(mkdtemp(&template)))
        for (path, text) in files {
            try write(path, Array(text.utf8))
        }
    }

    deinit {
        try? FileManager.default.removeItem(atPath: root)
    }

    func write(_ path: String, _ bytes: [UInt8]) throws {
        let url = URL(fileURLWithPath: "\(root)/\(path)")
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
    }
}

private let cpus = "sys/devices/system/cpu"
private let nodes = "sys/devices/system/node"
private let cache = "\(cpus)/cpu0/cache/index2"

/// One node, two CPUs, one cache; each test changes one file of it.
private let soundFiles = [
    "\(cpus)/possible": "0-1\n",
    "\(cpus)/online": "0-1\n",
    "\(cpus)/cpu0/topology/core_id": "0\n",
    "\(cpus)/cpu0/topology/physical_package_id": "0\n",
    "\(cpus)/cpu1/topology/core_id": "1\n",
    "\(cpus)/cpu1/topology/physical_package_id": "0\n",
    "\(cache)/level": "2\n",
    "\(cache)/type": "Unified\n",
    "\(cache)/size": "1024K\n",
    "\(cache)/shared_cpu_list": "0-1\n",
    "\(nodes)/online": "0\n",
    "\(nodes)/node0/cpulist": "0-1\n",
    "\(nodes)/node0/meminfo": "Node 0 MemTotal:  2048 kB\nNode 0 MemFree:  1024 kB\n",
    "\(nodes)/node0/distance": "10\n",
]

private let soundHost = Host(
    nodes: [.init(id: 0, cpus: 2, totalKiB: 2048, freeKiB: 1024)],
    cpus: plainCPUs(0, 0),
    distances: [[10]],
    usableCPUs: 2, cacheKiB: 1024, allCachesKiB: 1024)

/// The sound tree with files changed, added, or (nil) taken away.
private func changed(_ changes: [String: String?]) throws -> Tree {
    var files = soundFiles
    for (path, text) in changes {
        files[path] = text
    }
    return try Tree(files)
}

@Suite("Damaged trees")
struct DamagedTreeTests {
    @Test("The sound tree is read")
    func soundTree() throws {
        let tree = try Tree(soundFiles)
        #expect(try readHost(tree.root) == soundHost)
    }

    @Test(
        "A file that can't be right is an error",
        arguments: [
            ("\(cpus)/possible", ["", "\n", "x", "0-", "1", "0-1048576", "0-1\0", "0-1\n\n"]),
            ("\(cpus)/online", ["", "\n", "x", "0-2", "1,0", "0,99999999999999999999"]),
            ("\(cpus)/cpu1/topology/core_id", ["", "\n", "x", "-", "2147483648", "1 2", "1.0"]),
            ("\(cpus)/cpu1/topology/physical_package_id", ["", "x", "99999999999999999999999"]),
            ("\(nodes)/online", ["", "\n", "x", "0-1", "0,7", "1024", "0-1048575"]),
            ("\(nodes)/node0/cpulist", ["x", "0-2", "0,0", "0-1048575"]),
            (
                "\(nodes)/node0/meminfo",
                [
                    "", "\n", "Node 0 MemTotal:", "Node 0 MemTotal:  20",
                    "Node 0 MemTotal:  2048 kB\n", "Node 0 MemFree:  1024 kB\n",
                    "Node 0 MemTotal:  2048 kB\nNode 0 MemFree:  10",
                    "Node 1 MemTotal:  2048 kB\nNode 1 MemFree:  1024 kB\n",
                    "MemTotal:  2048 kB\nMemFree:  1024 kB\n",
                    "Node 0 MemTotal:  2048 MB\nNode 0 MemFree:  1024 kB\n",
                    "Node 0 MemTotal:  -1 kB\nNode 0 MemFree:  1024 kB\n",
                    "Node 0 MemTotal:  18014398509481984 kB\nNode 0 MemFree:  1024 kB\n",
                    "Node 0 MemTotal:  99999999999999999999 kB\nNode 0 MemFree:  1024 kB\n",
                ]
            ),
            (
                "\(nodes)/node0/distance",
                ["", "\n", "x", "10 20", "10x", "0", "-10", "256", "4294967306"]
            ),
            ("\(cache)/level", ["", "x", "0", "-1", "99999999999"]),
            ("\(cache)/type", ["", "unified", "Unified Data"]),
            (
                "\(cache)/size",
                ["", "\n", "1024", "K", "1024T", "1024KB", "-1K", "99999999999999999999K"]
            ),
            ("\(cache)/shared_cpu_list", ["", "x", "1", "0-2", "0-1048575"]),
        ])
    func wrongFile(path: String, texts: [String]) throws {
        for text in texts {
            let tree = try changed([path: text])
            #expect(throws: Status(value: -EUCLEAN), "\(path): \(text.debugDescription)") {
                try readHost(tree.root)
            }
        }
    }

    @Test("A file too long to be one of the kernel's is an error")
    func longFile() throws {
        let tree = try changed(["\(cpus)/possible": String(repeating: " ", count: 1 << 20) + "0-1"])
        #expect(throws: Status(value: -EUCLEAN)) { try readHost(tree.root) }
    }

    @Test("A CPU of two nodes is an error")
    func cpuOfTwoNodes() throws {
        let tree = try changed([
            "\(nodes)/online": "0-1",
            "\(nodes)/node0/distance": "10 20",
            "\(nodes)/node1/distance": "20 10",
            "\(nodes)/node1/cpulist": "1",
            "\(nodes)/node1/meminfo": "Node 1 MemTotal: 1 kB\nNode 1 MemFree: 1 kB\n",
        ])
        #expect(throws: Status(value: -EUCLEAN)) { try readHost(tree.root) }
    }

    @Test("A node directory without its files is an error", arguments: ["cpulist", "meminfo"])
    func bareNode(name: String) throws {
        let tree = try changed(["\(nodes)/node0/\(name)": nil])
        #expect(throws: Status(value: -EUCLEAN)) { try readHost(tree.root) }
    }

    @Test("What is optional is unknown when missing")
    func optionalFiles() throws {
        var expected = soundHost
        expected.distances = [[0]]
        expected.cpus[0].core = -1
        expected.cpus[1].package = -1
        expected.cacheKiB = 0
        expected.allCachesKiB = 0
        let tree = try changed([
            "\(cpus)/possible": nil,
            "\(cpus)/cpu0/topology/core_id": nil,
            "\(cpus)/cpu1/topology/physical_package_id": "-1\n",
            "\(nodes)/node0/distance": nil,
            "\(cache)/level": nil,
        ])
        #expect(try readHost(tree.root) == expected)
    }

    @Test("Without nodes and without proc the memory is unknown")
    func unknownMemory() throws {
        let tree = try Tree(soundFiles.filter { !$0.key.hasPrefix(nodes) })
        var expected = soundHost
        expected.nodes[0].totalKiB = 0
        expected.nodes[0].freeKiB = 0
        #expect(try readHost(tree.root) == expected)

        try tree.write("proc/meminfo", Array("MemTotal: 20".utf8))
        #expect(throws: Status(value: -EUCLEAN)) { try readHost(tree.root) }
    }

    @Test("Free memory is at most the total")
    func freeMemory() throws {
        let tree = try changed([
            "\(nodes)/node0/meminfo": "Node 0 MemTotal: 8 kB\nNode 0 MemFree: 9 kB\n"
        ])
        #expect(try readHost(tree.root).nodes[0].freeKiB == 8)
    }

    @Test("An off-line CPU that a node lists is known but not counted")
    func offlineCPU() throws {
        let tree = try changed(["\(cpus)/online": "0\n"])
        let host = try readHost(tree.root)
        #expect(host.nodes[0].cpus == 1)
        #expect(host.usableCPUs == 1)
        #expect(
            host.cpus[1]
                == .init(id: 1, node: 0, core: -1, package: -1, online: false, allowed: false))
    }

    @Test(
        "Cache sizes have units",
        arguments: [
            ("16M\n", 16_384), ("1G", 1_048_576), ("512K\n", 512), ("0K\n", 0),
        ] as [(String, UInt64)])
    func cacheUnits(text: String, expectedKiB: UInt64) throws {
        let tree = try changed(["\(cache)/size": text])
        #expect(try readHost(tree.root).cacheKiB == expectedKiB)
    }

    @Test("The last-level cache is the largest of the highest level that holds data")
    func lastLevel() throws {
        let tree = try changed([
            "\(cpus)/cpu0/cache/index0/level": "1\n",
            "\(cpus)/cpu0/cache/index0/type": "Data\n",
            "\(cpus)/cpu0/cache/index0/size": "4096K\n",
            "\(cpus)/cpu0/cache/index1/level": "3\n",
            "\(cpus)/cpu0/cache/index1/type": "Instruction\n",
            "\(cpus)/cpu0/cache/index1/size": "8192K\n",
            "\(cpus)/cpu0/cache/index7/level": "2\n",
            "\(cpus)/cpu0/cache/index7/size": "512K\n",
            "\(cpus)/cpu0/cache/index7/shared_cpu_list": "0\n",
            "\(cpus)/cpu0/cache/uevent": "",
        ])
        #expect(try readHost(tree.root) == soundHost)
    }

    @Test("Caches that are not shared are counted one by one")
    func privateCaches() throws {
        let other = "\(cpus)/cpu1/cache/index2"
        let tree = try changed([
            "\(cache)/shared_cpu_list": nil,
            "\(other)/level": "2\n",
            "\(other)/size": "256K\n",
            "\(other)/shared_cpu_list": "1\n",
        ])
        let host = try readHost(tree.root)
        #expect(host.cacheKiB == 1024)
        #expect(host.allCachesKiB == 1280)
    }

    @Test("A missing root is not a host")
    func missingRoot() throws {
        let tree = try Tree(["notes": "no /sys here"])
        #expect(throws: Status(value: -ENOENT)) { try readHost(tree.root) }
        #expect(throws: Status(value: -ENOENT)) { try readHost(tree.root + "/absent") }
        #expect(throws: Status(value: -ENOENT)) { try readHost("") }
        #expect(throws: Status(value: -ENOTDIR)) { try readHost(tree.root + "/notes") }
        let long = String(repeating: "/.", count: 4096)
        #expect(throws: Status(value: -ENAMETOOLONG)) { try readHost(long) }
    }

    /// As many nodes and CPUs as Linux can have.
    @Test("The largest host is read")
    func largestHost() throws {
        var files = [
            "\(cpus)/possible": "0-8191\n",
            "\(cpus)/online": "0-8191\n",
            "\(nodes)/online": "0-1023\n",
        ]
        let row = Array(repeating: "255", count: 1024).joined(separator: " ")
        for node in 0..<1024 {
            // Every 1024th CPU: the longest list that eight CPUs can make.
            let list = (0..<8).map { "\(node + $0 * 1024)" }.joined(separator: ",")
            files["\(nodes)/node\(node)/cpulist"] = list + "\n"
            files["\(nodes)/node\(node)/distance"] = row + "\n"
            files["\(nodes)/node\(node)/meminfo"] =
                "Node \(node) MemTotal: 4096 kB\nNode \(node) MemFree: \(node) kB\n"
        }
        let tree = try Tree(files)
        let host = try readHost(tree.root)
        #expect(host.nodes.count == 1024)
        #expect(host.usableCPUs == 8192)
        #expect(host.cpus.allSatisfy { $0.node == Int32($0.id % 1024) })
        #expect(host.nodes.allSatisfy { $0.cpus == 8 && $0.freeKiB == UInt64($0.id) })
        #expect(host.distances.allSatisfy { $0.allSatisfy { $0 == 255 } })
    }

    /// Bytes changed at random: every outcome but a crash is right.
    @Test("Random damage is an error or a host, never a crash")
    func randomDamage() throws {
        let tree = try Tree(soundFiles)
        let paths = soundFiles.keys.sorted()
        let alphabet = Array("0123456789-, \n\0xKkBM:".utf8)
        for seed in UInt64(1)...400 {
            var random = SeededGenerator(state: seed)
            let path = paths[Int.random(in: 0..<paths.count, using: &random)]
            let sound = Array(try #require(soundFiles[path]).utf8)
            var bytes = sound
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
            if Bool.random(using: &random) {
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
            }
            try tree.write(path, bytes)
            do {
                let host = try readHost(tree.root)
                #expect(host.nodes.count == 1, "seed \(seed), \(path)")
                #expect(
                    host.cpus.allSatisfy { (-1...0).contains($0.node) }, "seed \(seed), \(path)")
            } catch let status as Status {
                #expect(status.value == -EUCLEAN, "seed \(seed), \(path)")
            }
            try tree.write(path, sound)
        }
    }
}
