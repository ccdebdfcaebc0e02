/* launch_documented.c - documented errors that no other test of the installed library provokes: of
 * reductions each that a loop can have, of ranks that are gone, of the environment. statuses.py
 * compares what all of these tests have seen with what the headers say. */
#define _GNU_SOURCE
#include "launch_check.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CHUNKS = 10, BAD = 3 };

/* What the kernel does at chunk BAD. */
enum mischief { NONE, DIE, RETURN_7, KILL_SERVER, STRAY, SHRINK, COMMIT_TWICE };

static struct muster_leader *leader;

static int misbehave(const struct muster_work *work)
{
    const uint32_t *mischief = work->arguments;
    struct muster_cursor *cursor;
    *(uint64_t *)work->partial = 1;
    if (work->chunk.index != BAD)
        return 0;
    switch ((enum mischief) * mischief) {
    case NONE:
        break;
    case DIE:
        raise(SIGKILL);
        break;
    case RETURN_7:
        return 7;
    case KILL_SERVER:
        kill(getppid(), SIGKILL);
        pause();
        break;
    case STRAY:
        ((unsigned char *)(uintptr_t)muster_work_input(work, 0))[0] = 1;
        break;
    case SHRINK:
        if (truncate("documented.raw", 0) != 0)
            return 8;
        return ((const volatile unsigned char *)muster_work_input(work, 0))[CHUNKS - 1];
    case COMMIT_TWICE: /* the first word of a kernel's state is its loop, which has this first */
        memcpy(&cursor, work->state, sizeof cursor);
        return !muster_cursor_commit(cursor, BAD);
    }
    return 0;
}

static void add(void *left, const void *right, void *context)
{
    (void)context;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static int cancel(void *context, const struct muster_progress *progress)
{
    (void)context;
    (void)progress;
    return 1;
}

static int wait_a_little(const struct muster_work *work)
{
    (void)work;
    usleep(100000);
    return 0;
}

static int reduce(struct muster_loop_options *loop)
{
    uint64_t result = 0;
    int status = muster_leader_reduce(leader, loop, sizeof result, add, NULL, &result, &error);
    CHECK(status != 0 || result == CHUNKS);
    return status;
}

static struct muster_loop_options options(uint32_t *mischief, enum mischief what)
{
    *mischief = what;
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = misbehave,
                                       .count = CHUNKS,
                                       .grain = 1,
                                       .arguments = mischief,
                                       .argument_bytes = sizeof *mischief};
    return loop;
}

static int reduce_with(enum mischief what)
{
    uint32_t mischief;
    struct muster_loop_options loop = options(&mischief, what);
    loop.recovery =
        what == DIE || what == KILL_SERVER ? MUSTER_RECOVERY_FAIL : MUSTER_RECOVERY_REDO;
    return reduce(&loop);
}

static void end_child(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void reductions(void)
{
    uint32_t mischief;
    leader = team(2, MUSTER_START_FORK);
    CHECK(reduce_with(NONE) == 0);
    CHECK_FAILS(MUSTER_ERROR_KERNEL, "returned 7", reduce_with(RETURN_7));
    CHECK_FAILS(MUSTER_ERROR_AUDIT, "repeated", reduce_with(COMMIT_TWICE));
    CHECK_FAILS(MUSTER_ERROR_DEATH, "SIGKILL", reduce_with(DIE));

    struct muster_loop_options loop = options(&mischief, DIE);
    loop.redo_limit = 2;
    CHECK_FAILS(MUSTER_ERROR_QUARANTINE, "chunk 3", reduce(&loop));

    loop = options(&mischief, NONE);
    loop.kernel = wait_a_little;
    loop.progress = cancel;
    CHECK_FAILS(MUSTER_ERROR_CANCELLED, "cancelled", reduce(&loop));

    void *library = dlopen("libresolv.so.2", RTLD_NOW);
    void *found = library ? dlsym(library, "ns_get16") : NULL;
    loop = options(&mischief, NONE);
    memcpy(&loop.kernel, &found, sizeof found);
    CHECK_FAILS(MUSTER_ERROR_NO_KERNEL, "rank", reduce(&loop));
    CHECK(found && dlclose(library) == 0);

    FILE *file = fopen("documented.raw", "wb");
    CHECK(file && ftruncate(fileno(file), CHUNKS) == 0 && fclose(file) == 0);
    struct muster_file_options how = {.size_bytes = sizeof how, .element_bytes = 1};
    struct muster_array *mapped;
    CHECK(muster_array_map(leader, "documented.raw", &how, &mapped, &error) == 0);
    struct muster_use use = {.array = mapped, .access = MUSTER_ACCESS_INPUT};
    loop = options(&mischief, SHRINK);
    loop.uses = &use;
    loop.use_count = 1;
    CHECK_FAILS(MUSTER_ERROR_FILE_SHRANK, "documented.raw", reduce(&loop));
    muster_array_destroy(mapped);
    unlink("documented.raw");

    /* 2^31 partial results of 4 KiB. */
    loop = options(&mischief, NONE);
    loop.count = 1ull << 31;
    uint64_t result[512];
    CHECK_FAILS(MUSTER_ERROR_MEMORY, "partial results",
                muster_leader_reduce(leader, &loop, sizeof result, add, NULL, result, &error));

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_FAILS(MUSTER_ERROR_NOT_LEADER, "forked", reduce_with(NONE));
        _exit(EXIT_SUCCESS);
    }
    end_child(child);
    CHECK(reduce_with(NONE) == 0);
    muster_leader_destroy(leader);

    struct muster_leader_options checked = {
        .size_bytes = sizeof checked, .size = 2, .check = MUSTER_CHECK_ON};
    CHECK(muster_leader_create(&checked, &leader, &error) == 0);
    struct muster_array *x = array(leader, 1, CHUNKS);
    use = (struct muster_use){.array = x, .access = MUSTER_ACCESS_INPUT};
    loop = options(&mischief, STRAY);
    loop.uses = &use;
    loop.use_count = 1;
    CHECK_FAILS(MUSTER_ERROR_STRAY, "chunk 3", reduce(&loop));
    muster_leader_destroy(leader);

    leader = team(2, MUSTER_START_SERVER);
    CHECK_FAILS(MUSTER_ERROR_SERVER, "SIGKILL", reduce_with(KILL_SERVER));
    muster_leader_destroy(leader);
}

/* -- ranks that are gone -------------------------------------------------------------------- */

static void *wait_for_ever(void *argument)
{
    pause();
    return argument;
}

static void no_more_processes(void)
{
    struct rlimit none = {0, 0};
    if (geteuid() == 0) /* root may have any number */
        CHECK(setresuid(65534, 65534, 65534) == 0);
    CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
}

static void kill_ranks(void)
{
    for (uint32_t rank = 0; rank < muster_leader_size(leader); rank++) {
        int pid = muster_leader_process(leader, rank);
        siginfo_t end;
        CHECK(pid > 0 && kill(pid, SIGKILL) == 0);
        CHECK(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT) == 0);
    }
    usleep(20000); /* a leader trusts what it has seen of its ranks for some milliseconds */
}

/* In each rank: what gives memory its pages ends the process. */
static int die_at_populate(const struct muster_work *work)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    (void)work;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0;
}

static int make_array(void)
{
    struct muster_array_options how = {
        .size_bytes = sizeof how, .element_bytes = 1, .count = 1 << 20};
    struct muster_array *made = NULL;
    int status = muster_array_create(leader, &how, &made, &error);
    CHECK((status == 0) == (made != NULL));
    return status;
}

/* What prevents that ranks are started again. */
enum obstacle { PROCESSES, THREADS };

/* Nobody is left, and nobody can be started. */
static void nobody_left(enum obstacle obstacle, bool in_array)
{
    int code = obstacle == PROCESSES ? MUSTER_ERROR_START : MUSTER_ERROR_THREADS;
    const char *words = obstacle == PROCESSES ? "can't start a worker" : "2 threads";
    struct muster_loop_options loop = {
        .size_bytes = sizeof loop, .kernel = die_at_populate, .by_rank = 1};
    pthread_t thread;
    leader = team(2, MUSTER_START_FORK);
    if (in_array)
        CHECK(muster_leader_run(leader, &loop, &error) == 0);
    else
        kill_ranks();
    if (obstacle == PROCESSES)
        no_more_processes();
    else
        CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    if (in_array) {
        CHECK_FAILS(code, words, make_array());
    } else {
        loop.kernel = wait_a_little;
        CHECK_FAILS(code, words, muster_leader_run(leader, &loop, &error));
        CHECK(muster_leader_report(leader) == NULL);
        CHECK_FAILS(code, words, reduce_with(NONE));
    }
}

static void gone(void)
{
    for (int obstacle = PROCESSES; obstacle <= THREADS; obstacle++)
        for (int in_array = 0; in_array < 2; in_array++) {
            pid_t child = fork();
            CHECK(child >= 0);
            if (child == 0) {
                alarm(WATCHDOG_SECONDS);
                nobody_left((enum obstacle)obstacle, in_array != 0);
                _exit(EXIT_SUCCESS);
            }
            end_child(child);
        }
}

/* -- files, mirrors, and what takes no leader ----------------------------------------------- */

static void arrays(void)
{
    static struct muster_array *made[MUSTER_ARRAYS_MAX];
    struct muster_array_options how = {.size_bytes = sizeof how, .element_bytes = 1};
    leader = team(1, MUSTER_START_FORK);
    for (uint32_t i = 0; i < MUSTER_ARRAYS_MAX; i++)
        CHECK(muster_array_create(leader, &how, &made[i], &error) == 0);
    struct muster_file_options file = {.size_bytes = sizeof file, .element_bytes = 1};
    struct muster_array *one_more;
    CHECK_FAILS(MUSTER_ERROR_MEMORY, "at most 1024 arrays",
                muster_array_map(leader, "/proc/self/exe", &file, &one_more, &error));
    CHECK_FAILS(MUSTER_ERROR_ARGUMENT, "NULL", muster_array_mirror(NULL, &error));
    muster_leader_destroy(leader);
}

static int read_environment(const char *first, const char *second, const char *third,
                            const char *words)
{
    const char *variables[] = {first, second, third, NULL};
    struct muster_environment found;
    char text[512];
    int status = muster_environment_read(variables, &found);
    CHECK(muster_environment_describe(status, &found, text, 0) == -EINVAL);
    CHECK(muster_environment_describe(status, &found, text, sizeof text) == 0);
    CHECK(strstr(text, words) && !strchr(text, '\n'));
    return status;
}

static void environments(void)
{
    CHECK(read_environment("PMI_RANK=0", "PMI_SIZE=2", NULL, "PMI_RANK") == 0);
    CHECK(read_environment("PMI_RANK=0", "PMI_SIZE=2", "PMIX_RANK=1", "PMIX_RANK") == -ENOTUNIQ);
    CHECK(read_environment("PMI_RANK=none", "PMI_SIZE=2", NULL, "PMI_RANK") == -EINVAL);
    CHECK(read_environment("JOB_COMPLETION_INDEX=3", NULL, NULL, "MUSTER_HOST_SIZE") == -ENODATA);
    CHECK(read_environment("PMI_RANK=2", "PMI_SIZE=2", NULL, "PMI_SIZE") == -ERANGE);
}

/* Statuses that name a system call, and others. */
static void refusals(void)
{
    const char *name = NULL;
    CHECK(muster_refused_call(-EINVAL, &name) == 0 && muster_refused_call(0, &name) == 0 && !name);
    int named = 0;
    for (int status = MUSTER_REFUSED; status > MUSTER_REFUSED - 400; status--) {
        name = NULL;
        int error_number = muster_refused_call(status, &name);
        CHECK(error_number == 0 || error_number == EPERM || error_number == ENOSYS);
        CHECK((error_number != 0) == (name != NULL));
        if (name && strcmp(name, "pidfd_open") == 0) {
            CHECK(strstr(muster_status_text(status), "pidfd_open"));
            named++;
        }
    }
    CHECK(named == 2); /* with either error */
}

int main(void)
{
    muster_leader_serve();
    alarm(WATCHDOG_SECONDS);
    reductions();
    gone();
    arrays();
    environments();
    refusals();
    puts("documented errors: reductions, ranks that are gone, arrays, the environment");
    return EXIT_SUCCESS;
}
