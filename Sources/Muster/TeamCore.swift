// TeamCore.swift - a team's process-side state: who is started, which kernels and arrays it knows, and
// how a loop goes from its arguments to a report.
//
// Team and SharedArray own it together, so that arrays stay readable after the team has ended. In a
// forked worker it is the same object, copied; nothing there ever releases it, since workers leave by
// `_exit`.

internal import CMuster
internal import Glibc

/// Where a team's ranks come from.
enum RankSource {
    /// Forked from the leader, which must have one thread.
    case fork
    /// Forked by a fork server (ForkServer.swift).
    case server
    /// Threads of this process: for tests under a thread sanitizer only.
    case threads
}

/// A loop's shape, before it is cut into chunks.
struct LoopPlan {
    var count: Int?
    var grain: Int?
    var schedule: Schedule
    var batch: Int = 1
}

final class TeamCore {
    let team: OpaquePointer
    let size: Int
    let leaderWorks: Bool
    let start: RankSource
    var kernels = KernelTable()
    var arrays = ArrayTable()
    /// Called now and then while the leader waits for a loop.
    var onProgress: ((Progress) -> Void)?
    /// Views of arrays that the leader has open now; a loop meanwhile would race with them.
    var openViews = 0
    private var threads: [pthread_t] = []
    private(set) var hasEnded = false
    private var ownRank: Worker?
    private var lastJoin: UInt64 = 0
    private(set) var isRunning = false

    init(size: Int, leaderWorks: Bool, start: RankSource) throws(MusterError) {
        let subject = "team of \(size)"
        guard size >= 1 else {
            throw MusterError(
                .invalidArgument, subject: subject, reason: "a team has at least 1 rank")
        }
        guard size <= Int(MUSTER_RANKS_MAX) else {
            throw MusterError(
                .invalidArgument, subject: subject,
                reason: "a team has at most \(MUSTER_RANKS_MAX) ranks")
        }
        try TeamCore.refuseInStrayServer(subject)
        var host: UnsafeMutablePointer<muster_topology>?
        let read = muster_topology_create(nil, &host)
        guard read == 0, let host else {
            throw .system(.system, subject, "can't read this host's topology", status: read)
        }
        defer { muster_topology_destroy(host) }
        var options = muster_team_options()
        options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
        options.size = UInt32(size)
        options.leader_works = leaderWorks ? 1 : 0
        options.usable_cpus = host.pointee.usable_cpu_count
        options.spin_ns = -1
        var made: OpaquePointer?
        let status = muster_team_create(&options, &made)
        guard status == 0, let made else {
            throw .system(.memory, subject, "can't make its shared memory", status: status)
        }
        team = made
        self.size = size
        self.leaderWorks = leaderWorks
        self.start = start
        var homes = [UInt32](repeating: 0, count: size)
        muster_placement_rank_nodes(host, UInt32(size), &homes)
        homeNodes = homes
        self.bindsToNodes = Set(homeNodes).count > 1
        if start == .server { try useServer(homes: bindsToNodes ? homes : nil) }
        try startVacantRanks()
        if leaderWorks { ownRank = Worker(core: self, rank: 0) }
    }

    /// Home node of each rank.
    let homeNodes: [UInt32]
    private let bindsToNodes: Bool

    deinit {
        end()
        muster_team_destroy(team)
    }

    /// Ends the workers; arrays stay.
    func end() {
        guard !hasEnded else { return }
        hasEnded = true
        muster_team_end(team)
        for thread in threads { pthread_join(thread, nil) }
        threads = []
        ownRank?.end()
        ownRank = nil  // it refers back to this object
        onProgress = nil  // it may, through what it captures
    }

    // MARK: - Starting

    /// Gives every vacant rank a process. In the new worker it does not return.
    private func startVacantRanks() throws(MusterError) {
        try checkThreads()
        let own = leaderWorks ? 1 : 0
        if !(own..<size).contains(where: { muster_team_holds(team, UInt32($0)) }) {
            knownKernels = start == .server ? 0 : kernels.entries.count
        }
        for rank in 0..<UInt32(size) where !muster_team_holds(team, rank) {
            if start == .threads {
                let status = muster_team_adopt(team, rank)
                guard status == 0, let thread = startThread(self, rank: rank) else {
                    throw .system(.start, "rank \(rank)", "can't start a thread", status: status)
                }
                threads.append(thread)
                continue
            }
            let pid = muster_team_spawn(team, rank)
            if pid == 0 { live(rank: rank) }
            guard pid > 0 else {
                if let trouble = serverTrouble(rank: Int(rank)) { throw trouble }
                throw .system(
                    .start, "rank \(rank) of \(size)",
                    "can't start a worker (limits: ulimit -u, ulimit -n, pids.max)", status: pid)
            }
        }
    }

    /// Only a process with one thread can fork its workers.
    private func checkThreads() throws(MusterError) {
        if start == .fork {
            let threadCount = muster_process_threads()
            guard threadCount == 1 || threadCount < 0 else {
                throw MusterError(
                    .threads, subject: "team of \(size)",
                    reason:
                        "this process has \(threadCount) threads, and workers are forked: create "
                        + "the team before anything starts a thread (Dispatch, async, a library), or "
                        + "make Team.serveIfAsked() the first line of main, for the fork server")
            }
        }
    }

    /// A new worker's whole life.
    private func live(rank: UInt32) -> Never {
        isRunning = true  // a worker's copy of the team runs nothing: a kernel that tries traps
        if bindsToNodes { Topology.run(onNode: homeNodes[Int(rank)]) }
        var worker = Worker(core: self, rank: rank)
        worker.run()
        muster_worker_exit()
    }

    /// Lets idle workers go and starts new ones with the same ranks, which know all that the leader
    /// knows now.
    private func restartWorkers() throws(MusterError) {
        try checkThreads()
        vacantKnown = true
        muster_team_end(team)
        try startVacantRanks()
        vacantKnown = false
    }

    /// Traps where memory that ranks may be working on would be viewed or freed.
    func checkIdle() {
        precondition(!isRunning, "an array can't be viewed, made or freed while a loop runs")
    }

    // MARK: - Loops

    /// Runs a kernel or a reduction over a loop. `collect` reads the partials before they are freed.
    func run<Work: _Work>(
        _ work: Work, _ plan: LoopPlan, partialBytes: Int = 0,
        collect: (UnsafeRawPointer, Int) -> Void = { _, _ in }
    ) throws(MusterError) -> AuditReport {
        precondition(!isRunning, "a loop is already running on this team")
        precondition(
            openViews == 0, "a loop can't run while the leader has a view of an array open")
        precondition(!hasEnded, "the team has ended")

        let cancelledBefore = muster_team_cancel_number(team)
        let entry = kernels.entry(for: Work.self)
        if case .nowhere = entry.lookup { throw unknownToServer(entry.type) }
        var files: [UInt32] = []
        let elements = try checkedCount(work, entry, plan.count, &files)
        if let grain = plan.grain, grain < 1 {
            throw MusterError(
                .invalidArgument, subject: "grain \(grain)",
                reason: "a chunk has at least 1 element")
        }
        let grain = muster_schedule_grain(
            UInt64(elements), UInt64(plan.grain ?? 0), UInt64(partialBytes))
        let chunks = muster_schedule_chunks(UInt64(elements), grain)
        var report = AuditReport(
            chunks: Int(chunks), exactlyOnce: 0, size: size, schedule: plan.schedule,
            grain: Int(grain), elements: elements)
        let capacity = muster_team_capacity(team)
        guard chunks <= capacity else {
            throw MusterError(
                .invalidArgument, subject: "loop of \(chunks) chunks",
                reason: "this team has room for \(capacity); use a larger grain")
        }
        if chunks == 0 { return report }

        var partials: Extent?
        defer { if let partials { free(partials) } }
        if partialBytes > 0 {
            partials = try allocate(bytes: Int(chunks) * partialBytes, of: "partial results")
        }
        try refill()
        if case .fork = entry.lookup, start == .fork, Int(entry.id) >= knownKernels {
            try restartWorkers()
        }
        let job = muster_team_job(team)!
        job.pointee.kind = MUSTER_JOB_LOOP.rawValue
        job.pointee.schedule = plan.schedule.code
        job.pointee.first_chunk = 0
        job.pointee.chunk_count = chunks
        job.pointee.elements = UInt64(elements)
        job.pointee.grain = grain
        job.pointee.batch = UInt64(max(1, plan.batch))
        job.pointee.partial_bytes = UInt32(partialBytes)
        job.pointee.partials_offset = partials.map { UInt64($0.offset) } ?? 0
        try writeArguments(of: work, entry, to: job)
        isRunning = true
        defer { isRunning = false }
        muster_team_forget_deaths(team)
        let number = muster_team_dispatch(team)
        // A request that came while partials were committed or ranks started is for this loop.
        if muster_team_cancel_number(team) != cancelledBefore { cancel() }
        if leaderWorks {
            ownRank!.runJob(job, known: Work.self)
            muster_worker_done(team, 0, number)
        }
        try join(chunks: Int(chunks))
        try finish(&report, number, files)
        // Bytes beyond the end of a file's last page read as zeros, without a signal.
        if let shrunk = arrays.shrunkFile(among: files) {
            throw fileShrank(shrunk, "and what was read from there was zeros", report)
        }
        if let partials { collect(base + partials.offset, Int(chunks)) }
        return report
    }

    /// Kernels that every live worker was forked with.
    private var knownKernels = 0

    func refill() throws(MusterError) {
        // Asking costs a system call, so not between the jobs of a tight sequence; a worker that dies
        // there is found by the join.
        let now = monotonicNanoseconds()
        guard now - lastJoin > 1_000_000 || vacantKnown else { return }
        if muster_team_poll(team) > 0 {
            vacantKnown = true
            try startVacantRanks()
        }
        vacantKnown = false
    }

    /// Asks the loop in progress to end early.
    func cancel() { muster_team_cancel(team) }

    /// Whether a rank is known to be without a process.
    var vacantKnown = false

    /// Checks the kernel's accesses and finds the number of elements.
    private func checkedCount<Work: _Work>(
        _ work: Work, _ entry: KernelEntry, _ wanted: Int?, _ files: inout [UInt32]
    ) throws(MusterError) -> Int {
        var written: Int?
        var read: Int?
        var differ = false
        var tooShort: Int?
        withUnsafeBytes(of: work) { bytes in
            for (number, access) in entry.accesses.enumerated() {
                let handle = bytes.loadUnaligned(
                    fromByteOffset: access.offset, as: _ArrayHandle.self)
                precondition(
                    handle.team == UInt(bitPattern: team),
                    "the kernel uses an array of another team")
                arrays.check(handle, access.kind)
                if arrays.isFile(handle.id) { files.append(handle.id) }
                if let wanted, access.kind != .input, wanted > handle.count {
                    tooShort = tooShort ?? handle.count
                }
                for earlier in entry.accesses[..<number]
                where access.kind != .input || earlier.kind != .input {
                    let other = bytes.loadUnaligned(
                        fromByteOffset: earlier.offset, as: _ArrayHandle.self)
                    precondition(
                        other.id != handle.id,
                        "one array under two accesses in \(entry.type): in one loop an array is "
                            + "input, or output once, or in place once")
                }
                if access.kind == .input {
                    differ = differ || (written == nil && read != nil && read != handle.count)
                    read = read ?? handle.count
                } else {
                    differ =
                        (written == nil ? false : differ)
                        || (written ?? handle.count) != handle.count
                    written = written ?? handle.count
                }
            }
        }
        if let wanted {
            if let tooShort {
                throw MusterError(
                    .invalidArgument, subject: "count \(wanted)",
                    reason: "the kernel writes an array of only \(tooShort) elements")
            }
            guard wanted >= 0 else {
                throw MusterError(
                    .invalidArgument, subject: "count \(wanted)",
                    reason: "a loop has 0 or more elements")
            }
            return wanted
        }
        guard !differ, let count = written ?? read else {
            throw MusterError(
                .invalidArgument, subject: "\(entry.type)",
                reason: differ
                    ? "its arrays differ in length, so say which count the loop has (count:)"
                    : "it has no array, so say which count the loop has (count:)")
        }
        return count
    }

    private func writeArguments<Work: _Work>(
        of work: Work, _ entry: KernelEntry, to job: UnsafeMutablePointer<muster_job>
    ) throws(MusterError) {
        let size = MemoryLayout<Work>.size
        var name: [UInt8] = []
        if case .name(let bytes) = entry.lookup, Int(entry.id) >= knownKernels { name = bytes }
        let nameOffset = ArgumentLayout.name(kernelBytes: size)
        guard nameOffset + name.count <= ArgumentLayout.capacity else {
            throw MusterError(
                .invalidArgument, subject: "\(entry.type)",
                reason: "its properties take \(size) bytes, at most "
                    + "\(ArgumentLayout.capacity - ArgumentLayout.kernel - name.count - 16) fit; put "
                    + "large tables into a shared array")
        }
        job.pointee.kernel = entry.id
        job.pointee.argument_bytes = UInt32(size)
        job.pointee.flags = 0
        if case .image = entry.lookup { job.pointee.flags = JobFlags.kernelInImage }
        let arguments = UnsafeMutableRawPointer(muster_job_arguments(job)!)
        arguments.storeBytes(of: KernelTable.words(of: entry.type), as: (UInt, UInt).self)
        if case .program(let metadata, let witnesses) = entry.lookup {
            job.pointee.flags = JobFlags.kernelInProgram
            arguments.storeBytes(of: (metadata, witnesses), as: (UInt, UInt).self)
        }
        arguments.storeBytes(
            of: UInt32(name.count), toByteOffset: ArgumentLayout.nameLength, as: UInt32.self)
        withUnsafeBytes(of: work) { bytes in
            // A kernel without properties has no bytes, and then may have no address either.
            guard let start = bytes.baseAddress else { return }
            (arguments + ArgumentLayout.kernel).copyMemory(from: start, byteCount: size)
        }
        if !name.isEmpty {
            name.withUnsafeBytes { bytes in
                (arguments + nameOffset).copyMemory(
                    from: bytes.baseAddress!, byteCount: bytes.count)
            }
        }
    }

    /// Waits for the end of the job in the job slot. Returns whether it has come.
    func waitForJob(timeout: Int64) throws(MusterError) -> Bool {
        let status = muster_team_join(team, timeout)
        if status >= 0 { return status == 1 }
        // Workers that nobody can wait for must not go on with a job whose slot is written again.
        muster_team_end(team)
        vacantKnown = true
        throw .system(.system, "team of \(size)", "can't wait for it", status: status)
    }

    /// Waits for the end of the job, with a look at the progress now and then.
    private func join(chunks: Int) throws(MusterError) {
        let started = monotonicNanoseconds()
        while true {
            if try waitForJob(timeout: onProgress == nil ? -1 : 100_000_000) { break }
            let done = Int(clamping: muster_team_progress(team))
            onProgress?(
                Progress(
                    done: min(done, chunks), chunks: chunks,
                    elapsedNanoseconds: monotonicNanoseconds() - started,
                    cancellation: Cancellation(team: team)))
        }
        lastJoin = monotonicNanoseconds()
    }

    // MARK: - After a loop

    private func finish(
        _ report: inout AuditReport, _ number: UInt64, _ files: [UInt32]
    ) throws(MusterError) {
        var audit = muster_audit()
        let found = muster_team_audit(team, &audit, nil, 0)
        guard found >= 0 else {
            throw .system(.audit, "team of \(size)", "its rolls can't be audited", status: found)
        }
        guard audit.chunks == UInt64(report.chunks),
            audit.exactly_once + audit.missing + audit.repeated == audit.chunks
        else {
            throw .system(.audit, "team of \(size)", "its rolls can't be audited", status: -117)
        }
        report.exactlyOnce = Int(audit.exactly_once)
        report.missingCount = Int(audit.missing)
        report.repeatedCount = Int(audit.repeated)
        var deathCount: UInt32 = 0
        let deaths = muster_team_deaths(team, &deathCount)
        var failed: UInt32?
        for rank in 0..<UInt32(size)
        where muster_team_slot(team, rank).pointee.outcome != MUSTER_OUTCOME_FINE.rawValue
            && muster_team_slot(team, rank).pointee.done == number
        {
            failed = failed ?? rank
        }
        report.isCancelled = muster_team_cancelled(team)
        if found == 0 && deathCount == 0 && failed == nil { return }
        if found > 0 { list(faults: Int(found), into: &report) }
        for i in 0..<Int(deathCount) {
            let death = deaths![i]
            report.deaths.append(
                AuditReport.Death(
                    rank: Int(death.rank), signal: Int(death.signal),
                    exitCode: Int(death.exit_code),
                    chunk: death.chunk == .max ? nil : Int(death.chunk), attempt: 1))
        }
        vacantKnown = deathCount > 0
        if let failed { throw explain(failedRank: failed, report) }
        if deathCount > 0 && found > 0 { throw explain(deaths: report, files) }
        if found == 0 { return }
        if report.isCancelled {
            throw MusterError(
                .cancelled, subject: "loop", reason: "cancelled: \(report)", report: report)
        }
        throw MusterError(.audit, subject: "loop", reason: "\(report)", report: report)
    }

    private func list(faults: Int, into report: inout AuditReport) {
        // A report is for people and programs that act on it: the first thousand faults are enough.
        var findings = [muster_finding](
            repeating: muster_finding(), count: min(faults, 1000))
        var audit = muster_audit()
        let found = muster_team_audit(team, &audit, &findings, UInt64(findings.count))
        for finding in findings.prefix(Int(max(0, found))) {
            let range = Int(finding.first)..<Int(finding.end)
            if finding.repeated == 0 {
                report.missing.append(range)
                continue
            }
            var ranks = [UInt32](repeating: 0, count: size)
            let held = muster_team_audit_ranks(
                team, muster_interval(first: finding.first, end: finding.end), &ranks,
                UInt64(size))
            report.repeated.append(
                .init(chunks: range, ranks: ranks.prefix(Int(max(0, held))).map(Int.init)))
        }
    }

    private func explain(failedRank rank: UInt32, _ report: AuditReport) -> MusterError {
        let slot = muster_team_slot(team, rank)!
        switch muster_outcome(slot.pointee.outcome) {
        case MUSTER_OUTCOME_THREW:
            let message = String(
                decoding: messageBytes(of: slot).prefix { $0 != 0 }, as: UTF8.self)
            let chunk = Int(clamping: slot.pointee.outcome_chunk)
            let place =
                chunk < report.chunks ? " (elements \(report.elements(ofChunk: chunk)))" : ""
            return MusterError(
                .kernelThrew, subject: "chunk \(chunk)\(place)",
                reason: "the kernel threw on rank \(rank): \(message)", report: report)
        case MUSTER_OUTCOME_KERNEL:
            return MusterError(
                .kernelUnknown, subject: "rank \(rank)",
                reason:
                    start == .server
                    ? "can't find the kernel's type; it came from a library that this program has "
                        + "loaded by itself, and the fork server has not"
                    : "can't find the kernel's type; it came from a library loaded after the team "
                        + "was made: create the team after loading it", report: report)
        default:
            return .system(
                .system, "rank \(rank)", "can't begin the loop",
                status: slot.pointee.outcome_status)
        }
    }

    private func explain(deaths report: AuditReport, _ files: [UInt32]) -> MusterError {
        if let death = serverDeath(report) { return death }
        let death = report.deaths.first { $0.chunk != nil } ?? report.deaths[0]
        if let shrunk = arrays.shrunkFile(among: files) {
            return fileShrank(
                shrunk,
                "and rank \(death.rank) \(signalText(death)); \(report.missingCount) of "
                    + "\(report.chunks) chunks are missing", report)
        }
        var reason = signalText(death)
        if let chunk = death.chunk {
            reason +=
                " while it worked on chunk \(chunk) (elements \(report.elements(ofChunk: chunk)))"
        }
        let others = report.deaths.count - 1
        if others > 0 { reason += ", and \(others) more \(others == 1 ? "rank" : "ranks") died" }
        reason += "; \(report.missingCount) of \(report.chunks) chunks are missing"
        return MusterError(
            .workerDied, subject: "rank \(death.rank)", reason: reason, report: report)
    }

    private func fileShrank(
        _ file: (path: String, was: Int, now: Int), _ effect: String, _ report: AuditReport
    ) -> MusterError {
        MusterError(
            .fileShrank, subject: file.path,
            reason: "shrank from \(file.was) to \(file.now) bytes while it was read, \(effect)",
            report: report)
    }

    private func signalText(_ death: AuditReport.Death) -> String {
        guard death.signal != 0 else { return "left with exit status \(death.exitCode)" }
        return "was killed by signal \(death.signal) "
            + "(\(String(cString: muster_signal_name(Int32(death.signal)))))"
    }
}

/// CLOCK_MONOTONIC.
func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
