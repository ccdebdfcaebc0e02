/* timeline.c - the timeline of members' loops: where it lies in the team's memory, what a
 * rank enters there, and what the launcher reads.
 *
 * A rank's part has two lists of one kind: its events, which loop/claim.c fills as in any team, and
 * the loops that it was in. The launcher knows nothing of loops else; what ranks say of one loop it
 * puts together by the loop's number, which is the same in all of them.
 *
 * Both lists have room for as many entries as events were asked for: a loop without any event of a
 * rank is rare, and room that no entry comes to takes no memory.
 */
#include <stdio.h>
#include <string.h>

#include "member/state.h"

#define PAGE 4096u

_Static_assert(sizeof(struct muster_timeline_loop) == 112, "loops are shared");

static uint64_t part_bytes(uint64_t events)
{
    uint64_t loops = sizeof(struct muster_timeline) + events * sizeof(struct muster_timeline_loop);
    return muster_timeline_bytes(events) + (loops + PAGE - 1) / PAGE * PAGE;
}

int muster__plan_timelines(uint64_t events, struct muster__member_plan *plan)
{
    if (events > MUSTER_EVENTS_MAX)
        return -EINVAL;
    plan->timeline_events = events;
    plan->timelines_offset = plan->total_bytes;
    if (events > 0)
        plan->total_bytes += plan->size * part_bytes(events);
    return 0;
}

static struct muster_timeline *events_of(const struct muster__member_plan *plan,
                                         const struct muster__member_parts *parts, uint32_t rank)
{
    return (struct muster_timeline *)(parts->timelines + rank * part_bytes(plan->timeline_events));
}

static struct muster_timeline *loops_of(const struct muster__member_plan *plan,
                                        const struct muster__member_parts *parts, uint32_t rank)
{
    unsigned char *part = (unsigned char *)events_of(plan, parts, rank);
    return (struct muster_timeline *)(part + muster_timeline_bytes(plan->timeline_events));
}

static struct muster_timeline_loop *entry(struct muster_timeline *loops, uint64_t index)
{
    return (struct muster_timeline_loop *)(loops + 1) + index;
}

void muster__timeline_begun(struct muster_member *me)
{
    struct muster_loop *loop = &me->loop.loop;
    if (me->plan.timeline_events == 0)
        return;
    struct muster_timeline *loops = loops_of(&me->plan, &me->parts, me->rank);
    uint64_t count = __atomic_load_n(&loops->count, __ATOMIC_RELAXED);
    if (count >= me->plan.timeline_events) { /* nor are its chunks recorded */
        __atomic_store_n(&loops->dropped, loops->dropped + 1, __ATOMIC_RELAXED);
        return;
    }
    /* A list that makes no sense is left alone: the launcher says so. */
    if (muster_timeline_resume(&loop->timeline, events_of(&me->plan, &me->parts, me->rank),
                               me->plan.timeline_events, me->loop_number,
                               me->description.incarnation) < 0)
        return;
    struct muster_timeline_loop *made = entry(loops, count);
    *made = (struct muster_timeline_loop){.number = me->loop_number,
                                          .elements = loop->cursor.elements,
                                          .grain = loop->cursor.grain,
                                          .begin_ns = muster__os_now_ns(),
                                          .schedule = loop->schedule};
    snprintf(made->name, sizeof made->name, "%s", me->loop_name);
    __atomic_store_n(&loops->count, count + 1, __ATOMIC_RELEASE);
    loop->cursor.slow_path = 1;
}

void muster__timeline_over(struct muster_member *me, bool whole)
{
    if (!me->loop.loop.timeline.list)
        return;
    struct muster_timeline *loops = loops_of(&me->plan, &me->parts, me->rank);
    uint64_t count = __atomic_load_n(&loops->count, __ATOMIC_RELAXED);
    if (count == 0 || count > me->plan.timeline_events)
        return;
    struct muster_timeline_loop *last = entry(loops, count - 1);
    last->whole = whole;
    __atomic_store_n(&last->end_ns, muster__os_now_ns(), __ATOMIC_RELEASE);
}

int muster__timeline_read(const struct muster__member_plan *plan,
                          const struct muster__member_parts *parts, uint32_t rank,
                          struct muster_launcher_timeline *timeline)
{
    if (rank >= plan->size)
        return -EINVAL;
    if (plan->timeline_events == 0)
        return -ENODATA;
    struct muster_timeline *events = events_of(plan, parts, rank);
    struct muster_timeline *loops = loops_of(plan, parts, rank);
    struct muster_launcher_timeline made = {
        .events = muster_timeline_events(events),
        .event_count = __atomic_load_n(&events->count, __ATOMIC_ACQUIRE),
        .dropped_events = __atomic_load_n(&events->dropped, __ATOMIC_RELAXED),
        .loops = entry(loops, 0),
        .loop_count = __atomic_load_n(&loops->count, __ATOMIC_ACQUIRE),
        .dropped_loops = __atomic_load_n(&loops->dropped, __ATOMIC_RELAXED),
    };
    if (made.event_count > plan->timeline_events || made.loop_count > plan->timeline_events ||
        made.dropped_events > MUSTER__COUNT_MOST || made.dropped_loops > MUSTER__COUNT_MOST)
        return -EUCLEAN;
    *timeline = made;
    return 0;
}
