// WrongKernelTests.swift - a kernel with a mistake ends its loop after a few deaths, and the error names
// the function, what the runtime said and what may be wrong; standard error stays empty.

import TestSupport
import Testing

extension CrashTests {
    @Suite(.serialized) struct WrongKernels {
        private static let mistakes = [
            "index", "null", "division", "overflow", "sum", "unwrap", "words", "exit", "call",
            "precondition", "view", "range",
        ]

        /// Of a server's ranks three: they differ in how they begin, not in how they die.
        @Test(
            arguments: mistakes.map { (Scenario.Way.plain, $0) }
                + ["index", "words", "exit"].map { (.served, $0) })
        func aMistakeIsNamedOnce(way: Scenario.Way, mistake: String) throws {
            let host = try HostProcess(.wrong, in: way, [mistake])
            let outcome = host.finish()
            #expect(!outcome.isLate)
            #expect(outcome.exitStatus == 0, "\(outcome.errors)\(outcome.output)")
            #expect(outcome.errors == "", "what ranks have said is in the error, not here")
            host.expectNothingLeft(mistake)
        }

        @Test(arguments: [Scenario.Way.plain, .served])
        func oneBadChunkAmongTheFirstIsQuarantinedAlone(way: Scenario.Way) throws {
            try run(.right, in: way)
        }
    }
}
