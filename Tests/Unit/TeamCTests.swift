/// team.h without any worker: options, slots, who holds a rank, and what a failing system call at
/// any place in `muster_team_create` leaves behind.

import MusterCore
import MusterCore.Testing
import Dispatch
import Glibc
import Synchronization
import Testing

private func options(size: UInt32, leaderWorks: UInt32 = 0) -> muster_team_options {
    var options = muster_team_options()
    options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
    options.size = size
    options.leader_works = leaderWorks
    options.usable_cpus = 2
    options.spin_ns = -1
    return options
}

private func create(_ options: muster_team_options) -> (status: Int32, team: OpaquePointer?) {
    var options = options
    var team: OpaquePointer?
    let status = muster_team_create(&options, &team)
    return (status, team)
}

private final class Made {
    let team: OpaquePointer
    init(_ wish: muster_team_options) throws {
        let made = create(wish)
        try #require(made.status == 0)
        team = try #require(made.team)
    }
    deinit { muster_team_destroy(team) }
    var block: UnsafeMutablePointer<muster_team_block> { muster_team_block(team) }
    func slot(_ rank: UInt32) -> muster_slot { muster_team_slot(team, rank).pointee }
}

/// Descriptors that are open, and mappings: what a failed call must not add to.
private func counts() -> (descriptors: Int, mappings: Int) {
    var descriptors = 0
    for fd: Int32 in 0..<1024 where fcntl(fd, F_GETFD) >= 0 { descriptors += 1 }
    var mappings = 0
    let maps = open("/proc/self/maps", O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: 65536)
    var text: [UInt8] = []
    while case let length = read(maps, &bytes, bytes.count), length > 0 { text += bytes[..<length] }
    close(maps)
    for line in text.split(separator: 10) {
        // The heap and the runtime's own mappings come and go; ours have this name or no access.
        let line = String(decoding: line, as: UTF8.self)
        if line.contains("memfd:muster") { mappings += 1 }
    }
    return (descriptors, mappings)
}

/// Addresses that this process has mapped or reserved: a space that stays behind takes terabytes.
private func addressBytes() -> Int {
    let file = open("/proc/self/statm", O_RDONLY)
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 200)
    let length = read(file, &bytes, bytes.count)
    return Int(String(decoding: bytes[..<length], as: UTF8.self).split(separator: " ")[0])! * 4096
}

/// Has the n-th system call of `call` fail, n = 1, 2, ... and returns what `call` said each time.
///
/// A leak shows every time; what the runtime and the testing library open on their own, once: so a
/// difference counts only when it comes three times in a row.
private func failEachCall(_ error: Int32, _ call: () -> Int32) -> [Int32] {
    var seen: [Int32] = []
    for n: UInt64 in 1..<200 {
        var isClean = false
        var status: Int32 = 0
        var delivered = false
        for _ in 0..<3 where !isClean {
            let before = counts()
            let addresses = addressBytes()
            muster_testing_fail_call(n, error)
            status = call()
            delivered = muster_testing_failed()
            muster_testing_fail_call(0, 0)
            isClean = counts() == before && addressBytes() < addresses + (1 << 30)
        }
        #expect(isClean, "call \(n) with errno \(error) leaves something behind")
        if !delivered { return seen }
        seen.append(status)
    }
    Issue.record("the injected failure was delivered without end")
    return seen
}

@Suite struct TeamCTests {
    @Test func optionsThatMakeNoSenseAreRefused() {
        var wish = options(size: 2)
        func refused(_ wish: muster_team_options) -> Bool {
            let made = create(wish)
            return made.status == -EINVAL && made.team == nil
        }
        #expect(refused(options(size: 0)))
        #expect(refused(options(size: UInt32(MUSTER_RANKS_MAX) + 1)))
        #expect(refused(options(size: .max)))
        #expect(refused(options(size: 1, leaderWorks: 2)))
        wish.wait = MUSTER_WAIT_SLEEP.rawValue + 1
        #expect(refused(wish), "a wait that there is not")
        wish.wait = MUSTER_WAIT_AUTOMATIC.rawValue
        for bytes: UInt32 in [0, 4, wish.size_bytes - 1, wish.size_bytes + 1, .max] {
            wish.size_bytes = bytes
            #expect(refused(wish), "size_bytes \(bytes)")
        }
    }

    @Test(arguments: [1, 2, 31, 4096] as [UInt32]) func aNewTeamIsEmptyButForItsLeader(size: UInt32)
        throws
    {
        for works: UInt32 in [0, 1] {
            let made = try Made(options(size: size, leaderWorks: works))
            #expect(made.block.pointee.size == size && made.block.pointee.leader_works == works)
            #expect(made.block.pointee.leader_pid == getpid())
            #expect(made.block.pointee.chunk_capacity <= UInt64(MUSTER_CHUNKS_MAX))
            #expect(made.block.pointee.chunk_capacity >= 1 << 20)
            #expect(
                made.block.pointee.roll_bytes
                    == muster_roll_bytes(made.block.pointee.chunk_capacity))
            for rank in 0..<size {
                let isLeader = works == 1 && rank == 0
                #expect(muster_team_holds(made.team, rank) == isLeader)
                #expect(made.slot(rank).holder == (isLeader ? UInt64(getpid()) : 0))
            }
            #expect(!muster_team_holds(made.team, size))
            #expect(muster_team_poll(made.team) == size - works)
            var count: UInt32 = 9
            _ = muster_team_deaths(made.team, &count)
            #expect(count == 0 && muster_team_progress(made.team) == 0)
            #expect(muster_team_join(made.team, 0) == 1, "nobody to wait for")
        }
    }

    /// Slots of different ranks and their writers must not share a line, nor rolls overlap.
    @Test func slotsAndRollsLieApart() throws {
        let made = try Made(options(size: 5))
        func address(_ pointer: UnsafeMutableRawPointer?) -> UInt { UInt(bitPattern: pointer) }
        for rank: UInt32 in 1..<5 {
            let before = address(muster_team_slot(made.team, rank - 1))
            let here = address(muster_team_slot(made.team, rank))
            #expect(here - before == UInt(MemoryLayout<muster_slot>.stride))
            #expect(here % UInt(MUSTER_LINE_BYTES) == 0)
            let rolls =
                address(muster_team_roll(made.team, rank))
                - address(muster_team_roll(made.team, rank - 1))
            #expect(rolls == UInt(made.block.pointee.roll_bytes))
        }
        let job = address(muster_team_job(made.team))
        let lastSlot = address(muster_team_slot(made.team, 4))
        #expect(job >= lastSlot + UInt(MemoryLayout<muster_slot>.stride))
        #expect(
            address(muster_team_roll(made.team, 0)) >= job + UInt(MemoryLayout<muster_job>.stride))
    }

    @Test func aHeldRankIsRefusedToEverybodyElse() throws {
        let made = try Made(options(size: 3))
        #expect(muster_rank_hold(made.block, 1, 100) == 0)
        #expect(made.slot(1).holder == 100 && made.slot(1).incarnation == 1)
        #expect(muster_rank_hold(made.block, 1, 101) == -EBUSY)
        #expect(muster_rank_hold(made.block, 1, 100) == -EBUSY, "by its holder too")
        #expect(made.slot(1).incarnation == 1, "a refusal is no incarnation")
        #expect(muster_rank_release(made.block, 1, 101) == -EPERM)
        #expect(made.slot(1).holder == 100)
        #expect(muster_rank_release(made.block, 0, 100) == -EPERM, "not its rank")
        #expect(muster_rank_release(made.block, 1, 100) == 0)
        #expect(muster_rank_release(made.block, 1, 100) == -EPERM, "only once")
        for incarnation: UInt32 in 2...5 {
            #expect(muster_rank_hold(made.block, 1, 102) == 0)
            #expect(made.slot(1).incarnation == incarnation)
            #expect(muster_rank_release(made.block, 1, 102) == 0)
        }
        #expect(made.slot(0).incarnation == 0 && made.slot(2).incarnation == 0)
    }

    /// Many threads want one rank: exactly one gets it. The threads are the test's own: tasks would wait
    /// for threads that other tests block.
    @Test func onlyOneOfManyGetsARank() throws {
        let made = try Made(options(size: 1))
        nonisolated(unsafe) let block = made.block
        for round: Int32 in 0..<200 {
            let winners = Mutex(0)
            DispatchQueue.concurrentPerform(iterations: 8) { number in
                if muster_rank_hold(block, 0, round * 10 + Int32(number) + 1) == 0 {
                    winners.withLock { $0 += 1 }
                }
            }
            #expect(winners.withLock { $0 } == 1)
            #expect(made.slot(0).incarnation == UInt32(round) + 1)
            #expect(muster_rank_release(block, 0, Int32(made.slot(0).holder)) == 0)
        }
    }

    @Test func ranksThatCantBeStartedAreRefusedBeforeAnyFork() throws {
        let made = try Made(options(size: 2, leaderWorks: 1))
        #expect(muster_team_spawn(made.team, 0) == -EINVAL, "the leader's own")
        #expect(muster_team_spawn(made.team, 2) == -EINVAL)
        #expect(muster_team_spawn(made.team, .max) == -EINVAL)
        #expect(muster_team_adopt(made.team, 1) == 0)
        #expect(muster_team_holds(made.team, 1))
        #expect(muster_team_adopt(made.team, 1) == -EBUSY)
        #expect(muster_team_spawn(made.team, 1) == -EBUSY, "held by this process")
        #expect(muster_team_adopt(made.team, 2) < 0, "no such rank")
    }

    @Test func aJoinEndsWhenItsTimeIsOver() throws {
        let made = try Made(options(size: 2))
        #expect(muster_team_adopt(made.team, 0) == 0 && muster_team_adopt(made.team, 1) == 0)
        let job = muster_team_job(made.team)!
        job.pointee.kind = MUSTER_JOB_ATTACH.rawValue
        let number = muster_team_dispatch(made.team)
        #expect(number == 1 && job.pointee.number == 1)
        #expect(muster_team_join(made.team, 0) == 0)
        #expect(muster_team_join(made.team, 3_000_000) == 0)
        muster_worker_done(made.team, 0, number)
        #expect(muster_team_join(made.team, 1_000_000) == 0, "one of two is not all")
        muster_worker_done(made.team, 1, number)
        #expect(muster_team_join(made.team, -1) == 1)
        #expect(muster_team_dispatch(made.team) == 2)
        #expect(muster_team_join(made.team, 0) == 0, "what was done before does not count again")
    }

    @Test func aCommitJobOutsideTheArenaIsRefused() throws {
        let made = try Made(options(size: 2))
        let job = muster_team_job(made.team)!
        let space = muster_team_space(made.team)!.pointee
        var extent = muster_extent()
        try #require(
            muster_space_allocate(muster_team_space(made.team), 8192, false, &extent) == 0)
        try #require(extent.offset_bytes == 0)
        func commit(
            _ offset: UInt64, _ bytes: UInt64, block: UInt64 = 4096, unit: UInt64 = 4096,
            pieces: UInt64 = 0
        ) -> Int32 {
            job.pointee.kind = MUSTER_JOB_COMMIT.rawValue
            job.pointee.extent_offset = offset
            job.pointee.extent_bytes = bytes
            job.pointee.block_bytes = block
            job.pointee.unit_bytes = unit
            job.pointee.list_count = pieces
            return muster_worker_commit(made.team, 1)
        }
        #expect(commit(0, 8192) == 0)
        #expect(commit(0, 0) == 0)
        #expect(commit(0, 8192, block: 0) == -EUCLEAN)
        #expect(commit(0, 8192, unit: 0) == -EUCLEAN)
        #expect(commit(0, 8192, unit: 5000) == -EUCLEAN)
        #expect(commit(0, 8192, pieces: UInt64(MUSTER_LIST_MAX) + 1) == -EUCLEAN)
        let list = muster_team_pieces(made.team)!
        list[0] = muster_piece(end_bytes: 4096, node: .max, reserved: 0)
        list[1] = muster_piece(end_bytes: 4096, node: .max, reserved: 0)
        #expect(commit(0, 8192, pieces: 2) == -EUCLEAN, "pieces that don't rise")
        #expect(commit(space.arena_bytes, 8192) < 0, "nothing is mapped in the window")
        #expect(commit(space.arena_bytes - 4096, 8192) == -EUCLEAN)
        #expect(commit(.max, 1) == -EUCLEAN)
        #expect(commit(4096, .max) == -EUCLEAN)
    }

    @Test func endingTwiceAndDestroyingNothingAreAllowed() throws {
        let made = try Made(options(size: 2))
        muster_team_end(made.team)
        muster_team_end(made.team)
        muster_team_destroy(nil)
    }

    /// The n-th system call fails, n = 1, 2, ... until none is left to fail: an error, and nothing
    /// left behind. In a process of its own: the injector and the counts are the whole process's.
    @Test(.timeLimit(.minutes(10))) func aFailedCreationLeavesNothingBehind() async {
        await #expect(processExitsWith: .success) {
            for error in [ENOMEM, EMFILE, EIO] {
                let seen = failEachCall(error) {
                    let made = create(options(size: 3))
                    if made.status == 0 { muster_team_destroy(made.team) }
                    return made.status
                }
                #expect(seen.count >= 10 && seen.allSatisfy { $0 == 0 || $0 == -error }, "\(seen)")
                // Advice may fail, and too little room is asked for again with less.
                #expect(seen.filter { $0 < 0 }.count >= (error == ENOMEM ? 6 : 10), "\(seen)")
            }
        }
    }

    /// The same for a segment, a space and the memory question.
    @Test(.timeLimit(.minutes(10))) func failedSegmentsAndSpacesLeaveNothingBehind() async {
        await #expect(processExitsWith: .success) {
            var segment = muster_segment()
            let made = failEachCall(EMFILE) {
                let status = muster_segment_create("muster-t", MUSTER_SEGMENT_ARENA, 4096, &segment)
                if status == 0 { muster_segment_destroy(&segment) }
                return status
            }
            #expect(made.filter { $0 == -EMFILE }.count == 4, "\(made)")
            var source = muster_segment()
            #expect(muster_segment_create("muster-t", MUSTER_SEGMENT_ARENA, 4096, &source) == 0)
            let attached = failEachCall(EMFILE) {
                let status = muster_segment_attach(source.fd, MUSTER_SEGMENT_ARENA, &segment)
                if status == 0 { muster_segment_destroy(&segment) }
                return status
            }
            #expect(attached.count == 4 && attached.allSatisfy { $0 == -EMFILE }, "\(attached)")
            muster_segment_destroy(&source)
            var space = muster_space()
            let spaces = failEachCall(EMFILE) {
                let status = muster_space_create(&space)
                if status == 0 { muster_space_destroy(&space) }
                return status
            }
            #expect(spaces.filter { $0 == -EMFILE }.count >= 5, "\(spaces)")
            var available: UInt64 = 0
            let asked = failEachCall(EMFILE) { muster_memory_available(&available) }
            #expect(asked.first == -EMFILE && asked.dropFirst().allSatisfy { $0 == 0 }, "\(asked)")
        }
    }
}
