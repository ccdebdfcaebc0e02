// TimelineScenarios.swift - what is recorded of loops is what has happened in them.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// Throws unless a loop's committed events are its chunks, each once, and all events are possible.
private func check(_ timeline: Timeline, loop number: Int, _ what: String) throws {
    let loop = timeline.loops[number]
    let events = timeline.events.filter { $0.loop == number }
    var seen = [Int](repeating: 0, count: loop.chunks)
    for event in events where event.outcome == .committed { seen[event.chunk] += 1 }
    try claim(seen.allSatisfy { $0 == 1 }, "\(what): chunks in loop \(number): \(seen)")
    var last = [UInt64](repeating: 0, count: timeline.seats.count)
    for event in events {
        try claim(
            event.begin >= max(loop.begin, last[event.rank]) && event.end >= event.begin
                && event.end <= loop.end, "\(what): \(event) in \(loop)")
        // A successor is started after the death was seen.
        last[event.rank] = event.end
    }
}

private func check(_ timeline: Timeline, _ what: String) throws {
    try claim(timeline.isComplete, "\(what): something was dropped")
    for number in timeline.loops.indices { try check(timeline, loop: number, what) }
    let taken = timeline.loops.reduce(UInt64(0)) { $0 + ($1.end - $1.begin) }
    for load in timeline.loads {
        let own = timeline.events.filter { $0.rank == load.rank }
        let committed = own.filter { $0.outcome == .committed }
        try claim(equal: load.chunks, committed.count, "\(what): chunks of rank \(load.rank)")
        try claim(equal: load.stolen, committed.count { $0.isStolen }, "\(what): stolen")
        try claim(equal: load.busy, own.reduce(0) { $0 + $1.end - $1.begin }, "\(what): busy")
        try claim(equal: load.waiting.map { $0 + min(taken, load.busy) }, taken, "\(what): waiting")
    }
}

/// Size and leader from the arguments; every schedule and access, each loop twice.
func timelineOfLoops(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    let leader: Team.Leader = arguments.count > 1 && arguments[1] == "works" ? .works : .waits
    try leavingNothing("timeline") {
        let team = try Team(size: size, leader: leader)
        let count = 5000
        let from = try team.array((0..<count).map(value))
        var to = try team.array(of: Int64.self, count: count)
        try claim(
            equal: refusal("no timeline") { try team.endTimeline() }.code, .invalidArgument, "code")
        // The second time, the room is what the first one has left.
        for _ in 0..<2 {
            for schedule in Schedule.allCases {
                try team.startTimeline()
                try claim(
                    equal: refusal("a second timeline") { try team.startTimeline() }.code,
                    .invalidArgument, "code")
                for _ in 0..<2 {
                    try team.run(
                        Square(from: from.input, to: to.output), grain: 20, schedule: schedule)
                }
                try team.run(AddPlace(array: to.inPlace), grain: 30, schedule: schedule)
                _ = try team.reduce(
                    Compose(array: from.input), grain: 40, schedule: schedule)
                try team.run(Nothing(), count: 7, grain: 1, schedule: schedule)
                let timeline = try team.endTimeline()
                let what = "\(size), \(leader), \(schedule)"
                try check(timeline, what)
                try claim(
                    equal: timeline.loops.map(\.chunks), [250, 250, 167, 125, 7], "loops, \(what)")
                try claim(
                    equal: timeline.loops.map(\.kernel),
                    ["Square", "Square", "AddPlace", "Compose", "Nothing"], what)
                try claim(timeline.loops.allSatisfy { $0.schedule == schedule }, what)
                try claim(
                    timeline.events.allSatisfy { $0.attempt == 1 && $0.process == 1 }, what)
                if schedule == .static || schedule == .cyclic {
                    for event in timeline.events where event.loop == 0 {
                        let owner =
                            schedule == .cyclic
                            ? event.chunk % size
                            : (0..<size).first {
                                muster_schedule_block(250, UInt32(size), UInt32($0)).end
                                    > event.chunk
                            }!
                        try claim(event.rank == owner && !event.isStolen, "\(what): \(event)")
                    }
                }
                let bytes = timeline.loads.compactMap(\.bytes).reduce(0, +)
                let perElement: UInt64 = 16 + 16 + 8 + 8
                if try Topology.read().nodes.count == 1 {
                    try claim(equal: bytes, perElement * UInt64(count), "bytes, \(what)")
                    try claim(timeline.loads.allSatisfy { $0.remoteBytes == 0 }, "remote, \(what)")
                }
                try team.run(AddPlace(array: to.inPlace), grain: 7, schedule: schedule)
            }
        }
        try to.fill(0)
        try team.run(Square(from: from.input, to: to.output), grain: 20)
        for i in 0..<count { try claim(to[i] == from[i] &* from[i], "square of \(i)") }
        // Empty, and never ended.
        try team.startTimeline()
        try claim(try team.endTimeline().loops.isEmpty, "loops where none has run")
        try team.startTimeline(eventsPerRank: 1)
    }
}

/// Argument: kind. One chunk kills its worker twice; then a kernel fails.
func timelineOfDeaths(_ arguments: [String]) throws {
    let kind = try Kind(arguments, 0)
    try leavingNothing("deaths") {
        let team = try Debt.team(3)
        _ = try members(of: team)  // by then all of them hold their ranks
        for schedule in Schedule.allCases {
            let before = (0..<3).map { muster_team_slot(team.handle, $0).pointee.incarnation }
            try team.startTimeline()
            try Trial(kind: kind, schedule: schedule, deadly: 137, deaths: 2).run(team) {
                report, failure in
                try expectClean(report, failure, deaths: 2...2, "\(schedule)")
            }
            let timeline = try team.endTimeline()
            try check(timeline, "\(schedule)")
            let tries = timeline.events.filter { $0.loop == 0 && $0.chunk == 137 }
                .sorted { $0.begin < $1.begin }
            try claim(
                equal: tries.map(\.outcome), [.died, .died, .committed], "\(schedule): outcomes")
            try claim(equal: tries.map(\.attempt), [1, 2, 3], "\(schedule): attempts")
            try claim(
                timeline.events.allSatisfy { $0.attempt == 1 || $0.chunk == 137 },
                "\(schedule): attempts at other chunks")
            let rank = tries[0].rank
            let first = Int(before[rank])
            try claim(equal: tries[0].process, first, "\(schedule): the first process")
            try claim(equal: tries.map { $0.process - first }, [0, 1, 2], "\(schedule): processes")
            let deaths = timeline.loops[0].deaths
            try claim(equal: deaths.map(\.rank), [rank, rank], "\(schedule): who died")
            try claim(
                deaths.allSatisfy { $0.cause.contains("signal 9") }, "\(schedule): \(deaths)")
            try claim(
                equal: tries[0].end, deaths[0].time, "\(schedule): the end of the first attempt")
        }
        for point in [
            MUSTER_POINT_CLAIMED, MUSTER_POINT_CURRENT, MUSTER_POINT_COMMITTING,
            MUSTER_POINT_COMMITTED, MUSTER_POINT_LOOP_ENDED,
        ] {
            let tokens = Tokens(2)
            defer { tokens.give() }
            // Successors inherit what the leader has armed; the first processes do not have it.
            muster_testing_arm(point, MUSTER_POINT_KILL, 3, 1, tokens.ends.0)
            defer { muster_testing_arm(point, MUSTER_POINT_KILL, 0, 1, -1) }
            kill(pid_t(team.processIDs[1]), SIGKILL)
            letLooksAge()
            for schedule in Schedule.allCases {
                let what = "point \(point.rawValue), \(schedule)"
                try team.startTimeline()
                try Trial(kind: kind, schedule: schedule, microseconds: 50).run(team) {
                    report, failure in try expectClean(report, failure, deaths: 0...3, what)
                }
                try check(try team.endTimeline(), what)
            }
            try claim(tokens.left < 2, "point \(point.rawValue): nobody died there")
        }
        try team.startTimeline()
        let failure = try refusal("a kernel that fails") {
            try team.run(FailAt(bad: 5), count: 40, grain: 1)
        }
        try claim(equal: failure.code, .kernelThrew, "code")
        let timeline = try team.endTimeline()
        let open = timeline.events.filter { $0.outcome != .committed }
        try claim(equal: open.map(\.chunk), [5], "unfinished chunks")
        try claim(equal: open.map(\.outcome), [.unfinished], "their outcome")
    }
}

private struct FailAt: Kernel {
    let bad: Int
    func process(_ chunk: borrowing Chunk) throws {
        if chunk.index == bad { throw Failure(description: "as asked") }
    }
}

/// Rank 0 holds on to its first chunk until the others have done most of its part.
private struct HoldFirst: Kernel {
    let done: UnsafeMutablePointer<UInt64>
    let most: UInt64

    func process(_ chunk: borrowing Chunk) throws {
        if chunk.rank == 0 {
            wait { muster_testing_load(done) >= most }
        } else {
            muster_testing_add(done, 1)
        }
    }
}

extension HoldFirst: @unchecked Sendable {}

func timelineOfTheft(_: [String]) throws {
    let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
    defer { munmap(page, 4096) }
    let team = try Team(size: 3)
    try team.startTimeline()
    // 200 chunks are others', and of rank 0's 100 it can hold 6.
    try team.run(
        HoldFirst(done: page.assumingMemoryBound(to: UInt64.self), most: 290), count: 300, grain: 1,
        schedule: .staticSteal)
    let timeline = try team.endTimeline()
    try check(timeline, "theft")
    for event in timeline.events {
        try claim(event.isStolen == (event.chunk / 100 != event.rank), "\(event)")
    }
    let stolen = timeline.loads.map(\.stolen)
    try claim(stolen[0] == 0 && stolen[1] + stolen[2] >= 90, "stolen: \(stolen)")
}

/// More chunks, and more loops, than there is room for.
func timelineThatIsFull(_: [String]) throws {
    let team = try Team(size: 2)
    try claim(
        equal: refusal("no events") { try team.startTimeline(eventsPerRank: 0) }.code,
        .invalidArgument, "code")
    try claim(
        equal: refusal("too many") { try team.startTimeline(eventsPerRank: .max) }.code,
        .invalidArgument, "code")
    var to = try team.array(of: Int64.self, count: 100)
    let from = try team.array((0..<100).map(value))
    try team.startTimeline(eventsPerRank: 10)
    for _ in 0..<12 {
        try to.fill(0)
        for _ in 0..<2 {  // the second is like the one before
            try team.run(Square(from: from.input, to: to.output), grain: 1)
        }
        for i in 0..<100 { try claim(to[i] == from[i] &* from[i], "square of \(i)") }
    }
    let timeline = try team.endTimeline()
    try claim(!timeline.isComplete, "it is complete")
    try claim(equal: timeline.loops.count, 10, "loops")
    try claim(equal: timeline.droppedLoops, 26, "loops without room")  // fill is one
    try claim(equal: timeline.loads.map(\.chunks), [10, 10], "chunks")
    let recorded = timeline.loops.reduce(0) { $0 + $1.chunks }
    try claim(equal: timeline.droppedChunks, recorded - 20, "chunks without room")
    for load in timeline.loads {
        try claim(load.waiting == nil && load.bytes == nil && load.remoteBytes == nil, "\(load)")
        try claim(load.bytesReason?.contains("were recorded") == true, "\(load)")
    }
}

/// A member, whose loop the others end when the last rank has died at its third chunk.
func tracedMember(_: [String]) throws {
    let me = try Muster.Member.join()
    let loop = try me.loop(
        over: 300, schedule: .cyclic, grain: 10, adopting: true, name: "adopted")
    while let part = try loop.next() {
        if me.rank == me.size - 1 && part.index == 8 { kill(getpid(), SIGKILL) }
        part.commit()
    }
    try claim(equal: try loop.end().exactlyOnce, 30, "chunks")
    try me.leave()
}

/// A member with so many loops of a chunk a rank: `traced-loops N`.
func tracedLoops(_ arguments: [String]) throws {
    let me = try Muster.Member.join()
    for _ in 0..<(Int(arguments.first ?? "") ?? 0) {
        let loop = try me.loop(over: me.size, grain: 1, name: "short")
        for _ in loop {}  // which commits
        try claim(equal: try loop.end().exactlyOnce, me.size, "chunks")
    }
    try me.leave()
}

/// A million events, read and written as a trace, take no gigabyte.
func timelineThatIsLong(_: [String]) throws {
    let chunks = 1_000_000
    let team = try Team(size: 2)
    try team.startTimeline(eventsPerRank: chunks / 2)
    try team.run(Nothing(), count: chunks, grain: 1)
    let timeline = try team.endTimeline()
    try claim(timeline.isComplete && timeline.events.count == chunks, "events")
    var lines = 0
    var trace = ChromeTrace<Never> { text in lines += text.count { $0 == UInt8(ascii: "\n") } }
    trace.add(timeline)
    trace.end()
    // Of chunks, of the leader, two ranks and their loop; the first line, and the end.
    try claim(equal: lines, chunks + 7 + 1 + 2, "lines")
    // "VmHWM:    123456 kB"
    let most = contents(of: "/proc/self/status").split(separator: "\n").first {
        $0.hasPrefix("VmHWM:")
    }.flatMap { Int($0.split { $0 == " " || $0 == "\t" }[1]) }
    let limit = isSanitized(by: "__asan_init") ? 4 << 20 : 1 << 20
    try claim((most ?? .max) < limit, "\(most ?? -1) KiB were used")
}
