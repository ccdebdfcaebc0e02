/* child.c - processes that belong to no team.
 *
 * Invariant: a child never outlives its parent: it asks for the parent's death first and then looks
 * whether the parent had died before it asked.
 */
#include <muster/core/child.h>

#include "os/os.h"

int muster_child_start(void)
{
    int parent = muster__os_pid();
    int pid = muster__os_fork();
    if (pid != 0)
        return pid;
    if (muster__os_die_with_parent() < 0 || muster__os_parent() != parent)
        muster__os_exit(127);
    muster__os_worker_signals(MUSTER__ALL_SIGNALS);
    return 0;
}
