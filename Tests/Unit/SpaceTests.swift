/// segment.h, the space: room is found, given back and merged, never twice, never across the border
/// between arena and window; and the memory there may be.

import MusterCore
import Glibc
import Testing

private let unit: UInt64 = 2 << 20
/// What lies between two arrays where addresses are plenty, and at least.
private let guardBytes: UInt64 = 74 << 20
private let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))

private final class Room {
    var space = muster_space()
    init() throws { try #require(muster_space_create(&space) == 0) }
    deinit { muster_space_destroy(&space) }

    func allocate(_ bytes: UInt64, window: Bool = false) -> muster_extent? {
        var extent = muster_extent(offset_bytes: 5, size_bytes: 5)
        let status = muster_space_allocate(&space, bytes, window, &extent)
        if status == 0 { return extent }
        #expect(status == -ENOMEM && extent.offset_bytes == 5)
        return nil
    }
    func free(_ extent: muster_extent) { muster_space_free(&space, extent) }

    /// The free list is sorted, apart, never touching but at the border.
    var isSound: Bool {
        let list = UnsafeBufferPointer(start: space.free_extents, count: Int(space.free_count))
        return zip(list, list.dropFirst()).allSatisfy { left, right in
            let end = left.offset_bytes + left.size_bytes
            return end < right.offset_bytes
                || (end == right.offset_bytes && end == space.arena_bytes)
        } && list.allSatisfy { $0.size_bytes > 0 && $0.size_bytes % unit == 0 }
    }
    var isWhole: Bool {
        space.free_count == 2 && space.free_extents[0].offset_bytes == 0
            && space.free_extents[0].size_bytes == space.arena_bytes
            && space.free_extents[1].offset_bytes == space.arena_bytes
            && space.free_extents[1].size_bytes == space.size_bytes - space.arena_bytes
    }
}

@Suite struct SpaceTests {
    @Test func sizesAreRoundedUpToHugePagesAndNothingOverlaps() throws {
        let room = try Room()
        #expect(UInt(bitPattern: room.space.address) % UInt(unit) == 0)
        #expect(room.isWhole && room.isSound)
        var next: UInt64 = 0
        for bytes: UInt64 in [0, 1, 4096, unit - 1, unit, unit + 1, 5 * unit] {
            let extent = try #require(room.allocate(bytes))
            #expect(extent.offset_bytes == next)
            #expect(extent.size_bytes == (bytes + page + unit - 1) / unit * unit, "\(bytes)")
            next += extent.size_bytes + guardBytes
        }
        let first = try #require(room.allocate(1, window: true))
        #expect(first.offset_bytes == room.space.arena_bytes)
    }

    @Test func whatIsFreedMergesWithItsNeighboursInAnyOrder() throws {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [1, 3, 0, 2], [2, 0, 3, 1]] {
            for window in [false, true] {
                let room = try Room()
                let extents = (0..<4).map { room.allocate(UInt64($0 + 1) * unit, window: window)! }
                for index in order {
                    room.free(extents[index])
                    #expect(room.isSound, "\(order), window \(window), freed \(index)")
                }
                #expect(room.isWhole, "\(order), window \(window)")
            }
        }
    }

    /// Cores take lines of arrays for one another that lie a power of two apart.
    @Test func largeArraysLieNoPowerOfTwoApart() throws {
        let room = try Room()
        let bytes: UInt64 = 256 << 20
        let first = try #require(room.allocate(bytes))
        let second = try #require(room.allocate(bytes))
        let distance = second.offset_bytes - first.offset_bytes
        #expect(distance == bytes + unit + guardBytes && room.isSound)
        let small = try #require(room.allocate(unit))
        #expect(small.offset_bytes > second.offset_bytes, "nothing lies between")
        for extent in [first, second, small] { room.free(extent) }
        #expect(room.isWhole)
        let all = try #require(
            room.allocate(room.space.arena_bytes - page), "where nothing else is left")
        room.free(all)
        #expect(room.isWhole)
    }

    @Test func arenaAndWindowNeverMerge() throws {
        let room = try Room()
        let arena = try #require(room.allocate(room.space.arena_bytes - page))
        let window = try #require(
            room.allocate(room.space.size_bytes - room.space.arena_bytes - page, window: true))
        #expect(room.space.free_count == 0)
        #expect(room.allocate(0) == nil && room.allocate(0, window: true) == nil)
        room.free(window)
        #expect(room.allocate(1) == nil, "the window's room is not the arena's")
        room.free(arena)
        #expect(room.isWhole)
    }

    @Test func moreThanThereIsIsRefused() throws {
        let room = try Room()
        for bytes in [
            room.space.arena_bytes, room.space.arena_bytes + 1, room.space.size_bytes, .max,
            .max - unit,
        ] {
            #expect(room.allocate(bytes) == nil, "\(bytes)")
        }
        #expect(room.isWhole)
    }

    /// As many arrays as a team may have, every second one freed, then the rest: the list of gaps
    /// has room for all of them and ends whole.
    @Test func asManyGapsAsArraysFit() throws {
        let room = try Room()
        let extents = (0..<UInt64(MUSTER_ARRAYS_MAX)).map { number in
            room.allocate(unit, window: number >= 400)!
        }
        #expect(Set(extents.map(\.offset_bytes)).count == extents.count)
        for extent in extents.indices where extent % 2 == 0 { room.free(extents[extent]) }
        #expect(room.isSound && room.space.free_count > 500)
        for extent in extents.indices where extent % 2 == 1 { room.free(extents[extent]) }
        #expect(room.isSound && room.isWhole)
    }

    @Test func freedMemoryGoesBackAndComesAgainZeroed() throws {
        let room = try Room()
        let extent = try #require(room.allocate(unit))
        let bytes = room.space.address + Int(extent.offset_bytes)
        #expect(bytes[0] == 0)
        memset(bytes, 0xff, Int(unit))
        var before = stat()
        fstat(room.space.arena_fd, &before)
        room.free(extent)
        var after = stat()
        fstat(room.space.arena_fd, &after)
        #expect(before.st_blocks >= 4096 && after.st_blocks == 0)
        let again = try #require(room.allocate(unit))
        #expect(again.offset_bytes == extent.offset_bytes && bytes[0] == 0 && bytes[12345] == 0)
        room.free(muster_extent(offset_bytes: 77, size_bytes: 0))
        #expect(room.isSound)
    }

    /// Whether this process may access a page: write(2) says so without a signal.
    private func isAccessible(_ room: Room, _ offset: UInt64) -> Bool {
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        defer { for end in ends { close(end) } }
        return write(ends[1], room.space.address + Int(offset), 1) == 1
    }

    @Test func nothingButArraysCanBeAccessed() throws {
        let room = try Room()
        #expect(!isAccessible(room, 0) && !isAccessible(room, room.space.arena_bytes - 1))
        let sizes: [UInt64] = [1, page, page + 1, unit - 1, unit, 20 * unit]
        let extents = try sizes.map { try #require(room.allocate($0)) }
        func look(_ live: (Int) -> Bool) {
            for (i, (bytes, extent)) in zip(sizes, extents).enumerated() {
                let end = extent.offset_bytes + (bytes + page - 1) / page * page
                #expect(isAccessible(room, extent.offset_bytes) == live(i), "\(bytes)")
                #expect(isAccessible(room, end - 1) == live(i), "\(bytes)")
                #expect(!isAccessible(room, end), "\(bytes)")
                if extent.offset_bytes > 0 {
                    #expect(!isAccessible(room, extent.offset_bytes - 1), "\(bytes)")
                }
            }
        }
        look { _ in true }
        for i in extents.indices where i % 2 == 0 { room.free(extents[i]) }
        look { $0 % 2 == 1 }
        for i in extents.indices where i % 2 == 1 { room.free(extents[i]) }
        look { _ in false }
        // What lies right before the first array is nobody's either: read(2) would fill it.
        #expect(msync(room.space.address - Int(page), Int(page), MS_ASYNC) == 0, "it is reserved")
    }

    @Test func filesAreMappedIntoTheWindowOnly() throws {
        let room = try Room()
        let fd = makeMemfd(0)
        defer { close(fd) }
        #expect(ftruncate(fd, 8192) == 0 && pwrite(fd, "file", 4, 4096) == 4)
        let window = try #require(room.allocate(8192, window: true))
        func map(_ offset: UInt64, _ size: UInt64, _ descriptor: Int32, at file: UInt64 = 0)
            -> Int32
        {
            muster_space_map(
                &room.space, muster_extent(offset_bytes: offset, size_bytes: size), descriptor,
                file,
                false)
        }
        let begin = room.space.arena_bytes
        let end = room.space.size_bytes
        #expect(map(0, 4096, fd) == -EINVAL)
        #expect(map(begin - 4096, 8192, fd) == -EINVAL, "half of it in the arena")
        #expect(map(end - 4096, 8192, fd) == -EINVAL, "half of it beyond the end")
        #expect(map(end + 4096, 4096, fd) == -EINVAL)
        #expect(map(begin, .max, fd) == -EINVAL)
        #expect(map(.max, 4096, fd) == -EINVAL)
        #expect(map(begin, 0, fd) == -EINVAL)
        #expect(map(begin, 4096, fd, at: 1) == -EINVAL, "not a page of the file")
        #expect(map(begin, 4096, 9999) == -EBADF)
        #expect(map(window.offset_bytes, 4096, fd, at: 4096) == 0)
        let bytes = room.space.address + Int(window.offset_bytes)
        #expect(bytes[0] == UInt8(ascii: "f") && bytes[3] == UInt8(ascii: "e"))
        // Taken away again: nothing is mapped there, and the room can be used for another file.
        #expect(map(window.offset_bytes, 4096, -1) == 0)
        #expect(map(window.offset_bytes, 4096, fd) == 0 && bytes[0] == 0)
    }

    @Test func aDestroyedSpaceIsEmptyAndDestroyingTwiceIsAllowed() throws {
        var space = muster_space()
        try #require(muster_space_create(&space) == 0)
        muster_space_destroy(&space)
        #expect(space.address == nil && space.free_extents == nil && space.arena_fd == -1)
        muster_space_destroy(&space)
    }

    @Test func memoryThatIsAvailableIsPartOfAllMemory() {
        var available: UInt64 = 0
        #expect(muster_memory_available(&available) == 0)
        let all = UInt64(sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)))
        #expect(available > 0 && available <= all)
    }
}
