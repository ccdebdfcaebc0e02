/* launch_stray.c - kernels in C that touch what is not their chunk's, in a team that checks: each
 * is named, nothing is redone, and the team goes on. Right kernels are left alone. */
#include "launch_check.h"

enum { GRAIN = 4096, CHUNKS = 8, COUNT = GRAIN * CHUNKS, ROWS = 64, ROW = 100 };

/* What a kernel does wrong, in chunk 3. */
enum wrong {
    NOTHING,
    BEYOND,
    BEFORE,
    FAR_BEYOND,
    INPUT,
    OTHER_ARRAY,
    READS_OUTPUT,
    READS_NEIGHBOUR,
    BEYOND_END,
    PARTIAL,
    MODES
};

struct arguments {
    uint32_t wrong;
    double *other;
};

/* Stops the compiler from leaving out what is only read. */
static volatile double seen;

static int stray(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    const double *a = muster_work_input(work, 0);
    double *out = muster_work_output(work, 1);
    double *x = muster_work_update_whole(work, 2);
    uint64_t first = work->chunk.first, end = work->chunk.end;
    for (uint64_t i = first; i < end; i++) {
        out[i] = a[i] + x[i];
        x[i] += 1;
    }
    if (work->partial)
        *(uint64_t *)work->partial = end - first;
    if (work->chunk.index != 3)
        return 0;
    switch (arguments->wrong) {
    case BEYOND:
        x[end] = 1;
        break;
    case BEFORE:
        out[first - 1] = 1;
        break;
    case FAR_BEYOND:
        x[end + 4464] = 1;
        break;
    case INPUT:
        *(double *)(uintptr_t)&a[7] = 1;
        break;
    case OTHER_ARRAY:
        arguments->other[5] = 1;
        break;
    case READS_OUTPUT:
        seen = out[first - 1];
        break;
    case READS_NEIGHBOUR:
        seen = x[end + 1];
        break;
    case BEYOND_END:
        x[COUNT] = 1;
        break;
    case PARTIAL:
        ((uint64_t *)work->partial)[-2] = 1;
        break;
    default:
        break;
    }
    return 0;
}

static void add(void *left, const void *right, void *context)
{
    (void)context;
    *(uint64_t *)left += *(const uint64_t *)right;
}

/* Rows: an index is ROW elements. Chunk 2 has rows 8 to 11. */
static int stray_row(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    double *x = muster_work_output(work, 0);
    struct muster_interval own = muster_work_elements(work, 0);
    for (uint64_t i = own.first; i < own.end; i++)
        x[i] = 1;
    if (work->chunk.index == 2 && arguments->wrong == BEYOND)
        x[own.end] = 1;
    return 0;
}

static struct muster_array *named(struct muster_leader *leader, const char *name, uint64_t count)
{
    struct muster_array_options options = {.size_bytes = sizeof options,
                                           .element_bytes = sizeof(double),
                                           .count = count,
                                           .name = name};
    struct muster_array *made = NULL;
    CHECK(muster_array_create(leader, &options, &made, &error) == 0);
    return made;
}

static void run_all(uint32_t start)
{
    static const char *const words[MODES] = {
        [BEYOND] = "wrote element 16384 of array 2 (x), right beyond its chunk 12288..<16384",
        [BEFORE] = "wrote element 12287 of array 1 (out), 1 before its chunk 12288..<16384",
        [FAR_BEYOND] = "wrote element 20848 of array 2 (x), 4464 beyond its chunk 12288..<16384",
        [INPUT] = "wrote element 7 of array 0 (use 0), which this loop only reads",
        [OTHER_ARRAY] = "wrote element 5 of array 3 (other), which this loop does not use",
        [READS_OUTPUT] = "read element 12287 of array 1 (out), 1 before its chunk",
        [READS_NEIGHBOUR] = "read element 16385 of array 2 (x), 1 beyond its chunk",
        [BEYOND_END] = "wrote right beyond the end of array 2 (x)",
        [PARTIAL] = "wrote the partial result of chunk 1, which is another's",
    };
    struct muster_leader_options options = {
        .size_bytes = sizeof options, .size = 2, .start = start, .check = MUSTER_CHECK_ON};
    struct muster_leader *leader = NULL;
    CHECK(muster_leader_create(&options, &leader, &error) == 0);
    struct muster_array *arrays[] = {array(leader, sizeof(double), COUNT),
                                     named(leader, "out", COUNT), named(leader, "x", COUNT),
                                     named(leader, "other", COUNT)};
    struct muster_use uses[] = {{.array = arrays[0], .access = MUSTER_ACCESS_INPUT},
                                {.array = arrays[1], .access = MUSTER_ACCESS_OUTPUT},
                                {.array = arrays[2], .access = MUSTER_ACCESS_IN_PLACE}};
    double *x = muster_array_elements(arrays[2]);
    struct arguments arguments = {.other = muster_array_elements(arrays[3])};
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = stray,
                                       .count = COUNT,
                                       .grain = GRAIN,
                                       .uses = uses,
                                       .use_count = 3,
                                       .arguments = &arguments,
                                       .argument_bytes = sizeof arguments};
    for (arguments.wrong = NOTHING; arguments.wrong < MODES; arguments.wrong++) {
        /* Addresses are other ones in a server's ranks. */
        if (arguments.wrong == OTHER_ARRAY && start == MUSTER_START_SERVER)
            continue;
        uint64_t result = 0;
        double before = x[3 * GRAIN];
        memset(&error, 0, sizeof error);
        int status = muster_leader_reduce(leader, &loop, sizeof result, add, NULL, &result, &error);
        const struct muster_report *report = muster_leader_report(leader);
        if (arguments.wrong == NOTHING) {
            CHECK(status == 0 && result == COUNT && report->clean);
            continue;
        }
        printf("%u: %s\n", arguments.wrong, error.message);
        CHECK(status == MUSTER_ERROR_STRAY && strstr(error.message, "chunk 3 "));
        CHECK(strstr(error.message, words[arguments.wrong]) != NULL);
        CHECK(report->death_count == 1 && report->redone == 0 && x[3 * GRAIN] == before);
        /* Compared, a stray store is found after its instruction. */
        if (!strstr(error.message, "found when"))
            CHECK(strstr(error.message, " in stray") != NULL);
    }
    struct muster_use row = {.array = named(leader, "rows", ROWS * ROW),
                             .access = MUSTER_ACCESS_OUTPUT,
                             .elements_per_index = ROW};
    loop.kernel = stray_row;
    loop.count = ROWS;
    loop.grain = 4;
    loop.uses = &row;
    loop.use_count = 1;
    arguments.wrong = NOTHING;
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    arguments.wrong = BEYOND;
    CHECK_FAILS(MUSTER_ERROR_STRAY,
                "wrote element 1200 of array 4 (rows), right beyond its chunk 800..<1200",
                muster_leader_run(leader, &loop, &error));
    muster_leader_destroy(leader);
}

/* Without check mode the end of an array is a signal all the same. */
static void run_unchecked(void)
{
    struct muster_leader *leader = team(2, MUSTER_START_FORK);
    struct muster_use uses[] = {
        {.array = array(leader, sizeof(double), COUNT), .access = MUSTER_ACCESS_INPUT},
        {.array = named(leader, "out", COUNT), .access = MUSTER_ACCESS_OUTPUT},
        {.array = named(leader, "x", COUNT), .access = MUSTER_ACCESS_IN_PLACE}};
    struct arguments arguments = {.wrong = BEYOND_END};
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = stray,
                                       .count = COUNT,
                                       .grain = GRAIN,
                                       .uses = uses,
                                       .use_count = 3,
                                       .arguments = &arguments,
                                       .argument_bytes = sizeof arguments};
    memset(&error, 0, sizeof error);
    CHECK(muster_leader_run(leader, &loop, &error) == MUSTER_ERROR_QUARANTINE);
    CHECK(strstr(error.message, "when it wrote right beyond the end of array 2 (x)") != NULL);
    muster_leader_destroy(leader);
}

int main(void)
{
    muster_leader_serve();
    alarm(WATCHDOG_SECONDS);
    run_unchecked();
    run_all(MUSTER_START_FORK);
    run_all(MUSTER_START_SERVER);
    return 0;
}
