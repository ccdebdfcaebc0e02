/* spawn.c - the system calls of os.h that the fork server needs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "os/call.h"
#include "os/process.h"

/* posix_spawn says that a call of its own, or of the child's, has failed, and not which. */
static int blame_call(int status)
{
    static const char *const calls[] = {"clone3", "clone",        "dup2",           "dup3",
                                        "fcntl",  "rt_sigaction", "rt_sigprocmask", "execve"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int refused = muster__os_ask_call(calls[i]);
        if (refused <= MUSTER_REFUSED)
            return refused;
    }
    return status;
}

int muster__os_spawn(const char *path, int fd, int as_fd, char *const arguments[],
                     char *const environment[])
{
    INJECT();
    ENTER();
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    /* Where both numbers are the same, glibc takes close-on-exec away (since 2.29). */
    int status = posix_spawn_file_actions_adddup2(&actions, fd, as_fd);
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
    if (status == 0)
        status = posix_spawn_file_actions_addclosefrom_np(&actions, as_fd + 1);
#endif
#endif
    /* Handlers and what is ignored are the program's affair; until the new process has its own
     * dispositions, the signals that the leader decides about wait. */
    sigset_t all, leaders;
    sigfillset(&all);
    sigemptyset(&leaders);
    sigaddset(&leaders, SIGINT);
    sigaddset(&leaders, SIGTERM);
    sigaddset(&leaders, SIGHUP);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &leaders);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    pid_t pid = 0;
    /* The link leads to the file that runs even where its name has gone. posix_spawn shares the
     * memory until the exec, so it takes as long for a large leader as for a small one. */
    if (status == 0)
        status = posix_spawn(&pid, path ? path : "/proc/self/exe", &actions, &attributes, arguments,
                             environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    errno = errno_before;
    if (status == EPERM || status == ENOSYS)
        return blame_call(-status);
    return status == 0 ? pid : -status;
}

int muster__os_wake_with_parent(void)
{
    INJECT();
    ENTER();
    return (int)taken(prctl(PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0), errno_before);
}

int muster__os_close_on_exec(int fd)
{
    INJECT();
    ENTER();
    return (int)taken(fcntl(fd, F_SETFD, FD_CLOEXEC), errno_before);
}

int muster__os_wait_two(int first, int second, int timeout_ms)
{
    const int both[] = {first, second};
    uint64_t ready = 0;
    int found = muster__os_wait_readable_any(both, 2, timeout_ms, &ready);
    return found < 0 ? found : (int)ready;
}
