/* crash.h - what a rank of a launched program notes of its own crash, and what its launcher reads.
 * Private to members and launchers.
 */
#ifndef MUSTER_MEMBER_CRASH_H
#define MUSTER_MEMBER_CRASH_H

#include <muster/core/fault.h>
#include <muster/member.h>

struct muster_member;

/* Where an address is among a member's arrays. */
enum muster__where {
    MUSTER__NOWHERE = 0,
    MUSTER__WITHIN = 1,
    MUSTER__BEYOND = 2,  /* the end of the nearest one */
    MUSTER__BEFORE = 3,  /* its start */
    MUSTER__PARTIALS = 4 /* in the chunks' partial results */
};

/* A rank's note in the team's memory. Order as in muster/fault.h: `note.pid` comes last. The
 * addresses of arrays differ from process to process, so that the rank itself says what was
 * touched. */
struct muster__member_fault {
    struct muster_fault note;
    char loop[MUSTER_NAME_BYTES];  /* that the rank was in; empty: none */
    char array[MUSTER_NAME_BYTES]; /* that was touched; empty: none */
    uint64_t element; /* within: that was touched, in bytes where `element_bytes` is 0; partials:
                         the chunk whose they are */
    uint64_t distance_bytes; /* beyond and before */
    uint64_t first, end;     /* the chunk's own elements of the array */
    uint32_t where;          /* enum muster__where */
    uint32_t access;         /* enum muster_access, or MUSTER_CHECK_UNUSED */
    uint32_t element_bytes;  /* 0: not known */
    uint32_t reserved;
};

/* Has this process's crashes noted for its launcher; and no longer. Best effort: without memory for
 * the handler's stack only the note is missing. */
void muster__member_watch(struct muster_member *me);
void muster__member_unwatch(struct muster_member *me);

/* A runtime's last words are kept for the note while the rank is in a loop. */
void muster__member_listen(struct muster_member *me);
void muster__member_unlisten(struct muster_member *me);

/* Copies what a dead process has noted. Returns: false: nothing; *copy is all zero. */
bool muster__member_fault_take(const struct muster__member_fault *fault, uint64_t pid,
                               struct muster__member_fault *copy);

/* -- member/check.c ------------------------------------------------------------------------- */

/* Takes from this rank's reach what the loop that has just begun has no business with, where check
 * mode is on. options: the loop's. Ends the process where the system refuses. */
void muster__member_check(struct muster_member *me,
                          const struct muster_member_loop_options *options);

/* Gives it back: the loop is over for this rank. Nothing happens where no loop is checked. */
void muster__member_uncheck(struct muster_member *me);

/* Before the member is freed. */
void muster__member_check_destroy(struct muster_member *me);

#endif
