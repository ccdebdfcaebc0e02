// BenchText.swift - a report of `muster bench` as text: a table for each test, matrices where a test
// has two nodes or two CPUs in each row.

import Muster
import MusterBench

extension BenchReport {
    /// Prints it on stdout.
    func print() {
        Output.line(environment.line)
        if let virtualization = environment.virtualization {
            Output.line("a virtual machine: \(virtualization)")
        }
        if environment.emulated {
            Output.line("EMULATED: instructions run in software, no figure below means anything")
        }
        if partial { Output.line(Paint.alarm("PARTIAL: ended before all tests were done")) }
        for family in families {
            Output.line()
            Output.line(
                Paint.heading(family.name) + (family.test.map { "  \($0.summary)" } ?? ""))
            for sentence in family.test?.method ?? [] {
                for line in BenchReport.wrapped(sentence, width: 98) { Output.line("  \(line)") }
            }
            Output.line()
            print(family.rows)
        }
        for line in (timelines ?? []).flatMap(\.lines) { Output.line(line) }
        Output.line()
        for note in notes { Output.line("note: \(note)") }
        canary?.print()
        Output.line(
            "all loops: \(audit.chunks) chunks, each exactly once; results checked before they were "
                + "printed")
        Output.line(
            "GB/s: 10^9 bytes a second; first run of each figure dropped; spread: the middle half of "
                + "the samples")
    }

    private func print(_ rows: [Row]) {
        var rest: [Row] = []
        for (title, group) in BenchReport.groups(rows) {
            if let matrix = Matrix(group) {
                Output.line("  \(title)")
                matrix.print()
                Output.line()
            } else {
                rest += group
            }
        }
        if !rest.isEmpty { table(rest) }
        var told: Set<String> = []
        for row in rows {
            if let reason = row.reason, told.insert(reason).inserted {
                Output.line("  -  \(reason)")
            }
        }
        if let saturated = BenchReport.saturation(rows) { Output.line("  \(saturated)") }
    }

    /// Rows that differ in nothing but two nodes or CPUs, under what they have in common.
    static func groups(_ rows: [Row]) -> [(title: String, rows: [Row])] {
        var order: [String] = []
        var groups: [String: [Row]] = [:]
        for row in rows {
            let common = row.names.filter { !Matrix.axes.contains($0) && $0 != "size_bytes" }
                .map { "\($0) \(row.parameters[$0]!)" }
            let title = ([row.kernel] + common + [row.quantity.unit]).joined(separator: ", ")
            if groups[title] == nil { order.append(title) }
            groups[title, default: []].append(row)
        }
        return order.map { ($0, groups[$0]!) }
    }

    private func table(_ rows: [Row]) {
        let (common, names) = BenchReport.shared(rows)
        if !common.isEmpty { Output.line("  \(common)") }
        var columns: [(title: String, side: AlignedTable.Side)] = [
            (rows.contains { $0.test.contains("/") } ? "test" : "kernel", .left)
        ]
        for name in names {
            let isNumber = rows.contains { $0.parameters[name]?.number != nil }
            columns.append((BenchReport.title(name), isNumber ? .right : .left))
        }
        columns += [
            ("ranks", .right), ("median", .right), ("unit", .left), ("min", .right),
            ("max", .right), ("spread", .right), ("samples", .right),
        ]
        var table = AlignedTable(columns)
        for row in rows {
            let what =
                row.test.contains("/")
                ? row.test.split(separator: "/").dropFirst().joined(separator: ", ") : row.kernel
            var cells = [what]
            cells += names.map { name in
                row.parameters[name].map { BenchReport.value(name, $0) } ?? ""
            }
            cells.append(row.ranks == 0 ? "-" : "\(row.ranks)")
            if let figures = row.figures {
                cells += [
                    Output.fixed(figures.median), row.quantity.unit, Output.fixed(figures.minimum),
                    Output.fixed(figures.maximum), BenchReport.percent(figures.spread),
                    "\(figures.samples.count)",
                ]
            } else {
                cells += ["-", row.quantity.unit, "-", "-", "-", "-"]
            }
            table.add(cells)
        }
        table.print(indent: 2)
    }

    /// What all rows have in common, in words, and the names of the parameters in which they differ: one
    /// that all share is no news in each of them.
    static func shared(_ rows: [Row]) -> (common: String, names: [String]) {
        var names: [String] = []
        for row in rows { for name in row.names where !names.contains(name) { names.append(name) } }
        let same = names.filter { name in
            rows.count > 1 && Set(rows.map { $0.parameters[name] }).count == 1
        }
        let common = same.map { "\(title($0)) \(value($0, rows[0].parameters[$0]!))" }
        return (common.joined(separator: ", "), names.filter { !same.contains($0) })
    }

    /// "size" of "size_bytes".
    static func title(_ name: String) -> String {
        switch name {
        case "size_bytes": "size"
        case "delay_turns": "delay"
        case "bytes_per_element": "B/element"
        case "flops_per_element": "flops/element"
        default: name.replacing("_", with: " ")
        }
    }

    static func value(_ name: String, _ value: Parameter) -> String {
        if name == "size_bytes", let bytes = value.number {
            return Figures.capacity(UInt64(max(0, bytes)))
        }
        return value.description
    }

    static func percent(_ part: Double) -> String {
        part.isFinite ? "\(Output.fixed(part * 100)) %" : "-"
    }

    /// Of rows that differ in ranks: the fewest that reach 95 % of the most; nil: no such rows.
    static func saturation(_ rows: [Row]) -> String? {
        guard rows.allSatisfy({ $0.test == "scaling" }) else { return nil }
        var parts: [String] = []
        var kernels: [String] = []
        for row in rows where !kernels.contains(row.kernel) { kernels.append(row.kernel) }
        for kernel in kernels {
            let own = rows.filter { $0.kernel == kernel && $0.figures != nil }
            guard let most = own.map({ $0.figures!.median }).max(),
                let first = own.filter({ $0.figures!.median >= 0.95 * most })
                    .min(by: { $0.ranks < $1.ranks })
            else { continue }
            parts.append("\(kernel) with \(Output.counted(first.ranks, "rank"))")
        }
        return parts.isEmpty ? nil : "saturated: " + parts.joined(separator: ", ")
    }

    /// Text in lines of at most so many columns.
    static func wrapped(_ text: String, width: Int) -> [String] {
        var lines = [""]
        for word in text.split(separator: " ") {
            if lines.last!.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if lines.last!.count + 1 + word.count <= width {
                lines[lines.count - 1] += " \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }
}

extension BenchReport.Canary {
    /// Prints what it read, and the verdict.
    func print() {
        let rates = readings.map { Output.fixed($0.read_gb_per_s.median) }
        Output.line(
            "canary: memory read at \(rates.first ?? "-") GB/s before and \(rates.last ?? "-") after"
        )
        if quiet { return Output.line("verdict: " + Paint.good("quiet")) }
        for reason in reasons { Output.line("verdict: " + Paint.alarm(reason)) }
    }
}

/// Rows whose two nodes or CPUs are its axes.
struct Matrix {
    static let axes: Set<String> = ["cpu_node", "memory_node", "cpu", "holder_cpu", "shared"]

    let rowTitle: String
    let columnTitle: String
    let rowIDs: [Int]
    let columnIDs: [Int]
    let quantity: MusterBench.Row.Quantity
    /// By row, then column; nil: no such row in the report. Its figures may be nil too.
    let cells: [[BenchReport.Row?]]

    /// nil: the rows are not two-dimensional, or there is only one of them.
    init?(_ rows: [BenchReport.Row]) {
        guard let first = rows.first, rows.count > 1 else { return nil }
        let pairs = [("cpu_node", "memory_node"), ("cpu", "holder_cpu")]
        guard
            let (one, other) = pairs.first(where: { pair in
                rows.allSatisfy {
                    $0.parameters[pair.0]?.number != nil && $0.parameters[pair.1]?.number != nil
                }
            })
        else { return nil }
        func id(_ row: BenchReport.Row, _ name: String) -> Int { row.parameters[name]!.number! }
        rowIDs = Set(rows.map { id($0, one) }).sorted()
        columnIDs = Set(rows.map { id($0, other) }).sorted()
        guard Set(rows.map { [id($0, one), id($0, other)] }).count == rows.count else { return nil }
        rowTitle = BenchReport.title(one)
        columnTitle = BenchReport.title(other)
        quantity = first.quantity
        let columns = columnIDs
        cells = rowIDs.map { row in
            columns.map { column in
                rows.first { id($0, one) == row && id($0, other) == column }
            }
        }
    }

    /// The least and the greatest median.
    var range: ClosedRange<Double>? {
        let all = cells.joined().compactMap { $0?.figures?.median }
        guard let low = all.min(), let high = all.max() else { return nil }
        return low...high
    }

    /// 0: the best, 1: the worst; nil: nothing there. All alike are all best.
    func heat(_ cell: BenchReport.Row?) -> Double? {
        guard let value = cell?.figures?.median, let range else { return nil }
        // Differences that are small against the values are no news: a tenth of them fills half a scale.
        let width = max(range.upperBound - range.lowerBound, 0.2 * range.upperBound)
        guard width > 0 else { return 0 }
        return quantity == .rate
            ? (range.upperBound - value) / width : (value - range.lowerBound) / width
    }

    /// "12.34", "-": could not be measured, "": there is no such pair.
    func text(_ cell: BenchReport.Row?) -> String {
        guard let cell else { return "" }
        return cell.figures.map { Output.fixed($0.median) } ?? "-"
    }

    func print() {
        let head = "\(rowTitle) \\ \(columnTitle)"
        let texts = cells.map { $0.map { text($0) } }
        let all = Array(texts.joined()) + columnIDs.map { "\($0)" }
        let width = max(6, all.map(\.count).max() ?? 0)
        func padded(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        Output.line(
            "  " + head + columnIDs.map { "  " + padded("\($0)", width) }.joined())
        for (number, row) in cells.enumerated() {
            let line = zip(row, texts[number]).map { cell, text in
                "  " + Paint.heat(padded(text, width), heat(cell))
            }.joined()
            Output.line("  " + padded("\(rowIDs[number])", head.count) + line)
        }
    }
}
