// SharedPage.swift - words that all ranks of a team see in addition to their arrays: flags that ranks
// wait for, and times that they leave for the leader.
//
// Made before the team is forked, so that it lies at the same address in every rank. It is outside the
// exactly-once promise, as everything that chunks share is.

internal import MusterCore
internal import Glibc
internal import Muster

/// Memory that this process shares with those it forks afterwards, zero at the start.
struct SharedMemory: BitwiseCopyable, @unchecked Sendable {
    let start: UnsafeMutableRawPointer
    private let bytes: Int

    /// Throws `.memory`. `subject`: whose it is.
    init(bytes: Int, subject: String) throws(MusterError) {
        self.bytes = bytes
        let flags = MAP_SHARED | MAP_ANONYMOUS
        guard let start = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0),
            start != MAP_FAILED
        else {
            throw MusterError(
                .memory, subject: subject, reason: "can't map \(bytes) bytes of shared memory",
                errorNumber: errno)
        }
        self.start = start
    }

    /// Unmaps it here. Other processes keep their mapping.
    func release() { munmap(start, bytes) }
}

/// Shared words, each in a line of its own, zero at the start.
struct SharedPage: BitwiseCopyable, @unchecked Sendable {
    /// In words. At least 128 bytes: lines come in pairs where a CPU fetches two at a time.
    private static let stride = max(128, Int(muster_cache_line_bytes(nil))) / 8
    private let memory: SharedMemory

    /// Room for `words`. Throws `.memory`.
    init(words: Int) throws(MusterError) {
        memory = try SharedMemory(bytes: words * SharedPage.stride * 8, subject: "bench")
    }

    /// Unmaps it here. Ranks that still run keep their mapping.
    func release() { memory.release() }

    /// The address of a word, for the C core's relay.
    func word(_ index: Int) -> UnsafeMutablePointer<UInt64> {
        memory.start.assumingMemoryBound(to: UInt64.self) + index * SharedPage.stride
    }

    /// A word as a number of any kind. Only where a relay or the end of a loop orders the accesses.
    subscript(index: Int) -> Double {
        get { Double(bitPattern: word(index).pointee) }
        nonmutating set { word(index).pointee = newValue.bitPattern }
    }
}
