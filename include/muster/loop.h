/* loop.h - the hot loop: claim a chunk, run it, commit it.
 *
 * One `struct muster_loop` stands on each rank's stack for the length of a job and is that rank's
 * own memory. What other processes need to know of it goes through the slot (current) and the roll.
 * Claim and commit are inline so that kernels written in Swift get them compiled in; the claims
 * that touch shared words are one call away.
 */
#ifndef MUSTER_LOOP_H
#define MUSTER_LOOP_H

#include <muster/base.h>
#include <muster/roll.h>
#include <muster/schedule.h>
#include <muster/team.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A rank's way through one job. */
struct muster_loop {
    uint64_t next; /* the claimed interval's chunks not yet handed out are next ..< end */
    uint64_t end;
    uint64_t job;
    uint64_t *cancelled; /* the team's word: equals `job` when this job should end */
    struct muster_roll_writer roll;

    uint64_t grain;
    uint64_t elements;
    unsigned char *space;    /* this process's address of offset 0 */
    unsigned char *partials; /* NULL: no reduction */
    uint64_t partial_bytes;
    uint32_t rank;
    uint32_t size;

    uint32_t schedule;
    uint32_t started; /* static: its one block has been claimed */
    uint64_t first;   /* the job's range */
    uint64_t count;
    uint64_t batch;
    uint64_t position; /* cyclic: next chunk of this rank, relative to first */
    uint64_t *counter;
    struct muster_slot *slot;
    struct muster_slot *slots;
    unsigned char *taken; /* MUSTER_ARRAYS_MAX bytes: arrays with a mutable view open now */
};

/* A chunk in work. */
struct muster_chunk {
    uint64_t index; /* number of the chunk */
    uint64_t first; /* its elements are first ..< end */
    uint64_t end;
};

/* Begins the job in the team's job slot: empties this rank's roll and opens it.
 *
 * loop: `taken` is kept, everything else is overwritten. Returns: 0; -EUCLEAN: the job slot does
 * not make sense. */
int muster_loop_begin(struct muster_loop *loop, struct muster_team *team, uint32_t rank);

/* Claims the next interval and notes it as current. Called by muster_loop_next.
 * Returns: false: nothing is left, or the job is cancelled. */
bool muster_loop_claim(struct muster_loop *loop);

/* The next chunk. Returns: false at the end of this rank's part. */
MUSTER_INLINE bool muster_loop_next(struct muster_loop *loop, struct muster_chunk *chunk)
{
    if (loop->next == loop->end && !muster_loop_claim(loop))
        return false;
    /* Relaxed: a request to stop carries no data. The line is read-mostly, so this costs a hit. */
    if (__builtin_expect(__atomic_load_n(loop->cancelled, __ATOMIC_RELAXED) == loop->job, 0))
        return false;
    chunk->index = loop->next++;
    chunk->first = chunk->index * loop->grain;
    uint64_t left = loop->elements - chunk->first;
    chunk->end = chunk->first + (left < loop->grain ? left : loop->grain);
    return true;
}

/* Commits a chunk, after its kernel's last store (and after a store fence, where the kernel wrote
 * past the caches: release does not order such stores). */
MUSTER_INLINE void muster_loop_commit(struct muster_loop *loop, const struct muster_chunk *chunk)
{
    muster_roll_commit(&loop->roll, chunk->index);
}

/* Asks the whole team to end the job early. */
void muster_loop_cancel(struct muster_loop *loop);

/* Ends this rank's part: nothing is current any more. */
void muster_loop_end(struct muster_loop *loop);

/* A kernel in C. context: the job's argument bytes. Returns: 0, or a negative value, which ends the
 * job as a thrown error does. */
typedef int (*muster_kernel_function)(void *context, const struct muster_loop *loop,
                                      const struct muster_chunk *chunk);

/* Runs a C kernel over this rank's chunks.
 *
 * Returns: 0, or the kernel's negative value with the chunk's number in *failed. */
int muster_loop_run(struct muster_loop *loop, muster_kernel_function kernel, void *context,
                    uint64_t *failed);

#ifdef __cplusplus
}
#endif

#endif
