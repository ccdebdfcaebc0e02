/* audit.c - what the rolls of a team amount to: while a loop runs, a guess; then, the audit.
 */
#include "team/state.h"

/* Whether the ranks' tallies say that each has done all between what the ranks before and after it
 * have: then no two have done one chunk, and none is left out. */
static bool tallies_join(const struct muster_team *team)
{
    uint64_t done = 0;
    for (uint32_t rank = 0; rank < team->plan.size; rank++) {
        struct muster_interval tally = muster_schedule_unpack(team->slots[rank].tally);
        if (tally.first != done || tally.end <= done)
            return false;
        done = tally.end;
    }
    return done == team->loop.count;
}

bool muster_team_is_clean(struct muster_team *team)
{
    struct muster_audit audit;
    if (team->death_count > 0 || muster_team_cancelled(team))
        return false;
    for (uint32_t rank = 0; rank < team->plan.size; rank++) {
        const struct muster_slot *slot = &team->slots[rank];
        if (!team->ranks[rank].held || slot->outcome_job != team->job_number ||
            slot->outcome != MUSTER_OUTCOME_FINE)
            return false;
    }
    if (tallies_join(team))
        return true;
    return muster_team_audit(team, &audit, NULL, 0) == 0 &&
           audit.exactly_once == team->loop.count && audit.chunks == team->loop.count;
}

int64_t muster_team_audit(struct muster_team *team, struct muster_audit *audit,
                          struct muster_finding *findings, uint64_t findings_capacity)
{
    return muster_audit((const struct muster_roll *const *)team->rolls, team->plan.size,
                        team->plan.chunk_capacity, team->loop.number, team->loop.first,
                        team->loop.count, audit, findings, findings_capacity);
}

int64_t muster_team_audit_ranks(struct muster_team *team, struct muster_interval interval,
                                uint32_t *ranks, uint64_t ranks_capacity)
{
    return muster_audit_ranks((const struct muster_roll *const *)team->rolls, team->plan.size,
                              team->plan.chunk_capacity, team->loop.number, team->loop.first,
                              team->loop.count, interval, ranks, ranks_capacity);
}

uint64_t muster_team_rank_progress(const struct muster_team *team, uint32_t rank)
{
    return muster_roll_progress(team->rolls[rank], team->plan.chunk_capacity, team->loop.number);
}

uint64_t muster_team_progress(const struct muster_team *team)
{
    uint64_t chunks = 0;
    for (uint32_t rank = 0; rank < team->plan.size; rank++)
        chunks += muster_team_rank_progress(team, rank);
    return chunks;
}

bool muster_team_finish(struct muster_team *team, int64_t timeout_ns)
{
    return muster_team_join(team, timeout_ns) == MUSTER_JOIN_ENDED && muster_team_is_clean(team);
}
