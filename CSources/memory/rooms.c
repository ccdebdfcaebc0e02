/* rooms.c - which pieces of the arena can be accessed: the leader's side, and that of the ranks,
 * which follow.
 *
 * Invariant: between two jobs the leader has access to the rooms that are in use and to nothing
 * else of the arena. A rank has access to those that were in use when it last followed.
 */
#include "memory/arena.h"

static uint64_t whole_pages(uint64_t bytes)
{
    uint64_t page = muster__os_page_bytes();
    return (bytes + page - 1) / page * page;
}

/* Tells the ranks of a change. Order: the entry, the count, then the version (release).
 * Why: ranks look between jobs only, and every job is published after this.
 * Breaks otherwise: nothing today; a reader that looks at any time finds whole entries. */
static void publish(struct muster_rooms *rooms, uint32_t index, struct muster_extent room)
{
    rooms->rooms[index] = room;
    if (index >= rooms->count)
        rooms->count = (uint64_t)index + 1;
    __atomic_store_n(&rooms->version, rooms->version + 1, __ATOMIC_RELEASE);
}

/* The number of the room at an offset; of a room that is not in use where the offset is
 * UINT64_MAX. MUSTER_ROOMS_MAX: there is none. */
static uint32_t room_at(const struct muster_rooms *rooms, uint64_t offset_bytes)
{
    for (uint32_t i = 0; i < MUSTER_ROOMS_MAX; i++) {
        bool is_free = i >= rooms->count || rooms->rooms[i].size_bytes == 0;
        if (offset_bytes == UINT64_MAX ? is_free
                                       : !is_free && rooms->rooms[i].offset_bytes == offset_bytes)
            return i;
    }
    return MUSTER_ROOMS_MAX;
}

/* Makes an arena's extent accessible, here and in the ranks. */
int muster__room_open(struct muster_space *space, struct muster_extent extent, uint64_t size_bytes)
{
    struct muster_extent room = {extent.offset_bytes, whole_pages(size_bytes)};
    uint32_t index = space->rooms ? room_at(space->rooms, UINT64_MAX) : 0;
    if (size_bytes == 0)
        return 0;
    if (index == MUSTER_ROOMS_MAX)
        return -ENOMEM;
    int status =
        muster__os_protect(space->address + room.offset_bytes, room.size_bytes, MUSTER__READ_WRITE);
    if (status == 0 && space->rooms)
        publish(space->rooms, index, room);
    return status;
}

void muster__room_close(struct muster_space *space, struct muster_extent extent)
{
    muster__os_forbid(space->address + extent.offset_bytes, extent.size_bytes);
    uint32_t index = space->rooms ? room_at(space->rooms, extent.offset_bytes) : MUSTER_ROOMS_MAX;
    if (index < MUSTER_ROOMS_MAX)
        publish(space->rooms, index, (struct muster_extent){0, 0});
}

int muster__space_follow(struct muster_space *space, const struct muster_rooms *rooms,
                         struct muster_extent *known)
{
    uint64_t count = __atomic_load_n(&rooms->count, __ATOMIC_ACQUIRE), page = whole_pages(1);
    int status = 0;
    if (count > MUSTER_ROOMS_MAX)
        return -EUCLEAN;
    /* All that has been freed first: another array may have some of its addresses now. */
    for (uint64_t i = 0; i < MUSTER_ROOMS_MAX; i++) {
        const struct muster_extent *room = &rooms->rooms[i];
        if (known[i].size_bytes == 0 || (i < count && known[i].offset_bytes == room->offset_bytes &&
                                         known[i].size_bytes == room->size_bytes))
            continue;
        muster__os_forbid(space->address + known[i].offset_bytes, known[i].size_bytes);
        known[i].size_bytes = 0;
    }
    for (uint64_t i = 0; i < count && status == 0; i++) {
        struct muster_extent room = rooms->rooms[i]; /* a copy: it is checked, and then used */
        if (room.size_bytes == 0 || known[i].size_bytes != 0)
            continue;
        if (room.offset_bytes % page != 0 || room.size_bytes % page != 0 ||
            room.offset_bytes > space->arena_bytes ||
            room.size_bytes > space->arena_bytes - room.offset_bytes)
            return -EUCLEAN;
        status = muster__os_protect(space->address + room.offset_bytes, room.size_bytes,
                                    MUSTER__READ_WRITE);
        if (status == 0)
            known[i] = room;
    }
    return status;
}
