// BenchRun.swift - one run of the benchmark: what its tests are given, and what they leave behind.
//
// Invariant: `rows` holds only figures whose loops were audited, whose results were checked and whose
// memory lay where it should. A test that finds one of these wrong throws, and the run is over. A test
// that can't be done on this host leaves rows without samples that say why.

public import Muster

/// A run in progress, handed from test to test.
public final class BenchRun {
    /// What the user has set.
    public let settings: BenchSettings
    /// The host.
    public let host: Topology
    /// What was measured so far.
    public private(set) var rows: [Row] = []
    /// What users should know of the figures.
    public private(set) var notes: [String] = []
    /// How the machine was before the first test and after each.
    public private(set) var canaries: [Canary.Reading] = []
    /// Whether it ended before all of its tests were done.
    public private(set) var isPartial = false
    /// Has the loops of tests recorded, but for those that say why not; nil: they are not.
    public var tracer: Tracer?

    private var total = AuditTotal()
    private let canary: Canary
    private let isInterrupted: () -> Bool
    private let onProgress: (_ test: String, _ fraction: Double) -> Void
    private var test = ""
    private var share = 0.0..<0.0
    private var began = 0.0

    /// A run. Its canary's team and memory are made here.
    ///
    /// - Parameters:
    ///   - isInterrupted: Asked before each test, and by those with many figures between them; once it is
    ///     true, the run ends with what it has.
    ///   - onProgress: Called now and then with the test's name and what is done of the run, 0...1.
    public init(
        _ settings: BenchSettings, isInterrupted: @escaping () -> Bool = { false },
        onProgress: @escaping (_ test: String, _ fraction: Double) -> Void = { _, _ in }
    ) throws(MusterError) {
        self.settings = settings
        host = try Topology.read()
        for id in settings.nodes ?? [] where !host.nodes.contains(where: { $0.id == id }) {
            throw MusterError(
                .invalidArgument, subject: "node \(id)",
                reason: "there is no such node: this host's "
                    + (host.nodes.count == 1 ? "only one is node " : "are nodes ")
                    + host.nodes.map { "\($0.id)" }.joined(separator: ", "))
        }
        canary = try Canary(host, isQuick: settings.isQuick)
        self.isInterrupted = isInterrupted
        self.onProgress = onProgress
    }

    /// All loops so far; nil: none has run.
    public var audit: AuditReport? { total.reportIfAny }

    /// Runs tests, one after the other.
    public func run(_ tests: [BenchTest]) throws(MusterError) {
        let seconds = tests.map { $0.seconds(host, settings) }
        let all = max(seconds.reduce(0, +), 1e-3)
        var before = 0.0
        canaries.append(try canary.read(when: "before", adding: &total))
        for (test, time) in zip(tests, seconds) {
            if isInterrupted() {
                isPartial = true
                return
            }
            self.test = test.name
            if tracer != nil, let why = test.whyUntraced {
                note("\(test.name) is not traced: \(why)")
            }
            share = before / all..<(before + time) / all
            began = nanoseconds()
            do {
                try test.body(self)
            } catch {
                switch error.code {
                case .cancelled:
                    isPartial = true
                    return
                case .memory, .placement, .start, .invalidArgument:
                    // Not here, or not now: the other tests still can.
                    rows.append(
                        Row(
                            test: test.name, kernel: "-", ranks: 0, quantity: .time,
                            reason: error.description))
                default: throw error
                }
            }
            before += time
            canaries.append(try canary.read(when: test.name, adding: &total))
        }
        onProgress("", 1)
    }

    // MARK: - For tests

    /// Notes what users should know, once.
    func note(_ text: String) {
        if !notes.contains(text) { notes.append(text) }
    }

    /// Keeps a row.
    func add(_ row: Row) { rows.append(row) }

    /// Keeps the audit of a loop that has run.
    func add(_ report: AuditReport) { total.add(report) }

    /// Keeps what a benchmark of its own has measured. `subject`: whose memory was to be read back; nil: it
    /// has none.
    func add(_ measurement: Measurement, of subject: String? = nil) throws(MusterError) {
        if let subject { _ = try checked(measurement.placedFraction, subject) }
        rows += measurement.rows
        total.add(measurement.audit)
    }

    /// Says how much of the test is done. Throws `.cancelled` when the user wants to end.
    func progress(_ fraction: Double) throws(MusterError) {
        show(fraction)
        guard !isInterrupted() else {
            throw MusterError(.cancelled, subject: "bench", reason: "interrupted")
        }
    }

    /// Says how much of the test is done.
    func show(_ fraction: Double) {
        let inside = min(1, max(0, fraction))
        onProgress(test, share.lowerBound + inside * (share.upperBound - share.lowerBound))
    }

    /// How many samples a figure gets now.
    func samples(_ usual: Int) -> Int {
        let wanted = settings.samples ?? (settings.isQuick ? min(usual, 3) : usual)
        guard let limit = settings.secondsPerTest, nanoseconds() - began > limit * 1e9 else {
            return wanted
        }
        return min(wanted, BenchSettings.fewestSamples)
    }

    /// Fails unless a result is right.
    func require(_ isRight: Bool, _ subject: String, _ what: String) throws(MusterError) {
        guard !isRight else { return }
        throw MusterError(
            .audit, subject: subject,
            reason: "\(what), so no figure is printed: suspect memory or CPU",
            report: audit)
    }

    // MARK: - Ranks and nodes

    /// Ranks of a team that has all CPUs, or those that were listed.
    var ranks: Int { host.ranks(settings.binding) }

    /// Nodes that were asked for, or all.
    var nodes: [Topology.Node] {
        guard let wanted = settings.nodes else { return host.nodes }
        return host.nodes.filter { wanted.contains($0.id) }
    }

    /// CPUs of a node that ranks may have, a core's second thread only after the first of all others;
    /// as many as `ranksPerNode` says. Empty: memory only, or not for this process.
    func cpus(of node: Topology.Node) -> [Int] {
        let own = host.cpus.filter { $0.isOnline && $0.isAllowed && $0.node == node.id }
        var order: [(turn: Int, cpu: Int)] = []
        var taken: [Int: Int] = [:]
        for cpu in own {
            order.append((taken[cpu.coreCPU, default: 0], cpu.id))
            taken[cpu.coreCPU, default: 0] += 1
        }
        let sorted = order.sorted { $0 < $1 }.map(\.cpu)
        return Array(sorted.prefix(settings.ranksPerNode ?? sorted.count))
    }

    /// Why nothing can be measured between two nodes; nil: it can.
    func obstacle(cpu: Topology.Node, memory: Topology.Node) -> String? {
        if cpus(of: cpu).isEmpty {
            return cpu.cpus.isEmpty
                ? "node \(cpu.id) has no CPUs"
                : "this process may not use the CPUs of node \(cpu.id)"
        }
        if !memory.hasMemory { return "node \(memory.id) has no memory" }
        return memory.isAllowed ? nil : "this process may not use the memory of node \(memory.id)"
    }

    /// Where an array for `node` is really put: there, but for tests of the check.
    func placement(on node: Int) -> Placement {
        guard settings.isMisplaced else { return .bind(node: node) }
        let other = host.nodes.first { $0.id != node && $0.isAllowed && $0.hasMemory }
        return .bind(node: other?.id ?? node)
    }

    /// The part of an array that lies on a node, read back from the kernel. Throws where it is less
    /// than it must be; nil: not asked for, or the kernel does not say.
    func placed<Element>(
        _ array: borrowing SharedArray<Element>, on node: Int, _ subject: String
    ) throws(MusterError) -> Double? {
        guard settings.leastPlaced != nil, array.count > 0 else { return nil }
        let found: Residency
        do {
            found = try array.residency()
        } catch {
            return try unread(error, subject)
        }
        // One node only: the pages can't be elsewhere, but the check can look for them there.
        let isAlone = settings.isMisplaced && placement(on: node) == .bind(node: node)
        let there = found.bytesByNode[isAlone ? node + 1 : node] ?? 0
        return try placed(
            Double(there) / Double(max(1, found.totalBytes)), "\(subject): memory of node \(node)")
    }

    /// The same for a part that `read` reads back.
    func placed(
        _ subject: String, _ read: () throws(MusterError) -> Double
    ) throws(MusterError) -> Double? {
        guard settings.leastPlaced != nil else { return nil }
        let part: Double
        do throws(MusterError) {
            part = try read()
        } catch {
            return try unread(error, subject)
        }
        return try placed(settings.isMisplaced ? 0 : part, subject)
    }

    /// The same for what a benchmark of its own has read back; nil: this system does not say.
    func checked(_ fraction: Double?, _ subject: String) throws(MusterError) -> Double? {
        guard settings.leastPlaced != nil else { return nil }
        guard let fraction else {
            return try unread(
                MusterError(.placement, subject: subject, reason: "this system does not say it"),
                subject)
        }
        return try placed(settings.isMisplaced ? 0 : fraction, subject)
    }

    /// Where pages lie is not known: a note, or an error where it was asked for.
    func unread(_ error: MusterError, _ subject: String) throws(MusterError) -> Double? {
        guard settings.demandsPlacement else {
            note("where pages lie could not be read back: \(error)")
            return nil
        }
        throw MusterError(
            .audit, subject: subject,
            reason: "where its pages lie could not be read back, which --verify-placement asks for "
                + "(\(error))", report: audit)
    }

    /// The same for a fraction that was read back elsewhere.
    func placed(_ fraction: Double, _ subject: String) throws(MusterError) -> Double {
        guard let least = settings.leastPlaced, fraction < least else { return fraction }
        let percent = Int((fraction * 100).rounded(.down))
        throw MusterError(
            .audit, subject: subject,
            reason: "only \(percent) % of the pages lie where they should (--verify-placement "
                + "\(least)), so no figure is printed: muster doctor says what stands in the way",
            report: audit)
    }
}
