// RecoveryTeamScenarios.swift - teams that lose workers: what they report, and that they go on.

import Glibc
import Muster
import TestSupport

private let count = 2998  // 300 chunks of 10, the last of 8
private let grain = 10

/// Death numbers and texts, word for word.
func edgeReport(_: [String]) throws {
    try leavingNothing("report") {
        let team = try Doom.team(3)
        let doom = Doom.shared
        let array = try team.array(oldContents(count))
        doom[150] = 2
        doom[7] = 1
        let report = try team.run(Twice(x: array.inPlace), grain: grain)
        try claim(equal: report.deaths.count, 3, "\(report.deaths)")
        for (rank, chunk, attempts) in [(1, 150, [1, 2]), (0, 7, [1])] {
            let deaths = report.deaths.filter { $0.rank == rank }
            try claim(equal: deaths.map(\.chunk), attempts.map { _ in chunk }, "\(deaths)")
            try claim(equal: deaths.map(\.attempt), attempts, "\(deaths)")
            for death in deaths {
                try claim(
                    death.signal == Int(SIGKILL) && death.exitCode == 0 && !death.isStalled,
                    "\(death)")
            }
        }
        try claim(equal: report.redone, 2, "chunks that were done again: \(report)")
        try claim(
            report.description.hasPrefix("300 chunks, each exactly once, by 3 ranks; died: rank "),
            "\(report)")
        try claim(report.description.hasSuffix("; 2 redone"), "\(report)")
        for rank in [0, 1] {
            try claim(report.description.contains("rank \(rank) (signal 9)"), "\(report)")
        }
        // With .fail nothing is redone, and nothing says so.
        doom[299] = 1
        let error = try refusal("fail") {
            try team.run(
                Twice(x: array.inPlace, fate: .exit), grain: grain, recovery: .fail)
        }
        try claim(equal: error.code, .workerDied, "\(error)")
        try claim(equal: error.report!.redone, 0, "\(error)")
        try claim(
            equal: error.description,
            "rank 2: left with exit status 3 while it worked on chunk 299 (elements 2990..<2998); "
                + "1 of 300 chunks are missing", "the error")
        try claim(
            error.report!.description.hasSuffix("; died: rank 2 (exit 3)"),
            "\(error.report!)")
        let next = try team.run(Twice(x: array.inPlace), grain: grain)
        try claim(
            equal: next.description, "300 chunks, each exactly once, by 3 ranks", "the next loop")
    }
}

/// Arguments: size. Deaths in a reduction; prints its bits for the test to compare.
func edgeReduce(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    try leavingNothing("reduce") {
        let team = try Doom.team(size)
        let doom = Doom.shared
        let from = try team.array(oldContents(count))
        var bits: Set<UInt64> = []
        for schedule in Schedule.allCases {
            for dying in [[:], [0: 1], [299: 2], [0: 2, 1: 1, 150: 1, 151: 2, 298: 1]] {
                doom.clear()
                for (chunk, times) in dying { doom[chunk] = times }
                let sum = try team.reduce(
                    RoughDoom(from: from.input), grain: grain, schedule: schedule)
                let deaths = dying.values.reduce(0, +)
                try expectClean(sum.report, nil, deaths: deaths...deaths, "\(schedule), \(dying)")
                bits.insert(sum.result.bitPattern)
            }
        }
        try claim(equal: bits.count, 1, "patterns of one sum")
        print("sum \(bits.first!)")
    }
}

/// Arguments: kind, schedule. A team of one, whose only worker dies.
func edgeAlone(_ arguments: [String]) throws {
    let kind = try Kind(arguments, 0)
    let schedule = try schedule(arguments, 1)
    try leavingNothing("alone") {
        let team = try Debt.team(1)
        for (deadly, deaths) in [(0, 1), (150, 2), (299, 1)] {
            try Trial(kind: kind, schedule: schedule, deadly: deadly, deaths: deaths).run(team) {
                report, failure in
                try expectClean(report, failure, deaths: deaths...deaths, "\(deadly)")
            }
        }
        _ = try members(of: team)
    }
}

/// Adds each element's place, and in one chunk kills a rank, itself perhaps, that works as well.
private struct AddAndKill: Kernel {
    let x: SharedArray<Int64>.InPlace
    let killer: Int
    let victim: Int32
    let doom = Doom.shared

    func process(_ chunk: borrowing Chunk) throws {
        let kills = chunk.index == killer
        x.update(chunk) { x, places in
            for i in x.indices {
                x[i] &+= Int64(places.lowerBound + i)
                if kills && i == x.count / 2 && doom[Doom.flag(0)] > 0 {
                    doom[Doom.flag(0)] = 0
                    kill(victim, SIGKILL)
                }
            }
        }
    }
}

/// Argument: seed. A thousand short loops, with a random kill before or within every tenth.
func edgeThousand(_ arguments: [String]) throws {
    var random = Seeded(UInt64(try number(arguments, 0)))
    try leavingNothing("a thousand loops") {
        let team = try Doom.team(3)
        let count = 600
        let array = try team.array(of: Int64.self, count: count)
        var (idle, inChunk) = (0, 0)
        for loop in 0..<1000 {
            let grain = Int(random.next() % 20) + 1
            var (killer, victim) = (-1, Int32(0))
            if loop % 10 == 9 {
                victim = Int32(team.processIDs[Int(random.next() % 3)])
                if random.next() % 2 == 0 {
                    kill(victim, SIGKILL)
                    usleep(UInt32(random.next() % 4) * 500)
                } else {
                    killer = Int(random.next() % UInt64(count / grain))
                    Doom.shared[Doom.flag(0)] = 1
                }
            }
            let kernel = AddAndKill(x: array.inPlace, killer: killer, victim: victim)
            let report = try team.run(
                kernel, grain: grain, schedule: Schedule.allCases[Int(random.next() % 5)])
            try claim(report.isClean && report.vacantRanks.isEmpty, "loop \(loop): \(report)")
            try claim(
                report.deaths.isEmpty || report.deaths.count == 1 && loop % 10 != 8,
                "loop \(loop): \(report)")
            for death in report.deaths {
                if death.chunk == nil { idle += 1 } else { inChunk += 1 }
            }
            if loop % 10 == 9 {
                for i in 0..<count {
                    try claim(equal: array[i], Int64(i * (loop + 1)), "element \(i), loop \(loop)")
                }
            }
        }
        print("of 100 deaths \(inChunk) were in a chunk, \(idle) in a loop but in none")
        _ = try members(of: team)
    }
}

private struct Says: Error, CustomStringConvertible, BitwiseCopyable {
    var description: String { "first line\nsecond line\r\nthird" }
}

private struct Talks: Kernel {
    func process(_ chunk: borrowing Chunk) throws { throw Says() }
}

/// What a kernel says may have several lines; the error has one.
func edgeOneLine(_: [String]) throws {
    try leavingNothing("one line") {
        let team = try Doom.team(2)
        let error = try refusal("several lines") { try team.run(Talks(), count: 4, grain: 1) }
        try claim(error.code == .kernelThrew && error.description.contains("third"), "\(error)")
        try claim(!error.description.contains { $0.isNewline }, "\(error)")
    }
}

/// Children that others reap: a leader that ignores SIGCHLD, and one that waits for any child.
func edgeReaped(_: [String]) throws {
    try leavingNothing("reaped by others") {
        for ignores in [true, false] {
            let team = try Doom.team(3)
            let old = oldContents(600)
            if ignores { signal(SIGCHLD, SIG_IGN) }
            team.onProgress = { _ in while !ignores, waitpid(-1, nil, WNOHANG) > 0 {} }
            for schedule in Schedule.allCases {
                let array = try team.array(old)
                (Doom.shared[0], Doom.shared[30]) = (1, 1)
                let report = try team.run(
                    Twice(x: array.inPlace, microseconds: 5000), grain: 10, schedule: schedule)
                try expectClean(report, nil, deaths: 2...2, "\(schedule)")
                try claimChanged(array, from: old, report, "\(schedule)")
            }
            team.onProgress = nil
            _ = try members(of: team)
            signal(SIGCHLD, SIG_DFL)
        }
    }
}

/// Two teams in turn, each with deaths, and one that outlives the other.
func edgeTwoTeams(_: [String]) throws {
    try leavingNothing("two teams") {
        let old = oldContents(count)
        let first = try Doom.team(2)
        func strike(_ team: borrowing Team, _ what: String) throws {
            let array = try team.array(old)
            (Doom.shared[5], Doom.shared[222]) = (1, 2)
            let report = try team.run(Twice(x: array.inPlace), grain: grain, schedule: .dynamic)
            try expectClean(report, nil, deaths: 3...3, what)
            try claimChanged(array, from: old, report, what)
        }
        do {
            let second = try Team(size: 3)
            for round in 0..<5 {
                try strike(first, "first, \(round)")
                try strike(second, "second, \(round)")
                kill(pid_t(first.processIDs[1]), SIGKILL)
                try strike(second, "second, the first has lost a worker")
            }
            _ = try members(of: second)
        }
        try strike(first, "after the second")
        _ = try members(of: first)
    }
}

private struct Anew<Ballast>: Kernel {
    let x: SharedArray<Int64>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        x.update(chunk) { x, places in
            for i in x.indices { x[i] &+= Int64(places.lowerBound + i) }
        }
    }
}

private enum Nest<Inner> {}

/// Argument: leader. Kernels for which all workers are forked again, one after the other: those that start
/// have nothing to do with the job before, which ended the old ones.
func edgeRestarts(_ arguments: [String]) throws {
    let leader: Team.Leader = arguments[0] == "works" ? .works : .waits
    try leavingNothing("restarts") {
        let team = try Doom.team(3, leader: leader)
        let array = try team.array(of: Int64.self, count: 500)
        func round<Ballast>(_: Ballast.Type, _ number: Int) throws {
            let before = team.processIDs
            let report = try team.run(Anew<Ballast>(x: array.inPlace), grain: 10)
            try expectClean(report, nil, deaths: 0...0, "round \(number)")
            try claim(team.processIDs[1] != before[1], "round \(number): no new workers")
            for i in 0..<500 {
                try claim(equal: array[i], Int64(i * number), "element \(i), round \(number)")
            }
            if number < 60 { try round(Nest<Ballast>.self, number + 1) }
        }
        try round(Int8.self, 1)
        _ = try members(of: team)
        try claim(equal: team.deathsBetweenLoops, [:], "deaths between loops")
    }
}
