/* os.c - the system calls of os.h: memory, NUMA and processes. The others are in os_io.c. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/call.h"
#include "os/numa.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450 /* on every architecture */
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* -- memory --------------------------------------------------------------------------------- */

static int make_memory(const char *name, unsigned flags)
{
    INJECT();
    ENTER();
    return (int)taken(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags), errno_before);
}

int muster__os_memfd(const char *name)
{
    return make_memory(name, 0);
}

int muster__os_memfd_pool(const char *name, uint64_t page_bytes)
{
    /* The size's logarithm, above MFD_HUGE_SHIFT. */
    return make_memory(name, MFD_HUGETLB | (unsigned)__builtin_ctzll(page_bytes) << 26);
}

int muster__os_truncate(int fd, uint64_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    /* Asked for first: beyond the limit, ftruncate raises SIGXFSZ, which ends the program. */
    struct rlimit limit;
    if (size_bytes > INT64_MAX ||
        (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size_bytes > limit.rlim_cur)) {
        errno = errno_before;
        return -EFBIG;
    }
    RETRY(result, ftruncate(fd, (off_t)size_bytes));
    return (int)result;
}

int muster__os_seal_size(int fd)
{
    INJECT();
    ENTER();
    return (int)taken(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                      errno_before);
}

int muster__os_sealed_size(int fd)
{
    INJECT();
    ENTER();
    int64_t seals = taken(fcntl(fd, F_GET_SEALS), errno_before);
    if (seals < 0)
        return (int)seals;
    return (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW);
}

int muster__os_punch(int fd, uint64_t offset_bytes, uint64_t size_bytes)
{
    ENTER(); /* clean-up: not injected */
    int64_t result;
    RETRY(result, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes,
                            (off_t)size_bytes));
    return (int)result;
}

void *muster__os_zeros(uint64_t size_bytes)
{
    ENTER();
    void *mapped =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = errno_before;
    return mapped == MAP_FAILED ? NULL : mapped;
}

int muster__os_populate(void *address, uint64_t size_bytes, bool write)
{
    INJECT();
    ENTER();
    int64_t result;
    int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    /* EAGAIN means a signal or memory reclaim came between: what is populated stays so. */
    do {
        result = taken(madvise(address, size_bytes, advice), errno_before);
    } while (result == -EINTR || result == -EAGAIN);
    /* No bytes at all are refused only by a kernel that does not know the advice. */
    if (!muster__is_refusal(result) &&
        (result != -EINVAL || taken(madvise(address, 0, advice), errno_before) == 0))
        return (int)result;
    /* Before Linux 5.14, or where madvise is refused: page by page. Adding 0 keeps what is there;
     * what is only to be read comes when it is read. */
    for (uint64_t at = 0; write && at < size_bytes; at += muster__os_page_bytes())
        __atomic_fetch_add((unsigned char *)address + at, 0, __ATOMIC_RELAXED);
    return 0;
}

void muster__os_forbid(void *address, uint64_t size_bytes)
{
    ENTER(); /* not injected: as muster__os_keep_from_children */
    (void)mprotect(address, size_bytes, PROT_NONE);
    errno = errno_before;
}

void muster__os_keep_from_children(void *address, uint64_t size_bytes)
{
    ENTER(); /* not injected: without it only a kernel that forks is not caught */
    (void)madvise(address, size_bytes, MADV_DONTFORK);
    errno = errno_before;
}

int muster__os_advise(void *address, uint64_t size_bytes, int advice)
{
    INJECT();
    ENTER();
    return (int)taken(madvise(address, size_bytes, advice), errno_before);
}

int muster__os_collapse(void *address, uint64_t size_bytes)
{
    INJECT();
    ENTER();
    return (int)taken(madvise(address, size_bytes, MADV_COLLAPSE), errno_before);
}

/* -- NUMA ----------------------------------------------------------------------------------- */

int muster__os_mbind(void *address, uint64_t size_bytes, int mode, const uint64_t *nodes,
                     uint32_t mask_bits, uint32_t flags)
{
    INJECT();
    ENTER();
    /* The kernel reads maxnode - 1 bits (numa-facts: off by one), hence + 1. */
    return (int)taken(muster__mbind(address, size_bytes, mode, (const unsigned long *)nodes,
                                    nodes ? mask_bits + 1ul : 0ul, flags),
                      errno_before);
}

void muster__os_forget_policy(void *address, uint64_t size_bytes)
{
    ENTER();
    (void)muster__mbind(address, size_bytes, MPOL_DEFAULT, NULL, 0, 0);
    errno = errno_before;
}

int muster__os_task_policy(int *mode, uint64_t *nodes, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    memset(nodes, 0, mask_bits / 8);
    return (int)taken(muster__get_mempolicy(mode, (unsigned long *)nodes, mask_bits, NULL, 0),
                      errno_before);
}

int muster__os_set_task_policy(int mode, const uint64_t *nodes, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    return (int)taken(
        muster__set_mempolicy(mode, (const unsigned long *)nodes, nodes ? mask_bits + 1ul : 0ul),
        errno_before);
}

void muster__os_restore_task_policy(int mode, const uint64_t *nodes, uint32_t mask_bits)
{
    ENTER(); /* clean-up: not injected */
    bool any = false;
    for (uint32_t word = 0; word < mask_bits / 64; word++)
        any |= nodes[word] != 0;
    /* MPOL_DEFAULT and MPOL_LOCAL refuse a mask. */
    (void)muster__set_mempolicy(mode, any ? (const unsigned long *)nodes : NULL,
                                any ? mask_bits + 1ul : 0);
    errno = errno_before;
}

int muster__os_move_pages(void **pages, uint64_t count, const int *nodes, int *status)
{
    INJECT();
    ENTER();
    return (int)taken(muster__move_pages(0, count, pages, nodes, status, nodes ? MPOL_MF_MOVE : 0),
                      errno_before);
}

int muster__os_home_node(void *address, uint64_t size_bytes, uint32_t node)
{
    INJECT();
    ENTER();
    return (int)taken(syscall(SYS_set_mempolicy_home_node, address, size_bytes, (long)node, 0l),
                      errno_before);
}

int muster__os_memory_nodes(uint64_t *mask, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    int mode = 0;
    memset(mask, 0, (mask_bits + 7) / 8);
    return (int)taken(
        muster__get_mempolicy(&mode, (unsigned long *)mask, mask_bits, NULL, MPOL_F_MEMS_ALLOWED),
        errno_before);
}

int muster__os_affinity_get(uint64_t *mask, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    memset(mask, 0, mask_bits / 8);
    return (int)taken(syscall(SYS_sched_getaffinity, 0, mask_bits / 8, mask), errno_before);
}

int muster__os_affinity_set(const uint64_t *mask, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    return (int)taken(syscall(SYS_sched_setaffinity, 0, mask_bits / 8, mask), errno_before);
}

int muster__os_cpu(uint32_t *cpu, uint32_t *node)
{
    INJECT();
    ENTER();
    unsigned c = 0, n = 0;
    int status = (int)taken(getcpu(&c, &n), errno_before);
    if (status == 0) {
        *cpu = c;
        *node = n;
    }
    return status;
}

int muster__os_memory(uint64_t *total_bytes, uint64_t *free_bytes)
{
    INJECT();
    ENTER();
    struct sysinfo info;
    int status = (int)taken(sysinfo(&info), errno_before);
    if (status == 0) {
        *total_bytes = (uint64_t)info.totalram * info.mem_unit;
        *free_bytes = (uint64_t)info.freeram * info.mem_unit;
    }
    return status;
}

/* -- processes ------------------------------------------------------------------------------ */

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
        /* Release: whoever sees the page sees the number in it. */
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
    /* Not _exit: who comes here is a worker, and nobody has called that before. */
    syscall(SYS_exit_group, status);
    /* Refused. A worker has one thread, so its end is the process's. */
    syscall(SYS_exit, status);
    for (;;)
        kill(muster__os_pid(), SIGKILL);
}
