/* roll.h - what one process has committed, and the audit over all of them.
 *
 * A roll is written by one process and read by any. It belongs to the process, never to the rank
 * that the process believes to have: two processes that wrongly act as one rank leave two rolls and
 * the audit sees both.
 *
 * It starts as a log of half-open intervals of chunks. Committing the chunk after the last one only
 * moves the last interval's end: one plain 8-byte store with release. Scattered commits would make
 * the log long, so past count/128 intervals the process goes on in a bitmap of its own, one bit a
 * chunk; a bit is tested before it is set, and a repeat goes into the log. So a roll takes at most
 * two bits a chunk.
 *
 * Order, with the reader in mind. A commit is a release store (of an interval's end, of the log's
 * length, or of a bitmap word), so a process that reads it with acquire sees what the chunk's
 * kernel wrote. A roll is emptied before its job's number is stored with release; a reader ignores
 * any other number. An interval's fields are written before the length that makes it count. The
 * bitmap is cleared before the flag that makes it count. A process that is killed between any two
 * of these stores leaves a roll that says less than what it did, never more.
 */
#ifndef MUSTER_CORE_ROLL_H
#define MUSTER_CORE_ROLL_H

#include <muster/core/schedule.h>
#include <muster/report.h>

#ifdef __cplusplus
extern "C" {
/* A function has a struct's name here, which hides that struct's constructor from g++. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/* Intervals that the log holds before the bitmap takes over, for every count. */
#define MUSTER_ROLL_LOG_LEAST 64u

/* Room in the log for repeats that the bitmap found; further ones are only counted. */
#define MUSTER_ROLL_REPEATS 64u

/* A roll in shared memory: this header, then the log, then the bitmap. The log's first interval
 * fills the header's line: where one is all that a rank has done, an audit fetches no other. */
struct muster_roll {
    uint64_t job;              /* number of the job it belongs to; 0: being emptied */
    uint64_t length;           /* intervals in the log */
    uint64_t closed;           /* chunks in all intervals of the log but the last */
    uint64_t bitmap_count;     /* bits set, for progress */
    uint64_t repeats_unlogged; /* repeats that the log had no room for */
    uint32_t bitmap_used;      /* 1: the bitmap counts */
    uint32_t rank;             /* that the process believes to have */
};

/* Bytes of a roll for jobs of up to `chunks` chunks: a multiple of 4,096. Only what a job touches
 * takes memory. */
uint64_t muster_roll_bytes(uint64_t chunks);

/* A process's pen: its own memory, pointing into its roll. */
struct muster_roll_writer {
    uint64_t tail; /* the chunk that would lengthen the last interval; UINT64_MAX: none would */
    uint64_t *tail_end; /* that interval's end, in shared memory */
    struct muster_roll *roll;
    struct muster_interval *log;
    uint64_t *bitmap;
    uint64_t first;  /* of the job's range of chunks */
    uint64_t count;  /* chunks in the job's range */
    uint64_t length; /* intervals in the log */
    uint64_t limit;  /* intervals before the bitmap takes over */
};

/* Empties a roll and opens it for a job.
 *
 * roll: room of muster_roll_bytes(capacity), first use all zero. capacity: chunks that it has room
 * for. job: not 0. first, count: the job's range; count <= capacity.
 * Concurrency: only the process that owns the roll. */
void muster_roll_begin(struct muster_roll_writer *writer, struct muster_roll *roll,
                       uint64_t capacity, uint64_t job, uint32_t rank, uint64_t first,
                       uint64_t count);

/* Goes on with a roll of the same job: what it holds stays. For the successor of a dead process,
 * and for further jobs of the same loop.
 *
 * Arguments as for muster_roll_begin. Returns: 1; 0: the roll is of another job, and must be begun;
 * -EUCLEAN: it is not well formed. Concurrency: the process that wrote it before is the caller, or
 * proved dead.
 */
int muster_roll_resume(struct muster_roll_writer *writer, struct muster_roll *roll,
                       uint64_t capacity, uint64_t job, uint64_t first, uint64_t count);

/* Commits a chunk that does not follow the last one. Called by muster_roll_commit. */
void muster_roll_commit_apart(struct muster_roll_writer *writer, uint64_t chunk);

/* Records that a chunk is finished, after the last store of its kernel.
 *
 * chunk: within the job's range. A chunk committed twice is recorded twice. */
MUSTER_INLINE void muster_roll_commit(struct muster_roll_writer *writer, uint64_t chunk)
{
    if (__builtin_expect(chunk == writer->tail, 1)) {
        writer->tail = chunk + 1;
        /* Release: pairs with the audit's acquire; without it a reader could count the chunk before
         * it can see the chunk's data. */
        __atomic_store_n(writer->tail_end, chunk + 1, __ATOMIC_RELEASE);
    } else {
        muster_roll_commit_apart(writer, chunk);
    }
}

/* Chunks that a roll says were committed for a job, repeats included. Never more than a guess while
 * its owner works: for progress. */
uint64_t muster_roll_progress(const struct muster_roll *roll, uint64_t capacity, uint64_t job);

/* Whether a roll holds a chunk. Returns: 1, 0, or -EUCLEAN when the roll is not well formed. */
int muster_roll_contains(const struct muster_roll *roll, uint64_t capacity, uint64_t job,
                         uint64_t first, uint64_t count, uint64_t chunk);

/* The first chunk of an interval that a roll does not hold.
 *
 * Returns: 0 and the chunk, interval.end when it holds all; -EUCLEAN; or -ENOMEM. */
int muster_roll_first_missing(const struct muster_roll *roll, uint64_t capacity, uint64_t job,
                              uint64_t first, uint64_t count, struct muster_interval interval,
                              uint64_t *chunk);

/* What the writer's roll holds, in a word: its only interval as muster_schedule_pack has it,
 * relative to the job's first chunk; 0: it is not one interval of the job.
 *
 * Read from the roll as it stands in shared memory, where a stray store shows. */
uint64_t muster_roll_tally(const struct muster_roll_writer *writer);

/* -- audit ---------------------------------------------------------------------------------- */

/* What the rolls of all processes amount to. */
struct muster_audit {
    uint64_t chunks;       /* that the job has */
    uint64_t exactly_once; /* of them, committed once */
    uint64_t missing;      /* never committed */
    uint64_t repeated;     /* committed more than once */
    uint64_t unnamed;      /* further repeats that a roll had no room to name */
};

/* Counts how often each chunk of a job was committed.
 *
 * rolls: roll_count rolls, each with room for `capacity` chunks; those of another job are ignored.
 * first, count: the job's range. findings: receives up to findings_capacity faults by rising chunk;
 * may be NULL with capacity 0.
 * Returns: how many findings there are (may exceed findings_capacity; 0: each chunk exactly once);
 * -EUCLEAN: a roll with an interval outside the job or a length beyond its room; -ENOMEM.
 * Concurrency: the writers have ended the job, or are dead.
 * Cost: one comparison an interval if no bitmap is used; otherwise one pass over the bitmaps. */
int64_t muster_audit(const struct muster_roll *const *rolls, uint32_t roll_count, uint64_t capacity,
                     uint64_t job, uint64_t first, uint64_t count, struct muster_audit *audit,
                     struct muster_finding *findings, uint64_t findings_capacity);

/* The ranks whose rolls hold any chunk of an interval, one entry a roll, so that two processes with
 * one rank give that rank twice.
 *
 * Returns: how many rolls (may exceed ranks_capacity), or -EUCLEAN. */
int64_t muster_audit_ranks(const struct muster_roll *const *rolls, uint32_t roll_count,
                           uint64_t capacity, uint64_t job, uint64_t first, uint64_t count,
                           struct muster_interval interval, uint32_t *ranks,
                           uint64_t ranks_capacity);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif
