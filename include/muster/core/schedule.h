/* schedule.h - how chunks are dealt. Dealing works on shared words of plain integers, so it is
 * tested without a team. */
#ifndef MUSTER_CORE_SCHEDULE_H
#define MUSTER_CORE_SCHEDULE_H

#include <muster/chunk.h>
#include <muster/schedule.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Beyond enum muster_schedule: a free rank takes the next interval of the team's list. For holes
 * that deaths have left; no loop can ask for it. */
#define MUSTER_SCHEDULE_LISTED 5u

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

/* Where a rank's private dealing goes on after an interval (static, cyclic).
 *
 * position: for static 0 before its block was taken, then 1; for cyclic the next chunk. taken: an
 * interval, or a part of one, that was dealt to `rank` so. */
static inline uint64_t muster_schedule_after(enum muster_schedule schedule, uint32_t rank,
                                             uint32_t size, uint64_t batch,
                                             struct muster_interval taken)
{
    if (schedule != MUSTER_SCHEDULE_CYCLIC)
        return schedule == MUSTER_SCHEDULE_STATIC;
    uint64_t round = batch * size;
    return (taken.first / round + 1) * round + rank * batch;
}

/* Where it begins. */
static inline uint64_t muster_schedule_start(enum muster_schedule schedule, uint32_t rank,
                                             uint64_t batch)
{
    return schedule == MUSTER_SCHEDULE_CYCLIC ? rank * batch : 0;
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
