// CheckTests.swift - the table of wrong kernels, with check mode off and on; and random ones.

import TestSupport
import Testing

extension CrashTests {
    @Suite(.serialized) struct Check {
        /// Chunks of whole pages, and many chunks in one page; ranks of a fork and of a server.
        @Test(
            arguments: [
                (Scenario.Way.plain, "4096"), (.plain, "100"), (.served, "4096"),
            ])
        func wrongKernelsAreNamed(way: Scenario.Way, grain: String) throws {
            // "NAME | off | WORDS", then the same with it on. The scenario itself holds the words.
            let lines = try run(.wrongKernels, in: way, grain)
            #expect(lines.count { $0.contains(" | on  | ") } >= 14)
        }

        @Test func randomKernelsAreSilentAndStrayStoresNamed() throws {
            try run(.fuzzCheck, "20", "0")
        }
    }
}
