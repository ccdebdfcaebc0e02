// Team.swift - what users see of a team.

internal import MusterCore

/// A team of processes that run loops over shared arrays together.
///
/// Every worker has a rank: ranks are exactly 0..<size, each held by one live process; a new team
/// begins at 0 again. The workers are started when the team is made, wait for loops, and end when the
/// team does, however that comes about.
///
/// ```swift
/// let team = try Team(size: 8)
/// let x = try team.array(of: Double.self, count: 1 << 28)
/// let report = try team.run(Scale(factor: 2, x: x.inPlace), schedule: .staticSteal)
/// print(report)                            // 4096 chunks, each exactly once, by 8 ranks
/// ```
///
/// A team and its arrays belong to the thread that made them.
public struct Team: ~Copyable {
    /// What the process that makes a team does in its loops.
    public enum Leader: Sendable {
        /// It waits: every rank is a process of its own, and no kernel can take the leader down.
        case waits
        /// It is rank 0: the fastest dispatch; a kernel that crashes there takes the program along.
        case works
    }

    /// What a process of the team does until what it waits for has happened. After a fraction of a
    /// millisecond it sleeps in each case: an idle team costs nothing.
    public enum Wait: Sendable, CaseIterable {
        /// It spins if every process of the team can have a CPU of its own; otherwise it yields.
        case automatic
        /// It looks again and again: quickest, and keeps the CPU from others.
        case spin
        /// It lets other processes run between looks.
        case yield
        /// It sleeps at once, and has to be woken: for CPUs that have other things to do.
        case sleep
    }

    let core: TeamCore
    /// Number of ranks.
    public let size: Int

    /// Starts a team.
    ///
    /// - Parameters:
    ///   - size: Number of ranks, 1...4096. More ranks than CPUs work, more slowly.
    ///   - leader: Whether this process is rank 0.
    ///   - binding: Where the ranks run. A leader that works is bound for the team's life; one that
    ///     waits is left alone. Where the system refuses, ranks run where it lets them.
    ///   - start: How the other ranks become processes. It decides what kernels see of this program's
    ///     variables.
    ///   - wait: What processes do that wait: for a loop, or for the end of one.
    ///   - check: Whether a kernel can touch only the chunk that it has claimed. In a team that is
    ///     checked, the leader waits, for any `leader`.
    /// - Throws: `.threads` when workers are to be forked and this process has more than one thread,
    ///   `.invalidArgument`, `.memory`, `.start`, `.serverDied`; `.system` if this host can't be read.
    public init(
        size: Int, leader: Leader = .waits, binding: Binding = .spread, start: Start = .fork,
        wait: Wait = .automatic, check: Check = .automatic
    ) throws(MusterError) {
        try self.init(
            size: size, leader: leader, binding: binding, start: start, wait: wait, check: check,
            serverProgram: nil, caller: .swift)
    }

    /// For leaders in C too, whose errors have words of their own, and whose fork server may be another
    /// program than this one.
    init(
        size: Int, leader: Leader, binding: Binding, start: Start, wait: Wait, check: Check,
        serverProgram: [String]?, caller: Caller
    ) throws(MusterError) {
        core = try TeamCore(
            size: size, leaderWorks: leader == .works, start: start.source, binding: binding,
            wait: wait, check: check, serverProgram: serverProgram, caller: caller)
        self.size = size
    }

    /// For tests under a thread sanitizer: ranks are threads of this process.
    package init(threads size: Int, leader: Leader = .waits) throws(MusterError) {
        core = try TeamCore(
            size: size, leaderWorks: leader == .works, start: .threads, binding: .none)
        self.size = size
    }

    deinit { core.end() }

    /// The CPU and home node of each rank.
    public var seats: [Seat] { core.seats }

    /// `struct muster_team *`, for storms and benchmarks.
    package var handle: OpaquePointer { core.team }

    /// Whether workers keep the phase that they are in, and outputs are poisoned always.
    package var isTraced: Bool {
        get { core.isTraced }
        nonmutating set { core.isTraced = newValue }
    }

    /// Deaths that were seen between loops, by phase (`enum muster_phase`).
    package var deathsBetweenLoops: [Int: Int] { core.ranks.deathsBetweenLoops }

    /// Process ids by rank; 0: vacant.
    public var processIDs: [Int] {
        (0..<UInt32(size)).map { Int(muster_team_process(core.team, $0)) }
    }

    /// Called about ten times a second while the leader waits for a loop; nil: never. Only for loops
    /// that are still running when the leader has nothing else to do.
    public var onProgress: ((Progress) -> Void)? {
        get { core.onProgress }
        nonmutating set { core.onProgress = newValue }
    }

    /// Runs a kernel over the elements of a loop, each chunk exactly once.
    ///
    /// - Parameters:
    ///   - kernel: The work.
    ///   - count: Indices of the loop: elements, or rows where accesses are to rows. Without it: the length
    ///     of the arrays that the kernel writes, or of those it reads when it writes none; they must
    ///     agree. With it each array that is written must have it (``SharedArray/prefix(_:)`` for a part),
    ///     or, where none is written, one that is read and no ``SharedArray/Gather``.
    ///   - grain: Indices a chunk. Without it a power of two up to 65,536, and to 512 KiB, that depends on
    ///     `count` and the bytes of an index only.
    ///   - schedule: How chunks are dealt.
    ///   - recovery: What happens when a worker dies. A leader that works sees deaths only when it has
    ///     done its own part.
    ///   - stallTimeout: Longest that a chunk may take: its worker is then killed, and that counts as any
    ///     death. nil: no limit. Not for a leader that works.
    /// - Returns: The audit: every chunk exactly once. Workers that have died on the way are in
    ///   ``AuditReport/deaths``.
    /// - Throws: When any chunk was not, with the report in the error: `.kernelThrew` (in-place
    ///   arrays then have that chunk's old contents), `.strayAccess` (in check mode),
    ///   `.quarantined`, `.serverDied`, `.cancelled`, `.fileShrank`, `.kernelUnknown`, `.audit`.
    ///   `.workerDied` comes with ``Recovery/fail``, or if no rank is left and none can be started.
    ///   Before the loop: `.invalidArgument`, `.kernelUnknown` if a fork server's ranks can't know
    ///   the kernel, `.memory` if there is not enough for the journals. `.start` and `.threads` come
    ///   if no rank is left and none can be started, `.system` if a system call fails.
    @discardableResult
    @inlinable
    public func run<Work: Kernel>(
        _ kernel: Work, count: Int? = nil, grain: Int? = nil, schedule: Schedule = .static,
        recovery: Recovery = .redo(), stallTimeout: Duration? = nil
    ) throws(MusterError) -> AuditReport {
        try run(
            kernel,
            LoopPlan(
                count: count, grain: grain, schedule: schedule, recovery: recovery,
                stallTimeout: stallTimeout))
    }

    /// Runs a kernel once in each rank: chunk r, of one element, goes to rank r. The oldest way to share
    /// out work.
    ///
    /// - Throws: As ``run(_:count:grain:schedule:recovery:stallTimeout:)``.
    @discardableResult
    @inlinable
    public func eachRank<Work: Kernel>(
        _ kernel: Work, recovery: Recovery = .redo(), stallTimeout: Duration? = nil
    ) throws(MusterError) -> AuditReport {
        try run(
            kernel,
            LoopPlan(
                count: size, grain: 1, schedule: .static, recovery: recovery,
                stallTimeout: stallTimeout, isByRank: true))
    }

    /// In the caller's module, where the kernel's type is known: copying a value of a type that isn't,
    /// and asking it for its size, took as long as dispatching it.
    @inlinable
    func run<Work: Kernel>(_ kernel: Work, _ plan: LoopPlan) throws(MusterError) -> AuditReport {
        // Not withUnsafeBytes: of a value without bytes it is given no count to go by, once inlined.
        let isRun = try withUnsafePointer(to: kernel) { start throws(MusterError) in
            try runAgain(Work.self, start, MemoryLayout<Work>.size, plan)
        }
        return isRun ? takeReport() : try runAnew(kernel, plan)
    }

    @usableFromInline
    func runAgain(
        _ type: any _Work.Type, _ kernel: UnsafeRawPointer, _ size: Int, _ plan: LoopPlan
    ) throws(MusterError) -> Bool {
        try core.runAgain(type, kernel, size, plan)
    }

    @usableFromInline
    func takeReport() -> AuditReport { core.takeReport() }

    @usableFromInline
    func runAnew<Work: Kernel>(_ kernel: Work, _ plan: LoopPlan) throws(MusterError) -> AuditReport
    {
        try core.run(kernel, plan)
    }

    /// Runs a reduction: the same bits for any team size and schedule.
    ///
    /// Parameters as for ``run(_:count:grain:schedule:recovery:stallTimeout:)``. A grain that is not given grows where partial
    /// results would take more than 1 MiB and a sixteenth of one byte an element; one that is given is kept.
    ///
    /// - Throws: As ``run(_:count:grain:schedule:recovery:stallTimeout:)``, and `.memory` if there is not
    ///   enough for the partial results.
    public func reduce<Work: Reduction>(
        _ reduction: Work, count: Int? = nil, grain: Int? = nil, schedule: Schedule = .static,
        recovery: Recovery = .redo(), stallTimeout: Duration? = nil
    ) throws(MusterError) -> (result: Work.Partial, report: AuditReport) {
        var result = reduction.identity
        let report = try core.run(
            reduction,
            LoopPlan(
                count: count, grain: grain, schedule: schedule, recovery: recovery,
                stallTimeout: stallTimeout),
            partialBytes: MemoryLayout<Work.Partial>.stride
        ) { partials, chunks in
            result = combineTree(
                reduction, partials.assumingMemoryBound(to: Work.Partial.self), chunks)
        }
        return (result, report)
    }

    /// Asks the loop in progress to end: ranks finish the chunk they are at. `run` then throws
    /// `.cancelled`. In ``onProgress`` use ``Progress/cancel()``: a closure that captures the team and is
    /// kept by it would keep both alive for ever.
    public func cancel() { core.cancel() }

    /// A handle that can cancel this team's loops from a signal handler or another thread. Valid as long
    /// as the team.
    public var cancellation: Cancellation { Cancellation(team: core.team) }
}

/// Cancels a team's loop from anywhere.
public struct Cancellation: @unchecked Sendable {
    let team: OpaquePointer

    /// Asks the loop in progress to end. Async-signal-safe; nothing happens when none is running.
    public func cancel() { muster_team_cancel(team) }
}

/// Combines partials in the fixed tree. They are overwritten on the way.
package func combineTree<Work: Reduction>(
    _ reduction: Work, _ partials: UnsafeMutablePointer<Work.Partial>, _ count: Int
) -> Work.Partial {
    guard count > 0 else { return reduction.identity }
    walkTree(count) { left, right in
        partials[left] = reduction.combine(partials[left], partials[right])
    }
    return partials[0]
}

/// Walks the tree of partial results over the numbers 0..<count (`muster_tree_walk`): `join` is told to put
/// two neighbouring subtrees, each named by its leftmost number, together under the left one's.
func walkTree(_ count: Int, _ join: (_ left: Int, _ right: Int) -> Void) {
    withoutActuallyEscaping(join) { join in
        withUnsafePointer(to: join) {
            muster_tree_walk(
                UInt64(count),
                { left, right, join in
                    let join = join!.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee
                    join(Int(left), Int(right))
                }, UnsafeMutableRawPointer(mutating: $0))
        }
    }
}
