// WrongTable.swift - the table of wrong kernels in Swift: what the loop's error says of each, with check
// mode off and on. Those in C and C++ are in Tests/Install/launch_wrong.cpp, those of members in `stray`
// of muster-test-member.

@preconcurrency import Glibc
import Muster

/// A kernel with a mistake, and what must be said of it.
private struct WrongKernel {
    let name: String
    /// Words of the error without check mode; empty: nothing is found; nil: either.
    let off: [String]?
    /// The same with it.
    let on: [String]
    /// The error's code in check mode.
    let code: MusterError.Code
    /// Runs it. Returns the loop's error; nil: it had none.
    let run: (Team.Check) throws -> MusterError?
}

/// What touches something that is not its own.
private func straying(_ grain: Int) -> [WrongKernel] {
    let isWhole = 8 * grain * 8 % Int(sysconf(Int32(_SC_PAGESIZE))) == 0
    return Wrong.allCases.filter { isWhole || $0.isSeenWithinPage }.map { wrong in
        let words = wrong == .nothing ? [] : [wrong.words(grain)]
        var off: [String]? = wrong.isAlwaysFound ? words : []
        // In the last page no signal comes: the loop looks at what stands there when it has ended.
        if !isWhole, wrong == .beyondEnd { off = ["array 1 (x): right beyond its end"] }
        if wrong == .control { off = nil }
        return WrongKernel(name: "\(wrong)", off: off, on: words, code: .strayAccess) {
            try runStraying(wrong, grain: grain, check: $0)
        }
    }
}

/// What ends its process by itself: check mode changes nothing.
private func dying() -> [WrongKernel] {
    Mistake.allCases.map { mistake in
        WrongKernel(name: "\(mistake)", off: mistake.says, on: mistake.says, code: .quarantined) {
            let team = try Team(size: 2, start: usualStart, check: $0)
            let array = try team.array(of: Int64.self, count: 3000)
            let input = try team.array(of: Int64.self, count: 3000)
            return try refusal("\(mistake)") {
                try team.run(
                    Mistaken(mistake: mistake, array: array.output, input: input.input), grain: 10)
            }
        }
    }
}

/// A copy that comes back from `fork` works on nothing, so that nothing has to be said.
private func forking() -> WrongKernel {
    WrongKernel(name: "fork", off: [], on: [], code: .system) {
        let team = try Team(size: 2, start: usualStart, check: $0)
        let x = try team.array(of: Int64.self, count: 3000)
        let report = try team.run(ForkInKernel(x: x.inPlace, at: 3), grain: 100)
        try claim(report.isClean && report.deaths.isEmpty, "\(report)")
        try claim(x.toArray().allSatisfy { $0 == 1 }, "elements that are not done once")
        return nil
    }
}

/// Throws unless the words are in the error, or neither is there.
private func expect(_ words: [String], _ error: MusterError?, _ what: String) throws {
    guard let error else { return try claim(words.isEmpty, "\(what): nothing is said") }
    try claim(!words.isEmpty, "\(what), of which nothing is wrong: \(error)")
    for word in words {
        try claim(error.description.contains(word), "\(what): \"\(word)\" in \"\(error)\"")
    }
}

/// Arguments: elements a chunk. Prints what is said of each, off and on: "NAME | off | WORDS".
func wrongKernels(_ arguments: [String]) throws {
    try leavingNothing("wrong kernels") {
        for kernel in straying(try number(arguments, 0)) + dying() + [forking()] {
            for check in [Team.Check.off, .on] {
                let error = try kernel.run(check)
                let name = kernel.name + String(repeating: " ", count: 16 - kernel.name.utf8.count)
                let state = check == .on ? "on " : "off"
                print("\(name) | \(state) | \(error?.description ?? "nothing")")
                if let words = check == .on ? kernel.on : kernel.off {
                    try expect(words, error, "\(kernel.name), check mode \(state)")
                }
                if check == .on, let error {
                    try claim(equal: error.code, kernel.code, "\(kernel.name): \(error)")
                }
            }
        }
    }
}
