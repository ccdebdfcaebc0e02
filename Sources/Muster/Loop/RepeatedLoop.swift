// RepeatedLoop.swift - a loop like the one before: nothing about it has to be checked again.
//
// Programs mostly run the same kernel over the same arrays again and again, often with little to do in
// each loop. What `run` finds out of such a loop, it has found out the time before, and the job slot
// still holds it: then only the kernel's own bytes may differ, a job is dispatched, joined and audited.
// Anything unusual (a death, an error, a faulty audit) goes the long way from where it showed.
//
// Invariant: `repeated` is set only after a clean loop whose job is still in the job slot; whatever
// writes to the slot otherwise (another loop, an array's commit or mapping) changes what is compared
// here, or takes it away.

internal import MusterCore
internal import Glibc

/// A loop that went well.
struct RepeatedLoop {
    let type: ObjectIdentifier
    let count: Int?
    let grain: Int?
    let schedule: Schedule
    let batch: Int
    let recovery: Recovery
    let isByRank: Bool
    let isTraced: Bool
    /// Arrays that have come and gone up to then.
    let arrayChanges: UInt64
    /// What the report says of it.
    let chunks: Int
    let chosenGrain: Int
    let elements: Int
    /// Number in the kernel table.
    let kernel: Int
    /// Whether `repeatedTails` has any. The list itself stands elsewhere: beside plain values alone this is
    /// one too, and nothing of it is counted when it is read.
    let hasTails: Bool

    func report(_ size: Int) -> AuditReport {
        AuditReport(
            chunks: chunks, exactlyOnce: chunks, size: size, schedule: schedule,
            grain: chosenGrain, elements: elements)
    }

    @inline(__always)
    func matches(_ plan: LoopPlan) -> Bool {
        count == plan.count && grain == plan.grain && schedule == plan.schedule
            && batch == plan.batch && isByRank == plan.isByRank && recovery == plan.recovery
            && plan.stallTimeout == nil
    }
}

extension TeamCore {
    /// Notes a loop that went well, and whose job is in the job slot. Not of files, which are looked
    /// at after each loop, nor while loops are recorded: that takes longer than the long way does.
    func remember(
        _ type: any _Work.Type, _ work: UnsafeRawBufferPointer, _ plan: LoopPlan,
        _ entry: KernelEntry, _ accesses: [AccessField], _ report: AuditReport
    ) {
        guard recording == nil, !isChecked, report.chunks > 0, report.deaths.isEmpty,
            !ranks.vacantKnown,
            plan.stallTimeout == nil,
            job.pointee.schedule == plan.schedule.code
        else { return }
        for access in accesses {
            let handle = work.loadUnaligned(
                fromByteOffset: access.offset, as: _ArrayHandle.self)
            if arrays.isFile(handle.id) { return }
        }
        repeatedTails = tails(work, accesses)
        repeated = RepeatedLoop(
            type: ObjectIdentifier(type), count: plan.count, grain: plan.grain,
            schedule: plan.schedule, batch: plan.batch, recovery: plan.recovery,
            isByRank: plan.isByRank, isTraced: isTraced, arrayChanges: arrays.changes,
            chunks: report.chunks, chosenGrain: report.grain, elements: report.elements,
            kernel: Int(entry.id), hasTails: !repeatedTails.isEmpty)
    }

    /// Runs a loop like the last one, whose report is then to be taken. Returns false, and has done
    /// nothing, where it is another.
    func runAgain(
        _ type: any _Work.Type, _ work: UnsafeRawPointer, _ bytes: Int, _ plan: LoopPlan
    ) throws(MusterError) -> Bool {
        guard repeated != nil, recording == nil else { return false }
        try checkCanRun()
        guard repeated!.type == ObjectIdentifier(type), repeated!.matches(plan),
            repeated!.arrayChanges == arrays.changes,
            repeated!.isTraced == isTraced, !ranks.vacantKnown,
            slot.replaceArguments(work, bytes, kernels.entries[repeated!.kernel].accesses)
        else { return false }
        let now = coarseNanoseconds()
        // Time to look whether all ranks are there: the long way does.
        if now &- ranks.lastSeen > Ranks.trustNanoseconds { return false }

        let requestsBefore = muster_team_cancel_requests(team)
        let number = muster_team_dispatch_same(team)
        if number == 0 {
            ranks.vacantKnown = true
            return false
        }
        ranks.lastSeen = now
        isRunning = true
        if leaderWorks {
            ownRank!.run(job, number, type)
            muster_worker_done(team, 0, number)
        }
        // A loop that takes longer goes the long way from there, which calls for progress.
        let isClean = muster_team_finish(
            team, onProgress == nil ? -1 : TeamCore.progressNanoseconds)
        isRunning = false
        if !isClean {
            try finish(number, type, plan, requestsBefore)
        } else if repeated!.hasTails {
            try check(repeatedTails, quickly: true, repeated!.report(size))
        }
        return true
    }

    /// Goes on with a loop that did not end as it should.
    private func finish(
        _ number: UInt64, _ type: any _Work.Type, _ plan: LoopPlan, _ requestsBefore: UInt64
    ) throws(MusterError) {
        var report = repeated!.report(size)
        repeated = nil
        report.exactlyOnce = 0
        isRunning = true
        defer { isRunning = false }
        var losses = Losses(
            plan.recovery, files: [], changedFiles: [], isSwift: !(type is CKernel.Type))
        let failed = try runJobs(
            &report, &losses, plan, requestsBefore, underway: number
        ) {
            ownRank!.run(job, $0, type)
        }
        try judge(&report, losses, failed)
        unusual = report
    }

    /// The report of the loop that runAgain has run.
    func takeReport() -> AuditReport {
        if let repeated { return repeated.report(size) }
        defer { unusual = nil }
        return unusual!
    }
}
