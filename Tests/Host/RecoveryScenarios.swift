// RecoveryScenarios.swift - workers die, and the result is the one that nothing would have given.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// Deaths that a kernel still owes, in memory that all processes share: made before any team, since
/// workers must have it too.
struct Debt: BitwiseCopyable, @unchecked Sendable {
    let left: UnsafeMutablePointer<Int32>

    static let shared = Debt()

    private init() {
        let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
        left = page.assumingMemoryBound(to: Int32.self)
    }

    /// A team whose workers can see it.
    static func team(_ size: Int) throws -> Team {
        shared.left.pointee = 0
        return try Team(size: size)
    }

    func pay(_ fate: Fate) {
        guard left.pointee > 0 else { return }
        left.pointee -= 1
        fate.meet()
    }
}

/// Bytes that points take before they kill: see muster_testing_arm.
struct Tokens {
    let ends: (Int32, Int32)

    init(_ count: Int) {
        var ends: [Int32] = [0, 0]
        _ = pipe(&ends)
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        self.ends = (ends[0], ends[1])
        let bytes = [UInt8](repeating: 0, count: count)
        _ = Glibc.write(ends[1], bytes, count)
    }

    var left: Int {
        var count: Int32 = 0
        _ = ioctl(ends.0, UInt(FIONREAD), &count)
        return Int(count)
    }

    /// Takes back what nobody has taken.
    func drain() {
        var byte: UInt8 = 0
        while Glibc.read(ends.0, &byte, 1) == 1 {}
    }

    func give() {
        close(ends.0)
        close(ends.1)
    }
}

enum Kind: String, CaseIterable {
    case inPlace = "in-place"
    case whole
    case outOfPlace = "out-of-place"
    case reduce

    init(_ arguments: [String], _ position: Int) throws {
        guard position < arguments.count, let kind = Kind(rawValue: arguments[position]) else {
            throw Failure(description: "argument \(position) is no kind: \(arguments)")
        }
        self = kind
    }
}

/// x -> 3 x + place: not idempotent, so a chunk done twice or restored wrongly shows.
func changed(_ x: Int64, _ place: Int) -> Int64 { 3 &* x &+ Int64(place) }

struct Change: Kernel {
    let x: SharedArray<Int64>.InPlace
    let isWhole: Bool
    let deadly: Int
    let fate: Fate
    let debt: Debt
    var microseconds: UInt32 = 0

    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        let dies = chunk.index == deadly
        if microseconds > 0 { usleep(microseconds) }
        let middle = (range.lowerBound + range.upperBound) / 2
        if isWhole {
            x.updateWhole(chunk) { x in
                for i in x.indices {
                    if dies && range.lowerBound + i == middle { debt.pay(fate) }
                    x[i] = changed(x[i], range.lowerBound + i)
                }
            }
            return
        }
        // Two passes: what counts is what was there before the first.
        for pass in 0..<2 {
            x.update(chunk) { x, places in
                for i in x.indices {
                    if dies && places.lowerBound + i == middle && pass == 1 { debt.pay(fate) }
                    if pass == 0 {
                        x[i] = 3 &* x[i]
                    } else {
                        x[i] &+= Int64(places.lowerBound + i)
                    }
                }
            }
        }
    }
}

struct Put: Kernel {
    let from: SharedArray<Int64>.Input
    let to: SharedArray<Int64>.Output
    let deadly: Int
    let fate: Fate
    let debt: Debt
    var microseconds: UInt32 = 0

    func process(_ chunk: borrowing Chunk) throws {
        let from = from.span(chunk)
        let range = chunk.range
        let dies = chunk.index == deadly
        if microseconds > 0 { usleep(microseconds) }
        to.write(chunk) { to in
            for i in to.indices {
                if dies && i == to.count / 2 { debt.pay(fate) }
                to[i] = changed(from[i], range.lowerBound + i)
            }
        }
    }
}

struct SumOrDie: Reduction {
    let from: SharedArray<Int64>.Input
    let deadly: Int
    let fate: Fate
    let debt: Debt
    var microseconds: UInt32 = 0
    var identity: Double { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Double {
        let from = from.span(chunk)
        var sum = 0.0
        if microseconds > 0 { usleep(microseconds) }
        for i in from.indices {
            if chunk.index == deadly && i == from.count / 2 { debt.pay(fate) }
            sum += 1 / Double(from[i] &* from[i] &+ 1)
        }
        return sum
    }

    func combine(_ left: Double, _ right: Double) -> Double { left + right }
}

/// One loop of a kind over 300 chunks of 1,000 elements, checked element by element.
struct Trial {
    static let count = 299_990
    static let grain = 1000
    static let chunks = 300
    var kind: Kind
    var schedule: Schedule = .static
    var deadly = -1
    var fate = Fate.kill
    var deaths = 0
    var microseconds: UInt32 = 0
    var recovery = Recovery.redo()

    private func execute(
        _ team: borrowing Team, _ from: borrowing SharedArray<Int64>,
        _ to: borrowing SharedArray<Int64>, _ debt: Debt
    ) -> Result<(AuditReport, Double?), MusterError> {
        do throws(MusterError) {
            switch kind {
            case .inPlace, .whole:
                let kernel = Change(
                    x: from.inPlace, isWhole: kind == .whole, deadly: deadly, fate: fate,
                    debt: debt, microseconds: microseconds)
                let report = try team.run(
                    kernel, grain: Trial.grain, schedule: schedule, recovery: recovery)
                return .success((report, nil))
            case .outOfPlace:
                let kernel = Put(
                    from: from.input, to: to.output, deadly: deadly, fate: fate, debt: debt,
                    microseconds: microseconds)
                let report = try team.run(
                    kernel, grain: Trial.grain, schedule: schedule, recovery: recovery)
                return .success((report, nil))
            case .reduce:
                let kernel = SumOrDie(
                    from: from.input, deadly: deadly, fate: fate, debt: debt,
                    microseconds: microseconds)
                let made = try team.reduce(
                    kernel, grain: Trial.grain, schedule: schedule, recovery: recovery)
                return .success((made.report, made.result))
            }
        } catch {
            return .failure(error)
        }
    }

    /// Runs it and checks the result; errors of the loop come through `check`.
    func run(
        _ team: borrowing Team, _ check: (AuditReport, MusterError?) throws -> Void
    ) throws {
        let old = (0..<Trial.count).map { Int64($0 &* 7919 % 1000) }
        let from = try team.array(old)
        let debt = Debt.shared
        debt.left.pointee = Int32(deaths)
        let to = try team.array(of: Int64.self, count: Trial.count)
        var report: AuditReport?
        var failure: MusterError?
        var sum: Double?
        switch execute(team, from, to, debt) {
        case .success(let made): (report, sum) = made
        case .failure(let error): (report, failure) = (error.report, error)
        }
        guard let report else { throw Failure(description: "\(failure!)") }
        try check(report, failure)
        // What was done is done, what was not is as it was.
        if kind == .reduce, failure == nil {
            let calm = try team.reduce(
                SumOrDie(from: from.input, deadly: -1, fate: fate, debt: debt), grain: Trial.grain)
            try claim(
                equal: sum!.bitPattern, calm.result.bitPattern, "bits of the sum, \(schedule)")
        }
        guard kind != .reduce else { return }
        let new = kind == .outOfPlace ? to.toArray() : from.toArray()
        for chunk in 0..<report.chunks {
            let isDone = !report.missing.contains { $0.contains(chunk) }
            if !isDone && kind == .outOfPlace { continue }
            for i in report.elements(ofChunk: chunk) {
                let expected = isDone ? changed(old[i], i) : old[i]
                try claim(
                    equal: new[i], expected,
                    "\(kind.rawValue), \(schedule): element \(i) of chunk \(chunk), done: \(isDone)"
                )
            }
        }
    }
}

func expectClean(
    _ report: AuditReport, _ failure: MusterError?, deaths: ClosedRange<Int>, _ what: String
) throws {
    try claim(failure == nil, "\(what): \(failure.map { "\($0)" } ?? "")")
    try claim(report.isClean && report.quarantined.isEmpty, "\(what): \(report)")
    try claim(deaths.contains(report.deaths.count), "\(what): deaths: \(report.deaths)")
    try claim(report.vacantRanks.isEmpty, "\(what): \(report)")
}

/// Arguments: fate, kind, schedule. One chunk kills its worker once, then twice.
func redo(_ arguments: [String]) throws {
    let fate = try Fate(arguments.first ?? "")
    let kind = try Kind(arguments, 1)
    let schedule = try schedule(arguments, 2)
    try leavingNothing("redo") {
        let team = try Debt.team(3)
        for (deadly, deaths) in [(0, 1), (137, 2), (299, 2)] {
            let what = "\(fate) at \(deadly), \(deaths) times"
            let before = team.processIDs
            try Trial(
                kind: kind, schedule: schedule, deadly: deadly, fate: fate, deaths: deaths
            ).run(team) { report, failure in
                try expectClean(report, failure, deaths: deaths...deaths, what)
                try claim(
                    equal: report.deaths.map(\.chunk), Array(repeating: deadly, count: deaths), what
                )
                try claim(equal: report.deaths.map(\.attempt), Array(1...deaths), what)
                try claim(equal: report.deaths[0].signal, fate.signal, what)
                try claim(equal: report.redone, 1, what)
            }
            let dead = before.indices.filter { before[$0] != team.processIDs[$0] }
            try claim(equal: dead.count, 1, "\(what): ranks with a new process")
            _ = try members(of: team)
        }
    }
}

/// Arguments: point, rank, kind, schedule. Up to two processes of a rank are killed there.
func redoAtPoint(_ arguments: [String]) throws {
    let point = muster_point(UInt32(try number(arguments, 0)))
    let rank = try number(arguments, 1)
    let kind = try Kind(arguments, 2)
    let schedule = try schedule(arguments, 3)
    for (nth, count) in [(1, 1), (1, 2), (3, 1)] {
        try leavingNothing("point \(point.rawValue), rank \(rank), \(nth)") {
            let tokens = Tokens(count)
            defer { tokens.give() }
            let team = try Debt.team(3)
            _ = try members(of: team)
            // Successors inherit what the leader has armed; the first processes do not have it.
            muster_testing_arm(point, MUSTER_POINT_KILL, UInt64(nth), Int64(rank), tokens.ends.0)
            defer { muster_testing_arm(point, MUSTER_POINT_KILL, 0, Int64(rank), -1) }
            kill(pid_t(team.processIDs[rank]), SIGKILL)
            usleep(2000)
            let restores = point == MUSTER_POINT_RESTORING || point == MUSTER_POINT_RESTORED
            let before = tokens.left
            // A chunk that is this rank's own, where chunks have owners.
            let own = schedule == .cyclic ? 150 + rank : rank * 100 + 50
            try Trial(
                kind: kind, schedule: schedule, deadly: restores ? own : -1,
                deaths: restores ? 1 : 0, microseconds: 50
            ).run(team) { report, failure in
                try expectClean(
                    report, failure, deaths: 0...3, "point \(point.rawValue), rank \(rank)")
            }
            let used = before - tokens.left
            // Static work has to be done by this rank, so it comes to the point.
            let isOwn = schedule == .static || schedule == .cyclic
            let isMet = kind == .inPlace || point.rawValue < MUSTER_POINT_JOURNALING.rawValue
            try claim(!isOwn || !isMet || nth > 1 || used == count, "\(used) killed, not \(count)")
            print("\(used) of \(count) killed at point \(point.rawValue), \(schedule)")
            tokens.drain()
            _ = try members(of: team)
        }
    }
}

/// Arguments: kind, schedule. Two chunks kill each process that works on them.
func quarantine(_ arguments: [String]) throws {
    let kind = try Kind(arguments, 0)
    let schedule = try schedule(arguments, 1)
    try leavingNothing("quarantine") {
        let team = try Debt.team(3)
        for limit in [1, 3] {
            for deadly in [0, 150, 299] {
                try Trial(
                    kind: kind, schedule: schedule, deadly: deadly, fate: .segv, deaths: 1000,
                    recovery: .redo(limit: limit)
                ).run(team) { report, failure in
                    let error = try refusal("quarantine") { if let failure { throw failure } }
                    try claim(equal: error.code, .quarantined, "\(error)")
                    try claim(equal: report.quarantined, [deadly], "\(error)")
                    try claim(equal: report.missing, [deadly..<deadly + 1], "\(error)")
                    try claim(equal: report.exactlyOnce, 299, "\(error)")
                    try claim(equal: report.deaths.count, limit, "\(error)")
                    let range = report.elements(ofChunk: deadly)
                    try claim(
                        error.description.hasPrefix("chunk \(deadly) (elements \(range))")
                            && error.description.contains("SIGSEGV"), "\(error)")
                }
                _ = try members(of: team)
            }
        }
    }
}

struct Refuses: Error, CustomStringConvertible { let description = "no such number" }

struct ChangeOrThrow: Kernel {
    let x: SharedArray<Int64>.InPlace
    let deadly: Int
    func process(_ chunk: borrowing Chunk) throws {
        let middle = chunk.range.lowerBound + 900
        let throwing = chunk.index == deadly
        try x.update(chunk) { x, places in
            for i in x.indices {
                if throwing && places.lowerBound + i == middle { throw Refuses() }
                x[i] = changed(x[i], places.lowerBound + i)
            }
        }
    }
}

/// Argument: schedule. A kernel that throws leaves its chunk as it was.
func undo(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    try leavingNothing("undo") {
        let team = try Debt.team(3)
        for deadly in [0, 150, 298] {
            let old = (0..<Trial.count).map { Int64($0 % 77) }
            let array = try team.array(old)
            let error = try refusal("a throw") {
                try team.run(
                    ChangeOrThrow(x: array.inPlace, deadly: deadly), grain: Trial.grain,
                    schedule: schedule)
            }
            try claim(equal: error.code, .kernelThrew, "\(error)")
            let report = error.report!
            let new = array.toArray()
            for chunk in 0..<report.chunks {
                let isDone = !report.missing.contains { $0.contains(chunk) }
                try claim(chunk != deadly || !isDone, "the chunk counts as done")
                for i in report.elements(ofChunk: chunk) {
                    try claim(
                        equal: new[i], isDone ? changed(old[i], i) : old[i], "element \(i)")
                }
            }
            _ = try members(of: team)
        }
    }
}

struct HangOnce: Kernel {
    let to: SharedArray<Int64>.Output
    let deadly: Int
    let debt: Debt
    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        to.write(chunk) { to in
            for i in to.indices { to[i] = Int64(range.lowerBound + i) }
        }
        if chunk.index == deadly, debt.left.pointee > 0 {
            debt.left.pointee -= 1
            while true { pause() }
        }
    }
}

/// A chunk that never ends is ended; a stopped worker that is not is waited for.
func stall(_: [String]) throws {
    try leavingNothing("stall") {
        let team = try Debt.team(3)
        let array = try team.array(of: Int64.self, count: 3000)
        for schedule in Schedule.allCases {
            let debt = Debt.shared
            debt.left.pointee = 1
            let report = try team.run(
                HangOnce(to: array.output, deadly: 100, debt: debt), grain: 10, schedule: schedule,
                stallTimeout: .milliseconds(60))
            try claim(report.isClean, "\(report)")
            // On a busy machine others may be taken for stalled; they are redone as well.
            try claim(
                report.deaths.contains { $0.isStalled && $0.chunk == 100 }, "\(report.deaths)")
            try claimIntact(array, report, "stall")
        }
        _ = try members(of: team)
    }
}
