// LaunchErrors.swift - why a run can't begin, in words.

internal import MusterCore
package import Muster
internal import MusterCore.Supervision
@preconcurrency internal import Glibc

extension Launch {
    /// `status`: of muster_supervisor_create or muster_relay_create.
    static func supervisorError(_ status: Int32) -> MusterError {
        if status == -ENOENT {
            return MusterError(
                .system, subject: "muster run",
                reason:
                    "can't find what programs leave behind: /proc is not there; mount it (proc(5))")
        }
        // Its guard, its keeper and itself: two more processes than there are.
        return .system(
            .system, "muster run", "can't become a supervisor", status: status, needed: 2,
            processes: true)
    }

    /// A program that can't be executed, and what is wrong with it.
    static func programError(_ program: String, _ status: Int32) -> MusterError {
        let why = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4200) { text in
            program.withFileName {
                muster_supervisor_explain($0, status, text.baseAddress, text.count)
            } == 1 ? String(fileName: UnsafePointer(text.baseAddress!)) : nil
        }
        if let why {
            return MusterError(.start, subject: program, reason: "can't be executed: \(why)")
        }
        if status == -ENOENT && !program.utf8.contains(UInt8(ascii: "/")) {
            return MusterError(
                .start, subject: program, reason: "there is no such program in PATH",
                errorNumber: ENOENT)
        }
        return .system(.start, program, "can't be executed", status: status)
    }
}
