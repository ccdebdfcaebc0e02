/// The deals themselves, without a team: what each function of schedule.h promises of its numbers.

import MusterCore
import TestSupport
import Testing

private func length(_ interval: muster_interval) -> UInt64 { interval.end - interval.first }

@Suite struct ScheduleDealTests {
    @Test func blocksCoverTheCountInOrderAndDifferByOneAtMost() {
        let counts = Array(0...70) + [1 << 20, UInt64(MUSTER_CHUNKS_MAX), (1 << 40) + 7]
        for count in counts {
            for size in Array(1...40) + [UInt32(MUSTER_RANKS_MAX)] {
                var next: UInt64 = 0
                var shortest = UInt64.max
                var longest: UInt64 = 0
                for rank in 0..<size {
                    let block = muster_schedule_block(count, size, rank)
                    if block.first != next || block.end < block.first {
                        Issue.record("\(count) in \(size): rank \(rank) has \(block)")
                        return
                    }
                    next = block.end
                    shortest = min(shortest, length(block))
                    longest = max(longest, length(block))
                }
                #expect(next == count && longest - shortest <= 1, "\(count) in \(size)")
            }
        }
    }

    @Test func chunksAreTheQuotientRoundedUp() {
        for elements: UInt64 in 0...200 {
            for grain: UInt64 in 1...40 {
                let chunks = muster_schedule_chunks(elements, grain)
                #expect(chunks * grain >= elements)
                #expect(chunks == 0 ? elements == 0 : (chunks - 1) * grain < elements)
            }
        }
        // Rounding up by adding first would overflow here.
        #expect(muster_schedule_chunks(.max, 1) == .max)
        #expect(muster_schedule_chunks(.max, .max) == 1)
        #expect(muster_schedule_chunks(.max, .max - 1) == 2)
    }

    @Test func aDynamicCounterDealsEachNumberOnce() {
        for count: UInt64 in 0...40 {
            for batch: UInt64 in 1...9 {
                var counter: UInt64 = 0
                var next: UInt64 = 0
                while true {
                    let taken = muster_schedule_take(&counter, count, batch)
                    if taken.first == taken.end { break }
                    #expect(taken.first == next && taken.end <= count)
                    #expect(length(taken) == batch || taken.end == count)
                    next = taken.end
                }
                #expect(next == count, "\(count) by \(batch)")
                // Idle ranks that ask again and again don't drive the counter on.
                let stood = counter
                for _ in 0..<10 { _ = muster_schedule_take(&counter, count, batch) }
                #expect(counter == stood && counter < count + batch)
            }
        }
    }

    @Test func theFrontOfAWordIsTakenInOrder() {
        for count: UInt64 in 0...40 {
            for most: UInt64 in 1...9 {
                var word = muster_schedule_pack(muster_interval(first: 3, end: 3 + count))
                var next: UInt64 = 3
                while true {
                    let taken = muster_schedule_take_front(&word, most)
                    if taken.first == taken.end { break }
                    #expect(taken.first == next)
                    #expect(length(taken) == most || taken.end == 3 + count)
                    next = taken.end
                }
                #expect(next == 3 + count, "\(count) by \(most)")
            }
        }
    }

    @Test func guidedPortionsShrinkAndStayAtLeastABatch() {
        for count: UInt64 in Array(0...200) + [100_000, UInt64(MUSTER_CHUNKS_MAX)] {
            for batch: UInt64 in [1, 2, 7, 300] {
                for size: UInt32 in [1, 2, 3, 8, 4096] {
                    // Huge counts in single chunks would be billions of steps.
                    if count > 100_000 && batch < 300 && size > 8 { continue }
                    var counter: UInt64 = 0
                    var next: UInt64 = 0
                    var last = UInt64.max
                    var steps = 0
                    while steps < 200_000 {
                        let taken = muster_schedule_take_guided(&counter, count, batch, size)
                        if taken.first == taken.end { break }
                        let rest = count - next
                        let wanted = max(rest / (2 * UInt64(size)), min(batch, rest))
                        if taken.first != next || length(taken) != wanted || length(taken) > last {
                            Issue.record("\(count) by \(batch), \(size) ranks: \(taken) at \(next)")
                            return
                        }
                        last = length(taken)
                        next = taken.end
                        steps += 1
                    }
                    #expect(
                        next == count || steps == 200_000, "\(count) by \(batch), \(size) ranks")
                }
            }
        }
    }

    @Test func claimWordsHoldAnyRestOfTheLongestLoop() {
        let most = UInt64(MUSTER_CHUNKS_MAX)
        for first in [0, 1, 77, most - 1, most] {
            for end in [first, most] {
                let rest = muster_schedule_unpack(
                    muster_schedule_pack(muster_interval(first: first, end: end)))
                #expect(rest.first == first && rest.end == end)
            }
        }
    }

    @Test func anOwnerTakesASixteenthFromTheFront() {
        for count: UInt64 in Array(0...100) + [UInt64(MUSTER_CHUNKS_MAX)] {
            var word = muster_schedule_pack(muster_interval(first: 0, end: count))
            var next: UInt64 = 0
            while true {
                let taken = muster_schedule_take_own(&word)
                if taken.first >= taken.end { break }
                if taken.first != next || length(taken) != max(1, (count - next) / 16) {
                    Issue.record("of \(count), at \(next): \(taken)")
                    return
                }
                next = taken.end
            }
            #expect(next == count)
            #expect(muster_schedule_take_own(&word).end == 0, "an empty word stays empty")
        }
    }

    @Test func aThiefTakesTheBackHalfOfTheFullestOther() {
        var random = Seeded(5)
        for size: UInt32 in 1...8 {
            for thief in 0..<size {
                for _ in 0..<60 {
                    var words = (0..<size).map { _ -> UInt64 in
                        let first = random.next() % 50
                        return muster_schedule_pack(
                            muster_interval(first: first, end: first + random.next() % 6))
                    }
                    let before = words
                    let stride = MemoryLayout<UInt64>.stride
                    let taken = muster_schedule_steal(&words, stride, size, thief, nil)
                    let rests = before.map { length(muster_schedule_unpack($0)) }
                    let others = rests.indices.filter { $0 != Int(thief) }
                    let fullest = others.map { rests[$0] }.max() ?? 0
                    let changed = words.indices.filter { words[$0] != before[$0] }
                    guard fullest > 0 else {
                        #expect(taken.first >= taken.end && changed.isEmpty)
                        continue
                    }
                    #expect(length(taken) == (fullest + 1) / 2)
                    #expect(changed.count == 1)
                    guard let victim = changed.first else { continue }
                    let was = muster_schedule_unpack(before[victim])
                    let left = muster_schedule_unpack(words[victim])
                    #expect(victim != Int(thief) && rests[victim] == fullest)
                    #expect(left.first == was.first && left.end == taken.first)
                    #expect(taken.end == was.end)
                }
            }
        }
    }

    @Test func aThiefTakesOfTheFullestWithinTheNearestDistanceThatHasWork() {
        var random = Seeded(11)
        for round in 0..<2000 {
            let size = 2 + random.next() % 7
            let thief = random.next() % size
            let distances = (0..<size).map { _ in UInt8([10, 11, 20, 255][Int(random.next() % 4)]) }
            var words = (0..<size).map { _ -> UInt64 in
                let first = random.next() % 50
                return muster_schedule_pack(
                    muster_interval(first: first, end: first + random.next() % 4))
            }
            let before = words
            let taken = muster_schedule_steal(
                &words, MemoryLayout<UInt64>.stride, UInt32(size), UInt32(thief), distances)
            let rests = before.map { length(muster_schedule_unpack($0)) }
            let busy = rests.indices.filter { $0 != Int(thief) && rests[$0] > 0 }
            let changed = words.indices.filter { words[$0] != before[$0] }
            guard let nearest = busy.map({ distances[$0] }).min() else {
                #expect(taken.first >= taken.end && changed.isEmpty)
                continue
            }
            let most = busy.filter { distances[$0] == nearest }.map { rests[$0] }.max()!
            #expect(length(taken) == (most + 1) / 2, "round \(round)")
            #expect(changed.count == 1 && distances[changed[0]] == nearest, "round \(round)")
        }
    }

    @Test func theStrideOfStolenWordsIsHonoured() {
        // Every second word belongs to somebody else and looks fullest.
        var words: [UInt64] = [0, 9, 2, 9].map {
            muster_schedule_pack(muster_interval(first: 0, end: $0 * 10))
        }
        let taken = muster_schedule_steal(&words, 16, 2, 0, nil)
        #expect(taken.first == 10 && taken.end == 20)
        #expect(muster_schedule_unpack(words[1]).end == 90)
        #expect(muster_schedule_unpack(words[3]).end == 90)
    }
}
