// PoolDemo.swift - what a worker's own number is worth as a rank, tried out.
//
// Four cases share one task: N sections of data, N processes, each section to be worked on once. A
// case is repeated until its fault has shown, at least `leastRounds` times so that "how often"
// means something, and at most as often as the caller allows.

public import Muster

/// The cases of `muster demo`.
public struct PoolDemo {
    /// What is done.
    public enum Kind: String, CaseIterable, Sendable {
        /// For every task that it gets, a process works on the section of its own number.
        case workerNumber = "worker number as rank"
        /// The same in the second pool of a program.
        case secondPool = "second pool counts on"
        /// The same where a process leaves after one task and the next number replaces it.
        case oneTask = "one task per worker"
        /// Ranks of a team.
        case muster = "ranks, as Muster gives them"
    }

    /// What happened in one case.
    public struct Case: Sendable {
        /// What was done.
        public let kind: Kind
        /// Processes, and sections.
        public let size: Int
        /// How often it was done.
        public let rounds: Int
        /// In how many of them a section was worked on twice or never.
        public let roundsAtFault: Int
        /// Of the last round at fault, or the last round where there was none.
        public let audit: AuditReport
    }

    /// Rounds of a case before it may stop at a fault.
    public static let leastRounds = 10

    /// Where ranks run.
    public var binding: Binding = .spread
    let size: Int
    let rounds: Int

    /// `size` processes and sections, 1...4096; at most `rounds` rounds a case, at least 1.
    public init(size: Int, rounds: Int) {
        precondition((1...4096).contains(size) && rounds >= 1)
        self.size = size
        self.rounds = rounds
    }

    /// Elements of a section: 512 KiB of doubles in all sections together, so that a task takes
    /// some ten microseconds, less than waking a process does.
    private var sectionElements: Int { max(64, (1 << 16) / size) }

    /// Runs all cases. `progress` is called between rounds with what is done, 0...1.
    ///
    /// - Throws: `.memory`, `.start`, `.threads`; `.audit` when audit and data disagree.
    public func run(progress: (Double) -> Void = { _ in }) throws(MusterError) -> [Case] {
        let memory = try PoolMemory(sections: size, sectionElements: sectionElements)
        var cases: [Case] = []
        for (number, kind) in Kind.allCases.enumerated() {
            var done = 0
            var atFault = 0
            var shown: AuditReport?
            while done < rounds && (done < PoolDemo.leastRounds || atFault == 0) {
                let audit = try round(of: kind, memory)
                done += 1
                if !audit.isClean { atFault += 1 }
                if !audit.isClean || atFault == 0 { shown = audit }
                progress((Double(number) + Double(done) / Double(rounds)) / 4)
            }
            cases.append(
                Case(
                    kind: kind, size: size, rounds: done, roundsAtFault: atFault, audit: shown!))
        }
        return cases
    }

    private func round(of kind: Kind, _ memory: PoolMemory) throws(MusterError) -> AuditReport {
        let first = NaivePool(firstNumber: 1, tasksPerWorker: nil)
        switch kind {
        case .workerNumber: return try first.run(in: memory)
        case .secondPool:
            _ = try first.run(in: memory)
            return try NaivePool(firstNumber: size + 1, tasksPerWorker: nil).run(in: memory)
        case .oneTask: return try NaivePool(firstNumber: 1, tasksPerWorker: 1).run(in: memory)
        case .muster: return try musterRound()
        }
    }

    /// The same work done by a team, new in every round as the pools are: section r is chunk r.
    private func musterRound() throws(MusterError) -> AuditReport {
        let team = try Team(size: size, binding: binding)
        let values = try team.array(of: Double.self, count: size * sectionElements)
        do throws(MusterError) {
            let report = try team.run(AddOne(values: values.inPlace), grain: sectionElements)
            let isRight = values.withSpan { span in
                span.indices.allSatisfy { span[$0] == 1 }
            }
            guard isRight else {
                throw MusterError(
                    .audit, subject: "team of \(size)",
                    reason: "an element was not worked on once, though the audit says: \(report)")
            }
            return report
        } catch {
            // A finding is what a case is about; anything else ends the demo.
            guard error.code == .audit, let report = error.report else { throw error }
            return report
        }
    }
}

/// What every case does to its data.
private struct AddOne: Kernel {
    let values: SharedArray<Double>.InPlace

    func process(_ chunk: borrowing Chunk) throws {
        values.update(chunk) { values in for i in values.indices { values[i] += 1 } }
    }
}
