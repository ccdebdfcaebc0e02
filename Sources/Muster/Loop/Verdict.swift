// Verdict.swift - from what the ranks have recorded to a report or an error in words.

internal import MusterCore
internal import Glibc

/// A rank's part of a job that ended otherwise than well.
struct FailedPart {
    let rank: UInt32
    let outcome: UInt32
    let status: Int32
    let chunk: UInt64
    let message: String
}

extension TeamCore {
    /// How a rank's part of a job failed; nil: it didn't, or has not ended.
    func outcome(of rank: UInt32, _ number: UInt64) -> FailedPart? {
        let slot = muster_team_slot(team, rank)!
        guard slot.pointee.outcome_job == number,
            slot.pointee.outcome != MUSTER_OUTCOME_FINE.rawValue
        else { return nil }
        return FailedPart(
            rank: rank, outcome: slot.pointee.outcome, status: slot.pointee.outcome_status,
            chunk: slot.pointee.outcome_chunk,
            // A kernel's words may have several lines; an error has one.
            message: String(upToNUL: UnsafeRawBufferPointer(messageBytes(of: slot)))
                .split(whereSeparator: \.isNewline).joined(separator: " "))
    }

    /// The first rank's that failed, of those that have ended the job.
    func failedPart(_ number: UInt64) -> FailedPart? {
        for rank in 0..<UInt32(size) where muster_team_slot(team, rank).pointee.done == number {
            if let failed = outcome(of: rank, number) { return failed }
        }
        return nil
    }

    /// Counts the loop's chunks.
    func audit(_ report: inout AuditReport) throws(MusterError) {
        var audit = muster_audit()
        let found = muster_team_audit(team, &audit, nil, 0)
        guard found >= 0 else {
            throw .system(.audit, "team of \(size)", "its rolls can't be audited", status: found)
        }
        guard audit.chunks == UInt64(report.chunks),
            audit.exactly_once + audit.missing + audit.repeated == audit.chunks
        else {
            throw .system(.audit, "team of \(size)", "its rolls can't be audited", status: -EUCLEAN)
        }
        report.exactlyOnce = Int(audit.exactly_once)
        report.missingCount = Int(audit.missing)
        report.repeatedCount = Int(audit.repeated)
        report.isCancelled = report.isCancelled || muster_team_cancelled(team)
    }

    /// Completes the report, and throws unless every chunk was done exactly once.
    func judge(
        _ report: inout AuditReport, _ losses: Losses, _ failed: FailedPart?
    ) throws(MusterError) {
        let isClean = report.missingCount == 0 && report.repeatedCount == 0
        if isClean && losses.deaths.isEmpty && failed == nil && !ranks.vacantKnown { return }
        complete(&report, losses)
        if let stray = losses.stray { throw explain(stray: stray, report) }
        if let failed { throw explain(failed, report) }
        if isClean { return }
        if !losses.deaths.isEmpty, let shrunk = arrays.shrunkFile(among: losses.files) {
            let death = losses.deaths[0]
            throw fileShrank(
                shrunk,
                "and rank \(death.rank) \(death.cause); \(report.missingCount) of "
                    + "\(report.chunks) chunks are missing", report)
        }
        if report.repeatedCount == 0 {
            if !report.quarantined.isEmpty { throw explain(quarantine: report, losses) }
            if !losses.deaths.isEmpty && !(report.isCancelled && losses.recovery != .fail) {
                throw explain(deaths: report, losses)
            }
            // Chunks that only one rank may do, and that has no process.
            if !report.isCancelled || losses.refused != nil, let rank = report.vacantRanks.first {
                let why =
                    losses.refused?.description
                    ?? "this loop's recovery is fail; run it with another recovery, or make a new team"
                throw MusterError(
                    .workerDied, subject: "rank \(rank)",
                    reason: "has no process; \(report.missingCount) of \(report.chunks) chunks are "
                        + "missing; no new worker: \(why)", report: report)
            }
            if report.isCancelled {
                throw MusterError(
                    .cancelled, subject: "loop", reason: "cancelled: \(report)", report: report)
            }
        }
        throw MusterError(.audit, subject: "loop", reason: "\(report)", report: report)
    }

    /// An error that a loop could not go on after, with what it had got done.
    func interrupted(
        _ error: MusterError, _ report: AuditReport, _ losses: Losses
    ) -> MusterError {
        var report = report
        do throws(MusterError) { try audit(&report) } catch { return error }
        complete(&report, losses)
        return MusterError(
            error.code, subject: error.subject, reason: error.reason,
            errorNumber: error.errorNumber, report: report)
    }

    private func complete(_ report: inout AuditReport, _ losses: Losses) {
        if report.missingCount > 0 || report.repeatedCount > 0 { listFaults(&report) }
        report.deaths = losses.deaths
        report.redone = losses.attempts.keys.count(where: isCommitted)
        report.serverDeaths = losses.serverDeaths
        report.quarantined = losses.quarantined.sorted()
        let vacant = (0..<size).filter { !muster_team_holds(team, UInt32($0)) }
        ranks.vacantKnown = !vacant.isEmpty
        // With `.fail`, nobody has tried yet to fill the rank of a process that died in this loop.
        let died = Set(losses.recovery == .fail ? losses.deaths.map(\.rank) : [])
        report.vacantRanks = vacant.filter { !died.contains($0) }
    }

    private func isCommitted(_ chunk: Int) -> Bool {
        let chunk = UInt64(chunk)
        return muster_team_audit_ranks(team, muster_interval(first: chunk, end: chunk + 1), nil, 0)
            > 0
    }

    private func listFaults(_ report: inout AuditReport) {
        // A report is for people and programs that act on it: the first thousand faults are enough.
        var findings = [muster_finding](repeating: muster_finding(), count: 1000)
        var audit = muster_audit()
        let found = muster_team_audit(team, &audit, &findings, UInt64(findings.count))
        var missing: [Range<Int>] = []
        var repeated: [AuditReport.Repeat] = []
        for finding in findings.prefix(Int(max(0, found))) {
            let range = Int(finding.first)..<Int(finding.end)
            if finding.repeated == 0 {
                missing.append(range)
                continue
            }
            var ranks = [UInt32](repeating: 0, count: size)
            let held = muster_team_audit_ranks(
                team, muster_interval(first: finding.first, end: finding.end), &ranks,
                UInt64(size))
            repeated.append(
                .init(chunks: range, ranks: ranks.prefix(Int(max(0, held))).map(Int.init)))
        }
        report.missing = missing
        report.repeated = repeated
    }

    private func explain(_ failed: FailedPart, _ report: AuditReport) -> MusterError {
        let rank = failed.rank
        switch muster_outcome(failed.outcome) {
        case MUSTER_OUTCOME_THREW:
            let chunk = Int(clamping: failed.chunk)
            var report = report
            report.failure = (chunk, Int(rank))
            let place =
                chunk < report.chunks ? " (elements \(report.elements(ofChunk: chunk)))" : ""
            // A kernel in C has a status, and may have words for it.
            let what =
                failed.status == 0
                ? "threw on rank \(rank): \(failed.message)"
                : "returned \(failed.status) on rank \(rank)"
                    + (failed.message.isEmpty ? "" : ": \(failed.message)")
            var error = MusterError(
                .kernelThrew, subject: "chunk \(chunk)\(place)", reason: "the kernel \(what)",
                report: report)
            error.kernelStatus = failed.status
            return error
        case MUSTER_OUTCOME_KERNEL where failed.status == -ESTALE:
            return MusterError(
                .kernelUnknown, subject: "rank \(rank)",
                reason:
                    "has loaded another build of the kernel's library than the leader: make a new "
                    + "team after a library is built again", report: report)
        case MUSTER_OUTCOME_KERNEL where failed.status == -ENOEXEC && ranks.serverProgram != nil:
            return MusterError(
                .kernelUnknown, subject: "rank \(rank)",
                reason:
                    "has not loaded the kernel's library: load it in the server's program, before "
                    + "its call of Team.serveIfAsked()", report: report)
        case MUSTER_OUTCOME_KERNEL:
            return MusterError(
                .kernelUnknown, subject: "rank \(rank)",
                reason:
                    start == .server
                    ? "can't find the kernel's type; it came from a library that this program has "
                        + "loaded by itself, and the fork server has not"
                    : "can't find the kernel's type; it came from a library loaded after the team "
                        + "was made: create the team after loading it", report: report)
        default:
            return .system(
                .system, "rank \(rank)", "can't do its part of the loop",
                status: failed.status)
        }
    }

    private func explain(quarantine report: AuditReport, _ losses: Losses) -> MusterError {
        let isWrong = !losses.causes.tried.isEmpty
        let chunk = isWrong ? losses.causes.tried.min()! : report.quarantined[0]
        let deaths = report.deaths.filter { $0.chunk == chunk }
        let causes = deaths.map { "rank \($0.rank) \($0.cause)" }.joined(separator: ", ")
        // Each attempt has mostly died of the same.
        let fault = deaths.last { $0.fault != nil }
        var why = fault.map { $0.fault!.description } ?? ""
        if let fault { why += trapHint(fault, report, isSwift: losses.isSwift) }
        let subject = "chunk \(chunk) (elements \(report.elements(ofChunk: chunk)))"
        let done = "\(report.exactlyOnce) of \(report.chunks) chunks are done"
        if isWrong {
            return MusterError(
                .quarantined, subject: subject,
                reason: "killed its worker, as did \(losses.causes.tried.count - 1) other chunks: "
                    + "\(causes)\(why); the loop ended there, since by then only "
                    + "\(report.exactlyOnce) of \(report.chunks) chunks were done",
                report: report)
        }
        var reason =
            "killed its worker \(deaths.count) \(deaths.count == 1 ? "time" : "times") and was left "
            + "alone, what it changes in place as it was before: \(causes)\(why)"
        let others = report.quarantined.count - 1
        if others > 0 { reason += "; and \(others) more such \(others == 1 ? "chunk" : "chunks")" }
        reason +=
            losses.hasGivenUp
            ? "; gave up there, \(done)" : "; the other \(report.exactlyOnce) chunks are done"
        return MusterError(.quarantined, subject: subject, reason: reason, report: report)
    }

    private func explain(deaths report: AuditReport, _ losses: Losses) -> MusterError {
        if let death = serverDeath(report) { return death }
        let death = report.deaths.first { $0.chunk != nil } ?? report.deaths[0]
        var reason = death.cause + (death.fault?.description ?? "")
        reason += trapHint(death, report, isSwift: losses.isSwift)
        if let chunk = death.chunk {
            reason +=
                " while it worked on chunk \(chunk) (elements \(report.elements(ofChunk: chunk)))"
        }
        let others = Set(report.deaths.map(\.rank)).count - 1
        if others > 0 { reason += ", and \(others) more \(others == 1 ? "rank" : "ranks") died" }
        reason += "; \(report.missingCount) of \(report.chunks) chunks are missing"
        if let refused = losses.refused { reason += "; no new worker: \(refused)" }
        return MusterError(
            .workerDied, subject: "rank \(death.rank)", reason: reason, report: report)
    }

    func fileShrank(
        _ file: (path: String, was: Int, now: Int), _ effect: String, _ report: AuditReport
    ) -> MusterError {
        MusterError(
            .fileShrank, subject: file.path,
            reason: "shrank from \(file.was) to \(file.now) bytes while it was read, \(effect)",
            report: report)
    }
}
