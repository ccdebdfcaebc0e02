// BindingScenarios.swift - ranks run where they are bound, and the leader is left as it was.

@preconcurrency import Glibc
import Muster

// Glibc's module hides what needs _GNU_SOURCE.
@_silgen_name("sched_getaffinity")
private func getAffinity(_ pid: Int32, _ size: Int, _ mask: UnsafeMutablePointer<UInt8>) -> Int32
@_silgen_name("sched_setaffinity")
private func setAffinity(_ pid: Int32, _ size: Int, _ mask: UnsafePointer<UInt8>) -> Int32

/// CPUs that the calling thread may run on, of the first 8192.
private func ownCPUs() -> [Int] {
    var mask = [UInt8](repeating: 0, count: 1024)
    guard getAffinity(0, mask.count, &mask) == 0 else { return [] }
    return (0..<mask.count * 8).filter { mask[$0 / 8] >> ($0 % 8) & 1 == 1 }
}

private func bindSelf(to cpus: [Int]) throws {
    var mask = [UInt8](repeating: 0, count: 1024)
    for cpu in cpus { mask[cpu / 8] |= 1 << (cpu % 8) }
    try claim(setAffinity(0, mask.count, mask) == 0, "can't bind myself")
}

/// What a rank may run on: how many CPUs, the first one, and where it is.
private struct Whereabouts: BitwiseCopyable, Equatable {
    var count: Int32 = 0
    var first: Int32 = 0
    var here: Int32 = 0
}

private struct WhereAmI: Kernel {
    let found: SharedArray<Whereabouts>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let cpus = ownCPUs()
        let place = Whereabouts(
            count: Int32(cpus.count), first: Int32(cpus.first ?? -1),
            here: Int32(Topology.here()?.cpu ?? -1))
        found.write(chunk) { lines in for i in lines.indices { lines[i] = place } }
    }
}

/// Each rank is on its seat's CPU, or, without one, may run on all of `all`.
private func checkSeats(_ team: borrowing Team, all: [Int], _ what: String) throws {
    let array = try team.array(of: Whereabouts.self, count: team.size)
    try team.eachRank(WhereAmI(found: array.output))
    for (rank, place) in array.toArray().enumerated() {
        if let cpu = team.seats[rank].cpu {
            let expected = Whereabouts(count: 1, first: Int32(cpu), here: Int32(cpu))
            try claim(equal: place, expected, "\(what), rank \(rank)")
        } else {
            try claim(equal: Int(place.count), all.count, "\(what), rank \(rank) is bound")
        }
    }
}

/// Every kind of binding, with a leader that waits and one that works; a rank's second process too.
func binding(_ arguments: [String]) throws {
    let all = ownCPUs()
    let start: Team.Start = arguments.first == "server" ? .forkServer : .fork
    for size in [1, all.count, all.count + 1] {
        for leader in [Team.Leader.waits, .works] {
            for kind in [Binding.spread, .compact, .none, .cpus(all.reversed())] {
                if case .cpus = kind, size > all.count { continue }
                let what = "\(kind), \(size) ranks, leader \(leader)"
                try leavingNothing(what) {
                    let team = try Team(
                        size: size, leader: leader, binding: kind, start: start, check: .off)
                    let isBound = size <= all.count && kind != .none
                    try claim(team.seats.allSatisfy { ($0.cpu != nil) == isBound }, what)
                    try checkSeats(team, all: all, what)
                    let leaderCPUs = isBound && leader == .works ? [team.seats[0].cpu!] : all
                    try claim(equal: ownCPUs(), leaderCPUs, "\(what): the leader meanwhile")
                    let last = team.processIDs[size - 1]
                    if last != Int(getpid()) {
                        kill(pid_t(last), SIGKILL)
                        wait { state(of: last) == "Z" }
                        usleep(2000)
                        try checkSeats(team, all: all, "\(what), after a death")
                        try claim(team.processIDs[size - 1] != last, "no new process")
                    }
                }
                try claim(equal: ownCPUs(), all, "\(what): the leader afterwards")
            }
        }
    }
}

/// A leader that works in two teams sees the whole host in the second, and is free after the last,
/// whichever that is.
func bindingTwice(_: [String]) throws {
    let all = ownCPUs()
    for firstEndsFirst in [true, false] {
        var first: Team? = try Team(size: 1, leader: .works, check: .off)
        var second: Team? = try Team(size: all.count, leader: .works, check: .off)
        try claim(equal: try Topology.read().usableCPUCount, all.count, "CPUs for teams")
        if firstEndsFirst { first = nil } else { second = nil }
        try claim(equal: ownCPUs().count, 1, "CPUs while a team is left")
        if firstEndsFirst { second = nil } else { first = nil }
        try claim(equal: ownCPUs(), all, "CPUs afterwards")
        _ = first == nil && second == nil
    }
}

/// A process that may use one CPU only makes teams on that one, and lists beyond it are refused.
func bindingLimited(_: [String]) throws {
    let all = ownCPUs()
    let last = all[all.count - 1]
    try bindSelf(to: [last])
    try claim(equal: try Team(size: 1).seats.map(\.cpu), [last], "the one CPU")
    let crowded = try Team(size: 2)
    try claim(equal: crowded.seats.map(\.cpu), [nil, nil], "two ranks on one CPU")
    if all.count > 1 {
        let error = try refusal("another CPU") { try Team(size: 1, binding: .cpus([all[0]])) }
        try claim(equal: error.code, .invalidArgument, "\(error)")
        try claim(error.description.contains("may not use CPU \(all[0])"), "\(error)")
    }
    for (list, words) in [
        ([last, last], "twice"), ([1_000_000], "not there"), ([-1], "not there"), ([], "list of 0"),
    ] {
        let error = try refusal("\(list)") { try Team(size: 1, binding: .cpus(list)) }
        try claim(error.description.contains(words), "\(error)")
    }
}
