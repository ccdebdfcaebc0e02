// GarbledHostTests.swift - files of cgroups, limits and huge pages that make no sense: what they say is
// unknown, never "none", and one note names the file.

import Foundation
import Testing

private let recordedHosts = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("RecordedHosts/Hosts")

/// A recorded host that says all there is to say, with files changed.
private func withHost(_ changes: [String: String], _ body: (String) throws -> Void) throws {
    let root = NSTemporaryDirectory() + "/muster-garbled-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: root) }
    try FileManager.default.copyItem(
        atPath: recordedHosts.appendingPathComponent("one-node").path, toPath: root)
    for (path, text) in sound.merging(changes, uniquingKeysWith: { $1 }) {
        let url = URL(fileURLWithPath: "\(root)/\(path)")
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }
    try body(root)
}

private let group = "sys/fs/cgroup/job"
private let huge = "sys/kernel/mm/hugepages/hugepages-2048kB"
private let sound = [
    "proc/self/cgroup": "0::/job\n",
    "proc/self/status": "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0\n",
    "proc/self/limits": """
    Limit                     Soft Limit           Hard Limit           Units
    Max open files            1024                 4096                 files
    Max locked memory         65536                65536                bytes
    Max address space         unlimited            unlimited            bytes

    """,
    "\(group)/memory.max": "1048576\n",
    "\(group)/pids.max": "max\n",
    "\(group)/cpu.max": "150000 100000\n",
    "\(huge)/nr_hugepages": "8\n",
    "\(huge)/free_hugepages": "2\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size [advise] never\n",
]

/// What a file says where it makes sense, as JSON paths.
private func values(_ json: [String: Any]) throws -> [String: String] {
    let limits = try #require(json["limits"] as? [String: Any])
    let pages = try #require(json["pages"] as? [String: Any])
    let pools = try #require(pages["huge_pages"] as? [[String: Any]])
    var found: [String: String] = [:]
    for key in ["memory_bytes", "cpu_quota", "processes", "address_space_bytes", "open_files"] {
        found[key] = "\(limits[key] ?? "missing")"
    }
    found["transparent"] = "\(pages["transparent"] ?? "missing")"
    found["transparent_shared"] = "\(pages["transparent_shared"] ?? "missing")"
    found["pool"] = pools.map { "\($0["free"]!) of \($0["total"]!)" }.joined()
    return found
}

@Suite struct GarbledHostTests {
    struct Damage: CustomTestStringConvertible {
        let path: String
        let texts: [String]
        /// The value that is unknown then.
        let key: String
        /// The check of `muster doctor` that can't answer then.
        var check: String?
        var testDescription: String { path }
    }

    static let damages = [
        Damage(
            path: "\(group)/memory.max", texts: ["", "\n", "x", "-1", "1 2", "1e6"],
            key: "memory_bytes", check: "memory-limit"),
        Damage(
            path: "\(group)/pids.max", texts: ["", "many", "1.5", "99999999999999999999"],
            key: "processes"),
        Damage(
            path: "\(group)/cpu.max",
            texts: ["", "max", "x 100000", "150000", "150000 0", "0 100000", "1 2 3", "-1 100000"],
            key: "cpu_quota", check: "cpu-quota"),
        Damage(path: "\(huge)/nr_hugepages", texts: ["", "x", "-1"], key: "pool"),
        Damage(path: "\(huge)/free_hugepages", texts: ["", "0x2", "2 2"], key: "pool"),
        Damage(
            path: "sys/kernel/mm/transparent_hugepage/enabled",
            texts: ["", "always madvise never", "always [] never"], key: "transparent"),
        Damage(
            path: "sys/kernel/mm/transparent_hugepage/shmem_enabled",
            texts: ["", "never", "[advise"], key: "transparent_shared", check: "shared-huge-pages"),
        Damage(
            path: "proc/self/limits", texts: ["", "Max open files  many  4096 files\n"],
            key: "open_files", check: "address-space"),
    ]

    @Test("The sound host has all of it, and no note")
    func soundHost() throws {
        try withHost([:]) { root in
            let json = try CommandRunner.run(["topology", "--json", "--from", root]).json()
            let found = try values(json)
            #expect(
                found == [
                    "memory_bytes": "1048576", "cpu_quota": "1.5", "processes": "<null>",
                    "address_space_bytes": "<null>", "open_files": "1024",
                    "transparent": "madvise", "transparent_shared": "advise", "pool": "2 of 8",
                ])
            #expect((json["notes"] as? [String])?.isEmpty == true)
        }
    }

    @Test("What makes no sense is unknown, and one note names the file", arguments: damages)
    func garbled(damage: Damage) throws {
        var whole: [String: String] = [:]
        try withHost([:]) { root in
            whole = try values(
                try CommandRunner.run(["topology", "--json", "--from", root]).json())
        }
        for text in damage.texts {
            try withHost([damage.path: text]) { root in
                let what = "\(damage.path) '\(text)'"
                let json = try CommandRunner.run(["topology", "--json", "--from", root]).json()
                let found = try values(json)
                var expected = whole
                expected[damage.key] = damage.key == "pool" ? "" : "<null>"
                #expect(found == expected, "\(what)")
                let notes = try #require(json["notes"] as? [String])
                let own = notes.filter { $0.hasPrefix("/\(damage.path) ") }
                #expect(own.count >= 1 && own.count == notes.count, "\(what): \(notes)")

                let shown = try CommandRunner.run(["topology", "--from", root])
                #expect(shown.status == 0 && shown.errors == "", "\(what)")
                #expect(shown.output.contains("note: /\(damage.path) "), "\(what)")
                #expect(!shown.output.contains("limits      none"), "\(what)")

                let doctor = try CommandRunner.run(["doctor", "--json", "--from", root]).json()
                let unknown = try #require(doctor["unknown"] as? [String])
                if let check = damage.check { #expect(unknown.contains(check), "\(what)") }
                let told = try #require(doctor["notes"] as? [String])
                #expect(told.contains { $0.hasPrefix("/\(damage.path) ") }, "\(what): \(told)")
            }
        }
    }

    @Test("Each level above a cgroup counts, and a line of no cgroup is noted")
    func levels() throws {
        let changes = [
            "proc/self/cgroup": "0::/job/inner\nnonsense\n", "\(group)/pids.max": "x\n",
            "\(group)/inner/pids.max": "77\n", "\(group)/inner/memory.max": "max\n",
        ]
        try withHost(changes) { root in
            let json = try CommandRunner.run(["topology", "--json", "--from", root]).json()
            let found = try values(json)
            #expect(found["processes"] == "77" && found["memory_bytes"] == "1048576")
            let notes = try #require(json["notes"] as? [String])
            #expect(notes.count == 2, "\(notes)")
            #expect(notes.contains { $0.hasPrefix("/proc/self/cgroup makes no sense") })
            #expect(notes.contains { $0.hasPrefix("/\(group)/pids.max makes no sense") })
            let text = try CommandRunner.run(["topology", "--from", root]).output
            #expect(text.contains("77 processes, others not known"), "\(text)")
        }
    }

    @Test("A recording has what is read of /proc/cpuinfo")
    func recordedProcessors() throws {
        let root = NSTemporaryDirectory() + "/muster-recorded-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        #expect(try CommandRunner.run(["topology", "--record", root]).status == 0)
        func lines(_ path: String) throws -> [String] {
            try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
                .filter { line in
                    ["processor", "core id", "physical id"].contains { line.hasPrefix($0) }
                }.map(String.init)
        }
        let own = try lines("/proc/cpuinfo")
        #expect(try lines("\(root)/proc/cpuinfo") == own)
        // Without the files of /sys, cores and packages are known by it.
        let whole = try CommandRunner.run(["topology", "--json", "--from", root]).json()
        try FileManager.default.removeItem(atPath: "\(root)/sys/devices/system/cpu")
        let less = try CommandRunner.run(["topology", "--json", "--from", root]).json()
        func places(_ json: [String: Any]) throws -> [String] {
            try #require(json["cpus"] as? [[String: Any]]).map {
                "\($0["core"]!) \($0["package"]!)"
            }
        }
        if own.contains(where: { $0.hasPrefix("core id") }) {
            #expect(try places(less) == (try places(whole)))
        }
    }
}
