/* mirror.h - arrays of which each node has a copy, for what is read often and seldom written.
 *
 * All copies lie in the arena, one behind the other, each on a home node of the team's ranks. Every
 * rank maps the copy of its own node, read-only, at the array's address in the window; the leader
 * maps the first one, rank 0's, writable. What it writes there the other copies don't have until a
 * MUSTER_JOB_MIRROR copies it, each rank a part of its own node's copy.
 *
 * Mirrored arrays stand in a table in the control segment, so that a process which takes over a
 * rank, however it was started, maps what its predecessor had.
 */
#ifndef MUSTER_CORE_MIRROR_H
#define MUSTER_CORE_MIRROR_H

#include <muster/core/team.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most mirrored arrays of one team at a time. */
#define MUSTER_MIRRORS_MAX 256u

/* A mirrored array. Written by the leader while no worker is in a job. */
struct muster_mirror {
    uint64_t window_offset; /* in the space: where every rank sees its copy */
    uint64_t size_bytes;    /* of a copy: whole pages; 0: there is no such array */
    uint64_t copies_offset; /* in the space: the first copy */
    uint64_t stride_bytes;  /* from one copy to the next */
};

/* What a MUSTER_JOB_MIRROR asks for, in the job's `flags`. */
enum muster_mirror_flag {
    MUSTER_MIRROR_COPY = 1, /* the first copy's content to the others */
    MUSTER_MIRROR_MAP = 2,  /* map this rank's copy */
    MUSTER_MIRROR_UNMAP = 4 /* take it away */
};

/* Enters an array in the team's table and maps the first copy here, writable. Leader, between jobs.
 *
 * Returns: its number; -ENOSPC: MUSTER_MIRRORS_MAX arrays are mirrored; -EINVAL: a mirror that goes
 * beyond window or arena; or an errno of mmap. */
int muster_mirror_add(struct muster_team *team, const struct muster_mirror *mirror);

/* Takes an array out of the table, and the leader's mapping away. Leader, between jobs: ranks have
 * unmapped it before. */
void muster_mirror_remove(struct muster_team *team, uint32_t number);

/* How many copies a mirrored array of this team has: home nodes of its ranks. At least 1. */
uint32_t muster_mirror_copies(const struct muster_team *team);

/* A rank's part of a MUSTER_JOB_MIRROR; for the leader, in place of a rank that has no process: it
 * copies then and maps nothing.
 *
 * Returns: 0; -EUCLEAN: the job or the table does not make sense; or an errno of mmap. */
int muster_worker_mirror(struct muster_team *team, uint32_t rank);

#ifdef __cplusplus
}
#endif

#endif
