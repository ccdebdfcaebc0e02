/* mirror.c - mirrored arrays: their table, the copies, and which rank maps which.
 *
 * Invariant: a rank never has a writable mapping of a copy at the array's address. Entries of the
 * table lie in shared memory, so each is copied and checked before its numbers become addresses.
 */
#include <muster/core/mirror.h>
#include <string.h>

#include "team/state.h"

static struct muster_mirror *entry_at(struct muster_team *team, uint64_t number)
{
    return (struct muster_mirror *)(team->control.address + team->plan.mirrors_offset) + number;
}

uint32_t muster_mirror_copies(const struct muster_team *team)
{
    return team->plan.place_count ? team->plan.place_count : 1;
}

static bool is_sound(const struct muster_team *team, const struct muster_mirror *mirror)
{
    const struct muster_space *space = &team->space;
    uint64_t page = team->plan.page_bytes, copies = muster_mirror_copies(team);
    uint64_t window_bytes = space->size_bytes - space->arena_bytes;
    return mirror->size_bytes > 0 && mirror->size_bytes % page == 0 &&
           mirror->stride_bytes >= mirror->size_bytes && mirror->stride_bytes % page == 0 &&
           mirror->stride_bytes <= space->arena_bytes / copies &&
           mirror->copies_offset % page == 0 &&
           mirror->copies_offset <= space->arena_bytes - copies * mirror->stride_bytes &&
           mirror->size_bytes <= window_bytes && mirror->window_offset % page == 0 &&
           mirror->window_offset >= space->arena_bytes &&
           mirror->window_offset <= space->size_bytes - mirror->size_bytes;
}

static int map_copy(struct muster_team *team, const struct muster_mirror *mirror, uint32_t place,
                    bool writable)
{
    struct muster_extent extent = {mirror->window_offset, mirror->size_bytes};
    return muster_space_map(&team->space, extent, team->space.arena_fd,
                            mirror->copies_offset + place * mirror->stride_bytes, writable);
}

static int unmap(struct muster_team *team, const struct muster_mirror *mirror)
{
    struct muster_extent extent = {mirror->window_offset, mirror->size_bytes};
    return muster_space_map(&team->space, extent, -1, 0, false);
}

int muster_mirror_add(struct muster_team *team, const struct muster_mirror *mirror)
{
    if (!is_sound(team, mirror))
        return -EINVAL;
    for (uint32_t number = 0; number < MUSTER_MIRRORS_MAX; number++) {
        struct muster_mirror *entry = entry_at(team, number);
        if (entry->size_bytes != 0)
            continue;
        int status = map_copy(team, mirror, 0, true);
        if (status < 0)
            return status;
        *entry = *mirror;
        return (int)number;
    }
    return -ENOSPC;
}

void muster_mirror_remove(struct muster_team *team, uint32_t number)
{
    struct muster_mirror *entry = entry_at(team, number);
    struct muster_mirror mirror = *entry;
    *entry = (struct muster_mirror){0};
    if (is_sound(team, &mirror))
        (void)unmap(team, &mirror);
}

int muster__enter_mirrors(struct muster_team *team, uint32_t rank)
{
    for (uint32_t number = 0; number < MUSTER_MIRRORS_MAX; number++) {
        struct muster_mirror mirror = *entry_at(team, number);
        if (mirror.size_bytes == 0)
            continue;
        int status = is_sound(team, &mirror)
                         ? map_copy(team, &mirror, muster__place(team, rank), false)
                         : -EUCLEAN;
        if (status < 0)
            return status;
    }
    return 0;
}

/* This rank's part of its node's copy. */
static void copy_share(struct muster_team *team, const struct muster_mirror *mirror, uint32_t rank)
{
    uint32_t place = muster__place(team, rank), sharers = 0, before = 0;
    if (place == 0)
        return;
    for (uint32_t other = 0; other < team->plan.size; other++)
        if (muster__place(team, other) == place) {
            sharers++;
            before += other < rank;
        }
    uint64_t page = team->plan.page_bytes;
    struct muster_interval pages =
        muster_schedule_block(mirror->size_bytes / page, sharers, before);
    unsigned char *first = team->space.address + mirror->copies_offset;
    memcpy(first + place * mirror->stride_bytes + pages.first * page, first + pages.first * page,
           (pages.end - pages.first) * page);
}

int muster_worker_mirror(struct muster_team *team, uint32_t rank)
{
    const struct muster_job *job = team->job;
    uint64_t number = job->list_count;
    uint32_t flags = job->flags;
    if (number >= MUSTER_MIRRORS_MAX)
        return -EUCLEAN;
    struct muster_mirror mirror = *entry_at(team, number);
    if (!is_sound(team, &mirror))
        return -EUCLEAN;
    if (flags & MUSTER_MIRROR_COPY)
        copy_share(team, &mirror, rank);
    /* The leader has a mapping of its own; so have ranks that are its threads, in tests. */
    if (muster__os_pid() == team->plan.leader_pid)
        return 0;
    if (flags & MUSTER_MIRROR_UNMAP)
        return unmap(team, &mirror);
    return flags & MUSTER_MIRROR_MAP ? map_copy(team, &mirror, muster__place(team, rank), false)
                                     : 0;
}
