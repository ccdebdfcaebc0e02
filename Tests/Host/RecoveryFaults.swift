// RecoveryFaults.swift - faults that a review has found, each staged as it was found.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

private struct Increment: Kernel {
    let array: SharedArray<Int64>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        array.update(chunk) { values in
            for i in values.indices { values[i] &+= 1 }
        }
    }
}

private struct GenericIncrement<Ballast: BitwiseCopyable, Phantom>: Kernel {
    let array: SharedArray<Int64>.InPlace
    let ballast: Ballast
    func process(_ chunk: borrowing Chunk) throws {
        array.update(chunk) { values in
            for i in values.indices { values[i] &+= 1 }
        }
    }
}

/// Workers that are forked again for a kernel have no part in the job that ended the old ones.
func forkedAgain(_: [String]) throws {
    try leavingNothing("forked again") {
        for round in 0..<20 {
            let team = try Team(size: 3)
            let array = try team.array(of: Int64.self, count: 100_000)
            try team.run(Increment(array: array.inPlace), grain: 100)
            let report = try team.run(
                GenericIncrement<Int16, Character>(array: array.inPlace, ballast: 0), grain: 100,
                recovery: round % 2 == 0 ? .fail : .redo())
            try claim(report.isClean && report.deaths.isEmpty, "\(report)")
            try claim(array.toArray().allSatisfy { $0 == 2 }, "round \(round): not done once")
        }
    }
}

/// Kills ranks between loops, and comes back when the next loop can't but see it.
private func killIdle(_ pids: [Int]) {
    for pid in pids where pid > 0 {
        kill(pid_t(pid), SIGKILL)
        wait { state(of: pid) == "Z" || !isAlive(pid) }
    }
    letLooksAge()
}

/// Processes that die before they have begun: an end, not one death after the other for ever.
func neverBegins(_: [String]) throws {
    try leavingNothing("never begins") {
        let team = try Team(size: 2)
        let array = try team.array(of: Int64.self, count: 1000)
        muster_testing_arm(MUSTER_POINT_JOB_SEEN, MUSTER_POINT_KILL, 1, -2, -1)
        killIdle(team.processIDs)
        let error = try refusal("a loop that nobody can begin") {
            try team.run(Increment(array: array.inPlace), grain: 10)
        }
        try claim(equal: error.code, .workerDied, "\(error)")
        muster_testing_arm(MUSTER_POINT_JOB_SEEN, MUSTER_POINT_KILL, 0, -2, -1)
        killIdle(team.processIDs)
        let report = try team.run(Increment(array: array.inPlace), grain: 10)
        try claim(report.isClean && report.deaths.isEmpty, "\(report)")
        try claim(array.toArray().allSatisfy { $0 == 1 }, "not done once")
    }
}

private struct HiddenIncrement: Kernel {
    let array: SharedArray<Int64>.InPlace?
    let debt: Debt
    func process(_ chunk: borrowing Chunk) throws {
        let isDeadly = chunk.index == 3
        array!.update(chunk) { values in
            for i in values.indices {
                if isDeadly && i == 50 { debt.pay(.kill) }
                values[i] &+= 1
            }
        }
    }
}

/// An access that reflection does not see is journaled all the same.
func hiddenAccess(_: [String]) throws {
    try leavingNothing("hidden access") {
        let team = try Debt.team(2)
        let array = try team.array(of: Int64.self, count: 1000)
        Debt.shared.left.pointee = 1
        let report = try team.run(
            HiddenIncrement(array: array.inPlace, debt: .shared), count: 1000, grain: 100)
        try claim(report.isClean && report.deaths.count == 1, "\(report)")
        try claim(array.toArray().allSatisfy { $0 == 1 }, "not done once")
    }
}

private struct CaughtThrow: Kernel {
    let array: SharedArray<Int64>.InPlace
    let debt: Debt
    func process(_ chunk: borrowing Chunk) throws {
        let isDeadly = chunk.index == 3
        var tiles = 0
        do {
            try array.update(chunk) { values in
                if tiles == 2 { throw Refuses() }
                tiles += 1
                for i in values.indices { values[i] &+= 1 }
            }
        } catch {}
        array.updateWhole(chunk) { values in
            if isDeadly { debt.pay(.kill) }
            for i in values.indices { values[i] &+= 10 }
        }
    }
}

/// A second pass that goes further than the first: what the first has changed is not old.
func caughtThrow(_: [String]) throws {
    try leavingNothing("caught throw") {
        let team = try Debt.team(2)
        let array = try team.array(of: Int64.self, count: 100_000)
        Debt.shared.left.pointee = 1
        let report = try team.run(CaughtThrow(array: array.inPlace, debt: .shared), grain: 10_000)
        try claim(report.isClean && report.deaths.count == 1, "\(report)")
        for (i, value) in array.toArray().enumerated() {
            try claim(equal: value, i % 10_000 < 1024 ? 11 : 10, "element \(i)")
        }
    }
}

private struct ThrowAndDie: Kernel {
    let debt: Debt
    func process(_ chunk: borrowing Chunk) throws {
        if chunk.index == 0 {
            while debt.left[2] == 0 { usleep(200) }
            debt.left[1] = getpid()
            throw Refuses()
        }
        debt.left[2] = 1
        while debt.left[1] == 0 { usleep(200) }
        usleep(20_000)
        kill(debt.left[1], SIGKILL)
        usleep(20_000)
    }
}

/// A rank throws, and is killed while another still works: its error is not forgotten.
func throwAndDie(_: [String]) throws {
    try leavingNothing("throw and die") {
        let team = try Debt.team(2)
        for i in 1...2 { Debt.shared.left[i] = 0 }
        let error = try refusal("a throw") {
            try team.run(ThrowAndDie(debt: .shared), count: 2, grain: 1)
        }
        try claim(equal: error.code, .kernelThrew, "\(error)")
        try claim(error.description.contains("no such number"), "\(error)")
    }
}

private struct ShrinkBeside: Kernel {
    let file: SharedArray<Int64>.Input
    let array: SharedArray<Int64>.InPlace
    func process(_ chunk: borrowing Chunk) throws {
        let read = file.span(chunk)
        let isDeadly = chunk.index == 3
        var at = 0
        array.update(chunk) { values in
            for i in values.indices {
                if isDeadly && at == 300 { truncate("beside.raw", 4096) }
                values[i] &+= 1 &+ read[at]
                at += 1
            }
        }
    }
}

/// A file shrinks under a kernel that changes another array: that array is put back.
func shrunkBeside(_: [String]) throws {
    try [Int64](repeating: 0, count: 10_000).withUnsafeBytes { try write($0, to: "beside.raw") }
    defer { unlink("beside.raw") }
    let team = try Team(size: 2)
    let file = try team.array(file: "beside.raw", of: Int64.self)
    let array = try team.array(of: Int64.self, count: 10_000)
    let error = try refusal("a shrunk file") {
        try team.run(ShrinkBeside(file: file.input, array: array.inPlace), grain: 1000)
    }
    try claim(equal: error.code, .fileShrank, "\(error)")
    let values = array.toArray()
    for chunk in 0..<10 {
        let isDone = !error.report!.missing.contains { $0.contains(chunk) }
        for i in chunk * 1000..<chunk * 1000 + 1000 {
            try claim(equal: values[i], isDone ? 1 : 0, "element \(i), done: \(isDone)")
        }
    }
}

/// A process that the program forks by itself, and that leaves its scopes, takes nothing along.
func ownFork(_: [String]) throws {
    try leavingNothing("own fork") {
        let team = try Team(size: 2)
        let array = try team.array(of: Int64.self, count: 10_000)
        try team.run(Increment(array: array.inPlace))
        func leave(_ array: consuming SharedArray<Int64>) {}
        let child = muster_child_start()
        if child == 0 {
            leave(array)
            muster_worker_exit()
        }
        var status: Int32 = 0
        waitpid(child, &status, 0)
        try claim(equal: status, 0, "the child's end")
        try claim(array.toArray().allSatisfy { $0 == 1 }, "the memory is gone")
        let report = try team.run(Increment(array: array.inPlace))
        try claim(report.isClean && report.deaths.isEmpty, "\(report)")
    }
}

private struct Interrupted: Kernel {
    let array: SharedArray<Int8>.InPlace
    let debt: Debt
    func process(_ chunk: borrowing Chunk) throws {
        let index = chunk.index
        array.update(chunk) { values in
            values[0] &+= 1
            if index < 2 && debt.left[4] == 1 {
                debt.left[2 + index] = 1
                // Not for ever: where one rank has met both deaths at the start, the other gets a chunk
                // of these in the first job already, whose end the arranger waits for.
                for _ in 0..<2000 where debt.left[4] == 1 { usleep(500) }
            }
            values[1] &+= 1
        }
    }
}

/// More deaths at once than a team has ranks: one while idle between two jobs of a loop, then all ranks
/// in the middle of chunks. Arranged by a child; the leader is stopped meanwhile, so that it sees all of
/// them together. Whether the idle one dies between the jobs is a matter of luck, so several rounds.
func deathsAtOnce(_: [String]) throws {
    for round in 0..<5 {
        let tokens = Tokens(2)
        defer { tokens.give() }
        muster_testing_arm(MUSTER_POINT_CLAIMED, MUSTER_POINT_KILL, 1, -2, tokens.ends.0)
        defer { muster_testing_arm(MUSTER_POINT_CLAIMED, MUSTER_POINT_KILL, 0, -2, -1) }
        let team = try Debt.team(2)
        let shared = Debt.shared.left
        // So few chunks that each claim takes one from the counter: the first two are lost.
        let array = try team.array(of: Int8.self, count: 24)
        for i in 1..<8 { shared[i] = 0 }
        shared[4] = 1
        let handle = team.handle
        let number = muster_team_job(handle)!.pointee.number + 1
        let leader = getpid()
        let arranger = muster_child_start()
        if arranger == 0 {
            let slots = (0..<2).map { muster_team_slot(handle, UInt32($0))! }
            func done(_ rank: Int) -> UInt64 {
                usleep(0)
                return slots[rank].pointee.done
            }
            while done(0) != number || done(1) != number {}
            kill(pid_t(slots[0].pointee.holder), SIGKILL)
            while shared[2] == 0 || shared[3] == 0 { usleep(200) }
            kill(leader, SIGSTOP)
            usleep(5000)
            for slot in slots {
                kill(pid_t(slot.pointee.holder), SIGKILL)
                usleep(5000)
            }
            shared[4] = 0
            usleep(20_000)
            kill(leader, SIGCONT)
            _ = team.size + array.count  // not given back before
            muster_worker_exit()
        }
        usleep(20_000)
        let report = try team.run(
            Interrupted(array: array.inPlace, debt: .shared), grain: 2, schedule: .dynamic)
        kill(arranger, SIGKILL)
        waitpid(arranger, nil, 0)
        try claim(report.isClean, "round \(round): \(report)")
        let wrong = array.toArray().count { $0 != 1 }
        try claim(
            equal: wrong, 0, "round \(round): elements not done once, \(report.deaths.count) deaths"
        )
    }
}
