/* kernel.h - what a kernel in C sees of a loop: its chunk, its arguments, its arrays.
 *
 * A kernel is a function that a leader's loop (leader.h) calls once for each chunk, in the process
 * of the rank that has claimed it. It returns 0, or anything else to end the loop: the leader then
 * learns which chunk failed, and what that chunk had changed in place is put back.
 *
 * What it may do depends only on the chunk and on its arguments, since any rank may get any chunk,
 * and a chunk may be begun again after its worker has died. Arrays are reached by the number of
 * their use (struct muster_use). Every address that the functions below give is that of the array's
 * element 0, so that one index, chunk.first ..< chunk.end, serves all arrays of a kernel. Where an
 * index stands for a row of elements (elements_per_index of the use), the chunk's elements are
 * muster_work_elements.
 *
 *     static int scale(const struct muster_work *work)
 *     {
 *         const double *factor = work->arguments;
 *         struct muster_tile tile = {0};
 *         while (muster_work_update(work, 0, &tile)) {
 *             double *x = tile.elements;
 *             for (uint64_t i = tile.first; i < tile.end; i++)
 *                 x[i] *= *factor;
 *         }
 *         return 0;
 *     }
 *
 * A kernel must not leave by longjmp, nor end its thread: in a forked rank the frames above it are
 * copies of the leader's. A C++ exception that leaves it ends the worker (std::terminate), as any
 * crash does; it never reaches a handler of the leader's.
 *
 * Mistakes of a kernel (a use that it has not, or not for this access) are assertions: they end the
 * worker by SIGABRT.
 */
#ifndef MUSTER_KERNEL_H
#define MUSTER_KERNEL_H

#include <assert.h>
#include <muster/chunk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most arrays of one kernel. */
#define MUSTER_USES_MAX 64u

/* Most bytes of a C kernel's arguments; the rest of MUSTER_ARGUMENT_BYTES_MAX is for its uses. */
#define MUSTER_WORK_ARGUMENT_BYTES_MAX 4096u

struct muster_work_state;

/* A chunk in work, as its kernel gets it. */
struct muster_work {
    struct muster_chunk chunk; /* indices chunk.first ..< chunk.end: elements, or rows of them */
    uint32_t rank;             /* of this process, 0..<size */
    uint32_t size;             /* ranks of the team */
    const void *arguments;     /* this rank's copy of the loop's arguments, aligned to 64 bytes */
    void *partial; /* of a reduction: the place of the chunk's result, all zero; otherwise NULL */
    struct muster_work_state *state;
};

/* A kernel. Returns: 0, or a status of its own, which ends the loop. */
typedef int (*muster_kernel)(const struct muster_work *work);

/* Elements of the chunk that may be changed now. */
struct muster_tile {
    void *elements; /* address of the array's element 0 */
    uint64_t first; /* the elements first ..< end */
    uint64_t end;
};

/* The elements of an array that the chunk owns: its indices, or its whole rows.
 *
 * use: any. Returns: the elements first ..< end. Of a MUSTER_ACCESS_INPUT they may go beyond its
 * length.
 */
struct muster_interval muster_work_elements(const struct muster_work *work, uint32_t use);

/* The elements that one index stands for: elements_per_index of the use. use: any. */
uint64_t muster_work_elements_per_index(const struct muster_work *work, uint32_t use);

/* The elements of an array that is read: any of them.
 *
 * use: number of a MUSTER_ACCESS_INPUT. Returns: the address of element 0. */
const void *muster_work_input(const struct muster_work *work, uint32_t use);

/* The elements of an array that is written: those of the chunk.
 *
 * What they held before is not to be read: it is overwritten with one bits (NaN to floating point)
 * when a chunk is done again, so every one should be written.
 * use: number of a MUSTER_ACCESS_OUTPUT. Returns: the address of element 0. */
void *muster_work_output(const struct muster_work *work, uint32_t use);

/* The next elements of an array that is changed in place: tiles of MUSTER_TILE_BYTES, or one row
 * where that is longer. A row is never cut.
 *
 * Their old contents are kept before they are lent, while they are in the first-level cache anyway.
 * use: number of a MUSTER_ACCESS_IN_PLACE. tile: all zero at first; updated. Returns: false at the
 * chunk's end, tile all zero again. */
bool muster_work_update(const struct muster_work *work, uint32_t use, struct muster_tile *tile);

/* The same in tiles of MUSTER_TILE_BYTES also where rows are longer: the fastest way for kernels
 * that change each element by itself. use, tile, Returns: as muster_work_update. */
bool muster_work_update_elements(const struct muster_work *work, uint32_t use,
                                 struct muster_tile *tile);

/* All elements of the chunk at once, for kernels that need more than a tile (to sort it, say).
 * Costs more than muster_work_update: all of the chunk is copied before the first change.
 *
 * use: number of a MUSTER_ACCESS_IN_PLACE. Returns: the address of element 0. */
void *muster_work_update_whole(const struct muster_work *work, uint32_t use);

/* The length of an array in elements, for kernels that read beyond their chunk. */
uint64_t muster_work_count(const struct muster_work *work, uint32_t use);

/* Rows of an array that is read: see muster_work_rows. */
struct muster_rows {
    const void *elements; /* address of the array's element 0 */
    uint64_t first;       /* the rows first ..< end: the chunk's, and up to `halo` on each side */
    uint64_t end;
    uint64_t row_bytes; /* from one row to the next */
};

/* The chunk's rows of an array, and up to `halo` rows on each side, as far as the array goes: what
 * a stencil reads. Rows have the numbers that they have in the array.
 *
 *     struct muster_rows in = muster_work_rows(work, 0, 1);
 *     float *out = muster_work_output(work, 1);
 *     for (uint64_t y = work->chunk.first; y < work->chunk.end; y++) {
 *         const float *above = muster_row(&in, y > 0 ? y - 1 : y);
 *         ...
 *
 * use: number of a MUSTER_ACCESS_INPUT. halo: rows. Returns: see the struct; no rows (first == end)
 * where the chunk lies beyond the array. */
struct muster_rows muster_work_rows(const struct muster_work *work, uint32_t use, uint64_t halo);

/* The address of a row's first element.
 *
 * y: rows->first ..< rows->end; another is an assertion, as other mistakes of a kernel are. */
MUSTER_INLINE const void *muster_row(const struct muster_rows *rows, uint64_t y)
{
    assert(y >= rows->first && y < rows->end);
    return (const unsigned char *)rows->elements + y * rows->row_bytes;
}

/* Says in words why the kernel is going to return other than 0, for the leader's error.
 *
 * text: copied, at most MUSTER_MESSAGE_BYTES with its NUL. */
void muster_work_explain(const struct muster_work *work, const char *text);

#ifdef __cplusplus
}
#endif

#endif
