/* support.c - see support.h. */
#define _GNU_SOURCE
#include "support.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn void fail(const char *file, int line, const char *what)
{
    const char *name = strrchr(file, '/');
    fprintf(stderr, "%s:%d: does not hold: %s\n", name ? name + 1 : file, line, what);
    _exit(1);
}

_Noreturn void fail_status(const char *file, int line, const char *what, int status, int wanted)
{
    const char *name = strrchr(file, '/');
    fprintf(stderr, "%s:%d: %s gave %d (%s), not %d\n", name ? name + 1 : file, line, what, status,
            muster_status_text(status < 0 ? status : 0), wanted);
    _exit(1);
}

void *shared(size_t size_bytes)
{
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void hung(int signal)
{
    static const char text[] = "the watchdog ended a hang\n";
    (void)signal;
    if (write(2, text, sizeof text - 1) < 0)
        _exit(4);
    _exit(3);
}

void watch(unsigned seconds)
{
    signal(SIGALRM, hung);
    alarm(seconds);
}

uint64_t random_next(struct random *random)
{
    uint64_t x = random->state ? random->state : 0x9e3779b97f4a7c15ull;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * 0x2545f4914f6cdd1dull;
}

uint32_t random_below(struct random *random, uint32_t limit)
{
    return (uint32_t)((random_next(random) >> 32) * limit >> 32);
}

/* -- the ranks' processes ------------------------------------------------------------------- */

pid_t fork_child(void)
{
    fflush(stdout);
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(5);
    }
    return pid;
}

static void start(struct team *team, uint32_t rank, uint32_t incarnation)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        int status = team->program(team, rank, incarnation);
        fflush(stdout);
        _exit(status);
    }
    team->pids[rank] = pid;
}

/* A rank's process has ended: reaps it, and says what follows. */
static void follow(struct team *team, uint32_t rank, bool died)
{
    if (team->pids[rank] > 0) {
        CHECK(waitpid(team->pids[rank], &team->statuses[rank], 0) == team->pids[rank]);
        team->pids[rank] = 0;
    }
    if (!died)
        return;
    if (team->policy == RESTART && team->restarts < team->restarts_most) {
        team->restarts++;
        int incarnation = muster_launcher_reopen(team->launcher, rank);
        CHECK(incarnation >= 2);
        start(team, rank, (uint32_t)incarnation);
    } else {
        CHECK_STATUS(muster_launcher_lose(team->launcher, rank), 0);
    }
}

static void serve(struct team *team)
{
    struct muster_launcher_event events[8];
    int count = muster_launcher_serve(team->launcher, events, 8);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        uint32_t rank = events[i].rank;
        if (team->event)
            team->event(team, &events[i]);
        switch (events[i].kind) {
        case MUSTER_LAUNCHER_JOINED:
            team->joined++;
            break;
        case MUSTER_LAUNCHER_REFUSED:
            team->refused++;
            break;
        case MUSTER_LAUNCHER_LEFT:
            team->left++;
            break;
        case MUSTER_LAUNCHER_DIED:
            team->died++;
            follow(team, rank, true);
            break;
        }
    }
}

/* Processes that ended without having joined, or after they left, show here. */
static void reap(struct team *team)
{
    for (uint32_t rank = 0; rank < team->size; rank++) {
        siginfo_t information = {.si_pid = 0};
        if (team->pids[rank] <= 0 ||
            waitid(P_PID, (id_t)team->pids[rank], &information, WEXITED | WNOHANG | WNOWAIT) < 0 ||
            information.si_pid == 0)
            continue;
        serve(team); /* what it did before it ended comes first */
        if (team->pids[rank] != information.si_pid)
            continue;
        bool had_left = muster_launcher_process(team->launcher, rank) == 0 && team->left > 0 &&
                        information.si_code == CLD_EXITED;
        follow(team, rank, !had_left);
    }
}

void run_team(struct team *team)
{
    struct muster_launcher_options options = {.size_bytes = sizeof options,
                                              .size = team->size,
                                              .usable_cpus = 1,
                                              .spin_ns = team->spin_ns};
    CHECK_STATUS(muster_launcher_create(&options, &team->launcher), 0);
    snprintf(team->address, sizeof team->address, "%s", muster_launcher_address(team->launcher));
    for (uint32_t rank = 0; rank < team->size; rank++)
        start(team, rank, 1);
    for (;;) {
        bool anybody = false;
        for (uint32_t rank = 0; rank < team->size; rank++)
            anybody |= team->pids[rank] > 0;
        if (!anybody)
            break;
        struct pollfd wanted = {.fd = muster_launcher_descriptor(team->launcher), .events = POLLIN};
        (void)poll(&wanted, 1, 5); /* exits show in nothing else here */
        serve(team);
        reap(team);
    }
    serve(team);
}

void end_team(struct team *team)
{
    muster_launcher_destroy(team->launcher);
    team->launcher = NULL;
}

bool ended_well(const struct team *team, uint32_t rank)
{
    return WIFEXITED(team->statuses[rank]) && WEXITSTATUS(team->statuses[rank]) == 0;
}

bool was_killed(const struct team *team, uint32_t rank)
{
    return WIFSIGNALED(team->statuses[rank]) && WTERMSIG(team->statuses[rank]) == SIGKILL;
}

void check_ends(const struct team *team)
{
    for (uint32_t rank = 0; rank < team->size; rank++)
        if (!ended_well(team, rank) && !was_killed(team, rank)) {
            fprintf(stderr, "rank %u ended with status %#x\n", rank, team->statuses[rank]);
            exit(1);
        }
}

struct muster_member *join_as(const struct team *team, uint32_t rank)
{
    struct muster_join_options options = {
        .size_bytes = sizeof options, .address = team->address, .rank = rank};
    struct muster_member *me = NULL;
    CHECK_STATUS(muster_join_with(&options, &me), 0);
    return me;
}

bool told_by_environment;

int join_told(const struct muster_join_options *options, struct muster_member **me)
{
    if (!told_by_environment)
        return muster_join_with(options, me);
    char rank[16];
    snprintf(rank, sizeof rank, "%u", options->rank);
    CHECK(setenv("MUSTER_TEAM", options->address, 1) == 0 && setenv("MUSTER_RANK", rank, 1) == 0);
    int status = muster_join(me);
    unsetenv("MUSTER_TEAM");
    unsetenv("MUSTER_RANK");
    return status;
}

int serve_until_end(struct muster_launcher *launcher, pid_t child,
                    struct muster_launcher_event *last)
{
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct muster_launcher_event event;
        while (muster_launcher_serve(launcher, &event, 1) == 1)
            if (last && event.kind != MUSTER_LAUNCHER_DIED && event.kind != MUSTER_LAUNCHER_LEFT)
                *last = event;
        usleep(200);
    }
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

struct muster_launcher *launcher_of(uint32_t size)
{
    struct muster_launcher_options options = {
        .size_bytes = sizeof options, .size = size, .spin_ns = 0};
    struct muster_launcher *launcher = NULL;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    return launcher;
}

int join_elsewhere(struct muster_launcher *launcher, const char *address, uint32_t rank, bool stays,
                   pid_t *process, struct muster_launcher_event *event)
{
    int *status = shared(sizeof *status);
    *status = 1;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct muster_join_options options = {
            .size_bytes = sizeof options, .address = address, .rank = rank};
        struct muster_member *me;
        __atomic_store_n(status, join_told(&options, &me), __ATOMIC_SEQ_CST);
        while (stays)
            pause();
        _exit(0);
    }
    if (process)
        *process = child;
    if (!stays) {
        (void)serve_until_end(launcher, child, event);
        return *status;
    }
    while (__atomic_load_n(status, __ATOMIC_SEQ_CST) == 1) {
        struct muster_launcher_event events[4];
        (void)muster_launcher_serve(launcher, events, 4);
        usleep(200);
    }
    return *status;
}
