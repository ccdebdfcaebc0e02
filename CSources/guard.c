/* guard.c - the processes that a supervisor leaves in its own place.
 *
 * A supervisor that is killed can't end what it has started, and a parent-death signal reaches
 * children only, not their children. So there are three processes, each the parent of the next: the
 * guard, which has the number that everybody knows, the keeper, and the supervisor proper. All
 * adopt orphans. Whoever of them is killed, the others are there, and one is or becomes the
 * ancestor of all that is left. The keeper is for who kills a whole process group, as `timeout -s
 * KILL` and mpirun do. It knows nothing but how its child fares. It is in a session of its own: in
 * a group of its own alone, it would make a stopped run look to the kernel as if a shell still
 * cared for it, and such a run is only ended with its shell where nobody does (setpgid(2)).
 *
 * Invariant: the supervisor hears of signals by the guard alone, which writes each one's number
 * into a pipe. A signal to the whole process group, as Ctrl-C is, reaches both, but the supervisor
 * ignores its own, so each is taken once. (Passed on as signals they could get lost: a second one
 * of a number that is pending already counts for nothing.) The end of that pipe is the guard's.
 */
#define _GNU_SOURCE
#include <signal.h>

#include "guard.h"
#include "os_process.h"

/* Ends whatever has been left to this process. */
static void end_descendants(void)
{
    int pid, code, status, found;
    while ((found = muster__os_reap_any(&pid, &code, &status)) >= 0) {
        if (found == 1)
            continue;
        muster__signal_descendants(SIGKILL);
        /* Until the next end, or a moment later: who was forked meanwhile has got nothing. */
        uint64_t ready;
        muster__os_wait_readable_any(NULL, 0, 2, &ready);
    }
}

/* The life of a guard or a keeper: until its child's end, which becomes its own. pipe: for the
 * numbers of signals; -1: it passes none on. */
static _Noreturn void stand_guard(int child, int signals, int pipe)
{
    int code = 0, status = 0;
    /* The pipe's other end goes with a supervisor that is killed, before its end is seen here. */
    muster__os_ignore_signal(SIGPIPE, true);
    for (;;) {
        uint64_t ready;
        muster__os_wait_readable_any(&signals, 1, -1, &ready);
        int number;
        while ((number = muster__os_signals_next(signals)) > 0) {
            unsigned char byte = (unsigned char)number;
            /* Full: so many are still to be heard that one more makes no difference. */
            if (number != SIGCHLD && pipe >= 0)
                (void)muster__os_write_some(pipe, &byte, 1);
            /* It has stopped itself, and a pipe wakes nobody who is stopped. */
            if (number == SIGCONT)
                muster__os_signal_process(child, SIGCONT);
            /* Ctrl-Z: it is the guard that the shell waits for. */
            if (number == SIGCHLD && muster__os_has_stopped(child))
                muster__os_stop_self();
        }
        int pid, found;
        while ((found = muster__os_reap_any(&pid, &code, &status)) == 1)
            if (pid == child) {
                end_descendants();
                muster__os_end_like(code, status);
            }
    }
}

int muster__guard_fork(uint64_t signals)
{
    uint64_t before;
    int ends[2];
    int status = muster__os_pipe(ends);
    if (status < 0)
        return status;
    status = muster__os_nonblocking(ends[1]);
    /* Blocked from before the fork, so that none is lost. */
    int fd = status < 0 ? status : muster__os_signals_open(signals, &before);
    int pid = fd < 0 ? fd : muster__os_fork();
    if (pid > 0) {
        muster__os_close(ends[0]);
        stand_guard(pid, fd, ends[1]);
    }
    int ready[2] = {-1, -1};
    int child = pid < 0 || muster__os_pipe(ready) < 0 ? -1 : muster__os_fork();
    if (child > 0) {
        muster__os_leave_session();
        /* Stopped with the others, it goes on when the guard is killed. */
        (void)muster__os_wake_with_parent();
        (void)muster__os_adopt_orphans(true);
        /* The one pipe ends with the guard, not with who else has it; the other one's end says that
         * the keeper is ready. */
        for (int end = 0; end < 2; end++) {
            muster__os_close(ends[end]);
            muster__os_close(ready[end]);
        }
        stand_guard(child, fd, -1);
    }
    /* Where no third process can be had, the second one is the supervisor. */
    if (ready[1] >= 0)
        muster__os_close(ready[1]);
    if (child == 0)
        (void)muster__os_wait_readable(ready[0], -1); /* until all have closed it but this one */
    if (ready[0] >= 0)
        muster__os_close(ready[0]);
    if (fd >= 0) {
        /* What was sent to both is pending here, and is forgotten by being ignored. */
        for (int number = 1; pid == 0 && number <= 64; number++)
            if (number != SIGCHLD && signals >> (number - 1) & 1)
                muster__os_ignore_signal(number, true);
        muster__os_signals_close(fd, before);
    }
    muster__os_close(ends[1]);
    if (pid < 0)
        muster__os_close(ends[0]);
    return pid < 0 ? pid : ends[0];
}
