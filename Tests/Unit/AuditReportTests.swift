/// Audits that are added: every count and list of both, and nothing lost.

@preconcurrency import Glibc
import MusterCore
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
        second.adopted = 7
        second.own = 8
        second.interruption = .init(loops: 2, chunks: 9, committed: 4, rank: 1)
        let both = first + second
        #expect(both.chunks == 15 && both.exactlyOnce == 10 && both.elements == 30)
        #expect(both.size == 4 && both.schedule == .cyclic && both.grain == 2)
        #expect(both.missing == [0..<2, 1..<2] && both.missingCount == 3)
        #expect(both.repeated == second.repeated && both.repeatedCount == 1)
        #expect(both.redone == 6 && both.quarantined == [1] && both.serverDeaths == ["left"])
        #expect(both.vacantRanks == [1, 2] && both.isCancelled)
        #expect(!both.isClean && both.loops == 2 && both.failedLoops == 2)
        #expect(both.adopted == 7 && both.own == 8 && both.interruption == second.interruption)
        let known = [
            "loopCount", "chunks", "exactlyOnce", "size", "schedule", "grain", "elements",
            "isCancelled",
            "troubles",
        ]
        #expect(Mirror(reflecting: both).children.compactMap(\.label) == known)
    }

    /// A clean loop before or after one that failed: one of three has failed.
    @Test func failedLoopsAreCounted() {
        var failed = report(10, once: 9)
        failed.missingCount = 1
        failed.missing = [3..<4]
        for order in 0..<3 {
            var three = [report(4, once: 4), report(4, once: 4)]
            three.insert(failed, at: order)
            let sum = three[0] + three[1] + three[2]
            #expect(
                sum.loops == 3 && sum.failedLoops == 1, "the one that failed is number \(order)")
            #expect(
                "\(sum)"
                    == "1 of 3 loops at fault, 17 of 18 chunks exactly once, by 3 ranks; 1 missing: 3"
            )
        }
        let clean = report(4, once: 4) + report(4, once: 4)
        #expect("\(clean)" == "2 loops, 8 chunks, each exactly once, by 3 ranks")
        failed.missingCount = 3
        #expect(
            "\(failed)" == "9 of 10 chunks exactly once, by 3 ranks; 3 missing: 3, ...",
            "a list that names fewer than there are says so")
    }

    /// The same sums by the C function and by `+`, for reports with a number of its own in each field.
    @Test func cAndSwiftAddAlike() throws {
        var ones: [muster_report] = []
        for seed: UInt64 in [100, 200, 300] {
            var raw = muster_report()
            raw.size_bytes = UInt32(MemoryLayout<muster_report>.size)
            raw.size = UInt32(seed / 100)
            raw.loops = 1
            raw.failed = 1
            raw.chunks = seed + 20
            raw.exactly_once = seed + 2
            raw.missing = seed + 3
            raw.repeated = seed + 4
            raw.redone = seed + 5
            raw.adopted = seed + 6
            raw.own = seed + 7
            raw.elements = seed + 8
            raw.grain = seed + 9
            raw.schedule = UInt32(seed / 100)
            raw.interrupted = seed + 10
            raw.interrupted_chunks = seed + 12
            raw.interrupted_committed = seed + 11
            raw.interrupted_by = UInt32(seed)
            raw.first_finding = muster_finding(first: seed, end: seed + 1, repeated: 0, reserved: 0)
            raw.first_finding_ranks = (.max, .max)
            raw.death_count = seed + 13
            ones.append(raw)
        }
        var total = muster_report()
        for var one in ones { #expect(muster_report_add(&total, &one) == 0) }
        let swift = AuditReport(ones[0]) + AuditReport(ones[1]) + AuditReport(ones[2])
        let c = AuditReport(total)
        #expect(c.loops == 3 && swift.loops == 3 && c.failedLoops == 3 && swift.failedLoops == 3)
        #expect(c.chunks == swift.chunks && c.exactlyOnce == swift.exactlyOnce)
        #expect(c.missingCount == swift.missingCount && c.repeatedCount == swift.repeatedCount)
        #expect(c.redone == swift.redone && c.adopted == swift.adopted && c.own == swift.own)
        #expect(c.elements == swift.elements && c.grain == swift.grain && c.size == swift.size)
        #expect(c.schedule == swift.schedule && c.deathCount == swift.deathCount)
        #expect(c.interruption == swift.interruption && c.chunks == 660)
        #expect(c.missing == [100..<101] && total.interrupted_by == 300 && total.size == 3)
        #expect(total.clean == 0 && total.text == nil)
        var again = c.counts
        again.interrupted_by = total.interrupted_by
        #expect(
            withUnsafeBytes(of: again) { Array($0) } == withUnsafeBytes(of: total) { Array($0) },
            "a report that goes to Swift and back is the same")
        var older = ones[0]
        older.size_bytes -= 8
        #expect(muster_report_add(&total, &older) == -EINVAL && total.loops == 3)
    }

    @Test func addingToNothingLeavesAReportAsItIs() {
        var sum = AuditReport.outsideTeam(chunks: 0, exactlyOnce: 0, processes: 3)
        sum += report(4, once: 4)
        #expect(sum.isClean && sum.chunks == 4 && sum.elements == 8 && sum.missing.isEmpty)
    }
}
