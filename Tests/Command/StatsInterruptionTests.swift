// StatsInterruptionTests.swift - a run that something happens to: its file shrinks, Ctrl-C.

import Foundation
import Muster
import Testing

@Suite(.serialized) struct StatsInterruptionTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    /// A sparse file: large, but without blocks on disk.
    private func sparse(_ name: String, elements: Int) throws -> String {
        let header = NPYHeader.encode(dtype: .f8, shape: [elements])
        let path = try folder.write(name, header)
        try #require(truncate(path, header.count + elements * 8) == 0)
        return path
    }

    /// Whether a worker of this process has the file mapped, so that the loop is about to begin.
    private func isMapped(_ path: String, by pid: pid_t) -> Bool {
        CommandRunner.children(of: pid).contains {
            let maps = try? String(contentsOfFile: "/proc/\($0)/maps", encoding: .utf8)
            return maps?.contains(path) == true
        }
    }

    @Test(
        "A file that shrinks while it is read: an error that says so, and no crash",
        arguments: [[], ["--json"]])
    func shrinkingFile(_ options: [String]) throws {
        // Whether we come in time is up to the scheduler; each round must be right in either case.
        for round in 1...20 {
            let path = try sparse("\(round).npy", elements: 1 << 25)
            var shrunk = false
            let result = try CommandRunner.run(["stats", path, "-n", "2"] + options) { pid in
                if !shrunk && isMapped(path, by: pid) {
                    shrunk = true
                    try #require(truncate(path, 8192) == 0)
                }
            }
            #expect(result.signal == nil, "\(result)")
            unlink(path)
            if result.status == 0 { continue }  // too late: it was done
            #expect(result.status == 1, "\(result)")
            #expect(result.errorLines.count == 1, "\(result.errors)")
            #expect(result.errors.contains("\(path): shrank from"), "\(result.errors)")
            #expect(result.errors.contains("to 8192 bytes"), "\(result.errors)")
            if options.isEmpty {
                #expect(result.output == "")
            } else {
                let report = try result.json()
                #expect(Set(report.keys) == ["schema", "error", "audit"])
                #expect(report["schema"] as? String == "muster.stats/1")
                let error = try #require(report["error"] as? String)
                #expect(result.errors == "muster: \(error)\n")
                let audit = try #require(report["audit"] as? [String: Any])
                #expect(audit["chunks"] as? Int == 512)
            }
            return
        }
        Issue.record("in 20 rounds the file never shrank in time")
    }

    @Test("Ctrl-C ends it, and leaves no worker")
    func controlC() throws {
        let path = try sparse("a.npy", elements: 1 << 25)
        var workers: [pid_t] = []
        let result = try CommandRunner.run(["stats", path, "-n", "4"]) { pid in
            if workers.isEmpty && isMapped(path, by: pid) {
                workers = CommandRunner.children(of: pid)
                kill(-pid, SIGINT)
            }
        }
        #expect(result.signal == SIGINT, "\(result)")
        #expect(workers.count == 4)
        // They die with their parent; until somebody reaps them they are zombies.
        let deadline = Date().addingTimeInterval(CommandRunner.limitSeconds)
        func isAlive(_ pid: pid_t) -> Bool {
            guard let status = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
            else { return false }
            return !status.contains(") Z")
        }
        while workers.contains(where: isAlive) && Date() < deadline { usleep(10_000) }
        #expect(!workers.contains(where: isAlive))
    }
}
