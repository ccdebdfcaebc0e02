// FileArray.swift - files as arrays: mapped in every rank, never read into memory whole.

internal import MusterCore

/// A type of element that `.npy` files know.
public protocol NPYElement: BitwiseCopyable {
    /// Its name in `.npy` headers.
    static var dtype: DType { get }
}

extension Float16: NPYElement {
    /// float16
    public static var dtype: DType { .f2 }
}
extension Float: NPYElement {
    /// float32
    public static var dtype: DType { .f4 }
}
extension Double: NPYElement {
    /// float64
    public static var dtype: DType { .f8 }
}
extension Int8: NPYElement {
    /// int8
    public static var dtype: DType { .i1 }
}
extension Int16: NPYElement {
    /// int16
    public static var dtype: DType { .i2 }
}
extension Int32: NPYElement {
    /// int32
    public static var dtype: DType { .i4 }
}
extension Int64: NPYElement {
    /// int64
    public static var dtype: DType { .i8 }
}
extension UInt8: NPYElement {
    /// uint8; also the type to read bool files as.
    public static var dtype: DType { .u1 }
}
extension UInt16: NPYElement {
    /// uint16
    public static var dtype: DType { .u2 }
}
extension UInt32: NPYElement {
    /// uint32
    public static var dtype: DType { .u4 }
}
extension UInt64: NPYElement {
    /// uint64
    public static var dtype: DType { .u8 }
}

extension NPYHeader {
    /// Reads the header of a `.npy` file and checks it against the file's length.
    ///
    /// - Throws: `.file`, with the reason and the remedy.
    public init(path: String) throws(MusterError) {
        let file = try BackingFile(opening: path, writable: false)
        defer { muster_file_close(file.descriptor) }
        self = try NPYHeader(file)
    }

    init(_ file: BackingFile) throws(MusterError) {
        do {
            let first = try file.read(min(file.byteCount, 12))
            let length = try NPYHeader.requiredPrefix(first, fileByteCount: file.byteCount)
            self = try NPYHeader(
                prefix: try file.read(min(file.byteCount, length)), fileByteCount: file.byteCount)
        } catch let error as NPYError {
            throw MusterError(.file, subject: file.path, reason: error.description)
        } catch {
            throw error as! MusterError
        }
    }
}

extension NPYHeader {
    /// Checks that the file can be mapped and read as C-order elements of this machine as it is.
    func requireDirectView(_ file: BackingFile) throws(MusterError) {
        do {
            try requireDirectView()
        } catch {
            throw MusterError(.file, subject: file.path, reason: error.description)
        }
    }
}

extension BackingFile {
    /// Opens a regular file.
    init(opening path: String, writable: Bool) throws(MusterError) {
        try checkName(path)
        var descriptor: Int32 = -1
        var bytes: UInt64 = 0
        let status = path.withFileName { muster_file_open($0, writable, &descriptor, &bytes) }
        guard status == 0 else {
            if status == -EISDIR {
                throw MusterError(
                    .file, subject: path, reason: "is a directory, not a file", errorNumber: EISDIR)
            }
            if status == -EINVAL {
                throw MusterError(
                    .file, subject: path,
                    reason: "is not a regular file, so it can't be mapped; copy it to a file",
                    errorNumber: EINVAL)
            }
            throw .system(.file, path, "can't open it", status: status)
        }
        self.init(path: path, descriptor: descriptor, byteCount: Int(clamping: bytes))
    }

    /// The first bytes.
    func read(_ count: Int) throws(MusterError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let length = muster_file_read(descriptor, &bytes, count, 0)
        guard length >= 0 else { throw .system(.file, path, "can't read it", status: length) }
        return Array(bytes.prefix(Int(length)))
    }
}

extension Team {
    /// Maps a `.npy` file as an array.
    ///
    /// - Parameters:
    ///   - path: The file, with `String(fileName:)` where its name is not UTF-8: `.npy` version 1 to 3,
    ///     C order, little-endian, aligned to its elements. ``numbers(npy:)`` also reads the other ones.
    ///   - type: Its element type; `UInt8.self` also reads bool.
    ///   - writable: Whether changes go to the file. Its blocks on disk are allocated first.
    /// - Throws: `.file`, with the reason and the remedy; `.memory` if the range of addresses has no room
    ///   for it or the team has its most arrays. `.invalidArgument` while a loop runs or in a process
    ///   that the leader has forked; `.system` if a system call fails.
    public func array<Element: NPYElement>(
        npy path: String, as type: Element.Type, writable: Bool = false
    ) throws(MusterError) -> SharedArray<Element> {
        let file = try BackingFile(opening: path, writable: writable)
        do throws(MusterError) {
            let header = try NPYHeader(file)
            guard header.dtype == type.dtype || (header.dtype == .bool && type.dtype == .u1) else {
                throw MusterError(
                    .file, subject: path,
                    reason: "holds \(header.dtype.name), not \(type.dtype.name)")
            }
            try header.requireDirectView(file)
            return try mapped(
                file, dataOffset: header.dataOffset, dtype: header.dtype, shape: header.shape,
                writable: writable)
        } catch {
            muster_file_close(file.descriptor)
            throw error
        }
    }

    /// Maps a file of raw elements as an array.
    ///
    /// - Parameters:
    ///   - path: The file, with `String(fileName:)` where its name is not UTF-8; its length must be a whole number of elements.
    ///   - type: The element type, in this host's byte order.
    ///   - writable: Whether changes go to the file.
    /// - Throws: As ``array(npy:as:writable:)``.
    public func array<Element: BitwiseCopyable>(
        file path: String, of type: Element.Type, writable: Bool = false
    ) throws(MusterError) -> SharedArray<Element> {
        let file = try BackingFile(opening: path, writable: writable)
        do throws(MusterError) {
            let stride = MemoryLayout<Element>.stride
            guard file.byteCount % stride == 0 else {
                throw MusterError(
                    .file, subject: path,
                    reason:
                        "has \(file.byteCount) bytes, which is not a whole number of elements of "
                        + "\(stride) bytes")
            }
            return try mapped(
                file, dataOffset: 0, dtype: nil, shape: [file.byteCount / stride],
                writable: writable)
        } catch {
            muster_file_close(file.descriptor)
            throw error
        }
    }

    /// Maps an open file. Ownership: on success the array closes it.
    func mapped<Element: BitwiseCopyable>(
        _ file: BackingFile, dataOffset: Int, dtype: DType?, shape: [Int], writable: Bool
    ) throws(MusterError) -> SharedArray<Element> {
        if writable {
            let status = muster_file_allocate(file.descriptor, UInt64(file.byteCount))
            // Some file systems have no allocation; then a full disk shows as SIGBUS in a worker.
            guard status == 0 || status == -EOPNOTSUPP else {
                throw .system(.file, file.path, "can't allocate its blocks on disk", status: status)
            }
        }
        guard file.byteCount > 0 else {
            return try SharedArray(
                core: core, extent: Extent(offset: 0, bytes: 0), count: 0, shape: shape,
                isWritable: writable, source: .file(file), fileDType: dtype)
        }
        let extent = try core.map(file, writable: writable)
        do throws(MusterError) {
            return try SharedArray(
                core: core, extent: extent, dataOffset: dataOffset, count: shape.reduce(1, *),
                shape: shape, isWritable: writable, source: .file(file), fileDType: dtype)
        } catch {
            core.unmap(extent)
            throw error
        }
    }
}

extension SharedArray where Element: NPYElement {
    /// Writes the array as a `.npy` file that NumPy reads. A file that is there is replaced when the new
    /// one is complete, and left as it was when writing fails.
    ///
    /// - Throws: `.file`, with the reason; `.invalidArgument` while a loop runs.
    public func save(npy path: String) throws(MusterError) {
        try core.checkIsIdle(path)
        try checkName(path)
        // A device or a pipe is written to as it is; a file that is there stays until the new one is.
        var there: Int32 = -1
        var size: UInt64 = 0
        let found = path.withFileName { muster_file_open($0, false, &there, &size) }
        let isSpecial = found == -EINVAL
        // Absent (ENOENT) and unreadable (EACCES) files can be replaced all the same.
        guard [0, -2, -13, -22].contains(found) else {
            throw .system(.file, path, "can't create it", status: found)
        }
        if there >= 0 { muster_file_close(there) }
        let draft = isSpecial ? path : "\(path).muster-\(muster_process_id())"
        let header = NPYHeader.encode(dtype: Element.dtype, shape: shape)
        var descriptor: Int32 = -1
        var status = draft.withFileName { muster_file_create($0, &descriptor) }
        guard status == 0 else { throw .system(.file, path, "can't create it", status: status) }
        var written = muster_file_write(descriptor, header, header.count)
        if written >= 0 {
            written = withSpan { span in
                span.withUnsafeBufferPointer { elements in
                    let bytes = UnsafeRawBufferPointer(elements)
                    return muster_file_write(descriptor, bytes.baseAddress, bytes.count)
                }
            }
        }
        status = muster_file_finish(descriptor)
        if written >= 0, status == 0, !isSpecial {
            status = draft.withFileName { draft in
                path.withFileName { muster_file_rename(draft, $0) }
            }
        }
        guard written >= 0, status == 0 else {
            if draft != path { draft.withFileName { muster_file_remove($0) } }
            let size = header.count + count * MemoryLayout<Element>.stride
            throw .system(
                .file, path, "can't write it", status: written < 0 ? Int32(written) : status,
                needed: UInt64(size))
        }
    }
}
