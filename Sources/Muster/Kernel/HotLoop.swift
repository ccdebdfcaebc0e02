// HotLoop.swift - claim and commit, compiled into each kernel's loop.
//
// The C core has both as inline functions (muster_loop_next, muster_loop_commit), but the compiler puts
// imported C functions into one object file of a Swift module, so that in all others they are calls,
// and through memory: 3.8 ns a chunk, against 1.1 here (one rank, Zen 4). So the part of them that every
// chunk goes through stands here once more, with what it needs in local variables; what happens once a
// claim, or in traced jobs, is left to C.
//
// Invariant: within an interval of neighbouring chunks `next` and `tail` of the cursor in memory are
// stale. C reads `next` only in muster_loop_more, after it was written back. On the paths taken from here
// C never reads `tail`: muster_loop_commit_apart only writes it.

public import MusterCore
public import Synchronization

@usableFromInline
struct HotLoop: ~Copyable {
    @usableFromInline let loop: UnsafeMutablePointer<muster_loop>
    /// The team's word; equal to `job` when this job should end.
    @usableFromInline let cancelled: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let job: UInt64
    @usableFromInline let grain: UInt64
    @usableFromInline let elements: UInt64
    /// The chunk to be handed out next, and where to ask C for more.
    @usableFromInline var index: UInt64
    @usableFromInline var limit: UInt64
    /// The chunk whose commit lengthens the roll's last interval, and that interval's end.
    @usableFromInline var tail: UInt64
    @usableFromInline var tailEnd: UnsafeMutablePointer<UInt64>?

    @inlinable @inline(__always)
    init(_ loop: UnsafeMutablePointer<muster_loop>) {
        self.loop = loop
        cancelled = HotLoop.atomic(loop.pointee.cancelled)
        job = loop.pointee.job
        grain = loop.pointee.cursor.grain
        elements = loop.pointee.cursor.elements
        index = loop.pointee.cursor.next
        limit = loop.pointee.cursor.end  // of a traced job: none is claimed yet
        tail = .max
        tailEnd = nil
    }

    @inlinable @inline(__always)
    static func atomic(_ word: UnsafeMutablePointer<UInt64>) -> UnsafeMutablePointer<Atomic<UInt64>>
    {
        // Same size, alignment and meaning as the uint64_t that C's atomic built-ins work on.
        UnsafeMutableRawPointer(word).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// The next chunk; false at the end of this rank's part.
    @inlinable @inline(__always)
    mutating func next(_ chunk: inout muster_chunk) -> Bool {
        if index == limit {
            loop.pointee.cursor.next = index
            guard muster_loop_more(loop) else { return false }
            index = loop.pointee.cursor.next
            // A traced job asks at each chunk, and its commits all go by way of C.
            limit = loop.pointee.cursor.slow_path == 0 ? loop.pointee.cursor.end : index &+ 1
        }
        // Relaxed: a request to stop carries no data. The line is read-mostly, so this costs a hit.
        if cancelled.pointee.load(ordering: .relaxed) == job {
            leave()
            return false
        }
        chunk.index = index
        chunk.first = index &* grain
        chunk.end = chunk.first &+ min(grain, elements &- chunk.first)
        index &+= 1
        return true
    }

    /// Commits the chunk handed out last, after its kernel's last store.
    @inlinable @inline(__always)
    mutating func commit(_ number: UInt64) {
        if number == tail {
            tail = number &+ 1
            // Release: pairs with the audit's acquire; without it a reader could count the chunk before
            // it can see the chunk's data.
            HotLoop.atomic(tailEnd.unsafelyUnwrapped).pointee.store(tail, ordering: .releasing)
        } else {
            muster_loop_commit_apart(loop, number)
            tail = loop.pointee.cursor.slow_path == 0 ? loop.pointee.cursor.tail : .max
            tailEnd = loop.pointee.cursor.tail_end
        }
    }

    /// Writes back the loop's position, for the code that goes on with it after an error.
    @inlinable @inline(__always)
    func leave() { loop.pointee.cursor.next = index }
}
