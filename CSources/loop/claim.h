/* claim.h - what beginning a job and claiming in it share. Private to the C core. */
#ifndef MUSTER_LOOP_CLAIM_H
#define MUSTER_LOOP_CLAIM_H

#include <muster/core/loop.h>

/* Nothing is current in this job before the number says that it is this job's. */
static inline void muster__enter_job(struct muster_loop *loop, uint64_t number)
{
    muster__cursor_follow(loop);
    __atomic_store_n(&loop->slot->current, 0, __ATOMIC_RELAXED);
    if (loop->cursor.slow_path)
        __atomic_store_n(&loop->slot->phase, MUSTER_PHASE_CLAIM, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->slot->current_job, number, __ATOMIC_RELEASE);
}

/* Notes what has been claimed, and then hands it out. */
static inline void muster__note_current(struct muster_loop *loop, struct muster_interval taken)
{
    /* Release: a process that reads `current` of a dead rank finds the roll at least as far as it
     * was when the interval before this one ended. */
    __atomic_store_n(&loop->slot->current, muster_schedule_pack(taken), __ATOMIC_RELEASE);
    loop->cursor.next = loop->first + taken.first;
    loop->cursor.end = loop->first + taken.end;
}

#endif
