// Stencils over the rows of an array: a 3 x 3 blur of an image, and Jacobi's iteration on a plate.
//
//     example-swift-stencil [HEIGHT WIDTH]
//     example-swift-stencil bench HEIGHT WIDTH    a line of JSON for each way, see Tests/Peers/run
//
// An index of these loops is a row, so a chunk is whole rows, whatever the width. A kernel sees its rows and
// a halo of one row on each side by the numbers that they have in the array.

import Muster

/// result[y][x] = the mean of the 3 x 3 around; the border is copied.
struct Blur: Kernel {
    let image: SharedArray<Float>.Rows.Input
    let result: SharedArray<Float>.Rows.Output

    func process(_ chunk: borrowing Chunk) {
        let last = image.count - 1
        let image = image.rows(chunk, halo: 1)
        result.write(chunk) { result in
            for y in result.indices {
                let row = image[y]
                var out = result.row(y)
                if y == 0 || y == last || row.count < 3 {
                    for x in out.indices { out[x] = row[x] }
                    continue
                }
                let above = image[y - 1]
                let below = image[y + 1]
                out[0] = row[0]
                for x in 1..<out.count - 1 {
                    let sum =
                        above[x - 1] + above[x] + above[x + 1] + row[x - 1] + row[x] + row[x + 1]
                        + below[x - 1] + below[x] + below[x + 1]
                    out[x] = sum * (1 / 9)
                }
                out[out.count - 1] = row[row.count - 1]
            }
        }
    }
}

/// to[y][x] = the mean of the four neighbours of from[y][x]; the border keeps its temperature.
struct Jacobi: Kernel {
    let from: SharedArray<Double>.Rows.Input
    let to: SharedArray<Double>.Rows.Output

    func process(_ chunk: borrowing Chunk) {
        let last = from.count - 1
        let from = from.rows(chunk, halo: 1)
        to.write(chunk) { to in
            for y in to.indices {
                let row = from[y]
                var out = to.row(y)
                if y == 0 || y == last || row.count < 3 {
                    for x in out.indices { out[x] = row[x] }
                    continue
                }
                let above = from[y - 1]
                let below = from[y + 1]
                out[0] = row[0]
                for x in 1..<out.count - 1 {
                    out[x] = 0.25 * (above[x] + below[x] + row[x - 1] + row[x + 1])
                }
                out[out.count - 1] = row[row.count - 1]
            }
        }
    }
}

func run(height: Int, width: Int) throws {
    let team = try Team(size: 4)
    var image = try team.array(of: Float.self, shape: [height, width], placement: .blocked)
    for i in 0..<image.count { image[i] = Float(i % 17) }
    let result = try team.array(of: Float.self, shape: [height, width], placement: .blocked)
    let report = try team.run(Blur(image: image.rows.input, result: result.rows.output))
    print("blurred   \(report)")

    // A plate whose upper edge is hot; two arrays that change places.
    var plate = try team.array(of: Double.self, shape: [height, width], placement: .blocked)
    for x in 0..<width { plate[x] = 100 }
    var next = try team.array(of: Double.self, shape: [height, width], placement: .blocked)
    for _ in 0..<50 {
        try team.run(Jacobi(from: plate.rows.input, to: next.rows.output))
        swap(&plate, &next)
    }
    let row = min(10, height - 1)
    print("the plate has \(plate[row * width + width / 2]) in row \(row)")
}

do {
    let arguments = Array(CommandLine.arguments.dropFirst())
    let sizes = arguments.compactMap { Int($0) }
    if arguments.first == "bench", sizes.count == 2 {
        try bench(height: sizes[0], width: sizes[1])
    } else {
        try run(height: sizes.first ?? 1000, width: sizes.last ?? 1500)
    }
} catch {
    fatalError("\(error)")
}
