/// The grain: chunk borders are what makes reductions the same bits everywhere, so every rule of
/// `muster_schedule_grain` is checked as its comment has it.

import CMuster
import Testing

private let chunksMost = UInt64(MUSTER_CHUNKS_MAX)

@Suite struct GrainTests {
    private static let sizes: [UInt64] =
        Array(0...300)
        + (9...50).flatMap { [(1 << $0) - 1, 1 << $0, (1 << $0) + 1] }
        + [chunksMost - 1, chunksMost, chunksMost + 1, 2 * chunksMost, 2 * chunksMost + 1]

    @Test func theDefaultIsAPowerOfTwoThatGivesAtLeast64Chunks() {
        for elements in GrainTests.sizes where elements <= 65_536 * chunksMost {
            let grain = muster_schedule_grain(elements, 0, 0)
            #expect(grain.nonzeroBitCount == 1 && grain <= 65_536, "\(elements): \(grain)")
            let chunks = muster_schedule_chunks(elements, grain)
            if elements >= 64 { #expect(chunks >= 64, "\(elements): \(chunks) chunks") }
            // No smaller than it must be: twice the grain would be too much, by either rule.
            #expect(
                grain == 65_536 || elements / (2 * grain) < 64 || elements < 64,
                "\(elements): \(grain)")
        }
    }

    @Test func aWishIsGrantedUnlessThereWouldBeTooManyChunks() {
        for elements in GrainTests.sizes {
            for wanted: UInt64 in [1, 2, 3, 64, 1000, 1 << 20, .max] {
                let grain = muster_schedule_grain(elements, wanted, 0)
                let chunks = muster_schedule_chunks(elements, grain)
                #expect(chunks <= chunksMost, "\(elements) by \(wanted): \(chunks) chunks")
                if muster_schedule_chunks(elements, wanted) <= chunksMost {
                    #expect(grain == wanted, "\(elements) by \(wanted): \(grain)")
                } else {
                    // Grown, and no further than needed.
                    #expect(muster_schedule_chunks(elements, grain - 1) > chunksMost)
                }
            }
        }
        for elements: UInt64 in [.max, .max - 1, 1 << 63] {
            let grain = muster_schedule_grain(elements, 1, 0)
            #expect(muster_schedule_chunks(elements, grain) <= chunksMost)
        }
    }

    /// "until partial results above 1 MiB in all take at most a sixteenth of one byte an element":
    /// up to the last chunk, which may be a short one.
    @Test func partialsStayUnderASixteenthOfTheData() {
        for elements in GrainTests.sizes {
            for wanted: UInt64 in [0, 1, 7, 4096] {
                for partial: UInt64 in [1, 8, 24, 64, 4096, 1 << 20, 1 << 21] {
                    let plain = muster_schedule_grain(elements, wanted, 0)
                    let grain = muster_schedule_grain(elements, wanted, partial)
                    #expect(grain >= plain)
                    let plainChunks = muster_schedule_chunks(elements, plain)
                    if plainChunks <= (1 << 20) / partial {
                        #expect(grain == plain, "\(elements) by \(wanted), \(partial) B: \(grain)")
                        continue
                    }
                    let whole = elements / grain  // chunks that are not short
                    #expect(
                        whole * partial <= elements / 16,
                        "\(elements) by \(wanted), \(partial) B: \(grain)")
                }
            }
        }
    }

    /// Nothing about the team goes in, so there is nothing to vary: the same question twice, with
    /// other questions between, is the same answer.
    @Test func theAnswerDependsOnTheQuestionOnly() {
        func ask() -> [UInt64] {
            GrainTests.sizes.flatMap { elements in
                [0, 1, 1000].map { muster_schedule_grain(elements, $0, elements % 100) }
            }
        }
        let before = ask()
        _ = muster_schedule_grain(123_456_789, 3, 99)
        #expect(ask() == before)
    }

    @Test func aLoopOfNothingHasAGrain() {
        #expect(muster_schedule_grain(0, 0, 0) == 1)
        #expect(muster_schedule_grain(0, 0, 1 << 30) >= 1)
        #expect(muster_schedule_grain(0, 5, 0) == 5)
    }
}
