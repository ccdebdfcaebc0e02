// BenchPlacementTests.swift - `muster bench placement`: a row for each placement, read back.

import Foundation
import Muster
import Testing

@Suite("muster bench: what placement measures")
struct BenchPlacementTests {
    private func rows(_ arguments: String...) throws -> [[String: Any]] {
        let run = try ToolRun(
            arguments: ["bench", "placement", "--quick", "--samples", "1", "--json"] + arguments)
        #expect(run.status == 0, "\(run.errors)")
        let report = try run.object()
        try SchemaCheck.bench().expect(report)
        return try #require(report["rows"] as? [[String: Any]])
    }

    private static let names = [
        "default", "leader", "blocked", "interleave", "weighted", "mirrored",
    ]

    @Test("Each placement has its row; mirrored a copy for each node that has ranks, all read back")
    func mirrored() throws {
        let rows = try rows()
        let parameters = rows.compactMap { $0["parameters"] as? [String: Any] }
        #expect(parameters.compactMap { $0["placement"] as? String } == Self.names)
        let host = try Topology.read()
        let home = Set(host.cpus.filter { $0.isOnline && $0.isAllowed }.compactMap(\.node))
        let copies = parameters.map { $0["copies"] as? Int }
        #expect(copies == [nil, nil, nil, nil, nil, max(1, home.count)])
        #expect(rows.allSatisfy { figures($0) != nil && $0["verified"] as? Bool == true })
        // Where the kernel says it of the others, it says it of copies too.
        let placed = rows.map { $0["placed_fraction"] as? Double }
        #expect(placed == [Double?](repeating: placed[0], count: 6) && placed[0] ?? 1 == 1)
    }

    @Test("A placement that there is no memory for has null figures and its reason")
    func tooLarge() throws {
        let rows = try rows("--size", "512TiB")
        let names = rows.map { ($0["parameters"] as? [String: Any])?["placement"] as? String }
        #expect(names == Self.names)
        #expect(rows.allSatisfy { figures($0) == nil && $0["reason"] is String })
    }
}
