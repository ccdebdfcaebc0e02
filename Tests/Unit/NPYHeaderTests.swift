import Muster
import Testing

@Suite("NPY header")
struct NPYHeaderTests {
    // MARK: What NumPy writes

    /// Bytes that NumPy 2.4 wrote: version and length, text, spaces before the newline.
    static let writtenByNumPy: [WrittenByNumPy] = [
        .init("\u{1}\0v\0", "'<f2', 'fortran_order': False, 'shape': (3,), }", 60, .f2, [3]),
        .init("\u{1}\0v\0", "'<f4', 'fortran_order': False, 'shape': (), }", 62, .f4, []),
        .init("\u{1}\0v\0", "'<f8', 'fortran_order': False, 'shape': (0,), }", 60, .f8, [0]),
        .init(
            "\u{1}\0v\0", "'|i1', 'fortran_order': False, 'shape': (3, 0, 2), }", 55, .i1,
            [3, 0, 2]),
        .init("\u{1}\0v\0", "'<i2', 'fortran_order': False, 'shape': (2, 3), }", 58, .i2, [2, 3]),
        .init("\u{1}\0v\0", "'<i4', 'fortran_order': False, 'shape': (1,), }", 60, .i4, [1]),
        .init(
            "\u{1}\0v\0", "'<i8', 'fortran_order': False, 'shape': (100000,), }", 55, .i8,
            [100_000]),
        .init(
            "\u{1}\0v\0", "'|u1', 'fortran_order': False, 'shape': (2, 1, 2), }", 55, .u1,
            [2, 1, 2]),
        .init("\u{1}\0v\0", "'<u2', 'fortran_order': False, 'shape': (7,), }", 60, .u2, [7]),
        .init("\u{1}\0v\0", "'<u4', 'fortran_order': False, 'shape': (0, 0), }", 58, .u4, [0, 0]),
        .init(
            "\u{1}\0v\0", "'<u8', 'fortran_order': False, 'shape': (1, 1, 1, 1), }", 52, .u8,
            [1, 1, 1, 1]),
        .init(
            "\u{1}\0v\0", "'|b1', 'fortran_order': False, 'shape': (12, 34), }", 56, .bool,
            [12, 34]),
        .init(
            "\u{1}\0v\0", "'<f8', 'fortran_order': False, 'shape': (1000000000000000000,), }", 42,
            .f8, [1_000_000_000_000_000_000]),
        .init(
            "\u{2}\0t\0\0\0", "'<f8', 'fortran_order': False, 'shape': (4, 5), }", 56, .f8, [4, 5]),
        .init(
            "\u{3}\0t\0\0\0", "'<f8', 'fortran_order': False, 'shape': (4, 5), }", 56, .f8, [4, 5]),
        .init("\u{2}\0t\0\0\0", "'<i8', 'fortran_order': False, 'shape': (), }", 60, .i8, []),
    ]

    @Test("NumPy's own headers are read", arguments: writtenByNumPy)
    func readsNumPy(_ sample: WrittenByNumPy) throws {
        let count = sample.shape.reduce(1, *)
        let size = sample.bytes.count + count * sample.dtype.byteCount
        let header = try NPYHeader(prefix: sample.bytes, fileByteCount: size)
        #expect(header.dtype == sample.dtype)
        #expect(header.shape == sample.shape)
        #expect(header.count == count)
        #expect(header.dataByteCount == size - sample.bytes.count)
        #expect(header.dataOffset == 128)
        #expect(header.version.major == sample.bytes[6])
        #expect(header.version.minor == 0)
        #expect(
            try NPYHeader.requiredPrefix(Array(sample.bytes.prefix(12)), fileByteCount: size) == 128
        )
    }

    @Test("What is written has NumPy's bytes", arguments: writtenByNumPy.filter { $0.isVersion1 })
    func writesAsNumPy(_ sample: WrittenByNumPy) {
        #expect(NPYHeader.encode(dtype: sample.dtype, shape: sample.shape) == sample.bytes)
    }

    @Test("Each type has NumPy's name, code and size")
    func types() {
        let expected: [(DType, String, String, Int)] = [
            (.f2, "<f2", "float16", 2), (.f4, "<f4", "float32", 4), (.f8, "<f8", "float64", 8),
            (.i1, "|i1", "int8", 1), (.i2, "<i2", "int16", 2), (.i4, "<i4", "int32", 4),
            (.i8, "<i8", "int64", 8), (.u1, "|u1", "uint8", 1), (.u2, "<u2", "uint16", 2),
            (.u4, "<u4", "uint32", 4), (.u8, "<u8", "uint64", 8), (.bool, "|b1", "bool", 1),
        ]
        #expect(expected.map(\.0) == DType.allCases)
        for (dtype, description, name, byteCount) in expected {
            #expect(dtype.npyDescription == description)
            #expect(dtype.name == name)
            #expect(dtype.byteCount == byteCount)
        }
    }

    // MARK: Round trip

    @Test("What is written is read back", arguments: DType.allCases)
    func roundTrip(_ dtype: DType) throws {
        let shapes: [[Int]] = [
            [], [0], [1], [3, 0, 2], [2, 3, 4], [9, 1], [99_999_999_999], [.max, 0],
            Array(repeating: 1, count: 64), [0] + Array(repeating: 9, count: 18),
        ]
        for shape in shapes {
            let bytes = NPYHeader.encode(dtype: dtype, shape: shape)
            #expect(bytes.count.isMultiple(of: 64))
            #expect(bytes.count <= NPYHeader.prefixByteCount)
            #expect(bytes.last == UInt8(ascii: "\n"))
            // Int.max bytes fit in an Int, Int.max elements of more than a byte do not.
            if shape.contains(.max), dtype.byteCount > 1 { continue }
            let count = shape.contains(0) ? 0 : shape.reduce(1, *)
            let size = bytes.count + count * dtype.byteCount
            let header = try NPYHeader(prefix: bytes, fileByteCount: size)
            #expect(header.dtype == dtype)
            #expect(header.shape == shape)
            #expect(header.count == count)
            #expect(header.dataOffset == bytes.count)
            #expect(header.version.major == 1)
            #expect(try header == NPYHeader(prefix: bytes, fileByteCount: size))
        }
    }

    @Test("A text too long for version 1.0 is framed as 2.0, as late as NumPy does")
    func longText() throws {
        let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }"
        // A 16-bit length reaches up to 65,536 bytes in all. Lengths and totals as NumPy has them.
        let expected: [(Int, UInt8, Int)] = [
            (65_460, 1, 65_472), (65_524, 1, 65_536), (65_525, 2, 65_600), (70_000, 2, 70_016),
        ]
        for (length, major, total) in expected {
            let spaces = String(repeating: " ", count: length - text.utf8.count)
            let bytes = NPYHeader.frame(text + spaces)
            #expect(bytes[6] == major)
            #expect(bytes.count == total)
            let header = try NPYHeader(prefix: bytes, fileByteCount: total + 3)
            #expect(header.dataOffset == total)
            #expect(header.shape == [3])
        }
    }

    @Test("Writing traps on a shape that no array has")
    func encodePreconditions() async {
        await #expect(processExitsWith: .failure) {
            _ = NPYHeader.encode(dtype: .f8, shape: [-1])
        }
        await #expect(processExitsWith: .failure) {
            _ = NPYHeader.encode(dtype: .f8, shape: Array(repeating: 1, count: 65))
        }
    }

    // MARK: What other writers write

    @Test(
        "Any Python dictionary with the three keys is read",
        arguments: [
            "{'shape': (3,), 'fortran_order': False, 'descr': '<f8'}",
            "{\"descr\": \"<f8\", \"fortran_order\": False, \"shape\": (3,)}",
            "{'descr':'<f8','fortran_order':False,'shape':(3,)}",
            " \t\n{ 'descr' : '<f8' ,\r\n 'fortran_order' : False ,\u{0C} 'shape' : ( 3 , ) , } ",
            "{'descr': '=f8', 'fortran_order': False, 'shape': (3,), }",
            "{'descr': '|f8', 'fortran_order': False, 'shape': (3,), }",
            "{'descr': 'f8', 'fortran_order': False, 'shape': (3,), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (((3,))), }",
            "{'descr': ('<f8'), 'fortran_order': (False), 'shape': ((3),), }",
            "{'descr': '<f8', 'fortran_order': True, 'shape': (3,), }",
            "{'descr': '<f8', 'fortran_order': True, 'shape': (1, 3, 1), }",
        ])
    func otherWriters(_ text: String) throws {
        let file = npy(text)
        let header = try NPYHeader(prefix: file, fileByteCount: file.count + 24)
        #expect(header.dtype == .f8)
        #expect(header.count == 3)
    }

    @Test("The byte order of a byte does not matter", arguments: ["<", ">", "=", "|", ""])
    func orderOfBytes(_ order: String) throws {
        for (code, dtype) in [("u1", DType.u1), ("i1", .i1), ("b1", .bool)] {
            let file = npy(
                "{'descr': '\(order)\(code)', 'fortran_order': False, 'shape': (3,), }")
            #expect(try NPYHeader(prefix: file, fileByteCount: file.count + 3).dtype == dtype)
        }
    }

    @Test("Python 2's long integers are read in versions 1.0 and 2.0, as NumPy does")
    func longIntegers() throws {
        let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 2L), }"
        for major in [1, 2] {
            let file = npy(text, major: UInt8(major))
            #expect(try NPYHeader(prefix: file, fileByteCount: file.count + 48).shape == [3, 2])
        }
        #expect(refusal(npy(text, major: 3), data: 48) == .malformedHeader)
    }

    @Test("In Fortran order an array without elements, or of one dimension, is the same")
    func harmlessFortranOrder() throws {
        for (shape, count) in [("()", 1), ("(5,)", 5), ("(1, 5)", 5), ("(3, 0, 2)", 0)] {
            let file = npy("{'descr': '|u1', 'fortran_order': True, 'shape': \(shape), }")
            #expect(try NPYHeader(prefix: file, fileByteCount: file.count + count).count == count)
        }
    }
}

// MARK: - Helpers

/// Why an array can't be mapped with this header; nil: it can.
func viewRefusal(_ header: NPYHeader) -> NPYError.Reason? {
    do throws(NPYError) {
        try header.requireDirectView()
        return nil
    } catch {
        return error.reason
    }
}

/// A header of NumPy's: `\x93NUMPY`, version and length, the text, spaces, a newline.
struct WrittenByNumPy: Sendable, CustomTestStringConvertible {
    let bytes: [UInt8]
    let dtype: DType
    let shape: [Int]

    init(_ lead: String, _ text: String, _ spaces: Int, _ dtype: DType, _ shape: [Int]) {
        let padding = String(repeating: " ", count: spaces)
        let all = "\u{93}NUMPY\(lead){'descr': \(text)\(padding)\n"
        self.bytes = all.unicodeScalars.map { UInt8($0.value) }
        self.dtype = dtype
        self.shape = shape
    }

    var isVersion1: Bool { bytes[6] == 1 }
    var testDescription: String { "\(dtype.name) \(shape), version \(bytes[6])" }
}

/// Frames a dictionary's text, without the help of what is tested. Version 3 is in UTF-8.
func npy(_ text: String, major: UInt8 = 1, isPadded: Bool = true) -> [UInt8] {
    var body =
        major == 3
        ? Array(text.utf8) : text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
    let start = major == 1 ? 10 : 12
    if isPadded {
        while !(start + body.count + 1).isMultiple(of: 64) { body.append(UInt8(ascii: " ")) }
        body.append(UInt8(ascii: "\n"))
    }
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [major, 0]
    for index in 0..<(start - 8) { bytes.append(UInt8(body.count >> (8 * index) & 255)) }
    return bytes + body
}

/// Why a file of these first bytes and so many bytes of data is refused, or nil if it isn't.
func refusal(_ file: [UInt8], data: Int) -> NPYError.Reason? {
    do throws(NPYError) {
        _ = try NPYHeader(prefix: file, fileByteCount: file.count + data)
        return nil
    } catch {
        return error.reason
    }
}

func isOneLine(_ error: NPYError) -> Bool {
    error.description.contains("; ")
        && error.description.utf8.count < 250
        && error.description.utf8.allSatisfy { (0x20..<0x7F).contains($0) }
}
