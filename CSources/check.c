/* check.c - what a rank does to its own memory in a checked loop. The story is told in
 * muster/check.h.
 *
 * Invariant: while no kernel runs, the control memory can be written; while no loop runs, so can
 * everything else that this rank ever could.
 */
#include "check.h"

#include <muster/work.h>
#include <stdlib.h>
#include <string.h>

#include "fault_note.h"

/* A page that a chunk's elements share with others. */
struct border {
    unsigned char *page;        /* where the kernel sees it; NULL: there is none */
    unsigned char *copy;        /* the private page that is mapped there */
    unsigned char *first, *end; /* of the chunk's own bytes in it */
};

/* An array that the loop writes. */
struct written {
    uint32_t index; /* of check->arrays */
    unsigned char *start;
    unsigned char *pages; /* of the array */
    uint64_t pages_bytes;
    unsigned char *alias;   /* the same memory, for the library */
    unsigned char *scratch; /* two private pages */
    unsigned char *open;    /* pages of the chunk in work; NULL: none */
    uint64_t open_bytes;
    struct border borders[2];
};

#define ALLOWED_MOST 16u

struct muster__check {
    struct muster__check_loop loop; /* `arrays` and `rooms` are not read after the beginning */
    uint64_t page_bytes;
    unsigned char *pattern; /* a page of it */
    struct muster_check_array arrays[MUSTER_ARRAYS_MAX + 1];
    struct muster_extent rooms[MUSTER_ROOMS_MAX];
    uint64_t count, room_count;
    struct written *written;
    uint32_t written_count, written_capacity;
    struct muster__range allowed[ALLOWED_MOST];
    uint32_t allowed_count;
    bool is_active, is_inside;
    uint64_t chunk, first, end;
};

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

static unsigned char *page_of(const struct muster__check *check, const unsigned char *address)
{
    return (unsigned char *)((uintptr_t)address / check->page_bytes * check->page_bytes);
}

static unsigned char *page_after(const struct muster__check *check, const unsigned char *address)
{
    return page_of(check, address + check->page_bytes - 1);
}

/* -- what the handler needs ------------------------------------------------------------------- */

/* For the note of a crash. */
static void open_all(struct muster__check *check)
{
    if (check->is_active)
        (void)muster__os_protect(check->loop.control.address, check->loop.control.size_bytes,
                                 MUSTER__READ_WRITE);
}

static bool is_within(uintptr_t address, struct muster__range range)
{
    return address - (uintptr_t)range.address < range.size_bytes;
}

static void on_fault(const struct muster__trap *trap, struct muster_fault *known)
{
    struct muster__check *check = current;
    if (!check || !check->is_active)
        return;
    bool was_inside = check->is_inside;
    open_all(check);
    known->chunk = was_inside ? check->chunk : UINT64_MAX;
    known->first = check->first;
    known->end = check->end;
    /* A file that has become shorter is another's doing (SIGBUS). */
    if (!was_inside || !trap->has_address || trap->signal != MUSTER__STRAY_SIGNAL)
        return;
    if (is_within(trap->address, check->loop.control))
        known->stray = MUSTER_STRAY_CONTROL;
    else if (is_within(trap->address + check->page_bytes,
                       (struct muster__range){check->loop.space.address,
                                              check->loop.space.size_bytes + check->page_bytes}))
        known->stray = MUSTER_STRAY_TRAPPED;
}

/* Where memory can't be protected, a loop that went on would be one that nobody has checked. */
static _Noreturn void fail(struct muster__check *check, int status)
{
    open_all(check);
    struct muster_fault found = {.stray = MUSTER_STRAY_UNCHECKED,
                                 .use = UINT32_MAX,
                                 .chunk = check->chunk,
                                 .first = check->first,
                                 .end = check->end,
                                 .space_offset = UINT64_MAX,
                                 .bytes = (uint64_t)-status};
    muster_fault_end(&found);
}

static void protect(struct muster__check *check, unsigned char *address, uint64_t size_bytes,
                    enum muster__protection protection)
{
    int status = muster__os_protect(address, size_bytes, protection);
    if (status < 0)
        fail(check, status);
}

static void protect_own(struct muster__check *check, enum muster__protection protection)
{
    for (int i = 0; i < 2; i++)
        if (check->loop.own[i].size_bytes > 0)
            (void)muster__os_protect(check->loop.own[i].address, check->loop.own[i].size_bytes,
                                     protection);
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
           (array->index_bytes > 0 || array->access != MUSTER_OUTPUT) &&
           (array->index_bytes > 0 || array->access != MUSTER_IN_PLACE);
}

/* The pages of an array. */
static unsigned char *pages_of(const struct muster__check *check,
                               const struct muster_check_array *array, uint64_t *size_bytes)
{
    unsigned char *start = check->loop.space.address + array->offset_bytes;
    unsigned char *first = page_of(check, start);
    *size_bytes = (uint64_t)(page_after(check, start + array->size_bytes) - first);
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
    return array->access == MUSTER_OUTPUT || array->access == MUSTER_IN_PLACE;
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
                                        array->access == MUSTER_INPUT ? MUSTER__READ_ONLY
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
    memcpy(check->rooms, loop->rooms, loop->room_count * sizeof *loop->rooms);
    for (uint64_t i = 0; i < check->count; i++)
        if (!is_sound(&check->arrays[i], loop->space.size_bytes))
            return -EUCLEAN;
    check->is_active = true;
    int status = close_all(check);
    if (status == 0)
        status =
            muster__os_protect(loop->control.address, loop->control.size_bytes, MUSTER__READ_ONLY);
    if (status < 0) {
        muster__check_end(check);
        return status;
    }
    protect_own(check, MUSTER__READ_WRITE);
    current = check;
    muster__fault_before(on_fault);
    return 0;
}

/* -- a chunk ---------------------------------------------------------------------------------- */

void muster__check_open_control(struct muster__check *check)
{
    if (check && check->is_inside)
        protect_own(check, MUSTER__READ_WRITE);
}

void muster__check_close_control(struct muster__check *check)
{
    if (check && check->is_inside)
        protect_own(check, MUSTER__READ_ONLY);
}

static void protect_journal(struct muster__check *check, void *journal, uint64_t size_bytes,
                            enum muster__protection protection)
{
    if (!check || !check->is_active)
        return;
    unsigned char *first = page_of(check, journal);
    protect(check, first,
            (uint64_t)(page_after(check, (unsigned char *)journal + size_bytes) - first),
            protection);
}

void muster__check_open_journal(struct muster__check *check, void *journal, uint64_t size_bytes)
{
    protect_journal(check, journal, size_bytes, MUSTER__READ_WRITE);
}

void muster__check_close_journal(struct muster__check *check, void *journal, uint64_t size_bytes)
{
    protect_journal(check, journal, size_bytes, MUSTER__READ_ONLY);
}

/* Puts a private page over one that the chunk shares with others. */
static void cover(struct muster__check *check, struct written *written, struct border *border,
                  unsigned char *copy, unsigned char *first, unsigned char *end)
{
    unsigned char *page = border->page;
    border->copy = copy;
    border->first = first > page ? first : page;
    border->end = end < page + check->page_bytes ? end : page + check->page_bytes;
    memcpy(copy, check->pattern, check->page_bytes);
    memcpy(copy + (border->first - page), written->alias + (border->first - written->pages),
           (uint64_t)(border->end - border->first));
    int status = muster__os_map_again(copy, check->page_bytes, page, NULL);
    if (status < 0)
        fail(check, status);
}

static void enter_array(struct muster__check *check, struct written *written)
{
    const struct muster_check_array *array = &check->arrays[written->index];
    bool by_chunk = array->flags & MUSTER_CHECK_BY_CHUNK;
    uint64_t end_bytes = 0;
    uint64_t first_bytes = muster_check_owned(array, by_chunk ? check->chunk : check->first,
                                              by_chunk ? check->chunk + 1 : check->end, &end_bytes);
    if (first_bytes >= end_bytes)
        return;
    unsigned char *first = written->start + first_bytes, *end = written->start + end_bytes;
    written->open = page_of(check, first);
    written->open_bytes = (uint64_t)(page_after(check, end) - written->open);
    protect(check, written->open, written->open_bytes, MUSTER__READ_WRITE);
    unsigned char *last = written->open + written->open_bytes - check->page_bytes;
    struct border *borders = written->borders;
    if (first > written->open || (last == written->open && end < last + check->page_bytes))
        borders[0].page = written->open;
    if (last > written->open && end < last + check->page_bytes)
        borders[1].page = last;
    for (int i = 0; i < 2; i++)
        if (borders[i].page)
            cover(check, written, &borders[i], written->scratch + (uint64_t)i * check->page_bytes,
                  first, end);
}

void muster__check_enter(struct muster__check *check, uint64_t chunk, uint64_t first, uint64_t end)
{
    if (!check || !check->is_active)
        return;
    check->chunk = chunk;
    check->first = first;
    check->end = end;
    for (uint32_t i = 0; i < check->written_count; i++)
        enter_array(check, &check->written[i]);
    check->is_inside = true;
    muster__check_close_control(check);
}

/* The first and the last byte of a range that are not the pattern's. Returns: whether any is. */
static bool differs(const struct muster__check *check, const unsigned char *page, uint64_t first,
                    uint64_t end, uint64_t *from, uint64_t *to)
{
    if (first >= end || memcmp(page + first, check->pattern + first, end - first) == 0)
        return false;
    *from = first;
    while (page[*from] == check->pattern[*from])
        ++*from;
    *to = end;
    while (page[*to - 1] == check->pattern[*to - 1])
        --*to;
    return true;
}

/* Ends the process where the kernel has stored beside its elements. */
static void compare(struct muster__check *check, const struct written *written,
                    const struct border *border)
{
    const unsigned char *page = border->page;
    uint64_t own_first = (uint64_t)(border->first - page), own_end = (uint64_t)(border->end - page);
    uint64_t from = 0, to = 0;
    if (!differs(check, page, own_end, check->page_bytes, &from, &to) &&
        !differs(check, page, 0, own_first, &from, &to))
        return;
    open_all(check);
    struct muster_fault found = {.stray = MUSTER_STRAY_COMPARED,
                                 .access = MUSTER_FAULT_WRITE,
                                 .use = check->arrays[written->index].use,
                                 .chunk = check->chunk,
                                 .first = check->first,
                                 .end = check->end,
                                 .space_offset =
                                     (uint64_t)(page + from - check->loop.space.address),
                                 .bytes = to - from};
    muster_fault_end(&found);
}

/* Takes the private pages away. compares: false: whatever is in them was not the kernel's fault, or
 * is said already. */
static void leave_array(struct muster__check *check, struct written *written, bool compares)
{
    if (!written->open)
        return;
    for (int i = 0; i < 2; i++) {
        struct border *border = &written->borders[i];
        if (!border->page)
            continue;
        if (compares)
            compare(check, written, border);
        memcpy(written->alias + (border->first - written->pages), border->first,
               (uint64_t)(border->end - border->first));
        int status = muster__os_map_again(written->alias + (border->page - written->pages),
                                          check->page_bytes, border->page, NULL);
        if (status < 0)
            fail(check, status);
        border->page = NULL;
    }
    protect(check, written->open, written->open_bytes, MUSTER__NO_ACCESS);
    written->open = NULL;
}

static void leave(struct muster__check *check, bool compares)
{
    if (!check || !check->is_inside)
        return;
    muster__check_open_control(check);
    check->is_inside = false;
    for (uint32_t i = 0; i < check->written_count; i++)
        leave_array(check, &check->written[i], compares);
    for (uint32_t i = 0; i < check->allowed_count; i++)
        protect(check, check->allowed[i].address, check->allowed[i].size_bytes, MUSTER__NO_ACCESS);
    check->allowed_count = 0;
}

void muster__check_leave(struct muster__check *check)
{
    leave(check, true);
}

void muster__check_end(struct muster__check *check)
{
    if (!check || !check->is_active)
        return;
    leave(check, true);
    open_all(check);
    check->is_active = false;
    for (uint32_t i = 0; i < check->written_count; i++)
        muster__os_unmap(check->written[i].alias, check->written[i].pages_bytes);
    check->written_count = 0;
    for (uint64_t i = 0; i < check->count; i++) {
        const struct muster_check_array *array = &check->arrays[i];
        uint64_t bytes = 0;
        unsigned char *pages = pages_of(check, array, &bytes);
        if (array->size_bytes > 0)
            protect(check, pages, bytes,
                    array->flags & MUSTER_CHECK_READ_ONLY ? MUSTER__READ_ONLY : MUSTER__READ_WRITE);
    }
    for (uint64_t i = 0; i < check->room_count; i++)
        if (check->rooms[i].size_bytes > 0)
            protect(check, check->loop.space.address + check->rooms[i].offset_bytes,
                    check->rooms[i].size_bytes, MUSTER__READ_WRITE);
}

/* -- for the library, while a kernel runs ----------------------------------------------------- */

bool muster__check_chunk_of(const struct muster__check *check, uint32_t array, uint64_t *offset,
                            uint64_t *end)
{
    for (uint32_t i = 0; i < check->written_count; i++) {
        const struct muster_check_array *found = &check->arrays[check->written[i].index];
        if (found->array != array || found->flags & MUSTER_CHECK_BY_CHUNK)
            continue;
        uint64_t end_bytes = 0;
        *offset =
            found->offset_bytes + muster_check_owned(found, check->first, check->end, &end_bytes);
        *end = found->offset_bytes + end_bytes;
        return true;
    }
    return false;
}

void muster__check_allow(struct muster__check *check, uint64_t offset, uint64_t size_bytes)
{
    if (!check || !check->is_inside || size_bytes == 0)
        return;
    unsigned char *address = check->loop.space.address + offset;
    struct muster__range pages = {page_of(check, address), 0};
    pages.size_bytes = (uint64_t)(page_after(check, address + size_bytes) - pages.address);
    protect(check, pages.address, pages.size_bytes, MUSTER__READ_WRITE);
    if (check->allowed_count < ALLOWED_MOST)
        check->allowed[check->allowed_count++] = pages;
}
