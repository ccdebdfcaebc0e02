// Meter.swift - progress on stderr, for a person who waits.

@preconcurrency import Glibc

/// Draws one line on stderr while something takes longer than a second and stderr is a terminal.
final class Meter {
    private let label: String
    private let isShown = isatty(2) == 1
    private let started = Meter.now()
    private var drawn = ""

    /// `label`: what is waited for. Of a long one the end is shown: a line that wraps can't be taken
    /// away.
    init(_ label: String) {
        let label = Output.plain(label)
        self.label = label.count > 40 ? "...\(label.suffix(37))" : label
    }

    deinit { clear() }

    private static func now() -> Double {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
    }

    /// Shows how far it is, 0...1.
    func show(_ fraction: Double) { show(fraction, "") }

    /// The same, with what it is at.
    func show(_ fraction: Double, _ part: String) {
        let elapsed = Meter.now() - started
        guard isShown, elapsed >= 1 else { return }
        let left =
            fraction > 0.01 ? ", \(Int((elapsed / fraction - elapsed).rounded())) s left" : ""
        let label = part.isEmpty ? self.label : "\(self.label) \(part)"
        let text = "\(label): \(Int(fraction * 100)) %\(left)"
        guard text != drawn else { return }
        Output.writeError("\r\u{1B}[K\(text)")
        drawn = text
    }

    /// Takes the line away.
    func clear() {
        if !drawn.isEmpty { Output.writeError("\r\u{1B}[K") }
        drawn = ""
    }
}
