// LoopRun.swift - how a loop goes from its arguments to a report.

internal import MusterCore

extension TeamCore {
    /// Runs a kernel or a reduction over a loop. `collect` reads the partials before they are freed.
    func run<Work: _Work>(
        _ work: Work, _ plan: LoopPlan, partialBytes: Int = 0,
        collect: (UnsafeMutableRawPointer, Int) -> Void = { _, _ in }
    ) throws(MusterError) -> AuditReport {
        let entry = kernels.entry(for: Work.self)
        return try withUnsafeBytes(of: work) { bytes throws(MusterError) in
            let report = try run(
                entry, bytes, entry.accesses, plan, partialBytes, collect: collect)
            if partialBytes == 0 {
                remember(Work.self, bytes, plan, entry, entry.accesses, report)
            }
            return report
        }
    }

    /// The same for a kernel whose bytes and accesses are at hand: a C kernel's are not its type's.
    func run(
        _ entry: KernelEntry, _ work: UnsafeRawBufferPointer, _ accesses: [AccessField],
        _ plan: LoopPlan, _ partialBytes: Int, collect: (UnsafeMutableRawPointer, Int) -> Void
    ) throws(MusterError) -> AuditReport {
        try checkCanRun()
        repeated = nil
        let requestsBefore = muster_team_cancel_requests(team)
        if case .nowhere = entry.lookup { throw unknownToServer(entry.type) }
        var files: [UInt32] = []
        var changedFiles: [UInt32] = []
        let extent = try checkedExtent(work, entry, accesses, plan, &files, &changedFiles)
        let shape = try shape(plan, extent, partialBytes: partialBytes)
        let (elements, grain, chunks) = (shape.elements, shape.grain, shape.chunks)
        var report = AuditReport(
            chunks: Int(chunks), exactlyOnce: 0, size: size, schedule: plan.schedule,
            grain: Int(grain), elements: elements)
        if chunks == 0 { return report }

        var room: PartialRoom?
        defer { if let room { give(back: room) } }
        if partialBytes > 0 { room = try partialRoom(bytes: Int(chunks) * partialBytes) }
        let partials = room?.extent
        let refused = try ranks.refill()
        if case .fork = entry.lookup, start == .fork, Int(entry.id) >= ranks.knownKernels {
            try ranks.restartWorkers()
        }
        fill(plan, shape, partials, partialBytes: partialBytes)
        try slot.writeArguments(of: work, entry, knownKernels: ranks.knownKernels)
        try ask(for: plan, work, entry, accesses, shape)
        lastAccesses = accesses
        lastPartials = partials.map { ($0, partialBytes) }
        if isChecked {
            writeCheckTable(
                work, entry, accesses, partials: partials, partialBytes: partialBytes,
                chunks: Int(chunks))
        }
        isRunning = true
        defer { isRunning = false }
        ranks.forgetDeaths()
        var losses = Losses(
            plan.recovery, files: files, changedFiles: changedFiles,
            isSwift: !(entry.type is CKernel.Type))
        losses.refused = refused
        let begin = beginIfRecorded()
        if begin != nil { record(job) }
        defer {
            if let begin {
                noteRecorded(kernel: entry.id, work, accesses, report, losses.deaths, begin: begin)
            }
        }
        let failed = try runJobs(&report, &losses, plan, requestsBefore) {
            ownRank!.run(job, $0, entry.type)
        }
        try judge(&report, losses, failed)
        try check(tails(work, accesses), quickly: false, report)
        // Bytes beyond the end of a file's last page read as zeros, without a signal.
        if let shrunk = arrays.shrunkFile(among: files) {
            throw fileShrank(shrunk, "and what was read from there was zeros", report)
        }
        if let partials { collect(base + partials.offset, Int(chunks)) }
        return report
    }

    /// How a loop is cut.
    struct LoopShape {
        let elements: Int
        let grain: UInt64
        let chunks: UInt64
    }

    /// Cuts a loop into chunks.
    private func shape(
        _ plan: LoopPlan, _ extent: LoopExtent, partialBytes: Int
    ) throws(MusterError) -> LoopShape {
        if let grain = plan.grain, grain < 1 {
            throw MusterError(
                .invalidArgument, subject: "grain \(grain)",
                reason: "a chunk has at least 1 element")
        }
        let grain = muster_schedule_grain_of_rows(
            UInt64(extent.count), UInt64(plan.grain ?? 0), UInt64(partialBytes),
            UInt64(extent.indexBytes))
        let chunks = muster_schedule_chunks(UInt64(extent.count), grain)
        let capacity = muster_team_capacity(team)
        guard chunks <= capacity else {
            throw MusterError(
                .invalidArgument, subject: "loop of \(chunks) chunks",
                reason: "this team has room for \(capacity); use a larger grain")
        }
        return LoopShape(elements: extent.count, grain: grain, chunks: chunks)
    }

    /// Writes into the job slot what a loop deals and how.
    func fill(
        _ plan: LoopPlan, _ shape: LoopShape, _ partials: Extent?, partialBytes: Int
    ) {
        job.pointee.kind = MUSTER_JOB_LOOP.rawValue
        job.pointee.schedule = plan.schedule.code
        job.pointee.first_chunk = 0
        job.pointee.chunk_count = shape.chunks
        job.pointee.elements = UInt64(shape.elements)
        job.pointee.grain = shape.grain
        job.pointee.batch = UInt64(max(1, plan.batch))
        job.pointee.partial_bytes = UInt32(partialBytes)
        job.pointee.partials_offset = partials.map { UInt64($0.offset) } ?? 0
        job.pointee.list_count = 0
    }

    /// Sets the job's flags for what a loop asks for, after its arguments are written.
    func ask(
        for plan: LoopPlan, _ work: UnsafeRawBufferPointer, _ entry: KernelEntry,
        _ accesses: [AccessField], _ shape: LoopShape
    ) throws(MusterError) {
        if plan.recovery != .fail {
            try checkJournal(
                work, entry, accesses, grain: Int(min(shape.grain, UInt64(shape.elements))))
            // Always: an access that reflection does not see, in an optional say, is journaled as well.
            job.pointee.flags |= MUSTER_JOB_JOURNALED.rawValue
        }
        #if DEBUG
            job.pointee.flags |= MUSTER_JOB_POISONED.rawValue
        #endif
        if isTraced {
            job.pointee.flags |= MUSTER_JOB_TRACED.rawValue | MUSTER_JOB_POISONED.rawValue
        }
    }

    /// Room for partial results: what the last reduction had, or new, which takes a job by itself.
    func partialRoom(bytes: Int) throws(MusterError) -> PartialRoom {
        if let spare, spare.bytes >= bytes {
            self.spare = nil
            return spare
        }
        return PartialRoom(extent: try allocate(bytes: bytes, of: "partial results"), bytes: bytes)
    }

    /// Keeps it for the next reduction where it is nothing beside the team's own memory.
    func give(back room: PartialRoom) {
        guard room.bytes <= 1 << 20 else { return free(room.extent) }
        if let spare { free(spare.extent) }
        spare = room
    }
}

/// Room for partial results. An extent is larger than what it has memory for, which `bytes` says: only those
/// can be touched.
struct PartialRoom {
    let extent: Extent
    let bytes: Int
}
