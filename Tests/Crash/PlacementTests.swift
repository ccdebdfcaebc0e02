// PlacementTests.swift - the scenarios of the guests (Tests/Guest/run), on this machine: with one node they
// show less, and must hold all the same.

import Testing

extension CrashTests {
    @Suite struct Placements {
        @Test(
            "Placements, mirrored arrays and the order of stealing",
            arguments: [
                "guest-placements", "guest-mirrored", "guest-steal",
            ])
        func hold(_ scenario: String) throws { try run(scenario) }
    }
}
