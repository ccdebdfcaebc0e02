// LeaderLoop.swift - the loops of a leader in C, and their reports.

package import MusterCore
internal import Glibc

/// What a loop of a C leader is to do, checked.
private struct CLoop {
    let plan: LoopPlan
    let order: CKernelOrder
    let given: muster_loop_options
}

/// A loop that went well, as a C leader gave it: one that differs in argument bytes only is not read
/// again. What may have happened to the team and its arrays since then, the team knows.
final class CRepeatedLoop {
    let plan: LoopPlan
    let byteCount: Int
    private let given: muster_loop_options
    private let uses: UnsafeMutableRawPointer
    private let useBytes: Int
    private let work: UnsafeMutableRawPointer

    init(
        _ given: muster_loop_options, _ plan: LoopPlan, _ bytes: UnsafeRawBufferPointer
    ) {
        self.plan = plan
        self.given = given
        useBytes = Int(given.use_count) * MemoryLayout<muster_use>.stride
        uses = .allocate(byteCount: max(1, useBytes), alignment: 16)
        if useBytes > 0 { uses.copyMemory(from: given.uses, byteCount: useBytes) }
        byteCount = bytes.count
        work = .allocate(byteCount: byteCount, alignment: 16)
        work.copyMemory(from: bytes.baseAddress!, byteCount: byteCount)
    }

    deinit {
        uses.deallocate()
        work.deallocate()
    }

    func matches(_ options: UnsafePointer<muster_loop_options>) -> Bool {
        guard Int(options.pointee.size_bytes) == MemoryLayout<muster_loop_options>.size else {
            return false
        }
        let other = options.pointee
        // Function pointers of C have no equality in Swift.
        guard
            unsafeBitCast(other.kernel, to: UInt.self)
                == unsafeBitCast(given.kernel, to: UInt.self),
            other.schedule == given.schedule, other.count == given.count,
            other.grain == given.grain, other.use_count == given.use_count,
            other.argument_bytes == given.argument_bytes, other.by_rank == given.by_rank,
            other.recovery == given.recovery, other.redo_limit == given.redo_limit,
            other.stall_ns == given.stall_ns
        else { return false }
        guard other.argument_bytes == 0 || other.arguments != nil else { return false }
        return useBytes == 0 || (other.uses != nil && memcmp(uses, other.uses, useBytes) == 0)
    }

    /// The kernel's bytes, with these arguments.
    func bytes(_ options: UnsafePointer<muster_loop_options>) -> UnsafeRawPointer {
        let count = Int(options.pointee.argument_bytes)
        if count > 0 {
            (work + byteCount - count).copyMemory(
                from: options.pointee.arguments, byteCount: count)
        }
        return UnsafeRawPointer(work)
    }
}

extension CLeader {
    /// Runs a loop and keeps its report.
    fileprivate func run(
        _ given: UnsafePointer<muster_loop_options>?, partialBytes: Int = 0,
        collect: (UnsafeMutableRawPointer, Int) -> Void = { _, _ in }
    ) throws(MusterError) {
        try checkLeader("loop")
        if partialBytes == 0, let given, try runAgain(given) { return }
        audit = nil
        repeated = nil
        let loop = try read(given)
        let core = team.core
        listen(loop.given.progress, loop.given.progress_context)
        defer { core.onProgress = nil }
        do throws(MusterError) {
            let entry = core.kernels.entry(for: CKernel.self)
            let order = loop.order
            try order.bytes.span.bytes.withUnsafeBytes { bytes throws(MusterError) in
                let made = try core.run(
                    entry, bytes, order.accesses, loop.plan, partialBytes, collect: collect)
                audit = made
                if partialBytes > 0 { return }
                core.remember(CKernel.self, bytes, loop.plan, entry, order.accesses, made)
                if core.repeated != nil {
                    repeated = CRepeatedLoop(loop.given, loop.plan, bytes)
                }
            }
        } catch {
            audit = error.report
            throw error
        }
    }

    /// Calls a function of C's now and then while the leader waits.
    private func listen(
        _ progress: (
            @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<muster_progress>?) -> CInt
        )?,
        _ context: UnsafeMutableRawPointer?
    ) {
        guard let progress else { return }
        team.core.onProgress = { now in
            var raw = muster_progress(
                done: UInt64(now.done), chunks: UInt64(now.chunks),
                elapsed_ns: now.elapsedNanoseconds)
            if progress(context, &raw) != 0 { now.cancel() }
        }
    }

    /// Runs a loop like the last one. Returns false, and has done nothing, where it is another.
    private func runAgain(
        _ given: UnsafePointer<muster_loop_options>
    ) throws(MusterError) -> Bool {
        guard let repeated, repeated.matches(given) else { return false }
        if let progress = given.pointee.progress {
            listen(progress, given.pointee.progress_context)
        }
        defer { if team.core.onProgress != nil { team.core.onProgress = nil } }
        do throws(MusterError) {
            guard
                try team.core.runAgain(
                    CKernel.self, repeated.bytes(given), repeated.byteCount, repeated.plan)
            else { return false }
            audit = team.core.takeReport()
            return true
        } catch {
            audit = error.report
            self.repeated = nil
            throw error
        }
    }

    private func read(_ given: UnsafePointer<muster_loop_options>?) throws(MusterError) -> CLoop {
        let options = try options(
            given, least: MemoryLayout<muster_loop_options>.size, empty: muster_loop_options(),
            "loop options")
        guard let kernel = options.kernel else { throw invalid("kernel", "is NULL") }
        guard let schedule = Schedule(code: options.schedule) else {
            throw invalid("schedule \(options.schedule)", "is none that a loop can be asked for")
        }
        guard options.recovery <= MUSTER_RECOVERY_FAIL.rawValue else {
            throw invalid("recovery \(options.recovery)", "is none of enum muster_recovery")
        }
        guard let count = Int(exactly: options.count),
            let grain = Int(exactly: options.grain)
        else {
            throw invalid(
                "loop of \(options.count) elements", "more than a loop can have (2^63 - 1)")
        }
        let isByRank = options.by_rank != 0
        guard !isByRank || count == 0 || count == team.size else {
            throw invalid(
                "count \(count)", "by_rank runs once in each of \(team.size) ranks: leave it 0")
        }
        var plan = LoopPlan(
            count: isByRank ? team.size : count, grain: grain == 0 ? nil : grain,
            schedule: schedule)
        if isByRank {
            plan.grain = 1
            plan.schedule = .static
            plan.isByRank = true
        }
        plan.recovery =
            options.recovery == MUSTER_RECOVERY_FAIL.rawValue
            ? .fail : .redo(limit: options.redo_limit == 0 ? 3 : Int(options.redo_limit))
        if options.stall_ns > 0 {
            plan.stallTimeout = .nanoseconds(Int64(clamping: options.stall_ns))
        }
        let order = try order(kernel, options)
        return CLoop(plan: plan, order: order, given: options)
    }

    /// Where the ranks find the kernel, its arrays and arguments.
    /// Length: one refusal after the other.
    private func order(
        _ kernel: muster_kernel, _ options: muster_loop_options
    ) throws(MusterError) -> CKernelOrder {
        guard options.use_count <= MUSTER_USES_MAX else {
            throw invalid("\(options.use_count) uses", "a kernel has at most \(MUSTER_USES_MAX)")
        }
        guard options.argument_bytes <= MUSTER_WORK_ARGUMENT_BYTES_MAX else {
            throw invalid(
                "\(options.argument_bytes) bytes of arguments",
                "at most \(MUSTER_WORK_ARGUMENT_BYTES_MAX) fit; put large tables into an array")
        }
        guard options.use_count == 0 || options.uses != nil,
            options.argument_bytes == 0 || options.arguments != nil
        else { throw invalid("loop options", "uses or arguments are NULL, and their number not 0") }

        var uses: [CUse] = []
        var kinds: [UInt32: AccessKind] = [:]
        for number in 0..<Int(options.use_count) {
            let use = options.uses[number]
            guard let kind = AccessKind(code: use.access) else {
                throw invalid("use \(number)", "access \(use.access) is none of enum muster_access")
            }
            let known = MUSTER_USE_PREFIX.rawValue | MUSTER_USE_GATHER.rawValue
            guard use.flags & ~known == 0 else {
                throw invalid(
                    "use \(number)", "flags \(use.flags) are none of enum muster_use_flag")
            }
            guard use.flags & MUSTER_USE_GATHER.rawValue == 0 || kind == .input else {
                throw invalid(
                    "use \(number)",
                    "MUSTER_USE_GATHER is for arrays that are only read: of one that is written a rank "
                        + "has its chunk's elements")
            }
            guard use.elements_per_index <= UInt64(Int.max) else {
                throw invalid(
                    "use \(number)",
                    "elements_per_index is \(use.elements_per_index), more than an array can have")
            }
            guard let array = array(use.array) else {
                throw invalid("use \(number)", "is no array of this leader's")
            }
            guard kind == .input || array.isWritable else {
                throw invalid(
                    "use \(number)", "writes to an array that is mapped read-only, or mirrored")
            }
            let handle = array.handle
            let earlier = kinds.updateValue(kind, forKey: handle.id)
            guard earlier == nil || (earlier == .input && kind == .input) else {
                throw invalid(
                    "use \(number)",
                    "one array under two accesses: in one loop an array is input, or output once, "
                        + "or in place once")
            }
            uses.append(
                CUse(
                    handle: handle, elementBytes: array.elementBytes, kind: kind, flags: use.flags,
                    elementsPerIndex: max(1, use.elements_per_index)))
        }
        let place = try CKernelPlace(
            unsafeBitCast(kernel, to: UnsafeRawPointer.self), in: team.core)
        return CKernelOrder(
            kernel: place, uses: uses,
            arguments: .init(start: options.arguments, count: Int(options.argument_bytes)))
    }
}

@c @implementation
package func muster_leader_run(
    _ leader: OpaquePointer!, _ given: UnsafePointer<muster_loop_options>!,
    _ error: UnsafeMutablePointer<muster_error>!
) -> CInt {
    report(error) { () throws(MusterError) in
        try CLeader.given(leader).run(given)
    }
}

@c @implementation
package func muster_leader_reduce(
    _ leader: OpaquePointer!, _ given: UnsafePointer<muster_loop_options>!, _ partialBytes: UInt32,
    _ combine: muster_combine!, _ context: UnsafeMutableRawPointer!,
    _ result: UnsafeMutableRawPointer!, _ error: UnsafeMutablePointer<muster_error>!
) -> CInt {
    report(error) { () throws(MusterError) in
        let leader = try CLeader.given(leader)
        guard let combine else { throw invalid("combine", "is NULL") }
        guard let result else { throw invalid("result", "is NULL") }
        guard partialBytes > 0, partialBytes <= 1 << 30 else {
            throw invalid(
                "partial results of \(partialBytes) bytes", "they have 1 byte to 1 GiB each")
        }
        // As far apart as any C type needs: 16 is alignof(max_align_t).
        let unit = partialBytes <= 8 ? 8 : 16
        let stride = (Int(partialBytes) + unit - 1) / unit * unit
        try leader.run(given, partialBytes: stride) { partials, count in
            walkTree(count) { left, right in
                combine(partials + left * stride, partials + right * stride, context)
            }
            result.copyMemory(from: partials, byteCount: Int(partialBytes))
        }
    }
}

/// A report as C reads it: one struct, and the lists that it points to.
final class CReport {
    let raw: UnsafeMutablePointer<muster_report>
    private let findings: UnsafeMutableBufferPointer<muster_finding>
    private let deaths: UnsafeMutableBufferPointer<muster_report_death>
    private let quarantined: UnsafeMutableBufferPointer<UInt64>
    private let vacant: UnsafeMutableBufferPointer<UInt32>
    private let text: UnsafeMutablePointer<CChar>

    init(_ report: AuditReport) {
        let missing = report.missing.map {
            muster_finding(
                first: UInt64($0.lowerBound), end: UInt64($0.upperBound), repeated: 0, reserved: 0)
        }
        let repeated = report.repeated.map {
            muster_finding(
                first: UInt64($0.chunks.lowerBound), end: UInt64($0.chunks.upperBound), repeated: 1,
                reserved: 0)
        }
        findings = copy((missing + repeated).sorted { $0.first < $1.first })
        deaths = copy(
            report.deaths.map {
                muster_report_death(
                    chunk: $0.chunk.map(UInt64.init) ?? .max, rank: UInt32($0.rank),
                    pid: Int32($0.pid), signal: Int32($0.signal), exit_code: Int32($0.exitCode),
                    attempt: UInt32($0.attempt), stalled: $0.isStalled ? 1 : 0)
            })
        quarantined = copy(report.quarantined.map { UInt64($0) })
        vacant = copy(report.vacantRanks.map { UInt32($0) })
        text = copyText("\(report)")
        raw = .allocate(capacity: 1)
        var one = report.counts
        one.finding_count = UInt64(findings.count)
        one.findings = UnsafePointer(findings.baseAddress)
        one.deaths = UnsafePointer(deaths.baseAddress)
        one.quarantined = UnsafePointer(quarantined.baseAddress)
        one.vacant = UnsafePointer(vacant.baseAddress)
        one.text = UnsafePointer(text)
        raw.initialize(to: one)
    }

    deinit {
        findings.deallocate()
        deaths.deallocate()
        quarantined.deallocate()
        vacant.deallocate()
        text.deallocate()
        raw.deallocate()
    }
}

/// A list of its own; without elements it has no address.
private func copy<Element: BitwiseCopyable>(
    _ elements: [Element]
) -> UnsafeMutableBufferPointer<Element> {
    guard !elements.isEmpty else { return .init(start: nil, count: 0) }
    let copy = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
    _ = copy.initialize(from: elements)
    return copy
}
