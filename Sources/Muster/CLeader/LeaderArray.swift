// LeaderArray.swift - the arrays of a leader in C: bytes in shared memory, dealt as elements.

package import MusterCore

/// An array for C. Its memory is that of an array of bytes.
final class CArray {
    private var bytes: SharedArray<UInt8>
    /// Bytes from the memory's start to element 0: a file has a header.
    private let dataOffset: Int
    let count: Int
    let elementBytes: Int
    let leader: Unmanaged<CLeader>
    /// As C gets them, for as long as this object lives.
    let notes: UnsafeMutablePointer<CChar>

    init(
        _ bytes: consuming SharedArray<UInt8>, dataOffset: Int = 0, count: Int, elementBytes: Int,
        name: String = "", of leader: CLeader
    ) {
        let notes = bytes.notes.joined(separator: "\n")
        self.bytes = bytes
        self.dataOffset = dataOffset
        self.count = count
        self.elementBytes = elementBytes
        self.leader = .passUnretained(leader)  // which owns this
        self.notes = copyText(notes)
        describe(name)
    }

    /// Lets errors call it by its name. (By way of the leader: by way of `bytes` the compiler of Swift
    /// 6.3.1 fails under the thread sanitizer.)
    private func describe(_ name: String) {
        let handle = self.handle
        let isReadOnly = !isWritable
        let place = ArrayPlace(
            offset: handle.offset, bytes: count * elementBytes, elementBytes: elementBytes,
            isReadOnly: isReadOnly, name: name)
        leader.takeUnretainedValue().team.core.arrays.describe(handle.id, place)
    }

    deinit { notes.deallocate() }

    static func at(_ pointer: OpaquePointer) -> CArray {
        Unmanaged<CArray>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
    }

    /// Whether kernels may write to it: not to one of several copies.
    var isWritable: Bool { bytes.isWritable && bytes.plan.copyBytes == 0 }

    /// What a kernel's access holds.
    var handle: _ArrayHandle {
        let handle = bytes.handle
        return _ArrayHandle(
            team: handle.team, offset: handle.offset + dataOffset, count: count, id: handle.id,
            generation: handle.generation)
    }

    /// For C to read and write; C does not say when it writes. nil: it has no bytes.
    func lend() -> UnsafeMutableRawPointer? {
        bytes.noteWrite()
        return count == 0 ? nil : bytes.core.base + handle.offset
    }

    func mirror() throws(MusterError) {
        guard bytes.core.isLeader else { throw notLeader("mirrored array") }
        guard !bytes.core.hasEnded else { throw invalid("mirrored array", "the team has ended") }
        try bytes.mirror()
    }
}

/// A C string of its own. Ownership: the caller deallocates it.
func copyText(_ text: String) -> UnsafeMutablePointer<CChar> {
    let bytes = text.utf8CString
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    bytes.withUnsafeBufferPointer { copy.initialize(from: $0.baseAddress!, count: $0.count) }
    return copy
}

@c @implementation
package func muster_array_create(
    _ leader: OpaquePointer!, _ given: UnsafePointer<muster_array_options>!,
    _ array: UnsafeMutablePointer<OpaquePointer?>!, _ error: UnsafeMutablePointer<muster_error>!
) -> CInt {
    report(error) { () throws(MusterError) in
        let leader = try CLeader.given(leader)
        if array == nil { throw invalid("array", "is NULL: no place for the new one") }
        let options = try options(
            given, least: MemoryLayout<muster_array_options>.size, empty: muster_array_options(),
            "array options")
        let subject = "array of \(options.count) elements of \(options.element_bytes) bytes"
        try leader.checkCanMake(subject)
        guard options.element_bytes > 0 else {
            throw invalid(subject, "an element has 1 or more bytes")
        }
        guard let count = Int(exactly: options.count) else {
            throw invalid(subject, "more bytes than a number can hold")
        }
        let elementBytes = Int(options.element_bytes)
        let (size, overflow) = count.multipliedReportingOverflow(by: elementBytes)
        guard !overflow else { throw invalid(subject, "more bytes than a number can hold") }
        var placement = Placement.firstTouch
        if let spelled = text(options.placement) {
            guard let read = Placement(spelled) else {
                throw invalid("placement \(spelled)", "is none of \(Placement.spelling)")
            }
            placement = read
        }
        var pages = Pages.automatic
        if let spelled = text(options.pages) {
            guard let read = Pages(spelled) else {
                let known = Pages.allCases.map(\.description).joined(separator: " | ")
                throw invalid("pages \(spelled)", "are none of \(known)")
            }
            pages = read
        }
        let bytes = try leader.team.array(
            of: UInt8.self, shape: [size], elements: count, placement: placement, pages: pages,
            subject)
        array.pointee = leader.add(
            CArray(
                bytes, count: count, elementBytes: elementBytes, name: text(options.name) ?? "",
                of: leader))
    }
}

@c @implementation
package func muster_array_map(
    _ leader: OpaquePointer!, _ path: UnsafePointer<CChar>!,
    _ given: UnsafePointer<muster_file_options>!, _ array: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<muster_error>!
) -> CInt {
    report(error) { () throws(MusterError) in
        let leader = try CLeader.given(leader)
        if array == nil { throw invalid("array", "is NULL: no place for the new one") }
        let options = try options(
            given, least: MemoryLayout<muster_file_options>.size, empty: muster_file_options(),
            "file options")
        guard let path = path.map({ String(fileName: $0) }) else {
            throw invalid("path", "is NULL")
        }
        try leader.checkCanMake(path)
        // One opening for header and elements: the name may be another file's a moment later.
        let file = try BackingFile(opening: path, writable: options.writable != 0)
        do throws(MusterError) {
            let layout = try FileLayout(file, options)
            let bytes: SharedArray<UInt8> = try leader.team.mapped(
                file, dataOffset: 0, dtype: nil, shape: [file.byteCount],
                writable: options.writable != 0)
            array.pointee = leader.add(
                CArray(
                    bytes, dataOffset: layout.dataOffset, count: layout.count,
                    elementBytes: layout.elementBytes, of: leader))
        } catch {
            muster_file_close(file.descriptor)
            throw error
        }
    }
}

/// Where the elements of a file are.
private struct FileLayout {
    let dataOffset: Int
    let count: Int
    let elementBytes: Int

    /// - Throws: `.file`, `.invalidArgument`.
    init(_ file: BackingFile, _ options: muster_file_options) throws(MusterError) {
        guard options.element_bytes == 0 else {
            elementBytes = Int(options.element_bytes)
            dataOffset = 0
            count = file.byteCount / elementBytes
            guard file.byteCount.isMultiple(of: elementBytes) else {
                throw MusterError(
                    .file, subject: file.path,
                    reason: "has \(file.byteCount) bytes, which is not a whole number of elements "
                        + "of \(elementBytes) bytes")
            }
            return
        }
        guard let wanted = DType.allCases.first(where: { $0.code == options.dtype }) else {
            throw invalid("dtype \(options.dtype)", "is none of enum muster_type")
        }
        let header = try NPYHeader(file)
        guard header.dtype == wanted else {
            throw MusterError(
                .file, subject: file.path, reason: "holds \(header.dtype.name), not \(wanted.name)")
        }
        try header.requireDirectView(file)
        elementBytes = header.dtype.byteCount
        dataOffset = header.dataOffset
        count = header.shape.reduce(1, *)
    }
}

@c @implementation
package func muster_array_elements(_ array: OpaquePointer!) -> UnsafeMutableRawPointer! {
    guard let array else { return nil }
    return CArray.at(array).lend()
}

@c @implementation
package func muster_array_count(_ array: OpaquePointer!) -> UInt64 {
    guard let array else { return 0 }
    return UInt64(CArray.at(array).count)
}

/// The notes of no array: a string that is never freed.
nonisolated(unsafe) private let noNotes = UnsafePointer(copyText(""))

@c @implementation
package func muster_array_notes(_ array: OpaquePointer!) -> UnsafePointer<CChar>! {
    guard let array else { return noNotes }
    return UnsafePointer(CArray.at(array).notes)
}

@c @implementation
package func muster_array_mirror(
    _ array: OpaquePointer!, _ error: UnsafeMutablePointer<muster_error>!
) -> CInt {
    report(error) { () throws(MusterError) in
        guard let array else { throw invalid("array", "is NULL") }
        try CArray.at(array).mirror()
    }
}

@c @implementation
package func muster_array_destroy(_ array: OpaquePointer!) {
    guard let array else { return }
    let leader = CArray.at(array).leader.takeUnretainedValue()
    if leader.team.core.isLeader { leader.remove(CArray.at(array)) }
}
