// FaultScenarios.swift - the n-th system call fails, for n = 1, 2, ... until everything passes.
//
// The injector's state goes along with a fork, so a failure that is armed before the team starts is
// met by the leader and by each worker, each at its own n-th call.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// Runs one stage with one failure; errors are the library's own and in words. Whether it failed.
private func stage(_ what: String, _ body: () throws -> Void) throws -> Bool {
    do {
        try body()
        return false
    } catch let error as MusterError {
        try claim(!error.description.isEmpty, "\(what): an error without words")
        return true
    }
}

private func check(_ team: borrowing Team, _ what: String) throws {
    // Workers that have the failure still before them may meet it now, each once.
    for attempt in 0..<6 {
        let failed = try stage(what) { _ = try members(of: team) }
        if !failed { return }
        try claim(attempt < 5, "\(what): the team does not recover")
    }
}

/// Arguments: stage, errno. The leader meets the failure, in this stage only.
func fault(_ arguments: [String]) throws {
    let code = Int32(try number(arguments, 1))
    let file = path("fault.npy")
    do {
        let team = try Team(size: 1)
        try team.array((0..<5000).map { Double($0) }).save(npy: file)
    }
    defer { unlink(file) }
    var failures = 0
    var n: UInt64 = 1
    while true {
        let what = "\(arguments[0]), call \(n), error \(code)"
        let delivered = try leavingNothing(what) {
            try faultOnce(arguments[0], n, code, file, what, &failures)
        }
        if !delivered { break }
        n += 1
        try claim(n < 2000, "no end of calls")
    }
    print("\(arguments[0]): \(n - 1) calls failed in turn, \(failures) errors")
}

private func faultOnce(
    _ name: String, _ n: UInt64, _ code: Int32, _ file: String, _ what: String,
    _ failures: inout Int
) throws -> Bool {
    if name == "start" {
        muster_testing_fail_call(n, code)
        defer { muster_testing_fail_call(0, 0) }
        let failed = try stage(what) {
            let team = try Team(size: 3)
            try check(team, what)
        }
        failures += failed ? 1 : 0
        return muster_testing_failed()
    }
    var delivered = false
    let team = try Team(size: 3)
    func faulty(_ body: () throws -> Void) throws {
        muster_testing_fail_call(n, code)
        let failed = try stage(what, body)
        delivered = muster_testing_failed()
        muster_testing_fail_call(0, 0)
        failures += failed ? 1 : 0
    }
    switch name {
    case "array", "array-blocked", "array-bound", "array-mirrored":
        let placements: [String: Placement] = [
            "array": .firstTouch, "array-blocked": .blocked, "array-bound": .bind(node: 0),
            "array-mirrored": .mirrored,
        ]
        let placement = placements[name]!
        try faulty {
            var array = try team.array(of: Int64.self, count: 4000, placement: placement)
            try array.fill(1)
            try claim(array.toArray().allSatisfy { $0 == 1 }, what)
        }
    case "file":
        try faulty {
            let array = try team.array(npy: file, as: Double.self)
            let raw = try team.array(file: file, of: UInt8.self, writable: true)
            let sum = try team.reduce(Bulk.Sum(array.input)).result
            try claim(equal: sum, 12_497_500, what)
            try claim(equal: raw[1], UInt8(ascii: "N"), what)
        }
    case "run":
        let array = try team.array(of: Int64.self, count: 5000)
        try faulty {
            try team.run(AddPlace(array: array.inPlace), grain: 10)
            try claim(equal: array.toArray(), (0..<5000).map { $0 }, what)
            _ = try team.reduce(Compose(array: array.input), grain: 10)
            try team.run(Generic<Int64>(array: array.inPlace, by: 1), grain: 10)
        }
    case "refill":
        kill(pid_t(team.processIDs[1]), SIGKILL)
        wait { state(of: team.processIDs[1]) == "Z" }
        usleep(2000)
        try faulty { _ = try members(of: team) }
    case "end":
        _ = try members(of: team)
        muster_testing_fail_call(n, code)
        end(team)
        delivered = muster_testing_failed()
        muster_testing_fail_call(0, 0)
        return delivered
    default: throw Failure(description: "no such stage: \(name)")
    }
    try check(team, what)
    return delivered
}

private func end(_ team: consuming Team) {}

/// The whole life of a team under one failure, met by the leader and by the workers. Argument: errno.
func faultLife(_ arguments: [String]) throws {
    let code = Int32(try number(arguments, 0))
    let file = path("life.npy")
    do {
        let team = try Team(size: 1)
        try team.array((0..<5000).map { Double($0) }).save(npy: file)
    }
    defer { unlink(file) }
    func life(_ what: String) throws {
        _ = try stage(what) {
            let team = try Team(size: 3)
            for _ in 0..<2 {
                _ = try stage(what) {
                    let array = try team.array(of: Int64.self, count: 3000)
                    try team.run(AddPlace(array: array.inPlace), grain: 10, schedule: .dynamic)
                    try claim(equal: array.toArray(), (0..<3000).map { $0 }, what)
                }
                _ = try stage(what) {
                    let array = try team.array(npy: file, as: Double.self)
                    let sum = try team.reduce(Bulk.Sum(array.input)).result
                    try claim(equal: sum, 12_497_500, what)
                }
            }
            try check(team, what)
        }
    }
    muster_testing_fail_call(0, 0)
    try life("no failure")
    // Workers make a few calls more than the leader has counted when they were forked.
    let calls = muster_testing_calls() + 20
    for n in 1...calls {
        let what = "call \(n), error \(code)"
        try leavingNothing(what) {
            muster_testing_fail_call(n, code)
            try life(what)
            muster_testing_fail_call(0, 0)
        }
    }
    print("\(calls) calls failed in turn")
}

/// A file that could not be written whole is not left behind as if it were one.
func faultInSave(_: [String]) throws {
    let team = try Team(size: 1)
    let array = try team.array((0..<5000).map { Double($0) })
    let file = path("save.npy")
    var n: UInt64 = 1
    while true {
        muster_testing_fail_call(n, EIO)
        let failed = try stage("save") { try array.save(npy: file) }
        let delivered = muster_testing_failed()
        muster_testing_fail_call(0, 0)
        try claim(equal: failed, delivered, "call \(n): an error that was not told")
        if failed {
            try claim(access(file, F_OK) != 0, "call \(n): an incomplete file is left")
        }
        if !delivered { break }
        n += 1
    }
    try claim(n >= 4, "only \(n - 1) calls")
    unlink(file)
}
