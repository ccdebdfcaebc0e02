// Placement.swift - where an array's pages should lie, and where they do.

package import MusterCore

/// On which NUMA node the pages of an array should lie.
public enum Placement: Sendable, Hashable, CustomStringConvertible {
    /// On the node of the rank whose static share they are: the default.
    case firstTouch
    /// All on one node, by the kernel's number.
    case bind(node: Int)
    /// Page by page in turn over some nodes; an empty list means every node.
    case interleave(nodes: [Int] = [])
    /// Page by page over some nodes in proportion to their weights, 1...255, by node.
    case weighted([Int: Int])
    /// Each rank's static share on the rank's home node.
    case blocked
    /// A copy on each node that is home to a rank. Every rank reads its own node's copy, and none writes:
    /// what the leader writes reaches the other copies by ``SharedArray/mirror()``.
    case mirrored

    /// "first-touch", "bind:1", "interleave", "interleave:0,2", "weighted:0=3,1=1", "blocked",
    /// "mirrored".
    public var description: String {
        switch self {
        case .firstTouch: "first-touch"
        case .bind(let node): "bind:\(node)"
        case .interleave(let nodes):
            nodes.isEmpty ? "interleave" : "interleave:" + list(nodes.map(String.init))
        case .weighted(let weights):
            "weighted:" + list(weights.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
        case .blocked: "blocked"
        case .mirrored: "mirrored"
        }
    }

    /// The nodes that it names, by rising number.
    public var nodes: [Int] {
        switch self {
        case .firstTouch, .blocked, .mirrored: []
        case .bind(let node): [node]
        case .interleave(let nodes): nodes.sorted()
        case .weighted(let weights): weights.keys.sorted()
        }
    }

    /// What `init(_:)` reads, for help and error messages.
    public static let spelling =
        "first-touch | bind:NODE | interleave[:NODE,...] | weighted:NODE=W,... | blocked | mirrored"

    /// A placement by its `description`; nil for any other text.
    public init?(_ description: String) {
        let parts = description.split(
            separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let arguments =
            parts.count == 2
            ? parts[1].split(separator: ",", omittingEmptySubsequences: false) : []
        switch (parts[0], arguments.count) {
        case ("first-touch", 0): self = .firstTouch
        case ("blocked", 0): self = .blocked
        case ("mirrored", 0): self = .mirrored
        case ("interleave", 0): self = .interleave()
        case ("bind", 1):
            guard let node = number(arguments[0]) else { return nil }
            self = .bind(node: node)
        case ("interleave", 1...):
            let nodes = arguments.compactMap(number)
            guard nodes.count == arguments.count, Set(nodes).count == nodes.count else {
                return nil
            }
            self = .interleave(nodes: nodes)
        case ("weighted", 1...):
            var weights: [Int: Int] = [:]
            for argument in arguments {
                let pair = argument.split(separator: "=", omittingEmptySubsequences: false)
                guard pair.count == 2, let node = number(pair[0]), weights[node] == nil,
                    let weight = number(pair[1]), (1...255).contains(weight)
                else { return nil }
                weights[node] = weight
            }
            self = .weighted(weights)
        default: return nil
        }
    }

    /// Refuses nodes that are not there or may not be used: the kernel would drop them without a word.
    func check(
        _ raw: inout muster_placement, on host: UnsafeMutablePointer<muster_topology>
    ) throws(MusterError) {
        let status = muster_placement_check(&raw, host)
        guard status != 0 else { return }
        throw MusterError(
            .placement, subject: "placement \(self)",
            reason: status == -EACCES
                ? "this process's cpuset does not allow that node" : Placement.noNode(on: host),
            errorNumber: -status)
    }

    private static func noNode(on host: UnsafeMutablePointer<muster_topology>) -> String {
        let nodes = (0..<Int(host.pointee.node_count)).map { host.pointee.nodes[$0] }
            .filter { $0.has_memory != 0 }.map { String($0.id) }
        return "no such node with memory; this host's "
            + (nodes.count == 1 ? "only one is node " : "are nodes ")
            + nodes.joined(separator: ", ")
    }

    /// The C core's form, checked against this host.
    package func checkedRaw() throws(MusterError) -> muster_placement {
        var host: UnsafeMutablePointer<muster_topology>?
        let status = muster_topology_create(nil, &host)
        guard status == 0, let host else {
            throw .system(
                .placement, "placement \(self)", "can't read this host's topology", status: status)
        }
        defer { muster_topology_destroy(host) }
        // nil: a number that no kernel has.
        guard var raw else {
            throw MusterError(
                .placement, subject: "placement \(self)", reason: Placement.noNode(on: host),
                errorNumber: ENODEV)
        }
        try check(&raw, on: host)
        return raw
    }

    /// As the C core has it; nil: a node's number that no kernel can have, or a weight that is none.
    var raw: muster_placement? {
        var raw = muster_placement()
        raw.kind = code
        switch self {
        case .firstTouch, .blocked, .mirrored: break
        case .bind(let node):
            guard let id = UInt32(exactly: node), id < MUSTER_NODES_MAX else { return nil }
            raw.node = id
        case .interleave(let nodes):
            for node in Set(nodes) {
                guard let id = UInt32(exactly: node), muster_placement_add(&raw, id, 1) == 0 else {
                    return nil
                }
            }
        case .weighted(let weights):
            guard !weights.isEmpty else { return nil }
            for (node, weight) in weights {
                guard let id = UInt32(exactly: node), let weight = UInt32(exactly: weight),
                    muster_placement_add(&raw, id, weight) == 0
                else { return nil }
            }
        }
        return raw
    }
}

private func list(_ parts: [String]) -> String { parts.joined(separator: ",") }

/// Decimal digits and nothing else: `Int` would take a sign as well.
private func number(_ text: Substring) -> Int? {
    text.utf8.allSatisfy { (48...57).contains($0) } ? Int(text) : nil
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
