// StormTests.swift - `muster storm`: small ones here; `.ci/run` has the long ones.

import Foundation
import Testing

@Suite(.serialized) struct StormTests {
    @Test(
        "Nothing is lost, doubled, changed or left over",
        arguments: ["in-place", "out-of-place", "reduce"], ["static", "dynamic", "static-steal"])
    func storm(kernel: String, schedule: String) throws {
        let seed = Int.random(in: 0...999_999)
        let result = try CommandRunner.run([
            "storm", "-n", "3", "--kills", "40", "--kernel", kernel, "--schedule", schedule,
            "--seed", "\(seed)", "--json",
        ])
        #expect(result.status == 0, "seed \(seed): \(result.errors)")
        let json = try result.json()
        #expect(json["schema"] as? String == "muster.storm/1")
        #expect(json["seed"] as? Int == seed && json["size"] as? Int == 3)
        #expect(json["kernel"] as? String == kernel && json["schedule"] as? String == schedule)
        for key in ["lost", "doubled", "leftovers"] { #expect(json[key] as? Int == 0, "\(key)") }
        #expect(json["bits_equal"] as? Bool == true)
        let kills = try #require(json["kills"] as? Int)
        #expect(kills >= 40)
        let states = try #require(json["kills_by_state"] as? [String: Int])
        #expect(states.values.reduce(0, +) == kills)
        let audit = try #require(json["audit"] as? [String: Any])
        #expect(audit["chunks"] as? Int == audit["exactly_once"] as? Int)
    }

    @Test("As text, with progress on stderr only where that is a terminal")
    func text() throws {
        let result = try CommandRunner.run(["storm", "--seconds", "0.2", "--seed", "7"])
        #expect(result.status == 0 && result.errors == "")
        #expect(result.output.hasPrefix("storm  in-place, static-steal, "))
        #expect(result.output.contains("bits      equal to a serial computation"))
        #expect(result.output.contains(", seed 7\n"))
    }

    @Test("--seconds ends a storm in whose loop nobody would come to an end among the blows")
    func seconds() throws {
        // Without a pause between blows no worker finishes a chunk: the watchdog finds a storm that goes on.
        let result = try CommandRunner.run([
            "storm", "-n", "2", "--seconds", "0.3", "--gap", "0", "--json",
        ])
        #expect(result.status == 0, "\(result.errors)")
        let json = try result.json()
        #expect(json["lost"] as? Int == 0 && json["bits_equal"] as? Bool == true)
    }

    /// The status is what a shell shows of a program that the signal has ended.
    @Test(
        "Ctrl-C or SIGTERM ends it with what it has",
        arguments: [(SIGINT, Int32(130)), (SIGTERM, Int32(143))])
    func interruption(signal: Int32, status: Int32) throws {
        var isSent = false
        let result = try CommandRunner.run(["storm", "--seconds", "50", "--json"]) { pid in
            // Once a loop is under way, the handler is there.
            let children =
                (try? String(contentsOfFile: "/proc/\(pid)/task/\(pid)/children", encoding: .utf8))
                ?? ""
            if !isSent, children.split(separator: " ").count >= 3 {
                kill(pid, signal)
                isSent = true
            }
        }
        #expect(result.status == status && result.errorLines == ["muster: storm: interrupted"])
        #expect(try result.json()["lost"] as? Int == 0)
    }

    @Test(
        "Wrong usage",
        arguments: [
            ["--kills", "0"], ["--kills", "5", "--seconds", "1"], ["--seconds", "0"],
            ["--seconds", "-1"], ["--kernel", "sideways"], ["--schedule", "none"], ["--seed", "x"],
            ["-n", "0"],
        ])
    func usage(_ arguments: [String]) throws {
        let result = try CommandRunner.run(["storm"] + arguments)
        #expect(result.status == 64 && result.output == "")
        #expect(result.errorLines.count == 1)
        #expect(result.errors.contains("(see 'muster storm --help')"))
    }
}
