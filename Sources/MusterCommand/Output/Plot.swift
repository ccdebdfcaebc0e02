// Plot.swift - curves and bars as SVG, for the page of a report.
//
// Colours are the page's variables, so that one drawing serves light and dark. A drawing is 460 units
// wide and text is 12 of them, so that it can be read where the page is as narrow as a telephone.

@preconcurrency import Glibc

/// An axis: how values become places.
struct Axis {
    let range: ClosedRange<Double>
    let isLogarithmic: Bool
    let ticks: [(value: Double, label: String)]

    /// 0...1
    func place(_ value: Double) -> Double {
        let (low, high) = (range.lowerBound, range.upperBound)
        guard high > low else { return 0.5 }
        // No place of a logarithmic axis: where it begins.
        if isLogarithmic && value <= 0 { return 0 }
        if isLogarithmic { return (log(value) - log(low)) / (log(high) - log(low)) }
        return (value - low) / (high - low)
    }

    /// From 0, with some 4 ticks of 1, 2 or 5 times a power of ten.
    static func linear(upTo most: Double) -> Axis {
        let most = most > 0 ? most : 1
        let raw = most / 4
        let power = pow(10, floor(log10(raw)))
        let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= raw } ?? raw
        let count = Int((most / step).rounded(.up))
        let ticks = (0...count).map { (Double($0) * step, Figures.short(Double($0) * step)) }
        return Axis(range: 0...Double(count) * step, isLogarithmic: false, ticks: ticks)
    }

    /// Decades with ticks at 1, 2 and 5.
    static func decades(_ values: [Double]) -> Axis {
        let positive = values.filter { $0 > 0 }
        let (low, high) = (positive.min() ?? 1, positive.max() ?? 10)
        var ticks: [(Double, String)] = []
        var power = pow(10, floor(log10(low)))
        while power <= high * 10 {
            for step in [1.0, 2, 5] { ticks.append((step * power, Figures.short(step * power))) }
            power *= 10
        }
        let first = ticks.last { $0.0 <= low }?.0 ?? low
        let last = ticks.first { $0.0 >= high }?.0 ?? high
        ticks = ticks.filter { $0.0 >= first && $0.0 <= last }
        // Many decades: their starts are enough.
        if ticks.count > 8 { ticks = ticks.filter { isPowerOfTen($0.0) } }
        return Axis(range: first...max(last, first * 2), isLogarithmic: true, ticks: ticks)
    }

    private static func isPowerOfTen(_ value: Double) -> Bool {
        let exponent = log10(value)
        return abs(exponent - exponent.rounded()) < 1e-9
    }

    /// Powers of two, every third or so labelled as a capacity.
    static func capacities(_ values: [Double]) -> Axis {
        let (low, high) = (max(1, values.min() ?? 1), max(2, values.max() ?? 2))
        let powers = Int(log2(low).rounded(.down))...Int(log2(high).rounded(.up))
        let step = max(1, (powers.count + 5) / 6)
        let ticks = stride(from: powers.lowerBound, through: powers.upperBound, by: step).map {
            (exp2(Double($0)), Figures.capacity(UInt64(exp2(Double($0)))))
        }
        return Axis(range: low...max(high, low * 2), isLogarithmic: true, ticks: ticks)
    }

    /// Whole numbers from 1.
    static func counts(_ values: [Double]) -> Axis {
        let high = Int(values.max() ?? 1)
        let step = max(1, (high + 7) / 8)
        var ticks = Array(stride(from: step, through: high, by: step))
        if ticks.first != 1 && step > 1 { ticks.insert(1, at: 0) }
        return Axis(
            range: (high == 1 ? 0 : 1)...Double(max(high, 1)), isLogarithmic: false,
            ticks: ticks.map { (Double($0), "\($0)") })
    }
}

/// A curve: points in the order in which they are joined, each with what is said of it.
struct Curve {
    let name: String
    let points: [(x: Double, y: Double, title: String)]
}

enum Plot {
    private static let width = 460.0

    /// Curves over two axes, with a legend below.
    static func curves(
        _ curves: [Curve], x: Axis, y: Axis, xTitle: String, yTitle: String, label: String
    ) -> String {
        let curves = curves.filter { !$0.points.isEmpty }
        let (left, right, top, bottom) = (52.0, 28.0, 26.0, 54.0)
        let height = 280.0
        let inner = (width: width - left - right, height: height - top - bottom)
        func px(_ value: Double) -> String { number(left + inner.width * x.place(value)) }
        func py(_ value: Double) -> String { number(top + inner.height * (1 - y.place(value))) }
        var body = ""
        for tick in y.ticks where y.range.contains(tick.value) {
            let at = py(tick.value)
            body += "<line class=\"grid\" x1=\"\(number(left))\" x2=\"\(number(width - right))\" "
            body += "y1=\"\(at)\" y2=\"\(at)\"/>"
            body += text(number(left - 6), at, tick.label, anchor: "end", shift: "0.32em")
        }
        for tick in x.ticks where x.range.contains(tick.value) {
            let at = px(tick.value)
            body += "<line class=\"grid\" y1=\"\(number(top))\" y2=\"\(number(height - bottom))\" "
            body += "x1=\"\(at)\" x2=\"\(at)\"/>"
            body += text(at, number(height - bottom + 22), tick.label, anchor: "middle")
        }
        body += text(number(width - right), number(height - 8), xTitle, anchor: "end")
        body += text("4", "14", yTitle, anchor: "start")
        for (index, curve) in curves.enumerated() {
            let series = "s\(index % 6)"
            let path = curve.points.map { "\(px($0.x)),\(py($0.y))" }.joined(separator: " ")
            body += "<polyline class=\"curve \(series)\" points=\"\(path)\"/>"
            for point in curve.points {
                body +=
                    "<circle class=\"dot \(series)\" cx=\"\(px(point.x))\" cy=\"\(py(point.y))\" "
                body +=
                    "r=\"3\"><title>\(escaped(curve.name)): \(escaped(point.title))</title></circle>"
            }
        }
        let legend = curves.enumerated().map {
            "<span><svg class=\"key\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><line class=\"curve "
                + "s\($0 % 6)\" x1=\"0\" x2=\"24\" y1=\"4\" y2=\"4\"/></svg>\(escaped($1.name))</span>"
        }.joined()
        return svg(body, height: height, label: label)
            + (curves.count > 1 ? "<p class=\"legend\">\(legend)</p>" : "")
    }

    /// Horizontal bars of the medians, with the range of the samples as a line through each end.
    static func bars(
        _ bars: [(name: String, figures: BenchReport.Summary)], unit: String, label: String
    ) -> String {
        let most = bars.map(\.figures.maximum).max() ?? 1
        let axis = Axis.linear(upTo: most)
        // A letter's width is a guess, and of few letters a bad one.
        let names = min(170, max(44, 8 + 6.6 * Double(bars.map(\.name.count).max() ?? 1)))
        let (left, right, row) = (names, 66.0, 26.0)
        let height = row * Double(bars.count) + 30
        let inner = width - left - right
        var body = ""
        for tick in axis.ticks {
            let at = number(left + inner * axis.place(tick.value))
            body += "<line class=\"grid\" x1=\"\(at)\" x2=\"\(at)\" y1=\"4\" "
            body += "y2=\"\(number(height - 26))\"/>"
            body += text(at, number(height - 10), tick.label, anchor: "middle")
        }
        body += text(number(width - 2), number(height - 10), unit, anchor: "end")
        for (index, bar) in bars.enumerated() {
            let y = 6 + row * Double(index)
            let end = left + inner * axis.place(bar.figures.median)
            let (low, high) = (
                left + inner * axis.place(bar.figures.minimum),
                left + inner * axis.place(bar.figures.maximum)
            )
            let middle = number(y + 8)
            body += text(number(left - 6), middle, bar.name, anchor: "end", shift: "0.32em")
            body += "<rect class=\"bar\" x=\"\(number(left))\" y=\"\(number(y))\" height=\"16\" "
            body += "width=\"\(number(max(0.5, end - left)))\"><title>\(escaped(bar.name)): "
            body += "\(Output.fixed(bar.figures.median)) \(unit)</title></rect>"
            body += "<line class=\"whisker\" x1=\"\(number(low))\" x2=\"\(number(high))\" "
            body += "y1=\"\(middle)\" y2=\"\(middle)\"/>"
            body += text(
                number(max(end, high) + 5), middle, Output.fixed(bar.figures.median),
                anchor: "start", shift: "0.32em")
        }
        return svg(body, height: height, label: label)
    }

    private static func svg(_ body: String, height: Double, label: String) -> String {
        "<svg class=\"plot\" viewBox=\"0 0 \(number(width)) \(number(height))\" role=\"img\" "
            + "aria-label=\"\(escaped(label))\">\(body)</svg>"
    }

    private static func text(
        _ x: String, _ y: String, _ text: String, anchor: String, shift: String? = nil
    ) -> String {
        "<text x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\""
            + (shift.map { " dy=\"\($0)\"" } ?? "") + ">\(escaped(text))</text>"
    }

    /// A tenth of a unit is less than can be seen.
    private static func number(_ value: Double) -> String {
        Figures.short((value * 10).rounded() / 10, digits: 5)
    }

    /// Text that is no markup.
    static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;")
    }
}
