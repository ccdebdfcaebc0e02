/* check_loop.c - a rank's loop under check mode: by which addresses it writes to the control
 * memory. The story is told in muster/check.h.
 */
#include <muster/core/loop.h>

#include "loop/check.h"

/* Has a pointer into the control memory point to another mapping of it. */
#define SHIFT(pointer, bytes)                                                                      \
    do {                                                                                           \
        if (pointer)                                                                               \
            (pointer) = (void *)((unsigned char *)(pointer) + (bytes));                            \
    } while (0)

/* All by which a loop writes there. */
static void shift(struct muster_loop *loop, intptr_t bytes)
{
    SHIFT(loop->cancelled, bytes);
    SHIFT(loop->counter, bytes);
    SHIFT(loop->slot, bytes);
    SHIFT(loop->slots, bytes);
    SHIFT(loop->roll.tail_end, bytes);
    SHIFT(loop->cursor.tail_end, bytes);
    SHIFT(loop->roll.roll, bytes);
    SHIFT(loop->roll.log, bytes);
    SHIFT(loop->roll.bitmap, bytes);
    SHIFT(loop->journal.journal, bytes);
}

int muster__loop_check(struct muster_loop *loop, const struct muster__check_loop *checked)
{
    int status = muster__check_begin(&loop->check, checked);
    if (status == 0)
        shift(loop, muster__check_shift(loop->check));
    return status;
}

void muster__loop_uncheck(struct muster_loop *loop)
{
    if (__builtin_expect(!loop->check, 1))
        return;
    shift(loop, -muster__check_shift(loop->check));
    muster__check_end(loop->check);
}
