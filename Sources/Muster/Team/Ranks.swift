// Ranks.swift - a team's processes: starting them, and what is known of them between two jobs.

internal import Glibc
internal import MusterCore

/// Where a team's ranks come from.
enum RankSource {
    /// Forked from the leader, which must have one thread.
    case fork
    /// Forked by a fork server (ForkServer.swift).
    case server
    /// Threads of this process: for tests under a thread sanitizer only.
    case threads
}

/// The processes of a team. It knows of the team's memory, of seats, and of nothing that a loop is; what a
/// rank does, and how many kernels the leader knows, it is told by ``begin(kernelCount:work:startThread:)``.
final class Ranks {
    let team: OpaquePointer
    let size: Int
    let leaderWorks: Bool
    let start: RankSource
    /// The fork server's program and its arguments; nil: this program.
    let serverProgram: [String]?
    /// Whose words errors use.
    let caller: Caller
    /// Where each rank runs.
    let seats: [Seat]
    // Unchecked: looked at in each loop, where two checks are a tenth of what an empty one costs.
    /// When the ranks were last known to be there: coarseNanoseconds.
    @exclusivity(unchecked) var lastSeen: UInt64 = 0
    /// Whether a rank is known to be without a process.
    @exclusivity(unchecked) var vacantKnown = false
    /// Kernels that every live worker was forked with.
    private(set) var knownKernels = 0
    /// Deaths outside loops, by phase.
    private(set) var deathsBetweenLoops: [Int: Int] = [:]
    private var threads: [pthread_t] = []
    private var kernelCount: () -> Int = { 0 }
    private var work: (UInt32) -> Void = { _ in }
    private var startThread: (UInt32) -> pthread_t? = { _ in nil }

    init(
        team: OpaquePointer, size: Int, leaderWorks: Bool, start: RankSource, seats: [Seat],
        serverProgram: [String]?, caller: Caller
    ) {
        self.team = team
        self.size = size
        self.leaderWorks = leaderWorks
        self.start = start
        self.seats = seats
        self.serverProgram = serverProgram
        self.caller = caller
    }

    /// Starts all ranks. In a worker it does not return.
    ///
    /// - kernelCount: how many kernels the leader knows now: those a rank that is forked has, too.
    /// - work: a rank's whole work, in its process. startThread: the same in a thread of this process.
    func begin(
        kernelCount: @escaping () -> Int, work: @escaping (UInt32) -> Void,
        startThread: @escaping (UInt32) -> pthread_t?
    ) throws(MusterError) {
        self.kernelCount = kernelCount
        self.work = work
        self.startThread = startThread
        try startVacantRanks()
    }

    /// Waits for ranks that are threads, once the team has ended.
    func joinThreads() {
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }

    /// Gives every vacant rank a process. In the new worker it does not return.
    func startVacantRanks() throws(MusterError) {
        try checkThreads()
        let own = leaderWorks ? 1 : 0
        if !(own..<size).contains(where: { muster_team_holds(team, UInt32($0)) }) {
            knownKernels = start == .server ? 0 : kernelCount()
        }
        if start == .threads { return try startThreads() }
        var rank: UInt32 = 0
        let status = muster_team_spawn_vacant(team, &rank)
        try enter(rank, status)
    }

    private func startThreads() throws(MusterError) {
        for rank in 0..<UInt32(size) where !muster_team_holds(team, rank) {
            let status = muster_team_adopt(team, rank)
            guard status == 0, let thread = startThread(rank) else {
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
        // Best effort: where the system refuses, the rank runs where it may, and placement is read
        // back all the same.
        if let cpu = seats[Int(rank)].cpu {
            _ = muster_binding_enter(UInt32(cpu))
        } else {
            _ = muster_binding_leave_inherited()
        }
        work(rank)
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

    /// Starts ranks that are without a process. Where some can't be started, the others do their work,
    /// and the reason is returned.
    @discardableResult
    func refill() throws(MusterError) -> MusterError? {
        // Asking costs a system call, so not between the jobs of a tight sequence; a worker that dies
        // there is found by the join.
        guard coarseNanoseconds() &- lastSeen > Ranks.trustNanoseconds || vacantKnown else {
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

    /// How long a look at the ranks' processes is good for. By the coarse clock: until its next tick, 1
    /// to 10 ms.
    static let trustNanoseconds: UInt64 = 1_000_000
}
