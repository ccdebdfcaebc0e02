/* ending.c - how a process ended that is nobody's child here.
 *
 * Until it is reaped its status is in /proc; from then on Linux 6.15 keeps it with its pidfd.
 * Before 6.15 it depends on which is faster, its parent or this process.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "launcher/state.h"
#include "os/process_stat.h"

/* Whether the kernel shows 0 for a status because this process may not look into that one, which
 * has more capabilities or another user. The link asks the same of us (proc(5), ptrace(2)). */
static bool is_hidden(int pid)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int fd = muster__os_open(path, false, false);
    if (fd >= 0)
        muster__os_close(fd);
    return fd < 0 && fd != -ENOENT && fd != -ESRCH; /* if nothing can be opened, it is not known */
}

/* The status of a process that is dead and not reaped; -1: it is not there, or does not say. */
static int zombie_status(int pid)
{
    char text[MUSTER__STAT_BYTES], state = 0;
    const char *at;
    int status = -1;
    if (muster__process_stat(pid, text, &at) < 0 || sscanf(at, "%c", &state) != 1 ||
        (state != 'Z' && state != 'X'))
        return -1;
    /* As the last field of Linux 3.5 and later, the 52nd, the status (proc(5)). */
    for (int field = 3; at && field < 52; field++)
        at = strchr(at + 1, ' ');
    if (!at || sscanf(at, " %d", &status) != 1)
        return -1;
    return status == 0 && is_hidden(pid) ? -1 : status;
}

int muster__end_of(int pid, int pidfd)
{
    int status = zombie_status(pid);
    /* While a signal still finds it, the number was not given to another. */
    if (status >= 0 && muster__os_kill(pidfd, 0) == 0)
        return status;
    return muster__os_ended(pidfd, &status) == 0 ? status : -1;
}
