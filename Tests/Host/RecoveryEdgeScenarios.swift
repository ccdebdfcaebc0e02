// RecoveryEdgeScenarios.swift - deaths together with whatever else can happen to a loop: throws,
// cancels, other deaths, a leader that works, odd elements, files, kernels that cheat.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

private let count = 2998  // 300 chunks of 10, the last of 8
private let grain = 10

/// Argument: schedule. The other ranks of a leader that works die, each up to twice.
func edgeLeaderWorks(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    let isDealt = schedule == .static || schedule == .cyclic
    try leavingNothing("the leader works") {
        let team = try Doom.team(3, leader: .works)
        let doom = Doom.shared
        let old = oldContents(count)
        var total = 0
        func owe() { (doom[Doom.rank(1)], doom[Doom.rank(2)]) = (2, 1) }
        func check(_ report: AuditReport, _ what: String) throws {
            let owed = doom[Doom.rank(1)] + doom[Doom.rank(2)]
            try expectClean(report, nil, deaths: 3 - owed...3 - owed, "\(what), \(schedule)")
            try claim(!isDealt || owed == 0, "\(what): \(owed) deaths did not come about")
            for death in report.deaths {
                try claim(death.rank > 0 && death.signal == Int(SIGKILL), "\(what): \(death)")
            }
            total += report.deaths.count
        }
        for _ in 0..<2 {
            let array = try team.array(old)
            owe()
            let report = try team.run(
                Twice(x: array.inPlace, isByRank: true, microseconds: 200), grain: grain,
                schedule: schedule)
            try check(report, "in place")
            try claimChanged(array, from: old, report, "in place, \(schedule)")
            owe()
            let to = try team.array(of: Int64.self, count: count)
            let from = try team.array(old)
            let copied = try team.run(
                Copy(from: from.input, to: to.output, isByRank: true, microseconds: 200),
                grain: grain, schedule: schedule)
            try check(copied, "out of place")
            for i in 0..<count { try claim(equal: to[i], changed(old[i], i), "element \(i)") }
            owe()
            let sum = try team.reduce(
                RoughDoom(from: from.input, isByRank: true, microseconds: 200), grain: grain,
                schedule: schedule)
            try check(sum.report, "reduction")
            doom.clear()
            let calm = try team.reduce(RoughDoom(from: from.input), grain: grain)
            try claim(equal: sum.result.bitPattern, calm.result.bitPattern, "bits")
        }
        try claim(total > 0, "nobody died")
        try claim(equal: team.processIDs[0], Int(getpid()), "rank 0")
        _ = try members(of: team)
    }
}

private struct Clash: Kernel {
    static let begun = Doom.flag(0)
    static let dead = Doom.flag(1)
    static let acted = Doom.flag(2)
    let x: SharedArray<Int64>.InPlace
    let deadly: Int
    let other: Int
    let cancels: Bool
    let deathFirst: Bool
    let doom = Doom.shared

    func process(_ chunk: borrowing Chunk) throws {
        let (index, range) = (chunk.index, chunk.range)
        let middle = (range.lowerBound + range.upperBound) / 2
        try x.update(chunk) { x, places in
            for i in x.indices {
                if places.lowerBound + i == middle && index == deadly && doom[deadly] > 0 {
                    doom[Clash.begun] = 1
                    if !deathFirst {
                        doom.wait(for: Clash.acted)
                        usleep(20_000)
                    }
                    doom[Clash.dead] = 1
                    doom.pay(deadly)
                }
                if places.lowerBound + i == middle && index == other {
                    doom.wait(for: deathFirst ? Clash.dead : Clash.begun)
                    doom[Clash.acted] = 1
                    if !cancels { throw Refuses() }
                }
                x[i] = changed(x[i], places.lowerBound + i)
            }
        }
        if index == other && cancels { chunk.cancelLoop() }
    }
}

/// Arguments: schedule, "throw" or "cancel". A death before and after that, in other chunks and the same.
func edgeClash(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    let cancels = arguments[1] == "cancel"
    try leavingNothing("a death and a \(arguments[1])") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        let old = oldContents(count)
        for recovery in [Recovery.redo(), .redo(limit: 2), .fail] {
            for (deadly, other) in [(0, 1), (0, 150), (140, 290), (77, 77)] {
                for deathFirst in [true, false] where deathFirst || deadly != other {
                    let what = "\(schedule), \(recovery): \(deadly), \(other), \(deathFirst)"
                    let array = try team.array(old)
                    doom.clear()
                    doom[deadly] = 1
                    var ended: AuditReport?
                    let error: MusterError
                    do {
                        error = try refusal(what) {
                            ended = try team.run(
                                Clash(
                                    x: array.inPlace, deadly: deadly, other: other,
                                    cancels: cancels, deathFirst: deathFirst), grain: grain,
                                schedule: schedule, recovery: recovery)
                        }
                    } catch {
                        // A cancel that comes when all else is done has nothing to end.
                        guard cancels, let ended else { throw error }
                        try expectClean(ended, nil, deaths: 1...1, what)
                        try claimChanged(array, from: old, ended, what)
                        continue
                    }
                    let report = error.report!
                    try claim(equal: report.deaths.map(\.chunk), [deadly], "\(what): \(error)")
                    guard recovery != .fail else {
                        // What was lost first is what counts; half-written chunks may be left.
                        try claim(
                            error.code == .workerDied || error.code == .kernelThrew, "\(error)")
                        continue
                    }
                    try claim(
                        equal: error.code, cancels ? .cancelled : .kernelThrew, "\(what): \(error)")
                    if !cancels {
                        try claim(
                            error.description.hasPrefix(
                                "chunk \(other) (elements \(report.elements(ofChunk: other)))"),
                            "\(error)")
                        try claim(report.missing.contains { $0.contains(other) }, "\(error)")
                    }
                    try claim(report.quarantined.isEmpty, "\(error)")
                    try claimChanged(array, from: old, report, what)
                }
            }
            _ = try members(of: team)
        }
    }
}

private struct Together: Kernel {
    let x: SharedArray<Int64>.InPlace
    let deadly: Int
    let doom = Doom.shared

    func process(_ chunk: borrowing Chunk) throws {
        let index = chunk.index
        let owes = doom[index] > 0
        x.update(chunk) { x, places in
            for i in x.indices {
                if owes && i == x.count / 2 {
                    // All at once, as far as they are different ranks'.
                    doom[Doom.rank(index)] = 1
                    for _ in 0..<300 {
                        let here = (0..<300).count { doom[Doom.rank($0)] > 0 }
                        if here >= deadly { break }
                        usleep(200)
                    }
                    doom.pay(index)
                }
                x[i] = changed(x[i], places.lowerBound + i)
            }
        }
    }
}

/// Argument: schedule. Two and all of three ranks kill themselves in one loop, once and twice.
func edgeManyDeaths(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    try leavingNothing("many deaths") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        let old = oldContents(count)
        for (chunks, times) in [
            ([10, 210], 1), ([10, 110, 210], 1), ([0, 1, 2], 1), ([99, 199, 299], 2),
            ([0, 149, 298, 299], 2),
        ] {
            let what = "\(chunks), \(times) times, \(schedule)"
            let array = try team.array(old)
            doom.clear()
            for chunk in chunks { doom[chunk] = times }
            let report = try team.run(
                Together(x: array.inPlace, deadly: chunks.count), grain: grain, schedule: schedule)
            let expected = chunks.count * times
            try expectClean(report, nil, deaths: expected...expected, what)
            for chunk in chunks {
                let deaths = report.deaths.filter { $0.chunk == chunk }
                try claim(equal: deaths.map(\.attempt), Array(1...times), "\(what): attempts")
            }
            if schedule == .static || schedule == .cyclic {
                let owners = chunks.map { schedule == .static ? $0 / 100 : $0 % 3 }
                try claim(
                    equal: Set(report.deaths.map(\.rank)), Set(owners), "\(what): ranks")
            }
            try claimChanged(array, from: old, report, what)
        }
        _ = try members(of: team)
    }
}

/// Argument: schedule. The leader kills all workers while it waits, again and again.
func edgeAllKilled(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    try leavingNothing("all killed from outside") {
        let team = try Doom.team(3)
        let old = oldContents(1200)
        let array = try team.array(old)
        var rounds = 0
        team.onProgress = { [handle = team.handle] _ in
            guard rounds < 3 else { return }
            rounds += 1
            for rank in 0..<UInt32(3) {
                let pid = muster_team_process(handle, rank)
                if pid > 0 { kill(pid, SIGKILL) }
            }
        }
        // 3.6 s of work for three ranks.
        let report = try team.run(
            Twice(x: array.inPlace, microseconds: 30_000), grain: 10, schedule: schedule)
        team.onProgress = nil
        try claim(equal: rounds, 3, "rounds")
        // A rank that has done its part by then is not missed in this loop.
        try expectClean(report, nil, deaths: 3...9, "\(schedule)")
        try claimChanged(array, from: old, report, "\(schedule)")
        _ = try members(of: team)
    }
}

private struct OncePerRank: Kernel {
    let members: SharedArray<Member>.InPlace
    let doom = Doom.shared
    func process(_ chunk: borrowing Chunk) throws {
        let (rank, size) = (Int32(chunk.rank), Int32(chunk.size))
        members.update(chunk) { values in
            values[0].times += 1
            doom.pay(Int(rank))
            values[0] = Member(rank: rank, size: size, pid: getpid(), times: values[0].times)
        }
    }
}

/// Deaths where each rank has one chunk that no other may do.
func edgeEachRank(_: [String]) throws {
    for leader in [Team.Leader.waits, .works] {
        try leavingNothing("each rank") {
            let team = try Doom.team(4, leader: leader)
            let doom = Doom.shared
            let first = leader == .works ? 1 : 0
            for (dying, times) in [([2], 1), ([1, 3], 2), (Array(first..<4), 1)] {
                let array = try team.array(of: Member.self, count: 4)
                doom.clear()
                for rank in dying { doom[rank] = times }
                let report = try team.eachRank(OncePerRank(members: array.inPlace))
                let deaths = dying.count * times
                try expectClean(report, nil, deaths: deaths...deaths, "\(dying)")
                for death in report.deaths {
                    try claim(equal: death.chunk, death.rank, "the chunk of a rank")
                }
                for rank in 0..<4 {
                    let expected = Member(
                        rank: Int32(rank), size: 4, pid: Int32(team.processIDs[rank]), times: 1)
                    try claim(equal: array[rank], expected, "rank \(rank), \(dying)")
                }
            }
            // One that always dies keeps nobody else from its part.
            let array = try team.array(of: Member.self, count: 4)
            doom[2] = 1000
            let error = try refusal("rank 2 always dies") {
                try team.eachRank(OncePerRank(members: array.inPlace))
            }
            try claim(equal: error.code, .quarantined, "\(error)")
            try claim(equal: error.report!.quarantined, [2], "\(error)")
            try claim(equal: error.report!.deaths.map(\.rank), [2, 2, 2], "\(error)")
            try claim(equal: array[2], Member(rank: 0, size: 0, pid: 0, times: 0), "rank 2")
            try claim(array[1].times == 1 && array[3].times == 1, "the others")
            doom.clear()
            _ = try members(of: team)
        }
    }
}

/// Argument: schedule. Two chunks that always kill, and one that does so once.
func edgeQuarantines(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    try leavingNothing("two quarantines") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        let old = oldContents(count)
        for (limit, effective) in [(1, 1), (2, 2), (3, 3), (0, 1), (-7, 1)] {
            for (first, second) in [(3, 250), (0, 299), (150, 151)] {
                let what = "\(schedule), limit \(limit), \(first) and \(second)"
                let array = try team.array(old)
                doom.clear()
                (doom[first], doom[second]) = (1000, 1000)
                if effective > 1 { doom[77] = 1 }
                let error = try refusal(what) {
                    try team.run(
                        Twice(x: array.inPlace, fate: .abort), grain: grain, schedule: schedule,
                        recovery: .redo(limit: limit))
                }
                let report = error.report!
                try claim(equal: error.code, .quarantined, "\(error)")
                try claim(equal: report.quarantined, [first, second], "\(error)")
                let missing =
                    second == first + 1
                    ? [first..<second + 1] : [first..<first + 1, second..<second + 1]
                try claim(equal: report.missing, missing, "\(error)")
                try claim(equal: report.exactlyOnce, 298, "\(error)")
                for chunk in [first, second] {
                    let deaths = report.deaths.filter { $0.chunk == chunk }
                    try claim(equal: deaths.map(\.attempt), Array(1...effective), "\(deaths)")
                    try claim(deaths.allSatisfy { $0.signal == Int(SIGABRT) }, "\(deaths)")
                }
                // Of the chunks that were done in the end, one had to be done again.
                try claim(equal: report.redone, effective > 1 ? 1 : 0, "\(what): redone: \(report)")
                try claim(
                    error.description.hasPrefix(
                        "chunk \(first) (elements \(report.elements(ofChunk: first))): killed")
                        && error.description.contains("SIGABRT")
                        && error.description.contains("1 more such chunk")
                        && error.description.contains("the other 298 chunks are done"), "\(error)")
                try claimChanged(array, from: old, report, what)
            }
        }
        _ = try members(of: team)
    }
}

private struct ReadsOutput: Kernel {
    let to: SharedArray<Int64>.Output
    let doom = Doom.shared
    func process(_ chunk: borrowing Chunk) throws {
        let index = chunk.index
        to.write(chunk) { to in
            for i in to.indices {
                if i == to.count / 2 { doom.pay(index) }
                to[i] = to[i] &+ 1
            }
        }
    }
}

/// A kernel that reads what it should only write is found: in a chunk that is done again always, in
/// debug builds everywhere.
func edgeReadsOutput(_: [String]) throws {
    #if DEBUG
        let isPoisoned = true
    #else
        let isPoisoned = getenv("MUSTER_CHECK") != nil  // a checked loop poisons in each build
    #endif
    try leavingNothing("a kernel that reads its output") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        var array = try team.array(of: Int64.self, count: count)
        for schedule in Schedule.allCases {
            for dying in [[], [0], [42, 299]] {
                try array.fill(100)
                for chunk in dying { doom[chunk] = 1 }
                let report = try team.run(
                    ReadsOutput(to: array.prefix(count - 18).output), grain: grain,
                    schedule: schedule)
                try expectClean(
                    report, nil, deaths: 0...2, "\(schedule)")
                for i in 0..<count - 18 {
                    let isFound = isPoisoned || dying.contains(i / grain)
                    // Chunks that were claimed together with a deadly one may be poisoned as well.
                    try claim(
                        array[i] == (isFound ? 0 : 101) || !dying.isEmpty && array[i] == 0,
                        "element \(i) is \(array[i]), \(dying), \(schedule)")
                }
                for i in count - 18..<count { try claim(equal: array[i], 100, "beyond the loop") }
                doom.clear()
            }
        }
    }
}

private struct Rarely: Kernel {
    let x: SharedArray<Int64>.InPlace
    let doom = Doom.shared
    func process(_ chunk: borrowing Chunk) throws {
        guard chunk.index % 3 == 0 else {
            doom.pay(chunk.index)
            return
        }
        x.update(chunk) { x, places in
            for i in x.indices { x[i] = changed(x[i], places.lowerBound + i) }
        }
        doom.pay(chunk.index)
    }
}

/// Chunks that change nothing die: what the chunk before has left in the journal is not put back.
func edgeUntouched(_: [String]) throws {
    try leavingNothing("untouched") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        let old = oldContents(count)
        for schedule in Schedule.allCases {
            for deadly in [0, 1, 2, 3, 100, 150, 151, 298, 299] {
                let array = try team.array(old)
                doom[deadly] = 1
                let report = try team.run(
                    Rarely(x: array.inPlace), grain: grain, schedule: schedule)
                try expectClean(report, nil, deaths: 1...1, "\(schedule), \(deadly)")
                for i in 0..<count {
                    try claim(
                        equal: array[i], i / grain % 3 == 0 ? changed(old[i], i) : old[i],
                        "element \(i), \(schedule), deadly \(deadly)")
                }
            }
        }
    }
}

private func bytes(of path: String) throws -> [Int64] {
    let file = open(path, O_RDONLY)
    try claim(file >= 0, "can't open \(path)")
    defer { close(file) }
    var elements = [Int64](repeating: 0, count: 80_000)
    let length = read(file, &elements, elements.count * 8)
    return Array(elements.prefix(length / 8))
}

/// A writable file changed in place: what `read` finds right after the loop, the array still mapped.
func edgeFile(_: [String]) throws {
    let file = path("own.raw")
    let count = 70_001
    let old = oldContents(count)
    defer { unlink(file) }
    try leavingNothing("a file in place") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        for schedule in Schedule.allCases {
            for (deadly, times) in [(0, 1), (35, 2), (70, 1), (35, 1000), (70, 1000)] {
                let what = "\(schedule), chunk \(deadly), \(times) times"
                try old.withUnsafeBytes { try write($0, to: file) }
                let array = try team.array(file: file, of: Int64.self, writable: true)
                doom.clear()
                doom[deadly] = times
                var report: AuditReport
                do {
                    report = try team.run(
                        Twice(x: array.inPlace), grain: 1000, schedule: schedule)
                    try claim(times < 1000 && report.isClean, "\(what): \(report)")
                } catch let error as MusterError {
                    try claim(times == 1000 && error.code == .quarantined, "\(what): \(error)")
                    report = error.report!
                }
                let found = try bytes(of: file)
                try claim(equal: found.count, count, "\(what): elements")
                for i in 0..<count {
                    let isDone = times < 1000 || i / 1000 != deadly
                    try claim(
                        equal: found[i], isDone ? changed(old[i], i) : old[i],
                        "\(what): element \(i) of the file")
                }
                try claimChanged(array, from: old, report, what)
            }
        }
    }
    let found = try bytes(of: file)
    try claim(equal: found[5], changed(old[5], 5), "after the team")
}

/// A rank throws and dies before it has said that it is done: its error is the loop's.
func edgeLastWords(_: [String]) throws {
    try leavingNothing("a throw, then a death") {
        muster_testing_arm(MUSTER_POINT_LOOP_ENDED, MUSTER_POINT_KILL, 1, 1, -1)
        let team = try Team(size: 3)
        // nth 0 disarms: a successor must not inherit the point.
        muster_testing_arm(MUSTER_POINT_LOOP_ENDED, MUSTER_POINT_KILL, 0, 1, -1)
        let array = try team.array(oldContents(Trial.count))
        let error = try refusal("a throw") {
            try team.run(
                ChangeOrThrow(x: array.inPlace, deadly: 150), grain: Trial.grain,
                schedule: .static)
        }
        try claim(equal: error.code, .kernelThrew, "\(error)")
        try claim(equal: error.report?.deaths.map(\.rank), [1], "\(error)")
    }
}
