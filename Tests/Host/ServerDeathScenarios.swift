// ServerDeathScenarios.swift - a fork server that dies while its ranks work.

import MusterCore
import MusterCore.Testing
@preconcurrency import Glibc
import Muster
import TestSupport

/// Dies by the kill of its server, at a chunk in the middle.
struct KillServer: Kernel {
    let to: SharedArray<Int64>.Output
    let deadly: Int
    func process(_ chunk: borrowing Chunk) throws {
        let range = chunk.range
        if chunk.index == deadly { kill(getppid(), SIGKILL) }
        if chunk.index >= deadly && deadly >= 0 { while true { pause() } }
        to.write(chunk) { to in
            for i in to.indices { to[i] = Int64(range.lowerBound + i) }
        }
    }
}

/// One chunk kills the server, once: the process that does it first leaves a mark.
struct KillServerOnce: Kernel {
    let x: SharedArray<Int64>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        let isDeadly = chunk.index == 40
        x.update(chunk) { x, places in
            for i in x.indices {
                x[i] = 3 &* x[i] &+ Int64(places.lowerBound + i)
                if isDeadly && i == 5 && mkdir("killed", 0o700) == 0 {
                    kill(getppid(), SIGKILL)
                    while true { pause() }
                }
            }
        }
    }
}

/// The server dies in a loop, with all its ranks: a new one, and nothing is lost.
func serverRedo(_: [String]) throws {
    try leavingNothing("a server redone") {
        let team = try Team(size: 3, start: .forkServer)
        for schedule in Schedule.allCases {
            let array = try team.array([Int64](repeating: 7, count: 3000))
            let report = try team.run(
                KillServerOnce(x: array.inPlace), grain: 10, schedule: schedule)
            rmdir("killed")
            try claim(report.isClean && report.vacantRanks.isEmpty, "\(report)")
            try claim(report.deaths.contains { $0.chunk == 40 }, "\(report.deaths)")
            try claim(equal: report.serverDeaths, ["was killed by signal 9 (SIGKILL)"], "\(report)")
            try claim("\(report)".contains("fork server was killed by signal 9"), "\(report)")
            for i in 0..<array.count { try claim(equal: array[i], 21 + Int64(i), "element \(i)") }
            _ = try members(of: team)
        }
    }
}

/// The server is killed: in a loop, between loops, while an array is made.
func serverDeath(_: [String]) throws {
    try leavingNothing("a dead server") {
        let team = try Team(size: 3, start: .forkServer)
        let array = try team.array(of: Int64.self, count: 3000)
        for schedule in Schedule.allCases {
            let before = team.processIDs
            let error = try refusal("a killed server") {
                try team.run(
                    KillServer(to: array.output, deadly: 40), grain: 10, schedule: schedule,
                    recovery: .fail)
            }
            try claim(equal: error.code, .serverDied, "\(error)")
            try claim(error.description.contains("signal 9 (SIGKILL)"), "\(error)")
            try claim(error.description.contains("its 3 ranks with it"), "\(error)")
            try claim(equal: error.report!.deaths.map(\.rank).sorted(), [0, 1, 2], "deaths")
            try claim(error.report!.missing.contains { $0.contains(40) }, "\(error.report!)")
            // Dead; init, which has them now, may take a while to bury them.
            for pid in before { try claim(state(of: pid) ?? "Z" == "Z", "\(pid) is left") }
            try claimNoChild("a dead server")
            if schedule == .static { print(error) }
            // The next loop has a new server.
            let report = try team.run(
                KillServer(to: array.output, deadly: -1), grain: 10, schedule: schedule)
            try claim(report.isClean && report.deaths.isEmpty, "\(report)")
            for i in 0..<array.count { try claim(equal: array[i], Int64(i), "\(i)") }
        }
        // Idle: what nobody lost is no error.
        let server = try serverProcess()
        kill(pid_t(server), SIGKILL)
        wait { state(of: server) == "Z" }
        letLooksAge()
        _ = try members(of: team)
        try claim(try serverProcess() != server, "no new server")
        // At once, before it can have been noticed: replaced, or said.
        for _ in 0..<30 {
            try team.run(Nothing(), count: 3, grain: 1)
            let server = try serverProcess()
            kill(pid_t(server), SIGKILL)
            do {
                let small = try team.array(of: Int64.self, count: 10_000)
                try team.run(AddPlace(array: small.inPlace))
                try claim(equal: small[9999], 9999, "an array made around a death")
            } catch let error as MusterError {
                try claim(equal: error.code, .serverDied, "\(error)")
            }
            wait { state(of: server) ?? "Z" == "Z" }
            letLooksAge()
            _ = try members(of: team)
        }
    }
}

/// The same at random moments. Arguments: seed, rounds.
func serverDeaths(_ arguments: [String]) throws {
    var random = Seeded(UInt64(try number(arguments, 0)))
    var losses = 0
    let file = path("mapped")
    try [Int64](repeating: 1, count: 5000).withUnsafeBytes { try write($0, to: file) }
    try leavingNothing("server deaths") {
        let team = try Team(size: 3, start: .forkServer)
        let mapped = try team.array(file: file, of: Int64.self)
        for round in 0..<(try number(arguments, 1)) {
            let server = try serverProcess()
            let delay = random.next() % 20_000
            let killer = startKiller(server, delay)
            do {
                for _ in 0..<20 {
                    let array = try team.array(of: Int64.self, count: 5000)
                    try team.run(Square(from: mapped.input, to: array.output), grain: 10)
                    let sum = try team.reduce(LongSum(array: array.input)).result
                    try claim(equal: sum, 5000, "round \(round)")
                }
            } catch let error as MusterError {
                try claim(equal: error.code, .serverDied, "round \(round): \(error)")
                losses += 1
            }
            waitpid(killer, nil, 0)
            wait { state(of: server) ?? "Z" == "Z" }
            letLooksAge()
            _ = try members(of: team)
            // A file that was mapped before this server began.
            let sum = try team.reduce(LongSum(array: mapped.input)).result
            try claim(equal: sum, 5000, "round \(round): the file")
        }
    }
    unlink(file)
    print("\(losses) loops lost their server")
}

struct LongSum: Reduction {
    let array: SharedArray<Int64>.Input
    var identity: Int64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> Int64 {
        let values = array.span(chunk)
        var sum: Int64 = 0
        for i in values.indices { sum &+= values[i] }
        return sum
    }
    func combine(_ left: Int64, _ right: Int64) -> Int64 { left &+ right }
}

/// A process that kills another after a while.
private func startKiller(_ pid: Int, _ microseconds: UInt64) -> pid_t {
    let killer = muster_child_start()
    if killer == 0 {
        usleep(UInt32(microseconds))
        kill(pid_t(pid), SIGKILL)
        muster_worker_exit()
    }
    return killer
}
