// TraceText.swift - a trace as viewers read it, for tests of `--trace FILE`.

import Foundation
import Testing

/// A trace, read as JSON.
struct TraceText {
    let events: [[String: Any]]
    let other: [String: Any]

    init(_ path: String) throws {
        let value = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: path)))
        let object = try #require(value as? [String: Any])
        events = try #require(object["traceEvents"] as? [[String: Any]])
        other = try #require(object["otherData"] as? [String: Any])
        var processes: [Int: Int] = [:]
        for event in events {
            // Perfetto takes threads with one number for one.
            let (process, thread) = (event["pid"] as? Int ?? 0, event["tid"] as? Int ?? 0)
            #expect(process > 0 && thread > 0 && processes[thread] ?? process == process)
            processes[thread] = process
            for key in ["ph", "name"] { try #require(event[key] is String, "\(event)") }
            for key in ["pid", "tid"] { try #require(event[key] is Int, "\(event)") }
            try #require(event["args"] is [String: Any], "\(event)")
            guard event["ph"] as? String != "M" else { continue }
            #expect(try #require(number(event["ts"])) >= 0)
            if event["ph"] as? String == "X" { #expect(try #require(number(event["dur"])) >= 0) }
        }
    }

    /// nil: the leader.
    static func rank(_ event: [String: Any]) -> Int? {
        guard let process = event["pid"] as? Int, let thread = event["tid"] as? Int else {
            return nil
        }
        return thread > process ? thread - process - 1 : nil
    }

    func events(_ category: String) -> [[String: Any]] {
        events.filter { $0["cat"] as? String == category }
    }

    /// How often each chunk of each loop was committed, and fails where that is not once.
    func expectEachChunkOnce() throws {
        var left: Set<[Int]> = []
        for loop in events("loop") {
            let arguments = try #require(loop["args"] as? [String: Any])
            let place = [
                try #require(loop["pid"] as? Int), try #require(arguments["loop"] as? Int),
            ]
            for chunk in 0..<(try #require(arguments["chunks"] as? Int)) {
                left.insert(place + [chunk])
            }
        }
        #expect(!left.isEmpty)
        for event in events("chunk") {
            let arguments = try #require(event["args"] as? [String: Any])
            guard arguments["committed"] as? Bool == true else { continue }
            let place = try ["loop", "chunk"].map { try #require(arguments[$0] as? Int) }
            let isFirst = left.remove([try #require(event["pid"] as? Int)] + place) != nil
            #expect(isFirst, "a second time: \(event)")
        }
        #expect(left.isEmpty, "not committed: \(left.prefix(5))")
    }
}
