// Access.swift - how a kernel reaches an array: input, output, in place.
//
// An access is an offset into the team's range of addresses, so it means the same in every rank. All
// three kinds begin with the same ArrayHandle: the team finds the accesses of a kernel by reflection
// over its stored properties (KernelTable.swift) and checks them before the loop starts, so that a
// view needs no more than a comparison of bounds.

public import MusterCore

/// What every access holds. For the team's own use.
public struct _ArrayHandle: BitwiseCopyable, Sendable {
    /// Which team it belongs to: an address that is unique while any of its arrays lives.
    @usableFromInline let team: UInt
    /// Bytes from the start of the team's range of addresses to element 0.
    @usableFromInline let offset: Int
    /// Elements of the array.
    @usableFromInline let count: Int
    /// Number of the array in its team.
    @usableFromInline let id: UInt32
    /// How many arrays have had this number before: an access to a freed array is noticed.
    @usableFromInline let generation: UInt32

    init(team: UInt, offset: Int, count: Int, id: UInt32, generation: UInt32) {
        self.team = team
        self.offset = offset
        self.count = count
        self.id = id
        self.generation = generation
    }
}

/// The kinds of access.
package enum AccessKind: UInt8, Sendable, CaseIterable {
    case input, output, inPlace
}

/// An access to an array, found in a kernel by reflection.
protocol ArrayAccess: BitwiseCopyable {
    static var kind: AccessKind { get }
    static var elementBytes: Int { get }
    /// Whether the number of elements of a row follows the handle (RowAccess.swift).
    static var hasRows: Bool { get }
    /// Whether it is read by other indices than the loop's: its length says nothing about the loop.
    static var isGather: Bool { get }
}

extension ArrayAccess {
    static var hasRows: Bool { false }
    static var isGather: Bool { false }
}

extension SharedArray {
    /// Read access to any range of the array.
    public struct Input: BitwiseCopyable, ArrayAccess, Sendable {
        @usableFromInline let handle: _ArrayHandle
        init(handle: _ArrayHandle) { self.handle = handle }
        static var kind: AccessKind { .input }
        static var elementBytes: Int { MemoryLayout<Element>.stride }

        /// Number of elements.
        @inlinable public var count: Int { handle.count }

        /// The chunk's elements: index 0 of the span is the chunk's first element.
        ///
        /// Precondition: the array is at least as long as the loop.
        @inlinable @_lifetime(borrow chunk)
        public func span(_ chunk: borrowing Chunk) -> Span<Element> {
            span(chunk.range, in: chunk)
        }

        /// The chunk's elements and up to `halo` neighbours on each side, as far as the array goes.
        ///
        /// Index 0 is element `max(0, chunk.range.lowerBound - halo)`.
        @inlinable @_lifetime(borrow chunk)
        public func span(_ chunk: borrowing Chunk, halo: Int) -> Span<Element> {
            let range = chunk.range
            let reach = max(0, min(halo, handle.count))
            return span(
                max(0, range.lowerBound - reach)..<min(handle.count, range.upperBound + reach),
                in: chunk)
        }

        /// Any range of elements. Precondition: within the array.
        @inlinable @_lifetime(borrow chunk)
        public func span(_ range: Range<Int>, in chunk: borrowing Chunk) -> Span<Element> {
            guard range.lowerBound >= 0 && range.upperBound <= handle.count else {
                misuse("the range \(range) goes beyond the array of \(handle.count) elements")
            }
            let start = UnsafeRawPointer(chunk.loop.pointee.space + handle.offset)
                .assumingMemoryBound(to: Element.self)
            let span = Span(_unsafeStart: start + range.lowerBound, count: range.count)
            return _overrideLifetime(span, borrowing: chunk)
        }
    }

    /// Write access to the claimed chunk. What the elements held before is not to be read: it is
    /// overwritten with one bits (NaN to floating point) when a chunk is done again, and in debug builds
    /// always.
    public struct Output: BitwiseCopyable, ArrayAccess, Sendable {
        @usableFromInline let handle: _ArrayHandle
        init(handle: _ArrayHandle) { self.handle = handle }
        static var kind: AccessKind { .output }
        static var elementBytes: Int { MemoryLayout<Element>.stride }

        /// Number of elements.
        @inlinable public var count: Int { handle.count }

        /// Lends the chunk's elements for writing: index 0 is the chunk's first element.
        ///
        /// Every element should be written. Precondition: the array is at least as long as the loop,
        /// and no other view of it is open in this chunk.
        @inlinable
        public func write<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableSpan<Element>) throws(Failure) -> Void
        ) throws(Failure) {
            let range = chunk.range
            guard range.upperBound <= handle.count else {
                misuse("chunk \(range) goes beyond the array of \(handle.count) elements")
            }
            chunk.open(handle)
            defer { chunk.close(handle) }
            if chunk.loop.pointee.poison != 0 {
                chunk.poison(handle, range, stride: MemoryLayout<Element>.stride)
            }
            let start = UnsafeMutableRawPointer(chunk.loop.pointee.space + handle.offset)
                .assumingMemoryBound(to: Element.self)
            var values = MutableSpan(_unsafeStart: start + range.lowerBound, count: range.count)
            try body(&values)
        }
    }

    /// Access that changes the claimed chunk's elements, tile by tile.
    ///
    /// A tile is 4 KiB. Its old contents are kept until the chunk is done. If the worker is killed
    /// half-way, or the kernel throws, the chunk is put back as it was. Small tiles are kept while
    /// they are in the first-level cache anyway, which is cheaper than keeping the chunk as a
    /// whole.
    public struct InPlace: BitwiseCopyable, ArrayAccess, Sendable {
        @usableFromInline let handle: _ArrayHandle
        init(handle: _ArrayHandle) { self.handle = handle }
        static var kind: AccessKind { .inPlace }
        static var elementBytes: Int { MemoryLayout<Element>.stride }

        /// Number of elements.
        @inlinable public var count: Int { handle.count }

        /// Lends the chunk's elements, one tile after the other; indices begin at 0 in each tile.
        ///
        /// Precondition: the array is at least as long as the loop, and no other view of it is open in
        /// this chunk.
        @inlinable
        public func update<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableSpan<Element>) throws(Failure) -> Void
        ) throws(Failure) {
            try update(chunk) { (values, _) throws(Failure) in try body(&values) }
        }

        /// The same, with each tile's place in the array, for kernels that read the same range of
        /// other arrays (`a.span(range, in: chunk)`).
        @inlinable
        public func update<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableSpan<Element>, Range<Int>) throws(Failure) -> Void
        ) throws(Failure) {
            try update(
                chunk, tile: max(1, Int(MUSTER_TILE_BYTES) / MemoryLayout<Element>.stride), body)
        }

        /// Lends the chunk's elements as one span, for kernels that need more than a tile at a time (to
        /// sort the chunk, say). Costs more than `update`, since the journal keeps all of the chunk before
        /// the first change.
        ///
        /// Precondition: as for `update`.
        @inlinable
        public func updateWhole<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableSpan<Element>) throws(Failure) -> Void
        ) throws(Failure) {
            try update(chunk, tile: max(1, chunk.count)) {
                (values, _) throws(Failure) in try body(&values)
            }
        }

        /// Lends `tile` elements at a time, each kept before it is lent.
        @inlinable
        func update<Failure: Error>(
            _ chunk: borrowing Chunk, tile: Int,
            _ body: (inout MutableSpan<Element>, Range<Int>) throws(Failure) -> Void
        ) throws(Failure) {
            let range = chunk.range
            guard range.upperBound <= handle.count else {
                misuse("chunk \(range) goes beyond the array of \(handle.count) elements")
            }
            chunk.open(handle)
            defer { chunk.close(handle) }
            let start = UnsafeMutableRawPointer(chunk.loop.pointee.space + handle.offset)
                .assumingMemoryBound(to: Element.self)
            let isJournaled = chunk.loop.pointee.journaled != 0
            var first = range.lowerBound
            while first < range.upperBound {
                let end = min(first + tile, range.upperBound)
                if isJournaled {
                    chunk.save(handle, first..<end, stride: MemoryLayout<Element>.stride)
                }
                var values = MutableSpan(_unsafeStart: start + first, count: end - first)
                try body(&values, first..<end)
                first = end
            }
        }
    }
}

extension Chunk {
    /// Notes that a mutable view of an array is open; a second one at the same time traps.
    @inlinable
    func open(_ handle: _ArrayHandle) {
        let mark = loop.pointee.taken + Int(handle.id)
        guard mark.pointee == 0 else { misuse("two mutable views of one array in one chunk") }
        mark.pointee = 1
    }

    @inlinable
    func close(_ handle: _ArrayHandle) {
        loop.pointee.taken[Int(handle.id)] = 0
    }

    /// Keeps the old contents of elements that are about to be changed (`muster_loop_save`).
    @inlinable
    func save(_ handle: _ArrayHandle, _ range: Range<Int>, stride: Int) {
        muster_loop_save(
            loop, raw.index, handle.id,
            UInt64(truncatingIfNeeded: handle.offset &+ range.lowerBound &* stride),
            UInt64(truncatingIfNeeded: range.count &* stride))
    }

    /// Overwrites an output that must not be read (`muster_loop_poison`).
    @inlinable
    func poison(_ handle: _ArrayHandle, _ range: Range<Int>, stride: Int) {
        muster_loop_poison(
            loop, raw.index, handle.id,
            UInt64(truncatingIfNeeded: handle.offset &+ range.lowerBound &* stride),
            UInt64(truncatingIfNeeded: range.count &* stride))
    }
}
