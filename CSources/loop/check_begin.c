/* check_begin.c - what a rank does to its own memory in a checked loop. The story is told in
 * muster/check.h.
 *
 * Invariant: while no kernel runs, the control memory can be written; while no loop runs, so can
 * everything else that this rank ever could.
 */
#include <muster/kernel.h>
#include <stdlib.h>
#include <string.h>

#include "crash/note.h"
#include "loop/check_state.h"

/* The rank's own: what its signal handler looks at. */
static struct muster__check *current;

bool muster_check_is_asked(void)
{
    const char *text = muster__os_variable("MUSTER_CHECK");
    return text && *text && strcmp(text, "0") != 0;
}

uint64_t muster_check_tail(const void *end, uint64_t bytes)
{
    static const unsigned char zeros[64];
    const unsigned char *tail = end;
    uint64_t at = 0;
    while (bytes - at >= sizeof zeros && memcmp(tail + at, zeros, sizeof zeros) == 0)
        at += sizeof zeros;
    while (at < bytes && tail[at] == 0)
        at++;
    return at;
}

/* -- what the handler needs ------------------------------------------------------------------- */

static bool is_within(uintptr_t address, struct muster__range range)
{
    return address - (uintptr_t)range.address < range.size_bytes;
}

/* Also of the page before the space. */
static bool is_of_team(const struct muster__check *check, uintptr_t address)
{
    const struct muster__range *space = &check->loop.space;
    if (check->loop.holds)
        return check->loop.holds(address);
    return is_within(address + check->page_bytes,
                     (struct muster__range){space->address, space->size_bytes + check->page_bytes});
}

static void on_fault(const struct muster__trap *trap, struct muster_fault *known)
{
    struct muster__check *check = current;
    if (!check || !check->is_active)
        return;
    bool was_inside = check->is_inside;
    muster__check_open_all(check);
    known->chunk = was_inside ? check->chunk : UINT64_MAX;
    known->first = check->first;
    known->end = check->end;
    /* A file that has become shorter is another's doing (SIGBUS). */
    if (!was_inside || !trap->has_address || trap->signal != MUSTER__STRAY_SIGNAL)
        return;
    if (is_within(trap->address, check->loop.control))
        known->stray = MUSTER_STRAY_CONTROL;
    else if (is_of_team(check, trap->address))
        known->stray = MUSTER_STRAY_TRAPPED;
}

/* -- a loop ----------------------------------------------------------------------------------- */

/* All bits of the exponents are ones: neither float nor double, and no number that a program is
 * likely to store. */
static void fill_pattern(unsigned char *page, uint64_t size_bytes)
{
    uint64_t random = 0x9e3779b97f4a7c15u;
    (void)muster__os_random(&random, sizeof random);
    for (uint64_t i = 0; i < size_bytes; i += sizeof random) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t word = 0xfff00000fff00000u | (random >> 12 & 0x000fffff000fffffu);
        memcpy(page + i, &word, sizeof word);
    }
}

static struct muster__check *create(void)
{
    struct muster__check *check = calloc(1, sizeof *check);
    if (!check)
        return NULL;
    check->page_bytes = muster__os_page_bytes();
    check->pattern = muster__os_zeros(check->page_bytes);
    if (!check->pattern) {
        free(check);
        return NULL;
    }
    fill_pattern(check->pattern, check->page_bytes);
    return check;
}

void muster__check_destroy(struct muster__check *check)
{
    if (!check)
        return;
    muster__check_end(check);
    if (current == check)
        current = NULL;
    for (uint32_t i = 0; i < check->written_capacity; i++)
        if (check->written[i].scratch)
            muster__os_unmap(check->written[i].scratch, 2 * check->page_bytes);
    muster__os_unmap(check->pattern, check->page_bytes);
    free(check->written);
    free(check);
}

static bool is_sound(const struct muster_check_array *array, uint64_t space_bytes)
{
    return array->access <= MUSTER_CHECK_UNUSED && array->offset_bytes <= space_bytes &&
           array->size_bytes <= space_bytes - array->offset_bytes &&
           (array->index_bytes > 0 || array->access != MUSTER_ACCESS_OUTPUT) &&
           (array->index_bytes > 0 || array->access != MUSTER_ACCESS_IN_PLACE);
}

/* The pages of an array. */
static unsigned char *pages_of(const struct muster__check *check,
                               const struct muster_check_array *array, uint64_t *size_bytes)
{
    unsigned char *start = check->loop.space.address + array->offset_bytes;
    unsigned char *first = muster__page_of(check, start);
    *size_bytes = (uint64_t)(muster__page_after(check, start + array->size_bytes) - first);
    return first;
}

/* Room for one more array that is written, its scratch pages kept from loop to loop. */
static struct written *next_written(struct muster__check *check)
{
    if (check->written_count == check->written_capacity) {
        uint32_t capacity = check->written_capacity ? 2 * check->written_capacity : 8;
        struct written *more = muster__memory(check->written, capacity * sizeof *more);
        if (!more)
            return NULL;
        memset(more + check->written_capacity, 0,
               (capacity - check->written_capacity) * sizeof *more);
        check->written = more;
        check->written_capacity = capacity;
    }
    struct written *next = &check->written[check->written_count];
    if (!next->scratch) {
        next->scratch = muster__os_shared_zeros(2 * check->page_bytes);
        if (!next->scratch)
            return NULL;
        muster__os_keep_from_children(next->scratch, 2 * check->page_bytes);
    }
    return next;
}

static int begin_written(struct muster__check *check, uint32_t index)
{
    struct written *written = next_written(check);
    if (!written)
        return -ENOMEM;
    const struct muster_check_array *array = &check->arrays[index];
    void *alias = NULL;
    written->index = index;
    written->start = check->loop.space.address + array->offset_bytes;
    written->pages = pages_of(check, array, &written->pages_bytes);
    written->open = NULL;
    written->is_entered = false;
    memset(written->borders, 0, sizeof written->borders);
    int status = muster__os_map_again(written->pages, written->pages_bytes, NULL, &alias);
    if (status < 0)
        return status;
    muster__os_keep_from_children(alias, written->pages_bytes);
    written->alias = alias;
    check->written_count++;
    return 0;
}

static bool is_written(const struct muster_check_array *array)
{
    return array->access == MUSTER_ACCESS_OUTPUT || array->access == MUSTER_ACCESS_IN_PLACE;
}

/* Takes access away. Order: second mappings of what is written, the team's own pieces, arrays.
 * Why: a second mapping has the access that the first one has then, and arrays lie in pieces.
 * Breaks otherwise: the library can't copy a chunk's elements back. */
static int close_all(struct muster__check *check)
{
    const struct muster__check_loop *loop = &check->loop;
    int status = 0;
    for (uint32_t i = 0; i < check->count && status == 0; i++)
        if (is_written(&check->arrays[i]) && check->arrays[i].size_bytes > 0)
            status = begin_written(check, i);
    for (uint64_t i = 0; i < check->room_count && status == 0; i++)
        if (check->rooms[i].size_bytes > 0 && check->rooms[i].offset_bytes != loop->kept_offset)
            status = muster__os_protect(loop->space.address + check->rooms[i].offset_bytes,
                                        check->rooms[i].size_bytes, MUSTER__NO_ACCESS);
    for (uint32_t i = 0; i < check->count && status == 0; i++) {
        const struct muster_check_array *array = &check->arrays[i];
        uint64_t bytes = 0;
        unsigned char *pages = pages_of(check, array, &bytes);
        if (array->size_bytes > 0)
            status = muster__os_protect(pages, bytes,
                                        array->access == MUSTER_ACCESS_INPUT ? MUSTER__READ_ONLY
                                                                             : MUSTER__NO_ACCESS);
    }
    return status;
}

int muster__check_begin(struct muster__check **made, const struct muster__check_loop *loop)
{
    if (!*made)
        *made = create();
    struct muster__check *check = *made;
    if (!check)
        return -ENOMEM;
    muster__check_end(check);
    if (loop->count > MUSTER_ARRAYS_MAX + 1 || loop->room_count > MUSTER_ROOMS_MAX)
        return -EUCLEAN;
    check->loop = *loop;
    check->count = loop->count;
    check->room_count = loop->room_count;
    /* Copies: nobody can change what has been checked. */
    memcpy(check->arrays, loop->arrays, loop->count * sizeof *loop->arrays);
    if (loop->room_count > 0)
        memcpy(check->rooms, loop->rooms, loop->room_count * sizeof *loop->rooms);
    for (uint64_t i = 0; i < check->count; i++)
        if (!is_sound(&check->arrays[i], loop->space.size_bytes))
            return -EUCLEAN;
    check->is_active = true;
    /* Left out where few addresses are left. */
    void *alias = NULL;
    if (muster__os_map_again(loop->control.address, loop->control.size_bytes, NULL, &alias) == 0) {
        muster__os_keep_from_children(alias, loop->control.size_bytes);
        check->control_alias = alias;
    }
    int status = close_all(check);
    if (status == 0)
        status =
            muster__os_protect(loop->control.address, loop->control.size_bytes, MUSTER__READ_ONLY);
    if (status < 0) {
        muster__check_end(check);
        return status;
    }
    if (!check->control_alias)
        muster__check_protect_own(check, MUSTER__READ_WRITE);
    current = check;
    muster__fault_before(on_fault);
    return 0;
}

void muster__check_end(struct muster__check *check)
{
    if (!check || !check->is_active)
        return;
    muster__check_leave(check);
    muster__check_open_all(check);
    if (check->control_alias)
        muster__os_unmap(check->control_alias, check->loop.control.size_bytes);
    check->control_alias = NULL;
    check->is_active = false;
    for (uint32_t i = 0; i < check->written_count; i++)
        muster__check_close(check, &check->written[i]);
    for (uint32_t i = 0; i < check->written_count; i++)
        muster__os_unmap(check->written[i].alias, check->written[i].pages_bytes);
    check->written_count = 0;
    for (uint64_t i = 0; i < check->count; i++) {
        const struct muster_check_array *array = &check->arrays[i];
        uint64_t bytes = 0;
        unsigned char *pages = pages_of(check, array, &bytes);
        if (array->size_bytes > 0)
            muster__check_protect(check, pages, bytes,
                                  array->flags & MUSTER_CHECK_READ_ONLY ? MUSTER__READ_ONLY
                                                                        : MUSTER__READ_WRITE);
    }
    for (uint64_t i = 0; i < check->room_count; i++)
        if (check->rooms[i].size_bytes > 0)
            muster__check_protect(check, check->loop.space.address + check->rooms[i].offset_bytes,
                                  check->rooms[i].size_bytes, MUSTER__READ_WRITE);
}
