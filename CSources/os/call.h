/* call.h - how the files of this room turn a system call into the contract of os.h. Private to
 * them.
 *
 * Raw return values become 0-or-count / negative errno here and nowhere else. `errno` is saved and
 * restored, since it belongs to the program that links us.
 */
#ifndef MUSTER_OS_CALL_H
#define MUSTER_OS_CALL_H

#include <errno.h>
#include <poll.h>

#include "os/os.h"

/* Returns 0, or the negative errno that a test wants this call to fail with. */
int muster__os_injected(void);

#define INJECT()                                                                                   \
    do {                                                                                           \
        int injected_status = muster__os_injected();                                               \
        if (injected_status < 0)                                                                   \
            return injected_status;                                                                \
    } while (0)

/* The result of a call that returns -1 and sets errno, as a status; errno restored. */
static inline int64_t muster__taken(int64_t result, int saved_errno, const char *expression)
{
    if (result < 0) {
        result = -errno;
        if (result == -EPERM || result == -ENOSYS)
            result = muster__os_refusal((int)result, expression);
    }
    errno = saved_errno;
    return result;
}

/* With the call's own words, so that no call is made without its name. */
#define taken(result, saved_errno) muster__taken((int64_t)(result), saved_errno, #result)

/* Whether the kernel did not look at what was asked. */
static inline bool muster__is_refusal(int64_t status)
{
    return status <= MUSTER_REFUSED;
}

/* The process behind a pidfd; 0: it has gone, or /proc does not say. (os/refusal.c) */
int muster__os_pidfd_process(int pidfd);
/* A number of /proc/PID/stat: 0: its process, 2: its parent. 0: it can't be read. */
int muster__os_stat_number(const char *path, int place);
/* Whether the main thread of a process has been stopped, by /proc. */
bool muster__os_is_stopped(int pid);
/* As muster__os_reap, with an older call. *pid: a process or -1; receives which it was. */
int muster__os_wait4(int *pid, bool wait, int *code, int *status);
int muster__os_close_raw(int fd);                                           /* as close(2) */
int muster__os_poll(struct pollfd *wanted, uint64_t count, int timeout_ms); /* as poll(2) */

#define ENTER() int errno_before = errno
#define RETRY(result, expression)                                                                  \
    do {                                                                                           \
        result = muster__taken((int64_t)(expression), errno_before, #expression);                  \
    } while (result == -EINTR)

#endif
