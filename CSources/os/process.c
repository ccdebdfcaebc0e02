/* process.c - the system calls of process.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/process.h"

#include "os/call.h"
#include "os/inherited.h"
#include "os/numa.h"

static int make_pipe(int ends[2])
{
    ENTER();
    int status = (int)taken(pipe2(ends, O_CLOEXEC), errno_before);
    if (!muster__is_refusal(status))
        return status;
    int older = (int)taken(pipe(ends), errno_before);
    for (int end = 0; older == 0 && end < 2; end++)
        (void)fcntl(ends[end], F_SETFD, FD_CLOEXEC);
    errno = errno_before;
    return older == 0 ? 0 : status;
}

/* -- starting ------------------------------------------------------------------------------- */

/* What the new process tells before its exec; after it the pipe is closed. */
struct step_report {
    uint32_t step;
    int32_t status;
};

static void tell(int pipe, uint32_t step, const char *call)
{
    struct step_report report = {.step = step, .status = (int32_t)muster__taken(-1, errno, call)};
    /* 8 bytes into an empty pipe: all or nothing, and nobody to tell if nothing. */
    ssize_t written = write(pipe, &report, sizeof report);
    (void)written;
}

static _Noreturn void fail(int pipe, uint32_t step, const char *call)
{
    tell(pipe, step, call);
    _exit(127);
}

/* As the supervisor was started: its own ways with signals are not the program's. The mask stays.
 */
static void reset_signals(const uint64_t ignored)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    for (int number = 1; number < NSIG; number++) {
        action.sa_handler = ignored >> (number - 1) & 1 ? SIG_IGN : SIG_DFL;
        sigaction(number, &action, NULL); /* SIGKILL, SIGSTOP and glibc's own two refuse */
    }
}

/* Whether a file that is no program of this machine's may be a script of the shell's, as execvpe
 * takes it for: a binary of another machine would only be garbage to it. */
static bool may_be_script(const char *path)
{
    char head[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t size = fd < 0 ? -1 : read(fd, head, sizeof head);
    return size >= 0 && !memchr(head, '\0', (size_t)size);
}

/* In the new process: only calls that are safe after a fork of a process with threads. */
static _Noreturn void become(const struct muster__program *program, int parent, int pipe)
{
    if (setpgid(0, 0) < 0)
        fail(pipe, MUSTER_STEP_START, "setpgid");
    /* First the wish, then the look: a parent that dies between leaves no orphan. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        fail(pipe, MUSTER_STEP_START, "prctl");
    if (muster__os_parent() != parent)
        _exit(127);
    if (program->cpus &&
        syscall(SYS_sched_setaffinity, 0, program->cpu_bits / 8, program->cpus) < 0)
        tell(pipe, MUSTER_STEP_CPU, "sched_setaffinity");
    if (program->policy >= 0 &&
        muster__set_mempolicy(program->policy, (const unsigned long *)program->nodes,
                              program->nodes ? program->node_bits + 1ul : 0ul) < 0)
        fail(pipe, MUSTER_STEP_PLACEMENT, "set_mempolicy");
    /* Copies above the three first: one of them may be the number that another shall become. */
    int copies[3];
    for (int i = 0; i < 3; i++)
        if ((copies[i] = fcntl(program->descriptors[i], F_DUPFD_CLOEXEC, 3)) < 0)
            fail(pipe, MUSTER_STEP_START, "fcntl");
    for (int i = 0; i < 3; i++)
        if (dup2(copies[i], i) < 0)
            fail(pipe, MUSTER_STEP_START, "dup2");
    struct rlimit limit;
    if (program->open_files != MUSTER__UNCHANGED && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = program->open_files;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    reset_signals(*program->ignored);
    (void)muster__reset_inherited(MUSTER__PROGRAM);
    char *const *arguments = (char *const *)(uintptr_t)program->arguments;
    char *const *environment = (char *const *)(uintptr_t)program->environment;
    if (strchr(program->name, '/')) {
        execve(program->name, arguments, environment);
        if (errno != ENOEXEC)
            fail(pipe, MUSTER_STEP_PROGRAM, "execve");
        bool is_script = may_be_script(program->name);
        errno = ENOEXEC;
        if (!is_script)
            fail(pipe, MUSTER_STEP_PROGRAM, "execve");
    }
    execvpe(program->name, arguments, environment);
    fail(pipe, MUSTER_STEP_PROGRAM, "execve");
}

int muster__os_start_program(const struct muster__program *program, uint32_t *step,
                             int *step_status)
{
    INJECT();
    ENTER();
    int ends[2];
    int status = make_pipe(ends);
    if (status)
        return status;
    int parent = muster__os_pid();
    /* No handler of this program may run in the new process before it has reset them. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    int64_t pid = taken(fork(), errno_before);
    if (pid == 0)
        become(program, parent, ends[1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    muster__os_close_raw(ends[1]);
    *step = MUSTER_STEP_NONE;
    *step_status = 0;
    if (pid > 0) {
        /* Both do it, so that it is done in each order; after the exec it is refused. */
        setpgid((pid_t)pid, (pid_t)pid);
        struct step_report report;
        int64_t size;
        for (;;) {
            RETRY(size, read(ends[0], &report, sizeof report));
            if (size != sizeof report)
                break;
            *step = report.step;
            *step_status = report.status;
        }
        if (*step != MUSTER_STEP_NONE && *step != MUSTER_STEP_CPU) {
            muster__os_end_child((int)pid);
            pid = -ECHILD;
        }
    }
    muster__os_close_raw(ends[0]);
    errno = errno_before;
    return (int)pid;
}

static int reap(idtype_t which, int child, int *pid, int *code, int *status)
{
    ENTER(); /* clean-up: not injected */
    siginfo_t info;
    int64_t result;
    info.si_pid = 0;
    RETRY(result, waitid(which, (id_t)child, &info, WEXITED | WNOHANG));
    if (muster__is_refusal(result)) {
        *pid = which == P_ALL ? -1 : child;
        return muster__os_wait4(pid, false, code, status);
    }
    if (result < 0)
        return (int)result;
    if (info.si_pid == 0)
        return 0;
    *pid = info.si_pid;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}

int muster__os_reap_any(int *pid, int *code, int *status)
{
    return reap(P_ALL, 0, pid, code, status);
}

int muster__os_reap_child(int child, int *code, int *status)
{
    return reap(P_PID, child, &child, code, status);
}

int muster__os_signal_process(int pid, int signal)
{
    ENTER(); /* clean-up: not injected */
    return (int)taken(kill(pid, signal), errno_before);
}

int muster__os_stop_self(void)
{
    ENTER();
    return (int)taken(kill(muster__os_pid(), SIGSTOP), errno_before);
}

/* -- signals -------------------------------------------------------------------------------- */

static void to_set(uint64_t signals, sigset_t *set)
{
    sigemptyset(set);
    for (int number = 1; number <= 64; number++)
        if (signals >> (number - 1) & 1)
            sigaddset(set, number);
}

int muster__os_signals_open(uint64_t signals, uint64_t *before)
{
    INJECT();
    ENTER();
    sigset_t set, old;
    to_set(signals, &set);
    int fd = (int)taken(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), errno_before);
    if (fd < 0)
        return fd;
    int status = (int)taken(sigprocmask(SIG_BLOCK, &set, &old), errno_before);
    if (status < 0) {
        muster__os_close(fd);
        return status;
    }
    *before = 0;
    for (int number = 1; number <= 64; number++)
        if (sigismember(&old, number) == 1)
            *before |= UINT64_C(1) << (number - 1);
    return fd;
}

void muster__os_signals_close(int fd, uint64_t before)
{
    ENTER();
    sigset_t set;
    to_set(before, &set);
    muster__os_close_raw(fd);
    sigprocmask(SIG_SETMASK, &set, NULL);
    errno = errno_before;
}

int muster__os_signals_next(int fd)
{
    ENTER();
    struct signalfd_siginfo info;
    int64_t size;
    RETRY(size, read(fd, &info, sizeof info));
    return size == (int64_t)sizeof info ? (int)info.ssi_signo : 0;
}

void muster__os_continue_stopped(int child)
{
    ENTER();
    siginfo_t info;
    info.si_pid = 0;
    int status = (int)taken(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG), errno_before);
    bool has_stopped = muster__is_refusal(status) ? muster__os_is_stopped(child)
                                                  : status == 0 && info.si_pid == child;
    if (has_stopped)
        kill(child, SIGCONT);
    errno = errno_before;
}

bool muster__os_has_children(void)
{
    ENTER();
    siginfo_t info;
    int status = (int)taken(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), errno_before);
    return status == 0 || muster__is_refusal(status); /* where it is not known, it may */
}

_Noreturn void muster__os_end_like(int code, int status)
{
    if (code == CLD_EXITED)
        _exit(status);
    /* The other one's core is enough. */
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(status, SIG_DFL);
    sigset_t nothing;
    sigemptyset(&nothing);
    sigprocmask(SIG_SETMASK, &nothing, NULL);
    raise(status);
    _exit(128 + status);
}

/* -- descriptors ---------------------------------------------------------------------------- */

int muster__os_raise_open_files(uint64_t *before)
{
    INJECT();
    ENTER();
    struct rlimit limit;
    *before = MUSTER__UNCHANGED;
    int status = (int)taken(getrlimit(RLIMIT_NOFILE, &limit), errno_before);
    if (status)
        return muster__is_refusal(status) ? 0 : status;
    uint64_t current = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    status = (int)taken(setrlimit(RLIMIT_NOFILE, &limit), errno_before);
    if (status == 0)
        *before = current;
    return muster__is_refusal(status) ? 0 : status;
}

void muster__os_restore_open_files(uint64_t before)
{
    ENTER();
    struct rlimit limit;
    if (before != MUSTER__UNCHANGED && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = before;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    errno = errno_before;
}

int muster__os_open_output(const char *path, bool append)
{
    INJECT();
    ENTER();
    int64_t result;
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC | (append ? 0 : O_TRUNC);
    RETRY(result, open(path, flags, 0666));
    return (int)result;
}

int muster__os_pipe(int ends[2])
{
    INJECT();
    ENTER();
    int both[2];
    int status = make_pipe(both);
    if (status)
        return status;
    fcntl(both[0], F_SETFL, O_NONBLOCK);
    errno = errno_before;
    ends[0] = both[0];
    ends[1] = both[1];
    return 0;
}

int muster__os_nonblocking(int fd)
{
    INJECT();
    ENTER();
    return (int)taken(fcntl(fd, F_SETFL, O_NONBLOCK), errno_before);
}

int muster__os_blocking(int fd)
{
    INJECT();
    ENTER();
    return (int)taken(fcntl(fd, F_SETFL, 0), errno_before);
}

int muster__os_sink(int fd, struct muster__sink *sink)
{
    INJECT();
    ENTER();
    struct stat information;
    int status = (int)taken(fstat(fd, &information), errno_before);
    if (status)
        return status;
    sink->device = (uint64_t)information.st_dev;
    sink->file = (uint64_t)information.st_ino;
    sink->is_writable = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    sink->is_socket = S_ISSOCK(information.st_mode);
    sink->is_stream = S_ISFIFO(information.st_mode) || isatty(fd);
    errno = errno_before;
    return 0;
}

int muster__os_reopen_nonblocking(int fd)
{
    INJECT();
    ENTER();
    char path[32] = "/proc/self/fd/";
    size_t length = strlen(path);
    for (int unit = 1000000000; unit > 0; unit /= 10)
        if (fd >= unit || unit == 1)
            path[length++] = (char)('0' + fd / unit % 10);
    return (int)taken(open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), errno_before);
}

int64_t muster__os_read_some(int fd, void *buffer, size_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    RETRY(result, read(fd, buffer, size_bytes));
    return result;
}

int64_t muster__os_write_some(int fd, const void *buffer, size_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    RETRY(result, write(fd, buffer, size_bytes));
    return result;
}

int64_t muster__os_send_some(int socket, const void *buffer, size_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    RETRY(result, send(socket, buffer, size_bytes, MSG_DONTWAIT | MSG_NOSIGNAL));
    return result;
}

int muster__os_is_writable(int fd)
{
    INJECT();
    ENTER();
    struct pollfd wanted = {.fd = fd, .events = POLLOUT};
    int64_t count = taken(muster__os_poll(&wanted, 1, 0), errno_before);
    return count < 0 ? (int)count : count > 0;
}

int muster__os_wait_readable_any(const int *fds, uint32_t count, int timeout_ms, uint64_t *ready)
{
    INJECT();
    ENTER();
    struct pollfd wanted[64];
    for (uint32_t i = 0; i < count && i < 64; i++)
        wanted[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    int64_t found = taken(muster__os_poll(wanted, count, timeout_ms), errno_before);
    *ready = 0;
    if (found == -EINTR)
        return 0;
    for (uint32_t i = 0; found > 0 && i < count; i++)
        *ready |= (uint64_t)(wanted[i].revents != 0) << i;
    return (int)found;
}

int muster__os_epoll_add_writable(int epoll, int fd, uint64_t tag)
{
    INJECT();
    ENTER();
    struct epoll_event event = {.events = EPOLLOUT, .data.u64 = tag};
    return (int)taken(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), errno_before);
}

bool muster__os_is_terminal(int fd)
{
    ENTER();
    bool is_terminal = isatty(fd) == 1;
    errno = errno_before;
    return is_terminal;
}

void muster__os_leave_session(void)
{
    ENTER();
    if (setsid() < 0)
        errno = errno_before;
}

bool muster__os_is_foreground(int terminal)
{
    ENTER();
    bool is_foreground = tcgetpgrp(terminal) == getpgrp();
    errno = errno_before;
    return is_foreground;
}
