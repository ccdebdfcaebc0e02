/* team.c - the leader's side: making a team, starting workers, ending them.
 *
 * Invariant: `ranks[r].held` implies that a process with that pidfd has been forked and not yet
 * reaped. What a death means is in leader/deaths.c.
 */
#include <limits.h>
#include <muster/mirror.h>
#include <muster/placement.h>
#include <muster/testing.h>
#include <stdlib.h>
#include <string.h>

#include "memory/space.h"
#include "os/inherited.h"
#include "os/output.h"
#include "team/state.h"

_Static_assert(sizeof(struct muster_slot) == 4 * MUSTER_LINE_BYTES + MUSTER_MESSAGE_BYTES,
               "a slot is four lines and a message");
_Static_assert(offsetof(struct muster_slot, claim) == MUSTER_LINE_BYTES, "claim: line 2");
_Static_assert(offsetof(struct muster_slot, current) == 2 * MUSTER_LINE_BYTES, "current: line 3");
_Static_assert(offsetof(struct muster_slot, holder) == 3 * MUSTER_LINE_BYTES, "holder: line 4");
_Static_assert(offsetof(struct muster_team_block, epoch) % MUSTER_LINE_BYTES == 0, "epoch");
_Static_assert(offsetof(struct muster_team_block, cancelled) % MUSTER_LINE_BYTES == 0, "cancelled");
_Static_assert(offsetof(struct muster_team_block, counter) % MUSTER_LINE_BYTES == 0, "counter");
_Static_assert(offsetof(struct muster_job, arguments) % 16 == 0, "arguments are aligned to 16");

#define BLOCK_OFFSET MUSTER__BLOCK_OFFSET

static uint64_t rounded(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

void muster__find_parts(struct muster_team *team, const struct muster_team_block *plan)
{
    unsigned char *base = team->control.address;
    team->block = (struct muster_team_block *)(base + BLOCK_OFFSET);
    team->plan = *plan;
    team->slots = (struct muster_slot *)(base + plan->slots_offset);
    team->job = (struct muster_job *)(base + plan->job_offset);
    team->list = (struct muster_interval *)(base + plan->list_offset);
    team->faults = (struct muster_fault *)(base + plan->faults_offset);
    team->rooms = (struct muster_rooms *)(base + plan->rooms_offset);
    for (uint32_t rank = 0; rank < plan->size; rank++)
        team->rolls[rank] =
            (struct muster_roll *)(base + plan->rolls_offset + rank * plan->roll_bytes);
}

static void lay_out(struct muster_team *team, const struct muster_team_block *plan)
{
    muster__find_parts(team, plan);
    *team->block = *plan;
}

/* Spinning is for those who have a CPU of their own. One process too many, and a rank that spins
 * keeps the leader, or another rank, from the CPU that it needs to get on: with a leader and two
 * ranks on two CPUs a job took 20 to 80 us so, against 4 with yielding. */
static void choose_wait(struct muster_team_block *plan, const struct muster_team_options *options)
{
    uint32_t processes = plan->size + !plan->leader_works, wait = options->wait;
    if (wait == MUSTER_WAIT_AUTOMATIC)
        wait = processes <= options->usable_cpus ? MUSTER_WAIT_SPIN : MUSTER_WAIT_YIELD;
    uint32_t look_ns = wait == MUSTER_WAIT_SPIN    ? MUSTER__SPIN_NS
                       : wait == MUSTER_WAIT_YIELD ? MUSTER__YIELD_NS
                                                   : 0;
    if (options->spin_ns >= 0)
        look_ns = (uint32_t)options->spin_ns;
    plan->spin_ns_leader = plan->spin_ns_worker = look_ns;
    plan->yields = wait == MUSTER_WAIT_YIELD;
}

/* Decides what is reserved, and makes the control segment. */
static int make_control(struct muster_team *team, struct muster_team_block *plan,
                        struct muster_reservation *planned, struct muster_shortage *shortage)
{
    uint64_t page = plan->page_bytes;
    plan->slots_offset = rounded(BLOCK_OFFSET + sizeof *plan, page);
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
    choose_wait(&plan, options);
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

/* -- ranks ---------------------------------------------------------------------------------- */

static struct muster_slot *slot_of(struct muster_team_block *block, uint32_t rank)
{
    return (struct muster_slot *)((unsigned char *)block - BLOCK_OFFSET + block->slots_offset) +
           rank;
}

int muster_rank_hold(struct muster_team_block *block, uint32_t rank, int pid)
{
    struct muster_slot *slot = slot_of(block, rank);
    uint64_t vacant = 0;
    /* Acquire: what the last holder's undertaker stored in the slot is seen by the new one. */
    if (!__atomic_compare_exchange_n(&slot->holder, &vacant, (uint64_t)pid, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return -EBUSY;
    __atomic_store_n(&slot->incarnation, slot->incarnation + 1, __ATOMIC_RELEASE);
    return 0;
}

int muster_rank_release(struct muster_team_block *block, uint32_t rank, int pid)
{
    uint64_t holder = (uint64_t)pid;
    return __atomic_compare_exchange_n(&slot_of(block, rank)->holder, &holder, 0, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)
               ? 0
               : -EPERM;
}

/* Starts a worker for a vacant rank. team->other_signals are known. Returns as muster_team_spawn.
 */
static int start_worker(struct muster_team *team, uint32_t rank)
{
    struct muster__rank *entry = &team->ranks[rank];
    int ends[2];
    /* Tried here, where it can be said: a worker that is refused it only ends, and so would each
     * that takes its place. */
    int status = team->has_rehearsed || team->server ? 0 : muster__os_may_die_with_parent();
    if (status == 0)
        status = muster__os_socketpair(ends);
    if (status < 0)
        return status;
    struct muster_slot *slot = &team->slots[rank];
    slot->sleeping = 0;
    /* A worker that starts between jobs has nothing to do with the last one; one that starts within
     * a job has its part in it. */
    __atomic_store_n(&slot->done, team->job_number - team->running, __ATOMIC_RELEASE);
    if (team->not_done > rank)
        team->not_done = rank;
    if (team->server)
        return muster__server_spawn(team, rank, ends);
    muster__before_worker(team, rank);
    muster__os_output_before_fork(false);
    int pid = muster__os_fork();
    if (pid == 0) {
        muster__begin_worker(team, rank, ends[1], team->plan.leader_pid);
        return 0;
    }
    muster__os_close(ends[1]);
    if (pid < 0) {
        muster__os_close(ends[0]);
        return pid;
    }
    *entry = (struct muster__rank){.pid = pid, .pidfd = -1, .socket = ends[0], .held = true};
    entry->pidfd = muster__os_pidfd(pid);
    status =
        entry->pidfd < 0 ? entry->pidfd : muster__os_epoll_add(team->epoll, entry->pidfd, rank);
    if (status < 0) {
        /* A worker whose death could not be noticed must not exist. */
        muster__os_end_child(pid);
        if (entry->pidfd >= 0)
            muster__os_close(entry->pidfd);
        muster__os_close(entry->socket);
        *entry = (struct muster__rank){.pidfd = -1, .socket = -1};
        __atomic_store_n(&slot->holder, 0, __ATOMIC_RELEASE);
        return status;
    }
    return pid;
}

int muster_team_spawn(struct muster_team *team, uint32_t rank)
{
    if (rank >= team->plan.size || (team->plan.leader_works && rank == 0))
        return -EINVAL;
    if (team->ranks[rank].held)
        return -EBUSY;
    team->other_signals = muster__os_other_signals();
    return start_worker(team, rank);
}

int muster_team_spawn_vacant(struct muster_team *team, uint32_t *rank)
{
    team->other_signals = muster__os_other_signals();
    for (*rank = 0; *rank < team->plan.size; ++*rank) {
        int pid = team->ranks[*rank].held ? 1 : start_worker(team, *rank);
        if (pid <= 0)
            return pid;
    }
    return 1;
}

int muster_team_adopt(struct muster_team *team, uint32_t rank)
{
    if (rank >= team->plan.size || team->ranks[rank].held)
        return -EBUSY;
    __atomic_store_n(&team->slots[rank].done, team->job_number, __ATOMIC_RELEASE);
    int status = muster_rank_hold(team->block, rank, muster__os_pid());
    if (status == 0)
        team->ranks[rank].held = true;
    return status;
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

/* -- looking -------------------------------------------------------------------------------- */

bool muster_team_leads(const struct muster_team *team)
{
    return muster__os_marked_pid() == team->plan.leader_pid;
}

struct muster_job *muster_team_job(struct muster_team *team)
{
    return team->job;
}

bool muster_team_running(const struct muster_team *team)
{
    return team->running;
}

uint64_t muster_team_journal_bytes(const struct muster_team *team)
{
    return team->plan.journal_bytes;
}

void muster_team_cancel(struct muster_team *team)
{
    __atomic_fetch_add(&team->block->cancel_requests, 1, __ATOMIC_ACQ_REL);
    /* Only ever raised: a canceller that is late must not take back a newer request. */
    uint64_t number = __atomic_load_n(&team->block->epoch, __ATOMIC_ACQUIRE);
    uint64_t before = __atomic_load_n(&team->block->cancelled, __ATOMIC_RELAXED);
    while (before < number &&
           !__atomic_compare_exchange_n(&team->block->cancelled, &before, number, true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

uint64_t muster_team_cancel_requests(const struct muster_team *team)
{
    return __atomic_load_n(&team->block->cancel_requests, __ATOMIC_ACQUIRE);
}

bool muster_team_cancelled(const struct muster_team *team)
{
    return __atomic_load_n(&team->block->cancelled, __ATOMIC_ACQUIRE) == team->job_number;
}

uint64_t muster_team_capacity(const struct muster_team *team)
{
    return team->plan.chunk_capacity;
}

uint64_t muster_team_page_bytes(const struct muster_team *team)
{
    return team->plan.page_bytes;
}

int muster_team_process(const struct muster_team *team, uint32_t rank)
{
    if (rank >= team->plan.size || !team->ranks[rank].held)
        return 0;
    return team->ranks[rank].pid ? team->ranks[rank].pid : team->plan.leader_pid;
}

struct muster_slot *muster_team_slot(struct muster_team *team, uint32_t rank)
{
    return &team->slots[rank];
}

struct muster_team_block *muster_team_block(struct muster_team *team)
{
    return team->block;
}

struct muster_roll *muster_team_roll(struct muster_team *team, uint32_t rank)
{
    return team->rolls[rank];
}

struct muster_journal *muster_team_journal(struct muster_team *team, uint32_t rank)
{
    return (struct muster_journal *)(team->control.address + team->plan.journals_offset +
                                     rank * team->plan.journal_bytes);
}

struct muster_check_table *muster_team_check_table(struct muster_team *team)
{
    return (struct muster_check_table *)(team->control.address + team->plan.checks_offset);
}

struct muster_interval *muster_team_list(struct muster_team *team)
{
    return team->list;
}

struct muster_space *muster_team_space(struct muster_team *team)
{
    return &team->space;
}

bool muster_team_holds(const struct muster_team *team, uint32_t rank)
{
    return rank < team->plan.size && team->ranks[rank].held;
}

int muster_team_send_mapping(struct muster_team *team, struct muster_extent extent, int fd,
                             uint64_t file_offset_bytes, bool writable)
{
    struct muster__mapping mapping = {.extent = extent,
                                      .file_offset_bytes = file_offset_bytes,
                                      .writable = writable,
                                      .mapped = fd >= 0};
    if (team->server) {
        int status = muster__server_send_mapping(team, &mapping, fd);
        if (status < 0)
            return status;
    }
    for (uint32_t rank = 0; rank < team->plan.size; rank++) {
        if (team->ranks[rank].socket < 0)
            continue;
        /* A mapping that is taken away travels with any descriptor: packets must look alike. */
        int status = muster__os_send_descriptor(
            team->ranks[rank].socket, fd >= 0 ? fd : team->control.fd, &mapping, sizeof mapping);
        if (status == -EPIPE || status == -ECONNRESET || status == -ENOTCONN)
            continue; /* it is dead; the next join sees it */
        if (status < 0)
            return status;
    }
    return 0;
}
