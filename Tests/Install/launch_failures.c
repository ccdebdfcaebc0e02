/* launch_failures.c - the ways in which a loop of a leader in C can fail, what is said of each, and
 * that the next loop goes as the first did. */
#define _GNU_SOURCE
#include "launch_mischief.h"

#include <dlfcn.h>
#include <sys/wait.h>

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
    /* The first ranks were forked before `leader` was set: others take their places. */
    for (uint32_t rank = 0; rank < size; rank++)
        kill(muster_leader_process(leader, rank), SIGKILL);
    prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0);
    CHECK(muster_leader_run(leader, &loop, &error) == 0 && stepped_except(-1));
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
    end_as_at_first();
}

int main(void)
{
    muster_leader_serve();
    alarm(WATCHDOG_SECONDS);
    all(MUSTER_START_FORK);
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
    puts("leader.h: failures of loops, forked and served");
    return EXIT_SUCCESS;
}
