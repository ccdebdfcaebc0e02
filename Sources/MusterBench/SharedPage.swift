// SharedPage.swift - words that all ranks of a team see beside their arrays: flags that ranks wait for,
// and times that they leave for the leader.
//
// Made before the team is forked, so that it lies at the same address in every rank. It is outside the
// exactly-once promise, as everything that chunks share is.

internal import Glibc
internal import Muster

/// Shared words, each in a line of its own, zero at the start.
struct SharedPage: BitwiseCopyable, @unchecked Sendable {
    /// 128 bytes: lines come in pairs where a CPU fetches two at a time.
    private static let stride = 16
    private let start: UnsafeMutablePointer<UInt64>
    private let bytes: Int

    /// Room for `words`. Throws `.memory`.
    init(words: Int) throws(MusterError) {
        bytes = (words * SharedPage.stride * 8 + 4095) / 4096 * 4096
        let flags = MAP_SHARED | MAP_ANONYMOUS
        guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0),
            memory != MAP_FAILED
        else {
            throw MusterError(
                .memory, subject: "bench", reason: "no memory for shared words", errorNumber: errno)
        }
        start = memory.assumingMemoryBound(to: UInt64.self)
    }

    /// Unmaps it here. Ranks that still run keep their mapping.
    func release() { munmap(start, bytes) }

    /// The address of a word, for the C core's relay.
    func word(_ index: Int) -> UnsafeMutablePointer<UInt64> {
        start + index * SharedPage.stride
    }

    /// A word as a number of any kind. Only where a relay or the end of a loop orders the accesses.
    subscript(index: Int) -> Double {
        get { Double(bitPattern: word(index).pointee) }
        nonmutating set { word(index).pointee = newValue.bitPattern }
    }
}
