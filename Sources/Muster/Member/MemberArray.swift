// MemberArray.swift - an array that all ranks of a launched program share.

internal import MusterCore

/// An array that a member's loop deals: see ``Member/loop(over:schedule:grain:batch:adopting:partial:name:uses:)``.
public struct MemberUse {
    /// What the loop does with it.
    public enum Access: Sendable, Hashable, CaseIterable { case input, output, inPlace }

    /// What its length says about the loop's.
    public enum Length: Sendable, Hashable, CaseIterable {
        /// As many indices as the loop has.
        case whole
        /// At least as many: the loop leaves the rest alone.
        case prefix
        /// Nothing: any index reads any of it, as of a table. Inputs only.
        case gather
    }

    let raw: muster_member_use
}

/// What a rank has of a loop: a ``Claim``, or what `for` hands out. Its elements are this rank's to
/// write until they are committed.
public protocol LoopPart: ~Copyable {
    /// The elements.
    var range: Range<Int> { get }
}

/// Elements that all ranks share under one name (`muster_member_array`).
///
/// While a loop runs, a rank writes only what it has claimed; what others have written is there after
/// the loop's end, or a barrier.
public struct MemberArray<Element: BitwiseCopyable> {
    /// Number of elements.
    public let count: Int
    @usableFromInline let start: UnsafeMutablePointer<Element>
    private let core: MemberCore

    init(core: MemberCore, start: UnsafeMutablePointer<Element>, count: Int) {
        self.core = core
        self.start = start
        self.count = count
    }

    /// This array as a loop deals it.
    ///
    /// - Parameters:
    ///   - access: What the loop does with the array.
    ///   - elementsPerIndex: Neighbouring elements that one index stands for: a row.
    ///   - length: Whether the loop covers the array.
    public func use(
        _ access: MemberUse.Access, elementsPerIndex: Int = 1, length: MemberUse.Length = .whole
    ) -> MemberUse {
        precondition(elementsPerIndex >= 1, "an index stands for at least 1 element")
        return MemberUse(
            raw: muster_member_use(
                address: UnsafeRawPointer(start), access: access.code, flags: length.code,
                element_bytes: UInt32(MemoryLayout<Element>.stride), reserved: 0,
                elements_per_index: UInt64(elementsPerIndex)))
    }

    /// One element. Precondition: `index` is in 0..<count.
    @inlinable public subscript(index: Int) -> Element {
        get {
            guard index >= 0 && index < count else {
                misuse("no element \(index): there are \(count)")
            }
            return start[index]
        }
        nonmutating set {
            guard index >= 0 && index < count else {
                misuse("no element \(index): there are \(count)")
            }
            start[index] = newValue
        }
    }

    /// The elements that a claim owns where an index stands for a row of them.
    @inlinable
    func elements(_ part: Range<Int>, _ elementsPerIndex: Int) -> Range<Int> {
        let range = part.lowerBound * elementsPerIndex..<part.upperBound * elementsPerIndex
        guard range.upperBound <= count else {
            misuse("\(range) goes beyond the array of \(count) elements")
        }
        return range
    }

    /// The elements of a claim, to be read. Precondition: the array is as long as the loop.
    ///
    /// - Parameters:
    ///   - part: A claim of the loop.
    ///   - elementsPerIndex: Neighbouring elements that one index stands for: a row.
    @inlinable @_lifetime(borrow part)
    public func span<Part: LoopPart & ~Copyable>(
        _ part: borrowing Part, elementsPerIndex: Int = 1
    ) -> Span<Element> {
        let range = elements(part.range, elementsPerIndex)
        let span = Span(_unsafeStart: UnsafePointer(start + range.lowerBound), count: range.count)
        return _overrideLifetime(span, borrowing: part)
    }

    /// Lends the elements of a claim for writing: index 0 is the claim's first element.
    ///
    /// Precondition: the array is as long as the loop.
    ///
    /// - Parameters:
    ///   - part: A claim of the loop.
    ///   - elementsPerIndex: Neighbouring elements that one index stands for: a row.
    ///   - body: Writes the elements.
    @inlinable
    public func write<Part: LoopPart & ~Copyable, Failure: Error>(
        _ part: borrowing Part, elementsPerIndex: Int = 1,
        _ body: (inout MutableSpan<Element>) throws(Failure) -> Void
    ) throws(Failure) {
        let range = elements(part.range, elementsPerIndex)
        var values = MutableSpan(_unsafeStart: start + range.lowerBound, count: range.count)
        try body(&values)
    }

    /// Lends all elements, for what is not dealt in chunks. Nobody else may write to what `body` reads.
    @inlinable
    public func withUnsafeMutableBufferPointer<Result, Failure: Error>(
        _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeMutableBufferPointer(start: start, count: count))
    }
}

extension Member {
    /// The array of this name; made, all zero, where there is none. Collective.
    ///
    /// Each rank touches its own static share first. The array lives as long as the launcher: a rank
    /// that was started again finds it with its contents.
    ///
    /// - Throws: `.invalidArgument` for a name or size that can't be, or an array that has another size;
    ///   `.memory` if there is not enough; otherwise as ``barrier()``.
    public func array<Element: BitwiseCopyable>(
        _ name: String, of type: Element.Type, count: Int
    ) throws(MusterError) -> MemberArray<Element> {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        var address: UnsafeMutableRawPointer?
        // A size that can't be is passed on all the same, so that no other rank waits for this one.
        let status = muster_member_array(
            core.pointer, name, overflow || bytes < 0 ? 0 : UInt64(bytes), &address)
        if status < 0 {
            throw core.failure(
                status, "array \"\(name)\" of \(count) elements",
                needed: UInt64(clamping: overflow ? 0 : bytes))
        }
        return MemberArray(
            core: core, start: address!.assumingMemoryBound(to: Element.self), count: count)
    }
}
