/* spawn.c - starting the processes of ranks, and telling those that run of a mapping.
 *
 * Invariant: `ranks[r].held` implies that a process with that pidfd has been forked and not yet
 * reaped. What a death means is in leader/deaths.c.
 */
#include <string.h>

#include "os/output.h"
#include "team/state.h"

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
    slot->mappings = 0;
    /* A worker that starts between jobs has nothing to do with the last one; one that starts within
     * a job has its part in it. */
    __atomic_store_n(&slot->done, team->job_number - team->running, __ATOMIC_RELEASE);
    if (team->not_done > rank)
        team->not_done = rank;
    if (team->server) {

        int pid = muster__server_spawn(team, rank, ends);
        muster__note_fallen(team);
        return pid;
    }
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

int muster_team_send_mapping(struct muster_team *team, struct muster_extent extent, int fd,
                             uint64_t file_offset_bytes, bool writable)
{
    struct muster__mapping mapping = {.extent = extent,
                                      .file_offset_bytes = file_offset_bytes,
                                      .writable = writable,
                                      .mapped = fd >= 0};
    if (team->server) {
        int status = muster__server_send_mapping(team, &mapping, fd);
        muster__note_fallen(team);
        if (status < 0)
            return status;
    }
    for (uint32_t rank = 0; rank < team->plan.size; rank++) {
        if (team->ranks[rank].socket < 0)
            continue;
        /* A mapping that is taken away travels with any descriptor: packets must look alike. */
        mapping.number = team->slots[rank].mappings + 1;
        int status = muster__os_send_descriptor(
            team->ranks[rank].socket, fd >= 0 ? fd : team->control.fd, &mapping, sizeof mapping);
        if (status == -EPIPE || status == -ECONNRESET || status == -ENOTCONN)
            continue; /* it is dead; the next join sees it */
        if (status < 0)
            return status;
        team->slots[rank].mappings = mapping.number;
    }
    return 0;
}
