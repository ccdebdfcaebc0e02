// OuterLauncher.swift - the launcher that started this process as one of several hosts, if one did.

internal import MusterCore
package import Muster

/// The other launcher that started this process: mpirun, srun and their like
/// (`muster_environment_read`).
package struct OuterLauncher: Sendable {
    /// A variable that decided.
    package struct Variable: Sendable {
        package let name: String
        package let value: Int
        /// In words: "Open MPI".
        package let launcher: String
    }

    /// This process among those that the launcher started, from 0.
    package let hostRank: Int
    /// How many it started.
    package let hostSize: Int
    /// The variables that said so; empty: nobody started this process but a person or a script.
    package let variables: [Variable]
    /// "host 1 of 2 by ...", one line.
    package let description: String

    /// Reads this process's environment.
    ///
    /// - Throws: `.invalidArgument`, with the variables at fault and the remedy, where launchers
    ///   disagree or a variable makes no sense.
    package static func read() throws(MusterError) -> OuterLauncher {
        var found = muster_environment()
        let status = muster_environment_read(nil, &found)
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { line in
            _ = muster_environment_describe(status, &found, line.baseAddress, line.count)
            return String(cString: line.baseAddress!)
        }
        guard status == 0 else {
            throw MusterError(
                .invalidArgument, subject: "the launcher around this one", reason: text,
                errorNumber: -status)
        }
        let variables = [found.rank, found.size].compactMap { variable in
            variable.name.map {
                Variable(
                    name: String(cString: $0), value: Int(variable.value),
                    launcher: String(cString: variable.launcher))
            }
        }
        return OuterLauncher(
            hostRank: Int(found.host_rank), hostSize: Int(found.host_size), variables: variables,
            description: text)
    }
}
