/* giving_up.c - a rank that lives and can't go on in a loop that others go on in without the dead.
 *
 * It comes to their meeting all the same, so that nobody waits for it for ever, and all of them
 * know that the loop has failed.
 */
#define _GNU_SOURCE
#include "support.h"

#include <signal.h>
#include <unistd.h>

#include "member/state.h"

#define CHUNKS 60u

struct outcome {
    uint64_t nth;     /* request for memory that fails; 0: none */
    uint64_t failed;  /* whether it was made */
    uint64_t through; /* survivors that have come out of the loop */
    int32_t status[3];
};

static void wait_for_both(struct outcome *outcome)
{
    muster_testing_add(&outcome->through, 1);
    while (muster_testing_load(&outcome->through) < 2)
        usleep(200); /* the watchdog ends it */
}

/* Rank 2 dies with what it has been dealt; rank 0 has no memory for the list of that. */
static int lack_memory(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct outcome *outcome = team->context;
    struct muster_member *me = join_as(team, rank);
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .elements = CHUNKS,
                                                 .grain = 1,
                                                 .schedule = MUSTER_SCHEDULE_STATIC,
                                                 .flags = MUSTER_LOOP_ADOPT};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    (void)incarnation;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    if (rank == 0)
        muster_testing_fail_memory(outcome->nth);
    /* Both entries of it, in turn. */
    while ((outcome->status[rank] = outcome->nth % 2
                                        ? muster_member_loop_next(loop, &chunk)
                                        : muster_member_loop_next_call(loop, &chunk)) > 0) {
        if (rank == 2)
            kill(getpid(), SIGKILL);
        muster_member_loop_commit(loop, &chunk);
    }
    if (rank == 0) {
        outcome->failed = muster_testing_failed();
        muster_testing_fail_memory(0);
    }
    CHECK_STATUS(muster_member_loop_end(loop, NULL), outcome->status[rank]);
    wait_for_both(outcome); /* before it recovers, which the other one would go on at */
    CHECK_STATUS(muster_recover(me), 0);
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

/* Somebody else has written into rank 0's claim word. */
static int claim_nonsense(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct outcome *outcome = team->context;
    struct muster_member *me = join_as(team, rank);
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .elements = CHUNKS,
                                                 .grain = 1,
                                                 .schedule = MUSTER_SCHEDULE_STATIC_STEAL,
                                                 .flags = MUSTER_LOOP_ADOPT};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    (void)incarnation;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    if (rank == 0)
        __atomic_store_n(&me->parts.slots[0].claim,
                         muster_schedule_pack((struct muster_interval){CHUNKS + 5, CHUNKS + 6}),
                         __ATOMIC_RELAXED);
    /* The word has to be there before the other one can look for something to steal. */
    CHECK_STATUS(muster_member_barrier(me), 0);
    while ((outcome->status[rank] = muster_member_loop_next(loop, &chunk)) > 0)
        muster_member_loop_commit(loop, &chunk);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), outcome->status[rank]);
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

int giving_up(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    struct outcome *outcome = shared(sizeof *outcome);
    uint64_t failures = 0;
    for (uint64_t nth = 1;; nth++) {
        watch(60);
        *outcome = (struct outcome){.nth = nth};
        struct team team = {.size = 3, .program = lack_memory, .context = outcome};
        run_team(&team);
        CHECK(ended_well(&team, 0) && ended_well(&team, 1) && was_killed(&team, 2));
        end_team(&team);
        CHECK(outcome->status[0] == (outcome->failed ? -ENOMEM : 0));
        CHECK(outcome->status[1] == (outcome->failed ? -EINVAL : 0));
        if (!outcome->failed)
            break;
        failures++;
    }
    CHECK(failures == 5); /* findings, list and pieces; once more: findings and pieces */

    watch(60);
    *outcome = (struct outcome){0};
    struct team team = {.size = 2, .program = claim_nonsense, .context = outcome};
    run_team(&team);
    CHECK(ended_well(&team, 0) && ended_well(&team, 1));
    end_team(&team);
    /* Either of them may have taken it. */
    int32_t *status = outcome->status;
    CHECK((status[0] == -EUCLEAN && status[1] == -EINVAL) ||
          (status[0] == -EINVAL && status[1] == -EUCLEAN));
    return 0;
}
