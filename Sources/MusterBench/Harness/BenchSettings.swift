// BenchSettings.swift - what a user can set for all tests of the benchmark alike.

internal import MusterCore
public import Muster

/// What is measured, how long and with how much memory. Each test has its own defaults.
public struct BenchSettings: Sendable {
    /// Small sizes and few samples: to see that everything works, not for figures to keep.
    public var isQuick = false
    /// Samples of each figure after the first, which is dropped; nil: each test's own number.
    public var samples: Int?
    /// Seconds after which a test takes no more than `fewestSamples` of each further figure; nil: it
    /// takes as long as it takes.
    public var secondsPerTest: Double?
    /// Bytes of each array; nil: four times the last-level caches.
    public var sizeBytes: Int?
    /// Nodes, by the kernel's numbers; nil: all.
    public var nodes: [Int]?
    /// Ranks on each node; nil: one a CPU.
    public var ranksPerNode: Int?
    /// Where the ranks of a full team run; tests by node or by pairs of CPUs choose for themselves.
    public var binding: Binding = .spread
    /// Pages of arrays; nil: each test's own.
    public var pages: Pages?
    /// The least part of an array that must lie where it should; nil: not read back.
    public var leastPlaced: Double? = 0.99
    /// Whether pages whose place can't be read back are an error, not a note.
    public var demandsPlacement = false
    /// A shared library with a kernel of the user's, and its name there.
    public var library: (path: String, kernel: String)?
    /// For tests: one word of a result is changed before it is checked.
    package var isSpoilt = false
    /// For tests: arrays are put on another node than asked for, or on one node are said to belong on
    /// another.
    package var isMisplaced = false

    /// Samples that are taken however long they take.
    public static let fewestSamples = 3

    /// Defaults.
    public init() {}

    /// Bytes of an array where memory itself is to be measured.
    func arrayBytes(_ host: Topology) -> Int {
        if let sizeBytes { return sizeBytes }
        if isQuick { return 4 << 20 }
        return host.uncachedBytes
    }
}

extension Topology {
    /// Ranks of a team that has one for each CPU it may use, as far as a team has so many.
    package func ranks(_ binding: Binding = .spread) -> Int {
        guard case .cpus(let list) = binding else {
            return max(1, min(usableCPUCount, Int(MUSTER_RANKS_MAX)))
        }
        return max(1, min(list.count, Int(MUSTER_RANKS_MAX)))
    }

    /// Bytes of an array that is memory's and not the caches': STREAM's multiple of all last-level
    /// caches, or 256 MiB where the host doesn't say how large they are.
    var uncachedBytes: Int {
        let caches = Int(clamping: lastLevelCacheTotalBytes)
        return caches == 0 ? 256 << 20 : StreamBench.cacheMultiple * caches
    }
}
