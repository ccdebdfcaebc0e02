/* replacement.c - a rank that is started again calls before it has recovered, or one gives up,
 * while the others are still in what the dead one left them in.
 *
 * A process that is not in the team's present generation must not change a word that its survivors
 * use.
 */
#define _GNU_SOURCE
#include "support.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "member/state.h"

#define CHUNKS 60u

struct meanwhile {
    uint64_t held;       /* survivors that wait in the call for the replacement */
    uint64_t called;     /* 1: the replacement has made its call, and was refused */
    uint64_t first_pid;  /* of rank 0 */
    uint64_t by_rank[4]; /* chunks run, by rank */
    uint64_t finished;
};

static void wait_for(const uint64_t *word, uint64_t least)
{
    while (muster_testing_load(word) < least)
        usleep(200); /* the watchdog ends it */
}

static void check_team(const struct team *team)
{
    for (uint32_t rank = 0; rank < team->size; rank++)
        CHECK(ended_well(team, rank));
}

/* -- a loop's shared words ------------------------------------------------------------------ */

static int begin_early(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct meanwhile *meanwhile = team->context;
    struct muster_member *me = join_as(team, rank);
    /* No partial results: their room is an array's, which is refused by itself. */
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .elements = CHUNKS,
                                                 .grain = 1,
                                                 .schedule = MUSTER_SCHEDULE_DYNAMIC,
                                                 .flags = MUSTER_LOOP_ADOPT};
    struct muster_member_loop *loop = NULL;
    struct muster_chunk chunk;
    if (incarnation > 1) {
        wait_for(&meanwhile->held, 2);
        CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EOWNERDEAD);
        CHECK(!loop);
        muster_testing_add(&meanwhile->called, 1);
    } else {
        CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
        int status;
        while ((status = muster_member_loop_next(loop, &chunk)) > 0) {
            if (rank == 1)
                kill(getpid(), SIGKILL);
            muster_member_loop_commit(loop, &chunk);
            if (++meanwhile->by_rank[rank] == 5) {
                muster_testing_add(&meanwhile->held, 1);
                wait_for(&meanwhile->called, 1);
            }
        }
        CHECK_STATUS(status, 0);
        struct muster_report report = {.size_bytes = sizeof report};
        CHECK_STATUS(muster_member_loop_end(loop, &report), 0);
        CHECK(report.exactly_once == CHUNKS && report.death_count == 1 && report.adopted > 0);
        CHECK(report.failed_chunk == UINT64_MAX && report.failed_rank == UINT32_MAX &&
              report.interrupted_by == UINT32_MAX && report.first_finding_ranks[0] == UINT32_MAX);
        muster_testing_add(&meanwhile->finished, 1);
    }
    CHECK_STATUS(muster_recover(me), 0);
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

/* -- mail ----------------------------------------------------------------------------------- */

enum { REDUCING, BROADCASTING };

/* Rank 0 stops between the meeting and its look at what rank 1 has mailed; rank 1 dies there. */
static int mail_early(struct team *team, uint32_t rank, uint32_t incarnation, int call)
{
    struct meanwhile *meanwhile = team->context;
    struct muster_member *me = join_as(team, rank);
    double x = (incarnation > 1 ? 1000 : 1) * (rank + 1);
    if (incarnation > 1) {
        wait_for(&meanwhile->held, 1);
    } else if (rank < 2) {
        if (rank == 0)
            meanwhile->first_pid = (uint64_t)getpid();
        muster_testing_arm(MUSTER_POINT_MET, rank == 0 ? MUSTER_POINT_STOP : MUSTER_POINT_KILL, 1,
                           -1, -1);
    }
    int status = call == REDUCING
                     ? muster_member_all_reduce(me, &x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM)
                     : muster_member_broadcast(me, &x, sizeof x, 1);
    if (incarnation > 1) {
        CHECK_STATUS(status, -EOWNERDEAD);
        CHECK(kill((pid_t)meanwhile->first_pid, SIGCONT) == 0);
    } else {
        CHECK_STATUS(status, 0);
        CHECK(x == (call == REDUCING ? 6 : 2));
        CHECK_STATUS(muster_member_barrier(me), -EOWNERDEAD);
        muster_testing_add(&meanwhile->finished, 1);
    }
    CHECK_STATUS(muster_recover(me), 0);
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

static int reduce_early(struct team *team, uint32_t rank, uint32_t incarnation)
{
    return mail_early(team, rank, incarnation, REDUCING);
}

static int broadcast_early(struct team *team, uint32_t rank, uint32_t incarnation)
{
    return mail_early(team, rank, incarnation, BROADCASTING);
}

/* Rank 0 has stopped once the kernel says so; rank 1's death alone does not. */
static void note_stop(struct team *team, const struct muster_launcher_event *event)
{
    struct meanwhile *meanwhile = team->context;
    siginfo_t information = {.si_pid = 0};
    if (event->kind == MUSTER_LAUNCHER_DIED) {
        CHECK(waitid(P_PID, (id_t)team->pids[0], &information, WSTOPPED | WNOWAIT) == 0);
        muster_testing_add(&meanwhile->held, 1);
    }
}

int replacement(int count, char **arguments)
{
    int (*const programs[])(struct team *, uint32_t, uint32_t) = {begin_early, reduce_early,
                                                                  broadcast_early};
    (void)count;
    (void)arguments;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        watch(60);
        struct meanwhile *meanwhile = shared(sizeof *meanwhile);
        struct team team = {.size = 3,
                            .program = programs[i],
                            .context = meanwhile,
                            .policy = RESTART,
                            .restarts_most = 1,
                            .event = i > 0 ? note_stop : NULL};
        run_team(&team);
        check_team(&team);
        CHECK(team.restarts == 1 && meanwhile->finished == 2);
        end_team(&team);
    }
    return 0;
}
