// RowSpans.swift - rows of an array, as a kernel sees them: by the numbers that they have in the array.
//
// A row is a span. All rows of one view have one width, so that in `out[x] = above[x] + below[x]` the
// compiler finds every index in bounds by the first check, and makes of the loop what it makes of one over
// pointers (Tests/Peers/run --only stencil).

/// Neighbouring rows of an array, to be read: see ``SharedArray/Rows/Input``.
///
/// Rows have the numbers that they have in the array, so that `chunk.range` is good for all of a kernel's
/// arrays.
public struct RowSpans<Element: BitwiseCopyable>: ~Escapable {
    @usableFromInline let start: UnsafePointer<Element>
    @usableFromInline let lowest: Int
    /// Number of rows.
    public let count: Int
    /// Elements of a row.
    public let width: Int

    @inlinable @_lifetime(borrow chunk)
    init(_ start: UnsafePointer<Element>, _ rows: Range<Int>, width: Int, in chunk: borrowing Chunk)
    {
        self.start = start
        lowest = rows.lowerBound
        count = rows.count
        self.width = width
    }

    /// The rows that are here.
    @inlinable public var indices: Range<Int> {
        Range(uncheckedBounds: (lowest, lowest &+ count))
    }

    /// A row. Precondition: `row` is in `indices`.
    @inlinable public subscript(row: Int) -> Span<Element> {
        @inline(__always) @_lifetime(copy self)
        get {
            let place = row &- lowest
            guard UInt(bitPattern: place) < UInt(bitPattern: count) else { misuseOfRow() }
            let span = Span<Element>(_unsafeStart: start + place &* width, count: width)
            return _overrideLifetime(span, copying: self)
        }
    }
}

/// Neighbouring rows of an array, to be written: see ``SharedArray/Rows/Output``.
public struct MutableRowSpans<Element: BitwiseCopyable>: ~Copyable, ~Escapable {
    @usableFromInline let start: UnsafeMutablePointer<Element>
    @usableFromInline let lowest: Int
    /// Number of rows.
    public let count: Int
    /// Elements of a row.
    public let width: Int

    @inlinable @_lifetime(borrow chunk)
    init(
        _ start: UnsafeMutablePointer<Element>, _ rows: Range<Int>, width: Int,
        in chunk: borrowing Chunk
    ) {
        self.start = start
        lowest = rows.lowerBound
        count = rows.count
        self.width = width
    }

    /// The rows that are here, by the numbers that they have in the array.
    @inlinable public var indices: Range<Int> {
        Range(uncheckedBounds: (lowest, lowest &+ count))
    }

    /// A row, to be written until the next one is asked for. Precondition: `row` is in `indices`.
    @inlinable @inline(__always) @_lifetime(&self)
    public mutating func row(_ row: Int) -> MutableSpan<Element> {
        let place = row &- lowest
        guard UInt(bitPattern: place) < UInt(bitPattern: count) else { misuseOfRow() }
        let span = MutableSpan<Element>(_unsafeStart: start + place &* width, count: width)
        return _overrideLifetime(span, mutating: &self)
    }
}
