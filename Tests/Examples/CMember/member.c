/* member.c - a member in C: heat that spreads along a rod, by small steps.
 *
 *     cc member.c $(pkg-config --cflags --libs muster) -o heat
 *     muster run -n 8 -- ./heat
 *
 * Two shared arrays take turns: each step reads the one and writes the other, so a chunk whose rank
 * was killed can be done again by another. Steps go on until none changes any point by much. Ranks
 * agree on that without a message: the loop's partial results are combined in the same order, so to
 * the same bits, in each of them.
 */
#include <errno.h>
#include <stdio.h>

#include <muster/member.h>

#define POINTS     100000u
#define STEPS_MOST 1000u

static struct muster_member_loop_options options(const char *name)
{
    struct muster_member_loop_options made = {.size_bytes = sizeof made,
                                              .schedule = MUSTER_SCHEDULE_STATIC_STEAL,
                                              .elements = POINTS,
                                              .grain = 4096,
                                              .partial_bytes = sizeof(double),
                                              .flags = MUSTER_LOOP_ADOPT,
                                              .name = name};
    return made;
}

/* Cold, with a hot place in the middle. */
static int begin(struct muster_member *me, double *rod)
{
    struct muster_member_loop_options how = options("begin");
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    int status = muster_member_loop_begin(me, &how, &loop);
    if (status < 0)
        return status;
    while (muster_member_loop_next(loop, &chunk) > 0) {
        for (uint64_t i = chunk.first; i < chunk.end; i++)
            rod[i] = i == POINTS / 2 ? 1000 : 0;
        *(double *)muster_member_loop_partial(loop, &chunk) = 0;
        muster_member_loop_commit(loop, &chunk);
    }
    return muster_member_loop_end(loop, NULL); /* also after an error of next: it says which */
}

/* One step. change: receives how much the point changed that changed most. */
static int step(struct muster_member *me, const double *from, double *to, double *change,
                struct muster_report *report)
{
    struct muster_member_loop_options how = options("step");
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    int status = muster_member_loop_begin(me, &how, &loop);
    if (status < 0)
        return status;
    while (muster_member_loop_next(loop, &chunk) > 0) {
        double most = 0;
        for (uint64_t i = chunk.first; i < chunk.end; i++) {
            double left = from[i > 0 ? i - 1 : i], right = from[i + 1 < POINTS ? i + 1 : i];
            double by = (left + right - 2 * from[i]) / 4;
            to[i] = from[i] + by;
            most = by > most ? by : -by > most ? -by : most;
        }
        *(double *)muster_member_loop_partial(loop, &chunk) = most;
        muster_member_loop_commit(loop, &chunk);
    }
    status = muster_member_loop_end(loop, report);
    return status < 0 ? status
                      : muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_MAX, change);
}

static int work(struct muster_member *me)
{
    void *memory[2];
    struct muster_report report = {.size_bytes = sizeof report};
    double change = 1000;
    unsigned steps = 0;
    int status = muster_member_array(me, "even", POINTS * sizeof(double), &memory[0]);
    if (status == 0)
        status = muster_member_array(me, "odd", POINTS * sizeof(double), &memory[1]);
    if (status == 0)
        status = begin(me, memory[0]);
    for (; status == 0 && change > 0.1 && steps < STEPS_MOST; steps++)
        status = step(me, memory[steps % 2], memory[(steps + 1) % 2], &change, &report);
    /* No later loop writes to what is read here. */
    if (status == 0)
        printf(
            "rank %u of %u: %llu of %llu chunks of the last step, %u steps: %.17g in the middle\n",
            muster_member_rank(me), muster_member_size(me), (unsigned long long)report.own,
            (unsigned long long)report.chunks, steps, ((double *)memory[steps % 2])[POINTS / 2]);
    return status;
}

int main(void)
{
    struct muster_member *me;
    int status = muster_join(&me);
    if (status < 0) {
        char advice[512];
        muster_join_advice(status, advice, sizeof advice);
        fprintf(stderr, "heat: %s\n", advice);
        return 1;
    }
    /* A rank died where it was needed, or this process takes the place of one: all begin again. */
    status = work(me);
    while (status == -EOWNERDEAD && (status = muster_recover(me)) == 0)
        status = work(me);
    if (status < 0)
        fprintf(stderr, "heat: %s\n", muster_status_text(status));
    muster_leave(me);
    return status < 0;
}
