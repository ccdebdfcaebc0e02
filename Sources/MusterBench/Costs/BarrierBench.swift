// BarrierBench.swift - how long ranks take to meet: a barrier of members, a sum that all of them get, and
// a team's job with nothing to do.

internal import MusterCore
internal import Glibc
public import Muster

/// Times collective calls of members (`Member`, `muster_join`), as programs under `muster run` make
/// them, and a team's empty job, where ranks meet at dispatch and at join.
///
/// Only for a process that may fork.
public struct BarrierBench {
    private static let calls = ["barrier", "all-reduce"]
    /// Rounds in which it is checked that nobody comes through a barrier before all have come to it.
    private static let checks = 100

    /// Where ranks run.
    public var binding: Binding = .spread
    /// Has the team's job recorded, after its last sample; nil: it has not. Members' calls are no loops.
    public var tracer: Tracer?
    let ranks: Int
    let samples: Int

    /// Teams of up to `ranks`; `samples` batches each, at least 1.
    public init(ranks: Int, samples: Int = 10) {
        precondition(ranks >= 1 && samples >= 1)
        self.ranks = ranks
        self.samples = samples
    }

    /// Measures. `progress` is called between teams with what is done, 0...1.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> Measurement {
        let sizes = DispatchBench.sizes(upTo: ranks)
        var rows: [Row] = []
        var total = AuditTotal()
        for (number, size) in sizes.enumerated() {
            var times = try members(size).map(Samples.init)
            do {
                let team = try Team(size: size, leader: .works, binding: binding)
                times.append(
                    try DispatchBench.measure(team, samples, &total, tracer, "barrier team's job"))
            }
            for (call, samples) in zip(BarrierBench.calls + ["team's job"], times) {
                rows.append(
                    Row(
                        test: "barrier/\(call)", kernel: call == "all-reduce" ? "sum" : "empty",
                        ranks: size, quantity: .time, samples: samples))
            }
            progress(Double(number + 1) / Double(sizes.count))
        }
        return Measurement(rows: rows, audit: total.report)
    }

    // MARK: - Launcher

    /// Samples of each call by members of a team of that size.
    private func members(_ size: Int) throws(MusterError) -> [[Double]] {
        let seats = try binding.seats(size: size)
        let page = try SharedPage(words: size + BarrierBench.calls.count * samples)
        defer { page.release() }
        let launcher = try launcher(seats)
        defer { muster_launcher_destroy(launcher) }
        var left = Set(0..<size)
        var pids: [Int32] = []
        defer {
            // Nobody's, once all have left.
            for rank in left where rank < pids.count { kill(pids[rank], SIGKILL) }
            for pid in pids { waitpid(pid, nil, 0) }
        }
        for rank in 0..<size {
            let pid = muster_child_start()
            if pid == 0 {
                let me = Rank(number: rank, size: size, samples: samples, page: page)
                _ = me.run(muster_launcher_address(launcher), cpu: seats[rank].cpu)
                muster_worker_exit()
            }
            guard pid > 0 else {
                throw BarrierBench.failure("can't fork rank \(rank) of \(size)", pid)
            }
            pids.append(pid)
        }
        try serve(launcher, pids, &left)
        return BarrierBench.calls.indices.map { call in
            (0..<samples).map { page[size + call * samples + $0] }
        }
    }

    private func launcher(_ seats: [Seat]) throws(MusterError) -> OpaquePointer {
        let cpus = Set(seats.compactMap(\.cpu))
        var options = muster_launcher_options()
        options.size_bytes = UInt32(MemoryLayout<muster_launcher_options>.size)
        options.size = UInt32(seats.count)
        options.usable_cpus =
            UInt32(cpus.isEmpty ? try Topology.read().usableCPUCount : cpus.count)
        options.spin_ns = -1
        var launcher: OpaquePointer?
        let status = muster_launcher_create(&options, &launcher)
        guard status == 0, let launcher else {
            throw BarrierBench.failure("no team of \(seats.count)", status)
        }
        return launcher
    }

    /// Until every rank has left; the first that ends otherwise is an error.
    private func serve(
        _ launcher: OpaquePointer, _ pids: [Int32], _ left: inout Set<Int>
    ) throws(MusterError) {
        var events = [muster_launcher_event](repeating: muster_launcher_event(), count: 64)
        var wanted = pollfd(
            fd: muster_launcher_descriptor(launcher), events: Int16(POLLIN), revents: 0)
        while !left.isEmpty {
            // A rank that dies before it has joined tells the launcher nothing.
            let ready = poll(&wanted, 1, 100)
            let count = muster_launcher_serve(launcher, &events, UInt32(events.count))
            guard count >= 0 else {
                throw BarrierBench.failure("the team's socket can't be served", count)
            }
            for event in events.prefix(Int(count)) {
                switch event.kind {
                case MUSTER_LAUNCHER_JOINED.rawValue: break
                case MUSTER_LAUNCHER_LEFT.rawValue: left.remove(Int(event.rank))
                default: throw failed(Int(event.rank))
                }
            }
            guard ready == 0 else { continue }
            var information = siginfo_t()
            for rank in left
            where waitid(P_PID, id_t(pids[rank]), &information, WEXITED | WNOHANG | WNOWAIT) != 0
                || information.si_signo != 0
            {
                throw failed(rank)
            }
        }
    }

    private static func failure(_ reason: String, _ status: Int32) -> MusterError {
        MusterError(.system, subject: "barrier", reason: reason, errorNumber: -status)
    }

    private func failed(_ rank: Int) -> MusterError {
        MusterError(
            .workerDied, subject: "barrier", reason: "rank \(rank) ended before its measurement did"
        )
    }

    // MARK: - Ranks

    /// What a rank does. Words of the page: one a rank, then the samples.
    private struct Rank {
        let number: Int
        let size: Int
        let samples: Int
        let page: SharedPage

        /// false: a call failed, or what it gave was wrong; the rank has not left then.
        func run(_ address: UnsafePointer<CChar>, cpu: Int?) -> Bool {
            if let cpu { _ = muster_binding_enter(UInt32(cpu)) }  // best effort, as for a team's
            var options = muster_join_options()
            options.size_bytes = UInt32(MemoryLayout<muster_join_options>.size)
            options.address = address
            options.rank = UInt32(number)
            var member: OpaquePointer?
            guard muster_join_with(&options, &member) == 0, let member, check(member) else {
                return false
            }
            for call in BarrierBench.calls.indices {
                guard measure(call, member) else { return false }
            }
            return muster_leave(member) == 0
        }

        /// Whether barriers keep everybody until all have come.
        private func check(_ member: OpaquePointer) -> Bool {
            for round in 1...BarrierBench.checks {
                page[number] = Double(round)
                guard muster_member_barrier(member) == 0 else { return false }
                for other in 0..<size where page[other] < Double(round) { return false }
                guard muster_member_barrier(member) == 0 else { return false }
            }
            return true
        }

        private func measure(_ call: Int, _ member: OpaquePointer) -> Bool {
            guard batch(call, 10, member) != nil, let estimate = batch(call, 20, member) else {
                return false
            }
            var repeats = UInt64(min(100_000, max(10, DispatchBench.batchNanoseconds / estimate)))
            guard muster_member_broadcast(member, &repeats, 8, 0) == 0,
                batch(call, Int(repeats), member) != nil  // first run, dropped
            else { return false }
            for sample in 0..<samples {
                guard let time = batch(call, Int(repeats), member) else { return false }
                if number == 0 { page[size + call * samples + sample] = time }
            }
            return true
        }

        /// Mean time of a call in nanoseconds; nil: one failed or was wrong.
        private func batch(_ call: Int, _ repeats: Int, _ member: OpaquePointer) -> Double? {
            let started = nanoseconds()
            for _ in 0..<repeats {
                if call == 0 {
                    guard muster_member_barrier(member) == 0 else { return nil }
                } else {
                    var sum = Double(number + 1)
                    let status = muster_member_all_reduce(
                        member, &sum, 1, MUSTER_TYPE_F64.rawValue, MUSTER_OP_SUM.rawValue)
                    guard status == 0, sum == Double(size * (size + 1) / 2) else { return nil }
                }
            }
            return (nanoseconds() - started) / Double(repeats)
        }
    }
}
