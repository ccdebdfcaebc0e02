// Pages.swift - which size of page an array's memory has.

internal import MusterCore

/// The pages that an array's memory is made of. Chunk borders and results don't depend on them.
public enum Pages: String, Sendable, CaseIterable, CustomStringConvertible {
    /// The host's base pages.
    case small = "4k"
    /// Transparent huge pages, 2 MiB, collapsed as the memory is committed; no system setting is needed.
    case transparent = "thp"
    /// Pages of 2 MiB from the system's pool (hugetlb), which an administrator has filled. Where the pool
    /// has too few, transparent huge pages in their place.
    case pool2MiB = "2m"
    /// The same of 1 GiB.
    case pool1GiB = "1g"
    /// As `transparent` if each rank's share is large enough for the borders between shares to stay
    /// about the same; otherwise base pages. The default.
    case automatic = "auto"

    /// "4k", "thp", "2m", "1g", "auto".
    public var description: String { rawValue }

    /// Pages by their `description`; nil for any other text.
    public init?(_ description: String) { self.init(rawValue: description) }

    /// Size of a page of the pool; nil: not of a pool.
    var poolBytes: Int? {
        switch self {
        case .pool2MiB: 2 << 20
        case .pool1GiB: 1 << 30
        default: nil
        }
    }

    /// Least share of a rank that `automatic` has huge pages for: two of them. Borders between shares
    /// move down by less than one.
    static let leastShare = 2 * Int(MUSTER_HUGE_PAGE_BYTES)

    /// "2 MiB, 1 GiB": the pools that this kernel has.
    static var poolSizes: String {
        let pools = HostFiles().names("sys/kernel/mm/hugepages").compactMap { name in
            name.hasPrefix("hugepages-") && name.hasSuffix("kB")
                ? UInt64(name.dropFirst(10).dropLast(2)) : nil
        }
        return pools.isEmpty
            ? "none" : pools.sorted().map { formatBytes($0 * 1024) }.joined(separator: ", ")
    }

    /// Whether this system makes huge pages of shared memory, asked or not.
    static var systemMakesHuge: Bool {
        let choice = HostFiles().choice("sys/kernel/mm/transparent_hugepage/shmem_enabled")
        return ["always", "within_size", "force"].contains(choice)
    }
}

/// The transparent huge pages of a kernel, as it says itself: their size follows from that of its base pages.
package struct HugePages {
    /// 0: the kernel makes none of shared memory.
    package let bytes: UInt64
    package let baseBytes: Int

    package init(bytes: UInt64, baseBytes: Int) {
        self.bytes = bytes
        self.baseBytes = baseBytes
    }

    /// Why an array of so many bytes gets none, in words; nil: it can have them.
    package func obstacle(bytes wanted: Int, isAutomatic: Bool = false) -> String? {
        let known = UInt64(MUSTER_HUGE_PAGE_BYTES)
        let size = formatBytes(bytes)
        if bytes == 0 {
            return "this kernel can't collapse shared memory to huge pages (Linux 6.1 with "
                + "CONFIG_TRANSPARENT_HUGEPAGE can), so it has base pages of "
                + formatBytes(UInt64(baseBytes))
        }
        if bytes != known {
            return "this kernel's transparent huge pages have \(size), since its base pages have "
                + "\(formatBytes(UInt64(baseBytes))); Muster collapses those of "
                + "\(formatBytes(known)), so it has base pages"
        }
        if wanted < Int(bytes), !isAutomatic {
            return "the array is smaller than a huge page, \(size), so it has small ones"
        }
        return nil
    }
}
