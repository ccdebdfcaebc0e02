/* consumer.c - a C program on the C core alone (libCMuster.a): deals a loop with every schedule and
 * reads the audit. Started alone it is a team of one; under `muster run` it is one of the ranks.
 * Exits 0 when each chunk was committed exactly once. */
#include <inttypes.h>
#include <muster/muster.h>
#include <stdio.h>

enum { ELEMENTS = 100000 };

/* Fills the array, and adds it up by what each chunk leaves behind. Returns: 0, or a status. */
static int run(struct muster_member *me, double *values, enum muster_schedule schedule,
               struct muster_report *report, double *sum)
{
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .schedule = schedule,
                                                 .elements = ELEMENTS,
                                                 .partial_bytes = sizeof *sum};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    int status = muster_member_loop_begin(me, &options, &loop);
    if (status < 0)
        return status;
    while (muster_member_loop_next(loop, &chunk) > 0) {
        double *partial = muster_member_loop_partial(loop, &chunk);
        for (uint64_t i = chunk.first; i < chunk.end; i++)
            values[i] = (double)i;
        *partial = muster_kernels_best()->sum(values + chunk.first, chunk.end - chunk.first);
        muster_member_loop_commit(loop, &chunk);
    }
    status = muster_member_loop_end(loop, report);
    return status < 0 ? status
                      : muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, sum);
}

int main(void)
{
    static const char *const names[] = {"static", "cyclic", "dynamic", "guided", "static-steal"};
    struct muster_member *me;
    void *values;
    int status = muster_join(&me);
    if (status == 0)
        status = muster_member_array(me, "values", ELEMENTS * sizeof(double), &values);
    for (unsigned schedule = 0; status == 0 && schedule < 5; schedule++) {
        struct muster_report report = {.size_bytes = sizeof report};
        double sum = 0;
        status = run(me, values, (enum muster_schedule)schedule, &report, &sum);
        if (status == 0 && muster_member_rank(me) == 0)
            printf("%-12s %" PRIu64 " of %" PRIu64 " chunks exactly once, sum %.0f\n",
                   names[schedule], report.exactly_once, report.chunks, sum);
        if (status == 0 && (report.exactly_once != report.chunks || sum != 4999950000.0))
            status = -EBADMSG;
    }
    if (status < 0)
        fprintf(stderr, "consumer: %s\n", muster_status_text(status));
    return status < 0;
}
