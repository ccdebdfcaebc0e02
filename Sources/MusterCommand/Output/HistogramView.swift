// HistogramView.swift - a histogram as lines of text.

import Muster

extension Histogram {
    /// One line a bin: its lower edge, a bar, its count; then the last bin's upper edge. `width`: columns
    /// of the terminal.
    func lines(width: Int) -> [String] {
        let labels = edgeLabels()
        let numbers = counts.map { Figures.count($0) }
        let labelWidth = labels.map(\.count).max() ?? 0
        let numberWidth = numbers.map(\.count).max() ?? 0
        // label, " │", bar, "  ", number
        let room = max(8, min(width, 120) - labelWidth - numberWidth - 4)
        let most = counts.max() ?? 0
        var lines = counts.indices.map { bin in
            let bar = Histogram.bar(counts[bin], of: most, room: room)
            let blank = String(repeating: " ", count: room - bar.count)
            return "\(labels[bin].padded(to: labelWidth)) │\(Paint.bar(bar))\(blank)  "
                + numbers[bin].padded(to: numberWidth)
        }
        lines.append("\(labels[counts.count].padded(to: labelWidth)) ┘")
        return lines
    }

    /// Eighths of blocks, so that a bar has eight times the resolution of a character. A bin that is
    /// not empty shows.
    static func bar(_ count: Int, of most: Int, room: Int) -> String {
        guard count > 0, most > 0 else { return "" }
        let eighths = max(1, Int((Double(count) / Double(most) * Double(room * 8)).rounded()))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    }

    /// Edges with as few digits as tell them apart.
    private func edgeLabels() -> [String] {
        for digits in 5...16 {
            let labels = edges.map { Figures.short($0, digits: digits) }
            if zip(labels, labels.dropFirst()).allSatisfy({ $0 != $1 }) { return labels }
        }
        return edges.map { "\($0)" }  // some are equal
    }
}

extension String {
    /// Spaces before it, up to a width.
    fileprivate func padded(to width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }
}
