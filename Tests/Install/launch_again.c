/* launch_again.c - loops of a leader in C that are run again and again take a shorter way: it must
 * see other arguments, kernels, arrays and options, and every kind of trouble. */
#define _GNU_SOURCE
#include "launch_check.h"

#include <signal.h>
#include <sys/wait.h>

enum { ELEMENTS = 1000, GRAIN = 10, ROUNDS = 20 };

/* What the kernel `add` does in chunk 5, beside its work. */
enum mischief { NONE, DIE_ONCE, RETURN_7, COUNT };

struct arguments {
    uint64_t number;
    uint32_t what;
    uint32_t reserved;
};

static struct muster_leader *leader;
static struct muster_array *x, *y, *ledger;
static struct arguments arguments;
static struct muster_use uses[2];
static struct muster_loop_options loop;

static void change(const struct muster_work *work, uint64_t by)
{
    struct muster_tile tile = {0};
    while (muster_work_update(work, 0, &tile)) {
        uint64_t *values = tile.elements;
        for (uint64_t i = tile.first; i < tile.end; i++)
            values[i] += by;
    }
}

static int add(const struct muster_work *work)
{
    const struct arguments *given = work->arguments;
    change(work, given->number);
    if (work->chunk.index != 5 || given->what == NONE)
        return 0;
    if (given->what == RETURN_7)
        return 7;
    uint64_t *cell = (uint64_t *)(uintptr_t)muster_work_input(work, 1);
    if (__atomic_add_fetch(cell, 1, __ATOMIC_SEQ_CST) == 1 && given->what == DIE_ONCE)
        raise(SIGKILL);
    return 0;
}

static int subtract(const struct muster_work *work)
{
    const struct arguments *given = work->arguments;
    change(work, -given->number);
    return 0;
}

static bool all_are(const struct muster_array *array, uint64_t value)
{
    const uint64_t *values = muster_array_elements(array);
    for (uint64_t i = 0; i < ELEMENTS; i++)
        if (values[i] != value)
            return false;
    return true;
}

static void run(uint64_t number, uint64_t chunks)
{
    arguments.number = number;
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    const struct muster_report *report = muster_leader_report(leader);
    CHECK(report->clean && report->chunks == chunks && report->exactly_once == chunks);
    CHECK(report->elements == ELEMENTS && report->missing == 0 && report->finding_count == 0);
}

static void prepare(struct muster_array *array)
{
    uses[0] = (struct muster_use){.array = array, .access = MUSTER_ACCESS_IN_PLACE};
    uses[1] = (struct muster_use){.array = ledger, .access = MUSTER_ACCESS_INPUT};
    arguments = (struct arguments){.number = 1};
    loop = (struct muster_loop_options){.size_bytes = sizeof loop,
                                        .kernel = add,
                                        .count = ELEMENTS,
                                        .grain = GRAIN,
                                        .uses = uses,
                                        .use_count = 2,
                                        .arguments = &arguments,
                                        .argument_bytes = sizeof arguments};
}

/* Each loop differs from the one before it in one thing, or in none. */
static void differences(uint32_t schedule)
{
    uint64_t in_x = 0, in_y = 0;
    memset(muster_array_elements(x), 0, 8 * ELEMENTS);
    memset(muster_array_elements(y), 0, 8 * ELEMENTS);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        prepare(x);
        loop.schedule = schedule;
        run(1, ELEMENTS / GRAIN);
        run(1, ELEMENTS / GRAIN);
        run(round, ELEMENTS / GRAIN); /* other arguments, at the same place */
        in_x += 2 + round;
        struct arguments others = {.number = 5};
        loop.arguments = &others; /* at another */
        CHECK(muster_leader_run(leader, &loop, &error) == 0);
        loop.arguments = &arguments;
        in_x += 5;
        ((uint64_t *)muster_array_elements(x))[17] = 1000; /* by the leader */
        run(1, ELEMENTS / GRAIN);
        in_x += 1;
        CHECK(((uint64_t *)muster_array_elements(x))[17] == 1001);
        ((uint64_t *)muster_array_elements(x))[17] = in_x;
        uses[0].array = y; /* in the same list */
        run(3, ELEMENTS / GRAIN);
        run(3, ELEMENTS / GRAIN);
        loop.grain = 7;
        run(3, 143);
        run(3, 143);
        loop.kernel = subtract;
        run(3, 143);
        run(3, 143);
        loop.schedule = (schedule + 1) % 5;
        run(3, 143);
        CHECK(muster_leader_report(leader)->schedule == loop.schedule);
        loop.argument_bytes = 8;
        run(4, 143);
        loop.argument_bytes = sizeof arguments;
        loop.kernel = add;
        loop.use_count = 1;
        run(1, 143);
        loop.use_count = 2; /* the second of which is needed now */
        arguments.what = COUNT;
        run(1, 143);
        loop.count = 70; /* of 1000 */
        uses[0].flags = MUSTER_USE_PREFIX;
        CHECK(muster_leader_run(leader, &loop, &error) == 0);
        CHECK(muster_leader_report(leader)->chunks == 10);
        in_y += 4 * 3 - 3 * 3 - 4 + 2;
        uint64_t *values = muster_array_elements(y);
        for (uint64_t i = 0; i < 70; i++)
            values[i] -= 1;
        CHECK(all_are(x, in_x) && all_are(y, in_y));
        uses[0].flags = 0;
    }
}

/* An array that was freed, and one that may have its place in memory. */
static void freed(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct muster_array *short_lived = array(leader, 8, ELEMENTS);
        prepare(short_lived);
        run(1, ELEMENTS / GRAIN);
        run(1, ELEMENTS / GRAIN);
        CHECK(all_are(short_lived, 2));
        muster_array_destroy(short_lived);
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "no array of this leader's",
                    muster_leader_run(leader, &loop, &error));
        CHECK(muster_leader_report(leader) == NULL);
    }
}

/* Bad options after good ones of the same kind. */
static void refused(void)
{
    prepare(x);
    run(1, ELEMENTS / GRAIN);
    loop.size_bytes = 8;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "size_bytes", muster_leader_run(leader, &loop, &error));
    loop.size_bytes = sizeof loop;
    run(1, ELEMENTS / GRAIN);
    loop.arguments = NULL;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "NULL", muster_leader_run(leader, &loop, &error));
    loop.arguments = &arguments;
    run(1, ELEMENTS / GRAIN);
    loop.uses = NULL;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "NULL", muster_leader_run(leader, &loop, &error));
    loop.uses = uses;
    run(1, ELEMENTS / GRAIN);
    loop.kernel = NULL;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "kernel", muster_leader_run(leader, &loop, &error));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "loop options", muster_leader_run(leader, NULL, &error));
}

static void troubles(bool leader_works)
{
    memset(muster_array_elements(x), 0, 8 * ELEMENTS);
    uint64_t *cells = muster_array_elements(ledger), in_x = 0;
    for (int round = 0; round < 3; round++) {
        prepare(x);
        loop.schedule = (uint32_t)round;
        cells[0] = 0;
        run(1, ELEMENTS / GRAIN);
        run(1, ELEMENTS / GRAIN);
        in_x += 2;
        if (!leader_works) { /* chunk 5 may be the leader's own */
            arguments.what = DIE_ONCE;
            run(1, ELEMENTS / GRAIN);
            in_x++;
            const struct muster_report *report = muster_leader_report(leader);
            CHECK(report->death_count == 1 && report->deaths[0].signal == SIGKILL);
            CHECK(report->deaths[0].chunk == 5 && report->redone == 1);
            arguments.what = NONE;
            run(1, ELEMENTS / GRAIN);
            CHECK(muster_leader_report(leader)->death_count == 0);
            run(1, ELEMENTS / GRAIN);
            in_x += 2;
        }
        arguments.what = RETURN_7;
        CHECK_FAILS(MUSTER_ERROR_KERNEL, "chunk 5", muster_leader_run(leader, &loop, &error));
        const struct muster_report *report = muster_leader_report(leader);
        CHECK(error.kernel_status == 7 && report && !report->clean);
        /* That chunk has its old contents; which others were done, nobody has promised. */
        CHECK(((uint64_t *)muster_array_elements(x))[50] == in_x);
        for (uint64_t i = 0; i < ELEMENTS; i++)
            ((uint64_t *)muster_array_elements(x))[i] = in_x;
        arguments.what = NONE;
        run(1, ELEMENTS / GRAIN);
        run(1, ELEMENTS / GRAIN);
        in_x += 2;
        CHECK(all_are(x, in_x));
    }
}

/* A process that the leader's has forked leads nothing, however familiar the loop. */
static void forked(void)
{
    prepare(x);
    run(1, ELEMENTS / GRAIN);
    run(1, ELEMENTS / GRAIN);
    pid_t child = fork();
    if (child == 0) {
        CHECK_FAILS(MUSTER_ERROR_NOT_LEADER, "forked", muster_leader_run(leader, &loop, &error));
        /* A team of its own does not make it this one's leader. */
        struct muster_leader *own = team(2, MUSTER_START_FORK);
        CHECK_FAILS(MUSTER_ERROR_NOT_LEADER, "forked", muster_leader_run(leader, &loop, &error));
        muster_leader_destroy(own);
        _exit(EXIT_SUCCESS);
    }
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    run(1, ELEMENTS / GRAIN);
}

static void mirrored(void)
{
    struct muster_array_options options = {.size_bytes = sizeof options,
                                           .element_bytes = 8,
                                           .count = ELEMENTS,
                                           .placement = "mirrored"};
    struct muster_array *copies = NULL;
    CHECK(muster_array_create(leader, &options, &copies, &error) == 0);
    CHECK(muster_array_mirror(copies, &error) == 0);
    prepare(x);
    uses[1].array = copies;
    run(1, ELEMENTS / GRAIN);
    run(1, ELEMENTS / GRAIN);
    (void)muster_array_elements(copies);
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "muster_array_mirror",
                muster_leader_run(leader, &loop, &error));
    CHECK(muster_array_mirror(copies, &error) == 0);
    run(1, ELEMENTS / GRAIN);
    muster_array_destroy(copies);
}

int main(void)
{
    muster_leader_serve();
    alarm(WATCHDOG_SECONDS);
    for (uint32_t kind = 0; kind < 3; kind++) { /* forked, served, and a leader that works */
        struct muster_leader_options options = {.size_bytes = sizeof options,
                                                .size = 3,
                                                .start = kind == 1 ? MUSTER_START_SERVER
                                                                   : MUSTER_START_FORK,
                                                .works = kind == 2};
        CHECK(muster_leader_create(&options, &leader, &error) == 0);
        x = array(leader, 8, ELEMENTS);
        y = array(leader, 8, ELEMENTS);
        ledger = array(leader, 8, 1);
        for (uint32_t schedule = MUSTER_SCHEDULE_STATIC; schedule <= MUSTER_SCHEDULE_STATIC_STEAL;
             schedule++)
            differences(schedule);
        freed();
        refused();
        troubles(kind == 2);
        forked();
        mirrored();
        muster_leader_destroy(leader);
    }
    puts("leader.h: loops that are run again, and what changes between them");
    return EXIT_SUCCESS;
}
