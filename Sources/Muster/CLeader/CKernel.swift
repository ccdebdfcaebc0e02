// CKernel.swift - kernels that are C functions: how they travel to the ranks and run there.
//
// In the job slot a C kernel is an order (core/work.h): where the function is, the arrays that it uses, its
// arguments. To the team it is one more kernel type, whose accesses and bytes come with each loop.

internal import MusterCore

/// The head of a C kernel's bytes.
struct CKernel: _Work {
    let order: muster_work_order

    func _work(_ loop: UnsafeMutablePointer<muster_loop>) throws {
        var failure = muster_work_failure()
        let status = muster_work_run(
            loop, loop.pointee.arguments + ArgumentLayout.kernel,
            UInt64(ArgumentLayout.capacity - ArgumentLayout.kernel), &failure)
        switch status {
        case 0: return
        case 1:
            let words = withUnsafeBytes(of: &failure.message) { String(upToNUL: $0) }
            throw CKernelTrouble.returned(failure.status, words)
        case -ENOEXEC:
            throw CKernelTrouble.notRun(MUSTER_OUTCOME_KERNEL, status)
        default:
            throw CKernelTrouble.notRun(MUSTER_OUTCOME_ERROR, status)
        }
    }
}

/// Why a C kernel's loop ended early, for the rank's slot.
enum CKernelTrouble: Error, CustomStringConvertible {
    /// It returned other than 0, and may have explained itself.
    case returned(Int32, String)
    /// It can't be run in this process.
    case notRun(muster_outcome, Int32)

    var description: String {
        if case .returned(_, let words) = self { return words }
        return ""
    }
}

/// An array that a C kernel uses, checked.
struct CUse {
    let handle: _ArrayHandle
    let elementBytes: Int
    let kind: AccessKind
    /// `enum muster_use_flag`.
    let flags: UInt32
    let elementsPerIndex: UInt64
}

/// What a leader in C gave for a loop, as bytes for the job slot.
struct CKernelOrder {
    private(set) var bytes: [UInt8] = []
    private(set) var accesses: [AccessField] = []

    /// - Parameter kernel: The function's address, or its place in the program.
    init(
        kernel: UInt64, inProgram: Bool,
        uses: [CUse],
        arguments: UnsafeRawBufferPointer
    ) {
        let order = muster_work_order(
            kernel: kernel, in_program: inProgram ? 1 : 0, use_count: UInt32(uses.count),
            argument_bytes: UInt32(arguments.count), reserved: 0)
        append(order)
        for use in uses {
            let perIndex = MemoryLayout<muster_work_use>.offset(of: \.elements_per_index)!
            accesses.append(
                AccessField(
                    offset: bytes.count, kind: use.kind, elementBytes: use.elementBytes,
                    flags: use.flags, rowOffset: bytes.count + perIndex))
            let handle = use.handle
            append(
                muster_work_use(
                    team: UInt64(handle.team), offset_bytes: UInt64(handle.offset),
                    count: UInt64(handle.count), array: handle.id, generation: handle.generation,
                    element_bytes: UInt64(use.elementBytes), access: use.kind.code,
                    flags: use.flags, elements_per_index: use.elementsPerIndex))
        }
        bytes += arguments
    }

    private mutating func append<Value: BitwiseCopyable>(_ value: Value) {
        withUnsafeBytes(of: value) { bytes += $0 }
    }
}

extension AccessKind {
    /// As the C core numbers it.
    var code: UInt32 {
        switch self {
        case .input: MUSTER_ACCESS_INPUT.rawValue
        case .output: MUSTER_ACCESS_OUTPUT.rawValue
        case .inPlace: MUSTER_ACCESS_IN_PLACE.rawValue
        }
    }

    init?(code: UInt32) {
        switch muster_access(code) {
        case MUSTER_ACCESS_INPUT: self = .input
        case MUSTER_ACCESS_OUTPUT: self = .output
        case MUSTER_ACCESS_IN_PLACE: self = .inPlace
        default: return nil
        }
    }
}
