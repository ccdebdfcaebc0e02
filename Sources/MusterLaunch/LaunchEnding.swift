// LaunchEnding.swift - how a run ends: who is told, how long they have, and what is killed.

internal import Glibc
internal import MusterCore
package import Muster
internal import MusterCore.Supervision

extension Launch {
    // MARK: - Ending

    /// Asks everything that runs to end, and gives it the time that the plan allows.
    func end(_ cause: LaunchReport.Cause, by number: Int32 = SIGTERM) {
        report.cause = report.cause ?? cause
        if case .failure = cause {} else { isUrgent = true }
        forward(number)
        // A stopped process takes nothing but SIGKILL and SIGCONT.
        forward(SIGCONT)
        killAt = killAt ?? monotonicNanoseconds() + nanoseconds(plan.grace)
    }

    func keepTime() {
        let moment = monotonicNanoseconds()
        if report.cause == nil, let deadline, moment >= deadline {
            say(.timedOut(seconds: plan.timeout!))
            end(.timeout)
        }
        for rank in processes.indices where processes[rank].pid > 0 {
            guard let killAt = processes[rank].killAt, moment >= killAt else { continue }
            processes[rank].killAt = nil
            _ = muster_supervisor_forward(supervisor, processes[rank].pid, SIGKILL)
        }
        guard let killAt, moment >= killAt else { return }
        if !hasKilled && !processes.allSatisfy(\.isOver) { say(.killed(isAsked: requests > 1)) }
        hasKilled = true
        kill()
        // A process that was forked meanwhile has not got it.
        self.killAt = moment + 20_000_000
    }

    func kill() {
        // Groups first: that works without /proc too.
        forward(SIGKILL)
        for rank in processes.indices where processes[rank].member > 0 { team.kill(rank) }
        _ = muster_supervisor_signal_all(supervisor, SIGKILL)
    }

    /// Whether no process is left and all they wrote is passed on.
    func isOver() throws(MusterError) -> Bool {
        guard processes.allSatisfy(\.isOver) else { return false }
        var pid: Int32 = 0
        var code: Int32 = 0
        var signal: Int32 = 0
        var found: Int32 = 1
        while found == 1 { found = muster_supervisor_reap(supervisor, &pid, &code, &signal) }
        if found == 0 {
            // What ranks have left running in the background.
            if killAt == nil {
                _ = muster_supervisor_signal_all(supervisor, SIGTERM)
                killAt = monotonicNanoseconds() + nanoseconds(plan.grace)
            }
            return false
        }
        try passOn()
        if muster_relay_is_done(relay) || (isUrgent && hasKilled) { return true }
        // Nobody is left to be killed, only a slow reader to be waited for, unless somebody has
        // asked for the end.
        if !isUrgent { killAt = nil }
        return false
    }

    /// Ends everything at once, after an error.
    func abandon() {
        var pid: Int32 = 0
        var code: Int32 = 0
        var signal: Int32 = 0
        while true {
            let found = muster_supervisor_reap(supervisor, &pid, &code, &signal)
            if found < 0 { return }
            if found == 1 {
                for rank in processes.indices where processes[rank].pid == pid {
                    processes[rank].pid = 0
                }
                continue
            }
            kill()
            var ready: UInt64 = 0
            let descriptor = muster_supervisor_descriptor(supervisor)
            _ = withUnsafePointer(to: descriptor) { muster_supervisor_wait($0, 1, 20, &ready) }
            while muster_supervisor_signal(supervisor) > 0 {}
        }
    }

    func say(_ event: Event) {
        guard let text = words(event) else { return }
        // Where stderr is closed there is nobody to be told.
        _ = muster_relay_say(relay, UInt32(MUSTER_RELAY_ERRORS), text)
    }
}
