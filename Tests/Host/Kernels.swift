// Kernels.swift - kernels that several scenarios run.

import Glibc
import Muster

/// Who worked on each chunk.
struct Member: BitwiseCopyable, Equatable {
    var rank: Int32
    var size: Int32
    var pid: Int32
    var times: Int32
}

struct WhoAmI: Kernel {
    let members: SharedArray<Member>.InPlace

    func process(_ chunk: borrowing Chunk) throws {
        let me = Member(
            rank: Int32(chunk.rank), size: Int32(chunk.size), pid: getpid(), times: 0)
        members.update(chunk) { values in
            for i in values.indices {
                let times = values[i].times + 1
                values[i] = me
                values[i].times = times
            }
        }
    }
}

/// to[i] = from[i] * from[i]
struct Square: Kernel {
    let from: SharedArray<Int64>.Input
    let to: SharedArray<Int64>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let from = from.span(chunk)
        to.write(chunk) { to in
            for i in to.indices { to[i] = from[i] &* from[i] }
        }
    }
}

/// Adds each element's place to it: wrong when a chunk is done twice or a tile's range is off.
struct AddPlace: Kernel {
    let array: SharedArray<Int64>.InPlace

    func process(_ chunk: borrowing Chunk) throws {
        array.update(chunk) { values, range in
            for i in values.indices { values[i] &+= Int64(range.lowerBound + i) }
        }
    }
}

/// to[i] = from[i - 1] + from[i] + from[i + 1], as far as there are such.
struct Stencil: Kernel {
    let from: SharedArray<Int64>.Input
    let to: SharedArray<Int64>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let around = from.span(chunk, halo: 1)
        let left = max(0, chunk.range.lowerBound - 1)
        let range = chunk.range
        to.write(chunk) { to in
            for i in to.indices {
                let at = range.lowerBound + i - left
                var sum = around[at]
                if at > 0 { sum &+= around[at - 1] }
                if at + 1 < around.count { sum &+= around[at + 1] }
                to[i] = sum
            }
        }
    }
}

/// A sum whose bits depend on the order of additions.
struct RoughSum: Reduction {
    let array: SharedArray<Double>.Input
    var identity: Double { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Double {
        let values = array.span(chunk)
        var sum = 0.0
        for i in values.indices { sum += values[i] }
        return sum
    }

    func combine(_ left: Double, _ right: Double) -> Double { left + right }
}

/// x -> factor x + offset, modulo 2^64.
struct Affine: BitwiseCopyable, Equatable {
    var factor: UInt64
    var offset: UInt64
}

/// Composes one map an element: not commutative, so a chunk out of order shows.
struct Compose: Reduction {
    let array: SharedArray<Int64>.Input
    var identity: Affine { Affine(factor: 1, offset: 0) }

    func process(_ chunk: borrowing Chunk) throws -> Affine {
        let values = array.span(chunk)
        var map = identity
        for i in values.indices {
            let value = UInt64(bitPattern: values[i])
            map = combine(map, Affine(factor: 2 &* value &+ 3, offset: value))
        }
        return map
    }

    func combine(_ left: Affine, _ right: Affine) -> Affine {
        Affine(
            factor: left.factor &* right.factor,
            offset: left.offset &* right.factor &+ right.offset)
    }
}

/// How a worker is made to die.
enum Fate: Int32, BitwiseCopyable, CaseIterable {
    case kill, segv, abort, exit

    init(_ text: String) throws {
        guard let fate = Fate.allCases.first(where: { "\($0)" == text }) else {
            throw Failure(description: "no such fate: \(text)")
        }
        self = fate
    }

    /// What the report must say: signal and exit status.
    var signal: Int {
        switch self {
        case .kill: Int(SIGKILL)
        case .segv: Int(SIGSEGV)
        case .abort: Int(SIGABRT)
        case .exit: 0
        }
    }

    func meet() {
        switch self {
        case .kill: raise(SIGKILL)
        case .segv:
            // A real fault, at an address that nothing maps.
            UnsafeMutablePointer<Int>(bitPattern: 4096)!.pointee = 1
        case .abort: Glibc.abort()
        case .exit: _exit(3)
        }
    }
}

/// Writes each element's place; one chunk kills its worker, half-way.
struct WriteOrDie: Kernel {
    let to: SharedArray<Int64>.Output
    let deadly: Int
    let fate: Fate
    /// What each chunk takes at least, so that every rank gets its part of the loop.
    var microseconds: UInt32 = 0

    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        let dies = chunk.index == deadly
        if microseconds > 0 { usleep(microseconds) }
        to.write(chunk) { to in
            for i in to.indices {
                if dies && i == to.count / 2 { fate.meet() }
                to[i] = Int64(range.lowerBound + i)
            }
        }
    }
}

/// Does nothing.
struct Nothing: Kernel {
    func process(_ chunk: borrowing Chunk) throws {}
}
