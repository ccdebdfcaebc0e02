/* schedule.h - how chunks are cut and dealt.
 *
 * A loop over `elements` is cut into chunks of `grain` elements; the last one may be shorter.
 * Borders depend on elements, grain and the size of a partial result, never on team, pages or
 * nodes: that is what makes a reduction give the same bits everywhere. Dealing works on shared
 * words of plain integers, so it is tested without a team.
 */
#ifndef MUSTER_SCHEDULE_H
#define MUSTER_SCHEDULE_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How chunks are dealt to ranks. */
enum muster_schedule {
    MUSTER_STATIC = 0,  /* rank r has one block of neighbouring chunks */
    MUSTER_CYCLIC = 1,  /* rank r has chunks r, r + size, r + 2 size, ... (times batch) */
    MUSTER_DYNAMIC = 2, /* whoever is free takes the next `batch` chunks that nobody has begun */
    MUSTER_GUIDED = 3,  /* the same, in shrinking portions, never under `batch` */
    MUSTER_STATIC_STEAL =
        4, /* a block each; who has finished steals half of the fullest of the nearest rests */
    MUSTER_LISTED = 5 /* whoever is free takes the next interval of the team's list: for holes */
};

/* Half-open range of chunk numbers: first, first + 1, ..., end - 1. */
struct muster_interval {
    uint64_t first;
    uint64_t end;
};

/* The static share of a rank: `count` things in `size` blocks whose lengths differ by one at most.
 *
 * rank: 0..<size. Returns: the block, empty where there are fewer things than ranks. */
static inline struct muster_interval muster_schedule_block(uint64_t count, uint32_t size,
                                                           uint32_t rank)
{
    uint64_t quotient = count / size, remainder = count % size;
    uint64_t first = quotient * rank + (rank < remainder ? rank : remainder);
    struct muster_interval block = {first, first + quotient + (rank < remainder)};
    return block;
}

/* Chunks of a loop. grain: elements a chunk, at least 1. */
static inline uint64_t muster_schedule_chunks(uint64_t elements, uint64_t grain)
{
    return elements / grain + (elements % grain != 0);
}

/* Chooses the grain of a loop.
 *
 * elements: of the loop. wanted: elements a chunk, which is what it gets, also where that gives
 * more chunks than a loop can have: the loop is then refused. 0: the default, a power of two that
 * gives at least 64 chunks, up to 65,536 elements; it grows until there are at most
 * MUSTER_CHUNKS_MAX chunks, and until partial results above 1 MiB in all take less than a sixteenth
 * of one byte an element. partial_bytes: what each chunk of a reduction leaves behind, or 0.
 * Returns: elements a chunk, at least 1. */
uint64_t muster_schedule_grain(uint64_t elements, uint64_t wanted, uint64_t partial_bytes);

/* The same for a loop in which one index stands for more than 8 bytes: a row of elements, say.
 *
 * count: indices of the loop. wanted: indices a chunk, or 0 for the default: the largest power of
 * two that gives at least 64 chunks and makes a chunk of at most 512 KiB and 65,536 indices; at
 * least 1, so that no border ever lies within a row. partial_bytes: as above, where 8 bytes of a
 * row count as an element. index_bytes: in the widest array that the loop deals; 0: not known.
 * Returns: indices a chunk, at least 1. */
uint64_t muster_schedule_grain_of_rows(uint64_t count, uint64_t wanted, uint64_t partial_bytes,
                                       uint64_t index_bytes);

/* Where a rank's private dealing goes on after an interval (static, cyclic).
 *
 * position: 0 for static before its block was taken, else 1; for cyclic the next chunk. taken: an
 * interval, or a part of one, that was dealt to `rank` so. */
static inline uint64_t muster_schedule_after(enum muster_schedule schedule, uint32_t rank,
                                             uint32_t size, uint64_t batch,
                                             struct muster_interval taken)
{
    if (schedule != MUSTER_CYCLIC)
        return schedule == MUSTER_STATIC;
    uint64_t round = batch * size;
    return (taken.first / round + 1) * round + rank * batch;
}

/* Where it begins. */
static inline uint64_t muster_schedule_start(enum muster_schedule schedule, uint32_t rank,
                                             uint64_t batch)
{
    return schedule == MUSTER_CYCLIC ? rank * batch : 0;
}

/* Takes the next chunks from a shared counter (dynamic).
 *
 * counter: chunks dealt so far, shared by all ranks, 0 at first. It may run past count by ranks x
 * batch. Returns: the interval within 0..<count, empty when nothing is left. */
static inline struct muster_interval muster_schedule_take(uint64_t *counter, uint64_t count,
                                                          uint64_t batch)
{
    struct muster_interval none = {0, 0};
    /* Relaxed: the counter deals numbers, it publishes no data. The job was read with acquire. */
    if (__atomic_load_n(counter, __ATOMIC_RELAXED) >= count)
        return none; /* so that idle ranks don't drive the counter up without end */
    uint64_t first = __atomic_fetch_add(counter, batch, __ATOMIC_RELAXED);
    if (first >= count)
        return none;
    struct muster_interval taken = {first, count - first < batch ? count : first + batch};
    return taken;
}

/* The same in portions of 1/(2 size) of what is left, never under `batch` (guided). */
struct muster_interval muster_schedule_take_guided(uint64_t *counter, uint64_t count,
                                                   uint64_t batch, uint32_t size);

/* A claim word holds the rest of one rank's block as two 32-bit numbers, first in the low half, end
 * in the high half, so that the owner and thieves take parts of it by compare-and-swap. */
static inline uint64_t muster_schedule_pack(struct muster_interval rest)
{
    return (rest.end << 32) | (rest.first & 0xffffffffu);
}

/* The chunks that a claim word stands for. */
static inline struct muster_interval muster_schedule_unpack(uint64_t word)
{
    struct muster_interval rest = {word & 0xffffffffu, word >> 32};
    return rest;
}

/* The owner takes up to `most` chunks from the front of its own word.
 * Returns: the interval, empty when the word is. */
struct muster_interval muster_schedule_take_front(uint64_t *word, uint64_t most);

/* The owner takes from the front of its own word: a sixteenth of the rest, at least one chunk.
 * Taking more at once would be cheaper still, but what is taken can't be stolen any more.
 * Returns: the interval, empty when the word is. */
struct muster_interval muster_schedule_take_own(uint64_t *word);

/* A thief takes the back half of the fullest word within the nearest distance that has any work, at
 * least one chunk: data that is stolen from afar is read from afar.
 *
 * words: `size` claim words, stride_bytes apart, the first at `words`. thief: this rank; its own
 * word is not looked at. distances: `size` of them, from the thief to the memory of each rank;
 * NULL: all are alike. Returns: the interval, empty when all words are. */
struct muster_interval muster_schedule_steal(void *words, size_t stride_bytes, uint32_t size,
                                             uint32_t thief, const unsigned char *distances);

#ifdef __cplusplus
}
#endif

#endif
