/* array.c - arrays by name, and how a member asks its launcher for anything.
 *
 * A request goes over a connection of its own: the one that a member keeps is silent, since the
 * kernel kills the member at anything that comes in there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "member/state.h"

int muster__ask(int socket, const struct muster__hello *hello, struct muster__answer *answer,
                int *fd)
{
    *fd = -1;
    int status = muster__os_send_descriptor(socket, -1, hello, sizeof *hello);
    while (status >= 0) {
        status = muster__os_receive_descriptor(socket, fd, answer, sizeof *answer);
        if (status != -EAGAIN)
            break;
        status = muster__os_wait_readable(socket, -1);
        status = status == -EINTR ? 0 : status;
    }
    if (status == 0 || status == -EPIPE)
        status = -ECONNRESET; /* closed without an answer */
    else if (status == sizeof *answer && answer->magic == MUSTER__HELLO_MAGIC)
        status = answer->layout_version != MUSTER_LAYOUT_VERSION          ? -EPROTO
                 : answer->status > 0 || (answer->status == 0 && *fd < 0) ? -EUCLEAN
                                                                          : answer->status;
    else if (status > 0)
        status = -EPROTO;
    if (status < 0 && *fd >= 0) {
        muster__os_close(*fd);
        *fd = -1;
    }
    return status;
}

/* Gets the memory of an array from the launcher, or, alone, makes it. */
static int obtain(const struct muster_member *me, const char *name, uint64_t size_bytes)
{
    if (me->socket < 0)
        return muster__array_memory(name, size_bytes);
    int socket = muster__os_socket(true);
    if (socket < 0)
        return socket;
    struct muster__hello hello = {.magic = MUSTER__HELLO_MAGIC,
                                  .layout_version = MUSTER_LAYOUT_VERSION,
                                  .request = MUSTER__ARRAY,
                                  .rank = me->rank,
                                  .size_bytes = size_bytes};
    snprintf(hello.name, sizeof hello.name, "%s", name);
    struct muster__answer answer;
    int fd = -1;
    int status = muster__os_connect(socket, me->address);
    if (status == 0)
        status = muster__ask(socket, &hello, &answer, &fd);
    muster__os_close(socket);
    if (status == -ECONNREFUSED)
        status = -ECONNRESET; /* there was a launcher when we joined */
    return status < 0 ? status : fd;
}

/* Maps memory with room kept free before and behind it. Order: from far to near, as addresses
 * allow. Why: a store beyond an array's end or before its start is a signal then. Breaks otherwise:
 * the kernel puts one mapping right below the other, so that it changes another array. (And large
 * arrays are slower side by side: os.h.) */
static int map_apart(const struct muster_member *me, int fd, uint64_t size_bytes,
                     struct muster__member_array *array)
{
    const bool is_limited = me->addresses_cost || muster__os_limit(MUSTER__ADDRESSES) != UINT64_MAX;
    const uint64_t gaps[] = {MUSTER__GUARD_BYTES, MUSTER__APART_BYTES, muster__os_page_bytes(), 0};
    size_t first = !is_limited ? 0 : size_bytes >= MUSTER__LARGE_BYTES ? 1 : 2;
    int status = -ENOMEM;
    for (size_t i = first; i < sizeof gaps / sizeof *gaps && status < 0; i++) {
        uint64_t gap = gaps[i], room_bytes = size_bytes + 2 * gap;
        void *room = NULL;
        status = muster__os_map(gap > 0 ? -1 : fd, 0, room_bytes, gap == 0, NULL, &room);
        if (status < 0)
            continue;
        array->room = room;
        array->room_bytes = room_bytes;
        array->address = array->room + gap;
        if (gap > 0)
            status = muster__os_map(fd, 0, size_bytes, true, array->address, &array->address);
        if (status < 0)
            muster__os_unmap(room, room_bytes);
    }
    return status;
}

static void unmap(const struct muster__member_array *array)
{
    muster__os_unmap(array->room, array->room_bytes);
}

/* Maps an array's memory and touches this rank's static share, so that its pages are where it works
 * on them; the others' are theirs to touch. */
static int map(const struct muster_member *me, int fd, struct muster__member_array *array)
{
    uint64_t file_bytes = 0;
    uint32_t mode_bits = 0;
    int status = muster__os_stat(fd, &file_bytes, &mode_bits);
    if (status < 0)
        return status;
    int sealed = muster__os_sealed_size(fd);
    /* Shorter, or not sealed, and a later access could raise SIGBUS. */
    if (sealed <= 0 || file_bytes < array->size_bytes)
        return sealed < 0 && sealed != -EINVAL ? sealed : -EUCLEAN;
    status = map_apart(me, fd, file_bytes, array);
    if (status < 0)
        return status;
    MUSTER__POINT(MUSTER_POINT_MAPPED);
    uint64_t page = muster__os_page_bytes();
    struct muster_interval share =
        muster_schedule_block((file_bytes + page - 1) / page, me->live_count, me->live_index);
    if (share.first < share.end)
        status = muster__os_populate((unsigned char *)array->address + share.first * page,
                                     (share.end - share.first) * page, true);
    if (status < 0)
        unmap(array);
    return status;
}

static int find_or_map(struct muster_member *me, const char *name, uint64_t size_bytes,
                       void **address)
{
    for (uint32_t i = 0; i < me->array_count; i++)
        if (strcmp(me->arrays[i].name, name) == 0) {
            *address = me->arrays[i].address;
            return me->arrays[i].size_bytes == size_bytes ? 0 : -EINVAL;
        }
    if (me->array_count == MUSTER_ARRAYS_MAX)
        return -ENOSPC;
    /* Asked once: it costs what it asks for. An emulator took a GiB for a thousand arrays' rooms.
     */
    if (me->array_count == 0)
        me->addresses_cost = muster__os_addresses_cost(512ull << 20);
    if (me->array_count % 16 == 0) {
        struct muster__member_array *more =
            realloc(me->arrays, (me->array_count + 16) * sizeof *more);
        if (!more)
            return -ENOMEM;
        me->arrays = more;
    }
    struct muster__member_array *array = &me->arrays[me->array_count];
    *array = (struct muster__member_array){.size_bytes = size_bytes};
    snprintf(array->name, sizeof array->name, "%s", name);
    int fd = obtain(me, name, size_bytes);
    if (fd < 0)
        return fd;
    int status = map(me, fd, array);
    muster__os_close(fd);
    if (status < 0)
        return status;
    muster__os_keep_from_children(array->room, array->room_bytes);
    me->array_count++;
    *address = array->address;
    return 0;
}

/* The worst status of any rank, the same in all. */
static int agree(struct muster_member *me, uint64_t call, int status)
{
    uint64_t meeting = muster__next_meeting(me);
    memcpy(muster__mail(me, me->rank, meeting), &status, sizeof status);
    MUSTER__POINT(MUSTER_POINT_MAILED);
    int met = muster__meet(me, call);
    for (uint32_t place = 0; met == 0 && place < me->live_count; place++) {
        int other;
        memcpy(&other, muster__mail(me, me->live[place], meeting), sizeof other);
        if (other < status)
            status = other;
    }
    return met < 0 ? met : status;
}

int muster__member_array(struct muster_member *me, const char *name, uint64_t size_bytes,
                         void **address)
{
    int ready = muster__ready(me);
    if (ready < 0)
        return ready;
    uint64_t hash = muster__hash_text(MUSTER__HASH_START, name);
    void *found = NULL;
    int status = find_or_map(me, name, size_bytes, &found);
    status = agree(me, muster__call(MUSTER__CALL_ARRAY, hash, size_bytes, 0), status);
    if (status == 0)
        *address = found;
    return status;
}

bool muster__is_name(const char *name)
{
    size_t length = strnlen(name, MUSTER_NAME_BYTES);
    bool can_be = length > 0 && length < MUSTER_NAME_BYTES;
    for (size_t i = 0; i < length; i++)
        can_be &= (unsigned char)name[i] >= ' ' && name[i] != 0x7f;
    return can_be;
}

int muster_member_array(struct muster_member *me, const char *name, uint64_t size_bytes,
                        void **address)
{
    if (!muster__is_name(name) || size_bytes == 0)
        return muster__meet_refusing(me, -EINVAL);
    return muster__member_array(me, name, size_bytes, address);
}

void muster__forget_arrays(struct muster_member *me)
{
    for (uint32_t i = 0; i < me->array_count; i++)
        unmap(&me->arrays[i]);
    free(me->arrays);
}
