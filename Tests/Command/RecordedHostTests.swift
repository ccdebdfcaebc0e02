// RecordedHostTests.swift - `muster topology --from` of every recorded host, to the letter, and `--record`.
//
// Beside each host lie expected.txt and expected.json. To write them again after a change of the views,
// run the tests with MUSTER_WRITE_EXPECTED=1, and read the difference before committing it.

import Foundation
import Muster
import Testing

private let hosts = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("RecordedHosts/Hosts")

private func hostNames() -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: hosts.path)) ?? []).sorted()
}

@Suite struct RecordedHostCommandTests {
    @Test("At least eight machines")
    func machines() { #expect(hostNames().count >= 8) }

    @Test("Text and JSON of a recorded host are the expected ones", arguments: hostNames())
    func expected(_ name: String) throws {
        let host = hosts.appendingPathComponent(name)
        for (arguments, file) in [([], "expected.txt"), (["--json"], "expected.json")] {
            let result = try CommandRunner.run(["topology", "--from", host.path] + arguments)
            #expect(result.status == 0 && result.errors == "")
            let path = host.appendingPathComponent(file)
            if ProcessInfo.processInfo.environment["MUSTER_WRITE_EXPECTED"] != nil {
                try result.output.write(to: path, atomically: true, encoding: .utf8)
            }
            #expect(result.output == (try String(contentsOf: path, encoding: .utf8)), "\(file)")
        }
    }

    @Test("What this host records shows this host")
    func record() throws {
        let folder = try TemporaryFolder()
        let tree = folder.path("deep/tree")
        let recording = try CommandRunner.run(["topology", "--record", tree, "--json"])
        #expect(recording.status == 0 && recording.errorLines.count == 1)
        let shown = try CommandRunner.run(["topology", "--from", tree, "--json"])
        #expect(shown.status == 0 && shown.errors == "")
        var live = try recording.json()
        var recorded = try shown.json()
        // Free memory moves between the copy and the report; a recording does not say the page size.
        for key in ["nodes", "pages"] {
            live[key] = nil
            recorded[key] = nil
        }
        #expect(live as NSDictionary == recorded as NSDictionary)
        let status = try String(contentsOfFile: tree + "/proc/self/status", encoding: .utf8)
        let heads = status.split(separator: "\n").map { $0.prefix { $0 != ":" } }
        #expect(heads == ["Cpus_allowed_list", "Mems_allowed_list"])
    }

    @Test("A recording that can't be written: one line, status 2")
    func unwritable() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("file", [1])
        let result = try CommandRunner.run(["topology", "--record", file])
        #expect(result.status == 2 && result.output == "" && result.errorLines.count == 1)
        #expect(result.errors.contains(file))
    }

    @Test("Far nodes are red on a terminal, and nothing is coloured elsewhere")
    func heat() throws {
        let arguments = [
            "topology", "--from", hosts.appendingPathComponent("sub-numa-clusters").path,
        ]
        let colours = try CommandRunner.run(
            arguments, output: .terminal, environment: ["TERM": "xterm-256color", "NO_COLOR": ""])
        #expect(colours.output.contains("\u{1b}[38;5;34m10"))
        #expect(colours.output.contains("\u{1b}[38;5;160m21"))
        let plain = try CommandRunner.run(
            arguments, output: .terminal, environment: ["TERM": "xterm-256color", "NO_COLOR": "1"])
        #expect(!plain.output.contains("\u{1b}"))
    }

    @Test("--from and --record exclude each other")
    func bothOptions() throws {
        let result = try CommandRunner.run(["topology", "--from", "a", "--record", "b"])
        #expect(result.status == 64 && result.errorLines.count == 1)
    }
}
