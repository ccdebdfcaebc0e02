// CheckMode.swift - loops in which a rank can touch only the chunk that it has claimed.
//
// What the ranks do to their own memory is in the C core (check.h tells the story). Here: how it is
// asked for, and the table of arrays that the ranks read before a checked loop.

internal import MusterCore

extension Team {
    /// Whether loops are checked.
    ///
    /// In a checked loop a kernel can read the arrays that it declares as input, and touch the
    /// claimed chunk's elements of arrays that it writes. The first access to any other memory of
    /// the team ends the loop with ``MusterError/Code/strayAccess``. It costs some microseconds a
    /// chunk and array: develop with it, run without.
    public enum Check: Sendable, CaseIterable {
        /// As the environment says: `MUSTER_CHECK=1` is on. In a program with privileges of its own the
        /// environment is not read.
        case automatic
        /// Always.
        case on
        /// Never.
        case off

        var isOn: Bool {
            switch self {
            case .automatic: muster_check_is_asked()
            case .on: true
            case .off: false
            }
        }
    }
}

extension TeamCore {
    /// Tells the ranks what the loop in the job slot may touch. `work`: the kernel's bytes.
    func writeCheckTable(
        _ work: UnsafeRawBufferPointer, _ entry: KernelEntry, _ accesses: [AccessField],
        partials: Extent?, partialBytes: Int, chunks: Int
    ) {
        let table = muster_team_check_table(team)!
        let room = UnsafeMutableRawPointer(table)
            .advanced(by: MemoryLayout<muster_check_table>.offset(of: \.arrays)!)
            .assumingMemoryBound(to: muster_check_array.self)
        var uses: [UInt32: (use: Int, access: AccessField)] = [:]
        for (use, access) in accesses.enumerated() {
            let handle = access.handle(in: work)
            if uses[handle.id] == nil { uses[handle.id] = (use, access) }
        }
        var count = 0
        for (id, place) in arrays.places {
            // An array that only a hidden access names (in an optional, say) may be an input.
            var access = entry.hidesAccesses ? MUSTER_ACCESS_INPUT.rawValue : MUSTER_CHECK_UNUSED
            var indexBytes = place.elementBytes
            var number = UInt32.max
            if let known = uses[id] {
                access = known.access.kind.code
                indexBytes = known.access.elementsPerIndex(in: work) * known.access.elementBytes
                number = UInt32(known.use)
            }
            room[count] = muster_check_array(
                offset_bytes: UInt64(place.offset), size_bytes: UInt64(place.bytes),
                index_bytes: UInt64(indexBytes), access: access,
                flags: place.isReadOnly ? MUSTER_CHECK_READ_ONLY.rawValue : 0, array: id,
                use: number)
            count += 1
        }
        if let partials {
            room[count] = muster_check_array(
                offset_bytes: UInt64(partials.offset), size_bytes: UInt64(chunks * partialBytes),
                index_bytes: UInt64(partialBytes), access: MUSTER_ACCESS_OUTPUT.rawValue,
                flags: MUSTER_CHECK_BY_CHUNK.rawValue, array: .max, use: .max)
            count += 1
        }
        table.pointee.count = UInt64(count)
        job.pointee.flags |= MUSTER_JOB_CHECKED.rawValue | MUSTER_JOB_POISONED.rawValue
    }
}
