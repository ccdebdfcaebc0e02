/* loop.c - verified loops of members: dealing, adopting what the dead have left, the audit.
 *
 * Dealing is that of loop/claim.c. A loop's number is made of generation and meeting, so it is the
 * same in all ranks, and what an earlier loop left in a roll is never taken for this one's. Shared
 * words (counter, claim words) are reset before the meeting in muster_member_loop_begin and used
 * after it; rolls are emptied after it, since before it others may still audit the last loop.
 * Adopting is told in member/adopt.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/check.h"
#include "member/state.h"

/* What callers of an earlier version give: no arrays. */
#define OPTIONS_LEAST offsetof(struct muster_member_loop_options, uses)

/* Copies a loop's options. Returns: whether they can be. */
static bool read_options(const struct muster_member *me,
                         const struct muster_member_loop_options *given,
                         struct muster_member_loop_options *options)
{
    memset(options, 0, sizeof *options);
    if (!given || (given->size_bytes != sizeof *options && given->size_bytes != OPTIONS_LEAST))
        return false;
    memcpy(options, given, given->size_bytes);
    bool can_be = !me->loop_open && options->schedule <= MUSTER_SCHEDULE_STATIC_STEAL &&
                  options->partial_bytes <= MUSTER_PARTIAL_BYTES_MAX &&
                  (options->flags & ~(uint32_t)MUSTER_LOOP_ADOPT) == 0 &&
                  options->batch <= MUSTER_CHUNKS_MAX && options->grain <= UINT64_MAX / 2 &&
                  options->elements <= UINT64_MAX / 2 &&
                  (!options->name || muster__is_name(options->name)) &&
                  muster__uses_can_be(me, options);
    return can_be;
}

/* The two sides of one address: what a caller holds, and all of it. */
static struct muster_member_loop *public_of(struct muster_member *me)
{
    return (struct muster_member_loop *)&me->loop.loop.cursor;
}

static struct muster__member_loop *private_of(struct muster_member_loop *loop)
{
    return (struct muster__member_loop *)loop;
}

static const struct muster__member_loop *known(const struct muster_member_loop *loop)
{
    return (const struct muster__member_loop *)loop;
}

static const char *name_of(const struct muster_member_loop_options *options)
{
    return options->name ? options->name : "loop";
}

/* Everything by which one loop differs from another, but for its count and grain. */
static uint64_t kind_of(const struct muster_member *me,
                        const struct muster_member_loop_options *options)
{
    uint64_t how = muster__call(MUSTER__CALL_LOOP_BEGIN, options->schedule, options->batch,
                                (uint64_t)options->flags << 32 | options->partial_bytes);
    return muster__hash_uses(me, options, muster__hash_text(how, name_of(options)));
}

/* Room for partial results: a hidden array, kept for later loops of up to this size. */
static int partials(struct muster_member *me, uint64_t bytes, unsigned char **address)
{
    uint64_t room = 1u << 16;
    while (room < bytes)
        room *= 2;
    char name[MUSTER_NAME_BYTES];
    snprintf(name, sizeof name, "\001partials %llu", (unsigned long long)room);
    void *found = NULL;
    int status = muster__member_array(me, name, room, &found);
    *address = found;
    return status;
}

static void set_up(struct muster_member *me, const struct muster_member_loop_options *options,
                   uint64_t grain, uint64_t chunks, unsigned char *partials)
{
    struct muster__member_loop *made = &me->loop;
    memset(made, 0, sizeof *made);
    struct muster_loop *loop = &made->loop;
    loop->job = me->loop_number;
    loop->cancelled = &me->never;
    loop->cursor.grain = grain;
    loop->cursor.elements = options->elements;
    loop->cursor.partials = partials;
    loop->cursor.partial_bytes = options->partial_bytes;
    loop->rank = me->live_index; /* chunks are dealt to those that are there */
    loop->size = me->live_count;
    loop->cursor.slow_path = muster__points_armed;
    loop->schedule = options->schedule;
    loop->count = chunks;
    loop->batch = options->batch ? options->batch : 1;
    loop->position = muster_schedule_start(options->schedule, loop->rank, loop->batch);
    loop->block = muster_schedule_block(chunks, loop->size, loop->rank);
    loop->redoing = UINT64_MAX;
    loop->counter = &me->parts.block->counter;
    loop->slots = me->parts.slots;
    loop->slot = &me->parts.slots[loop->rank];
    loop->cursor.breaks = &me->parts.block->breaks;
    loop->cursor.watched = me->generation;
    made->member = me;
    made->chunks = chunks;
    me->loop_open = true;
    me->loop_whole = me->loop_through = false;
    me->loop_adopts = (options->flags & MUSTER_LOOP_ADOPT) != 0;
    me->loop_status = 0;
    me->loop_deaths = me->loop_adopted = 0;
    me->hole_count = 0;
    snprintf(me->loop_name, sizeof me->loop_name, "%s", name_of(options));
}

int muster_member_loop_begin(struct muster_member *me,
                             const struct muster_member_loop_options *given,
                             struct muster_member_loop **loop)
{
    struct muster_member_loop_options read;
    const struct muster_member_loop_options *options = &read;
    if (!read_options(me, given, &read))
        return muster__meet_refusing(me, -EINVAL);
    if (muster_member_loop_advice(me, options, NULL, 0) != 0)
        return muster__meet_refusing(me, -ERANGE);
    uint64_t grain = muster_schedule_grain_of_rows(
        options->elements, options->grain, options->partial_bytes, muster__index_bytes(options));
    uint64_t chunks = muster_schedule_chunks(options->elements, grain);
    if (chunks > me->plan.roll_capacity)
        return muster__meet_refusing(me, -E2BIG);
    /* Survivors may be in a loop still that deals by the words below. */
    int ready = muster__ready(me);
    if (ready < 0)
        return ready;
    unsigned char *room = NULL;
    if (options->partial_bytes > 0) {
        int status = partials(me, chunks * options->partial_bytes, &room);
        if (status < 0)
            return status;
    }
    /* Dynamic loops fill the word themselves, by portions: it begins empty. */
    struct muster_interval block = {0, 0};
    if (options->schedule == MUSTER_SCHEDULE_STATIC_STEAL)
        block = muster_schedule_block(chunks, me->live_count, me->live_index);
    __atomic_store_n(&me->parts.slots[me->live_index].claim, muster_schedule_pack(block),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&me->parts.block->counter, 0, __ATOMIC_RELAXED);
    me->loop_number = me->generation << 40 ^ muster__next_meeting(me);
    int status = muster__meet(
        me, muster__call(MUSTER__CALL_LOOP_BEGIN, options->elements, grain, kind_of(me, options)));
    if (status < 0)
        return status;
    set_up(me, options, grain, chunks, room);
    struct muster_roll *roll =
        (struct muster_roll *)(me->parts.rolls + me->rank * me->plan.roll_bytes);
    muster_roll_begin(&me->loop.loop.roll, roll, me->plan.roll_capacity, me->loop_number, me->rank,
                      0, chunks);
    muster__cursor_follow(&me->loop.loop);
    muster__timeline_begun(me);
    muster__note_begun(me);
    muster__member_listen(me);
    muster__member_check(me, options);
    *loop = public_of(me);
    return 0;
}

/* -- handing out ---------------------------------------------------------------------------- */

uint64_t muster_member_loop_chunks(const struct muster_member_loop *loop)
{
    return known(loop)->chunks;
}

int muster_member_loop_claim(struct muster_member_loop *seen, struct muster_chunk *chunk)
{
    struct muster__member_loop *made = private_of(seen);
    struct muster_member *me = made->member;
    struct muster_loop *loop = &made->loop;
    if (!me->loop_open || muster__is_copy(me))
        return me->loop_open ? -EPERM : -EINVAL;
    muster__check_leave(loop->check); /* of a chunk that was not committed */
    uint64_t breaks = __atomic_load_n(loop->cursor.breaks, __ATOMIC_ACQUIRE);
    if (breaks != loop->cursor.watched) {
        if (!me->loop_adopts)
            me->loop_status = -EOWNERDEAD;
        loop->cursor.watched = breaks;
    }
    int status = me->loop_status < 0 ? me->loop_status : 1;
    if (status == 1 && loop->cursor.next == loop->cursor.end && !muster_loop_claim(loop))
        status = me->loop_adopts ? muster__loop_adopt(me) : 0;
    /* Claim words are shared: what came out of one may be anybody's. */
    if (status == 1 && (loop->cursor.next >= loop->cursor.end || loop->cursor.end > made->chunks))
        status = me->loop_adopts ? muster__loop_give_up(me, -EUCLEAN) : -EUCLEAN;
    if (status <= 0) {
        if (status < 0)
            me->loop_status = status;
        loop->cursor.next = loop->cursor.end = 0; /* every further call comes here */
        return status;
    }
    muster_cursor_hand_out(&loop->cursor, chunk);
    if (loop->schedule == MUSTER_SCHEDULE_LISTED)
        made->adopted++;
    if (__builtin_expect(loop->cursor.slow_path, 0))
        muster_loop_trace(loop, MUSTER_PHASE_KERNEL, chunk->index);
    return 1;
}

int muster_member_loop_next_call(struct muster_member_loop *loop, struct muster_chunk *chunk)
{
    return muster_member_loop_next(loop, chunk);
}

void muster_member_loop_commit_call(struct muster_member_loop *loop,
                                    const struct muster_chunk *chunk)
{
    muster_loop_commit(&private_of(loop)->loop, chunk);
}

void *muster_member_loop_partial_call(const struct muster_member_loop *loop,
                                      const struct muster_chunk *chunk)
{
    return muster_member_loop_partial(loop, chunk);
}

/* -- the end -------------------------------------------------------------------------------- */

/* Audits the loop. Returns: 0, -EBADMSG, -EUCLEAN, -ENOMEM. */
static int audit(struct muster_member *me, struct muster_report *report)
{
    struct muster_audit found;
    struct muster_finding first = {0, 0, 0, 0};
    int64_t findings = muster_audit(me->rolls, me->size, me->plan.roll_capacity, me->loop_number, 0,
                                    me->loop.chunks, &found, &first, 1);
    if (findings < 0)
        return (int)findings;
    report->chunks = found.chunks;
    report->exactly_once = found.exactly_once;
    report->missing = found.missing;
    report->repeated = found.repeated;
    report->clean = findings == 0;
    report->failed = findings > 0;
    if (findings == 0)
        return 0;
    report->first_finding = first;
    uint32_t ranks[2];
    struct muster_interval where = {first.first, first.end};
    int64_t holders = muster_audit_ranks(me->rolls, me->size, me->plan.roll_capacity,
                                         me->loop_number, 0, me->loop.chunks, where, ranks, 2);
    for (int64_t i = 0; i < holders && i < 2; i++)
        report->first_finding_ranks[i] = ranks[i];
    return -EBADMSG;
}

/* Comes to the loop's last meeting. */
static int meet_at_end(struct muster_member *me)
{
    uint64_t call = muster__call(MUSTER__CALL_LOOP_END, me->loop_number, 0, 0);
    if (!me->loop_adopts)
        return muster__meet(me, call);
    /* A rank that ends it early leaves the rest to the others, and its own part to the audit. */
    while (me->loop_status == 0 && !me->loop_through) {
        int status = muster__loop_adopt(me);
        me->loop_status = status < 0 ? status : 0;
    }
    uint32_t gone = 0;
    int status = me->loop_status < 0 ? me->loop_status : muster__meet_survivors(me, call, &gone);
    me->loop_deaths = gone;
    return status;
}

int muster_member_loop_end(struct muster_member_loop *seen, struct muster_report *report)
{
    struct muster__member_loop *loop = private_of(seen);
    struct muster_member *me = loop->member;
    if (!me->loop_open || muster__is_copy(me))
        return me->loop_open ? -EPERM : -EINVAL;
    muster__member_uncheck(me);
    muster__member_unlisten(me);
    (void)muster_loop_end(&loop->loop);
    loop->own = muster_roll_progress(loop->loop.roll.roll, me->plan.roll_capacity, me->loop_number);
    int status = meet_at_end(me);
    if (status < 0)
        muster__timeline_over(me, false);
    muster__close_loop(me);
    if (status == -EOWNERDEAD) {
        muster__note_interruption(me);
        muster__note_over(me); /* the program is told, and goes on or not */
    }
    if (status < 0)
        return status;
    MUSTER__POINT(MUSTER_POINT_AUDITING);
    struct muster_report made = {MUSTER__REPORT_OF_NOTHING,
                                 .size = me->size,
                                 .loops = 1,
                                 .adopted = me->loop_adopted,
                                 .own = loop->own,
                                 .elements = loop->loop.cursor.elements,
                                 .grain = loop->loop.cursor.grain,
                                 .schedule = loop->loop.schedule,
                                 .death_count = me->loop_deaths};
    status = audit(me, &made);
    if (status < 0 && status != -EBADMSG) {
        muster__timeline_over(me, false);
        return status;
    }
    MUSTER__POINT(MUSTER_POINT_AUDITED);
    muster__timeline_over(me, status == 0);
    muster__note_audit(me, &made);
    muster__note_over(me);
    me->loop_whole = status == 0;
    if (report && report->size_bytes != sizeof *report)
        return -EINVAL; /* only now: the others wait for this rank, with or without a report */
    if (report)
        *report = made;
    return status;
}

/* -- partial results ------------------------------------------------------------------------ */

int muster_member_loop_combine(struct muster_member_loop *seen, muster_combine combine,
                               void *context, void *result)
{
    struct muster__member_loop *loop = private_of(seen);
    if (!loop->member->loop_whole || !loop->loop.cursor.partials)
        return -EINVAL;
    uint64_t bytes = loop->loop.cursor.partial_bytes;
    unsigned char *stack = muster__memory(NULL, bytes * muster_tree_levels(loop->chunks) + 1);
    if (!stack)
        return -ENOMEM;
    struct muster_tree tree = {
        .stack = stack, .value_bytes = bytes, .combine = combine, .context = context};
    for (uint64_t chunk = 0; chunk < loop->chunks; chunk++)
        muster_tree_push(&tree, loop->loop.cursor.partials + chunk * bytes);
    const void *value = muster_tree_value(&tree);
    if (value)
        memcpy(result, value, bytes);
    free(stack);
    return 0;
}

/* Returns 0 and the numbers of one partial result, or -EINVAL. */
static int numbers_of(const struct muster__member_loop *loop, uint32_t type, uint32_t operation,
                      struct muster__numbers *numbers)
{
    if (!loop->member->loop_whole || !loop->loop.cursor.partials ||
        !muster__operation_fits(type, operation) ||
        loop->loop.cursor.partial_bytes % muster_type_bytes(type) != 0)
        return -EINVAL;
    numbers->type = type;
    numbers->operation = operation;
    numbers->count = loop->loop.cursor.partial_bytes / muster_type_bytes(type);
    return 0;
}

int muster_member_loop_reduce(struct muster_member_loop *seen, uint32_t type, uint32_t operation,
                              void *result)
{
    struct muster__member_loop *loop = private_of(seen);
    struct muster__numbers numbers;
    int status = numbers_of(loop, type, operation, &numbers);
    if (status < 0)
        return status;
    if (loop->chunks == 0) {
        muster__identity(type, operation, result, numbers.count);
        return 0;
    }
    return muster_member_loop_combine(seen, muster__combine_numbers, &numbers, result);
}

int muster_member_loop_scan(struct muster_member_loop *seen, uint32_t type, uint32_t operation,
                            uint32_t scan, void *results)
{
    struct muster__member_loop *loop = private_of(seen);
    struct muster__numbers numbers;
    int status = numbers_of(loop, type, operation, &numbers);
    if (status < 0 || scan > MUSTER_SCAN_BEFORE)
        return -EINVAL;
    uint64_t bytes = loop->loop.cursor.partial_bytes;
    const unsigned char *from = loop->loop.cursor.partials;
    unsigned char *to = results;
    if (loop->chunks == 0)
        return 0;
    /* The first result, then each of the one before it and one partial result more. */
    if (scan == MUSTER_SCAN_THROUGH)
        memcpy(to, from, bytes);
    else
        muster__identity(type, operation, to, numbers.count);
    for (uint64_t chunk = 1; chunk < loop->chunks; chunk++) {
        const unsigned char *next =
            from + (scan == MUSTER_SCAN_THROUGH ? chunk : chunk - 1) * bytes;
        if (scan == MUSTER_SCAN_BEFORE && chunk == 1) {
            memcpy(to + bytes, from, bytes); /* no identity in front: 0 + -0.0 is not -0.0 */
            continue;
        }
        memcpy(to + chunk * bytes, to + (chunk - 1) * bytes, bytes);
        muster__operate(type, operation, to + chunk * bytes, next, numbers.count);
    }
    return 0;
}
