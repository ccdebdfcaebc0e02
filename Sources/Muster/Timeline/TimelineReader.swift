// TimelineReader.swift - from the lists that ranks have written to a timeline.
//
// What stands in the lists was written by other processes: an event that can't be one of its loop's is
// left out, and nothing of it becomes an index before.

package import MusterCore

/// Puts a timeline's events together, rank by rank.
package struct TimelineReader {
    /// A loop, and what its events are known by.
    package struct Loop {
        /// In the events of its chunks.
        let number: UInt64
        /// Each chunk was committed exactly once.
        let isClean: Bool
        package let loop: Timeline.Loop

        package init(number: UInt64, isClean: Bool, loop: Timeline.Loop) {
            self.number = number
            self.isClean = isClean
            self.loop = loop
        }
    }

    private let start: UInt64
    private let loops: [Loop]
    private let places: [UInt64: Int]
    package private(set) var events: [Timeline.Event] = []
    package private(set) var loads: [Timeline.Load] = []
    package var timelineLoops: [Timeline.Loop] { loops.map(\.loop) }

    package init(start: UInt64, _ loops: [Loop]) {
        self.start = start
        self.loops = loops
        places = Dictionary(
            loops.enumerated().map { ($0.element.number, $0.offset) },
            uniquingKeysWith: { first, _ in first })
    }

    /// Reads the next rank's list. `dropped`: events that there was no room for.
    package mutating func read(_ list: UnsafePointer<muster_event>, count: Int, dropped: Int) {
        let rank = loads.count
        loads.append(Timeline.Load(rank: rank, dropped: dropped))
        for index in 0..<count {
            let raw = list[index]
            guard let place = places[raw.loop] else { continue }
            let within = loops[place].loop
            let begin = raw.begin_ns &- start
            guard raw.chunk < UInt64(within.chunks), begin >= within.begin, begin <= within.end
            else { continue }
            var end = raw.end_ns &- start
            var outcome = Timeline.Outcome.committed
            if raw.end_ns == 0 {
                // Of a rank's deaths in the loop, the first after the chunk was begun.
                let death = within.deaths.first { $0.rank == rank && $0.time >= begin }
                (end, outcome) = (death?.time ?? within.end, death == nil ? .unfinished : .died)
            }
            events.append(
                Timeline.Event(
                    loop: place, rank: rank, process: Int(raw.incarnation), chunk: Int(raw.chunk),
                    isStolen: raw.stolen != 0, begin: begin,
                    end: max(begin, min(end, within.end)), outcome: outcome))
        }
    }

    /// Numbers attempts and adds up loads, once all ranks are read.
    package mutating func finish() {
        countAttempts()
        let taken = loops.reduce(UInt64(0)) { $0 + ($1.loop.end - $1.loop.begin) }
        for event in events {
            loads[event.rank].busy += event.end - event.begin
            guard event.outcome == .committed else { continue }
            loads[event.rank].chunks += 1
            if event.isStolen { loads[event.rank].stolen += 1 }
        }
        for rank in loads.indices where loads[rank].dropped == 0 {
            loads[rank].waiting = taken - min(taken, loads[rank].busy)
        }
    }

    /// Numbers the attempts at each chunk. There can be a second one only where one was not committed.
    ///
    /// A process that dies between its commit and the event's end leaves the event as one that dies in its
    /// kernel does. But in a loop with each chunk exactly once, of which all attempts are here, nobody has
    /// done it again: the last attempt is the one that was committed.
    private mutating func countAttempts() {
        struct Place: Hashable {
            let loop: Int
            let chunk: Int
        }
        func place(_ event: Timeline.Event) -> Place {
            Place(loop: event.loop, chunk: event.chunk)
        }
        let repeated = Set(events.lazy.filter { $0.outcome != .committed }.map(place))
        if repeated.isEmpty { return }
        let order = events.indices.filter { repeated.contains(place(events[$0])) }
            .sorted { events[$0].begin < events[$1].begin }
        var attempts: [Place: (count: Int, last: Int)] = [:]
        for index in order {
            let place = place(events[index])
            let count = (attempts[place]?.count ?? 0) + 1
            attempts[place] = (count, index)
            events[index].attempt = count
        }
        guard loads.allSatisfy({ $0.dropped == 0 }) else { return }
        for (place, attempt) in attempts where loops[place.loop].isClean {
            events[attempt.last].outcome = .committed
        }
    }
}
