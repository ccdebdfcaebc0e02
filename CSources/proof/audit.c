/* audit.c - merging the rolls: how often was each chunk committed?
 *
 * Trusts nobody's arithmetic but its own: it looks at what the workers recorded, not at what the
 * schedule dealt. Two ways, chosen by what the rolls use: without bitmaps, a sweep over the borders
 * of sorted intervals; with bitmaps, a pass over blocks of chunks with a "once" and a "twice" bit
 * for each. A validated copy of the intervals is made first, so a roll that changes under the
 * audit's hands can give a wrong count but never a wrong access.
 */
#include "proof/roll_layout.h"

#include <stdlib.h>
#include <string.h>

#include "os/os.h"

/* Chunks that the bitmap pass looks at together: 2 x 4 KiB of bits, well inside a first-level
 * cache. */
#define BLOCK_WORDS  512u
#define BLOCK_CHUNKS (BLOCK_WORDS * 64u)

/* Intervals and rolls up to this many are merged without asking for memory: a small job's audit
 * must cost nanoseconds. */
#define SMALL 64u

struct merge {
    uint64_t first, count;
    struct muster_interval *intervals;
    uint64_t length;
    struct muster__roll_view *views; /* those with a bitmap */
    uint32_t view_count;
    struct muster_audit audit;
    struct muster_finding *findings;
    uint64_t capacity, found;
    struct muster_finding
        open; /* the finding that the next run may lengthen; empty: first == end */
};

static void flush(struct merge *merge)
{
    if (merge->open.first == merge->open.end)
        return;
    if (merge->found < merge->capacity)
        merge->findings[merge->found] = merge->open;
    merge->found++;
    merge->open.first = merge->open.end;
}

/* Chunks first..<end were committed `times` times (2 stands for more than once). */
static void count_run(struct merge *merge, uint64_t first, uint64_t end, uint32_t times)
{
    if (first >= end)
        return;
    if (times == 1) {
        merge->audit.exactly_once += end - first;
        return;
    }
    uint32_t repeated = times > 1;
    if (repeated)
        merge->audit.repeated += end - first;
    else
        merge->audit.missing += end - first;
    if (merge->open.first != merge->open.end && merge->open.end == first &&
        merge->open.repeated == repeated) {
        merge->open.end = end;
        return;
    }
    flush(merge);
    merge->open = (struct muster_finding){.first = first, .end = end, .repeated = repeated};
}

static void sort(struct muster_interval *intervals, uint64_t length)
{
    bool sorted = true;
    for (uint64_t i = 1; i < length && sorted; i++)
        sorted = intervals[i - 1].first <= intervals[i].first;
    if (sorted)
        return;
    if (length > SMALL) {
        qsort(intervals, length, sizeof *intervals, muster__roll_by_first);
        return;
    }
    for (uint64_t i = 1; i < length; i++) {
        struct muster_interval moved = intervals[i];
        uint64_t j = i;
        for (; j > 0 && intervals[j - 1].first > moved.first; j--)
            intervals[j] = intervals[j - 1];
        intervals[j] = moved;
    }
}

/* Sorted intervals, no bitmaps. `covered`: everything below it is counted at least once; `again`:
 * below it, at least twice. Both only grow, since the intervals come by rising first. */
static void sweep_intervals(struct merge *merge)
{
    uint64_t counted = merge->first, covered = merge->first, again = merge->first;
    for (uint64_t i = 0; i < merge->length; i++) {
        struct muster_interval next = merge->intervals[i];
        /* What lies below next.first is settled: twice, then once, then never. */
        uint64_t settled = next.first;
        uint64_t twice_end = again < settled ? again : settled;
        uint64_t once_end = covered < settled ? covered : settled;
        count_run(merge, counted, twice_end, 2);
        if (twice_end > counted)
            counted = twice_end;
        count_run(merge, counted, once_end, 1);
        if (once_end > counted)
            counted = once_end;
        count_run(merge, counted, settled, 0);
        if (settled > counted)
            counted = settled;
        /* The part of next below `covered` is now there a second time. */
        uint64_t overlap = next.end < covered ? next.end : covered;
        if (overlap > again && overlap > next.first)
            again = overlap;
        if (next.end > covered)
            covered = next.end;
    }
    uint64_t end = merge->first + merge->count;
    count_run(merge, counted, again, 2);
    if (again > counted)
        counted = again;
    count_run(merge, counted, covered, 1);
    if (covered > counted)
        counted = covered;
    count_run(merge, counted, end, 0);
}

/* Cuts sorted intervals down so that no chunk lies in more than two of them, which is all that is
 * told apart; they stay sorted. Without it the pass over blocks would take intervals times chunks
 * where somebody has filled a log with the whole job: minutes for 10^8 chunks. */
static void thin(struct merge *merge)
{
    /* Of the chunks that are still to come, those below `twice` lie in two intervals, those between
     * it and `once` in one. */
    uint64_t once = merge->first, twice = merge->first, kept = 0;
    for (uint64_t i = 0; i < merge->length; i++) {
        struct muster_interval next = merge->intervals[i];
        if (next.first < twice)
            next.first = twice;
        if (next.first >= next.end)
            continue;
        merge->intervals[kept++] = next;
        uint64_t overlap = next.end < once ? next.end : once;
        if (overlap > twice)
            twice = overlap;
        if (next.end > once)
            once = next.end;
    }
    merge->length = kept;
}

/* Adds bits first..<end (relative to the block) to the once and twice words. */
static void add_bits(uint64_t *once, uint64_t *twice, uint64_t first, uint64_t end)
{
    while (first < end) {
        uint64_t word = first / 64, low = first % 64;
        uint64_t high = end - word * 64 < 64 ? end - word * 64 : 64;
        uint64_t mask = (high == 64 ? ~(uint64_t)0 : ((uint64_t)1 << high) - 1) & ~(uint64_t)0
                                                                                      << low;
        twice[word] |= once[word] & mask;
        once[word] |= mask;
        first = word * 64 + high;
    }
}

/* Turns the words of a block into runs. */
static void count_block(struct merge *merge, const uint64_t *once, const uint64_t *twice,
                        uint64_t block_first, uint64_t chunks)
{
    for (uint64_t word = 0; word * 64 < chunks; word++) {
        uint64_t first = block_first + word * 64;
        uint64_t width = chunks - word * 64 < 64 ? chunks - word * 64 : 64;
        uint64_t full = width == 64 ? ~(uint64_t)0 : ((uint64_t)1 << width) - 1;
        if ((once[word] & full) == full && (twice[word] & full) == 0) {
            merge->audit.exactly_once += width;
            continue;
        }
        uint64_t bit = 0;
        while (bit < width) {
            uint32_t times = (uint32_t)((once[word] >> bit & 1) + (twice[word] >> bit & 1));
            uint64_t run = bit + 1;
            while (run < width &&
                   (uint32_t)((once[word] >> run & 1) + (twice[word] >> run & 1)) == times)
                run++;
            count_run(merge, first + bit, first + run, times);
            bit = run;
        }
    }
}

static void sweep_blocks(struct merge *merge, struct muster_interval *active)
{
    uint64_t once[BLOCK_WORDS], twice[BLOCK_WORDS], next = 0, active_count = 0;
    for (uint64_t base = 0; base < merge->count; base += BLOCK_CHUNKS) {
        uint64_t chunks = merge->count - base < BLOCK_CHUNKS ? merge->count - base : BLOCK_CHUNKS;
        uint64_t block_first = merge->first + base, block_end = block_first + chunks;
        memset(once, 0, sizeof once);
        memset(twice, 0, sizeof twice);
        for (uint32_t v = 0; v < merge->view_count; v++)
            for (uint64_t word = 0; word * 64 < chunks; word++) {
                uint64_t bits = muster__roll_bits(&merge->views[v], base / 64 + word);
                twice[word] |= once[word] & bits;
                once[word] |= bits;
            }
        while (next < merge->length && merge->intervals[next].first < block_end)
            active[active_count++] = merge->intervals[next++];
        uint64_t kept = 0;
        for (uint64_t i = 0; i < active_count; i++) {
            uint64_t from = active[i].first > block_first ? active[i].first : block_first;
            uint64_t to = active[i].end < block_end ? active[i].end : block_end;
            add_bits(once, twice, from - block_first, to - block_first);
            if (active[i].end > block_end)
                active[kept++] = active[i];
        }
        active_count = kept;
        count_block(merge, once, twice, block_first, chunks);
    }
}

/* Copies the valid rolls' intervals and notes the bitmaps. Both arrays have room. */
static int gather(struct merge *merge, const struct muster_roll *const *rolls, uint32_t roll_count,
                  uint64_t capacity, uint64_t job, uint64_t room)
{
    for (uint32_t r = 0; r < roll_count; r++) {
        struct muster__roll_view view;
        int status = muster__roll_open(rolls[r], capacity, job, merge->first, merge->count, &view);
        if (status < 0)
            return status;
        if (status == 0)
            continue;
        for (uint64_t i = 0; i < view.length; i++) {
            struct muster_interval entry = muster__roll_entry(&view, i);
            if (merge->length == room || entry.first < merge->first || entry.first >= entry.end ||
                entry.end > merge->first + merge->count)
                return -EUCLEAN;
            merge->intervals[merge->length++] = entry;
        }
        if (view.bitmap)
            merge->views[merge->view_count++] = view;
        merge->audit.unnamed += __atomic_load_n(&rolls[r]->repeats_unlogged, __ATOMIC_ACQUIRE);
    }
    return 0;
}

int64_t muster_audit(const struct muster_roll *const *rolls, uint32_t roll_count, uint64_t capacity,
                     uint64_t job, uint64_t first, uint64_t count, struct muster_audit *audit,
                     struct muster_finding *findings, uint64_t findings_capacity)
{
    struct muster_interval small_intervals[SMALL], small_active[SMALL];
    struct muster__roll_view small_views[SMALL];
    struct merge merge = {.first = first,
                          .count = count,
                          .intervals = small_intervals,
                          .views = small_views,
                          .findings = findings,
                          .capacity = findings_capacity};
    uint64_t room = 0;
    bool bitmaps = false;
    for (uint32_t r = 0; r < roll_count; r++) {
        struct muster__roll_view view;
        int status = muster__roll_open(rolls[r], capacity, job, first, count, &view);
        if (status < 0)
            return status;
        if (status > 0) {
            room += view.length;
            bitmaps |= view.bitmap != NULL;
        }
    }
    /* A roll may begin its bitmap between the two looks at it, so there is always room for active.
     */
    struct muster_interval *active = small_active;
    void *memory = NULL;
    if (room > SMALL || roll_count > SMALL || bitmaps) {
        uint64_t intervals_bytes = room * sizeof(struct muster_interval);
        memory = muster__memory(NULL, 2 * intervals_bytes +
                                          roll_count * sizeof(struct muster__roll_view) + 1);
        if (!memory)
            return -ENOMEM;
        merge.intervals = memory;
        active = merge.intervals + room;
        merge.views = (struct muster__roll_view *)(active + room);
    } else {
        room = SMALL;
    }
    int64_t result = gather(&merge, rolls, roll_count, capacity, job, room);
    if (result == 0) {
        sort(merge.intervals, merge.length);
        if (merge.view_count > 0) {
            thin(&merge);
            sweep_blocks(&merge, active);
        } else {
            sweep_intervals(&merge);
        }
        flush(&merge);
        merge.audit.chunks = count;
        *audit = merge.audit;
        result = (int64_t)merge.found;
    }
    free(memory);
    return result;
}

int64_t muster_audit_ranks(const struct muster_roll *const *rolls, uint32_t roll_count,
                           uint64_t capacity, uint64_t job, uint64_t first, uint64_t count,
                           struct muster_interval interval, uint32_t *ranks,
                           uint64_t ranks_capacity)
{
    uint64_t holders = 0;
    /* Only the job's part: a caller may mean all chunks by 0 ..< UINT64_MAX, and each one of a
     * bitmap is looked at. Empty, also where it was given the wrong way round: nobody holds any. */
    uint64_t from = interval.first > first ? interval.first : first;
    uint64_t to = interval.end < first + count ? interval.end : first + count;
    for (uint32_t r = 0; r < roll_count; r++) {
        struct muster__roll_view view;
        int status = muster__roll_open(rolls[r], capacity, job, first, count, &view);
        if (status < 0)
            return status;
        if (status == 0)
            continue;
        bool holds = false;
        for (uint64_t i = 0; from < to && i < view.length && !holds; i++) {
            struct muster_interval entry = muster__roll_entry(&view, i);
            holds = entry.first < to && from < entry.end;
        }
        for (uint64_t chunk = from; view.bitmap && chunk < to && !holds; chunk++)
            holds = muster__roll_bits(&view, (chunk - first) / 64) >> ((chunk - first) % 64) & 1;
        if (!holds)
            continue;
        if (holders < ranks_capacity)
            ranks[holders] = view.rank;
        holders++;
    }
    return (int64_t)holders;
}
