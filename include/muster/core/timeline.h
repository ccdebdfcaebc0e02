/* timeline.h - when each rank began and ended each chunk, kept while loops run.
 *
 * A recorded job has one list a rank in the team's space, filled by the rank's process and, after
 * its death, by the next one. An event is entered before the chunk's kernel begins and gets its end
 * after the chunk's commit. A process that dies leaves the event of its chunk without an end. An
 * event with an end is that of a chunk that was committed. Order: an event's fields are written
 * before the count that makes it count.
 */
#ifndef MUSTER_CORE_TIMELINE_H
#define MUSTER_CORE_TIMELINE_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One attempt at a chunk. */
struct muster_event {
    uint64_t begin_ns; /* CLOCK_MONOTONIC */
    uint64_t end_ns;   /* 0: not committed by this attempt, as far as is known */
    uint64_t loop;     /* number of the loop's first job */
    uint64_t chunk;
    uint32_t stolen;      /* 1: taken from another rank's part */
    uint32_t incarnation; /* which of the rank's processes, from 1 */
};

/* The head of a rank's list; its events follow, on the next line. */
struct muster_timeline {
    uint64_t count;   /* events in the list */
    uint64_t dropped; /* chunks begun for which there was no room */
    uint64_t reserved[14];
};

/* Most events of one list. */
#define MUSTER_EVENTS_MAX (1ull << 32)

/* Bytes of a list with room for so many events, 1 ..= MUSTER_EVENTS_MAX: a multiple of 4,096. */
uint64_t muster_timeline_bytes(uint64_t events);

/* The events of a list. */
MUSTER_INLINE struct muster_event *muster_timeline_events(struct muster_timeline *list)
{
    return (struct muster_event *)(list + 1);
}

/* A rank's pen: its own memory. */
struct muster_timeline_writer {
    struct muster_timeline *list; /* NULL: the job is not recorded */
    struct muster_event *open;    /* the chunk in work; NULL: none, or there was no room */
    uint64_t count;
    uint64_t room;
    uint64_t loop;
    uint32_t incarnation;
    uint32_t reserved;
};

/* Goes on with a list, behind what a predecessor has left there.
 *
 * list: room of muster_timeline_bytes(room), first use all zero. Returns: 0; -EUCLEAN: it says that
 * it has more events than there is room for. Concurrency: the process that wrote it before is the
 * caller, or proved dead. */
int muster_timeline_resume(struct muster_timeline_writer *writer, struct muster_timeline *list,
                           uint64_t room, uint64_t loop, uint32_t incarnation);

/* Enters a chunk that is about to begin. Where there is no room, it is only counted. */
void muster_timeline_begin(struct muster_timeline_writer *writer, uint64_t chunk, bool stolen);

/* Gives the chunk entered last its end, after its commit. */
void muster_timeline_end(struct muster_timeline_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
