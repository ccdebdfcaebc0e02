// Worker.swift - the life of a rank: wait for a job, find its kernel, run it, say how it ended.

internal import MusterCore
internal import Glibc

/// Where the parts of a job's argument bytes lie: the metatype's words, the length of the name, the
/// kernel's own bytes, the name.
enum ArgumentLayout {
    static let nameLength = 16
    static let kernel = 32
    static let capacity = Int(MUSTER_ARGUMENT_BYTES_MAX)
    static func name(kernelBytes: Int) -> Int { (kernel + kernelBytes + 15) / 16 * 16 }
}

/// A rank's part in jobs that run kernels. In a worker process, in the leader, or (in tests under a
/// thread sanitizer) in a thread.
struct RankPart {
    let team: OpaquePointer
    let rank: UInt32
    /// This rank's way through a job; `taken` and `touched` are kept from one to the next.
    private let loop: UnsafeMutablePointer<muster_loop>
    private let slot: UnsafeMutablePointer<muster_slot>

    init(team: OpaquePointer, rank: UInt32) {
        self.team = team
        self.rank = rank
        slot = muster_team_slot(team, rank)
        loop = muster_loop_create()
    }

    /// Gives back what this rank has for itself.
    func end() {
        muster_loop_destroy(loop)
    }

    /// Runs this rank's part of the loop in the job slot. `type`: the kernel's; nil: it is not known
    /// in this process.
    func run(
        _ job: UnsafeMutablePointer<muster_job>, _ number: UInt64, _ type: (any _Work.Type)?
    ) {
        var outcome = MUSTER_OUTCOME_KERNEL
        var tally: UInt64 = 0
        let status = muster_loop_begin(loop, team, rank)
        if status != 0 {
            outcome = MUSTER_OUTCOME_ERROR
            slot.pointee.outcome_status = status
        } else if let type {
            outcome = run(type, muster_job_arguments(job)!, number)
            tally = muster_loop_end(loop)
        } else {
            slot.pointee.outcome_status = 0
            _ = muster_loop_end(loop)
        }
        // Not before: the leader looks for `done` in this line, which each store takes from it.
        muster_slot_conclude(slot, outcome.rawValue, tally, number)
    }

    private func run(
        _ type: any _Work.Type, _ arguments: UnsafeMutableRawPointer, _ number: UInt64
    ) -> muster_outcome {
        var outcome = MUSTER_OUTCOME_FINE
        do {
            try type._work(at: UnsafeRawPointer(arguments) + ArgumentLayout.kernel, loop)
        } catch {
            // First what the kernel has changed, then the word about it.
            let undone = muster_loop_undo(loop, loop.pointee.cursor.next &- 1)
            outcome = describe(error, at: loop.pointee.cursor.next &- 1)
            if undone < 0 {
                outcome = MUSTER_OUTCOME_ERROR
                slot.pointee.outcome_status = undone
            }
            // Should this rank die now, its error is the loop's all the same.
            muster_slot_conclude(slot, outcome.rawValue, 0, number)
            muster_team_cancel(team)
            loop.pointee.taken.update(repeating: 0, count: Int(MUSTER_ARRAYS_MAX))
        }
        return outcome
    }

    /// Leaves the error's words in the slot.
    private func describe(
        _ error: any Error, at chunk: UInt64
    ) -> muster_outcome {
        var outcome = MUSTER_OUTCOME_THREW
        slot.pointee.outcome_chunk = chunk
        slot.pointee.outcome_status = 0
        switch error {
        case CKernelTrouble.returned(let status, _): slot.pointee.outcome_status = status
        case CKernelTrouble.notRun(let what, let status):
            outcome = what
            slot.pointee.outcome_status = status
        default: break
        }
        copyText(String(describing: error), to: messageBytes(of: slot))
        return outcome
    }
}

/// The life of a rank that is not the leader's own.
struct Worker {
    private let part: RankPart
    /// The leader's knowledge, which a forked rank has a copy of; nil: a fork server started this rank.
    private let core: TeamCore?
    /// The kernel that ran last, which mostly is the next one.
    private var last: (id: UInt32, type: any _Work.Type)?
    /// Those before it. No dictionary: its type would be looked up by each rank for itself, in all of the
    /// program's conformances, 40 us after the fork.
    private var earlier: [(id: UInt32, type: any _Work.Type)] = []

    init(core: TeamCore, rank: UInt32) { self.init(team: core.team, core: core, rank: rank) }

    init(team: OpaquePointer, core: TeamCore? = nil, rank: UInt32) {
        self.core = core
        part = RankPart(team: team, rank: rank)
    }

    /// Runs jobs until the team ends.
    mutating func run() {
        // A rank that starts between jobs begins after the last one, whose number its slot has.
        var seen = muster_team_slot(part.team, part.rank).pointee.done
        let job = muster_team_job(part.team)!
        while muster_worker_wait(part.team, part.rank, &seen) == 1 {
            part.run(job, seen, find(job))
            muster_worker_done(part.team, part.rank, seen)
        }
        part.end()
    }

    private mutating func find(_ job: UnsafeMutablePointer<muster_job>) -> (any _Work.Type)? {
        let id = job.pointee.kernel
        if let last, last.id == id { return last.type }
        let type = earlier.first { $0.id == id }?.type ?? findAnew(job, id)
        guard let type else { return nil }
        if let last, !earlier.contains(where: { $0.id == last.id }) { earlier.append(last) }
        last = (id, type)
        return type
    }

    private func findAnew(
        _ job: UnsafeMutablePointer<muster_job>, _ id: UInt32
    ) -> (any _Work.Type)? {
        if let core, Int(id) < core.kernels.entries.count {
            return core.kernels.entries[Int(id)].type
        }
        let arguments = UnsafeRawPointer(muster_job_arguments(job)!)
        if job.pointee.flags & MUSTER_JOB_KERNEL_IN_IMAGE.rawValue != 0 {
            // From a library loaded since the fork, the words mean nothing here.
            let words = arguments.load(as: (UInt, UInt).self)
            guard muster_address_is_static(UnsafeRawPointer(bitPattern: words.0)),
                muster_address_is_static(UnsafeRawPointer(bitPattern: words.1))
            else { return nil }
            return KernelTable.type(words: words)
        } else if job.pointee.flags & MUSTER_JOB_KERNEL_IN_PROGRAM.rawValue != 0 {
            return KernelTable.type(places: arguments.load(as: (UInt, UInt).self))
        } else {
            let length = Int(
                arguments.load(fromByteOffset: ArgumentLayout.nameLength, as: UInt32.self))
            let start = ArgumentLayout.name(kernelBytes: Int(job.pointee.argument_bytes))
            guard length > 0, length <= ArgumentLayout.capacity,
                start + length <= ArgumentLayout.capacity
            else { return nil }
            let name = UnsafeRawBufferPointer(start: arguments + start, count: length)
            return _typeByName(String(decoding: name, as: UTF8.self)) as? any _Work.Type
        }
    }
}

/// A slot's message. By address, not as `&slot.pointee.message`: to Swift that is an access to the whole
/// slot, whose other words other ranks read at the same time.
func messageBytes(of slot: UnsafeMutablePointer<muster_slot>) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(
        start: UnsafeMutableRawPointer(slot) + MemoryLayout<muster_slot>.offset(of: \.message)!,
        count: Int(MUSTER_MESSAGE_BYTES))
}

/// A rank run by a thread of the leader's process: the thread sanitizer sees one process only.
func startThread(_ core: TeamCore, rank: UInt32) -> pthread_t? {
    final class Start {
        let core: TeamCore
        let rank: UInt32
        init(core: TeamCore, rank: UInt32) {
            self.core = core
            self.rank = rank
        }
    }
    // Unowned: the team ends its threads before it goes away.
    let start = Unmanaged.passRetained(Start(core: core, rank: rank))
    var thread = pthread_t()
    let status = pthread_create(
        &thread, nil,
        { argument in
            let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
            var worker = Worker(core: start.core, rank: start.rank)
            worker.run()
            return nil
        }, start.toOpaque())
    if status != 0 {
        start.release()
        return nil
    }
    return thread
}
