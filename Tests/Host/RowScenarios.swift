// RowScenarios.swift - loops whose index is a row: whole rows are dealt, lent, kept and put back, and a
// loop that would leave some out, or cut one, is refused in words.

import Glibc
import Muster

/// Adds to each element its place; dies half-way through one chunk, once.
private struct AddPlaces: Kernel {
    enum Way: UInt8, BitwiseCopyable { case rows, whole, elements }
    let array: SharedArray<Int64>.Rows.InPlace
    let table: SharedArray<Int32>.Gather
    /// In memory that all processes see.
    let tries: UnsafeMutablePointer<Int32>
    let way: Way
    let deadly: Int

    func process(_ chunk: borrowing Chunk) throws {
        let width = array.width
        let middle = chunk.range.lowerBound * width + chunk.count * width / 2
        let isDeadly = chunk.index == deadly
        func dieOnce(_ place: Int) {
            guard isDeadly, place == middle else { return }
            tries.pointee += 1  // one process at a time works on this chunk
            if tries.pointee == 1 { kill(getpid(), SIGKILL) }
        }
        switch way {
        case .rows, .whole:
            func add(_ rows: inout MutableRowSpans<Int64>) {
                for y in rows.indices {
                    var row = rows.row(y)
                    for x in row.indices {
                        row[x] &+= Int64(y * width + x)
                        dieOnce(y * width + x)
                    }
                }
            }
            if way == .rows {
                array.update(chunk) { add(&$0) }
            } else {
                array.updateWhole(chunk) { add(&$0) }
            }
        case .elements:
            array.updateElements(chunk) { values, range in
                for i in values.indices {
                    values[i] &+= Int64(range.lowerBound + i)
                    dieOnce(range.lowerBound + i)
                }
            }
        }
    }
}

/// to[y][x] = the sum of the 3 x 3 around, whose borders repeat.
private struct Neighbours: Kernel {
    let from: SharedArray<Int64>.Rows.Input
    let to: SharedArray<Int64>.Rows.Output
    let halo: Int

    func process(_ chunk: borrowing Chunk) {
        let from = from.rows(chunk, halo: halo)
        let (top, bottom) = (0, self.from.count - 1)
        to.write(chunk) { to in
            for y in to.indices {
                let above = from[max(top, y - 1)]
                let row = from[y]
                let below = from[min(bottom, y + 1)]
                var out = to.row(y)
                for x in out.indices {
                    var sum: Int64 = 0
                    for at in [max(0, x - 1), x, min(out.count - 1, x + 1)] {
                        sum &+= above[at] &+ row[at] &+ below[at]
                    }
                    out[x] = sum
                }
            }
        }
    }
}

/// The sum of some rows.
private struct SumOfRows: Reduction {
    let array: SharedArray<Int64>.Rows.Input
    var identity: Int64 { 0 }

    func process(_ chunk: borrowing Chunk) -> Int64 {
        let values = array.span(chunk)
        var sum: Int64 = 0
        for i in values.indices { sum &+= values[i] }
        return sum
    }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { left &+ right }
}

private struct SumOfTable: Reduction {
    let table: SharedArray<Int64>.Gather
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) -> Int64 {
        let table = table.span(in: chunk)
        var sum: Int64 = 0
        for i in chunk.range { sum &+= table[i % table.count] }
        return sum
    }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { left &+ right }
}

/// A number that all processes forked later see.
private func sharedNumber() -> UnsafeMutablePointer<Int32> {
    let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
    return page.assumingMemoryBound(to: Int32.self)
}

/// Rows are done again whole, and only they.
func rowsRedone(_: [String]) throws {
    let tries = sharedNumber()
    let team = try Team(size: 3)
    let table = try team.array(of: Int32.self, count: 1)
    // Shorter and longer than a tile, and not a divisor of one; the last of them by one dimension more.
    for shape in [[40, 7], [30, 512], [23, 513], [11, 3000], [9, 20, 31]] {
        var array = try team.array(of: Int64.self, shape: shape)
        try claim(equal: array.rows.count, shape[0], "\(shape)")
        for schedule in Schedule.allCases {
            for way in [AddPlaces.Way.rows, .whole, .elements] {
                for grain in [1, 4] {
                    try array.fill(0)
                    tries.pointee = 0
                    let report = try team.run(
                        AddPlaces(
                            array: array.rows.inPlace, table: table.gather, tries: tries, way: way,
                            deadly: 5 / grain),
                        grain: grain, schedule: schedule)
                    try claim(equal: report.redone, 1, "\(shape), \(way), \(schedule): \(report)")
                    try claim(equal: report.elements, shape[0], "\(report)")
                    let wrong = array.toArray().enumerated().first { $0.offset != $0.element }
                    try claim(wrong == nil, "\(shape), \(way), \(schedule), \(grain): \(wrong!)")
                }
            }
        }
    }
}

/// A stencil over rows is what a serial loop over the image gives, for any halo that is wide enough.
func rowStencils(_: [String]) throws {
    let team = try Team(size: 2)
    for (height, width) in [(1, 1), (1, 9), (7, 1), (50, 33), (64, 700)] {
        var image = try team.array(of: Int64.self, shape: [height, width])
        for i in 0..<image.count { image[i] = Int64(truncatingIfNeeded: i &* 0x9E37_79B9) }
        let result = try team.array(of: Int64.self, shape: [height, width])
        var wanted: [Int64] = []
        for y in 0..<height {
            for x in 0..<width {
                var sum: Int64 = 0
                for v in [max(0, y - 1), y, min(height - 1, y + 1)] {
                    for u in [max(0, x - 1), x, min(width - 1, x + 1)] {
                        sum &+= image[v * width + u]
                    }
                }
                wanted.append(sum)
            }
        }
        for halo in [1, 2, 1000] {
            for grain in [1, 3, 64] {
                try team.run(
                    Neighbours(from: image.rows.input, to: result.rows.output, halo: halo),
                    grain: grain)
                try claim(result.toArray() == wanted, "\(height) x \(width), \(halo), \(grain)")
            }
        }
        let sum = try team.reduce(SumOfRows(array: image.rows.input)).result
        try claim(equal: sum, image.toArray().reduce(0, &+), "\(height) x \(width)")
    }
}

/// What fits no array is refused, also where a loop with other rows went well before.
func rowRefusals(_: [String]) throws {
    let team = try Team(size: 2)
    let array = try team.array(of: Int64.self, shape: [30, 12])
    let table = try team.array([Int32(9)])
    let tries = sharedNumber()
    func add(
        _ array: SharedArray<Int64>.Rows, count: Int? = nil
    ) throws(MusterError) -> AuditReport {
        try team.run(
            AddPlaces(
                array: array.inPlace, table: table.gather, tries: tries, way: .rows, deadly: -1),
            count: count)
    }
    func refuse(_ words: String, _ body: () throws -> AuditReport) throws {
        let error = try refusal(words, body)
        try claim(equal: error.code, .invalidArgument, "\(error)")
        try claim(error.description.contains(words), "not '\(words)': \(error)")
    }
    for _ in 0..<2 {
        _ = try add(array.rows)
        try refuse("array has 360 elements in rows of 7, which is no whole number of rows") {
            try add(array.rows(of: 7))
        }
        try refuse("a row has at least 1") { try add(array.rows(of: 0)) }
        try refuse("a row has at least 1") { try add(array.rows(of: -3)) }
        try refuse("changes an array of only 30 rows") { try add(array.rows, count: 31) }
        try refuse("array.prefix(348)") { try add(array.rows, count: 29) }
        try refuse("would leave some of them out") { try add(array.rows, count: 0) }
        try claim(equal: try add(array.rows.prefix(29), count: 29).elements, 29, "a prefix")
        try claim(equal: try add(array.rows.prefix(29)).elements, 29, "a prefix by itself")
        try claim(equal: try add(array.prefix(24).rows(of: 8)).elements, 3, "rows of a prefix")
        try claim(equal: try add(array.rows(of: 360)).chunks, 1, "one row")
        // A reduction that reads a part without a word is refused as well.
        try refuse("SumOfRows reads array") {
            try team.reduce(SumOfRows(array: array.rows.input), count: 29).report
        }
        try refuse("array.gather") {
            try team.reduce(SumOfRows(array: array.rows.input), count: 31).report
        }
        let free = try team.reduce(SumOfTable(table: array.gather), count: 1000)
        try claim(equal: free.report.elements, 1000, "a table")
        try refuse("so say which count") { try team.reduce(SumOfTable(table: array.gather)).report }
    }
    // Nothing in it: no rows, no loop.
    let empty = try team.array(of: Int64.self, shape: [0, 5])
    try claim(equal: try add(empty.rows).chunks, 0, "no rows")
}

/// Chunks of a default loop are 512 KiB at most, whole rows, and at least 64 where there are so many.
func rowGrains(_: [String]) throws {
    let team = try Team(size: 2)
    let array = try team.array(of: Int64.self, count: 1 << 21)
    let table = try team.array([Int32(9)])
    let tries = sharedNumber()
    for width in [1, 16, 1000, 1 << 13, 1 << 16, 1 << 17] {
        let report = try team.run(
            AddPlaces(
                array: array.prefix((1 << 21) / width * width).rows(of: width).inPlace,
                table: table.gather, tries: tries, way: .rows, deadly: -1))
        try claim(
            report.grain == 1 || report.grain * width * 8 <= 512 << 10,
            "\(width): chunks of \(report.grain) rows")
        try claim(
            report.chunks >= min(64, (1 << 21) / width), "\(width): \(report.chunks) chunks")
    }
    // Wide elements need no rows for it: 4 KiB each would make chunks of 256 MiB.
    let wide = try team.array(of: Wide.self, count: 1 << 10)
    let report = try team.run(FillWide(array: wide.output))
    try claim(equal: report.grain, 16, "elements of 4 KiB")
}

/// 1 KiB.
private struct Kilo: BitwiseCopyable {
    var words: (SIMD64<Int64>, SIMD64<Int64>) = (.zero, .zero)
}

private struct Wide: BitwiseCopyable {
    var parts = (Kilo(), Kilo(), Kilo(), Kilo())
}

private struct FillWide: Kernel {
    let array: SharedArray<Wide>.Output
    func process(_ chunk: borrowing Chunk) {
        array.write(chunk) { values in for i in values.indices { values[i] = Wide() } }
    }
}
