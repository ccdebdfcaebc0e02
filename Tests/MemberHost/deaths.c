/* deaths.c - a rank is killed at each named point of each collective call, in loops that adopt and
 * loops that don't; ranks are started again.
 */
#define _GNU_SOURCE
#include "support.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "member/state.h"

enum call { BARRIER, BROADCAST, REDUCE, ALL_REDUCE, SCAN_CALL, ARRAY, LOOP, CALLS };

static const char *const names[] = {"barrier", "broadcast", "reduce", "all-reduce",
                                    "scan",    "array",     "loop"};

struct death {
    enum call call;
    uint32_t point, victim;
    uint64_t returned_zero; /* survivors that came through the call */
    uint64_t survivors;
};

static int make_call(struct muster_member *me, enum call call)
{
    static double x[5000];
    void *address;
    switch (call) {
    case BARRIER:
        return muster_member_barrier(me);
    case BROADCAST:
        return muster_member_broadcast(me, x, sizeof x, 1);
    case REDUCE:
        return muster_member_reduce(me, x, 5000, MUSTER_TYPE_F64, MUSTER_OP_SUM, 1);
    case ALL_REDUCE:
        return muster_member_all_reduce(me, x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM);
    case SCAN_CALL:
        return muster_member_scan(me, x, 5000, MUSTER_TYPE_F64, MUSTER_OP_SUM, MUSTER_SCAN_BEFORE);
    case ARRAY:
        return muster_member_array(me, "array", 100000, &address);
    default:
        break;
    }
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .elements = 60,
                                                 .grain = 1,
                                                 .schedule = MUSTER_SCHEDULE_CYCLIC};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    int status = muster_member_loop_begin(me, &options, &loop);
    if (status < 0)
        return status;
    bool is_odd = muster_member_rank(me) % 2 != 0; /* both entries of it */
    while ((status = is_odd ? muster_member_loop_next_call(loop, &chunk)
                            : muster_member_loop_next(loop, &chunk)) > 0)
        muster_member_loop_commit(loop, &chunk);
    int ended = muster_member_loop_end(loop, NULL);
    CHECK(status == 0 || status == ended); /* what stopped it is what its end says */
    return ended;
}

static int dying(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct death *death = team->context;
    struct muster_member *me = join_as(team, rank);
    (void)incarnation;
    CHECK_STATUS(make_call(me, death->call), 0);
    if (rank == death->victim)
        muster_testing_arm(death->point, MUSTER_POINT_KILL, 1, -1, -1);
    int status = make_call(me, death->call);
    if (rank == death->victim)
        fail(__FILE__, __LINE__, "the victim outlived its point");
    if (status == 0)
        __atomic_fetch_add(&death->returned_zero, 1, __ATOMIC_RELAXED);
    else
        CHECK_STATUS(status, -EOWNERDEAD);
    /* At the latest in the next call, and in every one until it recovers. */
    for (int call = 0; call < CALLS; call++)
        CHECK_STATUS(make_call(me, call), -EOWNERDEAD);
    CHECK_STATUS(muster_recover(me), 0);
    CHECK(muster_member_alive(me, death->victim) == 0 && muster_member_alive(me, rank) == 1);
    uint64_t ranks = 1ull << rank;
    CHECK_STATUS(muster_member_all_reduce(me, &ranks, 1, MUSTER_TYPE_U64, MUSTER_OP_OR), 0);
    CHECK(ranks == (((1ull << team->size) - 1) & ~(1ull << death->victim)));
    for (int call = 0; call < CALLS; call++)
        if (!((call == BROADCAST || call == REDUCE) && death->victim == 1)) /* no such root now */
            CHECK_STATUS(make_call(me, call), 0);
    __atomic_fetch_add(&death->survivors, 1, __ATOMIC_RELAXED);
    return muster_leave(me);
}

/* Rank 1 dies once rank 0 has a chunk: rank 0, which waits until the death is known, is told at its
 * next chunk. */
static int bereaved(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct muster_member *me = join_as(team, rank);
    struct muster_member_loop_options options = {
        .size_bytes = sizeof options, .elements = 100, .grain = 1};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    (void)incarnation;
    uint32_t *has_chunk = team->context;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    if (rank == 1) {
        while (!__atomic_load_n(has_chunk, __ATOMIC_ACQUIRE))
            usleep(1000);
        kill(getpid(), SIGKILL);
    }
    CHECK_STATUS(muster_member_loop_next(loop, &chunk), 1);
    __atomic_store_n(has_chunk, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(loop->cursor.breaks, __ATOMIC_ACQUIRE) == loop->cursor.watched)
        usleep(1000);
    CHECK_STATUS(muster_member_loop_next(loop, &chunk), -EOWNERDEAD);
    CHECK_STATUS(muster_member_loop_next_call(loop, &chunk), -EOWNERDEAD);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EOWNERDEAD);
    return muster_leave(me);
}

int deaths(int count, char **arguments)
{
    static const uint32_t points[] = {
        MUSTER_POINT_ARRIVING,   MUSTER_POINT_ARRIVED,    MUSTER_POINT_MET,
        MUSTER_POINT_MAILED,     MUSTER_POINT_MAPPED,     MUSTER_POINT_CLAIMED,
        MUSTER_POINT_CURRENT,    MUSTER_POINT_COMMITTING, MUSTER_POINT_COMMITTED,
        MUSTER_POINT_LOOP_ENDED, MUSTER_POINT_AUDITING,   MUSTER_POINT_AUDITED};
    uint32_t done = 0;
    (void)count;
    (void)arguments;
    for (enum call call = 0; call < CALLS; call++)
        for (uint32_t p = 0; p < sizeof points / sizeof *points; p++)
            for (uint32_t victim = 0; victim < 3; victim++) {
                uint32_t point = points[p];
                bool mails = call != BARRIER && call != LOOP;
                if ((p >= 5 && call != LOOP) || (point == MUSTER_POINT_MAILED && !mails) ||
                    point == MUSTER_POINT_MAPPED) /* a second time nothing is mapped */
                    continue;
                watch(60);
                struct death *death = shared(sizeof *death);
                *death = (struct death){.call = call, .point = point, .victim = victim};
                struct team team = {.size = 3,
                                    .program = dying,
                                    .context = death,
                                    .spin_ns = victim == 1 ? 50000 : 0};
                run_team(&team);
                for (uint32_t rank = 0; rank < 3; rank++)
                    if (rank == victim ? !was_killed(&team, rank) : !ended_well(&team, rank)) {
                        fprintf(stderr, "%s, point %u, victim %u: ranks ended with %#x %#x %#x\n",
                                names[call], point, victim, team.statuses[0], team.statuses[1],
                                team.statuses[2]);
                        return 1;
                    }
                CHECK(death->survivors == 2 && team.died == 1 && team.left == 2);
                /* Who had not come is missed by all who needed it. */
                if (point == MUSTER_POINT_ARRIVING || point == MUSTER_POINT_MAILED)
                    CHECK(death->returned_zero == 0);
                end_team(&team);
                done++;
            }
    struct team team = {.size = 2, .program = bereaved, .context = shared(sizeof(uint32_t))};
    run_team(&team);
    CHECK(ended_well(&team, 0) && was_killed(&team, 1));
    end_team(&team);
    printf("deaths %u\n", done);
    return 0;
}

/* -- loops that adopt ----------------------------------------------------------------------- */

#define ELEMENTS 1000u

struct adoption {
    uint32_t schedule;
    uint32_t points[2], victims[2], victim_count;
    uint64_t survivors, adopted;
    uint64_t bits[RANKS_MOST];
};

static int adopting(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct adoption *adoption = team->context;
    struct muster_member *me = join_as(team, rank);
    double *x = NULL;
    void *address = NULL;
    (void)incarnation;
    CHECK_STATUS(muster_member_array(me, "x", ELEMENTS * sizeof *x, &address), 0);
    x = address;
    for (uint32_t i = 0; i < adoption->victim_count; i++)
        if (adoption->victims[i] == rank)
            muster_testing_arm(adoption->points[i], MUSTER_POINT_KILL, 1, -1, -1);
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .elements = ELEMENTS,
                                                 .grain = 7,
                                                 .schedule = adoption->schedule,
                                                 .partial_bytes = sizeof(double),
                                                 .flags = MUSTER_LOOP_ADOPT,
                                                 .name = "adopting"};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    int status;
    while ((status = muster_member_loop_next_call(loop, &chunk)) > 0) {
        double sum = 0;
        for (uint64_t i = chunk.first; i < chunk.end; i++)
            sum += x[i] = 1.0 / (double)(i + 1);
        memcpy(muster_member_loop_partial(loop, &chunk), &sum, sizeof sum);
        muster_member_loop_commit(loop, &chunk);
        usleep(50); /* so that every rank has a part, and dies in it */
    }
    CHECK_STATUS(status, 0);
    struct muster_report report = {.size_bytes = sizeof report};
    CHECK_STATUS(muster_member_loop_end(loop, &report), 0);
    uint64_t chunks = (ELEMENTS + 6) / 7;
    CHECK(report.chunks == chunks && report.exactly_once == chunks);
    for (uint64_t i = 0; i < ELEMENTS; i++)
        CHECK(x[i] == 1.0 / (double)(i + 1));
    CHECK_STATUS(
        muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, &adoption->bits[rank]), 0);
    __atomic_store_n(&adoption->adopted, report.adopted, __ATOMIC_RELAXED);
    __atomic_fetch_add(&adoption->survivors, 1, __ATOMIC_RELAXED);
    if (adoption->victim_count > 0)
        CHECK_STATUS(muster_member_barrier(me), -EOWNERDEAD);
    CHECK_STATUS(muster_recover(me), 0);
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

static uint64_t adopt_once(uint32_t size, struct adoption wanted)
{
    watch(60);
    struct adoption *adoption = shared(sizeof *adoption);
    *adoption = wanted;
    struct team team = {.size = size, .program = adopting, .context = adoption};
    run_team(&team);
    for (uint32_t rank = 0; rank < size; rank++)
        if (!ended_well(&team, rank) && !was_killed(&team, rank)) {
            fprintf(stderr, "schedule %u points %u %u: rank %u ended with %#x\n", wanted.schedule,
                    wanted.points[0], wanted.points[1], rank, team.statuses[rank]);
            exit(1);
        }
    CHECK(adoption->survivors == size - wanted.victim_count);
    uint64_t bits = 0;
    for (uint32_t rank = 0; rank < size; rank++) {
        if (!ended_well(&team, rank))
            continue;
        CHECK(bits == 0 || bits == adoption->bits[rank]);
        bits = adoption->bits[rank];
    }
    /* One of the survivors' notes, also if another one died while it wrote its own. */
    struct muster_launcher_audit audit;
    CHECK_STATUS(muster_launcher_audited(team.launcher, 0, &audit), 1);
    CHECK(strcmp(audit.name, "adopting") == 0 && audit.report.loops == 1 &&
          audit.report.failed == 0);
    CHECK(audit.report.exactly_once == (ELEMENTS + 6) / 7 &&
          audit.report.adopted == adoption->adopted);
    CHECK_STATUS(muster_launcher_audited(team.launcher, 1, &audit), 0);
    if (wanted.schedule == MUSTER_SCHEDULE_STATIC && wanted.points[0] == MUSTER_POINT_CURRENT)
        CHECK(adoption->adopted > 0);
    end_team(&team);
    return bits;
}

/* All schedules and points, and all come to the same bits, with any size. */
int adoption(int count, char **arguments)
{
    static const uint32_t points[] = {MUSTER_POINT_CLAIMED,    MUSTER_POINT_CURRENT,
                                      MUSTER_POINT_COMMITTING, MUSTER_POINT_COMMITTED,
                                      MUSTER_POINT_ARRIVED,    MUSTER_POINT_LOOP_ENDED,
                                      MUSTER_POINT_AUDITING,   MUSTER_POINT_AUDITED};
    (void)count;
    (void)arguments;
    uint64_t bits = adopt_once(1, (struct adoption){.schedule = MUSTER_SCHEDULE_STATIC});
    uint32_t done = 0;
    for (uint32_t schedule = MUSTER_SCHEDULE_STATIC; schedule <= MUSTER_SCHEDULE_STATIC_STEAL;
         schedule++) {
        for (uint32_t size = 2; size <= 5; size += 3)
            CHECK(adopt_once(size, (struct adoption){.schedule = schedule}) == bits);
        for (uint32_t p = 0; p < sizeof points / sizeof *points; p++) {
            struct adoption one = {
                .schedule = schedule, .points = {points[p]}, .victims = {1}, .victim_count = 1};
            if (points[p] == MUSTER_POINT_ARRIVED)
                continue; /* in the loop's begin, which does not adopt */
            CHECK(adopt_once(3, one) == bits);
            done++;
        }
        /* One dies in its part, and then another knows what it left. */
        struct adoption two = {.schedule = schedule,
                               .points = {MUSTER_POINT_CURRENT, MUSTER_POINT_ADOPTING},
                               .victims = {0, 2},
                               .victim_count = 2};
        CHECK(adopt_once(4, two) == bits);
        done++;
    }
    printf("adoptions %u\n", done);
    return 0;
}

/* -- ranks that are started again ----------------------------------------------------------- */

struct recovery {
    uint64_t rounds_by_successors;
    uint64_t finished;
};

static int restarted(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct recovery *recovery = team->context;
    struct muster_member *me = join_as(team, rank);
    struct muster_member_description description = {.size_bytes = sizeof description};
    CHECK_STATUS(muster_member_describe(me, &description), 0);
    CHECK(description.incarnation == incarnation && description.rank == rank);
    if (incarnation > 1)
        CHECK_STATUS(muster_member_barrier(me), -EOWNERDEAD);
    int status = incarnation > 1 ? -EOWNERDEAD : 0;
    uint64_t *kept = NULL;
    void *address = NULL;
    for (;;) {
        if (status == -EOWNERDEAD)
            CHECK_STATUS(muster_recover(me), 0);
        status = muster_member_array(me, "kept", 16 * sizeof *kept, &address);
        if (status == -EOWNERDEAD)
            continue;
        CHECK_STATUS(status, 0);
        kept = address;
        /* A rank that came through the last call leaves, while that call fails in another. */
        bool may_leave = true;
        for (uint32_t r = 0; r < team->size; r++)
            may_leave &= __atomic_load_n(&kept[r], __ATOMIC_RELAXED) >= 3;
        for (uint32_t r = 0; r < team->size; r++)
            CHECK(muster_member_alive(me, r) == 1 || may_leave);
        if (kept[rank] < 3) {
            kept[rank]++;
            if (rank == 1) /* twice, and what it had counted is still there */
                kill(getpid(), SIGKILL);
        }
        uint64_t least = kept[rank];
        status = muster_member_all_reduce(me, &least, 1, MUSTER_TYPE_U64, MUSTER_OP_MIN);
        if (status == 0 && least >= 3)
            break;
    }
    if (rank == 1) {
        CHECK(incarnation == 4);
        recovery->rounds_by_successors = kept[1];
    }
    __atomic_fetch_add(&recovery->finished, 1, __ATOMIC_RELAXED);
    return muster_leave(me);
}

/* A rank that has left is no rank that died, and who needs it learns of it all the same. */
static int leaving(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct muster_member *me = join_as(team, rank);
    (void)incarnation;
    CHECK_STATUS(muster_member_barrier(me), 0);
    if (rank == 0)
        return muster_leave(me);
    CHECK_STATUS(muster_member_barrier(me), -EOWNERDEAD);
    CHECK_STATUS(muster_recover(me), 0);
    CHECK(muster_member_alive(me, 0) == 0);
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

/* A rank that executes another program is none any more, though its process lives. */
static int executing(struct team *team, uint32_t rank, uint32_t incarnation)
{
    const int *ends = team->context;
    struct muster_member *me = join_as(team, rank);
    (void)incarnation;
    CHECK_STATUS(muster_member_barrier(me), 0);
    if (rank == 0) {
        CHECK(dup2(ends[0], 0) == 0);
        close(ends[1]);
        execl("/bin/cat", "cat", (char *)NULL);
        return 1;
    }
    CHECK_STATUS(muster_member_barrier(me), -EOWNERDEAD);
    CHECK_STATUS(muster_recover(me), 0);
    CHECK(muster_member_alive(me, 0) == 0);
    return muster_leave(me);
}

static void end_executed(struct team *team, const struct muster_launcher_event *event)
{
    const int *ends = team->context;
    if (event->kind == MUSTER_LAUNCHER_LEFT && event->rank == 0)
        close(ends[1]);
}

/* A process that ends before it joins. */
static int late(struct team *team, uint32_t rank, uint32_t incarnation)
{
    if (rank == 1 && incarnation == 1)
        return 7;
    struct muster_member *me = join_as(team, rank);
    int status = muster_member_barrier(me);
    if (team->policy == LOSE) {
        CHECK_STATUS(status, -EOWNERDEAD);
        CHECK_STATUS(muster_recover(me), 0);
        CHECK(muster_member_alive(me, 1) == 0);
    } else { /* nobody has missed it */
        CHECK_STATUS(status, 0);
    }
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

int recovery(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    struct recovery *recovery = shared(sizeof *recovery);
    struct team team = {.size = 3,
                        .program = restarted,
                        .context = recovery,
                        .policy = RESTART,
                        .restarts_most = 5};
    run_team(&team);
    check_ends(&team);
    CHECK(team.restarts == 3 && recovery->finished == 3 && recovery->rounds_by_successors == 3);
    end_team(&team);

    team = (struct team){.size = 3, .program = leaving};
    run_team(&team);
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK(ended_well(&team, rank));
    CHECK(team.left == 3 && team.died == 0);
    end_team(&team);

    int ends[2];
    CHECK(pipe(ends) == 0);
    team = (struct team){.size = 3, .program = executing, .context = ends, .event = end_executed};
    run_team(&team);
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK(ended_well(&team, rank));
    CHECK(team.left == 3 && team.died == 0);
    end_team(&team);

    team = (struct team){.size = 3, .program = late};
    run_team(&team);
    CHECK(ended_well(&team, 0) && ended_well(&team, 2) && team.joined == 2);
    end_team(&team);
    team = (struct team){.size = 3, .program = late, .policy = RESTART, .restarts_most = 1};
    run_team(&team);
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK(ended_well(&team, rank));
    CHECK(team.restarts == 1);
    end_team(&team);
    return 0;
}
