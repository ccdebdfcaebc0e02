/* launch_nulls.c - NULL for each pointer of each function of leader.h: an error in words, or
 * nothing; never a signal. Mistakes of numbers that the header documents are here too. */
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

/* An argument that can't be: the code, and a sentence where there is room for it. */
static void refused(int status, const struct muster_error *error, int line)
{
    if (status == MUSTER_ERROR_ARGUMENT && (!error || strlen(error->message) > 10))
        return;
    printf("line %d: status %d, '%s'\n", line, status, error ? error->message : "");
    failures++;
}
#define REFUSED(call)                                                                              \
    do {                                                                                           \
        struct muster_error error;                                                                 \
        memset(&error, 0, sizeof error);                                                           \
        refused((call), &error, __LINE__);                                                         \
    } while (0)
#define REFUSED_SILENTLY(call) refused((call), NULL, __LINE__)

static int nothing(const struct muster_work *work)
{
    (void)work;
    return 0;
}

static void add(void *into, const void *from, void *context)
{
    (void)context;
    *(uint64_t *)into += *(const uint64_t *)from;
}

/* Length: one pointer after the other. */
int main(void)
{
    setbuf(stdout, NULL);
    struct muster_leader_options options;
    memset(&options, 0, sizeof options);
    options.size_bytes = sizeof options;
    options.size = 2;
    struct muster_leader *leader = NULL;
    REFUSED(muster_leader_create(NULL, &leader, &error));
    REFUSED(muster_leader_create(&options, NULL, &error));
    REFUSED_SILENTLY(muster_leader_create(NULL, NULL, NULL));
    options.size_bytes = 1;
    REFUSED(muster_leader_create(&options, &leader, &error));
    options.size_bytes = sizeof options;
    options.size = MUSTER_RANKS_MAX + 1u;
    REFUSED(muster_leader_create(&options, &leader, &error));
    options.size = 0;
    REFUSED(muster_leader_create(&options, &leader, &error));
    options.size = 2;
    options.start = 77;
    REFUSED(muster_leader_create(&options, &leader, &error));
    options.start = MUSTER_START_FORK;
    options.binding = "sideways";
    REFUSED(muster_leader_create(&options, &leader, &error));
    options.binding = NULL;
    options.size = 2;
    HOLDS(leader == NULL);

    HOLDS(muster_leader_size(NULL) == 0);
    HOLDS(muster_leader_process(NULL, 0) <= 0);
    HOLDS(muster_leader_report(NULL) == NULL);
    muster_leader_cancel(NULL);
    muster_leader_destroy(NULL);
    HOLDS(muster_array_elements(NULL) == NULL);
    HOLDS(muster_array_count(NULL) == 0);
    (void)muster_array_notes(NULL);
    REFUSED(muster_array_mirror(NULL, &error));
    REFUSED_SILENTLY(muster_array_mirror(NULL, NULL));
    muster_array_destroy(NULL);

    if (muster_leader_create(&options, &leader, NULL) != 0 || !leader)
        return 1;
    struct muster_array_options wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.size_bytes = sizeof wanted;
    wanted.element_bytes = 8;
    wanted.count = 1000;
    struct muster_array *array = NULL;
    REFUSED(muster_array_create(NULL, &wanted, &array, &error));
    REFUSED(muster_array_create(leader, NULL, &array, &error));
    REFUSED(muster_array_create(leader, &wanted, NULL, &error));
    REFUSED_SILENTLY(muster_array_create(NULL, NULL, NULL, NULL));
    wanted.placement = "sideways";
    REFUSED(muster_array_create(leader, &wanted, &array, &error));
    wanted.placement = NULL;
    wanted.pages = "3k";
    REFUSED(muster_array_create(leader, &wanted, &array, &error));
    wanted.pages = NULL;
    wanted.element_bytes = 0;
    REFUSED(muster_array_create(leader, &wanted, &array, &error));
    wanted.element_bytes = 8;
    wanted.count = UINT64_MAX;
    REFUSED(muster_array_create(leader, &wanted, &array, &error));
    wanted.count = 1000;
    HOLDS(muster_array_create(leader, &wanted, &array, NULL) == 0);
    struct muster_file_options file;
    memset(&file, 0, sizeof file);
    file.size_bytes = sizeof file;
    file.element_bytes = 1;
    struct muster_array *mapped = NULL;
    REFUSED(muster_array_map(NULL, "/proc/self/exe", &file, &mapped, &error));
    REFUSED(muster_array_map(leader, NULL, &file, &mapped, &error));
    REFUSED(muster_array_map(leader, "/proc/self/exe", NULL, &mapped, &error));
    REFUSED(muster_array_map(leader, "/proc/self/exe", &file, NULL, &error));
    struct muster_loop_options loop;
    memset(&loop, 0, sizeof loop);
    loop.size_bytes = sizeof loop;
    loop.kernel = nothing;
    loop.count = 1000;
    REFUSED(muster_leader_run(NULL, &loop, &error));
    REFUSED(muster_leader_run(leader, NULL, &error));
    REFUSED_SILENTLY(muster_leader_run(NULL, NULL, NULL));
    loop.kernel = NULL;
    REFUSED(muster_leader_run(leader, &loop, &error));
    loop.kernel = nothing;
    loop.use_count = 1; /* and no list */
    REFUSED(muster_leader_run(leader, &loop, &error));
    struct muster_use use;
    memset(&use, 0, sizeof use);
    loop.uses = &use; /* of no array */
    REFUSED(muster_leader_run(leader, &loop, &error));
    loop.use_count = 0;
    loop.uses = NULL;
    loop.argument_bytes = 8; /* and no bytes */
    REFUSED(muster_leader_run(leader, &loop, &error));
    loop.argument_bytes = 0;
    /* A grain that is asked for is kept, so this is too many chunks, at once. */
    loop.count = UINT64_C(1) << 40;
    loop.grain = 1;
    REFUSED(muster_leader_run(leader, &loop, &error));
    loop.count = 1000;
    loop.grain = 0;
    loop.schedule = 77;
    REFUSED(muster_leader_run(leader, &loop, &error));
    loop.schedule = MUSTER_SCHEDULE_STATIC;
    loop.recovery = 77;
    REFUSED(muster_leader_run(leader, &loop, &error));
    loop.recovery = 0;
    uint64_t result = 0;
    REFUSED(muster_leader_reduce(NULL, &loop, 8, add, NULL, &result, &error));
    REFUSED(muster_leader_reduce(leader, NULL, 8, add, NULL, &result, &error));
    REFUSED(muster_leader_reduce(leader, &loop, 8, NULL, NULL, &result, &error));
    REFUSED(muster_leader_reduce(leader, &loop, 8, add, NULL, NULL, &error));
    REFUSED(muster_leader_reduce(leader, &loop, 0, add, NULL, &result, &error));
    HOLDS(muster_leader_run(leader, &loop, NULL) == 0);
    HOLDS(muster_leader_report(leader) != NULL);
    muster_array_destroy(array);
    muster_leader_destroy(leader);
    printf("%d failures\n", failures);
    return failures != 0;
}
