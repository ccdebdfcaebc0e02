// StrayAccess.swift - from the note that a dead rank has left to a sentence: what it touched, and where
// in the program.

internal import MusterCore

/// Where an array's elements lie, as the leader knows it.
struct ArrayPlace {
    var offset = 0
    /// Of all elements.
    var bytes = 0
    var elementBytes = 1
    /// Mapped so in the ranks.
    var isReadOnly = false
    /// What the program calls it; empty: nothing.
    var name = ""

    var end: Int { offset + bytes }
}

/// A crash of a rank that the team's memory has to do with, in words.
struct StrayAccess {
    let rank: Int
    let chunk: Int?
    let elements: Range<Int>
    /// "wrote element 70000 of array 2 (x), 4464 beyond its chunk 0..<65536".
    let deed: String
    /// "in scale (kernels.c:12)"; empty: not known.
    let place: String
}

extension TeamCore {
    /// What a rank's note says of the team's memory; nil: nothing.
    func deed(_ fault: muster_fault) -> String? {
        let verb =
            switch muster_fault_access(fault.access) {
            case MUSTER_FAULT_READ: "read"
            case MUSTER_FAULT_WRITE: "wrote"
            case MUSTER_FAULT_EXECUTE: "executed"
            default: "touched"
            }
        if fault.stray == MUSTER_STRAY_CONTROL.rawValue {
            return "\(verb) \(verb == "wrote" ? "to " : "")the memory that the team runs by"
        }
        guard fault.space_offset != .max else { return nil }
        let offset = Int(truncatingIfNeeded: fault.space_offset)
        if let (id, place) = arrays.places.first(where: {
            offset >= $0.place.offset && offset < $0.place.end
        }) {
            return "\(verb) " + inArray(offset, id, place, fault)
        }
        // Their room is longer than they are, and a freed array may have been where it is.
        let chunks = Int(muster_schedule_chunks(job.pointee.elements, max(job.pointee.grain, 1)))
        if let (place, bytes) = lastPartials, offset >= place.offset,
            offset < place.offset + chunks * bytes
        {
            return
                "\(verb) the partial result of chunk \((offset - place.offset) / bytes), which is "
                + "another's"
        }
        return "\(verb) " + (inGap(offset) ?? "the team's range of addresses, where no array is")
    }

    /// "element 70000 of array 2 (x), 4464 beyond its chunk 0..<65536".
    private func inArray(
        _ offset: Int, _ id: UInt32, _ place: ArrayPlace, _ fault: muster_fault
    ) -> String {
        let element = (offset - place.offset) / place.elementBytes
        let subject = "element \(element) of \(name(id, place))"
        guard fault.stray != MUSTER_STRAY_NONE.rawValue else { return subject }
        guard let (access, _) = lastUse(of: id) else {
            return "\(subject), which this loop does not use"
        }
        if access.kind == .input { return "\(subject), which this loop only reads" }
        let perIndex = access.elementsPerIndex(in: jobArguments)
        let own = Int(clamping: fault.first) * perIndex..<Int(clamping: fault.end) * perIndex
        let chunk = "its chunk \(own.lowerBound)..<\(own.upperBound)"
        let distance =
            element < own.lowerBound
            ? "\(own.lowerBound - element) before" : "\(element - own.upperBound) beyond"
        return element == own.upperBound
            ? "\(subject), right beyond \(chunk)" : "\(subject), \(distance) \(chunk)"
    }

    /// "8 bytes beyond the end of array 2 (x)".
    private func inGap(_ offset: Int) -> String? {
        if let (id, place) = arrays.freedPlaces.last(where: {
            offset >= $0.place.offset && offset < $0.place.end
        }) {
            let element = (offset - place.offset) / place.elementBytes
            return "element \(element) of \(name(id, place)), which has been freed"
        }
        let before = arrays.places.filter { $0.place.end <= offset }
            .max { $0.place.end < $1.place.end }
        let after = arrays.places.filter { $0.place.offset > offset }
            .min { $0.place.offset < $1.place.offset }
        let past = before.map { offset - $0.place.end } ?? .max
        let ahead = after.map { $0.place.offset - offset } ?? .max
        // Kernels mostly run over an end; right before a start it is more likely that one.
        if let before, past <= ahead || ahead > 1 << 20 {
            let distance = past == 0 ? "right" : "\(past) bytes"
            return "\(distance) beyond the end of \(name(before.id, before.place))"
        }
        return after.map { "\(ahead) bytes before the start of \(name($0.id, $0.place))" }
    }

    /// "array 2 (x)".
    func name(_ id: UInt32, _ place: ArrayPlace) -> String {
        if !place.name.isEmpty { return "array \(id) (\(place.name))" }
        guard let (access, use) = lastUse(of: id) else { return "array \(id)" }
        return "array \(id) (\(access.name.map { String(cString: $0) } ?? "use \(use)"))"
    }

    /// How the loop in the job slot uses an array.
    private func lastUse(of id: UInt32) -> (access: AccessField, use: Int)? {
        for (use, access) in lastAccesses.enumerated()
        where access.handle(in: jobArguments).id == id { return (access, use) }
        return nil
    }

    /// The bytes of the kernel in the job slot.
    private var jobArguments: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: UnsafeRawPointer(muster_job_arguments(job)!) + ArgumentLayout.kernel,
            count: ArgumentLayout.capacity - ArgumentLayout.kernel)
    }

    /// The loop's error where a kernel has touched what is not its chunk's.
    func explain(stray death: muster_death, _ report: AuditReport) -> MusterError {
        let fault = death.fault
        let chunk = Int(clamping: fault.chunk)
        let subject =
            chunk < report.chunks
            ? "chunk \(chunk) (elements \(report.elements(ofChunk: chunk)))" : "rank \(death.rank)"
        if fault.stray == MUSTER_STRAY_UNCHECKED.rawValue {
            return .system(
                .system, subject,
                "can't be checked: the system refuses to protect its memory "
                    + "(limits: vm.max_map_count)", status: -Int64(clamping: fault.bytes))
        }
        let found =
            fault.stray == MUSTER_STRAY_COMPARED.rawValue
            ? " (\(fault.bytes) bytes, found when the chunk had ended)" : ""
        return MusterError(
            .strayAccess, subject: subject,
            reason: "its kernel, on rank \(death.rank), \(deed(fault) ?? "crashed")\(found)"
                + place(of: fault)
                + "; \(report.exactlyOnce) of \(report.chunks) chunks were done before",
            report: report)
    }

    /// ", in scale (kernels.c:12)"; empty: not known.
    func place(of fault: muster_fault) -> String {
        var fault = fault
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { text in
            muster_fault_place(&fault, text.baseAddress, UInt64(text.count)) > 0
                ? String(cString: text.baseAddress!) : ""
        }
        return text.isEmpty ? "" : ", in \(text)"
    }
}

// MARK: - In the last page

/// What lies beyond an array's end in its last page, where no signal comes.
struct ArrayTail {
    let id: UInt32
    let start: UnsafeMutableRawPointer
    let bytes: Int
    /// Of `bytes`, looked at after a loop like the one before.
    static let quickBytes = 512
}

extension TeamCore {
    /// The tails of the arrays that a loop writes.
    func tails(_ work: UnsafeRawBufferPointer, _ accesses: [AccessField]) -> [ArrayTail] {
        var found: [ArrayTail] = []
        for access in accesses where access.kind != .input {
            let handle = access.handle(in: work)
            // Of a file, the system decides what stands there.
            if arrays.isFile(handle.id) { continue }
            let end = arrays.place(handle.id).end
            let page = Int(muster_team_page_bytes(team))
            let bytes = (end + page - 1) / page * page - end
            if bytes > 0 { found.append(ArrayTail(id: handle.id, start: base + end, bytes: bytes)) }
        }
        return found
    }

    /// Throws where somebody has written right beyond an array's end.
    func check(_ tails: [ArrayTail], quickly: Bool, _ report: AuditReport) throws(MusterError) {
        for tail in tails {
            let bytes = quickly ? min(tail.bytes, ArrayTail.quickBytes) : tail.bytes
            var first = Int(muster_check_tail(tail.start, UInt64(bytes)))
            if first == bytes { continue }
            let place = arrays.place(tail.id)
            first -= first % place.elementBytes  // a number's first bytes may be zero
            // Each is told once.
            (tail.start + first).initializeMemory(
                as: UInt8.self, repeating: 0, count: tail.bytes - first)
            repeated = nil
            throw MusterError(
                .strayAccess, subject: name(tail.id, place),
                reason:
                    "\(first == 0 ? "right" : "\(first) bytes") beyond its end something has been "
                    + "written, by a kernel of this loop or by this program before it; in check mode "
                    + "(MUSTER_CHECK=1) the chunk and the kernel are named", report: report)
        }
    }
}
