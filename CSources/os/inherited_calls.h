/* inherited_calls.h - the system calls behind inherited.h, by the contract of os.h. Private to the
 * C core. */
#ifndef MUSTER_OS_INHERITED_CALLS_H
#define MUSTER_OS_INHERITED_CALLS_H

#include "os/os.h"

/* Has orphaned descendants become this process's children, or init's again
 * (PR_SET_CHILD_SUBREAPER). */
int muster__os_adopt_orphans(bool adopt);
/* Opens /dev/null for each of 0, 1, 2 that is closed: 0 has nothing in it, writes to 1 go on being
 * refused with -EBADF, writes to 2 vanish. */
int muster__os_keep_standard(void);
/* Ignored signals get the default again, but for `kept`. Handlers stay: no exec hands one down. */
void muster__os_stop_ignoring(uint64_t kept);
void muster__os_unblock_signals(void);
void muster__os_usual_timer_slack(void);
/* Default for those of `signals` whose handler lies in the image `name` (a part of its path).
 * Returns: which of them had one; they are kept for muster__os_handlers_back. */
uint64_t muster__os_drop_handlers(uint64_t signals, const char *name);
void muster__os_handlers_back(uint64_t signals);

#endif
