/* claim.c - claims.
 *
 * Order within a claim: take the interval from the shared word, then note it as current, then run.
 * A process killed between the first two leaves chunks that nobody knows of; they show as a hole
 * when all live ranks are done. Killed after the second, the leader knows at once what it was at,
 * and its successor goes on from there: see muster_team_plan_successor.
 */
#include <muster/core/loop.h>
#include <muster/testing.h>
#include <stdlib.h>
#include <string.h>

#include "loop/check.h"
#include "loop/claim.h"
#include "os/os.h"

/* Claims that a dynamic loop's rank takes from the shared counter at once, at most. */
#define PORTION_CLAIMS 16u

static struct muster_interval take_cyclic(struct muster_loop *loop)
{
    struct muster_interval taken = {0, 0};
    if (loop->position >= loop->count)
        return taken;
    uint64_t left = loop->count - loop->position;
    taken.first = loop->position;
    taken.end = taken.first + (left < loop->batch ? left : loop->batch);
    loop->position += loop->batch * loop->size;
    return taken;
}

static struct muster_interval steal(struct muster_loop *loop)
{
    loop->stolen = 1;
    return muster_schedule_steal(&loop->slots->claim, sizeof *loop->slots, loop->size, loop->rank,
                                 loop->distances);
}

/* Whether what a predecessor had taken was from another rank's part: known of blocks only. */
static bool was_stolen(const struct muster_loop *loop, struct muster_interval taken)
{
    return loop->schedule == MUSTER_SCHEDULE_STATIC_STEAL &&
           (taken.first < loop->block.first || taken.end > loop->block.end);
}

static struct muster_interval take_static_steal(struct muster_loop *loop)
{
    struct muster_interval taken = muster_schedule_take_own(&loop->slot->claim);
    return taken.first < taken.end ? taken : steal(loop);
}

/* A rank that is free takes the next chunks: by portions, of which all but the first batch lies in
 * the rank's claim word until its turn comes. The shared counter is then asked once a portion
 * (asked for every chunk it was 19 ns a chunk with 2 ranks, however short the rest), and balance is
 * as before, since nobody leaves while there is something in anybody's word. Portions shrink
 * towards the end, so that little has to be stolen.
 *
 * Killed after the counter and before the word, a rank leaves a portion that nobody knows of: a
 * hole like any claim that was never noted. Only the owner fills its word, only when it is empty,
 * and no chunk comes from the counter twice: so a thief's compare-and-swap can't succeed on a word
 * that has been filled again since it was read. */
static struct muster_interval take_dynamic(struct muster_loop *loop)
{
    uint64_t *word = &loop->slot->claim, batch = loop->batch;
    struct muster_interval taken = muster_schedule_take_front(word, batch);
    if (taken.first < taken.end)
        return taken;
    /* `position`: the counter as it was when this rank last took of it. Not read again, which would
     * fetch the line twice. */
    uint64_t left = loop->position < loop->count ? loop->count - loop->position : 0;
    uint64_t claims = left / batch / (4 * (uint64_t)loop->size);
    claims = claims < 1 ? 1 : claims > PORTION_CLAIMS ? PORTION_CLAIMS : claims;
    taken = muster_schedule_take(loop->counter, loop->count, claims * batch);
    if (taken.first >= taken.end) {
        loop->position = loop->count;
        return steal(loop);
    }
    loop->position = taken.end;
    if (taken.end - taken.first > batch) {
        struct muster_interval rest = {taken.first + batch, taken.end};
        /* Relaxed: it deals numbers, as the counter does. */
        __atomic_store_n(word, muster_schedule_pack(rest), __ATOMIC_RELAXED);
        taken.end = rest.first;
    }
    return taken;
}

/* The next interval of the list: validated, since other processes could have written there. */
static struct muster_interval take_listed(struct muster_loop *loop)
{
    struct muster_interval taken = {0, 0};
    struct muster_interval entry = muster_schedule_take(loop->counter, loop->list_count, 1);
    if (entry.first >= entry.end)
        return taken;
    taken.first = __atomic_load_n(&loop->list[entry.first].first, __ATOMIC_RELAXED);
    taken.end = __atomic_load_n(&loop->list[entry.first].end, __ATOMIC_RELAXED);
    if (taken.end > loop->count)
        taken.end = taken.first;
    return taken;
}

static struct muster_interval deal(struct muster_loop *loop)
{
    struct muster_interval taken = {0, 0};
    switch (loop->schedule) {
    case MUSTER_SCHEDULE_STATIC:
        if (loop->position == 0)
            taken = loop->block;
        loop->position = 1;
        break;
    case MUSTER_SCHEDULE_CYCLIC:
        taken = take_cyclic(loop);
        break;
    case MUSTER_SCHEDULE_DYNAMIC:
        taken = take_dynamic(loop);
        break;
    case MUSTER_SCHEDULE_GUIDED:
        taken = muster_schedule_take_guided(loop->counter, loop->count, loop->batch, loop->size);
        break;
    case MUSTER_SCHEDULE_STATIC_STEAL:
        taken = take_static_steal(loop);
        break;
    case MUSTER_SCHEDULE_LISTED:
        taken = take_listed(loop);
        break;
    }
    return taken;
}

bool muster_loop_claim(struct muster_loop *loop)
{
    struct muster_interval taken = loop->resumed;
    loop->poison = loop->poison_all;
    if (__builtin_expect(loop->cursor.slow_path, 0)) {
        muster_loop_trace(loop, MUSTER_PHASE_CLAIM, 0);
        loop->stolen = taken.first < taken.end && was_stolen(loop, taken);
    }
    if (__builtin_expect(taken.first < taken.end, 0)) {
        loop->resumed.first = loop->resumed.end;
        loop->poison = 1; /* the first of them may have been written in part */
        loop->slot->resumed_ns = muster__os_now_ns();
    } else {
        taken = deal(loop);
    }
    if (taken.first >= taken.end)
        return false;
    MUSTER__POINT(MUSTER_POINT_CLAIMED);
    muster__note_current(loop, taken);
    MUSTER__POINT(MUSTER_POINT_CURRENT);
    return true;
}

bool muster_loop_more(struct muster_loop *loop)
{
    if (loop->cursor.next == loop->cursor.end && (loop->is_last || !muster_loop_claim(loop)))
        return false;
    if (__builtin_expect(loop->cursor.slow_path, 0)) {
        if (__atomic_load_n(loop->cancelled, __ATOMIC_RELAXED) == loop->job)
            return false;
        muster_loop_trace(loop, MUSTER_PHASE_KERNEL, loop->cursor.next);
    }
    return true;
}

/* The cursor's tail is the newer one: the inline commits move it, and the writer's stays behind. */
static void commit(struct muster_loop *loop, uint64_t chunk)
{
    loop->roll.tail = loop->cursor.tail;
    loop->roll.tail_end = loop->cursor.tail_end;
    muster_roll_commit(&loop->roll, chunk);
    muster__cursor_follow(loop);
}

void muster_loop_commit_apart(struct muster_loop *loop, uint64_t chunk)
{
    if (__builtin_expect(loop->cursor.slow_path, 0)) {
        muster_loop_commit_traced(loop, chunk);
        return;
    }
    muster_roll_commit_apart(&loop->roll, chunk);
    muster__cursor_follow(loop);
}

void muster_loop_cancel(struct muster_loop *loop)
{
    muster__check_open_control(loop->check); /* a kernel calls this */
    __atomic_store_n(loop->cancelled, loop->job, __ATOMIC_RELEASE);
    muster__check_close_control(loop->check);
}

uint64_t muster_loop_end(struct muster_loop *loop)
{
    if (__builtin_expect(loop->check != NULL, 0))
        muster__loop_uncheck(loop);
    MUSTER__POINT(MUSTER_POINT_LOOP_ENDED);
    return muster_roll_tally(&loop->roll);
}

/* -- traced jobs ---------------------------------------------------------------------------- */

void muster_loop_trace(struct muster_loop *loop, uint32_t phase, uint64_t chunk)
{
    __atomic_store_n(&loop->slot->phase, phase, __ATOMIC_RELEASE);
    if (phase != MUSTER_PHASE_KERNEL)
        return;
    if (muster__broken == MUSTER_BROKEN_COMMIT_EARLY)
        commit(loop, chunk);
    if (loop->timeline.list)
        muster_timeline_begin(&loop->timeline, chunk, loop->stolen);
    if (loop->check) {
        uint64_t first = chunk * loop->cursor.grain, left = loop->cursor.elements - first;
        muster__check_enter(loop->check, chunk, first,
                            first + (left < loop->cursor.grain ? left : loop->cursor.grain));
    }
}

void muster_loop_commit_traced(struct muster_loop *loop, uint64_t chunk)
{
    muster__check_leave(loop->check);
    __atomic_store_n(&loop->slot->phase, MUSTER_PHASE_COMMIT, __ATOMIC_RELEASE);
    MUSTER__POINT(MUSTER_POINT_COMMITTING);
    if (muster__broken != MUSTER_BROKEN_COMMIT_EARLY)
        commit(loop, chunk);
    MUSTER__POINT(MUSTER_POINT_COMMITTED);
    if (loop->timeline.list)
        muster_timeline_end(&loop->timeline);
    if (chunk == loop->redoing) {
        loop->redoing = UINT64_MAX;
        loop->slot->redone_ns = muster__os_now_ns();
    }
}

/* -- what a chunk does to arrays ------------------------------------------------------------ */

/* The array's mark in this chunk, new where the chunk has not touched it yet. */
static struct muster_touch *touch(struct muster_loop *loop, uint64_t chunk, uint32_t array,
                                  bool *first)
{
    uint64_t *newest = &loop->touched[MUSTER_ARRAYS_MAX].serial;
    if (chunk != loop->touching) {
        loop->touching = chunk;
        ++*newest;
    }
    struct muster_touch *mark = &loop->touched[array];
    *first = mark->serial != *newest;
    mark->serial = *newest;
    return mark;
}

/* Opens as much of the journal as the record takes. The phase stays the kernel's. */
static void save_checked(struct muster_loop *loop, uint64_t chunk, uint64_t offset, uint64_t bytes)
{
    struct muster_journal_writer *writer = &loop->journal;
    uint64_t before = chunk == writer->chunk ? writer->position : sizeof *writer->journal;
    uint64_t size = before + muster_journal_room(bytes, bytes > 0 ? bytes : 1);
    size = size < loop->journal_bytes ? size : loop->journal_bytes;
    muster__check_open_journal(loop->check, writer->journal, size);
    muster_journal_save(writer, chunk, loop->space, offset, bytes);
    muster__check_close_journal(loop->check, writer->journal, size);
}

void muster_loop_save(struct muster_loop *loop, uint64_t chunk, uint32_t array, uint64_t offset,
                      uint64_t bytes)
{
    bool first;
    struct muster_touch *mark = touch(loop, chunk, array, &first);
    uint64_t end = offset + bytes;
    if (__builtin_expect(loop->check != NULL, 0)) {
        /* All of the chunk at once: the journal is opened and closed once. */
        if (!muster__check_chunk_of(loop->check, array, &offset, &end))
            muster__check_allow(loop->check, offset, bytes);
    }
    if (!first) {
        /* A second pass over the chunk: what it held before the first one is what counts. */
        if (end <= mark->end)
            return;
        if (offset < mark->end)
            offset = mark->end;
    }
    mark->end = end;
    if (__builtin_expect(loop->check != NULL, 0)) {
        save_checked(loop, chunk, offset, end - offset);
        return;
    }
    if (__builtin_expect(loop->cursor.slow_path, 0))
        muster_loop_trace(loop, MUSTER_PHASE_JOURNAL, chunk);
    muster_journal_save(&loop->journal, chunk, loop->space, offset, end - offset);
    if (__builtin_expect(loop->cursor.slow_path, 0))
        __atomic_store_n(&loop->slot->phase, MUSTER_PHASE_KERNEL, __ATOMIC_RELEASE);
}

void muster_loop_poison(struct muster_loop *loop, uint64_t chunk, uint32_t array, uint64_t offset,
                        uint64_t bytes)
{
    bool first;
    uint64_t known_offset, known_end;
    (void)touch(loop, chunk, array, &first);
    if (loop->check && !muster__check_chunk_of(loop->check, array, &known_offset, &known_end))
        muster__check_allow(loop->check, offset, bytes);
    if (first)
        memset(loop->space + offset, 0xff, bytes);
}

int muster_loop_undo(struct muster_loop *loop, uint64_t chunk)
{
    uint64_t saved;
    if (__builtin_expect(loop->check != NULL, 0))
        muster__loop_uncheck(loop);
    if (!loop->journaled ||
        !muster_journal_chunk(loop->journal.journal, loop->roll.roll->job, &saved) ||
        saved != chunk)
        return 0;
    return muster_journal_restore(loop->journal.journal, loop->journal_bytes, loop->space,
                                  loop->space_bytes);
}
