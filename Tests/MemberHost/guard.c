/* guard.c - the processes that a supervisor leaves in its own place, and their end. */
#define _GNU_SOURCE
#include "support.h"

#include <muster/tool/supervisor.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

struct family {
    uint64_t supervisor, grandchild; /* pids; 0: not there yet */
};

static pid_t wait_for(const uint64_t *pid)
{
    while (muster_testing_load(pid) == 0)
        usleep(200); /* the watchdog ends it */
    return (pid_t)muster_testing_load(pid);
}

/* A supervisor with a child of its own, which no death signal reaches. */
static _Noreturn void supervise(struct family *family)
{
    struct muster_supervisor *supervisor;
    CHECK_STATUS(muster_supervisor_create(&supervisor), 0);
    muster_testing_add(&family->supervisor, (uint64_t)getpid());
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        CHECK(close_range(3, ~0u, 0) == 0); /* as an exec does */
        muster_testing_add(&family->grandchild, (uint64_t)getpid());
    }
    for (;;)
        pause();
}

static bool has_ended(int pidfd)
{
    struct pollfd wanted = {.fd = pidfd, .events = POLLIN};
    return poll(&wanted, 1, 0) == 1;
}

/* The guard gets a signal to pass on, and the one that it passes signals on to is gone. */
int guard(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    struct family *family = shared(sizeof *family);
    fflush(stdout);
    pid_t child = fork();
    int status;
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        supervise(family);
    }
    int supervisor = muster__os_pidfd(wait_for(&family->supervisor));
    int grandchild = muster__os_pidfd(wait_for(&family->grandchild));
    CHECK(supervisor >= 0 && grandchild >= 0);
    CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child);
    CHECK(WIFSTOPPED(status));
    CHECK(kill((pid_t)family->supervisor, SIGKILL) == 0);
    /* The keeper ends what is left, without the guard. */
    while (!has_ended(supervisor) || !has_ended(grandchild))
        usleep(200);
    CHECK(kill(child, SIGTERM) == 0 && kill(child, SIGCONT) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* as the supervisor's end */
    return 0;
}
