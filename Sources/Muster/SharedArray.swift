// SharedArray.swift - an array in shared memory, as the leader has it.

internal import CMuster

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
    public let placement: Placement
    /// What could not be done as asked, in words; empty: everything could.
    public let notes: [String]
    /// Whether kernels and the leader may write to it.
    public let isWritable: Bool
    /// The file behind it; nil: memory.
    public let path: String?
    /// The type of elements that a `.npy` file names; nil: memory, or a file without a header. Only of
    /// a bool file is it another than `Element`'s own.
    public let fileDType: DType?

    let core: TeamCore
    let handle: _ArrayHandle
    private let extent: Extent
    private let file: BackingFile?

    init(
        core: TeamCore, extent: Extent, dataOffset: Int = 0, count: Int, shape: [Int],
        placement: Placement, notes: [String], isWritable: Bool = true, file: BackingFile? = nil,
        fileDType: DType? = nil
    ) throws(MusterError) {
        guard let number = core.arrays.add(isWritable: isWritable, file: file) else {
            throw MusterError(
                .memory, subject: "array", reason: "a team has at most \(MUSTER_ARRAYS_MAX) arrays")
        }
        self.core = core
        self.extent = extent
        self.file = file
        self.count = count
        self.shape = shape
        self.placement = placement
        self.notes = notes
        self.isWritable = isWritable
        path = file?.path
        self.fileDType = fileDType
        handle = _ArrayHandle(
            team: UInt(bitPattern: core.team), offset: extent.offset + dataOffset, count: count,
            id: number.id,
            generation: number.generation)
    }

    deinit {
        // A process that the leader has forked has a copy of this, not the memory's only owner.
        guard core.isLeader else { return }
        core.checkIdle()
        core.arrays.remove(handle.id)
        if let file {
            core.unmap(extent)
            muster_file_close(file.descriptor)
        } else {
            core.free(extent)
        }
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
            precondition(index >= 0 && index < count, "index \(index) of \(count) elements")
            return start[index]
        }
        set {
            precondition(index >= 0 && index < count, "index \(index) of \(count) elements")
            precondition(isWritable, "the array is mapped read-only")
            start[index] = newValue
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
        precondition(isWritable, "the array is mapped read-only")
        // Not through `self`: Swift 6.3 under the thread sanitizer makes invalid code of that.
        let core = core
        core.checkIdle()
        core.openViews += 1
        defer { core.openViews -= 1 }
        var span = MutableSpan(_unsafeStart: start, count: count)
        return try body(&span)
    }

    /// Sets every element, each rank its share.
    public mutating func fill(_ value: Element) throws(MusterError) {
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

    /// On which nodes the pages lie now, read back from the kernel (`move_pages`).
    ///
    /// Pages of a file that are not in memory are read in for it.
    public func residency() throws(MusterError) -> Residency {
        var nodes = [UInt64](repeating: 0, count: Int(MUSTER_NODES_MAX))
        var absent: UInt64 = 0
        let page = muster_team_page_bytes(core.team)
        let bytes = UInt64(count * MemoryLayout<Element>.stride)
        let status = muster_placement_residency(
            core.base + extent.offset, bytes, page, &nodes, &absent)
        guard status == 0 else {
            throw .system(
                .placement, "array of \(formatBytes(bytes))", "can't read back where its pages lie",
                status: status)
        }
        var byNode: [Int: UInt64] = [:]
        for (node, bytes) in nodes.enumerated() where bytes > 0 { byNode[node] = bytes }
        return Residency(bytesByNode: byNode, absentBytes: absent)
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
    /// - Throws: `.memory` when the machine or a cgroup has not enough, `.placement` for a node that is
    ///   not there.
    public func array<Element: BitwiseCopyable>(
        of type: Element.Type, count: Int, placement: Placement = .firstTouch
    ) throws(MusterError) -> SharedArray<Element> {
        try array(of: type, shape: [count], placement: placement)
    }

    /// Makes an array with several dimensions, in C order.
    public func array<Element: BitwiseCopyable>(
        of type: Element.Type, shape: [Int], placement: Placement = .firstTouch
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
        let count = bytes / MemoryLayout<Element>.stride
        let extent = try core.reserve(bytes: bytes, of: subject)
        do throws(MusterError) {
            let notes = try core.place(
                extent, bytes: bytes, elements: count, placement, of: subject)
            return try SharedArray(
                core: core, extent: extent, count: count, shape: shape, placement: placement,
                notes: notes)
        } catch {
            core.free(extent)
            throw error
        }
    }

    /// Makes an array with the elements of another.
    public func array<Element: BitwiseCopyable>(
        _ elements: [Element], placement: Placement = .firstTouch
    ) throws(MusterError) -> SharedArray<Element> {
        var made = try array(of: Element.self, count: elements.count, placement: placement)
        made.withMutableSpan { span in
            for i in elements.indices { span[i] = elements[i] }
        }
        return made
    }
}

extension TeamCore {
    /// Sets a new array's policy, has it committed, and makes the policy strict. Returns notes.
    func place(
        _ extent: Extent, bytes: Int, elements: Int, _ placement: Placement, of subject: String
    ) throws(MusterError) -> [String] {
        guard bytes > 0 else { return [] }
        let grain = Int(muster_schedule_grain(UInt64(elements), 0, 0))
        let blockBytes = max(1, grain * (bytes / max(1, elements)))
        guard placement != .firstTouch else {
            muster_testing_point_array()
            try commit(extent, bytes: bytes, blockBytes: blockBytes, of: subject)
            return []
        }
        var host: UnsafeMutablePointer<muster_topology>?
        let status = muster_topology_create(nil, &host)
        guard status == 0, let host else {
            throw .system(.placement, subject, "can't read this host's topology", status: status)
        }
        defer { muster_topology_destroy(host) }
        guard var raw = placement.raw else {
            throw MusterError(
                .placement, subject: "placement \(placement)", reason: "no kernel has such a node")
        }
        let checked = muster_placement_check(&raw, host)
        guard checked == 0 else {
            let nodes = (0..<Int(host.pointee.node_count)).map { String(host.pointee.nodes[$0].id) }
            throw MusterError(
                .placement, subject: "placement \(placement)",
                reason: checked == -13  // EACCES
                    ? "this process's cpuset does not allow that node"
                    : "no such node with memory; this host has \(nodes.joined(separator: ", "))",
                errorNumber: -checked)
        }
        var notes: [String] = []
        for step in [MUSTER_PLACEMENT_PREFER, MUSTER_PLACEMENT_BIND] {
            let applied = muster_placement_apply(
                &raw, step, base + extent.offset, UInt64(bytes), UInt64(blockBytes), homeNodes,
                UInt32(size), host)
            if applied < 0 {
                notes.append(
                    "placement \(placement) can't be enforced here (\(statusText(applied))): pages "
                        + "stay where they were first touched")
            }
            if step == MUSTER_PLACEMENT_PREFER {
                muster_testing_point_array()
                try commit(extent, bytes: bytes, blockBytes: blockBytes, of: subject)
            }
            if applied < 0 { break }
        }
        return notes
    }
}
