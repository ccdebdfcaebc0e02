// Meter.swift - progress on stderr, for a person who waits.

@preconcurrency import Glibc
import Muster

/// Draws one line on stderr while something takes longer than a second and stderr is a terminal.
final class Meter {
    private let label: String
    private let isShown = isatty(2) == 1
    private let started = Meter.now()
    private var hasDrawn = false

    init(_ label: String) { self.label = label }

    deinit { clear() }

    private static func now() -> Double {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
    }

    /// Shows how far it is, 0...1.
    func show(_ fraction: Double) {
        let elapsed = Meter.now() - started
        guard isShown, elapsed >= 1 else { return }
        let left =
            fraction > 0.01 ? ", \(Int((elapsed / fraction - elapsed).rounded())) s left" : ""
        Output.writeError("\r\u{1B}[K\(label): \(Int(fraction * 100)) %\(left)")
        hasDrawn = true
    }

    /// Takes the line away.
    func clear() {
        if hasDrawn { Output.writeError("\r\u{1B}[K") }
        hasDrawn = false
    }

    /// For `Team.onProgress`.
    func handler() -> (Progress) -> Void {
        { self.show($0.chunks == 0 ? 1 : Double($0.done) / Double($0.chunks)) }
    }
}
