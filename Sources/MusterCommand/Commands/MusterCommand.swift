// MusterCommand.swift - the tool `muster`: its subcommands, and how it begins and ends.
//
// Exit status: 0 clean; 1 it ran, but the audit, the data or the placement is wrong; 2 it could not
// run; 64 usage.

import ArgumentParser
@preconcurrency import Glibc
import Muster
import MusterLaunch

// Each command says its name: made out of its type's, it takes a walk through all conformances of the
// program, 0.6 ms of each start.

@main
struct MusterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "muster",
        abstract: "Loops over shared arrays by a team of processes, every chunk exactly once.",
        discussion: """
            EXAMPLES
              muster stats data.npy     statistics and histogram of a NumPy file
              muster hello -n 8         who is which rank, on which CPU and node
              muster demo               why a worker's own number is no rank
              muster storm              kill workers while they work; nothing is lost
              muster topology           nodes, CPUs, memory, distances
              muster doctor             what stands in the way here, and how to mend it
              muster placement --size 1GiB   where the pages of an array lie
              muster run -n 8 -- ./program   any program as a team of ranks
              muster bench              memory and Muster, measured: a tour of a minute
              muster compare A B        two reports of muster bench

            EXIT STATUS
              0   clean
              1   it ran, but the audit, the data or the placement is wrong, or doctor found something
              2   it could not run
              64  wrong usage
            """,
        version: Version.text,
        subcommands: [
            Stats.self, Hello.self, Demo.self, StormCommand.self, TopologyCommand.self,
            PlacementCommand.self, Doctor.self, Bench.self, ReportCommand.self,
            CompareCommand.self, Run.self,
        ])

    /// Entry: everything that can go wrong ends here, in one line on stderr and an exit status.
    static func main() {
        let began = ProcessStart.begin()
        if began < 0 {
            Output.error(
                "a standard descriptor is closed, and /dev/null can't stand for it: "
                    + MusterError.why(-began, needed: 3))
            Glibc.exit(2)
        }
        // What is written beyond the limit on files is an error like any other.
        signal(SIGXFSZ, SIG_IGN)
        // Without the C library's word they are in /proc; each command would be taken for none.
        if OwnArguments.words.isEmpty {
            Output.error("can't read its arguments: /proc is not there; mount it (proc(5))")
            Glibc.exit(2)
        }
        var command: any ParsableCommand = MusterCommand()
        do {
            do {
                command = try MusterCommand.parseAsRoot(Array(OwnArguments.words.dropFirst()))
                try command.run()
            } catch  where MusterCommand.exitCode(for: error) == .success {
                Output.line(MusterCommand.fullMessage(for: error))  // --help, --version
            }
            try Output.finish()
        } catch let said as Said {
            Glibc.exit(said.status)
        } catch let failure as Failure {
            end(command, failure)
        } catch let error as MusterError {
            end(command, Failure(error))
        } catch {
            // The parser would add a summary of all options; the mistake is what matters.
            let mistake = MusterCommand.message(for: error).prefix { $0 != "\n" }
            Output.error("\(mistake) (see '\(helpCommand) --help')")
            Glibc.exit(MusterCommand.exitCode(for: error).rawValue)
        }
    }

    /// The end of a command that failed.
    private static func end(_ command: any ParsableCommand, _ failure: Failure) -> Never {
        // With --json stdout is read, and a run that failed half-way has its audit to show.
        if failure.status == 1, let command = command as? any JSONCommand, command.json {
            try? command.print(json: failure.report, error: failure.line)
        }
        Output.flushAfterFailure()
        Output.error(failure.line)
        Glibc.exit(failure.status)
    }

    /// The command that was given, as far as there is such: "muster bench stream".
    private static var helpCommand: String {
        var command: any ParsableCommand.Type = MusterCommand.self
        var words = ["muster"]
        for argument in OwnArguments.words.dropFirst() {
            let next = command.configuration.subcommands.first { $0._commandName == argument }
            guard let next else { break }
            command = next
            words.append(argument)
        }
        return words.joined(separator: " ")
    }
}

/// The end of a command whose report, on stdout by now, says all: no line on stderr.
struct Said: Error {
    let status: Int32
}

/// A failure as the tool reports it: one line, an exit status, and what `--json` shows of it.
struct Failure: Error {
    let line: String
    let status: Int32
    /// Printed with status 1 only.
    let report: any Encodable & Sendable

    /// It ran, but the audit, the data or the placement is wrong.
    static func wrong(_ line: String, report: any Encodable & Sendable) -> Failure {
        Failure(line: line, status: 1, report: report)
    }
    /// It could not run.
    static func cannotRun(_ line: String) -> Failure {
        Failure(line: line, status: 2, report: FailedJSON(nil))
    }
}

extension Failure {
    /// A failure of the library's.
    init(_ error: MusterError) {
        self.init(
            line: error.line, status: error.ranButFailed ? 1 : 2,
            report: FailedJSON(error.report))
    }
}

extension MusterError {
    /// Whether work had begun when it happened.
    var ranButFailed: Bool {
        switch code {
        case .kernelThrew, .strayAccess, .quarantined, .cancelled, .fileShrank, .audit: true
        // Ranks that all died before one of them had begun a chunk: nothing ran.
        case .workerDied, .serverDied:
            report.map { $0.exactlyOnce > 0 || $0.deaths.contains { $0.chunk != nil } }
                ?? (code == .workerDied)
        default: false
        }
    }
}
