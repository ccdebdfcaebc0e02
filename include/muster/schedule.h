/* schedule.h - how chunks are cut and dealt.
 *
 * A loop over `elements` is cut into chunks of `grain` elements; the last one may be shorter.
 * Borders depend on elements, grain and the size of a partial result, never on team, pages or
 * nodes: that is what makes a reduction give the same bits everywhere.  */
#ifndef MUSTER_SCHEDULE_H
#define MUSTER_SCHEDULE_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How chunks are dealt to ranks. */
enum muster_schedule {
    MUSTER_SCHEDULE_STATIC = 0, /* rank r has one block of neighbouring chunks */
    MUSTER_SCHEDULE_CYCLIC = 1, /* rank r has chunks r, r + size, r + 2 size, ... (times batch) */
    MUSTER_SCHEDULE_DYNAMIC =
        2, /* a rank that is free takes the next `batch` chunks that nobody has begun */
    MUSTER_SCHEDULE_GUIDED = 3,      /* the same, in shrinking portions, never under `batch` */
    MUSTER_SCHEDULE_STATIC_STEAL = 4 /* a block each; a rank that has finished steals half of the
                                        largest remainder among its nearest neighbours */
};

/* Chooses the grain of a loop in which one index stands for more than 8 bytes: a row of elements,
 * say. muster_schedule_grain has the rest of the rules.
 *
 * count: indices of the loop. wanted: indices a chunk, or 0 for the default. The default is the
 * largest power of two that gives at least 64 chunks and makes a chunk of at most 512 KiB and
 * 65,536 indices. It is at least 1, so that no border ever lies within a row. partial_bytes: as
 * there, where 8 bytes of a row count as an element. index_bytes: in the widest array that the loop
 * deals; 0: not known. Returns: indices a chunk, at least 1. */
uint64_t muster_schedule_grain_of_rows(uint64_t count, uint64_t wanted, uint64_t partial_bytes,
                                       uint64_t index_bytes);

/* Chooses the grain of a loop.
 *
 * elements: of the loop. wanted: elements a chunk, which is what it gets, also where that gives
 * more chunks than a loop can have: the loop is then refused. 0: the default, a power of two that
 * gives at least 64 chunks, up to 65,536 elements. It grows until there are at most
 * MUSTER_CHUNKS_MAX chunks. It also grows until partial results above 1 MiB in all take less than a
 * sixteenth of one byte an element. partial_bytes: what each chunk of a reduction leaves behind, or
 * 0. Returns: elements a chunk, at least 1. */
MUSTER_INLINE uint64_t muster_schedule_grain(uint64_t elements, uint64_t wanted,
                                             uint64_t partial_bytes)
{
    return muster_schedule_grain_of_rows(elements, wanted, partial_bytes, 0);
}

#ifdef __cplusplus
}
#endif

#endif
