// TimelineTests.swift - what is recorded of loops is what has happened in them.

import Testing

extension CrashTests {
    @Suite(.serialized) struct Timelines {
        @Test(arguments: [1, 3], ["waits", "works"])
        func everyChunkIsInItOnce(size: Int, leader: String) throws {
            try run("timeline", size, leader)
            try run("served:timeline", size, leader)
        }

        @Test(arguments: ["in-place", "whole", "out-of-place", "reduce"])
        func deathsAndAttempts(kind: String) throws { try run("timeline-deaths", kind) }

        @Test func whatIsStolenSaysSo() throws { try run("timeline-theft") }

        @Test func aMillionEventsTakeNoGigabyte() throws { try run("timeline-long") }

        @Test func whatThereIsNoRoomForIsCounted() throws {
            try run("timeline-full")
            try run("served:timeline-full")
        }
    }
}
