/// Each reason for which a .npy file is refused, and its words.

import Muster
import Testing

extension NPYHeaderTests {
    // MARK: Refusals

    /// One of each reason that a dictionary can give: data bytes, text.
    static let badTexts: [(NPYError.Reason, Int, String)] = [
        (.malformedHeader, 8, ""),
        (.malformedHeader, 8, "[]"),
        (.malformedHeader, 8, "{"),
        (.malformedHeader, 8, "{'descr'"),
        (.malformedHeader, 8, "{'descr': '<f8"),
        (.malformedHeader, 8, "{'descr': '<f8\\"),
        (.malformedHeader, 8, "{'descr': '<f8\n', 'fortran_order': False, 'shape': (1,)}"),
        (.malformedHeader, 8, "{descr: '<f8', 'fortran_order': False, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr' '<f8', 'fortran_order': False, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr': '<f8' 'fortran_order': False, 'shape': (1,)}"),
        (.malformedHeader, 8, "{,'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), } x"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\0"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': false, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': Falsehood, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': None, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr': 8, 'fortran_order': False, 'shape': (1,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1]}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1 2)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (01,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (-,)}"),
        (.malformedHeader, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': {}}"),
        (.malformedHeader, 8, "{1: '<f8', 'fortran_order': False, 'shape': (1,)}"),
        (.unknownKey, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}"),
        (.unknownKey, 8, "{'Descr': '<f8', 'fortran_order': False, 'shape': (1,)}"),
        (.unknownKey, 8, #"{'d\x65scr': '<f8', 'fortran_order': False, 'shape': (1,)}"#),
        (.missingKey, 8, "{}"),
        (.missingKey, 8, "{'fortran_order': False, 'shape': (1,), }"),
        (.missingKey, 8, "{'descr': '<f8', 'shape': (1,), }"),
        (.missingKey, 8, "{'descr': '<f8', 'fortran_order': False, }"),
        (.duplicateKey, 8, "{'descr': '<f8', 'fortran_order': False, 'descr': '<f8'}"),
        (.duplicateKey, 8, "{'shape': (1,), 'shape': (1,)}"),
        (.duplicateKey, 8, "{'fortran_order': False, 'fortran_order': False}"),
        (.objectDType, 8, "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"),
        (.objectDType, 8, "{'descr': 'O8', 'fortran_order': False, 'shape': (1,), }"),
        (
            .structuredDType, 8,
            "{'descr': [('a', '<f4'), ('b', '<i4', (1,))], 'fortran_order': False, 'shape': (1,)}"
        ),
        (
            .structuredDType, 8,
            #"{'descr': [(('t', 'q"\''), [('x', 'u1')])], 'fortran_order': False, 'shape': ()}"#
        ),
        (.structuredDType, 8, "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}"),
        (.complexDType, 16, "{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }"),
        (.complexDType, 8, "{'descr': '>c8', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 16, "{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 5, "{'descr': '|S5', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 12, "{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 8, "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 8, "{'descr': '<m8[ns]', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 3, "{'descr': '|V3', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 8, "{'descr': '<<f8', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 8, "{'descr': '', 'fortran_order': False, 'shape': (1,), }"),
        (.unsupportedDType, 8, "{'descr': '\u{1B}[2J', 'fortran_order': False, 'shape': (1,), }"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': 1}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1)}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': [1]}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1.0,)}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (1e+0,)}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': ('1',)}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}"),
        (.invalidShape, 8, "{'descr': '<f8', 'fortran_order': False, 'shape': ((1,),)}"),
        (
            .invalidShape, 8,
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-99999999999999999999,)}"
        ),
        (
            .invalidShape, 8,
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-9223372036854775808,)}"
        ),
        (
            .countOverflow, 8,
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}"
        ),
        (
            .countOverflow, 8,
            "{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775808,)}"
        ),
        (
            .countOverflow, 8,
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2000000000000000000,)}"
        ),
        (
            .countOverflow, 8,
            "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296)}"
        ),
        (
            .countOverflow, 0,
            "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}"
        ),
        (.dataTruncated, 23, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"),
        (.dataTruncated, 0, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }"),
        (.dataTooLong, 25, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"),
        (.dataTooLong, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }"),
    ]

    @Test("A bad dictionary is refused, in each version of the format")
    func badDictionaries() {
        for (reason, data, text) in Self.badTexts {
            for major: UInt8 in 1...3 {
                let file = npy(text, major: major)
                #expect(refusal(file, data: data) == reason, "\(text) in version \(major)")
            }
        }
    }

    @Test("A bad fixed part is refused")
    func badPreambles() {
        let good = NPYHeader.encode(dtype: .f8, shape: [3])
        func refused(_ bytes: [UInt8], size: Int? = nil) -> NPYError.Reason? {
            refusal(bytes, data: (size ?? bytes.count) - bytes.count)
        }
        #expect(refused([]) == .emptyFile)
        #expect(refused([], size: -1) == .emptyFile)
        #expect(refused(Array("hello, world".utf8)) == .notNPY)
        #expect(refused(Array("h".utf8)) == .notNPY)
        #expect(refused([0x50, 0x4B, 3, 4] + good) == .notNPY)
        #expect(refused([0x93] + Array("NUMPX".utf8) + good.dropFirst(6)) == .notNPY)
        for count in 1..<10 { #expect(refused(Array(good.prefix(count))) == .truncatedHeader) }
        for count in 10..<128 { #expect(refused(Array(good.prefix(count))) == .headerBeyondFile) }
        let second = npy("{}", major: 2)
        for count in 8..<12 { #expect(refused(Array(second.prefix(count))) == .truncatedHeader) }
        #expect(refused(second.prefix(8) + [255, 255, 255, 255]) == .headerBeyondFile)
        for (major, minor): (UInt8, UInt8) in [(0, 0), (4, 0), (255, 0), (1, 1), (2, 1), (3, 9)] {
            var bytes = good
            (bytes[6], bytes[7]) = (major, minor)
            #expect(refused(bytes, size: 152) == .unsupportedVersion)
        }
    }

    @Test("Too few bytes supplied is the caller's error, and says how many it takes")
    func prefixTooShort() throws {
        let file = NPYHeader.encode(dtype: .f8, shape: [3])
        for count in 0..<128 {
            let error = #expect(throws: NPYError.self) {
                try NPYHeader(prefix: Array(file.prefix(count)), fileByteCount: 152)
            }
            #expect(error?.reason == .prefixTooShort)
            if count >= 10 {
                #expect(error?.description.contains("read 128") == true)
                let needed = try NPYHeader.requiredPrefix(
                    Array(file.prefix(count)), fileByteCount: 152)
                #expect(needed == 128)
            }
        }
        // A prefix longer than the file, of a file that shrank in between.
        #expect(refusal(file, data: -28) == .headerBeyondFile)
        #expect(refusal(file + Array(repeating: 0, count: 24), data: 0) == nil)
    }

    @Test("The header may have 1 MiB, not more")
    func headerTooLong() throws {
        let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"
        func file(total: Int) -> [UInt8] {
            npy(text + String(repeating: " ", count: total - 12 - text.utf8.count - 1), major: 2)
        }
        let longest = file(total: NPYHeader.maximumByteCount)
        #expect(longest.count == NPYHeader.maximumByteCount)
        #expect(try NPYHeader(prefix: longest, fileByteCount: longest.count + 24).count == 3)
        let tooLong = file(total: NPYHeader.maximumByteCount + 64)
        #expect(refusal(tooLong, data: 24) == .headerTooLong)
        // Claims of 4 GiB need no 4 GiB to be refused.
        let claim = Array(longest.prefix(8)) + [0xFF, 0xFF, 0xFF, 0xFF]
        #expect(refusal(claim, data: 1 << 40) == .headerTooLong)
    }

    @Test("Data that are not aligned are read, and not mapped as elements")
    func alignment() throws {
        for (dtype, offset, isFine) in [
            (DType.f8, 80, true), (.f8, 84, false), (.f4, 84, true), (.i2, 85, false),
            (.u1, 85, true),
        ] {
            let text = "{'descr': '\(dtype.npyDescription)', 'fortran_order': False, 'shape': (3,)}"
            let spaces = String(repeating: " ", count: offset - 10 - text.utf8.count)
            let file = npy(text + spaces, isPadded: false)
            #expect(file.count == offset)
            let header = try NPYHeader(
                prefix: file, fileByteCount: file.count + 3 * dtype.byteCount)
            #expect(header.isAligned == isFine && header.dataOffset == offset)
            #expect(viewRefusal(header) == (isFine ? nil : .dataMisaligned))
        }
    }

    @Test("Fortran order and big-endian data are read, and not mapped as elements")
    func foreignLayouts() throws {
        let samples: [(String, Bool, String, NPYError.Reason?)] = [
            ("<f8", true, "(2, 3)", .fortranOrder), ("<f8", true, "(2, 1, 3)", .fortranOrder),
            ("<f8", true, "(1, 6, 1)", nil), ("<f8", false, "(2, 3)", nil),
            (">f8", false, "(6,)", .bigEndian), (">d", false, "(6,)", .bigEndian),
            (">i8", true, "(2, 3)", .fortranOrder),
        ]
        for (descr, isFortran, shape, reason) in samples {
            let order = isFortran ? "True" : "False"
            let file = npy("{'descr': '\(descr)', 'fortran_order': \(order), 'shape': \(shape)}")
            let header = try NPYHeader(prefix: file, fileByteCount: file.count + 48)
            #expect(header.count == 6)
            #expect(header.isFortranOrder == (reason == .fortranOrder))
            #expect(header.isBigEndian == descr.hasPrefix(">"))
            #expect(viewRefusal(header) == reason)
        }
    }

    @Test("At most 64 dimensions")
    func dimensions() {
        let expected: [(Int, NPYError.Reason?)] = [
            (64, nil), (65, .tooManyDimensions), (9999, .tooManyDimensions),
        ]
        for (count, reason) in expected {
            let lengths = String(repeating: "1,", count: count)
            let file = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (\(lengths))}")
            #expect(refusal(file, data: 8) == reason)
        }
    }

    @Test("Version 3.0 is UTF-8, the others are Latin-1")
    func encodings() {
        let text = "{'descr': [('\u{E4}', '<f8')], 'fortran_order': False, 'shape': (1,)}"
        #expect(refusal(npy(text, major: 1), data: 8) == .structuredDType)
        #expect(refusal(npy(text, major: 3), data: 8) == .structuredDType)
        var latin1 = npy(text, major: 2)
        latin1[6] = 3
        #expect(refusal(latin1, data: 8) == .malformedHeader)
    }

    @Test("Nesting is bounded, also unbalanced and a megabyte deep")
    func nestingBomb() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[(", count: depth / 2) + String(repeating: ",)]", count: depth / 2)
        }
        // "(,)" is no Python: the innermost pair needs a value.
        func file(_ depth: Int) -> [UInt8] {
            npy("{'descr': " + nested(depth).replacing("(,)", with: "(1,)") + "}", major: 2)
        }
        #expect(refusal(file(64), data: 8) == .missingKey)
        for depth in [66, 1000, 100_000] {
            #expect(refusal(file(depth), data: 8) == .malformedHeader)
        }
        for bracket in ["(", "[", "{", "-", "'", "((((["] {
            let bomb = String(repeating: bracket, count: 1_000_000 / bracket.utf8.count)
            #expect(refusal(npy("{'descr': \(bomb)", major: 2), data: 8) == .malformedHeader)
        }
        // A million bytes wide is no problem.
        let wide = String(repeating: "[(1,)],", count: 140_000)
        #expect(refusal(npy("{'descr': [\(wide)]}", major: 2), data: 8) == .missingKey)
    }

    @Test("A claim of 10^18 elements is refused with both numbers")
    func hugeClaim() {
        let file = NPYHeader.encode(dtype: .f8, shape: [1_000_000_000_000_000_000])
        let error = #expect(throws: NPYError.self) {
            try NPYHeader(prefix: file, fileByteCount: file.count + 80)
        }
        #expect(error?.reason == .dataTruncated)
        #expect(
            error?.description
                == "the header claims 8000000000000000000 bytes of data (1000000000000000000 x "
                + "float64), but the file has only 80; it was cut short, so copy or save it again")
    }

    @Test("Every reason has been refused here, in one printable line with a remedy")
    func messages() throws {
        var seen: [NPYError.Reason: String] = [:]
        func collect(_ file: [UInt8], data: Int) {
            do throws(NPYError) {
                _ = try NPYHeader(prefix: file, fileByteCount: file.count + data)
            } catch {
                seen[error.reason] = error.description
                #expect(isOneLine(error), "\(error)")
            }
        }
        func collectView(_ header: NPYHeader) {
            do throws(NPYError) {
                try header.requireDirectView()
            } catch {
                seen[error.reason] = error.description
                #expect(isOneLine(error), "\(error)")
            }
        }
        for (_, data, text) in Self.badTexts { collect(npy(text), data: data) }
        let good = NPYHeader.encode(dtype: .f8, shape: [3])
        collect([], data: 0)
        collect([1, 2, 3], data: 0)
        collect(Array(good.prefix(7)), data: 0)
        collect(Array(good.prefix(7)), data: 99)
        collect(Array(good.prefix(70)), data: 0)
        collect(Array(good.prefix(6)) + [9, 9, 0, 0], data: 0)
        collect(Array(good.prefix(6)) + [2, 0, 255, 255, 255, 255], data: 1 << 40)
        let lengths = String(repeating: "1,", count: 65)
        collect(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (\(lengths))}"), data: 8)
        // Those that `requireDirectView` finds.
        for (descr, order) in [("<f8", "True"), (">i2", "False")] {
            let file = npy("{'descr': '\(descr)', 'fortran_order': \(order), 'shape': (2, 3)}")
            collectView(
                try NPYHeader(
                    prefix: file, fileByteCount: file.count + (descr == "<f8" ? 48 : 12)))
        }
        let text = "{'descr': '<f8', 'fortran_order': False, 'shape': ()}"
        let file = npy(text, isPadded: false)
        collectView(try NPYHeader(prefix: file, fileByteCount: file.count + 8))
        for reason in NPYError.Reason.allCases { #expect(seen[reason] != nil, "\(reason)") }
        #expect(seen[.bigEndian]?.contains("astype('<i2')") == true)
        #expect(seen[.fortranOrder]?.contains("numpy.ascontiguousarray") == true)
    }
}
