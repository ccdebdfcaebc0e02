/* task.c - the system calls of os.h about processes. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/call.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* Set while this thread forks for Muster. */
static _Thread_local bool forks;

bool muster__os_is_own_fork(void)
{
    return forks;
}

int muster__os_fork(void)
{
    INJECT();
    ENTER();
    /* No handler of the program may run in the child before it has reset them: all signals wait
     * until muster__os_worker_signals. glibc's fork, not a raw clone: malloc's and the sanitizers'
     * fork handlers must run. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    forks = true;
    int64_t pid = taken(fork(), errno_before);
    forks = false;
    if (pid != 0)
        sigprocmask(SIG_SETMASK, &before, NULL);
    return (int)pid;
}

int muster__os_pidfd(int pid)
{
    INJECT();
    ENTER();
    return (int)taken(syscall(SYS_pidfd_open, pid, 0), errno_before);
}

int muster__os_kill(int pidfd, int signal)
{
    ENTER(); /* clean-up: not injected */
    int status = (int)taken(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0), errno_before);
    if (!muster__is_refusal(status))
        return status;
    /* By its number, which a child keeps until it is reaped; another's may have been given on. */
    siginfo_t info;
    int pid = muster__os_pidfd_process(pidfd);
    if (pid <= 0 || waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        pid = 0;
    errno = errno_before;
    return pid == 0 ? status : (int)taken(kill(pid, signal), errno_before);
}

/* PIDFD_GET_INFO and its struct, first version (linux/pidfd.h): younger than the headers that this
 * is compiled with may be. */
struct pidfd_info_0 {
    uint64_t mask;
    uint64_t others[6];
    uint32_t other;
    int32_t exit_code;
};
_Static_assert(sizeof(struct pidfd_info_0) == 64, "its size is part of the request's number");
#define GET_INFO  _IOWR(0xff, 11, struct pidfd_info_0)
#define INFO_EXIT (UINT64_C(1) << 3)

int muster__os_ended(int pidfd, int *status)
{
    ENTER(); /* clean-up: not injected */
    struct pidfd_info_0 info = {.mask = INFO_EXIT};
    int result = (int)taken(ioctl(pidfd, GET_INFO, &info), errno_before);
    if (result < 0)
        return result;
    if (!(info.mask & INFO_EXIT))
        return -ENODATA;
    *status = info.exit_code;
    return 0;
}

int muster__os_reap(int pidfd, bool wait, int *code, int *status)
{
    ENTER(); /* clean-up: not injected */
    siginfo_t info;
    int64_t result;
    info.si_pid = 0;
    RETRY(result, waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | (wait ? 0 : WNOHANG)));
    if (muster__is_refusal(result)) {
        int pid = muster__os_pidfd_process(pidfd);
        return pid > 0 ? muster__os_wait4(&pid, wait, code, status) : -ECHILD;
    }
    if (result < 0)
        return (int)result;
    if (info.si_pid == 0)
        return 0;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}

void muster__os_end_child(int pid)
{
    ENTER(); /* clean-up: not injected */
    int code, status;
    siginfo_t info;
    kill(pid, SIGKILL);
    if (muster__is_refusal(muster__os_wait4(&pid, true, &code, &status)))
        (void)waitid(P_PID, (id_t)pid, &info, WEXITED);
    errno = errno_before;
}

int muster__os_die_with_parent(void)
{
    INJECT();
    ENTER();
    return (int)taken(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), errno_before);
}

int muster__os_may_die_with_parent(void)
{
    ENTER(); /* not injected: the call itself is */
    int signal = 0;
    int status = (int)taken(prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0), errno_before);
    return status < 0 ? status : (int)taken(prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), errno_before);
}

int muster__os_parent(void)
{
    ENTER();
    int parent = getppid();
    /* The second number, after the name and the state (proc(5)). */
    if (parent < 0)
        parent = muster__os_stat_number("/proc/self/stat", 2);
    errno = errno_before;
    return parent;
}

uint32_t muster__os_page_bytes(void)
{
    return (uint32_t)sysconf(_SC_PAGESIZE);
}

int muster__os_pid(void)
{
    int pid = getpid();
    if (__builtin_expect(pid > 0, 1))
        return pid;
    ENTER();
    pid = muster__os_stat_number("/proc/self/stat", 0);
    errno = errno_before;
    return pid;
}

/* NULL: this kernel has no such pages (before Linux 4.14), or there was no memory. */
static int *mark;

void muster__os_mark_process(void)
{
    ENTER(); /* not injected: there is another way */
    int *page = __atomic_load_n(&mark, __ATOMIC_ACQUIRE);
    if (page) {
        __atomic_store_n(page, muster__os_pid(), __ATOMIC_RELAXED);
        return;
    }
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) {
        *page = muster__os_pid();
        int *none = NULL;
        /* Release: a process that sees the page sees the number in it. */
        if (madvise(page, bytes, MADV_WIPEONFORK) != 0 ||
            !__atomic_compare_exchange_n(&mark, &none, page, false, __ATOMIC_RELEASE,
                                         __ATOMIC_RELAXED))
            munmap(page, bytes); /* another thread was first */
    }
    errno = errno_before;
}

int muster__os_marked_pid(void)
{
    const int *page = __atomic_load_n(&mark, __ATOMIC_ACQUIRE);
    return page ? __atomic_load_n(page, __ATOMIC_RELAXED) : muster__os_pid();
}

static int count_entry(const char *name, void *context)
{
    (void)name;
    ++*(int *)context;
    return 0;
}

int muster__os_thread_count(void)
{
    int count = 0;
    int status = muster__os_list("/proc/self/task", count_entry, &count);
    return status < 0 ? status : count;
}

void muster__os_name_thread(const char *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

_Noreturn void muster__os_exit(int status)
{
    /* Not _exit: the caller is a worker, and _exit has not been called before. */
    syscall(SYS_exit_group, status);
    /* Refused. A worker has one thread, so its end is the process's. */
    syscall(SYS_exit, status);
    for (;;)
        kill(muster__os_pid(), SIGKILL);
}
