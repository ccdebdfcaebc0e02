/* leader.c - a leader in C, for Tests/Refused: `leader fork` or `leader server` starts a team of
 * two, changes an array in place, adds it up, and maps a file.
 *
 * Exit: 0 all was right, with the audit on standard output; 1 a result was wrong; 2 an error, in
 * one line on standard error.
 */
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 100000 };

static int step(const struct muster_work *work)
{
    struct muster_tile tile = {0};
    while (muster_work_update(work, 0, &tile))
        for (uint64_t i = tile.first; i < tile.end; i++)
            ((uint64_t *)tile.elements)[i] += i;
    return 0;
}

static int sum(const struct muster_work *work)
{
    const uint64_t *values = muster_work_input(work, 0);
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++)
        *(uint64_t *)work->partial += values[i];
    return 0;
}

static void add(void *left, const void *right, void *context)
{
    (void)context;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static struct muster_leader *leader;
static struct muster_error error;

static void must(int status)
{
    if (status == 0)
        return;
    fprintf(stderr, "muster: %s\n", error.message);
    muster_leader_destroy(leader);
    exit(2);
}

int main(int argc, char **argv)
{
    muster_leader_serve();
    struct muster_leader_options options = {.size_bytes = sizeof options, .size = 2};
    if (argc > 1 && strcmp(argv[1], "server") == 0)
        options.start = MUSTER_START_SERVER;
    must(muster_leader_create(&options, &leader, &error));
    struct muster_array_options wanted = {
        .size_bytes = sizeof wanted, .element_bytes = 8, .count = COUNT, .placement = "blocked"};
    struct muster_array *array, *file;
    must(muster_array_create(leader, &wanted, &array, &error));
    struct muster_file_options how = {.size_bytes = sizeof how, .element_bytes = 1};
    must(muster_array_map(leader, argv[0], &how, &file, &error));
    struct muster_use use = {.array = array, .access = MUSTER_ACCESS_IN_PLACE};
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = step,
                                       .count = COUNT,
                                       .grain = 1000,
                                       .schedule = MUSTER_SCHEDULE_DYNAMIC,
                                       .uses = &use,
                                       .use_count = 1};
    must(muster_leader_run(leader, &loop, &error));
    const struct muster_report *report = muster_leader_report(leader);
    printf("%s\n", report ? report->text : "no report");
    uint64_t result = 0;
    loop.kernel = sum;
    use.access = MUSTER_ACCESS_INPUT;
    must(muster_leader_reduce(leader, &loop, sizeof result, add, NULL, &result, &error));
    muster_leader_destroy(leader);
    return result == (uint64_t)COUNT * (COUNT - 1) / 2 ? 0 : 1;
}
