/// Every small loop there is: each element dealt to exactly one rank, for any schedule
/// and any order of the ranks. The library's own claim, commit and audit; only the processes are missing.

import MusterCore
import Glibc
import TestSupport
import Testing

@Suite struct DealingTests {
    @Test(
        "elements 0...64, chunk 1...16, all schedules: each element exactly once",
        .timeLimit(.minutes(10)), arguments: 1...8)
    func wholeLoops(ranks: Int) throws {
        let team = try SimulatedTeam(size: ranks)
        var random = Seeded(UInt64(ranks))
        for schedule in allSchedules {
            for elements: UInt64 in 0...64 {
                for grain in grains {
                    let shape = Shape(
                        schedule: schedule, elements: elements, grain: grain, first: 0,
                        count: muster_schedule_chunks(elements, grain))
                    for order in Interleaving.allCases {
                        if let fault = team.fault(shape, order, &random) {
                            Issue.record("\(ranks) ranks, \(shape), \(order): \(fault)")
                            return
                        }
                    }
                }
            }
        }
    }

    /// As redoing holes and resuming need it: a job whose chunks begin above 0. Each loop gets one
    /// range by its parity and one drawn at random.
    @Test("parts of loops, and batches", .timeLimit(.minutes(10)), arguments: 1...8)
    func partsOfLoops(ranks: Int) throws {
        let team = try SimulatedTeam(size: ranks)
        var random = Seeded(0x706172 + UInt64(ranks))
        for schedule in allSchedules {
            for elements: UInt64 in 0...64 {
                for grain in grains {
                    let chunks = muster_schedule_chunks(elements, grain)
                    let drawn = random.next() % (chunks + 1)
                    let count = random.next() % (chunks - drawn + 1)
                    for (first, count) in [
                        (min(1, chunks), chunks - min(1, chunks)), (drawn, count),
                    ] {
                        let shape = Shape(
                            schedule: schedule, elements: elements, grain: grain,
                            batch: 1 + random.next() % 5, first: first, count: count)
                        let order = Interleaving.allCases[Int(random.next() % 3)]
                        if let fault = team.fault(shape, order, &random) {
                            Issue.record("\(ranks) ranks, \(shape), \(order): \(fault)")
                            return
                        }
                    }
                }
            }
        }
    }

    /// A team after its leader wrote nonsense, or another version's job, into the job slot.
    @Test func aJobThatMakesNoSenseIsRefused() throws {
        let team = try SimulatedTeam(size: 3)
        let job = muster_team_job(team.team)!
        func refused(_ change: (inout muster_job) -> Void) -> Int32 {
            job.pointee.kind = MUSTER_JOB_LOOP.rawValue
            job.pointee.schedule = MUSTER_SCHEDULE_STATIC.rawValue
            job.pointee.first_chunk = 2
            job.pointee.chunk_count = 3
            job.pointee.elements = 50
            job.pointee.grain = 10
            job.pointee.batch = 1
            job.pointee.partials_offset = 0
            job.pointee.partial_bytes = 0
            change(&job.pointee)
            muster_team_dispatch(team.team)
            var loop = muster_loop()
            let status = muster_loop_begin(&loop, team.team, 1)
            for rank: UInt32 in 0..<3 {
                muster_worker_done(team.team, rank, job.pointee.number)
            }
            return status
        }
        #expect(refused { _ in } == 0)
        #expect(refused { $0.grain = 0 } == -EUCLEAN)
        #expect(refused { $0.batch = 0 } == -EUCLEAN)
        #expect(refused { $0.batch = 1 << 32 } == -EUCLEAN)
        #expect(refused { $0.schedule = 6 } == -EUCLEAN)
        #expect(refused { $0.chunk_count = 4 } == -EUCLEAN)
        #expect(refused { $0.chunk_count = .max } == -EUCLEAN)
        #expect(refused { $0.first_chunk = .max } == -EUCLEAN)
        #expect(refused { $0.elements = 40 } == -EUCLEAN)
        let space = muster_team_space(team.team)!.pointee
        #expect(refused { $0.partials_offset = space.size_bytes } == -EUCLEAN)
        // The last chunk's partial must lie inside the space too.
        #expect(
            refused {
                $0.partial_bytes = 4096
                $0.partials_offset = space.arena_bytes - 4096
            } == -EUCLEAN)
        #expect(
            refused {
                $0.partial_bytes = 4096
                $0.partials_offset = space.arena_bytes - 5 * 4096
            } == 0)
        var loop = muster_loop()
        #expect(muster_loop_begin(&loop, team.team, 3) == -EUCLEAN)
    }

    @Test func aCancelledJobHandsOutNoMoreChunks() throws {
        let team = try SimulatedTeam(size: 2)
        let job = muster_team_job(team.team)!
        job.pointee.kind = MUSTER_JOB_LOOP.rawValue
        job.pointee.schedule = MUSTER_SCHEDULE_STATIC.rawValue
        job.pointee.first_chunk = 0
        job.pointee.chunk_count = 20
        job.pointee.elements = 20
        job.pointee.grain = 1
        job.pointee.batch = 1
        // A request that came before the job was published is not for this job.
        muster_team_cancel(team.team)
        let number = muster_team_dispatch(team.team)
        #expect(!muster_team_cancelled(team.team))
        var loops = [muster_loop(), muster_loop()]
        var chunk = muster_chunk()
        for rank in 0..<2 {
            #expect(muster_loop_begin(&loops[rank], team.team, UInt32(rank)) == 0)
            #expect(muster_loop_next(&loops[rank], &chunk))
            muster_loop_commit(&loops[rank], &chunk)
        }
        muster_loop_cancel(&loops[1])
        #expect(muster_team_cancelled(team.team))
        for rank in 0..<2 {
            #expect(!muster_loop_next(&loops[rank], &chunk))
            _ = muster_loop_end(&loops[rank])
            muster_worker_done(team.team, UInt32(rank), number)
        }
        var audit = muster_audit()
        var findings = [muster_finding](repeating: muster_finding(), count: 4)
        #expect(muster_team_audit(team.team, &audit, &findings, 4) == 2)
        #expect(audit.exactly_once == 2 && audit.missing == 18)
        #expect(findings[0].first == 1 && findings[0].end == 10)
        #expect(findings[1].first == 11 && findings[1].end == 20)
        #expect(muster_team_progress(team.team) == 2)
    }
}
