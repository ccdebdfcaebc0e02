/* claim.c - claims.
 *
 * Order within a claim: take the interval from the shared word, then note it as current, then run.
 * A process killed between the first two leaves chunks that nobody knows of; they show as a hole
 * when all live ranks are done. Killed after the second, the leader knows at once what it was at,
 * and its successor goes on from there: see muster_team_plan_successor.
 */
#include <muster/loop.h>
#include <muster/testing.h>
#include <stdlib.h>
#include <string.h>

#include "loop/check.h"
#include "os/os.h"
#include "team/state.h"

/* Claims that a dynamic loop's rank takes from the shared counter at once, at most. */
#define PORTION_CLAIMS 16u

/* Puts back what a predecessor that died in this job was changing. Its roll must be open. */
static int take_over(struct muster_loop *loop, struct muster_journal *journal, uint64_t number,
                     uint64_t capacity)
{
    uint64_t chunk;
    if (!muster_journal_chunk(journal, number, &chunk) ||
        muster__broken == MUSTER_BROKEN_NO_RESTORE)
        return 0;
    /* A chunk that is in the roll has its new contents, whole. */
    int held =
        muster_roll_contains(loop->roll.roll, capacity, number, loop->first, loop->count, chunk);
    if (held != 0)
        return held < 0 ? held : 0;
    if (loop->traced)
        muster_loop_trace(loop, MUSTER_PHASE_RESTORE, chunk);
    return muster_journal_restore(journal, loop->journal_bytes, loop->space, loop->space_bytes);
}

/* Opens this rank's list where the job is recorded. */
static int open_timeline(struct muster_loop *loop, struct muster_team *team, uint64_t loop_number)
{
    const struct muster_job *job = muster_team_job(team);
    uint64_t events = job->timeline_events, offset = job->timeline_offset;
    if (!(job->flags & MUSTER_JOB_RECORDED))
        return 0;
    uint64_t arena_bytes = muster_team_space(team)->arena_bytes;
    if (events == 0 || events > MUSTER_EVENTS_MAX || offset > arena_bytes ||
        (arena_bytes - offset) / muster_timeline_bytes(events) < loop->size)
        return -EUCLEAN;
    unsigned char *list = loop->space + offset + loop->rank * muster_timeline_bytes(events);
    return muster_timeline_resume(&loop->timeline, (struct muster_timeline *)list, events,
                                  loop_number, loop->slot->incarnation);
}

/* Nothing is current in this job before the number says that it is this job's. */
static void enter_job(struct muster_loop *loop, uint64_t number)
{
    __atomic_store_n(&loop->slot->current, 0, __ATOMIC_RELAXED);
    if (loop->traced)
        __atomic_store_n(&loop->slot->phase, MUSTER_PHASE_CLAIM, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->slot->current_job, number, __ATOMIC_RELEASE);
}

/* Notes what has been claimed, and then hands it out. */
static void note_current(struct muster_loop *loop, struct muster_interval taken)
{
    /* Release: whoever reads `current` of a dead rank finds the roll at least as far as it was when
     * the interval before this one ended. */
    __atomic_store_n(&loop->slot->current, muster_schedule_pack(taken), __ATOMIC_RELEASE);
    loop->next = loop->first + taken.first;
    loop->end = loop->first + taken.end;
}

/* This rank's roll, journal and slot, in an order that a death may cut off anywhere. */
static int open_records(struct muster_loop *loop, struct muster_team *team, uint64_t number,
                        uint64_t loop_number)
{
    struct muster_team_block *block = muster_team_block(team);
    struct muster_roll *roll = muster_team_roll(team, loop->rank);
    struct muster_journal *journal = muster_team_journal(team, loop->rank);
    struct muster_slot *slot = loop->slot;
    bool succeeds = __atomic_load_n(&slot->resume_job, __ATOMIC_ACQUIRE) == number;
    int status = 0;
    loop->journal_bytes = block->journal_bytes;
    if (muster__broken != MUSTER_BROKEN_ROLL_FORGOTTEN)
        status = muster_roll_resume(&loop->roll, roll, block->chunk_capacity, loop_number,
                                    loop->first, loop->count);
    if (status == 0)
        muster_roll_begin(&loop->roll, roll, block->chunk_capacity, loop_number, loop->rank,
                          loop->first, loop->count);
    if (status < 0)
        return status;
    if (succeeds) {
        status = take_over(loop, journal, loop_number, block->chunk_capacity);
        if (status < 0)
            return status;
        loop->position = slot->resume_position;
        loop->resumed = muster_schedule_unpack(slot->resume);
        if (loop->resumed.end > loop->count)
            return -EUCLEAN;
        if (loop->resumed.first < loop->resumed.end)
            loop->redoing = loop->first + loop->resumed.first;
    }
    if (loop->journaled)
        muster_journal_begin(&loop->journal, journal, block->journal_bytes, loop_number);
    enter_job(loop, number);
    return 0;
}

/* A loop with its lists. */
struct room {
    struct muster_loop loop;
    struct muster_touch touched[MUSTER_ARRAYS_MAX + 1];
    unsigned char taken[MUSTER_ARRAYS_MAX];
};

struct muster_loop *muster_loop_create(void)
{
    struct room *room = muster__os_zeros(sizeof *room);
    if (!room)
        __builtin_trap();
    room->loop.touched = room->touched;
    room->loop.taken = room->taken;
    return &room->loop;
}

void muster_loop_destroy(struct muster_loop *loop)
{
    muster__check_destroy(loop->check);
    muster__os_unmap(loop, sizeof(struct room));
}

/* Begins a new loop in a job slot that this process knows: what it has found out of it, and found
 * sound, still holds. No successor comes this way, since it knows none. */
static int begin_same(struct muster_loop *loop, uint64_t capacity, uint64_t number)
{
    loop->next = loop->end = 0;
    loop->job = number;
    loop->position = muster_schedule_start(loop->schedule, loop->rank, loop->batch);
    loop->poison = loop->poison_all;
    loop->resumed.first = loop->resumed.end = 0;
    loop->redoing = loop->touching = UINT64_MAX;
    muster_roll_begin(&loop->roll, loop->roll.roll, capacity, number, loop->rank, loop->first,
                      loop->count);
    if (loop->journaled)
        muster_journal_begin(&loop->journal, loop->journal.journal, loop->journal_bytes, number);
    enter_job(loop, number);
    /* Its block is known, and noted at once. */
    if (loop->schedule == MUSTER_STATIC && loop->block.first < loop->block.end) {
        loop->position = loop->is_last = 1;
        note_current(loop, loop->block);
    }
    return 0;
}

/* Takes from this rank's reach what the loop has no business with. */
static int begin_check(struct muster_loop *loop, struct muster_team *team)
{
    struct muster_space *space = &team->space;
    const struct muster_check_table *table = muster_team_check_table(team);
    if (!(team->job->flags & MUSTER_JOB_CHECKED) || muster__os_pid() == team->plan.leader_pid)
        return 0;
    struct muster__check_loop checked = {
        .space = {space->address, space->size_bytes},
        .control = {team->control.address, team->control.size_bytes},
        /* Block, slots and job lie in front; and the roll. */
        .own = {{team->control.address, team->plan.list_offset},
                {(unsigned char *)team->rolls[loop->rank], team->plan.roll_bytes}},
        .arrays = table->arrays,
        .count = table->count,
        .rooms = team->known,
        .room_count = MUSTER_ROOMS_MAX,
        .kept_offset = loop->timeline.list ? team->job->timeline_offset : UINT64_MAX};
    return muster__loop_check(loop, &checked);
}

static int begin(struct muster_loop *loop, struct muster_team *team, uint32_t rank, uint64_t number,
                 uint64_t loop_number)
{
    struct muster_team_block *block = team->block;
    const struct muster_job *job = team->job;
    struct muster_space *space = &team->space;
    if (rank >= block->size || job->grain == 0 || job->chunk_count > block->chunk_capacity ||
        job->first_chunk > MUSTER_CHUNKS_MAX || job->schedule > MUSTER_LISTED || job->batch == 0 ||
        job->batch > MUSTER_CHUNKS_MAX ||
        job->first_chunk + job->chunk_count > muster_schedule_chunks(job->elements, job->grain) ||
        number == 0 || loop_number == 0 || loop_number > number ||
        job->list_count > MUSTER_LIST_MAX || job->partials_offset > space->arena_bytes ||
        (job->partial_bytes &&
         job->first_chunk + job->chunk_count >
             (space->arena_bytes - job->partials_offset) / job->partial_bytes))
        return -EUCLEAN;
    unsigned char *taken = loop->taken;
    struct muster_touch *touched = loop->touched;
    struct muster__check *check = loop->check;
    memset(loop, 0, sizeof *loop);
    loop->taken = taken;
    loop->touched = touched;
    loop->check = check;
    loop->touching = UINT64_MAX;
    loop->job = number;
    loop->cancelled = &block->cancelled;
    loop->grain = job->grain;
    loop->elements = job->elements;
    loop->space = space->address;
    loop->space_bytes = space->size_bytes;
    loop->partials = job->partial_bytes ? space->address + job->partials_offset : NULL;
    loop->partial_bytes = job->partial_bytes;
    loop->arguments = job->arguments;
    loop->rank = rank;
    loop->size = block->size;
    loop->traced =
        (job->flags & (MUSTER_JOB_TRACED | MUSTER_JOB_RECORDED | MUSTER_JOB_CHECKED)) != 0 ||
        muster__points_armed || muster__broken == MUSTER_BROKEN_COMMIT_EARLY;
    loop->journaled =
        (job->flags & MUSTER_JOB_JOURNALED) != 0 && muster__broken != MUSTER_BROKEN_NO_JOURNAL;
    loop->poison_all = (job->flags & MUSTER_JOB_POISONED) != 0 || loop_number != number;
    loop->schedule = job->schedule;
    loop->first = job->first_chunk;
    loop->count = job->chunk_count;
    loop->batch = job->batch;
    loop->position = muster_schedule_start(job->schedule, rank, job->batch);
    loop->block = muster_schedule_block(loop->count, loop->size, rank);
    loop->redoing = UINT64_MAX;
    loop->counter = &block->counter;
    loop->list = team->list;
    loop->list_count = job->list_count;
    loop->slot = &team->slots[rank];
    loop->slots = team->slots;
    loop->distances = muster_team_distances(team, rank);
    int status = muster__follow_arrays(team);
    if (status == 0)
        status = open_timeline(loop, team, loop_number);
    if (status == 0)
        status = open_records(loop, team, number, loop_number);
    return status < 0 ? status : begin_check(loop, team);
}

int muster_loop_begin(struct muster_loop *loop, struct muster_team *team, uint32_t rank)
{
    struct muster_team_block *block = team->block;
    /* All three were stored before the epoch that the caller has seen. */
    uint64_t number = __atomic_load_n(&block->epoch, __ATOMIC_ACQUIRE);
    uint64_t shape = __atomic_load_n(&block->shape, __ATOMIC_RELAXED);
    uint64_t loop_number =
        shape == number ? __atomic_load_n(&block->loop, __ATOMIC_RELAXED) : number;
    bool is_plain = loop_number == number && !muster__points_armed && !muster__broken;
    if (is_plain && shape == loop->shape && shape != 0)
        return begin_same(loop, team->plan.chunk_capacity, number);
    int status = begin(loop, team, rank, number, loop_number);
    loop->shape = status == 0 && is_plain && !loop->traced ? shape : 0;
    return status;
}

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
    return loop->schedule == MUSTER_STATIC_STEAL &&
           (taken.first < loop->block.first || taken.end > loop->block.end);
}

static struct muster_interval take_static_steal(struct muster_loop *loop)
{
    struct muster_interval taken = muster_schedule_take_own(&loop->slot->claim);
    return taken.first < taken.end ? taken : steal(loop);
}

/* Whoever is free takes the next chunks: by portions, of which all but the first batch lies in the
 * rank's claim word until its turn comes. The shared counter is then asked once a portion (asked
 * for every chunk it was 19 ns a chunk with 2 ranks, however short the rest), and balance is as
 * before, since nobody leaves while there is something in anybody's word. Portions shrink towards
 * the end, so that little has to be stolen.
 *
 * Killed after the counter and before the word, a rank leaves a portion that nobody knows of: a
 * hole like any claim that was never noted. Only the owner fills its word, only when it is empty,
 * and no chunk comes from the counter twice: so a thief's compare-and-swap can't succeed on a word
 * that has been filled anew since it was read. */
static struct muster_interval take_dynamic(struct muster_loop *loop)
{
    uint64_t *word = &loop->slot->claim, batch = loop->batch;
    struct muster_interval taken = muster_schedule_take_front(word, batch);
    if (taken.first < taken.end)
        return taken;
    /* `position`: the counter as it was when this rank last took of it. Not read anew, which would
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
    case MUSTER_STATIC:
        if (loop->position == 0)
            taken = loop->block;
        loop->position = 1;
        break;
    case MUSTER_CYCLIC:
        taken = take_cyclic(loop);
        break;
    case MUSTER_DYNAMIC:
        taken = take_dynamic(loop);
        break;
    case MUSTER_GUIDED:
        taken = muster_schedule_take_guided(loop->counter, loop->count, loop->batch, loop->size);
        break;
    case MUSTER_STATIC_STEAL:
        taken = take_static_steal(loop);
        break;
    case MUSTER_LISTED:
        taken = take_listed(loop);
        break;
    }
    return taken;
}

bool muster_loop_claim(struct muster_loop *loop)
{
    struct muster_interval taken = loop->resumed;
    loop->poison = loop->poison_all;
    if (__builtin_expect(loop->traced, 0)) {
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
    note_current(loop, taken);
    MUSTER__POINT(MUSTER_POINT_CURRENT);
    return true;
}

bool muster_loop_more(struct muster_loop *loop)
{
    if (loop->next == loop->end && (loop->is_last || !muster_loop_claim(loop)))
        return false;
    if (__builtin_expect(loop->traced, 0)) {
        if (__atomic_load_n(loop->cancelled, __ATOMIC_RELAXED) == loop->job)
            return false;
        muster_loop_trace(loop, MUSTER_PHASE_KERNEL, loop->next);
    }
    return true;
}

void muster_loop_commit_apart(struct muster_loop *loop, uint64_t chunk)
{
    if (__builtin_expect(loop->traced, 0))
        muster_loop_commit_traced(loop, chunk);
    else
        muster_roll_commit_apart(&loop->roll, chunk);
}

void muster_loop_cancel(struct muster_loop *loop)
{
    muster__check_open_control(loop->check); /* a kernel calls this */
    __atomic_store_n(loop->cancelled, loop->job, __ATOMIC_RELEASE);
    muster__check_close_control(loop->check);
}

uint64_t muster_loop_end(struct muster_loop *loop)
{
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
        muster_roll_commit(&loop->roll, chunk);
    if (loop->timeline.list)
        muster_timeline_begin(&loop->timeline, chunk, loop->stolen);
    if (loop->check) {
        uint64_t first = chunk * loop->grain, left = loop->elements - first;
        muster__check_enter(loop->check, chunk, first,
                            first + (left < loop->grain ? left : loop->grain));
    }
}

void muster_loop_commit_traced(struct muster_loop *loop, uint64_t chunk)
{
    muster__check_leave(loop->check);
    __atomic_store_n(&loop->slot->phase, MUSTER_PHASE_COMMIT, __ATOMIC_RELEASE);
    MUSTER__POINT(MUSTER_POINT_COMMITTING);
    if (muster__broken != MUSTER_BROKEN_COMMIT_EARLY)
        muster_roll_commit(&loop->roll, chunk);
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
    if (__builtin_expect(loop->traced, 0))
        muster_loop_trace(loop, MUSTER_PHASE_JOURNAL, chunk);
    muster_journal_save(&loop->journal, chunk, loop->space, offset, end - offset);
    if (__builtin_expect(loop->traced, 0))
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
    muster__loop_uncheck(loop);
    if (!loop->journaled ||
        !muster_journal_chunk(loop->journal.journal, loop->roll.roll->job, &saved) ||
        saved != chunk)
        return 0;
    return muster_journal_restore(loop->journal.journal, loop->journal_bytes, loop->space,
                                  loop->space_bytes);
}
