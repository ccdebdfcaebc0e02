/// placement.h: wishes that a host can't grant, on hosts made by hand; the ranks' home nodes; and
/// policies and read-back on this host, where it lets us.

import CMuster
import Glibc
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
        node.allowed = allowed ? 1 : 0
        return node
    }
    static func cpu(_ id: UInt32, node: Int32, online: Bool = true, allowed: Bool = true)
        -> muster_cpu
    {
        muster_cpu(
            id: id, node: node, core: 0, package: 0, online: online ? 1 : 0,
            allowed: allowed ? 1 : 0, core_cpu: id, cache_cpu: -1)
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
    func homes(_ ranks: Int) -> [UInt32] {
        var homes = [UInt32](repeating: 99, count: ranks + 1)
        muster_placement_rank_nodes(&topology, UInt32(ranks), &homes)
        #expect(homes.removeLast() == 99)
        return homes
    }
}

private func placement(_ kind: UInt32, node: UInt32 = 0, nodes: [Int] = []) -> muster_placement {
    var wish = muster_placement()
    wish.kind = kind
    wish.node = node
    withUnsafeMutableBytes(of: &wish.nodes) { mask in
        for id in nodes { mask[id / 8] |= 1 << (id % 8) }
    }
    return wish
}

@Suite struct PlacementTests {
    private let bind = MUSTER_BIND.rawValue
    private let interleave = MUSTER_INTERLEAVE.rawValue

    @Test func nodesThatCantBeHadAreRefused() {
        let host = Host.odd()
        for kind in [MUSTER_FIRST_TOUCH, MUSTER_BLOCKED] { #expect(host.check(kind.rawValue) == 0) }
        for kind: UInt32 in [4, 5, .max] { #expect(host.check(kind) == -EINVAL, "kind \(kind)") }
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

    @Test func ranksGetNodesWithUsableCPUsInEqualBlocks() {
        let host = Host.odd()
        #expect(host.homes(0) == [])
        #expect(host.homes(1) == [0])
        #expect(host.homes(2) == [0, 9])
        #expect(host.homes(5) == [0, 0, 0, 9, 9])
        let many = Host(
            (0..<6).map { Host.node($0) }, (0..<6).map { Host.cpu($0, node: Int32($0)) })
        #expect(many.homes(3) == [0, 1, 2], "more nodes than ranks")
        #expect(many.homes(13) == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
        let none = Host([Host.node(4)], [Host.cpu(0, node: 4, allowed: false)])
        #expect(none.homes(3) == [0, 0, 0])
    }

    @Test func aNodeWithoutUsableCPUsCantBeRunOn() {
        let host = Host.odd()
        for node: UInt32 in [1, 2, 7, .max] {
            #expect(muster_placement_run_on(&host.topology, node) == -ENODEV, "node \(node)")
        }
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
        func apply(
            _ wish: muster_placement, _ step: muster_placement_step, bytes: UInt64,
            block: UInt64 = 4096,
            homes: [UInt32] = []
        ) -> Int32 {
            var wish = wish
            return muster_placement_apply(
                &wish, step, address, bytes, block, homes, UInt32(homes.count), host)
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
                            placement(MUSTER_BLOCKED.rawValue), step, bytes: bytes, block: block,
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
        #expect(arena.apply(placement(99), prefer, bytes: 0) == 0, "nothing to place")
        #expect(arena.apply(placement(MUSTER_FIRST_TOUCH.rawValue), prefer, bytes: 4096) == 0)
        #expect(arena.apply(placement(bind, node: 1024), prefer, bytes: 4096) == -ENODEV)
        let absent = (0..<UInt32(MUSTER_NODES_MAX)).last { !arena.nodes.contains($0) }!
        let status = arena.apply(placement(bind, node: absent), prefer, bytes: 4096)
        #expect(status < 0, "the kernel knows no node \(absent)")
    }
}
