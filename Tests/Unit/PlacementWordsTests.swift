// What is said of pages and nodes: on kernels whose pages have other sizes, and on hosts of many nodes.

import Muster
import Testing

@Suite struct PlacementWordsTests {
    @Test("Why an array has no huge pages is told by the kernel's own sizes")
    func hugePages() throws {
        let kib = 1024
        #expect(HugePages(bytes: 2 << 20, baseBytes: 4 * kib).obstacle(bytes: 2 << 20) == nil)
        let small = HugePages(bytes: 2 << 20, baseBytes: 4 * kib)
        #expect(small.obstacle(bytes: 1 << 20)?.contains("smaller than a huge page, 2 MiB") == true)
        #expect(small.obstacle(bytes: 1 << 20, isAutomatic: true) == nil)
        // aarch64: a table of 16 KiB pages spans 32 MiB, one of 64 KiB pages 512 MiB.
        for (base, huge, size) in [(16, 32 << 20, "32 MiB"), (64, 512 << 20, "512 MiB")] {
            let words = try #require(
                HugePages(bytes: UInt64(huge), baseBytes: base * kib).obstacle(bytes: 1 << 30))
            #expect(words.contains("have \(size)") && words.contains("base pages have \(base) KiB"))
            #expect(!words.contains("6.1"))
        }
        let none = try #require(HugePages(bytes: 0, baseBytes: 4 * kib).obstacle(bytes: 1 << 30))
        #expect(none.contains("Linux 6.1") && none.contains("4 KiB"))
    }

    @Test("Each node has a character of its own")
    func symbols() {
        let nodes = [0, 3, 9, 10, 11, 64, 1023]
        let symbols = NodeSymbols(nodes)
        #expect(nodes.map { symbols[$0] } == ["0", "3", "9", "a", "b", "c", "d"])
        let many = NodeSymbols(0..<62)
        #expect(Set((0..<62).map { many[$0] }).count == 62)
        #expect(many[61] == "Z")
        // More nodes than characters: the last ones share one that is no other node's.
        let most = NodeSymbols(0..<1024)
        #expect(Set((0..<62).map { most[$0] }).count == 62)
        #expect((62..<1024).allSatisfy { most[$0] == "#" })
        #expect(!(0..<62).contains { most[$0] == "#" })
    }
}
