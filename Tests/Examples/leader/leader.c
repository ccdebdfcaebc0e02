/* leader.c - a leader in C: ten million values, written, scaled in place and summed by a team of
 * processes, each chunk exactly once, also when workers die on the way.
 *
 *     cc leader.c $(pkg-config --cflags --libs muster) -o leader && ./leader
 */
#include <inttypes.h>
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>

enum { RANKS = 4, ELEMENTS = 10000000 };

/* What the kernels need to know: plain bytes, copied to every rank. */
struct arguments {
    double first;
    double factor;
};

/* Out of place: writes each element of its chunk, and reads none of them. */
static int count_up(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    double *x = muster_work_output(work, 0);
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++)
        x[i] = arguments->first + (double)i;
    return 0;
}

/* In place: changes its chunk tile by tile. Muster keeps each tile's old contents until the chunk
 * is committed, so a worker that is killed half-way leaves nothing half-done. */
static int scale(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    struct muster_tile tile = {0};
    while (muster_work_update(work, 0, &tile)) {
        double *x = tile.elements;
        for (uint64_t i = tile.first; i < tile.end; i++)
            x[i] *= arguments->factor;
    }
    return 0;
}

/* A reduction: leaves its chunk's result at work->partial, which is all zero at first. */
static int sum(const struct muster_work *work)
{
    const double *x = muster_work_input(work, 0);
    double *partial = work->partial;
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++)
        *partial += x[i];
    return 0;
}

/* Partial sums are joined in a fixed tree over chunk numbers: the same bits for any RANKS. */
static void add(void *left, const void *right, void *context)
{
    (void)context;
    *(double *)left += *(const double *)right;
}

static void check(int status, const struct muster_error *error)
{
    if (status == 0)
        return;
    fprintf(stderr, "leader: %s\n", error->message);
    exit(EXIT_FAILURE);
}

int main(void)
{
    /* Lets a team be started by a clean copy of this program, should that be needed; it must be the
     * first line. */
    muster_leader_serve();

    struct muster_error error;
    struct muster_leader *leader;
    struct muster_leader_options options = {.size_bytes = sizeof options, .size = RANKS};
    check(muster_leader_create(&options, &leader, &error), &error);

    struct muster_array *x;
    struct muster_array_options shape = {.size_bytes = sizeof shape,
                                         .element_bytes = sizeof(double),
                                         .count = ELEMENTS,
                                         .placement = "blocked"};
    check(muster_array_create(leader, &shape, &x, &error), &error);

    struct arguments arguments = {.first = 1, .factor = 2};
    struct muster_use use = {.array = x, .access = MUSTER_ACCESS_OUTPUT};
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = count_up,
                                       .count = ELEMENTS,
                                       .uses = &use,
                                       .use_count = 1,
                                       .arguments = &arguments,
                                       .argument_bytes = sizeof arguments};
    check(muster_leader_run(leader, &loop, &error), &error);
    printf("written  %s\n", muster_leader_report(leader)->text);

    use.access = MUSTER_ACCESS_IN_PLACE;
    loop.kernel = scale;
    loop.schedule = MUSTER_SCHEDULE_STATIC_STEAL;
    check(muster_leader_run(leader, &loop, &error), &error);
    printf("scaled   %s\n", muster_leader_report(leader)->text);

    double total = 0;
    use.access = MUSTER_ACCESS_INPUT;
    loop.kernel = sum;
    check(muster_leader_reduce(leader, &loop, sizeof total, add, NULL, &total, &error), &error);
    const struct muster_report *report = muster_leader_report(leader);
    printf("summed   %s\n", report->text);

    /* Between loops the leader uses the array like any other. */
    const double *values = muster_array_elements(x);
    double last = values[ELEMENTS - 1];
    printf("%" PRIu64 " of %" PRIu64 " chunks exactly once; last %.0f, sum %.0f\n",
           report->exactly_once, report->chunks, last, total);

    muster_leader_destroy(leader); /* and its arrays */
    /* 2 * (1 + 2 + ... + n); every partial sum is a whole number below 2^53, hence exact. */
    double expected = (double)ELEMENTS * (ELEMENTS + 1.0);
    return last == 2.0 * ELEMENTS && total == expected ? EXIT_SUCCESS : EXIT_FAILURE;
}
