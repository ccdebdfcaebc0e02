// LimitScenarios.swift - what a process may not have: descriptors, processes, addresses; and what a
// team costs.

import MusterCore
import Glibc
import Muster

func limit(_ resource: __rlimit_resource, _ value: Int) throws {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(resource.rawValue), &limit)
    limit.rlim_cur = min(rlim_t(value), limit.rlim_max)
    try claim(setrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, "setrlimit: \(errno)")
}

/// A loop on a team of some size, or a clear error, and nothing left in either case.
private func attempt(size: Int, _ what: String) throws -> MusterError? {
    try leavingNothing(what) {
        do {
            let team = try Team(size: size)
            var array = try team.array(of: Int64.self, count: 100_000)
            try array.fill(3)
            _ = try members(of: team)
            try claim(array.toArray().allSatisfy { $0 == 3 }, "results")
            return nil
        } catch let error as MusterError {
            return error
        }
    }
}

/// Where this process's memory cgroup of version 1 is; nil: there is none.
private func memoryGroup() -> String? {
    for line in contents(of: "/proc/self/cgroup").split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count == 3, parts[1].split(separator: ",").contains("memory") {
            return "/sys/fs/cgroup/memory" + parts[2]
        }
    }
    return nil
}

/// More than a cgroup has left is an error before any memory is touched: nobody is killed.
func memoryGroupLimit(_: [String]) throws {
    guard let parent = memoryGroup() else { return print("skipped: no memory cgroup of version 1") }
    let group = "\(parent)/muster-test-\(getpid())"
    guard mkdir(group, 0o755) == 0 else { return print("skipped: can't make \(group): \(errno)") }
    defer {
        _ = put("\(getpid())", into: "\(parent)/cgroup.procs")
        rmdir(group)
    }
    guard put("\(128 << 20)", into: "\(group)/memory.limit_in_bytes") == 0,
        put("\(getpid())", into: "\(group)/cgroup.procs") == 0
    else { return print("skipped: \(group) can't be used: \(errno)") }
    do {
        let team = try Team(size: 2)
        let error = try refusal("256 MiB in a cgroup of 128") {
            try team.array(of: UInt8.self, count: 256 << 20)
        }
        try claim(equal: error.code, .memory, "\(error)")
        var small = try team.array(of: UInt8.self, count: 16 << 20)
        try small.fill(1)
    }
}

/// Room for some of 64 ranks, each of which takes two descriptors.
func fewDescriptors(_: [String]) throws {
    for spare in 0..<20 {
        try limit(RLIMIT_NOFILE, names(in: "/proc/self/fd").count + spare)
        let error = try attempt(size: 64, "\(spare) descriptors")
        try claim(error != nil, "64 ranks with \(spare) descriptors to spare")
        try claim(equal: error!.errorNumber, EMFILE, "\(error!)")
        if spare == 19 { print(error!) }
    }
    try limit(RLIMIT_NOFILE, 1024)
    if let error = try attempt(size: 64, "enough descriptors") { throw error }
}

/// The limit on a user's processes does not bind root, so the scenario becomes somebody else.
func fewProcesses(_: [String]) throws {
    if geteuid() == 0 {
        // A user who has no processes yet: the limit counts all of a user's.
        guard setgid(54_321) == 0, setuid(54_321) == 0 else {
            print("skipped: root has no limit on processes, and can't become another user here")
            return
        }
    }
    try limit(__RLIMIT_NPROC, 12)
    guard let error = try attempt(size: 64, "12 processes") else {
        print("skipped: this user may have more than 12 processes all the same")
        return
    }
    try claim(equal: error.code, .start, "\(error)")
    try claim(equal: error.errorNumber, EAGAIN, "\(error)")
    try claim(error.description.contains("ulimit -u"), "no remedy: \(error)")
    print(error)
    if let error = try attempt(size: 3, "3 of 12 processes") { throw error }
}

/// Little address space: it works, or the error says what is lacking.
func fewAddresses(_ arguments: [String]) throws {
    guard !isSanitized(by: "__asan_init"), !isSanitized(by: "__tsan_init") else {
        print("skipped: a sanitizer takes terabytes of addresses")
        return
    }
    try limit(RLIMIT_AS, try number(arguments, 0) << 30)
    for size in [1, 8] {
        guard let error = try attempt(size: size, "\(arguments[0]) GiB of addresses") else {
            print("\(size) ranks work")
            continue
        }
        try claim(equal: error.errorNumber, ENOMEM, "\(error)")
        print("\(size) ranks: \(error)")
    }
}

/// A limit on the size of files must not end the program (SIGXFSZ).
func smallFiles(_: [String]) throws {
    try limit(RLIMIT_FSIZE, 1 << 20)
    guard let error = try attempt(size: 3, "files of 1 MiB") else {
        print("works")
        return
    }
    try claim(equal: error.errorNumber, EFBIG, "\(error)")
    print(error)
}

/// The same for a file that is saved: an error with the limit's name, and neither file nor draft.
func smallSave(_: [String]) throws {
    let team = try Team(size: 2)
    var array = try team.array(of: Int64.self, count: 1 << 19)
    try array.fill(7)
    try limit(RLIMIT_FSIZE, 1 << 20)
    let error = try refusal("a file of 4 MiB") { try array.save(npy: "saved.npy") }
    try claim(equal: error.code, .file, "\(error)")
    try claim(error.description.contains("ulimit -f"), "\(error)")
    try claim(equal: names(in: "."), [], "what is left")
    try array.fill(8)  // and the team goes on
    let small = try team.array(of: Int64.self, count: 1 << 10)
    try small.save(npy: "small.npy")
    try claim(unlink("small.npy") == 0, "a small file is not written")
    print("refused")
}

/// CPU time of a process in nanoseconds (its CPU clock: /proc's ticks are 10 ms).
private func cpuTime(of pid: Int) throws -> Int {
    var clock = clockid_t()
    var time = timespec()
    try claim(clock_getcpuclockid(pid_t(pid), &clock) == 0, "no CPU clock of \(pid)")
    try claim(clock_gettime(clock, &time) == 0, "CPU clock of \(pid)")
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Prints what a team of 8 takes of the CPUs while it is idle for two seconds.
func idleCost(_: [String]) throws {
    let team = try Team(size: 8)
    _ = try members(of: team)
    let pids = team.processIDs + [Int(getpid())]
    usleep(50_000)  // workers spin for a moment before they sleep
    let before = try pids.map(cpuTime).reduce(0, +)
    sleep(2)
    let after = try pids.map(cpuTime).reduce(0, +)
    print("idle \((after - before) / 1000)")
    _ = try members(of: team)
}

/// Chunks of one element. Prints the bits of verification memory a chunk and rank. Arguments: chunks,
/// ranks, schedule.
func manyChunks(_ arguments: [String]) throws {
    let count = try number(arguments, 0)
    let size = try number(arguments, 1)
    let schedule = try schedule(arguments, 2)
    let team = try Team(size: size)
    try team.run(Nothing(), count: size, grain: 1)
    let before = memoryFileBytes(named: "muster-control")
    try claim(before > 0, "the control segment is not found")
    for _ in 0..<2 {
        let report = try team.run(Nothing(), count: count, grain: 1, schedule: schedule)
        try claim(report.isClean && report.chunks == count, "\(report)")
    }
    let bytes = memoryFileBytes(named: "muster-control") - before
    // A roll's header and the ends of log and bitmap are pages of their own.
    let slack = size * 4 * 4096
    let most = 2 * count * size / 8 + slack
    try claim(bytes <= most, "\(bytes) bytes for \(count) chunks and \(size) ranks, \(schedule)")
    print("\(Double(bytes * 8) / Double(count * size)) bits a chunk and rank")
}

/// Prints what it takes to make an array, by its size and pages; medians, in microseconds. Argument:
/// ranks.
func creationCost(_ arguments: [String]) throws {
    let team = try Team(size: try number(arguments, 0))
    for mebibytes in [1, 4, 8, 16, 64, 256, 1024] {
        var times: [Pages: [Int]] = [:]
        // In turn, so that a machine whose speed moves is the same for both.
        for _ in 0..<(mebibytes > 100 ? 3 : 9) {
            for pages in [Pages.small, .automatic] {
                var start = timespec()
                var end = timespec()
                clock_gettime(CLOCK_MONOTONIC, &start)
                let array = try team.array(of: UInt8.self, count: mebibytes << 20, pages: pages)
                clock_gettime(CLOCK_MONOTONIC, &end)
                try claim(array.notes.isEmpty || pages == .automatic, "\(array.notes)")
                times[pages, default: []].append(
                    (end.tv_sec - start.tv_sec) * 1_000_000
                        + (end.tv_nsec - start.tv_nsec) / 1000)
            }
        }
        let medians = [Pages.small, .automatic].map { times[$0]!.sorted()[times[$0]!.count / 2] }
        print("\(mebibytes) MiB: 4k \(medians[0]) us, auto \(medians[1]) us")
    }
}
