// A `.npy` header taken apart: its fixed part, and the text behind it, which is a Python literal
// that NumPy reads with `ast.literal_eval`. The parser knows the part of that language which
// writers of headers use: a dictionary of strings, True, False, None, numbers, tuples and lists.
// Not escapes, comments, sums, sets, bytes, nested dictionaries, string prefixes or hexadecimal; a
// header with one of them is refused, never misread.
//
// Each byte is looked at once and each call consumes at least one, so the work is linear in the
// header's length; nesting is bounded, so the stack is, too, also when the value is freed.

/// The fixed part of a `.npy` file: magic, version, and the length of the text behind it.
struct NPYPreamble {
    let version: NPYHeader.Version
    /// Where the dictionary starts, in bytes: 10 or 12.
    let textOffset: Int
    /// Where the dictionary ends and the data start; within the file.
    let dataOffset: Int

    init(_ prefix: [UInt8], fileByteCount: Int) throws(NPYError) {
        guard fileByteCount > 0 else {
            throw NPYError(
                .emptyFile, "the file is empty", remedy: "write an array with numpy.save")
        }
        // A caller that read more than there is raced with a file that shrank: the size counts.
        let prefix = prefix.prefix(fileByteCount)
        guard prefix.starts(with: NPYHeader.magic.prefix(prefix.count)) else {
            throw .notNPY(prefix)
        }

        func need(_ byteCount: Int) throws(NPYError) {
            guard fileByteCount >= byteCount else {
                throw NPYError(
                    .truncatedHeader,
                    "the file ends inside its header, after \(fileByteCount) bytes",
                    remedy: "copy or save it again")
            }
            guard prefix.count >= byteCount else {
                throw .prefixTooShort(needed: byteCount, given: prefix.count)
            }
        }
        try need(8)
        version = NPYHeader.Version(major: prefix[6], minor: prefix[7])
        guard (1...3).contains(version.major), version.minor == 0 else {
            throw NPYError(
                .unsupportedVersion,
                "the file is in version \(version.major).\(version.minor) of the format, only "
                    + "1.0, 2.0 and 3.0 are known")
        }
        textOffset = version.major == 1 ? 10 : 12
        try need(textOffset)
        var textByteCount = 0
        for byte in prefix[8..<textOffset].reversed() {
            textByteCount = textByteCount << 8 | Int(byte)
        }
        // Below 2^32 + 12.
        dataOffset = textOffset + textByteCount
        guard dataOffset <= fileByteCount else {
            throw NPYError(
                .headerBeyondFile,
                "the header claims \(dataOffset) bytes, but the file has \(fileByteCount)",
                remedy: "copy or save it again")
        }
        guard dataOffset <= NPYHeader.maximumByteCount else {
            throw NPYError(
                .headerTooLong,
                "the header has \(dataOffset) bytes, more than \(NPYHeader.maximumByteCount)")
        }
    }
}

/// A value of a `.npy` header.
enum PythonLiteral {
    case string(String)
    case boolean(Bool)
    case none
    case integer(Int)
    /// An integer that doesn't fit in an `Int`.
    case integerOutOfRange(isNegative: Bool)
    /// A number with a point or an exponent. Where one can stand it is wrong, so its value is lost.
    case real
    case tuple([PythonLiteral])
    case list([PythonLiteral])
}

/// The values of a header's dictionary. What type and shape they stand for, `NPYHeader` says.
struct NPYFields {
    static let keys = ["descr", "fortran_order", "shape"]

    let descr: PythonLiteral
    let isFortranOrder: Bool
    let shape: PythonLiteral

    fileprivate init(_ values: [String: PythonLiteral]) throws(NPYError) {
        func value(_ key: String) throws(NPYError) -> PythonLiteral {
            if let value = values[key] { return value }
            throw NPYError(.missingKey, "the header has no key '\(key)'")
        }
        descr = try value("descr")
        shape = try value("shape")
        guard case .boolean(let isFortranOrder) = try value("fortran_order") else {
            throw NPYError(
                .malformedHeader, "'fortran_order' is neither True nor False")
        }
        self.isFortranOrder = isFortranOrder
    }
}

/// Parses the dictionary in a `.npy` header.
struct NPYParser {
    /// Parentheses and brackets open at a time. NumPy needs 1 for a shape and 3 for each level of
    /// structures in structures; Python's own parser stops at 200.
    static let maximumDepth = 64

    /// The file's first bytes, so that positions in messages count from the file's beginning.
    private let bytes: [UInt8]
    private let end: Int
    private let isUTF8: Bool
    private var position: Int

    /// - Parameters:
    ///   - bytes: the file's first bytes.
    ///   - start: where the text starts, in bytes, at most `end`.
    ///   - end: where the text ends, in bytes, at most `bytes.count`.
    ///   - isUTF8: true in version 3.0 of the format. Before, the text is Latin-1 and may have
    ///     been written by Python 2.
    init(_ bytes: [UInt8], from start: Int, to end: Int, isUTF8: Bool) {
        self.bytes = bytes
        self.position = start
        self.end = end
        self.isUTF8 = isUTF8
    }

    /// Parses the whole text: one dictionary with the three keys of a header, in any order ("a
    /// reader must not depend on this"), white space around it, nothing else.
    ///
    /// - Throws: `NPYError` with reason `malformedHeader`, `unknownKey`, `duplicateKey` or
    ///   `missingKey`.
    mutating func parseHeader() throws(NPYError) -> NPYFields {
        if isUTF8, String(validating: bytes[position..<end], as: UTF8.self) == nil {
            throw malformed("it is not UTF-8")
        }
        var values: [String: PythonLiteral] = [:]
        skipWhiteSpace()
        guard skip("{") else { throw expected("'{'") }
        skipWhiteSpace()
        while !skip("}") {
            guard next == "'" || next == "\"" else { throw expected("a key in quotes") }
            let key = try parseString()
            skipWhiteSpace()
            guard skip(":") else { throw expected("':'") }
            skipWhiteSpace()
            let value = try parseValue(depth: 0)
            guard NPYFields.keys.contains(key) else {
                throw NPYError(
                    .unknownKey, "the header has the unknown key \(NPYError.quoted(key))")
            }
            // Python would let the last one win. A header with two is damaged, or a trap.
            guard values.updateValue(value, forKey: key) == nil else {
                throw NPYError(
                    .duplicateKey, "the header has the key '\(key)' twice")
            }
            skipWhiteSpace()
            if skip(",") {
                skipWhiteSpace()
            } else if next != "}" {
                throw expected("',' or '}'")
            }
        }
        skipWhiteSpace()
        guard position == end else { throw expected("the end") }
        return try NPYFields(values)
    }

    /// Parses one value, with no white space before it. Consumes at least one byte.
    private mutating func parseValue(depth: Int) throws(NPYError) -> PythonLiteral {
        switch next {
        case "'", "\"": return .string(try parseString())
        case "(": return try parseSequence(closing: ")", depth: depth + 1)
        case "[": return try parseSequence(closing: "]", depth: depth + 1)
        case "0"..."9", "-": return try parseNumber()
        case "A"..."Z": return try parseName()
        default: throw expected("a value")
        }
    }

    /// A tuple or a list. `(3)` is a number in parentheses, `(3,)` a tuple, `(,)` nothing.
    private mutating func parseSequence(
        closing: Unicode.Scalar, depth: Int
    ) throws(NPYError) -> PythonLiteral {
        guard depth <= Self.maximumDepth else {
            throw malformed("its values are nested deeper than \(Self.maximumDepth)")
        }
        position += 1
        var items: [PythonLiteral] = []
        var endsInComma = false
        skipWhiteSpace()
        while !skip(closing) {
            items.append(try parseValue(depth: depth))
            skipWhiteSpace()
            endsInComma = skip(",")
            if endsInComma {
                skipWhiteSpace()
            } else if next != closing {
                throw expected("',' or '\(closing)'")
            }
        }
        if closing == "]" { return .list(items) }
        if items.count == 1, !endsInComma { return items[0] }
        return .tuple(items)
    }

    /// A string in quotes of either kind. A backslash and what follows it stay as they are: no key
    /// and no type that is accepted has one, so such a string is refused later on.
    private mutating func parseString() throws(NPYError) -> String {
        let quote = next
        position += 1
        let start = position
        while next != quote, next != "\n", next != "\r", next != "\0" {
            position += next == "\\" ? 2 : 1
        }
        guard next == quote else { throw malformed("a string has no end") }
        let content = bytes[start..<position]
        position += 1
        if isUTF8 { return String(decoding: content, as: UTF8.self) }
        // Latin-1: each byte is the Unicode scalar of that number.
        var text = String.UnicodeScalarView()
        text.append(contentsOf: content.lazy.map { Unicode.Scalar($0) })
        return String(text)
    }

    /// A decimal number: `12`, `-1`, `12L` as Python 2 wrote long integers (NumPy still reads those
    /// in versions 1.0 and 2.0), or a real number.
    private mutating func parseNumber() throws(NPYError) -> PythonLiteral {
        let isNegative = skip("-")
        let start = position
        var value = 0
        var overflow = false
        while case "0"..."9" = next {
            let digit = Int(bytes[position] - UInt8(ascii: "0"))
            // Negative numbers grow downwards, so that Int.min is one.
            let times10 = value.multipliedReportingOverflow(by: 10)
            let sum =
                isNegative
                ? times10.partialValue.subtractingReportingOverflow(digit)
                : times10.partialValue.addingReportingOverflow(digit)
            overflow = overflow || times10.overflow || sum.overflow
            value = sum.partialValue
            position += 1
        }
        guard position > start else { throw expected("a digit") }
        if next == "." || next == "e" || next == "E" {
            while isInReal(next) { position += 1 }
            return .real
        }
        // 007 was octal once, and is an error now.
        guard bytes[start] != UInt8(ascii: "0") || position == start + 1 else {
            throw malformed("a number starts with 0")
        }
        if !isUTF8 { _ = skip("L") }
        return overflow ? .integerOutOfRange(isNegative: isNegative) : .integer(value)
    }

    private mutating func parseName() throws(NPYError) -> PythonLiteral {
        let start = position
        while isLetter(next) { position += 1 }
        switch String(decoding: bytes[start..<position], as: UTF8.self) {
        case "True": return .boolean(true)
        case "False": return .boolean(false)
        case "None": return .none
        default:
            position = start
            throw expected("a value")
        }
    }

    // MARK: Characters

    /// The byte at the position as a character, or NUL at the end, which is nowhere valid inside.
    private var next: Unicode.Scalar {
        Unicode.Scalar(position < end ? bytes[position] : 0)
    }

    /// Goes past one character if it stands here.
    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard next == character else { return false }
        position += 1
        return true
    }

    /// Goes past Python's white space, form feed included.
    private mutating func skipWhiteSpace() {
        while [" ", "\t", "\n", "\r", "\u{0C}"].contains(next) { position += 1 }
    }

    private func isLetter(_ character: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(character) || ("A"..."Z").contains(character)
    }

    /// Whether the character goes on a number that has shown itself to be real.
    private func isInReal(_ character: Unicode.Scalar) -> Bool {
        isLetter(character) || ("0"..."9").contains(character)
            || character == "." || character == "+" || character == "-"
    }

    private func expected(_ what: String) -> NPYError {
        malformed("byte \(position) should be \(what)")
    }

    private func malformed(_ why: String) -> NPYError {
        NPYError(
            .malformedHeader, "the header is not a Python dictionary: \(why)")
    }
}
