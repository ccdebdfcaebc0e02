// PlacementTests.swift - the scenarios of the guests (Tests/Guest/run), on this machine: with one node they
// show less, and must hold all the same.

import TestSupport
import Testing

extension CrashTests {
    @Suite struct Placements {
        @Test(
            "Placements, mirrored arrays and the order of stealing",
            arguments: [
                Scenario.guestPlacements, .guestMirrored, .guestSteal,
            ])
        func hold(_ scenario: Scenario) throws { try run(scenario) }
    }
}
