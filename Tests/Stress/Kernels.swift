/// The kernels that the stress tests run, and how each result is known without the library.

import MusterCore
import Muster

/// x[i] += by: twice or never shows in the sum.
struct Increment: Kernel {
    let by: Int32
    let x: SharedArray<Int32>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        x.update(chunk) { values in
            for i in values.indices { values[i] += by }
        }
    }
}

/// y[i] = 3 i + plus.
struct Line: Kernel {
    let plus: Int
    let y: SharedArray<Int>.Output
    func process(_ chunk: borrowing Chunk) throws {
        let first = chunk.range.lowerBound
        y.write(chunk) { values in
            for i in values.indices { values[i] = 3 * (first + i) + plus }
        }
    }
}

/// y[i] = x[i - 1] + x[i] + x[i + 1], as far as x goes: reads what other ranks' chunks hold.
struct Stencil: Kernel {
    let x: SharedArray<Int>.Input
    let y: SharedArray<Int>.Output
    func process(_ chunk: borrowing Chunk) throws {
        let around = x.span(chunk, halo: 1)
        let skipped = chunk.range.lowerBound == 0 ? 0 : 1
        y.write(chunk) { values in
            for i in values.indices {
                let middle = i + skipped
                var sum = around[middle]
                if middle > 0 { sum += around[middle - 1] }
                if middle + 1 < around.count { sum += around[middle + 1] }
                values[i] = sum
            }
        }
    }
}

/// A kernel whose chunks cost very different time: the first ones nearly everything.
struct Skewed: Kernel {
    let x: SharedArray<Int32>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        let turns = chunk.index < 8 ? 20_000 : 1
        x.update(chunk) { values in
            for i in values.indices {
                var value = values[i]
                for turn in 0..<turns { value = value &* 5 &+ Int32(truncatingIfNeeded: turn) }
                // The turns must not be optimised away, and must not change the result.
                values[i] = value == .min ? values[i] &+ 1 : values[i] + 1
            }
        }
    }
}

struct Refusal: Error, CustomStringConvertible {
    let chunk: Int
    var description: String { "chunk \(chunk) is not to my taste" }
}

/// Throws at one chunk, after it has changed it.
struct Thrower: Kernel {
    let at: Int
    let x: SharedArray<Int32>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        let index = chunk.index
        try x.update(chunk) { values throws in
            if index == at { throw Refusal(chunk: index) }
            for i in values.indices { values[i] += 1 }
        }
    }
}

/// The same for any kind of number: found by its mangled name.
struct Fill<Number: FixedWidthInteger & BitwiseCopyable>: Kernel {
    let value: Number
    let array: SharedArray<Number>.Output
    func process(_ chunk: borrowing Chunk) throws {
        array.write(chunk) { values in
            for i in values.indices { values[i] = value }
        }
    }
}

/// A sum that depends on the order of its additions: equal bits mean an equal order.
struct RoughSum: Reduction {
    let x: SharedArray<Double>.Input
    var identity: Double { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Double {
        let values = x.span(chunk)
        var sum = 0.0
        for i in values.indices { sum += values[i] }
        return sum
    }
    func combine(_ left: Double, _ right: Double) -> Double { left * 0.999 + right }
}

/// Which rank each chunk was worked on by.
struct Mark: Kernel {
    let ranks: SharedArray<Int32>.Output
    func process(_ chunk: borrowing Chunk) throws {
        let rank = Int32(chunk.rank * 1000 + chunk.size)
        ranks.write(chunk) { values in
            for i in values.indices { values[i] = rank }
        }
    }
}

/// Cancels from within, at every chunk, so no rank does more than one. At chunk 0 alone it could
/// come last: thieves may have done all the others before.
struct Canceller: Kernel {
    let x: SharedArray<Int32>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        chunk.cancelLoop()
        x.update(chunk) { values in
            for i in values.indices { values[i] += 1 }
        }
    }
}
