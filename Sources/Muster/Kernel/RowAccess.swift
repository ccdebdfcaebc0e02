// RowAccess.swift - accesses to an array whose index is a row, to a part of it, or to any of its elements.
//
// The number of elements of a row follows the handle in a kernel's bytes: the team reads it there
// (AccessField), and refuses loops that leave rows out or cut one. So what a chunk owns of an array is
// one fact, chunk.range x width, for views, journal and audit alike.

public import MusterCore

extension SharedArray {
    /// The array as rows: in a loop, an index is a row, and chunks are whole rows.
    ///
    /// ```swift
    /// struct Blur: Kernel {
    ///     let image: SharedArray<Float>.Rows.Input
    ///     let result: SharedArray<Float>.Rows.Output
    ///     func process(_ chunk: borrowing Chunk) {
    ///         let image = image.rows(chunk, halo: 1)
    ///         result.write(chunk) { result in
    ///             for y in result.indices where y > 0 && y < image.indices.upperBound - 1 { ... }
    ///         }
    ///     }
    /// }
    /// try team.run(Blur(image: image.rows.input, result: result.rows.output))
    /// ```
    public struct Rows: Sendable {
        let handle: _ArrayHandle
        /// Elements of a row.
        public let width: Int

        init(handle: _ArrayHandle, width: Int) {
            self.handle = handle
            self.width = width
        }

        /// Number of rows.
        public var count: Int { width > 0 ? handle.count / width : 0 }

        /// For kernels that read it: any rows.
        public var input: Input { Input(handle: handle, width: width) }
        /// For kernels that write it and don't read it: the rows of the claimed chunk.
        public var output: Output { Output(handle: handle, width: width) }
        /// For kernels that change it: the rows of the claimed chunk.
        public var inPlace: InPlace { InPlace(handle: handle, width: width) }

        /// Its first rows, at most as many as there are; a loop leaves the others alone.
        public func prefix(_ count: Int) -> Rows {
            let part = handle.prefix(min(max(0, count), self.count) * max(1, width))
            return Rows(handle: part, width: width)
        }
    }

    /// The array by its first dimension: an index is a row of a matrix, a plane of a volume.
    public var rows: Rows {
        Rows(handle: handle, width: max(1, shape.dropFirst().reduce(1, *)))
    }

    /// The array in rows of `width` neighbouring elements. A loop over it throws `.invalidArgument` where
    /// that is no whole number of rows.
    public func rows(of width: Int) -> Rows { Rows(handle: handle, width: width) }

    /// Its first elements, at most as many as there are. A loop over them leaves the others alone; without
    /// this it has to be as long as each array that it writes.
    public func prefix(_ count: Int) -> Prefix { Prefix(handle: handle.prefix(count)) }

    /// For kernels that read any of it from any index of the loop, as a table is read: its length says
    /// nothing about the loop's.
    public var gather: Gather { Gather(handle: handle) }

    /// The first elements of an array.
    public struct Prefix: Sendable {
        let handle: _ArrayHandle

        init(handle: _ArrayHandle) { self.handle = handle }

        /// Number of elements.
        public var count: Int { handle.count }

        /// For kernels that read it: any range.
        public var input: SharedArray.Input { .init(handle: handle) }
        /// For kernels that write it and don't read it: the claimed chunk.
        public var output: SharedArray.Output { .init(handle: handle) }
        /// For kernels that change it: the claimed chunk, tile by tile.
        public var inPlace: SharedArray.InPlace { .init(handle: handle) }

        /// The same in rows of `width` neighbouring elements.
        public func rows(of width: Int) -> Rows { Rows(handle: handle, width: width) }
    }

    /// Read access to any element from any chunk.
    public struct Gather: BitwiseCopyable, ArrayAccess, Sendable {
        @usableFromInline let handle: _ArrayHandle
        init(handle: _ArrayHandle) { self.handle = handle }
        static var kind: AccessKind { .input }
        static var elementBytes: Int { MemoryLayout<Element>.stride }
        static var isGather: Bool { true }

        /// Number of elements.
        @inlinable public var count: Int { handle.count }

        /// All elements.
        @inlinable @_lifetime(borrow chunk)
        public func span(in chunk: borrowing Chunk) -> Span<Element> {
            let span = Span(
                _unsafeStart: chunk.start(of: handle, as: Element.self), count: handle.count)
            return _overrideLifetime(span, borrowing: chunk)
        }
    }
}

extension _ArrayHandle {
    /// The same array, of which a loop sees the first elements only.
    func prefix(_ count: Int) -> _ArrayHandle {
        _ArrayHandle(
            team: team, offset: offset, count: max(0, min(count, self.count)), id: id,
            generation: generation)
    }
}

extension Chunk {
    /// Where an array is in this process.
    @inlinable
    func start<Element>(of handle: _ArrayHandle, as type: Element.Type) -> UnsafePointer<Element> {
        UnsafeRawPointer(loop.pointee.space + handle.offset).assumingMemoryBound(to: type)
    }

    @inlinable
    func mutableStart<Element>(
        of handle: _ArrayHandle, as type: Element.Type
    ) -> UnsafeMutablePointer<Element> {
        UnsafeMutableRawPointer(loop.pointee.space + handle.offset).assumingMemoryBound(to: type)
    }

    /// The elements of an array that the chunk owns. Precondition: they lie within it.
    @inlinable
    func elements(of handle: _ArrayHandle, width: Int) -> Range<Int> {
        let rows = range
        let end = rows.upperBound * width
        guard end <= handle.count else {
            misuse("rows \(rows) go beyond the array of \(handle.count) elements")
        }
        return Range(uncheckedBounds: (rows.lowerBound &* width, end))
    }
}

extension SharedArray.Rows {
    /// Read access to any row of the array.
    public struct Input: BitwiseCopyable, ArrayAccess, Sendable {
        @usableFromInline let handle: _ArrayHandle
        /// Elements of a row.
        public let width: Int

        init(handle: _ArrayHandle, width: Int) {
            self.handle = handle
            self.width = width
        }
        static var kind: AccessKind { .input }
        static var elementBytes: Int { MemoryLayout<Element>.stride }
        static var hasRows: Bool { true }

        /// Number of rows.
        @inlinable public var count: Int { handle.count / width }

        /// The chunk's rows and up to `halo` neighbours on each side, as far as the array goes.
        ///
        /// Precondition: the array has the chunk's rows.
        @inlinable @_lifetime(borrow chunk)
        public func rows(_ chunk: borrowing Chunk, halo: Int = 0) -> RowSpans<Element> {
            let range = chunk.range
            let reach = max(0, min(halo, count))
            return rows(
                max(
                    0, range.lowerBound - reach)..<max(
                        range.upperBound, min(count, range.upperBound + reach)),
                in: chunk)
        }

        /// Any rows. Precondition: within the array.
        @inlinable @_lifetime(borrow chunk)
        public func rows(_ rows: Range<Int>, in chunk: borrowing Chunk) -> RowSpans<Element> {
            guard rows.lowerBound >= 0 && rows.upperBound <= count else {
                misuse("rows \(rows) go beyond the array of \(count) rows")
            }
            return RowSpans(
                chunk.start(of: handle, as: Element.self) + rows.lowerBound * width, rows,
                width: width, in: chunk)
        }

        /// The elements of the chunk's rows, one row behind the other. Precondition: as for `rows`.
        @inlinable @_lifetime(borrow chunk)
        public func span(_ chunk: borrowing Chunk) -> Span<Element> {
            let range = chunk.elements(of: handle, width: width)
            let span = Span(
                _unsafeStart: chunk.start(of: handle, as: Element.self) + range.lowerBound,
                count: range.count)
            return _overrideLifetime(span, borrowing: chunk)
        }
    }

    /// Write access to the rows of the claimed chunk. What they held before is not to be read: see
    /// ``SharedArray/Output``.
    public struct Output: BitwiseCopyable, ArrayAccess, Sendable {
        @usableFromInline let handle: _ArrayHandle
        /// Elements of a row.
        public let width: Int

        init(handle: _ArrayHandle, width: Int) {
            self.handle = handle
            self.width = width
        }
        static var kind: AccessKind { .output }
        static var elementBytes: Int { MemoryLayout<Element>.stride }
        static var hasRows: Bool { true }

        /// Number of rows.
        @inlinable public var count: Int { handle.count / width }

        /// Lends the chunk's rows for writing, by the numbers that they have in the array.
        ///
        /// Every element should be written. Precondition: no other view of it is open in this chunk.
        @inlinable
        public func write<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableRowSpans<Element>) throws(Failure) -> Void
        ) throws(Failure) {
            let range = chunk.elements(of: handle, width: width)
            chunk.open(handle)
            defer { chunk.close(handle) }
            if chunk.loop.pointee.poison != 0 {
                chunk.poison(handle, range, stride: MemoryLayout<Element>.stride)
            }
            var rows = MutableRowSpans(
                chunk.mutableStart(of: handle, as: Element.self) + range.lowerBound, chunk.range,
                width: width, in: chunk)
            try body(&rows)
        }
    }

    /// Access that changes the rows of the claimed chunk. Old contents are kept until the chunk is done:
    /// see ``SharedArray/InPlace``.
    public struct InPlace: BitwiseCopyable, ArrayAccess, Sendable {
        @usableFromInline let handle: _ArrayHandle
        /// Elements of a row.
        public let width: Int

        init(handle: _ArrayHandle, width: Int) {
            self.handle = handle
            self.width = width
        }
        static var kind: AccessKind { .inPlace }
        static var elementBytes: Int { MemoryLayout<Element>.stride }
        static var hasRows: Bool { true }

        /// Number of rows.
        @inlinable public var count: Int { handle.count / width }

        /// Lends the chunk's rows, a few after the other: as many as a tile of 4 KiB holds, at least one. A
        /// row is never cut.
        ///
        /// Precondition: no other view of it is open in this chunk.
        @inlinable
        public func update<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableRowSpans<Element>) throws(Failure) -> Void
        ) throws(Failure) {
            let bytes = width * MemoryLayout<Element>.stride
            try update(chunk, rows: max(1, Int(MUSTER_TILE_BYTES) / bytes), body)
        }

        /// Lends all of the chunk's rows at once, all of them kept before the first change.
        ///
        /// Precondition: as for `update`.
        @inlinable
        public func updateWhole<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableRowSpans<Element>) throws(Failure) -> Void
        ) throws(Failure) {
            try update(chunk, rows: max(1, chunk.count), body)
        }

        /// Lends the elements of the chunk's rows tile by tile, with their place in the array, where a tile
        /// may end within a row: the fastest way for kernels that change each element by itself.
        ///
        /// Precondition: as for `update`.
        @inlinable
        public func updateElements<Failure: Error>(
            _ chunk: borrowing Chunk,
            _ body: (inout MutableSpan<Element>, Range<Int>) throws(Failure) -> Void
        ) throws(Failure) {
            let range = chunk.elements(of: handle, width: width)
            let tile = max(1, Int(MUSTER_TILE_BYTES) / MemoryLayout<Element>.stride)
            chunk.open(handle)
            defer { chunk.close(handle) }
            let start = chunk.mutableStart(of: handle, as: Element.self)
            var first = range.lowerBound
            while first < range.upperBound {
                let end = min(first + tile, range.upperBound)
                save(first..<end, chunk)
                var values = MutableSpan(_unsafeStart: start + first, count: end - first)
                try body(&values, first..<end)
                first = end
            }
        }

        @inlinable
        func update<Failure: Error>(
            _ chunk: borrowing Chunk, rows tile: Int,
            _ body: (inout MutableRowSpans<Element>) throws(Failure) -> Void
        ) throws(Failure) {
            let elements = chunk.elements(of: handle, width: width)
            let range = chunk.range
            chunk.open(handle)
            defer { chunk.close(handle) }
            var start = chunk.mutableStart(of: handle, as: Element.self) + elements.lowerBound
            var first = range.lowerBound
            while first < range.upperBound {
                let end = min(first + tile, range.upperBound)
                save(first * width..<end * width, chunk)
                var rows = MutableRowSpans(start, first..<end, width: width, in: chunk)
                try body(&rows)
                start += (end - first) * width
                first = end
            }
        }

        @inlinable
        func save(_ elements: Range<Int>, _ chunk: borrowing Chunk) {
            if chunk.loop.pointee.journaled != 0 {
                chunk.save(handle, elements, stride: MemoryLayout<Element>.stride)
            }
        }
    }
}
