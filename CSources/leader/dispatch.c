/* dispatch.c - the leader's side of a job: publishing it, and waiting until every rank has ended
 * it. Why no wake-up is lost: see team.h, "Dispatch" and "Join".
 */
#include <limits.h>
#include <muster/testing.h>

#include "team/state.h"

/* Claim words for a loop that deals by them: for every rank, vacant ones too, since what nobody
 * owns can be stolen from the start. In a dynamic loop words are filled from the counter. */
static void write_claims(struct muster_team *team, uint64_t number)
{
    for (uint32_t rank = 0; rank < team->plan.size; rank++) {
        struct muster_interval share = {0, 0};
        if (team->loop.schedule == MUSTER_SCHEDULE_STATIC_STEAL)
            share = muster_schedule_block(team->loop.count, team->plan.size, rank);
        __atomic_store_n(&team->slots[rank].claim, muster_schedule_pack(share), __ATOMIC_RELAXED);
        __atomic_store_n(&team->slots[rank].claim_job, number, __ATOMIC_RELAXED);
    }
}

/* Publishes what is in the job slot as job `number` of loop `loop`. */
static void publish(struct muster_team *team, uint64_t number, uint64_t loop)
{
    struct muster_team_block *block = team->block;
    team->job->number = number;
    team->not_done = 0;
    team->someone_died = false;
    team->running = true;
    if (team->job_kind == MUSTER_JOB_LOOP) {
        team->job->loop = loop;
        team->loop.number = loop;
        if (team->loop.schedule == MUSTER_SCHEDULE_STATIC_STEAL ||
            team->loop.schedule == MUSTER_SCHEDULE_DYNAMIC)
            write_claims(team, number);
    }
    /* Only where it is not 0: the line then stays where it is. */
    if (__atomic_load_n(&block->counter, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(&block->counter, 0, __ATOMIC_RELAXED);
    /* seq_cst: publishes the job (as release) and orders this store before the reads of the
     * sleeping flags. With less, both this side and a worker about to sleep could read old values.
     */
    __atomic_exchange_n(&block->epoch, number, __ATOMIC_SEQ_CST);
    bool sleepers = false;
    for (uint32_t rank = 0; rank < team->plan.size; rank++)
        /* Never cleared here: by now the rank may have run this job and be going to sleep again,
         * and a cleared flag would lose it the next wake-up. */
        sleepers |= __atomic_load_n(&team->slots[rank].sleeping, __ATOMIC_SEQ_CST) != 0;
    if (sleepers)
        muster__os_futex_wake(muster__epoch_futex(block), INT_MAX);
    MUSTER__POINT(MUSTER_POINT_DISPATCHED);
}

static uint64_t dispatch(struct muster_team *team, bool begins)
{
    const struct muster_job *job = team->job;
    uint64_t number = ++team->job_number;
    team->job_kind = job->kind;
    if (job->kind == MUSTER_JOB_LOOP)
        team->loop = (struct muster__loop){.number = begins ? number : team->loop.number,
                                           .first = job->first_chunk,
                                           .count = job->chunk_count,
                                           .batch = job->batch,
                                           .schedule = job->schedule,
                                           .traced = job->flags & MUSTER_JOB_TRACED};
    __atomic_store_n(&team->block->loop, team->loop.number, __ATOMIC_RELAXED);
    __atomic_store_n(&team->block->shape, number, __ATOMIC_RELAXED);
    publish(team, number, team->loop.number);
    return number;
}

uint64_t muster_team_dispatch(struct muster_team *team)
{
    return dispatch(team, true);
}

uint64_t muster_team_dispatch_again(struct muster_team *team)
{
    return dispatch(team, false);
}

uint64_t muster_team_dispatch_same(struct muster_team *team)
{
    if (team->death_count > 0)
        return 0;
    uint64_t requests = muster_team_cancel_requests(team);
    uint64_t number = ++team->job_number;
    publish(team, number, number);
    /* One that came while the job was being published is for it. */
    if (muster_team_cancel_requests(team) != requests)
        muster_team_cancel(team);
    return number;
}

bool muster__all_done(struct muster_team *team)
{
    uint32_t size = team->plan.size;
    for (; team->not_done < size; team->not_done++) {
        /* seq_cst: pairs with the worker's store of done and its read of leader_sleeping. */
        const struct muster_slot *slot = &team->slots[team->not_done];
        if (team->ranks[team->not_done].held &&
            __atomic_load_n(&slot->done, __ATOMIC_SEQ_CST) != team->job_number)
            return false;
        /* The audit's next: underway while the other ranks are looked at. */
        if (slot->tally == 0)
            __builtin_prefetch(team->rolls[team->not_done]);
    }
    return true;
}

static int take_events(struct muster_team *team, int timeout_ms)
{
    uint64_t tags[64];
    int count = muster__os_epoll_wait(team->epoll, tags, 64, timeout_ms);
    for (int i = 0; i < count; i++) {
        if (tags[i] == MUSTER__EVENT_TAG)
            muster__os_eventfd_clear(team->eventfd);
        else if (tags[i] == MUSTER__SERVER_TAG) {
            muster__server_event(team);
            muster__note_fallen(team);
        } else if (tags[i] < team->plan.size)
            muster__note_death(team, (uint32_t)tags[i]);
    }
    return count;
}

static bool look_until_done(struct muster_team *team)
{
    struct muster__wait look =
        muster__wait_begin(&team->backoff, team->plan.spin_ns_leader, team->plan.yields);
    do {
        if (muster__all_done(team))
            return true;
    } while (muster__wait_again(&look));
    return false;
}

int muster_team_join(struct muster_team *team, int64_t timeout_ns)
{
    uint32_t deaths = team->death_count;
    if (look_until_done(team)) {
        team->running = false;
        return MUSTER_JOIN_ENDED;
    }
    uint64_t start = muster__os_now_ns();
    uint32_t *sleeping = &team->block->leader_sleeping;
    for (;;) {
        /* seq_cst, then look again: pairs with muster_worker_done. After a death the dead rank
         * never says that it is done, so nobody is last: then each one wakes us. */
        __atomic_exchange_n(sleeping, team->someone_died ? 2 : 1, __ATOMIC_SEQ_CST);
        int status = muster__all_done(team);
        int timeout_ms = -1;
        if (!status && timeout_ns >= 0) {
            uint64_t waited = muster__os_now_ns() - start;
            if (waited >= (uint64_t)timeout_ns) {
                __atomic_store_n(sleeping, 0, __ATOMIC_SEQ_CST);
                return MUSTER_JOIN_TIMEOUT;
            }
            timeout_ms = (int)(((uint64_t)timeout_ns - waited) / 1000000) + 1;
        }
        if (!status)
            status = take_events(team, timeout_ms);
        __atomic_store_n(sleeping, 0, __ATOMIC_SEQ_CST);
        if (status < 0)
            return status;
        /* First the deaths: once nobody is left, all are done, and yet there is work to give out.
         */
        if (team->death_count != deaths)
            return MUSTER_JOIN_DEATHS;
        if (muster__all_done(team)) {
            team->running = false;
            return MUSTER_JOIN_ENDED;
        }
    }
}

uint32_t muster_team_poll(struct muster_team *team)
{
    for (uint32_t left = team->plan.size / 64 + 1; left > 0 && take_events(team, 0) == 64; left--)
        ;
    uint32_t vacant = 0;
    for (uint32_t rank = 0; rank < team->plan.size; rank++)
        vacant += !team->ranks[rank].held;
    return vacant;
}
