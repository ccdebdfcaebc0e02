/* child.h - processes that belong to no team.
 *
 * For what must not be a rank: `muster demo` runs pools as other libraries have them.
 */
#ifndef MUSTER_CORE_CHILD_H
#define MUSTER_CORE_CHILD_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Forks a process that dies with this one, also by SIGKILL.
 *
 * Returns: in the parent the new pid; in the child 0. The child ignores INT, TERM and HUP, as
 * workers do, since its end is the parent's affair, and leaves by muster_worker_exit. -EAGAIN,
 * -ENOMEM: no more processes or memory. Ownership: the caller reaps it (waitpid). Concurrency: as
 * muster_team_spawn: the caller has one thread. */
int muster_child_start(void);

#ifdef __cplusplus
}
#endif

#endif
