/* guard.c - the process that a supervisor leaves in its own place.
 *
 * A supervisor that is killed can't end what it has started, and a parent-death signal reaches
 * children only, not their children. So there are two processes, the guard, which has the number
 * that everybody knows, and its child, the supervisor proper. Both adopt orphans. Whoever of them
 * is killed, the other one is there, and is or becomes the ancestor of all that is left.
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

/* The guard's life: until the supervisor's end, which becomes its own. */
static _Noreturn void stand_guard(int supervisor, int signals, int pipe)
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
            if (number != SIGCHLD)
                (void)muster__os_write_some(pipe, &byte, 1);
            /* It has stopped itself, and a pipe wakes nobody who is stopped. */
            if (number == SIGCONT)
                muster__os_signal_process(supervisor, SIGCONT);
            /* Ctrl-Z: it is this process that the shell waits for. */
            if (number == SIGCHLD && muster__os_has_stopped(supervisor))
                muster__os_stop_self();
        }
        int pid, found;
        while ((found = muster__os_reap_any(&pid, &code, &status)) == 1)
            if (pid == supervisor) {
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
