/* storm.c - a storm of the C core alone: ranks of a team are killed while they change an array in
 * place, and every element must have been changed exactly once at the end of each loop.
 *
 *     storm SEED LOOPS [broken]
 *
 * Each loop has another schedule, grain and number of kills, all from the seed. `broken` leaves a
 * dead rank's half-changed chunk as it is: then the storm must find a wrong element. Exits 0 when
 * all held, 1 with the reason, 3 when a watchdog ended a hang.
 */
#define _GNU_SOURCE
#include <muster/core/core.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANKS = 3, ELEMENTS = 60000, WATCHDOG_SECONDS = 120 };

static struct muster_team *team;
static struct muster_extent extent;
static uint64_t state; /* of the random numbers */
static bool broken;

static _Noreturn void give_up(const char *what, int64_t detail)
{
    fprintf(stderr, "storm: %s (%lld)\n", what, (long long)detail);
    exit(EXIT_FAILURE);
}

static void hang(int signal)
{
    static const char words[] = "storm: hung\n";
    (void)signal;
    _exit(write(STDERR_FILENO, words, sizeof words - 1) > 0 ? 3 : 3);
}

static uint32_t below(uint32_t bound)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 33) % bound;
}

static uint64_t *values(void)
{
    return (uint64_t *)(muster_team_space(team)->address + extent.offset_bytes);
}

/* Long enough for a kill to come in the middle of a chunk. */
static uint64_t changed(uint64_t value, uint64_t i)
{
    for (int round = 0; round < 60; round++)
        value = value * 6364136223846793005ull + i;
    return value;
}

/* -- a rank --------------------------------------------------------------------------------- */

/* Changes a chunk tile by tile, each saved before its first store. */
static void change(struct muster_loop *loop, const struct muster_chunk *chunk)
{
    const uint64_t tile = MUSTER_TILE_BYTES / sizeof(uint64_t);
    for (uint64_t first = chunk->first; first < chunk->end; first += tile) {
        uint64_t end = first + tile < chunk->end ? first + tile : chunk->end;
        muster_loop_save(loop, chunk->index, 0, extent.offset_bytes + first * sizeof(uint64_t),
                         (end - first) * sizeof(uint64_t));
        for (uint64_t i = first; i < end; i++)
            values()[i] = changed(values()[i], i);
    }
}

static _Noreturn void live(uint32_t rank)
{
    struct muster_loop *loop = muster_loop_create();
    uint64_t seen = muster_team_slot(team, rank)->done;
    while (muster_worker_wait(team, rank, &seen) == 1) {
        uint64_t job = muster_team_job(team)->number;
        struct muster_chunk chunk;
        if (muster_loop_begin(loop, team, rank) < 0)
            abort();
        while (muster_loop_next(loop, &chunk)) {
            change(loop, &chunk);
            muster_loop_commit(loop, &chunk);
        }
        muster_slot_conclude(muster_team_slot(team, rank), MUSTER_OUTCOME_FINE,
                             muster_loop_end(loop), job);
        muster_worker_done(team, rank, job);
        seen = job;
    }
    muster_worker_exit();
}

static void start(uint32_t rank)
{
    int pid = muster_team_spawn(team, rank);
    if (pid == 0)
        live(rank);
    if (pid < 0)
        give_up(muster_status_text(pid), rank);
}

/* -- the leader ----------------------------------------------------------------------------- */

static uint32_t kills;

/* Gives each dead rank a successor, which puts back what was half done. */
static void absorb_deaths(void)
{
    uint32_t count = 0;
    const struct muster_death *deaths = muster_team_deaths(team, &count);
    bool dead[RANKS] = {false};
    for (uint32_t i = 0; i < count; i++)
        dead[deaths[i].rank] = true;
    muster_team_forget_deaths(team);
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        if (!dead[rank] || muster_team_holds(team, rank))
            continue;
        if (broken)
            memset(muster_team_journal(team, rank), 0, sizeof(struct muster_journal));
        if (muster_team_running(team))
            muster_team_plan_successor(team, rank, false);
        else if (muster_team_restore(team, rank) < 0)
            give_up("a journal can't be put back", rank);
        start(rank);
    }
}

static void finish_job(uint32_t kills_left)
{
    for (;;) {
        int64_t timeout_ns = kills_left > 0 ? 20000 + (int64_t)below(3000000) : -1;
        int joined = muster_team_join(team, timeout_ns);
        if (joined < 0)
            give_up(muster_status_text(joined), joined);
        if (joined == MUSTER_JOIN_ENDED)
            break;
        if (joined == MUSTER_JOIN_TIMEOUT && kills_left > 0) {
            uint32_t rank = below(RANKS);
            kills += muster_team_holds(team, rank) && muster_team_kill(team, rank) == 0;
            kills_left--;
        }
        absorb_deaths();
    }
    muster_team_poll(team);
    absorb_deaths();
}

/* Has what is missing done by further jobs. */
static void finish_holes(void)
{
    static struct muster_finding findings[ELEMENTS];
    struct muster_audit audit;
    for (int round = 0; round < 20; round++) {
        int64_t found = muster_team_audit(team, &audit, findings, ELEMENTS);
        if (found < 0 || audit.repeated > 0)
            give_up("chunks were committed twice, or a roll makes no sense", found);
        if (audit.missing == 0)
            return;
        struct muster_job *job = muster_team_job(team);
        for (int64_t i = 0; i < found; i++)
            muster_team_list(team)[i] =
                (struct muster_interval){.first = findings[i].first, .end = findings[i].end};
        job->schedule = MUSTER_SCHEDULE_LISTED;
        job->list_count = (uint64_t)found;
        muster_team_dispatch_again(team);
        finish_job(0);
    }
    give_up("chunks are missing after 20 rounds", (int64_t)audit.missing);
}

static void run(uint32_t number)
{
    struct muster_job *job = muster_team_job(team);
    job->kind = MUSTER_JOB_LOOP;
    job->schedule = number % MUSTER_SCHEDULE_LISTED;
    job->flags = MUSTER_JOB_JOURNALED;
    job->first_chunk = 0;
    job->elements = ELEMENTS;
    job->grain = 1 + below(3000);
    job->chunk_count = muster_schedule_chunks(ELEMENTS, job->grain);
    job->batch = 1 + below(4);
    job->list_count = 0;
    muster_team_dispatch(team);
    finish_job(1 + below(5));
    finish_holes();
}

int main(int count, char **arguments)
{
    uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
    uint32_t loops = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 20;
    broken = count > 3 && strcmp(arguments[3], "broken") == 0;
    state = seed;
    signal(SIGALRM, hang);
    alarm(WATCHDOG_SECONDS);
    struct muster_team_options options = {
        .size_bytes = sizeof options, .size = RANKS, .usable_cpus = 1, .spin_ns = -1};
    int status = muster_team_create(&options, &team);
    if (status == 0)
        status = muster_space_allocate(muster_team_space(team), ELEMENTS * sizeof(uint64_t), false,
                                       &extent);
    if (status < 0)
        give_up(muster_status_text(status), status);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        start(rank);
    static uint64_t wanted[ELEMENTS];
    for (uint32_t number = 0; number < loops; number++) {
        run(number);
        for (uint64_t i = 0; i < ELEMENTS; i++) {
            wanted[i] = changed(wanted[i], i);
            if (values()[i] != wanted[i])
                give_up("an element was not changed exactly once", (int64_t)i);
        }
    }
    muster_team_destroy(team);
    if (kills == 0)
        give_up("nobody was killed", 0);
    printf("storm: %u loops, %u kills, each element changed exactly once; seed %llu\n", loops,
           kills, (unsigned long long)seed);
    return EXIT_SUCCESS;
}
