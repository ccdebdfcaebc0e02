// TrapScenarios.swift - mistakes of a program. A call that can throw refuses them; any other ends this
// process with words, and a line behind would be seen by the test. In a worker that is a death.

import Glibc
import Muster

struct TwoInPlace: Kernel {
    let a: SharedArray<Int64>.InPlace
    let b: SharedArray<Int64>.Output
    func process(_ chunk: borrowing Chunk) throws {}
}

struct TwoViews: Kernel {
    let array: SharedArray<Int64>.Output
    func process(_ chunk: borrowing Chunk) throws {
        array.write(chunk) { _ in
            array.write(chunk) { _ in }
        }
    }
}

struct Beyond: Kernel {
    let array: SharedArray<Int64>.Input
    func process(_ chunk: borrowing Chunk) throws {
        _ = array.span(0..<array.count + 1, in: chunk)
    }
}

struct BeyondSpan: Kernel {
    let array: SharedArray<Int64>.Output
    func process(_ chunk: borrowing Chunk) throws {
        array.write(chunk) { values in values[values.count + opaqueZero()] = 1 }
    }
}

@inline(never) func opaqueZero() -> Int { Int(getpid()) & 0 }

/// The argument says which one. Ends by the trap.
/// Length: one line a mistake.
func trap(_ arguments: [String]) throws {
    let team = try Team(size: 2)
    var array = try team.array(of: Int64.self, count: 100)
    let file = path("trap.raw")
    try [Int64](repeating: 0, count: 8).withUnsafeBytes { try write($0, to: file) }
    var mapped = try team.array(file: file, of: Int64.self)
    unlink(file)
    print("ready")
    switch arguments.first {
    case "two-accesses": try team.run(TwoInPlace(a: array.inPlace, b: array.output))
    case "input-and-output": try team.run(Square(from: array.input, to: array.output))
    case "freed":
        let access: SharedArray<Int64>.InPlace
        do { access = try team.array(of: Int64.self, count: 100).inPlace }
        try team.run(AddPlace(array: access))
    case "freed-and-reused":
        let access: SharedArray<Int64>.InPlace
        do { access = try team.array(of: Int64.self, count: 100).inPlace }
        let other = try team.array(of: Int64.self, count: 100)
        try team.run(AddPlace(array: access))
        _ = other.count
    case "other-team":
        let other = try Team(size: 1)
        // The same number, generation and length as the other's.
        let like = try other.array(of: Int64.self, count: 100)
        try other.run(AddPlace(array: array.inPlace))
        _ = like.count
    case "nested":
        let holder = Holder(try Team(size: 2))
        holder.team.onProgress = { [unowned holder] _ in
            do {
                try holder.team.run(Nothing(), count: 1)
            } catch {
                explain("\(error)")
                exit(1)
            }
        }
        let target = try holder.team.array(of: Int64.self, count: 10_000)
        try holder.team.run(Slow(to: target.output), grain: 1)
    case "view-open":
        try array.withSpan { _ in _ = try team.run(Nothing(), count: 1) }
    case "array-in-loop":
        let holder = Holder(try Team(size: 2))
        holder.team.onProgress = { [unowned holder] _ in
            do {
                _ = try holder.team.array(of: Int64.self, count: 10)
            } catch {
                explain("\(error)")
                exit(1)
            }
        }
        let target = try holder.team.array(of: Int64.self, count: 10_000)
        try holder.team.run(Slow(to: target.output), grain: 1)
    case "view-in-loop":
        let holder = Holder(try Team(size: 2))
        let target = try holder.team.array(of: Int64.self, count: 10_000)
        let other = Other(try holder.team.array(of: Int64.self, count: 10))
        holder.team.onProgress = { _ in other.array.withSpan { _ in } }
        try holder.team.run(Slow(to: target.output), grain: 1)
    case "grain": _ = try array.residencyByChunk(grain: 0)
    case "chunk":
        _ = try team.run(AddPlace(array: array.inPlace)).elements(ofChunk: 5000 + opaqueZero())
    case "index": _ = array[100 + opaqueZero()]
    case "negative-index": _ = array[-1 - opaqueZero()]
    case "store-index": array[100 + opaqueZero()] = 1
    case "read-only-store": mapped[0] = 1
    case "read-only-view": mapped.withMutableSpan { _ in }
    case "mirrored-output":
        let mirrored = try team.array(of: Int64.self, count: 100, placement: .mirrored)
        try team.run(AddPlace(array: mirrored.inPlace))
    case "read-only-output": try team.run(AddPlace(array: mapped.inPlace))
    case "working-leader":
        let own = try Team(size: 2, leader: .works, check: .off)
        let target = try own.array(of: Int64.self, count: 100)
        try own.run(TwoViews(array: target.output))
    default: throw Failure(description: "no such trap: \(arguments)")
    }
    print("survived")
}

private final class Other {
    let array: SharedArray<Int64>
    init(_ array: consuming SharedArray<Int64>) { self.array = array }
}

/// A team that a closure can reach while it runs a loop.
private final class Holder {
    let team: Team
    init(_ team: consuming Team) { self.team = team }
}

/// The same mistakes in a kernel: the rank dies, the leader says where.
func trapInWorker(_: [String]) throws {
    let team = try Team(size: 2)
    let array = try team.array(of: Int64.self, count: 100)
    func check(_ what: String, _ body: () throws -> Void) throws {
        let error = try refusal(what, body)
        try claim(equal: error.code, .quarantined, "\(what): \(error)")
        let death = error.report!.deaths[0]
        try claim(
            death.signal == Int(SIGILL) || death.signal == Int(SIGTRAP),
            "\(what): signal \(death.signal)")
        try claim(death.chunk != nil, "\(what): the chunk is not named: \(error)")
        _ = try members(of: team)
    }
    try check("two views") { try team.run(TwoViews(array: array.output), grain: 10) }
    try check("a range beyond the array") {
        try team.run(Beyond(array: array.input), grain: 10)
    }
    try check("an index beyond the chunk") {
        try team.run(BeyondSpan(array: array.output), grain: 10)
    }
    let error = try refusal("a loop beyond the array") {
        try team.run(AddPlace(array: array.inPlace), count: 200, grain: 10)
    }
    try claim(equal: error.code, .invalidArgument, "a loop beyond the array: \(error)")
}
