/* launch_loops.c - loops of a leader in C: results, and recovery: in-place data come out right
 * after any death of a worker. How loops fail is in launch_failures.c. */
#define _GNU_SOURCE
#include "launch_mischief.h"

#include <sys/wait.h>

/* -- results -------------------------------------------------------------------------------- */

static void schedules(void)
{
    for (uint32_t schedule = MUSTER_SCHEDULE_STATIC; schedule <= MUSTER_SCHEDULE_STATIC_STEAL;
         schedule++) {
        prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0);
        loop.schedule = schedule;
        run_clean();
        CHECK(stepped_except(-1));
        prepare(step_whole, MUSTER_ACCESS_IN_PLACE, NONE, 0);
        loop.schedule = schedule;
        run_clean();
        CHECK(stepped_except(-1));
        prepare(write_index, MUSTER_ACCESS_OUTPUT, NONE, 0);
        loop.schedule = schedule;
        run_clean();
        for (uint64_t i = 0; i < ELEMENTS; i++)
            CHECK(((uint64_t *)muster_array_elements(x))[i] == i);
        CHECK(muster_leader_report(leader)->death_count == 0);
    }
}

static int who(const struct muster_work *work)
{
    struct whole {
        uint64_t rank, size, pid;
    } *cells = muster_work_output(work, 0);
    CHECK(work->chunk.first == work->rank && work->chunk.end == work->rank + 1u);
    CHECK(work->partial == NULL && muster_work_count(work, 0) == muster_work_count(work, 1));
    cells[work->rank] = (struct whole){work->rank, work->size, (uint64_t)getpid()};
    return 0;
}

static void by_rank(void)
{
    uint32_t size = muster_leader_size(leader);
    struct muster_array *cells = array(leader, 24, size), *other = array(leader, 3, size);
    struct muster_use both[2] = {{.array = cells, .access = MUSTER_ACCESS_OUTPUT},
                                 {.array = other, .access = MUSTER_ACCESS_INPUT}};
    struct muster_loop_options each = {
        .size_bytes = sizeof each, .kernel = who, .uses = both, .use_count = 2, .by_rank = 1};
    CHECK(muster_leader_run(leader, &each, &error) == 0);
    const uint64_t *words = muster_array_elements(cells);
    for (uint32_t rank = 0; rank < size; rank++) {
        CHECK(words[3 * rank] == rank && words[3 * rank + 1] == size);
        CHECK(words[3 * rank + 2] == (uint64_t)muster_leader_process(leader, rank));
    }
    muster_array_destroy(cells);
    muster_array_destroy(other);
}

static int sum(const struct muster_work *work)
{
    const double *values = muster_work_input(work, 0);
    double *partial = work->partial;
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++) {
        partial[0] += values[i];
        partial[1] -= values[i] * 0.1;
        partial[2] += 1;
        if (i == work->chunk.first + 10 && misbehave(work) != 0)
            return 1;
    }
    return 0;
}

static void add(void *left, const void *right, void *context)
{
    for (int i = 0; i < 3; i++)
        ((double *)left)[i] += ((const double *)right)[i];
    ++*(int *)context;
}

/* One sum by a team of its own. Sums of such numbers depend on the order of addition. */
static void sum_by(uint32_t size, uint32_t schedule, enum mischief what, double *result)
{
    lead(size, MUSTER_START_FORK);
    prepare(sum, MUSTER_ACCESS_INPUT, what, 20);
    double *values = muster_array_elements(x);
    uint64_t state = 20261124; /* the seed: any will do */
    for (uint64_t i = 0; i < ELEMENTS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (double)(state >> 11) / 3e9 - 1e6;
    }
    loop.schedule = schedule;
    int joins = 0;
    CHECK(muster_leader_reduce(leader, &loop, 3 * sizeof(double), add, &joins, result, &error) ==
          0);
    CHECK(clean()->death_count == (what == DIE_ONCE));
    CHECK(joins == CHUNKS - 1 && result[2] == ELEMENTS);
    muster_leader_destroy(leader);
}

static void same_bits(void)
{
    double first[3], other[3];
    sum_by(1, MUSTER_SCHEDULE_STATIC, NONE, first);
    for (uint32_t size = 2; size <= 5; size++) {
        sum_by(size, size - 1, NONE, other);
        CHECK(memcmp(first, other, sizeof first) == 0);
        sum_by(size, size - 1, DIE_ONCE, other);
        CHECK(memcmp(first, other, sizeof first) == 0);
    }
    lead(2, MUSTER_START_FORK);
    prepare(sum, MUSTER_ACCESS_INPUT, NONE, 0);
    loop.count = 0;
    uses[0].flags = MUSTER_USE_PREFIX;
    double kept[3] = {4, 5, 6};
    int joins = 0;
    CHECK(muster_leader_reduce(leader, &loop, sizeof kept, add, &joins, kept, &error) == 0);
    CHECK(joins == 0 && kept[0] == 4 && kept[1] == 5 && kept[2] == 6);
    muster_leader_destroy(leader);
}

/* -- recovery ------------------------------------------------------------------------------- */

/* Reports of two loops, one with a death, added. */
static void added(const struct muster_report *report)
{
    struct muster_report sum = {0}, other = *report;
    CHECK(muster_report_add(&sum, report) == 0 && muster_report_add(&sum, &other) == 0);
    CHECK(sum.loops == 2 && sum.failed == 0 && sum.clean && sum.size == report->size);
    CHECK(sum.chunks == 2 * report->chunks && sum.redone == 2 && sum.death_count == 2);
    CHECK(!sum.deaths && !sum.text && sum.interrupted_by == UINT32_MAX);
    other.size_bytes -= 8;
    CHECK(muster_report_add(&sum, &other) == -EINVAL && sum.loops == 2);
}

static void redone(muster_kernel kernel, enum mischief what, uint32_t schedule)
{
    prepare(kernel, MUSTER_ACCESS_IN_PLACE, what, 20);
    loop.schedule = schedule;
    if (what == HANG_ONCE)
        loop.stall_ns = 50000000;
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    const struct muster_report *report = clean();
    CHECK(report->death_count == 1 && report->redone == 1);
    added(report);
    const struct muster_report_death *death = report->deaths;
    CHECK(death->chunk == 20 && death->signal == SIGKILL && death->attempt == 1);
    CHECK(death->stalled == (what == HANG_ONCE) && death->pid > 0 && death->exit_code == 0);
    CHECK(death->pid != muster_leader_process(leader, death->rank));
    CHECK(stepped_except(-1));
}

/* What a first attempt has written is overwritten before the second. */
static void poisoned(void)
{
    prepare(read_output, MUSTER_ACCESS_OUTPUT, NONE, 20);
    run_clean();
    CHECK(muster_leader_report(leader)->death_count == 1);
}

/* Kills one worker after the other from outside, wherever they are. */
static int kill_somebody(void *context, const struct muster_progress *progress)
{
    int *kills = context;
    CHECK(progress->chunks == CHUNKS && progress->done <= CHUNKS && progress->elapsed_ns > 0);
    if (*kills < 6)
        kill(muster_leader_process(leader, (uint32_t)(*kills)++ % muster_leader_size(leader)),
             SIGKILL);
    return 0;
}

static void killed_from_outside(void)
{
    int kills = 0;
    prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0);
    arguments.pause_us = 60000;
    loop.progress = kill_somebody;
    loop.progress_context = &kills;
    loop.redo_limit = 1000;
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    CHECK(kills > 2 && clean()->death_count == (uint64_t)kills && stepped_except(-1));
}

static void quarantined(enum mischief what, int signal)
{
    prepare(step, MUSTER_ACCESS_IN_PLACE, what, 20);
    loop.redo_limit = what == CRASH_ALWAYS ? 2 : 0;
    CHECK_FAILS(MUSTER_ERROR_QUARANTINE, "chunk 20 (elements 20000..<21000)",
                muster_leader_run(leader, &loop, &error));
    const struct muster_report *report = muster_leader_report(leader);
    uint64_t limit = loop.redo_limit ? loop.redo_limit : 3;
    CHECK(report && !report->clean && report->exactly_once == CHUNKS - 1 && report->missing == 1);
    CHECK(report->quarantined_count == 1 && report->quarantined[0] == 20);
    CHECK(report->finding_count == 1 && report->findings[0].first == 20);
    CHECK(report->findings[0].end == 21 && report->findings[0].repeated == 0);
    CHECK(report->death_count == limit && report->redone == 0);
    for (uint64_t i = 0; i < limit; i++)
        CHECK(report->deaths[i].attempt == i + 1 && report->deaths[i].signal == signal);
    CHECK(stepped_except(20));
}

static void all(uint32_t start)
{
    lead(3, start);
    schedules();
    by_rank();
    redone(step, DIE_ONCE, MUSTER_SCHEDULE_STATIC);
    redone(step_whole, DIE_ONCE, MUSTER_SCHEDULE_DYNAMIC);
    redone(step, DIE_ONCE, MUSTER_SCHEDULE_STATIC_STEAL);
    redone(step, HANG_ONCE, MUSTER_SCHEDULE_CYCLIC);
    poisoned();
    killed_from_outside();
    quarantined(DIE_ALWAYS, SIGKILL);
    quarantined(CRASH_ALWAYS, SIGSEGV);
    end_as_at_first();
}

int main(void)
{
    muster_leader_serve();
    alarm(WATCHDOG_SECONDS);
    all(MUSTER_START_FORK);
    same_bits();
    all(MUSTER_START_SERVER);
    puts("leader.h: results and recovery, forked and served");
    return EXIT_SUCCESS;
}
