// LoopScenarios.swift - every access, schedule, size and leader gives the right result.

import Glibc
import Muster
import MusterCore

let counts = [1, 2, 31, 1000, 70_001]

/// Neither constant nor rising, and the same in every process.
func value(_ i: Int) -> Int64 { Int64(truncatingIfNeeded: (i &* 2_654_435_761) ^ (i >> 3)) }

/// Size and leader from the arguments; every schedule; every access.
func loops(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    let leader: Team.Leader = arguments.count > 1 && arguments[1] == "works" ? .works : .waits
    try leavingNothing("loops") {
        let team = try Team(size: size, leader: leader)
        for count in counts {
            var from = try team.array((0..<count).map(value))
            var to = try team.array(of: Int64.self, count: count)
            for schedule in Schedule.allCases {
                let label = "\(count) elements, \(schedule)"
                try to.fill(-7)
                try claim(to.toArray().allSatisfy { $0 == -7 }, "fill, \(label)")
                var report = try team.run(
                    Square(from: from.input, to: to.output), schedule: schedule)
                try claim(report.isClean && report.schedule == schedule, "\(label): \(report)")
                for i in 0..<count where to[i] != from[i] &* from[i] {
                    throw Failure(description: "square of element \(i), \(label): \(to[i])")
                }
                report = try team.run(
                    Stencil(from: from.input, to: to.output), grain: 3, schedule: schedule)
                for i in 0..<count {
                    var sum = from[i]
                    if i > 0 { sum &+= from[i - 1] }
                    if i + 1 < count { sum &+= from[i + 1] }
                    try claim(to[i] == sum, "stencil at \(i), \(label)")
                }
                try team.run(AddPlace(array: to.inPlace), grain: 7, schedule: schedule)
                try team.run(Square(from: from.input, to: to.output), schedule: schedule)
                try team.run(AddPlace(array: to.inPlace), grain: 1500, schedule: schedule)
                for i in 0..<count {
                    try claim(to[i] == from[i] &* from[i] &+ Int64(i), "in place, \(i), \(label)")
                }
            }
            // What the leader writes between loops is what the ranks read.
            from[count - 1] = 99
            from.withMutableSpan { $0[0] = 5 }
            try team.run(Square(from: from.input, to: to.output), schedule: .dynamic)
            try claim(equal: to[count - 1], count == 1 ? 25 : 9801, "the leader's store")
            try claim(equal: from.withSpan { $0[0] }, 5, "the leader's view")
        }
    }
}

/// Bits of two reductions, one line each, for the test to compare between runs.
func reductions(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    let leader: Team.Leader = arguments.count > 1 && arguments[1] == "works" ? .works : .waits
    let team = try Team(size: size, leader: leader)
    for count in [1, 777, 70_001, 300_000] {
        let rough = try team.array((0..<count).map { 1 / Double(value($0) | 1) })
        let whole = try team.array((0..<count).map(value))
        let expected = (0..<count).reduce(Affine(factor: 1, offset: 0)) { map, i in
            let value = UInt64(bitPattern: whole[i])
            let factor = 2 &* value &+ 3
            return Affine(factor: map.factor &* factor, offset: map.offset &* factor &+ value)
        }
        for grain in [nil, 1, 1000] where count < 100_000 || grain == nil {
            var bits: Set<UInt64> = []
            for schedule in Schedule.allCases {
                let sum = try team.reduce(
                    RoughSum(array: rough.input), grain: grain, schedule: schedule)
                try claim(sum.report.isClean, "\(sum.report)")
                bits.insert(sum.result.bitPattern)
                let map = try team.reduce(
                    Compose(array: whole.input), grain: grain, schedule: schedule)
                try claim(equal: map.result, expected, "composition by \(schedule)")
            }
            try claim(equal: bits.count, 1, "patterns of one sum, \(count) by \(grain ?? 0)")
            print("sum \(count) \(grain ?? 0) \(bits.first!)")
        }
        // The leader's own kernels go the same way.
        let dot = try team.reduce(Bulk.Dot(rough.input, rough.input)).result
        let sum = try team.reduce(Bulk.Sum(rough.input)).result
        print("bulk \(count) \(dot.bitPattern) \(sum.bitPattern)")
    }
    try keepsRoom(Team(size: size, leader: leader))
}

/// Room for few partial results is kept: a second reduction is one job, and more of them are two, since new
/// room takes memory by a job of its own.
private func keepsRoom(_ team: borrowing Team) throws {
    let ones = try team.array([Double](repeating: 1, count: 4000))
    let job = muster_team_job(team.handle)!
    func jobs(grain: Int) throws -> UInt64 {
        let before = job.pointee.number
        let sum = try team.reduce(Bulk.Sum(ones.input), grain: grain).result
        try claim(equal: sum, 4000, "by \(grain)")
        return job.pointee.number - before
    }
    _ = try jobs(grain: 100)
    try claim(equal: try jobs(grain: 100), 1, "jobs of a reduction like the one before")
    try claim(equal: try jobs(grain: 200), 1, "jobs of a reduction with fewer partial results")
    try claim(equal: try jobs(grain: 1), 2, "jobs of a reduction with more partial results")
    try claim(equal: try jobs(grain: 1), 1, "jobs of the next one")
}

func emptyLoops(_: [String]) throws {
    try leavingNothing("empty loops") {
        let team = try Team(size: 3)
        var none = try team.array(of: Int64.self, count: 0)
        try none.fill(1)
        try claim(equal: none.count, 0, "count")
        try claim(equal: none.toArray(), [], "elements")
        let report = try team.run(AddPlace(array: none.inPlace))
        try claim(report.isClean && report.chunks == 0, "\(report)")
        let sum = try team.reduce(Compose(array: none.input))
        try claim(equal: sum.result, Affine(factor: 1, offset: 0), "reduction of nothing")
        let flat = try team.array(of: Double.self, shape: [4, 0, 2])
        try claim(equal: flat.count, 0, "4 x 0 x 2")
        try claim(equal: flat.shape, [4, 0, 2], "shape")
        let error = try refusal("-1 elements") { try team.array(of: Int8.self, count: -1) }
        try claim(equal: error.code, .invalidArgument, "\(error)")
        let large = try refusal("2^80 bytes") {
            try team.array(of: Int64.self, shape: [1 << 40, 1 << 40])
        }
        try claim(equal: large.code, .invalidArgument, "\(large)")
        _ = try members(of: team)
    }
}

/// More ranks than chunks, one element a chunk, one chunk for all.
func grains(_: [String]) throws {
    let team = try Team(size: 5)
    for schedule in Schedule.allCases {
        for (count, grain) in [(1, 1), (3, 1), (4, 100), (5, 1), (6, 1), (64, 1), (1000, 999)] {
            var array = try team.array(of: Int64.self, count: count)
            let report = try team.run(
                AddPlace(array: array.inPlace), grain: grain, schedule: schedule)
            try claim(equal: report.chunks, (count + grain - 1) / grain, "chunks")
            try claim(equal: array.toArray(), (0..<Int64(count)).map { $0 }, "\(schedule)")
            try array.fill(0)
        }
    }
    let error = try refusal("grain 0") { try team.run(Nothing(), count: 5, grain: 0) }
    try claim(equal: error.code, .invalidArgument, "\(error)")
    let below = try refusal("count -1") { try team.run(Nothing(), count: -1) }
    try claim(equal: below.code, .invalidArgument, "\(below)")
}

func reportContents(_: [String]) throws {
    let team = try Team(size: 3)
    let array = try team.array(of: Int64.self, count: 1001)
    let report = try team.run(AddPlace(array: array.inPlace), grain: 10, schedule: .guided)
    try claim(equal: report.chunks, 101, "chunks")
    try claim(equal: report.exactlyOnce, 101, "exactlyOnce")
    try claim(equal: report.size, 3, "size")
    try claim(equal: report.grain, 10, "grain")
    try claim(equal: report.elements, 1001, "elements")
    try claim(equal: report.schedule, .guided, "schedule")
    try claim(equal: report.elements(ofChunk: 100), 1000..<1001, "the last chunk's elements")
    try claim(report.isClean && !report.isCancelled && report.deaths.isEmpty, "\(report)")
    try claim(
        equal: report.description, "101 chunks, each exactly once, by 3 ranks", "description")
    let one = try team.run(Nothing(), count: 1)
    try claim(equal: one.description, "1 chunk, exactly once, by 3 ranks", "description")
}

/// Adds its own number to its chunk, and may kill its worker, cancel or throw: decided by the leader in
/// memory that all see, so that the kernel's bytes stay the same.
private struct AddOrFail: Kernel {
    let add: Int64
    let array: SharedArray<Int64>.InPlace
    let fate: UnsafeMutablePointer<Int32>

    func process(_ chunk: borrowing Chunk) throws {
        let index = chunk.index
        var mine: Int32 = 0
        if index == 5 { swap(&mine, &fate.pointee) }
        array.update(chunk) { values in
            for i in values.indices { values[i] &+= add }
            if mine == 1 { raise(SIGKILL) }
        }
        if mine == 2 { chunk.cancelLoop() }
        if mine == 3 { throw Failure(description: "as asked") }
    }
}

/// A loop like the one before takes a shorter way: it must see other arguments, arrays, views, shapes,
/// and every kind of trouble. Arguments: size, leader, how processes wait.
/// Length: one loop after the other, each changes one thing.
func repeated(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    let leader: Team.Leader = arguments[1] == "works" ? .works : .waits
    let waits: [String: Team.Wait] = [
        "automatic": .automatic, "spin": .spin, "yield": .yield, "sleep": .sleep,
    ]
    guard let wait = waits[arguments[2]] else { throw Failure(description: "no such wait") }
    let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
    let fate = page.assumingMemoryBound(to: Int32.self)
    defer { munmap(page, 4096) }
    try leavingNothing("repeated") {
        let team = try Team(size: size, leader: leader, start: usualStart, wait: wait)
        for schedule in Schedule.allCases {
            var x = try team.array(of: Int64.self, count: 1000)
            var y = try team.array(of: Int64.self, count: 1000)
            try x.fill(0)
            try y.fill(0)
            var sum: Int64 = 0
            func add(
                _ number: Int64, grain: Int = 10, _ array: borrowing SharedArray<Int64>
            ) throws -> AuditReport {
                try team.run(
                    AddOrFail(add: number, array: array.inPlace, fate: fate), grain: grain,
                    schedule: schedule)
            }
            for round in 1...20 {
                try claim(try add(1, x).isClean, "the same, \(schedule)")
                try claim(try add(Int64(round), x).exactlyOnce == 100, "another argument")
                try claim(equal: try add(1, y).chunks, 100, "another array")
                try claim(equal: try add(1, grain: 7, x).chunks, 143, "another grain")
                sum += 2 + Int64(round)
            }
            try claim(x.toArray().allSatisfy { $0 == sum }, "sums in x, \(schedule)")
            try claim(y.toArray().allSatisfy { $0 == 20 }, "sums in y, \(schedule)")
            x[17] = 0  // what the leader writes between two loops of a kind
            _ = try add(1, x)
            try claim(equal: x[17], 1, "the leader's store, \(schedule)")
            x[17] = sum + 1

            // With a leader that works, chunk 5 may be its own: there it would die.
            if leader == .waits {
                fate.pointee = 1
                let report = try add(1, x)
                try claim(
                    report.isClean && report.deaths.count == 1 && report.redone == 1,
                    "a death, \(schedule): \(report)")
                sum += 1
                try claim(try add(1, x).deaths.isEmpty, "after a death, \(schedule)")
                sum += 1
            }
            sum += 1
            fate.pointee = 2
            do {
                let report = try add(1, x)
                // Cancelled in the last chunk of all, a loop may be complete.
                try claim(report.isClean, "cancelled, \(schedule): \(report)")
            } catch let error as MusterError {
                try claim(error.code == .cancelled, "cancelled, \(schedule): \(error)")
            }
            try x.fill(sum)
            try claim(try add(0, x).isClean, "after it was cancelled, \(schedule)")
            fate.pointee = 3
            do {
                _ = try add(1, x)
                throw Failure(description: "an error is lost, \(schedule)")
            } catch let error as MusterError {
                try claim(error.code == .kernelThrew, "an error, \(schedule): \(error)")
                try claim(x[50] == sum, "undone, \(schedule)")
            }
            try x.fill(sum)
            try claim(try add(0, x).isClean, "after an error, \(schedule)")
            try claim(x.toArray().allSatisfy { $0 == sum }, "at the end, \(schedule)")
        }
    }
}
