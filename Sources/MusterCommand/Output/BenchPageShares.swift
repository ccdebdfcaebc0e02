// BenchPageShares.swift - how evenly ranks shared the loops of a report with --trace, on its page.

extension BenchReport {
    /// A table for each test that was traced; empty: none was.
    var shares: String {
        guard let timelines, !timelines.isEmpty else { return "" }
        let tables = timelines.map { share in
            let remarks = share.remarks.map { "<p class=\"reason\">\(Plot.escaped($0))</p>" }
            return "<div class=\"scroll\">\(share.table)</div>" + remarks.joined()
        }
        return "<section id=\"timelines\"><h2>Shares of the ranks</h2>"
            + "<p class=\"summary\">Of the loops that were traced: what each rank did. busy: in chunks; "
            + "waiting: the rest of the loops' time; stolen: chunks taken from another rank's part; "
            + "remote: bytes of arrays, in its chunks, that lay on other nodes than its own.</p>"
            + tables.joined() + "</section>"
    }
}

extension TimelineShare {
    /// A number's attribute has all of its digits.
    fileprivate var table: String {
        let head = TimelineShare.columns.map { "<th>\($0)</th>" }.joined()
        let rows = loads.map { load in
            let cells = cells(load).enumerated().map { column, cell in
                let tag = column == 0 ? "th" : "td"
                let exact = cell.exact.map { " data-value=\"\($0)\"" } ?? ""
                return "<\(tag)\(exact)>\(cell.text ?? "-")</\(tag)>"
            }
            return "<tr>\(cells.joined())</tr>"
        }
        return
            "<table><caption>\(Plot.escaped(name)): \(extent)</caption><thead><tr>\(head)</tr></thead>"
            + "<tbody>\(rows.joined())</tbody></table>"
    }
}
