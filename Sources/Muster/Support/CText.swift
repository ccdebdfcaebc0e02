// CText.swift - text in C's arrays of bytes: it ends with a NUL, and is cut between characters.

/// Copies as many whole characters as there is room for, and a NUL.
func copyText(_ text: String, to room: UnsafeMutableRawBufferPointer) {
    var bytes = Array(text.utf8.prefix(room.count - 1))
    // A cut may fall inside a character: what is left of it goes too.
    while !bytes.isEmpty, String(validating: bytes, as: UTF8.self) == nil { bytes.removeLast() }
    room.copyBytes(from: bytes)
    room[bytes.count] = 0
}

extension String {
    /// The text that an array of C's holds: up to its NUL. What is no UTF-8 becomes replacement
    /// characters.
    package init(upToNUL bytes: UnsafeRawBufferPointer) {
        self.init(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
