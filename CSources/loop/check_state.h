/* check_state.h - what a rank knows of the loop that it checks. Private to check*.c. */
#ifndef MUSTER_LOOP_CHECK_STATE_H
#define MUSTER_LOOP_CHECK_STATE_H

#include "loop/check.h"

/* A page that a chunk's elements share with others. */
struct border {
    unsigned char *page;        /* where the kernel sees it; NULL: there is none */
    unsigned char *copy;        /* the private page that is mapped there */
    unsigned char *first, *end; /* of the chunk's own bytes in it */
};

/* An array that the loop writes. */
struct written {
    uint32_t index; /* of check->arrays */
    unsigned char *start;
    unsigned char *pages; /* of the array */
    uint64_t pages_bytes;
    unsigned char *alias;   /* the same memory, for the library */
    unsigned char *scratch; /* two private pages */
    unsigned char *open; /* pages that can be touched: of the chunk in work, or of the one before;
                            NULL: none */
    uint64_t open_bytes;
    bool is_entered; /* a chunk is in work that has elements of it */
    struct border borders[2];
};

#define ALLOWED_MOST 16u

struct muster__check {
    struct muster__check_loop loop; /* `arrays` and `rooms` are not read after the beginning */
    uint64_t page_bytes;
    unsigned char *pattern; /* a page of it */
    struct muster_check_array arrays[MUSTER_ARRAYS_MAX + 1];
    struct muster_extent rooms[MUSTER_ROOMS_MAX];
    uint64_t count, room_count;
    struct written *written;
    uint32_t written_count, written_capacity;
    struct muster__range allowed[ALLOWED_MOST];
    uint32_t allowed_count;
    unsigned char *control_alias; /* the control memory, for the library; NULL: it has no second
                                     mapping, and is opened and closed around each kernel */
    bool is_active, is_inside;
    uint64_t chunk, first, end;
};

static inline unsigned char *muster__page_of(const struct muster__check *check,
                                             const unsigned char *address)
{
    return (unsigned char *)((uintptr_t)address / check->page_bytes * check->page_bytes);
}

static inline unsigned char *muster__page_after(const struct muster__check *check,
                                                const unsigned char *address)
{
    return muster__page_of(check, address + check->page_bytes - 1);
}

/* Closes what is open of an array: no chunk is in work. */
void muster__check_close(struct muster__check *check, struct written *written);
/* Opens all control memory, for the note of a crash. */
void muster__check_open_all(struct muster__check *check);
/* Opens or closes what this rank writes itself of the control memory. */
void muster__check_protect_own(struct muster__check *check, enum muster__protection protection);
/* Ends the process where the system refuses: a loop that went on would be one that nobody has
 * checked. */
_Noreturn void muster__check_fail(struct muster__check *check, int status);
void muster__check_protect(struct muster__check *check, unsigned char *address, uint64_t size_bytes,
                           enum muster__protection protection);

#endif
