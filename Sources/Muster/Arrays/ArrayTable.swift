// ArrayTable.swift - the arrays of a team: their numbers, their room, their memory, their files.

internal import MusterCore

/// A piece of the team's range of addresses, in bytes.
struct Extent {
    var offset: Int
    var bytes: Int
}

/// A file behind an array.
struct BackingFile {
    let path: String
    let descriptor: Int32
    let byteCount: Int
}

/// What the ranks have to say of an array's commit.
struct CommitOutcome {
    /// On another node than asked for.
    var misplacedBytes = 0
    /// In huge pages.
    var hugeBytes = 0
    /// `enum muster_commit_remark` of all ranks together.
    var remarks: UInt32 = 0
}

/// Which arrays a team has now. Numbers are given again after an array is freed, generations are not.
struct ArrayTable {
    private struct Entry {
        var generation: UInt32 = 0
        var isLive = false
        var isWritable = true
        var isMirrored = false
        /// Of a mirrored array: the first copy has been written to since the others were made.
        var isStale = false
        var file: BackingFile?
        /// Of a freed one, where it was.
        var place = ArrayPlace()
    }
    private var entries: [Entry] = []
    private var vacant: [Int] = []
    /// How often an array has come, gone, or become stale.
    private(set) var changes: UInt64 = 0

    /// A number for a new array; nil: MUSTER_ARRAYS_MAX arrays are live.
    mutating func add(
        isWritable: Bool, isMirrored: Bool, file: BackingFile?
    ) -> (id: UInt32, generation: UInt32)? {
        changes += 1
        let id: Int
        if let reused = vacant.popLast() {
            id = reused
        } else {
            guard entries.count < Int(MUSTER_ARRAYS_MAX) else { return nil }
            id = entries.count
            entries.append(Entry())
        }
        entries[id].isLive = true
        entries[id].isStale = false
        entries[id].isWritable = isWritable
        entries[id].isMirrored = isMirrored
        entries[id].file = file
        return (UInt32(id), entries[id].generation)
    }

    /// Notes where an array's elements lie.
    mutating func describe(_ id: UInt32, _ place: ArrayPlace) { entries[Int(id)].place = place }

    /// Where a live array's elements lie.
    func place(_ id: UInt32) -> ArrayPlace { entries[Int(id)].place }

    /// The arrays that there are.
    var places: [(id: UInt32, place: ArrayPlace)] {
        entries.indices.filter { entries[$0].isLive }.map { (UInt32($0), entries[$0].place) }
    }

    /// The arrays that were freed, as long as no other has their number.
    var freedPlaces: [(id: UInt32, place: ArrayPlace)] {
        entries.indices.filter { !entries[$0].isLive }.map { (UInt32($0), entries[$0].place) }
    }

    mutating func remove(_ id: UInt32) {
        changes += 1
        entries[Int(id)].isLive = false
        entries[Int(id)].generation += 1
        entries[Int(id)].file = nil
        vacant.append(Int(id))
    }

    /// Whether ranks may write to an array. Precondition: live.
    func isWritable(_ id: UInt32) -> Bool { entries[Int(id)].isWritable }

    /// Whether a mirrored array's copies differ from what the leader sees. Precondition: live.
    func isStale(_ id: UInt32) -> Bool { entries[Int(id)].isStale }

    mutating func setStale(_ id: UInt32, _ isStale: Bool) {
        changes += 1
        entries[Int(id)].isStale = isStale
    }

    /// Whether an array has not been freed.
    func isLive(_ id: UInt32, _ generation: UInt32) -> Bool {
        Int(id) < entries.count && entries[Int(id)].isLive
            && entries[Int(id)].generation == generation
    }

    /// Whether each node has a copy of an array. Precondition: live.
    func isMirrored(_ id: UInt32) -> Bool { entries[Int(id)].isMirrored }

    /// Whether an array is a file. Precondition: live.
    func isFile(_ id: UInt32) -> Bool { entries[Int(id)].file != nil }

    /// A file that is shorter now than when it was mapped.
    func shrunkFile(among ids: [UInt32]) -> (path: String, was: Int, now: Int)? {
        for id in ids {
            guard let file = entries[Int(id)].file else { continue }
            var now: UInt64 = 0
            if muster_file_size(file.descriptor, &now) == 0, Int(clamping: now) < file.byteCount {
                return (file.path, file.byteCount, Int(clamping: now))
            }
        }
        return nil
    }
}

extension TeamCore {
    /// This process's address of offset 0.
    var base: UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(muster_team_space(team).pointee.address)
    }

    /// Room and committed memory, first touched by the ranks.
    func allocate(bytes: Int, of what: String) throws(MusterError) -> Extent {
        let extent = try reserve(bytes: bytes, of: what)
        do throws(MusterError) {
            try commit(extent, bytes: bytes, blockBytes: max(1, bytes / size), of: what)
        } catch {
            free(extent)
            throw error
        }
        return extent
    }

    /// Room without memory, after a look at how much memory there is.
    func reserve(bytes: Int, of what: String) throws(MusterError) -> Extent {
        var available: UInt64 = 0
        let known = muster_memory_available(&available)
        if known == 0 && UInt64(bytes) > available {
            throw MusterError(
                .memory, subject: what,
                reason:
                    "asked for \(formatBytes(UInt64(bytes))), but only \(formatBytes(available)) "
                    + "are available (MemAvailable and cgroup limits)", errorNumber: ENOMEM)
        }
        var extent = muster_extent()
        let status = muster_space_allocate(
            muster_team_space(team), UInt64(bytes), false, &extent)
        guard status == 0 else { throw noRoom(bytes, what, status) }
        return Extent(offset: Int(extent.offset_bytes), bytes: Int(extent.size_bytes))
    }

    /// An array or a file for which the range of addresses is too small, or too full.
    func noRoom(_ bytes: Int, _ what: String, _ status: Int32) -> MusterError {
        var shortage = muster_shortage()
        muster_team_shortage(team, UInt64(bytes), &shortage)
        return .system(
            .memory, what, "no room for \(formatBytes(UInt64(bytes))) in the range of addresses",
            status: status, shortage)
    }

    /// Has each rank populate its share, of whole units. `pieceCount`: of the pieces that stand in the
    /// team's list; 0: pages may lie anywhere. `flags`: `enum muster_commit_flag`.
    @discardableResult
    func commit(
        _ extent: Extent, bytes: Int, blockBytes: Int, of what: String, unitBytes: Int? = nil,
        pieceCount: Int = 0, flags: UInt32 = 0
    ) throws(MusterError) -> CommitOutcome {
        guard bytes > 0 else { return CommitOutcome() }
        let unit = unitBytes.map(UInt64.init) ?? muster_team_page_bytes(team)
        try smallJob { job in
            job.pointee.kind = MUSTER_JOB_COMMIT.rawValue
            job.pointee.flags = flags
            job.pointee.extent_offset = UInt64(extent.offset)
            job.pointee.extent_bytes = UInt64(bytes)
            job.pointee.block_bytes = UInt64(blockBytes)
            job.pointee.unit_bytes = unit
            job.pointee.list_count = UInt64(pieceCount)
        } own: { rank in
            muster_worker_commit(team, rank)
        } failed: { rank, status in
            .system(
                .memory, what,
                "rank \(rank) can't commit its share of \(formatBytes(UInt64(bytes)))",
                status: status)
        }
        var outcome = CommitOutcome()
        for rank in 0..<UInt32(size) {
            let slot = muster_team_slot(team, rank)!.pointee
            outcome.misplacedBytes &+= Int(truncatingIfNeeded: slot.misplaced_bytes)
            outcome.hugeBytes &+= Int(truncatingIfNeeded: slot.huge_bytes)
            outcome.remarks |= slot.remarks
        }
        // Slots are shared memory: any value there becomes a number of bytes of this array.
        outcome.misplacedBytes = max(0, min(bytes, outcome.misplacedBytes))
        outcome.hugeBytes = max(0, min(bytes, outcome.hugeBytes))
        return outcome
    }

    /// A job without a kernel. What a rank leaves undone that was vacant, or died before it had seen
    /// the job, the leader does (`own`). A rank that dies in the middle may have been killed for
    /// memory, and the leader must not be next: then ranks are started again and the job runs once
    /// more.
    func smallJob(
        _ fill: (UnsafeMutablePointer<muster_job>) -> Void,
        own: (UInt32) -> Int32,
        failed: (UInt32, Int32) -> MusterError
    ) throws(MusterError) {
        try checkIsIdle("array")
        guard isLeader else { throw notLeader("array") }
        repeated = nil
        for _ in 0..<3 {
            fill(job)
            ranks.forgetDeaths()
            let number = muster_team_dispatch(team)
            if leaderWorks {
                muster_team_slot(team, 0)!.pointee.outcome_status = own(0)
                muster_worker_done(team, 0, number)
            }
            while try ranks.waitForJob(timeout: -1) != MUSTER_JOIN_ENDED {}
            var diedWithin = false
            for rank in 0..<UInt32(size) {
                let slot = muster_team_slot(team, rank)!
                if !muster_team_holds(team, rank) { ranks.vacantKnown = true }
                if slot.pointee.done != number, slot.pointee.current_job == number {
                    diedWithin = true
                    continue
                }
                let outcome = slot.pointee.done == number ? slot.pointee.outcome_status : own(rank)
                if outcome < 0 { throw failed(rank, outcome) }
            }
            if !diedWithin { return }
            try ranks.refill()
        }
        var count: UInt32 = 0
        let deaths = muster_team_deaths(team, &count)
        throw failed(count > 0 ? deaths![0].rank : 0, -EOWNERDEAD)
    }

    func free(_ extent: Extent) {
        muster_space_free(
            muster_team_space(team),
            muster_extent(offset_bytes: UInt64(extent.offset), size_bytes: UInt64(extent.bytes)))
    }

    // MARK: - Files

    /// Maps a file in every rank at the same offset.
    func map(_ file: BackingFile, writable: Bool) throws(MusterError) -> Extent {
        var extent = muster_extent()
        let space = muster_team_space(team)
        var status = muster_space_allocate(space, UInt64(file.byteCount), true, &extent)
        guard status == 0 else { throw noRoom(file.byteCount, file.path, status) }
        // The kernel maps whole pages: what lies beyond the file's last page stays without access.
        let mapped = wholePages(extent, UInt64(file.byteCount))
        status = muster_space_map(space, mapped, file.descriptor, 0, writable)
        let result = Extent(offset: Int(extent.offset_bytes), bytes: Int(extent.size_bytes))
        do throws(MusterError) {
            if status == 0 {
                status = muster_team_send_mapping(team, mapped, file.descriptor, 0, writable)
            }
            guard status == 0 else {
                throw .system(.file, file.path, "can't map it", status: status)
            }
            try attach(file.path)
        } catch {
            unmap(result)
            throw error
        }
        return result
    }

    /// Takes a file's mapping away, everywhere.
    func unmap(_ extent: Extent) {
        guard extent.bytes > 0 else { return }
        let raw = muster_extent(
            offset_bytes: UInt64(extent.offset), size_bytes: UInt64(extent.bytes))
        let space = muster_team_space(team)
        _ = muster_space_map(space, raw, -1, 0, false)
        if !hasEnded, muster_team_send_mapping(team, raw, -1, 0, false) == 0 {
            // A worker that can't follow keeps a mapping that nothing names any more.
            try? attach("")
        }
        muster_space_free(space, raw)
    }

    /// Has every rank map what has been sent to it.
    func attach(_ path: String) throws(MusterError) {
        try smallJob { job in
            job.pointee.kind = MUSTER_JOB_ATTACH.rawValue
        } own: { _ in
            0
        } failed: { rank, status in
            .system(.file, path, "rank \(rank) can't map it", status: status)
        }
    }
}
