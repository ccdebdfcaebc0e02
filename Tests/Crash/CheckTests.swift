// CheckTests.swift - kernels that touch what is not their chunk's: in check mode each is named.

import Testing

extension CrashTests {
    @Suite(.serialized) struct Check {
        /// Chunks of whole pages, and many chunks in one page; ranks of a fork and of a server.
        @Test(
            arguments: [
                ("wrong-kernels", "4096"), ("wrong-kernels", "100"),
                ("served:wrong-kernels", "4096"),
            ])
        func strayAccessesAreNamed(scenario: String, grain: String) throws {
            try run(scenario, grain)
        }

        @Test func randomKernelsAreSilentAndStrayStoresNamed() throws {
            try run("fuzz-check", "20", "0")
        }
    }
}
