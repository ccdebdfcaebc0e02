// Seeds.swift - random tests: the same numbers from a seed, and where seeds come from.

import Glibc

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): the same
/// numbers from a seed on every host.
public struct Seeded: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(_ seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// 0..<n; 0 where n is less than 2.
    public mutating func below(_ n: Int) -> Int { n <= 1 ? 0 : Int(next() % UInt64(n)) }
}

/// MUSTER_SEED; nil: it is not set. A trap where it is no number.
private var seedAskedFor: UInt64? {
    guard let text = getenv("MUSTER_SEED") else { return nil }
    guard let seed = UInt64(String(cString: text)), seed <= UInt64(Int.max) else {
        fatalError("MUSTER_SEED is no number")
    }
    return seed
}

/// MUSTER_SEED where it is set, to repeat a failure; else a fixed seed and one new each run.
public let seeds: [UInt64] = seedAskedFor.map { [$0] } ?? [20_260_101, .random(in: 0..<(1 << 48))]

/// MUSTER_SEED, or another number each time. Printed by who uses it.
public func chosenSeed() -> Int { seedAskedFor.map(Int.init) ?? .random(in: 0...999_999_999) }
