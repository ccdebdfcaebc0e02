/* member_notes.c - what a rank notes of each audit, and how the launcher reads the notes.
 *
 * Every rank that comes through an audit notes it, under the loop's name, in notes of its own. So a
 * rank that is killed between an audit and its note takes nothing with it: the launcher goes by the
 * notes of the rank that has seen most loops of a name. A note has two sets of counts: the one that
 * does not hold is written, then `changes` is raised (release), which makes it the one that does.
 *
 * A loop that a death has ended is noted too. One rank may have audited it all the same; loops that
 * were interrupted in all are those that some rank has ended, one way or the other, and none has
 * audited. Ranks still commit while others note how much there is: who comes last sees all of it.
 *
 * A loop that its program forgets to end is never audited, and nobody is told: so a rank also notes
 * what loop it is in, and the launcher finds that at the end.
 */
#include <stdio.h>
#include <string.h>

#include "member_state.h"

static struct muster__note *find(struct muster__notes *notes, const char *name)
{
    uint64_t used = __atomic_load_n(&notes->used, __ATOMIC_RELAXED);
    if (used > MUSTER__NOTES)
        return NULL; /* somebody else has written there */
    for (uint64_t i = 0; i < used; i++)
        if (strncmp(notes->notes[i].name, name, MUSTER_NAME_BYTES) == 0)
            return &notes->notes[i];
    if (used == MUSTER__NOTES)
        return &notes->notes[MUSTER__NOTES - 1];
    struct muster__note *note = &notes->notes[used];
    memset(note, 0, sizeof *note);
    snprintf(note->name, sizeof note->name, "%s", used == MUSTER__NOTES - 1 ? "other loops" : name);
    /* Release: the name before the count that shows it. */
    __atomic_store_n(&notes->used, used + 1, __ATOMIC_RELEASE);
    return note;
}

void muster__note_begun(struct muster_member *me)
{
    struct muster__notes *notes = &me->parts.notes[me->rank];
    muster__note_over(me);
    snprintf(notes->open_name, sizeof notes->open_name, "%s", me->loop_name);
    __atomic_store_n(&notes->open, 1, __ATOMIC_RELEASE); /* the name first */
}

void muster__note_over(struct muster_member *me)
{
    __atomic_store_n(&me->parts.notes[me->rank].open, 0, __ATOMIC_RELEASE);
}

static struct muster__counts counts_of(const struct muster__note *note)
{
    return note->counts[__atomic_load_n(&note->changes, __ATOMIC_RELAXED) % 2];
}

static void put(struct muster__note *note, const struct muster__counts *counts)
{
    uint64_t changes = __atomic_load_n(&note->changes, __ATOMIC_RELAXED);
    note->counts[(changes + 1) % 2] = *counts;
    __atomic_store_n(&note->changes, changes + 1, __ATOMIC_RELEASE);
}

void muster__note_audit(struct muster_member *me, const struct muster_member_report *report)
{
    struct muster__note *note = find(&me->parts.notes[me->rank], me->loop_name);
    if (!note)
        return;
    struct muster__counts counts = counts_of(note);
    bool failed = report->exactly_once != report->chunks;
    if (failed && counts.failed == 0) {
        counts.first_finding = report->first_finding;
        memcpy(counts.first_finding_ranks, report->first_finding_ranks,
               sizeof counts.first_finding_ranks);
    }
    counts.loops++;
    counts.failed += failed;
    counts.chunks += report->chunks;
    counts.exactly_once += report->exactly_once;
    counts.missing += report->missing;
    counts.repeated += report->repeated;
    counts.adopted += report->adopted;
    counts.deaths += report->deaths;
    put(note, &counts);
}

void muster__note_interruption(struct muster_member *me)
{
    struct muster__note *note = find(&me->parts.notes[me->rank], me->loop_name);
    if (!note)
        return;
    struct muster__counts counts = counts_of(note);
    counts.interrupted++;
    counts.interrupted_chunks = me->loop.chunks;
    counts.interrupted_committed = 0;
    counts.interrupted_by = UINT32_MAX;
    for (uint32_t rank = 0; rank < me->size; rank++) {
        counts.interrupted_committed +=
            muster_roll_progress(me->rolls[rank], me->plan.roll_capacity, me->loop_number);
        uint64_t lost = __atomic_load_n(&me->parts.posts[rank].lost, __ATOMIC_SEQ_CST);
        if (lost > me->generation && counts.interrupted_by == UINT32_MAX)
            counts.interrupted_by = rank;
    }
    put(note, &counts);
}
