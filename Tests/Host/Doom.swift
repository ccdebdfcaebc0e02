// Doom.swift - deaths that chunks still owe, and the kernels that pay them at a chosen step.

import Glibc
import Muster

/// Cells in memory that all processes share: one a chunk, one a rank, and a few flags. Each has one
/// writer at a time, also when several workers die at once.
struct Doom: BitwiseCopyable, @unchecked Sendable {
    private let cells: UnsafeMutablePointer<Int32>

    static let shared = Doom()
    static let chunks = 3000
    static let all = 4096

    static func rank(_ rank: Int) -> Int { chunks + rank }
    static func flag(_ number: Int) -> Int { chunks + 500 + number }

    private init() {
        let room = mmap(
            nil, Doom.all * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
        cells = room.assumingMemoryBound(to: Int32.self)
    }

    /// A team whose workers can see it: made before them.
    static func team(_ size: Int, leader: Team.Leader = .waits) throws -> Team {
        shared.clear()
        return try Team(size: size, leader: leader)
    }

    func clear() { cells.update(repeating: 0, count: Doom.all) }

    subscript(cell: Int) -> Int {
        get { Int(cells[cell]) }
        nonmutating set { cells[cell] = Int32(newValue) }
    }

    func pay(_ cell: Int, _ fate: Fate = .kill) {
        guard cells[cell] > 0 else { return }
        cells[cell] -= 1
        fate.meet()
    }

    /// Waits for a flag, but no longer than some 300 ms: who would raise it may be this rank.
    func wait(for cell: Int) {
        for _ in 0..<1500 where cells[cell] == 0 { usleep(200) }
    }
}

/// x -> 3 x + place in two passes over the chunk. Deaths that the chunk, or (`isByRank`) a rank other
/// than 0, owes are paid half-way through the second.
struct Twice: Kernel {
    let x: SharedArray<Int64>.InPlace
    let doom = Doom.shared
    var fate = Fate.kill
    var isByRank = false
    var microseconds: UInt32 = 0

    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        let middle = (range.lowerBound + range.upperBound) / 2
        let cell = isByRank ? Doom.rank(chunk.rank) : chunk.index
        if microseconds > 0 { usleep(microseconds) }
        x.update(chunk) { x in
            for i in x.indices { x[i] = 3 &* x[i] }
        }
        x.update(chunk) { x, places in
            for i in x.indices {
                if places.lowerBound + i == middle { doom.pay(cell, fate) }
                x[i] &+= Int64(places.lowerBound + i)
            }
        }
    }
}

/// to = 3 from + place; deaths as above.
struct Copy: Kernel {
    let from: SharedArray<Int64>.Input
    let to: SharedArray<Int64>.Output
    let doom = Doom.shared
    var isByRank = false
    var microseconds: UInt32 = 0

    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        let from = from.span(chunk)
        let cell = isByRank ? Doom.rank(chunk.rank) : chunk.index
        if microseconds > 0 { usleep(microseconds) }
        to.write(chunk) { to in
            for i in to.indices {
                if i == to.count / 2 { doom.pay(cell) }
                to[i] = changed(from[i], range.lowerBound + i)
            }
        }
    }
}

/// A sum whose bits depend on the order of additions; deaths as above.
struct RoughDoom: Reduction {
    let from: SharedArray<Int64>.Input
    let doom = Doom.shared
    var isByRank = false
    var microseconds: UInt32 = 0
    var identity: Double { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Double {
        let from = from.span(chunk)
        let cell = isByRank ? Doom.rank(chunk.rank) : chunk.index
        if microseconds > 0 { usleep(microseconds) }
        var sum = 0.0
        for i in from.indices {
            if i == from.count / 2 { doom.pay(cell) }
            sum += 1 / Double(from[i] | 1)
        }
        return sum
    }

    func combine(_ left: Double, _ right: Double) -> Double { left + right }
}

/// Chunks that are done have their new contents, all others their old ones, bit for bit.
func claimChanged(
    _ array: borrowing SharedArray<Int64>, from old: [Int64], _ report: AuditReport, _ what: String,
    line: Int = #line
) throws {
    try claim(
        equal: report.exactlyOnce + report.missingCount, report.chunks, "\(what): chunks",
        line: line)
    let new = array.toArray()
    for chunk in 0..<report.chunks {
        let isDone = !report.missing.contains { $0.contains(chunk) }
        for i in report.elements(ofChunk: chunk) {
            try claim(
                equal: new[i], isDone ? changed(old[i], i) : old[i],
                "\(what): element \(i) of chunk \(chunk), done: \(isDone)", line: line)
        }
    }
    try claim(new[report.elements...].elementsEqual(old[report.elements...]), "\(what): beyond")
}

/// Any bits at all.
func oldContents(_ count: Int) -> [Int64] { (0..<count).map { value($0) ^ Int64($0) << 40 } }
