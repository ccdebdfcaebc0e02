// LaunchEnvironment.swift - arguments and environment for programs, byte by byte as they came.

internal import MusterCore
package import Muster
@preconcurrency internal import Glibc

/// What every rank inherits: this process's environment without what is a rank's own.
///
/// Neither arguments nor variables need be UTF-8, so they never become Strings.
struct LaunchEnvironment {
    /// Ours: of another team around this one, or meant for the launcher itself.
    private static let own = [
        MUSTER_VARIABLE_RANK, MUSTER_VARIABLE_SIZE, MUSTER_VARIABLE_LOCAL_RANK,
        MUSTER_VARIABLE_NODE, MUSTER_VARIABLE_CPU, MUSTER_VARIABLE_GLOBAL_RANK,
        MUSTER_VARIABLE_GLOBAL_SIZE, MUSTER_VARIABLE_TEAM, MUSTER_VARIABLE_INCARNATION,
        "MUSTER_HOST_RANK", "MUSTER_HOST_SIZE",
    ]

    private let inherited: [UnsafePointer<CChar>?]

    init() {
        var inherited: [UnsafePointer<CChar>?] = []
        var next = environ
        while let variable = next.pointee {
            if !Self.own.contains(where: { Self.is($0, variable) }) {
                inherited.append(UnsafePointer(variable))
            }
            next += 1
        }
        self.inherited = inherited
    }

    private static func `is`(_ name: String, _ variable: UnsafePointer<CChar>) -> Bool {
        let length = name.utf8.count
        return strncmp(variable, name, length) == 0 && variable[length] == 61  // "="
    }

    /// Calls `body` with the program and its arguments, and with what is inherited and `added`, both
    /// ended by nil. Of a variable that is in both, `added` counts: programs take the first one.
    func with<Result>(
        _ added: [String], _ command: LaunchPlan.Command,
        _ body: (
            UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<UnsafePointer<CChar>?>
        ) -> Result
    ) -> Result {
        var copies = added.map { UnsafePointer<CChar>(strdup($0)) }
        defer { for copy in copies { free(UnsafeMutableRawPointer(mutating: copy)) } }
        let names = added.map { String($0.prefix { $0 != "=" }) }
        let kept = inherited.filter { variable in !names.contains { Self.is($0, variable!) } }
        let variables = kept + copies + [nil]
        var arguments: [UnsafePointer<CChar>?]
        switch command {
        case .ownArguments(let count):
            arguments = OwnArguments.raw.suffix(count).map { $0 }
        case .words(let words):
            arguments = words.map { $0.withFileName { UnsafePointer(strdup($0)) } }
            copies += arguments
        }
        arguments.append(nil)
        return body(arguments, variables)
    }
}
