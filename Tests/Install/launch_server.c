/* launch_server.c - a fork server that is another program than the leader's, and what a leader has
 * after its ranks have ended.
 *
 * The other program is `runtime` (runtime.c), the kernels are in libraries (runtime_kernels.c): all
 * in the working directory, as Tests/Install/check builds them. */
#define _GNU_SOURCE
#include "launch_check.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static struct muster_leader_options options = {
    .size_bytes = sizeof options, .size = 3, .start = MUSTER_START_SERVER};

static int own_kernel(const struct muster_work *work)
{
    (void)work;
    return 0;
}

static muster_kernel kernel(const char *library, const char *name)
{
    void *loaded = dlopen(library, RTLD_NOW);
    CHECK(loaded);
    void *address = dlsym(loaded, name);
    CHECK(address);
    muster_kernel found;
    memcpy(&found, &address, sizeof found);
    return found;
}

static struct muster_leader *served(const char *const *program)
{
    options.server = program;
    struct muster_leader *leader = NULL;
    CHECK(muster_leader_create(&options, &leader, &error) == 0);
    return leader;
}

static int refused(const char *const *program)
{
    options.server = program;
    struct muster_leader *leader = NULL;
    int status = muster_leader_create(&options, &leader, &error);
    CHECK(status < 0 && !leader);
    return status;
}

static int run(struct muster_leader *leader, struct muster_array *x, muster_kernel function,
               uint64_t argument)
{
    struct muster_use use = {.array = x, .access = MUSTER_ACCESS_IN_PLACE};
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = function,
                                       .count = muster_array_count(x),
                                       .uses = &use,
                                       .use_count = 1,
                                       .arguments = &argument,
                                       .argument_bytes = sizeof argument};
    return muster_leader_run(leader, &loop, &error);
}

static void check_all(const struct muster_array *x, double value)
{
    const double *elements = muster_array_elements(x);
    for (uint64_t i = 0; i < muster_array_count(x); i++)
        CHECK(elements[i] == value);
}

static void set_all(const struct muster_array *x, double value)
{
    double *elements = muster_array_elements(x);
    for (uint64_t i = 0; i < muster_array_count(x); i++)
        elements[i] = value;
}

static const char *const plain[] = {"./runtime", "load", "./runtime_kernels.so", "serve", NULL};

/* The parent of a process, which for a rank is its server. */
static int parent(int pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    CHECK(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    char *name = strrchr(text, ')');
    int found = 0;
    CHECK(name && sscanf(name, ") %*c %d", &found) == 1);
    return found;
}

static void loops(void)
{
    struct muster_leader *leader = served(plain);
    struct muster_array *x = array(leader, sizeof(double), 100000);
    muster_kernel scale = kernel("./runtime_kernels.so", "runtime_scale");
    set_all(x, 1);
    for (int i = 0; i < 3; i++)
        CHECK(run(leader, x, scale, 0) == 0);
    check_all(x, 8);
    const struct muster_report *report = muster_leader_report(leader);
    CHECK(report->clean && report->size == 3);
    CHECK(report->failed_chunk == UINT64_MAX && report->failed_rank == UINT32_MAX);

    /* A rank that dies, and then the server, between loops. */
    CHECK(kill(muster_leader_process(leader, 1), SIGKILL) == 0);
    usleep(20000);
    CHECK(run(leader, x, scale, 0) == 0);
    CHECK(kill(parent(muster_leader_process(leader, 0)), SIGKILL) == 0);
    usleep(50000);
    CHECK(run(leader, x, scale, 0) == 0);
    check_all(x, 32);

    /* In numbers: which kernel failed, and where. */
    muster_kernel fails = kernel("./runtime_kernels.so", "runtime_fail");
    CHECK_FAILS(MUSTER_ERROR_KERNEL, "as it was told to", run(leader, x, fails, 7));
    report = muster_leader_report(leader);
    CHECK(error.kernel_status == 17 && report->failed_chunk == 7 && report->failed_rank < 3);

    /* Its own program is none that the ranks have. */
    CHECK_FAILS(MUSTER_ERROR_NO_KERNEL, "has not loaded", run(leader, x, own_kernel, 0));
    muster_kernel other = kernel("./other/runtime_kernels.so", "runtime_scale");
    CHECK_FAILS(MUSTER_ERROR_NO_KERNEL, "another build", run(leader, x, other, 0));
    muster_kernel unnamed = kernel("./unnamed_kernels.so", "runtime_scale");
    CHECK_FAILS(MUSTER_ERROR_NO_KERNEL, "-Wl,--build-id", run(leader, x, unnamed, 0));
    CHECK(run(leader, x, scale, 0) == 0);
    check_all(x, 64);
    muster_leader_destroy(leader);
}

static int progress_calls;

static int progress(void *context, const struct muster_progress *now)
{
    (void)context;
    CHECK(now->done < now->chunks);
    return ++progress_calls >= 2;
}

/* A loop like the one before calls for progress too, once it takes long. */
static void progress_of_repeated_loops(void)
{
    struct muster_leader *leader = served(plain);
    uint64_t ns = 0;
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = kernel("./runtime_kernels.so", "runtime_sleep"),
                                       .count = 60,
                                       .grain = 1,
                                       .schedule = MUSTER_SCHEDULE_DYNAMIC,
                                       .arguments = &ns,
                                       .argument_bytes = sizeof ns,
                                       .progress = progress};
    for (int i = 0; i < 5; i++)
        CHECK(muster_leader_run(leader, &loop, &error) == 0);
    CHECK(progress_calls == 0);
    ns = 50000000;
    CHECK_FAILS(MUSTER_ERROR_CANCELLED, "cancelled", muster_leader_run(leader, &loop, &error));
    CHECK(progress_calls == 2);
    CHECK(muster_leader_report(leader)->cancelled);
    ns = 0;
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    muster_leader_destroy(leader);
}

static void ended(void)
{
    struct muster_leader *leader = served(plain);
    struct muster_array *x = array(leader, sizeof(double), 1000);
    muster_kernel scale = kernel("./runtime_kernels.so", "runtime_scale");
    set_all(x, 3);
    CHECK(run(leader, x, scale, 0) == 0);
    int rank = muster_leader_process(leader, 2), server = parent(rank);
    muster_leader_end(leader);
    CHECK(kill(rank, 0) < 0 && errno == ESRCH && kill(server, 0) < 0 && errno == ESRCH);
    CHECK(muster_leader_process(leader, 2) == 0 && muster_leader_size(leader) == 3);
    CHECK(muster_leader_report(leader)->clean);
    check_all(x, 6);
    set_all(x, 4);
    check_all(x, 4);
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "the team has ended", run(leader, x, scale, 0));
    struct muster_array_options more = {.size_bytes = sizeof more, .element_bytes = 1, .count = 1};
    struct muster_array *made = NULL;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "the team has ended",
                muster_array_create(leader, &more, &made, &error));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "the team has ended", muster_array_mirror(x, &error));
    struct muster_file_options file = {.size_bytes = sizeof file, .element_bytes = 1};
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "the team has ended",
                muster_array_map(leader, "/dev/null", &file, &made, &error));
    CHECK(!made);
    muster_leader_end(leader);
    muster_leader_end(NULL);
    check_all(x, 4);
    muster_array_destroy(x);
    muster_leader_destroy(leader);
}

static void wrong_programs(void)
{
    const char *const none[] = {NULL}, *const empty[] = {"", NULL};
    const char *const missing[] = {"./no-such-program", NULL};
    const char *const leaves[] = {"./runtime", NULL};
    const char *const threads[] = {"./runtime", "thread", "serve", NULL};
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "no path", refused(none));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "no path", refused(empty));
    CHECK_FAILS(MUSTER_ERROR_START, "./no-such-program", refused(missing));
    CHECK_FAILS(MUSTER_ERROR_SERVER, "fork server ./runtime: left with exit status 3",
                refused(leaves));
    CHECK_FAILS(MUSTER_ERROR_START, "2 threads", refused(threads));
    options.start = MUSTER_START_FORK;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "MUSTER_START_SERVER only", refused(plain));
    options.start = MUSTER_START_SERVER;
}

/* Structs as earlier versions had them: what comes behind is not read. */
static void earlier_options(void)
{
    struct muster_leader_options earlier = {.size = 2, .server = (const char *const *)8};
    const uint32_t sizes[] = {offsetof(struct muster_leader_options, check),
                              offsetof(struct muster_leader_options, server)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct muster_leader *leader = NULL;
        earlier.size_bytes = sizes[i];
        CHECK(muster_leader_create(&earlier, &leader, &error) == 0);
        muster_leader_destroy(leader);
    }
}

static void *wait_for_ever(void *argument)
{
    pause();
    return argument;
}

int main(void)
{
    alarm(WATCHDOG_SECONDS);
    earlier_options();
    struct muster_leader *forked = team(2, MUSTER_START_FORK);
    /* From here on no team could be forked from this process. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    loops();
    progress_of_repeated_loops();
    ended();
    wrong_programs();
    muster_leader_destroy(forked);
    puts("another program as the fork server: fine");
    return 0;
}
