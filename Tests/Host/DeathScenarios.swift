// DeathScenarios.swift - a worker dies: at a chunk, at a named point, idle, with all others.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster
import TestSupport

/// Every element of a committed chunk holds its place; committed and missing chunks are all there are.
func claimIntact(
    _ array: borrowing SharedArray<Int64>, _ report: AuditReport, _ what: String
) throws {
    try claim(
        equal: report.exactlyOnce + report.missingCount, report.chunks, "\(what): chunks")
    try claim(report.repeated.isEmpty, "\(what): \(report)")
    // A report lists the first thousand gaps only.
    let listed = report.missing.count < 1000 ? report.chunks : report.missing.last!.upperBound
    for chunk in 0..<listed where !report.missing.contains(where: { $0.contains(chunk) }) {
        for i in report.elements(ofChunk: chunk) {
            try claim(array[i] == Int64(i), "\(what): element \(i) of a chunk that is committed")
        }
    }
}

/// Arguments: fate, schedule, leader. Deaths at the first, a middle and the last chunk.
func deathInChunk(_ arguments: [String]) throws {
    let fate = try Fate(arguments.first ?? "")
    let schedule = try schedule(arguments, 1)
    let leader: Team.Leader = arguments.count > 2 && arguments[2] == "works" ? .works : .waits
    try leavingNothing("deaths") {
        let team = try Team(size: 3, leader: leader)
        var array = try team.array(of: Int64.self, count: 2998)
        // A leader that works must not get the deadly chunk: static and cyclic keep it from that.
        let deadly = leader == .works ? [101, 200, 298] : [0, 1, 150, 298, 299]
        for chunk in deadly {
            let what = "\(fate) at \(chunk), \(schedule)"
            try array.fill(-1)
            let before = team.processIDs
            let error = try refusal(what) {
                try team.run(
                    WriteOrDie(to: array.output, deadly: chunk, fate: fate), grain: 10,
                    schedule: schedule, recovery: .fail)
            }
            let report = error.report!
            try claim(equal: error.code, .workerDied, "\(error)")
            try claim(equal: report.deaths.count, 1, "\(what): deaths")
            let death = report.deaths[0]
            try claim(equal: death.signal, fate.signal, "\(what): signal")
            try claim(equal: death.exitCode, fate == .exit ? 3 : 0, "\(what): exit status")
            try claim(equal: death.chunk, chunk, "\(what): chunk")
            try claim(equal: death.attempt, 1, "\(what): attempt")
            try claim(
                error.description.hasPrefix("rank \(death.rank): ")
                    && error.description.contains("chunk \(chunk) "), "\(error)")
            try claim(
                error.description.contains(
                    fate == .exit ? "exit status 3" : "signal \(fate.signal) (SIG"), "\(error)")
            try claim(report.missing.contains { $0.contains(chunk) }, "\(what): \(report)")
            switch schedule {
            case .static:
                let end = [100, 200, 300][death.rank]
                try claim(equal: report.missing, [chunk..<end], "\(what): missing")
            case .cyclic:
                let rest = stride(from: chunk, to: 300, by: 3).map { $0..<$0 + 1 }
                try claim(equal: report.missing, rest, "\(what): missing")
            case .dynamic, .guided, .staticSteal:
                // What was claimed with it, from the chunk on.
                try claim(equal: report.missing.count, 1, "\(what): \(report.missing)")
                try claim(equal: report.missing[0].lowerBound, chunk, "\(what): missing")
            }
            try claimIntact(array, report, what)
            // The next loop has all ranks; only the dead one has a new process.
            let next = try team.run(
                WriteOrDie(to: array.output, deadly: -1, fate: fate), grain: 10,
                schedule: schedule)
            try claim(next.isClean && next.deaths.isEmpty, "\(what), after: \(next)")
            try claimIntact(array, next, what)
            _ = try members(of: team)
            for rank in 0..<3 {
                try claim(
                    (team.processIDs[rank] == before[rank]) == (rank != death.rank),
                    "\(what): rank \(rank) was \(before[rank]), is \(team.processIDs[rank])")
            }
        }
    }
}

/// Arguments: point, rank, schedule. One worker of three is killed there.
func deathAtPoint(_ arguments: [String]) throws {
    let point = muster_point(UInt32(try number(arguments, 0)))
    let rank = try number(arguments, 1)
    let schedule = try schedule(arguments, 2)
    try leavingNothing("point \(point.rawValue), rank \(rank)") {
        // The array's creation is the first job that a worker sees, the loop the second.
        let nth: UInt64 = point == MUSTER_POINT_JOB_SEEN ? 2 : 1
        muster_testing_arm(point, MUSTER_POINT_KILL, nth, Int64(rank), -1)
        let team = try Team(size: 3)
        // nth 0 disarms: the worker that takes the rank over must not inherit the point.
        muster_testing_arm(point, MUSTER_POINT_KILL, 0, Int64(rank), -1)
        let array = try team.array(of: Int64.self, count: 3000)
        let kernel = WriteOrDie(
            to: array.output, deadly: -1, fate: .kill, microseconds: 100)
        var died: AuditReport?
        do {
            let report = try team.run(
                kernel, grain: 10, schedule: schedule, recovery: .fail)
            try claim(report.isClean, "\(report)")
            died = report
        } catch let error as MusterError {
            try claim(equal: error.code, .workerDied, "\(error)")
            died = error.report
            try claim(error.description.contains("rank \(rank)"), "\(error)")
        }
        let report = died!
        try claimIntact(array, report, "point \(point.rawValue)")
        // Where chunks are stolen, a rank that is late gets none, and does not come to the point.
        let isReached = schedule == .static || !report.deaths.isEmpty
        let chunks = report.deaths.map(\.chunk)
        switch point {
        case MUSTER_POINT_FORKED, MUSTER_POINT_RANK_HELD:
            // It may die before the loop, and is replaced, or in it.
            try claim(report.deaths.count <= 1, "\(report.deaths)")
        case MUSTER_POINT_LOOP_ENDED:
            try claim(equal: report.missingCount, 0, "all was committed before")
            try claim(equal: chunks, [nil], "deaths")
        case MUSTER_POINT_JOB_SEEN where schedule == .staticSteal:
            try claim(equal: chunks, [nil], "deaths")
            try claim(equal: report.missing, [], "its share was not stolen")
        case MUSTER_POINT_JOB_SEEN, MUSTER_POINT_CLAIMED:
            try claim(!isReached || chunks == [nil], "deaths: \(report.deaths)")
            try claim(equal: report.missing.count, isReached ? 1 : 0, "missing")
        default:
            try claim(!isReached || chunks.count == 1, "deaths: \(report.deaths)")
            try claim(equal: report.missing.first?.lowerBound, chunks.first ?? nil, "missing")
        }
        if schedule == .static && report.missingCount > 0 {
            try claim(equal: report.missing, [rank * 100..<rank * 100 + 100], "missing")
        }
        for death in report.deaths {
            try claim(death.rank == rank && death.signal == Int(SIGKILL), "\(death)")
        }
        let next = try team.run(kernel, grain: 10, schedule: schedule)
        try claim(next.isClean && next.deaths.isEmpty, "after: \(next)")
        try claimIntact(array, next, "after")
        _ = try members(of: team)
    }
}

/// A worker that dies between loops is replaced before the next one.
func idleDeath(_: [String]) throws {
    try leavingNothing("idle") {
        let team = try Team(size: 3)
        _ = try members(of: team)
        for rank in 0..<3 {
            let pid = team.processIDs[rank]
            kill(pid_t(pid), SIGKILL)
            wait { state(of: pid) == "Z" }
            letLooksAge()
            _ = try members(of: team)
            try claim(team.processIDs[rank] != pid, "rank \(rank) has no new process")
        }
        // At once after a loop: it is replaced, or the loop says that it died.
        var losses = 0
        for round in 0..<60 {
            try team.run(Nothing(), count: 3, grain: 1)
            kill(pid_t(team.processIDs[round % 3]), SIGKILL)
            do {
                try team.run(Nothing(), count: 3, grain: 1, recovery: .fail)
            } catch let error as MusterError {
                try claim(equal: error.code, .workerDied, "\(error)")
                losses += 1
            }
            try team.run(Nothing(), count: 3, grain: 1)
        }
        print("\(losses) of 60 loops lost a worker")
        _ = try members(of: team)
    }
}

struct DieAll: Kernel {
    func process(_ chunk: borrowing Chunk) throws { raise(SIGKILL) }
}

func allDie(_: [String]) throws {
    try leavingNothing("all die") {
        let team = try Team(size: 3)
        for schedule in Schedule.allCases {
            let error = try refusal("all die") {
                try team.run(
                    DieAll(), count: 300, grain: 1, schedule: schedule, recovery: .fail)
            }
            try claim(equal: error.code, .workerDied, "\(error)")
            try claim(equal: Set(error.report!.deaths.map(\.rank)), [0, 1, 2], "ranks")
            try claim(equal: error.report!.exactlyOnce, 0, "chunks")
            _ = try members(of: team)
        }
        for pid in team.processIDs { kill(pid_t(pid), SIGKILL) }
        usleep(3000)
        var array = try team.array(of: Int64.self, count: 100_000)
        try array.fill(4)
        try claim(array.toArray().allSatisfy { $0 == 4 }, "an array made by nobody")
        _ = try members(of: team)
    }
}

/// Killed when it has seen the job that commits an array: the leader does its share.
func deathInCreation(_: [String]) throws {
    for rank in 0..<3 {
        try leavingNothing("creation, rank \(rank)") {
            muster_testing_arm(MUSTER_POINT_JOB_SEEN, MUSTER_POINT_KILL, 1, Int64(rank), -1)
            let team = try Team(size: 3)
            muster_testing_arm(MUSTER_POINT_JOB_SEEN, MUSTER_POINT_KILL, 0, Int64(rank), -1)
            let array = try team.array(of: Int64.self, count: 500_000)
            try claim(array.toArray().allSatisfy { $0 == 0 }, "not zero")
            try claim(equal: try array.residency().absentBytes, 0, "bytes not committed")
            // At once: the vacant rank must be known.
            let report = try team.run(AddPlace(array: array.inPlace))
            try claim(report.isClean && report.deaths.isEmpty, "\(report)")
            _ = try members(of: team)
        }
    }
}

/// The same where the job commits a reduction's partial results, straight after another loop.
func deathInReduce(_: [String]) throws {
    for rank in 0..<3 {
        try leavingNothing("partials, rank \(rank)") {
            // Jobs: the array, its first loop, the partial results.
            muster_testing_arm(MUSTER_POINT_JOB_SEEN, MUSTER_POINT_KILL, 3, Int64(rank), -1)
            let team = try Team(size: 3)
            muster_testing_arm(MUSTER_POINT_JOB_SEEN, MUSTER_POINT_KILL, 0, Int64(rank), -1)
            let array = try team.array(of: Int64.self, count: 3000)
            try team.run(AddPlace(array: array.inPlace))
            let sum = try team.reduce(Compose(array: array.input))
            try claim(sum.report.isClean, "\(sum.report)")
            _ = try members(of: team)
        }
    }
}

/// More gaps than a report lists: the counts must still be whole.
func manyMissing(_: [String]) throws {
    let team = try Team(size: 3)
    let array = try team.array(of: Int64.self, count: 30_000)
    let error = try refusal("many gaps") {
        try team.run(
            WriteOrDie(to: array.output, deadly: 1, fate: .kill), grain: 1, schedule: .cyclic,
            recovery: .fail)
    }
    let report = error.report!
    try claim(equal: report.exactlyOnce, 20_000, "exactly once")
    try claim(equal: report.missingCount, 10_000, "missing: \(error)")
    try claim(error.description.contains("10000 of 30000 chunks are missing"), "\(error)")
}

struct StopAt: Kernel {
    let to: SharedArray<Int64>.Output
    let every: Int
    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        let stops = chunk.index % every == 0
        to.write(chunk) { to in
            for i in to.indices {
                if stops && i == 1 { raise(SIGSTOP) }
                to[i] = Int64(range.lowerBound + i)
            }
        }
    }
}

/// Stopped workers are waited for, and go on.
func stoppedWorkers(_: [String]) throws {
    try leavingNothing("stopped") {
        let team = try Team(size: 3)
        var array = try team.array(of: Int64.self, count: 600)
        for schedule in Schedule.allCases {
            try array.fill(-1)
            let pids = team.processIDs
            team.onProgress = { _ in for pid in pids { kill(pid_t(pid), SIGCONT) } }
            let report = try team.run(
                StopAt(to: array.output, every: 29), grain: 10, schedule: schedule)
            team.onProgress = nil
            try claim(report.isClean && report.deaths.isEmpty, "\(report)")
            try claimIntact(array, report, "\(schedule)")
            try claim(equal: team.processIDs, pids, "processes")
        }
        // A worker that is stopped when the team ends is not waited for.
        kill(pid_t(team.processIDs[1]), SIGSTOP)
        wait { state(of: team.processIDs[1]) == "T" }
    }
}

/// Many deaths in a row, at random chunks, in changing loops: every count right each time.
func deathStorm(_ arguments: [String]) throws {
    var random = Seeded(UInt64(try number(arguments, 0)))
    try leavingNothing("a storm") {
        let team = try Team(size: 4)
        var array = try team.array(of: Int64.self, count: 5000)
        var deaths = 0
        for _ in 0..<60 {
            let schedule = Schedule.allCases[Int(random.next() % 5)]
            let grain = Int(random.next() % 40) + 1
            let deadly = Int(random.next() % UInt64(5000 / grain + 20))
            try array.fill(-1)
            let kernel = WriteOrDie(to: array.output, deadly: deadly, fate: .kill)
            do {
                let report = try team.run(
                    kernel, grain: grain, schedule: schedule, recovery: .fail)
                try claim(report.isClean && deadly >= report.chunks, "\(report)")
                try claimIntact(array, report, "\(schedule)")
            } catch let error as MusterError {
                try claim(equal: error.code, .workerDied, "\(error)")
                try claim(equal: error.report!.deaths[0].chunk, deadly, "\(error)")
                try claimIntact(array, error.report!, "\(schedule)")
                deaths += 1
            }
        }
        try claim(deaths > 20, "only \(deaths) deaths")
        _ = try members(of: team)
    }
}
