/// The grain: chunk borders are what makes reductions the same bits everywhere, so every rule of
/// `muster_schedule_grain` is checked as its comment has it.

import MusterCore
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

    /// Where that gives more chunks than there can be, the loop is refused, not the wish.
    @Test func aWishIsGranted() {
        for elements in GrainTests.sizes + [.max, .max - 1, 1 << 63] {
            for wanted: UInt64 in [1, 2, 3, 64, 1000, 1 << 20, .max] {
                for partial: UInt64 in [0, 8, 1 << 20] {
                    #expect(muster_schedule_grain(elements, wanted, partial) == wanted)
                }
            }
        }
    }

    /// "until partial results above 1 MiB in all take at most a sixteenth of one byte an element":
    /// up to the last chunk, which may be a short one.
    @Test func partialsStayUnderASixteenthOfTheData() {
        for elements in GrainTests.sizes {
            for wanted: UInt64 in [0] {
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

    /// Rows: chunks of 512 KiB at most, of one row at least, and what a wish is granted does not depend on them.
    @Test func aDefaultChunkOfRowsIsBoundedInBytes() {
        for count in GrainTests.sizes where count <= 1 << 40 {
            for bytes: UInt64 in [1, 8, 9, 16, 100, 4096, 65_536, 524_288, 524_289, 1 << 33] {
                let grain = muster_schedule_grain_of_rows(count, 0, 0, bytes)
                let plain = muster_schedule_grain(count, 0, 0)
                let least = muster_schedule_chunks(count, chunksMost)
                #expect(grain >= 1 && grain <= plain, "\(count) of \(bytes) B: \(grain)")
                #expect(
                    grain == max(1, least) || grain * bytes <= 512 << 10,
                    "\(count) of \(bytes) B: \(grain)")
                // No smaller than it must be.
                #expect(
                    grain == plain || 2 * grain * bytes > 512 << 10,
                    "\(count) of \(bytes) B: \(grain)")
                #expect(
                    muster_schedule_grain_of_rows(count, 77, 0, bytes)
                        == muster_schedule_grain(count, 77, 0))
            }
        }
    }

    /// A partial result is weighed against the elements of a chunk, not its rows: else few rows would be one chunk.
    @Test func partialsOfRowsAreWeighedAgainstElements() {
        for width: UInt64 in [1, 7, 1000, 1 << 20] {
            let grain = muster_schedule_grain_of_rows(1 << 30, 0, 4096, 8 * width)
            #expect(grain * width >= 16 * 4096 && (grain == 1 || (grain - 1) * width < 16 * 4096))
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
