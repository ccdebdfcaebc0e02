/* note.h - what the rest of the core adds to a rank's note of its crash. Private. */
#ifndef MUSTER_FAULT_NOTE_H
#define MUSTER_FAULT_NOTE_H

#include <muster/fault.h>

#include "os/fault.h"

/* By which a process ends whose stray access was found by a comparison: SIGSEGV. */
#define MUSTER__STRAY_SIGNAL 11

/* Called in the handler before the note is written: makes the control memory writable, and fills in
 * what check mode knows of the access (`stray`, `use`, `chunk`, `first`, `end`). */
typedef void (*muster__fault_opener)(const struct muster__trap *trap, struct muster_fault *known);
void muster__fault_before(muster__fault_opener open);

#endif
