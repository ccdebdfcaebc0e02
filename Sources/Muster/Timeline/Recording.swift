// Recording.swift - keeping a timeline while a team's loops run.
//
// Ranks write their own lists (timeline.h), which lie in the arena, so that every process of the team
// has them already; the leader notes what it alone knows: the loops, and the deaths in them.

internal import MusterCore

/// A recording in progress.
struct Recording {
    let extent: Extent
    let eventsPerRank: Int
    let start: UInt64
    var loops: [RecordedLoop] = []
    var droppedLoops = 0
    var isFull: Bool { loops.count == eventsPerRank }
}

/// What the leader knows of a loop that was recorded.
struct RecordedLoop {
    let number: UInt64
    /// Number in the kernel table.
    let kernel: Int
    let arrays: [RecordedArray]
    let chunks: Int
    let grain: Int
    let elements: Int
    let schedule: Schedule
    /// Each chunk was committed exactly once.
    let isClean: Bool
    let begin: UInt64
    let end: UInt64
    let deaths: [AuditReport.Death]
}

/// An array that a loop has used.
struct RecordedArray: Hashable {
    let id: UInt32
    let generation: UInt32
    let offset: Int
    let count: Int
    let elementBytes: Int
    let elementsPerIndex: Int
    /// It was not read by the loop's indices: which of it a chunk has read is not known.
    let isGather: Bool

    /// The bytes of it that a chunk owns, from its element 0.
    func bytes(ofChunk chunk: Int, in loop: RecordedLoop) -> Range<Int> {
        let indices =
            min(
                loop.elements, chunk * loop.grain)..<min(
                loop.elements, (chunk + 1) * loop.grain)
        let most = count / max(1, elementsPerIndex)
        let first = min(indices.lowerBound, most) * elementsPerIndex * elementBytes
        return first..<min(indices.upperBound, most) * elementsPerIndex * elementBytes
    }
}

extension TeamCore {
    func startRecording(eventsPerRank: Int) throws(MusterError) {
        guard !hasEnded else { throw invalid("timeline", "the team has ended") }
        guard recording == nil else {
            throw MusterError(
                .invalidArgument, subject: "team of \(size)",
                reason: "it is being recorded already: end that timeline first")
        }
        guard eventsPerRank >= 1, UInt64(eventsPerRank) <= MUSTER_EVENTS_MAX else {
            throw MusterError(
                .invalidArgument, subject: "timeline of \(eventsPerRank) events a rank",
                reason: "from 1 to \(MUSTER_EVENTS_MAX) are possible")
        }
        let bytes = Int(muster_timeline_bytes(UInt64(eventsPerRank))) * size
        let extent = try allocate(
            bytes: bytes, of: "timeline of \(eventsPerRank) events a rank")
        // Room that was used before is zeroed when it is given back, by punching a hole.
        recording = Recording(
            extent: extent, eventsPerRank: eventsPerRank, start: monotonicNanoseconds())
    }

    /// Whether the next loop is recorded.
    var isRecording: Bool { recording.map { !$0.isFull } ?? false }

    /// When a loop begins that is recorded; nil: it is not.
    func beginIfRecorded() -> UInt64? {
        if isRecording { return monotonicNanoseconds() }
        recording?.droppedLoops += 1
        return nil
    }

    /// Has ranks record the loop in the job slot. Precondition: isRecording.
    func record(_ job: UnsafeMutablePointer<muster_job>) {
        job.pointee.flags |= MUSTER_JOB_RECORDED.rawValue | MUSTER_JOB_TRACED.rawValue
        job.pointee.timeline_offset = UInt64(recording!.extent.offset)
        job.pointee.timeline_events = UInt64(recording!.eventsPerRank)
    }

    /// Notes a recorded loop that has ended, whichever way.
    func noteRecorded(
        kernel: UInt32, _ work: UnsafeRawBufferPointer, _ accesses: [AccessField],
        _ report: AuditReport, _ deaths: [AuditReport.Death], begin: UInt64
    ) {
        let arrays = accesses.map { access in
            let handle = access.handle(in: work)
            return RecordedArray(
                id: handle.id, generation: handle.generation, offset: handle.offset,
                count: handle.count, elementBytes: access.elementBytes,
                elementsPerIndex: access.elementsPerIndex(in: work),
                isGather: access.flags & MUSTER_USE_GATHER.rawValue != 0)
        }
        recording!.loops.append(
            RecordedLoop(
                number: job.pointee.loop, kernel: Int(kernel), arrays: arrays,
                chunks: report.chunks, grain: report.grain, elements: report.elements,
                schedule: report.schedule, isClean: report.isClean, begin: begin,
                end: monotonicNanoseconds(),
                deaths: deaths))
    }

    func endRecording() throws(MusterError) -> Timeline {
        try checkIsIdle("timeline")
        guard let recording else {
            throw MusterError(
                .invalidArgument, subject: "team of \(size)",
                reason: "it is not being recorded: start a timeline first")
        }
        let ended = monotonicNanoseconds()
        self.recording = nil
        defer { free(recording.extent) }
        var reader = TimelineReader(
            start: recording.start,
            recording.loops.map { loop in
                TimelineReader.Loop(
                    number: loop.number, isClean: loop.isClean,
                    loop: Timeline.Loop(
                        kernel: kernels.entries[loop.kernel].name, chunks: loop.chunks,
                        grain: loop.grain, elements: loop.elements, schedule: loop.schedule,
                        begin: loop.begin - recording.start, end: loop.end - recording.start,
                        deaths: loop.deaths.map {
                            Timeline.Death(
                                rank: $0.rank, cause: $0.cause, time: $0.seen - recording.start)
                        }))
            })
        let stride = Int(muster_timeline_bytes(UInt64(recording.eventsPerRank)))
        for rank in 0..<size {
            let list = (base + recording.extent.offset + rank * stride).assumingMemoryBound(
                to: muster_timeline.self)
            reader.read(
                muster_timeline_events(list)!,
                count: Int(min(list.pointee.count, UInt64(recording.eventsPerRank))),
                // Any rank may have written there; all ranks' are added up.
                dropped: min(Int(clamping: list.pointee.dropped), Int.max >> 16))
        }
        reader.finish()
        var loads = reader.loads
        countBytes(recording, reader.events, &loads)
        return Timeline(
            seats: seats, loops: reader.timelineLoops, events: reader.events, loads: loads,
            start: recording.start, duration: ended - recording.start,
            droppedLoops: recording.droppedLoops)
    }

    // MARK: - Bytes

    /// Adds up what the chunks have of arrays, and how much of that is on other nodes.
    private func countBytes(
        _ recording: Recording, _ events: [Timeline.Event], _ loads: inout [Timeline.Load]
    ) {
        var maps: [RecordedArray: Whereabouts] = [:]
        for loop in recording.loops {
            for array in loop.arrays where maps[array] == nil {
                maps[array] = whereabouts(of: array)
            }
        }
        for rank in loads.indices {
            if loads[rank].dropped > 0 {
                loads[rank].bytesReason = "not all of the rank's chunks were recorded"
            } else if !hasOneNode && seats[rank].cpu == nil {
                loads[rank].bytesReason = "the rank is bound to no CPU"
            } else {
                (loads[rank].bytes, loads[rank].remoteBytes) = (0, 0)
            }
        }
        for event in events where event.outcome == .committed {
            let loop = recording.loops[event.loop]
            for array in loop.arrays where !array.isGather {
                guard let sum = loads[event.rank].bytes, let far = loads[event.rank].remoteBytes
                else { break }
                let part = array.bytes(ofChunk: event.chunk, in: loop)
                guard !part.isEmpty else { continue }
                let map: NodeMap
                switch maps[array]! {
                case .known(let found): map = found
                case .unknown(let reason):
                    (loads[event.rank].bytes, loads[event.rank].remoteBytes) = (nil, nil)
                    loads[event.rank].bytesReason = reason
                    continue
                }
                loads[event.rank].bytes = sum + UInt64(part.count)
                loads[event.rank].remoteBytes =
                    far
                    + UInt64(map.bytes(in: part, notOn: Int32(seats[event.rank].homeNode)))
            }
        }
    }

    private func whereabouts(of array: RecordedArray) -> Whereabouts {
        if hasOneNode { return .known(.everywhereLocal) }
        guard arrays.isLive(array.id, array.generation) else {
            return .unknown("an array of its loops was gone when the recording ended")
        }
        if arrays.isMirrored(array.id) { return .known(.everywhereLocal) }
        let page = Int(muster_team_page_bytes(team))
        let lead = array.offset % page
        let bytes = lead + array.count * array.elementBytes
        guard bytes > lead else { return .known(.everywhereLocal) }
        var available: UInt64 = 0
        // To be asked about, a file's pages must be in memory: not of one that has no room there.
        if arrays.isFile(array.id),
            muster_memory_available(&available) < 0 || UInt64(bytes) > available
        {
            return .unknown(
                "the file of an array has no room in memory, where it would be asked about")
        }
        var nodes = [Int32](repeating: -1, count: (bytes + page - 1) / page)
        let status = muster_placement_nodes(
            base + array.offset - lead, UInt64(bytes), UInt64(page), &nodes)
        guard status == 0, !nodes.contains(-1) else {
            return .unknown("the system does not say where the pages of an array lie")
        }
        return .known(NodeMap(nodes, pageBytes: page, lead: lead))
    }
}

/// What is known of where an array lies.
private enum Whereabouts {
    case known(NodeMap)
    /// Why not.
    case unknown(String)
}

/// On which nodes the bytes of an array lie: runs of pages on one node.
private struct NodeMap {
    /// Each run's end, in bytes from the array's first, and its node.
    private var runs: [(end: Int, node: Int32)] = []

    /// As a mirrored array is, and every array of a host with one node.
    static let everywhereLocal = NodeMap()
    private init() {}

    /// `lead`: bytes of the first page before the array.
    init(_ nodes: [Int32], pageBytes: Int, lead: Int) {
        for (page, node) in nodes.enumerated() {
            if runs.last?.node == node { runs.removeLast() }
            runs.append((end: (page + 1) * pageBytes - lead, node: node))
        }
    }

    func bytes(in range: Range<Int>, notOn home: Int32) -> Int {
        // The first run that ends beyond the range's begin.
        var (low, high) = (0, runs.count)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].end <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        var (far, at) = (0, range.lowerBound)
        for run in runs[low...] where at < range.upperBound {
            let end = min(run.end, range.upperBound)
            if run.node != home { far += end - at }
            at = end
        }
        return far
    }
}
