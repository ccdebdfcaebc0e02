// main.swift - one scenario of a team test: `muster-test-host SCENARIO [arguments] DIRECTORY`.
//
// A scenario exits 0 when what it claims held, else with status 1 and the reason on stderr. What a
// test needs to know besides (process ids, figures) goes to stdout, one line each. Files are made in
// the directory, whose name also marks the forked workers: they have the same command line.

// C's streams are global variables, which strict concurrency does not like.
@preconcurrency import Glibc

let scenarios: [String: ([String]) throws -> Void] = [
    "ranks": ranks, "two-teams": twoTeams, "leader-works": leaderWorks, "held-rank": heldRank,
    "bad-sizes": badSizes, "hello": hello, "many-ranks": manyRanks,
    "loops": loops, "reductions": reductions, "empty": emptyLoops, "report": reportContents,
    "grains": grains,
    "kernels": kernels, "late-generic": lateKernels, "arguments": arguments, "throwing": throwing,
    "cancel": cancel, "mismatch": mismatch,
    "arrays": arrays, "rounds": rounds, "too-large": tooLarge,
    "npy": npyRoundTrip, "raw-files": rawFiles, "many-files": manyFiles, "shrunk": shrunkFile,
    "trap": trap, "trap-in-worker": trapInWorker,
    "death": deathInChunk, "death-at-point": deathAtPoint, "idle-death": idleDeath,
    "all-die": allDie, "death-in-creation": deathInCreation, "many-missing": manyMissing,
    "stopped": stoppedWorkers, "death-storm": deathStorm, "death-in-reduce": deathInReduce,
    "redo": redo, "redo-at-point": redoAtPoint, "quarantine": quarantine,
    "undo": undo, "stall": stall, "vacant": vacant, "hopeless": hopeless, "canary": canary,
    "work": work, "paused": paused,
    "threads": threadedLeader, "signals": signals,
    "descriptors": fewDescriptors, "processes": fewProcesses, "addresses": fewAddresses,
    "file-size": smallFiles, "creation": creationCost, "idle": idleCost, "chunks": manyChunks,
    "guest-topology": guestTopology, "guest-placements": guestPlacements,
    "guest-full-node": guestFullNode,
    "fault": fault, "fault-life": faultLife, "fault-save": faultInSave,
]

setvbuf(stdout, nil, _IOLBF, 0)
let given = Array(CommandLine.arguments.dropFirst())
guard given.count >= 2, let scenario = scenarios[given[0]], chdir(given.last!) == 0 else {
    explain("scenarios: \(scenarios.keys.sorted().joined(separator: " "))")
    exit(64)
}
do {
    try scenario(Array(given.dropFirst().dropLast()))
} catch {
    explain("\(given.joined(separator: " ")): \(error)")
    exit(1)
}
