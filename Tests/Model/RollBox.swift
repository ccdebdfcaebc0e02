/// Memory for one roll, with a page that nobody may touch on either side: an access outside it
/// ends the test process at once, with or without the address sanitizer.

import MusterCore
import Glibc

final class RollBox {
    let capacity: UInt64
    let bytes: Int
    let roll: UnsafeMutablePointer<muster_roll>
    private let mapping: UnsafeMutableRawPointer

    init(capacity: UInt64) {
        self.capacity = capacity
        bytes = Int(muster_roll_bytes(capacity))
        mapping = mmap(
            nil, bytes + 2 * RollBox.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1, 0)!
        precondition(mapping != MAP_FAILED)
        let start = mapping + RollBox.page
        precondition(mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0)
        roll = start.assumingMemoryBound(to: muster_roll.self)
    }

    deinit { munmap(mapping, bytes + 2 * RollBox.page) }

    private static let page = 4096

    /// Where the log lies: after the header, as roll.h says.
    var log: UnsafeMutablePointer<muster_interval> {
        (UnsafeMutableRawPointer(roll) + MemoryLayout<muster_roll>.size)
            .assumingMemoryBound(to: muster_interval.self)
    }

    var words: UnsafeMutableBufferPointer<UInt64> {
        UnsafeMutableBufferPointer(
            start: UnsafeMutableRawPointer(roll).assumingMemoryBound(to: UInt64.self),
            count: bytes / 8)
    }

    /// Starts a process's part of a job in this roll.
    func begin(job: UInt64, rank: UInt32 = 0, first: UInt64, count: UInt64) -> muster_roll_writer {
        var writer = muster_roll_writer()
        muster_roll_begin(&writer, roll, capacity, job, rank, first, count)
        return writer
    }
}

/// Whether this is a build for the thread sanitizer: thirty times slower, and one thread has no
/// races to find, so a fraction of the histories is enough there.
let isThreadSanitized = dlsym(nil, "__tsan_init") != nil
