// ArrayReadBack.swift - what came of an array's commit where the kernel chose the nodes: pages that it dealt
// out in turn, and pages that lie where ranks have touched them first.
//
// Invariant: a placement that is asked for is read back at once. Each rank counts its own pages as it
// commits them; what lies elsewhere is a note with its bytes and the cause.

internal import MusterCore

extension ArrayPlan {
    /// Whether its ranks count their pages: nobody else looks where they lie.
    var isCounted: Bool {
        switch mode {
        case MUSTER_PLAN_KERNEL: true
        case MUSTER_PLAN_TOUCH: !pieces.isEmpty && pieces.allSatisfy { $0.node != UInt32.max }
        default: false
        }
    }

    /// Of pages that the kernel deals out: the bytes on nodes that had had their part, or have none.
    func elsewhere(_ bytesByNode: [Int: UInt64], bytes: Int, pageBytes: UInt64) -> UInt64 {
        let strict = elsewhere(bytesByNode, bytes: bytes, unit: pageBytes, pageBytes: pageBytes)
        // A system that makes huge pages of shared memory by itself deals those out.
        guard strict > 0, Pages.systemMakesHuge else { return strict }
        let huge = max(pageBytes, muster_huge_page_bytes())
        return elsewhere(bytesByNode, bytes: bytes, unit: huge, pageBytes: pageBytes)
    }

    private func elsewhere(
        _ bytesByNode: [Int: UInt64], bytes: Int, unit: UInt64, pageBytes: UInt64
    ) -> UInt64 {
        let round = UInt64(max(1, weights.values.reduce(0, +)))
        let units = (UInt64(bytes) + unit - 1) / unit
        let all = (UInt64(bytes) + pageBytes - 1) / pageBytes * pageBytes
        let right = weights.reduce(UInt64(0)) { sum, entry in
            let most = (units + round - 1) / round * UInt64(entry.value) * unit
            return sum + min(bytesByNode[entry.key] ?? 0, most)
        }
        return all - min(all, right)
    }

    /// The bytes that each node should have.
    func bytesDue(_ bytes: Int) -> [Int: UInt64] {
        guard mode == MUSTER_PLAN_KERNEL else {
            return Dictionary(
                bytesWanted.map { (Int($0.key), $0.value) }, uniquingKeysWith: +)
        }
        let round = UInt64(max(1, weights.values.reduce(0, +)))
        return weights.mapValues { UInt64(bytes) / round * UInt64($0) }
    }
}

extension TeamCore {
    /// Notes what lies elsewhere of an array that its ranks have counted.
    func noteElsewhere(
        _ plan: inout ArrayPlan, _ extent: Extent, bytes: Int, isCounted: Bool, _ subject: String
    ) throws(MusterError) {
        let page = muster_team_page_bytes(team)
        let counted = isCounted ? countedBytes(of: bytes) : nil
        let found =
            if let counted { counted.byNode } else { try readBack(extent, bytes: bytes, subject) }
        var elsewhere: UInt64
        if plan.mode == MUSTER_PLAN_KERNEL {
            elsewhere = plan.elsewhere(found, bytes: bytes, pageBytes: page)
        } else if let counted {
            elsewhere = counted.awayFromHome
        } else {
            var right: UInt64 = 0
            let status = muster_placement_verify(
                base + extent.offset, UInt64(bytes), page, plan.pieces,
                UInt64(plan.pieces.count), &right)
            guard status == 0 else { throw unread(status, subject) }
            elsewhere = UInt64(bytes) - min(UInt64(bytes), right)
        }
        elsewhere = min(elsewhere, UInt64(bytes))
        guard elsewhere > 0 else { return }
        plan.notes.append(
            "placement \(plan.placement): \(formatBytes(elsewhere)) of "
                + "\(formatBytes(UInt64(bytes))) lie elsewhere\(cause(plan, found, bytes: bytes))")
    }

    /// Why: a node has no room for what it lacks, or this process has a policy of its own.
    private func cause(_ plan: ArrayPlan, _ found: [Int: UInt64], bytes: Int) -> String {
        if plan.mode == MUSTER_PLAN_TOUCH, muster_placement_own_policy() > 0 {
            return ", since this process was started under a memory policy (numactl)"
        }
        let full = plan.bytesDue(bytes).sorted { $0.key < $1.key }.compactMap {
            node, due -> String? in
            let here = found[node] ?? 0
            var free: UInt64 = 0
            guard here < due, muster_memory_node_available(UInt32(node), &free) == 0 else {
                return nil
            }
            // The kernel keeps a part of a node for itself (min_free_kbytes): less than this is full.
            guard free < due - here || free < 64 << 20 else { return nil }
            return "node \(node) (\(formatBytes(free)) still free)"
        }
        return full.isEmpty
            ? "" : ", since there is no more room on " + full.joined(separator: ", ")
    }

    /// What the ranks have counted: by node, and what does not lie on its rank's home; nil: not all pages.
    /// It stands in shared memory: what does not add up is not used.
    private func countedBytes(of bytes: Int) -> (byNode: [Int: UInt64], awayFromHome: UInt64)? {
        let page = muster_team_page_bytes(team)
        let pages = (UInt64(bytes) + page - 1) / page
        var byNode: [Int: UInt64] = [:]
        var (sum, away) = (UInt64(0), UInt64(0))
        for rank in 0..<size {
            var length: UInt32 = 0
            let counts = muster_commit_counts(team, UInt32(rank), &length)!
            for node in 0..<Int(length) where counts[node] > 0 {
                guard counts[node] <= pages - sum else { return nil }
                sum += counts[node]
                byNode[node, default: 0] += counts[node] * page
                if node != Int(homeNodes[rank]) { away += counts[node] * page }
            }
        }
        return sum == pages ? (byNode, away) : nil
    }

    private func readBack(
        _ extent: Extent, bytes: Int, _ subject: String
    ) throws(MusterError) -> [Int: UInt64] {
        var nodes = [UInt64](repeating: 0, count: Int(MUSTER_NODES_MAX))
        var absent: UInt64 = 0
        let status = muster_placement_residency(
            base + extent.offset, UInt64(bytes), muster_team_page_bytes(team), &nodes, &absent)
        guard status == 0 else { throw unread(status, subject) }
        return Dictionary(
            uniqueKeysWithValues: nodes.enumerated().filter { $0.element > 0 }.map { ($0, $1) })
    }

    private func unread(_ status: Int32, _ subject: String) -> MusterError {
        .system(.placement, subject, "can't read back where its pages lie", status: status)
    }
}
