/* fuzz_roll.c - everything that reads a roll, on rolls with any content.
 *
 * Each roll lies in memory of exactly its size, and what lies between its parts can't be touched
 * either. What must hold is more than "no crash": a naive count of what the bytes say, made here
 * without the library, gives the same answers to every question, and -EUCLEAN where the bytes make
 * no roll. In some inputs a writer takes over a roll that somebody else has left in any state; it
 * must read back as what was committed.
 */
#include <errno.h>
#include <muster/core/roll.h>
#include <sanitizer/asan_interface.h>

#include "fuzz.h"

#define JOB        7u
#define ROLLS_MOST 4u

/* Chunks around every border in the code: words, log limits, one audit block and a second. */
static const uint32_t borders[] = {0,   1,    63,   64,   65,   127,   128,   129,
                                   300, 8191, 8192, 8193, 8320, 32767, 32768, 40000};
#define BORDERS (sizeof borders / sizeof *borders)

/* The job, and the memory that its rolls have. */
struct scene {
    uint64_t capacity, first, count;
    uint32_t rolls, times; /* the audit is given each roll `times` times */
};

/* A roll's parts as roll.h tells them: a header, the log, the bitmap on a page of its own. */
struct box {
    struct muster_roll *roll;
    struct muster_interval *log;
    uint64_t *bitmap;
    uint64_t log_room, bytes;
    bool counts;          /* it is of this job */
    bool is_sound;        /* and well formed */
    unsigned char *times; /* how often each chunk stands in it, up to 255 */
};

static uint64_t log_limit(uint64_t count)
{
    return (count / 128 > MUSTER_ROLL_LOG_LEAST ? count / 128 : MUSTER_ROLL_LOG_LEAST) +
           MUSTER_ROLL_REPEATS;
}

static struct box make_box(const struct scene *scene)
{
    struct box box = {.bytes = muster_roll_bytes(scene->capacity)};
    uint64_t bitmap_bytes = (scene->capacity + 63) / 64 * 8;
    uint64_t bitmap_pages = (bitmap_bytes + 4095) / 4096 * 4096;
    box.roll = exactly(box.bytes);
    box.log = (struct muster_interval *)(box.roll + 1);
    box.log_room = log_limit(scene->capacity);
    box.bitmap = (uint64_t *)((char *)box.roll + box.bytes - bitmap_pages);
    HOLDS((char *)(box.log + box.log_room) <= (char *)box.bitmap, "log and bitmap overlap");
    char *log_end = (char *)(box.log + box.log_room);
    ASAN_POISON_MEMORY_REGION(log_end, (size_t)((char *)box.bitmap - log_end));
    ASAN_POISON_MEMORY_REGION((char *)box.bitmap + bitmap_bytes, bitmap_pages - bitmap_bytes);
    box.times = exactly(scene->count);
    return box;
}

static void free_box(struct box *box)
{
    ASAN_UNPOISON_MEMORY_REGION(box->roll, box->bytes);
    free(box->roll);
    free(box->times);
}

/* A word of shared memory: mostly small, now and then anything. */
static uint64_t take_word(struct input *input, uint64_t limit)
{
    uint64_t choice = take(input, 1);
    if (choice < 0xf8)
        return take_below(input, limit);
    return choice == 0xf8 ? limit : choice == 0xf9 ? UINT64_MAX : take(input, 8);
}

static void fill_log(struct input *input, const struct scene *scene, struct box *box)
{
    uint64_t written = take_below(input, 160), step = take_below(input, 5);
    for (uint64_t i = 0; i < written && i < box->log_room; i++) {
        uint64_t form = input->left > 0 ? take(input, 1) : 0, from, length;
        if (form >= 0xf0) { /* anything */
            from = take_word(input, scene->count);
            length = take_word(input, scene->count);
        } else if (scene->count > 0) {
            from = (i * step + form / 16) % scene->count;
            length = form >= 0xe0 ? scene->count : 1 + form % 16; /* to the end, or short */
            if (length > scene->count - from)
                length = scene->count - from;
        } else {
            from = length = 0;
        }
        box->log[i].first = scene->first + from;
        box->log[i].end = scene->first + from + length;
    }
    box->roll->length = take(input, 1) < 0xe0 ? written : take_word(input, box->log_room + 2);
}

static void fill_bitmap(struct input *input, const struct scene *scene, struct box *box)
{
    uint64_t words = (scene->capacity + 63) / 64;
    static const uint64_t patterns[] = {0, UINT64_MAX, 0x5555555555555555ull,
                                        0xffff00000000ffffull};
    uint64_t pattern = patterns[take_below(input, 4)];
    for (uint64_t i = 0; i < words; i++)
        box->bitmap[i] = pattern;
    for (uint64_t changes = take_below(input, 16); changes > 0 && words > 0; changes--)
        box->bitmap[take_below(input, words)] ^= take(input, 8);
}

static void fill(struct input *input, const struct scene *scene, struct box *box, uint32_t rank)
{
    struct muster_roll *roll = box->roll;
    uint64_t plain = take(input, 1);
    fill_log(input, scene, box);
    roll->job = plain < 0xf0 ? JOB : take_word(input, JOB + 2);
    roll->bitmap_used = (uint32_t)(take(input, 1) < 0xf0 ? plain & 1 : take_word(input, 3));
    if (roll->bitmap_used)
        fill_bitmap(input, scene, box);
    roll->closed = take_word(input, scene->count);
    roll->bitmap_count = take_word(input, scene->count);
    roll->repeats_unlogged = plain & 2 ? take_word(input, 3) : 0;
    roll->rank = rank;
}

/* A writer goes on in the roll as it is; afterwards the naive counts must be its commits, whatever
 * lay there before. */
static void commit(struct input *input, const struct scene *scene, struct box *box, uint32_t rank)
{
    struct muster_roll_writer writer;
    unsigned char *expected = exactly(scene->count);
    uint64_t commits = 0, repeats = 0, at = 0;
    muster_roll_begin(&writer, box->roll, scene->capacity, JOB, rank, scene->first, scene->count);
    for (uint64_t runs = take_below(input, 64); runs > 0 && scene->count > 0; runs--) {
        uint64_t choice = take(input, 1), length = 1 + choice % 32, step = 1 + choice / 64;
        if (choice & 32)
            at = take_below(input, scene->count);
        for (uint64_t i = 0; i < length; i++, at = (at + step) % scene->count) {
            if (expected[at] > 0 && ++repeats > MUSTER_ROLL_REPEATS)
                break; /* more could be counted only */
            muster_roll_commit(&writer, scene->first + at);
            expected[at]++;
            commits++;
        }
    }
    uint64_t progress = muster_roll_progress(box->roll, scene->capacity, JOB);
    HOLDS(progress == commits, "%llu commits, progress %llu", (unsigned long long)commits,
          (unsigned long long)progress);
    HOLDS(box->roll->repeats_unlogged == 0 && box->roll->job == JOB, "the roll's header");
    memcpy(box->times, expected, scene->count);
    free(expected);
}

/* Counts naively what the bytes say. */
static void count_naively(const struct scene *scene, struct box *box)
{
    const struct muster_roll *roll = box->roll;
    uint64_t end = scene->first + scene->count;
    box->counts = roll->job == JOB;
    box->is_sound = roll->length <= log_limit(scene->count) && roll->bitmap_used <= 1;
    memset(box->times, 0, scene->count);
    for (uint64_t i = 0; box->is_sound && i < roll->length; i++) {
        struct muster_interval entry = box->log[i];
        box->is_sound = entry.first >= scene->first && entry.first < entry.end && entry.end <= end;
        for (uint64_t chunk = entry.first; box->is_sound && chunk < entry.end; chunk++)
            box->times[chunk - scene->first] += box->times[chunk - scene->first] < 255;
    }
    for (uint64_t i = 0; box->is_sound && roll->bitmap_used && i < scene->count; i++)
        if (box->bitmap[i / 64] >> (i % 64) & 1)
            box->times[i] += box->times[i] < 255;
}

/* -- questions about one roll --------------------------------------------------------------- */

static void ask_roll(struct input *input, const struct scene *scene, const struct box *box)
{
    const uint64_t first = scene->first, count = scene->count, capacity = scene->capacity;
    uint64_t progress = muster_roll_progress(box->roll, capacity, JOB);
    HOLDS(progress == muster_roll_progress(box->roll, capacity, JOB), "progress differs");
    for (uint64_t asked = 0; asked < 8; asked++) {
        uint64_t at = take_word(input, count + 2) - 1, chunk = first + at;
        int wanted = !box->counts ? 0 : !box->is_sound ? -EUCLEAN : at < count && box->times[at];
        int held = muster_roll_contains(box->roll, capacity, JOB, first, count, chunk);
        HOLDS(held == wanted, "chunk %llu: %d, not %d", (unsigned long long)at, held, wanted);
    }
    for (uint64_t asked = 0; asked < 4; asked++) {
        uint64_t from = take_word(input, count + 1), to = take_word(input, count + 1);
        if (asked == 0)
            from = 0, to = count;
        struct muster_interval interval = {first + from, first + to};
        uint64_t chunk = 12345;
        int status =
            muster_roll_first_missing(box->roll, capacity, JOB, first, count, interval, &chunk);
        bool is_inside = interval.first >= first && interval.end <= first + count;
        if ((box->counts && !box->is_sound) || !is_inside) {
            HOLDS(status == -EUCLEAN && chunk == 12345, "status %d", status);
            continue;
        }
        uint64_t wanted = interval.first < interval.end ? interval.first : interval.end;
        while (box->counts && wanted < interval.end && box->times[wanted - first])
            wanted++;
        HOLDS(status == 0 && chunk == wanted, "first missing of %llu..<%llu: %llu, not %llu (%d)",
              (unsigned long long)from, (unsigned long long)to, (unsigned long long)(chunk - first),
              (unsigned long long)(wanted - first), status);
    }
}

/* -- questions about all of them ------------------------------------------------------------ */

static void ask_ranks(struct input *input, const struct scene *scene, const struct box *boxes,
                      const struct muster_roll *const *rolls, bool is_sound)
{
    uint64_t from = take_word(input, scene->count + 1), to = take_word(input, scene->count + 1);
    struct muster_interval interval = {scene->first + from, scene->first + to};
    uint64_t room = take_below(input, 8), holders = 0;
    uint32_t *ranks = exactly(room * sizeof *ranks);
    int64_t held = muster_audit_ranks(rolls, scene->rolls * scene->times, scene->capacity, JOB,
                                      scene->first, scene->count, interval, ranks, room);
    bool holds[ROLLS_MOST] = {false};
    for (uint32_t r = 0; r < scene->rolls; r++)
        for (uint64_t at = 0; boxes[r].counts && at < scene->count && !holds[r]; at++)
            holds[r] = boxes[r].times[at] && scene->first + at >= interval.first &&
                       scene->first + at < interval.end;
    for (uint32_t r = 0; is_sound && r < scene->rolls * scene->times; r++) {
        if (!holds[r % scene->rolls])
            continue;
        if (holders < room)
            HOLDS(ranks[holders] == boxes[r % scene->rolls].roll->rank, "rank %u", ranks[holders]);
        holders++;
    }
    HOLDS(held == (is_sound ? (int64_t)holders : -EUCLEAN), "%lld holders, not %llu",
          (long long)held, (unsigned long long)holders);
    free(ranks);
}

/* Compares the audit with the naive counts, finding by finding. */
static void ask_audit(struct input *input, const struct scene *scene, const struct box *boxes,
                      const struct muster_roll *const *rolls, bool is_sound)
{
    uint64_t room = take_below(input, 64), found = 0;
    struct muster_finding *findings = exactly(room * sizeof *findings);
    struct muster_audit audit = {.chunks = 12345}, wanted = {.chunks = scene->count}, again;
    int64_t result = muster_audit(rolls, scene->rolls * scene->times, scene->capacity, JOB,
                                  scene->first, scene->count, &audit, findings, room);
    if (!is_sound) {
        HOLDS(result == -EUCLEAN && audit.chunks == 12345, "result %lld", (long long)result);
        free(findings);
        return;
    }
    uint64_t run_first = 0, run_times = 1;
    for (uint64_t at = 0; at <= scene->count; at++) {
        uint64_t times = 0;
        for (uint32_t r = 0; at < scene->count && r < scene->rolls; r++)
            times += boxes[r].counts ? boxes[r].times[at] * (uint64_t)scene->times : 0;
        times = at == scene->count ? 1 : times > 2 ? 2 : times;
        wanted.exactly_once += at < scene->count && times == 1;
        wanted.missing += times == 0;
        wanted.repeated += times == 2;
        if (times == run_times && at < scene->count)
            continue;
        if (run_times != 1) { /* a run of faults ends here */
            if (found < room)
                HOLDS(findings[found].first == scene->first + run_first &&
                          findings[found].end == scene->first + at &&
                          findings[found].repeated == (run_times == 2),
                      "finding %llu", (unsigned long long)found);
            found++;
        }
        run_first = at;
        run_times = times;
    }
    for (uint32_t r = 0; r < scene->rolls; r++)
        wanted.unnamed += boxes[r].counts ? boxes[r].roll->repeats_unlogged * scene->times : 0;
    HOLDS(result == (int64_t)found, "%lld findings, not %llu", (long long)result,
          (unsigned long long)found);
    HOLDS(memcmp(&audit, &wanted, sizeof audit) == 0, "other sums");
    HOLDS(audit.exactly_once + audit.missing + audit.repeated == audit.chunks, "sums");
    result = muster_audit(rolls, scene->rolls * scene->times, scene->capacity, JOB, scene->first,
                          scene->count, &again, NULL, 0);
    HOLDS(result == (int64_t)found && memcmp(&audit, &again, sizeof audit) == 0,
          "another result the second time");
    free(findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t firsts[] = {0, 0, 1, 63, 1ull << 32, MUSTER_CHUNKS_MAX, 1ull << 63};
    struct input input = {data, size};
    struct scene scene = {.rolls = 1 + (uint32_t)take_below(&input, ROLLS_MOST)};
    uint64_t choice = take(&input, 1);
    scene.count = choice < BORDERS ? borders[choice] : choice - BORDERS;
    scene.capacity = scene.count + (choice & 1 ? 0 : take(&input, 1));
    choice = take_below(&input, 8);
    scene.first = choice < 7 ? firsts[choice] : UINT64_MAX - scene.count;
    /* Mostly once; else so often that the audit leaves its room for few rolls. */
    choice = take_below(&input, 32);
    scene.times = choice < 30 ? 1 : choice == 30 ? 2 : 64 / scene.rolls + 1;

    struct box boxes[ROLLS_MOST];
    bool is_sound = true;
    for (uint32_t r = 0; r < scene.rolls; r++) {
        boxes[r] = make_box(&scene);
        fill(&input, &scene, &boxes[r], r);
        bool is_written = take_below(&input, 3) == 1;
        unsigned char *written = NULL;
        if (is_written) {
            commit(&input, &scene, &boxes[r], r);
            written = exactly(scene.count);
            memcpy(written, boxes[r].times, scene.count);
        }
        count_naively(&scene, &boxes[r]);
        HOLDS(!written || (boxes[r].is_sound && boxes[r].counts &&
                           memcmp(written, boxes[r].times, scene.count) == 0),
              "what was committed is not what stands there");
        free(written);
        is_sound = is_sound && (boxes[r].is_sound || !boxes[r].counts);
    }
#ifdef MUSTER_FUZZ_CANARY
    scene.capacity += 100000; /* more than there is room for: the bitmap lies behind the memory */
#endif
    const struct muster_roll **rolls = exactly(scene.rolls * scene.times * sizeof *rolls);
    for (uint32_t r = 0; r < scene.rolls * scene.times; r++)
        rolls[r] = boxes[r % scene.rolls].roll;
    for (uint32_t r = 0; r < scene.rolls; r++)
        ask_roll(&input, &scene, &boxes[r]);
    ask_audit(&input, &scene, boxes, rolls, is_sound);
    ask_ranks(&input, &scene, boxes, rolls, is_sound);
    free(rolls);
    for (uint32_t r = 0; r < scene.rolls; r++)
        free_box(&boxes[r]);
    return 0;
}
