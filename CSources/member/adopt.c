/* adopt.c - a member's loop that goes on without the dead: its survivors run what they have left.
 *
 * Adopting. In a loop that adopts, a rank that has nothing left comes to a meeting of the
 * survivors. When it is over each rank that can still come has committed all it claimed. Where all
 * have come, nothing is left. Otherwise what the dead left is what no roll holds; rolls don't
 * change before a second meeting is over, so all survivors find the same list, and share it out by
 * a counter. Then again, until nothing is left, or nobody has gone since and the same is left:
 * those are chunks that a live rank was handed and did not commit, and the audit names them.
 *
 * A death in here only takes from the ranks that are waited for: the meetings agree on which ranks
 * came (member/meeting.c), and a chunk that a dead survivor had taken of the list is in the next
 * one.
 */
#include <stdlib.h>
#include <string.h>

#include "member/state.h"

#define LIST_LEAST 64u

/* Lists what no roll holds. Returns: 0; -EUCLEAN; -ENOMEM. */
static int list_holes(struct muster_member *me)
{
    struct muster_finding *findings = NULL;
    struct muster_audit audit;
    int64_t count = 0, room = LIST_LEAST;
    for (;; room = count) {
        struct muster_finding *more = muster__memory(findings, (uint64_t)room * sizeof *findings);
        if (!more) {
            free(findings);
            return -ENOMEM;
        }
        findings = more;
        count = muster_audit(me->rolls, me->size, me->plan.roll_capacity, me->loop_number, 0,
                             me->loop.chunks, &audit, findings, (uint64_t)room);
        if (count <= room)
            break;
    }
    if (count > (int64_t)me->hole_capacity) {
        struct muster_interval *more = muster__memory(me->holes, (uint64_t)count * sizeof *more);
        if (!more) {
            free(findings);
            return -ENOMEM;
        }
        me->holes = more;
        me->hole_capacity = (uint64_t)count;
    }
    me->hole_count = 0;
    for (int64_t i = 0; i < count; i++)
        if (!findings[i].repeated)
            me->holes[me->hole_count++] =
                (struct muster_interval){findings[i].first, findings[i].end};
    free(findings);
    return count < 0 ? (int)count : 0;
}

static uint64_t hole_chunks(const struct muster_member *me)
{
    uint64_t chunks = 0;
    for (uint64_t i = 0; i < me->hole_count; i++)
        chunks += me->holes[i].end - me->holes[i].first;
    return chunks;
}

/* A hole at a time would leave one rank with a dead one's whole block: cut into as many pieces as
 * there are ranks, all of them find the same. */
static int cut_holes(struct muster_member *me)
{
    uint64_t chunks = hole_chunks(me), most = chunks / me->live_count + 1, pieces = 0;
    for (uint64_t i = 0; i < me->hole_count; i++)
        pieces += (me->holes[i].end - me->holes[i].first + most - 1) / most;
    struct muster_interval *cut = muster__memory(NULL, pieces * sizeof *cut + 1);
    if (!cut)
        return -ENOMEM;
    uint64_t made = 0;
    for (uint64_t i = 0; i < me->hole_count; i++)
        for (uint64_t first = me->holes[i].first; first < me->holes[i].end; first += most) {
            uint64_t left = me->holes[i].end - first;
            cut[made++] = (struct muster_interval){first, first + (left < most ? left : most)};
        }
    free(me->holes);
    me->holes = cut;
    me->hole_count = me->hole_capacity = made;
    return 0;
}

/* For what went wrong in this rank alone: comes to the meeting that the others are in or come to,
 * since it lives, and they would wait for it for ever. They get -EINVAL. Returns: status, or what
 * muster__meet_survivors returns where that is worse. */
int muster__loop_give_up(struct muster_member *me, int status)
{
    uint32_t gone;
    int met = muster__meet_survivors(me, muster__call(MUSTER__CALL_REFUSED, 0, 0, 0), &gone);
    return met == 0 || met == -EINVAL ? status : met;
}

/* This rank has nothing left. Returns: 1: some of what the dead have left is claimed; 0: nothing is
 * left for it; or a negative errno. */
int muster__loop_adopt(struct muster_member *me)
{
    struct muster_loop *loop = &me->loop.loop;
    while (!me->loop_through) {
        uint32_t gone = 0, later = 0;
        uint64_t before = hole_chunks(me);
        int status = muster__meet_survivors(
            me, muster__call(MUSTER__CALL_LOOP_THROUGH, me->loop_number, 0, 0), &gone);
        if (status < 0)
            return status;
        if (gone == 0) {
            me->loop_through = true;
            return 0;
        }
        status = list_holes(me);
        if (status == 0)
            status = cut_holes(me);
        if (status < 0)
            return muster__loop_give_up(me, status);
        if (me->loop_adopted == 0)
            me->loop_adopted = hole_chunks(me);
        __atomic_store_n(&me->parts.block->list_counter, 0, __ATOMIC_RELAXED);
        MUSTER__POINT(MUSTER_POINT_ADOPTING);
        status = muster__meet_survivors(
            me, muster__call(MUSTER__CALL_LOOP_ADOPT, me->loop_number, 0, 0), &later);
        if (status < 0)
            return status;
        bool again = gone == me->loop_deaths && hole_chunks(me) == before;
        me->loop_deaths = gone;
        if (me->hole_count == 0 || again || muster__broken == MUSTER_BROKEN_STAY_DEAD) {
            me->loop_through = true;
            return 0;
        }
        loop->schedule = MUSTER_SCHEDULE_LISTED;
        loop->counter = &me->parts.block->list_counter;
        loop->list = me->holes;
        loop->list_count = me->hole_count;
        if (muster_loop_claim(loop))
            return 1;
    }
    return 0;
}
