// AuditReport.swift - what the rolls of all ranks amount to.

package import MusterCore

/// How often each chunk of a loop was committed, read from what the ranks recorded (`struct
/// muster_report`). A team's loops have one, and those of a launched program's members; reports add up.
public struct AuditReport: Sendable, CustomStringConvertible {
    /// Neighbouring chunks that were committed more than once.
    public struct Repeat: Sendable, Hashable {
        /// The chunks.
        public let chunks: Range<Int>
        /// Ranks of the processes that committed any of them, one entry a process: two processes that
        /// both acted as rank 3 give `[3, 3]`.
        public let ranks: [Int]

        package init(chunks: Range<Int>, ranks: [Int]) {
            self.chunks = chunks
            self.ranks = ranks
        }
    }

    /// A worker that died.
    public struct Death: Sendable, Hashable {
        /// The rank it held.
        public let rank: Int
        /// The signal that killed it; 0 when it left by itself.
        public let signal: Int
        /// Its exit status where `signal` is 0.
        public let exitCode: Int
        /// The chunk it was working on; nil: it was between chunks.
        public let chunk: Int?
        /// The number of this attempt at the chunk, from 1.
        public let attempt: Int
        /// Whether the team killed it, because its chunk took longer than the loop's `stallTimeout`.
        public let isStalled: Bool
        /// Where it crashed; nil: it has noted nothing, as with SIGKILL and `exit`.
        public package(set) var fault: Fault?
        /// `enum muster_phase`, of a traced loop.
        package let phase: Int
        /// When the leader saw it, CLOCK_MONOTONIC in nanoseconds.
        package let seen: UInt64
        /// The dead process.
        package let pid: Int
        /// What it had done to the team's memory: "wrote 8 bytes beyond the end of array 2 (x)"; empty:
        /// nothing, or it is not known.
        public let deed: String
        /// When its chunk had been done again, in the same way; 0: unknown.
        package var redone: UInt64 = 0

        /// "rank 3 was killed by signal 9 (SIGKILL)" without the rank.
        package var cause: String {
            if isStalled { return "was killed because its chunk took too long" }
            if signal == 0 { return "left with exit status \(exitCode)" }
            let name = String(cString: muster_signal_name(Int32(signal)))
            return "was killed by signal \(signal) (\(name))"
                + (deed.isEmpty ? "" : " when it \(deed)")
        }
    }

    /// Loops that a death has ended, so that nobody audited them.
    public struct Interruption: Sendable, Hashable {
        /// How many.
        public let loops: Int
        /// Chunks of the last of them.
        public let chunks: Int
        /// Of those chunks, committed by all ranks together.
        public let committed: Int
        /// The rank that was gone; nil: nobody saw which.
        public let rank: Int?
    }

    /// Loops that were audited: 1, or more in a sum.
    public package(set) var loops: Int {
        get { loopCount }
        set { loopCount = newValue }
    }
    @usableFromInline var loopCount = 1
    /// Of them, loops with a chunk that was not committed exactly once.
    public var failedLoops: Int { trouble.failedLoops ?? (isClean ? 0 : 1) }
    /// Chunks that the loop has.
    public var chunks: Int
    /// Of them, committed exactly once.
    public var exactlyOnce: Int
    /// Never committed, by rising number; of many faults the first thousand.
    public var missing: [Range<Int>] {
        get { trouble.missing }
        set { trouble.missing = newValue }
    }
    /// Committed more than once, by rising number; of many faults the first thousand.
    public var repeated: [Repeat] {
        get { trouble.repeated }
        set { trouble.repeated = newValue }
    }
    /// How many workers died during the loop. ``deaths`` names those that a leader has seen; members
    /// know only how many ranks were gone.
    public var deathCount: Int { trouble.deaths.count + trouble.unnamedDeaths }
    /// Chunks of a member's loop that dead ranks had left and survivors have run.
    public package(set) var adopted: Int {
        get { trouble.adopted }
        set { trouble.adopted = newValue }
    }
    /// Chunks of a member's loop that this rank has committed; a leader, which holds no rank, has 0.
    public package(set) var own: Int {
        get { trouble.own }
        set { trouble.own = newValue }
    }
    /// Loops of a launched program that a death has ended: they are in no count of this report.
    public package(set) var interruption: Interruption? {
        get { trouble.interruption }
        set { trouble.interruption = newValue }
    }
    /// Deaths during the loop, in the order seen.
    public var deaths: [Death] {
        get { trouble.deaths }
        set { trouble.deaths = newValue }
    }
    /// Chunks whose worker died and which were then done by another process.
    public package(set) var redone: Int {
        get { trouble.redone }
        set { trouble.redone = newValue }
    }
    /// Chunks left alone because they have killed their worker again and again, by rising number. Their
    /// old contents were put back; they are among ``missing``.
    public package(set) var quarantined: [Int] {
        get { trouble.quarantined }
        set { trouble.quarantined = newValue }
    }
    /// How fork servers have died in the loop, each with all of its ranks: "was killed by signal 9
    /// (SIGKILL)". The ranks are in ``deaths``.
    public package(set) var serverDeaths: [String] {
        get { trouble.serverDeaths }
        set { trouble.serverDeaths = newValue }
    }
    /// Ranks without a process at the loop's end: nobody could be started for them, or, with recovery
    /// `.fail`, nobody was; then without those that died in this loop, which are in ``deaths``.
    public package(set) var vacantRanks: [Int] {
        get { trouble.vacantRanks }
        set { trouble.vacantRanks = newValue }
    }
    /// The chunk whose kernel failed, and the rank that ran it; nil: none failed.
    package var failure: (chunk: Int, rank: Int)? {
        get { trouble.failure }
        set { trouble.failure = newValue }
    }
    /// Ranks of the team.
    public var size: Int
    /// How the chunks were dealt.
    public var schedule: Schedule
    /// Elements a chunk; the last may have fewer.
    public var grain: Int
    /// Elements of the loop.
    public var elements: Int
    /// Whether the loop was asked to end early.
    public var isCancelled = false

    /// A report over rolls that are no team's, to be completed by the caller.
    package static func outsideTeam(chunks: Int, exactlyOnce: Int, processes: Int) -> AuditReport {
        var report = AuditReport(
            chunks: chunks, exactlyOnce: exactlyOnce, size: processes, schedule: .dynamic, grain: 1,
            elements: chunks)
        if chunks == 0 { report.loops = 0 }
        return report
    }

    /// Every chunk exactly once.
    public var isClean: Bool { exactlyOnce == chunks && missing.isEmpty && repeated.isEmpty }

    /// How many chunks were never committed. `missing` names the first thousand runs of them.
    public package(set) var missingCount: Int {
        get { trouble.missingCount }
        set { if newValue != missingCount { trouble.missingCount = newValue } }
    }

    /// How many chunks were committed more than once. `repeated` names the first thousand runs.
    public package(set) var repeatedCount: Int {
        get { trouble.repeatedCount }
        set { if newValue != repeatedCount { trouble.repeatedCount = newValue } }
    }

    init(
        chunks: Int, exactlyOnce: Int, size: Int, schedule: Schedule, grain: Int, elements: Int
    ) {
        self.chunks = chunks
        self.exactlyOnce = exactlyOnce
        self.size = size
        self.schedule = schedule
        self.grain = grain
        self.elements = elements
    }

    /// What few loops have.
    @usableFromInline struct Trouble: Sendable {
        var missing: [Range<Int>] = []
        var repeated: [Repeat] = []
        var deaths: [Death] = []
        var redone = 0
        var failure: (chunk: Int, rank: Int)?
        var quarantined: [Int] = []
        var serverDeaths: [String] = []
        var vacantRanks: [Int] = []
        var missingCount = 0
        var repeatedCount = 0
        var unnamedDeaths = 0
        var adopted = 0
        var own = 0
        var interruption: Interruption?
        /// Of a sum; nil: of one loop, where the chunks tell.
        var failedLoops: Int?
    }

    /// Empty, or the loop's trouble: a report is made and passed on in each of a program's shortest
    /// loops, where seven empty lists took a tenth of the time.
    @usableFromInline var troubles: [Trouble] = []

    private var trouble: Trouble {
        get { troubles.first ?? Trouble() }
        set { troubles = [newValue] }
    }

    /// Two audits as one: of several loops, or of parts of one loop by several teams.
    ///
    /// Counts are added and lists put one behind the other. Chunks keep the numbers that they have in
    /// their loop. The schedule and the grain are those of the first.
    public static func + (first: AuditReport, second: AuditReport) -> AuditReport {
        var both = first
        both += second
        return both
    }

    /// `+`, in place. It copies nothing and is inlined, for benchmarks that add in each of their shortest
    /// loops.
    @inlinable
    public static func += (sum: inout AuditReport, second: AuditReport) {
        // Few loops have any trouble, and a list that is set takes memory.
        if !second.troubles.isEmpty { sum.addTrouble(of: second) }
        sum.loopCount += second.loopCount
        sum.chunks += second.chunks
        sum.exactlyOnce += second.exactlyOnce
        sum.elements += second.elements
        sum.size = max(sum.size, second.size)
        sum.isCancelled = sum.isCancelled || second.isCancelled
    }

    /// Before the counts are added: they tell whether this is one loop that failed.
    @usableFromInline
    mutating func addTrouble(of second: AuditReport) {
        let failed = failedLoops + second.failedLoops
        missing += second.missing
        repeated += second.repeated
        deaths += second.deaths
        redone += second.redone
        quarantined += second.quarantined
        serverDeaths += second.serverDeaths
        vacantRanks = Set(vacantRanks + second.vacantRanks).sorted()
        missingCount += second.missingCount
        repeatedCount += second.repeatedCount
        trouble.failedLoops = failed
        failure = failure ?? second.failure
        trouble.unnamedDeaths += second.trouble.unnamedDeaths
        adopted += second.adopted
        own += second.own
        if let last = second.interruption {
            interruption = Interruption(
                loops: (interruption?.loops ?? 0) + last.loops, chunks: last.chunks,
                committed: last.committed, rank: last.rank)
        }
    }

    /// Elements of a chunk. Precondition: `chunk` is in 0..<chunks.
    public func elements(ofChunk chunk: Int) -> Range<Int> {
        guard chunk >= 0 && chunk < chunks else {
            misuse("no chunk \(chunk): the loop has \(chunks)")
        }
        let first = chunk * grain
        return first..<first + min(grain, elements - first)
    }

    /// One line: "4096 chunks, each exactly once, by 8 ranks", or what is wrong.
    public var description: String {
        let team = size == 1 ? "1 rank" : "\(size) ranks"
        let count = chunks == 1 ? "1 chunk" : "\(chunks) chunks"
        let died = losses
        if isClean {
            return (loops == 1 ? "" : "\(loops) loops, ")
                + (chunks == 1 ? "\(count), exactly once" : "\(count), each exactly once")
                + ", by \(team)\(died)"
        }
        var text =
            (loops == 1 ? "" : "\(failedLoops) of \(loops) loops at fault, ")
            + "\(exactlyOnce) of \(count) exactly once, by \(team)"
        if missingCount > 0 {
            text += "; \(missingCount) missing: " + AuditReport.list(missing, of: missingCount)
        }
        if !quarantined.isEmpty {
            text +=
                "; quarantined: "
                + AuditReport.list(quarantined.map { $0..<$0 + 1 })
        }
        if repeatedCount > 0 {
            let worst = repeated.prefix(3).map { fault in
                let ranks = fault.ranks.prefix(8).map(String.init).joined(separator: " and ")
                return "\(AuditReport.list([fault.chunks])) by rank \(ranks)"
            }
            let named = repeated.prefix(3).reduce(0) { $0 + $1.chunks.count }
            text += "; \(repeatedCount) repeated"
            if !worst.isEmpty { text += ": \(worst.joined(separator: ", "))" }
            if !worst.isEmpty && named < repeatedCount { text += ", ..." }
        }
        return text + died
    }

    /// "; died: rank 3 (signal 9); 1 redone", or nothing.
    private var losses: String {
        let losses = deaths.prefix(4).map { death in
            let cause = death.signal == 0 ? "exit \(death.exitCode)" : "signal \(death.signal)"
            return "rank \(death.rank) (\(cause))"
        }
        let more = deaths.count > 4 ? ", ... (\(deaths.count) deaths)" : ""
        var died = deaths.isEmpty ? "" : "; died: \(losses.joined(separator: ", "))\(more)"
        for end in serverDeaths.prefix(2) { died += "; the fork server \(end)" }
        if deaths.isEmpty && deathCount > 0 {
            died += deathCount == 1 ? "; 1 death" : "; \(deathCount) deaths"
        }
        if redone > 0 { died += "; \(redone) redone" }
        if adopted > 0 { died += "; \(adopted) adopted" }
        if !vacantRanks.isEmpty {
            let ranks = vacantRanks.prefix(8).map(String.init).joined(separator: ", ")
            died += "; vacant: rank \(ranks)\(vacantRanks.count > 8 ? ", ..." : "")"
        }
        return died
    }

    /// "3, 7-9, ...": at most four ranges, of so many chunks; nil: of as many as stand in the ranges.
    static func list(_ ranges: [Range<Int>], of count: Int? = nil) -> String {
        let shown = ranges.prefix(4).map { range in
            range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound - 1)"
        }
        let named = ranges.prefix(4).reduce(0) { $0 + $1.count }
        let hasMore = ranges.count > 4 || named < count ?? 0
        return (shown + (hasMore ? ["..."] : [])).joined(separator: ", ")
    }
}

extension AuditReport {
    /// A report of a member's or a launcher's: numbers, and the first finding.
    package init(_ raw: muster_report) {
        self.init(
            chunks: Int(raw.chunks), exactlyOnce: Int(raw.exactly_once), size: Int(raw.size),
            schedule: Schedule(code: raw.schedule) ?? .static, grain: Int(raw.grain),
            elements: Int(raw.elements))
        loops = Int(raw.loops)
        isCancelled = raw.cancelled != 0
        missingCount = Int(raw.missing)
        repeatedCount = Int(raw.repeated)
        let (first, end) = (Int(raw.first_finding.first), Int(raw.first_finding.end))
        if first < end && raw.first_finding.repeated == 0 { missing = [first..<end] }
        if first < end && raw.first_finding.repeated != 0 {
            let ranks = [raw.first_finding_ranks.0, raw.first_finding_ranks.1]
            repeated = [
                Repeat(chunks: first..<end, ranks: ranks.filter { $0 != .max }.map(Int.init))
            ]
        }
        if raw.redone > 0 { redone = Int(raw.redone) }
        if raw.adopted > 0 { adopted = Int(raw.adopted) }
        if raw.own > 0 { own = Int(raw.own) }
        if raw.death_count > 0 { trouble.unnamedDeaths = Int(raw.death_count) }
        if raw.loops != 1 { trouble.failedLoops = Int(raw.failed) }
        if raw.interrupted > 0 {
            interruption = Interruption(
                loops: Int(raw.interrupted), chunks: Int(raw.interrupted_chunks),
                committed: Int(min(raw.interrupted_committed, raw.interrupted_chunks)),
                rank: raw.interrupted_by == .max ? nil : Int(raw.interrupted_by))
        }
    }

    /// As C has it, without lists.
    var counts: muster_report {
        var one = muster_report()
        one.size_bytes = UInt32(MemoryLayout<muster_report>.size)
        one.size = UInt32(size)
        one.loops = UInt64(loops)
        one.failed = UInt64(failedLoops)
        one.chunks = UInt64(chunks)
        one.exactly_once = UInt64(exactlyOnce)
        one.missing = UInt64(missingCount)
        one.repeated = UInt64(repeatedCount)
        one.redone = UInt64(redone)
        one.adopted = UInt64(adopted)
        one.own = UInt64(own)
        one.elements = UInt64(elements)
        one.grain = UInt64(grain)
        one.schedule = schedule.code
        one.clean = isClean && interruption == nil ? 1 : 0
        one.cancelled = isCancelled ? 1 : 0
        one.interrupted = UInt64(interruption?.loops ?? 0)
        one.interrupted_chunks = UInt64(interruption?.chunks ?? 0)
        one.interrupted_committed = UInt64(interruption?.committed ?? 0)
        one.interrupted_by = interruption?.rank.map { UInt32($0) } ?? .max
        let lowest = missing.first.map(\.lowerBound) ?? .max
        let isMissing = lowest <= repeated.first.map(\.chunks.lowerBound) ?? .max
        let found = isMissing ? missing.first : repeated.first?.chunks
        if let found {
            one.first_finding = muster_finding(
                first: UInt64(found.lowerBound), end: UInt64(found.upperBound),
                repeated: isMissing ? 0 : 1, reserved: 0)
        }
        let ranks = isMissing ? [] : repeated.first?.ranks.prefix(2).map { UInt32($0) } ?? []
        one.first_finding_ranks = (ranks.first ?? .max, ranks.dropFirst().first ?? .max)
        one.failed_chunk = failure.map { UInt64($0.chunk) } ?? .max
        one.failed_rank = failure.map { UInt32($0.rank) } ?? .max
        one.death_count = UInt64(deathCount)
        one.quarantined_count = UInt64(quarantined.count)
        one.vacant_count = UInt64(vacantRanks.count)
        return one
    }
}
