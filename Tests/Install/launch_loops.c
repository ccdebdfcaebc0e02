/* launch_loops.c - loops of a leader in C: results, the ways in which a loop can fail, and
 * recovery: whatever kills a worker, in-place data come out right.
 *
 * Length: one program, built and run by itself in the installation check. */
#define _GNU_SOURCE
#include "launch_check.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { GRAIN = 1000, CHUNKS = 37, ELEMENTS = GRAIN * CHUNKS - 1, LEDGER = 16 };

/* What a kernel does at the chunk `at`, beside its work. */
enum mischief { NONE, DIE_ONCE, DIE_ALWAYS, CRASH_ALWAYS, HANG_ONCE, RETURN_7, SHRINK_FILE };

struct arguments {
    uint64_t at;
    uint32_t what;
    uint32_t pause_us; /* a chunk takes so long */
    char path[64];
};

static struct muster_leader *leader;
static struct muster_array *x;
static struct muster_array *ledger; /* counts attempts: a cell that chunks share, outside of every
                                       promise, hence changed through an input */

/* How often this was called for the chunk in question, in all processes. */
static uint64_t attempt(const struct muster_work *work)
{
    uint64_t *cells = (uint64_t *)(uintptr_t)muster_work_input(work, 1);
    return __atomic_add_fetch(&cells[0], 1, __ATOMIC_SEQ_CST);
}

static int misbehave(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    if (arguments->pause_us)
        usleep(arguments->pause_us);
    if (work->chunk.index != arguments->at)
        return 0;
    switch ((enum mischief)arguments->what) {
    case DIE_ONCE:
        if (attempt(work) == 1)
            raise(SIGKILL);
        break;
    case DIE_ALWAYS:
        raise(SIGKILL);
        break;
    case CRASH_ALWAYS:
        *(volatile char *)mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
        break;
    case HANG_ONCE:
        if (attempt(work) == 1)
            for (;;)
                pause();
        break;
    case RETURN_7:
        muster_work_explain(work, "the seventh seal");
        return 7;
    case SHRINK_FILE:
        if (truncate(arguments->path, 0) != 0)
            raise(SIGKILL);
        break;
    case NONE:
        break;
    }
    return 0;
}

/* x[i] = 3 x[i] + 1, in place: done twice, or half, it shows. Misbehaves in the second tile. */
static int step(const struct muster_work *work)
{
    struct muster_tile tile = {0};
    bool first = true;
    while (muster_work_update(work, 0, &tile)) {
        uint64_t *values = tile.elements;
        for (uint64_t i = tile.first; i < tile.end; i++) {
            values[i] = 3 * values[i] + 1;
            if (!first && i == tile.first + 10) {
                int status = misbehave(work);
                if (status != 0)
                    return status;
            }
        }
        first = false;
    }
    return 0;
}

static int step_whole(const struct muster_work *work)
{
    uint64_t *values = muster_work_update_whole(work, 0);
    for (uint64_t i = work->chunk.end; i-- > work->chunk.first;) {
        values[i] = 3 * values[i] + 1;
        if (i == work->chunk.first + 10) {
            int status = misbehave(work);
            if (status != 0)
                return status;
        }
    }
    return 0;
}

/* Out of place, and reads none of what it writes. */
static int write_index(const struct muster_work *work)
{
    uint64_t *values = muster_work_output(work, 0);
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++) {
        values[i] = i;
        if (i == work->chunk.first + 10) {
            int status = misbehave(work);
            if (status != 0)
                return status;
        }
    }
    return 0;
}

static void lead(uint32_t size, uint32_t start)
{
    leader = team(size, start);
    x = array(leader, 8, ELEMENTS);
    ledger = array(leader, 8, LEDGER);
}

/* Out of place, and reads what it must not: its own first attempt's output. */
static int read_output(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    uint64_t *values = muster_work_output(work, 0);
    if (work->chunk.index != arguments->at)
        return 0;
    if (attempt(work) == 1) {
        values[work->chunk.first] = 42;
        raise(SIGKILL);
    }
    return values[work->chunk.first] == UINT64_MAX ? 0 : 42;
}

static struct arguments arguments;
static struct muster_use uses[2];
static struct muster_loop_options loop;

/* The next loop: x under an access, the ledger beside it. */
static void prepare(muster_kernel kernel, uint32_t access, enum mischief what, uint64_t at)
{
    arguments = (struct arguments){.at = at, .what = what};
    uses[0] = (struct muster_use){.array = x, .access = access};
    uses[1] = (struct muster_use){.array = ledger, .access = MUSTER_ACCESS_INPUT};
    loop = (struct muster_loop_options){.size_bytes = sizeof loop,
                                        .kernel = kernel,
                                        .count = ELEMENTS,
                                        .grain = GRAIN,
                                        .uses = uses,
                                        .use_count = 2,
                                        .arguments = &arguments,
                                        .argument_bytes = sizeof arguments};
    memset(muster_array_elements(ledger), 0, LEDGER * sizeof(uint64_t));
    uint64_t *values = muster_array_elements(x);
    for (uint64_t i = 0; i < ELEMENTS; i++)
        values[i] = 5 * i;
}

/* Whether each chunk was changed once, except one that has its old contents (-1: none). */
static bool stepped_except(int64_t chunk)
{
    const uint64_t *values = muster_array_elements(x);
    for (uint64_t i = 0; i < ELEMENTS; i++)
        if (values[i] != ((int64_t)(i / GRAIN) == chunk ? 5 * i : 15 * i + 1))
            return false;
    return true;
}

static const struct muster_report *clean(void)
{
    const struct muster_report *report = muster_leader_report(leader);
    CHECK(report && report->clean == 1 && report->chunks == CHUNKS);
    CHECK(report->exactly_once == CHUNKS && report->missing == 0 && report->repeated == 0);
    CHECK(report->elements == ELEMENTS && report->grain == GRAIN && report->finding_count == 0);
    CHECK(report->size == muster_leader_size(leader) && report->schedule == loop.schedule);
    CHECK(report->quarantined_count == 0 && report->vacant_count == 0 && !report->cancelled);
    CHECK(strstr(report->text, "37 chunks, each exactly once"));
    return report;
}

static void run_clean(void)
{
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    clean();
}

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

static void redone(muster_kernel kernel, enum mischief what, uint32_t schedule)
{
    prepare(kernel, MUSTER_ACCESS_IN_PLACE, what, 20);
    loop.schedule = schedule;
    if (what == HANG_ONCE)
        loop.stall_ns = 50000000;
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    const struct muster_report *report = clean();
    CHECK(report->death_count == 1 && report->redone == 1);
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

/* -- failures ------------------------------------------------------------------------------- */

static void returned(void)
{
    prepare(step, MUSTER_ACCESS_IN_PLACE, RETURN_7, 20);
    CHECK_FAILS(MUSTER_ERROR_KERNEL, "returned 7", muster_leader_run(leader, &loop, &error));
    CHECK(strstr(error.message, "the seventh seal") && error.kernel_status == 7);
    CHECK(strstr(error.subject, "chunk 20 "));
    const struct muster_report *report = muster_leader_report(leader);
    CHECK(report && report->missing >= 1 && report->cancelled && report->death_count == 0);
    const uint64_t *values = muster_array_elements(x);
    for (uint64_t i = 20 * GRAIN; i < 21 * GRAIN; i++)
        CHECK(values[i] == 5 * i);
}

static void failed(void)
{
    prepare(step, MUSTER_ACCESS_IN_PLACE, DIE_ALWAYS, 20);
    loop.recovery = MUSTER_RECOVERY_FAIL;
    CHECK_FAILS(MUSTER_ERROR_DEATH, "SIGKILL", muster_leader_run(leader, &loop, &error));
    const struct muster_report *report = muster_leader_report(leader);
    CHECK(report && report->death_count == 1 && report->deaths[0].chunk == 20);
}

static int cancel_at_once(void *context, const struct muster_progress *progress)
{
    (void)context;
    (void)progress;
    return 1;
}

static void on_alarm(int signal)
{
    (void)signal;
    muster_leader_cancel(leader);
}

static void cancelled(void)
{
    prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0);
    arguments.pause_us = 20000;
    loop.progress = cancel_at_once;
    CHECK_FAILS(MUSTER_ERROR_CANCELLED, "cancelled", muster_leader_run(leader, &loop, &error));
    CHECK(muster_leader_report(leader)->cancelled && muster_leader_report(leader)->missing > 0);
    /* From a signal handler, in the middle of whatever the library is at. */
    prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0);
    arguments.pause_us = 20000;
    struct sigaction action = {.sa_handler = on_alarm};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(raise(SIGUSR1) == 0); /* no loop in progress: nothing happens */
    loop.progress = NULL;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) { /* an outsider that sends the signal */
        usleep(60000);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    CHECK_FAILS(MUSTER_ERROR_CANCELLED, "cancelled", muster_leader_run(leader, &loop, &error));
    CHECK(waitpid(child, NULL, 0) == child);
}

static int read_all(const struct muster_work *work)
{
    const volatile unsigned char *bytes = muster_work_input(work, 0);
    int status = misbehave(work);
    unsigned total = 0;
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++)
        total += bytes[i];
    return total == 12345 ? 1 : status;
}

static void file_shrank(void)
{
    struct muster_file_options options = {.size_bytes = sizeof options, .element_bytes = 1};
    FILE *file = fopen("shrinks.raw", "wb");
    CHECK(file && ftruncate(fileno(file), 1 << 20) == 0 && fclose(file) == 0);
    struct muster_array *mapped;
    CHECK(muster_array_map(leader, "shrinks.raw", &options, &mapped, &error) == 0);
    prepare(read_all, MUSTER_ACCESS_INPUT, SHRINK_FILE, 20);
    strcpy(arguments.path, "shrinks.raw");
    uses[0].array = mapped;
    loop.grain = 1 << 14;
    loop.count = 1 << 20;
    CHECK_FAILS(MUSTER_ERROR_FILE_SHRANK, "shrinks.raw", muster_leader_run(leader, &loop, &error));
    CHECK(muster_leader_report(leader) != NULL);
    muster_array_destroy(mapped);
    unlink("shrinks.raw");
}

/* Commits a chunk by itself, as no kernel can by what kernel.h offers, and its loop then commits it
 * once more: the audit must see both. The first word of a kernel's state is its loop, which begins
 * with the cursor. */
static int commit_twice(const struct muster_work *work)
{
    struct muster_cursor *cursor;
    memcpy(&cursor, work->state, sizeof cursor);
    /* Chunk 0 began the roll's interval, which this one lengthens. */
    return work->chunk.index == 1 && !muster_cursor_commit(cursor, 1);
}

static void audited(void)
{
    prepare(commit_twice, MUSTER_ACCESS_INPUT, NONE, 0);
    loop.schedule = MUSTER_SCHEDULE_STATIC;
    CHECK_FAILS(MUSTER_ERROR_AUDIT, "1 repeated: 1", muster_leader_run(leader, &loop, &error));
    const struct muster_report *report = muster_leader_report(leader);
    CHECK(report && report->repeated == 1 && report->exactly_once == CHUNKS - 1);
    CHECK(report->finding_count == 1 && report->findings[0].repeated == 1);
    CHECK(report->findings[0].first == 1 && report->findings[0].end == 2);
}

static int lead_from_a_rank(const struct muster_work *work)
{
    struct muster_loop_options inner = {.size_bytes = sizeof inner, .kernel = step, .count = 1};
    int *statuses = muster_work_output(work, 0);
    statuses[work->rank] = muster_leader_run(leader, &inner, NULL);
    return 0;
}

static void ranks_lead_nothing(void)
{
    uint32_t size = muster_leader_size(leader);
    struct muster_array *statuses = array(leader, sizeof(int), size);
    struct muster_use use = {.array = statuses, .access = MUSTER_ACCESS_OUTPUT};
    struct muster_loop_options each = {.size_bytes = sizeof each,
                                       .kernel = lead_from_a_rank,
                                       .uses = &use,
                                       .use_count = 1,
                                       .by_rank = 1};
    CHECK(muster_leader_run(leader, &each, &error) == 0);
    for (uint32_t rank = 0; rank < size; rank++)
        CHECK(((int *)muster_array_elements(statuses))[rank] == MUSTER_ERROR_NOT_LEADER);
    muster_array_destroy(statuses);
}

/* Fails at an element that is not what was mirrored last. */
static int look(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    const uint64_t *values = muster_work_input(work, 0);
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++)
        if (values[i] != i * arguments->at)
            return 9;
    return 0;
}

static void mirrored(void)
{
    struct muster_array_options options = {.size_bytes = sizeof options,
                                           .element_bytes = 8,
                                           .count = ELEMENTS,
                                           .placement = "mirrored"};
    struct muster_array *array = NULL;
    CHECK(muster_array_create(leader, &options, &array, &error) == 0);
    uint64_t *values = muster_array_elements(array);
    for (uint64_t round = 1; round <= 2; round++) {
        prepare(look, MUSTER_ACCESS_INPUT, NONE, round);
        uses[0].array = array;
        for (uint64_t i = 0; i < ELEMENTS; i++)
            values[i] = i * round;
        CHECK(muster_array_mirror(array, &error) == 0);
        run_clean();
        CHECK(kill(muster_leader_process(leader, 1), SIGKILL) == 0);
        run_clean(); /* who takes over reads its node's copy as well */
    }
    prepare(look, MUSTER_ACCESS_OUTPUT, NONE, 1);
    uses[0].array = array;
    CHECK(muster_leader_run(leader, &loop, &error) == MUSTER_ERROR_ARGUMENT);
    CHECK(muster_array_mirror(x, &error) == 0); /* any other array: nothing happens */
    muster_array_destroy(array);
}

/* A function of a library that the leader alone has loaded. */
static void no_kernel(void)
{
    void *library = dlopen("libresolv.so.2", RTLD_NOW);
    void *found = library ? dlsym(library, "ns_get16") : NULL;
    CHECK(found != NULL);
    prepare(step, MUSTER_ACCESS_INPUT, NONE, 0);
    memcpy(&loop.kernel, &found, sizeof found);
    CHECK_FAILS(MUSTER_ERROR_NO_KERNEL, "rank", muster_leader_run(leader, &loop, &error));
    CHECK(muster_leader_report(leader) && muster_leader_report(leader)->missing == CHUNKS);
    CHECK(dlclose(library) == 0);
}

/* Ranks of a server are its children: takes all of them along. */
static int kill_server(const struct muster_work *work)
{
    if (work->chunk.index == 20)
        kill(getppid(), SIGKILL);
    usleep(1000);
    return 0;
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
    returned();
    failed();
    cancelled();
    file_shrank();
    audited();
    mirrored();
    if (start == MUSTER_START_FORK) {
        ranks_lead_nothing();
        no_kernel();
    }
    if (start == MUSTER_START_SERVER) {
        prepare(kill_server, MUSTER_ACCESS_INPUT, NONE, 0);
        loop.recovery = MUSTER_RECOVERY_FAIL;
        CHECK_FAILS(MUSTER_ERROR_SERVER, "SIGKILL", muster_leader_run(leader, &loop, &error));
        CHECK(muster_leader_report(leader)->death_count == 3);
    }
    prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0); /* after all that, as at first */
    run_clean();
    CHECK(stepped_except(-1));
    muster_leader_destroy(leader);
}

int main(void)
{
    muster_leader_serve();
    alarm(WATCHDOG_SECONDS);
    all(MUSTER_START_FORK);
    same_bits();
    all(MUSTER_START_SERVER);

    struct muster_leader_options options = {.size_bytes = sizeof options, .size = 2, .works = 1};
    CHECK(muster_leader_create(&options, &leader, &error) == 0);
    x = array(leader, 8, ELEMENTS);
    ledger = array(leader, 8, LEDGER);
    prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0);
    run_clean();
    CHECK(stepped_except(-1) && muster_leader_process(leader, 0) == getpid());
    returned();
    muster_leader_destroy(leader);
    puts("leader.h: results, failures and recovery, forked and served");
    return EXIT_SUCCESS;
}
