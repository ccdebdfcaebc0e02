// Percentiles.swift - percentiles of numbers in a file or an array, exact and without sorting them.
//
// Each pass counts elements by the leading bits of their keys (muster/select.h) and keeps the intervals of
// keys in which the wanted elements lie. One percentile takes five passes of 64-bit types, three of 32-bit
// types, two of 16-bit types; 32 percentiles share the bins and take up to eight, and small data have fewer
// bins: at worst 15 passes of four bits. Counts are integers: the
// result doesn't depend on team, schedule or machine.

internal import MusterCore

/// A percentile of the finite elements of an array.
public struct Percentile: Sendable, Hashable {
    /// Which one: 0 is the minimum, 50 the median, 100 the maximum.
    public let percent: Double
    /// Its value by NumPy's default definition (method `linear`): the element at place `percent / 100 *
    /// (count - 1)` of the sorted elements; between two places, linear interpolation in double precision.
    /// Between integers that doubles don't hold, the exact result rounded once.
    public let value: Double
    /// The exact value, of integers and bool, where it is whole and exactly known: an element, or the
    /// middle of two.
    public let integer: Int128?
    /// Whether it is an element, and not interpolated.
    public let isElement: Bool
}

extension Team {
    /// Most percentiles at a time.
    public static var maximumPercentileCount: Int { 32 }

    /// Percentiles of a file's numbers, with the audit of the loops that found them.
    ///
    /// - Parameters:
    ///   - percents: 1 to 32 numbers from 0 to 100, in any order.
    ///   - numbers: Of this team.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    /// - Returns: One percentile for each of `percents`, in the same order, none if there is no finite
    ///   element; the audit of all passes together; how often the data were read.
    /// - Throws: `.invalidArgument` for other percents; `.file` if the file changes meanwhile;
    ///   otherwise as ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func percentiles(
        _ percents: [Double], of numbers: borrowing NPYNumbers, schedule: Schedule = .static
    ) throws(MusterError) -> (result: [Percentile], report: AuditReport, passes: Int) {
        try percentiles(percents, numbers.input.dtype, numbers.count, numbers.path) {
            (pass) throws(MusterError) in
            try counts(of: numbers.input, pass, schedule)
        }
    }

    /// Percentiles of an array, as ``percentiles(_:of:schedule:)-swift.method`` finds a file's.
    ///
    /// - Throws: `.invalidArgument` for other percents; `.file` if elements change meanwhile;
    ///   otherwise as ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func percentiles<Element: NPYElement>(
        _ percents: [Double], of array: borrowing SharedArray<Element>, schedule: Schedule = .static
    ) throws(MusterError) -> (result: [Percentile], report: AuditReport, passes: Int) {
        try percentiles(percents, array.numbers.dtype, array.count, array.path ?? "array") {
            (pass) throws(MusterError) in
            try counts(of: array.numbers, pass, schedule)
        }
    }

    /// Percentiles of several files as one data set. `willRead`: called with each file's number, from 0,
    /// before it is read, in each pass.
    ///
    /// - Throws: `.invalidArgument` for other percents or if types differ; `.file` if a file is not what it
    ///   was; otherwise as ``numbers(npy:)`` and
    ///   ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func percentiles(
        _ percents: [Double], of files: NPYFiles, schedule: Schedule = .static,
        willRead: (Int) -> Void = { _ in }
    ) throws(MusterError) -> (result: [Percentile], report: AuditReport, passes: Int) {
        try files.requireOneType(for: "percentiles")
        return try percentiles(
            percents, files.headers[0].dtype.code, files.count / files.paths.count, files.paths[0]
        ) {
            (pass) throws(MusterError) in
            var all: ([Int], AuditReport)?
            try forEach(of: files) { (index, numbers) throws(MusterError) in
                willRead(index)
                let (counts, report) = try counts(of: numbers, pass, schedule)
                all =
                    all.map { (zip($0.0, counts).map(+), $0.1 + report) }
                    ?? (counts, report)
            }
            return all!
        }
    }

    /// Most channels that percentiles are found of at a time.
    public static var maximumPercentileChannelCount: Int { 64 }

    /// Percentiles of each channel of several files as one data set: of all elements that have one index
    /// along an axis, as `numpy.percentile(a, percents, axis=...)` has them. The data are read once more for
    /// each channel.
    ///
    /// - Parameters:
    ///   - percents: 1 to 32 numbers from 0 to 100, in any order.
    ///   - files: One data set together, of one type.
    ///   - axis: From 0, or negative, from the last: -1 is the last one.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    ///   - willRead: Called with each file's number, from 0, before it is read, in each pass.
    /// - Returns: For each index along the axis what ``percentiles(_:of:schedule:willRead:)`` finds of its
    ///   elements; the audit of all passes together; how often the data were read.
    /// - Throws: `.invalidArgument`: other percents, files of several types, no such axis, or more than
    ///   ``maximumPercentileChannelCount`` channels; `.file` if a file is not what it was; otherwise as
    ///   ``numbers(npy:)`` and ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func channelPercentiles(
        _ percents: [Double], of files: NPYFiles, axis: Int, schedule: Schedule = .static,
        willRead: (Int) -> Void = { _ in }
    ) throws(MusterError) -> (result: [[Percentile]], report: AuditReport, passes: Int) {
        try files.requireOneType(for: "percentiles")
        let layouts = try files.channelLayouts(axis: axis)
        let channels = layouts[0].channels
        try files.requireFewChannels(axis: axis)
        var found: [[Percentile]] = []
        var total: AuditReport?
        var passes = 0
        for channel in 0..<channels {
            let one = try percentiles(
                percents, files.headers[0].dtype.code, files.count / files.paths.count / channels,
                files.paths[0]
            ) {
                (pass) throws(MusterError) in
                var all: ([Int], AuditReport)?
                try forEach(of: files) { (index, numbers) throws(MusterError) in
                    willRead(index)
                    let (counts, report) = try counts(
                        of: numbers, pass, schedule, channel: channel, of: layouts[index])
                    all =
                        all.map { (zip($0.0, counts).map(+), $0.1 + report) }
                        ?? (counts, report)
                }
                return all!
            }
            found.append(one.result)
            total = total.map { $0 + one.report } ?? one.report
            passes += one.passes
        }
        guard let total else { throw invalid(files.paths[0], "axis \(axis) has no channels") }
        return (found, total, passes)
    }

    /// `count`: the counts of a pass over all numbers, in loops of so many elements.
    private func percentiles(
        _ percents: [Double], _ dtype: UInt32, _ loopElements: Int, _ subject: String,
        _ count: (KeySearch.Pass) throws(MusterError) -> ([Int], AuditReport)
    ) throws(MusterError) -> (result: [Percentile], report: AuditReport, passes: Int) {
        guard (1...Team.maximumPercentileCount).contains(percents.count),
            percents.allSatisfy({ 0 <= $0 && $0 <= 100 })
        else {
            throw MusterError(
                .invalidArgument, subject: "\(percents.count) percentiles",
                reason: "needs 1 to \(Team.maximumPercentileCount) numbers from 0 to 100")
        }
        let keys = KeyCoding(dtype)
        var search = KeySearch(keyBits: keys.bits, elements: loopElements)
        var total: AuditReport?
        var passes = 0
        var elements = 0
        while let pass = search.nextPass() {
            let (counts, report) = try count(pass)
            passes += 1
            total = total.map { $0 + report } ?? report
            if search.isFirst {
                elements = counts.reduce(0, +)
                guard elements > 0 else { return ([], report, passes) }
                search.want(percents.flatMap { Place(percent: $0, count: elements).ranks })
            }
            guard search.narrow(pass, counts) else {
                throw NPYFiles.changed(subject)
            }
        }
        let found = percents.map { percent in
            let place = Place(percent: percent, count: elements)
            let (low, high) = (search.key(of: place.lower), search.key(of: place.upper))
            if let low = keys.integer(of: low), let high = keys.integer(of: high) {
                return Percentile(percent: percent, place: place, low, high)
            }
            return Percentile(
                percent: percent,
                value: place.interpolate(keys.value(of: low), keys.value(of: high)), integer: nil,
                isElement: place.part == 0 || low == high)
        }
        return (found, total!, passes)
    }

    private func counts(
        of numbers: NumberInput, _ pass: KeySearch.Pass, _ schedule: Schedule,
        channel: Int = 0, of layout: ChannelLayout? = nil
    ) throws(MusterError) -> ([Int], AuditReport) {
        let bounds = try array(pass.intervals.flatMap { [$0.first, $0.last] })
        let cells = pass.intervals.count * pass.bins
        var counts = [Int](repeating: 0, count: cells)
        let report = try core.run(
            KeyCounting(
                numbers: numbers, bounds: bounds.gather, intervals: pass.intervals.count,
                bins: pass.bins, shift: UInt32(pass.shift), channel: UInt64(channel),
                channels: UInt64(layout?.channels ?? 1), inner: UInt64(layout?.inner ?? 1)),
            LoopPlan(count: numbers.count, schedule: schedule),
            partialBytes: cells * MemoryLayout<UInt64>.stride
        ) { partials, chunks in
            let all = partials.assumingMemoryBound(to: UInt64.self)
            for chunk in 0..<chunks {
                for cell in 0..<cells { counts[cell] += Int(all[chunk * cells + cell]) }
            }
        }
        return (counts, report)
    }
}

/// Where a percentile lies among sorted elements.
private struct Place {
    let lower: Int
    let upper: Int
    /// How far from the lower element to the upper one, 0 ..< 1.
    let part: Double

    var ranks: [Int] { [lower, upper] }

    init(percent: Double, count: Int) {
        let position = percent / 100 * Double(count - 1)
        let whole = position.rounded(.down)
        lower = min(Int(whole), count - 1)
        part = lower == count - 1 ? 0 : position - whole
        upper = part == 0 ? lower : lower + 1
    }

    /// As NumPy: from the nearer end, so that the result never leaves the interval.
    func interpolate(_ low: Double, _ high: Double) -> Double {
        if part == 0 || low == high { return low }
        let distance = high - low
        // Ends of both signs whose distance overflows.
        guard distance.isFinite else { return low * (1 - part) + high * part }
        return part < 0.5 ? low + distance * part : high - distance * (1 - part)
    }
}

extension Percentile {
    /// Between two integers.
    fileprivate init(percent: Double, place: Place, _ low: Int128, _ high: Int128) {
        let isElement = place.part == 0 || low == high
        // place.part is numerator / 2^shift, exactly. Where the shift is larger, a part of an element is
        // so small that doubles do as well.
        let shift =
            isElement ? 0 : place.part.significandWidth - Int(place.part.exponent)
        guard shift <= 62 else {
            self.init(
                percent: percent, value: place.interpolate(Double(low), Double(high)), integer: nil,
                isElement: false)
            return
        }
        func power(_ exponent: Int) -> Double {
            Double(sign: .plus, exponent: exponent, significand: 1)
        }
        // Below 2^64 * 2^62, and 2^64 * 2^53.
        let numerator = isElement ? 0 : Int128(place.part * power(shift))
        let exact = low << shift + (high - low) * numerator
        if exact & (1 << shift - 1) == 0 {
            let integer = exact >> shift
            self.init(
                percent: percent, value: Double(integer), integer: integer, isElement: isElement)
            return
        }
        // Where doubles hold both, as NumPy computes it.
        let isHeld = max(low.magnitude, high.magnitude) <= 1 << 53
        self.init(
            percent: percent,
            value: isHeld
                ? place.interpolate(Double(low), Double(high)) : Double(exact) * power(-shift),
            integer: nil, isElement: false)
    }
}

/// Between numbers and keys.
private struct KeyCoding {
    let dtype: muster_type
    let bits: Int

    init(_ dtype: UInt32) {
        self.dtype = muster_type(dtype)
        bits = Int(muster_type_bytes(self.dtype.rawValue)) * 8
    }

    func integer(of key: UInt64) -> Int128? {
        switch dtype {
        case MUSTER_TYPE_F16, MUSTER_TYPE_F32, MUSTER_TYPE_F64: nil
        case MUSTER_TYPE_I8, MUSTER_TYPE_I16, MUSTER_TYPE_I32, MUSTER_TYPE_I64:
            Int128(key) - Int128(1) << (bits - 1)
        default: Int128(key)
        }
    }

    func value(of key: UInt64) -> Double {
        if let integer = integer(of: key) { return Double(integer) }
        let sign = UInt64(1) << (bits - 1)
        let pattern = key & sign != 0 ? key ^ sign : ~key
        return switch dtype {
        case MUSTER_TYPE_F16: Double(Float16(bitPattern: UInt16(truncatingIfNeeded: pattern)))
        case MUSTER_TYPE_F32: Double(Float(bitPattern: UInt32(truncatingIfNeeded: pattern)))
        default: Double(bitPattern: pattern)
        }
    }
}

/// Narrows intervals of keys until each wanted rank has one key.
private struct KeySearch {
    struct Interval: Hashable {
        let first: UInt64
        let last: UInt64
    }
    struct Pass {
        let intervals: [Interval]
        let bins: Int
        let shift: Int
    }
    private struct Wanted {
        var interval: Interval
        /// Its rank among the elements of the interval.
        var rank: Int
    }

    /// Bins of all intervals together: as counts they take 128 KiB a chunk at most, and no more than a few
    /// times what the elements take, since each chunk's are cleared and added up.
    private let mostCells: Int

    private var wanted: [Int: Wanted] = [:]
    private let all: Interval
    /// Leading bits are known; so many are not yet.
    private var openBits: Int
    private(set) var isFirst = true

    /// `elements`: of a loop.
    init(keyBits: Int, elements: Int) {
        mostCells = elements >= 1 << 14 ? 1 << 14 : elements >= 1 << 12 ? 1 << 12 : 1 << 10
        openBits = keyBits
        all = Interval(first: 0, last: keyBits == 64 ? .max : (1 << UInt64(keyBits)) - 1)
    }

    mutating func want(_ ranks: [Int]) {
        for rank in ranks { wanted[rank] = Wanted(interval: all, rank: rank) }
    }

    /// The next pass; nil: every key is known.
    func nextPass() -> Pass? {
        guard openBits > 0 else { return nil }
        let intervals =
            isFirst ? [all] : Set(wanted.values.map(\.interval)).sorted { $0.first < $1.first }
        var bits = 0
        while bits < openBits, intervals.count << (bits + 1) <= mostCells { bits += 1 }
        return Pass(intervals: intervals, bins: 1 << bits, shift: openBits - bits)
    }

    /// Returns whether the counts hold what the pass before has seen.
    mutating func narrow(_ pass: Pass, _ counts: [Int]) -> Bool {
        for (rank, want) in wanted {
            let row = pass.intervals.firstIndex(of: want.interval)!
            var left = want.rank
            var bin = 0
            while bin < pass.bins, left >= counts[row * pass.bins + bin] {
                left -= counts[row * pass.bins + bin]
                bin += 1
            }
            guard bin < pass.bins else { return false }
            let first = want.interval.first + UInt64(bin) << UInt64(pass.shift)
            let last = first + (UInt64(1) << UInt64(pass.shift) - 1)
            wanted[rank] = Wanted(interval: Interval(first: first, last: last), rank: left)
        }
        openBits = pass.shift
        isFirst = false
        return true
    }

    func key(of rank: Int) -> UInt64 { wanted[rank]!.interval.first }
}

/// Leaves counts by interval and bin for each chunk.
struct KeyCounting: _Work {
    let numbers: NumberInput
    /// First and last key of each interval.
    let bounds: SharedArray<UInt64>.Gather
    let intervals: Int
    let bins: Int
    let shift: UInt32
    /// Of so many; of one channel, all elements are its.
    let channel: UInt64
    let channels: UInt64
    let inner: UInt64

    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws {
        var raw = muster_chunk()
        let partials = UnsafeMutableRawPointer(loop.pointee.cursor.partials!)
        var hot = HotLoop(loop)
        while hot.next(&raw) {
            let chunk = Chunk(_loop: loop, raw: raw)
            let counts = (partials + Int(raw.index) * Int(loop.pointee.cursor.partial_bytes))
                .assumingMemoryBound(to: UInt64.self)
            counts.update(repeating: 0, count: intervals * bins)
            let boundSpan = bounds.span(in: chunk)
            numbers.withElements(of: chunk) { start, count in
                boundSpan.withUnsafeBytes { bounds in
                    let keys = bounds.baseAddress!
                        .assumingMemoryBound(to: muster_key_interval.self)
                    let type = muster_type(numbers.dtype)
                    if channels == 1 {
                        muster_count_keys(
                            type, start, count, keys, intervals, shift, bins, counts)
                    } else {
                        muster_count_channel_keys(
                            type, start, count, UInt64(chunk.range.lowerBound), channels, inner,
                            channel, keys, intervals, shift, bins, counts)
                    }
                }
            }
            hot.commit(raw.index)
        }
    }
}
