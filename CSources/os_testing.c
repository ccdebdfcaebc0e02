/* os_testing.c - the fault injector in front of every system call, and the named points.
 *
 * State is this process's own; a fork inherits it.
 */
#include <muster/testing.h>
#include <numaif.h>
#include <signal.h>
#include <unistd.h>

#include "os_call.h"

/* Counted from when a test armed it. Relaxed atomics: the thread sanitizer's stress tests run ranks
 * as threads of one process. */
static uint64_t calls_counted;
static uint64_t call_to_fail;
static uint32_t error_to_give;
static uint32_t failure_given;

void muster_testing_fail_call(uint64_t n, int error)
{
    __atomic_store_n(&calls_counted, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&failure_given, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&error_to_give, (uint32_t)error, __ATOMIC_RELAXED);
    __atomic_store_n(&call_to_fail, n, __ATOMIC_RELAXED);
}

uint64_t muster_testing_calls(void)
{
    return __atomic_load_n(&calls_counted, __ATOMIC_RELAXED);
}

bool muster_testing_failed(void)
{
    return __atomic_load_n(&failure_given, __ATOMIC_RELAXED) != 0;
}

int muster__os_injected(void)
{
    uint64_t n = __atomic_add_fetch(&calls_counted, 1, __ATOMIC_RELAXED);
    if (__builtin_expect(n != __atomic_load_n(&call_to_fail, __ATOMIC_RELAXED), 1))
        return 0;
    __atomic_store_n(&failure_given, 1, __ATOMIC_RELAXED);
    return -(int)__atomic_load_n(&error_to_give, __ATOMIC_RELAXED);
}

int muster_testing_move_pages(void **pages, uint64_t count, int *status)
{
    ENTER();
    return (int)taken(move_pages(0, count, pages, NULL, status, 0), errno_before);
}

/* -- named points --------------------------------------------------------------------------- */

uint32_t muster__points_armed;

static struct {
    enum muster_point_action action;
    uint64_t remaining;
    int64_t rank;
    int descriptor;
} points[MUSTER_POINTS];

static int64_t points_rank = -1;

void muster_testing_arm(enum muster_point point, enum muster_point_action action, uint64_t nth,
                        int64_t rank, int descriptor)
{
    if (point <= MUSTER_POINT_NONE || point >= MUSTER_POINTS)
        return;
    points[point].action = action;
    points[point].remaining = nth;
    points[point].rank = rank;
    points[point].descriptor = descriptor;
    muster__points_armed = 1;
}

void muster_testing_set_rank(int64_t rank)
{
    points_rank = rank;
}

void muster__point_reached(uint32_t point)
{
    if (point >= MUSTER_POINTS || points[point].remaining == 0)
        return;
    if ((points[point].rank >= 0 && points[point].rank != points_rank) ||
        (points[point].rank == -2 && points_rank < 0))
        return;
    if (--points[point].remaining != 0)
        return;
    unsigned char byte = (unsigned char)point;
    if (points[point].action == MUSTER_POINT_KILL) {
        int tokens = points[point].descriptor;
        if (tokens < 0 || read(tokens, &byte, 1) == 1)
            kill(getpid(), SIGKILL);
        points[point].remaining = 1;
        return;
    }
    if (points[point].action == MUSTER_POINT_STOP) {
        kill(getpid(), SIGSTOP);
        return;
    }
    if (write(points[point].descriptor, &byte, 1) == 1)
        for (;;)
            pause();
}

/* -- canaries ------------------------------------------------------------------------------- */

uint32_t muster__broken;

void muster_testing_break(enum muster_breakage breakage)
{
    muster__broken = breakage;
}
