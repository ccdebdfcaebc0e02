// Figures.swift - numbers as people read them.

@preconcurrency import Glibc

enum Figures {
    /// "1,234,567"
    static func count(_ number: Int) -> String {
        var text = ""
        for (position, digit) in String(number.magnitude).reversed().enumerated() {
            if position > 0 && position % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return (number < 0 ? "-" : "") + String(text.reversed())
    }

    /// "1 chunk", "1,234 chunks"
    static func count(_ number: Int, _ noun: String, _ plural: String? = nil) -> String {
        "\(count(number)) \(number == 1 ? noun : plural ?? noun + "s")"
    }

    /// A number in at most so many significant digits, as C's `%g`.
    static func short(_ value: Double, digits: Int = 6) -> String {
        var text = [CChar](repeating: 0, count: 64)
        let arguments: [any CVarArg] = [Int32(digits), value]
        let length = withVaList(arguments) { vsnprintf(&text, text.count, "%.*g", $0) }
        return String(
            decoding: text.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// A capacity: "512 KiB", "11.7 GiB".
    static func capacity(_ bytes: UInt64) -> String {
        scaled(Double(bytes), by: 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
    }

    /// An amount of data that went by: "800 MB", of 10^6 bytes.
    static func amount(_ bytes: Double) -> String {
        scaled(bytes, by: 1000, ["B", "kB", "MB", "GB", "TB", "PB", "EB"])
    }

    /// A time: "1.52 s", "3.21 ms", "450 us".
    static func time(_ seconds: Double) -> String {
        if seconds >= 1 { return "\(short(seconds, digits: 4)) s" }
        if seconds >= 1e-3 { return "\(short(seconds * 1e3, digits: 3)) ms" }
        return "\(short(seconds * 1e6, digits: 3)) us"
    }

    /// Numbers as the kernel lists them: "0-3,8".
    static func list(_ numbers: [Int]) -> String {
        var ranges: [ClosedRange<Int>] = []
        for number in numbers {
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges.map {
            $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
        }.joined(separator: ",")
    }

    private static func scaled(_ value: Double, by step: Double, _ units: [String]) -> String {
        var value = value
        var unit = 0
        // 999.95 would be rounded to "1000".
        while value >= step - 0.05, unit < units.count - 1 {
            value /= step
            unit += 1
        }
        return "\(short((value * 10).rounded() / 10)) \(units[unit])"
    }
}
