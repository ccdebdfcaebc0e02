// MusterError.swift - the one error of the library: what, on what, why, and what to do about it.

package import MusterCore

/// Why a team, an array or a loop could not do what it was asked to.
///
/// `description` is one line for people: what failed, on what, why, and the remedy where there is one.
public struct MusterError: Error, CustomStringConvertible, Sendable {
    /// The kind of failure.
    public enum Code: String, Sendable {
        /// An argument that can't work on any host, or not on this one.
        case invalidArgument
        /// The process has more than one thread, so workers can't be forked from it.
        case threads
        /// A worker could not be started.
        case start
        /// Not enough memory, address space or descriptors.
        case memory
        /// A placement that this host can't give.
        case placement
        /// A file that can't be opened, mapped or read as an array.
        case file
        /// A file became shorter while it was read.
        case fileShrank
        /// A kernel threw an error.
        case kernelThrew
        /// A kernel's type can't be found in the workers.
        case kernelUnknown
        /// In check mode: a kernel has touched what is not its chunk's.
        case strayAccess
        /// A worker died, and what it left could not be done again, or was not to be.
        case workerDied
        /// Chunks have killed their worker again and again and were left alone.
        case quarantined
        /// The fork server died, and all its ranks with it.
        case serverDied
        /// The loop was cancelled.
        case cancelled
        /// The audit found chunks missing or repeated for another reason.
        case audit
        /// A rank of a launched program died or left, and a collective call needs it.
        case rankDied
        /// The launcher of this program has refused it, or is gone.
        case launcher
        /// A system call failed that has no business failing.
        case system
    }

    /// The kind of failure.
    public let code: Code
    /// What it is about: "rank 3", "array of 8 GiB", a file's path.
    public let subject: String
    /// The system's error number behind it (positive, as in `errno`), or 0. Above 4095 it says which
    /// system call was refused (`muster_refused_call` of its negative).
    public let errorNumber: Int32
    /// The rest of the sentence, without the subject.
    public let reason: String
    /// What a kernel in C returned (`.kernelThrew`); 0: it is none.
    package var kernelStatus: Int32 = 0
    /// What the loop got done, where a loop was running.
    public let report: AuditReport?

    /// An error. `reason` reads on after "`subject`: ".
    public init(
        _ code: Code, subject: String, reason: String, errorNumber: Int32 = 0,
        report: AuditReport? = nil
    ) {
        self.code = code
        self.subject = subject
        self.reason = reason
        self.errorNumber = errorNumber
        self.report = report
    }

    /// Whether this system refuses placement, or to say where pages lie (-EXDEV of the C core).
    package var isUnenforceable: Bool { errorNumber == EXDEV }

    /// "subject: reason", one line. A name in it is shown with \xF1 for a byte that is no UTF-8, and with
    /// \n and the like for what would do something to a line or a terminal.
    public var description: String { line.shownName }

    /// The same with each name as it is.
    package var line: String { subject.isEmpty ? reason : "\(subject): \(reason)" }

    /// An error behind which a function of the C core returned a negative status.
    package static func system(
        _ code: Code, _ subject: String, _ what: String, status: some BinaryInteger
    ) -> MusterError {
        let number = Int32(clamping: -Int64(status))
        // Any call that opens something can meet this limit.
        if number == 24 /* EMFILE */ {
            return system(code, subject, what, status: -number, needed: 1)
        }
        return MusterError(
            code, subject: subject, reason: "\(what): \(statusText(-number))", errorNumber: number)
    }

    /// The same where a limit of this process may be to blame (`muster_shortage_text`): then it is named,
    /// with its value, what was needed, and how it is raised.
    package static func system(
        _ code: Code, _ subject: String, _ what: String, status: Int32, _ shortage: muster_shortage
    ) -> MusterError {
        var shortage = shortage
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { text in
            muster_shortage_text(&shortage, text.baseAddress, text.count) > 0
                ? String(cString: text.baseAddress!) : statusText(status)
        }
        return MusterError(
            code, subject: subject, reason: "\(what): \(text)",
            errorNumber: Int32(clamping: -Int64(status)))
    }

    /// An error number in words.
    package static func words(_ errorNumber: Int32) -> String { statusText(-errorNumber) }

    /// Why a call failed, in words: the limit that is to blame, with its value and what was needed, or what
    /// the error number says (positive). `needed`: as `muster_limits_blame` has it.
    /// `call`: the system call that failed, by the kernel's name, where that is known.
    package static func why(
        _ errorNumber: Int32, needed: UInt64, processes: Bool = false, call: String? = nil
    ) -> String {
        if errorNumber == EPERM || errorNumber == ENOSYS, let call,
            case let status = muster_host_refusal(call, errorNumber), status < 0
        {
            return statusText(status)
        }
        return system(.system, "", "", status: -errorNumber, needed: needed, processes: processes)
            .reason.dropFirst(2).description
    }

    /// Fails where a system call is refused that is needed later, when it can't be said any more.
    package static func checkCall(
        _ call: String, for subject: String, _ what: String
    ) throws(MusterError) {
        let status = muster_host_try_call(call)
        if status < 0 { throw .system(.system, subject, what, status: status) }
    }

    /// Fails where so little memory is left to this process that it would be ended for want of it: Swift
    /// has no other answer to an allocation that fails.
    package static func checkMemory(_ bytes: UInt64, for subject: String) throws(MusterError) {
        var shortage = muster_shortage()
        let status = muster_limits_memory(bytes, &shortage)
        guard status < 0 else { return }
        throw .system(.memory, subject, "can't have its memory", status: status, shortage)
    }

    /// The same where the C core has not said what ran short. `needed`: bytes, descriptors or processes,
    /// see `muster_limits_blame`.
    package static func system(
        _ code: Code, _ subject: String, _ what: String, status: Int32, needed: UInt64,
        processes: Bool = false
    ) -> MusterError {
        var shortage = muster_shortage()
        muster_limits_blame(status, needed, processes, &shortage)
        // No limit of this process's: then one of the system's.
        if shortage.limit == MUSTER_LIMIT_NONE.rawValue, status == -EAGAIN, processes {
            return system(
                code, subject, "\(what) (limits: ulimit -u, pids.max, kernel.pid_max)",
                status: status)
        }
        return system(code, subject, what, status: status, shortage)
    }
}

/// A status of the C core in words (`muster_status_text`).
package func statusText(_ status: Int32) -> String {
    String(cString: muster_status_text(status))
}

/// This process's number, also where the call `getpid` is refused.
package func ownProcessID() -> Int32 { muster_process_id() }

/// "8 GiB", "512 KiB", "17 B": a capacity for people.
func formatBytes(_ bytes: UInt64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var value = Double(bytes)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    let tenths = (value * 10).rounded()
    let whole = Int(tenths) / 10
    return tenths.truncatingRemainder(dividingBy: 10) == 0
        ? "\(whole) \(units[unit])" : "\(whole).\(Int(tenths) % 10) \(units[unit])"
}
