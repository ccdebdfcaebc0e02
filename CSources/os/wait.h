/* wait.h - how a process waits before it sleeps: it looks again and again, by spinning where it has
 * a CPU of its own, by yielding where processes share. Private to the C core.
 */
#ifndef MUSTER_OS_WAIT_H
#define MUSTER_OS_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "os/os.h"

/* One turn of a wait that spins. */
static inline void muster__pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` is a no-op on most cores; isb waits a little */
#endif
}

/* How long a wait looks before it sleeps, where each process has a CPU. A halted virtual CPU takes
 * 50 to 60 us to wake (numa-facts), so spinning about as long costs at most twice what sleeping at
 * once would. */
#define MUSTER__SPIN_NS 50000u

/* How long it does where processes take turns on CPUs, and yields between its looks: each costs a
 * turn of all others, so this is longer. */
#define MUSTER__YIELD_NS 200000u

/* How the waits of a team go. */
struct muster__wait_policy {
    uint32_t limit_ns; /* until a wait sleeps */
    bool yields;       /* between looks; otherwise it spins */
};

/* Spinning is for processes that have a CPU of their own. One process too many, and a rank that
 * spins keeps the leader, or another rank, from the CPU that it needs to get on: with a leader and
 * two ranks on two CPUs a job took 20 to 80 us so, against 4 with yielding.
 *
 * wait: enum muster_wait. processes: that wait, ranks and a leader that holds none. usable_cpus:
 * CPUs that they may use together. spin_ns: how long a wait looks; -1: as long as suits it. */
static inline struct muster__wait_policy muster__wait_choose(uint32_t wait, uint32_t processes,
                                                             uint32_t usable_cpus, int64_t spin_ns)
{
    if (wait == MUSTER_WAIT_AUTOMATIC)
        wait = processes <= usable_cpus ? MUSTER_WAIT_SPIN : MUSTER_WAIT_YIELD;
    struct muster__wait_policy policy = {.yields = wait == MUSTER_WAIT_YIELD};
    policy.limit_ns = spin_ns >= 0                ? (uint32_t)spin_ns
                      : wait == MUSTER_WAIT_SPIN  ? MUSTER__SPIN_NS
                      : wait == MUSTER_WAIT_YIELD ? MUSTER__YIELD_NS
                                                  : 0;
    return policy;
}

/* What a process's waits have taught the next ones. Relaxed atomics, since ranks that are threads
 * share it: a hint. */
struct muster__backoff {
    uint32_t left; /* waits that sleep at once */
    uint32_t next; /* how many do after the next long yield */
};

/* A wait that has not gone to sleep yet. */
struct muster__wait {
    struct muster__backoff *backoff;
    uint64_t start_ns; /* 0: the clock has not been read */
    uint32_t limit_ns;
    uint32_t turns;
    bool yields; /* between looks; otherwise it spins */
};

/* Looks without a pause between them: an answer mostly comes within a microsecond, and one that a
 * pause (25 ns on Zen 4) would be late for. */
#define MUSTER__PROMPT_TURNS 2048u

/* A yield that takes longer has let others work, not only look: ranks in long chunks, or another
 * program. A process that yields to those comes last in turn (5 ms a job on a machine that was
 * compiling), whereas a sleeper that is woken is let in soon. So the next waits sleep at once:
 * after one such yield one of them, after each further one twice as many, up to a limit. */
#define MUSTER__LONG_YIELD_NS 100000u
#define MUSTER__PAUSES_MOST   256u

static inline struct muster__wait muster__wait_begin(struct muster__backoff *backoff,
                                                     uint32_t limit_ns, bool yields)
{
    uint32_t left = __atomic_load_n(&backoff->left, __ATOMIC_RELAXED);
    if (left > 0) {
        __atomic_store_n(&backoff->left, left - 1, __ATOMIC_RELAXED);
        limit_ns = 0;
    }
    return (struct muster__wait){.backoff = backoff, .limit_ns = limit_ns, .yields = yields};
}

/* Lets others run. Returns: the time after it. */
static inline uint64_t muster__wait_yield(struct muster__backoff *backoff)
{
    uint64_t before = muster__os_now_ns();
    muster__os_yield();
    uint64_t now = muster__os_now_ns();
    uint32_t next = __atomic_load_n(&backoff->next, __ATOMIC_RELAXED);
    if (now - before >= MUSTER__LONG_YIELD_NS) {
        next = next == 0 ? 1 : next < MUSTER__PAUSES_MOST ? 2 * next : next;
        __atomic_store_n(&backoff->next, next, __ATOMIC_RELAXED);
        __atomic_store_n(&backoff->left, next, __ATOMIC_RELAXED);
    } else if (next > 0) {
        __atomic_store_n(&backoff->next, next - 1, __ATOMIC_RELAXED);
    }
    return now;
}

/* Between two looks. Returns: false: it has been long enough. */
static inline bool muster__wait_again(struct muster__wait *look)
{
    uint64_t now;
    look->turns++;
    if (look->limit_ns == 0)
        return false;
    if (look->yields) {
        now = muster__wait_yield(look->backoff);
    } else {
        if (look->turns <= MUSTER__PROMPT_TURNS)
            return true;
        muster__pause();
        if (look->turns % 32 != 0)
            return true;
        now = muster__os_now_ns();
    }
    if (look->start_ns == 0)
        look->start_ns = now;
    return now - look->start_ns < look->limit_ns;
}

#endif
