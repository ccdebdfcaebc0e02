// ArrayMemory.swift - where an array's memory comes from, and how it goes back.
//
// Three kinds in addition to files: the arena; a pool of huge pages, which is mapped into the window;
// and copies in the arena of which every rank maps its own node's into the window.

internal import MusterCore

/// What is behind an array.
enum MemorySource {
    case arena
    case file(BackingFile)
    /// Memory of a pool's pages, or what the arena has no room for, by its descriptor.
    case pool(Int32)
    /// A mirrored array's number, and where every process sees its copy.
    case mirror(UInt32, window: Extent)

    var file: BackingFile? {
        if case .file(let file) = self { return file }
        return nil
    }
}

/// An array's memory, committed and placed.
struct ArrayMemory {
    let extent: Extent
    let plan: ArrayPlan
    var source: MemorySource = .arena
}

extension TeamCore {
    /// Memory as it is asked for, or as near to that as it can be had, with notes.
    func memory(for wish: ArrayWish) throws(MusterError) -> ArrayMemory {
        var notes: [String] = []
        if wish.pages.poolBytes != nil, isChecked {
            notes.append(
                "pages \(wish.pages): in check mode arrays have ordinary pages, of which each can be "
                    + "protected by itself")
        } else if let page = wish.pages.poolBytes, wish.bytes > 0 {
            if let memory = try poolMemory(for: wish, pageBytes: page, &notes) { return memory }
        }
        let choice = choosePages(wish, notes: notes)
        if wish.placement == .mirrored, wish.bytes > 0 {
            return try mirroredMemory(for: wish, choice)
        }
        let extent: Extent
        do throws(MusterError) {
            extent = try reserve(bytes: wish.bytes, of: wish.subject)
        } catch {
            guard let memory = try windowMemory(for: wish, choice) else { throw error }
            return memory
        }
        do throws(MusterError) {
            return ArrayMemory(extent: extent, plan: try place(extent, wish, choice))
        } catch {
            free(extent)
            throw error
        }
    }

    /// The same in the window, for an array that the arena has no room for: limits can make it small
    /// (limits.h). nil: there is none either, or not so much memory.
    private func windowMemory(
        for wish: ArrayWish, _ choice: PageChoice
    ) throws(MusterError) -> ArrayMemory? {
        var available: UInt64 = 0
        if muster_memory_available(&available) == 0, UInt64(wish.bytes) > available { return nil }
        var extent = muster_extent()
        let space = muster_team_space(team)
        guard muster_space_allocate(space, UInt64(wish.bytes), true, &extent) == 0 else {
            return nil
        }
        let place = Extent(offset: Int(extent.offset_bytes), bytes: Int(extent.size_bytes))
        let mapped = wholePages(extent, UInt64(wish.bytes))
        var descriptor: Int32 = -1
        guard muster_memory_create(mapped.size_bytes, &descriptor) == 0 else {
            freeWindow(place)
            return nil
        }
        do throws(MusterError) {
            try mapAnew(mapped, descriptor, wish.subject)
            return ArrayMemory(
                extent: place, plan: try self.place(place, wish, choice), source: .pool(descriptor))
        } catch {
            release(place, .pool(descriptor))
            throw error
        }
    }

    /// The pages of an extent that an array of so many bytes has; the rest stays without access.
    func wholePages(_ extent: muster_extent, _ bytes: UInt64) -> muster_extent {
        let page = muster_team_page_bytes(team)
        return muster_extent(
            offset_bytes: extent.offset_bytes, size_bytes: max(1, (bytes + page - 1) / page) * page)
    }

    /// Maps memory into the window, in every process.
    private func mapAnew(
        _ extent: muster_extent, _ descriptor: Int32, _ subject: String
    ) throws(MusterError) {
        let status = muster_space_map(muster_team_space(team), extent, descriptor, 0, true)
        guard status == 0 else {
            throw .system(.memory, subject, "can't be mapped", status: status)
        }
        let sent = muster_team_send_mapping(team, extent, descriptor, 0, true)
        guard sent == 0 else {
            throw .system(.memory, subject, "can't be mapped by all ranks", status: sent)
        }
        try attach(subject)
    }

    /// Gives an array's memory back, in every process.
    func release(_ extent: Extent, _ source: MemorySource) {
        switch source {
        case .arena: free(extent)
        case .file(let file):
            unmap(extent)
            muster_file_close(file.descriptor)
        case .pool(let descriptor):
            unmap(extent)
            muster_file_close(descriptor)
        case .mirror(let number, let window):
            // A worker that can't follow keeps a mapping that nothing names any more.
            if !hasEnded { try? mirror(number, flags: MUSTER_MIRROR_UNMAP) }
            muster_mirror_remove(team, number)
            freeWindow(window)
            free(extent)
        }
    }

    private func freeWindow(_ window: Extent) {
        muster_space_free(
            muster_team_space(team),
            muster_extent(
                offset_bytes: UInt64(window.offset), size_bytes: UInt64(window.bytes)))
    }

    // MARK: - Mirrored

    /// Copies for all nodes, each on its own, mapped in every rank.
    private func mirroredMemory(
        for wish: ArrayWish, _ choice: PageChoice
    ) throws(MusterError) -> ArrayMemory {
        let unit = choice.unitBytes
        // Near Int.max nothing can be rounded up: `reserve` refuses it by its size.
        let stride = wish.bytes > Int.max - unit ? Int.max : (wish.bytes + unit - 1) / unit * unit
        let (total, overflow) = stride.multipliedReportingOverflow(
            by: Int(muster_mirror_copies(team)))
        let extent = try reserve(bytes: overflow ? Int.max : total, of: wish.subject)
        var window = muster_extent()
        let space = muster_team_space(team)
        let status = muster_space_allocate(space, UInt64(stride), true, &window)
        guard status == 0 else {
            free(extent)
            throw noRoom(stride, wish.subject, status)
        }
        let place = Extent(offset: Int(window.offset_bytes), bytes: Int(window.size_bytes))
        var number: Int32 = -1
        do throws(MusterError) {
            let plan = try self.place(extent, wish, choice)
            var entry = muster_mirror(
                window_offset: window.offset_bytes, size_bytes: UInt64(stride),
                copies_offset: UInt64(extent.offset), stride_bytes: UInt64(stride))
            number = muster_mirror_add(team, &entry)
            guard number >= 0 else {
                throw .system(
                    .memory, wish.subject,
                    "can't be mirrored (a team has at most "
                        + "\(MUSTER_MIRRORS_MAX) mirrored arrays)", status: number)
            }
            try mirror(UInt32(number), flags: MUSTER_MIRROR_MAP)
            return ArrayMemory(
                extent: extent, plan: plan, source: .mirror(UInt32(number), window: place))
        } catch {
            if number >= 0 {
                release(extent, .mirror(UInt32(number), window: place))
            } else {
                freeWindow(place)
                free(extent)
            }
            throw error
        }
    }

    /// Has every rank do its part of a mirrored array: copy, map or unmap.
    func mirror(_ number: UInt32, flags: muster_mirror_flag) throws(MusterError) {
        try smallJob { job in
            job.pointee.kind = MUSTER_JOB_MIRROR.rawValue
            job.pointee.flags = flags.rawValue
            job.pointee.list_count = UInt64(number)
        } own: { rank in
            muster_worker_mirror(team, rank)
        } failed: { rank, status in
            .system(
                .memory, "mirrored array", "rank \(rank) can't map or make its copy",
                status: status)
        }
    }

    // MARK: - Pools

    /// Memory of a pool's pages; nil: it has too few, with a note of what there is in their place.
    private func poolMemory(
        for wish: ArrayWish, pageBytes: Int, _ notes: inout [String]
    ) throws(MusterError) -> ArrayMemory? {
        let pages = (wish.bytes - 1) / pageBytes + 1
        let size = formatBytes(UInt64(pageBytes))
        func note(_ why: String) {
            let huge = HugePages(
                bytes: muster_huge_page_bytes(), baseBytes: Int(muster_team_page_bytes(team)))
            let others =
                huge.obstacle(bytes: wish.bytes) == nil
                ? "; transparent huge pages in their place" : ""
            notes.append("pages \(wish.pages): \(why)\(others)")
        }
        guard wish.placement != .mirrored else {
            note("copies of a mirrored array are not made of them")
            return nil
        }
        var free: UInt64 = 0
        guard muster_pool_free_pages(UInt64(pageBytes), .max, &free) == 0 else {
            note("this kernel has no pool of \(size) pages (it has \(Pages.poolSizes))")
            return nil
        }
        let remedy =
            "'echo \(pages) > /sys/kernel/mm/hugepages/hugepages-\(pageBytes / 1024)kB/nr_hugepages'"
        guard UInt64(pages) <= free else {
            note("\(pages) of \(size) are asked for, \(free) are free (\(remedy) makes room)")
            return nil
        }
        var descriptor: Int32 = -1
        guard muster_pool_create(UInt64(pageBytes), UInt64(pages * pageBytes), &descriptor) == 0
        else {
            note("the system gives none to this process")
            return nil
        }
        var extent = muster_extent()
        let space = muster_team_space(team)
        guard
            muster_space_allocate_aligned(
                space, UInt64(pages * pageBytes), UInt64(pageBytes), &extent) == 0
        else {
            muster_file_close(descriptor)
            note("the range of addresses has no room for them")
            return nil
        }
        let place = Extent(offset: Int(extent.offset_bytes), bytes: Int(extent.size_bytes))
        do throws(MusterError) {
            let mapped = muster_extent(
                offset_bytes: extent.offset_bytes, size_bytes: UInt64(pages * pageBytes))
            let plan = try commitPool(place, mapped, wish, descriptor, pageBytes)
            return ArrayMemory(extent: place, plan: plan, source: .pool(descriptor))
        } catch {
            release(place, .pool(descriptor))
            // Somebody was faster, or what is free lies on nodes that are not for this process.
            guard error.errorNumber == ENOMEM || error.errorNumber == EFAULT else { throw error }
            note(error.reason)
            return nil
        }
    }

    private func commitPool(
        _ place: Extent, _ extent: muster_extent, _ wish: ArrayWish, _ descriptor: Int32,
        _ pageBytes: Int
    ) throws(MusterError) -> ArrayPlan {
        // The leader's mapping is the first, and reserves all pages.
        let status = muster_space_map(muster_team_space(team), extent, descriptor, 0, true)
        guard status == 0 else {
            throw .system(.memory, wish.subject, "the pool is empty by now", status: status)
        }
        let sent = muster_team_send_mapping(team, extent, descriptor, 0, true)
        guard sent == 0 else {
            throw .system(.memory, wish.subject, "can't be mapped by all ranks", status: sent)
        }
        try attach(wish.subject)
        return try self.place(
            place, wish, PageChoice(unitBytes: pageBytes, isPool: true))
    }
}
