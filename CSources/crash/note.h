/* note.h - what the rest of the core adds to a rank's note of its crash. Private. */
#ifndef MUSTER_CRASH_NOTE_H
#define MUSTER_CRASH_NOTE_H

#include <muster/core/fault.h>

#include "os/fault.h"

/* By which a process ends whose stray access was found by a comparison: SIGSEGV. */
#define MUSTER__STRAY_SIGNAL 11

/* Called in the handler before the note is written: makes the control memory writable, and fills in
 * what check mode knows of the access (`stray`, `use`, `chunk`, `first`, `end`). */
typedef void (*muster__fault_opener)(const struct muster__trap *trap, struct muster_fault *known);
void muster__fault_before(muster__fault_opener open);

/* Called with the note before it can be read: to note elsewhere what else is known. NULL: nothing
 * is. */
typedef void (*muster__fault_teller)(const struct muster_fault *note);
void muster__fault_tell(muster__fault_teller tell);

/* muster_fault_watch. all_accesses: a handler of the program's for SIGSEGV or SIGBUS is called
 * after what is noted here, and not at all where check mode has something to say. */
int muster__fault_watch(struct muster_fault *note, const void *space, uint64_t space_bytes,
                        bool all_accesses);

/* Crashes of this process are not noted any more. */
void muster__fault_unwatch(void);

#endif
