// Binding.swift - where the ranks of a team run.

internal import MusterCore

/// Which CPU each rank of a team is bound to.
///
/// Only CPUs are used that are on line and that this process may use (affinity, cpuset), and except in
/// a list of CPUs no two ranks share a core's threads while a core is free. Where ranks outnumber those
/// CPUs, none is bound. A worker that takes over a dead one's rank gets its CPU. Several teams at a
/// time that are to run side by side need CPUs of their own: a list each, or ``none``.
///
/// (`muster_binding_assign`)
public enum Binding: Sendable, Hashable {
    /// Evenly over the nodes, then over packages, last-level caches and cores: all of the host's memory
    /// bandwidth for any number of ranks.
    case spread
    /// Node after node, each next one the nearest to those before: for ranks that share much data.
    case compact
    /// Wherever the kernel runs them.
    case none
    /// Rank r on the r-th of these CPUs, by the kernel's numbers; more than there are ranks are left over.
    case cpus([Int])
}

/// The place of a rank.
public struct Seat: Sendable, Hashable {
    /// The CPU that it is bound to, by the kernel's number; nil: to none.
    public let cpu: Int?
    /// The node on which pages lie that are the rank's: its CPU's, or if that has no memory that
    /// this process may use, the one on which the kernel's own first touch puts them.
    public let homeNode: Int
}

extension Binding {
    /// Where the ranks of a team of this size would run, on this host as it is now.
    ///
    /// - Throws: `.invalidArgument` for a list that is too short or has CPUs twice, or CPUs that are
    ///   not there or not for this process; `.system`.
    public func seats(size: Int) throws(MusterError) -> [Seat] {
        var host: UnsafeMutablePointer<muster_topology>?
        let status = muster_topology_recall(&host)
        guard status == 0, let host else {
            throw .system(.system, "this host", "can't read its topology", status: status)
        }
        defer { muster_topology_destroy(host) }
        return try seats(size: size, on: host)
    }

    /// Why this system binds no process to a CPU, in words; nil: it does.
    package static var refusal: String? {
        let status = muster_host_try_affinity()
        return status == 0 ? nil : statusText(status)
    }

    /// Precondition: size is 1...4096.
    func seats(
        size: Int, on host: UnsafeMutablePointer<muster_topology>
    ) throws(MusterError) -> [Seat] {
        var cpus: [UInt32] = []
        if case .cpus(let list) = self {
            // What is no CPU's number at all becomes one that no host has, and is refused as such.
            cpus = list.map { UInt32(exactly: $0) ?? .max }
        }
        var raw = [muster_seat](repeating: muster_seat(), count: size)
        var bad: UInt32 = 0
        let status = muster_binding_assign(
            host, code, cpus, UInt32(cpus.count), UInt32(size), &raw, &bad)
        guard status == 0 else { throw refusal(status, size: size, bad: bad) }
        return raw.map {
            Seat(cpu: $0.cpu == .max ? nil : Int($0.cpu), homeNode: Int($0.home))
        }
    }

    private func refusal(_ status: Int32, size: Int, bad: UInt32) -> MusterError {
        let why: String
        switch -status {
        case ENODEV: why = "CPU \(bad) is not there, or off line"
        case EACCES:
            why =
                "this process may not use CPU \(bad) (taskset -pc shows those it may, and so does "
                + "muster topology)"
        case EEXIST: why = "CPU \(bad) comes twice, and two ranks would take turns on it"
        case EINVAL:
            guard case .cpus(let list) = self else { fallthrough }
            why = "a list of \(list.count) for \(size) ranks: give each a CPU, or fewer ranks"
        default:
            return .system(.system, "binding", "can't be computed", status: status)
        }
        return MusterError(
            .invalidArgument, subject: "binding to CPUs", reason: why, errorNumber: -status)
    }
}

extension Binding: CustomStringConvertible {
    /// "spread", "compact", "none", or the list: "0,2,4".
    public var description: String {
        switch self {
        case .spread: "spread"
        case .compact: "compact"
        case .none: "none"
        case .cpus(let list): list.map(String.init).joined(separator: ",")
        }
    }

    /// The reverse of `description`; lists may have ranges: "0-3,8". nil: none of these.
    public init?(_ text: String) {
        switch text {
        case "spread": self = .spread
        case "compact": self = .compact
        case "none": self = .none
        default:
            var cpus: [Int] = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                let ends = part.split(separator: "-", omittingEmptySubsequences: false).map {
                    $0.allSatisfy { $0.isASCII && $0.isNumber } ? Int($0) : nil
                }
                // The largest number that a host's CPU can have: topology.h.
                guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil,
                    first <= last, last <= 1_048_575
                else { return nil }
                cpus += first...last
            }
            self = .cpus(cpus)
        }
    }
}
