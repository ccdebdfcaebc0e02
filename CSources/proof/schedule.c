/* schedule.c - cutting loops into chunks, and the deals that need more than one instruction.
 *
 * Every number leaves a shared word exactly once: a fetch-and-add or a successful compare-and-swap
 * is the only way to take it. All of it is relaxed, since these words deal numbers and publish no
 * data; a chunk's data is published by its commit and by the end of the job.
 */
#include <muster/core/schedule.h>

/* Elements a chunk unless asked otherwise: 512 KiB of doubles. The cost of a claim and a commit
 * (some nanoseconds) is then nothing compared with the 30 us that moving them takes. */
#define GRAIN_ELEMENTS 65536u
#define GRAIN_BYTES    (512u << 10)

/* A default loop has at least as many chunks, so that a small one can be shared out as well. */
#define CHUNKS_LEAST 64u

/* Partial results up to this size are nothing compared with a team's own memory. */
#define PARTIALS_FREE_BYTES (1u << 20)

static uint64_t power_of_two_below(uint64_t n)
{
    uint64_t power = 1;
    while (power <= n / 2)
        power *= 2;
    return power;
}

uint64_t muster_schedule_grain_of_rows(uint64_t count, uint64_t wanted, uint64_t partial_bytes,
                                       uint64_t index_bytes)
{
    if (wanted > 0)
        return wanted;
    uint64_t most = index_bytes > GRAIN_BYTES / GRAIN_ELEMENTS
                        ? power_of_two_below(GRAIN_BYTES / index_bytes)
                        : GRAIN_ELEMENTS;
    uint64_t grain = power_of_two_below(count / CHUNKS_LEAST);
    if (grain > most)
        grain = most;
    uint64_t least = muster_schedule_chunks(count, MUSTER_CHUNKS_MAX);
    if (grain < least)
        grain = least;
    uint64_t chunks = muster_schedule_chunks(count, grain);
    /* Indices of which one partial result is a sixteenth of a byte an element: of 8 bytes, which
     * are one number, or several small ones. */
    uint64_t elements = index_bytes < 16 ? 1 : index_bytes / 8;
    uint64_t worth = muster_schedule_chunks(partial_bytes * 16, elements);
    if (partial_bytes > 0 && chunks > PARTIALS_FREE_BYTES / partial_bytes && grain < worth)
        grain = worth;
    return grain;
}

struct muster_interval muster_schedule_take_guided(uint64_t *counter, uint64_t count,
                                                   uint64_t batch, uint32_t size)
{
    struct muster_interval taken = {0, 0};
    uint64_t first = __atomic_load_n(counter, __ATOMIC_RELAXED);
    while (first < count) {
        uint64_t rest = count - first;
        uint64_t portion = rest / (2 * (uint64_t)size);
        if (portion < batch)
            portion = batch < rest ? batch : rest;
        if (__atomic_compare_exchange_n(counter, &first, first + portion, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            taken.first = first;
            taken.end = first + portion;
            return taken;
        }
    }
    return taken;
}

/* The owner takes a part-th of its own word's rest, from the front: at least one, at most `most`.
 */
static inline struct muster_interval take_part(uint64_t *word, uint64_t part, uint64_t most)
{
    struct muster_interval none = {0, 0};
    uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    for (;;) {
        struct muster_interval rest = muster_schedule_unpack(seen);
        if (rest.first >= rest.end)
            return none;
        uint64_t portion = (rest.end - rest.first) / part;
        portion = portion < 1 ? 1 : portion > most ? most : portion;
        struct muster_interval taken = {rest.first, rest.first + portion};
        struct muster_interval left = {taken.end, rest.end};
        if (__atomic_compare_exchange_n(word, &seen, muster_schedule_pack(left), true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return taken;
    }
}

struct muster_interval muster_schedule_take_front(uint64_t *word, uint64_t most)
{
    return take_part(word, 1, most);
}

struct muster_interval muster_schedule_take_own(uint64_t *word)
{
    return take_part(word, 16, UINT64_MAX);
}

struct muster_interval muster_schedule_steal(void *words, size_t stride_bytes, uint32_t size,
                                             uint32_t thief, const unsigned char *distances)
{
    struct muster_interval none = {0, 0};
    for (;;) {
        uint64_t *fullest = NULL, fullest_seen = 0, most = 0;
        uint32_t nearest = UINT32_MAX;
        for (uint32_t step = 1; step < size; step++) {
            /* Each thief starts at its neighbour, so that equal rests draw thieves apart. */
            uint32_t victim = (thief + step) % size;
            uint64_t *word = (uint64_t *)((unsigned char *)words + (size_t)victim * stride_bytes);
            uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
            struct muster_interval rest = muster_schedule_unpack(seen);
            uint64_t length = rest.first < rest.end ? rest.end - rest.first : 0;
            uint32_t distance = distances ? distances[victim] : 0;
            if (length > 0 && (distance < nearest || (distance == nearest && length > most))) {
                nearest = distance;
                most = length;
                fullest = word;
                fullest_seen = seen;
            }
        }
        if (!fullest)
            return none;
        struct muster_interval rest = muster_schedule_unpack(fullest_seen);
        struct muster_interval taken = {rest.end - (most + 1) / 2, rest.end};
        struct muster_interval left = {rest.first, taken.first};
        /* A failure means that somebody took of it meanwhile, so the work is getting done. */
        if (__atomic_compare_exchange_n(fullest, &fullest_seen, muster_schedule_pack(left), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return taken;
    }
}
