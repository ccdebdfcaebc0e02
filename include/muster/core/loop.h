/* loop.h - the hot loop: claim a chunk, run it, commit it.
 *
 * One `struct muster_loop` belongs to each rank for as long as it lives, all zero at first, and is
 * that rank's own memory: what it has found out of a job slot is kept for the next job. What other
 * processes need to know of it goes through the slot (current) and the roll.
 * Claim and commit are inline for loops in C; loops in Swift have their own, which call
 * muster_loop_more and muster_loop_commit_apart. The claims that touch shared words are one call
 * away.
 */
#ifndef MUSTER_CORE_LOOP_H
#define MUSTER_CORE_LOOP_H

#include <muster/chunk.h>
#include <muster/core/journal.h>
#include <muster/core/roll.h>
#include <muster/core/schedule.h>
#include <muster/core/team.h>
#include <muster/core/timeline.h>

#ifdef __cplusplus
extern "C" {
#endif

struct muster__check;

/* What has been done to an array in the chunk in work: see muster_loop_save. */
struct muster_touch {
    uint64_t serial; /* of that chunk */
    uint64_t end;    /* offset up to which its old contents are saved */
};

/* A rank's way through one job. */
struct muster_loop {
    struct muster_cursor cursor; /* first: a member's loop is known by it */
    uint64_t job;
    uint64_t *cancelled; /* the team's word: equals `job` when this job should end */
    struct muster_roll_writer roll;

    unsigned char *space;           /* this process's address of offset 0 */
    const unsigned char *arguments; /* the job's, MUSTER_ARGUMENT_BYTES_MAX of room */
    uint32_t rank;
    uint32_t size;
    uint32_t poison; /* outputs of the claimed chunks are overwritten first */
    uint32_t journaled;

    uint32_t schedule;
    uint64_t first; /* the job's range */
    uint64_t count;
    uint64_t batch;
    uint64_t position;              /* of static and cyclic: muster_schedule_after */
    struct muster_interval resumed; /* a dead predecessor's chunks, to be claimed first */
    uint64_t redoing; /* traced: chunk that it was working on; UINT64_MAX: none, or done */
    uint32_t poison_all;
    uint64_t *counter;
    const struct muster_interval *list;
    uint64_t list_count;
    struct muster_slot *slot;
    struct muster_slot *slots;
    const unsigned char *distances; /* from here to each rank's memory; NULL: all alike */
    struct muster_journal_writer journal;
    uint64_t journal_bytes;
    uint64_t space_bytes;
    uint64_t touching; /* chunk that touched[MUSTER_ARRAYS_MAX].serial stands for */
    struct muster_timeline_writer timeline;
    uint32_t stolen; /* the interval claimed last is from another rank's part; set in traced jobs */
    uint32_t is_last; /* 1: nothing is left beyond next ..< end in any rank */
    uint64_t shape;   /* of the job slot that the above was found in; 0: it has to be found again */
    struct muster_interval block; /* static: this rank's part */

    /* Kept from job to job. */
    unsigned char *taken;         /* MUSTER_ARRAYS_MAX bytes: arrays with a mutable view open now */
    struct muster_touch *touched; /* MUSTER_ARRAYS_MAX and one more, for the newest serial */
    struct muster__check *check;  /* NULL: no loop has been checked yet (check.h) */
};

/* Makes an empty loop with its lists, in memory of its own: a forked worker would have to copy what
 * it touches of its leader's heap.
 *
 * Traps where there is no memory (17 KiB). Ownership: muster_loop_destroy. */
struct muster_loop *muster_loop_create(void);

/* Gives a loop back. */
void muster_loop_destroy(struct muster_loop *loop);

/* Begins the job in the team's job slot: opens this rank's roll, emptied where the loop is new, and
 * its journal. A successor puts back what its predecessor was changing.
 *
 * loop: one team's and one rank's; at first all zero but for `taken` and `touched`, which are kept.
 * So is what was found out of a job slot that has not changed since. Returns: 0; -EUCLEAN: the job
 * slot, the roll or the journal does not make sense. */
int muster_loop_begin(struct muster_loop *loop, struct muster_team *team, uint32_t rank);

/* Claims the next interval and notes it as current. Called by muster_loop_next.
 * Returns: false: nothing is left, or the job is cancelled. */
bool muster_loop_claim(struct muster_loop *loop);

/* The slow half of handing out a chunk, for loops that keep `next` to themselves: they write it
 * back, call this, and may then hand out next ..< end without asking (in traced jobs only `next`).
 *
 * Returns: false: nothing is left, or the job is cancelled. */
bool muster_loop_more(struct muster_loop *loop);

/* The slow half of a commit: of a chunk that does not follow the one before, or in a traced job. */
void muster_loop_commit_apart(struct muster_loop *loop, uint64_t chunk);

/* Notes in the slot what this rank is at. Called by muster_loop_next in traced jobs.
 *
 * phase: enum muster_phase. chunk: handed out last. */
void muster_loop_trace(struct muster_loop *loop, uint32_t phase, uint64_t chunk);

/* muster_loop_commit with the phase noted, and the named points before and after it. */
void muster_loop_commit_traced(struct muster_loop *loop, uint64_t chunk);

/* After the roll was begun, resumed or written by a call: the cursor's tail is the writer's. Two
 * loads that stay two: as one of 16 bytes it would wait for the two stores just before to leave the
 * CPU's buffer, some 4 ns in each loop (90 % of muster_loop_commit_apart's samples stood there). */
MUSTER_INLINE void muster__cursor_follow(struct muster_loop *loop)
{
    loop->cursor.tail = __atomic_load_n(&loop->roll.tail, __ATOMIC_RELAXED);
    loop->cursor.tail_end = __atomic_load_n(&loop->roll.tail_end, __ATOMIC_RELAXED);
}

/* The next chunk. Returns: false at the end of this rank's part. */
MUSTER_INLINE bool muster_loop_next(struct muster_loop *loop, struct muster_chunk *chunk)
{
    if (loop->cursor.next == loop->cursor.end && !muster_loop_claim(loop))
        return false;
    /* Relaxed: a request to stop carries no data. The line is read-mostly, so this costs a hit. */
    if (__builtin_expect(__atomic_load_n(loop->cancelled, __ATOMIC_RELAXED) == loop->job, 0))
        return false;
    muster_cursor_hand_out(&loop->cursor, chunk);
    if (__builtin_expect(loop->cursor.slow_path, 0))
        muster_loop_trace(loop, MUSTER_PHASE_KERNEL, chunk->index);
    return true;
}

/* Commits a chunk, after its kernel's last store (and after a store fence, where the kernel wrote
 * past the caches: release does not order such stores). */
MUSTER_INLINE void muster_loop_commit(struct muster_loop *loop, const struct muster_chunk *chunk)
{
    if (!muster_cursor_commit(&loop->cursor, chunk->index))
        muster_loop_commit_apart(loop, chunk->index);
}

/* Saves the bytes of an array that the chunk in work is about to change, once a chunk.
 *
 * chunk: handed out last. array: 0..<MUSTER_ARRAYS_MAX. offset, bytes: in the range of addresses;
 * calls for one array and chunk begin at the chunk's first byte and go up without gaps, and may
 * begin again. Precondition: loop->journaled, and room: see muster_journal_room. */
void muster_loop_save(struct muster_loop *loop, uint64_t chunk, uint32_t array, uint64_t offset,
                      uint64_t bytes);

/* Overwrites an output with a pattern of one bits (NaN to floating point), once a chunk.
 *
 * Precondition: loop->poison. */
void muster_loop_poison(struct muster_loop *loop, uint64_t chunk, uint32_t array, uint64_t offset,
                        uint64_t bytes);

/* Puts the old contents of a chunk back whose kernel has failed.
 *
 * Returns: 0, or -EUCLEAN: this rank's journal has been overwritten. */
int muster_loop_undo(struct muster_loop *loop, uint64_t chunk);

/* Asks the whole team to end the job early. */
void muster_loop_cancel(struct muster_loop *loop);

/* Ends this rank's part. What it took last stays noted: were it cleared, a successor of a rank that
 * dies before it has said that it is done would deal itself the same chunks again.
 *
 * Returns: muster_roll_tally of its roll. */
uint64_t muster_loop_end(struct muster_loop *loop);

#ifdef __cplusplus
}
#endif

#endif
