// RecoveryRefusalScenarios.swift - recovery where the system refuses: stopped workers, no descriptors,
// no processes, calls that fail.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

private let count = 2998
private let grain = 10

private struct StopOnce: Kernel {
    let x: SharedArray<Int64>.InPlace
    let doom = Doom.shared
    func process(_ chunk: borrowing Chunk) throws {
        let (index, range) = (chunk.index, chunk.range)
        let middle = (range.lowerBound + range.upperBound) / 2
        x.update(chunk) { x, places in
            for i in x.indices {
                x[i] = changed(x[i], places.lowerBound + i)
                if places.lowerBound + i == middle && doom[index] > 0 {
                    doom[index] -= 1
                    doom[Doom.flag(0)] += 1
                    raise(SIGSTOP)
                }
            }
        }
    }
}

private struct Dawdle: Kernel {
    let microseconds: UInt32
    var first = 0
    func process(_ chunk: borrowing Chunk) throws {
        if chunk.index >= first { usleep(microseconds) }
    }
}

/// Argument: schedule. Workers that stop in a chunk: killed after `stallTimeout`, else waited for.
func edgeStopped(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    try leavingNothing("stopped workers") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        let old = oldContents(count)
        for chunks in [[100], [0, 150, 299]] {
            for chunk in chunks { doom[chunk] = 1 }
            let array = try team.array(old)
            let report = try team.run(
                StopOnce(x: array.inPlace), grain: grain, schedule: schedule,
                recovery: .redo(limit: 9),
                stallTimeout: .milliseconds(150))
            // On a busy machine others may be taken for stalled as well.
            try expectClean(report, nil, deaths: chunks.count...30, "stopped at \(chunks)")
            for chunk in chunks {
                let death = report.deaths.first { $0.chunk == chunk }
                try claim(
                    death?.isStalled == true && death?.signal == Int(SIGKILL), "\(report.deaths)")
            }
            try claimChanged(array, from: old, report, "stopped at \(chunks)")
        }
        // A chunk that stalls each time is quarantined, and the error says why.
        doom.clear()
        doom[42] = 1000
        let array = try team.array(old)
        let error = try refusal("stalls each time") {
            try team.run(
                StopOnce(x: array.inPlace), grain: grain, schedule: schedule,
                recovery: .redo(limit: 2), stallTimeout: .milliseconds(150))
        }
        try claim(equal: error.code, .quarantined, "\(error)")
        try claim(error.report!.quarantined.contains(42), "\(error)")
        try claim(error.description.contains("took too long"), "\(error)")
        try claimChanged(array, from: old, error.report!, "stalls each time")
        // Without a limit they are waited for.
        doom.clear()
        for chunk in [0, 150, 299] { doom[chunk] = 1 }
        let pids = team.processIDs
        team.onProgress = { _ in for pid in pids { kill(pid_t(pid), SIGCONT) } }
        let patient = try team.array(old)
        let report = try team.run(StopOnce(x: patient.inPlace), grain: grain, schedule: schedule)
        team.onProgress = nil
        try expectClean(report, nil, deaths: 0...0, "waited for")
        try claim(equal: doom[Doom.flag(0)] >= 3, true, "stops")
        try claimChanged(patient, from: old, report, "waited for")
        _ = try members(of: team)
    }
}

/// Ranks without work and ranks that get on are not stalled; any duration is a limit.
func edgeNotStalled(_: [String]) throws {
    try leavingNothing("not stalled") {
        let team = try Doom.team(3)
        let pids = team.processIDs
        for schedule in Schedule.allCases {
            // Each works for 1.2 s, at 20 ms a chunk; more ranks than chunks.
            for (chunks, microseconds) in [(180, UInt32(20_000)), (1, 100_000)] {
                let report = try team.run(
                    Dawdle(microseconds: microseconds), count: chunks, grain: 1, schedule: schedule,
                    stallTimeout: .milliseconds(800))
                try expectClean(report, nil, deaths: 0...0, "\(chunks) chunks, \(schedule)")
            }
        }
        // One works for 2 s, at 100 ms a chunk, while the others have ended.
        let report = try team.run(
            Dawdle(microseconds: 100_000, first: 40), count: 60, grain: 1,
            stallTimeout: .milliseconds(800))
        try expectClean(report, nil, deaths: 0...0, "two without work")
        for timeout in [
            Duration.seconds(3600), .seconds(9_223_372_036) + .milliseconds(999),
            .seconds(9_223_372_037), .seconds(Int64.max), .nanoseconds(Int64.max),
        ] {
            let report = try team.run(
                Dawdle(microseconds: 1000), count: 30, grain: 1, stallTimeout: timeout)
            try expectClean(report, nil, deaths: 0...0, "\(timeout)")
        }
        try claim(equal: team.processIDs, pids, "processes")
        // Nothing can be done in no time: an end all the same, and a team that works.
        for timeout in [Duration.zero, .seconds(-1), .nanoseconds(1), .seconds(Int64.min)] {
            do {
                let report = try team.run(
                    Dawdle(microseconds: 20_000), count: 6, grain: 1, stallTimeout: timeout)
                try claim(report.isClean, "\(timeout): \(report)")
            } catch let error as MusterError {
                try claim(
                    error.code == .quarantined || error.code == .workerDied, "\(timeout): \(error)")
            }
            try expectClean(try team.run(AddNothing(), count: 30), nil, deaths: 0...0, "after")
        }
        _ = try members(of: team)
    }
}

private struct AddNothing: Kernel {
    func process(_ chunk: borrowing Chunk) throws {}
}

/// Takes what new processes need, until it is given back.
private struct Shortage {
    let resource: String

    init(_ resource: String) { self.resource = resource }

    /// Before the team. False: can't be had here.
    static func prepare(_ resource: String) -> Bool {
        guard resource == "processes", geteuid() == 0 else { return true }
        // The limit does not bind root, so the scenario becomes somebody who has no process yet.
        return setgid(54_322) == 0 && setuid(54_322) == 0
    }

    func begin() throws {
        if resource == "processes" {
            try limit(__RLIMIT_NPROC, 0)
        } else {
            // Below those that a dead worker leaves free: the lowest free number counts.
            try limit(RLIMIT_NOFILE, 3)
        }
    }

    func end() {
        try? limit(__RLIMIT_NPROC, 1 << 20)
        try? limit(RLIMIT_NOFILE, 1024)
    }
}

/// Arguments: "descriptors" or "processes", kind, schedule. Nobody can be started in a dead one's place.
/// Length: one shortage after the other.
func edgeShortage(_ arguments: [String]) throws {
    let resource = arguments[0]
    let kind = try Kind(arguments, 1)
    let schedule = try schedule(arguments, 2)
    guard Shortage.prepare(resource) else {
        print("skipped: root has no limit on processes, and can't become another user here")
        return
    }
    try leavingNothing("no \(resource)") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        let old = oldContents(count)
        // Chunks that kill: one death; two, of which one may be among the holes that the first left;
        // and one that kills all, until nobody is left.
        for (dying, limit) in [([150: 1], 3), ([10: 1, 20: 1], 3), ([150: 3], 9)] {
            let what = "\(resource), \(kind), \(schedule), \(dying)"
            let isEnd = dying[150] == 3
            let array = try team.array(old)
            let to = try team.array(of: Int64.self, count: count)
            let calm = try team.reduce(RoughDoom(from: array.input), grain: grain)
            doom.clear()
            for (chunk, times) in dying { doom[chunk] = times }
            let shortage = Shortage(resource)
            try shortage.begin()
            var report: AuditReport?
            var failure: MusterError?
            var sum: Double?
            do {
                defer { shortage.end() }
                switch kind {
                case .inPlace, .whole:
                    report = try team.run(
                        Twice(x: array.inPlace), grain: grain, schedule: schedule,
                        recovery: .redo(limit: limit))
                case .outOfPlace:
                    report = try team.run(
                        Copy(from: array.input, to: to.output), grain: grain, schedule: schedule,
                        recovery: .redo(limit: limit))
                case .reduce:
                    let made = try team.reduce(
                        RoughDoom(from: array.input), grain: grain, schedule: schedule,
                        recovery: .redo(limit: limit))
                    (sum, report) = (made.result, made.report)
                }
            } catch let error as MusterError {
                failure = error
                report = error.report
            }
            guard let report else { throw Failure(description: "\(what): \(failure!)") }
            let deaths = dying.values.reduce(0, +)
            try claim(equal: report.deaths.count, deaths, "\(what): \(report)")
            let vacant = Set(report.deaths.map(\.rank)).sorted()
            try claim(equal: vacant.count, deaths, "\(what): \(report)")
            try claim(equal: report.vacantRanks, vacant, "\(what): \(report)")
            if isEnd {
                try claim(equal: failure?.code, .workerDied, "\(what): \(report)")
                let text = failure!.description
                try claim(
                    text.contains("no new worker") && text.contains("ulimit"), "\(what): \(text)")
                try claim(report.missing.contains { $0.contains(150) }, "\(what): \(text)")
            } else {
                try claim(
                    failure == nil && report.isClean, "\(what): \(failure.map { "\($0)" } ?? "")")
            }
            switch kind {
            case .inPlace, .whole: try claimChanged(array, from: old, report, what)
            case .outOfPlace:
                for chunk in 0..<report.chunks
                where !report.missing.contains(where: { $0.contains(chunk) }) {
                    for i in report.elements(ofChunk: chunk) {
                        try claim(equal: to[i], changed(old[i], i), "\(what): element \(i)")
                    }
                }
            case .reduce:
                if let sum { try claim(equal: sum.bitPattern, calm.result.bitPattern, what) }
            }
            // With room again, the ranks have processes again.
            doom.clear()
            let next = try team.run(AddPlace(array: to.inPlace), grain: grain, schedule: schedule)
            try claim(next.isClean && next.vacantRanks.isEmpty, "\(what), afterwards: \(next)")
            _ = try members(of: team)
        }
    }
}

/// A team that has taken the last descriptors can replace its workers all the same.
func edgeFullTable(_: [String]) throws {
    try leavingNothing("no descriptor to spare") {
        let team = try Doom.team(3)
        let old = oldContents(count)
        let array = try team.array(old)
        try limit(RLIMIT_NOFILE, names(in: "/proc/self/fd").count + 3)
        var hoard: [Int32] = []
        while case let copy = dup(0), copy >= 0 { hoard.append(copy) }
        defer { for copy in hoard { close(copy) } }
        for chunk in [0, 150, 299] { Doom.shared[chunk] = 2 }
        let report = try team.run(Twice(x: array.inPlace), grain: grain, schedule: .dynamic)
        for copy in hoard { close(copy) }
        hoard = []
        try limit(RLIMIT_NOFILE, 1024)
        try expectClean(report, nil, deaths: 6...6, "no descriptor to spare")
        try claimChanged(array, from: old, report, "no descriptor to spare")
        _ = try members(of: team)
    }
}

/// A rank that nobody can be started for can't have its own chunk done: named, and done once there is
/// room.
func edgeShortageForRank(_: [String]) throws {
    try leavingNothing("a rank without a process") {
        let team = try Doom.team(3)
        _ = try members(of: team)
        let array = try team.array(of: Int64.self, count: 3)
        for isBefore in [true, false] {
            let shortage = Shortage("descriptors")
            if isBefore {
                let pid = team.processIDs[1]
                kill(pid_t(pid), SIGKILL)
                wait { state(of: pid) == "Z" }
                usleep(3000)
            } else {
                Doom.shared[1] = 1
            }
            try shortage.begin()
            defer { shortage.end() }
            let error = try refusal("rank 1 can't be had") {
                try team.eachRank(Twice(x: array.inPlace))
            }
            shortage.end()
            print(error)
            let report = error.report!
            try claim(equal: report.missing, [1..<2], "\(error)")
            try claim(equal: report.vacantRanks, [1], "\(error)")
            // What failed, on what, why, and what to do about it.
            try claim(
                error.code == .workerDied || error.code == .start,
                "\(error.code.rawValue): \(error)")
            try claim(
                error.description.contains("rank 1") && error.description.contains("ulimit"),
                "\(error)")
            _ = try members(of: team)
        }
    }
}

/// Arguments: kind, errno. A worker dies, and the leader's n-th system call fails, n = 1, 2, ...
/// Length: one fault after the other.
func edgeFault(_ arguments: [String]) throws {
    let kind = try Kind(arguments, 0)
    let code = Int32(try number(arguments, 1))
    let old = oldContents(count)
    var (failures, n) = (0, UInt64(1))
    while true {
        let what = "\(kind), call \(n), error \(code)"
        let delivered = try leavingNothing(what) { () throws -> Bool in
            let team = try Doom.team(3)
            _ = try members(of: team)
            let array = try team.array(old)
            let to = try team.array(of: Int64.self, count: count)
            let calm = try team.reduce(RoughDoom(from: array.input), grain: grain)
            (Doom.shared[30], Doom.shared[150]) = (1, 1)
            var report: AuditReport?
            var sum: Double?
            muster_testing_fail_call(n, code)
            do {
                defer { muster_testing_fail_call(0, 0) }
                switch kind {
                case .inPlace, .whole:
                    report = try team.run(
                        Twice(x: array.inPlace, microseconds: 20), grain: grain, schedule: .dynamic)
                case .outOfPlace:
                    report = try team.run(
                        Copy(from: array.input, to: to.output, microseconds: 20), grain: grain,
                        schedule: .static)
                case .reduce:
                    let made = try team.reduce(
                        RoughDoom(from: array.input, microseconds: 20), grain: grain,
                        schedule: .staticSteal)
                    (sum, report) = (made.result, made.report)
                }
                try claim(report!.isClean, "\(what): \(report!)")
                n = muster_testing_failed() ? n : 0
            } catch let error as MusterError {
                failures += 1
                try claim(
                    !error.description.isEmpty && !error.description.contains("\n"),
                    "\(what): \(error)")
                report = error.report
                try claim(
                    report != nil || error.code != .workerDied, "\(what): no report: \(error)")
            }
            switch kind {
            case .inPlace, .whole:
                if let report {
                    try claimChanged(array, from: old, report, what)
                    break
                }
                // Without a report: each chunk is whole all the same, old or new.
                let new = array.toArray()
                for first in stride(from: 0, to: count, by: grain) {
                    let places = first..<min(first + grain, count)
                    let isOld = places.allSatisfy { new[$0] == old[$0] }
                    let isNew = places.allSatisfy { new[$0] == changed(old[$0], $0) }
                    try claim(
                        isOld || isNew,
                        "\(what): chunk \(first / grain) is neither old nor new")
                }
            case .outOfPlace:
                for i in 0..<count where report?.isClean == true {
                    try claim(equal: to[i], changed(old[i], i), "\(what): element \(i)")
                }
            case .reduce:
                if let sum { try claim(equal: sum.bitPattern, calm.result.bitPattern, what) }
            }
            // Workers that were forked with the failure before them may meet it now, each once.
            Doom.shared.clear()
            for attempt in 0..<6 {
                do {
                    _ = try members(of: team)
                    break
                } catch let error as MusterError {
                    try claim(attempt < 5, "\(what): the team does not recover: \(error)")
                }
            }
            return n > 0
        }
        if !delivered { break }
        n += 1
        try claim(n < 500, "no end of calls")
    }
    print("\(kind), error \(code): \(failures) errors")
}
