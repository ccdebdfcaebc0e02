// MemberLoop.swift - verified loops of a launched program's ranks.
//
// Swift 6.3's `for` takes copyable elements only. So a loop hands out chunks in two ways: as linear
// claims, which `commit()` consumes and which can't be committed twice; and to `for`, where coming to
// the end of the body commits.

public import MusterCore

/// A loop whose chunks are shared out among the ranks, each to be committed exactly once.
///
/// ```swift
/// let loop = try me.loop(over: x.count, schedule: .dynamic, adopting: true)
/// for part in loop {                             // to the end of the body: committed
///     x.write(part) { for i in $0.indices { $0[i] = 1 } }
/// }
/// let report = try loop.end()                    // waits for all, audits
/// ```
///
/// or, with claims:
///
/// ```swift
/// while let claim = try loop.next() {
///     x.write(claim) { ... }
///     claim.commit()                             // consumes it
/// }
/// ```
///
/// A chunk that was left by `break` or an error is not committed, and the audit names it.
public final class MemberLoop {
    @usableFromInline let pointer: UnsafeMutablePointer<muster_member_loop>
    private let core: MemberCore
    private let name: String
    private let partialBytes: Int
    /// What stopped `for` early, thrown by ``end()``.
    private var failure: Int32 = 0

    init(
        core: MemberCore, pointer: UnsafeMutablePointer<muster_member_loop>, name: String,
        partialBytes: Int
    ) {
        self.core = core
        self.pointer = pointer
        self.name = name
        self.partialBytes = partialBytes
    }

    /// Number of chunks.
    public var chunks: Int { Int(truncatingIfNeeded: muster_member_loop_chunks(pointer)) }

    /// The next chunk; nil: nothing is left for this rank (`muster_member_loop_next`).
    ///
    /// - Throws: `.rankDied` if a rank died and the loop does not adopt, `.invalidArgument` if the loop has
    ///   ended, `.launcher` if the launcher is gone. `.memory` if this rank can't list what the dead have
    ///   left, `.system` in a process that the member has forked.
    @inlinable public func next() throws(MusterError) -> Claim? {
        var raw = muster_chunk()
        let status = muster_member_loop_next(pointer, &raw)
        if status <= 0 {
            if status < 0 { throw stopped(status) }
            return nil
        }
        return Claim(loop: self, raw: raw)
    }

    @usableFromInline func stopped(_ status: Int32) -> MusterError {
        core.failure(status, "loop \"\(name)\"")
    }

    /// Waits for all ranks and audits what they committed (`muster_member_loop_end`). Collective.
    ///
    /// - Throws: `.audit` where a chunk was not committed exactly once. `.rankDied` if a rank died and the loop
    ///   does not adopt, `.invalidArgument` if the loop has ended or ranks call different functions,
    ///   `.launcher` if the launcher is gone. `.memory` if there is not enough for the audit, `.system` in a
    ///   process that the member has forked.
    @discardableResult
    public func end() throws(MusterError) -> AuditReport {
        var raw = muster_report()
        raw.size_bytes = UInt32(MemoryLayout<muster_report>.size)
        let status = muster_member_loop_end(pointer, &raw)
        if status == -EBADMSG {
            throw MusterError(
                .audit, subject: "loop \"\(name)\"", reason: AuditReport(raw).description,
                errorNumber: -status)
        }
        let worst = status < 0 ? status : failure
        if worst < 0 { throw stopped(worst) }
        return AuditReport(raw)
    }

    private func checkPartials(_ bytes: Int) throws(MusterError) {
        guard bytes == partialBytes else {
            throw invalid(
                "partial results of loop \"\(name)\"",
                "they have \(partialBytes) bytes each, and numbers of this type \(bytes)")
        }
    }

    /// What the chunks' partial results come to, after ``end()``: the same bits in every rank and for
    /// any number of ranks (`muster_member_loop_reduce`). Not collective.
    ///
    /// - Throws: `.invalidArgument` if the loop leaves no such values or did not end well, or the type does
    ///   not have the operation; `.memory` if there is not enough.
    public func reduce<Number: MemberNumber>(
        _ type: Number.Type, _ operation: Combination
    ) throws(MusterError) -> Number {
        try checkPartials(MemoryLayout<Number>.size)
        var result = Number.zero
        let status = muster_member_loop_reduce(
            pointer, Number._memberType, operation.code, &result)
        try core.check(status, "partial results of loop \"\(name)\"")
        return result
    }

    /// For each chunk what the partial results up to it, or before it, come to
    /// (`muster_member_loop_scan`). Not collective.
    ///
    /// - Throws: `.invalidArgument` if the loop leaves no such values or did not end well, or the type does
    ///   not have the operation.
    public func scan<Number: MemberNumber>(
        _ type: Number.Type, _ operation: Combination, _ extent: ScanExtent = .through
    ) throws(MusterError) -> [Number] {
        try checkPartials(MemoryLayout<Number>.size)
        var results = [Number](repeating: .zero, count: chunks)
        let status = muster_member_loop_scan(
            pointer, Number._memberType, operation.code, extent.code, &results)
        try core.check(status, "partial results of loop \"\(name)\"")
        return results
    }
}

/// A chunk that this rank has claimed, to be committed once or not at all.
public struct Claim: ~Copyable, LoopPart {
    @usableFromInline let loop: MemberLoop
    @usableFromInline let raw: muster_chunk

    @inlinable init(loop: MemberLoop, raw: muster_chunk) {
        self.loop = loop
        self.raw = raw
    }

    /// Number of the chunk.
    @inlinable public var index: Int { Int(truncatingIfNeeded: raw.index) }

    /// The chunk's elements.
    @inlinable public var range: Range<Int> {
        Int(truncatingIfNeeded: raw.first)..<Int(truncatingIfNeeded: raw.end)
    }

    /// Leaves the chunk's partial result. Precondition: the loop was begun with this type.
    @inlinable public func leave<Partial: BitwiseCopyable>(partial: Partial) {
        loop.leave(partial, chunk: raw)
    }

    /// Commits the chunk, after the last store into what it stands for.
    @inlinable public consuming func commit() {
        withUnsafePointer(to: raw) { muster_member_loop_commit(loop.pointer, $0) }
    }
}

extension MemberLoop: Sequence {
    /// A chunk that `for` hands out; committed when its body comes to its end.
    public struct Element: LoopPart {
        @usableFromInline let loop: MemberLoop
        @usableFromInline let raw: muster_chunk

        /// Number of the chunk.
        @inlinable public var index: Int { Int(truncatingIfNeeded: raw.index) }

        /// The chunk's elements.
        @inlinable public var range: Range<Int> {
            Int(truncatingIfNeeded: raw.first)..<Int(truncatingIfNeeded: raw.end)
        }

        /// Leaves the chunk's partial result. Precondition: the loop was begun with this type.
        @inlinable public func leave<Partial: BitwiseCopyable>(partial: Partial) {
            loop.leave(partial, chunk: raw)
        }
    }

    /// Hands out chunks, and commits the one before.
    public struct Iterator: IteratorProtocol {
        let loop: MemberLoop
        var held: muster_chunk?

        /// Commits the chunk handed out before, and hands out the next one (`muster_member_loop_next`). nil:
        /// nothing is left for this rank, or a rank died; `end()` says which.
        public mutating func next() -> Element? {
            if var chunk = held { muster_member_loop_commit(loop.pointer, &chunk) }
            var raw = muster_chunk()
            let status = muster_member_loop_next(loop.pointer, &raw)
            held = status > 0 ? raw : nil
            if status < 0 { loop.failure = status }
            return status > 0 ? Element(loop: loop, raw: raw) : nil
        }
    }

    /// The loop's chunks, each committed when the next one is asked for.
    public func makeIterator() -> Iterator { Iterator(loop: self) }

    @usableFromInline func leave<Partial: BitwiseCopyable>(_ partial: Partial, chunk: muster_chunk)
    {
        guard MemoryLayout<Partial>.size == partialBytes else {
            misuse(
                "a partial result of \(MemoryLayout<Partial>.size) bytes in a loop whose partial "
                    + "results have \(partialBytes)")
        }
        var chunk = chunk
        muster_member_loop_partial(pointer, &chunk)!.storeBytes(of: partial, as: Partial.self)
    }
}

extension Member {
    /// Begins a loop (`muster_member_loop_begin`). Collective, with the same arguments in all ranks.
    ///
    /// - elements: number of elements, cut into chunks of `grain` (0: chosen).
    /// - adopting: a chunk may be begun again by another rank, since it writes only what it does not
    ///   read: survivors run what a dead rank has left. Else its death ends the loop.
    /// - partial: the type that each chunk leaves behind for ``MemberLoop/reduce(_:_:)``.
    /// - name: for the launcher's report: 1 to 63 bytes, no control characters.
    /// - uses: the arrays that it deals. Without any, nothing is known of their lengths.
    ///
    /// - Throws: `.invalidArgument`, in all ranks, if an array that is written has not `elements` indices, or
    ///   none that is read has; also for options that can't be, or more chunks than there is room for.
    ///   `.memory` if there is not enough for partial results; otherwise as ``Member/barrier()``.
    public func loop(
        over elements: Int, schedule: Schedule = .static, grain: Int = 0, batch: Int = 0,
        adopting: Bool = false, partial: (any BitwiseCopyable.Type)? = nil, name: String = "loop",
        uses: [MemberUse] = []
    ) throws(MusterError) -> MemberLoop {
        var options = muster_member_loop_options()
        options.size_bytes = UInt32(MemoryLayout<muster_member_loop_options>.size)
        options.schedule = schedule.code
        // What is negative becomes what the core refuses, in all ranks together.
        options.elements = UInt64(bitPattern: Int64(elements))
        options.grain = UInt64(bitPattern: Int64(grain))
        options.batch = UInt64(bitPattern: Int64(batch))
        options.flags = adopting ? MUSTER_LOOP_ADOPT.rawValue : 0
        func size<T>(of type: T.Type) -> Int { MemoryLayout<T>.size }
        let partialBytes = partial.map { size(of: $0) } ?? 0
        options.partial_bytes = UInt32(clamping: partialBytes)
        var pointer: UnsafeMutablePointer<muster_member_loop>?
        var advice = [CChar](repeating: 0, count: 512)
        options.use_count = UInt32(uses.count)
        let status = name.withCString { text in
            uses.map(\.raw).withUnsafeBufferPointer { raw in
                options.name = text
                options.uses = raw.baseAddress
                let status = muster_member_loop_begin(core.pointer, &options, &pointer)
                if status == -ERANGE {
                    muster_member_loop_advice(core.pointer, &options, &advice, advice.count)
                }
                return status
            }
        }
        if status == -ERANGE {
            throw MusterError(
                .invalidArgument, subject: "loop \"\(name)\"",
                reason: advice.withUnsafeBytes { String(upToNUL: $0) }, errorNumber: -status)
        }
        try core.check(status, "loop \"\(name)\" over \(elements) elements")
        return MemberLoop(core: core, pointer: pointer!, name: name, partialBytes: partialBytes)
    }
}
