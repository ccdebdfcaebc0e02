/* begin.c - how a rank begins a job: its loop's room, and all that it finds out of the job slot.
 *
 * A successor of a dead rank comes here too: it puts back what its predecessor was changing, and
 * goes on with that rank's roll.
 */
#include <muster/core/loop.h>
#include <muster/testing.h>
#include <stdlib.h>
#include <string.h>

#include "loop/check.h"
#include "loop/claim.h"
#include "team/state.h"

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
    if (loop->cursor.slow_path)
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
    muster__enter_job(loop, number);
    return 0;
}

/* Begins a new loop in a job slot that this process knows: what it has found out of it, and found
 * sound, still holds. No successor comes this way, since it knows none. */
static int begin_same(struct muster_loop *loop, uint64_t capacity, uint64_t number)
{
    loop->cursor.next = loop->cursor.end = 0;
    loop->job = number;
    loop->position = muster_schedule_start(loop->schedule, loop->rank, loop->batch);
    loop->poison = loop->poison_all;
    loop->resumed.first = loop->resumed.end = 0;
    loop->redoing = loop->touching = UINT64_MAX;
    muster_roll_begin(&loop->roll, loop->roll.roll, capacity, number, loop->rank, loop->first,
                      loop->count);
    if (loop->journaled)
        muster_journal_begin(&loop->journal, loop->journal.journal, loop->journal_bytes, number);
    muster__enter_job(loop, number);
    /* Its block is known, and noted at once. */
    if (loop->schedule == MUSTER_SCHEDULE_STATIC && loop->block.first < loop->block.end) {
        loop->position = loop->is_last = 1;
        muster__note_current(loop, loop->block);
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
        .kept_offset = loop->timeline.list ? team->job->timeline_offset : UINT64_MAX,
        .is_lazy = true};
    return muster__loop_check(loop, &checked);
}

static int begin(struct muster_loop *loop, struct muster_team *team, uint32_t rank, uint64_t number,
                 uint64_t loop_number)
{
    struct muster_team_block *block = team->block;
    const struct muster_job *job = team->job;
    struct muster_space *space = &team->space;
    if (rank >= block->size || job->grain == 0 || job->chunk_count > block->chunk_capacity ||
        job->first_chunk > MUSTER_CHUNKS_MAX || job->schedule > MUSTER_SCHEDULE_LISTED ||
        job->batch == 0 || job->batch > MUSTER_CHUNKS_MAX ||
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
    loop->cursor.grain = job->grain;
    loop->cursor.elements = job->elements;
    loop->space = space->address;
    loop->space_bytes = space->size_bytes;
    loop->cursor.partials = job->partial_bytes ? space->address + job->partials_offset : NULL;
    loop->cursor.partial_bytes = job->partial_bytes;
    loop->arguments = job->arguments;
    loop->rank = rank;
    loop->size = block->size;
    loop->cursor.slow_path =
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
    loop->shape = status == 0 && is_plain && !loop->cursor.slow_path ? shape : 0;
    return status;
}
