// DoctorTests.swift - `muster doctor`: each finding with its cause staged, and none without.
//
// Causes are staged in a recorded tree that has nothing wrong but for one file, or, where a thing has to
// be tried out, by a real seccomp filter or limit around the tool.

import Foundation
import Testing

private let recordedHosts = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("RecordedHosts/Hosts")

/// A host of two nodes and eight CPUs without any finding, with some files changed or (nil) removed.
private func tree(_ changes: [String: String?] = [:]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let host = folder.path("host")
    try FileManager.default.copyItem(
        atPath: recordedHosts.appendingPathComponent("two-sockets-smt").path, toPath: host)
    var files: [String: String?] = [
        "proc/sys/kernel/numa_balancing": "0", "proc/sys/kernel/osrelease": "6.12.1-amd64",
        "proc/sys/vm/max_map_count": "65530", "proc/sys/vm/overcommit_memory": "0",
        "proc/self/cgroup": "0::/job", "sys/fs/cgroup/job/memory.max": "max",
        "sys/fs/cgroup/job/cpu.max": "max 100000",
        "proc/self/limits": "Max address space         unlimited            unlimited   bytes",
        "proc/self/status": "Cpus_allowed_list:\t0-7\nMems_allowed_list:\t0-1",
        "sys/kernel/mm/transparent_hugepage/shmem_enabled":
            "always within_size [advise] never deny force",
        "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "64",
        "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "60",
    ]
    for cpu in 0..<8 {
        let path = "sys/devices/system/cpu/cpu\(cpu)/cpufreq"
        files["\(path)/scaling_governor"] = "performance"
        files["\(path)/scaling_max_freq"] = "3400000"
        files["\(path)/cpuinfo_max_freq"] = "3400000"
    }
    for (path, text) in files.merging(changes, uniquingKeysWith: { $1 }) {
        guard let text else { continue }
        let file = URL(fileURLWithPath: host).appendingPathComponent(path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try (text + "\n").write(to: file, atomically: true, encoding: .utf8)
    }
    return folder
}

private let refusable = ["placement-refused", "residency-refused", "affinity-refused"]
private let tried = ["calls-refused"] + refusable

private func findings(_ result: CommandResult) throws -> [[String: String]] {
    try #require(try result.json()["findings"] as? [[String: String]])
}

/// The cause of each finding that files show: what is changed, what the evidence and the remedy name.
private let causes: [(id: String, changes: [String: String?], evidence: String, remedy: String)] = [
    (
        "cpuset", ["proc/self/status": "Cpus_allowed_list:\t4-7\nMems_allowed_list:\t0-1"],
        "4 of 8 CPUs", "taskset"
    ),
    (
        "cpuset", ["proc/self/status": "Cpus_allowed_list:\t0-7\nMems_allowed_list:\t0"],
        "no memory of node 1", "cpuset.mems"
    ),
    (
        "numa-balancing", ["proc/sys/kernel/numa_balancing": "1"], "numa_balancing is 1",
        "sysctl kernel.numa_balancing=0"
    ),
    (
        "weighted-interleave", ["proc/sys/kernel/osrelease": "6.1.0-28-amd64"], "6.1.0-28",
        "apt-get install"
    ),
    (
        "map-count", ["proc/sys/vm/max_map_count": "1100"], "max_map_count is 1100",
        "sysctl vm.max_map_count=65530"
    ),
    (
        "shared-huge-pages",
        [
            "sys/kernel/mm/transparent_hugepage/shmem_enabled":
                "always within_size advise [never] deny force"
        ], "is never", "echo advise >"
    ),
    (
        "huge-page-pool",
        ["sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "0"],
        "free 0 of 64 x 2 MiB", "sysctl vm.nr_hugepages=576"
    ),
    (
        "memory-limit", ["sys/fs/cgroup/job/memory.max": "8589934592"], "8 GiB of 251.7 GiB",
        "echo max > /sys/fs/cgroup/job/memory.max"
    ),
    (
        "memory-limit",
        [
            "proc/self/cgroup": "4:memory:/a/b\n0::/", "sys/fs/cgroup/memory/a/b/x": "",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1073741824",
        ], "/sys/fs/cgroup/memory/a/memory.limit_in_bytes is 1073741824",
        "echo -1 > /sys/fs/cgroup/memory/a/memory.limit_in_bytes"
    ),
    (
        "address-space",
        ["proc/self/limits": "Max address space         68719476736   unlimited   bytes"],
        "64 GiB", "ulimit -v unlimited"
    ),
    (
        "overcommit",
        [
            "proc/sys/vm/overcommit_memory": "2",
            "proc/meminfo": "CommitLimit:  1000 kB\nCommitted_AS:  900 kB",
        ], "900 kB of 1000 kB", "sysctl vm.overcommit_memory=0"
    ),
    (
        "cpu-quota", ["sys/fs/cgroup/job/cpu.max": "150000 100000"], "CPU time of 1.5 CPUs",
        "echo max > /sys/fs/cgroup/job/cpu.max"
    ),
    (
        "cpu-frequency",
        ["sys/devices/system/cpu/cpu3/cpufreq/scaling_governor": "powersave"],
        "cpu3/cpufreq/scaling_governor is powersave (1 of 8 CPUs)", "-g performance"
    ),
    (
        "cpu-frequency",
        ["sys/devices/system/cpu/cpu5/cpufreq/scaling_max_freq": "1200000"],
        "1200000 kHz of 3400000 kHz", "--max 3400000kHz"
    ),
]

@Suite struct DoctorTests {
    @Test("Nothing in the way: status 0, and what must be tried out is not claimed")
    func healthy() throws {
        let folder = try tree()
        let result = try CommandRunner.run(["doctor", "--from", folder.path("host"), "--json"])
        #expect(result.status == 0 && result.errors == "")
        let json = try result.json()
        #expect(Set(json.keys) == ["schema", "findings", "clear", "unknown", "notes"])
        #expect(json["schema"] as? String == "muster.doctor/1")
        #expect(try findings(result).isEmpty)
        #expect(json["unknown"] as? [String] == tried)
        let clear = try #require(json["clear"] as? [String])
        #expect(Set(clear) == Set(causes.map(\.id)))
        let text = try CommandRunner.run(["doctor", "--from", folder.path("host")])
        #expect(text.status == 0 && text.errors == "")
        #expect(text.output.hasPrefix("nothing stands in the way, 11 checks"))
    }

    @Test(
        "Each cause is found alone, by its name, with evidence and remedy",
        arguments: causes.indices)
    func staged(_ index: Int) throws {
        let cause = causes[index]
        let folder = try tree(cause.changes)
        let result = try CommandRunner.run(["doctor", "--from", folder.path("host"), "--json"])
        #expect(result.status == 1 && result.errors == "")
        #expect(try result.json()["error"] == nil)
        let found = try findings(result)
        #expect(found.map { $0["id"] } == [cause.id])
        let finding = try #require(found.first)
        #expect(Set(finding.keys) == ["id", "evidence", "effect", "remedy"])
        #expect(finding["evidence"]?.contains(cause.evidence) == true, "\(finding)")
        #expect(finding["remedy"]?.contains(cause.remedy) == true, "\(finding)")
        let text = try CommandRunner.run(["doctor", "--from", folder.path("host")])
        #expect(text.status == 1 && text.errors == "")
        for part in finding.values { #expect(text.output.contains(part)) }
    }

    @Test("What a host does not say is unknown, not clear")
    func silent() throws {
        let folder = try tree([
            "proc/sys/vm/max_map_count": nil, "proc/sys/kernel/osrelease": nil,
            "proc/self/cgroup": nil,
        ])
        let result = try CommandRunner.run(["doctor", "--from", folder.path("host"), "--json"])
        #expect(result.status == 0)
        let unknown = try #require(try result.json()["unknown"] as? [String])
        #expect(
            Set(unknown.dropFirst(tried.count)) == [
                "map-count", "weighted-interleave", "memory-limit", "cpu-quota",
            ])
    }

    @Test("On one node, what only several nodes suffer from is clear")
    func oneNode() throws {
        let result = try CommandRunner.run(
            ["doctor", "--json", "--from", recordedHosts.appendingPathComponent("one-node").path])
        let clear = try #require(try result.json()["clear"] as? [String])
        #expect(clear.contains("numa-balancing") && clear.contains("weighted-interleave"))
    }

    @Test("This host: every check has an outcome, and the status agrees")
    func thisHost() throws {
        let result = try CommandRunner.run(["doctor", "--json"])
        let json = try result.json()
        let found = try findings(result).compactMap { $0["id"] }
        let all = found + (json["clear"] as? [String] ?? []) + (json["unknown"] as? [String] ?? [])
        #expect(Set(all) == Set(causes.map(\.id) + tried) && all.count == 15)
        #expect(result.status == (found.isEmpty ? 0 : 1) && result.errors == "")
    }

    @Test("A sandbox that refuses system calls, by a real filter", arguments: refusable)
    func refused(_ id: String) throws {
        let result = try CommandRunner.refused(id, ["doctor", "--json"])
        #expect(result.status == 1)
        let finding = try #require(try findings(result).first { $0["id"] == id })
        #expect(finding["evidence"]?.contains("is refused here") == true, "\(finding)")
        let all = try #require(try findings(result).first { $0["id"] == "calls-refused" })
        let calls = [
            "placement-refused": ["mbind", "set_mempolicy", "get_mempolicy", "move_pages"],
            "residency-refused": ["move_pages"], "affinity-refused": ["sched_setaffinity"],
        ]
        #expect(
            all["evidence"]?.hasSuffix(
                ": " + calls[id]!.sorted().map { "\($0) (EPERM)" }.joined(separator: ", ")) == true,
            "\(all)")
    }

    @Test("An address space limit of this process")
    func limited() throws {
        let result = try CommandRunner.run(
            ["-c", "ulimit -v 68719476 && exec \"$0\" doctor --json", CommandRunner.muster],
            program: "/bin/sh")
        #expect(result.status == 1)
        let finding = try #require(try findings(result).first { $0["id"] == "address-space" })
        #expect(finding["evidence"]?.contains("65.5 GiB") == true, "\(finding)")
    }

    @Test("Teams are made where a sandbox refuses placement and affinity")
    func teamsInSandbox() throws {
        for id in refusable {
            let result = try CommandRunner.refused(id, ["hello", "-n", "2"])
            #expect(result.status == 0 && result.output.contains("each exactly once"), "\(result)")
        }
    }

    @Test("No such recording: one line, status 2")
    func noRecording() throws {
        let result = try CommandRunner.run(["doctor", "--from", "/nonexistent"])
        #expect(result.status == 2 && result.output == "" && result.errorLines.count == 1)
    }
}
