/* runtime_kernels.c - kernels in a library, for launch_server.c: built twice, so that there are two
 * builds of one name, and once without a build-id. */
#define _GNU_SOURCE
#include <muster/muster.h>
#include <time.h>

#ifndef FACTOR
#define FACTOR 2
#endif

/* Multiplies by FACTOR, which differs between the builds. */
int runtime_scale(const struct muster_work *work)
{
    struct muster_tile tile = {0};
    while (muster_work_update(work, 0, &tile)) {
        double *x = tile.elements;
        for (uint64_t i = tile.first; i < tile.end; i++)
            x[i] *= FACTOR;
    }
    return 0;
}

/* Fails at the chunk that its argument names. */
int runtime_fail(const struct muster_work *work)
{
    const uint64_t *at = work->arguments;
    if (work->chunk.index != *at)
        return 0;
    muster_work_explain(work, "as it was told to");
    return 17;
}

/* Sleeps as long as its argument says, in nanoseconds. */
int runtime_sleep(const struct muster_work *work)
{
    const uint64_t *ns = work->arguments;
    struct timespec time = {(time_t)(*ns / 1000000000), (long)(*ns % 1000000000)};
    nanosleep(&time, NULL);
    return 0;
}
