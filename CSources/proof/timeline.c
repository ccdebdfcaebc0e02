/* timeline.c - a rank's list of what it did when. */
#include <muster/core/timeline.h>

#include "os/os.h"

_Static_assert(sizeof(struct muster_timeline) == MUSTER_LINE_BYTES, "the head is a line");
_Static_assert(sizeof(struct muster_event) == 40, "events follow each other without gaps");

#define PAGE 4096ull

uint64_t muster_timeline_bytes(uint64_t events)
{
    uint64_t bytes = sizeof(struct muster_timeline) + events * sizeof(struct muster_event);
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

int muster_timeline_resume(struct muster_timeline_writer *writer, struct muster_timeline *list,
                           uint64_t room, uint64_t loop, uint32_t incarnation)
{
    uint64_t count = __atomic_load_n(&list->count, __ATOMIC_RELAXED);
    if (count > room)
        return -EUCLEAN;
    *writer = (struct muster_timeline_writer){
        .list = list, .count = count, .room = room, .loop = loop, .incarnation = incarnation};
    return 0;
}

void muster_timeline_begin(struct muster_timeline_writer *writer, uint64_t chunk, bool stolen)
{
    struct muster_timeline *list = writer->list;
    writer->open = NULL;
    if (writer->count == writer->room) {
        /* One writer at a time: no read-modify-write is needed. */
        uint64_t dropped = __atomic_load_n(&list->dropped, __ATOMIC_RELAXED);
        __atomic_store_n(&list->dropped, dropped + 1, __ATOMIC_RELAXED);
        return;
    }
    struct muster_event *event = muster_timeline_events(list) + writer->count;
    event->end_ns = 0;
    event->loop = writer->loop;
    event->chunk = chunk;
    event->stolen = stolen;
    event->incarnation = writer->incarnation;
    event->begin_ns = muster__os_now_ns();
    /* Release: killed after this store, the process leaves an event with all of its fields. */
    __atomic_store_n(&list->count, ++writer->count, __ATOMIC_RELEASE);
    writer->open = event;
}

void muster_timeline_end(struct muster_timeline_writer *writer)
{
    if (writer->open)
        __atomic_store_n(&writer->open->end_ns, muster__os_now_ns(), __ATOMIC_RELEASE);
    writer->open = NULL;
}
