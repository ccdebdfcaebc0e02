/* select.h - counts for finding the k-th smallest of many numbers without sorting them.
 *
 * Each number has a key: an unsigned integer of as many bits as the number, in the same order as
 * the numbers. -0.0 comes before +0.0. Counting keys by their leading bits tells in which interval
 * of keys the k-th smallest lies; counting again within that interval narrows it down to one key.
 */
#ifndef MUSTER_CORE_SELECT_H
#define MUSTER_CORE_SELECT_H

#include <muster/bulk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most intervals of a call. */
#define MUSTER_KEY_INTERVALS_MAX 1024u

/* An interval of keys. */
struct muster_key_interval {
    uint64_t first;
    uint64_t last; /* the last key, included */
};

/* Adds the finite elements whose keys lie in one of the intervals to that interval's bins.
 *
 * dtype: type of the elements; bool takes any byte but 0 as 1.
 * a: `count` elements at any alignment, in this machine's byte order.
 * intervals: `interval_count` of them, 1 to MUSTER_KEY_INTERVALS_MAX, in rising order, none
 * overlapping another.
 * shift: keys of a bin, as a power of two.
 * bins: bins of an interval; key k of interval i is counted in counts[i * bins + ((k - first) >>
 * shift)], which must lie within the interval's bins.
 *
 * Concurrency: keeps no state; `counts` is the caller's alone. */
void muster_count_keys(enum muster_type dtype, const void *a, size_t count,
                       const struct muster_key_interval *intervals, size_t interval_count,
                       unsigned shift, size_t bins, uint64_t *counts);

/* The same of one channel of a part of an array: element e belongs to channel e / inner % channels
 * (channels.h).
 *
 * first: number of the part's first element in the array. channel: 0..<channels.
 *
 * Concurrency: keeps no state; `counts` is the caller's alone. */
void muster_count_channel_keys(enum muster_type type, const void *a, size_t count, uint64_t first,
                               uint64_t channels, uint64_t inner, uint64_t channel,
                               const struct muster_key_interval *intervals, size_t interval_count,
                               unsigned shift, size_t bins, uint64_t *counts);

#ifdef __cplusplus
}
#endif

#endif
