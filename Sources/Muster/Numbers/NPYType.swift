// NPYType.swift - the element type under 'descr' in a `.npy` header, by each of the names that
// `numpy.dtype` accepts for it.
//
// `numpy.save` writes a byte order, a letter and a size: '<f8'. Other writers put in what they pass to
// numpy.dtype: a name ('float64', 'half', 'int'), a character code ('d', '?', 'L'), either without a
// byte order. numpy.load gives each of them to numpy.dtype, so all are read here.
//
// Source: numpy.dtype of NumPy 2.4 on 64-bit Linux, where C's long has 8 bytes. A file with 'l' or
// 'long' from a system with another long is read like this by NumPy too.

extension DType {
    /// Finds the element type and byte order that the value of 'descr' names.
    ///
    /// - Throws: `NPYError` with reason `malformedHeader`, `structuredDType`, `objectDType`,
    ///   `complexDType` or `unsupportedDType`.
    static func parse(
        _ literal: PythonLiteral
    ) throws(NPYError) -> (dtype: DType, isBigEndian: Bool) {
        let descr: String
        switch literal {
        case .string(let text):
            descr = text
        case .list, .tuple:
            throw structured
        default:
            throw NPYError(.malformedHeader, "'descr' is not the name of a type")
        }
        // numpy.dtype takes a name without a byte order only; before a code, '=' and '|' mean this
        // machine's order, also in '|f8', where '|' ("not applicable") is wrong. Both kinds of machine
        // that this runs on are little-endian. The order of one byte means nothing: '>u1' is '|u1'.
        if let dtype = names[descr] { return (dtype, false) }
        let order = descr.unicodeScalars.first.flatMap {
            "<>=|".unicodeScalars.contains($0) ? $0 : nil
        }
        let code = order == nil ? descr : String(descr.unicodeScalars.dropFirst())
        if let dtype = characters[code] ?? sized(code) {
            return (dtype, order == ">" && dtype.byteCount > 1)
        }
        throw refusal(descr: descr, code: code)
    }

    /// A kind and a size in bytes. NumPy reads the size as a number: 'f08' is 'f8'.
    private static func sized(_ code: String) -> DType? {
        guard let kind = code.utf8.first, code.utf8.count > 1 else { return nil }
        let digits = code.utf8.dropFirst()
        guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        let size = String(decoding: digits.drop { $0 == UInt8(ascii: "0") }, as: UTF8.self)
        let kindAndSize = String(decoding: [kind], as: UTF8.self) + size
        return kindAndSize == "b1" ? .bool : DType(rawValue: kindAndSize)
    }

    private static let names: [String: DType] = [
        "float16": .f2, "half": .f2,
        "float32": .f4, "single": .f4,
        "float64": .f8, "double": .f8, "float": .f8,
        "int8": .i1, "byte": .i1,
        "int16": .i2, "short": .i2,
        "int32": .i4, "intc": .i4,
        "int64": .i8, "long": .i8, "longlong": .i8, "int": .i8, "int_": .i8, "intp": .i8,
        "uint8": .u1, "ubyte": .u1,
        "uint16": .u2, "ushort": .u2,
        "uint32": .u4, "uintc": .u4,
        "uint64": .u8, "ulong": .u8, "ulonglong": .u8, "uint": .u8, "uintp": .u8,
        "bool": .bool, "bool_": .bool,
    ]

    /// Character codes: the C types' and NumPy's own.
    private static let characters: [String: DType] = [
        "e": .f2, "f": .f4, "d": .f8,
        "b": .i1, "h": .i2, "i": .i4, "l": .i8, "q": .i8, "p": .i8, "n": .i8,
        "B": .u1, "H": .u2, "I": .u4, "L": .u8, "Q": .u8, "P": .u8, "N": .u8,
        "?": .bool,
    ]
}

// MARK: - Types that are not read

extension DType {
    private static let structured = NPYError(
        .structuredDType, "the elements are structures",
        remedy: "save one field at a time, as in numpy.save(path, a['field'])")

    /// What the elements are, as far as their name says so, and what can be saved in their place.
    private static func refusal(descr: String, code: String) -> NPYError {
        let quoted = NPYError.quoted(descr)
        func error(_ reason: NPYError.Reason, _ what: String, _ remedy: String) -> NPYError {
            NPYError(reason, "the elements are \(what) (\(quoted))", remedy: remedy)
        }
        let asDoubles = "save a.astype('<f8') instead of a"
        // 'f4,i2' and '(2,)f8' are structures and subarrays; '3f4' is a subarray.
        if code.contains(",") || code.hasPrefix("(") || startsWithDigit(code) { return structured }
        let (kind, unit) = kindAndUnit(code)
        switch kind {
        case "O", "object", "object_":
            return error(.objectDType, "Python objects", asDoubles)
        case "c8", "c16", "c32", "F", "D", "G", "complex", "complex64", "complex128", "complex256",
            "csingle", "cdouble", "clongdouble":
            return error(
                .complexDType, "complex numbers",
                "save a.real and a.imag, or numpy.abs(a), instead of a")
        case "M", "M8", "datetime64":
            return error(
                .unsupportedDType, "dates",
                "save a.astype('<i8') for numbers of \(unit); "
                    + "leave out NaT first, as in a[~numpy.isnat(a)]")
        case "m", "m8", "timedelta64":
            return error(
                .unsupportedDType, "time spans",
                "save a.astype('<i8') for numbers of \(unit); "
                    + "leave out NaT first, as in a[~numpy.isnat(a)]")
        case "g", "f12", "f16", "longdouble", "float96", "float128":
            return error(.unsupportedDType, "extended-precision floats", asDoubles)
        case "str", "str_", "bytes", "bytes_", "unicode", "T", "c":
            return error(.unsupportedDType, "strings", asDoubles)
        case "void":
            return error(.unsupportedDType, "raw bytes", "save a.view('|u1') instead of a")
        default: break
        }
        switch code.unicodeScalars.first {
        case "S", "a", "U": return error(.unsupportedDType, "strings", asDoubles)
        case "V": return error(.unsupportedDType, "raw bytes", "save a.view('|u1') instead of a")
        case "c" where code.unicodeScalars.count > 1:
            return error(
                .complexDType, "complex", "save a.real and a.imag, or numpy.abs(a), instead of a")
        case "O":
            return error(.objectDType, "Python objects", asDoubles)
        default:
            return error(
                .unsupportedDType, "of a type that NumPy does not know", asDoubles)
        }
    }

    private static func startsWithDigit(_ code: String) -> Bool {
        code.utf8.first.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
    }

    /// 'M8[ns]' in two: 'M8', and the unit as a word for people.
    private static func kindAndUnit(_ code: String) -> (kind: String, unit: String) {
        guard let bracket = code.firstIndex(of: "["), code.hasSuffix("]") else {
            return (code, "its unit")
        }
        let unit = code[code.index(after: bracket)...].dropLast()
        let isPlain = unit.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
        }
        let isShort = !unit.isEmpty && unit.utf8.count <= 2 && isPlain
        return (String(code[..<bracket]), isShort ? "unit '\(unit)'" : "its unit")
    }
}
