/* check.c - check mode in members' loops: what a rank may touch while it is in one. The story is
 * told in muster/check.h.
 *
 * A loop that names its arrays (`uses`) says which elements a chunk owns. All other arrays of the
 * team are out of reach then. Of a loop that names none nothing is known, and its arrays stay open.
 *
 * Invariant: while a loop is checked, this member writes to the control memory by another mapping
 * of it, of which no other pointer is left.
 */
#include <stdlib.h>
#include <string.h>

#include "crash/note.h"
#include "loop/check.h"
#include "member/check_state.h"

static void shift(struct muster_member *me, intptr_t bytes)
{
    unsigned char *base = me->control.address + me->check->shift + bytes;
    struct muster_timeline *list = me->loop.loop.timeline.list;
    me->check->shift += bytes;
    muster__member_parts(&me->plan, base, &me->parts);
    me->post = &me->parts.posts[me->rank];
    /* Of the loop, its own functions shift the rest. */
    if (list)
        me->loop.loop.timeline.list = (void *)((unsigned char *)list + bytes);
}

/* The use that counts of an array: one that writes it, or the first. */
static const struct muster_member_use *use_of(const struct muster_member_loop_options *options,
                                              const void *address, uint32_t *number)
{
    const struct muster_member_use *found = NULL;
    for (uint32_t i = 0; i < options->use_count; i++) {
        const struct muster_member_use *use = &options->uses[i];
        if (use->address != address || (found && use->access == MUSTER_ACCESS_INPUT))
            continue;
        if (!found || found->access == MUSTER_ACCESS_INPUT) {
            found = use;
            *number = i;
        }
    }
    return found;
}

static void describe(struct muster_member *me, const struct muster_member_loop_options *options,
                     uint32_t index)
{
    const struct muster__member_array *array = &me->arrays[index];
    struct muster_check_array *made = &me->check->arrays[index];
    uint32_t number = UINT32_MAX;
    const struct muster_member_use *use = use_of(options, array->address, &number);
    *made =
        (struct muster_check_array){.offset_bytes = (uintptr_t)array->address - MUSTER__CHECK_BASE,
                                    .size_bytes = array->size_bytes,
                                    .access = MUSTER_CHECK_UNUSED,
                                    .array = index,
                                    .use = number};
    me->check->element_bytes[index] = 0;
    if (array->address == me->loop.loop.cursor.partials) {
        made->access = MUSTER_ACCESS_OUTPUT;
        made->flags = MUSTER_CHECK_BY_CHUNK;
        made->index_bytes = me->loop.loop.cursor.partial_bytes;
        made->size_bytes = me->loop.chunks * made->index_bytes;
    } else if (use) {
        uint64_t rows = use->elements_per_index ? use->elements_per_index : 1;
        made->access = use->access;
        made->index_bytes = rows * use->element_bytes;
        if (use->access == MUSTER_ACCESS_OUTPUT)
            made->flags = MUSTER_CHECK_POISONED;
        me->check->element_bytes[index] = use->element_bytes;
    }
}

void muster__member_check(struct muster_member *me,
                          const struct muster_member_loop_options *options)
{
    struct muster_fault failed = {.stray = MUSTER_STRAY_UNCHECKED,
                                  .use = UINT32_MAX,
                                  .chunk = UINT64_MAX,
                                  .space_offset = UINT64_MAX,
                                  .bytes = ENOMEM};
    if (!muster_check_is_asked())
        return;
    if (!me->check)
        me->check = calloc(1, sizeof *me->check);
    if (!me->check)
        muster_fault_end(&failed);
    me->check->count = options->use_count > 0 ? me->array_count : 0;
    for (uint32_t i = 0; i < me->check->count; i++)
        describe(me, options, i);
    unsigned char *base = (unsigned char *)(uintptr_t)MUSTER__CHECK_BASE;
    struct muster__check_loop checked = {.space = {base, INTPTR_MAX},
                                         .control = {me->control.address, me->control.size_bytes},
                                         .own = {{me->control.address, me->control.size_bytes}},
                                         .arrays = me->check->arrays,
                                         .count = me->check->count,
                                         .kept_offset = UINT64_MAX,
                                         .holds = muster__member_holds};
    me->loop.loop.check = me->checker;
    int status = muster__loop_check(&me->loop.loop, &checked);
    me->checker = me->loop.loop.check;
    if (status < 0) {
        failed.bytes = (uint64_t)-status;
        muster_fault_end(&failed);
    }
    me->loop.loop.cursor.slow_path = 1;
    shift(me, muster__check_shift(me->checker));
}

void muster__member_uncheck(struct muster_member *me)
{
    struct muster_loop *loop = &me->loop.loop;
    if (!loop->check)
        return;
    muster__loop_uncheck(loop);
    shift(me, -me->check->shift);
    loop->check = NULL;
}

void muster__member_check_destroy(struct muster_member *me)
{
    muster__member_uncheck(me);
    muster__check_destroy(me->checker);
    free(me->check);
}
