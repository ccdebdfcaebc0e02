/* os_testing.c - the fault injector in front of every system call, and the named points.
 *
 * State is this process's own; a fork inherits it.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <muster/testing.h>
#include <numaif.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

/* -- a sandbox ------------------------------------------------------------------------------ */

int muster_testing_refuse(enum muster_refusal what)
{
    static const uint32_t placement[] = {SYS_mbind, SYS_set_mempolicy, SYS_get_mempolicy,
                                         SYS_move_pages};
    static const uint32_t affinity[] = {SYS_sched_setaffinity};
    const uint32_t *numbers = what == MUSTER_REFUSE_PLACEMENT ? placement : affinity;
    uint8_t count = what == MUSTER_REFUSE_PLACEMENT ? 4 : 1;
    struct sock_filter code[8];
    struct sock_fprog program = {.len = (unsigned short)(count + 3), .filter = code};
    code[0] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    /* Each jumps over those that are left and the permission, to the refusal. */
    for (uint8_t i = 0; i < count; i++)
        code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i],
                                                   (uint8_t)(count - i), 0);
    code[1 + count] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[2 + count] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    ENTER();
    int status = (int)taken(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), errno_before);
    if (status < 0)
        return status;
    return (int)taken(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), errno_before);
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
