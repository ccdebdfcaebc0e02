/* descendants.c - every process that came of this one, found in /proc.
 *
 * Invariant: a signal only goes to a process that was a descendant when all were counted: it is
 * held by a pidfd while its start is looked up again, so its number can't have become another's. It
 * may have lost its ancestors since: then this process, to which orphans are given, is its parent.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "os/process.h"
#include "os/process_stat.h"
#include "supervisor/descendants.h"

struct process {
    int pid;
    int parent;
    uint64_t started; /* clock ticks since boot: with the pid, unique */
    bool is_descendant;
};

struct census {
    struct process *processes;
    size_t count;
    size_t room;
};

/* Returns: 0, or a negative errno: the process is gone. */
static int look_up(int pid, struct process *process)
{
    char text[MUSTER__STAT_BYTES];
    const char *fields;
    int status = muster__process_stat(pid, text, &fields);
    if (status < 0)
        return status;
    /* The parent is the 4th field, the start the 22nd. */
    unsigned long long started = 0;
    int parent = 0;
    if (sscanf(fields,
               "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &parent, &started) != 2)
        return -EUCLEAN;
    *process = (struct process){.pid = pid, .parent = parent, .started = started};
    return 0;
}

static int count_process(const char *name, void *context)
{
    struct census *census = context;
    uint32_t pid;
    struct process process;
    if (!muster__text_number(name, INT32_MAX, &pid) || look_up((int)pid, &process) < 0)
        return 0;
    if (census->count == census->room) {
        size_t room = census->room ? 2 * census->room : 512;
        struct process *larger = realloc(census->processes, room * sizeof *larger);
        if (!larger)
            return -ENOMEM;
        census->processes = larger;
        census->room = room;
    }
    census->processes[census->count++] = process;
    return 0;
}

static bool has_descended(const struct census *census, int parent, int self)
{
    if (parent == self)
        return true;
    for (size_t i = 0; i < census->count; i++)
        if (census->processes[i].pid == parent)
            return census->processes[i].is_descendant;
    return false;
}

int muster__signal_descendants(int signal)
{
    struct census census = {0};
    int self = muster__os_pid();
    int status = muster__os_list("/proc", count_process, &census);
    bool found = true;
    while (status == 0 && found) {
        found = false;
        for (size_t i = 0; i < census.count; i++) {
            struct process *process = &census.processes[i];
            if (process->is_descendant || !has_descended(&census, process->parent, self))
                continue;
            process->is_descendant = found = true;
        }
    }
    int reached = 0;
    for (size_t i = 0; status == 0 && i < census.count; i++) {
        if (!census.processes[i].is_descendant)
            continue;
        int pidfd = muster__os_pidfd(census.processes[i].pid);
        struct process now;
        if (pidfd >= 0 && look_up(census.processes[i].pid, &now) == 0 &&
            now.started == census.processes[i].started && muster__os_kill(pidfd, signal) == 0)
            reached++;
        if (pidfd >= 0)
            muster__os_close(pidfd);
    }
    free(census.processes);
    return status < 0 ? status : reached;
}
