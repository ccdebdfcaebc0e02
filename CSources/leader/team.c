/* team.c - the leader's side: making a team and ending it. */
#include <limits.h>
#include <muster/core/mirror.h>
#include <muster/core/placement.h>
#include <muster/testing.h>
#include <stdlib.h>
#include <string.h>

#include "memory/arena.h"
#include "os/inherited.h"
#include "os/output.h"
#include "team/state.h"

static uint64_t rounded(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void lay_out(struct muster_team *team, const struct muster_team_block *plan)
{
    muster__find_parts(team, plan);
    *team->block = *plan;
}

/* Decides what is reserved, and makes the control segment. */
static int make_control(struct muster_team *team, struct muster_team_block *plan,
                        struct muster_reservation *planned, struct muster_shortage *shortage)
{
    uint64_t page = plan->page_bytes;
    plan->slots_offset = rounded(MUSTER__BLOCK_OFFSET + sizeof *plan, page);
    plan->job_offset = rounded(plan->slots_offset + plan->size * sizeof(struct muster_slot), page);
    plan->list_offset = rounded(plan->job_offset + sizeof(struct muster_job), page);
    plan->distances_offset =
        rounded(plan->list_offset + MUSTER_LIST_MAX * sizeof(struct muster_interval), page);
    plan->mirrors_offset =
        rounded(plan->distances_offset + muster__most_places(plan->size) * plan->size, page);
    plan->faults_offset =
        rounded(plan->mirrors_offset + MUSTER_MIRRORS_MAX * sizeof(struct muster_mirror), page);
    plan->rooms_offset =
        rounded(plan->faults_offset + plan->size * sizeof(struct muster_fault), page);
    plan->checks_offset = rounded(plan->rooms_offset + sizeof(struct muster_rooms), page);
    plan->journals_offset = rounded(plan->checks_offset + sizeof(struct muster_check_table), page);
    struct muster_limits limits;
    muster_limits_read(&limits);
    int status =
        muster_reservation_plan(&limits, plan->size, plan->journals_offset, planned, shortage);
    if (status < 0)
        return status;
    plan->chunk_capacity = planned->chunk_capacity;
    plan->journal_bytes = planned->journal_bytes;
    plan->rolls_offset = plan->journals_offset + plan->size * plan->journal_bytes;
    plan->roll_bytes = muster_roll_bytes(plan->chunk_capacity);
    status = muster_segment_create("muster-control", MUSTER_SEGMENT_CONTROL, planned->control_bytes,
                                   &team->control);
    if (status < 0)
        muster_limits_blame(status, planned->control_bytes, false, shortage);
    return status;
}

/* Descriptors of a team: of the two segments, of epoll and the eventfd; and two of each rank that
 * is another process. */
static uint64_t files_of(const struct muster_team_block *plan)
{
    return 4 + 2ull * (plan->size - plan->leader_works);
}

void muster_team_shortage(const struct muster_team *team, uint64_t bytes,
                          struct muster_shortage *shortage)
{
    struct muster_limits limits;
    muster_limits_read(&limits);
    uint64_t unit = MUSTER__SPACE_UNIT, own = team->control.size_bytes + team->space.size_bytes;
    uint64_t whole = bytes > UINT64_MAX - unit ? bytes : rounded(bytes, unit);
    if (team->space.arena_bytes < team->space.size_bytes / 4 && whole > limits.file_bytes) {
        *shortage = (struct muster_shortage){
            .limit = MUSTER_LIMIT_FILE_SIZE, .most = limits.file_bytes, .needed = whole};
        return;
    }
    limits.address_used_bytes -= own < limits.address_used_bytes ? own : limits.address_used_bytes;
    (void)muster_reservation_shortage(&limits, team->plan.size, team->plan.journals_offset, whole,
                                      shortage);
    /* The arena is as long as files may be, and full. */
    if (shortage->limit == MUSTER_LIMIT_NONE && limits.file_bytes < UINT64_MAX)
        *shortage = (struct muster_shortage){.limit = MUSTER_LIMIT_FILE_SIZE,
                                             .most = limits.file_bytes,
                                             .needed = team->space.arena_bytes + whole};
}

static int make_waiting(struct muster_team *team)
{
    team->epoll = muster__os_epoll();
    if (team->epoll < 0)
        return team->epoll;
    team->eventfd = muster__os_eventfd();
    if (team->eventfd < 0)
        return team->eventfd;
    return muster__os_epoll_add(team->epoll, team->eventfd, MUSTER__EVENT_TAG);
}

int muster_team_create(const struct muster_team_options *options, struct muster_team **team)
{
    if (options->size_bytes != sizeof *options || options->size == 0 ||
        options->size > MUSTER_RANKS_MAX || options->leader_works > 1 ||
        options->wait > MUSTER_WAIT_SLEEP)
        return -EINVAL;
    uint32_t size = options->size;
    muster__os_mark_process();
    struct muster_team *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    muster__end_on_crash();
    made->epoll = made->eventfd = made->worker_socket = -1;
    made->control.fd = made->space.arena_fd = -1;
    made->rolls = calloc(size, sizeof *made->rolls);
    made->ranks = calloc(size, sizeof *made->ranks);
    made->known = calloc(MUSTER_ROOMS_MAX, sizeof *made->known);
    made->death_capacity = size;
    made->deaths = calloc(made->death_capacity, sizeof *made->deaths);
    int status = made->rolls && made->ranks && made->deaths && made->known ? 0 : -ENOMEM;
    struct muster_team_block plan = {.size = size,
                                     .leader_works = options->leader_works,
                                     .leader_pid = muster__os_pid(),
                                     .page_bytes = muster__os_page_bytes()};
    struct muster__wait_policy policy = muster__wait_choose(
        options->wait, plan.size + !plan.leader_works, options->usable_cpus, options->spin_ns);
    plan.spin_ns_leader = plan.spin_ns_worker = policy.limit_ns;
    plan.yields = policy.yields;
    struct muster_reservation planned;
    struct muster_shortage shortage = {.limit = MUSTER_LIMIT_NONE};
    /* Before anything is started, not at the rank for which there are none. */
    if (status == 0)
        status = muster_limits_files(files_of(&plan), &shortage);
    if (status == 0)
        status = make_control(made, &plan, &planned, &shortage);
    if (status == 0) {
        status = muster__space_make(&planned, &made->space);
        if (status < 0)
            muster_limits_blame(status, planned.space_bytes, false, &shortage);
    }
    if (status == 0)
        status = make_waiting(made);
    if (status < 0) {
        if (options->shortage)
            *options->shortage = shortage;
        muster_team_destroy(made);
        return status;
    }
    lay_out(made, &plan);
    made->space.rooms = made->rooms;
    for (uint32_t rank = 0; rank < size; rank++)
        made->ranks[rank].pidfd = made->ranks[rank].socket = -1;
    if (plan.leader_works) {
        status = muster__watch_copies(made);
        if (status < 0) {
            muster_team_destroy(made);
            return status;
        }
        muster_rank_hold(made->block, 0, plan.leader_pid);
        made->ranks[0].held = true;
    }
    *team = made;
    return 0;
}

/* -- the end -------------------------------------------------------------------------------- */

void muster_team_end(struct muster_team *team)
{
    if (muster__os_pid() != team->plan.leader_pid)
        return;
    bool idle = muster__all_done(team);
    uint32_t size = team->plan.size;
    if (idle) {
        team->job->kind = MUSTER_JOB_END;
        muster_team_dispatch(team);
    }
    /* Nobody joins that job: a worker that starts next has no part in it, and would else take what
     * the leader writes into the slot for it. */
    team->running = false;
    if (team->server) {
        muster__server_end(team, idle);
        return;
    }
    uint64_t start = muster__os_now_ns();
    /* The last first: it is woken last, and then the others are gone already. */
    for (uint32_t rank = size; rank-- > 0;) {
        struct muster__rank *entry = &team->ranks[rank];
        if (entry->pidfd < 0)
            continue;
        int code, status, reaped = 0;
        while (idle && reaped == 0 && muster__os_now_ns() - start < MUSTER__END_WAIT_NS) {
            reaped = muster__os_reap(entry->pidfd, false, &code, &status);
            if (reaped == 0)
                (void)muster__os_wait_readable(entry->pidfd, 100);
        }
        if (reaped <= 0) {
            muster__os_kill(entry->pidfd, 9);
            muster__os_reap(entry->pidfd, true, &code, &status);
        }
        /* By hand: a process forked since holds a copy, so closing alone leaves it in epoll. */
        muster__os_epoll_remove(team->epoll, entry->pidfd);
        muster__os_close(entry->pidfd);
        muster__os_close(entry->socket);
        *entry = (struct muster__rank){.pidfd = -1, .socket = -1};
        __atomic_store_n(&team->slots[rank].holder, 0, __ATOMIC_RELEASE);
    }
}

void muster_team_destroy(struct muster_team *team)
{
    if (!team)
        return;
    muster__forget_copies(team);
    if (team->block)
        muster_team_end(team);
    if (team->eventfd >= 0)
        muster__os_close(team->eventfd);
    if (team->epoll >= 0)
        muster__os_close(team->epoll);
    muster__server_destroy(team);
    muster_space_destroy(&team->space);
    muster_segment_destroy(&team->control);
    free(team->rolls);
    free(team->known);
    free(team->ranks);
    free(team->deaths);
    free(team);
    muster__crash_handlers_back();
}
