// StormKernels.swift - what a storm's team works on, and the same work done by one process.

internal import Muster

/// The work of one round: a chain of operations of which none can be undone or done twice unnoticed.
@inline(__always)
func mix(_ x: UInt64, _ place: UInt64, _ round: UInt64) -> UInt64 {
    var x = x ^ (place &* 0x9e37_79b9_7f4a_7c15 &+ round)
    for _ in 0..<24 {
        x = (x ^ (x >> 29)) &* 0xbf58_476d_1ce4_e5b9
        x = x &+ (x << 7)
    }
    return x
}

struct StormInPlace: Kernel {
    let x: SharedArray<UInt64>.InPlace
    let round: UInt64

    func process(_ chunk: borrowing Chunk) throws {
        x.update(chunk) { x, places in
            for i in x.indices { x[i] = mix(x[i], UInt64(places.lowerBound + i), round) }
        }
    }
}

struct StormOutOfPlace: Kernel {
    let from: SharedArray<UInt64>.Input
    let to: SharedArray<UInt64>.Output
    let round: UInt64

    func process(_ chunk: borrowing Chunk) throws {
        let from = from.span(chunk)
        let first = chunk.range.lowerBound
        to.write(chunk) { to in
            for i in to.indices { to[i] = mix(from[i], UInt64(first + i), round) }
        }
    }
}

/// A sum of doubles, whose bits depend on the order of additions.
struct StormReduce: Reduction {
    let from: SharedArray<UInt64>.Input
    let round: UInt64
    var identity: Double { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Double {
        StormReduce.sum(from.span(chunk), first: chunk.range.lowerBound, round)
    }

    func combine(_ left: Double, _ right: Double) -> Double { left + right }

    static func sum(_ values: Span<UInt64>, first: Int, _ round: UInt64) -> Double {
        var sum = 0.0
        for i in values.indices {
            sum += Double(mix(values[i], UInt64(first + i), round) >> 11) * 0x1p-53
        }
        return sum
    }
}
