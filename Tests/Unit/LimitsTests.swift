/// limits.h: what a team reserves under limits from nothing to everything, and the words for what is
/// short.

import MusterCore
import Glibc
import TestSupport
import Testing

private let mib: UInt64 = 1 << 20
private let gib: UInt64 = 1 << 30
private let fixed = 2 * mib

private func limits(
    addresses: UInt64 = .max, used: UInt64 = 0, file: UInt64 = .max, page: UInt64 = 4096
) -> muster_limits {
    var limits = muster_limits()
    limits.address_bytes = addresses
    limits.address_used_bytes = used
    limits.file_bytes = file
    limits.data_bytes = .max
    limits.page_bytes = page
    return limits
}

private func plan(
    _ limits: muster_limits, ranks: UInt32
) -> (status: Int32, plan: muster_reservation, shortage: muster_shortage) {
    var limits = limits
    var planned = muster_reservation()
    var shortage = muster_shortage()
    let status = muster_reservation_plan(&limits, ranks, fixed, &planned, &shortage)
    return (status, planned, shortage)
}

private func fits(_ limits: muster_limits, _ ranks: UInt32) -> Bool {
    plan(limits, ranks: ranks).status == 0
}

private func words(_ shortage: muster_shortage) -> String {
    var shortage = shortage
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { text in
        let length = muster_shortage_text(&shortage, text.baseAddress, text.count)
        let words = String(cString: text.baseAddress!)
        #expect(words.utf8.count == length)
        return words
    }
}

@Suite struct LimitsTests {
    @Test func withoutLimitsAllIsReserved() {
        let (status, planned, _) = plan(limits(), ranks: 3)
        #expect(status == 0 && planned.chunk_capacity == UInt64(MUSTER_CHUNKS_MAX))
        #expect(planned.journal_bytes == UInt64(MUSTER_JOURNAL_BYTES_MAX))
        #expect(planned.space_bytes == 8192 * gib && planned.arena_bytes == 2048 * gib)
        let rank = muster_roll_bytes(UInt64(MUSTER_CHUNKS_MAX)) + UInt64(MUSTER_JOURNAL_BYTES_MAX)
        #expect(planned.control_bytes == fixed + 3 * rank)
    }

    /// Every limit on addresses from nothing to a pebibyte: it fits and leaves the program its share, or
    /// the shortage says what more would have done.
    @Test func aPlanFitsIntoAddressesOrIsRefusedByName() {
        for (ranks, page) in [(1, 4096), (2, 65536), (64, 4096), (4096, 65536)]
            as [(UInt32, UInt64)]
        {
            var hasFitted = false
            var last: UInt64 = 0
            for power in 16...200 {
                let left = UInt64(pow(2, Double(power) / 4))
                let narrow = limits(addresses: 777 * mib + left, used: 777 * mib, page: page)
                let (status, planned, shortage) = plan(narrow, ranks: ranks)
                if status != 0 {
                    #expect(status == -ENOMEM && !hasFitted, "\(ranks) ranks, \(left) bytes left")
                    #expect(shortage.limit == MUSTER_LIMIT_ADDRESSES.rawValue)
                    #expect(shortage.most == 777 * mib + left && shortage.used == 777 * mib)
                    #expect(shortage.needed > left)
                    // What it asks for is enough.
                    var enough = narrow
                    enough.address_bytes = 777 * mib + shortage.needed
                    #expect(fits(enough, ranks), "\(ranks) ranks, \(left) bytes left")
                    continue
                }
                hasFitted = true
                let kept = Int64(left) - Int64(planned.control_bytes) - Int64(planned.space_bytes)
                #expect(kept >= 2 * Int64(mib), "\(ranks) ranks, \(left) bytes left")
                #expect(planned.arena_bytes > 0 && planned.arena_bytes < planned.space_bytes)
                #expect(
                    planned.space_bytes % (2 * mib) == 0 && planned.arena_bytes % (2 * mib) == 0)
                #expect(
                    planned.space_bytes >= last || planned.space_bytes > 2 << 40,
                    "more gives no less")
                last = planned.space_bytes
                #expect(planned.chunk_capacity >= 65535 && planned.journal_bytes >= page)
            }
            #expect(hasFitted)
        }
    }

    @Test func noFileIsLongerThanItMayBe() {
        var hasFitted = false
        for power in 40...220 {
            let most = UInt64(pow(2, Double(power) / 5))
            let (status, planned, shortage) = plan(limits(file: most), ranks: 2)
            if status != 0 {
                #expect(status == -EFBIG && !hasFitted && shortage.needed > most)
                #expect(shortage.limit == MUSTER_LIMIT_FILE_SIZE.rawValue && shortage.most == most)
                continue
            }
            hasFitted = true
            #expect(planned.control_bytes <= most && planned.arena_bytes <= most, "\(most)")
            #expect(planned.arena_bytes >= 2 * mib && planned.space_bytes == 8192 * gib)
            // A hundred gibibytes of file, say, are no reason to work in small pieces.
            if most > 4 * gib { #expect(planned.chunk_capacity == UInt64(MUSTER_CHUNKS_MAX)) }
        }
        #expect(hasFitted)
    }

    /// What is journaled with the grain that is chosen goes into a journal until the last steps.
    @Test func journalsShrinkLast() {
        for gibibytes: UInt64 in [1, 2, 4, 16, 100] {
            let (status, planned, _) = plan(limits(addresses: gibibytes * gib), ranks: 8)
            #expect(status == 0 && planned.journal_bytes >= mib, "\(gibibytes) GiB: \(planned)")
        }
    }

    @Test func membersShareAnEighthOfTheirAddresses() {
        var capacity: UInt64 = 0
        var shortage = muster_shortage()
        for power in 24...60 {
            var narrow = limits(addresses: 1 << power, used: 8 * mib)
            let status = muster_reservation_members(&narrow, 4, fixed, &capacity, &shortage)
            let least = fixed + 4 * muster_roll_bytes(65535)
            if status == 0 {
                let bytes = fixed + 4 * muster_roll_bytes(capacity)
                #expect(bytes <= max(least, narrow.address_bytes / 8), "2^\(power)")
            } else {
                #expect(narrow.address_bytes < 8 * mib + least)
                #expect(shortage.needed == least)
            }
        }
        var short = limits(file: 3 * mib)
        #expect(muster_reservation_members(&short, 4, fixed, &capacity, &shortage) == 0)
        #expect(fixed + 4 * muster_roll_bytes(capacity) <= 3 * mib)
        short.file_bytes = mib
        #expect(muster_reservation_members(&short, 4, fixed, &capacity, &shortage) == -EFBIG)
        #expect(shortage.limit == MUSTER_LIMIT_FILE_SIZE.rawValue)
    }

    @Test func aSpaceShrinksUntilNothingIsLeft() {
        var planned = plan(limits(), ranks: 1).plan
        var steps = 0
        while muster_reservation_shrink(&planned) == 0 {
            steps += 1
            #expect(planned.arena_bytes > 0 && planned.arena_bytes < planned.space_bytes)
        }
        #expect(steps == 20 && planned.space_bytes == 8 * mib)
    }

    @Test func shortagesNameTheLimitItsValueAndTheNeed() {
        var shortage = muster_shortage()
        #expect(words(shortage) == "")
        shortage.limit = 99
        #expect(words(shortage) == "")
        shortage = muster_shortage(
            limit: MUSTER_LIMIT_ADDRESSES.rawValue, reserved: 0, most: 8000 << 10, used: 7 * mib,
            needed: 512 * mib)
        #expect(
            words(shortage) == "RLIMIT_AS allows 7.8 MiB of addresses, 7 MiB are taken, and this "
                + "needs 512 MiB more: raise it (ulimit -v 531456 or more)")
        shortage = muster_shortage(
            limit: MUSTER_LIMIT_FILE_SIZE.rawValue, reserved: 0, most: mib, used: 0,
            needed: 2 * mib)
        #expect(
            words(shortage) == "RLIMIT_FSIZE allows files of 1 MiB (shared memory is one), and "
                + "this needs 2 MiB: raise it (ulimit -f 2048 or more)")
        shortage = muster_shortage(
            limit: MUSTER_LIMIT_FILES.rawValue, reserved: 0, most: 24, used: 5, needed: 85)
        #expect(
            words(shortage) == "RLIMIT_NOFILE allows 24 open files, 5 are taken, and this needs 85 "
                + "more: raise it (ulimit -n 90 or more)")
        shortage.limit = MUSTER_LIMIT_GROUP_PROCESSES.rawValue
        #expect(words(shortage).hasPrefix("pids.max allows this cgroup 24 processes and threads"))
        for limit in MUSTER_LIMIT_ADDRESSES.rawValue...MUSTER_LIMIT_GROUP_PROCESSES.rawValue {
            shortage.limit = limit
            #expect(
                words(shortage).contains("85 more") || words(shortage).contains("85 bytes more"))
        }
    }

    /// Each kind of failure is put down to the limit that can have caused it, and to none else.
    @Test func blameFollowsTheErrorNumber() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 64 << 20, rlim_max: .max)
            getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            limit.rlim_cur = 64 << 20
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            func blamed(_ status: Int32, _ needed: UInt64, processes: Bool = false) -> UInt32 {
                var shortage = muster_shortage()
                muster_limits_blame(status, needed, processes, &shortage)
                return shortage.limit
            }
            #expect(blamed(-EFBIG, 1) == MUSTER_LIMIT_FILE_SIZE.rawValue)
            #expect(blamed(-ENOMEM, 1) == MUSTER_LIMIT_NONE.rawValue)
            #expect(blamed(-EMFILE, 1) == MUSTER_LIMIT_FILES.rawValue)
            #expect(blamed(-EIO, 1) == MUSTER_LIMIT_NONE.rawValue)
            getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
            limit.rlim_cur = min(limit.rlim_max, 100 << 40)
            setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
            #expect(blamed(-ENOMEM, 1) == MUSTER_LIMIT_NONE.rawValue)
            #expect(blamed(-ENOMEM, 101 << 40) == MUSTER_LIMIT_ADDRESSES.rawValue)
        }
    }
}
