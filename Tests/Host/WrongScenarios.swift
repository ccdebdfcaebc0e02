// WrongScenarios.swift - kernels with a mistake, and what the loop's error says of each.

@preconcurrency import Glibc
import Muster

/// The mistakes of a kernel that end its process.
enum Mistake: Int32, BitwiseCopyable, CaseIterable {
    case index, null, division, overflow, sum, unwrap, words, exit, call, precondition, view, range

    /// What the error must say of it. In a release build, the checks of the language have no words.
    var says: [String] {
        switch self {
        case .index: ["(SIGILL)", "wrongIndex", "so loop over values.indices"]
        case .null: ["(SIGSEGV)", "at address 0x10", "wrongAddress"]
        case .division: ["(SIGILL)", "wrongDivision"]
        case .overflow: ["(SIGSEGV)", "a stack overflow", "wrongDepth"]
        case .sum: ["(SIGILL)", "wrongSum"]
        case .unwrap: ["(SIGILL)", "wrongOptional"]
        case .words: ["(SIGILL)", "wrongWords", "Fatal error: 3 is no even number"]
        case .exit: ["left with exit status 7"]
        case .call: ["(SIGSEGV)", "at address 0x20", "wrongCall"]
        case .precondition: ["(SIGILL)", "wrongCondition"]
        case .view: ["(SIGILL)", "two mutable views of one array in one chunk"]
        case .range: ["(SIGILL)", "goes beyond the array of 3000 elements"]
        }
    }
}

@inline(never) func wrongIndex(_ values: inout MutableSpan<Int64>, _ index: Int) {
    values[index] = 1
}
@inline(never) func wrongAddress() {
    UnsafeMutablePointer<Int>(bitPattern: 16 + opaqueZero())!.pointee = 1
}
@inline(never) func wrongDivision() -> Int { 7 / opaqueZero() }
@inline(never) func wrongDepth(_ depth: Int) -> Int {
    depth < 0
        ? depth
        : withUnsafeTemporaryAllocation(byteCount: 1000, alignment: 8) { room in
            room[depth & 511] = UInt8(truncatingIfNeeded: depth)
            return wrongDepth(depth + 1) + Int(room[0])
        }
}
@inline(never) func wrongSum() -> Int { Int.max + (1 + opaqueZero()) }
@inline(never) func wrongOptional() -> Int { [Int]().first { $0 > opaqueZero() }! }
@inline(never) func wrongWords() { fatalError("\(3 + opaqueZero()) is no even number") }
@inline(never) func wrongCondition() { precondition(opaqueZero() == 1, "zero is one") }
@inline(never) func wrongCall() {
    let place = UnsafeRawPointer(bitPattern: 32 + opaqueZero())
    unsafeBitCast(place, to: (@convention(c) () -> Void).self)()
    keep(Double(opaqueZero()))  // or the call would be a jump, and this function no caller
}

/// Makes its mistake in each chunk but the first, or in all.
struct Mistaken: Kernel {
    let mistake: Mistake
    let array: SharedArray<Int64>.Output
    let input: SharedArray<Int64>.Input

    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        switch mistake {
        case .index:
            array.write(chunk) { values in
                for i in range { wrongIndex(&values, i) }
            }
        case .null: wrongAddress()
        case .division: _ = wrongDivision()
        case .overflow: _ = wrongDepth(0)
        case .sum: _ = wrongSum()
        case .unwrap: _ = wrongOptional()
        case .words: wrongWords()
        case .exit: exit(7)
        case .call: wrongCall()
        case .precondition: wrongCondition()
        case .view: array.write(chunk) { _ in array.write(chunk) { _ in } }
        case .range: _ = input.span(range.lowerBound..<range.upperBound + 3000, in: chunk)
        }
    }
}

/// Arguments: the mistake. Each ends the loop after a few deaths, with one line that names it.
func wrongKernel(_ arguments: [String]) throws {
    guard let mistake = Mistake.allCases.first(where: { "\($0)" == arguments.first }) else {
        throw Failure(description: "no such mistake: \(arguments)")
    }
    try leavingNothing("\(mistake)") {
        for size in [1, 3] {
            let team = try Team(size: size)
            let array = try team.array(of: Int64.self, count: 3000)
            let input = try team.array(of: Int64.self, count: 3000)
            let kernel = Mistaken(mistake: mistake, array: array.output, input: input.input)
            for (recovery, schedule) in [
                (Recovery.redo(), Schedule.static), (.redo(limit: 5), .dynamic), (.fail, .static),
            ] {
                let error = try refusal("\(mistake)") {
                    try team.run(kernel, grain: 10, schedule: schedule, recovery: recovery)
                }
                let what = "\(mistake), \(size) ranks, \(recovery): \(error)"
                print(what)
                try claim(
                    equal: error.code, recovery == .fail ? .workerDied : .quarantined, what)
                for words in mistake.says {
                    try claim(error.description.contains(words), "no \"\(words)\": \(what)")
                }
                var limit = 3
                if case .redo(let given) = recovery { limit = given }
                // Ranks die at the same time, and one that has a successor may die once more.
                let deaths = error.report!.deaths
                try claim(deaths.count <= limit + 2 * size, "\(deaths.count) deaths: \(what)")
                if size == 1 && recovery != .fail {
                    try claim(deaths.count == limit, "deaths: \(what)")
                }
            }
            // The team goes on.
            try claim(team.run(Nothing(), count: 30, grain: 1).isClean, "\(mistake): after")
        }
    }
}

/// A chunk that dies among the first ones does not make a kernel wrong, however few are done by then.
func rightKernel(_: [String]) throws {
    for size in [1, 2, 3] {
        for deadly in [0, 1, 99] {
            let team = try Team(size: size)
            let array = try team.array(of: Int64.self, count: 1000)
            for schedule in Schedule.allCases {
                let error = try refusal("chunk \(deadly)") {
                    try team.run(
                        WriteOrDie(to: array.output, deadly: deadly, fate: .segv), grain: 10,
                        schedule: schedule)
                }
                let report = error.report!
                let what = "\(size) ranks, chunk \(deadly), \(schedule): \(error)"
                try claim(equal: report.quarantined, [deadly], what)
                try claim(equal: report.exactlyOnce, 99, what)
                try claim(equal: report.deaths.map(\.attempt), [1, 2, 3], what)
            }
        }
    }
}
