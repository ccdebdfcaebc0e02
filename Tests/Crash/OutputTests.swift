// OutputTests.swift - what kernels print arrives once an attempt, by whole lines, wherever it goes.

import TestSupport
import Testing

extension CrashTests {
    @Suite(.serialized) struct Output {
        /// The kernel of chunk 17 leaves by `exit` the first time, so that it has two attempts.
        @Test(arguments: [Scenario.Way.plain, .served], ["pipe", "file"])
        func eachAttemptPrintsOnce(way: Scenario.Way, kind: String) throws {
            let what = "\(way) \(kind)"
            // Dots have no line end: they stand before whatever line came next.
            let lines = try run(.output, in: way, kind).map { $0.drop { $0 == "." } }
            for chunk in 0..<40 {
                let times = lines.count { $0 == "chunk \(chunk) by a rank" }
                #expect(times == (chunk == 17 ? 2 : 1), "\(what): chunk \(chunk): \(times)")
            }
            for digit in 0..<10 {
                let line = String(repeating: "\(digit)", count: 3000)
                let times = lines.count { $0 == line }
                #expect(times == (digit == 7 ? 5 : 4), "\(what): whole lines of \(digit): \(times)")
            }
            let dots = try run(.output, in: way, kind).joined().count { $0 == "." }
            #expect(dots == 41, "\(what): dots")
            let leaders = lines.filter { $0.hasPrefix("the leader's") }
            #expect(
                leaders == [
                    "the leader's, before the team", "the leader's, after the loop: 1 deaths",
                ], "\(what): \(leaders)")
            #expect(lines.count { !$0.isEmpty } == 84, "\(what): other lines")
        }
    }
}
