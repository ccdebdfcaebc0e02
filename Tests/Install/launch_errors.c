/* launch_errors.c - each error that leader.h documents of teams and arrays, and of what a loop is
 * refused for before it begins. Those of loops in progress are in launch_loops.c and
 * launch_failures.c. */
#define _GNU_SOURCE
#include "launch_check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int nothing(const struct muster_work *work)
{
    (void)work;
    return 0;
}

static void join(void *left, const void *right, void *context)
{
    (void)left;
    (void)right;
    (void)context;
}

/* Runs a check in a child, whose limits and threads are its own. */
static void apart(void (*check)(void))
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        check();
        _exit(EXIT_SUCCESS);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* -- teams ---------------------------------------------------------------------------------- */

static int create(uint32_t size, uint32_t start, const char *binding)
{
    struct muster_leader_options options = {
        .size_bytes = sizeof options, .size = size, .start = start, .binding = binding};
    struct muster_leader *leader = NULL;
    int status = muster_leader_create(&options, &leader, &error);
    CHECK((status == 0) == (leader != NULL));
    muster_leader_destroy(leader);
    return status;
}

static void *wait_for_ever(void *argument)
{
    pause();
    return argument;
}

static void start_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
}

static void with_threads(void)
{
    start_thread();
    CHECK_FAILS(MUSTER_ERROR_THREADS, "2 threads", create(2, MUSTER_START_FORK, NULL));
    CHECK(strstr(error.message, "muster_leader_serve()") && !strstr(error.message, "Team."));
}

static void limit(int what, rlim_t most)
{
    struct rlimit limits = {most, most};
    CHECK(setrlimit(what, &limits) == 0);
}

static void without_address_space(void)
{
    /* Little more than this process has: a team reserves no more than is left. */
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu", &pages) == 1 && fclose(file) == 0);
    limit(RLIMIT_AS, pages * (unsigned long)sysconf(_SC_PAGESIZE) + (4u << 20));
    CHECK_FAILS(MUSTER_ERROR_MEMORY, "team of 2", create(2, MUSTER_START_FORK, NULL));
    CHECK(error.error_number == ENOMEM);
}

static void without_processes(void)
{
    /* Root may have any number of processes. */
    if (geteuid() == 0)
        CHECK(setresuid(65534, 65534, 65534) == 0);
    limit(RLIMIT_NPROC, 0);
    CHECK_FAILS(MUSTER_ERROR_START, "rank 0 of 2", create(2, MUSTER_START_FORK, NULL));
    CHECK(error.error_number == EAGAIN);
}

static void without_descriptors(void)
{
    limit(RLIMIT_NOFILE, 3);
    CHECK_FAILS(MUSTER_ERROR_SYSTEM, "topology", create(2, MUSTER_START_FORK, NULL));
    CHECK(error.error_number == EMFILE);
}

static void teams(void)
{
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "at least 1 rank", create(0, 0, NULL));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "at most 4096", create(MUSTER_RANKS_MAX + 1, 0, NULL));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "start 3", create(1, 3, NULL));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "binding sideways", create(1, 0, "sideways"));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "CPU", create(1, 0, "1000000"));
    struct muster_leader_options options = {.size_bytes = sizeof options + 8, .size = 1};
    struct muster_leader *leader = NULL;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "sizeof", muster_leader_create(&options, &leader, &error));
    options.size_bytes = 0;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "sizeof", muster_leader_create(&options, &leader, &error));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "NULL", muster_leader_create(NULL, &leader, &error));
    CHECK(muster_leader_create(NULL, &leader, NULL) == MUSTER_ERROR_ARGUMENT);
    muster_leader_destroy(NULL);
    muster_array_destroy(NULL);
    apart(with_threads);
    apart(without_address_space);
    apart(without_processes);
    apart(without_descriptors);
}

/* -- arrays --------------------------------------------------------------------------------- */

static struct muster_leader *leader;

static int make(uint32_t element_bytes, uint64_t count, const char *placement, const char *pages)
{
    struct muster_array_options options = {.size_bytes = sizeof options,
                                           .element_bytes = element_bytes,
                                           .count = count,
                                           .placement = placement,
                                           .pages = pages};
    struct muster_array *made = NULL;
    int status = muster_array_create(leader, &options, &made, &error);
    CHECK((status == 0) == (made != NULL));
    muster_array_destroy(made);
    return status;
}

static void not_the_leader(void)
{
    CHECK_FAILS(MUSTER_ERROR_NOT_LEADER, "forked", make(1, 1, NULL, NULL));
    struct muster_file_options options = {.size_bytes = sizeof options, .element_bytes = 1};
    struct muster_array *made;
    CHECK_FAILS(MUSTER_ERROR_NOT_LEADER, "forked",
                muster_array_map(leader, "/dev/null", &options, &made, &error));
    struct muster_loop_options loop = {.size_bytes = sizeof loop, .kernel = nothing, .count = 1};
    CHECK_FAILS(MUSTER_ERROR_NOT_LEADER, "forked", muster_leader_run(leader, &loop, &error));
    muster_leader_destroy(leader); /* does nothing here: the leader goes on with its team below */
}

static void arrays(void)
{
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "1 or more bytes", make(0, 1, NULL, NULL));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "more bytes", make(8, UINT64_MAX, NULL, NULL));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "more bytes", make(8, UINT64_MAX / 8, NULL, NULL));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "placement upstairs", make(8, 1, "upstairs", NULL));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "pages 5k", make(8, 1, NULL, "5k"));
    CHECK_FAILS(MUSTER_ERROR_MEMORY, "available", make(8, 1ull << 47, NULL, NULL));
    CHECK_FAILS(MUSTER_ERROR_PLACEMENT, "bind:1023", make(8, 1000, "bind:1023", NULL));
    struct muster_array_options options = {.size_bytes = 7, .element_bytes = 1, .count = 1};
    struct muster_array *made[MUSTER_ARRAYS_MAX + 1];
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "sizeof",
                muster_array_create(leader, &options, &made[0], &error));
    options.size_bytes = sizeof options;
    options.count = 0; /* without memory, so that a thousand cost nothing */
    for (uint32_t i = 0; i < MUSTER_ARRAYS_MAX; i++)
        CHECK(muster_array_create(leader, &options, &made[i], &error) == 0);
    CHECK(muster_array_elements(made[0]) == NULL && muster_array_count(made[0]) == 0);
    CHECK_FAILS(MUSTER_ERROR_MEMORY, "at most 1024 arrays",
                muster_array_create(leader, &options, &made[MUSTER_ARRAYS_MAX], &error));
    for (uint32_t i = 0; i < MUSTER_ARRAYS_MAX; i++)
        muster_array_destroy(made[i]);
    CHECK(make(24, 1000, "blocked", "4k") == 0);
    apart(not_the_leader);
    CHECK(make(1, 1, "interleave", "auto") == 0);
}

static int sum_up(const struct muster_work *work)
{
    const int *table = muster_work_input(work, 0);
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++)
        *(int64_t *)work->partial += table[i];
    return 0;
}

static void add_up(void *left, const void *right, void *context)
{
    (void)context;
    *(int64_t *)left += *(const int64_t *)right;
}

static struct muster_array *table_of_a_child;

static void only_the_leader_mirrors(void)
{
    CHECK_FAILS(MUSTER_ERROR_NOT_LEADER, "forked", muster_array_mirror(table_of_a_child, &error));
}

/* Copies are written by the leader alone, and loops wait until all have the same. */
static void mirrored(void)
{
    struct muster_array_options options = {.size_bytes = sizeof options,
                                           .element_bytes = sizeof(int),
                                           .count = 1000,
                                           .placement = "mirrored"};
    struct muster_array *table = NULL;
    CHECK(muster_array_create(leader, &options, &table, &error) == 0);
    struct muster_use use = {.array = table, .access = MUSTER_ACCESS_INPUT};
    struct muster_loop_options loop = {
        .size_bytes = sizeof loop, .kernel = sum_up, .count = 1000, .uses = &use, .use_count = 1};
    int64_t sum = 0;
    int *elements = muster_array_elements(table);
    for (int i = 0; i < 1000; i++)
        elements[i] = i;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "call muster_array_mirror on the array",
                muster_leader_reduce(leader, &loop, 8, add_up, NULL, &sum, &error));
    CHECK(muster_array_mirror(table, &error) == 0);
    CHECK(muster_leader_reduce(leader, &loop, 8, add_up, NULL, &sum, &error) == 0);
    CHECK(sum == 499500);
    use.access = MUSTER_ACCESS_OUTPUT;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "mirrored", muster_leader_run(leader, &loop, &error));
    table_of_a_child = table;
    apart(only_the_leader_mirrors);
    muster_array_destroy(table);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static int map(const char *path, uint32_t element_bytes, uint32_t dtype)
{
    struct muster_file_options options = {
        .size_bytes = sizeof options, .element_bytes = element_bytes, .dtype = dtype};
    struct muster_array *made = NULL;
    int status = muster_array_map(leader, path, &options, &made, &error);
    CHECK((status == 0) == (made != NULL));
    if (made && dtype == MUSTER_TYPE_F32)
        CHECK(muster_array_count(made) == 2 && ((float *)muster_array_elements(made))[1] == 2.5f);
    muster_array_destroy(made);
    return status;
}

static void files(void)
{
    char npy[128] = "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, "
                    "'shape': (2,), }";
    memset(npy + strlen(npy + 10) + 10, ' ', sizeof npy - strlen(npy + 10) - 10);
    npy[sizeof npy - 1] = '\n';
    float values[2] = {1.5f, 2.5f};
    char whole[sizeof npy + sizeof values];
    memcpy(whole, npy, sizeof npy);
    memcpy(whole + sizeof npy, values, sizeof values);
    write_file("check.npy", whole, sizeof whole);
    CHECK(map("check.npy", 0, MUSTER_TYPE_F32) == 0);
    CHECK(map("check.npy", 4, 0) == 0);
    CHECK_FAILS(MUSTER_ERROR_FILE, "not float64", map("check.npy", 0, MUSTER_TYPE_F64));
    CHECK_FAILS(MUSTER_ERROR_FILE, "whole number", map("check.npy", 7, 0));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "dtype 99", map("check.npy", 0, 99));
    CHECK_FAILS(MUSTER_ERROR_FILE, "absent.npy", map("absent.npy", 0, MUSTER_TYPE_F32));
    CHECK(error.error_number == ENOENT);
    write_file("check.raw", "no header", 9);
    CHECK_FAILS(MUSTER_ERROR_FILE, "check.raw", map("check.raw", 0, MUSTER_TYPE_F32));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "NULL", map(NULL, 1, 0));
    struct muster_file_options options = {.size_bytes = 1};
    struct muster_array *made;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "sizeof",
                muster_array_map(leader, "check.raw", &options, &made, &error));
    options = (struct muster_file_options){.size_bytes = sizeof options, .element_bytes = 1};
    CHECK(muster_array_map(leader, "check.raw", &options, &made, &error) == 0);
    struct muster_use use = {.array = made, .access = MUSTER_ACCESS_OUTPUT};
    struct muster_loop_options loop = {
        .size_bytes = sizeof loop, .kernel = nothing, .count = 9, .uses = &use, .use_count = 1};
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "read-only", muster_leader_run(leader, &loop, &error));
    unlink("check.npy");
    unlink("check.raw");
}

/* -- what a loop is refused for ------------------------------------------------------------- */

/* Length: one refusal after the other. */
static void refusals(void)
{
    struct muster_leader *other = team(1, MUSTER_START_FORK);
    struct muster_array *x = array(leader, 8, 100), *foreign = array(other, 8, 100);
    struct muster_array *large = array(leader, 1, 257u << 20);
    const struct muster_loop_options good = {
        .size_bytes = sizeof good, .kernel = nothing, .count = 100};
    struct muster_loop_options loop = good;
    struct muster_use uses[2] = {{.array = x, .access = MUSTER_ACCESS_INPUT},
                                 {.array = x, .access = MUSTER_ACCESS_INPUT}};
#define CHECK_REFUSED(code, words)                                                                 \
    do {                                                                                           \
        CHECK_FAILS(code, words, muster_leader_run(leader, &loop, &error));                        \
        CHECK(muster_leader_report(leader) == NULL);                                               \
        loop = good;                                                                               \
    } while (0)

    loop.kernel = NULL;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "kernel: is NULL");
    loop.size_bytes = 4;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "sizeof");
    loop.schedule = MUSTER_SCHEDULE_STATIC_STEAL + 1;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "schedule 5");
    loop.recovery = 2;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "recovery 2");
    loop.count = UINT64_MAX;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "elements");
    loop.by_rank = 1;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "by_rank");
    loop.use_count = MUSTER_USES_MAX + 1;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "65 uses");
    loop.use_count = 1;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "NULL");
    loop.argument_bytes = 1;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "NULL");
    loop.arguments = uses;
    loop.argument_bytes = MUSTER_WORK_ARGUMENT_BYTES_MAX + 1;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "4097 bytes");

    loop.uses = uses;
    loop.use_count = 1;
    uses[0].access = 3;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "access 3");
    loop.uses = uses;
    loop.use_count = 1;
    loop.count = 101;
    uses[0].access = MUSTER_ACCESS_OUTPUT;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "only 100 elements");
    loop.uses = uses;
    loop.use_count = 2;
    uses[0].access = MUSTER_ACCESS_IN_PLACE;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "under two accesses");
    loop.uses = uses;
    loop.use_count = 2;
    uses[0].access = MUSTER_ACCESS_INPUT;
    CHECK(muster_leader_run(leader, &loop, &error) == 0); /* read twice is no mistake */
    uses[0].array = foreign;
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "no array of this leader's");
    loop.uses = uses;
    loop.use_count = 1;
    loop.count = loop.grain = 257u << 20;
    uses[0] = (struct muster_use){.array = large, .access = MUSTER_ACCESS_IN_PLACE};
    CHECK_REFUSED(MUSTER_ERROR_ARGUMENT, "recovery = MUSTER_RECOVERY_FAIL");

    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(&loop.kernel, &page, sizeof page);
    CHECK_REFUSED(MUSTER_ERROR_NO_KERNEL, "in no file");

    double result = 0;
    loop = good;
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "combine",
                muster_leader_reduce(leader, &loop, 8, NULL, NULL, &result, &error));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "0 bytes",
                muster_leader_reduce(leader, &loop, 0, join, NULL, &result, &error));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "result",
                muster_leader_reduce(leader, &loop, 8, join, NULL, NULL, &error));
    muster_leader_destroy(other);
}

/* Sixteen ranks have rolls for every loop in 20 GiB of addresses, so here they get shorter ones. */
static void with_short_rolls(void)
{
    limit(RLIMIT_AS, 20ull << 30);
    struct muster_leader *narrow = team(16, MUSTER_START_FORK);
    struct muster_loop_options loop = {
        .size_bytes = sizeof loop, .kernel = nothing, .count = MUSTER_CHUNKS_MAX, .grain = 1};
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "larger grain", muster_leader_run(narrow, &loop, &error));
    muster_leader_destroy(narrow);
}

/* -- fork servers --------------------------------------------------------------------------- */

static void servers(void)
{
    start_thread();
    struct muster_leader *served = team(2, MUSTER_START_SERVER);
    struct muster_loop_options loop = {.size_bytes = sizeof loop, .kernel = nothing, .count = 100};
    CHECK(muster_leader_run(served, &loop, &error) == 0);
    /* Of the C library, which both have loaded: a function that is not this program's. */
    int (*abs_function)(int) = abs;
    memcpy(&loop.kernel, &abs_function, sizeof loop.kernel);
    CHECK_FAILS(MUSTER_ERROR_KERNEL, "the kernel returned",
                muster_leader_run(served, &loop, &error));
    void *made = malloc(16); /* as a function is that was made at run time */
    memcpy(&loop.kernel, &made, sizeof loop.kernel);
    CHECK_FAILS(MUSTER_ERROR_NO_KERNEL, "fork server", muster_leader_run(served, &loop, &error));
    free(made);
    muster_leader_destroy(served);
    /* The next copy of this program leaves before its line: see main. */
    CHECK(setenv("LEAVE_EARLY", "1", 1) == 0);
    CHECK_FAILS(MUSTER_ERROR_SERVER, "exit status 3", create(2, MUSTER_START_SERVER, NULL));
}

int main(int argc, char **argv)
{
    if (getenv("LEAVE_EARLY"))
        return 3;
    alarm(WATCHDOG_SECONDS);
    if (argc > 1 && strcmp(argv[1], "without-line") == 0) {
        CHECK_FAILS(MUSTER_ERROR_START, "muster_leader_serve() the first line of main",
                    create(1, MUSTER_START_SERVER, NULL));
        return EXIT_SUCCESS;
    }
    muster_leader_serve();
    teams();
    leader = team(2, MUSTER_START_FORK);
    arrays();
    mirrored();
    files();
    refusals();
    int pid = muster_leader_process(leader, 1);
    CHECK(pid > 0 && muster_leader_process(leader, 2) == 0 && kill(pid, 0) == 0);
    muster_leader_destroy(leader);
    CHECK(kill(pid, 0) == -1);
    apart(with_short_rolls);
    apart(servers);
    puts("leader.h: errors of teams, arrays and refused loops");
    return EXIT_SUCCESS;
}
