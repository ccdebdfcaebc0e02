/* team.c - making a team of members, and what is said of its ranks.
 *
 * Invariant: a rank's state changes only while `breaks` is odd, so a process that reads the states
 * between two equal even values has seen one moment; and after each change every bell is rung. Only
 * OPEN to HELD comes without: nobody waits for less because of it.
 */
#include "launcher/state.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_rank(const struct muster_launcher *launcher, uint32_t rank)
{
    return rank < launcher->plan.size;
}

/* -- making and ending ---------------------------------------------------------------------- */

static int listen_somewhere(struct muster_launcher *launcher)
{
    uint64_t number;
    int status = muster__os_random(&number, sizeof number);
    if (status < 0)
        return status;
    /* So that nobody can sit at a name before we do, or guess it. */
    snprintf(launcher->address, sizeof launcher->address, "@muster-%d-%016llx", muster__os_pid(),
             (unsigned long long)number);
    launcher->listener = muster__os_socket(false);
    if (launcher->listener < 0)
        return launcher->listener;
    status = muster__os_bind(launcher->listener, launcher->address + 1);
    if (status == 0)
        status = muster__os_listen(launcher->listener);
    if (status < 0)
        return status;
    launcher->epoll = muster__os_epoll();
    if (launcher->epoll < 0)
        return launcher->epoll;
    /* Made while there are descriptors. */
    launcher->timer = muster__os_timer();
    if (launcher->timer < 0)
        return launcher->timer;
    launcher->spare = muster__os_eventfd();
    if (launcher->spare < 0)
        return launcher->spare;
    launcher->listening = true;
    status =
        muster__os_epoll_add(launcher->epoll, launcher->timer, (uint64_t)MUSTER__TAG_TIMER << 32);
    if (status < 0)
        return status;
    return muster__os_epoll_add(launcher->epoll, launcher->listener,
                                (uint64_t)MUSTER__TAG_LISTENER << 32);
}

int muster_launcher_create(const struct muster_launcher_options *options,
                           struct muster_launcher **launcher)
{
    if (options->size_bytes != sizeof *options || options->size == 0 ||
        options->size > MUSTER_RANKS_MAX)
        return -EINVAL;
    struct muster_launcher *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->control.fd = made->epoll = made->listener = made->timer = made->spare = -1;
    for (uint32_t i = 0; i < MUSTER__CALLERS_MOST; i++)
        made->callers[i] = -1;
    int status = -ENOMEM;
    made->ranks = calloc(options->size, sizeof *made->ranks);
    if (made->ranks)
        status = muster__member_segment(options, &made->control, &made->plan, &made->parts);
    for (uint32_t rank = 0; status == 0 && rank < options->size; rank++)
        made->ranks[rank] =
            (struct muster__launcher_rank){.pidfd = -1, .socket = -1, .incarnation = 1};
    if (status == 0)
        status = listen_somewhere(made);
    if (status < 0) {
        if (options->shortage && status == -EMFILE)
            muster_limits_blame(status, 1, false, options->shortage);
        muster_launcher_destroy(made);
        return status;
    }
    *launcher = made;
    return 0;
}

void muster_launcher_destroy(struct muster_launcher *launcher)
{
    if (!launcher)
        return;
    for (uint32_t rank = 0; rank < launcher->plan.size && launcher->control.address; rank++)
        muster__launcher_forget(launcher, rank);
    for (uint32_t i = 0; i < MUSTER__CALLERS_MOST; i++)
        if (launcher->callers[i] >= 0)
            muster__os_close(launcher->callers[i]);
    for (uint32_t i = 0; i < launcher->array_count; i++)
        muster__os_close(launcher->arrays[i].fd);
    if (launcher->listener >= 0)
        muster__os_close(launcher->listener);
    if (launcher->timer >= 0)
        muster__os_close(launcher->timer);
    if (launcher->spare >= 0)
        muster__os_close(launcher->spare);
    if (launcher->epoll >= 0)
        muster__os_close(launcher->epoll);
    muster_segment_destroy(&launcher->control);
    for (uint32_t rank = 0; rank < launcher->plan.size && launcher->ranks; rank++)
        free(launcher->ranks[rank].last);
    free(launcher->arrays);
    free(launcher->ranks);
    free(launcher);
}

const char *muster_launcher_address(const struct muster_launcher *launcher)
{
    return launcher->address;
}

int muster_launcher_descriptor(const struct muster_launcher *launcher)
{
    return launcher->epoll;
}

/* -- what becomes of ranks ------------------------------------------------------------------ */

void muster__launcher_forget(struct muster_launcher *launcher, uint32_t rank)
{
    struct muster__launcher_rank *known = &launcher->ranks[rank];
    /* Closed first in epoll's eyes too: a fork elsewhere may keep the file open. */
    if (known->pidfd >= 0) {
        (void)muster__os_epoll_remove(launcher->epoll, known->pidfd);
        muster__os_close(known->pidfd);
    }
    if (known->socket >= 0) {
        (void)muster__os_epoll_remove(launcher->epoll, known->socket);
        muster__os_close(known->socket);
    }
    known->pid = 0;
    known->pidfd = known->socket = -1;
}

void muster__launcher_change(struct muster_launcher *launcher, uint32_t rank,
                             enum muster__state state)
{
    struct muster__post *posts = launcher->parts.posts;
    struct muster__launcher_rank *known = &launcher->ranks[rank];
    uint64_t *breaks = &launcher->parts.block->breaks;
    known->state = state;
    launcher->breaks += 2;
    __atomic_store_n(breaks, launcher->breaks - 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&posts[rank].state, (uint32_t)state, __ATOMIC_SEQ_CST);
    __atomic_store_n(&posts[rank].incarnation, known->incarnation, __ATOMIC_RELAXED);
    __atomic_store_n(&posts[rank].holder, 0, __ATOMIC_RELAXED);
    if (state == MUSTER__GONE || state == MUSTER__LOST || state == MUSTER__LEFT) {
        known->missed = true;
        __atomic_store_n(&posts[rank].lost, launcher->breaks, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(breaks, launcher->breaks, __ATOMIC_SEQ_CST);
    /* All of them, asleep by their flag or not: the process that died may have owed one of them a
     * ring. */
    for (uint32_t other = 0; other < launcher->plan.size; other++) {
        if (muster__broken == MUSTER_BROKEN_UNRUNG)
            break;
        __atomic_fetch_add(&posts[other].bell, 1, __ATOMIC_SEQ_CST);
        muster__os_futex_wake(&posts[other].bell, INT_MAX);
    }
}

static bool is_alive(const struct muster__launcher_rank *known)
{
    return known->pid != 0 && muster__os_wait_readable(known->pidfd, 0) == 0;
}

int muster_launcher_lose(struct muster_launcher *launcher, uint32_t rank)
{
    if (!is_rank(launcher, rank))
        return -EINVAL;
    struct muster__launcher_rank *known = &launcher->ranks[rank];
    if (is_alive(known))
        return -EBUSY;
    if (known->state == MUSTER__LOST || known->state == MUSTER__LEFT)
        return 0;
    muster__launcher_forget(launcher, rank);
    muster__launcher_change(launcher, rank, MUSTER__LOST);
    return 0;
}

int muster_launcher_reopen(struct muster_launcher *launcher, uint32_t rank)
{
    if (!is_rank(launcher, rank))
        return -EINVAL;
    struct muster__launcher_rank *known = &launcher->ranks[rank];
    if (is_alive(known))
        return -EBUSY;
    known->incarnation += known->incarnation < INT32_MAX;
    if (known->state == MUSTER__OPEN) {
        /* Its first process never joined: nobody has missed it. */
        __atomic_store_n(&launcher->parts.posts[rank].incarnation, known->incarnation,
                         __ATOMIC_RELAXED);
        return (int)known->incarnation;
    }
    if (known->pid != 0) /* dead, and its death not served yet */
        muster__launcher_change(launcher, rank, MUSTER__GONE);
    muster__launcher_forget(launcher, rank);
    muster__launcher_change(launcher, rank, MUSTER__OPEN);
    return (int)known->incarnation;
}

int muster_launcher_kill(struct muster_launcher *launcher, uint32_t rank, int signal)
{
    if (!is_rank(launcher, rank) || signal < 1 || signal > 64)
        return -EINVAL;
    const struct muster__launcher_rank *known = &launcher->ranks[rank];
    return known->pidfd < 0 ? -ESRCH : muster__os_kill(known->pidfd, signal);
}

int muster_launcher_process(const struct muster_launcher *launcher, uint32_t rank)
{
    return is_rank(launcher, rank) ? launcher->ranks[rank].pid : 0;
}

/* -- audits --------------------------------------------------------------------------------- */

int muster_launcher_audited(const struct muster_launcher *launcher, uint32_t index,
                            struct muster_launcher_audit *audit)
{
    struct muster__noted noted;
    int status = muster__noted(launcher->parts.notes, launcher->plan.size, index, &noted);
    if (status <= 0)
        return status;
    audit->report = noted.counts.report;
    memcpy(audit->name, noted.name, sizeof audit->name);
    return 1;
}

int muster_launcher_unended(const struct muster_launcher *launcher, uint32_t rank,
                            char name[MUSTER_NAME_BYTES])
{
    if (!is_rank(launcher, rank))
        return -EINVAL;
    const struct muster__notes *notes = launcher->parts.notes;
    struct muster__open_loop loop;
    int status = muster__noted_open(&notes[rank], &loop);
    if (status <= 0)
        return status;
    int audited = muster__noted_audited(notes, launcher->plan.size, &loop);
    if (audited != 0)
        return audited < 0 ? audited : 0;
    memcpy(name, loop.name, sizeof loop.name);
    return 1;
}

int muster_launcher_timeline(const struct muster_launcher *launcher, uint32_t rank,
                             struct muster_launcher_timeline *timeline)
{
    return muster__timeline_read(&launcher->plan, &launcher->parts, rank, timeline);
}
