// JobSlot.swift - where the leader writes what the ranks are to do next.

internal import Glibc
internal import MusterCore

/// The team's job slot. It knows of kernels and their bytes, not of processes.
struct JobSlot {
    let job: UnsafeMutablePointer<muster_job>

    /// Writes which kernel it is, and its bytes. `knownKernels`: that the ranks were forked with.
    func writeArguments(
        of work: UnsafeRawBufferPointer, _ entry: KernelEntry, knownKernels: Int
    ) throws(MusterError) {
        let size = work.count
        var name: [UInt8] = []
        if case .name(let bytes) = entry.lookup, Int(entry.id) >= knownKernels { name = bytes }
        let nameOffset = ArgumentLayout.name(kernelBytes: size)
        guard nameOffset + name.count <= ArgumentLayout.capacity else {
            throw MusterError(
                .invalidArgument, subject: entry.name,
                reason: "its properties take \(size) bytes, at most "
                    + "\(ArgumentLayout.capacity - ArgumentLayout.kernel - name.count - 16) fit; put "
                    + "large tables into a shared array")
        }
        job.pointee.kernel = entry.id
        job.pointee.argument_bytes = UInt32(size)
        job.pointee.flags = 0
        if case .image = entry.lookup { job.pointee.flags = MUSTER_JOB_KERNEL_IN_IMAGE.rawValue }
        let arguments = UnsafeMutableRawPointer(muster_job_arguments(job)!)
        arguments.storeBytes(of: KernelTable.words(of: entry.type), as: (UInt, UInt).self)
        if case .program(let metadata, let witnesses) = entry.lookup {
            job.pointee.flags = MUSTER_JOB_KERNEL_IN_PROGRAM.rawValue
            arguments.storeBytes(of: (metadata, witnesses), as: (UInt, UInt).self)
        }
        arguments.storeBytes(
            of: UInt32(name.count), toByteOffset: ArgumentLayout.nameLength, as: UInt32.self)
        // A kernel without properties has no bytes, and then may have no address either.
        if let start = work.baseAddress {
            (arguments + ArgumentLayout.kernel).copyMemory(from: start, byteCount: size)
        }
        if !name.isEmpty {
            name.withUnsafeBytes { bytes in
                (arguments + nameOffset).copyMemory(
                    from: bytes.baseAddress!, byteCount: bytes.count)
            }
        }
    }

    /// Puts the kernel's bytes into the job slot where they are others than there. Returns false where
    /// it uses other arrays than the one before: those have to be checked. (Of a C kernel its caller has
    /// found that they are the same.)
    func replaceArguments(
        _ work: UnsafeRawPointer, _ bytes: Int, _ accesses: [AccessField]
    ) -> Bool {
        if bytes == 0 { return true }
        let slot = UnsafeMutableRawPointer(muster_job_arguments(job)!) + ArgumentLayout.kernel
        if memcmp(slot, work, bytes) == 0 { return true }
        for access in accesses {
            if memcmp(slot + access.offset, work + access.offset, access.byteCount) != 0 {
                return false
            }
        }
        slot.copyMemory(from: work, byteCount: bytes)
        return true
    }
}
