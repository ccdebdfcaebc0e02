/* chunk.h - what a loop deals: chunks of indices, and what a kernel may do with their elements. */
#ifndef MUSTER_CHUNK_H
#define MUSTER_CHUNK_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Half-open range of numbers: first, first + 1, ..., end - 1. */
struct muster_interval {
    uint64_t first;
    uint64_t end;
};

/* A chunk in work. */
struct muster_chunk {
    uint64_t index; /* number of the chunk */
    uint64_t first; /* its indices are first ..< end: elements, or rows of them */
    uint64_t end;
};

/* What a kernel does with an array. */
enum muster_access {
    MUSTER_ACCESS_INPUT = 0,   /* reads any of its elements */
    MUSTER_ACCESS_OUTPUT = 1,  /* writes those of the chunk, each of them, and reads none */
    MUSTER_ACCESS_IN_PLACE = 2 /* changes those of the chunk; a team journals their old contents */
};

/* What is known of an array's length, besides the loop's count. */
enum muster_use_flag {
    MUSTER_USE_PREFIX =
        1, /* the loop may end before the array does: the elements behind stay as they are */
    MUSTER_USE_GATHER = 2 /* an input that is read by other indices than the loop's, as a table is:
                             its length has nothing to do with the count */
};

/* The elements of an array that a chunk owns, if one index of the loop stands for so many
 * neighbouring elements: its rank may write those elements, and the journal keeps them. */
MUSTER_INLINE struct muster_interval muster_chunk_elements(const struct muster_chunk *chunk,
                                                           uint64_t elements_per_index)
{
    struct muster_interval owned = {chunk->first * elements_per_index,
                                    chunk->end * elements_per_index};
    return owned;
}

/* A rank's way through its claimed interval: the words that every chunk goes through. Private: for
 * the inline functions of member.h, and for the library.
 *
 * Order: a kernel's last store, then the release store to tail_end. Why: a reader that acquires the
 * roll then sees the chunk's data. Breaks otherwise: an audit counts a chunk whose data is not yet
 * there. */
struct muster_cursor {
    uint64_t next; /* the claimed interval's chunks not yet handed out are next ..< end */
    uint64_t end;
    uint64_t grain;     /* indices a chunk */
    uint64_t elements;  /* indices of the loop */
    uint64_t tail;      /* the chunk whose commit lengthens the roll's last interval; UINT64_MAX: no
                           chunk does */
    uint64_t *tail_end; /* that interval's end, in shared memory */
    const uint64_t *breaks;  /* members: the word that the launcher raises at each death */
    uint64_t watched;        /* members: its value when this rank last looked */
    unsigned char *partials; /* room for a partial result a chunk; NULL: no reduction */
    uint64_t partial_bytes;  /* from one partial result to the next */
    uint32_t slow_path;      /* 1: each chunk goes through the calls, not the inline functions */
    uint32_t reserved;
};

/* Hands out a chunk of the claimed interval. Precondition: next < end. */
MUSTER_INLINE void muster_cursor_hand_out(struct muster_cursor *cursor, struct muster_chunk *chunk)
{
    chunk->index = cursor->next++;
    chunk->first = chunk->index * cursor->grain;
    uint64_t left = cursor->elements - chunk->first;
    chunk->end = chunk->first + (left < cursor->grain ? left : cursor->grain);
}

/* Commits a chunk that follows the one before. Returns: false: it does not, or the long way was
 * asked for; nothing was done. */
MUSTER_INLINE bool muster_cursor_commit(struct muster_cursor *cursor, uint64_t chunk)
{
    if (__builtin_expect(chunk != cursor->tail, 0) || __builtin_expect(cursor->slow_path, 0))
        return false;
    cursor->tail = chunk + 1;
    __atomic_store_n(cursor->tail_end, chunk + 1, __ATOMIC_RELEASE);
    return true;
}

#ifdef __cplusplus
}
#endif

#endif
