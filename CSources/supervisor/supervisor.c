/* supervisor.c - a process that starts other programs, and ends all that comes of them.
 *
 * Invariant: while a supervisor is there, every process that came of its programs, by any number of
 * forks, is its descendant: orphans are given to it by the kernel.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/mempolicy.h>
#include <muster/tool/supervisor.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "host/affinity.h"
#include "os/inherited.h"
#include "os/inherited_calls.h"
#include "os/process.h"
#include "supervisor/descendants.h"
#include "supervisor/guard.h"

struct muster_supervisor {
    int epoll;            /* of the two below */
    int children;         /* signalfd of SIGCHLD */
    int guard;            /* a pipe: numbers of signals */
    uint64_t mask_before; /* blocked signals */
    uint64_t ignored;     /* ignored before, by number - 1: stay so in programs */
    uint64_t open_files;  /* soft limit before */
};

static bool is_supervisor;

#define BIT(number) (UINT64_C(1) << ((number) - 1))

/* What is forwarded. A signal that was ignored from the start is not for us either: nohup. */
static const uint64_t forwarded = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGHUP) | BIT(SIGQUIT) |
                                  BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGALRM) | BIT(SIGTSTP) |
                                  BIT(SIGCONT);

/* What the supervisor ignores besides: writes that fail say so, and a terminal that it may not use
 * for the moment must not stop it (supervisor/guard.c). */
static const uint64_t refused = BIT(SIGPIPE) | BIT(SIGXFSZ) | BIT(SIGTTIN) | BIT(SIGTTOU);

static void ignore(uint64_t signals, bool ignored)
{
    for (int number = 1; number <= 64; number++)
        if (signals & BIT(number))
            muster__os_ignore_signal(number, ignored);
}

static void give_back(struct muster_supervisor *supervisor)
{
    if (supervisor->epoll >= 0)
        muster__os_close(supervisor->epoll);
    if (supervisor->children >= 0)
        muster__os_signals_close(supervisor->children, supervisor->mask_before);
    if (supervisor->guard >= 0)
        muster__os_close(supervisor->guard);
    muster__os_restore_open_files(supervisor->open_files);
    muster__os_adopt_orphans(false);
    free(supervisor);
}

int muster_supervisor_create(struct muster_supervisor **supervisor)
{
    int threads = muster__os_thread_count();
    if (threads < 0)
        return threads <= MUSTER_REFUSED
                   ? threads
                   : -ENOENT; /* nothing could be found that programs leave behind */
    if (is_supervisor || threads > 1)
        return -EBUSY;
    struct muster_supervisor *it = calloc(1, sizeof *it);
    if (!it)
        return -ENOMEM;
    int status = muster__os_keep_standard();
    if (status == 0)
        status = muster__os_ignored_signals(&it->ignored);
    if (status == 0)
        status = muster__os_raise_open_files(&it->open_files);
    if (status) {
        free(it);
        return status;
    }
    /* Tried first: programs that can't be told to end must not be started. */
    status = muster__os_ask_call("kill");
    if (status) {
        muster__os_restore_open_files(it->open_files);
        free(it);
        return status;
    }
    /* With this ignored the kernel reaps, and nobody hears of an end. */
    muster__os_ignore_signal(SIGCHLD, false);
    /* All of them adopt: inherited by no fork, so each asks for itself. */
    status = muster__os_adopt_orphans(true);
    it->guard = it->children = it->epoll = -1;
    if (status == 0)
        status = it->guard = muster__guard_fork((forwarded & ~it->ignored) | BIT(SIGCHLD));
    if (status >= 0)
        status = muster__os_adopt_orphans(true);
    if (status == 0)
        status = it->children = muster__os_signals_open(BIT(SIGCHLD), &it->mask_before);
    if (status >= 0)
        status = it->epoll = muster__os_epoll();
    if (status >= 0)
        status = muster__os_epoll_add(it->epoll, it->guard, 0);
    if (status == 0)
        status = muster__os_epoll_add(it->epoll, it->children, 1);
    if (status < 0) {
        give_back(it);
        return status;
    }
    ignore(refused, true);
    is_supervisor = true;
    *supervisor = it;
    return 0;
}

void muster_supervisor_destroy(struct muster_supervisor *supervisor)
{
    if (!supervisor)
        return;
    ignore((forwarded | refused) & ~supervisor->ignored, false);
    give_back(supervisor);
    is_supervisor = false;
}

/* -- files -------------------------------------------------------------------------------- */

int muster_supervisor_open_output(const char *path, bool append)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, length + 1);
    for (char *slash = part + 1; *part && (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        int status = muster__os_make_directory(part);
        if (status < 0 && status != -EEXIST)
            return status;
        *slash = '/';
    }
    return muster__os_open_output(path, append);
}

int muster_supervisor_open_nothing(void)
{
    return muster__os_open("/dev/null", false, false);
}

void muster_supervisor_close(int descriptor)
{
    muster__os_close(descriptor);
}

bool muster_supervisor_is_terminal(int descriptor)
{
    return muster__os_is_terminal(descriptor);
}

/* -- starting ------------------------------------------------------------------------------- */

/* The policy of a process. mask: MUSTER_NODES_MAX bits, zero at first; *with_mask: whether it is
 * given to the kernel. */
static int policy_of(const struct muster_program *program, uint64_t *mask, bool *with_mask)
{
    const struct muster_placement *placement = program->placement;
    uint32_t node = placement->kind == MUSTER_BIND ? placement->node : program->home;
    *with_mask = placement->kind != MUSTER_FIRST_TOUCH;
    switch (placement->kind) {
    case MUSTER_FIRST_TOUCH:
        return MPOL_DEFAULT;
    case MUSTER_BIND:
    case MUSTER_BLOCKED:
        if (node >= MUSTER_NODES_MAX)
            return -EINVAL;
        mask[node / 64] = UINT64_C(1) << (node % 64);
        return placement->kind == MUSTER_BIND ? MPOL_BIND : MPOL_PREFERRED;
    case MUSTER_INTERLEAVE: {
        uint64_t any = 0;
        for (uint32_t word = 0; word < MUSTER_NODES_MAX / 64; word++)
            any |= mask[word] = placement->nodes[word];
        int status = any ? 0 : muster__os_memory_nodes(mask, MUSTER_NODES_MAX);
        return status < 0 ? status : MPOL_INTERLEAVE;
    }
    default:
        return -EINVAL;
    }
}

int muster_supervisor_start(struct muster_supervisor *supervisor,
                            const struct muster_program *program, uint32_t *step,
                            int32_t *step_status)
{
    uint64_t cpus[MUSTER__AFFINITY_BITS / 64] = {0};
    uint64_t nodes[MUSTER_NODES_MAX / 64] = {0};
    int descriptors[3] = {program->input, program->output, program->errors};
    struct muster__program raw = {.name = program->name,
                                  .arguments = program->arguments,
                                  .environment = program->environment,
                                  .descriptors = descriptors,
                                  .ignored = &supervisor->ignored,
                                  .open_files = supervisor->open_files,
                                  .cpu_bits = MUSTER__AFFINITY_BITS,
                                  .node_bits = MUSTER_NODES_MAX,
                                  .policy = -1};
    if (program->cpu < MUSTER__AFFINITY_BITS) {
        cpus[program->cpu / 64] = UINT64_C(1) << (program->cpu % 64);
        raw.cpus = cpus;
    }
    if (program->placement) {
        bool with_mask = false;
        raw.policy = policy_of(program, nodes, &with_mask);
        if (raw.policy < 0)
            return raw.policy;
        raw.nodes = with_mask ? nodes : NULL;
    }
    int failed = 0;
    int pid = muster__os_start_program(&raw, step, &failed);
    *step_status = failed;
    return pid;
}

/* -- signals and ends ----------------------------------------------------------------------- */

int muster_supervisor_descriptor(const struct muster_supervisor *supervisor)
{
    return supervisor->epoll;
}

int muster_supervisor_signal(struct muster_supervisor *supervisor)
{
    unsigned char number = 0;
    int64_t size =
        supervisor->guard < 0 ? -EAGAIN : muster__os_read_some(supervisor->guard, &number, 1);
    if (size == 1)
        return number;
    if (size == 0) {
        /* The guard's end is told once. */
        muster__os_epoll_remove(supervisor->epoll, supervisor->guard);
        muster__os_close(supervisor->guard);
        supervisor->guard = -1;
        return SIGKILL;
    }
    return muster__os_signals_next(supervisor->children);
}

int muster_supervisor_reap(struct muster_supervisor *supervisor, int32_t *pid, int32_t *exit_code,
                           int32_t *signal)
{
    (void)supervisor;
    int code = 0, status = 0, who = 0;
    int found = muster__os_reap_any(&who, &code, &status);
    if (found <= 0)
        return found;
    *pid = who;
    *exit_code = code == CLD_EXITED ? status : 0;
    *signal = code == CLD_EXITED ? 0 : status;
    return 1;
}

int muster_supervisor_forward(struct muster_supervisor *supervisor, int32_t pid, int signal)
{
    (void)supervisor;
    return pid > 1 ? muster__os_signal_process(-pid, signal) : -ESRCH;
}

int muster_supervisor_signal_all(struct muster_supervisor *supervisor, int signal)
{
    (void)supervisor;
    return muster__signal_descendants(signal);
}

int muster_supervisor_wait(const int *descriptors, uint32_t count, int timeout_ms, uint64_t *ready)
{
    int found =
        muster__os_wait_readable_any(descriptors, count < 64 ? count : 64, timeout_ms, ready);
    return found < 0 ? found : 0;
}
