/* launch_rows.c - loops over rows: an index stands for a row of elements, chunks are whole rows,
 * the journal covers exactly them, and a count that does not fit is an error in words. */
#define _GNU_SOURCE
#include "launch_check.h"

#include <signal.h>
#include <sys/mman.h>

enum { ROWS = 125, WIDTH = 800, ELEMENTS = ROWS * WIDTH, TRIES = 16 };

enum way { UPDATE, ELEMENTWISE, WHOLE, OUTPUT };

struct arguments {
    uint64_t at; /* chunk that kills its worker at the first try */
    uint32_t way;
    uint32_t width; /* as the kernel has it */
};

static struct muster_leader *leader;
static struct muster_array *x;
static struct muster_array *tries; /* an input that says nothing about the loop */
static uint32_t *attempts;         /* all processes see it */
static struct arguments arguments;
static struct muster_use uses[2];
static struct muster_loop_options loop;

static void die_once(const struct muster_work *work)
{
    if (work->chunk.index == arguments.at && __atomic_add_fetch(attempts, 1, __ATOMIC_SEQ_CST) == 1)
        raise(SIGKILL);
}

/* Changes every element of the chunk's rows once, and dies half-way, once. */
static int step(const struct muster_work *work)
{
    const struct arguments *given = work->arguments;
    arguments = *given;
    uint64_t first = work->chunk.first * given->width, end = work->chunk.end * given->width;
    uint64_t middle = first + (end - first) / 2;
    struct muster_tile tile = {0};
    double *values;
    switch ((enum way)given->way) {
    case UPDATE:
    case ELEMENTWISE:
        while (given->way == UPDATE ? muster_work_update(work, 0, &tile)
                                    : muster_work_update_elements(work, 0, &tile))
            for (uint64_t i = tile.first; i < tile.end; i++) {
                if (given->way == UPDATE &&
                    (tile.first % given->width != 0 || tile.end % given->width != 0))
                    return 3; /* a row is cut */
                ((double *)tile.elements)[i] += (double)i;
                if (i == middle)
                    die_once(work);
            }
        break;
    case WHOLE:
        values = muster_work_update_whole(work, 0);
        for (uint64_t i = first; i < end; i++) {
            values[i] += (double)i;
            if (i == middle)
                die_once(work);
        }
        break;
    case OUTPUT:
        values = muster_work_output(work, 0);
        for (uint64_t i = first; i < end; i++) {
            values[i] = (double)i;
            if (i == middle)
                die_once(work);
        }
        break;
    }
    return 0;
}

/* What the helpers say of a chunk. */
static int owns(const struct muster_work *work)
{
    struct muster_interval mine = muster_work_elements(work, 0);
    uint64_t width = muster_work_elements_per_index(work, 0);
    return mine.first == work->chunk.first * width && mine.end == work->chunk.end * width &&
                   width == WIDTH && muster_work_elements_per_index(work, 1) == 1
               ? 0
               : 4;
}

static int nothing(const struct muster_work *work)
{
    (void)work;
    return 0;
}

static void prepare(muster_kernel kernel, uint32_t access, uint64_t width)
{
    uses[0] = (struct muster_use){.array = x, .access = access, .elements_per_index = width};
    uses[1] = (struct muster_use){.array = tries, .access = MUSTER_ACCESS_INPUT};
    loop = (struct muster_loop_options){.size_bytes = sizeof loop,
                                        .kernel = kernel,
                                        .count = ROWS,
                                        .uses = uses,
                                        .use_count = 2,
                                        .arguments = &arguments,
                                        .argument_bytes = sizeof arguments};
}

static void clear(void)
{
    memset(muster_array_elements(x), 0, ELEMENTS * sizeof(double));
    *attempts = 0;
}

static void check_elements(uint64_t first, uint64_t end, double factor)
{
    const double *values = muster_array_elements(x);
    for (uint64_t i = first; i < end; i++)
        CHECK(values[i] == factor * (double)i);
}

static int run(void)
{
    return muster_leader_run(leader, &loop, &error);
}

/* The worker of a chunk is killed half-way: every element of every row is changed once. */
static void deaths(void)
{
    for (uint32_t schedule = 0; schedule <= MUSTER_SCHEDULE_STATIC_STEAL; schedule++)
        for (uint32_t way = UPDATE; way <= OUTPUT; way++)
            for (uint64_t grain = 1; grain <= 9; grain += 4) {
                clear();
                arguments = (struct arguments){.at = 60 / grain, .way = way, .width = WIDTH};
                prepare(step, way == OUTPUT ? MUSTER_ACCESS_OUTPUT : MUSTER_ACCESS_IN_PLACE, WIDTH);
                loop.schedule = schedule;
                loop.grain = grain;
                CHECK(run() == 0);
                const struct muster_report *report = muster_leader_report(leader);
                CHECK(report->clean && report->redone == 1 && report->elements == ROWS);
                check_elements(0, ELEMENTS, 1);
            }
}

/* Rows longer than a tile, one of them by one element. */
static void long_rows(void)
{
    static const uint32_t widths[] = {1, 2, 511, 512, 513, 1000, 20000};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (uint32_t way = UPDATE; way <= ELEMENTWISE; way++) {
            uint64_t rows = ELEMENTS / widths[i];
            clear();
            arguments = (struct arguments){.at = rows / 2, .way = way, .width = widths[i]};
            prepare(step, MUSTER_ACCESS_IN_PLACE, widths[i]);
            uses[0].flags = MUSTER_USE_PREFIX; /* 513 does not divide it */
            loop.count = rows;
            loop.grain = 1;
            CHECK(run() == 0 && muster_leader_report(leader)->redone == 1);
            check_elements(0, rows * widths[i], 1);
            const double *values = muster_array_elements(x);
            for (uint64_t k = rows * widths[i]; k < ELEMENTS; k++)
                CHECK(values[k] == 0);
        }
}

/* What was run before with other rows is looked at again. */
static void refusals(void)
{
    for (uint32_t access = MUSTER_ACCESS_OUTPUT; access <= MUSTER_ACCESS_IN_PLACE; access++) {
        clear();
        arguments = (struct arguments){.at = UINT64_MAX, .way = WHOLE, .width = WIDTH};
        if (access == MUSTER_ACCESS_OUTPUT)
            arguments.way = OUTPUT;
        prepare(step, access, WIDTH);
        CHECK(run() == 0 && run() == 0);
        uses[0].elements_per_index = 0;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "set its elements_per_index to 800", run());
        CHECK(strstr(error.message, "MUSTER_USE_PREFIX") && strstr(error.message, "use 0"));
        uses[0].elements_per_index = WIDTH / 2;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "100000 elements in rows of 400", run());
        uses[0].elements_per_index = 2 * WIDTH;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "no whole number of rows", run());
        uses[0].elements_per_index = UINT64_MAX;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "more than an array can have", run());
        uses[0].elements_per_index = INT64_MAX;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "no whole number of rows", run());
        uses[0].elements_per_index = WIDTH;
        loop.count = ROWS - 1;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "would leave some of them out", run());
        loop.count = 0;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "would leave some of them out", run());
        loop.count = ROWS + 1;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "only 125 rows", run());
        loop.count = ROWS;
        uses[0].flags = MUSTER_USE_GATHER;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "only read", run());
        uses[0].flags = 4;
        CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "enum muster_use_flag", run());
        uses[0].flags = 0;
        CHECK(run() == 0);
    }
}

/* A loop that says so leaves the rest alone, also when a chunk is done again. */
static void prefixes(void)
{
    clear();
    arguments = (struct arguments){.at = 3, .way = OUTPUT, .width = WIDTH};
    prepare(step, MUSTER_ACCESS_OUTPUT, WIDTH);
    uses[0].flags = MUSTER_USE_PREFIX;
    loop.count = 7;
    loop.grain = 2;
    CHECK(run() == 0 && muster_leader_report(leader)->redone == 1);
    check_elements(0, 7 * WIDTH, 1);
    check_elements(7 * WIDTH, ELEMENTS, 0);
    loop.count = 0;
    CHECK(run() == 0 && muster_leader_report(leader)->chunks == 0);
    loop.count = ROWS + 1;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "only 125 rows", run());
}

/* Loops that write nothing: one of the arrays has the count, or none says anything about it. */
static int sum_rows(const struct muster_work *work)
{
    const double *values = muster_work_input(work, 0);
    struct muster_interval mine = muster_work_elements(work, 0);
    for (uint64_t i = mine.first; i < mine.end; i++)
        *(double *)work->partial += values[i];
    return 0;
}

static void add(void *left, const void *right, void *context)
{
    (void)context;
    *(double *)left += *(const double *)right;
}

static void reductions(void)
{
    double *values = muster_array_elements(x), total = 0;
    for (uint64_t i = 0; i < ELEMENTS; i++)
        values[i] = (double)i;
    prepare(sum_rows, MUSTER_ACCESS_INPUT, WIDTH);
    uses[1].flags = MUSTER_USE_GATHER;
#define REDUCE() muster_leader_reduce(leader, &loop, sizeof total, add, NULL, &total, &error)
    CHECK(REDUCE() == 0 && total == (ELEMENTS - 1.0) * ELEMENTS / 2);
    loop.count = ROWS - 5;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "would leave some of them out", REDUCE());
    CHECK(strstr(error.message, "MUSTER_USE_GATHER") != NULL);
    loop.count = ROWS + 5;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "MUSTER_USE_GATHER", REDUCE());
    loop.count = 10;
    uses[0].flags = MUSTER_USE_PREFIX;
    CHECK(REDUCE() == 0 && total == (10 * WIDTH - 1.0) * (10 * WIDTH) / 2);
    /* Tables only: any count. */
    uses[0].flags = MUSTER_USE_GATHER;
    loop.kernel = nothing;
    loop.count = 12345;
    CHECK(REDUCE() == 0 && total == 0);
    /* Each rank may read what it likes. */
    uses[0].flags = uses[1].flags = 0;
    loop.by_rank = 1;
    loop.count = 0;
    CHECK(run() == 0);
}

/* A chunk of a default loop is 512 KiB at most, and a whole number of rows. */
static void grains(void)
{
    struct muster_array *wide = array(leader, 8, 16 << 20);
    prepare(nothing, MUSTER_ACCESS_OUTPUT, 0);
    uses[0].array = wide;
    static const uint64_t widths[] = {1, 8, 1024, 4096, 65536, 1 << 18};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        uses[0].elements_per_index = widths[i];
        loop.count = (16u << 20) / widths[i];
        CHECK(run() == 0);
        const struct muster_report *report = muster_leader_report(leader);
        uint64_t bytes = report->grain * widths[i] * 8;
        CHECK(report->grain >= 1 && (bytes <= 512 << 10 || report->grain == 1));
        CHECK(report->chunks >= 64 && report->elements == loop.count);
    }
    muster_array_destroy(wide);
}

/* The 3 x 3 mean of the rows around, in whole numbers, so that it is exact. */
static void mean_row(const uint32_t *above, const uint32_t *row, const uint32_t *below,
                     uint32_t *out, uint64_t width)
{
    for (uint64_t i = 0; i < width; i++) {
        uint64_t l = i > 0 ? i - 1 : i, r = i + 1 < width ? i + 1 : i;
        out[i] = above[l] + above[i] + above[r] + row[l] + row[i] + row[r] + below[l] + below[i] +
                 below[r];
    }
}

static int blur(const struct muster_work *work)
{
    const uint64_t height = muster_work_count(work, 0) / WIDTH;
    const uint64_t halo = *(const uint64_t *)work->arguments;
    struct muster_rows in = muster_work_rows(work, 0, halo);
    uint32_t *out = muster_work_output(work, 1);
    uint64_t first = work->chunk.first, end = work->chunk.end;
    if (in.first != (first > halo ? first - halo : 0) ||
        in.end != (end + halo < height ? end + halo : height) || in.row_bytes != WIDTH * 4)
        return 5;
    for (uint64_t y = first; y < end; y++)
        mean_row(muster_row(&in, y > 0 ? y - 1 : y), muster_row(&in, y),
                 muster_row(&in, y + 1 < height ? y + 1 : y), out + y * WIDTH, WIDTH);
    return 0;
}

static void stencils(void)
{
    struct muster_array *from = array(leader, 4, ELEMENTS), *to = array(leader, 4, ELEMENTS);
    uint32_t *values = muster_array_elements(from);
    const uint32_t *results = muster_array_elements(to);
    uint32_t state = 12345, wanted[WIDTH];
    for (uint64_t i = 0; i < ELEMENTS; i++)
        values[i] = (state = state * 1664525u + 1013904223u) >> 8;
    struct muster_use both[2] = {
        {.array = from, .access = MUSTER_ACCESS_INPUT, .elements_per_index = WIDTH},
        {.array = to, .access = MUSTER_ACCESS_OUTPUT, .elements_per_index = WIDTH}};
    uint64_t halo;
    loop = (struct muster_loop_options){.size_bytes = sizeof loop,
                                        .kernel = blur,
                                        .count = ROWS,
                                        .uses = both,
                                        .use_count = 2,
                                        .arguments = &halo,
                                        .argument_bytes = sizeof halo};
    for (halo = 1; halo <= 200; halo += 66)
        for (loop.grain = 1; loop.grain < 200; loop.grain *= 5) {
            CHECK(run() == 0);
            for (uint64_t y = 0; y < ROWS; y++) {
                const uint32_t *row = values + y * WIDTH;
                mean_row(y > 0 ? row - WIDTH : row, row, y + 1 < ROWS ? row + WIDTH : row, wanted,
                         WIDTH);
                CHECK(memcmp(wanted, results + y * WIDTH, sizeof wanted) == 0);
            }
        }
    muster_array_destroy(from);
    muster_array_destroy(to);
}

int main(void)
{
    alarm(WATCHDOG_SECONDS);
    attempts =
        mmap(NULL, sizeof *attempts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(attempts != MAP_FAILED);
    leader = team(4, MUSTER_START_FORK);
    x = array(leader, sizeof(double), ELEMENTS);
    tries = array(leader, sizeof(uint32_t), TRIES);
    deaths();
    long_rows();
    refusals();
    prefixes();
    reductions();
    grains();
    stencils();
    prepare(owns, MUSTER_ACCESS_OUTPUT, WIDTH);
    loop.grain = 7;
    CHECK(run() == 0);
    muster_leader_destroy(leader);
    return EXIT_SUCCESS;
}
