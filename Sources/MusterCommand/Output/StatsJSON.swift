// StatsJSON.swift - what `muster stats` found, as JSON: `muster.stats/1`. Every key is always there.

import Muster

struct StatsJSON: Encodable {
    private let report: StatsReport
    private let timeline: TimelineShare?
    init(_ report: StatsReport, _ timeline: TimelineShare?) {
        self.report = report
        self.timeline = timeline
    }

    enum CodingKeys: CodingKey {
        case file, dtype, shape, percentiles, histogram, files, axis, channels, notes, team, audit
        case elapsed_s, rate_gb_per_s, timeline
    }

    func encode(to encoder: any Encoder) throws {
        var json = encoder.container(keyedBy: CodingKeys.self)
        let isOne = report.names.count == 1
        // An optional encodes itself as null here; only synthesised encoders leave its key out.
        try json.encode(isOne ? report.name.jsonName : nil, forKey: .file)
        try json.encode(report.dtype?.name, forKey: .dtype)
        try json.encode(isOne ? report.headers[0].shape : nil, forKey: .shape)
        try StatisticsJSON(report.all, report.dtype).encode(to: encoder)
        try json.encode(
            report.percentiles.map { $0.map { PercentileJSON($0, report.dtype) } },
            forKey: .percentiles)
        try json.encode(
            report.histogram.map {
                Bins(edges: $0.edges, counts: $0.counts, outside_count: report.outsideCount)
            }, forKey: .histogram)
        try json.encode(
            report.names.indices.map {
                FileRow(name: report.names[$0], header: report.headers[$0], found: report.each[$0])
            }, forKey: .files)
        try json.encode(report.channels?.axis, forKey: .axis)
        try json.encode(
            report.channels?.rows.enumerated().map {
                ChannelRow(
                    index: $0, found: $1, percentiles: report.channelPercentiles?[$0],
                    dtype: report.dtype)
            }, forKey: .channels)
        try json.encode(report.notes, forKey: .notes)
        try json.encode(
            Team(size: report.size, schedule: report.schedule.description), forKey: .team)
        try json.encode(AuditJSON(report.audit), forKey: .audit)
        try json.encode(Nullable(report.elapsed), forKey: .elapsed_s)
        try json.encode(Nullable(report.gigabytesPerSecond), forKey: .rate_gb_per_s)
        try json.encode(timeline, forKey: .timeline)
    }
}

private struct Bins: Encodable {
    let edges: [Double]
    let counts: [Int]
    let outside_count: Int
}

private struct Team: Encodable {
    let size: Int
    let schedule: String
}

/// The keys that all files, one file and a channel have in common.
private struct StatisticsJSON: Encodable {
    private let found: Statistics
    private let dtype: DType?
    init(_ found: Statistics, _ dtype: DType?) {
        self.found = found
        self.dtype = dtype
    }

    enum CodingKeys: CodingKey {
        case count, nan_count, infinity_count, sum, sum_bits, mean, standard_deviation, minimum
        case maximum
    }

    func encode(to encoder: any Encoder) throws {
        var json = encoder.container(keyedBy: CodingKeys.self)
        try json.encode(found.count, forKey: .count)
        try json.encode(found.nanCount, forKey: .nan_count)
        try json.encode(found.infinityCount, forKey: .infinity_count)
        try json.encode(Element(found.sum, found.integers?.sum, nil), forKey: .sum)
        let bits = String(found.sum.bitPattern, radix: 16)
        try json.encode(
            String(repeating: "0", count: 16 - bits.count) + bits, forKey: .sum_bits)
        try json.encode(Nullable(found.mean), forKey: .mean)
        try json.encode(Nullable(found.standardDeviation), forKey: .standard_deviation)
        try json.encode(
            Element(found.minimum, found.integers?.minimum, dtype), forKey: .minimum)
        try json.encode(
            Element(found.maximum, found.integers?.maximum, dtype), forKey: .maximum)
    }
}

private struct FileRow: Encodable {
    let name: String
    let header: NPYHeader
    let found: Statistics

    enum CodingKeys: CodingKey { case file, dtype, shape }

    func encode(to encoder: any Encoder) throws {
        var json = encoder.container(keyedBy: CodingKeys.self)
        try json.encode(name.jsonName, forKey: .file)
        try json.encode(header.dtype.name, forKey: .dtype)
        try json.encode(header.shape, forKey: .shape)
        try StatisticsJSON(found, header.dtype).encode(to: encoder)
    }
}

private struct ChannelRow: Encodable {
    let index: Int
    let found: Statistics
    let percentiles: [Percentile]?
    let dtype: DType?

    enum CodingKeys: CodingKey { case index, percentiles }

    func encode(to encoder: any Encoder) throws {
        var json = encoder.container(keyedBy: CodingKeys.self)
        try json.encode(index, forKey: .index)
        try StatisticsJSON(found, dtype).encode(to: encoder)
        try json.encode(
            percentiles.map { $0.map { PercentileJSON($0, dtype) } }, forKey: .percentiles)
    }
}

/// One of `percentiles`.
private struct PercentileJSON: Encodable {
    private let percentile: Percentile
    private let dtype: DType?
    init(_ percentile: Percentile, _ dtype: DType?) {
        self.percentile = percentile
        self.dtype = dtype
    }

    enum CodingKeys: CodingKey { case percent, value }

    func encode(to encoder: any Encoder) throws {
        var json = encoder.container(keyedBy: CodingKeys.self)
        try json.encode(percentile.percent, forKey: .percent)
        try json.encode(percentile.element(dtype), forKey: .value)
    }
}
