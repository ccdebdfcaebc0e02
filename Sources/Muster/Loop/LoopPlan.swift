// LoopPlan.swift - what a loop was asked to be.

/// A loop's shape, before it is cut into chunks.
@usableFromInline
struct LoopPlan {
    var count: Int?
    var grain: Int?
    var schedule: Schedule
    var batch: Int
    var recovery: Recovery
    var stallTimeout: Duration?
    /// Chunk r is for rank r and for no other.
    var isByRank: Bool

    @usableFromInline
    init(
        count: Int?, grain: Int? = nil, schedule: Schedule, batch: Int = 1,
        recovery: Recovery = .redo(), stallTimeout: Duration? = nil, isByRank: Bool = false
    ) {
        self.count = count
        self.grain = grain
        self.schedule = schedule
        self.batch = batch
        self.recovery = recovery
        self.stallTimeout = stallTimeout
        self.isByRank = isByRank
    }
}
