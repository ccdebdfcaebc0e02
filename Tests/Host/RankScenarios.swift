// RankScenarios.swift - ranks are exactly 0..<size, each held by one process.

import MusterCore
import Glibc
import Muster

/// Runs `WhoAmI` once in each rank and checks what it left.
func members(of team: borrowing Team) throws -> [Member] {
    let array = try team.array(of: Member.self, count: team.size)
    let report = try team.eachRank(WhoAmI(members: array.inPlace))
    try claim(report.isClean, "\(report)")
    let found = array.toArray()
    // A rank that died after its commit, as where the end of a checked loop is refused, has a successor.
    let died = Set(report.deaths.map(\.rank))
    for (rank, member) in found.enumerated() where !died.contains(rank) {
        try claim(
            equal: member,
            Member(
                rank: Int32(rank), size: Int32(team.size), pid: Int32(team.processIDs[rank]),
                times: 1), "chunk \(rank)")
    }
    try claim(equal: Set(found.map(\.pid)).count, team.size, "distinct processes")
    return found
}

/// Three teams one after the other, each 0..<8.
func ranks(_: [String]) throws {
    var earlier: Set<Int32> = []
    for _ in 0..<3 {
        try leavingNothing("a team of 8") {
            let team = try Team(size: 8)
            let pids = Set(try members(of: team).map(\.pid))
            try claim(!pids.contains(getpid()), "the leader holds a rank")
            try claim(pids.isDisjoint(with: earlier), "workers of an earlier team")
            earlier = pids
        }
        for pid in earlier { try claim(!isAlive(Int(pid)), "worker \(pid) outlives its team") }
    }
}

/// Two teams at once, their loops interleaved.
func twoTeams(_: [String]) throws {
    try leavingNothing("two teams") {
        let first = try Team(size: 4)
        let second = try Team(size: 3, leader: .works, check: .off)
        var pids: Set<Int32> = []
        for _ in 0..<5 {
            pids.formUnion(try members(of: first).map(\.pid))
            pids.formUnion(try members(of: second).map(\.pid))
        }
        try claim(equal: pids.count, 7, "processes of both teams")
    }
    // The first ends before the second, whose workers have inherited its descriptors.
    try leavingNothing("two teams, crosswise") {
        var first: Team? = try Team(size: 2)
        let second = try Team(size: 2)
        first = nil
        _ = try members(of: second)
        _ = first == nil
    }
}

func leaderWorks(_: [String]) throws {
    for size in [1, 2, 5] {
        try leavingNothing("a leader that works, of \(size)") {
            let team = try Team(size: size, leader: .works, check: .off)
            try claim(equal: try members(of: team)[0].pid, getpid(), "rank 0")
        }
    }
}

/// A process that asks for a rank that is held does not get it.
func heldRank(_: [String]) throws {
    try leavingNothing("a held rank") {
        var options = muster_team_options()
        options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
        options.size = 2
        options.leader_works = 1
        options.usable_cpus = 1
        options.spin_ns = -1
        var made: OpaquePointer?
        try claim(equal: muster_team_create(&options, &made), 0, "muster_team_create")
        let team = made!
        defer { muster_team_destroy(team) }
        try claim(equal: muster_team_spawn(team, 0), -EINVAL, "the leader's rank")
        try claim(equal: muster_team_spawn(team, 2), -EINVAL, "a rank beyond the size")
        let pid = muster_team_spawn(team, 1)
        if pid == 0 {
            // The second process: rank 0 is the leader's, rank 1 is its own already.
            let block = muster_team_block(team)
            let me = getpid()
            let refused =
                muster_rank_hold(block, 0, me) == -EBUSY
                && muster_rank_hold(block, 1, me) == -EBUSY
                && muster_rank_release(block, 0, me) == -EPERM
            _exit(refused ? 42 : 43)
        }
        try claim(pid > 0, "muster_team_spawn: \(pid)")
        try claim(equal: muster_team_spawn(team, 1), -EBUSY, "a rank that is held")
        wait { muster_team_poll(team) == 1 }
        var count: UInt32 = 0
        let deaths = muster_team_deaths(team, &count)!
        try claim(equal: count, 1, "deaths")
        try claim(equal: deaths[0].exit_code, 42, "exit status of the second process")
        try claim(equal: deaths[0].rank, 1, "its rank")
        // Now the rank is vacant, so a new process gets it.
        let next = muster_team_spawn(team, 1)
        if next == 0 {
            var seen: UInt64 = 0
            _ = muster_worker_wait(team, 1, &seen)
            muster_worker_exit()
        }
        try claim(next > 0, "a vacant rank was not given: \(next)")
        wait { muster_team_slot(team, 1).pointee.holder == UInt64(next) }
        try claim(equal: muster_team_slot(team, 1).pointee.incarnation, 2, "incarnation")
    }
}

func badSizes(_: [String]) throws {
    for size in [0, -1, 4097, 100_000, Int.max, Int.min] {
        try leavingNothing("a team of \(size)") {
            let error = try refusal("a team of \(size)") { try Team(size: size) }
            try claim(equal: error.code, .invalidArgument, "\(error)")
        }
    }
}

/// A team of many, one loop, the end.
func hello(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    try leavingNothing("a team of \(size)") {
        let team = try Team(size: size)
        _ = try members(of: team)
    }
}

/// The same where each rank takes two descriptors of the leader.
func manyRanks(_ arguments: [String]) throws {
    let size = try number(arguments, 0)
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
    guard limit.rlim_cur >= 2 * rlim_t(size) + 64 else {
        print("skipped: the hard limit is \(limit.rlim_max) descriptors")
        return
    }
    try hello(arguments)
}
