/* collective.c - what ranks tell one another: broadcast, reduce, all-reduce, scan.
 *
 * Each is a row of meetings. Before a meeting a rank lays a piece of its data into its mail; after
 * it, everyone reads what it needs. Mail is used in turns (see member/state.h), so one meeting a
 * piece is enough. Every rank that wants a result combines all pieces itself, in the same order:
 * that costs reading n pieces in each of n ranks, and saves a second meeting.
 *
 * A rank that has not recovered mails nothing: survivors may still be reading what a dead
 * predecessor has mailed for a meeting that they came through.
 */
#include <stdlib.h>
#include <string.h>

#include "member/state.h"

static uint64_t piece(uint64_t done, uint64_t all, uint64_t most)
{
    return all - done < most ? all - done : most;
}

int muster_member_broadcast(struct muster_member *me, void *data, uint64_t size_bytes,
                            uint32_t root)
{
    if (!muster_member_alive(me, root))
        return muster__meet_refusing(me, -EINVAL);
    int ready = muster__ready(me);
    if (ready < 0)
        return ready;
    uint64_t call = muster__call(MUSTER__CALL_BROADCAST, size_bytes, root, 0), done = 0;
    do {
        uint64_t bytes = piece(done, size_bytes, MUSTER__MAIL_BYTES);
        unsigned char *mail = muster__mail(me, root, muster__next_meeting(me));
        if (me->rank == root && bytes > 0)
            memcpy(mail, (const unsigned char *)data + done, bytes);
        MUSTER__POINT(MUSTER_POINT_MAILED);
        int status = muster__meet(me, call);
        if (status < 0)
            return status;
        if (me->rank != root && bytes > 0)
            memcpy((unsigned char *)data + done, mail, bytes);
        done += bytes;
    } while (done < size_bytes);
    return 0;
}

/* -- combining ------------------------------------------------------------------------------ */

/* What all ranks' mail of a meeting combines to. */
static void combine_all(const struct muster_member *me, uint64_t meeting,
                        struct muster__numbers *numbers, unsigned char *stack, void *result)
{
    struct muster_tree tree = {.stack = stack,
                               .value_bytes = numbers->count * muster_type_bytes(numbers->type),
                               .combine = muster__combine_numbers,
                               .context = numbers};
    for (uint32_t place = 0; place < me->live_count; place++) {
        muster_tree_push(&tree, muster__mail(me, me->live[place], meeting));
        if (muster__broken == MUSTER_BROKEN_FOLDED && tree.depth > 1) {
            (void)muster_tree_value(&tree);
            tree.count = 2;
        }
    }
    memcpy(result, muster_tree_value(&tree), tree.value_bytes);
}

/* What the mail of the ranks up to this one, or before it, combines to. */
static void combine_left(const struct muster_member *me, uint64_t meeting,
                         struct muster__numbers *numbers, uint32_t scan, void *result)
{
    uint32_t places = me->live_index + (scan == MUSTER_SCAN_THROUGH);
    if (places == 0) {
        muster__identity(numbers->type, numbers->operation, result, numbers->count);
        return;
    }
    memcpy(result, muster__mail(me, me->live[0], meeting),
           numbers->count * muster_type_bytes(numbers->type));
    for (uint32_t place = 1; place < places; place++)
        muster__combine_numbers(result, muster__mail(me, me->live[place], meeting), numbers);
}

/* What a rank makes of everybody's mail. */
enum wanted { WANTED_NOTHING, WANTED_ALL, WANTED_LEFT };

static int combine_pieces(struct muster_member *me, uint64_t call, unsigned char *data,
                          uint64_t count, struct muster__numbers *numbers, enum wanted wanted,
                          uint32_t scan)
{
    int ready = muster__ready(me);
    if (ready < 0)
        return ready;
    uint64_t value_bytes = muster_type_bytes(numbers->type), done = 0;
    _Alignas(16) unsigned char small[8 * 16];
    unsigned char *stack = small;
    uint64_t most = MUSTER__MAIL_BYTES / value_bytes;
    uint64_t piece_bytes = (count < most ? count : most) * value_bytes;
    uint32_t levels = muster_tree_levels(me->live_count);
    if (wanted == WANTED_ALL && piece_bytes * levels > sizeof small) {
        stack = malloc(piece_bytes * levels);
        if (!stack)
            return muster__meet_refusing(me, -ENOMEM);
    }
    int status = 0;
    do {
        uint64_t meeting = muster__next_meeting(me);
        numbers->count = piece(done, count, most);
        unsigned char *at = data + done * value_bytes;
        if (numbers->count > 0)
            memcpy(muster__mail(me, me->rank, meeting), at, numbers->count * value_bytes);
        MUSTER__POINT(MUSTER_POINT_MAILED);
        status = muster__meet(me, call);
        if (status == 0 && numbers->count > 0 && wanted == WANTED_ALL)
            combine_all(me, meeting, numbers, stack, at);
        if (status == 0 && numbers->count > 0 && wanted == WANTED_LEFT)
            combine_left(me, meeting, numbers, scan, at);
        done += numbers->count;
    } while (status == 0 && done < count);
    if (stack != small)
        free(stack);
    return status;
}

static bool can_be(uint64_t count, uint32_t type, uint32_t operation)
{
    return muster__operation_fits(type, operation) && count <= UINT64_MAX / 8;
}

int muster_member_reduce(struct muster_member *me, void *data, uint64_t count, uint32_t type,
                         uint32_t operation, uint32_t root)
{
    if (!can_be(count, type, operation) || !muster_member_alive(me, root))
        return muster__meet_refusing(me, -EINVAL);
    struct muster__numbers numbers = {.type = type, .operation = operation};
    uint64_t call = muster__call(MUSTER__CALL_REDUCE, count, type << 8 | operation, root);
    return combine_pieces(me, call, data, count, &numbers,
                          me->rank == root ? WANTED_ALL : WANTED_NOTHING, 0);
}

int muster_member_all_reduce(struct muster_member *me, void *data, uint64_t count, uint32_t type,
                             uint32_t operation)
{
    if (!can_be(count, type, operation))
        return muster__meet_refusing(me, -EINVAL);
    struct muster__numbers numbers = {.type = type, .operation = operation};
    uint64_t call = muster__call(MUSTER__CALL_ALL_REDUCE, count, type << 8 | operation, 0);
    return combine_pieces(me, call, data, count, &numbers, WANTED_ALL, 0);
}

int muster_member_scan(struct muster_member *me, void *data, uint64_t count, uint32_t type,
                       uint32_t operation, uint32_t scan)
{
    if (!can_be(count, type, operation) || scan > MUSTER_SCAN_BEFORE)
        return muster__meet_refusing(me, -EINVAL);
    struct muster__numbers numbers = {.type = type, .operation = operation};
    uint64_t call = muster__call(MUSTER__CALL_SCAN, count, type << 8 | operation, scan);
    return combine_pieces(me, call, data, count, &numbers, WANTED_LEFT, scan);
}
