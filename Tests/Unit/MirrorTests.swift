/// mirror.h and the places of ranks without any worker: the leader does every rank's part of a job.

import MusterCore
import MusterCore.Testing
import Glibc
import Testing

private final class Mirrored {
    let team: OpaquePointer
    private var nodes: [muster_node]
    private var distances: [UInt32]
    var host = muster_topology()

    /// Ranks with these homes among three nodes, 0 and 1 nearer to each other than to 2.
    init(homes: [UInt32]) throws {
        var options = muster_team_options()
        options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
        options.size = UInt32(homes.count)
        options.usable_cpus = 2
        options.spin_ns = -1
        var made: OpaquePointer?
        try #require(muster_team_create(&options, &made) == 0)
        team = try #require(made)
        nodes = (0..<3).map { id in
            var node = muster_node()
            node.id = UInt32(id)
            return node
        }
        distances = [10, 12, 31, 13, 10, 32, 300, 33, 10]
        host.node_count = 3
        let status = nodes.withUnsafeMutableBufferPointer { nodes in
            distances.withUnsafeMutableBufferPointer { distances in
                host.nodes = nodes.baseAddress
                host.distances = distances.baseAddress
                return muster_team_settle(team, &host, homes)
            }
        }
        try #require(status == 0)
    }
    deinit { muster_team_destroy(team) }

    var space: UnsafeMutablePointer<muster_space> { muster_team_space(team) }

    func distances(of rank: UInt32, ranks: Int) -> [UInt8]? {
        muster_team_distances(team, rank).map {
            Array(UnsafeBufferPointer(start: $0, count: ranks))
        }
    }

    /// A mirrored array of so many bytes.
    func mirror(bytes: UInt64) throws -> muster_mirror {
        let copies = UInt64(muster_mirror_copies(team))
        var (arena, window) = (muster_extent(), muster_extent())
        try #require(muster_space_allocate(space, bytes * copies, false, &arena) == 0)
        try #require(muster_space_allocate(space, bytes, true, &window) == 0)
        return muster_mirror(
            window_offset: window.offset_bytes, size_bytes: bytes,
            copies_offset: arena.offset_bytes, stride_bytes: bytes)
    }

    /// A rank's part of a job, done here.
    func work(_ number: UInt64, _ flags: UInt32, rank: UInt32) -> Int32 {
        let job = muster_team_job(team)!
        job.pointee.kind = MUSTER_JOB_MIRROR.rawValue
        job.pointee.flags = flags
        job.pointee.list_count = number
        return muster_worker_mirror(team, rank)
    }
}

@Suite struct MirrorTests {
    private let copy = MUSTER_MIRROR_COPY.rawValue

    @Test func ranksHaveADistanceToEachOthersMemory() throws {
        let team = try Mirrored(homes: [0, 0, 1, 2])
        #expect(team.distances(of: 0, ranks: 4) == [10, 10, 12, 31])
        #expect(team.distances(of: 1, ranks: 4) == [10, 10, 12, 31])
        #expect(team.distances(of: 2, ranks: 4) == [13, 13, 10, 32])
        #expect(team.distances(of: 3, ranks: 4) == [255, 255, 33, 10], "a byte each")
        #expect(try Mirrored(homes: [1, 1]).distances(of: 0, ranks: 2) == nil, "all alike")
    }

    @Test func everyRankOfANodeCopiesAPartOfItsCopy() throws {
        let team = try Mirrored(homes: [0, 1, 2, 1, 1])
        #expect(muster_mirror_copies(team.team) == 3)
        let page = muster_team_page_bytes(team.team)
        let bytes = 7 * page
        var mirror = try team.mirror(bytes: bytes)
        let number = muster_mirror_add(team.team, &mirror)
        try #require(number == 0)
        let base = team.space.pointee.address!
        let window = base + Int(mirror.window_offset)
        let first = base + Int(mirror.copies_offset)
        for i in 0..<Int(bytes) { window[i] = UInt8(truncatingIfNeeded: i &* 7 &+ i >> 8) }
        #expect(memcmp(window, first, Int(bytes)) == 0, "the leader has the first copy")
        // Node 1's copy is complete only when all three of its ranks have done their part.
        for rank: UInt32 in [0, 1, 2, 3] { #expect(team.work(0, copy, rank: rank) == 0) }
        let second = first + Int(bytes)
        #expect(memcmp(first, second + Int(bytes), Int(bytes)) == 0)
        #expect(memcmp(first, second, Int(bytes)) != 0)
        #expect(team.work(0, copy, rank: 4) == 0)
        #expect(memcmp(first, second, Int(bytes)) == 0)
        muster_mirror_remove(team.team, 0)
        #expect(team.work(0, copy, rank: 1) == -EUCLEAN, "it is gone")
        #expect(muster_mirror_add(team.team, &mirror) == 0, "its number is free again")
    }

    @Test func aMirrorThatGoesBeyondItsRoomIsRefused() throws {
        let team = try Mirrored(homes: [0, 1])
        let (arena, all) = (team.space.pointee.arena_bytes, team.space.pointee.size_bytes)
        let good = try team.mirror(bytes: 8192)
        let changes: [(String, (inout muster_mirror) -> Void)] = [
            ("no bytes", { $0.size_bytes = 0 }), ("half a page", { $0.size_bytes = 2048 }),
            ("copies overlap", { $0.stride_bytes = 4096 }),
            ("a stride of a page and a half", { $0.stride_bytes = 8192 + 2048 }),
            ("copies beyond the arena", { $0.copies_offset = arena - 8192 }),
            ("copies in the window", { $0.copies_offset = arena }),
            ("copies nowhere", { $0.copies_offset = .max - 4095 }),
            ("the array in the arena", { $0.window_offset = 0 }),
            ("the array beyond the window", { $0.window_offset = all - 4096 }),
            ("an endless stride", { $0.stride_bytes = .max - 4095 }),
        ]
        for (what, change) in changes {
            var mirror = good
            change(&mirror)
            #expect(muster_mirror_add(team.team, &mirror) == -EINVAL, "\(what)")
        }
        // The same in the table, as a stray store leaves it.
        var mirror = good
        try #require(muster_mirror_add(team.team, &mirror) == 0)
        let block = muster_team_block(team.team)!
        let table = UnsafeMutableRawPointer(block) - 128 + Int(block.pointee.mirrors_offset)
        let entry = table.assumingMemoryBound(to: muster_mirror.self)
        for (what, change) in changes {
            change(&entry.pointee)
            #expect(team.work(0, copy, rank: 1) == -EUCLEAN, "\(what)")
            entry.pointee = good
        }
        #expect(team.work(0, copy, rank: 1) == 0)
        #expect(team.work(UInt64(MUSTER_MIRRORS_MAX), copy, rank: 1) == -EUCLEAN)
        #expect(team.work(1, copy, rank: 1) == -EUCLEAN, "nothing was entered there")
    }

    @Test func theTableHasAnEnd() throws {
        let team = try Mirrored(homes: [0])
        for number in 0..<Int32(MUSTER_MIRRORS_MAX) {
            var mirror = try team.mirror(bytes: 4096)
            try #require(muster_mirror_add(team.team, &mirror) == number)
        }
        var mirror = try team.mirror(bytes: 4096)
        #expect(muster_mirror_add(team.team, &mirror) == -ENOSPC)
    }
}
