// Kernel.swift - what a loop runs, and the hot loop that runs it.
//
// The loop is a protocol requirement with an inlinable default: it is entered once per job and rank,
// and the kernel's `process`, claim and commit (HotLoop.swift) are compiled into it in the client's
// module. A stored closure instead would cost some 15 ns a chunk and allocate.

public import MusterCore

/// The work of a loop, done chunk by chunk by the ranks of a team.
///
/// A kernel is a value: its stored properties are its arguments, copied to every rank. They are plain
/// bytes (`BitwiseCopyable`): numbers, and accesses to arrays such as ``SharedArray/InPlace``. What
/// `process` does must depend only on these and on the chunk, since any rank may get any chunk.
///
/// ```swift
/// struct Scale: Kernel {
///     let factor: Double
///     let x: SharedArray<Double>.InPlace
///     func process(_ chunk: borrowing Chunk) throws {
///         x.update(chunk) { values in
///             for i in values.indices { values[i] *= factor }
///         }
///     }
/// }
/// ```
///
/// Accesses are found by reflection over the stored properties, those of nested structures too; inside
/// optionals and other enumerations they are not seen, so there they are neither checked nor counted.
///
/// Effects outside the chunk's own elements (printing, files, cells that chunks share) are outside the
/// exactly-once promise.
public protocol Kernel: _Work {
    /// Works on one chunk. Runs in a worker process. An error ends the loop and names the chunk.
    func process(_ chunk: borrowing Chunk) throws
}

/// A loop in which every chunk leaves a partial result, combined to one result at the end.
///
/// The result has the same bits for any team size and schedule: partials are written per chunk and
/// combined in a fixed binary tree over chunk numbers.
public protocol Reduction: _Work {
    /// What a chunk leaves behind, and the result: plain bytes.
    associatedtype Partial: BitwiseCopyable
    /// Works on one chunk. Runs in a worker process.
    func process(_ chunk: borrowing Chunk) throws -> Partial
    /// Joins the results of two neighbouring ranges of chunks, `left` before `right`. Runs in the
    /// leader. Need not be commutative.
    func combine(_ left: Partial, _ right: Partial) -> Partial
    /// The result of a loop without chunks.
    var identity: Partial { get }
}

/// What a team can run: ``Kernel`` or ``Reduction``. Not to be conformed to directly.
public protocol _Work: BitwiseCopyable {
    /// Runs this rank's part of a job. On a throw the chunk in work is the one before `loop.next`.
    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws
    /// The same for the value with these bytes.
    static func _work(at bytes: UnsafeRawPointer, _ loop: UnsafeMutablePointer<muster_loop>) throws
}

extension _Work {
    /// Where the type is known, so that its size is.
    @inlinable
    public static func _work(
        at bytes: UnsafeRawPointer, _ loop: UnsafeMutablePointer<muster_loop>
    ) throws {
        try bytes.loadUnaligned(as: Self.self)._work(loop)
    }
}

extension Kernel {
    /// The hot loop: claim, process, commit.
    @inlinable
    public func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws {
        var raw = muster_chunk()
        var hot = HotLoop(loop)
        while hot.next(&raw) {
            do {
                try process(Chunk(_loop: loop, raw: raw))
            } catch {
                hot.leave()
                throw error
            }
            hot.commit(raw.index)
        }
    }
}

extension Reduction {
    /// The hot loop: claim, process, store the partial, commit.
    @inlinable
    public func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws {
        var raw = muster_chunk()
        let partials = UnsafeMutableRawPointer(loop.pointee.cursor.partials!)
        let stride = Int(loop.pointee.cursor.partial_bytes)
        var hot = HotLoop(loop)
        while hot.next(&raw) {
            let partial: Partial
            do {
                partial = try process(Chunk(_loop: loop, raw: raw))
            } catch {
                hot.leave()
                throw error
            }
            // Before the commit, whose release store publishes it to the leader.
            (partials + Int(raw.index) * stride).storeBytes(of: partial, as: Partial.self)
            hot.commit(raw.index)
        }
    }
}

/// One claimed chunk: neighbouring elements that are processed as a unit, by one rank at a time.
///
/// A chunk can't be copied or kept: the views of arrays that it gives live as long as `process` runs.
public struct Chunk: ~Copyable {
    @usableFromInline let loop: UnsafeMutablePointer<muster_loop>
    @usableFromInline let raw: muster_chunk

    /// For the hot loop.
    @inlinable
    public init(_loop loop: UnsafeMutablePointer<muster_loop>, raw: muster_chunk) {
        self.loop = loop
        self.raw = raw
    }

    /// Number of the chunk, 0..<chunks of the loop.
    @inlinable public var index: Int { Int(truncatingIfNeeded: raw.index) }

    /// The chunk's elements.
    @inlinable public var range: Range<Int> {
        Range(
            uncheckedBounds: (
                Int(truncatingIfNeeded: raw.first), Int(truncatingIfNeeded: raw.end)
            ))
    }

    /// Number of elements.
    @inlinable public var count: Int { Int(truncatingIfNeeded: raw.end &- raw.first) }

    /// Rank of the process that works on it, 0..<size.
    @inlinable public var rank: Int { Int(loop.pointee.rank) }

    /// Number of ranks in the team.
    @inlinable public var size: Int { Int(loop.pointee.size) }

    /// Asks the whole team to end the loop: ranks finish the chunk they are at and take no other.
    public func cancelLoop() { muster_loop_cancel(loop) }
}
