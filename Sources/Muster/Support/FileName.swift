// FileName.swift - names of files, arguments: bytes that a String carries.
//
// To Linux a name is bytes that end at a NUL; nothing says that they are UTF-8. A String can't hold other bytes,
// and Swift repairs them: two names become one, and neither of them is found again. So each byte that is no part
// of UTF-8 becomes one character of plane 16's private use, U+10FF00 + byte, and a name goes back to its bytes
// where the kernel gets it. Characters U+10FF80 to U+10FFFF in a name are taken for such bytes, so a name
// that has one as UTF-8 carries its four bytes one by one.
//
// Invariant: bytes -> String -> bytes changes nothing, for any bytes.

internal import MusterCore
@preconcurrency internal import Glibc

extension String {
    /// The name that these bytes are, for functions that take a path. A byte that is no part of UTF-8
    /// becomes the character U+10FF00 + byte.
    public init(fileName bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        if let text = String(validating: bytes, as: UTF8.self), !text.carriesBytes {
            self = text
            return
        }
        var scalars = String.UnicodeScalarView()
        var next = 0
        while next < bytes.count {
            var length = 0
            for count in 1...Swift.min(4, bytes.count - next) where length == 0 {
                if let text = String(validating: bytes[next..<next + count], as: UTF8.self),
                    !text.carriesBytes
                {
                    scalars.append(contentsOf: text.unicodeScalars)
                    length = count
                }
            }
            if length == 0 {
                scalars.append(Unicode.Scalar(0x10FF00 + UInt32(bytes[next]))!)
                length = 1
            }
            next += length
        }
        self = String(scalars)
    }

    package init(fileName text: UnsafePointer<CChar>) {
        self.init(
            fileName: UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    /// The bytes of a name: those of its UTF-8, where `init(fileName:)` has not put others.
    public var fileNameBytes: [UInt8] {
        guard carriesBytes else { return Array(utf8) }
        return unicodeScalars.flatMap { scalar in
            scalar.carriedByte.map { [$0] } ?? Array(String(scalar).utf8)
        }
    }

    /// Calls `body` with the bytes of a name and a NUL.
    package func withFileName<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (fileNameBytes + [0]).withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { body($0.baseAddress!) }
        }
    }

    /// A name as people read it, on one line and never the same for two names: \xF1 for a byte that is no
    /// UTF-8, \n and \u{1B} for characters that do something to a line or a terminal, \\ for \.
    package var shownName: String {
        if utf8.allSatisfy({ 32...126 ~= $0 && $0 != 92 }) { return self }
        return unicodeScalars.map { scalar in
            if let byte = scalar.carriedByte { return "\\x" + hex(byte) }
            if scalar == "\\" { return "\\\\" }
            switch scalar.properties.generalCategory {
            // Format characters can turn the direction of what follows, or be nothing to see.
            case .control, .lineSeparator, .paragraphSeparator, .format:
                return scalar.escaped(asASCII: true)
            default: return String(scalar)
            }
        }.joined()
    }

    /// A name as JSON has it, where characters that do something are escaped already.
    package var jsonName: String {
        if !utf8.contains(92) && !carriesBytes { return self }
        return unicodeScalars.map { scalar in
            if let byte = scalar.carriedByte { return "\\x" + hex(byte) }
            return scalar == "\\" ? "\\\\" : String(scalar)
        }.joined()
    }

    /// A word of a command, quoted where a shell would take it for something else.
    package var shellWord: String {
        let isPlain = utf8.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122: true
            default: "%+,-./:=@^_".utf8.contains(byte)
            }
        }
        if isPlain && !isEmpty { return self }
        let shown = shownName
        if shown.utf8.elementsEqual(utf8), !utf8.contains(39) { return "'\(self)'" }
        let quoted = unicodeScalars.map { scalar in
            if scalar == "'" || scalar == "\\" { return "\\\(scalar)" }
            if scalar == "\n" { return "\\n" }
            // What is shown as it is may stand as it is; all else goes in byte by byte.
            let text = String(scalar)
            return text.shownName.unicodeScalars.elementsEqual(text.unicodeScalars)
                ? text : text.fileNameBytes.map { "\\x" + hex($0) }.joined()
        }
        return "$'\(quoted.joined())'"
    }

    /// Whether it has characters that stand for bytes.
    private var carriesBytes: Bool {
        // All begin with the byte F4 in UTF-8; names hardly ever do.
        utf8.contains(0xF4) && unicodeScalars.contains { $0.carriedByte != nil }
    }
}

extension Unicode.Scalar {
    /// The byte that it stands for in a name; nil: it is a character.
    fileprivate var carriedByte: UInt8? {
        0x10FF80...0x10FFFF ~= value ? UInt8(truncatingIfNeeded: value) : nil
    }
}

private func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
}

/// Calls `body` with the bytes of a name and a NUL; with NULL for nil.
func withFileName<Result>(
    _ name: String?, _ body: (UnsafePointer<CChar>?) -> Result
) -> Result {
    guard let name else { return body(nil) }
    return name.withFileName { body($0) }
}

/// A name that a NUL ends before its end is another file's.
func checkName(_ name: String) throws(MusterError) {
    guard name.utf8.contains(0) else { return }
    throw MusterError(
        .file, subject: name, reason: "a file's name can't have a NUL byte in it",
        errorNumber: EINVAL)
}
