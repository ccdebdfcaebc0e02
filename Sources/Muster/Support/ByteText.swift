// ByteText.swift - a number of bytes as people type it. Every option that takes a size reads it here.

/// What is wrong with a text that should be a number of bytes.
package struct ByteTextError: Error, CustomStringConvertible {
    /// "'X' is no unit: ..."
    package let description: String
}

/// A number of bytes as people type it: "4096", "512k", "96M", "1.5GiB", "2GB".
package enum ByteText {
    /// For help texts.
    package static let spelling =
        "a number, perhaps with a unit: 1G and 1GiB are 2^30 bytes, 1GB is 10^9"

    /// Reads a size. A unit may be in capitals or not, and a blank may stand before it. K, M, G, T, P and
    /// KiB to PiB are powers of 1024; KB to PB are powers of 1000; B or none is bytes. A fraction of
    /// a byte is left out: 0.3KiB is 307 bytes.
    package static func bytes(_ text: String) throws(ByteTextError) -> Int {
        let utf8 = text.utf8.drop { $0 == UInt8(ascii: " ") }
        guard let first = utf8.first else {
            throw ByteTextError(description: "it is empty; a size is \(spelling)")
        }
        if first == UInt8(ascii: "-") {
            throw ByteTextError(description: "a size can't be negative")
        }
        let number = utf8.prefix { isDigit($0) || $0 == UInt8(ascii: ".") }
        let parts = number.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw ByteTextError(
                description: number.isEmpty
                    ? "it does not begin with a digit; a size is \(spelling)"
                    : "'\(Substring(number))' is not a number")
        }
        let unit = String(
            Substring(utf8.dropFirst(number.count).drop { $0 == UInt8(ascii: " ") }))
        guard let scale = scale(unit) else {
            throw ByteTextError(
                description:
                    "'\(unit)' is no unit of bytes; known are K, M, G, T, P (powers of 1024), "
                    + "KiB to PiB (the same) and KB to PB (powers of 1000)")
        }
        guard let whole = product(of: parts[0], scale),
            let sum = add(whole, fraction(parts.dropFirst().joined(), scale))
        else {
            throw ByteTextError(description: "that is more bytes than a number can hold")
        }
        return sum
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    private static func scale(_ unit: String) -> Int? {
        let unit = unit.lowercased()
        if unit.isEmpty || unit == "b" { return 1 }
        guard let power = ["k", "m", "g", "t", "p"].firstIndex(of: unit.prefix(1)) else {
            return nil
        }
        let base: Int
        switch unit.dropFirst() {
        case "", "ib": base = 1024
        case "b": base = 1000
        default: return nil
        }
        return (0...power).reduce(1) { scale, _ in scale * base }
    }

    /// nil: too large.
    private static func product(of digits: some Sequence<UInt8>, _ scale: Int) -> Int? {
        var value = 0
        for digit in digits {
            let ten = value.multipliedReportingOverflow(by: 10)
            let next = ten.partialValue.addingReportingOverflow(Int(digit) - 48)
            if ten.overflow || next.overflow { return nil }
            value = next.partialValue
        }
        let (bytes, overflow) = value.multipliedReportingOverflow(by: scale)
        return overflow ? nil : bytes
    }

    /// Whole bytes of "0.DIGITS" of a unit. From the last digit to the first, each division leaves out less
    /// than one unit of what the next one rounds down, so the result is exact: floor((n + floor(x)) / 10)
    /// is floor((n + x) / 10) for any whole n.
    private static func fraction(_ digits: some Sequence<UInt8>, _ scale: Int) -> Int {
        digits.reversed().reduce(0) { bytes, digit in ((Int(digit) - 48) * scale + bytes) / 10 }
    }

    private static func add(_ one: Int, _ other: Int) -> Int? {
        let (sum, overflow) = one.addingReportingOverflow(other)
        return overflow ? nil : sum
    }
}
