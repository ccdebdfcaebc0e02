// CheckScenarios.swift - kernels that touch what is not theirs, for the table of wrong kernels
// (WrongTable.swift).

import MusterCore
@preconcurrency import Glibc
import Muster

/// What a kernel does wrong.
enum Wrong: Int, CaseIterable {
    case nothing, beyondChunk, beforeChunk, nextChunk, otherRank, wrongArray, freedArray, input
    case readsOutput, readsNeighbour, wideHalo, keptPointer, rangeOnPointer, beyondEnd,
        farBeyondEnd, beforeStart, beyondInput, control

    /// The chunk that does it, of 8: one at the array's ends, or one between.
    var chunk: Int {
        switch self {
        case .beyondEnd, .farBeyondEnd, .beyondInput: 7
        case .beforeStart: 0
        default: 3
        }
    }

    /// Whether the CPU refuses it in any team.
    var isAlwaysFound: Bool {
        switch self {
        case .freedArray, .beyondEnd, .farBeyondEnd, .beforeStart, .beyondInput: true
        default: false
        }
    }

    /// Whether it can be seen where chunks share pages: of a read, or of a store beyond the last page, only
    /// the CPU can tell.
    var isSeenWithinPage: Bool {
        switch self {
        case .readsOutput, .readsNeighbour, .wideHalo, .beyondInput: false
        default: true
        }
    }

    /// What the error must say. `count`: elements a chunk.
    func words(_ count: Int) -> String {
        let chunk = "its chunk \(3 * count)..<\(4 * count)"
        return switch self {
        case .nothing: ""
        case .beyondChunk: "wrote element \(4 * count) of array 1 (x), right beyond \(chunk)"
        case .beforeChunk: "wrote element \(3 * count - 1) of array 1 (x), 1 before \(chunk)"
        case .nextChunk: "wrote element \(4 * count + 5) of array 1 (x), 5 beyond \(chunk)"
        case .otherRank:
            "wrote element \(6 * count + 1) of array 1 (x), \(2 * count + 1) beyond \(chunk)"
        case .wrongArray: "wrote element 11 of array 3, which this loop does not use"
        case .freedArray: "wrote element 11 of array 4, which has been freed"
        case .input: "wrote element 3 of array 0 (a), which this loop only reads"
        case .readsOutput: "read element \(count) of array 2 (out), \(2 * count) before \(chunk)"
        case .readsNeighbour: "read element \(5 * count) of array 1 (x), \(count) beyond \(chunk)"
        case .wideHalo: "read element \(3 * count - 64) of array 1 (x), 64 before \(chunk)"
        case .keptPointer: "wrote element 0 of array 1 (x), \(3 * count) before \(chunk)"
        case .rangeOnPointer:
            "wrote element \(6 * count) of array 1 (x), \(2 * count) beyond \(chunk)"
        case .beyondEnd: "wrote right beyond the end of array 1 (x)"
        case .farBeyondEnd: "wrote 40000000 bytes beyond the end of array 1 (x)"
        case .beforeStart: "wrote 8 bytes before the start of array 1 (x)"
        case .beyondInput: "read right beyond the end of array 0 (a)"
        case .control: "wrote to the memory that the team runs by"
        }
    }
}

/// Doubles `x`; `out` becomes what `a` holds. One chunk strays.
struct Straying: Kernel {
    let wrong: Int
    let a: SharedArray<Double>.Input
    let x: SharedArray<Double>.InPlace
    let out: SharedArray<Double>.Output
    /// Bytes from element 0 of `x` to what is not this kernel's.
    let foreign: Int

    func process(_ chunk: borrowing Chunk) throws {
        out.write(chunk) { to in
            let from = a.span(chunk)
            for i in to.indices { to[i] = from[i] }
            guard chunk.index == 3, wrong == Wrong.readsOutput.rawValue else { return }
            to.withUnsafeBufferPointer { keep($0.baseAddress![-2 * chunk.count]) }
        }
        x.updateWhole(chunk) { values in
            for i in values.indices { values[i] *= 2 }
            values.withUnsafeMutableBufferPointer { stray($0.baseAddress!, chunk) }
        }
    }

    @inline(never)
    func stray(_ own: UnsafeMutablePointer<Double>, _ chunk: borrowing Chunk) {
        let wrong = Wrong(rawValue: wrong)!
        keptPointer = keptPointer ?? own
        guard chunk.index == wrong.chunk else { return }
        let count = chunk.count
        var input: UnsafeMutablePointer<Double>?
        a.span(chunk).withUnsafeBufferPointer { input = .init(mutating: $0.baseAddress!) }
        let raw = UnsafeMutableRawPointer(own - chunk.range.lowerBound) + foreign
        switch wrong {
        case .beyondChunk, .beyondEnd: own[count] = 1
        case .beforeChunk, .beforeStart: own[-1] = 1
        case .nextChunk: own[count + 5] = 1
        case .otherRank: own[3 * count + 1] = 1
        case .wrongArray, .freedArray: raw.storeBytes(of: 1, toByteOffset: 88, as: Double.self)
        case .input: (input! - chunk.range.lowerBound)[3] = 1
        case .readsNeighbour: keep(own[2 * count])
        case .wideHalo: for i in -64..<count + 64 { keep(own[i]) }
        case .keptPointer: keptPointer![0] = 1
        case .rangeOnPointer: own[chunk.range.lowerBound] = 1
        case .farBeyondEnd: own[count + 5_000_000] = 1
        case .beyondInput: keep(input![count])
        case .control: controlMemory()?.storeBytes(of: 1, toByteOffset: 64, as: UInt32.self)
        case .nothing, .readsOutput: break
        }
    }
}

/// Where a rank has the memory that the team runs by, closed for writing. Ranks of a server have it elsewhere
/// than the leader, by chance at the same distance from the arrays or at another one.
private func controlMemory() -> UnsafeMutableRawPointer? {
    guard let file = fopen("/proc/self/maps", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, Int32(line.count), file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        guard text.contains(" r--s "), text.contains("muster-control") else { continue }
        return UInt(text.prefix { $0 != "-" }, radix: 16).flatMap(
            UnsafeMutableRawPointer.init(bitPattern:))
    }
    return nil
}

/// A place for what is only to be read. (A print of nothing would be left out, and the reading with it.)
@inline(never) func keep(_ value: Double) { if value == 0.123 { fputs("kept\n", stderr) } }

/// Of the first chunk that this process has worked on.
nonisolated(unsafe) private var keptPointer: UnsafeMutablePointer<Double>?

/// Runs one wrong kernel. Returns the loop's error; nil: it had none.
func runStraying(_ wrong: Wrong, grain: Int, check: Team.Check) throws -> MusterError? {
    let team = try Team(size: 2, start: usualStart, check: check)
    let count = 8 * grain
    let a = try team.array(of: Double.self, count: count)
    var x = try team.array(of: Double.self, count: count)
    let out = try team.array(of: Double.self, count: count)
    let other = try team.array(of: Double.self, count: count)
    let freed = try team.array(of: Double.self, count: count)
    x.withMutableSpan { for i in $0.indices { $0[i] = Double(i) } }
    let base = UInt(bitPattern: x.withSpan { $0.withUnsafeBufferPointer { $0.baseAddress! } })
    var target = UInt(bitPattern: muster_team_slot(team.handle, 0)) + 768 - 8
    if wrong == .wrongArray {
        target = UInt(
            bitPattern: other.withSpan { $0.withUnsafeBufferPointer { $0.baseAddress! } })
    } else if wrong == .freedArray {
        target = UInt(
            bitPattern: freed.withSpan { $0.withUnsafeBufferPointer { $0.baseAddress! } })
    }
    _ = consume freed
    let kernel = Straying(
        wrong: wrong.rawValue, a: a.input, x: x.inPlace, out: out.output,
        foreign: Int(bitPattern: target &- base))
    var found: MusterError?
    do {
        let report = try team.run(kernel, grain: grain)
        try claim(report.isClean, "\(wrong): \(report)")
    } catch let error as MusterError {
        found = error
        let report = error.report!
        let chunk = wrong.chunk
        if report.isClean { return found }  // found beside the array
        try claim(
            report.missing.contains { $0.contains(chunk) }, "\(wrong): chunk \(chunk) in \(report)")
        try claim(equal: x[chunk * grain], Double(chunk * grain), "\(wrong): is put back")
        if check == .on { try claim(equal: report.deaths.count, 1, "\(wrong): \(report)") }
        // The team goes on.
        try x.fill(1)
    }
    return found
}
