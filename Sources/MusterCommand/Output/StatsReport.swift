// StatsReport.swift - what `muster stats` found, as text.

import Muster

/// What the command found, and what it took.
struct StatsReport {
    /// Files as they were given.
    let names: [String]
    let headers: [NPYHeader]
    /// Of each file.
    let each: [Statistics]
    /// Of all files together.
    let all: Statistics
    let size: Int
    let schedule: Schedule
    /// nil: not asked for.
    var channels: (axis: Int, rows: [Statistics])?
    /// nil: no finite element.
    var histogram: Histogram?
    /// nil: not asked for.
    var percentiles: [Percentile]?
    /// Of each channel; nil: not asked for.
    var channelPercentiles: [[Percentile]]?
    /// What was read for what, in that order; each is clean, or there would be no report.
    private(set) var audits: [(name: String, audit: AuditReport)] = []
    /// Passes over all files.
    private(set) var passes = 0
    /// Seconds of the passes.
    var elapsed = 0.0

    init(
        names: [String], headers: [NPYHeader], each: [Statistics], all: Statistics, size: Int,
        schedule: Schedule
    ) {
        self.names = names
        self.headers = headers
        self.each = each
        self.all = all
        self.size = size
        self.schedule = schedule
    }

    mutating func add(_ name: String, _ audit: AuditReport, passes: Int = 1) {
        audits.append((name, audit))
        self.passes += passes
    }

    /// The file, or how many there are.
    var name: String { names.count == 1 ? names[0] : "\(names.count) files" }
    /// The type of the elements; nil: files have different ones.
    var dtype: DType? {
        headers.allSatisfy { $0.dtype == headers[0].dtype } ? headers[0].dtype : nil
    }
    /// Bytes of the elements, once.
    var bytes: Int { headers.reduce(0) { $0 + $1.dataByteCount } }

    /// Finite elements that lie in no bin.
    var outsideCount: Int {
        histogram.map { all.finiteCount - $0.counts.reduce(0, +) } ?? 0
    }

    /// nil: nothing was read.
    var gigabytesPerSecond: Double? {
        bytes == 0 || elapsed <= 0 ? nil : Double(bytes) * Double(passes) / elapsed / 1e9
    }

    /// All loops together.
    var audit: AuditReport {
        audits.dropFirst().reduce(audits[0].audit) { $0 + $1.audit }
    }

    /// What a reader should know of the numbers.
    var notes: [String] {
        func overflows(_ statistics: Statistics) -> Bool {
            statistics.integers == nil && !statistics.sum.isFinite
        }
        var notes: [String] = []
        if overflows(all) || each.contains(where: overflows)
            || channels?.rows.contains(where: overflows) == true
        {
            notes.append(StatsReport.overflowNote)
        }
        return notes
    }

    private static let overflowNote =
        "a sum is beyond the largest double; mean and deviation are right"
}

// MARK: - Text

extension StatsReport {
    func print() {
        if names.count > 1 {
            let rows = zip(names, zip(headers, each)).map {
                (Output.plain($0), Optional($1.0.dtype), $1.1)
            }
            table(("file", .left), rows + [("all", dtype, all)])
            Output.line()
        } else {
            printLayout()
        }
        printNumbers()
        if let channels {
            Output.line()
            table(
                ("axis \(channels.axis)", .right),
                channels.rows.enumerated().map { ("\($0)", dtype, $1) },
                percentiles: channelPercentiles)
        }
        if let histogram {
            Output.line()
            for line in histogram.lines(width: Output.width) { Output.line(line) }
            if outsideCount > 0 {
                Output.line("\(Figures.count(outsideCount, "element")) outside the range")
            }
        }
        printCost()
    }

    private func printLayout() {
        let header = headers[0]
        let lengths = header.shape.map(String.init).joined(separator: ", ")
        row("file", Output.plain(name))
        row("dtype", header.dtype.name + (header.isBigEndian ? ", big-endian" : ""))
        row(
            "shape",
            (header.shape.count == 1 ? "(\(lengths),)" : "(\(lengths))")
                + (header.isFortranOrder ? ", Fortran order" : ""))
    }

    private func printNumbers() {
        row("count", Figures.count(all.count))
        row("NaN", Figures.count(all.nanCount))
        row("infinite", Figures.count(all.infinityCount))
        row("sum", sumText)
        row("mean", all.mean.map { "\($0)" } ?? "-")
        row("std deviation", all.standardDeviation.map { "\($0)" } ?? "-")
        row("minimum", Element(all.minimum, all.integers?.minimum, dtype).text)
        row("maximum", Element(all.maximum, all.integers?.maximum, dtype).text)
        for percentile in percentiles ?? [] { row(percentile.name, percentile.element(dtype).text) }
    }

    private func printCost() {
        Output.line()
        let rate =
            gigabytesPerSecond.map {
                $0 < 0.01 ? "under 0.01 GB/s, " : "\(Figures.short($0, digits: 3)) GB/s, "
            } ?? ""
        row(
            "time",
            "\(Figures.time(elapsed)) (\(rate)\(Figures.count(passes, "pass", "passes")) over "
                + "\(Figures.amount(Double(bytes))), \(schedule) schedule)")
        for (index, loop) in audits.enumerated() {
            row(index == 0 ? "audit" : "", "\(loop.name): \(Paint.verdict(loop.audit))")
        }
    }

    private func row(_ name: String, _ value: String) {
        let blank = String(repeating: " ", count: max(1, 15 - name.count))
        Output.line((Paint.heading(name) + blank + value))
    }

    private var sumText: String {
        if let integers = all.integers { return "\(integers.sum)" }
        return all.sum.isFinite
            ? "\(all.sum)"
            : "\(all.sum) (it is beyond the largest double; mean and deviation are right)"
    }

    /// A row for each data set: integers exactly, other numbers in six digits.
    private func table(
        _ first: (title: String, side: AlignedTable.Side), _ rows: [(String, DType?, Statistics)],
        percentiles: [[Percentile]]? = nil
    ) {
        let showsType = rows.contains { $0.1 != rows[0].1 }
        let showsSpecials = rows.contains { $0.2.finiteCount < $0.2.count }
        var columns: [(title: String, side: AlignedTable.Side)] = [first]
        if showsType { columns.append(("dtype", .left)) }
        columns.append(("count", .right))
        if showsSpecials { columns += [("NaN", .right), ("infinite", .right)] }
        columns += ["mean", "std deviation", "minimum", "maximum", "sum"].map { ($0, .right) }
        // A channel without finite elements has none.
        let named = percentiles?.first { !$0.isEmpty } ?? []
        columns += named.map { ($0.name, .right) }
        var table = AlignedTable(columns)
        for (place, (name, dtype, statistics)) in rows.enumerated() {
            let integers = statistics.integers
            func short(_ value: Double?, _ integer: Int128? = nil) -> String {
                integer.map { "\($0)" } ?? value.map { Figures.short($0) } ?? "-"
            }
            var cells = [name]
            if showsType { cells.append(dtype?.name ?? "several") }
            cells.append(Figures.count(statistics.count))
            if showsSpecials {
                cells += [statistics.nanCount, statistics.infinityCount].map { Figures.count($0) }
            }
            cells += [
                short(statistics.mean), short(statistics.standardDeviation),
                short(statistics.minimum, integers?.minimum),
                short(statistics.maximum, integers?.maximum),
                short(statistics.sum, integers?.sum),
            ]
            let own = percentiles?[place] ?? []
            cells += named.indices.map {
                own.isEmpty ? "-" : short(own[$0].value, own[$0].integer)
            }
            table.add(cells)
        }
        table.print()
    }
}

/// An element, or a number between two: with the fewest digits that read back as the same number of its
/// type.
struct Element: Encodable {
    private let value: Double?
    private let integer: Int128?
    private let dtype: DType?

    /// `integer`: the exact value, of integers. `dtype`: of an element; nil: a double.
    init(_ value: Double?, _ integer: Int128?, _ dtype: DType?) {
        self.value = value
        self.integer = integer
        self.dtype = dtype
    }

    /// "-" where there is none.
    var text: String {
        guard let value else { return "-" }
        if let integer { return "\(integer)" }
        return switch dtype {
        case .f2: "\(Float16(value))"
        case .f4: "\(Float(value))"
        default: "\(value)"
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        guard let value, value.isFinite else { return try container.encodeNil() }
        if let integer { return try container.encode(integer) }
        switch dtype {
        // The double that is nearest to the fewest digits of the narrow number has the same ones.
        case .f2, .f4: try container.encode(Double(text) ?? value)
        default: try container.encode(value)
        }
    }
}
