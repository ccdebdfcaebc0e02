/* deaths.c - the leader's side of a worker's death: noting it, and what comes after the dead one.
 *
 * Invariant: a death is noted exactly once, by muster__note_death, which is also the only place
 * that makes a rank vacant while the team lives.
 */
#include <muster/testing.h>
#include <stdlib.h>

#include "team/state.h"

/* What a dead rank has left of the interval that it took last: from its first chunk that is not in
 * the roll to the end. Empty: nothing, or it had taken none in this job. */
static struct muster_interval unfinished(const struct muster_team *team, uint32_t rank)
{
    const struct muster_slot *slot = &team->slots[rank];
    const struct muster__loop *loop = &team->loop;
    struct muster_interval none = {0, 0};
    if (team->job_kind != MUSTER_JOB_LOOP ||
        __atomic_load_n(&slot->current_job, __ATOMIC_ACQUIRE) != team->job_number)
        return none;
    struct muster_interval taken =
        muster_schedule_unpack(__atomic_load_n(&slot->current, __ATOMIC_ACQUIRE));
    if (taken.first >= taken.end || taken.end > loop->count)
        return none;
    struct muster_interval chunks = {loop->first + taken.first, loop->first + taken.end};
    uint64_t at = chunks.end;
    if (muster_roll_first_missing(team->rolls[rank], team->plan.chunk_capacity, loop->number,
                                  loop->first, loop->count, chunks, &at) < 0)
        return none;
    taken.first = at - loop->first;
    return taken;
}

static uint32_t phase_of(const struct muster_team *team, uint32_t rank)
{
    const struct muster_slot *slot = &team->slots[rank];
    if (team->job_number == 0 || __atomic_load_n(&slot->done, __ATOMIC_ACQUIRE) == team->job_number)
        return MUSTER_PHASE_IDLE;
    if (team->job_kind != MUSTER_JOB_LOOP || !team->loop.traced ||
        __atomic_load_n(&slot->current_job, __ATOMIC_ACQUIRE) != team->job_number)
        return MUSTER_PHASE_DISPATCH;
    return __atomic_load_n(&slot->phase, __ATOMIC_RELAXED);
}

/* The list grows when ranks die, are replaced and die again before the leader looks. A death that
 * there is no memory for is not forgotten either: it takes the newest one's place, whose rank is
 * vacant like its own, and both show as holes. */
static void list_death(struct muster_team *team, struct muster_death death)
{
    if (team->death_count == team->death_capacity) {
        uint32_t capacity = 2 * team->death_capacity;
        struct muster_death *longer = realloc(team->deaths, capacity * sizeof *longer);
        if (longer) {
            team->deaths = longer;
            team->death_capacity = capacity;
        } else {
            team->death_count--;
        }
    }
    team->deaths[team->death_count++] = death;
}

/* Reaps a worker and makes its rank vacant. */
void muster__note_death(struct muster_team *team, uint32_t rank)
{
    struct muster__rank *entry = &team->ranks[rank];
    int code = 0, status = 0;
    if (!entry->held || entry->pidfd < 0)
        return;
    int reaped = team->server ? muster__server_reap(team, rank, &code, &status)
                              : muster__os_reap(entry->pidfd, false, &code, &status);
    if (team->server && reaped == -EOWNERDEAD) {
        muster__note_fallen(team); /* this rank among them */
        return;
    }
    if (reaped == 0)
        return; /* still alive */
    struct muster_death death = {.rank = rank,
                                 .pid = entry->pid,
                                 .chunk = UINT64_MAX,
                                 .seen_ns = muster__os_now_ns(),
                                 .phase = phase_of(team, rank)};
    if (reaped < 0)
        death.exit_code = -1; /* somebody else has reaped it */
    else if (code == 1 /* CLD_EXITED */)
        death.exit_code = status;
    else
        death.signal = status;
    death.has_fault = muster_fault_take(&team->faults[rank], (uint64_t)entry->pid, &death.fault);
    bool in_job = team->job_number > 0 &&
                  __atomic_load_n(&team->slots[rank].done, __ATOMIC_ACQUIRE) != team->job_number;
    if (in_job) {
        death.job = team->job_number;
        struct muster_interval rest = unfinished(team, rank);
        if (rest.first < rest.end)
            death.chunk = team->loop.first + rest.first;
        team->someone_died = true;
    }
    list_death(team, death);
    muster__os_epoll_remove(team->epoll, entry->pidfd);
    muster__os_close(entry->pidfd);
    muster__os_close(entry->socket);
    *entry = (struct muster__rank){.pidfd = -1, .socket = -1};
    __atomic_store_n(&team->slots[rank].holder, 0, __ATOMIC_RELEASE);
}

void muster__note_fallen(struct muster_team *team)
{
    if (!muster__server_has_fallen(team))
        return;
    for (uint32_t rank = 0; rank < team->plan.size; rank++)
        if (team->ranks[rank].pidfd >= 0)
            muster__note_death(team, rank);
}

void muster_team_plan_successor(struct muster_team *team, uint32_t rank, bool skip)
{
    struct muster_slot *slot = &team->slots[rank];
    const struct muster__loop *loop = &team->loop;
    if (team->ranks[rank].held || !team->running || team->job_kind != MUSTER_JOB_LOOP)
        return;
    bool begun = __atomic_load_n(&slot->current_job, __ATOMIC_ACQUIRE) == team->job_number;
    struct muster_interval taken =
        muster_schedule_unpack(__atomic_load_n(&slot->current, __ATOMIC_ACQUIRE));
    if (begun && taken.first < taken.end) {
        struct muster_interval rest = unfinished(team, rank);
        rest.first += skip && rest.first < rest.end;
        if (muster__broken == MUSTER_BROKEN_REDO_ALL)
            rest = taken;
        slot->resume = rest.first < rest.end ? muster_schedule_pack(rest) : 0;
        slot->resume_position =
            muster_schedule_after(loop->schedule, rank, team->plan.size, loop->batch, taken);
    } else if (slot->resume_job != team->job_number) {
        slot->resume = 0;
        slot->resume_position = muster_schedule_start(loop->schedule, rank, loop->batch);
    } /* else it died before it had noted anything: the plan for it stands */
    slot->phase = MUSTER_PHASE_DISPATCH;
    slot->current = 0;
    slot->resume_job = team->job_number;
}

int muster_team_restore(struct muster_team *team, uint32_t rank)
{
    const struct muster__loop *loop = &team->loop;
    struct muster_journal *journal = muster_team_journal(team, rank);
    uint64_t chunk;
    if (team->ranks[rank].held)
        return -EBUSY;
    if (!muster_journal_chunk(journal, loop->number, &chunk))
        return 0;
    int held = muster_roll_contains(team->rolls[rank], team->plan.chunk_capacity, loop->number,
                                    loop->first, loop->count, chunk);
    if (held != 0)
        return held < 0 ? held : 0;
    return muster_journal_restore(journal, team->plan.journal_bytes, team->space.address,
                                  team->space.size_bytes);
}

int muster_team_kill(struct muster_team *team, uint32_t rank)
{
    if (rank >= team->plan.size || team->ranks[rank].pidfd < 0)
        return -EINVAL;
    muster__os_kill(team->ranks[rank].pidfd, 9);
    return 0;
}

const struct muster_death *muster_team_deaths(const struct muster_team *team, uint32_t *count)
{
    *count = team->death_count;
    return team->deaths;
}

void muster_team_forget_deaths(struct muster_team *team)
{
    team->death_count = 0;
    muster__server_forget_trouble(team);
}
