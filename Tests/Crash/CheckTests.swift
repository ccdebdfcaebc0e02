// CheckTests.swift - kernels that touch what is not their chunk's: in check mode each is named.

import Testing

extension CrashTests {
    @Suite(.serialized) struct Check {
        /// Chunks of whole pages, and many chunks in one page; ranks of a fork and of a server.
        @Test(arguments: ["wrong-kernels", "served:wrong-kernels"], ["4096", "100"])
        func strayAccessesAreNamed(scenario: String, grain: String) throws {
            try run(scenario, grain)
        }

        @Test func randomKernelsAreSilentAndStrayStoresNamed() throws {
            try run("fuzz-check", "40", "0")
        }
    }
}
