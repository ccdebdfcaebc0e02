/* loop.c - claims.
 *
 * Order within a claim: take the interval from the shared word, then note it as current, then run.
 * A process killed between the first two leaves chunks that nobody knows of; they show as a hole
 * when all live ranks are done. Killed after the second, the leader knows at once what it was at.
 */
#include <muster/loop.h>
#include <muster/testing.h>
#include <string.h>

#include "os.h"

int muster_loop_begin(struct muster_loop *loop, struct muster_team *team, uint32_t rank)
{
    struct muster_team_block *block = muster_team_block(team);
    const struct muster_job *job = muster_team_job(team);
    struct muster_space *space = muster_team_space(team);
    if (rank >= block->size || job->grain == 0 || job->chunk_count > block->chunk_capacity ||
        job->first_chunk > MUSTER_CHUNKS_MAX || job->schedule > MUSTER_STATIC_STEAL ||
        job->batch == 0 || job->batch > MUSTER_CHUNKS_MAX ||
        job->first_chunk + job->chunk_count > muster_schedule_chunks(job->elements, job->grain) ||
        job->partials_offset >= space->size_bytes ||
        (job->partial_bytes && job->first_chunk + job->chunk_count >
                                   (space->size_bytes - job->partials_offset) / job->partial_bytes))
        return -EUCLEAN;
    struct muster_slot *slot = muster_team_slot(team, rank);
    unsigned char *taken = loop->taken;
    memset(loop, 0, sizeof *loop);
    loop->taken = taken;
    loop->job = job->number;
    loop->cancelled = &block->cancelled;
    loop->grain = job->grain;
    loop->elements = job->elements;
    loop->space = space->address;
    loop->partials = job->partial_bytes ? space->address + job->partials_offset : NULL;
    loop->partial_bytes = job->partial_bytes;
    loop->rank = rank;
    loop->size = block->size;
    loop->schedule = job->schedule;
    loop->first = job->first_chunk;
    loop->count = job->chunk_count;
    loop->batch = job->batch;
    loop->position = rank * job->batch;
    loop->counter = &block->counter;
    loop->slot = slot;
    loop->slots = muster_team_slot(team, 0);
    /* Nothing is current in the new job before the number says that it is this job's. */
    __atomic_store_n(&slot->current, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->current_job, job->number, __ATOMIC_RELEASE);
    muster_roll_begin(&loop->roll, muster_team_roll(team, rank), block->chunk_capacity, job->number,
                      rank, job->first_chunk, job->chunk_count);
    return 0;
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

static struct muster_interval take_static_steal(struct muster_loop *loop)
{
    struct muster_interval taken = muster_schedule_take_own(&loop->slot->claim);
    if (taken.first < taken.end)
        return taken;
    return muster_schedule_steal(&loop->slots->claim, sizeof *loop->slots, loop->size, loop->rank);
}

bool muster_loop_claim(struct muster_loop *loop)
{
    struct muster_interval taken = {0, 0};
    switch (loop->schedule) {
    case MUSTER_STATIC:
        if (!loop->started)
            taken = muster_schedule_block(loop->count, loop->size, loop->rank);
        loop->started = 1;
        break;
    case MUSTER_CYCLIC:
        taken = take_cyclic(loop);
        break;
    case MUSTER_DYNAMIC:
        taken = muster_schedule_take(loop->counter, loop->count, loop->batch);
        break;
    case MUSTER_GUIDED:
        taken = muster_schedule_take_guided(loop->counter, loop->count, loop->batch, loop->size);
        break;
    case MUSTER_STATIC_STEAL:
        taken = take_static_steal(loop);
        break;
    }
    if (taken.first >= taken.end)
        return false;
    MUSTER__POINT(MUSTER_POINT_CLAIMED);
    /* Release: whoever reads `current` of a dead rank finds the roll at least as far as it was when
     * the interval before this one ended. */
    __atomic_store_n(&loop->slot->current, muster_schedule_pack(taken), __ATOMIC_RELEASE);
    MUSTER__POINT(MUSTER_POINT_CURRENT);
    loop->next = loop->first + taken.first;
    loop->end = loop->first + taken.end;
    return true;
}

void muster_loop_cancel(struct muster_loop *loop)
{
    __atomic_store_n(loop->cancelled, loop->job, __ATOMIC_RELEASE);
}

void muster_loop_end(struct muster_loop *loop)
{
    MUSTER__POINT(MUSTER_POINT_LOOP_ENDED);
    __atomic_store_n(&loop->slot->current, 0, __ATOMIC_RELEASE);
}

int muster_loop_run(struct muster_loop *loop, muster_kernel_function kernel, void *context,
                    uint64_t *failed)
{
    struct muster_chunk chunk;
    while (muster_loop_next(loop, &chunk)) {
        int status = kernel(context, loop, &chunk);
        if (status < 0) {
            *failed = chunk.index;
            return status;
        }
        muster_loop_commit(loop, &chunk);
    }
    return 0;
}
