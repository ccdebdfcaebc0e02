/// populate.h: a rank's share becomes memory, huge where that is asked for and can be had, all zeros, on
/// the node of its piece; and what it says of it.

import MusterCore
@preconcurrency import Glibc
import Testing

private let huge = UInt64(2 << 20)

/// A team of one without processes, and room for an array.
private final class Room {
    let team: OpaquePointer
    private(set) var extent = muster_extent()
    let bytes: UInt64

    init(bytes: UInt64) throws {
        self.bytes = bytes
        var options = muster_team_options()
        options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
        options.size = 1
        options.usable_cpus = 1
        options.spin_ns = -1
        var made: OpaquePointer?
        try #require(muster_team_create(&options, &made) == 0)
        team = made!
        try #require(muster_space_allocate(muster_team_space(team), bytes, false, &extent) == 0)
    }
    deinit { muster_team_destroy(team) }

    var start: UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(muster_team_space(team).pointee.address) + Int(extent.offset_bytes)
    }
    var slot: muster_slot { muster_team_slot(team, 0)!.pointee }

    func commit(flags: muster_commit_flag..., unit: UInt64 = 4096, node: UInt32? = nil) -> Int32 {
        let job = muster_team_job(team)!
        job.pointee.kind = MUSTER_JOB_COMMIT.rawValue
        job.pointee.flags = flags.reduce(0) { $0 | $1.rawValue }
        job.pointee.extent_offset = extent.offset_bytes
        job.pointee.extent_bytes = bytes
        job.pointee.block_bytes = 4096
        job.pointee.unit_bytes = unit
        job.pointee.list_count = node == nil ? 0 : 1
        if let node {
            muster_team_pieces(team)[0] = muster_piece(end_bytes: bytes, node: node, reserved: 0)
        }
        return muster_worker_commit(team, 0)
    }
    /// Gives the memory back and takes the same room again.
    func renew() throws {
        muster_space_free(muster_team_space(team), extent)
        let before = extent.offset_bytes
        try #require(muster_space_allocate(muster_team_space(team), bytes, false, &extent) == 0)
        try #require(extent.offset_bytes == before)
    }
    var isZero: Bool {
        let words = UnsafeRawBufferPointer(start: start, count: Int(bytes)).bindMemory(
            to: UInt64.self)
        return words.allSatisfy { $0 == 0 }
    }
}

/// A file of /proc, which does not say how long it is.
private func contents(of path: String) throws -> String {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var text: [UInt8] = []
    var bytes = [UInt8](repeating: 0, count: 65536)
    while case let length = fread(&bytes, 1, bytes.count, file), length > 0 {
        text += bytes[..<length]
    }
    return String(decoding: text, as: UTF8.self)
}

/// What this process has mapped of shared memory by huge pages, in bytes (`/proc/self/smaps`).
private func hugeMapped() throws -> UInt64 {
    let text = try contents(of: "/proc/self/smaps")
    return text.split(separator: "\n").filter { $0.hasPrefix("ShmemPmdMapped:") }
        .reduce(0) { $0 + (UInt64($1.split(separator: " ")[1]) ?? 0) * 1024 }
}

@Suite(.serialized) struct CommitTests {
    @Test func hugePagesAreMappedAndHoldZerosAlsoWhereOthersWrote() throws {
        guard muster_huge_page_bytes() == huge else { return }
        let room = try Room(bytes: 9 * huge + 12_288)
        memset(room.start, 0xff, Int(room.bytes))
        try room.renew()
        let before = try hugeMapped()
        #expect(room.commit(flags: MUSTER_COMMIT_HUGE, unit: huge) == 0)
        #expect(room.isZero)
        let slot = room.slot
        let mapped = try hugeMapped() - before
        #expect(mapped == slot.huge_bytes, "what is mapped is what was said")
        let isShort = slot.remarks & MUSTER_COMMIT_NOT_HUGE.rawValue != 0
        #expect(isShort ? slot.huge_bytes < 9 * huge : slot.huge_bytes == 9 * huge)
        // Again, with contents: nothing changes.
        memset(room.start, 0xee, Int(room.bytes))
        #expect(room.commit(flags: MUSTER_COMMIT_HUGE, unit: huge) == 0)
        #expect(
            UnsafeRawBufferPointer(start: room.start, count: Int(room.bytes))
                .allSatisfy { $0 == 0xee })
        #expect(room.slot.huge_bytes >= slot.huge_bytes)
    }

    @Test func ordinaryPagesStayOrdinary() throws {
        let room = try Room(bytes: 3 * huge)
        #expect(room.commit(flags: MUSTER_COMMIT_READ) == 0 && room.isZero)
        try room.renew()
        #expect(room.commit() == 0 && room.isZero)
        #expect(room.slot.huge_bytes == 0 && room.slot.misplaced_bytes == 0)
        #expect(room.slot.remarks == 0)
    }

    /// The kernel knows one node at least; what can't be chosen here is said, and is no error.
    @Test func piecesAreMendedOrCounted() throws {
        let room = try Room(bytes: 2 * huge + 4096)
        for flag in [MUSTER_COMMIT_PLACE, MUSTER_COMMIT_HUGE] {
            #expect(room.commit(flags: MUSTER_COMMIT_PLACE, flag, unit: huge, node: 0) == 0)
            let slot = room.slot
            let refused = MUSTER_COMMIT_REFUSED.rawValue | MUSTER_COMMIT_UNREAD.rawValue
            #expect(slot.misplaced_bytes == 0 || slot.remarks & refused != 0)
            try room.renew()
        }
        // To the kernel, a node that is not there is one that is forbidden.
        #expect(room.commit(flags: MUSTER_COMMIT_PLACE, node: 1023) == 0)
        #expect(
            room.slot.misplaced_bytes == room.bytes
                || room.slot.remarks & MUSTER_COMMIT_REFUSED.rawValue != 0)
        #expect(
            room.slot.remarks
                & (MUSTER_COMMIT_FORBIDDEN.rawValue | MUSTER_COMMIT_REFUSED.rawValue) != 0)
        try room.renew()
        #expect(room.commit(flags: MUSTER_COMMIT_PLACE, node: 5000) == -EUCLEAN)
        #expect(room.commit(flags: MUSTER_COMMIT_PLACE, node: .max) == 0, "any node")
    }

    /// The leader commits for vacant ranks: its own policy is as it was.
    @Test func theProcessKeepsItsOwnPolicy() throws {
        let before = try contents(of: "/proc/self/numa_maps")
        let room = try Room(bytes: huge)
        #expect(room.commit(flags: MUSTER_COMMIT_PLACE, node: 0) == 0)
        let after = try contents(of: "/proc/self/numa_maps")
        #expect(!before.contains(" prefer") || after.contains(" prefer"))
        #expect(before.contains(" prefer") || !after.contains(" prefer"))
    }
}
