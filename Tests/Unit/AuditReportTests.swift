/// Audits that are added: every count and list of both, and nothing lost.

import Testing

@testable import Muster

@Suite struct AuditReportTests {
    private func report(_ chunks: Int, once: Int) -> AuditReport {
        AuditReport(
            chunks: chunks, exactlyOnce: once, size: 3, schedule: .cyclic, grain: 2,
            elements: 2 * chunks)
    }

    /// Every stored property by name, so that a new one that `+` forgets shows here.
    @Test func eachFieldOfBothIsInTheSum() {
        var first = report(10, once: 7)
        first.missing = [0..<2]
        first.missingCount = 2
        first.vacantRanks = [2]
        var second = report(5, once: 3)
        second.size = 4
        second.missing = [1..<2]
        second.missingCount = 1
        second.repeated = [.init(chunks: 3..<4, ranks: [0, 1])]
        second.repeatedCount = 1
        second.redone = 6
        second.quarantined = [1]
        second.serverDeaths = ["left"]
        second.vacantRanks = [1, 2]
        second.isCancelled = true
        let both = first + second
        #expect(both.chunks == 15 && both.exactlyOnce == 10 && both.elements == 30)
        #expect(both.size == 4 && both.schedule == .cyclic && both.grain == 2)
        #expect(both.missing == [0..<2, 1..<2] && both.missingCount == 3)
        #expect(both.repeated == second.repeated && both.repeatedCount == 1)
        #expect(both.redone == 6 && both.quarantined == [1] && both.serverDeaths == ["left"])
        #expect(both.vacantRanks == [1, 2] && both.isCancelled)
        #expect(!both.isClean)
        let known = [
            "chunks", "exactlyOnce", "size", "schedule", "grain", "elements", "isCancelled",
            "troubles",
        ]
        #expect(Mirror(reflecting: both).children.compactMap(\.label) == known)
    }

    @Test func addingToNothingLeavesAReportAsItIs() {
        var sum = AuditReport.outsideTeam(chunks: 0, exactlyOnce: 0, processes: 3)
        sum += report(4, once: 4)
        #expect(sum.isClean && sum.chunks == 4 && sum.elements == 8 && sum.missing.isEmpty)
    }
}
