// TeamCore.swift - what a team's leader holds: its processes (Ranks), the job slot, kernels, arrays, and
// what it remembers from one loop to the next.
//
// Team and SharedArray own it together, so that arrays stay readable after the team has ended. In a
// forked worker it is the same object, copied; nothing there ever releases it, since workers leave by
// `_exit`.

internal import MusterCore
internal import Glibc

final class TeamCore {
    let team: OpaquePointer
    /// The team's processes.
    let ranks: Ranks
    /// What ranks are told of the next loop.
    let slot: JobSlot
    let size: Int
    let leaderWorks: Bool
    let start: RankSource
    // Unchecked: looked at in each loop, where two checks are a tenth of what an empty one costs.
    @exclusivity(unchecked) var kernels = KernelTable()
    @exclusivity(unchecked) var arrays = ArrayTable()
    /// Called now and then while the leader waits for a loop.
    var onProgress: ((Progress) -> Void)?
    /// Views of arrays that the leader has open now; a loop meanwhile would race with them.
    var openViews = 0
    private(set) var hasEnded = false
    /// Rank 0, where the leader works.
    var ownRank: RankPart?
    var isRunning = false
    /// The last reduction's room for partial results.
    var spare: PartialRoom?
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
    var caller: Caller { ranks.caller }
    /// Where the chunks of the loop in the job slot leave their partial results; nil: it has none.
    var lastPartials: (place: Extent, bytes: Int)?
    /// The accesses of the loop in the job slot.
    var lastAccesses: [AccessField] = []
    /// The timeline being recorded.
    @exclusivity(unchecked) var recording: Recording?
    /// False in a process that the leader has forked on its own account: it has a copy of this object,
    /// and must leave the team's memory alone.
    var isLeader: Bool { muster_team_leads(team) }

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
        try Ranks.refuseInStrayServer(subject, caller)
        var host: UnsafeMutablePointer<muster_topology>?
        let read = muster_topology_recall(&host)
        guard read == 0, let host else {
            throw .system(.system, subject, "can't read this host's topology", status: read)
        }
        defer { muster_topology_destroy(host) }
        let seats = try binding.seats(size: size, on: host)
        team = try TeamCore.create(size: size, leaderWorks: leaderWorks, wait: wait, on: host)
        slot = JobSlot(job: muster_team_job(team))
        self.size = size
        self.leaderWorks = leaderWorks
        self.start = start
        self.isChecked = isChecked
        ranks = Ranks(
            team: team, size: size, leaderWorks: leaderWorks, start: start, seats: seats,
            serverProgram: serverProgram, caller: caller)
        homeNodes = seats.map { UInt32($0.homeNode) }
        bindsToNodes = seats.contains { $0.cpu != nil } && Set(homeNodes).count > 1
        hasOneNode = host.pointee.node_count == 1
        let settled = muster_team_settle(team, host, homeNodes)
        guard settled == 0 else {
            throw .system(.memory, subject, "can't be told its nodes", status: settled)
        }
        if start == .server {
            try ranks.useServer()
            kernels.isForServer = true
            kernels.isForOtherProgram = serverProgram != nil
        }
        try beginRanks()
        if leaderWorks {
            ownRank = RankPart(team: team, rank: 0)
            if let cpu = seats[0].cpu { holdsCPU = muster_binding_hold(UInt32(cpu)) == 0 }
        }
    }

    /// The team's memory.
    private static func create(
        size: Int, leaderWorks: Bool, wait: Team.Wait,
        on host: UnsafeMutablePointer<muster_topology>
    ) throws(MusterError) -> OpaquePointer {
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
                .memory, "team of \(size)",
                status == -EMFILE ? "can't be made" : "can't make its shared memory",
                status: status, shortage)
        }
        return made
    }

    private func beginRanks() throws(MusterError) {
        try ranks.begin(
            kernelCount: { [unowned self] in kernels.entries.count },
            work: { [unowned self] rank in
                // A worker's copy of the team runs nothing: a kernel that tries traps.
                isRunning = true
                var worker = Worker(core: self, rank: rank)
                worker.run()
            },
            startThread: { [unowned self] in Muster.startThread(self, rank: $0) })
    }

    /// Where each rank runs.
    var seats: [Seat] { ranks.seats }
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
        ranks.joinThreads()
        if holdsCPU { muster_binding_release() }
        ownRank?.end()
        ownRank = nil  // it refers back to this object
        onProgress = nil  // it may, through what it captures
    }

    /// The job slot, in the team's memory.
    var job: UnsafeMutablePointer<muster_job> { slot.job }

    /// Asks the loop in progress to end early.
    func cancel() { muster_team_cancel(team) }

    /// From one call for progress to the next.
    static let progressNanoseconds: Int64 = 100_000_000
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
