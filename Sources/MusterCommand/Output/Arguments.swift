// Arguments.swift - options that several commands share.

import ArgumentParser
import Muster
import MusterBench

/// `-n`: how many ranks.
struct TeamOptions: ParsableArguments {
    @Option(
        name: [.customShort("n"), .customLong("ranks")],
        // So that "-n -3" is a wrong number, not a missing one.
        parsing: .unconditional,
        help: """
            Ranks of the team. (default: one for each CPU that this process may use, or of the list \
            given with --bind)
            """)
    var ranks: Int?

    @OptionGroup var place: BindingOptions

    func validate() throws {
        if let ranks { try TeamOptions.validate(ranks: ranks) }
    }

    static func validate(ranks: Int) throws {
        if ranks < 1 || ranks > 4096 {
            throw ValidationError("-n \(ranks): a team has 1 to 4096 ranks")
        }
    }

    /// Where they run.
    var binding: Binding { place.bind }

    /// The number of ranks, `least` or more unless it was given. Says once when they outnumber the
    /// CPUs, and where each runs when asked to.
    func size(atLeast least: Int = 1) throws -> Int {
        let host = try Topology.read()
        let size = ranks ?? max(least, host.ranks(binding))
        try place.announce(size: size, of: host.usableCPUCount)
        return size
    }
}

extension Output {
    /// Says it where ranks outnumber the CPUs.
    static func noteSharing(_ size: Int, of cpus: Int) {
        guard size > cpus else { return }
        note(
            "\(size) ranks share \(counted(cpus, "CPU")): they take turns, sleep "
                + "instead of spinning, and are bound to none")
    }
}

/// `--bind` and `--report-bindings`.
struct BindingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where ranks run: spread over nodes and cores, compact, none, or a list of CPUs.",
            valueName: "spread|compact|none|LIST"))
    var bind: Binding = .spread

    @Flag(help: "Say on stderr which CPU, core and node each rank gets.")
    var reportBindings = false

    /// Says it where ranks outnumber the CPUs, and where each runs if that was asked for. Before a binding
    /// that can't be there is nothing to say but its error.
    func announce(size: Int, of cpus: Int) throws {
        _ = try bind.seats(size: size)
        Output.noteSharing(size, of: cpus)
        if size <= cpus, bind != .none, let refusal = Binding.refusal {
            Output.note("ranks are not bound to CPUs: \(refusal)")
        }
        try report(size: size)
    }

    /// Says where the ranks of a team of this size run, if that was asked for.
    func report(size: Int) throws {
        guard reportBindings else { return }
        let host = try Topology.read()
        let seats = try bind.seats(size: size)
        let refusal = seats.contains { $0.cpu != nil } ? Binding.refusal : nil
        for (rank, seat) in seats.enumerated() {
            Output.writeError("rank \(rank): \(place(seat, host, isBound: refusal == nil))\n")
        }
    }

    /// "CPU 5, core 1 of package 0, node 0"
    private func place(_ seat: Seat, _ host: Topology, isBound: Bool) -> String {
        guard isBound, let cpu = host.cpus.first(where: { $0.id == seat.cpu }) else {
            return "any CPU, memory of node \(seat.homeNode)"
        }
        var text = "CPU \(cpu.id)"
        if let core = cpu.core {
            text += ", core \(core)" + (cpu.package.map { " of package \($0)" } ?? "")
        }
        text += cpu.node.map { ", node \($0)" } ?? ""
        return cpu.node == seat.homeNode ? text : text + ", memory of node \(seat.homeNode)"
    }
}

extension Binding: ExpressibleByArgument {
    /// "spread", "0-3,8", ...
    public init?(argument: String) { self.init(argument) }

    /// What is shown as the default in help.
    public var defaultValueDescription: String { description }
}

extension Schedule: ExpressibleByArgument {
    /// "static", "static-steal", ...
    public init?(argument: String) { self.init(argument) }

    /// For help and completion.
    public static var allValueStrings: [String] { allCases.map(\.description) }
}

/// A number of bytes, as `ByteText` reads it.
struct ByteCount {
    let bytes: Int

    /// For help texts.
    static let examples = "96M, 1.5GiB, 2GB (1G is 2^30 bytes, 1GB is 10^9)"

    /// For `transform:` of an option: its errors then stand in the message.
    init(argument: String) throws {
        do {
            bytes = try ByteText.bytes(argument)
        } catch {
            throw ValidationError(error.description)
        }
    }

    func validate(atLeast least: Int, _ what: String) throws {
        if bytes < least { throw ValidationError("--size \(bytes): \(what)") }
    }
}
