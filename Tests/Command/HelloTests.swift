// HelloTests.swift - `muster hello`: ranks 0 ..< N in every team, each in a process of its own.

import Foundation
import Testing

@Suite struct HelloTests {
    @Test("Three teams of eight: ranks 0 to 7, three times, in new processes")
    func threeTeams() throws {
        let result = try CommandRunner.run(["hello", "-n", "8", "--teams", "3", "--json"])
        #expect(result.status == 0)
        let json = try result.json()
        #expect(Set(json.keys) == ["schema", "teams"])
        #expect(json["schema"] as? String == "muster.hello/1")
        let teams = try #require(json["teams"] as? [[String: Any]])
        #expect(teams.count == 3)
        var processes: Set<Int> = []
        for team in teams {
            #expect(Set(team.keys) == ["size", "members", "audit"])
            #expect(team["size"] as? Int == 8)
            let members = try #require(team["members"] as? [[String: Any]])
            #expect(members.map { $0["rank"] as? Int } == Array(0..<8))
            for member in members {
                #expect(Set(member.keys) == ["rank", "size", "pid", "cpu", "node"])
                #expect(member["size"] as? Int == 8)
                processes.insert(try #require(member["pid"] as? Int))
            }
            let audit = try #require(team["audit"] as? [String: Any])
            #expect(audit["chunks"] as? Int == 8 && audit["exactly_once"] as? Int == 8)
        }
        #expect(processes.count == 24)
    }

    @Test("Two hundred ranks")
    func manyRanks() throws {
        let result = try CommandRunner.run(["hello", "-n", "200"])
        #expect(result.status == 0)
        let ranks = result.output.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count == 5 ? Int(words[0]) : nil
        }
        #expect(ranks == Array(0..<200))
        #expect(result.output.contains("200 chunks, each exactly once, by 200 ranks"))
    }

    @Test("As text: a line a rank, and the audit, for each team")
    func text() throws {
        let result = try CommandRunner.run(["hello", "-n", "1", "--teams", "2"])
        #expect(result.status == 0 && result.errors == "")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 10)
        #expect(lines[0] == "team of 1, 1 of 2" && lines[5] == "team of 1, 2 of 2")
        #expect(
            lines[1].split(separator: " ").elementsEqual(["rank", "size", "pid", "CPU", "node"]))
        #expect(lines[2].split(separator: " ").count == 5)
        #expect(lines[3] == "audit  1 chunk, exactly once, by 1 rank")
    }

    @Test(
        "Wrong usage: one line, status 64",
        arguments: [
            ["-n", "0"], ["-n", "-1"], ["-n", "100000"], ["--teams", "0"], ["--teams", "-1"],
            ["--teams", "10001"], ["somebody"],
        ])
    func usage(_ options: [String]) throws {
        let result = try CommandRunner.run(["hello"] + options)
        #expect(result.status == 64)
        #expect(result.output == "" && result.errorLines.count == 1, "\(result)")
    }
}
