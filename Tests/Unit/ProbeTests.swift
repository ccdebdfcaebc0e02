// ProbeTests.swift - the C functions that benchmarks of memory are made of.

import MusterCore
import Testing

/// Memory that is aligned to pages.
private final class Block {
    let start: UnsafeMutableRawPointer
    let count: Int

    init(_ bytes: Int) {
        count = bytes
        start = .allocate(byteCount: bytes, alignment: 4096)
        start.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    }

    deinit { start.deallocate() }

    var first: UnsafeMutablePointer<muster_link> {
        start.assumingMemoryBound(to: muster_link.self)
    }
    var words: UnsafeMutablePointer<UInt64> { start.assumingMemoryBound(to: UInt64.self) }
}

@Suite struct ProbeTests {
    @Test(
        "A chain is one cycle through every link, in the order of their numbers",
        arguments: [(64, 64, 64), (4096, 64, 4096), (100_000, 192, 8192), (1 << 20, 64, 1 << 30)],
        [1, 99] as [UInt64])
    func cycle(sizes: (bytes: Int, stride: Int, window: Int), seed: UInt64) {
        let block = Block(sizes.bytes)
        let links = Int(
            muster_chase_link(block.start, sizes.bytes, sizes.stride, sizes.window, seed))
        #expect(links == sizes.bytes / sizes.stride)
        var seen = Set<Int>()
        var link = UnsafeMutablePointer(mutating: block.first)
        var ordinal = link.pointee.ordinal
        for _ in 0..<links {
            seen.insert(UnsafeRawPointer(link) - UnsafeRawPointer(block.start))
            link = link.pointee.next
            ordinal = (ordinal + 1) % UInt64(links)
            #expect(link.pointee.ordinal == ordinal)
        }
        #expect(link == block.first && seen.count == links)
        #expect(seen.allSatisfy { $0 % sizes.stride == 0 })
    }

    @Test("Links of a window come one after the other")
    func windows() {
        let block = Block(1 << 16)
        let links = Int(muster_chase_link(block.start, 1 << 16, 64, 4096, 7))
        var windowOf = [Int](repeating: 0, count: links)
        for index in 0..<links {
            let link = (block.start + index * 64).assumingMemoryBound(to: muster_link.self)
            windowOf[Int(link.pointee.ordinal)] = index * 64 / 4096
        }
        let changes = zip(windowOf, windowOf.dropFirst()).count { $0 != $1 }
        #expect(changes == 15)
        #expect(windowOf != windowOf.sorted(), "windows come in random order")
    }

    @Test("A run ends where its steps lead, whole sixteens of them")
    func steps() throws {
        let block = Block(1 << 14)
        let links = UInt64(muster_chase_link(block.start, 1 << 14, 64, 1 << 14, 3))
        for steps in [0, 15, 16, 64, 1024] as [UInt64] {
            let last = try #require(muster_chase_run(block.first, steps))
            let expected = (block.first.pointee.ordinal + steps / 16 * 16) % links
            #expect(last.pointee.ordinal == expected)
        }
    }

    @Test("What can't be linked")
    func refusals() {
        let block = Block(4096)
        #expect(muster_chase_link(block.start, 63, 64, 64, 1) == Int64(-EINVAL))
        #expect(muster_chase_link(block.start, 4096, 0, 64, 1) == Int64(-EINVAL))
        #expect(muster_chase_link(block.start, 4096, 65, 64, 1) == Int64(-EINVAL))
        #expect(muster_chase_link(block.start, 64 << 32, 64, 64, 1) == Int64(-EINVAL))
    }

    @Test(
        "A mix reads and writes what its proportion says, and nothing else",
        arguments: [(1, 0), (3, 1), (2, 1), (1, 1), (0, 1), (5, 2), (0, 0)] as [(UInt32, UInt32)],
        [0, 64, 4096, 65_536])
    func mix(mix: (reads: UInt32, writes: UInt32), bytes: Int) {
        let (from, to) = (Block(max(64, bytes)), Block(max(64, bytes)))
        for i in 0..<bytes / 8 { from.words[i] = UInt64(i + 1) }
        var sum: UInt64 = 1
        let moved = muster_mix_run(
            muster_mix(reads: mix.reads, writes: mix.writes), from.start, bytes, to.start, bytes, 9,
            UInt64(mix.writes), &sum)
        let most = max(mix.reads, mix.writes)
        let turns = most == 0 ? 0 : bytes / 64 / Int(most)
        #expect(moved == UInt64(turns) * UInt64(mix.reads + mix.writes) * 64)
        let read = UInt64(turns * Int(mix.reads) * 8)
        #expect(sum == read * (read + 1) / 2)
        let written = turns * Int(mix.writes) * 8
        #expect((0..<bytes / 8).allSatisfy { to.words[$0] == ($0 < written ? 9 : 0) })
    }

    @Test(
        "Holding lines leaves the chain as it is",
        arguments: [
            MUSTER_HOLD_CLEAN, MUSTER_HOLD_MODIFIED,
        ])
    func hold(kind: muster_hold) throws {
        let block = Block(1 << 14)
        let links = UInt64(muster_chase_link(block.start, 1 << 14, 64, 1 << 14, 5))
        let status = muster_hold_lines(block.start, 1 << 14, 64, kind)
        #if arch(x86_64) || arch(arm64)
            #expect(status == 0)
        #else
            #expect(status == (kind == MUSTER_HOLD_CLEAN ? -ENOSYS : 0))
        #endif
        #expect(try #require(muster_chase_run(block.first, links)) == block.first)
    }

    @Test("A wait ends with the value or with its time")
    func relay() {
        var word: UInt64 = 0
        #expect(muster_line_wait(&word, 0, 0) == 0)
        #expect(muster_line_wait(&word, 1, 1_000_000) == -ETIMEDOUT)
        #expect(!muster_line_has(&word, 1) && muster_line_has(&word, 0))
        muster_line_post(&word, 1)
        #expect(muster_line_has(&word, 1))
        #expect(muster_line_wait(&word, 1, 0) == 0)
        word = 0
        // Alone it never gets its answer.
        #expect(muster_line_run(&word, 0, 3, 1_000_000) == -ETIMEDOUT)
        #expect(word == 1)
    }

    @Test("A spin's product is odd, and depends on its turns")
    func spin() {
        #expect(muster_spin(0) == 1)
        #expect(muster_spin(10) % 2 == 1 && muster_spin(10) != muster_spin(11))
    }
}
