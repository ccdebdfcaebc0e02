// SharedArray.swift - an array in shared memory, as the leader has it.

internal import MusterCore

/// Elements in shared memory that all ranks of a team work on.
///
/// Between loops the leader uses it like any other array; in a loop, kernels reach it through
/// ``input``, ``output`` or ``inPlace``. It can be a file (``Team/array(npy:as:writable:)``). It owns
/// its memory, and must not outlive the thread that made its team.
public struct SharedArray<Element: BitwiseCopyable>: ~Copyable {
    /// Number of elements.
    public let count: Int
    /// Lengths by dimension, row by row (C order); their product is `count`.
    public let shape: [Int]
    /// Where its pages were asked to lie.
    public var placement: Placement { plan.placement }
    /// What could not be done as asked, in words; empty: everything could.
    public var notes: [String] { plan.pageNotes + plan.notes }
    /// Those of `notes` that are about its pages and not about where they lie.
    package var pageNotes: [String] { plan.pageNotes }
    /// Which pages were asked for.
    public let pages: Pages
    /// How many of its bytes are in huge pages, as its ranks have committed them.
    public var hugePageBytes: Int { plan.hugeBytes }
    /// How many copies of it there are: of a mirrored one, as many as nodes that are home to ranks.
    public var copies: Int { plan.copyBytes == 0 ? 1 : plan.placedBytes / plan.copyBytes }
    /// Whether kernels and the leader may write to it.
    public let isWritable: Bool
    /// The file behind it; nil: memory.
    public let path: String?
    /// The type of elements that a `.npy` file names; nil: memory, or a file without a header. Only of
    /// a bool file is it another than `Element`'s own.
    public let fileDType: DType?

    let core: TeamCore
    let handle: _ArrayHandle
    /// Where its pages lie: of a mirrored one, all copies.
    let extent: Extent
    /// Bytes from the first page to element 0: a file has a header.
    let dataOffset: Int
    private let source: MemorySource
    let plan: ArrayPlan

    init(
        core: TeamCore, extent: Extent, dataOffset: Int = 0, count: Int, shape: [Int],
        plan: ArrayPlan = .unplaced(.firstTouch), pages: Pages = .small, isWritable: Bool = true,
        source: MemorySource = .arena, fileDType: DType? = nil
    ) throws(MusterError) {
        var start = extent.offset + dataOffset
        var ranksWrite = isWritable
        var isMirrored = false
        if case .mirror(_, let window) = source {
            start = window.offset
            ranksWrite = false
            isMirrored = true
        }
        guard
            let number = core.arrays.add(
                isWritable: ranksWrite, isMirrored: isMirrored, file: source.file)
        else {
            throw MusterError(
                .memory, subject: "array", reason: "a team has at most \(MUSTER_ARRAYS_MAX) arrays")
        }
        self.core = core
        self.extent = extent
        self.dataOffset = dataOffset
        self.source = source
        self.count = count
        self.shape = shape
        self.plan = plan
        self.pages = pages
        self.isWritable = isWritable
        path = source.file?.path
        self.fileDType = fileDType
        handle = _ArrayHandle(
            team: UInt(bitPattern: core.team), offset: start, count: count, id: number.id,
            generation: number.generation)
        let stride = MemoryLayout<Element>.stride
        core.arrays.describe(
            number.id,
            ArrayPlace(
                offset: start, bytes: count * stride, elementBytes: stride,
                isReadOnly: !ranksWrite))
    }

    deinit {
        // A process that the leader has forked has a copy of this, not the memory's only owner.
        guard core.isLeader else { return }
        core.checkIdle()
        core.arrays.remove(handle.id)
        core.release(extent, source)
    }

    /// For kernels that read it: any range.
    public var input: Input { Input(handle: handle) }

    /// For kernels that write it and don't read it: the claimed chunk. Precondition: writable.
    public var output: Output { Output(handle: handle) }

    /// For kernels that change it: the claimed chunk, tile by tile. Precondition: writable.
    public var inPlace: InPlace { InPlace(handle: handle) }

    private var start: UnsafeMutablePointer<Element> {
        (core.base + handle.offset).assumingMemoryBound(to: Element.self)
    }

    /// The element at an index. Precondition: in 0..<count; for writing: writable.
    ///
    /// An array that is a file must not have shrunk: touching what is gone ends the process (SIGBUS).
    public subscript(index: Int) -> Element {
        get {
            guard index >= 0 && index < count else { misuse("index \(index) of \(count) elements") }
            return start[index]
        }
        set {
            guard index >= 0 && index < count else { misuse("index \(index) of \(count) elements") }
            guard isWritable else { misuse("the array is mapped read-only") }
            start[index] = newValue
            noteWrite()
        }
    }

    /// Lends all elements for reading. No loop may run meanwhile.
    public func withSpan<Result, Failure: Error>(
        _ body: (Span<Element>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        core.checkIdle()
        core.openViews += 1
        defer { core.openViews -= 1 }
        return try body(Span(_unsafeStart: start, count: count))
    }

    /// Lends all elements for reading and writing. No loop may run meanwhile. Precondition: writable.
    public mutating func withMutableSpan<Result, Failure: Error>(
        _ body: (inout MutableSpan<Element>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard isWritable else { misuse("the array is mapped read-only") }
        // Not through `self`: Swift 6.3 under the thread sanitizer makes invalid code of that.
        let core = core
        core.checkIdle()
        core.openViews += 1
        noteWrite()
        defer { core.openViews -= 1 }
        var span = MutableSpan(_unsafeStart: start, count: count)
        return try body(&span)
    }

    /// Of a mirrored array: ranks don't see it yet.
    func noteWrite() {
        if plan.copyBytes > 0 { core.arrays.setStale(handle.id, true) }
    }

    /// Brings what the leader has written to a mirrored array to all of its copies, in parallel: each rank
    /// copies a part to its own node. A loop over an array that has been written to and not been mirrored
    /// is refused. Any other array is what it is: nothing happens.
    ///
    /// - Throws: `.invalidArgument` while a loop runs or in a process that the leader has forked. `.memory`
    ///   if a rank can't make its copy, `.start` or `.threads` if no rank is left and none can be started,
    ///   `.system` if a system call fails.
    public mutating func mirror() throws(MusterError) {
        guard case .mirror(let number, _) = source else { return }
        try core.mirror(number, flags: MUSTER_MIRROR_COPY)
        let core = core  // see withMutableSpan
        core.arrays.setStale(handle.id, false)
    }

    /// Sets every element, each rank its share; of a mirrored array the leader does, and it is mirrored.
    ///
    /// - Throws: As ``Team/run(_:count:grain:schedule:recovery:stallTimeout:)``, of a mirrored array as
    ///   ``mirror()``.
    public mutating func fill(_ value: Element) throws(MusterError) {
        if case .mirror = source {
            withMutableSpan { span in for i in span.indices { span[i] = value } }
            return try mirror()
        }
        _ = try core.run(
            Fill(value: value, array: output), LoopPlan(count: count, schedule: .static))
    }

    /// A copy of the elements in private memory.
    public func toArray() -> [Element] {
        Array(unsafeUninitializedCapacity: count) { buffer, initialized in
            if count > 0 { buffer.baseAddress!.initialize(from: start, count: count) }
            initialized = count
        }
    }
}

/// Sets the claimed chunk.
struct Fill<Element: BitwiseCopyable>: Kernel {
    let value: Element
    let array: SharedArray<Element>.Output

    func process(_ chunk: borrowing Chunk) throws {
        array.write(chunk) { values in
            for i in values.indices { values[i] = value }
        }
    }
}

extension Team {
    /// Makes an array of zero bytes, its memory committed by the ranks, each its static share.
    ///
    /// - Parameters:
    ///   - type: Type of an element: plain bytes.
    ///   - count: Number of elements, 0 or more.
    ///   - placement: On which node each page should lie. Where this host can't enforce it, pages stay
    ///     where they were first touched and ``SharedArray/notes`` says so.
    ///   - pages: Which pages it should have; ``SharedArray/notes`` says where they could not be had.
    /// - Throws: `.memory` when the machine or a cgroup has not enough or the team has its most arrays,
    ///   `.placement` for a node that is not there or has not enough. `.invalidArgument` for a count that
    ///   can't be, while a loop runs, or in a process that the leader has forked. `.start` or `.threads`
    ///   if no rank is left and none can be started, `.system` if a system call fails.
    public func array<Element: BitwiseCopyable>(
        of type: Element.Type, count: Int, placement: Placement = .firstTouch,
        pages: Pages = .automatic
    ) throws(MusterError) -> SharedArray<Element> {
        try array(of: type, shape: [count], placement: placement, pages: pages)
    }

    /// Makes an array with several dimensions, in C order.
    ///
    /// - Throws: As ``array(of:count:placement:pages:)``.
    public func array<Element: BitwiseCopyable>(
        of type: Element.Type, shape: [Int], placement: Placement = .firstTouch,
        pages: Pages = .automatic
    ) throws(MusterError) -> SharedArray<Element> {
        let subject = "array of \(shape.map(String.init).joined(separator: " x ")) \(type)"
        var bytes = MemoryLayout<Element>.stride
        for length in shape {
            let product = bytes.multipliedReportingOverflow(by: length)
            guard length >= 0, !product.overflow else {
                throw MusterError(
                    .invalidArgument, subject: subject,
                    reason: length < 0
                        ? "a length is negative" : "more bytes than a number can hold")
            }
            bytes = product.partialValue
        }
        return try array(
            of: type, shape: shape, elements: bytes / MemoryLayout<Element>.stride,
            placement: placement, pages: pages, subject)
    }

    /// The same, of a size that a number can hold. `elements`: that loops over it deal; of a C array,
    /// whose `Element` is a byte, they are not its `count`.
    func array<Element: BitwiseCopyable>(
        of type: Element.Type, shape: [Int], elements: Int, placement: Placement, pages: Pages,
        _ subject: String
    ) throws(MusterError) -> SharedArray<Element> {
        let count = shape.reduce(1, *)
        let bytes = count * MemoryLayout<Element>.stride
        let wish = ArrayWish(
            placement: placement, pages: pages, bytes: bytes, elements: elements, subject: subject)
        let memory = try core.memory(for: wish)
        do throws(MusterError) {
            return try SharedArray(
                core: core, extent: memory.extent, count: count, shape: shape, plan: memory.plan,
                pages: pages, source: memory.source)
        } catch {
            core.release(memory.extent, memory.source)
            throw error
        }
    }

    /// Makes an array with the elements of another.
    ///
    /// - Throws: As ``array(of:count:placement:pages:)``.
    public func array<Element: BitwiseCopyable>(
        _ elements: [Element], placement: Placement = .firstTouch, pages: Pages = .automatic
    ) throws(MusterError) -> SharedArray<Element> {
        var made = try array(
            of: Element.self, count: elements.count, placement: placement, pages: pages)
        made.withMutableSpan { span in
            for i in elements.indices { span[i] = elements[i] }
        }
        try made.mirror()
        return made
    }
}
