// A member in Swift: a sieve of Eratosthenes by segments, each done exactly once.
//
//     muster run -n 8 -- example-swift-member
//
// All ranks share one array, of a byte for each number. A rank sieves the segments it claims; the
// audit proves that none was left out or done twice, also when ranks are killed: the others take
// over what they have left.

import Muster

/// Numbers that the array has bytes for: 0 ..< limit.
let limit = 1_000_000

/// Primes up to the root of the limit: every rank finds them for itself.
func smallPrimes() -> [Int] {
    let root = Int(Double(limit).squareRoot()) + 1
    return (2...root).filter { number in !(2..<number).contains { number % $0 == 0 } }
}

func sieve(_ me: borrowing Member) throws(MusterError) -> (count: Int, report: AuditReport) {
    let isPrime = try me.array("is prime", of: UInt8.self, count: limit)
    let primes = smallPrimes()
    let loop = try me.loop(
        over: limit, schedule: .dynamic, grain: 1 << 14, adopting: true, partial: Int.self,
        name: "sieve")
    while let claim = try loop.next() {
        let numbers = claim.range
        var count = 0
        isPrime.write(claim) { bytes in
            for i in bytes.indices { bytes[i] = numbers.lowerBound + i < 2 ? 0 : 1 }
            for prime in primes {
                // From its square on: smaller multiples have smaller factors.
                let first = max(prime, (numbers.lowerBound + prime - 1) / prime) * prime
                for multiple in stride(from: first, to: numbers.upperBound, by: prime) {
                    bytes[multiple - numbers.lowerBound] = 0
                }
            }
            for i in bytes.indices { count += Int(bytes[i]) }
        }
        claim.leave(partial: count)
        claim.commit()  // consumed: it can't be committed twice, nor written to any more
    }
    let report = try loop.end()
    return (try loop.reduce(Int.self, .sum), report)
}

do {
    let me = try Member.join()
    while true {
        do {
            let (count, report) = try sieve(me)
            print(
                "rank \(me.rank) of \(me.size): \(report.own) of \(report.chunks) segments, "
                    + "\(count) primes below \(limit)")
            break
        } catch let error where error.code == .rankDied {
            try me.recover()
        }
    }
} catch {
    fatalError("\(error)")
}
