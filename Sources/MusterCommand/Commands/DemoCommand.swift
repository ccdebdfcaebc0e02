// DemoCommand.swift - `muster demo`: why a worker's own number is no rank.

import ArgumentParser
import Muster
import MusterBench
import TextTable

struct Demo: JSONCommand {
    static let schema = "muster.demo/1"
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "What goes wrong when a worker's own number serves as its rank.",
        discussion: """
            N processes are to work on N sections of an array, each section once. Three \
            pools do it as Python's multiprocessing.Pool would, with processes that take \
            the section of their own number for every task they get; then Muster does it. \
            All of it is executed. Each process keeps a roll of what it has done, and the \
            audit finds what was done twice or never. A case is repeated until its fault \
            shows, 10 times at least and --rounds at most.

            EXAMPLES
              muster demo
              muster demo -n 8 --rounds 200
              muster demo --json
            """)

    @Option(
        name: [.customShort("n"), .customLong("ranks")], parsing: .unconditional,
        help: "Processes and sections. (default: one for each usable CPU, but 4 to 16)")
    var ranks: Int?

    @OptionGroup var place: BindingOptions

    @Option(parsing: .unconditional, help: "Most rounds of each case, 1 to 100000.")
    var rounds = 50

    @Flag(help: "Print one JSON object (schema muster.demo/1).")
    var json = false

    func validate() throws {
        if let ranks { try TeamOptions.validate(ranks: ranks) }
        if rounds < 1 || rounds > 100_000 {
            throw ValidationError("--rounds \(rounds): 1 to 100000 rounds")
        }
    }

    func run() throws {
        let cpus = try Topology.read().usableCPUCount
        let size = ranks ?? min(16, max(4, cpus))
        try place.announce(size: size, of: cpus)
        let meter = Meter("demo")
        var demo = PoolDemo(size: size, rounds: rounds)
        demo.binding = place.bind
        let cases = try demo.run(progress: meter.show)
        meter.clear()
        let report = DemoJSON(cases)
        if !json { print(cases, size) }
        if let own = cases.last, own.roundsAtFault > 0 {
            throw Failure.wrong(
                "demo: Muster's own ranks were at fault in \(own.roundsAtFault) of \(own.rounds) "
                    + "rounds: \(own.audit)",
                report: report)
        }
        if json { try print(json: report) }
    }

    private func print(_ cases: [PoolDemo.Case], _ size: Int) {
        Output.line(
            "\(size) \(size == 1 ? "process has" : "processes have") "
                + "\(Output.counted(size, "section")) of an array to work on, each exactly once.")
        Output.line()
        let table = TextTable<PoolDemo.Case> { item in
            [
                Column(title: "case", value: item.kind.rawValue),
                Column(
                    title: "rounds at fault", value: "\(item.roundsAtFault) of \(item.rounds)",
                    align: .right),
                Column(
                    title: "exactly once",
                    value: "\(item.audit.exactlyOnce) of \(item.audit.chunks)", align: .right),
                Column(title: "repeated", value: repeated(item.audit)),
                Column(title: "missing", value: list(item.audit.missing)),
            ]
        }
        Output.rows(table.string(for: cases))
        Output.line()
        Output.line(
            "The last three columns: what the audit found in the last round at fault, or in the")
        Output.line("last of all. Sections and ranks count from 0.")
        Output.line()
        for item in cases {
            Output.line("\(item.kind.rawValue): \(remark(item.kind))")
        }
    }

    private func remark(_ kind: PoolDemo.Kind) -> String {
        switch kind {
        case .workerNumber:
            """
            each task goes to a process that is free, so one process
              takes two or more and repeats its section, and another's section is never worked on
            """
        case .secondPool:
            """
            numbers go on over all pools of a program, and no
              section has the numbers of the second
            """
        case .oneTask:
            """
            a process leaves after its task, which hides the fault until
              the next number, which replaces it, overtakes a process that is late
            """
        case .muster:
            """
            0 to size - 1 in every team, each held by one
              process; the audit finds every section exactly once
            """
        }
    }

    private func repeated(_ audit: AuditReport) -> String {
        guard !audit.repeated.isEmpty else { return "-" }
        let shown = audit.repeated.prefix(3).map { fault in
            list([fault.chunks]) + " by rank "
                + fault.ranks.prefix(3).map(String.init).joined(separator: " and ")
        }
        return shown.joined(separator: ", ") + (audit.repeated.count > 3 ? ", ..." : "")
    }

    private func list(_ ranges: [Range<Int>]) -> String {
        guard !ranges.isEmpty else { return "-" }
        let shown = ranges.prefix(4).map { range in
            range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound - 1)"
        }
        return shown.joined(separator: ", ") + (ranges.count > 4 ? ", ..." : "")
    }
}

/// The demo as JSON.
struct DemoJSON: Encodable {
    struct CaseJSON: Encodable {
        let name: String
        let size: Int
        let rounds: Int
        let rounds_at_fault: Int
        /// Of the last round at fault, or of the last round where there was none.
        let audit: AuditJSON
    }

    let cases: [CaseJSON]

    init(_ cases: [PoolDemo.Case]) {
        self.cases = cases.map { item in
            CaseJSON(
                name: item.kind.rawValue, size: item.size, rounds: item.rounds,
                rounds_at_fault: item.roundsAtFault, audit: AuditJSON(item.audit))
        }
    }
}
