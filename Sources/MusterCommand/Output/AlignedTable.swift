// AlignedTable.swift - rows of text under headings, in columns as wide as their widest cell.

import TextTable

/// Rows of text under headings.
struct AlignedTable {
    enum Side { case left, right }

    private let columns: [(title: String, side: Side)]
    private var rows: [[String]] = []

    init(_ columns: [(title: String, side: Side)]) { self.columns = columns }

    /// Precondition: one cell a column.
    mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count)
        rows.append(cells)
    }

    /// Prints the headings, and the rows below them.
    func print(indent: Int = 0) { for line in lines(indent: indent) { Output.line(line) } }

    /// The headings, and the rows below them.
    func lines(indent: Int = 0) -> [String] {
        let columns = columns
        let table = TextTable<[String]> { cells in
            zip(columns, cells).map { column, cell in
                Column(
                    title: column.title, value: cell, align: column.side == .left ? .left : .right)
            }
        }
        let lines = (table.string(for: rows, style: TwoSpaces.self) ?? "").split(separator: "\n")
        return lines.enumerated().map { number, line in
            var text = String(line)
            // A last column that is padded would wrap where the terminal ends.
            while text.last == " " { text.removeLast() }
            text = String(repeating: " ", count: indent) + text
            return number == 0 ? Paint.heading(text) : text
        }
    }
}

/// Two spaces between columns, no lines.
private enum TwoSpaces: TextTableStyle {
    static func prepare(_ text: String, for column: Column) -> String {
        Plain.prepare(text, for: column)
    }
    static func escape(_ text: String) -> String { text }
    static func begin(_ table: inout String, index: Int, columns: [Column]) {}
    static func end(_ table: inout String, index: Int, columns: [Column]) {}
    static func header(_ table: inout String, index: Int, columns: [Column]) {
        table += columns.map { $0.headerString(for: self) }.joined(separator: "  ") + "\n"
    }
    static func row(_ table: inout String, index: Int, columns: [Column]) {
        table += columns.map { $0.string(for: self) }.joined(separator: "  ") + "\n"
    }
}
