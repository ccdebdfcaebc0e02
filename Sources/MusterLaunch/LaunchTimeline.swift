// LaunchTimeline.swift - the timeline of the verified loops of a launch's programs.
//
// Of its loops a launcher knows what ranks have entered (`muster_launcher_timeline`), each for itself;
// of deaths, how processes ended. Both were written by others, or happened when nobody looked: what
// does not fit is left out.

internal import MusterCore
package import Muster

extension LaunchTeam {
    /// What members have recorded; nil: they were not asked to. `start`: of the launch.
    func timeline(
        of ranks: [LaunchReport.Rank], since start: UInt64
    ) throws(MusterError) -> Timeline? {
        let now = monotonicNanoseconds()
        var lists: [muster_launcher_timeline] = []
        for rank in ranks.indices {
            var raw = muster_launcher_timeline()
            let status = muster_launcher_timeline(launcher, UInt32(rank), &raw)
            if status == -ENODATA { return nil }
            guard status == 0 else {
                throw .system(
                    .audit, "rank \(rank)", "what it has recorded makes no sense", status: status)
            }
            lists.append(raw)
        }
        let deaths = ranks.flatMap { rank in
            rank.exits.filter(\.isFailure).map { exit in
                Timeline.Death(
                    rank: rank.rank, cause: exit.cause, time: UInt64(exit.failedSeconds * 1e9))
            }
        }.sorted { $0.time < $1.time }
        var reader = TimelineReader(
            start: start, MemberLoops(lists, start: start, now: now).loops(deaths))
        for list in lists {
            reader.read(
                list.events, count: Int(list.event_count), dropped: Int(list.dropped_events))
        }
        reader.finish()
        var loads = reader.loads
        for rank in loads.indices {
            loads[rank].bytesReason =
                "the loops of a program don't say which arrays their chunks are of"
        }
        return Timeline(
            seats: ranks.map(\.seat), loops: reader.timelineLoops, events: reader.events,
            loads: loads, start: start, duration: now - start,
            droppedLoops: Int(lists.map(\.dropped_loops).max() ?? 0))
    }
}

extension LaunchReport.Exit {
    /// "was killed by signal 9 (SIGKILL)"
    fileprivate var cause: String {
        if let signal {
            return "was killed by signal \(signal) (\(LaunchReport.name(signal: signal)))"
        }
        if lostMember != nil { return "left a member behind that died" }
        return "left with exit status \(code ?? 0)"
    }
}

/// The loops of all ranks, each once.
private struct MemberLoops {
    private struct Found {
        let name: String
        let elements: Int
        let grain: Int
        let schedule: Schedule
        var begin: UInt64
        /// 0: nobody has come to its end.
        var end: UInt64
        var isClean: Bool
    }
    private var found: [UInt64: Found] = [:]
    private let now: UInt64

    init(_ lists: [muster_launcher_timeline], start: UInt64, now: UInt64) {
        self.now = now - start
        for list in lists {
            for index in 0..<Int(list.loop_count) {
                let raw = list.loops[index]
                guard raw.grain > 0, raw.elements <= UInt64(Int.max / 2),
                    raw.grain <= UInt64(Int.max / 2), raw.begin_ns >= start, raw.begin_ns <= now,
                    let schedule = Schedule(code: raw.schedule)
                else { continue }
                let end = raw.end_ns == 0 ? 0 : min(max(raw.end_ns, raw.begin_ns), now) - start
                let begin = raw.begin_ns - start
                guard var known = found[raw.number] else {
                    found[raw.number] = Found(
                        name: withUnsafeBytes(of: raw.name) { String(upToNUL: $0) },
                        elements: Int(raw.elements), grain: Int(raw.grain), schedule: schedule,
                        begin: begin, end: end, isClean: raw.whole == 1)
                    continue
                }
                known.begin = min(known.begin, begin)
                known.end = max(known.end, end)
                known.isClean = known.isClean || raw.whole == 1
                found[raw.number] = known
            }
        }
    }

    /// By their begin, each with the deaths that came in it: after its begin, and before the next one's.
    func loops(_ deaths: [Timeline.Death]) -> [TimelineReader.Loop] {
        let sorted = found.sorted { ($0.value.begin, $0.key) < ($1.value.begin, $1.key) }
        return sorted.enumerated().map { place, entry in
            let (number, loop) = entry
            let next = place + 1 < sorted.count ? sorted[place + 1].value.begin : .max
            let own = deaths.filter { $0.time >= loop.begin && $0.time < next }
            // Of a loop that nobody has ended, the last that is known.
            let end = loop.end > 0 ? loop.end : min(next, now)
            return TimelineReader.Loop(
                number: number, isClean: loop.isClean,
                loop: Timeline.Loop(
                    kernel: loop.name,
                    chunks: (loop.elements + loop.grain - 1) / loop.grain, grain: loop.grain,
                    elements: loop.elements, schedule: loop.schedule, begin: loop.begin,
                    end: max(loop.begin, end), deaths: own))
        }
    }
}
