// NaivePool.swift - a pool that hands tasks to any worker that is free, as Python's
// multiprocessing.Pool does, used by a program that takes a worker's own number for its rank.
//
// Everything a pool does is done: processes are forked and numbered from a counter that the program
// keeps over all its pools, tasks wait in a pipe that all of them read from, a process that may
// take only so many tasks leaves and is replaced by one with the next number. Every process writes
// its own roll, which begins when the process does; the audit reads them all when the last process
// is reaped.
//
// Invariant: when `run` returns or throws, every process it started has been reaped.
//
// Source: multiprocessing/pool.py (Pool._repopulate_pool, worker) and process.py (_process_counter)
// of CPython 3.

internal import MusterCore
internal import Glibc
internal import Muster

/// Memory that the pools of a demo share with their processes: the data, and a roll a process.
final class PoolMemory {
    /// Sections, and tasks of a pool.
    let sections: Int
    /// Elements of a section.
    let sectionElements: Int
    /// Processes that may have a roll.
    let processes: Int
    private let rollBytes: Int
    private let memory: SharedMemory
    private var address: UnsafeMutableRawPointer { memory.start }
    /// Number of the pool that last used it: a roll that a former pool's process left is not read.
    private(set) var job: UInt64 = 0

    init(sections: Int, sectionElements: Int) throws(MusterError) {
        self.sections = sections
        self.sectionElements = sectionElements
        processes = 2 * sections  // one task each: a replacement for everyone who leaves
        rollBytes = Int(muster_roll_bytes(UInt64(sections)))
        memory = try SharedMemory(
            bytes: processes * rollBytes + sections * sectionElements * 8, subject: "pool")
    }

    deinit { memory.release() }

    func roll(_ process: Int) -> UnsafeMutablePointer<muster_roll> {
        (address + process * rollBytes).assumingMemoryBound(to: muster_roll.self)
    }

    /// The elements of a section.
    func values(_ section: Int) -> UnsafeMutableBufferPointer<Double> {
        let start = (address + processes * rollBytes).assumingMemoryBound(to: Double.self)
        return UnsafeMutableBufferPointer(
            start: start + section * sectionElements, count: sectionElements)
    }

    /// Makes ready for a pool.
    func begin() {
        job += 1
        for section in 0..<sections { values(section).update(repeating: 0) }
    }

    /// Audits the rolls of the pool that has just ended, and looks whether the data say the same.
    func audit() throws(MusterError) -> AuditReport {
        let rolls = (0..<processes).map { UnsafePointer(roll($0)) as UnsafePointer<muster_roll>? }
        let (count, capacity) = (UInt64(sections), UInt64(sections))
        var audit = muster_audit()
        var findings = [muster_finding](repeating: muster_finding(), count: sections)
        let found = muster_audit(
            rolls, UInt32(processes), capacity, job, 0, count, &audit, &findings, count)
        guard found >= 0 else {
            throw poolError(.audit, "its rolls can't be audited (\(found))")
        }
        var report = AuditReport.outsideTeam(
            chunks: sections, exactlyOnce: Int(audit.exactly_once), processes: sections)
        report.missingCount = Int(audit.missing)
        report.repeatedCount = Int(audit.repeated)
        for finding in findings.prefix(Int(found)) {
            let range = Int(finding.first)..<Int(finding.end)
            if finding.repeated == 0 {
                report.missing.append(range)
                continue
            }
            var ranks = [UInt32](repeating: 0, count: processes)
            let held = muster_audit_ranks(
                rolls, UInt32(processes), capacity, job, 0, count,
                muster_interval(first: finding.first, end: finding.end), &ranks,
                UInt64(ranks.count))
            report.repeated.append(
                .init(chunks: range, ranks: ranks.prefix(Int(max(0, held))).map(Int.init)))
        }
        try compareData(with: report)
        return report
    }

    /// Every section was added to as often as the audit says, in all its elements.
    private func compareData(with report: AuditReport) throws(MusterError) {
        for section in 0..<sections {
            let times = values(section)[0]
            let isAgreed =
                report.missing.contains { $0.contains(section) }
                ? times == 0
                : report.repeated.contains { $0.chunks.contains(section) }
                    ? times >= 2
                    : times == 1
            guard isAgreed, values(section).allSatisfy({ $0 == times }) else {
                throw poolError(
                    .audit,
                    "section \(section) was worked on \(times) times, which is not what "
                        + "the audit says: \(report)")
            }
        }
    }
}

private func poolError(_ code: MusterError.Code, _ reason: String) -> MusterError {
    MusterError(code, subject: "pool", reason: reason)
}

/// One pool: as many workers as there are sections, as many tasks as workers.
struct NaivePool {
    /// Number of its first worker. A program's first worker has number 1.
    let firstNumber: Int
    /// Tasks after which a worker leaves and is replaced (Python's `maxtasksperchild`); nil: it
    /// stays.
    let tasksPerWorker: Int?

    /// Runs the pool's tasks to their end and audits them.
    func run(in memory: PoolMemory) throws(MusterError) -> AuditReport {
        memory.begin()
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw poolError(.system, "can't make a queue: \(String(cString: strerror(errno)))")
        }
        let queue = (taker: ends[0], giver: ends[1])
        var isOpen = true
        func closeQueue() {
            if isOpen { close(queue.giver) }
            isOpen = false
        }
        var alive: [pid_t] = []
        var started = 0
        defer {
            for pid in alive {
                kill(pid, SIGKILL)
                _ = reap(pid, wait: true)
            }
            closeQueue()
            close(queue.taker)
        }
        func startWorker() throws(MusterError) {
            let pid = muster_child_start()
            if pid == 0 {
                close(queue.giver)  // or nobody would ever see the end of the queue
                work(number: firstNumber + started, process: started, queue.taker, memory)
            }
            guard pid > 0 else {
                throw poolError(
                    .start,
                    "can't start worker \(started + 1) of \(memory.sections) "
                        + "(limits: ulimit -u, pids.max): \(String(cString: strerror(-pid)))")
            }
            started += 1
            alive.append(pid)
        }

        for _ in 0..<memory.sections { try startWorker() }
        for _ in 0..<memory.sections {
            var task: UInt8 = 1
            _ = write(queue.giver, &task, 1)  // at most 4,096 bytes: a pipe always has room
        }
        if tasksPerWorker == nil { closeQueue() }
        var ended = 0
        while !alive.isEmpty {
            let ends = alive.map { reap($0, wait: tasksPerWorker == nil) }
            alive = zip(alive, ends).filter { $0.1 == nil }.map(\.0)
            let statuses = ends.compactMap { $0 }
            if let bad = statuses.first(where: { $0 != 0 }) {
                throw poolError(.workerDied, "a worker died (wait status \(bad))")
            }
            ended += statuses.count
            guard tasksPerWorker != nil else { continue }
            // A worker that leaves before the queue is closed has done its task.
            for _ in statuses where ended < memory.sections { try startWorker() }
            if ended >= memory.sections { closeQueue() }
            if statuses.isEmpty { usleep(100) }
        }
        return try memory.audit()
    }

    /// A worker's life. Runs in its own process.
    private func work(
        number: Int, process: Int, _ queue: Int32, _ memory: PoolMemory
    ) -> Never {
        let sections = UInt64(memory.sections)
        let rank = number - 1  // the mistake: nothing makes this number 0..<size, or the task's
        var writer = muster_roll_writer()
        muster_roll_begin(
            &writer, memory.roll(process), sections, memory.job, UInt32(rank), 0, sections)
        var tasks = 0
        while tasks < tasksPerWorker ?? .max {
            var task: UInt8 = 0
            let got = read(queue, &task, 1)
            if got < 0 && errno == EINTR { continue }
            if got <= 0 { break }
            tasks += 1
            guard rank < memory.sections else { continue }  // beyond the data: nothing to do
            let values = memory.values(rank)
            for i in values.indices { values[i] += 1 }
            muster_roll_commit(&writer, UInt64(rank))
        }
        muster_worker_exit()
    }
}

/// Reaps a child. Returns its wait status; nil: it is still alive.
private func reap(_ pid: pid_t, wait: Bool) -> Int32? {
    var status: Int32 = 0
    while true {
        let reaped = waitpid(pid, &status, wait ? 0 : WNOHANG)
        if reaped == pid { return status }
        if reaped == 0 { return nil }
        if errno != EINTR { return 0 }  // ECHILD: the program ignores SIGCHLD, so it is gone
    }
}
