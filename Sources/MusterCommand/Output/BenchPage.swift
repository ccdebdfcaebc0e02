// BenchPage.swift - a report of `muster bench` as one page: nothing is loaded, by nobody, from nowhere.
//
// Each test has what shows it best, and next to it the table of all its rows. The report itself is in
// the page too, as JSON, for readers who want the samples.

import FoundationEssentials
import MusterBench

extension BenchReport {
    /// The page, as HTML 5.
    var page: String {
        let title = "Muster benchmark: \(environment.cpu_model ?? "unknown CPU")"
        // "</" would end the script in any place.
        let json = ((try? Output.jsonText(self, schema: BenchReport.schema)) ?? "{}")
            .replacing("</", with: "<\\/")
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <link rel="icon" href="data:,">
            <title>\(Plot.escaped(title))</title>
            <style>\(PageStyle.css)</style>
            </head>
            <body>
            <header>
            <h1>Muster benchmark</h1>
            <p>\(Plot.escaped(environment.line))</p>
            \(banners)
            </header>
            <main>
            \(families.map { section($0.test, $0.name, $0.rows) }.joined(separator: "\n"))
            \(shares)
            \(trust)
            \(machine)
            </main>
            <script type="application/json" id="report">\(json)</script>
            </body>
            </html>

            """
    }

    // MARK: - Head

    private var banners: String {
        var banners = ""
        if environment.emulated {
            banners +=
                "<p class=\"alarm\">Emulated: instructions run in software, no figure means anything.</p>"
        }
        if partial {
            banners += "<p class=\"alarm\">Partial: ended before all tests were done.</p>"
        }
        guard let canary else { return banners }
        if canary.quiet {
            return banners
                + "<p class=\"good\">The machine was quiet, and its memory as fast at the end "
                + "as at the start.</p>"
        }
        let reasons = canary.reasons.map { "<li>\(Plot.escaped($0))</li>" }.joined()
        return banners + "<div class=\"alarm\">Not quiet: compare these figures with care.<ul>"
            + "\(reasons)</ul></div>"
    }

    // MARK: - Tests

    private func section(_ test: Test?, _ name: String, _ rows: [Row]) -> String {
        let method = (test?.method ?? []).map { "<p>\(Plot.escaped($0))</p>" }.joined()
        var text = "<section id=\"\(Plot.escaped(name))\"><h2>\(Plot.escaped(name))</h2>"
        if let test { text += "<p class=\"summary\">\(Plot.escaped(test.summary))</p>" }
        if !method.isEmpty { text += "<details open><summary>Method</summary>\(method)</details>" }
        let pictures = pictures(name, rows).map { "<figure>\($0)</figure>" }.joined()
        text += "<div class=\"beside\"><div class=\"pictures\">\(pictures)</div>"
        text += "<div class=\"scroll\">\(table(rows))</div></div>"
        if let saturated = BenchReport.saturation(rows) {
            text += "<p>\(Plot.escaped(saturated))</p>"
        }
        let reasons = Set(rows.compactMap(\.reason)).sorted()
        text += reasons.map { "<p class=\"reason\">Not measured: \(Plot.escaped($0))</p>" }.joined()
        return text + "</section>"
    }

    /// What shows a test best.
    private func pictures(_ name: String, _ rows: [Row]) -> [String] {
        switch name {
        case "staircase": return [staircase(rows)]
        case "loaded": return [loaded(rows)]
        case "scaling", "dispatch", "barrier", "spawn": return [byRanks(name, rows)]
        default: break
        }
        var pictures: [String] = []
        var rest: [Row] = []
        for (title, group) in BenchReport.groups(rows) {
            if let matrix = Matrix(group) {
                pictures.append(heatmap(title, matrix))
            } else {
                rest += group
            }
        }
        // Bars of one unit each, as far as they can be told apart at a glance.
        for quantity in MusterBench.Row.Quantity.allCases {
            let own = rest.filter { $0.quantity == quantity && $0.figures != nil }
            guard !own.isEmpty, own.count <= 24 else { continue }
            pictures.append(
                Plot.bars(
                    own.map { (barName($0, among: own), $0.figures!) }, unit: quantity.unit,
                    label: "\(name), \(quantity.unit)"))
        }
        return pictures
    }

    /// What tells a row from the others of a picture.
    private func barName(_ row: Row, among rows: [Row]) -> String {
        var parts: [String] = []
        if Set(rows.map(\.test)).count > 1 {
            parts.append(row.test.split(separator: "/").dropFirst().joined(separator: ", "))
        }
        if Set(rows.map(\.kernel)).count > 1 { parts.append(row.kernel) }
        // Only rows of one placement have copies.
        for name in row.names
        where name != "copies" && Set(rows.map { $0.parameters[name]?.description }).count > 1 {
            parts.append(BenchReport.value(name, row.parameters[name]!))
        }
        if Set(rows.map(\.ranks)).count > 1 { parts.append(Output.counted(row.ranks, "rank")) }
        let text = parts.isEmpty ? row.kernel : parts.joined(separator: ", ")
        return text.count > 26 ? text.prefix(25) + "\u{2026}" : text
    }

    private func curves(
        _ rows: [Row], by name: (Row) -> String, x: (Row) -> Double, xName: (Row) -> String
    ) -> [Curve] {
        var order: [String] = []
        var points: [String: [(Double, Double, String)]] = [:]
        for row in rows {
            guard let figures = row.figures else { continue }
            let series = name(row)
            if points[series] == nil { order.append(series) }
            points[series, default: []].append(
                (
                    x(row), figures.median,
                    "\(xName(row)): \(Output.fixed(figures.median)) \(row.quantity.unit)"
                ))
        }
        return order.map { Curve(name: $0, points: points[$0]!) }
    }

    private func staircase(_ rows: [Row]) -> String {
        func size(_ row: Row) -> Int { row.parameters["size_bytes"]?.number ?? 1 }
        let curves = curves(
            rows, by: { "pages \($0.parameters["pages"]?.description ?? "?")" },
            x: { Double(size($0)) }, xName: { BenchReport.value("size_bytes", .number(size($0))) })
        let all = curves.flatMap(\.points)
        return Plot.curves(
            curves, x: .capacities(all.map(\.x)), y: .decades(all.map(\.y)), xTitle: "size",
            yTitle: "ns a load", label: "latency by size")
    }

    private func byRanks(_ name: String, _ rows: [Row]) -> String {
        let isTime = rows.first?.quantity == .time
        let curves = curves(
            rows,
            by: {
                $0.test.contains("/") ? String($0.test.drop { $0 != "/" }.dropFirst()) : $0.kernel
            }, x: { Double($0.ranks) }, xName: { Output.counted($0.ranks, "rank") })
        let all = curves.flatMap(\.points)
        return Plot.curves(
            curves, x: .counts(all.map(\.x)),
            y: isTime ? .decades(all.map(\.y)) : .linear(upTo: all.map(\.y).max() ?? 1),
            xTitle: "ranks", yTitle: rows.first?.quantity.unit ?? "", label: "\(name) by ranks")
    }

    /// Latency over the traffic at the same delay: the two rows of a point.
    private func loaded(_ rows: [Row]) -> String {
        var order: [String] = []
        var points: [String: [(x: Double, y: Double, title: String)]] = [:]
        let idle = rows.first { $0.parameters["mix"]?.description == "none" }?.figures?.median
        for row in rows where row.kernel == "traffic" {
            guard
                let partner = rows.first(where: {
                    $0.kernel == "chase" && $0.parameters == row.parameters
                }), let rate = row.figures?.median, let time = partner.figures?.median,
                let mix = row.parameters["mix"]?.description
            else { continue }
            let name = "reads : writes \(mix)"
            if points[name] == nil { order.append(name) }
            points[name, default: []].append(
                (rate, time, "\(Output.fixed(rate)) GB/s: \(Output.fixed(time)) ns"))
        }
        let curves = order.map { name in
            var own = points[name]!.sorted { $0.x < $1.x }
            if let idle { own.insert((0, idle, "alone: \(Output.fixed(idle)) ns"), at: 0) }
            return Curve(name: name, points: own)
        }
        let all = curves.flatMap(\.points)
        return Plot.curves(
            curves, x: .linear(upTo: all.map(\.x).max() ?? 1),
            y: .linear(upTo: all.map(\.y).max() ?? 1), xTitle: "traffic, GB/s",
            yTitle: "ns a load", label: "latency under load")
    }

    private func heatmap(_ title: String, _ matrix: Matrix) -> String {
        var text = "<table class=\"heat\"><caption>\(Plot.escaped(title))</caption><thead><tr><th>"
        text += "\(matrix.rowTitle) \\ \(matrix.columnTitle)</th>"
        text += matrix.columnIDs.map { "<th>\($0)</th>" }.joined() + "</tr></thead><tbody>"
        for (id, cells) in zip(matrix.rowIDs, matrix.cells) {
            text += "<tr><th>\(id)</th>"
            for cell in cells {
                let heat = matrix.heat(cell).map {
                    " class=\"value\" style=\"--heat:\(Figures.short($0, digits: 3))\""
                }
                text += "<td\(heat ?? "")>\(matrix.text(cell))</td>"
            }
            text += "</tr>"
        }
        return text + "</tbody></table>"
    }

    /// All rows. A number's attribute has all of its digits.
    private func table(_ rows: [Row]) -> String {
        let (common, names) = BenchReport.shared(rows)
        let hasTests = rows.contains { $0.test.contains("/") }
        var head = "<th>\(hasTests ? "test" : "kernel")</th>"
        head += names.map { "<th>\(BenchReport.title($0))</th>" }.joined()
        head += ["ranks", "median", "unit", "min", "max", "spread", "samples"]
            .map { "<th>\($0)</th>" }.joined()
        var body = ""
        for row in rows {
            let what =
                hasTests
                ? row.test.split(separator: "/").dropFirst().joined(separator: ", ") : row.kernel
            body += "<tr><th>\(Plot.escaped(what))</th>"
            for name in names {
                let value = row.parameters[name].map { BenchReport.value(name, $0) } ?? ""
                body += "<td>\(Plot.escaped(value))</td>"
            }
            body += "<td>\(row.ranks == 0 ? "-" : "\(row.ranks)")</td>"
            func cell(_ value: Double?) -> String {
                guard let value else { return "<td>-</td>" }
                return "<td data-value=\"\(value)\">\(Output.fixed(value))</td>"
            }
            body += cell(row.figures?.median) + "<td>\(row.quantity.unit)</td>"
            body += cell(row.figures?.minimum) + cell(row.figures?.maximum)
            body += "<td>\(row.figures.map { BenchReport.percent($0.spread) } ?? "-")</td>"
            body += "<td>\(row.figures.map { "\($0.samples.count)" } ?? "-")</td></tr>"
        }
        let caption = common.isEmpty ? "" : "<caption>\(Plot.escaped(common))</caption>"
        return "<table>\(caption)<thead><tr>\(head)</tr></thead><tbody>\(body)</tbody></table>"
    }

    // MARK: - Foot

    private var trust: String {
        var text = "<section id=\"trust\"><h2>Trust</h2>"
        text += "<p>All loops: \(audit.chunks) chunks, \(audit.exactly_once) of them exactly once. "
        text +=
            "Results were checked and placements read back before any figure was kept. The first "
        text +=
            "run of each figure is dropped. GB/s: 10<sup>9</sup> bytes a second; KiB, MiB, GiB: "
        text +=
            "2<sup>10</sup>, 2<sup>20</sup>, 2<sup>30</sup> bytes. Median, least and greatest of the "
        text += "samples; spread: the width of their middle half, as a part of the median.</p>"
        text += notes.map { "<p class=\"reason\">\(Plot.escaped($0))</p>" }.joined()
        if let canary {
            let rows = canary.readings.map { reading in
                "<tr><th>\(Plot.escaped(reading.when))</th>"
                    + "<td>\(Output.fixed(reading.read_gb_per_s.median))</td>"
                    + "<td>\(Output.fixed(reading.spin_ns.minimum / 1000))</td>"
                    + "<td>\(Output.fixed(reading.spin_ns.maximum / 1000))</td></tr>"
            }.joined()
            text +=
                "<p>The canary, read before the first test and after each: memory by all CPUs, and "
            text += "a fixed piece of arithmetic.</p><div class=\"scroll\"><table><thead><tr>"
            text += "<th>after</th><th>read, GB/s</th><th>spin min, us</th><th>spin max, us</th>"
            text += "</tr></thead><tbody>\(rows)</tbody></table></div>"
        }
        return text + "</section>"
    }

    private var machine: String {
        let e = environment
        func memory(_ bytes: UInt64) -> String { Figures.capacity(bytes) }
        var entries: [(String, String)] = [
            ("CPU", e.cpu_model ?? "not known"), ("CPUs, nodes", "\(e.cpus), \(e.nodes)"),
            ("memory", memory(e.memory_total_bytes)),
            ("last-level caches", e.last_level_cache_bytes.map(memory) ?? "not known"),
            ("base page", "\(e.page_bytes) B"), ("Linux", e.kernel),
            ("governor", e.governor ?? "not known"),
            ("NUMA balancing", e.numa_balancing.map { $0 ? "on" : "off" } ?? "not known"),
            ("huge pages, private", e.transparent_huge_pages ?? "not known"),
            ("huge pages, shared", e.transparent_huge_pages_shared ?? "not known"),
            ("virtual machine", e.virtualization ?? "none seen"),
            ("container", e.container ?? "none seen"), ("Muster", e.version),
            ("command", e.command),
        ]
        for node in e.node_list {
            entries.append(
                (
                    "node \(node.id)",
                    "CPUs \(node.cpus.isEmpty ? "none" : Figures.list(node.cpus)), "
                        + memory(node.memory_total_bytes)
                ))
        }
        let list = entries.map {
            "<dt>\(Plot.escaped($0))</dt><dd>\(Plot.escaped($1))</dd>"
        }.joined()
        return "<section id=\"machine\"><h2>Machine</h2><dl>\(list)</dl></section>"
    }
}

/// How the page looks.
enum PageStyle {
    /// Blue is good and orange is bad: told apart also by people with red-green blindness; both light
    /// enough in light, and dark enough in dark, for the text's colour on any mixture of them.
    static let css = """
        :root{--paper:#fff;--ink:#1c2430;--dim:#566070;--rule:#d5dae1;--panel:#f5f7f9;--best:#bfd9fb;\
        --worst:#ffcf9e;--bar:#7fa9dd;--alarm:#8a3b00;--good:#135c33;--s0:#1f62b4;--s1:#b85a00;\
        --s2:#1a7a4c;--s3:#8a3fa0;--s4:#a32a3c;--s5:#4d5a6a}
        @media screen and (prefers-color-scheme:dark){:root{--paper:#12161c;--ink:#e4e9f0;--dim:#9aa6b5;\
        --rule:#343d49;--panel:#1a2029;--best:#1d4374;--worst:#7a4410;--bar:#3f6aa3;--alarm:#ffb06b;\
        --good:#7fd6a4;--s0:#6fabf3;--s1:#f2a154;--s2:#5cc792;--s3:#c88fe0;--s4:#f08797;--s5:#a6b3c2}}
        *{box-sizing:border-box}
        body{margin:0 auto;padding:16px;max-width:1280px;background:var(--paper);color:var(--ink);\
        font:15px/1.45 system-ui,sans-serif}
        h1{font-size:1.6rem;margin:0}
        h2{font-size:1.2rem;margin:0;padding-top:1.2rem;border-top:1px solid var(--rule)}
        section{margin-top:1.6rem}
        p{margin:.4rem 0}
        .summary,.reason,details{color:var(--dim)}
        details p{max-width:75ch}
        .alarm{color:var(--alarm);font-weight:600}
        .good{color:var(--good);font-weight:600}
        .beside{display:flex;flex-wrap:wrap;gap:16px 32px;margin-top:.8rem;align-items:flex-start}
        .pictures{flex:1 1 340px;max-width:600px;min-width:0}
        figure{margin:0 0 12px;overflow-x:auto}
        .scroll{flex:2 1 340px;min-width:0;overflow-x:auto}
        section>.scroll{margin-top:.8rem}
        table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
        caption{text-align:left;padding-bottom:4px;color:var(--dim)}
        th,td{padding:3px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
        th:first-child{text-align:left}
        thead th{background:var(--panel);font-weight:600}
        tbody th{font-weight:500}
        .heat td{text-align:center;min-width:58px;border:1px solid var(--paper)}
        .heat td.value{background:color-mix(in oklab,var(--worst) calc(var(--heat)*100%),var(--best))}
        .plot{display:block;width:100%;height:auto}
        .plot text{font:12px system-ui,sans-serif;fill:var(--ink)}
        .grid{stroke:var(--rule);stroke-width:1}
        .curve{fill:none;stroke-width:2}
        .bar{fill:var(--bar)}
        .whisker{stroke:var(--ink);stroke-width:1.5}
        .s0{stroke:var(--s0)}.s1{stroke:var(--s1);stroke-dasharray:7 3}
        .s2{stroke:var(--s2);stroke-dasharray:2 3}.s3{stroke:var(--s3);stroke-dasharray:9 3 2 3}
        .s4{stroke:var(--s4)}.s5{stroke:var(--s5);stroke-dasharray:4 4}
        .dot{stroke-dasharray:none;fill:var(--paper);stroke-width:1.5}
        .legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px}
        .key{width:24px;height:8px;margin-right:6px}
        dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:.6rem 0}
        dt{color:var(--dim)}
        dd{margin:0;overflow-wrap:anywhere}
        @media print{body{max-width:none;padding:0;font-size:11px}section,figure{break-inside:avoid}\
        .heat td,.bar{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
        """
}
