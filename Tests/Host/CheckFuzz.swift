// CheckFuzz.swift - random kernels in a checked team: right ones, of which nothing may be said and
// whose results are those of a serial loop, and the same with one stray store, which must be named.

import MusterCore
@preconcurrency import Glibc
import Muster
import TestSupport

/// x[i] becomes 3 x[i] + i; out[i] becomes a[i] + b[j] of a neighbour j. One chunk may store eight
/// bytes somewhere else.
struct Fuzzed<Element: FixedWidthInteger & BitwiseCopyable & Sendable>: Kernel {
    let a: SharedArray<Element>.Input
    let b: SharedArray<Element>.Input
    let x: SharedArray<Element>.InPlace
    let out: SharedArray<Element>.Output
    let halo: Int
    let isWhole: Bool
    let strayChunk: Int
    /// Bytes from element 0 of `x`.
    let target: Int

    func process(_ chunk: borrowing Chunk) throws {
        let near = b.span(chunk, halo: halo)
        let before = chunk.range.lowerBound - max(0, chunk.range.lowerBound - halo)
        out.write(chunk) { to in
            let from = a.span(chunk)
            for i in to.indices { to[i] = from[i] &+ near[max(0, before + i - halo)] }
        }
        let first = chunk.range.lowerBound
        let index = chunk.index
        if isWhole {
            x.updateWhole(chunk) { values in
                for i in values.indices {
                    values[i] = values[i] &* 3 &+ Element(truncatingIfNeeded: first + i)
                }
                if index == strayChunk { stray(&values, first) }
            }
        } else {
            var isFirst = true
            x.update(chunk) { (values, range) in
                for i in values.indices {
                    values[i] = values[i] &* 3 &+ Element(truncatingIfNeeded: range.lowerBound + i)
                }
                if index == strayChunk, isFirst { stray(&values, range.lowerBound) }
                isFirst = false
            }
        }
    }

    @inline(never)
    func stray(_ values: inout MutableSpan<Element>, _ first: Int) {
        values.withUnsafeMutableBufferPointer { own in
            (UnsafeMutableRawPointer(own.baseAddress! - first) + target)
                .storeBytes(of: 0x0123_4567_89ab_cdef, as: UInt64.self)
        }
    }
}

/// Arrays of one program, and where they lie.
private struct Setup<Element: FixedWidthInteger & BitwiseCopyable & Sendable>: ~Copyable {
    let a: SharedArray<Element>
    let b: SharedArray<Element>
    let x: SharedArray<Element>
    let out: SharedArray<Element>
    let other: SharedArray<Element>
}

private func values<Element: FixedWidthInteger>(
    _ count: Int, _ random: inout Seeded
) -> [Element] {
    (0..<count).map { _ in Element(truncatingIfNeeded: random.next()) }
}

private func address<Element>(_ array: borrowing SharedArray<Element>) -> Int {
    array.withSpan { $0.withUnsafeBufferPointer { Int(bitPattern: $0.baseAddress!) } }
}

/// Where a stray store goes, and what the error must say of it.
private func target<Element>(
    _ setup: borrowing Setup<Element>, chunk: Range<Int>, _ random: inout Seeded
) -> (address: Int, words: [String]) {
    let stride = MemoryLayout<Element>.stride
    let bytes = setup.x.count * stride
    let arrays = [
        (address(setup.a), "(a)"), (address(setup.b), "(b)"), (address(setup.x), "(x)"),
        (address(setup.out), "(out)"), (address(setup.other), ""),
    ]
    while true {
        let number = Int.random(in: 0..<5, using: &random)
        let (start, name) = arrays[number]
        // Mostly near the chunk's borders, where a page is shared; sometimes anywhere, or beyond.
        let border = Bool.random(using: &random) ? chunk.lowerBound : chunk.upperBound
        var offset =
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1: border * stride + Int.random(in: -200..<200, using: &random)
            case 2: Int.random(in: -4096..<bytes + 4096, using: &random)
            default: bytes + Int.random(in: 0..<60_000_000, using: &random)
            }
        offset &= ~7
        let isWritten = number == 2 || number == 3
        let own = chunk.lowerBound * stride..<chunk.upperBound * stride
        if isWritten, offset + 8 > own.lowerBound, offset < own.upperBound { continue }
        // The first byte says which array it is; eight bytes may run over its end.
        var words = [name]
        if offset >= 0, offset < bytes {
            words.append("element \(offset / stride) of array ")
            if number == 4 { words.append("which this loop does not use") }
        } else {
            words.append(offset >= bytes ? "beyond the end of array" : "before the start of array")
        }
        return (start + offset, words)
    }
}

private func runProgram<Element: FixedWidthInteger & BitwiseCopyable & Sendable>(
    _ type: Element.Type, _ team: borrowing Team, strays: Bool, _ random: inout Seeded
) throws {
    let count = Int.random(in: 1...(Bool.random(using: &random) ? 300 : 20_000), using: &random)
    var grain = Int.random(in: 1...count, using: &random)
    if Int.random(in: 0..<4, using: &random) == 0 {
        grain = min(count, 4096 / MemoryLayout<Element>.stride)
    }
    grain = max(grain, (count + 63) / 64)
    let a = try team.array(values(count, &random) as [Element])
    let b = try team.array(values(count, &random) as [Element])
    let x = try team.array(values(count, &random) as [Element])
    let out = try team.array(of: Element.self, count: count)
    let other = try team.array(of: Element.self, count: count)
    let setup = Setup(a: a, b: b, x: x, out: out, other: other)
    let chunks = (count + grain - 1) / grain
    let chunk = Int.random(in: 0..<chunks, using: &random)
    let range = chunk * grain..<min(count, (chunk + 1) * grain)
    let (place, words) = target(setup, chunk: range, &random)
    let kernel = Fuzzed(
        a: setup.a.input, b: setup.b.input, x: setup.x.inPlace, out: setup.out.output,
        halo: Int.random(in: 0...3, using: &random), isWhole: Bool.random(using: &random),
        strayChunk: strays ? chunk : -1, target: place - address(setup.x))
    let schedules: [Schedule] = [.static, .cyclic, .dynamic, .guided, .staticSteal]
    let schedule = schedules.randomElement(using: &random)!
    let what = "\(type), \(count) by \(grain), \(schedule), chunk \(chunk), \(words)"
    let before = setup.x.toArray()
    do {
        let report = try team.run(kernel, grain: grain, schedule: schedule)
        try claim(!strays, "\(what): nothing is said")
        try claim(report.isClean, "\(what): \(report)")
    } catch let error as MusterError {
        try claim(strays, "\(what): a false alarm: \(error)")
        try claim(equal: error.code, .strayAccess, "\(what): \(error)")
        try claim(error.description.contains("wrote"), "\(what): \(error)")
        try claim(
            words.allSatisfy { $0.isEmpty || error.description.contains($0) }, "\(what): \(error)")
        try claim(error.description.hasPrefix("chunk \(chunk) "), "\(what): \(error)")
        try claim(
            range.allSatisfy { setup.x[$0] == before[$0] }, "\(what): its chunk is put back")
        return
    }
    for i in 0..<count {
        try claim(
            equal: setup.x[i], before[i] &* 3 &+ Element(truncatingIfNeeded: i), "\(what): x[\(i)]")
        let near = setup.b[max(0, i - kernel.halo)]
        try claim(equal: setup.out[i], setup.a[i] &+ near, "\(what): out[\(i)]")
    }
}

/// Arguments: how many programs of each kind, a seed (0: one is drawn).
func fuzzCheck(_ arguments: [String]) throws {
    let programs = try number(arguments, 0)
    var seed = UInt64(try number(arguments, 1))
    if seed == 0 { seed = UInt64.random(in: 1..<1_000_000_000) }
    print("seed \(seed)")
    var random = Seeded(seed)
    let team = try Team(size: 3, check: .on)
    for number in 0..<2 * programs {
        let strays = number % 2 == 1
        do {
            switch Int.random(in: 0..<4, using: &random) {
            case 0: try runProgram(UInt8.self, team, strays: strays, &random)
            case 1: try runProgram(UInt16.self, team, strays: strays, &random)
            case 2: try runProgram(UInt32.self, team, strays: strays, &random)
            default: try runProgram(UInt64.self, team, strays: strays, &random)
            }
        } catch let failure as Failure {
            throw Failure(description: "seed \(seed), program \(number): \(failure)")
        }
    }
    print("\(programs) right, \(programs) with a stray store")
}
