/* python_aims.c - an empty loop of a C leader, for python_aims.py: nanoseconds a loop, the median
 * of blocks, on standard output.
 *
 *   python_aims RANKS */
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCKS = 41, LOOPS = 2000 };

static int nothing(const struct muster_work *work)
{
    (void)work;
    return 0;
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    struct muster_leader_options options = {.size_bytes = sizeof options,
                                            .size = argc > 1 ? (uint32_t)atoi(argv[1]) : 1};
    struct muster_leader *leader;
    struct muster_error error;
    if (muster_leader_create(&options, &leader, &error) < 0)
        return fprintf(stderr, "%s\n", error.message), 1;
    struct muster_loop_options loop = {
        .size_bytes = sizeof loop, .kernel = nothing, .count = options.size, .grain = 1};
    double times[BLOCKS];
    for (int block = 0; block < BLOCKS; block++) {
        double start = now_ns();
        for (int i = 0; i < LOOPS; i++)
            if (muster_leader_run(leader, &loop, &error) < 0)
                return fprintf(stderr, "%s\n", error.message), 1;
        times[block] = (now_ns() - start) / LOOPS;
    }
    qsort(times, BLOCKS, sizeof *times, compare);
    printf("%.0f\n", times[BLOCKS / 2]);
    muster_leader_destroy(leader);
    return 0;
}
