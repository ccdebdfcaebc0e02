/* notes.c - what a rank notes of each audit, and how the launcher reads the notes.
 *
 * Every rank that comes through an audit notes it, under the loop's name, in notes of its own. So a
 * rank that is killed between an audit and its note takes nothing with it: the launcher goes by the
 * notes of the rank that has seen most loops of a name. A loop that its program forgets to end is
 * never audited, and nobody is told: so a rank also notes what loop it is in, and the launcher
 * finds that at the end, unless a rank that went on without it has audited that very loop.
 *
 * A loop that a death has ended is noted too: by each survivor, and by the launcher for the dead,
 * since survivors may be ended before they learn of it. One rank may have audited it all the same;
 * loops that were interrupted in all are those that some rank has ended, one way or the other, and
 * none has audited. Ranks still commit while others note how much there is: the rank that comes
 * last sees all of it.
 *
 * Order. The launcher reads while ranks write, and nobody waits: what a word guards is read again
 * where the word has changed meanwhile (a seqlock; Boehm, "Can seqlocks get along with programming
 * language memory models?", 2012). `changes` guards a note's sets of counts: set changes % 2 holds.
 *
 *     rank                                   launcher
 *     (1) release fence                      (5) load changes, acquire
 *     (2) store the other set, relaxed       (6) load its set, relaxed
 *     (3) store changes + 1, release         (7) acquire fence
 *                                            (8) load changes, relaxed: the same, or again
 *
 * (3) with (5): a process that reads a value of `changes` finds its set whole. A set is written
 * over no earlier than one change later, so behind a (3) that stored another value. (1) with (7):
 * should (6) have seen a word of that later (2), then (8) sees the (3) before it, which is another
 * value. Without (1) the first words of the next set could be seen before the value that makes them
 * the other set; without (7) the check could come before what it checks. `open` guards the open
 * loop's name alike, its even values standing for (3)'s: none is open, and the name may change.
 */
#include <stdio.h>
#include <string.h>

#include "member/state.h"

/* Times that a note is read before it makes no sense. A rank writes one once a loop, a loop takes
 * several meetings, and a copy takes less than one. */
#define LOOKS_MOST 100000u

/* The name of the note that names without one of their own share. */
#define OTHERS "other loops"

/* Shared words of all types. */
typedef uint64_t word __attribute__((may_alias));

_Static_assert(sizeof(struct muster__counts) % sizeof(word) == 0, "copied by words");
_Static_assert(sizeof(struct muster__open_loop) % sizeof(word) == 0, "copied by words");

static void store_words(void *to, const void *from, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes / sizeof(word); i++)
        __atomic_store_n((word *)to + i, ((const word *)from)[i], __ATOMIC_RELAXED);
}

static void load_words(void *to, const void *from, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes / sizeof(word); i++)
        ((word *)to)[i] = __atomic_load_n((const word *)from + i, __ATOMIC_RELAXED);
}

/* -- writing -------------------------------------------------------------------------------- */

static struct muster__note *add(struct muster__notes *notes, uint64_t used, const char *name)
{
    struct muster__note *note = &notes->notes[used];
    memset(note, 0, sizeof *note);
    snprintf(note->name, sizeof note->name, "%s", name);
    /* Release: the name before the count that shows it. It does not change again. */
    __atomic_store_n(&notes->used, used + 1, __ATOMIC_RELEASE);
    return note;
}

static struct muster__note *named(struct muster__notes *notes, uint64_t used, const char *name)
{
    for (uint64_t i = 0; i < used; i++)
        if (strncmp(notes->notes[i].name, name, MUSTER_NAME_BYTES) == 0)
            return &notes->notes[i];
    return NULL;
}

/* The note for a name. is_bad: of a loop that failed or was interrupted. */
static struct muster__note *find(struct muster__notes *notes, const char *name, bool is_bad)
{
    uint64_t used = __atomic_load_n(&notes->used, __ATOMIC_RELAXED);
    if (used > MUSTER__NOTES)
        return NULL; /* somebody else has written there */
    struct muster__note *note = named(notes, used, name);
    if (note)
        return note;
    if (used < MUSTER__NOTES_FIRST)
        return add(notes, used, name);
    note = named(notes, used, OTHERS);
    if (!note && used < MUSTER__NOTES)
        note = add(notes, used++, OTHERS);
    return is_bad && used < MUSTER__NOTES ? add(notes, used, name) : note;
}

void muster__note_begun(struct muster_member *me)
{
    struct muster__notes *notes = &me->parts.notes[me->rank];
    struct muster__open_loop loop = {.number = me->loop_number, .chunks = me->loop.chunks};
    snprintf(loop.name, sizeof loop.name, "%s", me->loop_name);
    muster__note_over(me);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    store_words(&notes->open_loop, &loop, sizeof loop);
    uint64_t open = __atomic_load_n(&notes->open, __ATOMIC_RELAXED);
    __atomic_store_n(&notes->open, open + 1, __ATOMIC_RELEASE);
}

static void note_over(struct muster__notes *notes)
{
    uint64_t open = __atomic_load_n(&notes->open, __ATOMIC_RELAXED);
    if (open % 2 != 0)
        __atomic_store_n(&notes->open, open + 1, __ATOMIC_RELEASE);
}

void muster__note_over(struct muster_member *me)
{
    note_over(&me->parts.notes[me->rank]);
}

static struct muster__counts counts_of(const struct muster__note *note)
{
    return note->counts[__atomic_load_n(&note->changes, __ATOMIC_RELAXED) % 2];
}

static void put(struct muster__note *note, const struct muster__counts *counts)
{
    uint64_t changes = __atomic_load_n(&note->changes, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    store_words(&note->counts[(changes + 1) % 2], counts, sizeof *counts);
    __atomic_store_n(&note->changes, changes + 1, __ATOMIC_RELEASE);
}

void muster__note_audit(struct muster_member *me, const struct muster_report *report)
{
    struct muster__note *note = find(&me->parts.notes[me->rank], me->loop_name, report->failed > 0);
    if (!note)
        return;
    struct muster__counts counts = counts_of(note);
    (void)muster_report_add(&counts.report, report);
    counts.report.own = 0; /* the launcher goes by the notes of any rank */
    counts.last_number = me->loop_number;
    put(note, &counts);
}

/* Notes an interruption of a loop. by: the rank that was gone; UINT32_MAX: not known. */
static void note_interruption(struct muster__note *note, const struct muster__member_parts *parts,
                              const struct muster__member_plan *plan, uint64_t number,
                              uint64_t chunks, uint32_t by)
{
    struct muster__counts counts = counts_of(note);
    struct muster_report ended = {MUSTER__REPORT_OF_NOTHING, .interrupted = 1,
                                  .interrupted_chunks = chunks};
    ended.interrupted_by = by;
    counts.interrupted_number = number;
    for (uint32_t rank = 0; rank < plan->size; rank++) {
        const void *roll = parts->rolls + rank * plan->roll_bytes;
        ended.interrupted_committed += muster_roll_progress(roll, plan->roll_capacity, number);
    }
    (void)muster_report_add(&counts.report, &ended);
    put(note, &counts);
}

void muster__note_interruption(struct muster_member *me)
{
    struct muster__note *note = find(&me->parts.notes[me->rank], me->loop_name, true);
    if (!note)
        return;
    uint32_t by = UINT32_MAX;
    for (uint32_t rank = me->size; rank-- > 0;)
        if (__atomic_load_n(&me->parts.posts[rank].lost, __ATOMIC_SEQ_CST) > me->generation)
            by = rank;
    note_interruption(note, &me->parts, &me->plan, me->loop_number, me->loop.chunks, by);
}

void muster__note_lost(const struct muster__member_parts *parts,
                       const struct muster__member_plan *plan, uint32_t rank, uint64_t *number,
                       uint32_t *by)
{
    struct muster__notes *notes = &parts->notes[rank];
    struct muster__open_loop loop;
    if (muster__noted_open(notes, &loop) != 1)
        return;
    if (loop.number != *number) {
        *number = loop.number;
        *by = rank;
    }
    struct muster__note *note = find(notes, loop.name, true);
    /* Killed after it had noted the end, and before it said that the loop is over. */
    struct muster__counts counts = note ? counts_of(note) : (struct muster__counts){0};
    bool is_noted = (counts.report.loops > 0 && counts.last_number >= loop.number) ||
                    (counts.report.interrupted > 0 && counts.interrupted_number == loop.number);
    if (note && !is_noted)
        note_interruption(note, parts, plan, *number, loop.chunks, *by);
    note_over(notes);
}

/* -- reading -------------------------------------------------------------------------------- */

/* Copies what a word guards, of which there are `sets`, as it was at one moment. Returns: 0, with
 * the word's value; -EUCLEAN: it does not come to rest. */
static int load_guarded(const uint64_t *guard, const void *shared, size_t size_bytes, uint32_t sets,
                        void *copy, uint64_t *value)
{
    for (uint32_t look = 0; look < LOOKS_MOST; look++) {
        *value = __atomic_load_n(guard, __ATOMIC_ACQUIRE);
        load_words(copy, (const unsigned char *)shared + *value % sets * size_bytes, size_bytes);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(guard, __ATOMIC_RELAXED) == *value)
            return 0;
    }
    return -EUCLEAN;
}

/* Whether counts can be such: readers add them up, as signed numbers too. */
static bool is_sound(const struct muster_report *report)
{
    const uint64_t all[] = {report->loops,
                            report->failed,
                            report->chunks,
                            report->exactly_once,
                            report->missing,
                            report->repeated,
                            report->redone,
                            report->adopted,
                            report->own,
                            report->elements,
                            report->grain,
                            report->first_finding.first,
                            report->first_finding.end,
                            report->interrupted,
                            report->interrupted_chunks,
                            report->interrupted_committed,
                            report->death_count,
                            report->finding_count,
                            report->quarantined_count,
                            report->vacant_count};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] > MUSTER__COUNT_MOST)
            return false;
    return true;
}

/* Returns: 1; 0: the rank has no such note; -EUCLEAN. */
static int read_note(const struct muster__notes *notes, uint64_t index, struct muster__noted *noted)
{
    uint64_t used = __atomic_load_n(&notes->used, __ATOMIC_ACQUIRE);
    if (used > MUSTER__NOTES)
        return -EUCLEAN;
    if (index >= used)
        return 0;
    const struct muster__note *note = &notes->notes[index];
    memcpy(noted->name, note->name, sizeof noted->name);
    uint64_t changes;
    int status = load_guarded(&note->changes, note->counts, sizeof *note->counts, 2, &noted->counts,
                              &changes);
    struct muster_report *report = &noted->counts.report;
    if (status < 0 || !memchr(noted->name, 0, sizeof noted->name) || !is_sound(report))
        return -EUCLEAN;
    /* Addresses that another process wrote mean nothing here. */
    report->findings = NULL;
    report->deaths = NULL;
    report->quarantined = NULL;
    report->vacant = NULL;
    report->text = NULL;
    return 1;
}

/* Reads a rank's note of a name. hint: its index in another rank, and so mostly in this one: ranks
 * meet names in the same order. Returns: as read_note. */
static int look_up(const struct muster__notes *notes, const char *name, uint64_t hint,
                   struct muster__noted *noted)
{
    uint64_t used = __atomic_load_n(&notes->used, __ATOMIC_ACQUIRE);
    if (used > MUSTER__NOTES)
        return -EUCLEAN;
    for (uint64_t i = 0; i < used; i++) {
        uint64_t index = (hint + i) % used;
        if (strncmp(notes->notes[index].name, name, MUSTER_NAME_BYTES) == 0)
            return read_note(notes, index, noted);
    }
    return 0;
}

/* Whether a rank has noted an end of a loop. Else it was killed before it could count the first. */
static bool is_end(const struct muster__counts *counts)
{
    return counts->report.loops > 0 || counts->report.interrupted > 0;
}

/* Whether a rank before this one has noted an end of this name. Returns: 1, 0, or -EUCLEAN. */
static int named_before(const struct muster__notes *notes, const char *name, uint32_t rank,
                        uint64_t hint)
{
    struct muster__noted noted;
    for (uint32_t before = 0; before < rank; before++) {
        int status = look_up(&notes[before], name, hint, &noted);
        if (status < 0 || (status > 0 && is_end(&noted.counts)))
            return status;
    }
    return 0;
}

/* Whether counts say more of the last interruption than others do. audited: number of the last loop
 * that some rank has audited, so it was none, though another rank was killed before it knew. */
static bool says_more(const struct muster__counts *counts, const struct muster__counts *others,
                      uint64_t audited)
{
    bool is_one = counts->report.interrupted > 0 && counts->interrupted_number != audited;
    bool other_is_one = others->report.interrupted > 0 && others->interrupted_number != audited;
    if (is_one != other_is_one)
        return is_one;
    if (counts->interrupted_number != others->interrupted_number)
        return counts->interrupted_number > others->interrupted_number;
    return counts->report.interrupted_committed > others->report.interrupted_committed;
}

/* What all ranks have noted of a name. Returns: 0 or -EUCLEAN. */
static int sum_up(const struct muster__notes *notes, uint32_t size, const char *name, uint64_t hint,
                  struct muster_report *all)
{
    struct muster__noted noted;
    struct muster__counts fullest = {0}, broken = {0};
    uint64_t ended = 0, audited = 0;
    for (uint32_t rank = 0; rank < size; rank++) {
        int status = look_up(&notes[rank], name, hint, &noted);
        if (status < 0)
            return status;
        if (status == 0)
            continue;
        const struct muster_report *report = &noted.counts.report;
        if (report->loops > fullest.report.loops)
            fullest = noted.counts;
        if (report->loops + report->interrupted > ended)
            ended = report->loops + report->interrupted;
        if (report->loops > 0 && noted.counts.last_number > audited)
            audited = noted.counts.last_number;
    }
    for (uint32_t rank = 0; rank < size && ended > fullest.report.loops; rank++) {
        int status = look_up(&notes[rank], name, hint, &noted);
        if (status < 0)
            return status;
        if (status > 0 && says_more(&noted.counts, &broken, audited))
            broken = noted.counts;
    }
    bool is_broken = ended > fullest.report.loops;
    *all = fullest.report;
    all->size_bytes = sizeof *all;
    all->size = size;
    all->interrupted = is_broken ? ended - fullest.report.loops : 0;
    all->interrupted_chunks = is_broken ? broken.report.interrupted_chunks : 0;
    all->interrupted_committed = is_broken ? broken.report.interrupted_committed : 0;
    all->interrupted_by = is_broken ? broken.report.interrupted_by : UINT32_MAX;
    all->clean = all->failed == 0 && !is_broken;
    return 0;
}

int muster__noted(const struct muster__notes *notes, uint32_t size, uint32_t index,
                  struct muster__noted *noted)
{
    uint32_t found = 0;
    for (uint32_t rank = 0; rank < size; rank++) {
        int status = 1;
        for (uint64_t i = 0; status > 0; i++) {
            status = read_note(&notes[rank], i, noted);
            if (status <= 0 || !is_end(&noted->counts))
                continue;
            int before = named_before(notes, noted->name, rank, i);
            if (before < 0)
                return before;
            if (before > 0 || found++ != index)
                continue;
            status = sum_up(notes, size, noted->name, i, &noted->counts.report);
            return status < 0 ? status : 1;
        }
        if (status < 0)
            return status;
    }
    return 0;
}

int muster__noted_open(const struct muster__notes *notes, struct muster__open_loop *loop)
{
    struct muster__open_loop copy;
    uint64_t open;
    int status = load_guarded(&notes->open, &notes->open_loop, sizeof copy, 1, &copy, &open);
    if (status < 0)
        return status;
    if (open % 2 == 0)
        return 0;
    if (!memchr(copy.name, 0, sizeof copy.name))
        return -EUCLEAN;
    *loop = copy;
    return 1;
}

int muster__noted_audited(const struct muster__notes *notes, uint32_t size,
                          const struct muster__open_loop *loop)
{
    struct muster__noted noted;
    for (uint32_t rank = 0; rank < size; rank++) {
        int status = look_up(&notes[rank], loop->name, 0, &noted);
        if (status == 0) /* a rank that counts a later loop there is through with this one */
            status = look_up(&notes[rank], OTHERS, MUSTER__NOTES_FIRST, &noted);
        if (status < 0)
            return status;
        if (status > 0 && noted.counts.report.loops > 0 && noted.counts.last_number >= loop->number)
            return 1;
    }
    return 0;
}
