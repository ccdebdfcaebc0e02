// CKernel.swift - kernels that are C functions: how they travel to the ranks and run there.
//
// In the job slot a C kernel is an order (core/work.h): where the function is, the arrays that it uses, its
// arguments. To the team it is one more kernel type, whose accesses and bytes come with each loop.

internal import MusterCore
internal import Glibc

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
        case -ENOEXEC, -ESTALE:
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

/// Where the ranks find a C kernel's function.
enum CKernelPlace {
    /// Ranks that were forked have it where the leader does.
    case address(UInt)
    /// In another process of this program.
    case program(Int64)
    /// In another process that has loaded the same file.
    case file(muster_place)

    /// - Throws: `.kernelUnknown`: the ranks can't have the function.
    init(_ pointer: UnsafeRawPointer, in core: TeamCore) throws(MusterError) {
        func unknown(_ reason: String) -> MusterError {
            MusterError(.kernelUnknown, subject: "kernel", reason: reason)
        }
        guard core.start == .server else {
            guard muster_address_is_static(pointer) else {
                throw unknown(
                    "it is in no file that this program has mapped, so the ranks don't have it")
            }
            self = .address(UInt(bitPattern: pointer))
            return
        }
        let offset = muster_program_offset(pointer)
        if core.ranks.serverProgram == nil, offset >= 0 {
            self = .program(offset)
            return
        }
        var place = muster_place()
        switch muster_place_find(pointer, &place) {
        case 0: self = .file(place)
        case -ENODATA:
            throw unknown(
                "its library has no build-id, by which a fork server's ranks would find it: link the "
                    + "library with -Wl,--build-id, or start the team by fork")
        default:
            throw unknown(
                "it is a function of no file, and ranks of a fork server know no other: call it from "
                    + "one that is, or start the team by fork")
        }
    }
}

/// What a leader in C gave for a loop, as bytes for the job slot.
struct CKernelOrder {
    private(set) var bytes: [UInt8] = []
    private(set) var accesses: [AccessField] = []

    init(
        kernel: CKernelPlace,
        uses: [CUse],
        arguments: UnsafeRawBufferPointer
    ) {
        var order = muster_work_order()
        order.use_count = UInt32(uses.count)
        order.argument_bytes = UInt32(arguments.count)
        switch kernel {
        case .address(let address):
            order.kernel = UInt64(address)
            order.naming = MUSTER_WORK_BY_ADDRESS.rawValue
        case .program(let offset):
            order.kernel = UInt64(offset)
            order.naming = MUSTER_WORK_IN_PROGRAM.rawValue
        case .file(let place):
            order.kernel = place.offset
            order.build = place.build
            order.name = place.name
            order.naming = MUSTER_WORK_IN_FILE.rawValue
        }
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
