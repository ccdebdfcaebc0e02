/* segment.c - the memory that a launcher and its members share: where its parts are, making
 * it, and accepting one that another process has made.
 *
 * Invariant: parts are found from the size and the capacity alone, and both are accepted only where
 * the segment is exactly as long as they say.
 */
#include "member/state.h"

#include <muster/core/limits.h>
#include <string.h>

#define BLOCK_OFFSET MUSTER_LINE_BYTES /* after the segment's header */
#define PAGE         4096u

_Static_assert(sizeof(struct muster__member_block) == 4 * MUSTER_LINE_BYTES, "one writer a line");
_Static_assert(sizeof(struct muster__post) == 2 * MUSTER_LINE_BYTES, "one writer a line");
_Static_assert(sizeof(struct muster__counts) == 272, "notes are shared");
_Static_assert(sizeof(struct muster__member_fault) % 8 == 0, "notes of crashes are shared");
_Static_assert(sizeof(struct muster__hello) == 96, "messages are shared");
_Static_assert(sizeof(struct muster__answer) == 32, "messages are shared");

static uint64_t rounded(uint64_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

int muster__member_plan(uint32_t size, uint64_t roll_capacity, struct muster__member_plan *plan)
{
    if (size == 0 || size > MUSTER_RANKS_MAX || roll_capacity == 0 ||
        roll_capacity > MUSTER_CHUNKS_MAX)
        return -EINVAL;
    plan->size = size;
    plan->roll_capacity = roll_capacity;
    plan->posts_offset = rounded(BLOCK_OFFSET + sizeof(struct muster__member_block));
    plan->slots_offset = plan->posts_offset + rounded(size * sizeof(struct muster__post));
    plan->notes_offset = plan->slots_offset + rounded(size * sizeof(struct muster_slot));
    plan->faults_offset = plan->notes_offset + rounded(size * sizeof(struct muster__notes));
    plan->mail_offset = plan->faults_offset + rounded(size * sizeof(struct muster__member_fault));
    plan->rolls_offset = plan->mail_offset + size * 2ull * MUSTER__MAIL_BYTES;
    plan->roll_bytes = muster_roll_bytes(roll_capacity);
    plan->total_bytes = plan->rolls_offset + size * plan->roll_bytes;
    return muster__plan_timelines(0, plan);
}

void muster__member_parts(const struct muster__member_plan *plan, unsigned char *base,
                          struct muster__member_parts *parts)
{
    parts->block = (struct muster__member_block *)(base + BLOCK_OFFSET);
    parts->posts = (struct muster__post *)(base + plan->posts_offset);
    parts->slots = (struct muster_slot *)(base + plan->slots_offset);
    parts->notes = (struct muster__notes *)(base + plan->notes_offset);
    parts->faults = (struct muster__member_fault *)(base + plan->faults_offset);
    parts->mail = base + plan->mail_offset;
    parts->rolls = base + plan->rolls_offset;
    parts->timelines = base + plan->timelines_offset;
}

int muster__member_segment(const struct muster_launcher_options *options,
                           struct muster_segment *segment, struct muster__member_plan *plan,
                           struct muster__member_parts *parts)
{
    struct muster_limits limits;
    struct muster_shortage shortage = {.limit = MUSTER_LIMIT_NONE};
    uint64_t capacity = 0;
    int status = muster__member_plan(options->size, 1, plan);
    if (status == 0)
        status = muster__plan_timelines(options->timeline_events, plan);
    if (status < 0)
        return status;
    muster_limits_read(&limits);
    /* All but the rolls. */
    uint64_t fixed_bytes = plan->total_bytes - options->size * plan->roll_bytes;
    status = muster_reservation_members(&limits, options->size, fixed_bytes, &capacity, &shortage);
    if (status == 0) {
        (void)muster__member_plan(options->size, capacity, plan);
        (void)muster__plan_timelines(options->timeline_events, plan);
        status = muster_segment_create("muster-members", MUSTER_SEGMENT_MEMBERS, plan->total_bytes,
                                       segment);
        if (status < 0)
            muster_limits_blame(status, plan->total_bytes, false, &shortage);
    }
    if (status < 0 && options->shortage)
        *options->shortage = shortage;
    if (status < 0)
        return status;
    muster__member_parts(plan, segment->address, parts);
    struct muster__member_block *block = parts->block;
    block->size = options->size;
    block->roll_capacity = plan->roll_capacity;
    block->timeline_events = plan->timeline_events;
    block->global_first = options->global_first;
    block->global_size = options->global_size ? options->global_size : options->size;
    struct muster__wait_policy policy =
        muster__wait_choose(options->spin_ns >= 0 ? MUSTER_WAIT_SPIN : MUSTER_WAIT_AUTOMATIC,
                            options->size, options->usable_cpus, options->spin_ns);
    block->yields = policy.yields;
    block->spin_ns = policy.limit_ns;
    for (uint32_t rank = 0; rank < options->size; rank++) {
        struct muster__post *post = &parts->posts[rank];
        post->incarnation = 1;
        post->node = options->nodes ? options->nodes[rank] : -1;
        post->cpu = options->cpus ? options->cpus[rank] : -1;
    }
    return 0;
}

int muster__member_attach(int fd, struct muster_segment *segment, struct muster__member_plan *plan,
                          struct muster__member_parts *parts)
{
    struct muster_segment mapped;
    int status = muster_segment_attach(fd, MUSTER_SEGMENT_MEMBERS, &mapped);
    if (status < 0)
        return status;
    status = -EUCLEAN;
    if (mapped.size_bytes >= BLOCK_OFFSET + sizeof(struct muster__member_block)) {
        const struct muster__member_block *block =
            (const struct muster__member_block *)(mapped.address + BLOCK_OFFSET);
        /* Each read once: another process could change it between a check and a use. */
        uint32_t size = __atomic_load_n(&block->size, __ATOMIC_RELAXED);
        uint64_t capacity = __atomic_load_n(&block->roll_capacity, __ATOMIC_RELAXED);
        uint64_t events = __atomic_load_n(&block->timeline_events, __ATOMIC_RELAXED);
        if (muster__member_plan(size, capacity, plan) == 0 &&
            muster__plan_timelines(events, plan) == 0 && plan->total_bytes == mapped.size_bytes)
            status = 0;
    }
    if (status < 0) {
        muster_segment_destroy(&mapped);
        return status;
    }
    *segment = mapped;
    muster__member_parts(plan, mapped.address, parts);
    return 0;
}

int muster__array_memory(const char *name, uint64_t size_bytes)
{
    /* Whole pages of this host: an emulator maps no part of one, it copies the part. */
    const uint64_t page = muster__os_page_bytes();
    uint64_t available = 0;
    /* So that a lack of memory is an error now and no SIGBUS or out-of-memory kill later. A race
     * with what others take remains. */
    if (muster_memory_available(&available) == 0 && size_bytes > available)
        return -ENOMEM;
    int fd = muster__os_memfd(name);
    if (fd < 0)
        return fd;
    int status = size_bytes > UINT64_MAX - page
                     ? -ENOMEM
                     : muster__os_truncate(fd, (size_bytes + page - 1) / page * page);
    if (status == 0)
        status = muster__os_seal_size(fd);
    if (status < 0) {
        muster__os_close(fd);
        return status;
    }
    return fd;
}
