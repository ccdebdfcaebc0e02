// One file at a time is taken away, emptied, cut off or filled with something else, in trees of several
// kinds: a host comes out each time, and what is not as in the sound tree is noted by the file's name.

import MusterCore
import Foundation
import TestSupport
import Testing

private let cpus = "sys/devices/system/cpu"
private let nodes = "sys/devices/system/node"

/// What a tree has of each set of CPUs.
private enum Sets: CaseIterable {
    case lists
    case maps
    case both
}

/// Two nodes and packages of two cores with two threads, and a node of memory only.
private func soundTree(_ sets: Sets) -> [String: String] {
    var files: [String: String] = [
        "\(cpus)/possible": "0-9\n", "\(cpus)/online": "0-7\n", "\(nodes)/online": "0-2\n",
        "\(nodes)/has_memory": "0-2\n",
        "proc/self/status": "Cpus_allowed_list:\t0-6\nMems_allowed_list:\t0,2\n",
    ]
    func put(_ folder: String, list: String, map: String, _ members: [Int]) {
        if sets != .maps {
            files["\(folder)/\(list)"] = members.map(String.init).joined(separator: ",") + "\n"
        }
        if sets != .lists {
            let bits = members.reduce(0) { $0 | 1 << $1 }
            files["\(folder)/\(map)"] = "00000000,000000" + hexadecimal(bits) + "\n"
        }
    }
    for cpu in 0..<8 {
        let folder = "\(cpus)/cpu\(cpu)"
        let core = [cpu % 4, cpu % 4 + 4]
        let package = cpu % 4 < 2 ? [0, 1, 4, 5] : [2, 3, 6, 7]
        files["\(folder)/topology/core_id"] = "\(cpu % 2)\n"
        files["\(folder)/topology/physical_package_id"] = "\(cpu % 4 / 2)\n"
        put("\(folder)/topology", list: "thread_siblings_list", map: "thread_siblings", core)
        put("\(folder)/topology", list: "core_siblings_list", map: "core_siblings", package)
        for (index, level, type, size, sharers) in [
            (0, 1, "Data", 32, core), (1, 1, "Instruction", 32, core),
            (3, 3, "Unified", 8192, package),
        ] {
            let cache = "\(folder)/cache/index\(index)"
            files["\(cache)/level"] = "\(level)\n"
            files["\(cache)/type"] = type + "\n"
            files["\(cache)/size"] = "\(size)K\n"
            put(cache, list: "shared_cpu_list", map: "shared_cpu_map", sharers)
        }
    }
    for node in 0..<3 {
        let folder = "\(nodes)/node\(node)"
        put(folder, list: "cpulist", map: "cpumap", [[0, 1, 4, 5], [2, 3, 6, 7], []][node])
        files["\(folder)/distance"] = ["10 21 17\n", "21 10 28\n", "17 28 10\n"][node]
        files["\(folder)/meminfo"] =
            "Node \(node) MemTotal: 4096 kB\nNode \(node) MemFree: \(node)024 kB\n"
    }
    return files
}

private func hexadecimal(_ bits: Int) -> String {
    let text = String(bits, radix: 16)
    return text.count < 2 ? "0" + text : text
}

/// A host with all of its caches, as the tool reads it.
private struct Reading: Equatable {
    var host: Host
    var whole: [[Int64]]
    var caches: [String]
    var notes: [String]

    static func == (a: Reading, b: Reading) -> Bool {
        a.host == b.host && a.whole == b.whole && a.caches == b.caches
    }

    init(_ tree: Tree) throws {
        final class Found { var all: [String] = [] }
        let found = Found()
        (host, notes) = try withTopology(tree.root) { topology in
            let before = notesOf(topology)
            let status = muster_topology_caches(
                tree.root, topology,
                { cache, context in
                    let cache = cache!.pointee
                    let cpus = (0..<Int(cache.cpu_count)).map { cache.cpus[$0] }
                    Unmanaged<Found>.fromOpaque(context!).takeUnretainedValue().all.append(
                        "L\(cache.level) \(cache.type) \(cache.size_bytes) \(cpus)")
                    return 0
                }, Unmanaged.passUnretained(found).toOpaque())
            #expect(status == 0)
            return (hostOf(topology), before + notesOf(topology))
        }
        whole = host.whole
        caches = found.all.sorted()
    }

    /// Whether a note names the file, another one beside it that says the same, or a folder above.
    func names(_ path: String) -> Bool {
        var parts = path.split(separator: "/")
        var heads = ["/\(path) "]
        parts.removeLast()
        heads.append("/" + parts.joined(separator: "/") + "/")
        while !parts.isEmpty {
            heads.append("/" + parts.joined(separator: "/") + " ")
            parts.removeLast()
        }
        return notes.contains { note in heads.contains { note.hasPrefix($0) } }
    }
}

@Suite("One file that is not as it should be")
struct MutationTests {
    private static let sets = Sets.allCases

    /// nil: taken away.
    private static func texts(_ sound: String) -> [String?] {
        [nil, "", "\n", "x\n", sound + sound]
    }

    @Test("A host comes out, and what is unknown of it is noted by name", arguments: 0..<3)
    func oneFile(_ number: Int) throws {
        let files = soundTree(MutationTests.sets[number])
        let tree = try Tree(files)
        let sound = try Reading(tree)
        #expect(sound.notes.isEmpty && sound.host.usableCPUs == 7 && sound.host.nodes.count == 3)
        var mutations = 0
        var noted = 0
        // CPUs and nodes that are first and not first; the others are like them.
        let others =
            (2..<8).map { "\(cpus)/cpu\($0)/" } + ["\(nodes)/node2/"]
        let paths = files.keys.sorted().filter { path in !others.contains { path.hasPrefix($0) } }
        for path in paths {
            let text = files[path]!
            for other in MutationTests.texts(text) where other != text {
                let what = "\(path): \(other?.debugDescription ?? "taken away")"
                try tree.write(path, other.map { Array($0.utf8) })
                let reading = try Reading(tree)
                mutations += 1
                noted += reading.names(path) ? 1 : 0
                #expect(
                    reading == sound || reading.names(path),
                    "\(what): not as it was, and no note: \(reading.notes)")
                // Whatever the file: no CPU that the process may use is lost, and no memory.
                #expect(reading.host.usableCPUs >= 7, "\(what)")
                #expect(reading.host.cpus.count { $0.online } == 8, "\(what)")
            }
            // An end that kernels of 2008 to 2012 wrote is no change at all.
            try tree.write(path, Array((text + "\0").utf8))
            let reading = try Reading(tree)
            #expect(reading == sound && reading.notes.isEmpty, "\(path) with a NUL")
            try tree.write(path, Array(text.utf8))
        }
        #expect(try Reading(tree) == sound)
        // Many files say what another one says too, and are read only where that one does not.
        #expect(mutations >= 150 && noted >= mutations / 4, "\(noted) of \(mutations) noted")
    }

    @Test("Two files at a time, drawn at random")
    func twoFiles() throws {
        for seed in seeds {
            var random = Seeded(seed)
            let files = soundTree(MutationTests.sets[random.below(3)])
            let paths = files.keys.sorted()
            let tree = try Tree(files)
            for round in 0..<20 {
                let chosen = (0..<2).map { _ in paths[random.below(paths.count)] }
                for path in chosen {
                    let texts = MutationTests.texts(files[path]!)
                    try tree.write(path, texts[random.below(texts.count)].map { Array($0.utf8) })
                }
                let host = try Reading(tree).host
                #expect(host.usableCPUs >= 7, "seed \(seed), round \(round), \(chosen)")
                for path in chosen { try tree.write(path, Array(files[path]!.utf8)) }
            }
        }
    }
}
