/* words.c - what a rank that has died left to say, in words: what it has touched, and where it was.
 *
 * Another process wrote what the note holds: callers make names printable before they show them,
 * numbers are only printed.
 */
#include <muster/core/check.h>
#include <muster/core/symbol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/state.h"

void muster__launcher_hear(struct muster_launcher *launcher, uint32_t rank)
{
    struct muster__launcher_rank *known = &launcher->ranks[rank];
    struct muster__member_fault taken;
    if (!muster__member_fault_take(&launcher->parts.faults[rank], (uint64_t)known->pid, &taken)) {
        free(known->last);
        known->last = NULL;
        return;
    }
    if (!known->last)
        known->last = malloc(sizeof *known->last);
    if (known->last) /* without memory nobody is told */
        *known->last = taken;
}

static const char *verb_of(const struct muster_fault *note)
{
    switch (note->access) {
    case MUSTER_FAULT_READ:
        return "read";
    case MUSTER_FAULT_WRITE:
        return "wrote";
    case MUSTER_FAULT_EXECUTE:
        return "executed";
    }
    return "touched";
}

/* "element 70000 of array "x", 4464 beyond its chunk 0..<65536" */
static void tell_within(const struct muster__member_fault *fault, char *text, size_t size)
{
    unsigned long long element = fault->element, first = fault->first, end = fault->end;
    int length = snprintf(text, size, "%s %llu of array \"%s\"",
                          fault->element_bytes > 0 ? "element" : "byte", element, fault->array);
    if (length < 0 || (size_t)length >= size || fault->note.stray == MUSTER_STRAY_NONE)
        return;
    text += length;
    size -= (size_t)length;
    if (fault->access == MUSTER_CHECK_UNUSED)
        snprintf(text, size, ", which this loop does not use");
    else if (fault->access == MUSTER_ACCESS_INPUT)
        snprintf(text, size, ", which this loop only reads");
    else if (element < first)
        snprintf(text, size, ", %llu before its chunk %llu..<%llu", first - element, first, end);
    else if (element == end)
        snprintf(text, size, ", right beyond its chunk %llu..<%llu", first, end);
    else if (element > end)
        snprintf(text, size, ", %llu beyond its chunk %llu..<%llu", element - end, first, end);
}

/* What it did to the team's memory; empty: nothing. */
static void tell_deed(const struct muster__member_fault *fault, char *text, size_t size)
{
    const struct muster_fault *note = &fault->note;
    unsigned long long number = fault->element, bytes = fault->distance_bytes;
    char what[192] = "";
    text[0] = '\0';
    if (note->stray == MUSTER_STRAY_CONTROL) {
        bool writes = note->access == MUSTER_FAULT_WRITE;
        snprintf(text, size, "%s%s the memory that the team runs by", verb_of(note),
                 writes ? " to" : "");
        return;
    }
    switch (fault->where) {
    case MUSTER__WITHIN:
        tell_within(fault, what, sizeof what);
        break;
    case MUSTER__PARTIALS:
        snprintf(what, sizeof what, "the partial result of chunk %llu, which is another's", number);
        break;
    case MUSTER__BEYOND:
        if (bytes == 0)
            snprintf(what, sizeof what, "right beyond the end of array \"%s\"", fault->array);
        else
            snprintf(what, sizeof what, "%llu bytes beyond the end of array \"%s\"", bytes,
                     fault->array);
        break;
    case MUSTER__BEFORE:
        snprintf(what, sizeof what, "%llu bytes before the start of array \"%s\"", bytes,
                 fault->array);
        break;
    }
    if (what[0])
        snprintf(text, size, "%s %s", verb_of(note), what);
}

int muster_launcher_last_words(const struct muster_launcher *launcher, uint32_t rank,
                               struct muster_launcher_words *words)
{
    if (rank >= launcher->plan.size)
        return -EINVAL;
    const struct muster__member_fault *fault = launcher->ranks[rank].last;
    if (!fault)
        return 0;
    const struct muster_fault *note = &fault->note;
    bool accesses = note->signal == 11 || note->signal == 7; /* SIGSEGV, SIGBUS */
    *words = (struct muster_launcher_words){
        .pid = (int32_t)note->pid,
        .signal = note->signal,
        .stray = note->stray,
        .status = note->stray == MUSTER_STRAY_UNCHECKED ? -(int32_t)note->bytes : 0,
        .has_address = accesses && note->code > 0,
        .is_overflow = note->is_overflow,
        .address = note->address,
        .chunk = note->chunk,
        .first = note->first,
        .end = note->end,
        .found_bytes = note->stray == MUSTER_STRAY_COMPARED ? note->bytes : 0,
        .kind = muster_fault_kind(note)};
    memcpy(words->loop, fault->loop, sizeof words->loop);
    tell_deed(fault, words->deed, sizeof words->deed);
    (void)muster_fault_place(note, words->place, sizeof words->place);
    memcpy(words->said, note->line, sizeof words->said);
    return 1;
}
