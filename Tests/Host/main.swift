// main.swift - one scenario of a team test: `muster-test-host SCENARIO [arguments] DIRECTORY`.
//
// A scenario exits 0 when what it claims held, else with status 1 and the reason on stderr. What a
// test needs to know besides (process ids, figures) goes to stdout, one line each. Files are made in
// the directory, whose name also marks the forked workers: they have the same command line.

// C's streams are global variables, which strict concurrency does not like.
import MusterCore.Testing
@preconcurrency import Glibc
import TestSupport

takePart(CommandLine.arguments.dropFirst().first ?? "")

/// What a scenario runs.
/// Length: a line for each.
private func body(of scenario: Scenario) -> ([String]) throws -> Void {
    switch scenario {
    case .throws: documentedThrows
    case .wrongKernels: wrongKernels
    case .fuzzCheck: fuzzCheck
    case .ranks: ranks
    case .twoTeams: twoTeams
    case .leaderWorks: leaderWorks
    case .heldRank: heldRank
    case .badSizes: badSizes
    case .hello: hello
    case .manyRanks: manyRanks
    case .loops: loops
    case .repeated: repeated
    case .reductions: reductions
    case .empty: emptyLoops
    case .report: reportContents
    case .grains: grains
    case .binding: binding
    case .bindingTwice: bindingTwice
    case .bindingLimited: bindingLimited
    case .kernels: kernels
    case .lateGeneric: lateKernels
    case .arguments: arguments
    case .throwing: throwing
    case .cancel: cancel
    case .mismatch: mismatch
    case .rowsRedone: rowsRedone
    case .rowStencils: rowStencils
    case .rowRefusals: rowRefusals
    case .rowGrains: rowGrains
    case .arrays: arrays
    case .rounds: rounds
    case .tooLarge: tooLarge
    case .memoryGroup: memoryGroupLimit
    case .npy: npyRoundTrip
    case .rawFiles: rawFiles
    case .manyFiles: manyFiles
    case .statistics: statistics
    case .shrunk: shrunkFile
    case .trap: trap
    case .trapInWorker: trapInWorker
    case .death: deathInChunk
    case .deathAtPoint: deathAtPoint
    case .idleDeath: idleDeath
    case .allDie: allDie
    case .deathInCreation: deathInCreation
    case .manyMissing: manyMissing
    case .stopped: stoppedWorkers
    case .deathStorm: deathStorm
    case .deathInReduce: deathInReduce
    case .redo: redo
    case .redoAtPoint: redoAtPoint
    case .quarantine: quarantine
    case .undo: undo
    case .stall: stall
    case .vacant: vacant
    case .hopeless: hopeless
    case .canary: canary
    case .forkedAgain: forkedAgain
    case .neverBegins: neverBegins
    case .hiddenAccess: hiddenAccess
    case .caughtThrow: caughtThrow
    case .throwAndDie: throwAndDie
    case .shrunkBeside: shrunkBeside
    case .ownFork: ownFork
    case .deathsAtOnce: deathsAtOnce
    case .edgeWorks: edgeLeaderWorks
    case .edgeClash: edgeClash
    case .edgeLastWords: edgeLastWords
    case .edgeMany: edgeManyDeaths
    case .edgeAllKilled: edgeAllKilled
    case .edgeEachRank: edgeEachRank
    case .edgeQuarantines: edgeQuarantines
    case .edgeReadsOutput: edgeReadsOutput
    case .edgeUntouched: edgeUntouched
    case .edgeFile: edgeFile
    case .edgeReport: edgeReport
    case .edgeReduce: edgeReduce
    case .edgeAlone: edgeAlone
    case .edgeThousand: edgeThousand
    case .edgeOneLine: edgeOneLine
    case .edgeReaped: edgeReaped
    case .edgeTwoTeams: edgeTwoTeams
    case .edgeTwoArrays: edgeTwoArrays
    case .edgeJournal: edgeJournal
    case .edgeJournalMemory: edgeJournalMemory
    case .edgeStopped: edgeStopped
    case .edgeNotStalled: edgeNotStalled
    case .edgeShortage: edgeShortage
    case .edgeFullTable: edgeFullTable
    case .edgeRestarts: edgeRestarts
    case .edgeShortageForRank: edgeShortageForRank
    case .edgeFault: edgeFault
    case .timeline: timelineOfLoops
    case .timelineDeaths: timelineOfDeaths
    case .timelineTheft: timelineOfTheft
    case .timelineFull: timelineThatIsFull
    case .tracedMember: tracedMember
    case .tracedLoops: tracedLoops
    case .timelineLong: timelineThatIsLong
    case .work: work
    case .paused: paused
    case .refused: refused
    case .swiftMembers: swiftMembers
    case .threads: threadedLeader
    case .signals: signals
    case .descriptors: fewDescriptors
    case .processes: fewProcesses
    case .addresses: fewAddresses
    case .fileSize: smallFiles
    case .smallSave: smallSave
    case .idle: idleCost
    case .chunks: manyChunks
    case .serverThreads: serverForThreads
    case .sameStart: sameStart
    case .times: startTimes
    case .forgotten: forgottenLine
    case .program: teamProgram
    case .stray: strayServer
    case .never: neverServes
    case .threadsFirst: badServer
    case .crashing: badServer
    case .variable: strangeVariable
    case .serverRedo: serverRedo
    case .serverDeath: serverDeath
    case .serverDeaths: serverDeaths
    case .servedKernels: servedKernels
    case .surroundings: surroundings
    case .deletedProgram: deletedProgram
    case .serverFault: faultInServer
    case .copies: copies
    case .raised: raised
    case .raisedInner: raisedInner
    case .creation: creationCost
    case .guestTopology: guestTopology
    case .guestPlacements: guestPlacements
    case .guestFullNode: guestFullNode
    case .guestMirrored: guestMirrored
    case .guestSteal: guestSteal
    case .guestTimeline: guestTimeline
    case .guestCpusets: guestCpusets
    case .guestMigrated: guestMigrated
    case .guestHotplug: guestHotplug
    case .guestHomes: guestHomes
    case .member: member
    case .strayMember: strayMember
    case .launchFault: launchFault
    case .output: outputOfKernels
    case .crash: crash
    case .wrong: wrongKernel
    case .right: rightKernel
    case .fault: fault
    case .faultLife: faultLife
    case .faultSave: faultInSave
    }
}

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
if name.hasPrefix(Scenario.Way.checked.rawValue) {
    name.removeFirst(Scenario.Way.checked.rawValue.count)
    setenv("MUSTER_CHECK", "1", 1)
}
if name.hasPrefix(Scenario.Way.served.rawValue) {
    name.removeFirst(Scenario.Way.served.rawValue.count)
    usualStart = .forkServer
}
guard given.count >= 2, let scenario = Scenario(rawValue: name), chdir(given.last!) == 0 else {
    explain("scenarios: \(Scenario.allCases.map(\.rawValue).sorted().joined(separator: " "))")
    exit(64)
}
do {
    try body(of: scenario)(Array(given.dropFirst().dropLast()))
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
