/* check.h - check mode: a rank can touch only the elements of the chunk that it has claimed.
 *
 * In a checked loop each rank gives up access to memory before it calls a kernel. Arrays that are
 * read are read-only. Of an array that is written only the claimed chunk's elements are there. All
 * others, and the memory that the team runs by, can't be touched. The CPU refuses the first
 * instruction that does it all the same, the rank notes which it was (fault.h) and ends, and the
 * loop ends with an error that names it.
 *
 * A page is the least that a CPU protects. Where a chunk's elements share a page with others, the
 * kernel works on a private copy of that page, in which everything else is a pattern. After the
 * chunk the pattern is compared and the chunk's own bytes are copied back. So no other rank can
 * make a difference there, and what a kernel reads of its neighbours' elements is no number.
 *
 * Order in a chunk: open the elements' pages; put private copies over border pages; close the
 * control memory; kernel; open the control memory; compare and copy back; close the pages; commit.
 */
#ifndef MUSTER_CORE_CHECK_H
#define MUSTER_CORE_CHECK_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The access of an array that a loop does not use, in addition to those of enum muster_access. */
#define MUSTER_CHECK_UNUSED 3u

/* What else is to be known of an array. */
enum muster_check_flag {
    MUSTER_CHECK_READ_ONLY = 1, /* mapped so in the ranks */
    MUSTER_CHECK_BY_CHUNK = 2,  /* its index is the chunk's number: partial results */
    MUSTER_CHECK_POISONED = 4   /* the chunk's elements are filled with one bits before it begins */
};

/* An array, as a checked loop may use it. */
struct muster_check_array {
    uint64_t offset_bytes; /* of element 0, in the team's range of addresses */
    uint64_t size_bytes;   /* of all elements */
    uint64_t index_bytes;  /* of what belongs to one index of the loop */
    uint32_t access;       /* enum muster_access, or MUSTER_CHECK_UNUSED */
    uint32_t flags;        /* enum muster_check_flag */
    uint32_t array;        /* its number in the team */
    uint32_t use;          /* its number in the loop's uses; UINT32_MAX: none */
};

/* All arrays of a team. In shared memory, written by the leader before a checked loop. */
struct muster_check_table {
    uint64_t count;
    uint64_t reserved[15];
    struct muster_check_array arrays[MUSTER_ARRAYS_MAX + 1];
};

struct muster_team;

/* The table that the ranks read. Leader, between jobs. */
struct muster_check_table *muster_team_check_table(struct muster_team *team);

/* Whether MUSTER_CHECK in this process's environment asks for check mode: neither empty nor 0. In a
 * program with privileges of its own it is not read. */
bool muster_check_is_asked(void);

/* Looks for what somebody has written beyond an array's end, in its last page.
 *
 * end: of the array. bytes: to look at, zero as the system gives them. Returns: the number of the
 * first that is not; `bytes`: all are. */
uint64_t muster_check_tail(const void *end, uint64_t bytes);

/* The bytes of an array that belong to indices first ..< end of a loop, from element 0 on.
 *
 * Returns: in *end_bytes and as the result; both within the array. */
MUSTER_INLINE uint64_t muster_check_owned(const struct muster_check_array *array, uint64_t first,
                                          uint64_t end, uint64_t *end_bytes)
{
    uint64_t most = array->index_bytes ? array->size_bytes / array->index_bytes : 0;
    *end_bytes = (end < most ? end : most) * array->index_bytes;
    return (first < most ? first : most) * array->index_bytes;
}

#ifdef __cplusplus
}
#endif

#endif
