// HelloCommand.swift - `muster hello`: which process is which rank.

import ArgumentParser
@preconcurrency import Glibc
import Muster

struct Hello: JSONCommand {
    static let schema = "muster.hello/1"
    static let configuration = CommandConfiguration(
        commandName: "hello",
        abstract: "Shows the ranks of a team: process, CPU and node of each.",
        discussion: """
            Each rank fills in its own line in shared memory; then the audit says whether each did so \
            exactly once. With --teams, several teams are made one after the other: each has the \
            ranks 0 to N - 1 again, in new processes.

            EXAMPLES
              muster hello                     one rank for each CPU
              muster hello -n 8 --teams 3      ranks 0 to 7, three times
              muster hello -n 200 --json       for programs
              muster hello --bind compact --report-bindings
            """)

    @OptionGroup var team: TeamOptions

    @Option(parsing: .unconditional, help: "Teams, one after the other, 1 to 10,000.")
    var teams = 1

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard (1...10_000).contains(teams) else {
            throw ValidationError("--teams \(teams): from 1 to 10000")
        }
    }

    func run() throws {
        let size = try team.size()
        var met: [HelloJSON.Met] = []
        let meter = Meter("hello")
        for number in 1...teams {
            let (members, audit) = try Hello.meet(size, team.binding)
            // Lines on a terminal show by themselves how far it is.
            if json || !Output.isTerminal { meter.show(Double(number) / Double(teams)) }
            if json {
                met.append(HelloJSON.Met(size: size, members: members, audit: AuditJSON(audit)))
                continue
            }
            if number > 1 { Output.line() }
            let title = "team of \(size)" + (teams > 1 ? ", \(number) of \(teams)" : "")
            Output.line(Paint.heading(title))
            Hello.print(members)
            Output.line("\(Paint.heading("audit"))  \(Paint.verdict(audit))")
            try Output.flush()
        }
        meter.clear()
        if json { try print(json: HelloJSON(teams: met)) }
    }

    /// Makes a team and asks every rank for its identity.
    private static func meet(
        _ size: Int, _ binding: Binding
    ) throws -> (members: [Member], audit: AuditReport) {
        let team = try Team(size: size, binding: binding)
        let array = try team.array(of: Member.self, count: size)
        let audit = try team.eachRank(Introduction(members: array.output))
        let members = array.toArray()
        // What the audit can't see: that chunk r was done by rank r, and rank r by a process of its own.
        let processes = team.processIDs
        for (rank, member) in members.enumerated() {
            guard member.rank == rank, member.size == size, Int(member.pid) == processes[rank]
            else {
                throw Failure.wrong(
                    "rank \(rank) of \(size): process \(processes[rank]) holds it, but process "
                        + "\(member.pid) answered as rank \(member.rank) of \(member.size)",
                    report: FailedJSON(audit))
            }
        }
        return (members, audit)
    }

    private static func print(_ members: [Member]) {
        var table = AlignedTable([
            ("rank", .right), ("size", .right), ("pid", .right), ("CPU", .right), ("node", .right),
        ])
        for member in members {
            table.add(
                [member.rank, member.size, member.pid, member.cpu, member.node].map {
                    $0 < 0 ? "-" : "\($0)"
                })
        }
        table.print()
    }
}

/// What a rank says of itself.
private struct Member: BitwiseCopyable, Encodable {
    let rank: Int32
    let size: Int32
    let pid: Int32
    /// The CPU it was on at that moment, as the kernel numbers it; -1: unknown.
    let cpu: Int32
    /// That CPU's node; -1: unknown.
    let node: Int32

    enum CodingKeys: CodingKey { case rank, size, pid, cpu, node }
    func encode(to encoder: any Encoder) throws {
        var json = encoder.container(keyedBy: CodingKeys.self)
        try json.encode(rank, forKey: .rank)
        try json.encode(size, forKey: .size)
        try json.encode(pid, forKey: .pid)
        try json.encode(cpu < 0 ? nil : cpu, forKey: .cpu)
        try json.encode(node < 0 ? nil : node, forKey: .node)
    }
}

/// Each rank writes its own line.
private struct Introduction: Kernel {
    let members: SharedArray<Member>.Output

    func process(_ chunk: borrowing Chunk) throws {
        let here = Topology.here()
        members.write(chunk) { lines in
            lines[0] = Member(
                rank: Int32(chunk.rank), size: Int32(chunk.size), pid: ownProcessID(),
                cpu: Int32(here?.cpu ?? -1), node: Int32(here?.node ?? -1))
        }
    }
}

/// `muster.hello/1`
private struct HelloJSON: Encodable {
    struct Met: Encodable {
        let size: Int
        let members: [Member]
        let audit: AuditJSON
    }
    let teams: [Met]
}
