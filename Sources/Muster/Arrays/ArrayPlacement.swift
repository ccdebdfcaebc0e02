// ArrayPlacement.swift - how an array's memory comes to lie where it should: plan, commit by the ranks,
// look at what came of it, and only then a strict policy.
//
// Invariant: no step can end in an out-of-memory kill for want of room on a node. What can't be enforced
// on this host is a note; a node without room is an error with the numbers.

internal import MusterCore
internal import MusterCore.Testing

/// Where an array's pages belong, piece by piece, and what came of it.
struct ArrayPlan {
    let placement: Placement
    let mode: muster_plan_mode
    /// Borders of pieces and of ranks' shares are multiples of it.
    let unitBytes: Int
    let pieces: [muster_piece]
    /// Where the kernel deals pages out: weights by node.
    let weights: [Int: Int]
    /// What could not be done as asked about where pages lie.
    var notes: [String] = []
    /// What could not be done as asked about the pages themselves.
    var pageNotes: [String] = []
    /// Bytes in huge pages.
    var hugeBytes = 0

    /// Bytes from one copy of a mirrored array to the next; 0: it has no copies.
    var copyBytes = 0
    /// Bytes whose places the pieces say: of all copies together; of a file's array 0.
    var placedBytes: Int { Int(pieces.last?.end_bytes ?? 0) }

    /// For an array without pages of its own to place.
    static func unplaced(_ placement: Placement) -> ArrayPlan {
        ArrayPlan(
            placement: placement, mode: MUSTER_PLAN_TOUCH, unitBytes: 1, pieces: [], weights: [:])
    }
}

/// What an array asks for.
struct ArrayWish {
    let placement: Placement
    let pages: Pages
    let bytes: Int
    let elements: Int
    /// "array of 10 Int64", for errors.
    let subject: String

    /// Bytes of a chunk of a loop over it.
    var chunkBytes: Int {
        let element = bytes / max(1, elements)
        let grain = muster_schedule_grain_of_rows(UInt64(elements), 0, 0, UInt64(element))
        return max(1, Int(grain) * element)
    }
}

/// The pages that an array is made of.
struct PageChoice {
    /// Size of one; borders between nodes are multiples of it.
    let unitBytes: Int
    /// Collapsed as they are committed.
    var isCollapsed = false
    /// They come from a pool.
    var isPool = false
    /// What was asked for and can't be had.
    var notes: [String] = []
}

extension TeamCore {
    /// Sets a new array's policy, has it committed, and makes the policy strict.
    /// Length: the steps of one placement, in the order that they must have.
    func place(
        _ extent: Extent, _ wish: ArrayWish, _ choice: PageChoice
    ) throws(MusterError) -> ArrayPlan {
        let (placement, pages, subject) = (wish.placement, wish.pages, wish.subject)
        guard wish.bytes > 0 else { return .unplaced(placement) }
        let unit = choice.unitBytes
        // Ranks share out the commit of a mirrored array's copies by pages: no loop has their borders.
        let chunkBytes = placement == .mirrored ? unit : wish.chunkBytes

        guard var raw = placement.raw else {
            throw MusterError(
                .placement, subject: "placement \(placement)",
                reason: "no kernel has such a node or weight")
        }
        var host: UnsafeMutablePointer<muster_topology>?
        defer { muster_topology_destroy(host) }
        // First touch needs to know nothing, and most arrays are made so.
        if placement != .firstTouch { host = try readHost(for: placement, &raw, subject) }
        var plan = try self.plan(
            placement, &raw, host, bytes: wish.bytes, chunkBytes: chunkBytes, unit: unit, subject)
        plan.pageNotes = choice.notes
        let bytes = max(wish.bytes, plan.placedBytes)
        if choice.isPool {
            try checkPool(plan, pageBytes: unit, subject)
        } else {
            try checkRoom(plan, subject)
        }

        let address = base + extent.offset
        func apply(_ step: muster_placement_step) -> Bool {
            guard let host else { return true }
            var rawPlan = muster_plan()
            rawPlan.mode = plan.mode.rawValue
            rawPlan.piece_count = UInt64(plan.pieces.count)
            let status = muster_placement_apply(
                &raw, host, &rawPlan, plan.pieces, step, address, UInt64(extent.bytes))
            if status < 0 { plan.notes.append(refusal(placement, statusText(status))) }
            return status == 0
        }
        let isApplied = apply(MUSTER_PLACEMENT_PREFER)
        muster_testing_point_array()
        let places = plan.mode == MUSTER_PLAN_PIECES
        let counts = plan.isCounted && isApplied
        let outcome = try commit(
            extent, bytes: bytes, blockBytes: chunkBytes, of: subject, unitBytes: unit,
            pieceCount: places ? plan.pieces.count : 0,
            flags: (places ? MUSTER_COMMIT_PLACE.rawValue : 0)
                | (counts ? MUSTER_COMMIT_COUNT.rawValue : 0)
                | (choice.isCollapsed ? MUSTER_COMMIT_HUGE.rawValue : 0)
                | (choice.isPool ? MUSTER_COMMIT_POOL.rawValue : 0))
        plan.hugeBytes = outcome.hugeBytes
        if outcome.remarks & MUSTER_COMMIT_NOT_HUGE.rawValue != 0 {
            plan.pageNotes.append(
                "pages \(pages): only \(formatBytes(UInt64(outcome.hugeBytes))) are in huge pages; "
                    + "for the rest there was no free memory in one piece")
        }
        if outcome.remarks & MUSTER_COMMIT_REFUSED.rawValue != 0 {
            plan.notes.append(refusal(placement, "this system refuses it"))
        } else if outcome.remarks & MUSTER_COMMIT_UNREAD.rawValue != 0 {
            plan.notes.append("placement \(placement): this system does not say where pages lie")
            if isApplied { _ = apply(MUSTER_PLACEMENT_BIND) }
        } else if outcome.misplacedBytes > 0,
            outcome.remarks & MUSTER_COMMIT_FORBIDDEN.rawValue != 0
        {
            plan.notes.append(
                "placement \(placement): \(formatBytes(UInt64(outcome.misplacedBytes))) lie elsewhere, "
                    + "since the cpuset of a rank does not allow their node (Mems_allowed in "
                    + "/proc/PID/status)")
        } else if outcome.misplacedBytes > 0 {
            try spilled(&plan, bytes: bytes, misplaced: outcome.misplacedBytes, subject)
        } else if isApplied {
            _ = apply(MUSTER_PLACEMENT_BIND)
        }
        if counts, outcome.remarks & MUSTER_COMMIT_UNREAD.rawValue == 0 {
            try noteElsewhere(
                &plan, extent, bytes: bytes,
                isCounted: outcome.remarks & MUSTER_COMMIT_UNCOUNTED.rawValue == 0, subject)
        }
        return plan
    }

    private func refusal(_ placement: Placement, _ why: String) -> String {
        "placement \(placement) can't be enforced here (\(why)): pages stay where they were first "
            + "touched"
    }

    /// The pages that memory of the arena can have, with a note where that is not what was asked for.
    func choosePages(_ wish: ArrayWish, notes: [String] = []) -> PageChoice {
        let share = wish.placement == .mirrored ? wish.bytes : wish.bytes / size
        var choice = PageChoice(unitBytes: Int(muster_team_page_bytes(team)), notes: notes)
        if wish.pages == .small, wish.bytes > 0, Pages.systemMakesHuge {
            choice.notes.append(
                "pages \(wish.pages): this system may make huge pages of it by itself "
                    + "(/sys/kernel/mm/transparent_hugepage/shmem_enabled)")
        }
        if wish.pages == .small || wish.pages == .automatic && share < Pages.leastShare {
            return choice
        }
        let huge = HugePages(bytes: muster_huge_page_bytes(), baseBytes: choice.unitBytes)
        if let obstacle = huge.obstacle(bytes: wish.bytes, isAutomatic: wish.pages == .automatic) {
            choice.notes.append("pages \(wish.pages): \(obstacle)")
            return choice
        }
        return PageChoice(unitBytes: Int(huge.bytes), isCollapsed: true, notes: notes)
    }

    private func readHost(
        for placement: Placement, _ raw: inout muster_placement, _ subject: String
    ) throws(MusterError) -> UnsafeMutablePointer<muster_topology> {
        var host: UnsafeMutablePointer<muster_topology>?
        let status = muster_topology_create(nil, &host)
        guard status == 0, let host else {
            throw .system(.placement, subject, "can't read this host's topology", status: status)
        }
        do throws(MusterError) {
            try placement.check(&raw, on: host)
        } catch {
            muster_topology_destroy(host)
            throw error
        }
        return host
    }

    private func plan(
        _ placement: Placement, _ raw: inout muster_placement,
        _ host: UnsafeMutablePointer<muster_topology>?, bytes: Int, chunkBytes: Int, unit: Int,
        _ subject: String
    ) throws(MusterError) -> ArrayPlan {
        var made = muster_plan()
        var status: Int32
        // Home nodes are where ranks run only if they are bound to them.
        let touched = [UInt32](repeating: UInt32.max, count: size)  // MUSTER_NODE_ANY
        let nodes = placement == .firstTouch && !bindsToNodes ? touched : homeNodes
        // Into the list that goes to the workers, where it is needed next.
        let list = muster_team_pieces(team)!
        status = nodes.withUnsafeBufferPointer { nodes in
            var layout = muster_layout()
            layout.size_bytes = UInt64(bytes)
            layout.chunk_bytes = UInt64(chunkBytes)
            layout.unit_bytes = UInt64(unit)
            layout.rank_nodes = nodes.baseAddress
            layout.ranks = UInt32(size)
            return muster_placement_plan(
                &raw, host, &layout, &made, list, UInt64(MUSTER_LIST_MAX))
        }
        guard status == 0 else {
            throw .system(
                .placement, subject, "placement \(placement) can't be planned", status: status)
        }
        var plan = ArrayPlan(
            placement: placement, mode: muster_plan_mode(made.mode), unitBytes: unit,
            pieces: Array(UnsafeBufferPointer(start: list, count: Int(made.piece_count))),
            weights: host.map { weights(placement, $0) } ?? [:],
            copyBytes: placement == .mirrored ? Int(made.block_bytes) : 0)
        if case .weighted = placement, made.why_blocks != 0 {
            let why =
                made.why_blocks == -EPERM
                ? "the kernel's weights are others, and a setting of the whole system"
                : "this kernel has no weights of its own (Linux 6.9 has)"
            plan.notes.append(
                "placement \(placement): dealt in blocks of \(formatBytes(made.block_bytes)), since "
                    + why)
        }
        return plan
    }

    /// By node: how many pages of a round it gets.
    private func weights(
        _ placement: Placement, _ host: UnsafeMutablePointer<muster_topology>
    ) -> [Int: Int] {
        switch placement {
        case .weighted(let weights): return weights
        case .interleave(let nodes) where !nodes.isEmpty:
            return Dictionary(nodes.map { ($0, 1) }) { first, _ in first }
        case .interleave:
            let all = (0..<Int(host.pointee.node_count)).map { host.pointee.nodes[$0] }
            let usable = all.filter { $0.allowed != 0 && $0.has_memory != 0 }
            return Dictionary(usable.map { (Int($0.id), 1) }) { first, _ in first }
        default: return [:]
        }
    }

    /// Refuses what a node can't hold, before anything is committed.
    private func checkRoom(_ plan: ArrayPlan, _ subject: String) throws(MusterError) {
        if plan.mode != MUSTER_PLAN_PIECES { return }
        if case .interleave = plan.placement { return }
        for (node, wanted) in plan.bytesWanted.sorted(by: { $0.key < $1.key }) {
            var free: UInt64 = 0
            guard muster_memory_node_available(node, &free) == 0, wanted > free else { continue }
            throw MusterError(
                .placement, subject: subject,
                reason: "placement \(plan.placement) asks for \(formatBytes(wanted)) on node "
                    + "\(node), where \(formatBytes(free)) can be had; choose another node or a "
                    + "smaller array", errorNumber: ENOMEM)
        }
    }

    /// Refuses what a node's part of a pool can't hold: a reservation is for no node in particular, and
    /// a rank that finds none on its node takes one of another.
    private func checkPool(
        _ plan: ArrayPlan, pageBytes: Int, _ subject: String
    ) throws(MusterError) {
        for (node, bytes) in plan.bytesWanted.sorted(by: { $0.key < $1.key }) {
            let wanted = (bytes - 1) / UInt64(pageBytes) + 1
            var free: UInt64 = 0
            guard muster_pool_free_pages(UInt64(pageBytes), node, &free) == 0, wanted > free else {
                continue
            }
            throw MusterError(
                .placement, subject: subject,
                reason: "\(wanted) of \(formatBytes(UInt64(pageBytes))) are asked for on node "
                    + "\(node), where \(free) are free ('echo \(wanted) > "
                    + "/sys/devices/system/node/node\(node)/hugepages/hugepages-\(pageBytes / 1024)kB"
                    + "/nr_hugepages' makes room)", errorNumber: ENOMEM)
        }
    }

    /// Pages have come to lie elsewhere because a node had no room: an error, where one was named.
    private func spilled(
        _ plan: inout ArrayPlan, bytes: Int, misplaced: Int, _ subject: String
    ) throws(MusterError) {
        let wanted = plan.bytesWanted.sorted { $0.key < $1.key }
        var parts: [String] = []
        for (node, bytes) in wanted {
            var free: UInt64 = 0
            let known = muster_memory_node_available(node, &free) == 0
            parts.append(
                "\(formatBytes(bytes)) on node \(node)"
                    + (known ? " (\(formatBytes(free)) still free)" : ""))
        }
        let what =
            "asks for \(parts.joined(separator: ", ")), but \(formatBytes(UInt64(misplaced)))"
        if case .interleave = plan.placement {
            plan.notes.append(
                "placement \(plan.placement) \(what) lie elsewhere, since a node has no more room")
            return
        }
        throw MusterError(
            .placement, subject: subject,
            reason: "placement \(plan.placement) \(what) went elsewhere: a node has no more room; "
                + "choose another node or a smaller array", errorNumber: ENOMEM)
    }
}

extension ArrayPlan {
    /// Bytes asked for, by node.
    var bytesWanted: [UInt32: UInt64] {
        var wanted: [UInt32: UInt64] = [:]
        var begin: UInt64 = 0
        for piece in pieces {
            if piece.node != UInt32.max {
                wanted[piece.node, default: 0] += piece.end_bytes - begin
            }
            begin = piece.end_bytes
        }
        return wanted
    }
}
