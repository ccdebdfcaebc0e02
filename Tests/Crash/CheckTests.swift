// CheckTests.swift - the table of wrong kernels, with check mode off and on; and random ones.

import Testing

extension CrashTests {
    @Suite(.serialized) struct Check {
        /// Chunks of whole pages, and many chunks in one page; ranks of a fork and of a server.
        @Test(
            arguments: [
                ("wrong-kernels", "4096"), ("wrong-kernels", "100"),
                ("served:wrong-kernels", "4096"),
            ])
        func wrongKernelsAreNamed(scenario: String, grain: String) throws {
            // "NAME | off | WORDS", then the same with it on. The scenario itself holds the words.
            let lines = try run(scenario, grain)
            #expect(lines.count { $0.contains(" | on  | ") } >= 14)
        }

        @Test func randomKernelsAreSilentAndStrayStoresNamed() throws {
            try run("fuzz-check", "20", "0")
        }
    }
}
