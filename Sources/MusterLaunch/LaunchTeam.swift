// LaunchTeam.swift - the team that the programs of a launch can join: which process holds which rank.

internal import MusterCore
package import Muster

/// The launcher's side of a team of members (`muster_launcher_create`).
final class LaunchTeam {
    /// Something that members did.
    enum Event {
        case joined(rank: Int, pid: Int32)
        case refused(LaunchReport.Refusal)
        case left(rank: Int)
        case died(rank: Int, pid: Int32, LaunchReport.MemberEnd, LaunchReport.LastWords?)
    }

    let launcher: OpaquePointer

    /// - Throws: `.system`.
    init(_ plan: LaunchPlan, seats: [Seat]) throws(MusterError) {
        let nodes = seats.map { Int32($0.homeNode) }
        let cpus = seats.map { Int32($0.cpu ?? -1) }
        let isBound = cpus.allSatisfy { $0 >= 0 }
        var shortage = muster_shortage()
        let usable = isBound ? Set(cpus).count : try Topology.read().usableCPUCount
        var made: OpaquePointer?
        let status = nodes.withUnsafeBufferPointer { nodes in
            cpus.withUnsafeBufferPointer { cpus in
                var options = muster_launcher_options()
                options.size_bytes = UInt32(MemoryLayout<muster_launcher_options>.size)
                options.size = UInt32(plan.size)
                options.usable_cpus = UInt32(usable)
                options.spin_ns = -1
                options.global_first = UInt32(plan.globalRank(0))
                options.global_size = UInt32(plan.globalSize)
                options.nodes = nodes.baseAddress
                options.cpus = cpus.baseAddress
                options.timeline_events = UInt64(plan.timelineEvents)
                return withUnsafeMutablePointer(to: &shortage) {
                    options.shortage = $0
                    return muster_launcher_create(&options, &made)
                }
            }
        }
        guard status == 0, let made else {
            throw .system(
                .memory, "a team of \(plan.size)", "can't be made", status: status, shortage)
        }
        launcher = made
    }

    deinit { muster_launcher_destroy(launcher) }

    /// Value of MUSTER_TEAM.
    var address: String { String(cString: muster_launcher_address(launcher)) }

    /// Readable while `serve` has something to do.
    var descriptor: Int32 { muster_launcher_descriptor(launcher) }

    /// Does what members ask for. Never waits.
    func serve() throws(MusterError) -> [Event] {
        var events: [Event] = []
        var raw = [muster_launcher_event](repeating: muster_launcher_event(), count: 64)
        while true {
            let count = muster_launcher_serve(launcher, &raw, UInt32(raw.count))
            guard count >= 0 else {
                throw .system(.system, "the team's socket", "can't be served", status: count)
            }
            events += raw.prefix(Int(count)).compactMap(event)
            if count < raw.count { return events }
        }
    }

    private func event(_ raw: muster_launcher_event) -> Event? {
        let rank = Int(raw.rank)
        switch raw.kind {
        case MUSTER_LAUNCHER_JOINED.rawValue: return .joined(rank: rank, pid: raw.pid)
        case MUSTER_LAUNCHER_LEFT.rawValue: return .left(rank: rank)
        case MUSTER_LAUNCHER_DIED.rawValue:
            return .died(
                rank: rank, pid: raw.pid, LaunchReport.MemberEnd(waitStatus: raw.status),
                lastWords(of: rank))
        case MUSTER_LAUNCHER_REFUSED.rawValue:
            let reason =
                switch -raw.status {
                case EBUSY: "a live process holds it"
                case EINVAL: "there is no such rank"
                case ESHUTDOWN: "it was given up"
                case EALREADY: "it has joined already"
                case EMFILE: MusterError.why(EMFILE, needed: 1)
                default: statusText(raw.status)
                }
            return .refused(
                LaunchReport.Refusal(
                    rank: rank, pid: Int(raw.pid), errorNumber: Int(-raw.status), reason: reason))
        default: return nil
        }
    }

    /// What the process of a rank that died last has noted of it; nil: nothing.
    private func lastWords(of rank: Int) -> LaunchReport.LastWords? {
        var raw = muster_launcher_words()
        guard muster_launcher_last_words(launcher, UInt32(rank), &raw) == 1 else { return nil }
        return LaunchReport.LastWords(&raw)
    }

    /// The rank will not come back: others no longer wait for it.
    func lose(_ rank: Int) { _ = muster_launcher_lose(launcher, UInt32(rank)) }

    /// The rank may be joined again. false: a live process holds it.
    func reopen(_ rank: Int) -> Bool { muster_launcher_reopen(launcher, UInt32(rank)) > 0 }

    /// Kills the process that holds a rank, also if another program started it.
    func kill(_ rank: Int) { _ = muster_launcher_kill(launcher, UInt32(rank), 9) }

    /// Audits of all loops so far.
    func audits() throws(MusterError) -> [LaunchAudit] {
        var audits: [LaunchAudit] = []
        var raw = muster_launcher_audit()
        while true {
            let status = muster_launcher_audited(launcher, UInt32(audits.count), &raw)
            guard status >= 0 else {
                throw .system(.audit, "the team's audits", "can't be read", status: status)
            }
            if status == 0 { return audits }
            audits.append(
                LaunchAudit(
                    name: withUnsafeBytes(of: raw.name) { String(upToNUL: $0) },
                    report: AuditReport(raw.report)))
        }
    }

    /// The loop that each rank of `ranks` has begun and never ended, if any.
    func unended(_ ranks: [Int]) throws(MusterError) -> [LaunchReport.Unended] {
        var found: [LaunchReport.Unended] = []
        for rank in ranks {
            var name = [CChar](repeating: 0, count: Int(MUSTER_NAME_BYTES))
            let status = muster_launcher_unended(launcher, UInt32(rank), &name)
            guard status >= 0 else {
                throw .system(.audit, "the team's audits", "can't be read", status: status)
            }
            guard status == 1 else { continue }
            found.append(
                .init(rank: rank, name: name.withUnsafeBytes { String(upToNUL: $0) }))
        }
        return found
    }
}

extension LaunchReport.LastWords {
    init(_ raw: inout muster_launcher_words) {
        let strays = [MUSTER_STRAY_TRAPPED, MUSTER_STRAY_COMPARED, MUSTER_STRAY_CONTROL]
        isStray = strays.contains { $0.rawValue == raw.stray }
        refusal = raw.status < 0 ? MusterError.words(-raw.status) : nil
        address = raw.has_address != 0 ? UInt(raw.address) : nil
        isStackOverflow = raw.is_overflow != 0
        let loop = withUnsafeBytes(of: &raw.loop) { String(upToNUL: $0) }
        self.loop = loop.isEmpty ? nil : loop
        let isKnown = raw.chunk <= Int.max && raw.first <= raw.end && raw.end <= Int.max
        chunk = isKnown ? Int(raw.chunk) : nil
        indices = isKnown ? Int(raw.first)..<Int(raw.end) : nil
        deed = withUnsafeBytes(of: &raw.deed) { String(upToNUL: $0) }
        foundBytes = Int(clamping: raw.found_bytes)
        place = withUnsafeBytes(of: &raw.place) { String(upToNUL: $0) }
        said = withUnsafeBytes(of: &raw.said) { String(upToNUL: $0) }
        kind = raw.kind
    }
}

extension LaunchReport.MemberEnd {
    /// - Parameter waitStatus: as waitpid has it; -1: not known.
    init(waitStatus: Int32) {
        let signal = Int(waitStatus & 0x7f)
        self =
            waitStatus < 0
            ? .unknown
            : signal == 0 ? .exited(Int(waitStatus >> 8) & 0xff) : .killed(signal: signal)
    }
}
