// MusterCommand.swift - the tool `muster`: its subcommands, and how it begins and ends.
//
// Exit status: 0 clean; 1 it ran, but the audit, the data or the placement is wrong; 2 it could not
// run; 64 usage.

import ArgumentParser
@preconcurrency import Glibc
import Muster

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
              muster topology           nodes, CPUs, memory, distances
              muster bench stream       memory bandwidth, as STREAM counts it

            EXIT STATUS
              0   clean
              1   it ran, but the audit, the data or the placement is wrong
              2   it could not run
              64  wrong usage
            """,
        version: Version.text,
        subcommands: [Stats.self, Hello.self, Demo.self, TopologyCommand.self, Bench.self])

    /// Entry: everything that can go wrong ends here, in one line on stderr and an exit status.
    static func main() {
        // A closed pipe ends the tool as it ends others, also under a parent that ignores SIGPIPE.
        signal(SIGPIPE, SIG_DFL)
        do {
            do {
                var command = try MusterCommand.parseAsRoot()
                try command.run()
            } catch  where MusterCommand.exitCode(for: error) == .success {
                Output.line(MusterCommand.fullMessage(for: error))  // --help, --version
            }
            try Output.finish()
        } catch let failure as Failure {
            Output.flushAfterFailure()
            Output.error(failure.line)
            Glibc.exit(failure.status)
        } catch let error as MusterError {
            Output.flushAfterFailure()
            Output.error(error.description)
            Glibc.exit(error.ranButFailed ? 1 : 2)
        } catch {
            // The parser would add a summary of all options; the mistake is what matters.
            let mistake = MusterCommand.message(for: error).prefix { $0 != "\n" }
            Output.error("\(mistake) (see '\(helpCommand) --help')")
            Glibc.exit(MusterCommand.exitCode(for: error).rawValue)
        }
    }

    /// "muster stats" where such a command was given.
    private static var helpCommand: String {
        let names = configuration.subcommands.map { $0._commandName }
        let given = CommandLine.arguments.dropFirst().first { names.contains($0) }
        return given.map { "muster \($0)" } ?? "muster"
    }
}

/// A failure of the tool's own: one line and an exit status.
struct Failure: Error {
    let line: String
    let status: Int32

    /// It ran, but the audit, the data or the placement is wrong.
    static func wrong(_ line: String) -> Failure { Failure(line: line, status: 1) }
    /// It could not run.
    static func cannotRun(_ line: String) -> Failure { Failure(line: line, status: 2) }
}

extension MusterError {
    /// Whether work had begun when it happened.
    var ranButFailed: Bool {
        switch code {
        case .kernelThrew, .workerDied, .serverDied, .cancelled, .fileShrank, .audit: true
        default: false
        }
    }
}
