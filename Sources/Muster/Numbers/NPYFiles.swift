// NPYFiles.swift - several `.npy` files as one data set.
//
// Files are mapped one after the other, so that there may be more of them than descriptors, and of any
// size. What is summed up is exact, so it is the same as that of one file with all elements.

/// Several `.npy` files as one data set: each of any element type and layout that ``Team/numbers(npy:)``
/// reads.
///
/// ```swift
/// let files = try NPYFiles(paths: ["monday.npy", "tuesday.npy"])
/// let (each, report) = try team.statistics(of: files)
/// let all = each.dropFirst().reduce(each[0], +)
/// ```
public struct NPYFiles: Sendable {
    /// The files, with `String(fileName:)` where a name is not UTF-8.
    public let paths: [String]
    /// What their headers say.
    public let headers: [NPYHeader]

    /// Reads the headers of files.
    ///
    /// - Throws: `.invalidArgument` where there is no path; `.file` for the first one that can't be read, with the reason and the remedy.
    public init(paths: [String]) throws(MusterError) {
        guard !paths.isEmpty else { throw invalid("files", "none is given") }
        self.paths = paths
        var headers: [NPYHeader] = []
        for path in paths { headers.append(try NPYHeader(path: path)) }
        self.headers = headers
    }

    /// Elements of all files.
    public var count: Int { headers.reduce(0) { $0 + $1.count } }

    /// The element type; nil: files have different ones.
    public var dtype: DType? {
        headers.allSatisfy { $0.dtype == headers[0].dtype } ? headers[0].dtype : nil
    }

    /// Checks that all files have one element type, for what compares elements of one with those of another.
    ///
    /// - Throws: `.invalidArgument`, which names two files that differ.
    package func requireOneType(for what: String) throws(MusterError) {
        guard let other = headers.firstIndex(where: { $0.dtype != headers[0].dtype }) else {
            return
        }
        throw MusterError(
            .invalidArgument, subject: paths[other],
            reason: "holds \(headers[other].dtype.name), and \(paths[0]) \(headers[0].dtype.name): "
                + "\(what) need files of one type; ask for those of each file alone")
    }

    /// Checks that an axis has few enough channels for percentiles of each.
    ///
    /// - Throws: `.invalidArgument`, which names the first file.
    package func requireFewChannels(axis: Int) throws(MusterError) {
        let channels = try channelCount(axis: axis)
        guard channels > Team.maximumPercentileChannelCount else { return }
        throw MusterError(
            .invalidArgument, subject: paths[0],
            reason: "axis \(axis) has \(channels) channels, and percentiles are found of "
                + "\(Team.maximumPercentileChannelCount) at most; name another axis, or leave the "
                + "percentiles out")
    }

    /// A file that is not what it was.
    static func changed(_ path: String) -> MusterError {
        MusterError(
            .file, subject: path,
            reason: "changed while it was read; run it again when nobody writes to it")
    }
}

extension Team {
    /// Lends the numbers of each file in turn.
    func forEach(
        of files: NPYFiles,
        _ body: (_ index: Int, _ numbers: NumberInput) throws(MusterError) -> Void
    ) throws(MusterError) {
        for (index, path) in files.paths.enumerated() {
            let numbers = try self.numbers(npy: path)
            guard numbers.header == files.headers[index] else { throw NPYFiles.changed(path) }
            try body(index, numbers.input)
        }
    }

    /// Statistics of each of several files, with the audit of the loops that made them, one a file.
    ///
    /// `+` makes those of all of them.
    ///
    /// - Parameters:
    ///   - files: Of any types.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    ///   - willRead: Called with each file's number, from 0, before it is read.
    /// - Throws: `.file` if one is not what it was; otherwise as ``numbers(npy:)`` and
    ///   ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func statistics(
        of files: NPYFiles, schedule: Schedule = .static, willRead: (Int) -> Void = { _ in }
    ) throws(MusterError) -> (each: [Statistics], report: AuditReport) {
        var each: [Statistics] = []
        var total: AuditReport?
        try forEach(of: files) { (index, numbers) throws(MusterError) in
            willRead(index)
            let (moments, report) = try moments(of: numbers, schedule: schedule)
            each.append(Statistics(moments, dtype: numbers.dtype))
            total = total.map { $0 + report } ?? report
        }
        return (each, total!)
    }

    /// Counts the numbers of several files between edges, as one data set. `willRead` is called with each
    /// file's number, from 0, before the file is read.
    ///
    /// - Throws: `.invalidArgument` for other edges, `.file` if a file is not what it was; otherwise as
    ///   ``numbers(npy:)`` and ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func histogram(
        of files: NPYFiles, edges: [Double], schedule: Schedule = .static,
        willRead: (Int) -> Void = { _ in }
    ) throws(MusterError) -> (result: Histogram, report: AuditReport) {
        var all: (Histogram, AuditReport)?
        try forEach(of: files) { (index, numbers) throws(MusterError) in
            willRead(index)
            let (result, report) = try histogram(of: numbers, edges: edges, schedule: schedule)
            all = all.map { ($0.0 + result, $0.1 + report) } ?? (result, report)
        }
        return all!
    }
}
