// Schedule.swift - how chunks are dealt.

/// How the chunks of a loop are dealt to ranks.
public enum Schedule: Sendable, Hashable, CustomStringConvertible, CaseIterable {
    /// Each rank has one block of neighbouring chunks: cheapest, and pages stay with their rank.
    case `static`
    /// Rank r has chunks r, r + size, r + 2 size, ...
    case cyclic
    /// A rank that is free takes the next chunk: for chunks of very different cost.
    case dynamic
    /// As dynamic, in shrinking portions.
    case guided
    /// A block each; a rank that has finished steals half of the largest remainder among its
    /// nearest neighbours.
    case staticSteal

    /// "static", "cyclic", "dynamic", "guided" or "static-steal".
    public var description: String {
        switch self {
        case .static: "static"
        case .cyclic: "cyclic"
        case .dynamic: "dynamic"
        case .guided: "guided"
        case .staticSteal: "static-steal"
        }
    }

    /// A schedule by its `description`; nil for any other text.
    public init?(_ description: String) {
        guard let found = Schedule.allCases.first(where: { $0.description == description }) else {
            return nil
        }
        self = found
    }
}
