// CEnums.swift - the numbers that the cases of Swift's enums have in C. No other file maps one to the
// other; Tests/Unit/CEnumTests.swift holds this one against the headers.

internal import Glibc
internal import MusterCore

/// An enum that C has, too.
package protocol CNumbered: CaseIterable {
    /// The enumerator's value.
    var code: UInt32 { get }
}

extension CNumbered {
    /// The case with this number; nil: there is none.
    package init?(code: UInt32) {
        guard let found = Self.allCases.first(where: { $0.code == code }) else { return nil }
        self = found
    }
}

extension Schedule: CNumbered {
    /// `enum muster_schedule`.
    package var code: UInt32 {
        switch self {
        case .static: MUSTER_SCHEDULE_STATIC.rawValue
        case .cyclic: MUSTER_SCHEDULE_CYCLIC.rawValue
        case .dynamic: MUSTER_SCHEDULE_DYNAMIC.rawValue
        case .guided: MUSTER_SCHEDULE_GUIDED.rawValue
        case .staticSteal: MUSTER_SCHEDULE_STATIC_STEAL.rawValue
        }
    }
}

extension Team.Start: CNumbered {
    /// `enum muster_start`.
    package var code: UInt32 {
        switch self {
        case .fork: MUSTER_START_FORK.rawValue
        case .forkServer: MUSTER_START_SERVER.rawValue
        }
    }
}

extension Team.Wait: CNumbered {
    /// `enum muster_wait`.
    package var code: UInt32 {
        switch self {
        case .automatic: MUSTER_WAIT_AUTOMATIC.rawValue
        case .spin: MUSTER_WAIT_SPIN.rawValue
        case .yield: MUSTER_WAIT_YIELD.rawValue
        case .sleep: MUSTER_WAIT_SLEEP.rawValue
        }
    }
}

extension Team.Check: CNumbered {
    /// `enum muster_check_mode`.
    package var code: UInt32 {
        switch self {
        case .automatic: MUSTER_CHECK_AUTOMATIC.rawValue
        case .on: MUSTER_CHECK_ON.rawValue
        case .off: MUSTER_CHECK_OFF.rawValue
        }
    }
}

extension AccessKind: CNumbered {
    /// `enum muster_access`.
    package var code: UInt32 {
        switch self {
        case .input: MUSTER_ACCESS_INPUT.rawValue
        case .output: MUSTER_ACCESS_OUTPUT.rawValue
        case .inPlace: MUSTER_ACCESS_IN_PLACE.rawValue
        }
    }
}

extension MemberUse.Access: CNumbered {
    /// `enum muster_access`.
    package var code: UInt32 {
        switch self {
        case .input: AccessKind.input.code
        case .output: AccessKind.output.code
        case .inPlace: AccessKind.inPlace.code
        }
    }
}

extension MemberUse.Length: CNumbered {
    /// `enum muster_use_flag`, none of them for the whole array.
    package var code: UInt32 {
        switch self {
        case .whole: 0
        case .prefix: MUSTER_USE_PREFIX.rawValue
        case .gather: MUSTER_USE_GATHER.rawValue
        }
    }
}

extension Combination: CNumbered {
    /// `enum muster_operation`.
    package var code: UInt32 {
        switch self {
        case .sum: MUSTER_OP_SUM.rawValue
        case .product: MUSTER_OP_PRODUCT.rawValue
        case .min: MUSTER_OP_MIN.rawValue
        case .max: MUSTER_OP_MAX.rawValue
        case .and: MUSTER_OP_AND.rawValue
        case .or: MUSTER_OP_OR.rawValue
        case .xor: MUSTER_OP_XOR.rawValue
        }
    }
}

extension ScanExtent: CNumbered {
    /// `enum muster_scan`.
    package var code: UInt32 {
        switch self {
        case .through: MUSTER_SCAN_THROUGH.rawValue
        case .before: MUSTER_SCAN_BEFORE.rawValue
        }
    }
}

extension DType: CNumbered {
    /// `enum muster_type`.
    package var code: UInt32 {
        switch self {
        case .f2: MUSTER_TYPE_F16.rawValue
        case .f4: MUSTER_TYPE_F32.rawValue
        case .f8: MUSTER_TYPE_F64.rawValue
        case .i1: MUSTER_TYPE_I8.rawValue
        case .i2: MUSTER_TYPE_I16.rawValue
        case .i4: MUSTER_TYPE_I32.rawValue
        case .i8: MUSTER_TYPE_I64.rawValue
        case .u1: MUSTER_TYPE_U8.rawValue
        case .u2: MUSTER_TYPE_U16.rawValue
        case .u4: MUSTER_TYPE_U32.rawValue
        case .u8: MUSTER_TYPE_U64.rawValue
        case .bool: MUSTER_TYPE_BOOL.rawValue
        }
    }
}

extension Binding {
    /// `enum muster_binding`.
    var code: UInt32 {
        switch self {
        case .spread: MUSTER_SPREAD.rawValue
        case .compact: MUSTER_COMPACT.rawValue
        case .none: MUSTER_UNBOUND.rawValue
        case .cpus: MUSTER_CPUS.rawValue
        }
    }
}

extension Placement {
    /// `enum muster_placement_kind`.
    var code: UInt32 {
        switch self {
        case .firstTouch: MUSTER_FIRST_TOUCH.rawValue
        case .bind: MUSTER_BIND.rawValue
        case .interleave: MUSTER_INTERLEAVE.rawValue
        case .blocked: MUSTER_BLOCKED.rawValue
        case .weighted: MUSTER_WEIGHTED.rawValue
        case .mirrored: MUSTER_MIRRORED.rawValue
        }
    }
}

extension MusterError {
    /// `enum muster_error_code`.
    var cCode: Int32 {
        switch code {
        case .invalidArgument: MUSTER_ERROR_ARGUMENT.rawValue
        case .threads: MUSTER_ERROR_THREADS.rawValue
        case .start: MUSTER_ERROR_START.rawValue
        case .memory: MUSTER_ERROR_MEMORY.rawValue
        case .placement: MUSTER_ERROR_PLACEMENT.rawValue
        case .file: MUSTER_ERROR_FILE.rawValue
        case .fileShrank: MUSTER_ERROR_FILE_SHRANK.rawValue
        case .kernelThrew: MUSTER_ERROR_KERNEL.rawValue
        case .strayAccess: MUSTER_ERROR_STRAY.rawValue
        case .kernelUnknown: MUSTER_ERROR_NO_KERNEL.rawValue
        case .workerDied, .rankDied: MUSTER_ERROR_DEATH.rawValue
        case .quarantined: MUSTER_ERROR_QUARANTINE.rawValue
        case .serverDied: MUSTER_ERROR_SERVER.rawValue
        case .cancelled: MUSTER_ERROR_CANCELLED.rawValue
        case .audit: MUSTER_ERROR_AUDIT.rawValue
        case .system, .launcher:  // a leader has no launcher
            errorNumber == EPERM ? MUSTER_ERROR_NOT_LEADER.rawValue : MUSTER_ERROR_SYSTEM.rawValue
        }
    }
}
