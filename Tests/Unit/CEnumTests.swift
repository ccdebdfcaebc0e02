/// Swift's mirrors of C enums against the headers: every enumerator has a case, with its name and number.

import Foundation
import MusterCore
import Testing

@testable import Muster

@Suite struct CEnumTests {
    /// The enumerators of an enum in a public or core header, without the prefix: "STATIC_STEAL": 4.
    private static func enumerators(_ name: String, _ prefix: String) throws -> [String: Int] {
        let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let folders = ["include/muster", "include/muster/core"].map(top.appendingPathComponent)
        let headers = try folders.flatMap {
            try FileManager.default.contentsOfDirectory(at: $0, includingPropertiesForKeys: nil)
        }
        for header in headers where header.pathExtension == "h" {
            let text = try String(contentsOf: header, encoding: .utf8)
            guard let start = text.range(of: "\nenum \(name) {"),
                let end = text.range(of: "};", range: start.upperBound..<text.endIndex)
            else { continue }
            let body = text[start.upperBound..<end.lowerBound]
                .replacing(/\/\*(.|\n)*?\*\//, with: "")
            var found: [String: Int] = [:]
            var next = 0
            for item in body.split(separator: ",") {
                let parts = item.split(separator: "=").map {
                    $0.trimmingCharacters(in: .whitespacesAndNewlines)
                }
                guard let word = parts.first, !word.isEmpty else { continue }
                if parts.count == 2 { next = try #require(Int(parts[1]), "\(item) has a number") }
                #expect(word.hasPrefix(prefix), "\(word) begins with \(prefix)")
                found[String(word.dropFirst(prefix.count))] = next
                next += 1
            }
            return found
        }
        Issue.record("no header has enum \(name)")
        return [:]
    }

    /// "inPlace" as C spells it: "IN_PLACE".
    private static func spelled<Case>(_ value: Case) -> String {
        "\(value)".replacing("-", with: "_").replacing(/[A-Z]/) { "_\($0.output)" }.uppercased()
    }

    /// A mirror's cases by their names in C.
    private static func cases<Mirror: CNumbered>(
        _ mirror: Mirror.Type, _ spelling: (Mirror) -> String = { spelled($0) }
    ) -> [String: Int] {
        Dictionary(uniqueKeysWithValues: mirror.allCases.map { (spelling($0), Int($0.code)) })
    }

    @Test func eachEnumeratorHasItsCase() throws {
        func held(_ name: String, _ prefix: String, _ mirrors: [String: Int]...) throws {
            let enumerators = try Self.enumerators(name, prefix)
            #expect(enumerators.count >= 2, "\(name) is read from its header")
            for mirror in mirrors { #expect(mirror == enumerators, "enum \(name)") }
        }
        try held("muster_schedule", "MUSTER_SCHEDULE_", Self.cases(Schedule.self))
        try held(
            "muster_start", "MUSTER_START_",
            Self.cases(Team.Start.self) { $0 == .forkServer ? "SERVER" : "FORK" })
        try held("muster_wait", "MUSTER_WAIT_", Self.cases(Team.Wait.self))
        try held("muster_check_mode", "MUSTER_CHECK_", Self.cases(Team.Check.self))
        try held(
            "muster_access", "MUSTER_ACCESS_", Self.cases(AccessKind.self),
            Self.cases(MemberUse.Access.self))
        try held("muster_operation", "MUSTER_OP_", Self.cases(Combination.self))
        try held("muster_scan", "MUSTER_SCAN_", Self.cases(ScanExtent.self))
        try held(
            "muster_type", "MUSTER_TYPE_",
            Self.cases(DType.self) {
                $0 == .bool ? "BOOL" : $0.rawValue.prefix(1).uppercased() + "\($0.byteCount * 8)"
            })
        var lengths = Self.cases(MemberUse.Length.self)
        #expect(lengths.removeValue(forKey: "WHOLE") == 0)
        try held("muster_use_flag", "MUSTER_USE_", lengths)
        try held(
            "muster_binding", "MUSTER_",
            [
                "SPREAD": Int(Binding.spread.code), "COMPACT": Int(Binding.compact.code),
                "UNBOUND": Int(Binding.none.code), "CPUS": Int(Binding.cpus([]).code),
            ])
        try held(
            "muster_placement_kind", "MUSTER_",
            [
                "FIRST_TOUCH": Int(Placement.firstTouch.code),
                "BIND": Int(Placement.bind(node: 0).code),
                "INTERLEAVE": Int(Placement.interleave(nodes: []).code),
                "BLOCKED": Int(Placement.blocked.code),
                "WEIGHTED": Int(Placement.weighted([:]).code),
                "MIRRORED": Int(Placement.mirrored.code),
            ])
    }

    @Test func aNumberWithoutACaseIsNone() {
        #expect(Schedule(code: 4) == .staticSteal && Schedule(code: 5) == nil)
        #expect(Combination(code: 0) == nil && Team.Start(code: 2) == nil)
        #expect(DType(code: MUSTER_TYPE_BOOL.rawValue) == .bool && DType(code: 13) == nil)
    }

    /// No other file maps cases to enumerators.
    @Test func thereIsOnePlaceForIt() throws {
        let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let sources = top.appendingPathComponent("Sources/Muster")
        let files = try #require(
            FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
        var read = 0
        for case let file as URL in files where file.pathExtension == "swift" {
            read += 1
            if file.lastPathComponent == "CEnums.swift" { continue }
            let text = try String(contentsOf: file, encoding: .utf8)
            let mapped = text.firstMatch(
                of: /case \.\w+: (return )?MUSTER_[A-Z0-9_]+(\.rawValue)?\n/)
            #expect(mapped == nil, "\(file.lastPathComponent): \(mapped?.output.0 ?? "")")
        }
        #expect(read > 50)
    }
}
