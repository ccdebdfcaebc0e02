// RecoveryElementScenarios.swift - elements, chunks and journals of awkward sizes.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// 24 bytes from one to the next, of which 17 are used.
private struct Wide: BitwiseCopyable, Equatable {
    var a: Int64
    var b: Int64
    var c: UInt8

    func next(_ place: Int) -> Wide { Wide(a: 3 &* a &+ Int64(place), b: b ^ a, c: c &+ 1) }
}

private struct Five<Element: BitwiseCopyable>: BitwiseCopyable {
    var a, b, c, d, e: Element
    init(_ one: Element) { (a, b, c, d, e) = (one, one, one, one, one) }
}

/// 5000 bytes, more than a tile.
private struct Huge: BitwiseCopyable {
    var all = Five(Five(Five(Five(Int64(7)))))

    var first: Int64 {
        get { all.a.a.a.a }
        set { all.a.a.a.a = newValue }
    }
    var last: Int64 {
        get { all.e.e.e.e }
        set { all.e.e.e.e = newValue }
    }
    mutating func advance(_ place: Int) {
        first = 3 &* first &+ Int64(place)
        last = last ^ first
    }
}

private struct Enough: Error {}

/// Changes two arrays in one of several ways; a chunk that owes a death pays it at one step.
private struct Both: Kernel {
    /// tiles, two passes each; one array within the other's tile; all at once; a pass that is given up
    /// half-way, then all at once.
    static let ways = 4
    let a: SharedArray<Wide>.InPlace
    let b: SharedArray<Huge>.InPlace
    let way: Int
    let fatal: Int
    let doom = Doom.shared

    /// Elements of a chunk of `count` that the pass that is given up changes.
    static func partial(_ count: Int) -> Int { count > 200 ? 200 : min(3, count) }

    func process(_ chunk: borrowing Chunk) throws {
        let (index, fatal, doom) = (chunk.index, fatal, doom)
        let (base, stop) = (chunk.range.lowerBound, Both.partial(chunk.count))
        var step = 0
        func tick() {
            step += 1
            if step == fatal { doom.pay(index) }
        }
        func change(_ x: inout MutableSpan<Wide>, _ first: Int) {
            for i in x.indices {
                tick()
                x[i] = x[i].next(first + i)
            }
        }
        func change(_ x: inout MutableSpan<Huge>, _ first: Int) {
            for i in x.indices {
                tick()
                x[i].advance(first + i)
            }
        }
        switch way {
        case 0:
            a.update(chunk) { a, places in change(&a, places.lowerBound) }
            b.update(chunk) { b, places in change(&b, places.lowerBound) }
            a.update(chunk) { a, places in change(&a, places.lowerBound) }
            b.update(chunk) { b, places in change(&b, places.lowerBound) }
        case 1:
            a.update(chunk) { a, places in
                if places.lowerBound == base {
                    b.update(chunk) { b, places in change(&b, places.lowerBound) }
                }
                change(&a, places.lowerBound)
            }
        case 2:
            b.updateWhole(chunk) { b in change(&b, base) }
            a.updateWhole(chunk) { a in change(&a, base) }
        default:
            do {
                try a.update(chunk) { a, places throws(Enough) in
                    for i in a.indices {
                        if places.lowerBound + i == base + stop { throw Enough() }
                        tick()
                        a[i] = a[i].next(places.lowerBound + i)
                    }
                }
            } catch {}
            a.updateWhole(chunk) { a in change(&a, base) }
            do {
                try b.update(chunk) { b, places throws(Enough) in
                    if places.lowerBound >= base + stop { throw Enough() }
                    change(&b, places.lowerBound)
                }
            } catch {}
            b.updateWhole(chunk) { b in change(&b, base) }
        }
    }

    /// How often an element of a chunk is changed.
    static func times(way: Int, place: Int, of count: Int) -> Int {
        switch way {
        case 0: 2
        case 3: place < partial(count) ? 2 : 1
        default: 1
        }
    }

    static func steps(way: Int, _ count: Int) -> Int {
        switch way {
        case 0: 4 * count
        case 3: 2 * (count + partial(count))
        default: 2 * count
        }
    }
}

/// Two arrays in place: a death at every step of a chunk, chunks smaller than a tile and several tiles
/// long, the last one shorter. Argument: way.
func edgeTwoArrays(_ arguments: [String]) throws {
    let way = try number(arguments, 0)
    try claim(
        MemoryLayout<Wide>.stride == 24 && MemoryLayout<Huge>.stride == 5000, "strides")
    try leavingNothing("two arrays") {
        let team = try Doom.team(3)
        for (count, grain, chunks) in [(97, 7, [0, 6, 13]), (1203, 400, [1, 3])] {
            var a = (0..<count).map { Wide(a: value($0), b: Int64($0), c: UInt8($0 & 255)) }
            var b = (0..<count).map { place in
                var huge = Huge()
                (huge.first, huge.last) = (value(place), Int64(place))
                return huge
            }
            let arrayA = try team.array(a)
            let arrayB = try team.array(b)
            for deadly in chunks {
                let length = min(grain, count - deadly * grain)
                let steps = Both.steps(way: way, length)
                let few = [1, 2, 170, 171, 200, 201, 341, 399, 400, 401, steps - 1, steps]
                for fatal in steps < 100 ? Array(1...steps) : few where fatal <= steps {
                    for limit in fatal % 4 == 1 ? [1, 3] : [3] {
                        let what =
                            "way \(way), chunk \(deadly) of \(grain), step \(fatal), \(limit)"
                        Doom.shared[deadly] = 1
                        let schedule = Schedule.allCases[fatal % 5]
                        let kernel = Both(
                            a: arrayA.inPlace, b: arrayB.inPlace, way: way, fatal: fatal)
                        if limit == 1 {
                            let error = try refusal(what) {
                                try team.run(
                                    kernel, grain: grain, schedule: schedule,
                                    recovery: .redo(limit: 1))
                            }
                            try claim(equal: error.code, .quarantined, "\(what): \(error)")
                        } else {
                            let report = try team.run(kernel, grain: grain, schedule: schedule)
                            try expectClean(report, nil, deaths: 1...1, what)
                        }
                        for i in 0..<count where limit > 1 || i / grain != deadly {
                            let chunk = i / grain
                            let times = Both.times(
                                way: way, place: i % grain, of: min(grain, count - chunk * grain))
                            for _ in 0..<times {
                                a[i] = a[i].next(i)
                                b[i].advance(i)
                            }
                        }
                        let (newA, newB) = (arrayA.toArray(), arrayB.toArray())
                        for i in 0..<count {
                            try claim(equal: newA[i], a[i], "\(what): element \(i) of a")
                        }
                        let same = newB.withUnsafeBytes { new in
                            b.withUnsafeBytes {
                                memcmp(new.baseAddress!, $0.baseAddress!, $0.count)
                            }
                        }
                        if same != 0 {
                            let i = (0..<count).first {
                                newB[$0].first != b[$0].first || newB[$0].last != b[$0].last
                            }
                            throw Failure(description: "\(what): element \(i ?? -1) of b")
                        }
                    }
                }
            }
        }
    }
}

/// A page; kernels change one word of it, so that large chunks are quick.
private struct Page: BitwiseCopyable {
    var word: Int64
    var rest: Eight<Eight<Eight<Int64>>> = Eight(Eight(Eight(0)))  // and a bit
    init(_ word: Int64) { self.word = word }
}

private struct Turn: Kernel {
    let x: SharedArray<Page>.InPlace
    var runs = Doom.flag(10)
    let doom = Doom.shared
    func process(_ chunk: borrowing Chunk) throws {
        doom[runs] += 1
        let (index, end) = (chunk.index, chunk.range.upperBound)
        x.update(chunk) { x, places in
            for i in x.indices {
                x[i].word = 3 &* x[i].word &+ 1
                if places.lowerBound + i == end - 1 { doom.pay(index) }
            }
        }
    }
}

private struct TurnTwo: Kernel {
    let x: SharedArray<Page>.InPlace
    let y: SharedArray<Page>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        x.update(chunk) { x in for i in x.indices { x[i].word += 1 } }
        y.updateWhole(chunk) { y in for i in y.indices { y[i].word += 1 } }
    }
}

/// A chunk whose old contents don't fit into the journal is refused by name; one that just does is not,
/// and is put back.
func edgeJournal(_: [String]) throws {
    var available: UInt64 = 0
    _ = muster_memory_available(&available)
    guard available > 2 << 30 else {
        print("skipped: needs 2 GiB of memory")
        return
    }
    try leavingNothing("a journal that is too small") {
        let team = try Doom.team(2)
        let doom = Doom.shared
        let stride = MemoryLayout<Page>.stride
        let count = (260 << 20) / stride
        let array = try team.array(of: Page.self, count: count)
        let error = try refusal("260 MiB") { try team.run(Turn(x: array.inPlace), grain: count) }
        try claim(equal: error.code, .invalidArgument, "\(error)")
        print(error)
        for part in [
            "chunk of \(count) elements", "Turn", "MiB in place", "journal", "256 MiB",
            "smaller grain", "recovery: .fail",
        ] {
            try claim(error.description.contains(part), "\(part) is not in: \(error)")
        }
        try claim(equal: doom[Doom.flag(10)], 0, "chunks that ran")
        try claim(array.withSpan { $0[0].word == 0 && $0[count - 1].word == 0 }, "changed")
        let half = try team.array(of: Page.self, count: count / 2 + 1000)
        let other = try team.array(of: Page.self, count: count / 2 + 1000)
        let sum = try refusal("twice 130 MiB") {
            try team.run(TurnTwo(x: half.inPlace, y: other.inPlace), grain: count)
        }
        try claim(sum.code == .invalidArgument && sum.description.contains("journal"), "\(sum)")
        // What the remedies promise.
        try team.run(Turn(x: array.inPlace), grain: count, recovery: .fail)
        try claim(array.withSpan { $0[0].word == 1 && $0[count - 1].word == 1 }, "without redoing")
        // The largest that is accepted: every record has its place.
        var most = (240 << 20) / stride
        var least = count
        while least - most > 1 {
            let grain = (least + most) / 2
            do {
                // A loop of one chunk, cancelled by nothing: accepted means done.
                try team.run(Turn(x: array.prefix(grain).inPlace), grain: grain)
                most = grain
            } catch let error as MusterError {
                try claim(equal: error.code, .invalidArgument, "\(error)")
                least = grain
            }
        }
        print("the largest chunk has \(most * stride) bytes")
        let before = array.withSpan { span in (0..<count).map { span[$0].word } }
        for limit in [1, 3] {
            doom[0] = 1
            do {
                let report = try team.run(
                    Turn(x: array.prefix(most).inPlace), grain: most,
                    recovery: .redo(limit: limit))
                try expectClean(report, nil, deaths: 1...1, "the largest chunk")
                try claim(limit == 3, "not quarantined")
            } catch let error as MusterError {
                try claim(limit == 1 && error.code == .quarantined, "\(error)")
            }
            let after = array.withSpan { span in (0..<count).map { span[$0].word } }
            for i in 0..<count {
                try claim(
                    equal: after[i],
                    limit == 3 && i < most ? 3 &* before[i] &+ 1 : before[i],
                    "element \(i), limit \(limit)")
            }
        }
    }
}

/// Without redoing there is no journal; with it, what a large chunk leaves is memory of the team's, and
/// no descriptor.
func edgeJournalMemory(_: [String]) throws {
    try leavingNothing("the journal's memory") {
        let team = try Doom.team(2)
        let count = (32 << 20) / MemoryLayout<Page>.stride
        let array = try team.array(of: Page.self, count: count)
        let control = { memoryFileBytes(named: "muster-control") }
        // A first loop, so that rolls have their memory.
        let small = try team.array(of: Int64.self, count: 10)
        try team.run(AddPlace(array: small.inPlace), grain: 5)
        let before = control()
        let calm = try team.run(Turn(x: array.inPlace), grain: count / 4, recovery: .fail)
        try claim(calm.isClean, "\(calm)")
        let holdings = Holdings()
        let worker = names(in: "/proc/\(team.processIDs[1])/fd").count
        Doom.shared[3] = 1
        let error = try refusal("no redoing") {
            try team.run(Turn(x: array.inPlace), grain: count / 4, recovery: .fail)
        }
        try claim(equal: error.code, .workerDied, "\(error)")
        try claim(equal: error.report!.deaths.map(\.chunk), [3], "\(error)")
        try claim(control() - before < 1 << 20, "\(control() - before) bytes of journal")
        Doom.shared[3] = 1
        for _ in 0..<5 {
            try team.run(Turn(x: array.inPlace), grain: count / 4)
        }
        let after = control() - before
        try claim(
            after >= 8 << 20, "only \(after) bytes of journal: the check above is worth nothing")
        try claim(after <= 2 * (10 << 20), "\(after) bytes of journal for two chunks of 8 MiB")
        try claim(equal: Holdings(), holdings, "the leader's descriptors and mappings")
        try claim(
            equal: names(in: "/proc/\(team.processIDs[1])/fd").count, worker,
            "a worker's descriptors")
        _ = try members(of: team)
    }
}
