/* consumer.c - a C program on the C core alone: cuts a loop, deals it with every schedule to ranks
 * that take turns, and audits what they committed. Exits 0 when each chunk was committed exactly
 * once. */
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>

enum { RANKS = 3, ELEMENTS = 100000 };

static double values[ELEMENTS];

static int run(struct muster_team *team, enum muster_schedule schedule)
{
    struct muster_job *job = muster_team_job(team);
    job->kind = MUSTER_JOB_LOOP;
    job->schedule = schedule;
    job->first_chunk = 0;
    job->elements = ELEMENTS;
    job->grain = muster_schedule_grain(ELEMENTS, 0, 0);
    job->chunk_count = muster_schedule_chunks(ELEMENTS, job->grain);
    job->batch = 1;
    muster_team_dispatch(team);
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        struct muster_loop loop = {0};
        struct muster_chunk chunk;
        int status = muster_loop_begin(&loop, team, rank);
        if (status < 0)
            return status;
        while (muster_loop_next(&loop, &chunk)) {
            for (uint64_t i = chunk.first; i < chunk.end; i++)
                values[i] += 1;
            muster_loop_commit(&loop, &chunk);
        }
        muster_loop_end(&loop);
        muster_worker_done(team, rank, job->number);
    }
    int joined = muster_team_join(team, -1);
    if (joined < 0)
        return joined;
    struct muster_audit audit;
    int64_t findings = muster_team_audit(team, &audit, NULL, 0);
    return findings == 0 && audit.exactly_once == job->chunk_count ? 0 : -EUCLEAN;
}

int main(void)
{
    struct muster_team_options options = {.size_bytes = sizeof options, .size = RANKS};
    struct muster_team *team = NULL;
    int status = muster_team_create(&options, &team);
    for (uint32_t rank = 0; status == 0 && rank < RANKS; rank++)
        status = muster_team_adopt(team, rank);
    for (int schedule = MUSTER_SCHEDULE_STATIC;
         status == 0 && schedule <= MUSTER_SCHEDULE_STATIC_STEAL; schedule++)
        status = run(team, (enum muster_schedule)schedule);
    for (int i = 0; status == 0 && i < ELEMENTS; i++)
        if (values[i] != MUSTER_SCHEDULE_STATIC_STEAL + 1)
            status = -EUCLEAN;
    muster_team_destroy(team);
    if (status < 0) {
        fprintf(stderr, "consumer: %s\n", muster_status_text(status));
        return EXIT_FAILURE;
    }
    printf("C consumer: %d schedules, %d elements, each exactly once\n",
           MUSTER_SCHEDULE_STATIC_STEAL + 1, ELEMENTS);
    return EXIT_SUCCESS;
}
