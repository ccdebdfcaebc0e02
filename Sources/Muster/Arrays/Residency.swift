// Residency.swift - where an array's pages lie, read back from the kernel, and how much of it lies where
// it should.

internal import MusterCore

/// Bytes of an array on each node, as read back from the kernel.
public struct Residency: Sendable, Equatable {
    /// Bytes by node number, only nodes that have any.
    public let bytesByNode: [Int: UInt64]
    /// Bytes that are in no node's memory.
    public let absentBytes: UInt64

    /// All of them.
    public var totalBytes: UInt64 { bytesByNode.values.reduce(absentBytes, +) }
}

extension SharedArray {
    /// On which nodes the pages lie now, read back from the kernel (`move_pages`).
    ///
    /// Pages of a file that are not in memory are read in for it. Of a mirrored array, all copies count.
    ///
    /// - Throws: `.placement` if the system does not say where pages lie.
    public func residency() throws(MusterError) -> Residency {
        var nodes = [UInt64](repeating: 0, count: Int(MUSTER_NODES_MAX))
        var absent: UInt64 = 0
        let status = muster_placement_residency(
            pagesStart, UInt64(placedBytes), muster_team_page_bytes(core.team), &nodes, &absent)
        try check(status)
        var byNode: [Int: UInt64] = [:]
        for (node, bytes) in nodes.enumerated() where bytes > 0 { byNode[node] = bytes }
        return Residency(bytesByNode: byNode, absentBytes: absent)
    }

    /// The same for each chunk of `grain` elements (nil: the grain of a loop over the array). A page
    /// that two chunks share counts for each with the bytes it has of it. Of a mirrored array, a chunk has
    /// bytes in each copy.
    ///
    /// - Throws: `.invalidArgument` for a grain below 1; otherwise as ``residency()``.
    public func residencyByChunk(grain: Int? = nil) throws(MusterError) -> [Residency] {
        guard grain ?? 1 >= 1 else {
            throw invalid("grain \(grain ?? 0)", "a chunk has at least 1 element")
        }
        let grain = Int(
            muster_schedule_grain_of_rows(
                UInt64(count), UInt64(grain ?? 0), 0, UInt64(MemoryLayout<Element>.stride)))
        let part = grain * MemoryLayout<Element>.stride
        var sum = try residency(everyBytes: part)
        for copy in 1..<max(1, copies) {
            for (chunk, more) in try residency(everyBytes: part, copy: copy).enumerated() {
                sum[chunk] = Residency(
                    bytesByNode: sum[chunk].bytesByNode.merging(
                        more.bytesByNode, uniquingKeysWith: +),
                    absentBytes: sum[chunk].absentBytes + more.absentBytes)
            }
        }
        return sum
    }

    /// The same of one copy for each part of some bytes; the last may be shorter.
    package func residency(
        everyBytes part: Int, copy: Int = 0
    ) throws(MusterError) -> [Residency] {
        let page = Int(muster_team_page_bytes(core.team))
        // A file's elements may begin within a page.
        let first = dataOffset
        var nodes = [Int32](repeating: -1, count: (first + byteCount + page - 1) / page)
        let status = muster_placement_nodes(
            pagesStart + copy * plan.copyBytes, UInt64(first + byteCount), UInt64(page), &nodes)
        try check(status)
        return stride(from: first, to: first + byteCount, by: part).map { begin in
            let end = min(begin + part, first + byteCount)
            var byNode: [Int: UInt64] = [:]
            var absent: UInt64 = 0
            for number in begin / page..<(end + page - 1) / page {
                let bytes = UInt64(min(end, (number + 1) * page) - max(begin, number * page))
                if nodes[number] < 0 {
                    absent += bytes
                } else {
                    byNode[Int(nodes[number]), default: 0] += bytes
                }
            }
            return Residency(bytesByNode: byNode, absentBytes: absent)
        }
    }

    /// A copy of the array in `cells` parts, as a strip is drawn: for each the node that was asked for (nil:
    /// any) and the one that most of it is on (nil: none).
    package func placementStrip(
        cells: Int, copy: Int = 0
    ) throws(MusterError) -> [(asked: Int?, found: Int?)] {
        guard byteCount > 0 else { return [] }
        let part = max(1, (byteCount + cells - 1) / cells)
        var piece = plan.copyBytes > 0 ? copy : 0
        return try residency(everyBytes: part, copy: copy).enumerated().map { number, found in
            // The node in the part's middle stands for it.
            let middle = UInt64(
                copy * plan.copyBytes + min(byteCount - 1, number * part + part / 2))
            while piece < plan.pieces.count, plan.pieces[piece].end_bytes <= middle { piece += 1 }
            let asked = piece < plan.pieces.count ? plan.pieces[piece].node : UInt32.max
            let most = found.bytesByNode.max { ($0.value, $1.key) < ($1.value, $0.key) }
            return (asked == UInt32.max ? nil : Int(asked), most?.key)
        }
    }

    /// How much of the array lies where its placement says, 0...1, read back from the kernel.
    ///
    /// First touch: on the node that the rank of each share is bound to; where ranks are bound to none,
    /// any node is right. Interleaved pages have no place each: what counts is that no node has more
    /// than its part. Of a mirrored array, every copy counts.
    ///
    /// - Throws: As ``residency()``.
    public func verifiedFraction() throws(MusterError) -> Double {
        guard byteCount > 0, !plan.pieces.isEmpty else { return 1 }
        if plan.mode == MUSTER_PLAN_KERNEL {
            let found = try residency()
            let page = muster_team_page_bytes(core.team)
            let elsewhere = plan.elsewhere(found.bytesByNode, bytes: byteCount, pageBytes: page)
            return 1 - Double(elsewhere) / Double(max(1, found.totalBytes))
        }
        var right: UInt64 = 0
        let status = muster_placement_verify(
            pagesStart, UInt64(placedBytes), muster_team_page_bytes(core.team), plan.pieces,
            UInt64(plan.pieces.count), &right)
        try check(status)
        return Double(right) / Double(placedBytes)
    }

    private var byteCount: Int { count * MemoryLayout<Element>.stride }

    /// Of all copies.
    private var placedBytes: Int { plan.copyBytes > 0 ? plan.placedBytes : byteCount }

    /// The first page's address.
    private var pagesStart: UnsafeMutableRawPointer { core.base + extent.offset }

    private func check(_ status: Int32) throws(MusterError) {
        guard status == 0 else {
            throw .system(
                .placement, "array of \(formatBytes(UInt64(byteCount)))",
                "can't read back where its pages lie", status: status)
        }
    }
}
