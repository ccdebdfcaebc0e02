// Paint.swift - colours, where they can be seen and nobody asked for none.

@preconcurrency import Glibc
import Muster
import Rainbow

enum Paint {
    /// Whether to colour, on any stdout; nil: as the terminal and NO_COLOR say. Set before the first
    /// line is painted.
    nonisolated(unsafe) static var choice: Bool?

    private static var isOn: Bool { choice ?? isWanted }

    /// stdout is a terminal that knows colours, and NO_COLOR (no-color.org) is unset or empty.
    private static let isWanted: Bool = {
        let refused = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
        let terminal = getenv("TERM").map { String(cString: $0) } ?? "dumb"
        return Output.isTerminal && !refused && terminal != "dumb"
    }()

    static func heading(_ text: String) -> String { isOn ? text.bold : text }
    static func bar(_ text: String) -> String { isOn ? text.cyan : text }

    static func alarm(_ text: String) -> String { isOn ? text.red : text }
    static func good(_ text: String) -> String { isOn ? text.green : text }

    /// From green over yellow to red as `heat` goes from 0 to 1; nil: not known.
    static func heat(_ text: String, _ heat: Double?) -> String {
        guard isOn, let heat else { return text }
        // Six steps of the 256-colour cube (16 + 36 red + 6 green + blue), the lightest that are read
        // on dark and on light.
        let steps: [UInt8] = [34, 70, 142, 178, 172, 160]
        return text.bit8(steps[Int((max(0, min(1, heat)) * 5).rounded())])
    }

    /// A node in a strip, on its colour. nil: any; -1: none.
    static func node(_ number: Int?, _ symbols: NodeSymbols) -> String {
        guard let number else { return "." }
        guard number >= 0 else { return " " }
        let symbol = String(symbols[number])
        guard isOn else { return symbol }
        // Eight colours that can be told apart, then again.
        let colors: [NamedBackgroundColor] = [
            .blue, .green, .yellow, .magenta, .cyan, .red, .white, .lightBlack,
        ]
        return symbol.black.applyingBackgroundColor(colors[number % colors.count])
    }

    /// An audit in one line.
    static func verdict(_ audit: AuditReport) -> String {
        guard isOn else { return audit.description }
        return audit.isClean ? audit.description.green : audit.description.red
    }
}
