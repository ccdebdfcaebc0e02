// DoctorCommand.swift - `muster doctor`: what on this machine stands in the way, and how to mend it.

import ArgumentParser
import Muster

struct Doctor: JSONCommand {
    static let schema = "muster.doctor/1"
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Finds what on this machine stands in the way, and how to mend it.",
        discussion: """
            Checked are: whether each system call that Muster makes is allowed, and whether this \
            process may place memory and bind ranks (tried out), cpusets, \
            automatic NUMA balancing, the kernel's weighted interleave, vm.max_map_count, huge \
            pages for shared memory and in pools, limits of memory, address space and CPU time, \
            overcommit, and CPU frequency. Nothing is changed. The commands that mend need root, \
            and last until the next boot.

            EXAMPLES
              muster doctor
              muster doctor --json | jq -r '.findings[].remedy'
              muster doctor --from tree        a host recorded by muster topology --record tree

            EXIT STATUS
              0  nothing was found
              1  something was
            """)

    @Option(
        help: ArgumentHelp(
            "Check a recorded host; what has to be tried out is then not checked.",
            valueName: "directory"))
    var from: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if from == "" { throw ValidationError("--from: an empty name is no directory's") }
    }

    func run() throws {
        let diagnosis = try from.map { try Diagnosis(recordedAt: $0) } ?? Diagnosis()
        if json { try print(json: DoctorJSON(diagnosis)) } else { print(diagnosis) }
        try Output.flush()
        if !diagnosis.findings.isEmpty { throw Said(status: 1) }
    }

    private func print(_ diagnosis: Diagnosis) {
        for finding in diagnosis.findings {
            Output.line(Paint.heading(finding.id))
            Output.line("  seen    \(Output.plain(finding.evidence))")
            Output.line("  effect  \(finding.effect)")
            Output.line("  mend    \(Output.plain(finding.remedy))")
            Output.line()
        }
        let found = diagnosis.findings.count
        let checks = found + diagnosis.clear.count
        let unknown = diagnosis.unknown.joined(separator: ", ")
        Output.line(
            (found == 0 ? "nothing stands in the way" : Figures.count(found, "finding"))
                + ", \(Figures.count(checks, "check"))"
                + (unknown.isEmpty ? "" : "; not known here: \(unknown)"))
        if !diagnosis.notes.isEmpty { Output.line() }
        for note in diagnosis.notes { Output.line("note: \(Output.plain(note))") }
    }
}

/// `muster.doctor/1`
private struct DoctorJSON: Encodable {
    struct Finding: Encodable {
        let id: String
        let evidence: String
        let effect: String
        let remedy: String
    }
    let findings: [Finding]
    let clear: [String]
    let unknown: [String]
    let notes: [String]

    init(_ diagnosis: Diagnosis) {
        findings = diagnosis.findings.map {
            Finding(id: $0.id, evidence: $0.evidence, effect: $0.effect, remedy: $0.remedy)
        }
        clear = diagnosis.clear
        unknown = diagnosis.unknown
        notes = diagnosis.notes
    }
}
