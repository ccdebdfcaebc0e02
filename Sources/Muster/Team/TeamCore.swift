// TeamCore.swift - a team's process-side state: who is started, which kernels and arrays it knows, and
// how a loop goes from its arguments to a report.
//
// Team and SharedArray own it together, so that arrays stay readable after the team has ended. In a
// forked worker it is the same object, copied; nothing there ever releases it, since workers leave by
// `_exit`.

internal import MusterCore
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

final class TeamCore {
    let team: OpaquePointer
    let job: UnsafeMutablePointer<muster_job>
    let size: Int
    let leaderWorks: Bool
    let start: RankSource
    /// What a fork server executes: a path and arguments; nil: this program once more.
    let serverProgram: [String]?
    // Unchecked: looked at in each loop, where two checks are a tenth of what an empty one costs.
    @exclusivity(unchecked) var kernels = KernelTable()
    @exclusivity(unchecked) var arrays = ArrayTable()
    /// Called now and then while the leader waits for a loop.
    var onProgress: ((Progress) -> Void)?
    /// Views of arrays that the leader has open now; a loop meanwhile would race with them.
    var openViews = 0
    private var threads: [pthread_t] = []
    private(set) var hasEnded = false
    /// Rank 0, where the leader works.
    var ownRank: RankPart?
    /// When the ranks were last known to be there: coarseNanoseconds.
    var lastSeen: UInt64 = 0
    var isRunning = false
    /// The last reduction's room for partial results.
    var spare: Extent?
    /// The last loop, where one like it can be dispatched without looking at everything again.
    @exclusivity(unchecked) var repeated: RepeatedLoop?
    /// Where that loop's kernel may write beyond its arrays without a signal.
    var repeatedTails: [ArrayTail] = []
    /// The report of one that went otherwise than the one before, until it is taken.
    var unusual: AuditReport?
    /// Workers keep the phase that they are in, and outputs are poisoned: for storms.
    var isTraced = false
    /// A kernel can touch only its chunk (CheckMode.swift).
    let isChecked: Bool
    /// Whose words errors use.
    let caller: Caller
    /// Where the chunks of the loop in the job slot leave their partial results; nil: it has none.
    var lastPartials: (place: Extent, bytes: Int)?
    /// The accesses of the loop in the job slot.
    var lastAccesses: [AccessField] = []
    /// The timeline being recorded.
    @exclusivity(unchecked) var recording: Recording?
    /// False in a process that the leader has forked on its own account: it has a copy of this object,
    /// and must leave the team's memory alone.
    var isLeader: Bool { muster_team_leads(team) }
    /// Deaths outside loops, by phase.
    private(set) var deathsBetweenLoops: [Int: Int] = [:]

    init(
        size: Int, leaderWorks: Bool, start: RankSource, binding: Binding,
        wait: Team.Wait = .automatic, check: Team.Check = .off, serverProgram: [String]? = nil,
        caller: Caller = .swift
    ) throws(MusterError) {
        let isChecked = start != .threads && check.isOn
        // A kernel that strays takes its process along: in a checked team the leader waits.
        let leaderWorks = leaderWorks && !isChecked
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
        try TeamCore.refuseInStrayServer(subject, caller)
        var host: UnsafeMutablePointer<muster_topology>?
        let read = muster_topology_recall(&host)
        guard read == 0, let host else {
            throw .system(.system, subject, "can't read this host's topology", status: read)
        }
        defer { muster_topology_destroy(host) }
        let seats = try binding.seats(size: size, on: host)
        var options = muster_team_options()
        options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
        options.size = UInt32(size)
        options.leader_works = leaderWorks ? 1 : 0
        options.usable_cpus = host.pointee.usable_cpu_count
        options.spin_ns = -1
        options.wait = wait.code
        var made: OpaquePointer?
        var shortage = muster_shortage()
        let status = withUnsafeMutablePointer(to: &shortage) {
            options.shortage = $0
            return muster_team_create(&options, &made)
        }
        guard status == 0, let made else {
            throw .system(
                .memory, subject,
                status == -EMFILE ? "can't be made" : "can't make its shared memory",
                status: status, shortage)
        }
        team = made
        job = muster_team_job(made)
        self.size = size
        self.leaderWorks = leaderWorks
        self.start = start
        self.serverProgram = serverProgram
        self.isChecked = isChecked
        self.caller = caller
        self.seats = seats
        homeNodes = seats.map { UInt32($0.homeNode) }
        bindsToNodes = seats.contains { $0.cpu != nil } && Set(homeNodes).count > 1
        hasOneNode = host.pointee.node_count == 1
        let settled = muster_team_settle(team, host, homeNodes)
        guard settled == 0 else {
            throw .system(.memory, subject, "can't be told its nodes", status: settled)
        }
        if start == .server {
            try useServer(cpus: seats.map { $0.cpu.map(UInt32.init) ?? .max })
        }
        try startVacantRanks()
        if leaderWorks {
            ownRank = RankPart(team: team, rank: 0)
            if let cpu = seats[0].cpu { holdsCPU = muster_binding_hold(UInt32(cpu)) == 0 }
        }
    }

    /// Where each rank runs.
    let seats: [Seat]
    /// Home node of each rank: where its memory is to lie.
    let homeNodes: [UInt32]
    /// Whether this thread is bound to rank 0's CPU for as long as the team lasts.
    private var holdsCPU = false
    /// Whether ranks run on their home nodes only.
    let bindsToNodes: Bool
    /// Whether this host has one node, so that all memory is every rank's own.
    let hasOneNode: Bool

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
        if holdsCPU { muster_binding_release() }
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
        if start == .threads { return try startThreads() }
        var rank: UInt32 = 0
        let status = muster_team_spawn_vacant(team, &rank)
        try enter(rank, status)
    }

    private func startThreads() throws(MusterError) {
        for rank in 0..<UInt32(size) where !muster_team_holds(team, rank) {
            let status = muster_team_adopt(team, rank)
            guard status == 0, let thread = startThread(self, rank: rank) else {
                throw .system(.start, "rank \(rank)", "can't start a thread", status: status)
            }
            threads.append(thread)
        }
    }

    /// Gives one vacant rank a process. In the new worker it does not return.
    func startRank(_ rank: UInt32) throws(MusterError) {
        try checkThreads()
        try enter(rank, muster_team_spawn(team, rank))
    }

    /// After a fork: goes on as the leader, or becomes the rank. `status`: as muster_team_spawn has it.
    private func enter(_ rank: UInt32, _ status: Int32) throws(MusterError) {
        if status == 0 { live(rank: rank) }
        guard status > 0 else {
            if let trouble = serverTrouble(rank: Int(rank)) { throw trouble }
            if status == -ENOSYS {
                throw MusterError(
                    .start, subject: "rank \(rank) of \(size)",
                    reason:
                        "can't be watched: pidfd_open is unknown to this kernel (before Linux 5.3) or to "
                        + "what runs this program (valgrind); a team of 1 whose leader works needs no "
                        + "other process", errorNumber: ENOSYS)
            }
            // Also those that have been started by now are needed.
            throw .system(
                .start, "rank \(rank) of \(size)", "can't start a worker", status: status,
                needed: UInt64(size) - UInt64(rank), processes: true)
        }
    }

    var hasLiveRank: Bool {
        (0..<UInt32(size)).contains { muster_team_holds(team, $0) }
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
                        + "ask for \(caller.askForServer), with \(caller.serve) as the first line of "
                        + "main; its ranks see each global variable with its initial value")
            }
        }
    }

    /// A new worker's whole life.
    private func live(rank: UInt32) -> Never {
        isRunning = true  // a worker's copy of the team runs nothing: a kernel that tries traps
        // Best effort: where the system refuses, the rank runs where it may, and placement is read
        // back all the same.
        if let cpu = seats[Int(rank)].cpu {
            _ = muster_binding_enter(UInt32(cpu))
        } else {
            _ = muster_binding_leave_inherited()
        }
        var worker = Worker(core: self, rank: rank)
        worker.run()
        muster_worker_exit()
    }

    /// Lets idle workers go and starts new ones with the same ranks, which know all that the leader
    /// knows now.
    func restartWorkers() throws(MusterError) {
        try checkThreads()
        vacantKnown = true
        muster_team_end(team)
        try startVacantRanks()
        vacantKnown = false
    }

    /// Kernels that every live worker was forked with.
    var knownKernels = 0

    /// Starts ranks that are without a process. Where some can't be started, the others do their work,
    /// and the reason is returned.
    @discardableResult
    func refill() throws(MusterError) -> MusterError? {
        // Asking costs a system call, so not between the jobs of a tight sequence; a worker that dies
        // there is found by the join.
        guard coarseNanoseconds() &- lastSeen > TeamCore.trustNanoseconds || vacantKnown else {
            return nil
        }
        if muster_team_poll(team) > 0 {
            vacantKnown = true
            do throws(MusterError) {
                try startVacantRanks()
            } catch {
                if hasLiveRank { return error }
                throw error
            }
        }
        vacantKnown = false
        return nil
    }

    /// Asks the loop in progress to end early.
    func cancel() { muster_team_cancel(team) }

    /// Whether a rank is known to be without a process.
    var vacantKnown = false

    func writeArguments(
        of work: UnsafeRawBufferPointer, _ entry: KernelEntry,
        to job: UnsafeMutablePointer<muster_job>
    ) throws(MusterError) {
        let size = work.count
        var name: [UInt8] = []
        if case .name(let bytes) = entry.lookup, Int(entry.id) >= knownKernels { name = bytes }
        let nameOffset = ArgumentLayout.name(kernelBytes: size)
        guard nameOffset + name.count <= ArgumentLayout.capacity else {
            throw MusterError(
                .invalidArgument, subject: entry.name,
                reason: "its properties take \(size) bytes, at most "
                    + "\(ArgumentLayout.capacity - ArgumentLayout.kernel - name.count - 16) fit; put "
                    + "large tables into a shared array")
        }
        job.pointee.kernel = entry.id
        job.pointee.argument_bytes = UInt32(size)
        job.pointee.flags = 0
        if case .image = entry.lookup { job.pointee.flags = MUSTER_JOB_KERNEL_IN_IMAGE.rawValue }
        let arguments = UnsafeMutableRawPointer(muster_job_arguments(job)!)
        arguments.storeBytes(of: KernelTable.words(of: entry.type), as: (UInt, UInt).self)
        if case .program(let metadata, let witnesses) = entry.lookup {
            job.pointee.flags = MUSTER_JOB_KERNEL_IN_PROGRAM.rawValue
            arguments.storeBytes(of: (metadata, witnesses), as: (UInt, UInt).self)
        }
        arguments.storeBytes(
            of: UInt32(name.count), toByteOffset: ArgumentLayout.nameLength, as: UInt32.self)
        // A kernel without properties has no bytes, and then may have no address either.
        if let start = work.baseAddress {
            (arguments + ArgumentLayout.kernel).copyMemory(from: start, byteCount: size)
        }
        if !name.isEmpty {
            name.withUnsafeBytes { bytes in
                (arguments + nameOffset).copyMemory(
                    from: bytes.baseAddress!, byteCount: bytes.count)
            }
        }
    }

    /// Waits for the end of the job in the job slot.
    func waitForJob(timeout: Int64) throws(MusterError) -> muster_join {
        let status = muster_team_join(team, timeout)
        if status >= 0 { return muster_join(UInt32(status)) }
        // Workers that nobody can wait for must not go on with a job whose slot is written again.
        muster_team_end(team)
        vacantKnown = true
        throw .system(.system, "team of \(size)", "can't wait for it", status: status)
    }

    /// Deaths that no loop has to do with.
    func forgetDeaths() {
        var count: UInt32 = 0
        let deaths = muster_team_deaths(team, &count)
        for i in 0..<Int(count) { deathsBetweenLoops[Int(deaths![i].phase), default: 0] += 1 }
        muster_team_forget_deaths(team)
    }

    func noteJoin() { lastSeen = coarseNanoseconds() }

    /// From one call for progress to the next.
    static let progressNanoseconds: Int64 = 100_000_000

    /// How long a look at the ranks' processes is good for. By the coarse clock: until its next tick, 1
    /// to 10 ms.
    static let trustNanoseconds: UInt64 = 1_000_000
}

/// CLOCK_MONOTONIC as of the last tick, 1 to 10 ms ago: 6 ns, a quarter of the exact one.
func coarseNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// CLOCK_MONOTONIC.
package func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
