// Mix.swift - proportions of reads and writes, and kernels that move memory so.

internal import MusterCore
internal import Muster

/// A proportion of reads to writes, in lines.
struct Mix: BitwiseCopyable, Sendable {
    let reads: Int
    let writes: Int

    /// The usual ones, from reading alone to as much written as read.
    static let all = [Mix(1, 0), Mix(3, 1), Mix(2, 1), Mix(1, 1)]

    init(_ reads: Int, _ writes: Int) {
        self.reads = reads
        self.writes = writes
    }

    /// "3:1"
    var name: String { "\(reads):\(writes)" }

    var raw: muster_mix { muster_mix(reads: UInt32(reads), writes: UInt32(writes)) }

    /// Turns through so many words, of each array.
    func turns(words: Int) -> Int {
        let lines = words * 8 / Int(MUSTER_PROBE_LINE_BYTES)
        return min(reads > 0 ? lines / reads : .max, writes > 0 ? lines / writes : .max)
    }

    /// Bytes read and written in so many words of each array.
    func bytes(words: Int) -> Int {
        turns(words: words) * (reads + writes) * Int(MUSTER_PROBE_LINE_BYTES)
    }

    /// Words read, from the start of a piece of so many.
    func wordsRead(of words: Int) -> Int {
        turns(words: words) * reads * Int(MUSTER_PROBE_LINE_BYTES) / 8
    }

    /// Words written, from the start of a piece of so many.
    func wordsWritten(of words: Int) -> Int {
        turns(words: words) * writes * Int(MUSTER_PROBE_LINE_BYTES) / 8
    }
}

/// Sets each word to its index.
struct Number: Kernel {
    let words: SharedArray<UInt64>.Output
    func process(_ chunk: borrowing Chunk) throws {
        let first = chunk.range.lowerBound
        words.write(chunk) { words in for i in words.indices { words[i] = UInt64(first + i) } }
    }
}

/// Moves a chunk in a proportion; the sum of what was read is its result.
struct MixWork: Reduction {
    let mix: Mix
    let from: SharedArray<UInt64>.Input
    let to: SharedArray<UInt64>.Output
    let value: UInt64

    var identity: UInt64 { 0 }

    func process(_ chunk: borrowing Chunk) throws -> UInt64 {
        let from = from.span(chunk)
        var sum: UInt64 = 0
        if mix.writes == 0 {
            from.withUnsafeBufferPointer { from in
                _ = muster_mix_run(
                    mix.raw, from.baseAddress, from.count * 8, nil, 0, value, 0, &sum)
            }
            return sum
        }
        to.write(chunk) { to in
            to.withUnsafeMutableBufferPointer { to in
                from.withUnsafeBufferPointer { from in
                    _ = muster_mix_run(
                        mix.raw, from.baseAddress, from.count * 8, to.baseAddress, to.count * 8,
                        value, 0, &sum)
                }
            }
        }
        return sum
    }

    func combine(_ left: UInt64, _ right: UInt64) -> UInt64 { left &+ right }
}

/// Counts words that a mix should have set and has not.
struct MixWrong: Reduction {
    let mix: Mix
    let to: SharedArray<UInt64>.Input
    let value: UInt64

    var identity: Int { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Int {
        let words = to.span(chunk)
        var wrong = 0
        for i in 0..<mix.wordsWritten(of: words.count) where words[i] != value { wrong += 1 }
        return wrong
    }

    func combine(_ left: Int, _ right: Int) -> Int { left + right }
}
