// LoopExtent.swift - how many indices a loop has, and what an index stands for in each of its arrays.
//
// Invariant: a loop that runs works on all elements of each array that it writes, and on no others: count
// x elements per index is the array's length. A journal keeps, and a redo puts back, exactly what a
// chunk owns, so a kernel whose idea of an index is another one than the loop's would have elements
// changed that nobody keeps: of the second of its runs nothing would show. Nor would the elements that
// a loop leaves out. So either is an error unless the program says that it means it.

internal import MusterCore

/// A loop before it is cut into chunks.
struct LoopExtent {
    /// Indices.
    let count: Int
    /// Bytes of an index in the widest array that the loop deals; 0: it deals none.
    let indexBytes: Int
}

/// An array of a loop, with its length in indices.
private struct Dealt {
    let access: AccessField
    let handle: _ArrayHandle
    let elementsPerIndex: Int

    var isWritten: Bool { access.kind != .input }
    var isGather: Bool { access.flags & MUSTER_USE_GATHER.rawValue != 0 }
    var mayBeLonger: Bool { access.flags & MUSTER_USE_PREFIX.rawValue != 0 }
    /// Indices that the array has; nil: it is no whole number of them.
    var count: Int? {
        guard elementsPerIndex >= 1, handle.count.isMultiple(of: elementsPerIndex) else {
            return nil
        }
        return handle.count / elementsPerIndex
    }
    func fits(_ wanted: Int) -> Bool {
        if let count { return count == wanted || (mayBeLonger && wanted <= count) }
        return mayBeLonger && elementsPerIndex >= 1 && wanted <= handle.count / elementsPerIndex
    }
    /// As an error names it.
    func name(_ number: Int) -> String {
        access.name.map { String(cString: $0) } ?? "use \(number)"
    }
    /// "100 elements", "100 elements in rows of 8".
    var length: String {
        let elements = handle.count == 1 ? "1 element" : "\(handle.count) elements"
        return elementsPerIndex == 1 ? elements : "\(elements) in rows of \(elementsPerIndex)"
    }
}

extension TeamCore {
    /// Checks the kernel's accesses and finds the number of indices.
    func checkedExtent(
        _ bytes: UnsafeRawBufferPointer, _ entry: KernelEntry, _ accesses: [AccessField],
        _ plan: LoopPlan, _ files: inout [UInt32], _ changedFiles: inout [UInt32]
    ) throws(MusterError) -> LoopExtent {
        var dealt: [Dealt] = []
        dealt.reserveCapacity(accesses.count)
        var isStale = false
        for (number, access) in accesses.enumerated() {
            let handle = access.handle(in: bytes)
            try check(handle, access.kind, entry.name)
            isStale = isStale || arrays.isStale(handle.id)
            if arrays.isFile(handle.id) {
                files.append(handle.id)
                if access.kind == .inPlace { changedFiles.append(handle.id) }
            }
            for earlier in dealt[..<number]
            where access.kind != .input || earlier.isWritten {
                guard earlier.handle.id != handle.id else {
                    throw invalid(
                        entry.name,
                        "it has one array under two accesses: in one loop an array is input, or output "
                            + "once, or in place once")
                }
            }
            dealt.append(
                Dealt(
                    access: access, handle: handle,
                    elementsPerIndex: access.elementsPerIndex(in: bytes)))
        }
        if isStale {
            throw MusterError(
                .invalidArgument, subject: "\(entry.name)",
                reason:
                    "a mirrored array of it has been written to since its copies were made: call "
                    + "\(caller.mirror) before the loop")
        }
        let count = if let asked = plan.count { asked } else { try ownCount(of: dealt, entry) }
        guard count >= 0 else {
            throw MusterError(
                .invalidArgument, subject: "count \(count)",
                reason: "a loop has 0 or more elements")
        }
        try checkFit(of: dealt, count, entry, isByRank: plan.isByRank)
        return extent(of: dealt, count)
    }

    private func extent(of dealt: [Dealt], _ count: Int) -> LoopExtent {
        var bytes = 0
        let writes = dealt.contains(where: \.isWritten)
        for array in dealt where !array.isGather && (array.isWritten || !writes) {
            let product = array.elementsPerIndex.multipliedReportingOverflow(
                by: array.access.elementBytes)
            bytes = max(bytes, product.overflow ? .max : product.partialValue)
        }
        return LoopExtent(count: count, indexBytes: bytes)
    }

    /// The count that a loop's arrays have: of those that it writes, or, if there are none, of
    /// those that it reads.
    private func ownCount(
        of dealt: [Dealt], _ entry: KernelEntry
    ) throws(MusterError) -> Int {
        let writes = dealt.contains(where: \.isWritten)
        var found: Int?
        for (number, array) in dealt.enumerated() where array.isWritten || !writes {
            if array.isGather { continue }
            guard let count = array.count else { throw noWholeRows(array, number, entry) }
            guard found == nil || found == count else {
                throw MusterError(
                    .invalidArgument, subject: entry.name,
                    reason: "its arrays differ in length, so say which count the loop has (count:)")
            }
            found = count
        }
        guard let found else {
            throw MusterError(
                .invalidArgument, subject: entry.name,
                reason: "it has no array, so say which count the loop has (count:)")
        }
        return found
    }

    /// Refuses a loop that leaves elements out, or works on some that its chunks don't own.
    private func checkFit(
        of dealt: [Dealt], _ count: Int, _ entry: KernelEntry, isByRank: Bool
    ) throws(MusterError) {
        var unfit: (array: Dealt, number: Int)?
        var writes = false
        for (number, array) in dealt.enumerated() where array.isWritten {
            writes = true
            if array.fits(count) { continue }
            if array.count == nil { throw noWholeRows(array, number, entry) }
            throw misfit(array, number, count, entry)
        }
        // Each rank may read what it likes of its team's arrays.
        if writes || isByRank { return }
        for (number, array) in dealt.enumerated() where !array.isGather {
            if array.fits(count) { return }
            unfit = unfit ?? (array, number)
        }
        if let unfit { throw misfit(unfit.array, unfit.number, count, entry) }
    }

    private func noWholeRows(
        _ array: Dealt, _ number: Int, _ entry: KernelEntry
    ) -> MusterError {
        MusterError(
            .invalidArgument, subject: entry.name,
            reason: array.elementsPerIndex < 1
                ? "\(array.name(number)) is in rows of \(array.elementsPerIndex) elements, and a row "
                    + "has at least 1"
                : "\(array.name(number)) has \(array.length), which is no whole number of rows")
    }

    private func misfit(
        _ array: Dealt, _ number: Int, _ count: Int, _ entry: KernelEntry
    ) -> MusterError {
        let isC = entry.type is CKernel.Type
        let name = array.name(number)
        let verb =
            switch array.access.kind {
            case .input: "reads"
            case .output: "writes"
            case .inPlace: "changes"
            }
        let own = array.count ?? 0
        let gather =
            isC
            ? "give it MUSTER_USE_GATHER where any index reads any of it"
            : "use \(name).gather where any index reads any of it"
        if count > own {
            return MusterError(
                .invalidArgument, subject: "count \(count)",
                reason: "\(entry.name) \(verb) an array of only \(own) "
                    + (array.elementsPerIndex == 1 ? "elements" : "rows") + ", \(name)"
                    + (array.isWritten ? "" : ": \(gather)"))
        }
        var remedies: [String] = []
        if array.elementsPerIndex == 1, count > 0, array.handle.count.isMultiple(of: count) {
            let row = array.handle.count / count
            remedies.append(
                isC
                    ? "set its elements_per_index to \(row) where an index is a row of so many"
                    : "use \(name).rows(of: \(row)) where an index is a row of so many")
        }
        remedies.append(
            isC
                ? "give it MUSTER_USE_PREFIX where the rest is to be left alone"
                : "use \(name).prefix(\(count * max(1, array.elementsPerIndex))) where the rest is to be "
                    + "left alone")
        if !array.isWritten { remedies.append(gather) }
        return MusterError(
            .invalidArgument, subject: "count \(count)",
            reason:
                "\(entry.name) \(verb) \(name), which has \(array.length), and a loop of \(count) "
                + "would leave some of them out: " + remedies.joined(separator: ", or "))
    }

    /// Refuses chunks whose old contents would not fit into a journal.
    func checkJournal(
        _ work: UnsafeRawBufferPointer, _ entry: KernelEntry, _ accesses: [AccessField], grain: Int
    ) throws(MusterError) {
        var room = UInt64(MemoryLayout<muster_journal>.size)
        var bytes: UInt64 = 0
        for access in accesses where access.kind == .inPlace {
            let row = access.elementsPerIndex(in: work) * access.elementBytes
            let chunk = UInt64(grain) * UInt64(row)
            bytes += chunk
            // By whole rows, or by elements: whichever takes more.
            room += max(
                journalRoom(chunk, unit: row), journalRoom(chunk, unit: access.elementBytes))
        }
        let most = muster_team_journal_bytes(team)
        guard room <= most else {
            throw MusterError(
                .invalidArgument, subject: "chunk of \(grain) elements",
                reason: "\(entry.name) changes \(formatBytes(bytes)) in place, and the journal for "
                    + "its old contents holds \(formatBytes(most)); use a smaller grain, or run "
                    + "without redoing (\(caller.failInsteadOfRedo))")
        }
        // Small ones are nothing compared with the team's own memory.
        var available: UInt64 = 0
        if room > 16 << 20, muster_memory_available(&available) == 0,
            room * UInt64(size) > available
        {
            throw MusterError(
                .memory, subject: "journals of \(size) ranks",
                reason:
                    "may take \(formatBytes(room)) each, but only \(formatBytes(available)) are "
                    + "available; use a smaller grain", errorNumber: ENOMEM)
        }
    }

    /// Of a chunk in tiles of whole units.
    private func journalRoom(_ chunk: UInt64, unit: Int) -> UInt64 {
        muster_journal_room(chunk, UInt64(max(1, Int(MUSTER_TILE_BYTES) / unit) * unit))
    }
}
