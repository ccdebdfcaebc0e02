/* fuzz_member.c - memory that members and their launcher share, with anything in it.
 *
 * What must hold: a segment is accepted only where its length is what its size and capacity say,
 * and then every part lies within it; the launcher reads any notes without a wrong access, and
 * gives names that end; a member whose rolls, slots, counters and notes others have scribbled over
 * gets through every call with a documented status, and no chunk outside the loop.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include "launcher/state.h"

#include <unistd.h>

static void check_attach(struct input *input)
{
    struct muster__member_plan plan;
    uint32_t size = 1 + (uint32_t)take_below(input, 4);
    uint64_t capacity = 1ull << (20 + take_below(input, 3));
    HOLDS(muster__member_plan(size, capacity, &plan) == 0, "size %u", size);
    struct muster_segment made, found = {.fd = -7};
    int64_t more = (int64_t)take_below(input, 3) - 1; /* pages too many or too few */
    uint64_t bytes = plan.total_bytes + (uint64_t)(more * 4096);
    HOLDS(muster_segment_create("muster-fuzz", MUSTER_SEGMENT_MEMBERS, bytes, &made) == 0, "made");
    struct muster__member_parts parts;
    muster__member_parts(&plan, made.address, &parts);
    parts.block->size = size;
    parts.block->roll_capacity = capacity;
    for (uint64_t changes = take_below(input, 3); changes > 0; changes--) {
        unsigned char *words = (unsigned char *)parts.block;
        words[take_below(input, 24)] ^= (unsigned char)take(input, 1);
    }
    int status = muster__member_attach(made.fd, &found, &plan, &parts);
    HOLDS(status == 0 || status == -EUCLEAN, "status %d", status);
    if (status == 0) {
        HOLDS(plan.size == parts.block->size && plan.total_bytes == bytes, "another plan");
#ifdef MUSTER_FUZZ_CANARY
        HOLDS(plan.size != 3, "believes that no team has three ranks");
#endif
        unsigned char *end = parts.rolls + plan.size * plan.roll_bytes;
        HOLDS(end == found.address + bytes, "parts beyond the segment");
        end[-1] = 1; /* there is memory there */
        muster_segment_destroy(&found);
    } else {
        HOLDS(found.fd == -7, "an output is set");
    }
    muster_segment_destroy(&made);
}

static void check_notes(struct input *input)
{
    struct muster_launcher launcher = {.plan = {.size = 2}};
    struct muster__notes *notes = exactly(2 * sizeof *notes);
    launcher.parts.notes = notes;
    for (uint32_t rank = 0; rank < 2; rank++) {
        notes[rank].used = take_below(input, MUSTER__NOTES + 2);
        if (take_below(input, 2))
            notes[rank].open = 1;
        notes[rank].open_loop.number = take_below(input, 3);
        memset(notes[rank].open_loop.name, 'a' + (int)take_below(input, 3), 3);
        for (uint64_t i = 0; i < 8; i++) { /* the first, and the last, about those for others */
            uint64_t index = i < 4 ? i : MUSTER__NOTES_FIRST + i - 4;
            struct muster__note *note = &notes[rank].notes[index];
            if (index >= notes[rank].used)
                break;
            note->changes = take_below(input, 4);
            note->counts[note->changes % 2].report.loops = take_below(input, 3);
            note->counts[note->changes % 2].report.interrupted = take_below(input, 3);
            note->counts[note->changes % 2].last_number = take_below(input, 3);
            memset(note->name, 'a' + (int)take_below(input, 3), take_below(input, 2) ? 64 : 3);
        }
        ((unsigned char *)&notes[rank])[take_below(input, sizeof *notes)] =
            (unsigned char)take(input, 1);
    }
    struct muster_launcher_audit audit;
    for (uint32_t index = 0; index <= 2 * MUSTER__NOTES; index++) {
        int status = muster_launcher_audited(&launcher, index, &audit);
        HOLDS(status == 1 || status == 0 || status == -EUCLEAN, "status %d", status);
        if (status != 1)
            break;
        HOLDS(memchr(audit.name, 0, sizeof audit.name), "a name without an end");
        HOLDS(index < 2 * MUSTER__NOTES, "more names than notes");
    }
    for (uint32_t rank = 0; rank < 2; rank++) {
        char name[MUSTER_NAME_BYTES];
        int status = muster_launcher_unended(&launcher, rank, name);
        HOLDS(status == 1 || status == 0 || status == -EUCLEAN, "status %d", status);
        HOLDS(status != 1 || memchr(name, 0, sizeof name), "a name without an end");
    }
    free(notes);
}

/* A stray store of another rank, somewhere where this one reads. */
static void scribble(struct muster_member *me, struct input *input)
{
    struct {
        void *start;
        uint64_t bytes;
    } parts[] = {{me->parts.slots, sizeof(struct muster_slot)},
                 {me->parts.rolls, 8192},
                 {me->parts.notes, sizeof(struct muster__notes)},
                 {&me->parts.block->counter, 8},
                 {&me->parts.block->list_counter, 8},
                 {me->parts.mail, 64}};
    for (uint64_t stores = take_below(input, 4); stores > 0; stores--) {
        uint64_t part = take_below(input, sizeof parts / sizeof *parts);
        unsigned char *at = parts[part].start;
        at += take_below(input, parts[part].bytes / 8) * 8;
        uint64_t value = take_below(input, 2) ? take(input, 8) : take_below(input, 70);
        memcpy(at, &value, 8);
    }
}

static void check_calls(struct input *input)
{
    struct muster_member *me;
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    int status = muster_join(&me);
    HOLDS(status == 0, "status %d", status);
    for (int round = 0; round < 3; round++) {
        struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                     .schedule = (uint32_t)take_below(input, 5),
                                                     .elements = take_below(input, 300),
                                                     .grain = 1 + take_below(input, 4),
                                                     .partial_bytes = take_below(input, 2) ? 8 : 0,
                                                     .flags = (uint32_t)take_below(input, 2)};
        status = muster_member_loop_begin(me, &options, &loop);
        HOLDS(status == 0, "status %d", status);
        scribble(me, input);
        for (int calls = 0; calls < 1000; calls++) {
            status = muster_member_loop_next(loop, &chunk);
            if (status <= 0)
                break;
            HOLDS(chunk.index < muster_member_loop_chunks(loop) && chunk.first < chunk.end &&
                      chunk.end <= options.elements,
                  "chunk %llu of %llu", (unsigned long long)chunk.index,
                  (unsigned long long)muster_member_loop_chunks(loop));
            if (options.partial_bytes)
                memset(muster_member_loop_partial(loop, &chunk), 1, 8);
            muster_member_loop_commit(loop, &chunk);
            if (take_below(input, 8) == 1)
                scribble(me, input);
        }
        HOLDS(status >= 0 || status == -EUCLEAN, "status %d", status);
        struct muster_report report = {.size_bytes = sizeof report};
        status = muster_member_loop_end(loop, &report);
        HOLDS(status == 0 || status == -EBADMSG || status == -EUCLEAN, "status %d", status);
        double sum = 0;
        (void)muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, &sum);
        uint64_t value = 1;
        scribble(me, input);
        status = muster_member_all_reduce(me, &value, 1, MUSTER_TYPE_U64, MUSTER_OP_SUM);
        HOLDS(status == 0, "status %d", status);
    }
    HOLDS(muster_leave(me) == 0, "left");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    switch (take_below(&input, 3)) {
    case 0:
        check_attach(&input);
        break;
    case 1:
        check_notes(&input);
        break;
    default:
        check_calls(&input);
    }
    return 0;
}
