/* launcher.c - making a team of members, and what is said of its ranks.
 *
 * Invariant: a rank's state changes only while `breaks` is odd, so whoever reads the states between
 * two equal even values has seen one moment; and after each change every bell is rung. Only OPEN to
 * HELD comes without: nobody waits for less because of it.
 */
#include "launcher_state.h"

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
    launcher->listening = true;
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
    made->control.fd = made->epoll = made->listener = -1;
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
    if (launcher->epoll >= 0)
        muster__os_close(launcher->epoll);
    muster_segment_destroy(&launcher->control);
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
    /* All of them, asleep by their flag or not: whoever owed one of them a ring may be who died. */
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

/* One note: its name and the counts that hold, copied: its rank may be writing. Returns: 1; 0:
 * there is none; -EUCLEAN. */
static int read_note(const struct muster__notes *notes, uint64_t index,
                     char name[MUSTER_NAME_BYTES], struct muster__counts *counts)
{
    uint64_t used = __atomic_load_n(&notes->used, __ATOMIC_ACQUIRE);
    if (used > MUSTER__NOTES)
        return -EUCLEAN;
    if (index >= used)
        return 0;
    const struct muster__note *note = &notes->notes[index];
    uint64_t changes;
    memcpy(name, note->name, MUSTER_NAME_BYTES);
    do {
        changes = __atomic_load_n(&note->changes, __ATOMIC_ACQUIRE);
        *counts = note->counts[changes % 2];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        /* A rank that ends loops faster than we copy has passed the one set on to the other. */
    } while (__atomic_load_n(&note->changes, __ATOMIC_RELAXED) > changes + 1);
    return memchr(name, 0, MUSTER_NAME_BYTES) ? 1 : -EUCLEAN;
}

/* Whether a name stands in the notes before place (rank, index). Returns 1, 0, -EUCLEAN. */
static int named_before(const struct muster_launcher *launcher, const char *name, uint32_t rank,
                        uint64_t index)
{
    char other[MUSTER_NAME_BYTES];
    struct muster__counts counts;
    for (uint32_t r = 0; r <= rank; r++)
        for (uint64_t i = 0; r < rank || i < index; i++) {
            if (read_note(&launcher->parts.notes[r], i, other, &counts) <= 0)
                break;
            if (strcmp(other, name) == 0)
                return 1;
        }
    return 0;
}

/* What all ranks have noted of a name. Returns: 1; 0: of no end of a loop; -EUCLEAN. */
static int sum_up(const struct muster_launcher *launcher, const char *name,
                  struct muster__counts *all)
{
    char other[MUSTER_NAME_BYTES];
    struct muster__counts counts, fullest = {0}, broken = {0};
    uint64_t ended = 0;
    for (uint32_t rank = 0; rank < launcher->plan.size; rank++)
        for (uint64_t i = 0;; i++) {
            int status = read_note(&launcher->parts.notes[rank], i, other, &counts);
            if (status < 0)
                return status;
            if (status == 0)
                break;
            if (strcmp(other, name) != 0)
                continue;
            if (counts.loops > fullest.loops)
                fullest = counts;
            if (counts.loops + counts.interrupted > ended)
                ended = counts.loops + counts.interrupted;
            if (counts.interrupted > broken.interrupted ||
                (counts.interrupted == broken.interrupted &&
                 counts.interrupted_committed > broken.interrupted_committed))
                broken = counts;
        }
    bool is_broken = ended > fullest.loops;
    *all = fullest;
    all->interrupted = is_broken ? ended - fullest.loops : 0;
    all->interrupted_chunks = is_broken ? broken.interrupted_chunks : 0;
    all->interrupted_committed = is_broken ? broken.interrupted_committed : 0;
    all->interrupted_by = is_broken ? broken.interrupted_by : UINT32_MAX;
    return ended > 0;
}

int muster_launcher_audited(const struct muster_launcher *launcher, uint32_t index,
                            struct muster_launcher_audit *audit)
{
    char name[MUSTER_NAME_BYTES];
    struct muster__counts counts;
    uint32_t found = 0;
    for (uint32_t rank = 0; rank < launcher->plan.size; rank++)
        for (uint64_t i = 0;; i++) {
            int status = read_note(&launcher->parts.notes[rank], i, name, &counts);
            if (status < 0)
                return status;
            if (status == 0)
                break;
            if (named_before(launcher, name, rank, i))
                continue;
            status = sum_up(launcher, name, &counts);
            if (status < 0)
                return status;
            if (status == 0 || found++ != index)
                continue;
            struct muster_launcher_audit made = {
                .loops = counts.loops,
                .failed = counts.failed,
                .chunks = counts.chunks,
                .exactly_once = counts.exactly_once,
                .missing = counts.missing,
                .repeated = counts.repeated,
                .adopted = counts.adopted,
                .deaths = counts.deaths,
                .first_finding = counts.first_finding,
                .first_finding_ranks = {counts.first_finding_ranks[0],
                                        counts.first_finding_ranks[1]},
                .interrupted = counts.interrupted,
                .interrupted_chunks = counts.interrupted_chunks,
                .interrupted_committed = counts.interrupted_committed,
                .interrupted_by = counts.interrupted_by,
            };
            memcpy(made.name, name, sizeof made.name);
            *audit = made;
            return 1;
        }
    return 0;
}

int muster_launcher_unended(const struct muster_launcher *launcher, uint32_t rank,
                            char name[MUSTER_NAME_BYTES])
{
    if (rank >= launcher->plan.size)
        return -EINVAL;
    const struct muster__notes *notes = &launcher->parts.notes[rank];
    uint64_t open = __atomic_load_n(&notes->open, __ATOMIC_ACQUIRE);
    if (open == 0)
        return 0;
    char copy[MUSTER_NAME_BYTES];
    memcpy(copy, notes->open_name, sizeof copy);
    if (open != 1 || !memchr(copy, 0, sizeof copy))
        return -EUCLEAN;
    memcpy(name, copy, sizeof copy);
    return 1;
}
