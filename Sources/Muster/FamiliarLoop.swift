// FamiliarLoop.swift - a loop like the one before: nothing about it has to be checked again.
//
// Programs mostly run the same kernel over the same arrays again and again, often with little to do in
// each loop. What `run` finds out of such a loop, it has found out the time before, and the job slot
// still holds it: then only the kernel's own bytes may differ, a job is dispatched, joined and audited.
// Anything unusual (a death, an error, a faulty audit) goes the long way from where it showed.
//
// Invariant: `familiar` is set only after a clean loop whose job is still in the job slot; whatever
// writes to the slot otherwise (another loop, an array's commit or mapping) changes what is compared
// here, or takes it away.

internal import CMuster
internal import Glibc

/// A loop that went well.
struct FamiliarLoop {
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

    func matches(_ plan: LoopPlan) -> Bool {
        count == plan.count && grain == plan.grain && schedule == plan.schedule
            && batch == plan.batch && isByRank == plan.isByRank && recovery == plan.recovery
            && plan.stallTimeout == nil
    }
}

extension TeamCore {
    /// Notes a loop that went well, and whose job is in the job slot. Not of files, which are looked
    /// at after each loop, nor while loops are recorded: that takes longer than the long way does.
    func remember<Work: _Work>(
        _ type: Work.Type, _ work: UnsafeRawBufferPointer, _ plan: LoopPlan, _ entry: KernelEntry,
        _ report: AuditReport
    ) {
        guard recording == nil, report.chunks > 0, report.deaths.isEmpty, !vacantKnown,
            plan.stallTimeout == nil,
            muster_team_job(team).pointee.schedule == plan.schedule.code
        else { return }
        for access in entry.accesses {
            let handle = work.loadUnaligned(
                fromByteOffset: access.offset, as: _ArrayHandle.self)
            if arrays.isFile(handle.id) { return }
        }
        familiar = FamiliarLoop(
            type: ObjectIdentifier(type), count: plan.count, grain: plan.grain,
            schedule: plan.schedule, batch: plan.batch, recovery: plan.recovery,
            isByRank: plan.isByRank, isTraced: isTraced, arrayChanges: arrays.changes,
            chunks: report.chunks, chosenGrain: report.grain, elements: report.elements,
            kernel: Int(entry.id))
    }

    /// Runs a loop like the last one. Returns nil, and has done nothing, where it is another.
    func runAgain<Work: _Work>(
        _ work: Work, _ plan: LoopPlan
    ) throws(MusterError) -> AuditReport? {
        guard let familiar, recording == nil else { return nil }
        checkCanRun()
        guard familiar.type == ObjectIdentifier(Work.self), familiar.matches(plan),
            familiar.arrayChanges == arrays.changes,
            familiar.isTraced == isTraced, onProgress == nil, !vacantKnown,
            replaceArguments(of: work, familiar.kernel)
        else { return nil }
        let now = coarseNanoseconds()
        // Time to look whether all ranks are there: the long way does.
        if now &- lastSeen > TeamCore.trustNanoseconds { return nil }
        lastSeen = now

        let requestsBefore = muster_team_cancel_requests(team)
        var report = AuditReport(
            chunks: familiar.chunks, exactlyOnce: familiar.chunks, size: size,
            schedule: familiar.schedule, grain: familiar.chosenGrain, elements: familiar.elements)
        isRunning = true
        defer { isRunning = false }
        forgetDeaths()
        let number = muster_team_dispatch(team)
        // A request that came while the job was being prepared is for it.
        if muster_team_cancel_requests(team) != requestsBefore { cancel() }
        if leaderWorks {
            ownRank!.run(muster_team_job(team), number, Work.self)
            muster_worker_done(team, 0, number)
        }
        if try waitForJob(timeout: -1) == MUSTER_JOIN_ENDED, muster_team_is_clean(team) {
            return report
        }
        self.familiar = nil
        report.exactlyOnce = 0
        var losses = Losses(plan.recovery, files: [], changedFiles: [])
        let failed = try runJobs(
            &report, &losses, plan, requestsBefore, underway: number
        ) {
            ownRank!.run(muster_team_job(team), $0, Work.self)
        }
        try judge(&report, losses, failed)
        return report
    }

    /// Puts the kernel's bytes into the job slot where they are others than there. Returns false where
    /// it uses other arrays than the one before: those have to be checked.
    private func replaceArguments<Work: _Work>(of work: Work, _ kernel: Int) -> Bool {
        let slot =
            UnsafeMutableRawPointer(muster_job_arguments(muster_team_job(team))!)
            + ArgumentLayout.kernel
        return withUnsafeBytes(of: work) { bytes in
            guard let start = bytes.baseAddress else { return true }
            if memcmp(slot, start, bytes.count) == 0 { return true }
            for access in kernels.entries[kernel].accesses {
                let size = MemoryLayout<_ArrayHandle>.size
                if memcmp(slot + access.offset, start + access.offset, size) != 0 {
                    return false
                }
            }
            slot.copyMemory(from: start, byteCount: bytes.count)
            return true
        }
    }
}
