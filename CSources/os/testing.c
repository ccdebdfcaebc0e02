/* testing.c - the fault injector in front of every system call, and the named points.
 *
 * State is this process's own (the injector's: this thread's); a fork inherits it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <muster/testing.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/call.h"
#include "os/numa.h"

/* Counted from when a test armed it, by thread: tests run side by side in one process, and another
 * one's call must not be the one that fails. */
static _Thread_local uint64_t calls_counted;
static _Thread_local uint64_t call_to_fail;
static _Thread_local int error_to_give;
static _Thread_local bool failure_given;

void muster_testing_fail_call(uint64_t n, int error)
{
    calls_counted = 0;
    failure_given = false;
    error_to_give = error;
    call_to_fail = n;
}

uint64_t muster_testing_calls(void)
{
    return calls_counted;
}

bool muster_testing_failed(void)
{
    return failure_given;
}

int muster__os_injected(void)
{
    if (__builtin_expect(++calls_counted != call_to_fail, 1))
        return 0;
    failure_given = true;
    return -error_to_give;
}

/* -- memory --------------------------------------------------------------------------------- */

static _Thread_local uint64_t memory_to_fail;

void muster_testing_fail_memory(uint64_t n)
{
    failure_given = false;
    memory_to_fail = n;
}

void *muster__memory(void *old, size_t size_bytes)
{
    if (__builtin_expect(memory_to_fail > 0, 0) && --memory_to_fail == 0) {
        failure_given = true;
        return NULL;
    }
    return realloc(old, size_bytes);
}

/* -- a sandbox ------------------------------------------------------------------------------ */

static int install(struct sock_filter *code, size_t length)
{
    struct sock_fprog program = {.len = (unsigned short)length, .filter = code};
    ENTER();
    int status = (int)taken(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), errno_before);
    if (status < 0)
        return status;
    return (int)taken(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), errno_before);
}

/* Of fcntl only F_SETSIG, its second argument. */
static int refuse_socket_signals(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETSIG, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return install(code, sizeof code / sizeof *code);
}

int muster_testing_refuse(enum muster_refusal what)
{
    if (what == MUSTER_REFUSE_SOCKET_SIGNALS)
        return refuse_socket_signals();
    static const struct {
        uint8_t count;
        uint32_t numbers[4], answer;
    } kinds[] = {
        [MUSTER_REFUSE_PLACEMENT] = {4,
                                     {SYS_mbind, SYS_set_mempolicy, SYS_get_mempolicy,
                                      SYS_move_pages},
                                     SECCOMP_RET_ERRNO | EPERM},
        [MUSTER_REFUSE_AFFINITY] = {1, {SYS_sched_setaffinity}, SECCOMP_RET_ERRNO | EPERM},
        [MUSTER_REFUSE_RESIDENCY] = {1, {SYS_move_pages}, SECCOMP_RET_ERRNO | EPERM},
        [MUSTER_REFUSE_MEMORY] = {2, {SYS_madvise, SYS_mmap}, SECCOMP_RET_KILL_PROCESS},
    };
    const uint32_t *numbers = kinds[what].numbers;
    uint8_t count = kinds[what].count;
    struct sock_filter code[8];
    code[0] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    /* Each jumps over those that are left and the permission, to the refusal. */
    for (uint8_t i = 0; i < count; i++)
        code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i],
                                                   (uint8_t)(count - i), 0);
    code[1 + count] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[2 + count] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, kinds[what].answer);
    return install(code, count + 3u);
}

int muster_testing_move_pages(void **pages, uint64_t count, int *status)
{
    ENTER();
    return (int)taken(muster__move_pages(0, count, pages, NULL, status, 0), errno_before);
}

int muster_testing_migrate(uint32_t from, uint32_t to)
{
    ENTER();
    unsigned long old_nodes = 1ul << from, new_nodes = 1ul << to;
    return (int)taken(muster__migrate_pages(0, 64, &old_nodes, &new_nodes), errno_before);
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

void muster_testing_point_array(void)
{
    MUSTER__POINT(MUSTER_POINT_ARRAY_CREATED);
}
