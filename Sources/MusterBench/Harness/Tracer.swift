// Tracer.swift - what benchmarks need to have their teams recorded.
//
// Recording takes some 100 ns a chunk. Where a chunk is work, what is measured is recorded. Where it is empty
// and its own cost is the figure, one more run is, after the last sample.

public import Muster

/// Has the loops of a benchmark's teams recorded, and hands the timelines on as teams end.
public struct Tracer {
    let eventsPerRank: Int
    let take: (_ timeline: Timeline, _ name: String) -> Void

    /// A tracer with room for so many events a rank, in each team.
    public init(
        eventsPerRank: Int = 1 << 17, take: @escaping (_ timeline: Timeline, _ name: String) -> Void
    ) {
        self.eventsPerRank = eventsPerRank
        self.take = take
    }

    /// `most`: chunks, and loops, that a rank can have in it, where that is known. Room is memory, and a
    /// team of a thousand ranks has much of it.
    func begin(_ team: borrowing Team, most: Int = .max) throws(MusterError) {
        try team.startTimeline(eventsPerRank: min(eventsPerRank, most))
    }

    /// While the arrays of its loops are still there.
    func end(_ team: borrowing Team, _ name: String) throws(MusterError) {
        take(try team.endTimeline(), name)
    }
}
