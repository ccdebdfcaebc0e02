/// pool.h, and room for its pages. This machine's pools may be empty; then it is said and nothing made.

import MusterCore
import Glibc
import Testing

@Suite struct PoolTests {
    @Test func aPoolThatThereIsNotIsSaid() {
        var pages: UInt64 = 77
        #expect(muster_pool_free_pages(3 << 20, .max, &pages) == -ENOENT)
        #expect(muster_pool_free_pages(2 << 20, 1023, &pages) == -ENOENT, "no such node")
        #expect(pages == 77)
        var fd: Int32 = 77
        #expect(muster_pool_create(1 << 40, 1 << 40, &fd) < 0)
        #expect(fd == 77)
    }

    @Test func memoryOfAPoolHasASealedSize() throws {
        var fd: Int32 = -1
        // No page is taken before it is mapped: this works with an empty pool.
        try #require(muster_pool_create(2 << 20, 4 << 20, &fd) == 0)
        defer { close(fd) }
        var size: UInt64 = 0
        #expect(muster_file_size(fd, &size) == 0 && size == 4 << 20)
        #expect(ftruncate(fd, 2 << 20) == -1 && errno == EPERM)
    }

    @Test func roomForLargePagesIsAligned() throws {
        var space = muster_space()
        try #require(muster_space_create(&space) == 0)
        defer { muster_space_destroy(&space) }
        let gib: UInt64 = 1 << 30
        try #require(space.size_bytes >= 64 * gib, "this process has few addresses")
        let before = UnsafeBufferPointer(
            start: space.free_extents, count: Int(space.free_count)
        ).map { [$0.offset_bytes, $0.size_bytes] }
        var (small, large, second, filler) = (
            muster_extent(), muster_extent(), muster_extent(), muster_extent()
        )
        #expect(muster_space_allocate(&space, 1, true, &small) == 0)
        #expect(muster_space_allocate_aligned(&space, gib + 1, gib, &large) == 0)
        #expect(large.size_bytes == gib + (2 << 20), "with a page that is nobody's")
        #expect(muster_space_allocate_aligned(&space, 5, 2 << 20, &second) == 0)
        #expect(second.size_bytes == 2 << 20)
        for (extent, alignment) in [(large, gib), (second, 2 << 20)] {
            let start = UInt64(UInt(bitPattern: space.address)) + extent.offset_bytes
            #expect(start % alignment == 0)
            #expect(extent.offset_bytes >= space.arena_bytes)
        }
        #expect(
            second.offset_bytes == small.offset_bytes + small.size_bytes + (74 << 20),
            "the gap is used")
        #expect(muster_space_allocate(&space, gib - (156 << 20), true, &filler) == 0)
        #expect(filler.offset_bytes + filler.size_bytes <= large.offset_bytes, "so it is again")
        for extent in [large, small, filler, second] { muster_space_free(&space, extent) }
        let after = UnsafeBufferPointer(
            start: space.free_extents, count: Int(space.free_count)
        ).map { [$0.offset_bytes, $0.size_bytes] }
        #expect(before == after, "neighbours are merged")
        for alignment: UInt64 in [0, 4096, 3 << 20] {
            #expect(muster_space_allocate_aligned(&space, 1, alignment, &large) == -EINVAL)
        }
        #expect(muster_space_allocate_aligned(&space, 1, 2 * gib, &large) == -ENOMEM)
        #expect(muster_space_allocate_aligned(&space, .max, gib, &large) == -ENOMEM)
    }
}
