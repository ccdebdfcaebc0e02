// GuestTimelineScenarios.swift - how many bytes of other nodes a timeline says that ranks have used, where
// it is known from the placement.

import Glibc
import Muster

/// Every rank on its own, with arrays on one node, on each rank's own, dealt page by page, and copied.
func guestTimeline(_: [String]) throws {
    let memory = try Topology.read().nodes.filter { $0.memoryTotalBytes > 0 && $0.isAllowed }
        .map(\.id)
    guard let first = memory.first, let last = memory.last, first != last else {
        return print("timeline: skipped, one node only")
    }
    let team = try Team(size: try Topology.read().usableCPUCount)
    let homes = team.seats.map(\.homeNode)
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    // 8 pages a chunk, 64 chunks.
    let grain = 8 * page / 8
    func loads(_ placement: Placement) throws -> [Timeline.Load] {
        let from = try team.array(
            of: Int64.self, count: 64 * grain, placement: placement, pages: .small)
        try team.startTimeline()
        _ = try team.reduce(Compose(array: from.input), grain: grain)
        return try team.endTimeline().loads
    }
    func check(
        _ placement: Placement, _ far: (_ rank: Int, _ chunks: Int) -> Int
    ) throws {
        for load in try loads(placement) {
            let what = "\(placement), rank \(load.rank) on node \(homes[load.rank])"
            try claim(equal: load.bytes, UInt64(load.chunks * grain * 8), "bytes, \(what)")
            try claim(
                equal: load.remoteBytes, UInt64(far(load.rank, load.chunks) * page),
                "remote, \(what)")
        }
    }
    for node in [first, last] {
        try check(.bind(node: node)) { rank, chunks in homes[rank] == node ? 0 : chunks * 8 }
    }
    try check(.blocked) { _, _ in 0 }
    try check(.mirrored) { _, _ in 0 }
    // Of 8 pages, 4 are on each of two nodes.
    try check(.interleave(nodes: [first, last])) { rank, chunks in
        [first, last].contains(homes[rank]) ? chunks * 4 : chunks * 8
    }
    // What is gone by then is not known.
    let gone = {
        let array = try team.array(of: Int64.self, count: grain)
        try team.startTimeline()
        try team.run(AddPlace(array: array.inPlace), grain: 16)
    }
    try gone()
    try claim(
        try team.endTimeline().loads.allSatisfy {
            $0.chunks == 0 || $0.remoteBytes == nil && $0.bytesReason?.contains("was gone") == true
        },
        "of an array that is gone")
    print("timeline: remote bytes are right")
}
