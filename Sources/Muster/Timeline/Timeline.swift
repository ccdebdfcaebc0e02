// Timeline.swift - what each rank of a team did when, as it was recorded.

/// What the ranks of a team did, chunk by chunk, while it was recorded.
///
/// ```swift
/// try team.startTimeline()
/// try team.run(kernel, schedule: .staticSteal)
/// let timeline = try team.endTimeline()
/// for load in timeline.loads { print(load.rank, load.busy, load.stolen) }
/// ```
///
/// Times are nanoseconds since the recording began. ``ChromeTrace`` writes it for a viewer.
public struct Timeline: Sendable {
    /// How an attempt at a chunk ended.
    public enum Outcome: Sendable {
        /// The chunk was committed. Its process may have died right after.
        case committed
        /// The process died in it.
        case died
        /// Its kernel failed, or nobody saw the end.
        case unfinished
    }

    /// One attempt at a chunk.
    public struct Event: Sendable, Hashable {
        /// The loop, by its place in ``Timeline/loops``.
        public let loop: Int
        /// The rank that made the attempt.
        public let rank: Int
        /// Which of the rank's processes made it, from 1.
        public let process: Int
        /// Number of the chunk.
        public let chunk: Int
        /// The number of the attempt at the chunk, from 1.
        public internal(set) var attempt = 1
        /// Whether the chunk was taken from another rank's part.
        public let isStolen: Bool
        /// When the kernel was entered.
        public let begin: UInt64
        /// When the chunk was committed, the process's death was seen, or the loop ended.
        public let end: UInt64
        /// How it ended.
        public internal(set) var outcome: Outcome
    }

    /// A worker's death.
    public struct Death: Sendable, Hashable {
        /// The rank that it held.
        public let rank: Int
        /// "was killed by signal 9 (SIGKILL)"
        public let cause: String
        /// When the leader saw it.
        public let time: UInt64

        package init(rank: Int, cause: String, time: UInt64) {
            self.rank = rank
            self.cause = cause
            self.time = time
        }
    }

    /// A loop.
    public struct Loop: Sendable {
        /// The kernel's type.
        public let kernel: String
        /// Chunks that it has.
        public let chunks: Int
        /// Elements a chunk; the last may have fewer.
        public let grain: Int
        /// Elements of the loop.
        public let elements: Int
        /// How the chunks were dealt.
        public let schedule: Schedule
        /// Its dispatch; of programs' loops, when the first rank entered it. Nanoseconds.
        public let begin: UInt64
        /// The end of its audit; of a programs' loop that nobody ended, when the next began or the launch
        /// was over. Nanoseconds.
        public let end: UInt64
        /// In the order seen.
        public let deaths: [Death]

        package init(
            kernel: String, chunks: Int, grain: Int, elements: Int, schedule: Schedule,
            begin: UInt64, end: UInt64, deaths: [Death]
        ) {
            self.kernel = kernel
            self.chunks = chunks
            self.grain = grain
            self.elements = elements
            self.schedule = schedule
            self.begin = begin
            self.end = end
            self.deaths = deaths
        }

        /// Elements of a chunk. Precondition: `chunk` is in 0..<chunks.
        public func elements(ofChunk chunk: Int) -> Range<Int> {
            guard chunk >= 0 && chunk < chunks else {
                misuse("no chunk \(chunk): the loop has \(chunks)")
            }
            return chunk * grain..<min(elements, (chunk + 1) * grain)
        }
    }

    /// What one rank had to do.
    public struct Load: Sendable, Hashable {
        /// The rank.
        public let rank: Int
        /// Chunks that it committed.
        public internal(set) var chunks = 0
        /// Nanoseconds in chunks, those included that were not committed.
        public internal(set) var busy: UInt64 = 0
        /// Nanoseconds of the loops in which it was in no chunk: claims, and waiting for others; nil: not
        /// all of its chunks were recorded.
        public internal(set) var waiting: UInt64?
        /// Of the chunks, those taken from other ranks' parts.
        public internal(set) var stolen = 0
        /// Bytes that the chunks have in the arrays of their loops; nil where remoteBytes is.
        public internal(set) var bytes: UInt64?
        /// Of these, bytes on other nodes than the rank's, by where the pages lay when the recording
        /// ended; nil: not known. Of a mirrored array, every copy counts as local.
        public internal(set) var remoteBytes: UInt64?
        /// Why bytes are not known: "the rank is bound to no CPU"; nil: they are.
        public package(set) var bytesReason: String?
        /// Chunks that there was no room for.
        public let dropped: Int
    }

    /// Where each rank ran.
    public let seats: [Seat]
    /// All loops, in their order.
    public let loops: [Loop]
    /// All attempts, by rank, and of a rank in their order.
    public let events: [Event]
    /// What each rank had to do.
    public let loads: [Load]
    /// When the recording began, CLOCK_MONOTONIC in nanoseconds.
    public let start: UInt64
    /// How long it went on, in nanoseconds.
    public let duration: UInt64
    /// Loops that are not in it, since there was no room for more.
    public let droppedLoops: Int

    package init(
        seats: [Seat], loops: [Loop], events: [Event], loads: [Load], start: UInt64,
        duration: UInt64, droppedLoops: Int
    ) {
        self.seats = seats
        self.loops = loops
        self.events = events
        self.loads = loads
        self.start = start
        self.duration = duration
        self.droppedLoops = droppedLoops
    }

    /// Chunks that there was no room for, of the loops that are in it.
    public var droppedChunks: Int { loads.reduce(0) { $0 + $1.dropped } }
    /// Whether everything is in it.
    public var isComplete: Bool { droppedLoops == 0 && droppedChunks == 0 }
}

extension Team {
    /// Begins to record when each rank begins and ends each chunk of the loops that follow.
    ///
    /// Recorded loops take some 100 ns more a chunk; others are what they were. The memory, 40 bytes an
    /// event, is committed at once and lies on each rank's node.
    ///
    /// - Parameter eventsPerRank: Room for so many attempts at chunks a rank, and for so many loops, up
    ///   to 2^32. What goes beyond is counted, and missing: see ``Timeline/isComplete``.
    /// - Throws: `.invalidArgument` for another number, and where the team is recording, has ended or runs
    ///   a loop. `.memory` if there is not enough, `.start` or `.threads` if no rank is left and none can
    ///   be started, `.system` if a system call fails.
    public func startTimeline(eventsPerRank: Int = 1 << 16) throws(MusterError) {
        try core.startRecording(eventsPerRank: eventsPerRank)
    }

    /// Ends the recording and returns what was recorded.
    ///
    /// Reads back where the pages of the loops' arrays lie, on a host with several nodes.
    ///
    /// - Throws: `.invalidArgument` where the team is not recording, and while a loop runs.
    public func endTimeline() throws(MusterError) -> Timeline { try core.endRecording() }
}
