// Channels.swift - statistics of each channel of an array: of all elements with one index along an axis.
//
// Each chunk leaves the moments of all channels behind, so chunks grow with the number of channels.

internal import MusterCore

/// Where the elements of channels lie: runs of `inner` elements of one channel, channel after channel, and
/// again from the first one.
struct ChannelLayout: BitwiseCopyable, Sendable {
    let channels: Int
    let inner: Int

    /// `axis`: negative ones count from the last. nil: the array has no such axis.
    init?(axis: Int, shape: [Int], isFortranOrder: Bool) {
        let place = axis < 0 ? axis + shape.count : axis
        guard shape.indices.contains(place) else { return nil }
        channels = shape[place]
        inner = (isFortranOrder ? shape[..<place] : shape[(place + 1)...]).reduce(1, *)
    }
}

extension NPYHeader {
    /// How many channels an axis has: the length of that dimension.
    ///
    /// - Parameters:
    ///   - axis: From 0, or negative, from the last: -1 is the last one.
    ///   - path: The file, as the subject of errors.
    /// - Throws: `.invalidArgument`: there is no such axis, or it has more channels than
    ///   ``Team/maximumChannelCount``.
    public func channelCount(axis: Int, path: String) throws(MusterError) -> Int {
        try channelLayout(axis: axis, path).channels
    }

    func channelLayout(axis: Int, _ subject: String) throws(MusterError) -> ChannelLayout {
        try ChannelLayout.checked(axis, shape, isFortranOrder, subject)
    }
}

extension ChannelLayout {
    static func checked(
        _ axis: Int, _ shape: [Int], _ isFortranOrder: Bool, _ subject: String
    ) throws(MusterError) -> ChannelLayout {
        guard let layout = ChannelLayout(axis: axis, shape: shape, isFortranOrder: isFortranOrder)
        else {
            let count = shape.count
            throw MusterError(
                .invalidArgument, subject: subject,
                reason: "has no axis \(axis), since its shape has "
                    + (count == 0
                        ? "no dimensions" : count == 1 ? "one dimension" : "\(count) dimensions")
                    + (count == 0 ? "" : "; name one from 0 to \(count - 1), or -1 to -\(count)"))
        }
        guard layout.channels <= Team.maximumChannelCount else {
            throw MusterError(
                .invalidArgument, subject: subject,
                reason: "axis \(axis) has \(layout.channels) channels, more than "
                    + "\(Team.maximumChannelCount); name another axis")
        }
        return layout
    }
}

extension Team {
    /// Most channels of an axis that statistics are made of at a time.
    public static var maximumChannelCount: Int { 4096 }

    /// Statistics of each channel of an array, with the audit of the loop that made them.
    ///
    /// A channel is all elements that have one index along the axis. Of an image of shape (height, width,
    /// 3), axis -1 has three of them; NumPy's `a.mean(axis=(0, 1))` has their means.
    ///
    /// - Parameters:
    ///   - array: Of this team.
    ///   - axis: From 0, or negative, from the last: -1 is the last one.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    /// - Returns: One for each index along the axis.
    /// - Throws: `.invalidArgument`: no such axis, or more than ``maximumChannelCount`` channels;
    ///   otherwise as ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func channelStatistics<Element: NPYElement>(
        of array: borrowing SharedArray<Element>, axis: Int, schedule: Schedule = .static
    ) throws(MusterError) -> (result: [Statistics], report: AuditReport) {
        let layout = try ChannelLayout.checked(axis, array.shape, false, array.path ?? "array")
        return try channelStatistics(of: array.numbers, layout, schedule)
    }

    /// Statistics of each channel of a file's array, in either order of dimensions.
    ///
    /// - Throws: `.invalidArgument`: no such axis, or more than ``maximumChannelCount`` channels;
    ///   otherwise as ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func channelStatistics(
        of numbers: borrowing NPYNumbers, axis: Int, schedule: Schedule = .static
    ) throws(MusterError) -> (result: [Statistics], report: AuditReport) {
        let layout = try numbers.header.channelLayout(axis: axis, numbers.path)
        return try channelStatistics(of: numbers.input, layout, schedule)
    }

    /// Statistics of each channel of several files as one data set. Shapes may differ but for the number of
    /// channels.
    ///
    /// - Parameters:
    ///   - files: One data set together.
    ///   - axis: From 0, or negative, from the last: -1 is the last one.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    ///   - willRead: Called with each file's number, from 0, before the file is read.
    /// - Throws: `.invalidArgument`: a file has no such axis, too many channels, or other channels than
    ///   the first one; then none is read. `.file` if a file is not what it was; otherwise as
    ///   ``numbers(npy:)`` and ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func channelStatistics(
        of files: NPYFiles, axis: Int, schedule: Schedule = .static,
        willRead: (Int) -> Void = { _ in }
    ) throws(MusterError) -> (result: [Statistics], report: AuditReport) {
        let layouts = try files.channelLayouts(axis: axis)
        var all: [Statistics] = []
        var total: AuditReport?
        try forEach(of: files) { (index, numbers) throws(MusterError) in
            willRead(index)
            let (each, report) = try channelStatistics(of: numbers, layouts[index], schedule)
            all = all.isEmpty ? each : zip(all, each).map { $0 + $1 }
            total = total.map { $0 + report } ?? report
        }
        return (all, total!)
    }

    private func channelStatistics(
        of numbers: NumberInput, _ layout: ChannelLayout, _ schedule: Schedule
    ) throws(MusterError) -> ([Statistics], AuditReport) {
        var all = [muster_moments](repeating: muster_moments(), count: layout.channels)
        let partialBytes = layout.channels * MemoryLayout<muster_moments>.stride
        let report = try core.run(
            ChannelMoments(numbers: numbers, layout: layout),
            LoopPlan(
                count: numbers.count, grain: grain(of: numbers, partialBytes), schedule: schedule),
            partialBytes: partialBytes
        ) { partials, chunks in
            let found = partials.assumingMemoryBound(to: muster_moments.self)
            for chunk in 0..<chunks {
                for channel in all.indices {
                    muster_moments_combine(
                        &all[channel], found + chunk * layout.channels + channel)
                }
            }
        }
        return (all.map { Statistics($0, dtype: numbers.dtype) }, report)
    }
}

/// The grain of a loop whose chunks leave the moments of all channels behind; nil: the default. That one
/// grows until partial results are a sixteenth of a byte an element, and thousands of channels then make a
/// chunk or two of a file. Here they may take a quarter of what the data take, or 16 MiB, for up to 64
/// chunks.
private func grain(of numbers: NumberInput, _ partialBytes: Int) -> Int? {
    let count = numbers.count
    let bytes = count * Int(muster_type_bytes(numbers.dtype))
    let chunks = max(1, min(64, max(16 << 20, bytes / 4) / partialBytes))
    let wanted = (count + chunks - 1) / chunks
    let usual = muster_schedule_grain(UInt64(count), 0, UInt64(partialBytes))
    return wanted > 0 && wanted < Int(clamping: usual) ? wanted : nil
}

extension NPYFiles {
    /// The number of channels along an axis, the same in each file.
    ///
    /// - Throws: `.invalidArgument`, which names the file.
    public func channelCount(axis: Int) throws(MusterError) -> Int {
        try channelLayouts(axis: axis)[0].channels
    }

    func channelLayouts(axis: Int) throws(MusterError) -> [ChannelLayout] {
        var layouts: [ChannelLayout] = []
        for (path, header) in zip(paths, headers) {
            let layout = try header.channelLayout(axis: axis, path)
            if let first = layouts.first, first.channels != layout.channels {
                throw MusterError(
                    .invalidArgument, subject: path,
                    reason:
                        "axis \(axis) has \(layout.channels) channels, but \(first.channels) in "
                        + "\(paths[0]); name files with the same channels")
            }
            layouts.append(layout)
        }
        return layouts
    }
}

/// Leaves the moments of all channels for each chunk.
struct ChannelMoments: _Work {
    let numbers: NumberInput
    let layout: ChannelLayout

    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws {
        var raw = muster_chunk()
        let partials = UnsafeMutableRawPointer(loop.pointee.cursor.partials!)
        var hot = HotLoop(loop)
        withUnsafeTemporaryAllocation(byteCount: Int(MUSTER_CHANNEL_ROOM_BYTES), alignment: 64) {
            room in
            while hot.next(&raw) {
                let chunk = Chunk(_loop: loop, raw: raw)
                let moments = (partials + Int(raw.index) * Int(loop.pointee.cursor.partial_bytes))
                    .assumingMemoryBound(to: muster_moments.self)
                moments.update(repeating: muster_moments(), count: layout.channels)
                let first = UInt64(chunk.range.lowerBound)
                numbers.withElements(of: chunk) { start, count in
                    muster_channel_moments(
                        muster_type(numbers.dtype), start, count, first, UInt64(layout.channels),
                        UInt64(layout.inner), room.baseAddress, moments)
                }
                hot.commit(raw.index)
            }
        }
    }
}
