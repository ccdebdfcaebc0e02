// main.swift - one scenario of a team test: `muster-test-host SCENARIO [arguments] DIRECTORY`.
//
// A scenario exits 0 when what it claims held, else with status 1 and the reason on stderr. What a
// test needs to know besides (process ids, figures) goes to stdout, one line each. Files are made in
// the directory, whose name also marks the forked workers: they have the same command line.

// C's streams are global variables, which strict concurrency does not like.
import MusterCore.Testing
@preconcurrency import Glibc

takePart(CommandLine.arguments.dropFirst().first ?? "")

let scenarios: [String: ([String]) throws -> Void] = [
    "throws": documentedThrows, "wrong-kernels": wrongKernels, "fuzz-check": fuzzCheck,
    "ranks": ranks, "two-teams": twoTeams, "leader-works": leaderWorks, "held-rank": heldRank,
    "bad-sizes": badSizes, "hello": hello, "many-ranks": manyRanks,
    "loops": loops, "repeated": repeated, "reductions": reductions, "empty": emptyLoops,
    "report": reportContents,
    "grains": grains,
    "binding": binding, "binding-twice": bindingTwice, "binding-limited": bindingLimited,
    "kernels": kernels, "late-generic": lateKernels, "arguments": arguments, "throwing": throwing,
    "cancel": cancel, "mismatch": mismatch,
    "rows-redone": rowsRedone, "row-stencils": rowStencils, "row-refusals": rowRefusals,
    "row-grains": rowGrains,
    "arrays": arrays, "rounds": rounds, "too-large": tooLarge, "memory-group": memoryGroupLimit,
    "npy": npyRoundTrip, "raw-files": rawFiles, "many-files": manyFiles,
    "statistics": statistics, "shrunk": shrunkFile,
    "trap": trap, "trap-in-worker": trapInWorker,
    "death": deathInChunk, "death-at-point": deathAtPoint, "idle-death": idleDeath,
    "all-die": allDie, "death-in-creation": deathInCreation, "many-missing": manyMissing,
    "stopped": stoppedWorkers, "death-storm": deathStorm, "death-in-reduce": deathInReduce,
    "redo": redo, "redo-at-point": redoAtPoint, "quarantine": quarantine,
    "undo": undo, "stall": stall, "vacant": vacant, "hopeless": hopeless, "canary": canary,
    "forked-again": forkedAgain, "never-begins": neverBegins, "hidden-access": hiddenAccess,
    "caught-throw": caughtThrow, "throw-and-die": throwAndDie, "shrunk-beside": shrunkBeside,
    "own-fork": ownFork, "deaths-at-once": deathsAtOnce,
    "edge-works": edgeLeaderWorks, "edge-clash": edgeClash, "edge-last-words": edgeLastWords,
    "edge-many": edgeManyDeaths,
    "edge-all-killed": edgeAllKilled, "edge-each-rank": edgeEachRank,
    "edge-quarantines": edgeQuarantines, "edge-reads-output": edgeReadsOutput,
    "edge-untouched": edgeUntouched, "edge-file": edgeFile, "edge-report": edgeReport,
    "edge-reduce": edgeReduce, "edge-alone": edgeAlone, "edge-thousand": edgeThousand,
    "edge-one-line": edgeOneLine, "edge-reaped": edgeReaped, "edge-two-teams": edgeTwoTeams,
    "edge-two-arrays": edgeTwoArrays, "edge-journal": edgeJournal,
    "edge-journal-memory": edgeJournalMemory, "edge-stopped": edgeStopped,
    "edge-not-stalled": edgeNotStalled, "edge-shortage": edgeShortage,
    "edge-full-table": edgeFullTable, "edge-restarts": edgeRestarts,
    "edge-shortage-for-rank": edgeShortageForRank, "edge-fault": edgeFault,
    "timeline": timelineOfLoops, "timeline-deaths": timelineOfDeaths,
    "timeline-theft": timelineOfTheft, "timeline-full": timelineThatIsFull,
    "traced-member": tracedMember, "traced-loops": tracedLoops,
    "timeline-long": timelineThatIsLong,
    "work": work, "paused": paused,
    "refused": refused, "swift-members": swiftMembers,
    "threads": threadedLeader, "signals": signals,
    "descriptors": fewDescriptors, "processes": fewProcesses, "addresses": fewAddresses,
    "file-size": smallFiles, "small-save": smallSave, "idle": idleCost, "chunks": manyChunks,
    "server-threads": serverForThreads, "same-start": sameStart, "times": startTimes,
    "forgotten": forgottenLine, "program": teamProgram, "stray": strayServer, "never": neverServes,
    "threads-first": badServer, "crashing": badServer, "variable": strangeVariable,
    "server-redo": serverRedo, "server-death": serverDeath, "server-deaths": serverDeaths,
    "served-kernels": servedKernels,
    "surroundings": surroundings, "deleted-program": deletedProgram,
    "server-fault": faultInServer, "copies": copies, "raised": raised, "raised-inner": raisedInner,
    "creation": creationCost, "guest-topology": guestTopology, "guest-placements": guestPlacements,
    "guest-full-node": guestFullNode, "guest-mirrored": guestMirrored, "guest-steal": guestSteal,
    "guest-timeline": guestTimeline, "guest-cpusets": guestCpusets, "guest-migrated": guestMigrated,
    "guest-hotplug": guestHotplug, "guest-homes": guestHomes,
    "member": member, "stray-member": strayMember, "launch-fault": launchFault,
    "output": outputOfKernels, "crash": crash, "wrong": wrongKernel, "right": rightKernel,
    "fault": fault, "fault-life": faultLife, "fault-save": faultInSave,
]

setvbuf(stdout, nil, _IOLBF, 0)
var given = Array(CommandLine.arguments.dropFirst())
/// `broken BREAKAGE SCENARIO ...`: with the protocol broken so, the scenario must notice.
var breakage: UInt32?
if given.first == "broken", given.count > 2 {
    breakage = UInt32(given[1])
    given.removeFirst(2)
    muster_testing_break(muster_breakage(breakage ?? 0))
}
var name = given.first ?? ""
if name.hasPrefix("checked:") {
    name.removeFirst("checked:".count)
    setenv("MUSTER_CHECK", "1", 1)
}
if name.hasPrefix("served:") {
    name.removeFirst("served:".count)
    usualStart = .forkServer
}
guard given.count >= 2, let scenario = scenarios[name], chdir(given.last!) == 0 else {
    explain("scenarios: \(scenarios.keys.sorted().joined(separator: " "))")
    exit(64)
}
do {
    try scenario(Array(given.dropFirst().dropLast()))
    if let breakage {
        explain("\(given.joined(separator: " ")): breakage \(breakage) is not noticed")
        exit(1)
    }
} catch {
    if breakage != nil {
        print("noticed: \(error)")
        exit(0)
    }
    explain("\(given.joined(separator: " ")): \(error)")
    exit(1)
}
