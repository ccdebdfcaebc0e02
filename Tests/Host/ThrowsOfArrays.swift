// ThrowsOfArrays.swift - what the functions of arrays, files and timelines throw, each error provoked.

import MusterCore
import MusterCore.Testing
@preconcurrency import Glibc
import Muster

/// A `.npy` file of so many numbers, in this scenario's directory.
func npyFile(_ name: String, _ values: [Double] = [1, 2, 3, 4]) throws -> String {
    try prepared {
        let team = try Team(size: 1)
        try team.array(values).save(npy: name)
        return name
    }
}

/// A function that makes an array, and the call on a team that works otherwise.
private let makers: [(name: String, make: @Sendable (borrowing Team) throws -> Void)] = [
    (
        "Team.array(of:count:placement:pages:)",
        { _ = try $0.array(of: UInt8.self, count: 1 << 26).count }
    ),
    (
        "Team.array(of:shape:placement:pages:)",
        { _ = try $0.array(of: UInt8.self, shape: [1 << 13, 1 << 13]).count }
    ),
    (
        "Team.array(_:placement:pages:)",
        { _ = try $0.array([Int64](repeating: 1, count: 1 << 20)).count }
    ),
    (
        "Team.array(npy:as:writable:)",
        { _ = try $0.array(npy: "made.npy", as: Double.self).count }
    ),
    ("Team.array(file:of:writable:)", { _ = try $0.array(file: "made.npy", of: UInt8.self).count }),
    ("Team.numbers(npy:)", { _ = try $0.numbers(npy: "made.npy").count }),
    ("Team.startTimeline(eventsPerRank:)", { try $0.startTimeline() }),
]

/// What each of them throws. Nobody is left to take part where each rank dies of what the call asks.
func makingThrows() -> [Provocation] {
    makers.flatMap { name, make in
        func withDyingRanks(_ obstruct: () throws -> Void) throws {
            _ = try npyFile("made.npy")
            let team = try aTeam(start: .fork, check: .off)
            try prepared { _ = try team.eachRank(DieOfMemory()) }
            try obstruct()
            try make(team)
        }
        // A rank that dies of the mapping of a file has not begun its part: the leader does that.
        let deaths =
            name.contains("npy") || name.contains("file")
            ? []
            : [
                Provocation(name, .start) { try withDyingRanks { try noProcesses() } },
                Provocation(name, .threads) { try withDyingRanks { startThread() } },
            ]
        return deaths + [
            Provocation(name, .invalidArgument) {
                _ = try npyFile("made.npy")
                try whileLoopRuns { try make($0.team) }
            },
            Provocation(name, .system) {
                _ = try npyFile("made.npy")
                try atSomeCall(.system) { arm in
                    let team = try sleepingTeam()
                    arm()
                    try make(team)
                }
            },
        ]
            + (name.contains("Timeline")
                ? []
                : [
                    Provocation(name, .memory) {
                        _ = try npyFile("made.npy")
                        let team = try Team(size: 1)
                        try withManyArrays(1024, of: team) { try make(team) }
                    }
                ])
    }
}

/// Makes arrays without elements, keeps them, and calls the body.
private func withManyArrays(
    _ count: Int, of team: borrowing Team, _ body: () throws -> Void
) throws {
    guard count > 0 else { return try body() }
    let array = try prepared { try team.array(of: UInt8.self, count: 0) }
    try withManyArrays(count - 1, of: team, body)
    _ = array.count
}

func arrayThrows() -> [Provocation] {
    let nowhere = Placement.bind(node: 1023)
    var rows: [Provocation] = [
        Provocation("Team.array(of:count:placement:pages:)", .placement) {
            _ = try aTeam().array(of: UInt8.self, count: 10, placement: nowhere).count
        },
        Provocation("Team.array(of:shape:placement:pages:)", .placement) {
            _ = try aTeam().array(of: UInt8.self, shape: [10], placement: nowhere).count
        },
        Provocation("Team.array(_:placement:pages:)", .placement) {
            _ = try aTeam().array([1, 2, 3], placement: nowhere).count
        },
        Provocation("Team.array(npy:as:writable:)", .file) {
            _ = try aTeam().array(npy: "absent.npy", as: Double.self).count
        },
        Provocation("Team.array(file:of:writable:)", .file) {
            _ = try aTeam().array(file: "absent.raw", of: Double.self).count
        },
        Provocation("Team.numbers(npy:)", .file) {
            _ = try aTeam().numbers(npy: "absent.npy").count
        },
        Provocation("SharedArray.save(npy:)", .file) {
            try aTeam().array([1.0]).save(npy: "absent/saved.npy")
        },
        Provocation("SharedArray.save(npy:)", .invalidArgument) {
            try whileLoopRuns { try $0.array.save(npy: "saved.npy") }
        },
        Provocation("SharedArray.mirror()", .invalidArgument) {
            try whileLoopRuns(.mirrored) { try $0.array.mirror() }
        },
        Provocation("SharedArray.mirror()", .system) {
            try atSomeCall(.system) { arm in
                let team = try sleepingTeam()
                var array = try team.array(of: Double.self, count: 1000, placement: .mirrored)
                arm()
                try array.mirror()
            }
        },
    ]
    for placement in [Placement.firstTouch, .mirrored] {
        rows.append(
            Provocation("SharedArray.fill(_:)", .system) {
                try atSomeCall(.system) { arm in
                    let team = try sleepingTeam()
                    var array = try team.array(
                        of: Double.self, count: 1 << 20, placement: placement)
                    arm()
                    try array.fill(1)
                }
            })
    }
    return rows + readBackThrows()
}

private func readBackThrows() -> [Provocation] {
    func unread(_ read: (borrowing SharedArray<Double>) throws -> Void) throws {
        let team = try aTeam()
        let array = try prepared {
            try team.array(of: Double.self, count: 1000, placement: .blocked)
        }
        try claim(muster_testing_refuse(MUSTER_REFUSE_RESIDENCY) == 0, "no filter")
        try read(array)
    }
    return [
        Provocation("SharedArray.residency()", .placement) {
            try unread { _ = try $0.residency() }
        },
        Provocation("SharedArray.residencyByChunk(grain:)", .placement) {
            try unread { _ = try $0.residencyByChunk() }
        },
        Provocation("SharedArray.residencyByChunk(grain:)", .invalidArgument) {
            _ = try aTeam().array([1.0]).residencyByChunk(grain: 0)
        },
        Provocation("SharedArray.verifiedFraction()", .placement) {
            try unread { _ = try $0.verifiedFraction() }
        },
    ]
}

func timelineThrows() -> [Provocation] {
    [
        Provocation("Team.startTimeline(eventsPerRank:)", .invalidArgument) {
            try aTeam().startTimeline(eventsPerRank: 0)
        },
        Provocation("Team.startTimeline(eventsPerRank:)", .memory) {
            try Team(size: 100).startTimeline(eventsPerRank: 1 << 32)
        },
        Provocation("Team.endTimeline()", .invalidArgument) {
            _ = try aTeam().endTimeline()
        },
    ]
}

// MARK: - This host

func hostThrows() -> [Provocation] {
    let nul = "a\0b"
    return [
        Provocation("Topology.read()", .system) {
            try noDescriptors()
            _ = try Topology.read()
        },
        Provocation("Topology.init(recordedAt:)", .system) {
            _ = try Topology(recordedAt: "absent")
        },
        Provocation("Topology.init(recordedAt:)", .file) { _ = try Topology(recordedAt: nul) },
        Provocation("Topology.caches()", .system) {
            let host = try Topology.read()
            try noDescriptors()
            _ = try host.caches()
        },
        Provocation("Topology.record(to:)", .file) {
            try Topology.record(to: "/proc/self/absent")
        },
        Provocation("Topology.record(to:)", .system) {
            try noDescriptors()
            try Topology.record(to: "recorded")
        },
        Provocation("Diagnosis.init()", .system) {
            try noDescriptors()
            _ = try Diagnosis()
        },
        Provocation("Diagnosis.init(recordedAt:)", .system) {
            _ = try Diagnosis(recordedAt: "absent")
        },
        Provocation("Diagnosis.init(recordedAt:)", .file) { _ = try Diagnosis(recordedAt: nul) },
    ]
}
