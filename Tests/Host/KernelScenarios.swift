// KernelScenarios.swift - any kernel type reaches the ranks; errors, cancelling and refusals come back.

import Glibc
import Muster

struct Generic<Element: BitwiseCopyable & FixedWidthInteger>: Kernel {
    let array: SharedArray<Element>.InPlace
    let by: Element

    func process(_ chunk: borrowing Chunk) throws {
        array.update(chunk) { values in
            for i in values.indices { values[i] &+= by }
        }
    }
}

private struct Hidden: Kernel {
    let array: SharedArray<Int64>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        array.update(chunk) { values in
            for i in values.indices { values[i] &+= 1 }
        }
    }
}

private struct HiddenGeneric<First: BitwiseCopyable, Second>: Kernel {
    let array: SharedArray<Int64>.InPlace
    let ballast: First
    func process(_ chunk: borrowing Chunk) throws {
        array.update(chunk) { values in
            for i in values.indices { values[i] &+= Int64(MemoryLayout<First>.size) }
        }
    }
}

enum Outer {
    struct Inner<Element: BitwiseCopyable> {
        struct Innermost: Kernel {
            let array: SharedArray<Int64>.InPlace
            let ballast: Element
            func process(_ chunk: borrowing Chunk) throws {
                array.update(chunk) { values in
                    for i in values.indices { values[i] &+= 2 }
                }
            }
        }
    }
}

/// Accesses within a structure of the kernel's.
struct Pair<Element: BitwiseCopyable>: BitwiseCopyable {
    let from: SharedArray<Element>.Input
    let to: SharedArray<Element>.Output
}

struct Nested: Kernel {
    let flag: Bool
    let pair: Pair<Int64>
    func process(_ chunk: borrowing Chunk) throws {
        let from = pair.from.span(chunk)
        let flag = flag
        pair.to.write(chunk) { to in
            for i in to.indices { to[i] = flag ? from[i] : -1 }
        }
    }
}

/// Kernels of every kind in one team, each the first time after others have run.
func kernels(_ arguments: [String]) throws {
    let leader: Team.Leader = arguments.first == "works" ? .works : .waits
    struct Local: Kernel {
        let array: SharedArray<Int64>.InPlace
        func process(_ chunk: borrowing Chunk) throws {
            array.update(chunk) { values in
                for i in values.indices { values[i] &+= 3 }
            }
        }
    }
    try leavingNothing("kernels") {
        let team = try Team(size: 3, leader: leader)
        let count = 5000
        var array = try team.array(of: Int64.self, count: count)
        var expected: Int64 = 0
        func check(_ what: String) throws {
            try claim(array.toArray().allSatisfy { $0 == expected }, "\(what): \(array[0])")
        }
        for _ in 0..<2 {
            try team.run(Generic<Int64>(array: array.inPlace, by: 5), grain: 100)
            expected += 5
            try check("generic")
            try team.run(Hidden(array: array.inPlace), grain: 100)
            expected += 1
            try check("private")
            try team.run(
                HiddenGeneric<Int32, String>(array: array.inPlace, ballast: 0), grain: 100)
            expected += 4
            try check("private generic")
            try team.run(
                HiddenGeneric<(Int64, Member), MusterError>(
                    array: array.inPlace,
                    ballast: (1, Member(rank: 0, size: 0, pid: 0, times: 0))),
                grain: 100)
            expected += 24
            try check("private generic over other types")
            try team.run(Local(array: array.inPlace), grain: 100)
            expected += 3
            try check("local")
            try team.run(
                Outer.Inner<Double>.Innermost(array: array.inPlace, ballast: 0), grain: 100)
            expected += 2
            try check("nested")
        }
        let small = try team.array(of: UInt8.self, count: 300)
        try team.run(Generic<UInt8>(array: small.inPlace, by: 255), grain: 7)
        try claim(small.toArray().allSatisfy { $0 == 255 }, "generic over another type")
        var copy = try team.array(of: Int64.self, count: count)
        try team.run(
            Nested(flag: true, pair: Pair(from: array.input, to: copy.output)), grain: 9)
        try claim(equal: copy.toArray(), array.toArray(), "accesses in a structure")
        try copy.fill(0)
        try array.fill(0)
        _ = try members(of: team)
    }
}

/// The ranks stay the same when workers are forked again for a kernel they can't know.
func lateKernels(_: [String]) throws {
    let team = try Team(size: 4)
    let array = try team.array(of: Int64.self, count: 100)
    try team.run(Hidden(array: array.inPlace), grain: 1)
    let before = team.processIDs
    _ = try team.statistics(of: array)
    _ = try team.histogram(of: array, edges: [0, 1, 2])
    _ = try team.channelStatistics(of: array, axis: 0)
    _ = try team.percentiles([50], of: array)
    try claim(equal: team.processIDs, before, "the library's own loops need no new workers")
    try team.run(HiddenGeneric<Int16, Character>(array: array.inPlace, ballast: 0), grain: 1)
    let after = team.processIDs
    _ = try members(of: team)
    try team.run(HiddenGeneric<Int16, Character>(array: array.inPlace, ballast: 0), grain: 1)
    try claim(equal: team.processIDs, after, "a kernel that is known needs no new workers")
    try claim(array.toArray().allSatisfy { $0 == 5 }, "results")
    for pid in before where !after.contains(pid) {
        try claim(!isAlive(pid), "worker \(pid) is left")
    }
}

struct Eight<Element: BitwiseCopyable>: BitwiseCopyable {
    var all: (Element, Element, Element, Element, Element, Element, Element, Element)
    init(_ one: Element) { all = (one, one, one, one, one, one, one, one) }
}

struct Loaded<Ballast: BitwiseCopyable>: Kernel {
    let array: SharedArray<UInt64>.Output
    let ballast: Ballast
    let last: UInt64
    func process(_ chunk: borrowing Chunk) throws {
        let sum = withUnsafeBytes(of: ballast) { bytes in
            bytes.bindMemory(to: UInt64.self).reduce(0, &+)
        }
        array.write(chunk) { values in
            for i in values.indices { values[i] = sum &+ last }
        }
    }
}

/// 4 KiB of arguments arrive; 32 KiB are refused before anything runs.
func arguments(_: [String]) throws {
    let team = try Team(size: 2)
    let array = try team.array(of: UInt64.self, count: 64)
    let four = Eight(Eight(Eight(UInt64(3))))
    try team.run(Loaded(array: array.output, ballast: four, last: 7), grain: 1)
    try claim(array.toArray().allSatisfy { $0 == 3 * 512 + 7 }, "4 KiB: \(array[0])")
    let error = try refusal("32 KiB") {
        try team.run(Loaded(array: array.output, ballast: Eight(four), last: 7), grain: 1)
    }
    try claim(equal: error.code, .invalidArgument, "\(error)")
    try claim(error.description.contains("shared array"), "no remedy: \(error)")
    print(error)
    try team.run(Loaded(array: array.output, ballast: four, last: 8), grain: 1)
    try claim(array.toArray().allSatisfy { $0 == 3 * 512 + 8 }, "after the refusal")
}

struct Complaint: Error, CustomStringConvertible, BitwiseCopyable {
    let shift: Int
    let repeats: Int
    var description: String {
        String(repeating: "x", count: shift) + String(repeating: "ü€🧵", count: repeats)
    }
}

struct ThrowAt: Kernel {
    let to: SharedArray<Int64>.Output
    let bad: Int
    let complaint: Complaint
    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        let throwing = chunk.index == bad
        try to.write(chunk) { to throws(Complaint) in
            for i in to.indices {
                if throwing && i == to.count / 2 { throw complaint }
                to[i] = Int64(range.lowerBound + i)
            }
        }
    }
}

/// Arguments: schedule, leader.
func throwing(_ arguments: [String]) throws {
    let schedule = try schedule(arguments, 0)
    let leader: Team.Leader = arguments.count > 1 && arguments[1] == "works" ? .works : .waits
    let team = try Team(size: 3, leader: leader)
    let count = 3000
    var array = try team.array(of: Int64.self, count: count)
    for (bad, complaint) in [
        (0, Complaint(shift: 0, repeats: 3)), (77, Complaint(shift: 1, repeats: 200)),
        (150, Complaint(shift: 2, repeats: 200)), (299, Complaint(shift: 3, repeats: 200)),
        (42, Complaint(shift: 0, repeats: 0)),
    ] {
        try array.fill(-1)
        let error = try refusal("chunk \(bad)") {
            try team.run(
                ThrowAt(to: array.output, bad: bad, complaint: complaint), grain: 10,
                schedule: schedule)
        }
        try claim(equal: error.code, .kernelThrew, "\(error)")
        try claim(
            error.subject.hasPrefix("chunk \(bad) "), "the chunk is not named: \(error.subject)")
        let said = error.reason.drop { $0 != ":" }.dropFirst(2)
        try claim(
            complaint.description.utf8.starts(with: said.utf8)
                && said.utf8.count >= min(complaint.description.utf8.count, 252),
            "message of \(said.utf8.count) bytes: \(error)")
        let report = error.report!
        try claim(report.missing.contains { $0.contains(bad) }, "chunk \(bad) is not missing")
        try claim(
            equal: report.exactlyOnce + report.missingCount, report.chunks, "chunks: \(report)")
        for chunk in 0..<300 where !report.missing.contains(where: { $0.contains(chunk) }) {
            for i in report.elements(ofChunk: chunk) {
                try claim(array[i] == Int64(i), "element \(i) of a chunk that is committed")
            }
        }
        // A throw closes no view; the next loop must not find one open.
        let next = try team.run(
            ThrowAt(to: array.output, bad: -1, complaint: complaint), grain: 10,
            schedule: schedule)
        try claim(next.isClean, "\(next)")
        try claim(equal: array.toArray(), (0..<Int64(count)).map { $0 }, "afterwards")
    }
    let all = try refusal("all throw") {
        try team.run(
            ThrowAt(to: array.output, bad: 0, complaint: Complaint(shift: 5, repeats: 0)),
            grain: count, schedule: schedule)
    }
    try claim(equal: all.code, .kernelThrew, "\(all)")
}

struct Slow: Kernel {
    let to: SharedArray<Int64>.Output
    func process(_ chunk: borrowing Chunk) throws {
        usleep(2000)
        let range = chunk.range
        to.write(chunk) { to in
            for i in to.indices { to[i] = Int64(range.lowerBound + i) }
        }
    }
}

struct CancelAt: Kernel {
    let bad: Int
    func process(_ chunk: borrowing Chunk) throws {
        if chunk.index == bad { chunk.cancelLoop() }
    }
}

func cancel(_: [String]) throws {
    let team = try Team(size: 2)
    let count = 100_000  // 100 s of it, were it not cancelled
    let array = try team.array(of: Int64.self, count: count)
    for schedule in Schedule.allCases {
        var last = 0
        var calls = 0
        team.onProgress = { [handle = team.cancellation] progress in
            calls += 1
            if progress.chunks != count || progress.done < last { calls = -1000 }
            last = progress.done
            handle.cancel()
        }
        let error = try refusal("cancelled, \(schedule)") {
            try team.run(Slow(to: array.output), grain: 1, schedule: schedule)
        }
        try claim(equal: error.code, .cancelled, "\(error)")
        let report = error.report!
        try claim(report.isCancelled && !report.isClean, "\(report)")
        try claim(calls > 0, "progress: \(calls)")
        try claim(report.exactlyOnce >= last && report.exactlyOnce > 0, "\(report)")
        try claim(equal: report.exactlyOnce + report.missingCount, count, "chunks, \(schedule)")
        let intact = array.toArray().enumerated().count { $0.offset == $0.element && $0.offset > 0 }
        try claim(intact + 1 >= report.exactlyOnce, "\(intact) results for \(report)")
        team.onProgress = nil
        // Asked for when nothing runs, it means nothing.
        team.cancel()
        let next = try team.run(Nothing(), count: 100, grain: 1, schedule: schedule)
        try claim(next.isClean && !next.isCancelled, "\(next)")
        let within = try refusal("cancelled by a kernel, \(schedule)") {
            try team.run(CancelAt(bad: 3), count: 1 << 24, grain: 1, schedule: schedule)
        }
        try claim(equal: within.code, .cancelled, "\(within)")
    }
}

/// Arrays that differ in length need a count.
func mismatch(_: [String]) throws {
    let team = try Team(size: 2)
    let short = try team.array(of: Int64.self, count: 10)
    let long = try team.array(of: Int64.self, count: 20)
    // The written one decides; a shorter input would be an error of the kernel's.
    try team.run(Square(from: long.input, to: short.output))
    let error = try refusal("no arrays") { try team.run(Nothing()) }
    try claim(equal: error.code, .invalidArgument, "\(error)")
    // A part of it only when it is asked for by name.
    for (count, words) in [(5, "to.prefix(5)"), (0, "leave some of them out"), (11, "only 10")] {
        let error = try refusal("count \(count)") {
            try team.run(Square(from: long.input, to: short.output), count: count)
        }
        try claim(equal: error.code, .invalidArgument, "\(error)")
        try claim(error.description.contains(words), "\(error)")
    }
    let part = try team.run(
        Square(from: long.input, to: short.prefix(5).output), count: 5)
    try claim(equal: part.elements, 5, "\(part)")
}
