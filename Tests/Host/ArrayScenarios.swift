// ArrayScenarios.swift - memory and files as arrays, made and given back.

import MusterCore
import Glibc
import Muster

func arrays(_ arguments: [String]) throws {
    let leader: Team.Leader = arguments.first == "works" ? .works : .waits
    try leavingNothing("arrays") {
        let team = try Team(size: 3, leader: leader)
        for placement in [
            Placement.firstTouch, .blocked, .interleave(), .interleave(nodes: [0]), .bind(node: 0),
        ] {
            var array = try team.array(of: Int64.self, shape: [30, 7, 100], placement: placement)
            try claim(equal: array.count, 21_000, "count")
            try claim(equal: array.shape, [30, 7, 100], "shape")
            try claim(array.toArray().allSatisfy { $0 == 0 }, "a new array is not zero")
            try array.fill(3)
            try team.run(AddPlace(array: array.inPlace), grain: 50, schedule: .staticSteal)
            for i in 0..<array.count { try claim(array[i] == Int64(3 + i), "\(placement), \(i)") }
            let residency = try array.residency()
            try claim(
                equal: residency.bytesByNode.values.reduce(0, +) + residency.absentBytes,
                UInt64(array.count * 8 + 4095) / 4096 * 4096, "\(placement): bytes found")
        }
        let error = try refusal("node 63") {
            try team.array(of: Int8.self, count: 5, placement: .bind(node: 63))
        }
        try claim(equal: error.code, .placement, "\(error)")
        let negative = try refusal("node -1") {
            try team.array(of: Int8.self, count: 5, placement: .bind(node: -1))
        }
        try claim(equal: negative.code, .placement, "\(negative)")
        // Memory that comes back is zero again.
        do {
            var dirty = try team.array(of: UInt8.self, count: 10_000)
            try dirty.fill(255)
        }
        let clean = try team.array(of: UInt8.self, count: 10_000)
        try claim(clean.toArray().allSatisfy { $0 == 0 }, "an old array shines through")
    }
}

/// Blocks of this process's memory files, in bytes.
func memoryFileBytes(named part: String = "muster") -> Int {
    names(in: "/proc/self/fd").reduce(0) { sum, name in
        var buffer = [CChar](repeating: 0, count: 256)
        guard let number = Int32(name), readlink("/proc/self/fd/\(name)", &buffer, 255) > 0,
            String(decoding: buffer.map { UInt8(bitPattern: $0) }, as: UTF8.self).contains(part)
        else { return sum }
        var information = stat()
        return fstat(number, &information) == 0 ? sum + Int(information.st_blocks) * 512 : sum
    }
}

/// Arrays and files come and go a thousand times; nothing grows.
func rounds(_ arguments: [String]) throws {
    let count = try number(arguments, 0)
    let file = path("rounds.raw")
    try [UInt8](repeating: 1, count: 12_345).withUnsafeBytes { try write($0, to: file) }
    let team = try Team(size: 2)
    func round() throws {
        let first = try team.array(of: Int64.self, count: 3000)
        let mapped = try team.array(file: file, of: UInt8.self)
        let second = try team.array(of: Int64.self, count: 3000)
        try team.run(Square(from: first.input, to: second.output))
        try claim(equal: mapped[12_344], 1, "the file's last byte")
    }
    func mappings(_ pid: Int) -> Int {
        contents(of: "/proc/\(pid)/maps").split(separator: "\n").count { $0.contains("rounds.raw") }
    }
    for _ in 0..<3 { try round() }
    let before = Holdings()
    let bytes = memoryFileBytes()
    let worker = names(in: "/proc/\(team.processIDs[1])/fd").count
    for _ in 0..<count { try round() }
    try claim(equal: Holdings(), before, "after \(count) rounds")
    try claim(memoryFileBytes() <= bytes + 65536, "\(memoryFileBytes()) bytes, \(bytes) before")
    try claim(
        equal: names(in: "/proc/\(team.processIDs[1])/fd").count, worker, "a worker's descriptors")
    for pid in team.processIDs + [Int(getpid())] {
        try claim(equal: mappings(pid), 0, "mappings of a file that is closed")
    }
    unlink(file)
}

/// More than the machine has: refused, and nothing is touched.
func tooLarge(_: [String]) throws {
    var available: UInt64 = 0
    try claim(equal: muster_memory_available(&available), 0, "available memory")
    try leavingNothing("too large") {
        let team = try Team(size: 2)
        _ = try members(of: team)
        let bytes = memoryFileBytes()
        for count in [Int(available) + (4 << 30), 1 << 40, 1 << 44, 1 << 60, Int.max] {
            let error = try refusal("\(count) bytes") {
                try team.array(of: UInt8.self, count: count)
            }
            try claim(equal: error.code, .memory, "\(error)")
            try claim(memoryFileBytes() <= bytes, "memory was touched")
        }
        print(try refusal("16 TiB") { try team.array(of: UInt8.self, count: 1 << 44) })
        _ = try members(of: team)
    }
}

func npyRoundTrip(_: [String]) throws {
    func trip<Element: NPYElement & Equatable>(
        _ team: borrowing Team, _ elements: [Element], shape: [Int]
    ) throws {
        let file = path("trip-\(Element.self).npy")
        var array = try team.array(of: Element.self, shape: shape)
        array.withMutableSpan { span in
            for i in elements.indices { span[i] = elements[i] }
        }
        try array.save(npy: file)
        let header = try NPYHeader(path: file)
        try claim(equal: header.shape, shape, "shape of \(Element.self)")
        let back = try team.array(npy: file, as: Element.self)
        try claim(equal: back.toArray(), elements, "elements of \(Element.self)")
        try claim(equal: back.shape, shape, "shape of \(Element.self)")
        try claim(!back.isWritable && back.path == file, "\(back.path ?? "no path")")
        unlink(file)
    }
    try leavingNothing("npy files") {
        let team = try Team(size: 3)
        let numbers = (0..<60).map { $0 }
        try trip(team, numbers.map { Double($0) / 7 }, shape: [60])
        try trip(team, numbers.map { Float($0) / 7 }, shape: [6, 10])
        try trip(team, numbers.map { Float16($0) }, shape: [3, 4, 5])
        try trip(team, numbers.map { Int8($0 - 30) }, shape: [60])
        try trip(team, numbers.map { Int16($0 * -500) }, shape: [60, 1])
        try trip(team, numbers.map { Int32($0 * -1_000_000) }, shape: [1, 60])
        try trip(team, numbers.map { Int64($0) << 50 }, shape: [2, 30])
        try trip(team, numbers.map { UInt8($0 * 4) }, shape: [60])
        try trip(team, numbers.map { UInt16($0 * 1000) }, shape: [60])
        try trip(team, numbers.map { UInt32($0) << 26 }, shape: [60])
        try trip(team, numbers.map { UInt64($0) << 58 }, shape: [60])
        try trip(team, [Double](), shape: [0, 5])
        try trip(team, [7.5], shape: [])
        try [UInt8](repeating: 0, count: 0).withUnsafeBytes { try write($0, to: path("empty")) }
        let error = try refusal("an empty file") {
            try team.array(npy: path("empty"), as: Double.self)
        }
        try claim(equal: error.code, .file, "\(error)")
        unlink(path("empty"))
        for (bad, code) in [(path("none"), ENOENT), (path(""), EISDIR)] {
            let error = try refusal(bad) { try team.array(npy: bad, as: Double.self) }
            try claim(error.code == .file && error.errorNumber == code, "\(error)")
        }
        let device = try refusal("a device") { try team.array(file: "/dev/null", of: Int8.self) }
        try claim(equal: device.code, .file, "\(device)")
        let full = try team.array((0..<100_000).map { Double($0) })
        let noRoom = try refusal("a full disk") { try full.save(npy: "/dev/full") }
        try claim(noRoom.code == .file && noRoom.errorNumber == ENOSPC, "\(noRoom)")
        try claim(names(in: "/dev").contains("full"), "/dev/full was removed")
    }
}

/// Raw files, opened after the team has started: read, and changed by the ranks.
func rawFiles(_ arguments: [String]) throws {
    let leader: Team.Leader = arguments.first == "works" ? .works : .waits
    try leavingNothing("raw files") {
        let team = try Team(size: 3, leader: leader)
        let count = 70_000
        let source = path("source.raw")
        let target = path("target.raw")
        try (0..<count).map(value).withUnsafeBytes { try write($0, to: source) }
        try [Int64](repeating: 0, count: count).withUnsafeBytes { try write($0, to: target) }
        do {
            let from = try team.array(file: source, of: Int64.self)
            var to = try team.array(file: target, of: Int64.self, writable: true)
            try claim(equal: from.count, count, "elements")
            try team.run(Square(from: from.input, to: to.output), schedule: .dynamic)
            try team.run(AddPlace(array: to.inPlace), schedule: .staticSteal)
            to[0] = 12
        }
        let back = try team.array(file: target, of: Int64.self)
        for i in 1..<count {
            try claim(back[i] == value(i) &* value(i) &+ Int64(i), "element \(i) in the file")
        }
        try claim(equal: back[0], 12, "the leader's store")
        let odd = try refusal("an odd length") { try team.array(file: target, of: Odd.self) }
        try claim(equal: odd.code, .file, "\(odd)")
        for file in [source, target] { unlink(file) }
    }
}

struct Odd: BitwiseCopyable { var a, b, c: UInt8 }

/// Several files at once, freed in another order, their places used again by larger ones, and a rank
/// that is forked again in between.
func manyFiles(_: [String]) throws {
    func make(_ name: String, _ value: UInt8, _ count: Int) throws -> String {
        try [UInt8](repeating: value, count: count).withUnsafeBytes {
            try write($0, to: path(name))
        }
        return path(name)
    }
    try leavingNothing("many files") {
        let team = try Team(size: 3)
        func sum(_ array: borrowing SharedArray<UInt8>) throws -> Int {
            try team.reduce(ByteSum(array: array.input), grain: 1000, schedule: .cyclic).result
        }
        var a: SharedArray<UInt8>? = try team.array(file: try make("a", 1, 5000), of: UInt8.self)
        let b = try team.array(file: try make("b", 2, 3_000_000), of: UInt8.self)
        var c: SharedArray<UInt8>? = try team.array(file: try make("c", 3, 77), of: UInt8.self)
        try claim(equal: try sum(a!), 5000, "a")
        try claim(equal: try sum(b), 6_000_000, "b")
        try claim(equal: try sum(c!), 231, "c")
        a = nil
        let d = try team.array(file: try make("d", 4, 9000), of: UInt8.self)
        kill(pid_t(team.processIDs[1]), SIGKILL)
        wait { state(of: team.processIDs[1]) == "Z" }
        c = nil
        let e = try team.array(file: try make("e", 5, 2_500_000), of: UInt8.self)
        usleep(2000)
        try claim(equal: try sum(d), 36_000, "d")
        try claim(equal: try sum(e), 12_500_000, "e")
        try claim(equal: try sum(b), 6_000_000, "b, again")
        _ = try members(of: team)
        for name in ["a", "b", "c", "d", "e"] { unlink(path(name)) }
        _ = (a == nil, c == nil)
    }
}

struct ByteSum: Reduction {
    let array: SharedArray<UInt8>.Input
    var identity: Int { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int {
        let values = array.span(chunk)
        var sum = 0
        for i in values.indices { sum += Int(values[i]) }
        return sum
    }
    func combine(_ left: Int, _ right: Int) -> Int { left + right }
}

/// A file that shrinks while ranks read it ends the loop, not the leader.
func shrunkFile(_: [String]) throws {
    let file = path("shrinks.raw")
    try [UInt8](repeating: 1, count: 4 << 20).withUnsafeBytes { try write($0, to: file) }
    try leavingNothing("a file that shrinks") {
        let team = try Team(size: 2)
        // To a whole page, so that ranks are killed; and into a page, whose rest then reads as zeros.
        for length in [1 << 20, 1 << 20 - 10] {
            let array = try team.array(file: file, of: UInt8.self)
            truncate(file, length)
            let error = try refusal("a shrunk file") {
                try team.reduce(ByteSum(array: array.input))
            }
            try claim(equal: error.code, .fileShrank, "\(error)")
            try claim(error.description.hasPrefix(file), "\(error)")
        }
        _ = try members(of: team)
    }
    unlink(file)
}
