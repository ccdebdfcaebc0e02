// ChromeTrace.swift - timelines as Chrome's trace events, which Perfetto and chrome://tracing open.
//
// Source: "Trace Event Format" (Google). One object whose "traceEvents" are written one a line as they
// come, so that a million of them take no more memory than the timeline itself. A timeline is a
// process, the leader its main thread, with the loops, and each rank another thread.
//
// Perfetto takes the thread with its process's number for the main one, thread 0 for no thread at all,
// and threads with one number for one, in all processes: so no number is given twice, nor 0.

/// Writes timelines as Chrome trace JSON.
///
/// ```swift
/// let trace = try ChromeTrace { text in try file.write(text) }
/// try trace.add(timeline)
/// try trace.end()
/// ```
///
/// Times in the file are microseconds since the first timeline began.
public struct ChromeTrace<Failure: Error>: ~Copyable {
    private let output: ([UInt8]) throws(Failure) -> Void
    private var text: [UInt8] = []
    private var processes = 0
    private var origin: UInt64 = 0
    private var dropped = (chunks: 0, loops: 0)

    /// A trace whose text goes to `output`, UTF-8 by pieces of about 64 KiB.
    public init(to output: @escaping ([UInt8]) throws(Failure) -> Void) {
        self.output = output
        text.reserveCapacity(1 << 17)
        put("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")
    }

    /// Writes a timeline, as a process of that name.
    public mutating func add(
        _ timeline: Timeline, name: String = "team"
    ) throws(Failure) {
        if processes == 0 { origin = timeline.start }
        processes += 1
        dropped.chunks += timeline.droppedChunks
        dropped.loops += timeline.droppedLoops
        // Of a timeline that began before the first one, times would be negative.
        let offset = timeline.start - min(timeline.start, origin)
        meta("process_name", rank: nil, "\"name\":\(ChromeTrace.quoted(name))")
        meta("process_sort_index", rank: nil, "\"sort_index\":\(processes)")
        meta("thread_name", rank: nil, "\"name\":\"leader\"")
        for (rank, seat) in timeline.seats.enumerated() {
            let cpu = seat.cpu.map { "CPU \($0), " } ?? ""
            let name = "rank \(rank) (\(cpu)node \(seat.homeNode))"
            meta("thread_name", rank: rank, "\"name\":\"\(name)\"")
            meta("thread_sort_index", rank: rank, "\"sort_index\":\(rank + 1)")
        }
        for (number, loop) in timeline.loops.enumerated() {
            span(loop.kernel, "loop", rank: nil, offset + loop.begin, loop.end - loop.begin)
            put("\"loop\":\(number),\"chunks\":\(loop.chunks),\"elements\":\(loop.elements)")
            put(",\"grain\":\(loop.grain),\"schedule\":\"\(loop.schedule)\"}}")
            for death in loop.deaths {
                instant("death", rank: death.rank, offset + death.time)
                put("\"loop\":\(number),\"cause\":\(ChromeTrace.quoted(death.cause))}}")
            }
            try flushIfLong()
        }
        for event in timeline.events {
            let loop = timeline.loops[event.loop]
            let range = loop.elements(ofChunk: event.chunk)
            if event.attempt > 1 {
                instant("redo", rank: event.rank, offset + event.begin)
                put("\"loop\":\(event.loop),\"chunk\":\(event.chunk)")
                put(",\"attempt\":\(event.attempt)}}")
            }
            var name = loop.kernel
            // A viewer gives each name its colour.
            if event.outcome != .committed { name += " (\(event.outcome))" }
            if event.attempt > 1 { name += " (redone)" }
            if event.isStolen { name += " (stolen)" }
            span(
                name, "chunk", rank: event.rank, offset + event.begin,
                event.end - event.begin)
            put(
                "\"chunk\":\(event.chunk),\"elements\":\"\(range.lowerBound)-\(range.upperBound - 1)\""
            )
            put(",\"attempt\":\(event.attempt),\"stolen\":\(event.isStolen)")
            put(",\"committed\":\(event.outcome == .committed)")
            put(",\"process\":\(event.process),\"loop\":\(event.loop)}}")
            try flushIfLong()
        }
    }

    /// Ends the text.
    public consuming func end() throws(Failure) {
        put("\n],\"otherData\":{\"writer\":\"Muster \(Version.text)\"")
        put(",\"dropped_chunks\":\(dropped.chunks),\"dropped_loops\":\(dropped.loops)}}\n")
        try output(text)
    }

    private mutating func put(_ piece: String) { text += piece.utf8 }

    private mutating func flushIfLong() throws(Failure) {
        guard text.count >= 1 << 16 else { return }
        try output(text)
        text.removeAll(keepingCapacity: true)
    }

    /// The beginning of an event, after the one before it.
    private mutating func open(_ name: String, _ phase: String, rank: Int?) {
        if !isFirst { put(",\n") }
        isFirst = false
        let process = processes * ChromeTrace.numbersPerProcess
        let thread = rank.map { process + 1 + $0 } ?? process
        put("{\"ph\":\"\(phase)\",\"pid\":\(process),\"tid\":\(thread),\"name\":")
        put(ChromeTrace.quoted(name))
    }
    private var isFirst = true

    private mutating func meta(_ name: String, rank: Int?, _ arguments: String) {
        open(name, "M", rank: rank)
        put(",\"args\":{\(arguments)}}")
    }

    private mutating func span(
        _ name: String, _ category: String, rank: Int?, _ begin: UInt64, _ duration: UInt64
    ) {
        open(name, "X", rank: rank)
        put(",\"cat\":\"\(category)\",\"ts\":\(ChromeTrace.microseconds(begin))")
        put(",\"dur\":\(ChromeTrace.microseconds(duration)),\"args\":{")
    }

    private mutating func instant(_ name: String, rank: Int?, _ time: UInt64) {
        open(name, "i", rank: rank)
        put(",\"s\":\"t\",\"cat\":\"\(name)\",\"ts\":\(ChromeTrace.microseconds(time)),\"args\":{")
    }

    /// More than a team can have ranks.
    private static var numbersPerProcess: Int { 10_000 }

    /// "12.045" of 12,045 ns.
    private static func microseconds(_ nanoseconds: UInt64) -> String {
        let digits = String(1000 + nanoseconds % 1000)
        return "\(nanoseconds / 1000).\(digits.dropFirst())"
    }

    /// A JSON string.
    private static func quoted(_ text: String) -> String {
        var made = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": made += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                made += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: made.unicodeScalars.append(scalar)
            }
        }
        return made + "\""
    }
}
