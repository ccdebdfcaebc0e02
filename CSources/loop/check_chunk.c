/* check_chunk.c - what a rank does to its memory around a kernel's work on one chunk of a checked
 * loop. The story is told in muster/check.h.
 */
#include <muster/kernel.h>
#include <string.h>

#include "crash/note.h"
#include "loop/check_state.h"

/* -- a chunk ---------------------------------------------------------------------------------- */

intptr_t muster__check_shift(const struct muster__check *check)
{
    return check && check->control_alias
               ? (intptr_t)check->control_alias - (intptr_t)check->loop.control.address
               : 0;
}

void muster__check_open_control(struct muster__check *check)
{
    if (check && check->is_inside && !check->control_alias)
        muster__check_protect_own(check, MUSTER__READ_WRITE);
}

void muster__check_close_control(struct muster__check *check)
{
    if (check && check->is_inside && !check->control_alias)
        muster__check_protect_own(check, MUSTER__READ_ONLY);
}

static void protect_journal(struct muster__check *check, void *journal, uint64_t size_bytes,
                            enum muster__protection protection)
{
    if (!check || !check->is_active || check->control_alias)
        return;
    unsigned char *first = muster__page_of(check, journal);
    muster__check_protect(
        check, first,
        (uint64_t)(muster__page_after(check, (unsigned char *)journal + size_bytes) - first),
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

/* -- border pages ----------------------------------------------------------------------------- */

/* Fills a border's private page: the chunk's own bytes, and the pattern around them. */
static void fill(struct muster__check *check, struct written *written, struct border *border,
                 unsigned char *first, unsigned char *end)
{
    unsigned char *page = border->page;
    border->first = first > page ? first : page;
    border->end = end < page + check->page_bytes ? end : page + check->page_bytes;
    memcpy(border->copy, check->pattern, check->page_bytes);
    memcpy(border->copy + (border->first - page), written->alias + (border->first - written->pages),
           (uint64_t)(border->end - border->first));
}

/* Takes the private page away: what all ranks share is there again, to be read and written. */
static void uncover(struct muster__check *check, struct written *written, struct border *border)
{
    if (!border->page)
        return;
    int status = muster__os_map_again(written->alias + (border->page - written->pages),
                                      check->page_bytes, border->page, NULL);
    if (status < 0)
        muster__check_fail(check, status);
    border->page = NULL;
}

/* Whether elements first ..< end share a page with others: one of their own pages. */
static bool is_shared(const struct muster__check *check, const unsigned char *page,
                      const unsigned char *first, const unsigned char *end)
{
    return page && (first > page || end < page + check->page_bytes);
}

/* Puts private pages over those that the chunk shares with others. A private page that the chunk
 * before has left there is filled again, which takes no system call. */
static void cover(struct muster__check *check, struct written *written, unsigned char *first,
                  unsigned char *end)
{
    unsigned char *last = written->open + written->open_bytes - check->page_bytes;
    unsigned char *wanted[2] = {written->open, last > written->open ? last : NULL};
    for (int j = 0; j < 2; j++)
        if (!is_shared(check, wanted[j], first, end))
            wanted[j] = NULL;
    for (int i = 0; i < 2; i++) {
        struct border *border = &written->borders[i];
        if (!border->page)
            continue;
        int found = border->page == wanted[0] ? 0 : border->page == wanted[1] ? 1 : -1;
        if (found < 0) {
            uncover(check, written, border); /* all of it is the chunk's */
            continue;
        }
        fill(check, written, border, first, end);
        wanted[found] = NULL;
    }
    for (int j = 0; j < 2; j++) {
        struct border *border = &written->borders[written->borders[0].page != NULL];
        if (!wanted[j])
            continue;
        border->page = wanted[j];
        border->copy = written->scratch + (uint64_t)(border - written->borders) * check->page_bytes;
        fill(check, written, border, first, end);
        int status = muster__os_map_again(border->copy, check->page_bytes, border->page, NULL);
        if (status < 0)
            muster__check_fail(check, status);
    }
}

/* Closes pages of an array. */
static void close_pages(struct muster__check *check, struct written *written, unsigned char *from,
                        unsigned char *to)
{
    if (from >= to)
        return;
    for (int i = 0; i < 2; i++)
        if (written->borders[i].page >= from && written->borders[i].page < to)
            uncover(check, written, &written->borders[i]);
    muster__check_protect(check, from, (uint64_t)(to - from), MUSTER__NO_ACCESS);
}

/* Opens these pages of an array and closes those that were open. Order: neighbours first open, then
 * close. Why: the system then moves a border, and need not cut a mapping in three and join it
 * again. */
static void open_pages(struct muster__check *check, struct written *written, unsigned char *from,
                       unsigned char *to)
{
    unsigned char *old_from = written->open,
                  *old_to = old_from ? old_from + written->open_bytes : NULL;
    written->open = from;
    written->open_bytes = (uint64_t)(to - from);
    if (old_from && (old_to < from || old_from > to)) {
        close_pages(check, written, old_from, old_to);
        old_from = NULL;
    }
    if (!old_from || from < old_from || to > old_to)
        muster__check_protect(check, from, (uint64_t)(to - from), MUSTER__READ_WRITE);
    if (old_from) {
        close_pages(check, written, old_from, from < old_to ? from : old_to);
        close_pages(check, written, to > old_from ? to : old_from, old_to);
    }
}

/* -- entering and leaving --------------------------------------------------------------------- */

static void enter_array(struct muster__check *check, struct written *written)
{
    const struct muster_check_array *array = &check->arrays[written->index];
    bool by_chunk = array->flags & MUSTER_CHECK_BY_CHUNK;
    uint64_t end_bytes = 0;
    uint64_t first_bytes = muster_check_owned(array, by_chunk ? check->chunk : check->first,
                                              by_chunk ? check->chunk + 1 : check->end, &end_bytes);
    if (first_bytes >= end_bytes) {
        muster__check_close(check, written);
        return;
    }
    unsigned char *first = written->start + first_bytes, *end = written->start + end_bytes;
    open_pages(check, written, muster__page_of(check, first), muster__page_after(check, end));
    cover(check, written, first, end);
    written->is_entered = true;
    if (array->flags & MUSTER_CHECK_POISONED)
        memset(first, 0xff, (size_t)(end - first));
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

/* Ends the process if the kernel has stored next to its elements. */
static void compare(struct muster__check *check, const struct written *written,
                    const struct border *border)
{
    const unsigned char *page = border->page;
    uint64_t own_first = (uint64_t)(border->first - page), own_end = (uint64_t)(border->end - page);
    uint64_t from = 0, to = 0;
    if (!differs(check, page, own_end, check->page_bytes, &from, &to) &&
        !differs(check, page, 0, own_first, &from, &to))
        return;
    muster__check_open_all(check);
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

void muster__check_close(struct muster__check *check, struct written *written)
{
    if (!written->open)
        return;
    close_pages(check, written, written->open, written->open + written->open_bytes);
    written->open = NULL;
}

/* Compares the private pages, and gives others the chunk's bytes in them. */
static void leave_array(struct muster__check *check, struct written *written)
{
    if (!written->is_entered)
        return;
    written->is_entered = false;
    for (int i = 0; i < 2; i++) {
        struct border *border = &written->borders[i];
        if (!border->page)
            continue;
        compare(check, written, border);
        memcpy(written->alias + (border->first - written->pages), border->first,
               (uint64_t)(border->end - border->first));
    }
    if (!check->loop.is_lazy)
        muster__check_close(check, written);
}

void muster__check_leave(struct muster__check *check)
{
    if (!check || !check->is_inside)
        return;
    muster__check_open_control(check);
    check->is_inside = false;
    for (uint32_t i = 0; i < check->written_count; i++)
        leave_array(check, &check->written[i]);
    for (uint32_t i = 0; i < check->allowed_count; i++)
        muster__check_protect(check, check->allowed[i].address, check->allowed[i].size_bytes,
                              MUSTER__NO_ACCESS);
    check->allowed_count = 0;
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
    struct muster__range pages = {muster__page_of(check, address), 0};
    pages.size_bytes = (uint64_t)(muster__page_after(check, address + size_bytes) - pages.address);
    muster__check_protect(check, pages.address, pages.size_bytes, MUSTER__READ_WRITE);
    if (check->allowed_count < ALLOWED_MOST)
        check->allowed[check->allowed_count++] = pages;
}
