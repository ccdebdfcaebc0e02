// Placement.swift - where an array's pages should lie, and where they do.

internal import CMuster

/// On which NUMA node the pages of an array should lie.
public enum Placement: Sendable, Hashable, CustomStringConvertible {
    /// On the node of the rank whose static share they are: the default.
    case firstTouch
    /// All on one node, by the kernel's number.
    case bind(node: Int)
    /// Page by page in turn over some nodes; an empty list means every node.
    case interleave(nodes: [Int] = [])
    /// Each rank's static share on the rank's home node.
    case blocked

    /// "first-touch", "bind:1", "interleave", "interleave:0,2", "blocked".
    public var description: String {
        switch self {
        case .firstTouch: "first-touch"
        case .bind(let node): "bind:\(node)"
        case .interleave(let nodes):
            nodes.isEmpty
                ? "interleave" : "interleave:" + nodes.map(String.init).joined(separator: ",")
        case .blocked: "blocked"
        }
    }

    /// A placement by its `description`; nil for any other text.
    public init?(_ description: String) {
        let parts = description.split(
            separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let numbers = parts.count == 2 ? parts[1].split(separator: ",").map { Int($0) } : []
        guard !numbers.contains(nil) else { return nil }
        switch (parts[0], numbers.count) {
        case ("first-touch", 0) where parts.count == 1: self = .firstTouch
        case ("blocked", 0) where parts.count == 1: self = .blocked
        case ("bind", 1): self = .bind(node: numbers[0]!)
        case ("interleave", 0) where parts.count == 1: self = .interleave()
        case ("interleave", 1...): self = .interleave(nodes: numbers.map { $0! })
        default: return nil
        }
    }

    /// As the C core has it; nil: a node's number that no kernel can have.
    var raw: muster_placement? {
        var raw = muster_placement()
        switch self {
        case .firstTouch: raw.kind = MUSTER_FIRST_TOUCH.rawValue
        case .blocked: raw.kind = MUSTER_BLOCKED.rawValue
        case .bind(let node):
            guard let id = UInt32(exactly: node), id < MUSTER_NODES_MAX else { return nil }
            raw.kind = MUSTER_BIND.rawValue
            raw.node = id
        case .interleave(let nodes):
            raw.kind = MUSTER_INTERLEAVE.rawValue
            for node in nodes {
                guard node >= 0, node < Int(MUSTER_NODES_MAX) else { return nil }
                withUnsafeMutableBytes(of: &raw.nodes) { mask in
                    mask[node / 8] |= UInt8(1 << (node % 8))
                }
            }
        }
        return raw
    }
}

/// Bytes of an array on each node, as read back from the kernel.
public struct Residency: Sendable {
    /// Bytes by node number, only nodes that have any.
    public let bytesByNode: [Int: UInt64]
    /// Bytes that are in no node's memory.
    public let absentBytes: UInt64
}

/// How far a loop is.
public struct Progress: Sendable {
    /// Chunks committed so far.
    public let done: Int
    /// Chunks of the loop.
    public let chunks: Int
    /// Time since the loop began.
    public let elapsedNanoseconds: UInt64
    let cancellation: Cancellation

    /// Asks the loop to end: ranks finish the chunk they are at, and `run` throws `.cancelled`.
    public func cancel() { cancellation.cancel() }
}
