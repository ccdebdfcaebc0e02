/* check.h - what a rank does in a checked loop (muster/check.h tells the story). Private.
 *
 * Functions that take a check may be called with NULL, and then do nothing.
 */
#ifndef MUSTER_LOOP_CHECK_H
#define MUSTER_LOOP_CHECK_H

#include <muster/core/check.h>
#include <muster/core/segment.h>

#include "os/os.h"

struct muster__check;

/* Memory that the team runs by. */
struct muster__range {
    unsigned char *address;
    uint64_t size_bytes;
};

/* What a loop is begun with. */
struct muster__check_loop {
    struct muster__range space;              /* offsets below are from its start */
    struct muster__range control;            /* closed for writing while the loop lasts, but for: */
    struct muster__range own[2];             /* what this rank writes between chunks: open then */
    const struct muster_check_array *arrays; /* copied, and checked */
    uint64_t count;
    const struct muster_extent *rooms; /* pieces that are closed too where no array lies in them */
    uint64_t room_count;
    uint64_t kept_offset; /* of the room that stays open; UINT64_MAX: none */
    /* Whether a chunk's pages stay open until the next one's are: where only kernels run in
     * between, which is nobody. Saves system calls where a rank's chunks are neighbours. */
    bool is_lazy;
    /* Whether an address that was refused is of the team's memory; NULL: where it is in the space.
     * Called by a signal's handler. */
    bool (*holds)(uintptr_t address);
};

/* Takes access away: a loop begins. *check: NULL at first; made. Returns: 0; -ENOMEM; -EUCLEAN: an
 * array that can't be. */
int muster__check_begin(struct muster__check **check, const struct muster__check_loop *loop);

/* Gives everything back: the loop is over for this rank. What a chunk in work has stored into
 * border pages is kept. */
void muster__check_end(struct muster__check *check);

/* The same for a loop, which writes to the control memory by its second mapping from then on; and
 * no longer. Nothing happens where the loop is not checked. */
struct muster_loop;
int muster__loop_check(struct muster_loop *loop, const struct muster__check_loop *checked);
void muster__loop_uncheck(struct muster_loop *loop);

/* Around a kernel's work on a chunk. Where the system refuses what is needed, or the comparison has
 * found something, the process ends with a note. */
void muster__check_enter(struct muster__check *check, uint64_t chunk, uint64_t first, uint64_t end);
void muster__check_leave(struct muster__check *check);

/* How far from the control memory its second mapping lies, by which the library writes to it while
 * the loop lasts; 0: there is none, and the functions below open it. */
intptr_t muster__check_shift(const struct muster__check *check);

/* While a kernel runs: the library itself has to write to the rank's own control memory; and has
 * done so. */
void muster__check_open_control(struct muster__check *check);
void muster__check_close_control(struct muster__check *check);

/* The same for the beginning of the rank's journal, at any time in a loop. */
void muster__check_open_journal(struct muster__check *check, void *journal, uint64_t size_bytes);
void muster__check_close_journal(struct muster__check *check, void *journal, uint64_t size_bytes);

/* The bytes of an array that belong to the chunk in work, as offsets in the space. Returns: false:
 * the loop does not know of this array. */
bool muster__check_chunk_of(const struct muster__check *check, uint32_t array, uint64_t *offset,
                            uint64_t *end);

/* An access of the kernel that was not known when the loop began: bytes of the chunk in work. */
void muster__check_allow(struct muster__check *check, uint64_t offset, uint64_t size_bytes);

void muster__check_destroy(struct muster__check *check);

#endif
