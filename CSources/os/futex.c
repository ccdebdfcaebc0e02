/* futex.c - the sleeps and wakes of os.h, also where a filter refuses them.
 *
 * Invariant: a process sleeps without an end only where a wake is possible; else it looks again
 * after a short while.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/call.h"

/* How long a rank sleeps between two looks where the kernel refuses futexes. */
#define DOZE_NS 100000

/* A sleep instead of one that ends with a wake: short, since none will. */
static int doze(int64_t timeout_ns)
{
    ENTER();
    bool is_over = timeout_ns >= 0 && timeout_ns <= DOZE_NS;
    struct timespec moment = {.tv_nsec = is_over ? timeout_ns : DOZE_NS};
    nanosleep(&moment, NULL);
    errno = errno_before;
    return is_over ? -ETIMEDOUT : 0;
}

/* A filter may know operations apart. FUTEX_WAKE_BITSET with all bits does what FUTEX_WAKE does. */
static int64_t wake(const uint32_t *word, int count)
{
    ENTER();
    int64_t result =
        taken(syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0), errno_before);
    if (muster__is_refusal(result))
        result = taken(
            syscall(SYS_futex, word, FUTEX_WAKE_BITSET, count, NULL, NULL, FUTEX_BITSET_MATCH_ANY),
            errno_before);
    return result;
}

/* Whether a sleep ends by a wake. Processes of a team are under the same filters, so one that can't
 * wake is not woken. Asked once a process; threads that ask at the same time find the same. */
static bool wakes_come(void)
{
    static uint32_t known; /* 0: not asked; 1: they do; 2: they do not */
    uint32_t answer = __atomic_load_n(&known, __ATOMIC_RELAXED), word = 0;
    if (answer == 0) {
        answer = muster__is_refusal(wake(&word, 1)) ? 2 : 1;
        __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
    }
    return answer == 1;
}

int muster__os_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    INJECT();
    ENTER();
    if (!wakes_come())
        return doze(timeout_ns);
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                               .tv_nsec = timeout_ns % 1000000000};
    /* Not FUTEX_PRIVATE: the word is shared between processes. */
    int64_t result = taken(
        syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_ns < 0 ? NULL : &timeout, NULL, 0),
        errno_before);
    if (muster__is_refusal(result))
        return doze(timeout_ns);
    return result == -EAGAIN || result == -EINTR ? 0 : (int)result;
}

int muster__os_futex_wake(const uint32_t *word, int count)
{
    /* A wake that failed would be a hang, and the kernel has no reason to fail it. */
    return (int)wake(word, count);
}
