/* copies.c - a member that forks in a loop, and both processes go on: the copy works on nothing. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ELEMENTS 3000u
#define GRAIN    10u
#define DEADLY   150u /* the chunk at which the process forks */

/* By the C library, whose handlers run, and by the bare call. */
static pid_t fork_by(bool is_bare)
{
    return is_bare ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
}

/* The address sanitizer makes an exit with status 1 of a fault. */
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

static void check_copy(pid_t copy, int signal)
{
    int status;
    CHECK(copy > 0);
    while (waitpid(copy, &status, 0) < 0)
        CHECK(errno == EINTR);
    bool is_caught = IS_SANITIZED && WIFEXITED(status) && WEXITSTATUS(status) == 1;
    if (!signal || !is_caught)
        CHECK(signal ? WIFSIGNALED(status) && WTERMSIG(status) == signal : status == 0);
}

struct plan {
    uint32_t schedule, is_bare;
};

static int increment(struct team *team, uint32_t rank, uint32_t incarnation)
{
    const struct plan *plan = team->context;
    struct muster_member *me = join_as(team, rank);
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .elements = ELEMENTS,
                                                 .grain = GRAIN,
                                                 .schedule = plan->schedule};
    void *memory;
    (void)incarnation;
    CHECK_STATUS(muster_member_array(me, "x", ELEMENTS * sizeof(uint64_t), &memory), 0);
    uint64_t *x = memory;
    for (uint32_t round = 1; round <= 2; round++) {
        struct muster_member_loop *loop;
        struct muster_report report = {.size_bytes = sizeof report};
        struct muster_chunk chunk;
        int status;
        CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
        while ((status = muster_member_loop_next(loop, &chunk)) > 0) {
            pid_t copy = chunk.index == DEADLY ? fork_by(plan->is_bare) : -1;
            if (copy > 0)
                check_copy(copy, SIGSEGV);
            for (uint64_t i = chunk.first; i < chunk.end; i++)
                x[i]++;
            muster_member_loop_commit(loop, &chunk);
        }
        CHECK_STATUS(status, 0);
        /* One that finds the loop at its end is told, and its parent ends the loop. */
        pid_t late = fork_by(plan->is_bare);
        if (late == 0) {
            CHECK_STATUS(muster_member_loop_next(loop, &chunk), -EPERM);
            CHECK_STATUS(muster_member_loop_next_call(loop, &chunk), -EPERM);
            CHECK_STATUS(muster_member_loop_end(loop, &report), -EPERM);
            _exit(0);
        }
        check_copy(late, 0);
        CHECK_STATUS(muster_member_loop_end(loop, &report), 0);
        for (uint32_t i = 0; i < ELEMENTS; i++)
            CHECK(x[i] == round);
        CHECK_STATUS(muster_member_barrier(me), 0);
    }
    /* What a copy calls is refused, and does not give its parent's rank away. */
    pid_t copy = fork_by(plan->is_bare);
    if (copy == 0) {
        struct muster_member_loop *loop;
        double value = 1;
        CHECK_STATUS(muster_member_barrier(me), -EPERM);
        CHECK_STATUS(muster_member_broadcast(me, &value, sizeof value, 0), -EPERM);
        CHECK_STATUS(muster_member_reduce(me, &value, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, 0),
                     -EPERM);
        CHECK_STATUS(muster_member_all_reduce(me, &value, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM),
                     -EPERM);
        CHECK_STATUS(muster_member_scan(me, &value, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, 0), -EPERM);
        CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EPERM);
        CHECK_STATUS(muster_member_array(me, "y", 8, &memory), -EPERM);
        CHECK_STATUS(muster_recover(me), -EPERM);
        CHECK_STATUS(muster_leave(me), -EPERM);
        _exit(0);
    }
    check_copy(copy, 0);
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

int copies(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(20);
    for (uint32_t schedule = MUSTER_SCHEDULE_STATIC; schedule <= MUSTER_SCHEDULE_STATIC_STEAL;
         schedule++)
        for (uint32_t is_bare = 0; is_bare < 2; is_bare++) {
            struct plan *plan = shared(sizeof *plan);
            *plan = (struct plan){.schedule = schedule, .is_bare = is_bare};
            struct team team = {.size = 3, .policy = LOSE, .program = increment, .context = plan};
            run_team(&team);
            check_ends(&team);
            CHECK(team.left == 3 && team.died == 0);
            end_team(&team);
        }
    return 0;
}
