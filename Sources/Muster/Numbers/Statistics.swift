// Statistics.swift - what a numeric array amounts to: moments and extremes.
//
// Each chunk leaves its moments behind as a partial result. Sums are exact and rounded at the end, so the
// bits depend on nothing but the elements.

internal import MusterCore

/// Count, sum, mean, deviation and extremes of the finite elements of an array.
public struct Statistics: Sendable {
    /// Elements, NaN and infinities included.
    public let count: Int
    /// Elements that are not a number.
    public let nanCount: Int
    /// Infinite elements, of either sign.
    public let infinityCount: Int
    /// Sum of the finite elements: the exact sum, rounded once. An infinity where it is beyond the largest
    /// double.
    public let sum: Double
    /// Mean of the finite elements: their exact sum over their number, rounded once; nil when there are
    /// none.
    public let mean: Double?
    /// Standard deviation of the finite elements as a population (divided by their number), within 4 units
    /// in the last place; nil when there are none.
    public let standardDeviation: Double?
    /// Least finite element; nil when there are none. An integer of 8 bytes is rounded to a double.
    public let minimum: Double?
    /// Greatest finite element; nil when there are none. An integer of 8 bytes is rounded to a double.
    public let maximum: Double?
    /// What is exact of integers and bools; nil for floating-point types.
    public let integers: Integers?

    /// Sum and extremes of integers, exactly.
    public struct Integers: Sendable, Equatable {
        /// Sum of all elements.
        public let sum: Int128
        /// Least element; nil when there are none.
        public let minimum: Int128?
        /// Greatest element; nil when there are none.
        public let maximum: Int128?
    }

    /// Elements that are neither NaN nor infinite.
    public var finiteCount: Int { count - nanCount - infinityCount }

    /// Sums that are not rounded yet. Not in the structure itself: they take 880 bytes, and a structure is
    /// copied about on stacks, which may be as small as 128 KiB.
    private final class Sums: Sendable {
        let moments: muster_moments
        init(_ moments: muster_moments) { self.moments = moments }
    }
    private let sums: Sums

    init(_ moments: muster_moments, dtype: UInt32) {
        let isEmpty = moments.count == moments.nan_count + moments.infinity_count
        self.init(
            moments,
            dtype < MUSTER_TYPE_I8.rawValue
                ? nil
                : withUnsafePointer(to: moments) {
                    Integers($0, isEmpty: isEmpty, dtype: dtype)
                })
    }

    private init(_ moments: muster_moments, _ integers: Integers?) {
        sums = Sums(moments)
        self.integers = integers
        count = Int(moments.count)
        nanCount = Int(moments.nan_count)
        infinityCount = Int(moments.infinity_count)
        let isEmpty = moments.count == moments.nan_count + moments.infinity_count
        minimum = isEmpty ? nil : moments.minimum
        maximum = isEmpty ? nil : moments.maximum
        (sum, mean, standardDeviation) = withUnsafePointer(to: moments) {
            (
                muster_moments_sum($0), isEmpty ? nil : muster_moments_mean($0),
                isEmpty ? nil : muster_moments_deviation($0)
            )
        }
    }

    /// The statistics of the elements of both as one data set, rounded no more than those of one. Their types
    /// may differ: a sum is of the numbers that elements stand for. ``integers`` are those of integers
    /// alone.
    public static func + (left: Statistics, right: Statistics) -> Statistics {
        var both = left.sums.moments
        withUnsafePointer(to: right.sums.moments) { muster_moments_combine(&both, $0) }
        guard let one = left.integers, let other = right.integers else {
            return Statistics(both, nil)
        }
        return Statistics(
            both,
            Integers(
                sum: one.sum + other.sum,
                minimum: [one.minimum, other.minimum].compactMap { $0 }.min(),
                maximum: [one.maximum, other.maximum].compactMap { $0 }.max()))
    }
}

extension Statistics.Integers {
    fileprivate init(_ moments: UnsafePointer<muster_moments>, isEmpty: Bool, dtype: UInt32) {
        var high: Int64 = 0
        var low: UInt64 = 0
        muster_moments_integer_sum(moments, &high, &low)
        sum = Int128(high) << 64 | Int128(low)
        func exact(_ bits: UInt64, _ value: Double) -> Int128? {
            switch dtype {
            case _ where isEmpty: nil
            case MUSTER_TYPE_I64.rawValue: Int128(Int64(bitPattern: bits))
            case MUSTER_TYPE_U64.rawValue: Int128(bits)
            default: Int128(value)  // 4 bytes at most: a double holds each
            }
        }
        minimum = exact(moments.pointee.integer_minimum, moments.pointee.minimum)
        maximum = exact(moments.pointee.integer_maximum, moments.pointee.maximum)
    }
}

extension Team {
    /// Statistics of an array, with the audit of the loop that made them.
    ///
    /// - Parameters:
    ///   - array: Of this team.
    ///   - schedule: How chunks are dealt; the result does not depend on it.
    /// - Throws: As ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func statistics<Element: NPYElement>(
        of array: borrowing SharedArray<Element>, schedule: Schedule = .static
    ) throws(MusterError) -> (result: Statistics, report: AuditReport) {
        let (moments, report) = try moments(of: array.numbers, schedule: schedule)
        return (Statistics(moments, dtype: array.numbers.dtype), report)
    }

    /// Statistics of a file's numbers, with the audit of the loop that made them.
    ///
    /// - Throws: As ``reduce(_:count:grain:schedule:recovery:stallTimeout:)``.
    public func statistics(
        of numbers: borrowing NPYNumbers, schedule: Schedule = .static
    ) throws(MusterError) -> (result: Statistics, report: AuditReport) {
        let (moments, report) = try moments(of: numbers.input, schedule: schedule)
        return (Statistics(moments, dtype: numbers.input.dtype), report)
    }

    func moments(
        of numbers: NumberInput, schedule: Schedule
    ) throws(MusterError) -> (muster_moments, AuditReport) {
        let found = try reduce(
            Moments(numbers: numbers), count: numbers.count, schedule: schedule)
        return (found.result, found.report)
    }
}

extension SharedArray where Element: NPYElement {
    /// For kernels that read its numbers. Of a bool file any byte but 0 counts as 1.
    var numbers: NumberInput {
        let stride = MemoryLayout<Element>.stride
        return NumberInput(
            bytes: SharedArray<UInt8>.Rows.Input(
                handle: _ArrayHandle(
                    team: handle.team, offset: handle.offset, count: count * stride,
                    id: handle.id, generation: handle.generation), width: stride),
            count: count, stride: stride, dtype: (fileDType ?? Element.dtype).code,
            isSwapped: false)
    }
}

// Neither this nor Binning, nor other work of this library, is private: a worker finds a generic type
// that it was forked before by name. A private one has no such name, and all ranks would be started
// again.
struct Moments: Reduction {
    let numbers: NumberInput

    var identity: muster_moments { muster_moments() }

    func process(_ chunk: borrowing Chunk) throws -> muster_moments {
        var moments = muster_moments()
        numbers.withElements(of: chunk) { start, count in
            muster_kernels_best().pointee.moments(
                muster_type(numbers.dtype), start, count, &moments)
        }
        return moments
    }

    func combine(_ left: muster_moments, _ right: muster_moments) -> muster_moments {
        var both = left
        withUnsafePointer(to: right) { muster_moments_combine(&both, $0) }
        return both
    }
}
