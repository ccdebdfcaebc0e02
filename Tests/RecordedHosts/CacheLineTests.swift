// CacheLineTests.swift - how long a host's cache lines are, from what its kernel says.

import MusterCore
import Testing

@Suite struct CacheLineTests {
    private static let caches = "sys/devices/system/cpu/cpu0/cache"

    /// What the files say, and what the line is.
    private static let cases: [([String], UInt32)] = [
        (["64\n", "64\n", "64\n"], 64), (["64\n", "128\n"], 128), (["256\n"], 256),
        (["32\n"], 64), ([], 64), ([""], 64), (["no\n", "128\n"], 128), (["96\n"], 64),
        (["0\n"], 64), (["-128\n"], 64), (["65536\n"], 64), (["128"], 128),
        ([String(repeating: "1", count: 100)], 64),
    ]

    @Test(
        "The longest line that can be is taken, and 64 bytes where none is known",
        arguments: cases.indices)
    func longest(of index: Int) throws {
        let (texts, bytes) = Self.cases[index]
        var files = ["sys/devices/system/cpu/online": "0\n"]
        for (index, text) in texts.enumerated() {
            files["\(Self.caches)/index\(index)/coherency_line_size"] = text
        }
        let tree = try Tree(files)
        #expect(withExtendedLifetime(tree) { muster_cache_line_bytes(tree.root) } == bytes)
    }

    @Test("This machine has one")
    func here() {
        let bytes = muster_cache_line_bytes(nil)
        #expect(bytes >= 64 && bytes & (bytes - 1) == 0)
    }
}
