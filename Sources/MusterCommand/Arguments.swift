// Arguments.swift - options that several commands share.

import ArgumentParser
import Muster

/// `-n`: how many ranks.
struct TeamOptions: ParsableArguments {
    @Option(
        // Unconditional: "-n -1" is a wrong number, not a missing one.
        name: [.customShort("n"), .customLong("ranks")], parsing: .unconditional,
        help: "Ranks of the team. (default: one for each CPU that this process may use)")
    var ranks: Int?

    func validate() throws {
        if let ranks, ranks < 1 || ranks > 4096 {
            throw ValidationError("-n \(ranks): a team has 1 to 4096 ranks")
        }
    }

    /// The number of ranks. Says once when they outnumber the CPUs.
    func size() throws -> Int {
        let cpus = try Topology.read().usableCPUCount
        let size = ranks ?? max(1, min(cpus, 4096))
        if size > cpus {
            Output.note(
                "\(size) ranks share \(cpus) \(cpus == 1 ? "CPU" : "CPUs"): they take turns and sleep "
                    + "instead of spinning")
        }
        return size
    }
}

extension Schedule: ExpressibleByArgument {
    /// "static", "static-steal", ...
    public init?(argument: String) { self.init(argument) }

    /// For help and completion.
    public static var allValueStrings: [String] { allCases.map(\.description) }
}
