// A program that depends on Muster by URL: scales an array so that its elements sum up to one.

import Muster

/// Sets x[i] = i + 1.
struct CountUp: Kernel {
    let x: SharedArray<Double>.Output
    func process(_ chunk: borrowing Chunk) throws {
        x.write(chunk) { values in
            for i in values.indices { values[i] = Double(chunk.range.lowerBound + i + 1) }
        }
    }
}

/// Changes x in place: each element is divided once, also when a worker dies half-way.
struct Divide: Kernel {
    let divisor: Double
    let x: SharedArray<Double>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        x.update(chunk) { values in for i in values.indices { values[i] /= divisor } }
    }
}

Team.serveIfAsked()
let count = 1 << 20
let team = try Team(size: 3)
let x = try team.array(of: Double.self, count: count)
try team.run(CountUp(x: x.output))
let sum = try team.reduce(Bulk.Sum(x.input)).result
let report = try team.run(Divide(divisor: sum, x: x.inPlace), schedule: .staticSteal)
print("\(report); the sum was \(sum), the last element is \(x[count - 1])")
precondition(sum == Double(count) * Double(count + 1) / 2)
precondition(x[count - 1] == Double(count) / sum)
