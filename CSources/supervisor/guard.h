/* guard.h - the processes that a supervisor leaves in its own place. Private to the C core. */
#ifndef MUSTER_SUPERVISOR_GUARD_H
#define MUSTER_SUPERVISOR_GUARD_H

#include <muster/base.h>

/* Forks twice: the caller becomes the guard and does not come back, its child the keeper; the
 * newest process goes on as the supervisor, and ignores `signals` (by number - 1), but for SIGCHLD,
 * which the guard needs too.
 *
 * Returns: the end of a pipe that gives a byte, the number, for each signal that the guard gets,
 * and ends with the guard; or a negative errno, and nothing was forked. */
int muster__guard_fork(uint64_t signals);

#endif
