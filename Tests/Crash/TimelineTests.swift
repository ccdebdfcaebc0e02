// TimelineTests.swift - what is recorded of loops is what has happened in them.

import TestSupport
import Testing

extension CrashTests {
    @Suite(.serialized) struct Timelines {
        @Test(arguments: [1, 3], ["waits", "works"])
        func everyChunkIsInItOnce(size: Int, leader: String) throws {
            try run(.timeline, size, leader)
            try run(.timeline, in: .served, size, leader)
        }

        @Test(arguments: ["in-place", "whole", "out-of-place", "reduce"])
        func deathsAndAttempts(kind: String) throws { try run(.timelineDeaths, kind) }

        @Test func whatIsStolenSaysSo() throws { try run(.timelineTheft) }

        @Test func aMillionEventsTakeNoGigabyte() throws { try run(.timelineLong) }

        @Test func whatThereIsNoRoomForIsCounted() throws {
            try run(.timelineFull)
            try run(.timelineFull, in: .served)
        }
    }
}
