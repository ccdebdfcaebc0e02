/* ending.c - how a process ended that is nobody's child here.
 *
 * Until it is reaped its status is in /proc; from then on Linux 6.15 keeps it with its pidfd.
 * Before 6.15 it depends on who is faster, its parent or we.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "launcher_state.h"

/* The status of a process that is dead and not reaped; -1: it is not there, or does not say. */
static int zombie_status(int pid)
{
    char path[32], text[1024], state = 0;
    int status = -1;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (muster__os_read_text(path, text, sizeof text) < 0)
        return -1;
    /* From the last bracket, since a name may hold anything: the state, and as the last field of
     * Linux 3.5 and later, the 52nd, the status (proc(5)). */
    const char *at = strrchr(text, ')');
    if (!at || sscanf(at + 1, " %c", &state) != 1 || (state != 'Z' && state != 'X'))
        return -1;
    for (int field = 2; at && field < 52; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, " %d", &status) == 1 ? status : -1;
}

int muster__end_of(int pid, int pidfd)
{
    int status = zombie_status(pid);
    /* While a signal still finds it, the number was not given to another. */
    if (status >= 0 && muster__os_kill(pidfd, 0) == 0)
        return status;
    return muster__os_ended(pidfd, &status) == 0 ? status : -1;
}
