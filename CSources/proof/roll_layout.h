/* roll_layout.h - where the parts of a roll lie, and a validated view of one. Private. */
#ifndef MUSTER_PROOF_ROLL_LAYOUT_H
#define MUSTER_PROOF_ROLL_LAYOUT_H

#include <muster/core/roll.h>

static inline uint64_t muster__roll_page(uint64_t bytes)
{
    return (bytes + 4095) / 4096 * 4096;
}

/* Intervals before the bitmap takes over: 16 bytes for each 128 chunks are one bit a chunk, as much
 * as the bitmap takes. */
static inline uint64_t muster__roll_log_limit(uint64_t count)
{
    return count / 128 > MUSTER_ROLL_LOG_LEAST ? count / 128 : MUSTER_ROLL_LOG_LEAST;
}

static inline uint64_t muster__roll_log_capacity(uint64_t capacity)
{
    return muster__roll_log_limit(capacity) + MUSTER_ROLL_REPEATS;
}

static inline uint64_t muster__roll_bitmap_offset(uint64_t capacity)
{
    return muster__roll_page(sizeof(struct muster_roll) +
                             muster__roll_log_capacity(capacity) * sizeof(struct muster_interval));
}

static inline struct muster_interval *muster__roll_log(const struct muster_roll *roll)
{
    return (struct muster_interval *)((uintptr_t)roll + sizeof(struct muster_roll));
}

static inline uint64_t *muster__roll_bitmap(const struct muster_roll *roll, uint64_t capacity)
{
    return (uint64_t *)((uintptr_t)roll + muster__roll_bitmap_offset(capacity));
}

/* A roll whose log has been validated against a job. */
struct muster__roll_view {
    const struct muster_interval *log;
    const uint64_t *bitmap; /* NULL: not used */
    uint64_t length;
    uint32_t rank;
};

/* Returns 1 and the view; 0: the roll belongs to another job; -EUCLEAN. */
int muster__roll_open(const struct muster_roll *roll, uint64_t capacity, uint64_t job,
                      uint64_t first, uint64_t count, struct muster__roll_view *view);

static inline struct muster_interval muster__roll_entry(const struct muster__roll_view *view,
                                                        uint64_t i)
{
    struct muster_interval entry = {__atomic_load_n(&view->log[i].first, __ATOMIC_RELAXED),
                                    __atomic_load_n(&view->log[i].end, __ATOMIC_ACQUIRE)};
    return entry;
}

/* For qsort: intervals by rising first chunk. */
static inline int muster__roll_by_first(const void *left, const void *right)
{
    const struct muster_interval *l = left, *r = right;
    return (l->first > r->first) - (l->first < r->first);
}

static inline uint64_t muster__roll_bits(const struct muster__roll_view *view, uint64_t word)
{
    return __atomic_load_n(&view->bitmap[word], __ATOMIC_ACQUIRE);
}

#endif
