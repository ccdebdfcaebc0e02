/* os_call.h - how os*.c turn a system call into the contract of os.h. Private to them.
 *
 * Raw return values become 0-or-count / negative errno here and nowhere else. `errno` is saved and
 * restored, since it belongs to the program that links us.
 */
#ifndef MUSTER_OS_CALL_H
#define MUSTER_OS_CALL_H

#include <errno.h>

#include "os.h"

/* Returns 0, or the negative errno that a test wants this call to fail with. */
int muster__os_injected(void);

#define INJECT()                                                                                   \
    do {                                                                                           \
        int injected_status = muster__os_injected();                                               \
        if (injected_status < 0)                                                                   \
            return injected_status;                                                                \
    } while (0)

/* The result of a call that returns -1 and sets errno, as a negative errno; errno restored. */
static inline int64_t taken(int64_t result, int saved_errno)
{
    if (result < 0)
        result = -errno;
    errno = saved_errno;
    return result;
}

#define ENTER() int errno_before = errno
#define RETRY(result, expression)                                                                  \
    do {                                                                                           \
        result = taken((int64_t)(expression), errno_before);                                       \
    } while (result == -EINTR)

#endif
