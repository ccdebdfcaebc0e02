/* descendants.c - every process that came of this one, found in /proc.
 *
 * Invariant: a signal only goes to a process that is a descendant at that moment: it is held by a
 * pidfd while its place in the tree is looked up again, so its number can't have become another's.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "os_process.h"

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

/* /proc/PID/stat: "pid (name) state ppid ...", start time the 22nd field. The name may have blanks
 * and brackets in it, so fields are counted from the last bracket. Returns: 0, or a negative errno:
 * the process is gone. */
static int look_up(int pid, struct process *process)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int64_t length = muster__os_read_text(path, text, sizeof text);
    if (length < 0)
        return (int)length;
    const char *at = strrchr(text, ')');
    unsigned long long started = 0;
    int parent = 0;
    char state = 0;
    if (!at || sscanf(at + 1,
                      " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                      "%llu",
                      &state, &parent, &started) != 3)
        return -EUCLEAN;
    *process = (struct process){.pid = pid, .parent = parent, .started = started};
    return 0;
}

static int count_process(const char *name, void *context)
{
    struct census *census = context;
    int pid = 0;
    for (const char *digit = name; *digit; digit++) {
        if (*digit < '0' || *digit > '9')
            return 0;
        pid = pid * 10 + (*digit - '0');
    }
    struct process process;
    if (look_up(pid, &process) < 0)
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
