// The header of a `.npy` file: parsed from the file's first bytes, and written byte for byte as
// NumPy writes it. A header is a value; nothing here reads a file or knows its name.
//
// Invariant: an `NPYHeader` that was made describes data that are there: all of them, in bounds of the
// file, and nothing behind them. Order, byte order and alignment are as the file has them;
// `requireDirectView` refuses those that no array can be mapped with. Other programs write files, so no
// input traps: arithmetic is overflow-checked, nesting is bounded.
//
// Source: numpy.lib.format, "Format Version 1.0" to "3.0". Where that text and NumPy 2's reader
// differ, the reader is followed; where this parser is stricter than both, it says so.

/// The element types that Muster reads from and writes to `.npy` files.
///
/// The raw value is NumPy's kind and size in bytes, `bool` excepted.
public enum DType: String, Sendable, CaseIterable {
    /// IEEE 754 binary16, 2 bytes.
    case f2
    /// IEEE 754 binary32, 4 bytes.
    case f4
    /// IEEE 754 binary64, 8 bytes.
    case f8
    /// Signed integer, 1 byte.
    case i1
    /// Signed integer, 2 bytes.
    case i2
    /// Signed integer, 4 bytes.
    case i4
    /// Signed integer, 8 bytes.
    case i8
    /// Unsigned integer, 1 byte.
    case u1
    /// Unsigned integer, 2 bytes.
    case u2
    /// Unsigned integer, 4 bytes.
    case u4
    /// Unsigned integer, 8 bytes.
    case u8
    /// Truth value, 1 byte: 0 is false and 1 is true.
    ///
    /// A file may hold other bytes; NumPy takes each of them for true. The header can't tell.
    case bool

    /// The size of one element in bytes: 1, 2, 4 or 8.
    public var byteCount: Int {
        switch self {
        case .i1, .u1, .bool: 1
        case .f2, .i2, .u2: 2
        case .f4, .i4, .u4: 4
        case .f8, .i8, .u8: 8
        }
    }

    /// The type as it stands under `'descr'` in a `.npy` header: `<f8`, `|u1`, `|b1`.
    ///
    /// A byte has no byte order, which NumPy writes as `|`.
    public var npyDescription: String {
        (byteCount == 1 ? "|" : "<") + (self == .bool ? "b1" : rawValue)
    }

    /// The type's name in NumPy: `float64`, `uint8`, `bool`.
    public var name: String {
        switch self {
        case .f2: "float16"
        case .f4: "float32"
        case .f8: "float64"
        case .i1: "int8"
        case .i2: "int16"
        case .i4: "int32"
        case .i8: "int64"
        case .u1: "uint8"
        case .u2: "uint16"
        case .u4: "uint32"
        case .u8: "uint64"
        case .bool: "bool"
        }
    }
}

/// What the header of a `.npy` file says: element type, shape, and where the data start.
///
/// Read `prefixByteCount` bytes of the file, or all of it where it is shorter. They nearly always
/// hold the whole header; if not, `requiredPrefix(_:fileByteCount:)` says how many are needed:
///
///     var prefix = read(NPYHeader.prefixByteCount)
///     let needed = try NPYHeader.requiredPrefix(prefix, fileByteCount: size)
///     if prefix.count < needed { prefix = read(needed) }
///     let header = try NPYHeader(prefix: prefix, fileByteCount: size)
public struct NPYHeader: Sendable, Equatable {
    /// A version of the file format. It says nothing of NumPy's version.
    public struct Version: Sendable, Equatable {
        /// 1, 2 or 3.
        public let major: UInt8
        /// 0 in each version there is.
        public let minor: UInt8
    }

    /// The element type.
    public let dtype: DType

    /// The length of each dimension in elements. The last one varies fastest in memory (C order),
    /// or the first one where `isFortranOrder`.
    ///
    /// Empty for a 0-d array, which has one element. At most `maximumDimensionCount` dimensions.
    public let shape: [Int]

    /// Whether the first dimension varies fastest in memory. False where both orders are the same
    /// bytes: with at most one dimension longer than 1, or without elements.
    public let isFortranOrder: Bool

    /// Whether the bytes of each element are in big-endian order. False for elements of one byte.
    public let isBigEndian: Bool

    /// Where the data start: bytes from the beginning of the file. NumPy aligns it to 64 bytes;
    /// other writers may put it anywhere (`isAligned`).
    public let dataOffset: Int

    /// Whether the data start at a multiple of the element's size.
    public var isAligned: Bool { dataOffset.isMultiple(of: dtype.byteCount) }

    /// The version of the file format.
    public let version: Version

    /// The number of elements: the product of `shape`, 1 for a 0-d array.
    public let count: Int

    /// The size of the data in bytes. The file ends `dataByteCount` bytes behind `dataOffset`.
    public var dataByteCount: Int { count * dtype.byteCount }

    /// The number of bytes to read first: one page.
    ///
    /// NumPy's header for one of our types takes under 1536 bytes, with all 64 dimensions at their
    /// longest. Only a writer that pads to a page or more needs a second read.
    public static let prefixByteCount = 4096

    /// The most dimensions an array may have, as in NumPy since 2.0 (32 before).
    public static let maximumDimensionCount = 64

    /// The longest header read, in bytes: 1 MiB.
    ///
    /// Versions 2 and 3 have room for 4 GiB, meant for structures with many fields, which aren't
    /// read here. NumPy itself stops at 10,000 unless told otherwise.
    public static let maximumByteCount = 1 << 20

    /// Returns how many of the file's bytes `init(prefix:fileByteCount:)` needs: all of the header.
    ///
    /// - Parameters:
    ///   - firstBytes: the file's first 12 bytes or more, or all of them if there are fewer.
    ///   - fileByteCount: the size of the file in bytes.
    /// - Throws: `NPYError` with reason `emptyFile`, `notNPY`, `truncatedHeader`, `prefixTooShort`,
    ///   `unsupportedVersion`, `headerBeyondFile` or `headerTooLong`.
    public static func requiredPrefix(
        _ firstBytes: [UInt8], fileByteCount: Int
    ) throws(NPYError) -> Int {
        try NPYPreamble(firstBytes, fileByteCount: fileByteCount).dataOffset
    }

    /// Parses a header and checks it against the size of its file.
    ///
    /// - Parameters:
    ///   - prefix: the file's first bytes, as many as `requiredPrefix` says, or more.
    ///   - fileByteCount: the size of the file in bytes.
    /// - Throws: `NPYError` as ``requiredPrefix(_:fileByteCount:)``, and with reason
    ///   `malformedHeader`, `unknownKey`, `missingKey`, `duplicateKey`, `objectDType`, `structuredDType`,
    ///   `complexDType`, `unsupportedDType`, `tooManyDimensions`, `invalidShape`, `countOverflow`,
    ///   `dataTruncated` or `dataTooLong`.
    public init(prefix: [UInt8], fileByteCount: Int) throws(NPYError) {
        let preamble = try NPYPreamble(prefix, fileByteCount: fileByteCount)
        guard prefix.count >= preamble.dataOffset else {
            throw .prefixTooShort(needed: preamble.dataOffset, given: prefix.count)
        }
        var parser = NPYParser(
            prefix, from: preamble.textOffset, to: preamble.dataOffset,
            isUTF8: preamble.version.major == 3)
        let fields = try parser.parseHeader()

        (dtype, isBigEndian) = try DType.parse(fields.descr)
        shape = try Self.shape(fields.shape)
        count = try Self.count(shape, of: dtype)
        version = preamble.version
        dataOffset = preamble.dataOffset
        // With at most one dimension longer than 1, or with no element, both orders are the same
        // bytes. NumPy writes False for those; other writers are not all so careful.
        isFortranOrder =
            fields.isFortranOrder && count > 0 && shape.count(where: { $0 > 1 }) > 1
        try checkData(fileByteCount: fileByteCount)
    }

    /// The data fill the file to its end.
    private func checkData(fileByteCount: Int) throws(NPYError) {
        // Not negative: `NPYPreamble` saw that the header lies within the file.
        let found = fileByteCount - dataOffset
        let claim = "the header claims \(dataByteCount) bytes of data (\(count) x \(dtype.name))"
        guard found >= dataByteCount else {
            throw NPYError(
                .dataTruncated, "\(claim), but the file has only \(found)",
                remedy: "it was cut short, so copy or save it again")
        }
        // NumPy's reader stops at the array's end and would not miss it. Here a file is one array,
        // and what isn't read must not go unnoticed.
        guard found == dataByteCount else {
            throw NPYError(
                .dataTooLong, "\(claim), but the file has \(found)",
                remedy: "save one array to a file, and nothing after it")
        }
    }

    /// Checks that the file can be mapped and read as C-order elements of this machine as it is.
    ///
    /// `Team.numbers(npy:)` reads the others too.
    ///
    /// - Throws: `NPYError` with reason `fortranOrder`, `bigEndian` or `dataMisaligned`.
    package func requireDirectView() throws(NPYError) {
        guard !isFortranOrder else {
            throw NPYError(
                .fortranOrder, "the array is stored in Fortran order",
                remedy: "save numpy.ascontiguousarray(a) instead of a")
        }
        guard !isBigEndian else {
            throw NPYError(
                .bigEndian, "the data are big-endian",
                remedy: "save a.astype('\(dtype.npyDescription)') instead of a")
        }
        guard isAligned else {
            throw NPYError(
                .dataMisaligned,
                "the data start at byte \(dataOffset), not a multiple of \(dtype.byteCount), "
                    + "the size of \(dtype.name)",
                remedy: "\(NPYError.saveAgain), which aligns it")
        }
    }
}

// MARK: - The parts of a header

extension NPYHeader {
    /// `\x93NUMPY`, the first bytes of each `.npy` file.
    static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]

    /// The dimensions under `'shape'`, none of them negative.
    private static func shape(_ literal: PythonLiteral) throws(NPYError) -> [Int] {
        func invalid(_ why: String) -> NPYError {
            NPYError(.invalidShape, why)
        }
        guard case .tuple(let items) = literal else {
            throw invalid("'shape' is not a tuple of integers")
        }
        guard items.count <= maximumDimensionCount else {
            throw NPYError(
                .tooManyDimensions,
                "the array has \(items.count) dimensions, more than \(maximumDimensionCount)",
                remedy: "save a.ravel() instead of a")
        }
        var shape: [Int] = []
        for (index, item) in items.enumerated() {
            switch item {
            case .integer(let length) where length >= 0: shape.append(length)
            case .integer, .integerOutOfRange(isNegative: true):
                throw invalid("dimension \(index) of the shape is negative")
            case .integerOutOfRange(isNegative: false): throw .countOverflow
            default: throw invalid("dimension \(index) of the shape is not an integer")
            }
        }
        return shape
    }

    /// The number of elements, whose bytes can be counted too.
    ///
    /// Zeros are left out of the product that must fit, as in NumPy: (0, 2^40, 2^40) has no
    /// element, yet its strides would overflow.
    private static func count(_ shape: [Int], of dtype: DType) throws(NPYError) -> Int {
        var byteCount = dtype.byteCount
        for length in shape where length > 0 {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: length)
            if overflow { throw .countOverflow }
            byteCount = product
        }
        return shape.contains(0) ? 0 : byteCount / dtype.byteCount
    }
}

// MARK: - Writing

extension NPYHeader {
    /// Returns the header of an array in C order, the bytes that `numpy.save` writes.
    ///
    /// Its length is a multiple of 64, so that data behind it are aligned in a mapped file; its
    /// last byte is a newline.
    ///
    /// - Precondition: `shape` has at most `maximumDimensionCount` dimensions, none negative.
    /// - Parameters:
    ///   - dtype: the element type.
    ///   - shape: the length of each dimension in elements; empty for a 0-d array.
    public static func encode(dtype: DType, shape: [Int]) -> [UInt8] {
        guard shape.count <= maximumDimensionCount, shape.allSatisfy({ $0 >= 0 }) else {
            misuse(
                "shape \(shape): at most \(maximumDimensionCount) dimensions, none negative")
        }
        let lengths = shape.map(String.init).joined(separator: ", ")
        let tuple = shape.count == 1 ? "(\(lengths),)" : "(\(lengths))"
        var text =
            "{'descr': '\(dtype.npyDescription)', 'fortran_order': False, 'shape': \(tuple), }"
        // NumPy leaves room for the first dimension to grow to 21 digits, for writers that append.
        if let first = shape.first {
            text += String(repeating: " ", count: 21 - String(first).utf8.count)
        }
        return frame(text)
    }

    /// Puts magic, version, length and padding around a dictionary (NumPy's `_wrap_header`).
    ///
    /// Version 1.0, or 2.0 where the text with its padding is longer than 65,535 bytes. What
    /// `encode` writes never is: 64 dimensions take under 1,500.
    package static func frame(_ text: String) -> [UInt8] {
        func framed(major: UInt8, lengthByteCount: Int) -> [UInt8]? {
            let textOffset = magic.count + 2 + lengthByteCount
            let used = textOffset + text.utf8.count + 1
            // 1 to 64: where nothing is missing, NumPy pads by 64.
            let padding = 64 - used % 64
            let length = used + padding - textOffset
            guard length < 1 << (8 * lengthByteCount) else { return nil }
            var bytes = magic + [major, 0]
            for index in 0..<lengthByteCount {
                bytes.append(UInt8(truncatingIfNeeded: length >> (8 * index)))
            }
            bytes += Array(text.utf8)
            bytes += Array(repeating: UInt8(ascii: " "), count: padding)
            bytes.append(UInt8(ascii: "\n"))
            return bytes
        }
        guard
            let bytes = framed(major: 1, lengthByteCount: 2) ?? framed(major: 2, lengthByteCount: 4)
        else { misuse("a header longer than 4 GiB") }
        return bytes
    }
}

// MARK: - Errors

/// Why a file can't be read as `.npy`.
///
/// The text is one line that names the reason and the remedy. It doesn't name the file, which the
/// header never knew: the code that opened the file puts the name in front.
public struct NPYError: Error, CustomStringConvertible, Equatable {
    /// The reasons, one for each kind of refusal.
    public enum Reason: Sendable, Equatable, CaseIterable {
        /// The file has no bytes.
        case emptyFile
        /// The file doesn't start with `\x93NUMPY`.
        case notNPY
        /// The file ends before the header's length was said.
        case truncatedHeader
        /// The caller supplied fewer bytes than the header has; the file is not at fault.
        case prefixTooShort
        /// Neither version 1.0 nor 2.0 nor 3.0.
        case unsupportedVersion
        /// The header claims to end behind the file's end.
        case headerBeyondFile
        /// The header is longer than `NPYHeader.maximumByteCount`.
        case headerTooLong
        /// The header isn't a Python dictionary of the values it should have.
        case malformedHeader
        /// A key other than `descr`, `fortran_order` and `shape`.
        case unknownKey
        /// One of the three keys isn't there.
        case missingKey
        /// One of the three keys is there twice.
        case duplicateKey
        /// Fortran order where an array in C order is needed.
        case fortranOrder
        /// Big-endian data where elements of this machine are needed.
        case bigEndian
        /// Python objects, which are a pickle and not data.
        case objectDType
        /// Structures or subarrays.
        case structuredDType
        /// Complex numbers.
        case complexDType
        /// Strings, dates, raw bytes, extended precision, or a type that NumPy doesn't know.
        case unsupportedDType
        /// More dimensions than `NPYHeader.maximumDimensionCount`.
        case tooManyDimensions
        /// The shape is no tuple, or a dimension is negative or not an integer.
        case invalidShape
        /// The array's size in bytes doesn't fit in 63 bits.
        case countOverflow
        /// The file ends before the data the header claims.
        case dataTruncated
        /// The file goes on behind the data the header claims.
        case dataTooLong
        /// The data don't start at a multiple of the element's size, which a mapped array needs.
        case dataMisaligned
    }

    /// The kind of refusal.
    public let reason: Reason

    /// One line for people: the reason and the remedy.
    public let description: String

    /// The remedy where the header was damaged, or its writer didn't follow the format.
    static let saveAgain = "save the array again with numpy.save"

    init(_ reason: Reason, _ why: String, remedy: String = saveAgain) {
        self.reason = reason
        self.description = "\(why); \(remedy)"
    }

    /// A file's own text, fit for one line on a terminal: printable ASCII, cut after 40 characters.
    static func quoted(_ text: String) -> String {
        let scalars = text.unicodeScalars
        let shown = scalars.prefix(40).map { $0.escaped(asASCII: true) }.joined()
        return scalars.count > 40 ? "'\(shown)...'" : "'\(shown)'"
    }

    fileprivate static let countOverflow = NPYError(
        .countOverflow, "the header claims more elements than memory has addresses")

    static func prefixTooShort(needed: Int, given: Int) -> NPYError {
        NPYError(
            .prefixTooShort,
            "the header has \(needed) bytes or more, but only \(given) of them were supplied",
            remedy: "read \(needed)")
    }

    static func notNPY(_ prefix: ArraySlice<UInt8>) -> NPYError {
        // "PK": a file in a zip archive, or the end of one without files. An .npz is a zip archive.
        if prefix.starts(with: [0x50, 0x4B, 3, 4]) || prefix.starts(with: [0x50, 0x4B, 5, 6]) {
            return NPYError(
                .notNPY, "a zip or .npz archive, not a .npy file",
                remedy: "unzip it and take one of the .npy files in it")
        }
        return NPYError(
            .notNPY, "not a .npy file, which starts with byte 93 (hex) and NUMPY",
            remedy: "write the array with numpy.save")
    }
}
