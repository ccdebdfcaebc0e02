// ProcessStart.swift - what the tool's process has from the one that started it.

internal import MusterCore
package import Muster
internal import MusterCore.Supervision
@preconcurrency internal import Glibc

package enum ProcessStart {
    /// Takes back what a parent has left behind and did not mean for the tool: signals that are blocked or
    /// ignored, closed standard descriptors, the crash handlers of Swift's runtime. The first call of main.
    ///
    /// Returns: 0, or a negative errno where a closed descriptor could not be replaced.
    package static func begin() -> Int32 { muster_process_begin() }
}

/// What this process was started with, each word as `String(fileName:)` has it.
package enum OwnArguments {
    /// The program's name first.
    package static let words: [String] = raw.map { String(fileName: $0) }

    /// As the kernel gave them. Swift looks next to the environment, which a library may have
    /// moved, or into /proc, which may not be there.
    static var raw: [UnsafePointer<CChar>] {
        var count: UInt32 = 0
        if let given = muster_process_arguments(&count), count > 0 {
            return (0..<Int(count)).compactMap { given[$0].map { UnsafePointer($0) } }
        }
        return UnsafeMutableBufferPointer(
            start: CommandLine.unsafeArgv, count: Int(CommandLine.argc)
        ).compactMap { $0.map { UnsafePointer($0) } }
    }
}
