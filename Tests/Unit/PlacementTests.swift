/// placement.h: wishes that a host can't grant, on hosts made by hand; the ranks' home nodes; and
/// policies and read-back on this host, where it lets us.

import MusterCore
import Glibc
import Muster
import Testing

/// A host in arrays. Node ids with gaps: 0 ordinary, 2 without memory, 3 not allowed, 7 like 0 but
/// without a usable CPU, 9 ordinary.
private final class Host {
    var topology = muster_topology()
    private let nodes: UnsafeMutablePointer<muster_node>
    private let cpus: UnsafeMutablePointer<muster_cpu>

    init(_ list: [muster_node], _ cpuList: [muster_cpu]) {
        nodes = .allocate(capacity: max(1, list.count))
        cpus = .allocate(capacity: max(1, cpuList.count))
        nodes.initialize(from: list, count: list.count)
        cpus.initialize(from: cpuList, count: cpuList.count)
        topology.nodes = nodes
        topology.cpus = cpus
        topology.node_count = UInt32(list.count)
        topology.cpu_count = UInt32(cpuList.count)
        topology.page_bytes = 4096
    }
    deinit {
        nodes.deallocate()
        cpus.deallocate()
    }

    static func node(_ id: UInt32, memory: UInt64 = 1 << 30, allowed: Bool = true) -> muster_node {
        var node = muster_node()
        node.id = id
        node.memory_total_bytes = memory
        node.has_memory = memory > 0 ? 1 : 0
        node.allowed = allowed ? 1 : 0
        return node
    }
    static func cpu(_ id: UInt32, node: Int32, online: Bool = true, allowed: Bool = true)
        -> muster_cpu
    {
        muster_cpu(
            id: id, node: node, core: 0, package: 0, online: online ? 1 : 0,
            allowed: allowed ? 1 : 0, core_cpu: id, package_cpu: 0, cache_cpu: -1)
    }
    static func odd() -> Host {
        Host(
            [
                node(0), node(2, memory: 0, allowed: false), node(3, allowed: false), node(7),
                node(9),
            ],
            [
                cpu(0, node: 0), cpu(1, node: 0), cpu(2, node: 7, online: false),
                cpu(3, node: 7, allowed: false), cpu(4, node: 9), cpu(5, node: -1),
            ])
    }

    func check(_ kind: UInt32, node: UInt32 = 0, nodes: [Int] = []) -> Int32 {
        var wish = placement(kind, node: node, nodes: nodes)
        return muster_placement_check(&wish, &topology)
    }
}

private func placement(_ kind: UInt32, node: UInt32 = 0, nodes: [Int] = []) -> muster_placement {
    var wish = muster_placement()
    wish.kind = kind
    wish.node = node
    for id in nodes { #expect(muster_placement_add(&wish, UInt32(id), 1) == 0) }
    return wish
}

@Suite struct PlacementTests {
    private let bind = MUSTER_BIND.rawValue
    private let interleave = MUSTER_INTERLEAVE.rawValue

    @Test func nodesThatCantBeHadAreRefused() {
        let host = Host.odd()
        for kind in [MUSTER_FIRST_TOUCH, MUSTER_BLOCKED, MUSTER_MIRRORED] {
            #expect(host.check(kind.rawValue) == 0)
        }
        for kind: UInt32 in [6, 7, .max] { #expect(host.check(kind) == -EINVAL, "kind \(kind)") }
        for node: UInt32 in [0, 7, 9] { #expect(host.check(bind, node: node) == 0) }
        for node: UInt32 in [1, 8, 10, 1023, 1024, .max] {
            #expect(host.check(bind, node: node) == -ENODEV, "node \(node) is absent")
        }
        #expect(host.check(bind, node: 2) == -ENODEV, "no memory")
        #expect(host.check(bind, node: 3) == -EACCES, "not allowed")
        #expect(host.check(interleave) == 0, "every node there is")
        #expect(host.check(interleave, nodes: [0, 7, 9]) == 0)
        // The kernel would drop the one bad node silently.
        #expect(host.check(interleave, nodes: [0, 1]) == -ENODEV)
        #expect(host.check(interleave, nodes: [0, 2]) == -ENODEV)
        #expect(host.check(interleave, nodes: [0, 3, 9]) == -EACCES)
        #expect(host.check(interleave, nodes: [0, 64]) == -ENODEV)
        #expect(host.check(interleave, nodes: [1023]) == -ENODEV)
    }

    @Test func aNodeIsAddedOnceAndWithAWeight() {
        var wish = muster_placement()
        #expect(muster_placement_add(&wish, 1024, 1) == -EINVAL)
        #expect(muster_placement_add(&wish, .max, 1) == -EINVAL)
        for weight: UInt32 in [0, 256, .max] {
            #expect(muster_placement_add(&wish, 1, weight) == -EINVAL)
        }
        #expect(wish.nodes.0 == 0)
        #expect(muster_placement_add(&wish, 1, 255) == 0)
        #expect(muster_placement_add(&wish, 1, 1) == -EINVAL, "it is there already")
        #expect(muster_placement_add(&wish, 1023, 1) == 0)
    }

    @Test func sharesAreWholeChunksMovedDownToUnits() {
        for (size, chunk, unit, ranks) in [
            (1 << 20, 4096, 4096, 3), (1 << 20, 5000, 4096, 7), (1 << 24, 65_536, 2 << 20, 3),
            (10_000, 100, 4096, 4), (5, 1, 4096, 8), ((8 << 20) + 77, 512, 2 << 20, 5),
        ] as [(UInt64, UInt64, UInt64, UInt32)] {
            var end: UInt64 = 0
            for rank in 0..<ranks {
                let share = muster_placement_share(size, chunk, unit, ranks, rank)
                #expect(share.first == end && share.end >= share.first, "\(size), rank \(rank)")
                #expect(share.first % unit == 0 || share.first == size)
                end = share.end
            }
            #expect(end == size)
        }
    }

    /// What a plan makes of a wish: its pieces as (bytes, node).
    private func pieces(
        _ host: Host, _ wish: muster_placement, bytes: UInt64, unit: UInt64 = 4096,
        homes: [UInt32] = [], capacity: Int = 1000
    ) -> (status: Int32, plan: muster_plan, list: [[UInt64]]) {
        var wish = wish
        var plan = muster_plan()
        var list = [muster_piece](repeating: muster_piece(), count: capacity)
        let status = homes.withUnsafeBufferPointer { homes in
            var layout = muster_layout()
            layout.size_bytes = bytes
            layout.chunk_bytes = 4096
            layout.unit_bytes = unit
            layout.rank_nodes = homes.baseAddress
            layout.ranks = UInt32(homes.count)
            return muster_placement_plan(
                &wish, &host.topology, &layout, &plan, &list, UInt64(capacity))
        }
        var begin: UInt64 = 0
        let found = list.prefix(Int(plan.piece_count)).map { piece in
            defer { begin = piece.end_bytes }
            return [piece.end_bytes - begin, UInt64(piece.node)]
        }
        return (status, plan, found)
    }

    @Test func plansCoverTheArrayPieceByPiece() {
        let host = Host.odd()
        let page: UInt64 = 4096
        let bound = pieces(host, placement(bind, node: 9), bytes: 5 * page)
        #expect(bound.list == [[5 * page, 9]] && bound.plan.mode == MUSTER_PLAN_PIECES.rawValue)
        let blocked = placement(MUSTER_BLOCKED.rawValue)
        #expect(
            pieces(host, blocked, bytes: 6 * page, homes: [0, 0, 9]).list == [
                [4 * page, 0], [2 * page, 9],
            ], "neighbours on one node are one piece")
        let touched = pieces(host, muster_placement(), bytes: 2 * page, homes: [7, 0])
        #expect(touched.list == [[page, 7], [page, 0]])
        #expect(touched.plan.mode == MUSTER_PLAN_TOUCH.rawValue)

        // Base pages are dealt by the kernel, huge ones by hand.
        let dealt = pieces(host, placement(interleave), bytes: 6 * page)
        #expect(dealt.plan.mode == MUSTER_PLAN_KERNEL.rawValue)
        #expect(dealt.list == [[6 * page, UInt64(UInt32.max)]])
        let unit: UInt64 = 2 << 20
        let huge = pieces(host, placement(interleave), bytes: 4 * unit + 5, unit: unit)
        #expect(huge.list == [[unit, 0], [unit, 7], [unit, 9], [unit, 0], [5, 7]])
        #expect(huge.plan.mode == MUSTER_PLAN_PIECES.rawValue && huge.plan.block_bytes == unit)
        let alone = pieces(host, placement(interleave, nodes: [9]), bytes: 3 * unit, unit: unit)
        #expect(alone.list == [[3 * unit, 9]])

        // More than fits is dealt in larger blocks.
        let few = pieces(
            host, placement(interleave, nodes: [0, 9]), bytes: 100 * unit, unit: unit, capacity: 12)
        #expect(few.status == 0 && few.list.count <= 12 && few.list.count > 6)
        let sums = Dictionary(few.list.map { ($0[1], $0[0]) }, uniquingKeysWith: +)
        #expect(sums[0]! + sums[9]! == 100 * unit)
        #expect(max(sums[0]!, sums[9]!) - min(sums[0]!, sums[9]!) <= few.plan.block_bytes)

        #expect(pieces(host, placement(99), bytes: page).status == -EINVAL)
        #expect(
            pieces(host, blocked, bytes: 4 * page, homes: [0, 9, 0, 9], capacity: 3).status
                == -E2BIG)
        let empty = Host([Host.node(3, allowed: false)], [])
        #expect(pieces(empty, placement(interleave), bytes: page).status == -ENODEV)
    }

    @Test func weightsAreDealtInProportion() {
        let host = Host.odd()
        let page: UInt64 = 4096
        var wish = muster_placement()
        wish.kind = MUSTER_WEIGHTED.rawValue
        #expect(muster_placement_add(&wish, 0, 3) == 0 && muster_placement_add(&wish, 9, 1) == 0)
        // No host has weights for node 9 of this one, or it has others than 3 to 1.
        let made = pieces(host, wish, bytes: 9 * page)
        #expect(made.plan.why_blocks == -ENOSYS || made.plan.why_blocks == -EPERM)
        #expect(
            made.list == [[3 * page, 0], [page, 9], [3 * page, 0], [page, 9], [page, 0]])
    }

    // MARK: - This host

    private final class Arena {
        var host: UnsafeMutablePointer<muster_topology>?
        var space = muster_space()
        var extent = muster_extent()
        init() throws {
            try #require(muster_topology_create(nil, &host) == 0)
            try #require(muster_space_create(&space) == 0)
            try #require(muster_space_allocate(&space, 4 << 20, false, &extent) == 0)
        }
        deinit {
            muster_space_destroy(&space)
            muster_topology_destroy(host)
        }
        var address: UnsafeMutableRawPointer {
            UnsafeMutableRawPointer(space.address) + Int(extent.offset_bytes)
        }
        var nodes: [UInt32] {
            let topology = host!.pointee
            return (0..<Int(topology.node_count)).map { topology.nodes[$0] }
                .filter { $0.allowed == 1 && $0.memory_total_bytes > 0 }.map(\.id)
        }
        /// Plans and applies one step.
        func apply(
            _ wish: muster_placement, _ step: muster_placement_step, bytes: UInt64,
            chunk: UInt64 = 4096, homes: [UInt32] = []
        ) -> Int32 {
            var wish = wish
            var plan = muster_plan()
            var pieces = [muster_piece](repeating: muster_piece(), count: 100)
            let status = homes.withUnsafeBufferPointer { homes in
                var layout = muster_layout()
                layout.size_bytes = bytes
                layout.chunk_bytes = chunk
                layout.unit_bytes = 4096
                layout.rank_nodes = homes.baseAddress
                layout.ranks = UInt32(homes.count)
                return muster_placement_plan(&wish, host, &layout, &plan, &pieces, 100)
            }
            if status < 0 { return status }
            return muster_placement_apply(&wish, host, &plan, pieces, step, address, bytes)
        }
        /// Bytes by node; nil where the kernel refuses the question.
        func residency(_ bytes: UInt64, at offset: Int = 0) -> (byNode: [UInt64], absent: UInt64)? {
            var byNode = [UInt64](repeating: 77, count: Int(MUSTER_NODES_MAX))
            var absent: UInt64 = 77
            let status = muster_placement_residency(address + offset, bytes, 4096, &byNode, &absent)
            if status == 0 { return (byNode, absent) }
            #expect(status == -EXDEV && byNode[0] == 77 && absent == 77)
            return nil
        }
    }

    @Test func whereThePagesAreAddsUp() throws {
        let arena = try Arena()
        let bytes = 3 * 4096 + 5
        memset(arena.address, 1, 4 << 20)
        for bytes in [4096, 8192, bytes, 4 << 20] {
            guard let found = arena.residency(UInt64(bytes)) else { return }
            let pages = UInt64((bytes + 4095) / 4096 * 4096)
            #expect(found.byNode.reduce(0, +) + found.absent == pages)
            #expect(found.absent == 0)
        }
        // More than one question to the kernel has room for: 4,096 pages.
        var large = muster_extent()
        try #require(muster_space_allocate(&arena.space, 20 << 20, false, &large) == 0)
        memset(UnsafeMutableRawPointer(arena.space.address) + Int(large.offset_bytes), 1, 20 << 20)
        let offset = Int(large.offset_bytes - arena.extent.offset_bytes)
        let all = try #require(arena.residency(20 << 20, at: offset))
        #expect(all.byNode.reduce(0, +) == 20 << 20)
        #expect(arena.residency(0)!.byNode.reduce(0, +) == 0)
        // What is not mapped has no place: an error, not zeros.
        var byNode = [UInt64](repeating: 0, count: Int(MUSTER_NODES_MAX))
        var absent: UInt64 = 0
        let window = UnsafeMutableRawPointer(arena.space.address) + Int(arena.space.arena_bytes)
        #expect(muster_placement_residency(window, 4096, 4096, &byNode, &absent) < 0)
    }

    @Test func pagesGoWhereTheyAreBoundAndInterleaved() throws {
        let arena = try Arena()
        let bytes: UInt64 = 1 << 20
        for node in arena.nodes {
            for step in [MUSTER_PLACEMENT_PREFER, MUSTER_PLACEMENT_BIND] {
                let status = arena.apply(placement(bind, node: node), step, bytes: bytes)
                #expect(status == 0 || status == -EXDEV, "bind to \(node): \(status)")
                if status != 0 { return }
            }
            memset(arena.address, 1, Int(bytes))
            if let found = arena.residency(bytes) {
                #expect(found.byNode[Int(node)] == bytes, "bound to node \(node)")
            }
            muster_space_free(&arena.space, arena.extent)
            try #require(muster_space_allocate(&arena.space, 4 << 20, false, &arena.extent) == 0)
        }
        for wish in [
            placement(interleave), placement(interleave, nodes: arena.nodes.map { Int($0) }),
        ] {
            for step in [MUSTER_PLACEMENT_PREFER, MUSTER_PLACEMENT_BIND] {
                #expect(arena.apply(wish, step, bytes: bytes) == 0)
            }
        }
        memset(arena.address, 1, Int(bytes))
        if let found = arena.residency(bytes) {
            for node in arena.nodes {
                #expect(found.byNode[Int(node)] >= bytes / UInt64(arena.nodes.count) / 2)
            }
        }
    }

    @Test func blockedSharesCoverTheArrayWhateverTheBlock() throws {
        let arena = try Arena()
        let homes = arena.nodes
        for ranks in [1, 2, 3, 7] {
            let rankHomes = (0..<ranks).map { homes[$0 * homes.count / ranks] }
            for block: UInt64 in [1, 100, 4096, 5000, 1 << 20, 1 << 30] {
                for bytes: UInt64 in [4096, 3 * 4096, 1 << 20] {
                    for step in [MUSTER_PLACEMENT_PREFER, MUSTER_PLACEMENT_BIND] {
                        let status = arena.apply(
                            placement(MUSTER_BLOCKED.rawValue), step, bytes: bytes, chunk: block,
                            homes: rankHomes)
                        #expect(
                            status == 0 || status == -EXDEV, "\(ranks) ranks, \(block), \(bytes)")
                    }
                }
            }
        }
        memset(arena.address, 1, 1 << 20)
        #expect((arena.residency(1 << 20)?.absent ?? 0) == 0)
    }

    @Test func wishesThatCantBeAppliedAreErrors() throws {
        let arena = try Arena()
        let prefer = MUSTER_PLACEMENT_PREFER
        #expect(arena.apply(placement(99), prefer, bytes: 4096) == -EINVAL)
        #expect(arena.apply(placement(MUSTER_FIRST_TOUCH.rawValue), prefer, bytes: 4096) == 0)
        let strict = MUSTER_PLACEMENT_BIND
        #expect(arena.apply(placement(bind, node: 1024), strict, bytes: 4096) == -ENODEV)
        let absent = (0..<UInt32(MUSTER_NODES_MAX)).last { !arena.nodes.contains($0) }!
        let status = arena.apply(placement(bind, node: absent), strict, bytes: 4096)
        #expect(status < 0, "the kernel knows no node \(absent)")
    }

    @Test func whatANodeCanGiveIsPartOfItsMemory() throws {
        let arena = try Arena()
        for position in 0..<Int(arena.host!.pointee.node_count) {
            let node = arena.host!.pointee.nodes[position]
            var available: UInt64 = 7
            let status = muster_memory_node_available(node.id, &available)
            if status == -ENOENT { return }  // a kernel without NUMA
            #expect(status == 0 && available <= node.memory_total_bytes)
        }
        var available: UInt64 = 7
        #expect(muster_memory_node_available(4095, &available) == -ENOENT && available == 7)
    }
}

/// Placement's and Pages' texts.
@Suite struct PlacementTextTests {
    @Test func everyPlacementReadsBackFromItsText() {
        for placement: Placement in [
            .firstTouch, .blocked, .bind(node: 0), .bind(node: 1023), .interleave(),
            .interleave(nodes: [3, 0]), .weighted([0: 3, 12: 255]),
        ] {
            #expect(Placement(placement.description) == placement, "\(placement)")
        }
        #expect(Placement("weighted:1=1,0=3")?.description == "weighted:0=3,1=1")
        for pages in Pages.allCases { #expect(Pages(pages.description) == pages) }
    }

    @Test(arguments: [
        "", "bind", "bind:", "bind:x", "bind:-1", "bind:+1", "bind:1,2", "bind:1:2", "interleave:",
        "interleave:0,", "interleave:0,0", "interleave:a", "first-touch:", "first-touch:0",
        "blocked:1", "weighted", "weighted:", "weighted:0", "weighted:0=", "weighted:0=0",
        "weighted:0=256", "weighted:0=1,0=2", "weighted:0=1=2", "weighted:=1", "Blocked",
        "bind:99999999999999999999",
    ])
    func otherTextsAreRefused(text: String) { #expect(Placement(text) == nil) }
}
