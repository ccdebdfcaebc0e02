// `/sys` trees made to be wrong: what can't be read is unknown, and a note names the file.

import MusterCore
import Foundation
import TestSupport
import Testing

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
        #expect(try tree.read() == soundHost)
    }

    /// The one note about a file; nil, and a failure: there is none, or more than one.
    private func note(on path: String, in host: Host, _ what: String) -> String? {
        let found = host.notes.filter { $0.hasPrefix("/\(path) ") || $0.hasPrefix("/\(path): ") }
        #expect(found.count == 1, "\(what): \(host.notes)")
        return found.first
    }

    /// A file, texts that make no sense in it, and what is unknown then of the sound host.
    typealias Damage = (path: String, texts: [String], unknown: @Sendable (inout Host) -> Void)

    static let damages: [Damage] = [
        ("\(cpus)/possible", ["", "\n", "x", "0-", "0-1048576", "0-1\0x", "0-1\n\n"], { _ in }),
        ("\(cpus)/online", ["", "\n", "x", "1,0", "0,99999999999999999999"], { _ in }),
        (
            "\(cpus)/cpu1/topology/core_id",
            ["", "\n", "x", "-", "2147483648", "1 2", "1.0", "\0"], { $0.cpus[1].core = -1 }
        ),
        (
            "\(cpus)/cpu1/topology/physical_package_id", ["", "x", "99999999999999999999999"],
            { $0.cpus[1].package = -1 }
        ),
        ("\(cpus)/cpu0/topology/thread_siblings_list", ["", "\n", "x", "1"], { _ in }),
        ("\(cpus)/cpu0/topology/package_cpus_list", ["", "\n", "x", "1", "0-\0-"], { _ in }),
        ("\(nodes)/online", ["", "\n", "x", "0-", "1024", "0-1048575"], { _ in }),
        ("\(nodes)/node0/cpulist", ["", "x", "0,0", "1-0"], { _ in }),
        (
            "\(nodes)/node0/meminfo",
            [
                "", "\n", "Node 0 MemTotal:", "Node 0 MemTotal:  20",
                "Node 0 MemFree:  1024 kB\n",
                "Node 1 MemTotal:  2048 kB\nNode 1 MemFree:  1024 kB\n",
                "MemTotal:  2048 kB\nMemFree:  1024 kB\n",
                "Node 0 MemTotal:  2048 MB\nNode 0 MemFree:  1024 kB\n",
                "Node 0 MemTotal:  -1 kB\nNode 0 MemFree:  1024 kB\n",
                "Node 0 MemTotal:  18014398509481984 kB\nNode 0 MemFree:  1024 kB\n",
                "Node 0 MemTotal:  99999999999999999999 kB\nNode 0 MemFree:  1024 kB\n",
            ],
            {
                $0.nodes[0].totalKiB = 0
                $0.nodes[0].freeKiB = 0
            }
        ),
        (
            "\(nodes)/node0/meminfo",
            [
                "Node 0 MemTotal:  2048 kB\n",
                "Node 0 MemTotal:  2048 kB\nNode 0 MemFree:  10",
            ], { $0.nodes[0].freeKiB = 0 }
        ),
        (
            "\(nodes)/node0/distance",
            ["", "\n", "x", "10x", "0", "-10", "256", "4294967306", "10  \t-"],
            { $0.distances = [[0]] }
        ),
        (
            "\(cache)/level", ["", "x", "0", "-1", "10", "99999999999"],
            {
                $0.cacheKiB = 0
                $0.allCachesKiB = 0
            }
        ),
        ("\(cache)/type", ["", "unified", "Unified Data"], { _ in }),
        (
            "\(cache)/size",
            ["", "\n", "1024", "K", "1024T", "1024KB", "-1K", "99999999999999999999K"],
            {
                $0.cacheKiB = 0
                $0.allCachesKiB = 0
            }
        ),
        ("\(cache)/shared_cpu_list", ["", "x", "1", "0-1048576"], { _ in }),
    ]

    @Test(
        "What makes no sense is unknown, and one note names the file", arguments: 0..<damages.count)
    func wrongFile(_ number: Int) throws {
        let (path, texts, unknown) = DamagedTreeTests.damages[number]
        var expected = soundHost
        unknown(&expected)
        for text in texts {
            let tree = try changed([path: text])
            let what = "\(path): \(text.debugDescription)"
            let host = try tree.read()
            #expect(host == expected, "\(what)")
            _ = note(on: path, in: host, what)
        }
    }

    @Test("A number that is no CPU's or node's is left out, and noted")
    func strangers() throws {
        for (path, text) in [
            ("\(cpus)/cpu0/topology/thread_siblings_list", "0,7\n"),
            ("\(cpus)/cpu0/topology/package_cpus_list", "0-1,9\n"),
            ("\(nodes)/node0/cpulist", "0-1,1048575\n"), ("\(cache)/shared_cpu_list", "0-2\n"),
            ("\(nodes)/online", "0,7\n"),
        ] {
            let tree = try changed([path: text])
            let host = try tree.read()
            #expect(host == soundHost, "\(path)")
            #expect(host.whole == (try Tree(soundFiles).read()).whole, "\(path)")
            let folder = path.split(separator: "/").dropLast().joined(separator: "/")
            #expect(host.notes.contains { $0.hasPrefix("/\(folder)") }, "\(host.notes)")
        }
    }

    @Test("Lists in proc/self/status that make no sense: all is allowed, and noted")
    func wrongStatus() throws {
        for text in [
            "Cpus_allowed_list:\tx\nMems_allowed_list:\t0\n",
            "Mems_allowed_list:\t1-0\nCpus_allowed_list:\t0-1\n", "Cpus_allowed_list:\t0-",
            "Name:\tcat\n", "",
        ] {
            let tree = try changed(["proc/self/status": text])
            let host = try tree.read()
            #expect(host == soundHost, "\(text)")
            #expect(host.notes.contains { $0.hasPrefix("/proc/self/status ") }, "\(text)")
        }
    }

    @Test("A list that ends in a NUL, as kernels of 2008 to 2012 wrote it, is read like any other")
    func endsInNUL() throws {
        let sound = try Tree(soundFiles).read()
        for (path, text) in soundFiles {
            for end in ["\0", "\0\0\0", "\0\n"] {
                let tree = try changed([path: text + end])
                let host = try tree.read()
                #expect(host == sound && host.whole == sound.whole, "\(path)")
                #expect(host.notes == sound.notes, "\(path)")
            }
        }
    }

    @Test("A file too long to be one of the kernel's makes no sense")
    func longFile() throws {
        let tree = try changed(["\(cpus)/possible": String(repeating: " ", count: 1 << 20) + "0-1"])
        let host = try tree.read()
        #expect(host == soundHost)
        _ = note(on: "\(cpus)/possible", in: host, "1 MiB")
    }

    /// As hwloc has it: Linux makes no such nodes but with numa=fake.
    @Test("A node with a CPU of another is left out, unless nodes are fake")
    func cpuOfTwoNodes() throws {
        let files: [String: String?] = [
            "\(nodes)/online": "0-1",
            "\(nodes)/node0/distance": "10 20",
            "\(nodes)/node1/distance": "20 10",
            "\(nodes)/node1/cpulist": "1",
            "\(nodes)/node1/meminfo": "Node 1 MemTotal: 1 kB\nNode 1 MemFree: 1 kB\n",
        ]
        let tree = try changed(files)
        let host = try tree.read()
        #expect(host == soundHost)
        _ = note(on: "\(nodes)/node1", in: host, "CPU 1 in two nodes")

        try tree.write("proc/cmdline", Array("root=/dev/vda numa=fake=2 quiet\n".utf8))
        let fake = try tree.read()
        #expect(fake.nodes.map(\.id) == [0, 1] && fake.nodes.map(\.cpus) == [2, 0])
        #expect(fake.cpus.map(\.node) == [0, 0])
        #expect(fake.distances == [[10, 20], [20, 10]])
    }

    @Test("Of a host with one node, whatever is missing of it is the host's")
    func bareNode() throws {
        let expected = soundHost
        for name in ["cpulist", "meminfo"] {
            let tree = try changed([
                "\(nodes)/node0/\(name)": nil,
                "proc/meminfo": "MemTotal:  2048 kB\nMemFree:  1024 kB\n",
            ])
            #expect(try tree.read() == expected, "\(name)")
        }
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
        let host = try tree.read()
        #expect(host == expected)
        for path in [
            "\(cpus)/possible", "\(cpus)/cpu0/topology/core_id", "\(nodes)/node0/distance",
            "\(cache)/level",
        ] { _ = note(on: path, in: host, "missing") }
    }

    @Test("Without nodes and without proc the memory is unknown")
    func unknownMemory() throws {
        let tree = try Tree(soundFiles.filter { !$0.key.hasPrefix(nodes) })
        var expected = soundHost
        expected.nodes[0].totalKiB = 0
        expected.nodes[0].freeKiB = 0
        #expect(try tree.read() == expected)

        try tree.write("proc/meminfo", Array("MemTotal: 20".utf8))
        let host = try tree.read()
        #expect(host == expected)
        _ = note(on: "proc/meminfo", in: host, "no kB")
    }

    @Test("Free memory is at most the total")
    func freeMemory() throws {
        let tree = try changed([
            "\(nodes)/node0/meminfo": "Node 0 MemTotal: 8 kB\nNode 0 MemFree: 9 kB\n"
        ])
        #expect(try tree.read().nodes[0].freeKiB == 8)
    }

    @Test("An off-line CPU that a node lists is known but not counted")
    func offlineCPU() throws {
        let tree = try changed(["\(cpus)/online": "0\n"])
        let host = try tree.read()
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
        #expect(try tree.read().cacheKiB == expectedKiB)
    }

    @Test("The last-level cache is the largest of the highest level that holds data")
    func lastLevel() throws {
        let files: [String: String?] = [
            "\(cpus)/cpu0/cache/index0/level": "1\n",
            "\(cpus)/cpu0/cache/index0/type": "Data\n",
            "\(cpus)/cpu0/cache/index0/size": "4096K\n",
            "\(cpus)/cpu0/cache/index1/level": "3\n",
            "\(cpus)/cpu0/cache/index1/type": "Instruction\n",
            "\(cpus)/cpu0/cache/index1/size": "8192K\n",
            "\(cpus)/cpu0/cache/uevent": "",
        ]
        // Directories are walked in any order, so each place has the largest once.
        let places = [2, 3, 7, 12]
        for largest in places {
            var changes = files
            for place in places {
                let index = "\(cpus)/cpu0/cache/index\(place)"
                changes["\(index)/level"] = "2\n"
                changes["\(index)/size"] = place == largest ? "1024K\n" : "512K\n"
                changes["\(index)/shared_cpu_list"] = "0-1\n"
            }
            let tree = try changed(changes)
            #expect(try tree.read() == soundHost, "the largest in index\(largest)")
        }
    }

    @Test("Caches that are not shared are counted one by one")
    func privateCaches() throws {
        let other = "\(cpus)/cpu1/cache/index2"
        let tree = try changed([
            "\(cache)/shared_cpu_list": "0\n",
            "\(other)/level": "2\n",
            "\(other)/size": "256K\n",
            "\(other)/shared_cpu_list": "1\n",
        ])
        let host = try tree.read()
        #expect(host.cacheKiB == 1024)
        #expect(host.allCachesKiB == 1280)
    }

    @Test("A missing root is not a host")
    func missingRoot() throws {
        let tree = try Tree(["notes": "no /sys here"])
        #expect(throws: Status(value: -ENOENT)) { try tree.read() }
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
        let host = try tree.read()
        #expect(host.nodes.count == 1024)
        #expect(host.usableCPUs == 8192)
        #expect(host.cpus.allSatisfy { $0.node == Int32($0.id % 1024) })
        #expect(host.nodes.allSatisfy { $0.cpus == 8 && $0.freeKiB == UInt64($0.id) })
        #expect(host.distances == Array(repeating: Array(repeating: 255, count: 1024), count: 1024))
    }

    /// Bytes changed at random: a host comes out, and what differs from the sound one is noted.
    @Test("Random damage is a host, never an error or a crash")
    func randomDamage() throws {
        let tree = try Tree(soundFiles)
        let paths = soundFiles.keys.sorted()
        let alphabet = Array("0123456789-, \n\0xKkBM:".utf8)
        for seed in UInt64(1)...400 {
            var random = Seeded(seed)
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
            let host = try tree.read()
            #expect(host.nodes.count == 1, "seed \(seed), \(path)")
            #expect(host.cpus.allSatisfy { (-1...0).contains($0.node) }, "seed \(seed), \(path)")
            try tree.write(path, sound)
        }
    }
}
