// CopyScenarios.swift - a kernel that forks and comes back twice: the copy works on nothing.

@preconcurrency import Glibc
import Muster

/// Adds one to each element. At one chunk the process forks, both go on, and the rank waits for the end of
/// its copy.
struct ForkInKernel: Kernel {
    let x: SharedArray<Int64>.InPlace
    let at: Int
    func process(_ chunk: borrowing Chunk) throws {
        if chunk.index == at {
            let copy = fork()
            guard copy >= 0 else { throw Failure(description: "no fork") }
            if copy > 0 {
                var status: Int32 = 0
                while waitpid(copy, &status, 0) < 0 && errno == EINTR {}
                // Of a leader's, the address sanitizer makes an exit with status 1.
                let isCaught = isSanitized(by: "__asan_init") && status == 1 << 8
                guard status & 0x7f == SIGSEGV || isCaught else {
                    throw Failure(description: "the copy ended with status \(status)")
                }
            }
        }
        x.update(chunk) { x in
            for i in x.indices { x[i] += 1 }
        }
    }
}

/// Arguments: ranks, "works" or "waits", a schedule.
func copies(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    let dealt = try schedule(arguments, 2)
    try leavingNothing("copies") {
        let team = try Team(
            size: size, leader: arguments[1] == "works" ? .works : .waits, start: usualStart)
        var x = try team.array(of: Int64.self, count: 30_000)
        try x.fill(0)
        for round in 1...3 {
            // The second loop is like the first but for its kernel's bytes, the third forks nothing.
            let report = try team.run(
                ForkInKernel(x: x.inPlace, at: round < 3 ? 100 * round : -1), grain: 100,
                schedule: dealt)
            try claim(
                report.isClean && report.deaths.isEmpty && report.chunks == 300, "\(report)")
            for i in 0..<x.count { try claim(equal: x[i], Int64(round), "element \(i)") }
        }
    }
}
