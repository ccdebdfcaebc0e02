/* guard.c - the processes that a supervisor leaves in its own place.
 *
 * A supervisor that is killed can't end what it has started, and a parent-death signal reaches
 * children only, not their children. So there are three processes, each the parent of the next: the
 * guard, which has the number that everybody knows, the keeper, and the supervisor proper. All
 * adopt orphans. If one of the three is killed, another still owns every descendant. The keeper is
 * for signals to a whole process group, as `timeout -s KILL` and mpirun send them, or to all
 * processes of one name, as killall does: it goes by another name. It knows nothing but how its
 * child fares. It is in a session of its own: in a group of its own alone, it would make a stopped
 * run look to the kernel as if a shell still cared for it, and such a run is only ended with its
 * shell where nobody does (setpgid(2)).
 *
 * Only the guard can be stopped, by Ctrl-Z or by SIGSTOP: it is the one that a shell waits for. The
 * other two are continued by their parents as soon as they stop. Were they to stop their parents
 * instead, one that is continued by its own number would be alone, and the run would never end.
 *
 * A process that has children already when it asks, as a shell's `exec` leaves them, is put in
 * front of these three: it passes signals on and ends as they do, but it adopts and ends nobody.
 *
 * Invariant: the supervisor hears of signals by the guard alone (or by the process in front of it),
 * which writes each one's number into a pipe. A signal to the whole process group, as Ctrl-C is,
 * reaches both, but the supervisor ignores its own, so each is taken once. (Passed on as signals
 * they could get lost: a second one of a number that is pending already counts for nothing.) The
 * end of that pipe is the end of the process that was known by its number.
 */
#define _GNU_SOURCE
#include <signal.h>

#include "os/inherited.h"
#include "os/inherited_calls.h"
#include "os/process.h"
#include "supervisor/descendants.h"
#include "supervisor/guard.h"

/* Ends all that has been left to this process. */
static void end_descendants(void)
{
    int pid, code, status, found;
    while ((found = muster__os_reap_any(&pid, &code, &status)) >= 0) {
        if (found == 1)
            continue;
        muster__signal_descendants(SIGKILL);
        /* Until the next end, or a moment later: a process that was forked meanwhile has got no
         * signal. */
        uint64_t ready;
        muster__os_wait_readable_any(NULL, 0, 2, &ready);
    }
}

/* How long a supervisor that has lost its guard may take to end all that it has started. */
#define LAST_MS 5000

enum role { GUARD, KEEPER, FRONT };

struct watch {
    enum role role;
    int child;
    int parent;  /* at the start */
    int signals; /* signalfd */
    int pipe;    /* for the numbers of signals; -1: it passes none on */
};

static void take_signals(const struct watch *watch)
{
    int number;
    while ((number = muster__os_signals_next(watch->signals)) > 0) {
        unsigned char byte = (unsigned char)number;
        /* Full: so many are still to be heard that one more makes no difference. */
        if (number != SIGCHLD && watch->pipe >= 0)
            (void)muster__os_write_some(watch->pipe, &byte, 1);
        if (number == SIGCHLD)
            muster__os_continue_stopped(watch->child);
        /* Ctrl-Z. The supervisor stops the programs, as the byte tells it to. */
        if (number == SIGTSTP && watch->pipe >= 0)
            (void)muster__os_stop_self();
    }
}

/* Ends this process as its child has ended, if it has. */
static void end_with_child(const struct watch *watch)
{
    int code = 0, status = 0, pid = watch->child, found;
    if (watch->role == FRONT) {
        if (muster__os_reap_child(pid, &code, &status) == 1)
            muster__os_end_like(code, status);
        return;
    }
    while ((found = muster__os_reap_any(&pid, &code, &status)) == 1)
        if (pid == watch->child) {
            end_descendants();
            muster__os_end_like(code, status);
        }
}

/* The life of the processes that wait: until their child's end, which becomes their own. */
static _Noreturn void stand_guard(const struct watch *watch)
{
    uint64_t orphaned_ns = 0;
    /* The pipe's other end goes with a supervisor that is killed, before its end is seen here. */
    muster__os_ignore_signal(SIGPIPE, true);
    for (;;) {
        uint64_t ready;
        muster__os_wait_readable_any(&watch->signals, 1, orphaned_ns ? LAST_MS / 50 : -1, &ready);
        take_signals(watch);
        end_with_child(watch);
        /* Nobody waits for this any more. The supervisor has seen it by its pipe, and ends. */
        if (watch->role != KEEPER || muster__os_parent() == watch->parent)
            continue;
        uint64_t now_ns = muster__os_now_ns();
        if (!orphaned_ns)
            orphaned_ns = now_ns;
        muster__os_signal_process(
            watch->child, now_ns - orphaned_ns > LAST_MS * UINT64_C(1000000) ? SIGKILL : SIGCONT);
    }
}

/* The keeper's life. child: the supervisor. pipe, ready: pipes that it has no part in. */
static _Noreturn void keep(struct watch watch, const int pipe[2], const int ready[2])
{
    muster__os_leave_session();
    muster__go_by("keeper of a run");
    /* It hears of its guard's end by this. */
    (void)muster__os_wake_with_parent();
    (void)muster__os_adopt_orphans(true);
    /* The one pipe ends with the guard, not with others that have it; the other one's end says that
     * the keeper is ready. */
    for (int end = 0; end < 2; end++) {
        muster__os_close(pipe[end]);
        muster__os_close(ready[end]);
    }
    stand_guard(&watch);
}

/* Lets a process that has children be, and goes on in a new one. Returns: 0; or a negative errno.
 */
static int leave_children(int signals, int *pipe)
{
    int pid = muster__os_fork();
    if (pid > 0) {
        (void)muster__os_adopt_orphans(false);
        muster__os_close(pipe[0]);
        const struct watch front = {FRONT, pid, 0, signals, pipe[1]};
        stand_guard(&front);
    }
    if (pid < 0)
        return pid;
    (void)muster__os_adopt_orphans(true);
    muster__os_close(pipe[1]);
    pipe[1] = -1;
    return 0;
}

int muster__guard_fork(uint64_t signals)
{
    uint64_t before;
    int ends[2];
    int status = muster__os_pipe(ends);
    if (status < 0)
        return status;
    status = muster__os_nonblocking(ends[1]);
    /* Blocked from before the forks, so that none is lost. */
    int fd = status < 0 ? status : muster__os_signals_open(signals, &before);
    if (fd >= 0 && muster__os_has_children())
        status = leave_children(fd, ends);
    int self = muster__os_pid();
    int pid = fd < 0 ? fd : status < 0 ? status : muster__os_fork();
    if (pid > 0) {
        muster__os_close(ends[0]);
        const struct watch guard = {GUARD, pid, 0, fd, ends[1]};
        stand_guard(&guard);
    }
    int ready[2] = {-1, -1};
    int child = pid < 0 || muster__os_pipe(ready) < 0 ? -1 : muster__os_fork();
    if (child > 0)
        keep((struct watch){KEEPER, child, self, fd, -1}, ends, ready);
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
    if (ends[1] >= 0)
        muster__os_close(ends[1]);
    if (pid < 0)
        muster__os_close(ends[0]);
    return pid < 0 ? pid : ends[0];
}
