// StormKiller.swift - the process that kills a storm's workers.
//
// It is a child of the leader, forked once the team is there, so it has the team's slots and this
// file's shared page before it. Workers are also made to kill themselves at named points, since some
// states last nanoseconds: then the killer puts a byte into the point's pipe, and the next worker that
// comes by takes it and dies.

internal import MusterCore
internal import MusterCore.Testing
internal import Glibc
internal import Muster

/// Memory that the leader shares with the killer.
struct Sky {
    struct Kill {
        var pid: Int
        /// CLOCK_MONOTONIC, nanoseconds, just before the signal.
        var time: UInt64
    }
    private struct Head {
        var state: UInt64 = 0
        var kills: Int = 0
        var stops: Int = 0
    }
    enum State: UInt64 { case calm = 0, working, ended }

    private static let capacity = 8192
    private static let bytes = 4096 + capacity * MemoryLayout<Kill>.stride
    private let memory: SharedMemory
    private let head: UnsafeMutablePointer<Head>
    private let ring: UnsafeMutablePointer<Kill>

    init() throws(MusterError) {
        memory = try SharedMemory(bytes: Sky.bytes, subject: "storm")
        head = memory.start.assumingMemoryBound(to: Head.self)
        ring = (memory.start + 4096).assumingMemoryBound(to: Kill.self)
    }

    func give() { memory.release() }

    var state: State {
        get { State(rawValue: head.pointee.state) ?? .ended }
        nonmutating set { head.pointee.state = newValue.rawValue }
    }

    /// Workers that have been stopped for a while.
    var stops: Int { head.pointee.stops }

    func noteStop() { head.pointee.stops += 1 }

    func note(_ pid: Int) {
        ring[head.pointee.kills % Sky.capacity] = Kill(pid: pid, time: UInt64(nanoseconds()))
        head.pointee.kills += 1
    }

    /// When a process was last killed; nil: it was not, or long ago.
    func killed(_ pid: Int) -> UInt64? {
        let known = min(head.pointee.kills, Sky.capacity)
        return (0..<known).last { ring[$0].pid == pid }.map { ring[$0].time }
    }
}

/// Named points at which workers kill themselves.
struct StormPoints {
    private static let all = [
        MUSTER_POINT_FORKED, MUSTER_POINT_RANK_HELD, MUSTER_POINT_JOB_SEEN, MUSTER_POINT_CLAIMED,
        MUSTER_POINT_CURRENT, MUSTER_POINT_JOURNALING, MUSTER_POINT_JOURNALED,
        MUSTER_POINT_COMMITTING, MUSTER_POINT_COMMITTED, MUSTER_POINT_RESTORING,
        MUSTER_POINT_RESTORED, MUSTER_POINT_LOOP_ENDED,
    ]
    private var pipes: [(reader: Int32, writer: Int32)] = []

    /// Arms them in this process, for the workers that it will fork.
    init?() {
        for point in StormPoints.all {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFL, O_NONBLOCK) == 0 }),
                ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 })
            else {
                let number = errno
                disarm()
                errno = number
                return nil
            }
            pipes.append((ends[0], ends[1]))
            muster_testing_arm(point, MUSTER_POINT_KILL, 1, -2, ends[0])
        }
    }

    func disarm() {
        for (point, ends) in zip(StormPoints.all, pipes) {
            muster_testing_arm(point, MUSTER_POINT_KILL, 0, -2, -1)
            close(ends.reader)
            close(ends.writer)
        }
    }

    /// Takes back the deaths that no worker has come by for.
    func calm() {
        for ends in pipes {
            var byte: UInt8 = 0
            while read(ends.reader, &byte, 1) == 1 {}
        }
    }

    /// Has the next worker that comes by a point die there.
    func strike(_ number: UInt64) {
        let ends = pipes[Int(number % UInt64(pipes.count))]
        var waiting: Int32 = 0
        // One at a time: a point that nobody comes by must not save up deaths.
        guard ioctl(ends.reader, UInt(FIONREAD), &waiting) == 0, waiting == 0 else { return }
        var byte: UInt8 = 1
        _ = write(ends.writer, &byte, 1)
    }
}

/// The killer's life. Never returns. `until`: when the blows end, in nanoseconds (CLOCK_MONOTONIC), so
/// that the loop in progress comes to its end: among blows it can take many times as long.
func killWorkers(
    of team: OpaquePointer, size: Int, sky: Sky, points: StormPoints, seed: UInt64,
    meanGap: Double, until deadline: Double
) -> Never {
    var random = SplitMix64(state: seed)
    while sky.state != .ended {
        if nanoseconds() >= deadline {
            points.calm()
            rest(1000)
            continue
        }
        rest(UInt32(Double(random.next() % 2000) / 1000 * meanGap * 1e6))
        // Between loops only now and then: idle workers die as well, but it is work that is in doubt.
        if sky.state != .working && random.next() % 32 != 0 { continue }
        let rank = Int(random.next() % UInt64(size))
        switch random.next() % 100 {
        case 0..<2:
            for rank in 0..<size { strike(team, rank, SIGKILL, sky) }
        case 2..<6:
            if strike(team, rank, SIGSTOP, sky) {
                rest(UInt32(random.next() % 4000))
                strike(team, rank, SIGCONT, sky)
                sky.noteStop()
            }
        case 6..<26: points.strike(random.next())
        default: strike(team, rank, SIGKILL, sky)
        }
    }
    // A stopped one may have been replaced meanwhile: nobody is left stopped.
    for rank in 0..<size { strike(team, rank, SIGCONT, sky) }
    muster_worker_exit()
}

/// Sleeps, also where the call behind `usleep` is refused: blows without a pause would let no loop end.
private func rest(_ microseconds: UInt32) {
    if usleep(microseconds) != 0 && errno != EINTR {
        poll(nil, 0, Int32(microseconds / 1000 + 1))
    }
}

/// Sends a signal to the process that holds a rank. Its leader reaps a dead holder and clears the word
/// at once, so the number can't have become another process's.
@discardableResult
private func strike(_ team: OpaquePointer, _ rank: Int, _ signal: Int32, _ sky: Sky) -> Bool {
    let holder = Int(muster_team_slot(team, UInt32(rank))!.pointee.holder)
    guard holder > 1 else { return false }
    if signal == SIGKILL { sky.note(holder) }
    return kill(pid_t(holder), signal) == 0
}

/// Vigna's SplitMix64: a seed gives the same numbers everywhere.
struct SplitMix64 {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
