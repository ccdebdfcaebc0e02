/* fault.c - a member's note of its own crash: which loop it was in, and what it has touched.
 *
 * What runs in the signal's handler reads this member's own memory and writes its note, and does
 * nothing else.
 */
#include <muster/core/check.h>
#include <string.h>

#include "crash/note.h"
#include "member/check_state.h"
#include "os/output.h"

/* Whose crashes are noted: the membership that began last. */
static struct muster_member *watched;

/* -- in the handler -------------------------------------------------------------------------- */

/* The chunk in work, without check mode: handed out last, and not committed. */
static uint64_t chunk_in_work(const struct muster_member *me)
{
    const struct muster_loop *loop = &me->loop.loop;
    uint64_t next = loop->cursor.next;
    if (!me->loop_open || next == 0 || next > me->loop.chunks)
        return UINT64_MAX;
    int held = muster_roll_contains(loop->roll.roll, me->plan.roll_capacity, me->loop_number, 0,
                                    me->loop.chunks, next - 1);
    /* A claim that nothing was handed out of has its first chunk next. */
    uint64_t claimed = muster_schedule_unpack(loop->slot->current).first;
    return held == 0 && next > claimed ? next - 1 : UINT64_MAX;
}

static const struct muster__member_array *nearest(const struct muster_member *me, uintptr_t address,
                                                  enum muster__where *where, uint64_t *distance)
{
    const struct muster__member_array *found = NULL;
    *distance = UINT64_MAX;
    *where = MUSTER__NOWHERE;
    for (uint32_t i = 0; i < me->array_count; i++) {
        const struct muster__member_array *array = &me->arrays[i];
        uintptr_t start = (uintptr_t)array->address, end = start + array->size_bytes;
        uintptr_t room = (uintptr_t)array->room, room_end = room + array->room_bytes;
        if (address < room || address >= room_end)
            continue;
        bool is_within = address >= start && address < end;
        uint64_t away = is_within ? 0 : address < start ? start - address : address - end;
        if (away >= *distance && found)
            continue;
        found = array;
        *distance = away;
        *where = is_within ? MUSTER__WITHIN : address < start ? MUSTER__BEFORE : MUSTER__BEYOND;
    }
    return found;
}

bool muster__member_holds(uintptr_t address)
{
    enum muster__where where;
    uint64_t distance;
    return watched && nearest(watched, address, &where, &distance) != NULL;
}

/* What check mode knows of an array. */
static void tell_element(const struct muster_member *me, const struct muster__member_array *array,
                         struct muster__member_fault *fault)
{
    const struct muster__member_check *check = me->check;
    uint32_t number = (uint32_t)(array - me->arrays);
    if (!check || number >= check->count)
        return;
    const struct muster_check_array *known = &check->arrays[number];
    uint32_t bytes = check->element_bytes[number];
    fault->access = known->access;
    if (known->flags & MUSTER_CHECK_BY_CHUNK) {
        fault->where = MUSTER__PARTIALS;
        fault->element /= known->index_bytes;
        return;
    }
    fault->element_bytes = bytes;
    if (bytes == 0)
        return;
    fault->element /= bytes;
    fault->first = muster_check_owned(known, fault->note.first, fault->note.end, &fault->end);
    fault->first /= bytes;
    fault->end /= bytes;
}

static void tell(const struct muster_fault *note)
{
    struct muster_member *me = watched;
    if (!me || note != &me->fault->note)
        return;
    struct muster__member_fault *fault = me->fault;
    fault->where = MUSTER__NOWHERE;
    fault->element = fault->distance_bytes = fault->first = fault->end = 0;
    fault->access = MUSTER_CHECK_UNUSED;
    fault->element_bytes = 0;
    fault->array[0] = fault->loop[0] = '\0';
    if (me->loop_open)
        memcpy(fault->loop, me->loop_name, sizeof fault->loop);
    if (fault->note.chunk == UINT64_MAX && me->loop_open) {
        const struct muster_loop *loop = &me->loop.loop;
        uint64_t chunk = chunk_in_work(me), first = chunk * loop->cursor.grain;
        uint64_t left = loop->cursor.elements - first;
        fault->note.chunk = chunk;
        if (chunk != UINT64_MAX) {
            fault->note.first = first;
            fault->note.end = first + (left < loop->cursor.grain ? left : loop->cursor.grain);
        }
    }
    /* Offsets are from address 0: see muster__member_check. */
    uintptr_t address = note->space_offset != UINT64_MAX
                            ? (uintptr_t)note->space_offset + MUSTER__CHECK_BASE
                            : (uintptr_t)note->address;
    enum muster__where where;
    uint64_t distance;
    const struct muster__member_array *array = nearest(me, address, &where, &distance);
    if (!array || note->stray == MUSTER_STRAY_CONTROL)
        return;
    memcpy(fault->array, array->name, sizeof fault->array);
    fault->where = where;
    fault->distance_bytes = distance;
    if (where == MUSTER__WITHIN) {
        fault->element = address - (uintptr_t)array->address;
        tell_element(me, array, fault);
    }
}

/* -- around a membership --------------------------------------------------------------------- */

void muster__member_watch(struct muster_member *me)
{
    me->fault = &me->parts.faults[me->rank];
    watched = me;
    bool all = muster_check_is_asked();
    if (muster__fault_watch(&me->fault->note, NULL, 0, all) == 0)
        muster__os_prepare_unwinding();
    muster__fault_tell(tell);
}

void muster__member_unwatch(struct muster_member *me)
{
    if (watched != me)
        return;
    muster__fault_unwatch();
    watched = NULL;
}

void muster__member_listen(struct muster_member *me)
{
    if (watched == me)
        muster__os_output_listen();
}

void muster__member_unlisten(struct muster_member *me)
{
    if (watched == me)
        muster__os_output_unlisten();
}

bool muster__member_fault_take(const struct muster__member_fault *fault, uint64_t pid,
                               struct muster__member_fault *copy)
{
    memset(copy, 0, sizeof *copy);
    struct muster_fault note;
    if (!muster_fault_take(&fault->note, pid, &note))
        return false;
    *copy = *fault;
    copy->note = note;
    /* Written by another process. */
    copy->loop[sizeof copy->loop - 1] = copy->array[sizeof copy->array - 1] = '\0';
    return true;
}
