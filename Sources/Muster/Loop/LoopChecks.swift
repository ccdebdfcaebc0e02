// LoopChecks.swift - what must hold before a loop of a team, and throws where it does not.

extension TeamCore {
    /// Ends the process where memory that ranks may be working on would be viewed or freed.
    func checkIdle() {
        guard isRunning else { return }
        misuse("an array can't be viewed, made or freed while a loop runs")
    }

    /// Throws where memory that ranks may be working on would be used.
    func checkIsIdle(_ subject: String) throws(MusterError) {
        guard isRunning else { return }
        throw invalid(subject, "it can't be made, written or recorded while a loop runs")
    }

    /// Throws where a loop would be a mistake.
    func checkCanRun() throws(MusterError) {
        if isRunning || openViews != 0 || hasEnded || !isLeader { throw whyNoLoop() }
    }

    private func whyNoLoop() -> MusterError {
        if !isLeader { return notLeader("loop") }
        return invalid(
            "loop",
            isRunning
                ? "one is already running on this team"
                : hasEnded
                    ? "the team has ended"
                    : "it can't run while the leader has a view of an array open (withSpan, "
                        + "withMutableSpan)")
    }

    /// Throws unless an access names a live array of this team, writable where it writes.
    func check(
        _ handle: _ArrayHandle, _ kind: AccessKind, _ kernel: String
    ) throws(MusterError) {
        guard handle.team == UInt(bitPattern: team) else {
            throw invalid(kernel, "it uses an array of another team")
        }
        guard arrays.isLive(handle.id, handle.generation) else {
            throw invalid(
                kernel,
                "it uses an array that has been freed: keep the array for as long as the loop")
        }
        guard kind == .input || arrays.isWritable(handle.id) else {
            throw invalid(
                kernel,
                "it writes to an array that can only be read: a mirrored one, or a file that was mapped "
                    + "for reading")
        }
    }
}
