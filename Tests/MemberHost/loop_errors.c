/* loop_errors.c - each error that member.h documents of loops. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "member/state.h"

static struct muster_member *alone(void)
{
    struct muster_member *me = NULL;
    unsetenv("MUSTER_TEAM");
    CHECK_STATUS(muster_join(&me), 0);
    return me;
}

/* -- loops ---------------------------------------------------------------------------------- */

static void sum(void *into, const void *right, void *context)
{
    (void)context;
    *(double *)into += *(const double *)right;
}

/* Length: one case after the other, each a few lines. */
int loop_errors(int count, char **arguments)
{
    unsetenv("MUSTER_CHECK"); /* this test writes to the memory that the team runs by */
    (void)count;
    (void)arguments;
    watch(60);
    struct muster_member *me = alone();
    struct muster_member_loop *loop = NULL;
    struct muster_chunk chunk;
    const struct muster_member_loop_options good = {.size_bytes = sizeof good,
                                                    .schedule = MUSTER_SCHEDULE_DYNAMIC,
                                                    .elements = 100,
                                                    .grain = 10};
    struct muster_member_loop_options bad = good;
    CHECK_STATUS(muster_member_loop_begin(me, NULL, &loop), -EINVAL);
    bad.size_bytes = 1;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -EINVAL);
    bad = good, bad.schedule = MUSTER_SCHEDULE_LISTED;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -EINVAL);
    bad = good, bad.flags = 2;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -EINVAL);
    bad = good, bad.partial_bytes = MUSTER_PARTIAL_BYTES_MAX + 1;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -EINVAL);
    bad = good, bad.batch = MUSTER_CHUNKS_MAX + 1ull;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -EINVAL);
    bad = good, bad.elements = UINT64_MAX;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -EINVAL);
    char name[MUSTER_NAME_BYTES + 1];
    memset(name, 'n', sizeof name);
    name[MUSTER_NAME_BYTES] = '\0';
    const char *bad_names[] = {name, "", "a\n", "\x7f"};
    for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {
        bad = good, bad.name = bad_names[i];
        CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -EINVAL);
    }
    name[MUSTER_NAME_BYTES - 1] = '\0';
    bad = good, bad.name = name, bad.elements = 0;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), 0);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    loop = NULL;
    bad = good, bad.elements = 1ull << 36, bad.partial_bytes = 0, bad.grain = 1;
    const uint64_t capacity = me->plan.roll_capacity; /* less than all chunks in an emulator */
    me->plan.roll_capacity = 1000;                    /* as where address space is short */
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), -E2BIG);
    me->plan.roll_capacity = capacity;
    CHECK(!loop);

    /* One chunk is left out and one committed twice. */
    CHECK_STATUS(muster_member_loop_begin(me, &good, &loop), 0);
    struct muster_member_loop *again;
    CHECK_STATUS(muster_member_loop_begin(me, &good, &again), -EINVAL);
    int status;
    while ((status = muster_member_loop_next_call(loop, &chunk)) > 0) {
        CHECK(muster_member_loop_partial_call(loop, &chunk) == NULL);
        if (chunk.index == 7)
            muster_member_loop_commit_call(loop, &chunk);
        if (chunk.index != 3)
            muster_member_loop_commit_call(loop, &chunk);
    }
    CHECK_STATUS(status, 0);
    CHECK_STATUS(muster_member_loop_next(loop, &chunk), 0);
    struct muster_report report = {.size_bytes = sizeof report};
    CHECK_STATUS(muster_member_loop_end(loop, &report), -EBADMSG);
    CHECK(report.chunks == 10 && report.exactly_once == 8 && report.missing == 1 &&
          report.repeated == 1 && report.first_finding.first == 3 &&
          report.first_finding.end == 4 && !report.first_finding.repeated &&
          report.first_finding_ranks[0] == UINT32_MAX);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EINVAL);
    CHECK_STATUS(muster_member_loop_next(loop, &chunk), -EINVAL);

    /* Partial results only where there are any, and the loop was clean. */
    double result[12];
    struct muster_member_loop_options partial = good;
    partial.partial_bytes = 8;
    CHECK_STATUS(muster_member_loop_begin(me, &partial, &loop), 0);
    CHECK_STATUS(muster_member_loop_combine(loop, sum, NULL, result), -EINVAL);
    while (muster_member_loop_next(loop, &chunk) > 0)
        muster_member_loop_commit(loop, &chunk);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    CHECK_STATUS(muster_member_loop_reduce(loop, 0, MUSTER_OP_SUM, result), -EINVAL);
    CHECK_STATUS(muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_OR, result), -EINVAL);
    CHECK_STATUS(muster_member_loop_scan(loop, MUSTER_TYPE_F64, MUSTER_OP_OR, 0, result), -EINVAL);
    CHECK_STATUS(muster_member_loop_scan(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, 2, result), -EINVAL);
    CHECK_STATUS(muster_member_loop_scan(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, 0, result), 0);
    CHECK_STATUS(muster_member_loop_combine(loop, sum, NULL, result), 0);
    partial.partial_bytes = 12;
    CHECK_STATUS(muster_member_loop_begin(me, &partial, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0)
        muster_member_loop_commit(loop, &chunk);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    CHECK_STATUS(muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, result), -EINVAL);
    CHECK_STATUS(muster_member_loop_reduce(loop, MUSTER_TYPE_I32, MUSTER_OP_SUM, result), 0);
    CHECK_STATUS(muster_member_loop_begin(me, &good, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0)
        muster_member_loop_commit(loop, &chunk);
    report.size_bytes = 3;
    CHECK_STATUS(muster_member_loop_end(loop, &report), -EINVAL);
    CHECK(report.size_bytes == 3);
    CHECK_STATUS(muster_member_loop_combine(loop, sum, NULL, result), -EINVAL);

    /* No memory: for the audit of a scattered roll, and for the tree of partial results. */
    bad = good, bad.elements = 1000, bad.grain = 1;
    CHECK_STATUS(muster_member_loop_begin(me, &bad, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0)
        if (chunk.index % 2 == 0)
            muster_member_loop_commit(loop, &chunk);
    muster_testing_fail_memory(1);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -ENOMEM);
    CHECK(muster_testing_failed());
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EINVAL); /* it is over all the same */
    partial.partial_bytes = 8;
    CHECK_STATUS(muster_member_loop_begin(me, &partial, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0)
        muster_member_loop_commit(loop, &chunk);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    muster_testing_fail_memory(1);
    CHECK_STATUS(muster_member_loop_combine(loop, sum, NULL, result), -ENOMEM);
    muster_testing_fail_memory(1);
    CHECK_STATUS(muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, result), -ENOMEM);
    CHECK_STATUS(muster_member_loop_combine(loop, sum, NULL, result), 0);

    /* A loop without chunks gives the identity. */
    partial.partial_bytes = 8;
    partial.elements = 0;
    CHECK_STATUS(muster_member_loop_begin(me, &partial, &loop), 0);
    CHECK_STATUS(muster_member_loop_next(loop, &chunk), 0);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    CHECK_STATUS(muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_PRODUCT, result), 0);
    CHECK(result[0] == 1);

    /* What somebody else has scribbled into the roll. */
    CHECK_STATUS(muster_member_loop_begin(me, &good, &loop), 0);
    ((struct muster_roll *)(uintptr_t)me->rolls[0])->length = 1ull << 40;
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EUCLEAN);
    me->post->state = 9;
    me->parts.block->breaks = 2;
    CHECK_STATUS(muster_member_barrier(me), -EOWNERDEAD);
    CHECK_STATUS(muster_recover(me), -EUCLEAN);
    CHECK_STATUS(muster_leave(me), 0);
    return 0;
}
