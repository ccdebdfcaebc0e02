// Member.swift - one rank of a program that `muster run` starts several times.
//
// The same promises as a team's, the other way round: nobody forks, each process joins. What is said
// here in Swift is done in member.h's functions; nothing is added but types.

internal import MusterCore

/// One rank of a program that was started as a team: `muster run -n 8 ./program`.
///
/// Started alone, the program is a team of one. Calls marked *collective* are made by every rank, in
/// the same order. When a rank dies they throw ``MusterError/Code/rankDied`` at once in all others,
/// until those have called ``recover()``:
///
/// ```swift
/// let me = try Member.join()
/// while true {
///     do { try work(me); break } catch let error where error.code == .rankDied { try me.recover() }
/// }
/// ```
///
/// A member belongs to the thread that uses it, one at a time; it leaves when it is destroyed.
public struct Member: ~Copyable {
    let core: MemberCore

    /// Joins the team that this process was started for (`muster_join`).
    ///
    /// - Throws: `.launcher` when the rank is held or given up, or when the launcher is gone. It also
    ///   comes when another launcher (mpirun, srun) has started the program without `muster run`,
    ///   and when MUSTER_SIZE is above 1 and MUSTER_TEAM was lost on the way. `.memory` if addresses or
    ///   descriptors are short. The reason says what to do.
    public static func join() throws(MusterError) -> Member {
        var pointer: OpaquePointer?
        let status = muster_join(&pointer)
        guard status == 0, let pointer else {
            var text = [CChar](repeating: 0, count: 600)
            muster_join_advice(status, &text, text.count)
            throw MusterError(
                status == -ENOMEM || status == -EMFILE ? .memory : .launcher, subject: "joining",
                reason: text.withUnsafeBytes { String(upToNUL: $0) }, errorNumber: -status)
        }
        return Member(core: MemberCore(pointer))
    }

    /// This rank, in 0..<``size``.
    public var rank: Int { Int(core.description.rank) }
    /// Ranks that the team was started with, dead ones included.
    public var size: Int { Int(core.description.size) }
    /// The rank across all hosts of an outer launcher.
    public var globalRank: Int { Int(core.description.global_rank) }
    /// The number of ranks across all hosts.
    public var globalSize: Int { Int(core.description.global_size) }
    /// The home node; nil: the launcher chose none.
    public var node: Int? { core.description.node < 0 ? nil : Int(core.description.node) }
    /// The CPU that the launcher bound this rank to; nil: none, or several.
    public var cpu: Int? { core.description.cpu < 0 ? nil : Int(core.description.cpu) }
    /// How many processes have had this rank, this one included.
    public var incarnation: Int { Int(core.description.incarnation) }
    /// Whether no launcher of Muster's has started this process.
    public var isAlone: Bool { core.description.alone != 0 }

    /// Whether a rank takes part in collective calls, as of the last ``recover()``.
    public func isAlive(_ rank: Int) -> Bool {
        rank >= 0 && rank < size && muster_member_alive(core.pointer, UInt32(rank)) == 1
    }

    /// Leaves the team (`muster_leave`). Not collective.
    ///
    /// - Throws: `.launcher` if the launcher is gone, `.system` in a process that the member has forked.
    ///   The member has left all the same.
    public consuming func leave() throws(MusterError) {
        // Without this, the count below would have the member itself, and an error would be lost.
        let core = core
        _ = consume self
        try MemberCore.leave(consume core)
    }

    /// Makes collective calls work again after a death, among the ranks that are there
    /// (`muster_recover`). Collective.
    ///
    /// - Throws: `.launcher` if the launcher is gone, `.system` in a process that the member has forked.
    public func recover() throws(MusterError) {
        try core.check(muster_recover(core.pointer), "recovering")
    }

    /// Waits until every rank has come here (`muster_member_barrier`). Collective.
    ///
    /// - Throws: `.rankDied` if a rank died or left, `.invalidArgument` if ranks call different functions,
    ///   `.launcher` if the launcher is gone, `.system` in a process that the member has forked.
    public func barrier() throws(MusterError) {
        try core.check(muster_member_barrier(core.pointer), "barrier")
    }

    /// The value that one rank gives (`muster_member_broadcast`). Collective.
    ///
    /// - Throws: `.invalidArgument` for a rank that is not there; otherwise as ``barrier()``.
    public func broadcast<Value: BitwiseCopyable>(
        _ value: Value, from root: Int
    ) throws(MusterError) -> Value {
        var result = value
        let status = withUnsafeMutablePointer(to: &result) {
            muster_member_broadcast(
                core.pointer, $0, UInt64(MemoryLayout<Value>.size), UInt32(clamping: root))
        }
        try core.check(status, "broadcast from rank \(root)")
        return result
    }

    /// Combines a value of each rank into one rank's (`muster_member_reduce`). Collective.
    ///
    /// - Returns: In `root` what all values come to; in the others their own.
    /// - Throws: `.invalidArgument` for a rank that is not there, or an operation that the type does not have;
    ///   otherwise as ``barrier()``.
    public func reduce<Number: MemberNumber>(
        _ value: Number, _ operation: Combination, to root: Int
    ) throws(MusterError) -> Number {
        var result = value
        let status = muster_member_reduce(
            core.pointer, &result, 1, Number._memberType, operation.code, UInt32(clamping: root))
        try core.check(status, "reduce to rank \(root)")
        return result
    }

    /// Combines a value of each rank, the same bits in all (`muster_member_all_reduce`). Collective.
    ///
    /// - Throws: `.invalidArgument` for an operation that the type does not have; otherwise as ``barrier()``.
    public func allReduce<Number: MemberNumber>(
        _ value: Number, _ operation: Combination
    ) throws(MusterError) -> Number {
        var result = value
        let status = muster_member_all_reduce(
            core.pointer, &result, 1, Number._memberType, operation.code)
        try core.check(status, "all-reduce")
        return result
    }

    /// The same, value by value, of arrays of one length. What they hold after an error is undefined.
    ///
    /// - Throws: `.invalidArgument` for an operation that the type does not have; otherwise as ``barrier()``.
    public func allReduce<Number: MemberNumber>(
        _ values: inout [Number], _ operation: Combination
    ) throws(MusterError) {
        let status = values.withUnsafeMutableBufferPointer {
            muster_member_all_reduce(
                core.pointer, $0.baseAddress, UInt64($0.count), Number._memberType, operation.code)
        }
        try core.check(status, "all-reduce of \(values.count) values")
    }

    /// What the values of the ranks up to this one, or before it, come to (`muster_member_scan`).
    /// Collective.
    ///
    /// - Throws: `.invalidArgument` for an operation that the type does not have; otherwise as ``barrier()``.
    public func scan<Number: MemberNumber>(
        _ value: Number, _ operation: Combination, _ extent: ScanExtent = .through
    ) throws(MusterError) -> Number {
        var result = value
        let status = muster_member_scan(
            core.pointer, &result, 1, Number._memberType, operation.code, extent.code)
        try core.check(status, "scan")
        return result
    }
}

/// How two values become one (`enum muster_operation`). Integers wrap around.
public enum Combination: Sendable, Hashable, CaseIterable {
    case sum, product, min, max
    /// Bits; of integers only.
    case and, or, xor
}

/// What a scan leaves with each rank or chunk (`enum muster_scan`).
public enum ScanExtent: Sendable, Hashable, CaseIterable {
    /// Everything up to and with its own.
    case through
    /// Everything before its own; with the first, the identity.
    case before
}

/// A number that ranks can combine.
public protocol MemberNumber: BitwiseCopyable, Numeric {
    /// `enum muster_type`.
    static var _memberType: UInt32 { get }
}

extension Double: MemberNumber {
    /// `MUSTER_TYPE_F64`.
    public static var _memberType: UInt32 { MUSTER_TYPE_F64.rawValue }
}
extension Float: MemberNumber {
    /// `MUSTER_TYPE_F32`.
    public static var _memberType: UInt32 { MUSTER_TYPE_F32.rawValue }
}
extension Int: MemberNumber {
    /// `MUSTER_TYPE_I64`.
    public static var _memberType: UInt32 { MUSTER_TYPE_I64.rawValue }
}
extension Int64: MemberNumber {
    /// `MUSTER_TYPE_I64`.
    public static var _memberType: UInt32 { MUSTER_TYPE_I64.rawValue }
}
extension UInt64: MemberNumber {
    /// `MUSTER_TYPE_U64`.
    public static var _memberType: UInt32 { MUSTER_TYPE_U64.rawValue }
}
extension Int32: MemberNumber {
    /// `MUSTER_TYPE_I32`.
    public static var _memberType: UInt32 { MUSTER_TYPE_I32.rawValue }
}
extension UInt32: MemberNumber {
    /// `MUSTER_TYPE_U32`.
    public static var _memberType: UInt32 { MUSTER_TYPE_U32.rawValue }
}
extension Int16: MemberNumber {
    /// `MUSTER_TYPE_I16`.
    public static var _memberType: UInt32 { MUSTER_TYPE_I16.rawValue }
}
extension UInt16: MemberNumber {
    /// `MUSTER_TYPE_U16`.
    public static var _memberType: UInt32 { MUSTER_TYPE_U16.rawValue }
}
extension Int8: MemberNumber {
    /// `MUSTER_TYPE_I8`.
    public static var _memberType: UInt32 { MUSTER_TYPE_I8.rawValue }
}
extension UInt8: MemberNumber {
    /// `MUSTER_TYPE_U8`.
    public static var _memberType: UInt32 { MUSTER_TYPE_U8.rawValue }
}

/// What a member, its arrays and its loop hold together: the membership ends with the last of them.
final class MemberCore {
    let pointer: OpaquePointer
    let description: muster_member_description
    private var hasLeft = false

    init(_ pointer: OpaquePointer) {
        self.pointer = pointer
        var description = muster_member_description()
        description.size_bytes = UInt32(MemoryLayout<muster_member_description>.size)
        muster_member_describe(pointer, &description)
        self.description = description
    }

    deinit {
        if !hasLeft { muster_leave(pointer) }
    }

    /// Leaves. Arrays that are still in use stay what they are until then, so that no view of them
    /// ends in unmapped memory: with any, the membership ends with the last of them.
    static func leave(_ core: consuming MemberCore) throws(MusterError) {
        guard isKnownUniquelyReferenced(&core) else { return }
        core.hasLeft = true
        try core.check(muster_leave(core.pointer), "leaving")
    }

    func check(_ status: Int32, _ what: @autoclosure () -> String) throws(MusterError) {
        if status < 0 { throw failure(status, what()) }
    }

    /// `needed`: bytes that were asked for.
    func failure(_ status: Int32, _ subject: String, needed: UInt64 = 0) -> MusterError {
        let (code, reason): (MusterError.Code, String) =
            switch status {
            case -EOWNERDEAD:
                (
                    .rankDied,
                    "a rank died or left: recover() goes on without it, or with its successor"
                )
            case -EINVAL:
                (
                    .invalidArgument,
                    "the arguments can't be, or another rank calls something else here, or this "
                        + "with other arguments: name, sizes and options must be the same in all"
                )
            case -E2BIG:
                (
                    .invalidArgument,
                    "it has more chunks than this team has room for; use a larger grain"
                )
            case -ENOSPC: (.memory, "a team has at most \(MUSTER_ARRAYS_MAX) arrays")
            case -ECONNRESET: (.launcher, "the launcher is gone")
            case -ENOMEM where needed == 0: (.memory, "there is not enough memory")
            case -ENOMEM, -EFBIG, -EMFILE:
                (.memory, "can't be made: \(MusterError.why(-status, needed: max(1, needed)))")
            default: (.system, statusText(status))
            }
        return MusterError(code, subject: subject, reason: reason, errorNumber: -status)
    }
}
