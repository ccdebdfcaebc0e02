// What views of rows cost: the example's kernels beside the same ones over pointers, in turn.

import Glibc
import Muster

/// Blur over pointers.
private struct BlurByPointers: Kernel {
    let image: SharedArray<Float>.Rows.Input
    let result: SharedArray<Float>.Rows.Output

    func process(_ chunk: borrowing Chunk) {
        let (last, width) = (image.count - 1, image.width)
        let image = image.rows(chunk, halo: 1)
        let top = image.indices.lowerBound
        let start = image[top].withUnsafeBufferPointer { $0.baseAddress! }
        result.write(chunk) { result in
            for y in result.indices {
                let row = start + (y - top) * width
                var span = result.row(y)
                let out = span.withUnsafeMutableBufferPointer { $0.baseAddress! }
                if y == 0 || y == last || width < 3 {
                    for x in 0..<width { out[x] = row[x] }
                    continue
                }
                let (above, below) = (row - width, row + width)
                out[0] = row[0]
                for x in 1..<width - 1 {
                    let sum =
                        above[x - 1] + above[x] + above[x + 1] + row[x - 1] + row[x] + row[x + 1]
                        + below[x - 1] + below[x] + below[x + 1]
                    out[x] = sum * (1 / 9)
                }
                out[width - 1] = row[width - 1]
            }
        }
    }
}

/// Jacobi over pointers.
private struct JacobiByPointers: Kernel {
    let from: SharedArray<Double>.Rows.Input
    let to: SharedArray<Double>.Rows.Output

    func process(_ chunk: borrowing Chunk) {
        let (last, width) = (from.count - 1, from.width)
        let from = from.rows(chunk, halo: 1)
        let top = from.indices.lowerBound
        let start = from[top].withUnsafeBufferPointer { $0.baseAddress! }
        to.write(chunk) { to in
            for y in to.indices {
                let row = start + (y - top) * width
                var span = to.row(y)
                let out = span.withUnsafeMutableBufferPointer { $0.baseAddress! }
                if y == 0 || y == last || width < 3 {
                    for x in 0..<width { out[x] = row[x] }
                    continue
                }
                let (above, below) = (row - width, row + width)
                out[0] = row[0]
                for x in 1..<width - 1 {
                    out[x] = 0.25 * (above[x] + below[x] + row[x - 1] + row[x + 1])
                }
                out[width - 1] = row[width - 1]
            }
        }
    }
}

private func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

/// Nanoseconds an element, the two ways in turn, the first round dropped.
private func compare(
    _ name: String, _ count: Int, rows: () throws -> Void, pointers: () throws -> Void
) throws {
    for round in 0...9 {
        for isByRows in [true, false] {
            let start = now()
            try isByRows ? rows() : pointers()
            let elapsed = now() - start
            if round > 0 {
                let way = isByRows ? "rows" : "pointers"
                print("{\"test\": \"\(name)/\(way)\", \"ns\": \(elapsed / Double(count))}")
            }
        }
    }
}

struct WrongResult: Error {}

func bench(height: Int, width: Int) throws {
    let team = try Team(size: sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let shape = [height, width]
    let count = height * width
    do {
        var image = try team.array(of: Float.self, shape: shape)
        for i in 0..<count { image[i] = Float(i % 17) }
        let one = try team.array(of: Float.self, shape: shape)
        let other = try team.array(of: Float.self, shape: shape)
        let rows = Blur(image: image.rows.input, result: one.rows.output)
        let pointers = BlurByPointers(image: image.rows.input, result: other.rows.output)
        try compare("blur", count) {
            try team.run(rows)
        } pointers: {
            try team.run(pointers)
        }
        guard one.toArray() == other.toArray(), one[count / 2] != 0 else { throw WrongResult() }
    }
    var plate = try team.array(of: Double.self, shape: shape)
    for i in 0..<count { plate[i] = Double(i % 17) }
    let one = try team.array(of: Double.self, shape: shape)
    let other = try team.array(of: Double.self, shape: shape)
    let rows = Jacobi(from: plate.rows.input, to: one.rows.output)
    let pointers = JacobiByPointers(from: plate.rows.input, to: other.rows.output)
    try compare("jacobi", count) {
        try team.run(rows)
    } pointers: {
        try team.run(pointers)
    }
    guard one.toArray() == other.toArray(), one[count / 2] != 0 else { throw WrongResult() }
}
