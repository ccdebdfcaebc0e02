// Pages.swift - which size of page an array's memory has.

internal import CMuster

/// The pages that an array's memory is made of. Chunk borders and results don't depend on them.
public enum Pages: String, Sendable, CaseIterable, CustomStringConvertible {
    /// The host's base pages.
    case small = "4k"
    /// Transparent huge pages, 2 MiB, collapsed as the memory is committed; no system setting is needed.
    case transparent = "thp"
    /// As `transparent` where each rank's share is large enough for the borders between shares to stay
    /// about where they are; else base pages. The default.
    case automatic = "auto"

    /// "4k", "thp", "auto".
    public var description: String { rawValue }

    /// Pages by their `description`; nil for any other text.
    public init?(_ description: String) { self.init(rawValue: description) }

    /// Least share of a rank that `automatic` has huge pages for: two of them. Borders between shares
    /// move down by less than one.
    static let leastShare = 2 * Int(MUSTER_HUGE_PAGE_BYTES)
}
