// Storm.swift - loops under fire: workers are killed all the time, and the result must have the bits
// of a serial computation.

internal import MusterCore
internal import Glibc
public import Muster

/// Runs loops while workers are killed and stopped at random instants and at named points, and compares
/// every result, element by element, with the same work done by one process.
public struct Storm {
    /// What a loop does with its array.
    public enum Work: String, CaseIterable, Sendable {
        /// Changes it, journaled.
        case inPlace = "in-place"
        /// Writes another one.
        case outOfPlace = "out-of-place"
        /// Sums it up, in doubles.
        case reduce
    }

    /// When it ends: after so many kills, or so many seconds.
    public enum Limit: Sendable {
        case kills(Int)
        case seconds(Double)
    }

    /// What a worker was at when it was killed.
    public enum State: String, CaseIterable, Sendable {
        case idle, dispatch, claim, kernel, journal, commit, restore
    }

    /// What came of it.
    public struct Outcome: Sendable {
        /// Workers that died.
        public var kills = 0
        /// The same by what they were at.
        public var killsByState: [State: Int] = [:]
        /// Workers that were stopped for some milliseconds and went on.
        public var stops = 0
        /// Chunks done again.
        public var redone = 0
        /// Chunks never done, and done more than once: the audit's word.
        public var lost = 0
        public var doubled = 0
        /// Every element, or sum, had the bits of the serial computation.
        public var bitsEqual = true
        /// Processes, descriptors, mappings and shared memory objects left by the team.
        public var leftovers = 0
        /// From the signal to the end of the chunk's next attempt, microseconds.
        public var recovery: [Double] = []
        /// Loops, and the teams that ran them, one after the other.
        public var rounds = 0
        public var teams = 0
        /// Memory of this process alone after the first team, and after the last one, bytes.
        public var residentBytes: (first: UInt64, last: UInt64) = (0, 0)
        /// All loops together.
        public var audit: AuditReport
        public var elapsed = 0.0
        /// The error that ended it early.
        public var failure: MusterError?

        /// Whether nothing was lost, doubled, changed or left.
        public var isClean: Bool {
            failure == nil && lost == 0 && doubled == 0 && bitsEqual && leftovers == 0
        }
    }

    /// Elements of a chunk: 64 KiB.
    static let grain = 8192
    static let chunks = 256
    /// Loops after which a new team is made.
    static let roundsPerTeam = 50

    /// Where ranks run.
    public var binding: Binding = .spread
    /// Has its loops recorded; nil: they are not.
    public var tracer: Tracer?
    let ranks: Int
    let limit: Limit
    let seed: UInt64
    let work: Work
    let schedule: Schedule
    /// Mean seconds between two blows.
    let meanGap: Double

    /// A storm over a team of `ranks`.
    public init(
        ranks: Int, limit: Limit, seed: UInt64, work: Work, schedule: Schedule,
        meanGap: Double = 0.002
    ) {
        self.ranks = ranks
        self.limit = limit
        self.seed = seed
        self.work = work
        self.schedule = schedule
        self.meanGap = meanGap
    }

    /// Storms. `progress` is called between loops with how far it is, 0...1, and the kills so far;
    /// `shouldEnd` ends it early.
    public func run(
        progress: (Double, Int) -> Void = { _, _ in }, shouldEnd: () -> Bool = { false }
    ) throws(MusterError) -> Outcome {
        let started = nanoseconds()
        let deadline =
            if case .seconds(let wanted) = limit { started + wanted * 1e9 } else {
                Double.infinity
            }
        try MusterError.checkCall("kill", for: "storm", "can't kill workers")
        try MusterError.checkCall("munmap", for: "storm", "can't see whether anything is left over")
        let sky = try Sky()
        defer { sky.give() }
        var outcome = Outcome(
            audit: AuditReport.outsideTeam(chunks: 0, exactlyOnce: 0, processes: ranks))
        let count = Storm.grain * Storm.chunks - Storm.grain / 3
        // What is expected, and as much again for what is looked at.
        try MusterError.checkMemory(UInt64(2 * count * MemoryLayout<UInt64>.size), for: "storm")
        var expected = [UInt64](repeating: 0, count: count)
        var isOver = false
        while !isOver {
            outcome.teams += 1
            let before = Belongings()
            guard let points = StormPoints() else {
                let number = errno
                let call = muster_host_try_call("pipe2") < 0 ? "pipe2" : "fcntl"
                let why = MusterError.why(number, needed: 1, call: call)
                throw stormError("can't make its pipes: \(why)")
            }
            var failure: MusterError?
            do throws(MusterError) {
                try team(sky, points, &expected, &outcome, until: deadline) { outcome, kills in
                    outcome.elapsed = (nanoseconds() - started) / 1e9
                    let fraction =
                        switch limit {
                        case .kills(let wanted): Double(kills) / Double(max(1, wanted))
                        case .seconds(let wanted): outcome.elapsed / max(wanted, 1e-9)
                        }
                    progress(fraction, kills)
                    isOver =
                        fraction >= 1 || outcome.failure != nil || !outcome.bitsEqual || shouldEnd()
                    return isOver
                }
            } catch {
                failure = error
            }
            points.disarm()
            if let failure { throw failure }
            outcome.stops = sky.stops
            let after = Belongings()
            outcome.leftovers += after.beyond(before)
            if outcome.teams == 1 { outcome.residentBytes.first = after.residentBytes }
            outcome.residentBytes.last = after.residentBytes
            isOver = isOver || outcome.leftovers > 0
        }
        return outcome
    }

    /// One team's loops. `isOver` is told the kills so far.
    private func team(
        _ sky: Sky, _ points: StormPoints, _ expected: inout [UInt64], _ outcome: inout Outcome,
        until deadline: Double, isOver: (inout Outcome, Int) -> Bool
    ) throws(MusterError) {
        let team = try Team(size: ranks, binding: binding)
        team.isTraced = true
        for i in expected.indices { expected[i] = mix(UInt64(i), seed, UInt64(outcome.teams)) }
        var arrays = StormArrays(
            x: try team.array(expected), y: try team.array(of: UInt64.self, count: expected.count))
        try tracer?.begin(team)
        let killer = try startKiller(
            of: team, sky, points, number: outcome.teams, until: deadline)
        defer { end(killer, sky) }
        for _ in 0..<Storm.roundsPerTeam {
            outcome.rounds += 1
            let round = UInt64(outcome.rounds)
            sky.state = .working
            do throws(MusterError) {
                let (report, sum) = try blow(team, &arrays, round)
                sky.state = .calm
                note(report, sky, &outcome)
                let isEqual = compare(&expected, arrays, sum, round)
                outcome.bitsEqual = outcome.bitsEqual && isEqual
            } catch {
                sky.state = .calm
                if let report = error.report { note(report, sky, &outcome) }
                outcome.failure = error
            }
            let between = team.deathsBetweenLoops.values.reduce(0, +)
            let kills = outcome.kills + between
            if isOver(&outcome, kills) { break }
        }
        for (phase, count) in team.deathsBetweenLoops { outcome.note(phase, count) }
        try tracer?.end(team, "storm")
    }

    private func blow(
        _ team: borrowing Team, _ arrays: inout StormArrays, _ round: UInt64
    ) throws(MusterError) -> (AuditReport, Double?) {
        // However often a chunk is hit, it is the storm's fault.
        let recovery = Recovery.redo(limit: 1_000_000)
        switch work {
        case .inPlace:
            let kernel = StormInPlace(x: arrays.x.inPlace, round: round)
            let report = try team.run(
                kernel, grain: Storm.grain, schedule: schedule, recovery: recovery)
            return (report, nil)
        case .outOfPlace:
            let kernel = StormOutOfPlace(from: arrays.x.input, to: arrays.y.output, round: round)
            let report = try team.run(
                kernel, grain: Storm.grain, schedule: schedule, recovery: recovery)
            swap(&arrays.x, &arrays.y)
            return (report, nil)
        case .reduce:
            let kernel = StormReduce(from: arrays.x.input, round: round)
            let (sum, report) = try team.reduce(
                kernel, grain: Storm.grain, schedule: schedule, recovery: recovery)
            return (report, sum)
        }
    }

    /// Does the round's work alone, and compares.
    private func compare(
        _ expected: inout [UInt64], _ arrays: borrowing StormArrays, _ sum: Double?,
        _ round: UInt64
    ) -> Bool {
        if let sum {
            var partials: [Double] = []
            for first in stride(from: 0, to: expected.count, by: Storm.grain) {
                let end = min(first + Storm.grain, expected.count)
                partials.append(
                    StormReduce.sum(expected.span.extracting(first..<end), first: first, round))
            }
            let kernel = StormReduce(from: arrays.x.input, round: round)
            let serial = partials.withUnsafeMutableBufferPointer {
                combineTree(kernel, $0.baseAddress!, $0.count)
            }
            return sum.bitPattern == serial.bitPattern
        }
        for i in expected.indices { expected[i] = mix(expected[i], UInt64(i), round) }
        return arrays.x.withSpan { made in
            for i in expected.indices where made[i] != expected[i] { return false }
            return true
        }
    }

    private func note(_ report: AuditReport, _ sky: Sky, _ outcome: inout Outcome) {
        outcome.lost += report.missingCount
        outcome.doubled += report.repeatedCount
        outcome.redone += report.redone
        var counts = report
        counts.deaths = []  // thousands: they are counted by phase
        outcome.audit += counts
        for death in report.deaths {
            outcome.note(death.phase, 1)
            if death.redone > 0, let killed = sky.killed(death.pid), killed < death.redone {
                outcome.recovery.append(Double(death.redone - killed) / 1e3)
            }
        }
    }

    private func startKiller(
        of team: borrowing Team, _ sky: Sky, _ points: StormPoints, number: Int,
        until deadline: Double
    ) throws(MusterError) -> Int32 {
        sky.state = .calm
        let pid = muster_child_start()
        if pid == 0 {
            killWorkers(
                of: team.handle, size: ranks, sky: sky, points: points,
                seed: seed &+ UInt64(number), meanGap: meanGap, until: deadline)
        }
        guard pid > 0 else {
            throw stormError(
                "can't start the killer: \(MusterError.why(-pid, needed: 1, processes: true))")
        }
        return pid
    }

    private func end(_ killer: Int32, _ sky: Sky) {
        sky.state = .ended
        var status: Int32 = 0
        while waitpid(killer, &status, 0) < 0 {
            if errno == EINTR { continue }
            var information = siginfo_t()  // waitpid is refused
            while waitid(P_PID, id_t(killer), &information, WEXITED) < 0 && errno == EINTR {}
            break
        }
    }
}

extension Storm.Outcome {
    fileprivate mutating func note(_ phase: Int, _ count: Int) {
        let state: Storm.State =
            switch muster_phase(UInt32(phase)) {
            case MUSTER_PHASE_DISPATCH: .dispatch
            case MUSTER_PHASE_CLAIM: .claim
            case MUSTER_PHASE_KERNEL: .kernel
            case MUSTER_PHASE_JOURNAL: .journal
            case MUSTER_PHASE_COMMIT: .commit
            case MUSTER_PHASE_RESTORE: .restore
            default: .idle
            }
        killsByState[state, default: 0] += count
        kills += count
    }
}

/// The array that a round reads or changes, and the one that it writes.
private struct StormArrays: ~Copyable {
    var x: SharedArray<UInt64>
    var y: SharedArray<UInt64>
}

private func stormError(_ reason: String) -> MusterError {
    MusterError(.system, subject: "storm", reason: reason, errorNumber: errno)
}

/// What this process has, to be compared before and after.
private struct Belongings {
    var descriptors: Int
    var mappings: Int
    var children: Int
    var residentBytes: UInt64 = 0
    var sharedMemory: Set<String>

    init() {
        descriptors = Belongings.names(in: "/proc/self/fd").count
        mappings = 0
        if let file = fopen("/proc/self/maps", "r") {
            var line = [CChar](repeating: 0, count: 4096)
            while fgets(&line, Int32(line.count), file) != nil {
                if strstr(line, "memfd:muster") != nil { mappings += 1 }
            }
            fclose(file)
        }
        // Size, resident, shared: in pages. What is shared belongs to the team.
        if let file = fopen("/proc/self/statm", "r") {
            var pages: [UInt] = [0, 0, 0]
            pages.withUnsafeMutableBufferPointer { pages in
                let start = pages.baseAddress!
                let places: [any CVarArg] = [start, start + 1, start + 2]
                _ = withVaList(places) { vfscanf(file, "%lu %lu %lu", $0) }
            }
            residentBytes = UInt64(pages[1] - min(pages[1], pages[2])) * UInt64(getpagesize())
            fclose(file)
        }
        children = Belongings.ownChildren()
        // Others' names come and go while a long storm runs.
        sharedMemory = Set(Belongings.names(in: "/dev/shm").filter { $0.contains("muster") })
    }

    /// Children that are forks of this program. In a PID namespace of its own this process may be the first
    /// one, which is given others' orphans; and /proc may be that of another namespace, whose numbers are
    /// other processes'.
    private static func ownChildren() -> Int {
        var link = [CChar](repeating: 0, count: 32)
        let pid = muster_process_id()
        guard readlink("/proc/self", &link, link.count - 1) > 0, atoi(link) == pid else {
            // All that can be asked then: whether there is any.
            var information = siginfo_t()
            return waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) == 0 ? 1 : 0
        }
        let own = status(of: "self")?.name
        return Belongings.names(in: "/proc").count { name in
            guard Int(name) != nil, let status = status(of: name) else { return false }
            return status.parent == pid && status.name == own
        }
    }

    /// What /proc says of a process: PID (NAME) STATE PARENT ...
    private static func status(of process: String) -> (name: [CChar], parent: pid_t)? {
        var stat = [CChar](repeating: 0, count: 1024)
        let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        guard read(file, &stat, stat.count - 1) > 0, let start = stat.firstIndex(of: 40),
            let end = stat.lastIndex(of: 41), start < end
        else { return nil }
        return (Array(stat[start...end]), atoi(Array(stat[(end + 4)...])))
    }

    func beyond(_ before: Belongings) -> Int {
        max(0, descriptors - before.descriptors) + max(0, mappings - before.mappings)
            + max(0, children - before.children)
            + sharedMemory.subtracting(before.sharedMemory).count
    }

    private static func names(in directory: String) -> [String] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var found: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { found.append(name) }
        }
        return found
    }
}
