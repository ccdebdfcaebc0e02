// StatisticsScenarios.swift - statistics of arrays and of several files, through the library.

@preconcurrency import Glibc
import Muster

/// Channels, percentiles and sums of data sets against plain loops.
func statistics(_: [String]) throws {
    for size in [1, 3] {
        let team = try Team(size: size)
        try channels(team)
        try percentilesOfArray(team)
        try dataSets(team)
    }
}

private func channels(_ team: borrowing Team) throws {
    // More elements than a chunk, in each direction.
    let shape = [50, 7, 211]
    let count = shape.reduce(1, *)
    var array = try team.array(of: Int32.self, shape: shape)
    for index in 0..<count { array[index] = Int32(truncatingIfNeeded: index &* 2_654_435_761) >> 3 }
    let elements = array.toArray()
    for axis in [0, 1, 2, -1, -3] {
        let place = axis < 0 ? axis + 3 : axis
        let inner = shape[(place + 1)...].reduce(1, *)
        let (found, report) = try team.channelStatistics(of: array, axis: axis)
        try claim(report.isClean && report.elements == count, "every element once")
        try claim(equal: found.count, shape[place], "channels")
        var byChannel = [[Int128]](repeating: [], count: shape[place])
        for (index, element) in elements.enumerated() {
            byChannel[index / inner % shape[place]].append(Int128(element))
        }
        for (one, own) in zip(found, byChannel) {
            try claim(equal: one.count, own.count, "axis \(axis): count")
            try claim(equal: one.integers!.sum, own.reduce(0, +), "axis \(axis): sum")
            try claim(equal: one.integers!.minimum, own.min(), "axis \(axis): minimum")
            try claim(equal: one.integers!.maximum, own.max(), "axis \(axis): maximum")
        }
        let together = found.dropFirst().reduce(found[0], +)
        let (whole, _) = try team.statistics(of: array)
        try claim(equal: together.integers, whole.integers, "all channels")
        try claim(equal: together.mean, whole.mean, "mean of all channels")
    }
    for axis in [3, -4] {
        let error = try refusal("axis \(axis)") {
            try team.channelStatistics(of: array, axis: axis)
        }
        try claim(error.description.contains("3 dimensions"), "\(error)")
    }
    let long = try team.array(of: Int8.self, count: Team.maximumChannelCount + 1)
    let error = try refusal("too many channels") { try team.channelStatistics(of: long, axis: 0) }
    try claim(error.description.contains("4097 channels"), "\(error)")
}

private func percentilesOfArray(_ team: borrowing Team) throws {
    let array = try team.array((0..<100_001).map { Float(($0 * 7919) % 100_001) - 0.25 })
    let (found, report, passes) = try team.percentiles([100, 0, 50, 0.0005], of: array)
    try claim(report.isClean && passes > 1, "passes")
    try claim(equal: found.map(\.value), [99_999.75, -0.25, 49_999.75, 0.25], "percentiles")
    try claim(equal: found.map(\.isElement), [true, true, true, false], "elements")
    for percents in [[], [101], [-1], [.nan], Array(repeating: 1.0, count: 33)] as [[Double]] {
        _ = try refusal("percents \(percents)") { try team.percentiles(percents, of: array) }
    }
}

private func dataSets(_ team: borrowing Team) throws {
    // Of both types of 8-byte integers, whose extremes no double holds, and of another type.
    let signed: [Int64] = [.min + 1, 9_007_199_254_740_993]
    let unsigned: [UInt64] = [.max, 9_007_199_254_740_993]
    try team.array(signed).save(npy: path("signed.npy"))
    try team.array(unsigned).save(npy: path("unsigned.npy"))
    try team.array([0.5, .nan]).save(npy: path("real.npy"))
    let integers = try NPYFiles(paths: [path("signed.npy"), path("unsigned.npy")])
    try claim(integers.dtype == nil && integers.count == 4, "types differ")
    let (each, _) = try team.statistics(of: integers)
    for both in [each[0] + each[1], each[1] + each[0]] {
        try claim(equal: both.integers!.minimum, Int128(Int64.min) + 1, "minimum")
        try claim(equal: both.integers!.maximum, Int128(UInt64.max), "maximum")
        try claim(
            equal: both.integers!.sum,
            Int128(Int64.min) + 1 + Int128(UInt64.max) + 2 * 9_007_199_254_740_993, "sum")
    }
    let mixed = try NPYFiles(paths: [path("real.npy"), path("signed.npy")])
    let (parts, _) = try team.statistics(of: mixed)
    let all = parts[0] + parts[1]
    try claim(all.integers == nil && all.count == 4 && all.nanCount == 1, "reals and integers")
    // Half of one more changes nothing at this size.
    try claim(
        equal: all.sum, Double(Int128(Int64.min) + 1 + 9_007_199_254_740_993), "sum of both")
    let (histogram, report) = try team.histogram(of: mixed, edges: [-1e19, 0, 1, 1e19])
    try claim(equal: histogram.counts, [1, 1, 1], "counts of both")
    try claim(report.isClean, "both audits")
    let error = try refusal("percentiles of two types") { try team.percentiles([50], of: mixed) }
    try claim(error.description.contains("signed.npy: holds int64"), "\(error)")
    // A file that becomes another one between two passes.
    try team.array([1.5, 2]).save(npy: path("real.npy"))
    _ = try team.statistics(of: mixed)
    try team.array([1.5, 2, 3]).save(npy: path("real.npy"))
    let changed = try refusal("a file that changed") { try team.statistics(of: mixed) }
    try claim(changed.description.contains("real.npy: changed while it was read"), "\(changed)")
    for name in ["real", "signed", "unsigned"] { unlink(path("\(name).npy")) }
    let none = try refusal("no file") { _ = try NPYFiles(paths: ["none.npy"]) }
    try claim(none.description.hasPrefix("none.npy: "), "\(none)")
}
