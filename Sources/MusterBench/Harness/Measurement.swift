// Measurement.swift - what a benchmark returns. Nothing here prints: the tool does.

internal import Glibc
public import Muster

/// Repeated measurements of one thing, the first run already dropped.
public struct Samples: Sendable {
    /// In the order measured; never empty.
    public let values: [Double]

    /// Precondition: at least one value.
    public init(_ values: [Double]) {
        precondition(!values.isEmpty, "a measurement has at least one sample")
        self.values = values
    }

    /// The least.
    public var minimum: Double { values.min()! }
    /// The greatest.
    public var maximum: Double { values.max()! }
    /// The middle one, or the mean of the two in the middle.
    public var median: Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/// One line of a benchmark.
public struct Row: Sendable {
    /// What the samples are.
    public enum Quantity: String, Sendable, CaseIterable {
        /// GB/s, GB = 10^9 B.
        case rate
        /// Nanoseconds.
        case time
        /// Per cent of another time.
        case percent
        /// A time over another.
        case ratio
    }

    /// What tells a row from others of its test and kernel: a node, a size, a mix.
    public enum Parameter: Sendable, Hashable, Codable, CustomStringConvertible {
        case number(Int)
        case text(String)

        /// A number, or else a text.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self) {
                self = .number(number)
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        /// The bare number or text.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .number(let number): try container.encode(number)
            case .text(let text): try container.encode(text)
            }
        }

        /// "1024", "3:1"
        public var description: String {
            switch self {
            case .number(let number): "\(number)"
            case .text(let text): text
            }
        }

        /// nil: it is a text.
        public var number: Int? {
            guard case .number(let number) = self else { return nil }
            return number
        }
    }

    /// What was measured, from the general to the particular: "stream", "dispatch/leader-works",
    /// "schedule/cyclic/1000000".
    public let test: String
    /// What the ranks ran: "copy", "empty".
    public let kernel: String
    /// Size of the team.
    public let ranks: Int
    /// What the samples are.
    public let quantity: Quantity
    /// By name: "cpu_node", "size_bytes".
    public let parameters: [String: Parameter]
    /// The samples; nil: it could not be measured, and `reason` says why.
    public let samples: Samples?
    /// Why there are no samples; nil: there are.
    public let reason: String?
    /// The least part of its memory that lay where it should, read back; nil: not asked for, nothing
    /// was placed, or this system does not say.
    public let placedFraction: Double?
    /// Whether the results were checked: false only for a user's kernel that has no check. What was
    /// checked and found wrong has no row.
    public let isVerified: Bool

    init(
        test: String, kernel: String, ranks: Int, quantity: Quantity, samples: Samples,
        parameters: [String: Parameter] = [:], placedFraction: Double? = nil,
        isVerified: Bool = true
    ) {
        self.isVerified = isVerified
        self.test = test
        self.kernel = kernel
        self.ranks = ranks
        self.quantity = quantity
        self.parameters = parameters
        self.samples = samples
        self.placedFraction = placedFraction
        reason = nil
    }

    /// What could not be measured.
    init(
        test: String, kernel: String, ranks: Int, quantity: Quantity,
        parameters: [String: Parameter] = [:], reason: String
    ) {
        self.test = test
        self.kernel = kernel
        self.ranks = ranks
        self.quantity = quantity
        self.parameters = parameters
        samples = nil
        placedFraction = nil
        isVerified = false
        self.reason = reason
    }
}

/// A benchmark's result: only made after every loop was audited and every result checked.
public struct Measurement: Sendable {
    /// The lines.
    public let rows: [Row]
    /// All loops together: chunks and how many of them were processed exactly once.
    public let audit: AuditReport

    /// The least part of any row's memory that lay where it should; nil: read back of none.
    public var placedFraction: Double? { rows.compactMap(\.placedFraction).min() }
}

/// The part of an array that lies where its placement says; nil: not asked for, or this system does not
/// say.
func placedFraction<Element>(
    of array: borrowing SharedArray<Element>, _ isAsked: Bool
) throws(MusterError) -> Double? {
    guard isAsked else { return nil }
    do throws(MusterError) {
        return try array.verifiedFraction()
    } catch {
        guard error.isUnenforceable else { throw error }
        return nil
    }
}

/// Adds up the audits of many loops. Only clean ones come here: a loop that is not clean throws.
struct AuditTotal {
    private var total: AuditReport?

    mutating func add(_ report: AuditReport) {
        if total == nil {
            total = report
        } else {
            total! += report
        }
    }

    /// Precondition: a loop has run.
    var report: AuditReport { total! }

    /// nil: no loop has run.
    var reportIfAny: AuditReport? { total }
}

/// CLOCK_MONOTONIC, in nanoseconds.
func nanoseconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) * 1e9 + Double(now.tv_nsec)
}

/// A kernel that does nothing, to measure what is around it. The compiler can't remove its loop:
/// claims and commits are atomic accesses to shared memory, and the audit counts every one of them.
struct Empty: Kernel {
    func process(_ chunk: borrowing Chunk) throws {}
}
