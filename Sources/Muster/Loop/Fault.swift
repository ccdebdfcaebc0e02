// Fault.swift - what a dead worker has left in words, and when deaths mean that the kernel is wrong.
//
// A worker that crashes notes where (fault.h). The same mistake kills a worker in nearly every chunk.
// To find that out costs `limit` deaths: a chunk that is the first to die is left for later, and its
// worker's successor tries another one.

internal import MusterCore

extension AuditReport.Death {
    /// Where a worker crashed, and what its runtime said before.
    public struct Fault: Sendable, Hashable {
        /// "main.Fill.process (main.swift:12), called by main.helper (main.swift:40)"; empty: no function
        /// is known. Lines are known where the program was compiled with -g.
        public let place: String
        /// The last words of a runtime: Swift's fatal error, assert's line, an uncaught C++ exception's
        /// type and text. Empty: none.
        public let words: String
        /// The address that was touched; nil: the signal has none.
        public let address: UInt?
        /// Whether the stack had no room left.
        public let isStackOverflow: Bool
    }
}

extension AuditReport.Death.Fault {
    init(_ fault: inout muster_fault) {
        let bytes = 2048
        place = withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes) { text in
            muster_fault_place(&fault, text.baseAddress, UInt64(bytes)) > 0
                ? String(cString: text.baseAddress!) : ""
        }
        words = withUnsafeBytes(of: &fault.line) { String(upToNUL: $0) }
        let hasAddress = (fault.signal == 11 || fault.signal == 7) && fault.code > 0
        address = hasAddress ? UInt(fault.address) : nil
        isStackOverflow = fault.is_overflow != 0
    }

    /// What follows "was killed by signal 11 (SIGSEGV)".
    var description: String {
        var text = ""
        if isStackOverflow {
            text += ", a stack overflow,"
        } else if let address {
            text += " at address 0x\(String(address, radix: 16))"
        }
        if !place.isEmpty { text += " in \(place)" }
        if text.hasSuffix(",") { text.removeLast() }
        if !words.isEmpty { text += ": \(words)" }
        return text
    }
}

/// The deaths of a loop by what they have died of.
struct Causes {
    /// What a death is of.
    private enum Cause: Hashable {
        /// A signal at a place in words. Where addresses differ below the kernel, as between a rank's
        /// first job and later ones in an optimised program, the words are the same.
        case place(signal: Int32, String)
        /// `muster_fault_kind`, where no function is known.
        case kind(UInt64)
        /// A kernel that left the process by itself.
        case status(Int32)
    }

    /// Chunks that have died of each cause.
    private var chunks: [Cause: Set<Int>] = [:]
    private var ranks: [Cause: Set<UInt32>] = [:]
    private var known: [UInt64: AuditReport.Death.Fault] = [:]
    /// The chunks that have shown the kernel to be wrong; empty: nothing has.
    private(set) var tried: Set<Int> = []

    /// Most causes that are put into words: of a storm of signals, each is another one.
    private static let knownMost = 8
    /// Fewest chunks that must have died.
    private static let least = 3

    /// Si_code of a signal that a process sends to one of its threads: abort's and raise's.
    private static let tkill: Int32 = -6

    /// What a death is of, where that is the kernel's own doing; nil: somebody else's, as with SIGKILL.
    private mutating func cause(of death: inout muster_death) -> Cause? {
        guard death.has_fault != 0 else {
            return death.signal == 0 && death.exit_code > 0 ? .status(death.exit_code) : nil
        }
        let isOwn = death.fault.code > 0 || death.fault.code == Causes.tkill
        guard isOwn && death.fault.stray == 0 else { return nil }
        if let fault = fault(of: &death), !fault.place.isEmpty {
            return .place(signal: death.fault.signal, fault.place)
        }
        return .kind(muster_fault_kind(&death.fault))
    }

    /// Takes note of a death at a chunk.
    mutating func note(_ death: inout muster_death) {
        guard death.chunk != .max, let cause = cause(of: &death) else { return }
        chunks[cause, default: []].insert(Int(death.chunk))
        ranks[cause, default: []].insert(death.rank)
    }

    mutating func fault(of death: inout muster_death) -> AuditReport.Death.Fault? {
        guard death.has_fault != 0 else { return nil }
        let kind = muster_fault_kind(&death.fault)
        if let fault = known[kind] { return fault }
        guard known.count < Causes.knownMost else { return nil }
        let fault = AuditReport.Death.Fault(&death.fault)
        known[kind] = fault
        return fault
    }

    /// Whether a chunk that has just died is left for later, so that its rank shows soon whether other
    /// chunks die as well: as long as hardly any chunk is done.
    mutating func isSuspicious(
        _ death: inout muster_death, committed: Int, limit: Int
    ) -> Bool {
        guard tried.isEmpty, let cause = cause(of: &death), let dead = chunks[cause] else {
            return false
        }
        return dead.count < max(limit, Causes.least) && dead.count >= committed
    }

    /// Looks whether the kernel is wrong: enough chunks have died of one cause, more than were ever
    /// done, and no rank is still at its first chunk. `isAlive`: whether a rank is in the loop and may
    /// get on.
    mutating func judge(committed: Int, limit: Int, isAlive: (UInt32) -> Bool, size: Int) {
        for (cause, dead) in chunks
        where dead.count >= max(limit, Causes.least) && dead.count > committed {
            let died = ranks[cause]!
            if (0..<UInt32(size)).allSatisfy({ died.contains($0) || !isAlive($0) }) {
                tried = dead
                return
            }
        }
    }
}

/// What to look at when Swift has trapped beyond a chunk's first element; empty: nothing is known.
func trapHint(_ death: AuditReport.Death, _ report: AuditReport, isSwift: Bool) -> String {
    // SIGILL and SIGTRAP: what the compiler makes of a failed check.
    guard isSwift, death.signal == 4 || death.signal == 5, let chunk = death.chunk, chunk > 0 else {
        return ""
    }
    let words = death.fault?.words ?? ""
    let isIndex = words.contains("out of range") || words.contains("out of bounds")
    guard isIndex || words.isEmpty else { return "" }
    return (isIndex ? "; " : "; if it is an index: ")
        + "the elements of a chunk have indices from 0 in every chunk, so loop over values.indices, "
        + "not over chunk.range"
}
