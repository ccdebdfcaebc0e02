// Recovery.swift - what a loop does about workers that die, stall or can't be replaced.
//
// While a job runs, the leader gives each dead rank a successor, which goes on where the dead one has
// stopped (`muster_team_plan_successor`). What a death has lost beyond that, claims that were never
// noted and ranks that nobody could be started for, shows as holes in the audit: they are dealt as
// further jobs of the same loop, in which deaths are handled alike.

internal import MusterCore
internal import Glibc

/// What a loop does when a worker dies.
public enum Recovery: Sendable, Hashable {
    /// A new process takes the rank over, the chunk in work is put back as it was and done again, and the
    /// loop goes on. A chunk that has killed its worker `limit` times is quarantined: left alone with its
    /// old contents, while all others are done; the loop then ends with an error that names it.
    case redo(limit: Int = 3)
    /// The loop ends with an error that names rank, cause and chunk. Chunks in work may be left
    /// half-written, and nothing is kept for putting them back: in-place kernels run without a journal.
    case fail
}

/// What has been lost in one loop, and what was done about it.
struct Losses {
    let recovery: Recovery
    /// Files that the loop's kernel uses, and those of them that it changes in place.
    let files: [UInt32]
    let changedFiles: [UInt32]
    var deaths: [AuditReport.Death] = []
    /// Deaths by chunk.
    private(set) var attempts: [Int: Int] = [:]
    private(set) var quarantined: Set<Int> = []
    /// What they have died of.
    private(set) var causes = Causes()
    /// Whether the kernel is one in Swift.
    let isSwift: Bool
    /// Deaths of a rank in a row that were at no chunk.
    private var futile: [UInt32: Int] = [:]
    /// Ranks that were killed because their chunk took too long.
    var stalled: Set<UInt32> = []
    /// Why nobody more can be given a rank.
    var refused: MusterError?
    /// How fork servers have ended.
    var serverDeaths: [String] = []
    /// The one noted last.
    var serverSerial: UInt32 = 0
    /// What a rank that died afterwards had said of the job.
    var failed: FailedPart?
    /// Nothing is redone any more: too many chunks are in quarantine, or a file has shrunk.
    var hasGivenUp: Bool {
        hasLostFile || stray != nil || quarantined.count >= Losses.quarantineMost
            || !causes.tried.isEmpty
    }
    /// One of the loop's files is shorter than it was.
    var hasLostFile = false
    /// The first death in which a kernel had touched what is not its chunk's: nothing is redone.
    var stray: muster_death?

    /// Most chunks in quarantine: with more, it is the kernel that is wrong and not the chunk.
    static let quarantineMost = 64

    init(
        _ recovery: Recovery, files: [UInt32], changedFiles: [UInt32], isSwift: Bool
    ) {
        self.recovery = recovery
        self.isSwift = isSwift
        self.files = files
        self.changedFiles = changedFiles
    }

    /// Jobs in a row that may end without getting further, where ranks die all the time.
    static let fruitlessMost = 16

    private var limit: Int {
        if case .redo(let limit) = recovery { return max(1, limit) }
        return 0
    }

    /// Notes a death. Returns whether its chunk is now quarantined.
    /// `deed`: what it had done to the team's memory; nil: nothing.
    mutating func note(_ death: inout muster_death, _ deed: String?) -> Bool {
        if death.has_fault != 0, death.fault.stray != MUSTER_STRAY_NONE.rawValue {
            stray = stray ?? death
        }
        causes.note(&death)
        let chunk = death.chunk == .max ? nil : Int(death.chunk)
        var attempt = 1
        if let chunk {
            attempt = attempts[chunk, default: 0] + 1
            attempts[chunk] = attempt
            futile[death.rank] = 0
        } else {
            futile[death.rank, default: 0] += 1
        }
        deaths.append(
            AuditReport.Death(
                rank: Int(death.rank), signal: Int(death.signal), exitCode: Int(death.exit_code),
                chunk: chunk, attempt: attempt,
                isStalled: stalled.remove(death.rank) != nil, fault: causes.fault(of: &death),
                phase: Int(death.phase), seen: death.seen_ns, pid: Int(death.pid), deed: deed ?? "")
        )
        guard let chunk, recovery != .fail else { return false }
        if attempt >= limit {
            quarantined.insert(chunk)
            return true
        }
        return false
    }

    /// Whether a death's chunk is left for later.
    mutating func isForLater(_ death: inout muster_death, committed: Int) -> Bool {
        causes.isSuspicious(&death, committed: committed, limit: limit)
    }

    /// Looks whether the kernel is wrong; then the chunks that show it are left alone.
    mutating func judgeKernel(committed: Int, size: Int, isAlive: (UInt32) -> Bool) {
        guard recovery != .fail, causes.tried.isEmpty else { return }
        causes.judge(committed: committed, limit: limit, isAlive: isAlive, size: size)
        quarantined.formUnion(causes.tried)
    }

    /// Takes over when a rank's successor, of a traced loop, had done its predecessor's chunk.
    mutating func noteRedone(_ rank: UInt32, at time: UInt64) {
        guard let last = deaths.lastIndex(where: { $0.rank == Int(rank) }),
            deaths[last].chunk != nil, time > deaths[last].seen
        else { return }
        deaths[last].redone = time
    }

    /// Whether a rank's processes die one after the other before they get anywhere.
    func isFutile(_ rank: UInt32) -> Bool { futile[rank, default: 0] > max(limit, 8) }
}

/// Notices that a rank has been at one chunk for too long.
struct StallWatch {
    private struct Sample {
        var current: UInt64 = 0
        var committed: UInt64 = 0
        var incarnation: UInt32 = 0
        var since: UInt64 = 0
    }
    let timeout: UInt64
    private var samples: [Sample]

    init(_ timeout: Duration, size: Int) {
        let (seconds, attoseconds) = timeout.components
        let whole = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let sum = whole.partialValue.addingReportingOverflow(attoseconds / 1_000_000_000)
        if timeout <= .zero {
            self.timeout = 1_000_000
        } else if whole.overflow || sum.overflow {
            self.timeout = .max
        } else {
            self.timeout = UInt64(max(1_000_000, sum.partialValue))
        }
        samples = Array(repeating: Sample(), count: size)
    }

    /// How often to look.
    var interval: UInt64 { min(max(timeout / 4, 1_000_000), 1_000_000_000) }

    /// Whether the rank has done nothing since `timeout`.
    mutating func isStalled(_ core: TeamCore, _ rank: UInt32, now: UInt64) -> Bool {
        let slot = muster_team_slot(core.team, rank)!
        var sample = samples[Int(rank)]
        let current = slot.pointee.current
        let committed = muster_team_rank_progress(core.team, rank)
        let incarnation = slot.pointee.incarnation
        let isSame =
            sample.since != 0 && current == sample.current && committed == sample.committed
            && incarnation == sample.incarnation
        if !isSame {
            sample = Sample(
                current: current, committed: committed, incarnation: incarnation, since: now)
            samples[Int(rank)] = sample
        }
        return now - sample.since >= timeout
    }

    /// The clock of every rank starts with the job.
    mutating func restart(_ core: TeamCore) {
        let now = monotonicNanoseconds()
        for rank in samples.indices {
            let slot = muster_team_slot(core.team, UInt32(rank))!
            samples[rank] = Sample(
                current: slot.pointee.current,
                committed: muster_team_rank_progress(core.team, UInt32(rank)),
                incarnation: slot.pointee.incarnation, since: now)
        }
    }

    /// A killed rank's successor starts with a clean sample.
    mutating func forget(_ rank: UInt32) { samples[Int(rank)] = Sample() }
}

extension TeamCore {
    /// Runs a loop's first job, which is in the job slot, and further ones until nothing is left that
    /// can be done. Returns a rank's part that ended otherwise than well. `underway`: the first job's
    /// number, where it has been dispatched and the leader's own part of it is done. `ownPart`: of a
    /// leader that works.
    func runJobs(
        _ report: inout AuditReport, _ losses: inout Losses, _ plan: LoopPlan,
        _ requestsBefore: UInt64, underway: UInt64? = nil, ownPart: (UInt64) -> Void
    ) throws(MusterError) -> FailedPart? {
        var stall = plan.stallTimeout.map { StallWatch($0, size: size) }
        var leastMissing = Int.max
        var fruitless = 0
        var deathsBefore = 0
        var number = underway ?? muster_team_dispatch(team)
        var isUnderway = underway != nil
        while true {
            // A request that came while partials were committed, ranks started or holes listed is for
            // this job.
            if muster_team_cancel_requests(team) != requestsBefore { cancel() }
            stall?.restart(self)
            if leaderWorks && !isUnderway {
                ownPart(number)
                muster_worker_done(team, 0, number)
            }
            do throws(MusterError) {
                // Deaths that ended the first wait are known already, and no reason for another end.
                if isUnderway { try absorbDeaths(&losses, isByRank: plan.isByRank) }
                isUnderway = false
                try join(chunks: report.chunks, &losses, &stall, isByRank: plan.isByRank)
            } catch {
                abandon()
                throw interrupted(error, report, losses)
            }
            let failed = losses.failed ?? failedPart(number)
            try audit(&report)
            let isOver =
                report.missingCount == 0 || report.repeatedCount > 0 || report.isCancelled
                || failed != nil || losses.recovery == .fail || plan.isByRank || losses.hasGivenUp
            // Without deaths, a job gets further than all before or never will.
            fruitless = report.missingCount < leastMissing ? 0 : fruitless + 1
            let isStuck =
                fruitless >= Losses.fruitlessMost
                || (fruitless > 0 && losses.deaths.count == deathsBefore)
            leastMissing = min(leastMissing, report.missingCount)
            deathsBefore = losses.deaths.count
            if isOver || isStuck || (losses.deaths.isEmpty && !ranks.vacantKnown) {
                fillVacantRanks(losses)
                return failed
            }
            do throws(MusterError) {
                muster_team_poll(team)
                try absorbDeaths(&losses, isByRank: plan.isByRank)
                losses.refused = try ranks.refill() ?? losses.refused
            } catch {
                losses.refused = error
                return nil
            }
            let holes = listHoles(losses)
            if holes == 0 {
                fillVacantRanks(losses)
                return nil
            }
            job.pointee.schedule = MUSTER_SCHEDULE_LISTED
            job.pointee.list_count = UInt64(holes)
            number = muster_team_dispatch_again(team)
        }
    }

    /// Ranks that have died after their part get a process, so that the report calls only those vacant
    /// for which there is none.
    private func fillVacantRanks(_ losses: Losses) {
        if ranks.vacantKnown, losses.recovery != .fail { _ = try? ranks.refill() }
    }

    /// After a failure in the middle of a job: nobody goes on with it, and nothing stays half-changed.
    private func abandon() {
        muster_team_end(team)
        ranks.vacantKnown = true
        for rank in 0..<UInt32(size) where !muster_team_holds(team, rank) {
            _ = muster_team_restore(team, rank)
        }
    }

    /// Waits for the end of the job, replaces workers that die, and calls for progress now and then.
    private func join(
        chunks: Int, _ losses: inout Losses, _ stall: inout StallWatch?, isByRank: Bool
    ) throws(MusterError) {
        let started = monotonicNanoseconds()
        let interval = TeamCore.progressNanoseconds
        var nextProgress = started + UInt64(interval)
        var timeout = onProgress == nil ? -1 : interval
        if let stall {
            timeout = min(timeout < 0 ? .max : timeout, Int64(clamping: stall.interval))
        }
        while true {
            let join = try ranks.waitForJob(timeout: timeout)
            if join == MUSTER_JOIN_ENDED { break }
            if join == MUSTER_JOIN_DEATHS { try absorbDeaths(&losses, isByRank: isByRank) }
            let now = timeout < 0 ? 0 : monotonicNanoseconds()
            if stall != nil { endStalled(&losses, &stall!, now: now) }
            if onProgress != nil, now >= nextProgress {
                nextProgress = now + UInt64(interval)
                onProgress?(
                    Progress(
                        done: min(Int(clamping: muster_team_progress(team)), chunks),
                        chunks: chunks, elapsedNanoseconds: now - started,
                        cancellation: Cancellation(team: team)))
            }
        }
        try absorbDeaths(&losses, isByRank: isByRank)
        for rank in Set(losses.deaths.map { UInt32($0.rank) }) {
            losses.noteRedone(rank, at: muster_team_slot(team, rank).pointee.redone_ns)
        }
        ranks.noteJoin()
    }

    private func endStalled(_ losses: inout Losses, _ stall: inout StallWatch, now: UInt64) {
        let number = job.pointee.number
        for rank in 0..<UInt32(size) where muster_team_holds(team, rank) {
            if muster_team_slot(team, rank).pointee.done == number { continue }
            if stall.isStalled(self, rank, now: now), muster_team_kill(team, rank) == 0 {
                losses.stalled.insert(rank)
                stall.forget(rank)
            }
        }
    }

    /// Takes the deaths that the last join has seen, and gives each rank a successor.
    private func absorbDeaths(
        _ losses: inout Losses, isByRank: Bool
    ) throws(MusterError) {
        var count: UInt32 = 0
        // Starting a successor can show more deaths: a fork server takes all of its ranks along.
        while let list = muster_team_deaths(team, &count), count > 0 {
            var deaths = (0..<Int(count)).map { list[$0] }
            noteServerDeath(&losses)
            muster_team_forget_deaths(team)
            ranks.vacantKnown = true
            if arrays.shrunkFile(among: losses.files) != nil { losses.hasLostFile = true }
            // All are noted before anybody is started: of several deaths of a rank the last one counts.
            var last: [UInt32: (death: muster_death, skip: Bool)] = [:]
            let committed = Int(clamping: muster_team_progress(team))
            for i in deaths.indices {
                let rank = deaths[i].rank
                losses.noteRedone(rank, at: muster_team_slot(team, rank).pointee.redone_ns)
                let deed = deaths[i].has_fault != 0 ? deed(deaths[i].fault) : nil
                var skip = losses.note(&deaths[i], deed)
                if !skip && !isByRank {
                    skip = losses.isForLater(&deaths[i], committed: committed)
                }
                last[rank] = (deaths[i], skip)
            }
            let number = job.pointee.number
            losses.judgeKernel(committed: committed, size: size) {
                muster_team_slot(team, $0).pointee.done != number
            }
            if losses.hasGivenUp { cancel() }
            if losses.recovery == .fail { continue }
            for rank in last.keys.sorted() {
                try succeed(last[rank]!.death, skip: last[rank]!.skip, &losses)
            }
        }
    }

    /// Gives a dead rank a successor, or puts back what it was changing.
    private func succeed(
        _ death: muster_death, skip: Bool, _ losses: inout Losses
    ) throws(MusterError) {
        if muster_team_holds(team, death.rank) { return }
        // Its error is the loop's, for any successor.
        let number = job.pointee.number
        if let failed = outcome(of: death.rank, number) {
            losses.failed = losses.failed ?? failed
            cancel()
        } else if muster_team_running(team), death.job != 0, !losses.hasLostFile,
            losses.stray == nil,
            !losses.isFutile(death.rank)
        {
            // In a job that is over, or that this rank had ended, there is nothing to go on with.
            muster_team_plan_successor(team, death.rank, skip)
            do throws(MusterError) {
                try ranks.startRank(death.rank)
                losses.refused = nil
                return
            } catch {
                losses.refused = error
            }
        }
        // What is gone from a file can't be put back, and touching it would end this process too.
        if arrays.shrunkFile(among: losses.changedFiles) != nil { return }
        let status = muster_team_restore(team, death.rank)
        if status < 0 {
            throw .system(
                .audit, "rank \(death.rank)",
                "died, and its journal can't be read: what it was changing is half-done",
                status: status)
        }
    }

    /// Writes what is missing, and not in quarantine, to the team's list. Returns how many intervals;
    /// 0: nothing is to be done.
    func listHoles(_ losses: Losses) -> Int {
        var audit = muster_audit()
        var findings = [muster_finding](
            repeating: muster_finding(), count: Int(MUSTER_LIST_MAX) / 2)
        let found = muster_team_audit(team, &audit, &findings, UInt64(findings.count))
        let list = muster_team_list(team)!
        let most = Int(MUSTER_LIST_MAX)
        // Small enough that the ranks that are left can share the work out.
        let portion = max(1, audit.missing / UInt64(4 * size))
        var length = 0
        for finding in findings.prefix(Int(max(0, found))) where finding.repeated == 0 {
            var first = finding.first
            while first < finding.end, length < most {
                if losses.quarantined.contains(Int(first)) {
                    first += 1
                    continue
                }
                var end = first + 1
                while end < finding.end, end - first < portion,
                    !losses.quarantined.contains(Int(end))
                { end += 1 }
                let base = job.pointee.first_chunk
                list[length] = muster_interval(first: first - base, end: end - base)
                length += 1
                first = end
            }
        }
        return length
    }
}
