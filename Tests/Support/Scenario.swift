// Scenario.swift - the names of the scenarios that tests run in processes of their own.

/// What the helper program of team tests can do, `muster-test-host SCENARIO [arguments] DIRECTORY`. Tests and
/// program share the names, so that a wrong one does not compile.
public enum Scenario: String, CaseIterable, Sendable {
    case `throws`, wrongKernels = "wrong-kernels", fuzzCheck = "fuzz-check", ranks
    case twoTeams = "two-teams", leaderWorks = "leader-works", heldRank = "held-rank"
    case badSizes = "bad-sizes", hello, manyRanks = "many-ranks", loops, repeated, reductions
    case empty, report, grains, binding, bindingTwice = "binding-twice"
    case bindingLimited = "binding-limited", kernels, lateGeneric = "late-generic", arguments
    case throwing, cancel, mismatch, rowsRedone = "rows-redone", rowStencils = "row-stencils"
    case rowRefusals = "row-refusals", rowGrains = "row-grains", arrays, rounds
    case tooLarge = "too-large", memoryGroup = "memory-group", npy, rawFiles = "raw-files"
    case manyFiles = "many-files", statistics, shrunk, trap, trapInWorker = "trap-in-worker"
    case death, deathAtPoint = "death-at-point", idleDeath = "idle-death", allDie = "all-die"
    case deathInCreation = "death-in-creation", manyMissing = "many-missing", stopped
    case deathStorm = "death-storm", deathInReduce = "death-in-reduce", redo
    case redoAtPoint = "redo-at-point", quarantine, undo, stall, vacant, hopeless, canary
    case forkedAgain = "forked-again", neverBegins = "never-begins"
    case hiddenAccess = "hidden-access", caughtThrow = "caught-throw"
    case throwAndDie = "throw-and-die", shrunkBeside = "shrunk-beside", ownFork = "own-fork"
    case deathsAtOnce = "deaths-at-once", edgeWorks = "edge-works", edgeClash = "edge-clash"
    case edgeLastWords = "edge-last-words", edgeMany = "edge-many"
    case edgeAllKilled = "edge-all-killed", edgeEachRank = "edge-each-rank"
    case edgeQuarantines = "edge-quarantines", edgeReadsOutput = "edge-reads-output"
    case edgeUntouched = "edge-untouched", edgeFile = "edge-file", edgeReport = "edge-report"
    case edgeReduce = "edge-reduce", edgeAlone = "edge-alone", edgeThousand = "edge-thousand"
    case edgeOneLine = "edge-one-line", edgeReaped = "edge-reaped"
    case edgeTwoTeams = "edge-two-teams", edgeTwoArrays = "edge-two-arrays"
    case edgeJournal = "edge-journal", edgeJournalMemory = "edge-journal-memory"
    case edgeStopped = "edge-stopped", edgeNotStalled = "edge-not-stalled"
    case edgeShortage = "edge-shortage", edgeFullTable = "edge-full-table"
    case edgeRestarts = "edge-restarts", edgeShortageForRank = "edge-shortage-for-rank"
    case edgeFault = "edge-fault", timeline, timelineDeaths = "timeline-deaths"
    case timelineTheft = "timeline-theft", timelineFull = "timeline-full"
    case tracedMember = "traced-member", tracedLoops = "traced-loops"
    case timelineLong = "timeline-long", work, paused, refused, swiftMembers = "swift-members"
    case threads, signals, descriptors, processes, addresses, fileSize = "file-size"
    case smallSave = "small-save", idle, chunks, serverThreads = "server-threads"
    case sameStart = "same-start", times, forgotten, program, stray, never
    case threadsFirst = "threads-first", crashing, variable, serverRedo = "server-redo"
    case serverDeath = "server-death", serverDeaths = "server-deaths"
    case servedKernels = "served-kernels", surroundings, deletedProgram = "deleted-program"
    case serverFault = "server-fault", copies, raised, raisedInner = "raised-inner", creation
    case guestTopology = "guest-topology", guestPlacements = "guest-placements"
    case guestFullNode = "guest-full-node", guestMirrored = "guest-mirrored"
    case guestSteal = "guest-steal", guestTimeline = "guest-timeline"
    case guestCpusets = "guest-cpusets", guestMigrated = "guest-migrated"
    case guestHotplug = "guest-hotplug", guestHomes = "guest-homes", member
    case strayMember = "stray-member", launchFault = "launch-fault", output, crash, wrong, right
    case fault, faultLife = "fault-life", faultSave = "fault-save"

    /// How its teams are made.
    public enum Way: String, Sendable {
        /// By fork.
        case plain = ""
        /// By a fork server.
        case served = "served:"
        /// In check mode.
        case checked = "checked:"
    }
}
