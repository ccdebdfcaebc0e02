// A leader in Swift: how fast each point of a plane escapes the Mandelbrot set, and how many never do.
//
//     example-swift-leader
//
// Rows near the set take a thousand times as long as others, so chunks are stolen by who has none
// left. A worker that is killed is replaced, and its chunks are done again by another one; the report
// proves that each was done exactly once.

import Muster

let side = 800
let turnsMost = 1000

/// Sets turns[i] to the turns that point i takes to escape, `turnsMost` if it does not.
struct Escape: Kernel {
    let turns: SharedArray<Int32>.Output

    func process(_ chunk: borrowing Chunk) throws {
        turns.write(chunk) { values in
            for i in values.indices { values[i] = escape(chunk.range.lowerBound + i) }
        }
    }

    private func escape(_ point: Int) -> Int32 {
        let (row, column) = point.quotientAndRemainder(dividingBy: side)
        let real = Double(column) / Double(side) * 3 - 2.25
        let imaginary = Double(row) / Double(side) * 3 - 1.5
        var (x, y) = (0.0, 0.0)
        for turn in 0..<turnsMost {
            (x, y) = (x * x - y * y + real, 2 * x * y + imaginary)
            if x * x + y * y > 4 { return Int32(turn) }
        }
        return Int32(turnsMost)
    }
}

Team.serveIfAsked()
do {
    let team = try Team(size: 4)
    let turns = try team.array(of: Int32.self, count: side * side)
    let report = try team.run(Escape(turns: turns.output), grain: side, schedule: .staticSteal)
    var inside = 0
    for i in 0..<turns.count where turns[i] == turnsMost { inside += 1 }
    print("\(report); \(inside) of \(turns.count) points never escape")
} catch {
    fatalError("\(error)")
}
