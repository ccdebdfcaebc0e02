/* example.c - the smallest whole member, as a user would write it; and what meetings cost. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One rank of `muster run -n N ./program`. */
static int work(struct muster_member *me, double *total)
{
    void *memory;
    int status = muster_member_array(me, "x", 1000000 * sizeof(double), &memory);
    if (status < 0)
        return status;
    double *x = memory;
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .elements = 1000000,
                                                 .schedule = MUSTER_SCHEDULE_DYNAMIC,
                                                 .partial_bytes = sizeof(double),
                                                 .flags = MUSTER_LOOP_ADOPT,
                                                 .name = "reciprocals"};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    if ((status = muster_member_loop_begin(me, &options, &loop)) < 0)
        return status;
    while ((status = muster_member_loop_next(loop, &chunk)) > 0) {
        double sum = 0;
        for (uint64_t i = chunk.first; i < chunk.end; i++)
            sum += x[i] = 1.0 / (double)(i + 1);
        *(double *)muster_member_loop_partial(loop, &chunk) = sum;
        muster_member_loop_commit(loop, &chunk);
    }
    status = muster_member_loop_end(loop, NULL); /* each chunk exactly once, or an error */
    return status < 0 ? status
                      : muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, total);
}

static int member_main(double *total)
{
    struct muster_member *me;
    int status = muster_join(&me);
    if (status < 0)
        return status;
    status = work(me, total);
    while (status == -EOWNERDEAD && (status = muster_recover(me)) == 0)
        status = work(me, total);
    int left = muster_leave(me);
    return status < 0 ? status : left;
}

static int as_started_by_run(struct team *team, uint32_t rank, uint32_t incarnation)
{
    char number[16];
    (void)incarnation;
    snprintf(number, sizeof number, "%u", rank);
    setenv("MUSTER_TEAM", team->address, 1);
    setenv("MUSTER_RANK", number, 1);
    double *totals = team->context;
    CHECK_STATUS(member_main(&totals[rank]), 0);
    return 0;
}

int example(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    double *totals = shared(RANKS_MOST * sizeof *totals), alone = 0;
    unsetenv("MUSTER_TEAM");
    CHECK_STATUS(member_main(&alone), 0);
    CHECK(alone > 14.392726 && alone < 14.392727); /* ln n + 0.5772... */
    for (uint32_t size = 1; size <= 5; size += 2) {
        struct team team = {.size = size, .program = as_started_by_run, .context = totals};
        run_team(&team);
        for (uint32_t rank = 0; rank < size; rank++) {
            CHECK(ended_well(&team, rank));
            CHECK(memcmp(&totals[rank], &alone, sizeof alone) == 0);
        }
        end_team(&team);
    }
    return 0;
}

/* -- bench: by hand, `muster-test-member bench [RANKS]` ---------------------------------------- */

#define ROUNDS 200000

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void show(uint32_t rank, const char *what, double seconds, double count)
{
    if (rank == 0)
        printf("%-24s %8.1f ns\n", what, seconds / count * 1e9);
}

static int measured(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct muster_member *me = join_as(team, rank);
    static double values[2048];
    (void)incarnation;
    for (int round = 0; round < 3; round++) {
        double start = now();
        for (int i = 0; i < ROUNDS; i++)
            CHECK_STATUS(muster_member_barrier(me), 0);
        show(rank, "barrier", now() - start, ROUNDS);
        start = now();
        for (int i = 0; i < ROUNDS; i++) {
            double value = 1;
            CHECK_STATUS(muster_member_all_reduce(me, &value, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM),
                         0);
            CHECK(value == team->size);
        }
        show(rank, "all-reduce of 8 B", now() - start, ROUNDS);
        start = now();
        for (int i = 0; i < ROUNDS / 10; i++)
            CHECK_STATUS(muster_member_all_reduce(me, values, 2048, MUSTER_TYPE_F64, MUSTER_OP_MAX),
                         0);
        show(rank, "all-reduce of 16 KiB", now() - start, ROUNDS / 10);
        struct muster_member_loop_options options = {
            .size_bytes = sizeof options, .elements = 0, .grain = 1};
        struct muster_member_loop *loop;
        struct muster_chunk chunk;
        start = now();
        for (int i = 0; i < ROUNDS / 10; i++) {
            CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
            CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
        }
        show(rank, "empty loop, audited", now() - start, ROUNDS / 10);
        for (uint32_t schedule = MUSTER_SCHEDULE_STATIC; schedule <= MUSTER_SCHEDULE_STATIC_STEAL;
             schedule++) {
            options.elements = 20000000ull * team->size;
            options.schedule = schedule;
            if (schedule == MUSTER_SCHEDULE_CYCLIC || schedule == MUSTER_SCHEDULE_DYNAMIC)
                options.elements = 2000000ull * team->size;
            uint64_t own = 0;
            CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
            start = now();
            while (muster_member_loop_next(loop, &chunk) > 0) {
                own++;
                muster_member_loop_commit(loop, &chunk);
            }
            double seconds = now() - start;
            CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
            char what[40];
            static const char *const names[] = {"static", "cyclic", "dynamic", "guided",
                                                "static-steal"};
            snprintf(what, sizeof what, "claim, commit: %s", names[schedule]);
            show(rank, what, seconds, (double)own);
        }
    }
    return muster_leave(me);
}

int bench(int count, char **arguments)
{
    uint32_t size = count > 0 ? (uint32_t)strtoul(arguments[0], NULL, 10) : 2;
    CHECK(size > 0 && size <= RANKS_MOST);
    struct team team = {.size = size, .program = measured, .spin_ns = size <= 2 ? 50000 : 0};
    run_team(&team);
    check_ends(&team);
    end_team(&team);
    return 0;
}
