/* roll.c - the slow half of a roll: emptying, scattered commits, reading one roll back.
 *
 * Invariant: what a reader may count is complete before the word that makes it count is stored (see
 * roll.h). Offsets are computed from the capacity that the reader trusts, never read from the roll.
 */
#include "proof/roll_layout.h"

#include <assert.h>
#include <muster/testing.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"

_Static_assert(sizeof(struct muster_roll) + sizeof(struct muster_interval) == 64,
               "a roll's header and its first interval are what a cache fetches at once");
_Static_assert(sizeof(struct muster_interval) == 16, "the log's entries are 16 bytes");

uint64_t muster_roll_bytes(uint64_t chunks)
{
    uint64_t bitmap = (chunks + 63) / 64 * 8;
    return muster__roll_bitmap_offset(chunks) + muster__roll_page(bitmap);
}

/* A writer with nothing to lengthen. */
static void hold(struct muster_roll_writer *writer, struct muster_roll *roll, uint64_t capacity,
                 uint64_t first, uint64_t count)
{
    writer->tail = UINT64_MAX;
    writer->tail_end = NULL;
    writer->roll = roll;
    writer->log = muster__roll_log(roll);
    writer->bitmap = muster__roll_bitmap(roll, capacity);
    writer->first = first;
    writer->count = count;
    writer->length = 0;
    writer->limit = muster__roll_log_limit(count);
}

void muster_roll_begin(struct muster_roll_writer *writer, struct muster_roll *roll,
                       uint64_t capacity, uint64_t job, uint32_t rank, uint64_t first,
                       uint64_t count)
{
    assert(job != 0 && count <= capacity);
    /* Close the old job first, so that no reader takes the emptied log for the old job's. The
     * release fence keeps the stores below after it; the release store of the new number keeps them
     * before it. */
    uint64_t kept = muster__broken == MUSTER_BROKEN_STALE_ROLL ? roll->length : 0;
    __atomic_store_n(&roll->job, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&roll->length, kept, __ATOMIC_RELAXED);
    __atomic_store_n(&roll->closed, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&roll->bitmap_used, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&roll->bitmap_count, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&roll->repeats_unlogged, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&roll->rank, rank, __ATOMIC_RELAXED);
    __atomic_store_n(&roll->job, job, __ATOMIC_RELEASE);

    hold(writer, roll, capacity, first, count);
    writer->length = kept;
}

int muster_roll_resume(struct muster_roll_writer *writer, struct muster_roll *roll,
                       uint64_t capacity, uint64_t job, uint64_t first, uint64_t count)
{
    struct muster__roll_view view;
    int status = muster__roll_open(roll, capacity, job, first, count, &view);
    if (status <= 0)
        return status;
    hold(writer, roll, capacity, first, count);
    /* Entries beyond the length were never published; the words of the bitmap are whole. Only the
     * counts for progress may lack the last commit. */
    writer->length = view.length;
    if (view.length > 0 && !view.bitmap) {
        writer->tail_end = &writer->log[view.length - 1].end;
        writer->tail = *writer->tail_end;
    }
    return 1;
}

static void append(struct muster_roll_writer *writer, uint64_t chunk)
{
    struct muster_roll *roll = writer->roll;
    if (writer->length > 0) {
        const struct muster_interval *last = &writer->log[writer->length - 1];
        __atomic_store_n(&roll->closed, roll->closed + (last->end - last->first), __ATOMIC_RELAXED);
    }
    struct muster_interval *entry = &writer->log[writer->length];
    __atomic_store_n(&entry->first, chunk, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->end, chunk + 1, __ATOMIC_RELAXED);
    writer->length++;
    /* Release: the entry's fields, and the chunk's data, before the length that makes it count. */
    __atomic_store_n(&roll->length, writer->length, __ATOMIC_RELEASE);
    writer->tail = chunk + 1;
    writer->tail_end = &entry->end;
}

void muster_roll_commit_apart(struct muster_roll_writer *writer, uint64_t chunk)
{
    struct muster_roll *roll = writer->roll;
    uint64_t bit = chunk - writer->first;
    assert(bit < writer->count);
    if (writer->length < writer->limit && !roll->bitmap_used) {
        append(writer, chunk);
        return;
    }
    if (!roll->bitmap_used) {
        memset(writer->bitmap, 0, (writer->count + 63) / 64 * 8);
        /* Release: the cleared words before the flag that makes them count. */
        __atomic_store_n(&roll->bitmap_used, 1, __ATOMIC_RELEASE);
    }
    writer->tail = UINT64_MAX; /* from here on every commit comes this way */
    uint64_t *word = &writer->bitmap[bit / 64];
    uint64_t mask = (uint64_t)1 << (bit % 64), old = *word;
    if (!(old & mask)) {
        /* Release: as muster_roll_commit. No read-modify-write: nobody else writes this word. */
        __atomic_store_n(word, old | mask, __ATOMIC_RELEASE);
        __atomic_store_n(&roll->bitmap_count, roll->bitmap_count + 1, __ATOMIC_RELAXED);
    } else if (writer->length < writer->limit + MUSTER_ROLL_REPEATS) {
        append(writer, chunk);
        writer->tail = UINT64_MAX;
    } else {
        __atomic_store_n(&roll->repeats_unlogged, roll->repeats_unlogged + 1, __ATOMIC_RELEASE);
    }
}

uint64_t muster_roll_tally(const struct muster_roll_writer *writer)
{
    const struct muster_roll *roll = writer->roll;
    if (roll->length != 1 || roll->bitmap_used)
        return 0;
    struct muster_interval only = *muster__roll_log(roll);
    if (only.first < writer->first || only.first >= only.end ||
        only.end - writer->first > writer->count)
        return 0;
    only.first -= writer->first;
    only.end -= writer->first;
    return muster_schedule_pack(only);
}

uint64_t muster_roll_progress(const struct muster_roll *roll, uint64_t capacity, uint64_t job)
{
    if (__atomic_load_n(&roll->job, __ATOMIC_ACQUIRE) != job)
        return 0;
    uint64_t length = __atomic_load_n(&roll->length, __ATOMIC_ACQUIRE), last = 0;
    if (length > 0 && length <= muster__roll_log_capacity(capacity)) {
        const struct muster_interval *entry = &muster__roll_log(roll)[length - 1];
        uint64_t first = __atomic_load_n(&entry->first, __ATOMIC_RELAXED);
        uint64_t end = __atomic_load_n(&entry->end, __ATOMIC_RELAXED);
        last = end > first ? end - first : 0;
    }
    return __atomic_load_n(&roll->closed, __ATOMIC_RELAXED) + last +
           __atomic_load_n(&roll->bitmap_count, __ATOMIC_RELAXED) +
           __atomic_load_n(&roll->repeats_unlogged, __ATOMIC_RELAXED);
}

int muster__roll_open(const struct muster_roll *roll, uint64_t capacity, uint64_t job,
                      uint64_t first, uint64_t count, struct muster__roll_view *view)
{
    /* Acquire on each word that makes others count: pairs with the releases of the writer. */
    if (__atomic_load_n(&roll->job, __ATOMIC_ACQUIRE) != job)
        return 0;
    if (count > capacity)
        return -EUCLEAN;
    view->length = __atomic_load_n(&roll->length, __ATOMIC_ACQUIRE);
    uint32_t bitmap_used = __atomic_load_n(&roll->bitmap_used, __ATOMIC_ACQUIRE);
    if (view->length > muster__roll_log_limit(count) + MUSTER_ROLL_REPEATS || bitmap_used > 1)
        return -EUCLEAN;
    view->log = muster__roll_log(roll);
    view->bitmap = bitmap_used ? muster__roll_bitmap(roll, capacity) : NULL;
    view->rank = __atomic_load_n(&roll->rank, __ATOMIC_RELAXED);
    for (uint64_t i = 0; i < view->length; i++) {
        struct muster_interval entry = muster__roll_entry(view, i);
        if (entry.first < first || entry.first >= entry.end || entry.end > first + count)
            return -EUCLEAN;
    }
    return 1;
}

int muster_roll_contains(const struct muster_roll *roll, uint64_t capacity, uint64_t job,
                         uint64_t first, uint64_t count, uint64_t chunk)
{
    struct muster__roll_view view;
    int status = muster__roll_open(roll, capacity, job, first, count, &view);
    if (status <= 0)
        return status;
    if (chunk < first || chunk - first >= count)
        return 0;
    if (view.bitmap && muster__roll_bits(&view, (chunk - first) / 64) >> ((chunk - first) % 64) & 1)
        return 1;
    /* Backwards: the chunks that are asked for are mostly recent ones. */
    for (uint64_t i = view.length; i-- > 0;) {
        struct muster_interval entry = muster__roll_entry(&view, i);
        if (chunk >= entry.first && chunk < entry.end)
            return 1;
    }
    return 0;
}

int muster_roll_first_missing(const struct muster_roll *roll, uint64_t capacity, uint64_t job,
                              uint64_t first, uint64_t count, struct muster_interval interval,
                              uint64_t *chunk)
{
    struct muster__roll_view view;
    int status = muster__roll_open(roll, capacity, job, first, count, &view);
    if (status < 0 || interval.first < first || interval.end > first + count)
        return status < 0 ? status : -EUCLEAN;
    if (status == 0)
        view = (struct muster__roll_view){.length = 0};
    /* A sorted copy: read as they lie, single chunks in rising order would each take a pass over
     * the whole log (18 s for 16 million chunks, measured). */
    struct muster_interval *sorted = NULL;
    if (view.length > 0 && !(sorted = malloc(view.length * sizeof *sorted)))
        return -ENOMEM;
    uint64_t length = 0;
    for (uint64_t i = 0; i < view.length; i++) {
        struct muster_interval entry = muster__roll_entry(&view, i);
        if (entry.first < interval.end && entry.end > interval.first)
            sorted[length++] = entry;
    }
    if (length > 1)
        qsort(sorted, length, sizeof *sorted, muster__roll_by_first);
    uint64_t at = interval.first, next = 0;
    while (at < interval.end) {
        for (; next < length && sorted[next].first <= at; next++)
            at = sorted[next].end > at ? sorted[next].end : at;
        if (!view.bitmap || at >= interval.end ||
            !(muster__roll_bits(&view, (at - first) / 64) >> ((at - first) % 64) & 1))
            break;
        at++;
    }
    free(sorted);
    *chunk = at < interval.end ? at : interval.end;
    return 0;
}
