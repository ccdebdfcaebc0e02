/* os.c - the system calls of os.h, one each, and the fault injector in front of them.
 *
 * Raw return values become 0-or-count / negative errno here and nowhere else. `errno` is saved and
 * restored, since it belongs to the program that links us.
 */
#if !__has_include(<numaif.h>)
#error "Muster needs libnuma's headers: install libnuma-dev (apt-get install libnuma-dev)"
#endif

#define _GNU_SOURCE
#include "os.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <muster/testing.h>
#include <numaif.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* -- fault injection ------------------------------------------------------------------------ */

/* Counted from when a test armed it. Relaxed atomics: the thread sanitizer's stress tests run ranks
 * as threads of one process. */
static uint64_t calls_counted;
static uint64_t call_to_fail;
static uint32_t error_to_give;
static uint32_t failure_given;

void muster_testing_fail_call(uint64_t n, int error)
{
    __atomic_store_n(&calls_counted, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&failure_given, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&error_to_give, (uint32_t)error, __ATOMIC_RELAXED);
    __atomic_store_n(&call_to_fail, n, __ATOMIC_RELAXED);
}

uint64_t muster_testing_calls(void)
{
    return __atomic_load_n(&calls_counted, __ATOMIC_RELAXED);
}

bool muster_testing_failed(void)
{
    return __atomic_load_n(&failure_given, __ATOMIC_RELAXED) != 0;
}

/* Returns 0, or the negative errno that a test wants this call to fail with. */
static int injected(void)
{
    uint64_t n = __atomic_add_fetch(&calls_counted, 1, __ATOMIC_RELAXED);
    if (__builtin_expect(n != __atomic_load_n(&call_to_fail, __ATOMIC_RELAXED), 1))
        return 0;
    __atomic_store_n(&failure_given, 1, __ATOMIC_RELAXED);
    return -(int)__atomic_load_n(&error_to_give, __ATOMIC_RELAXED);
}

#define INJECT()                                                                                   \
    do {                                                                                           \
        int injected_status = injected();                                                          \
        if (injected_status < 0)                                                                   \
            return injected_status;                                                                \
    } while (0)

/* -- named points --------------------------------------------------------------------------- */

uint32_t muster__points_armed;

static struct {
    enum muster_point_action action;
    uint64_t remaining;
    int64_t rank;
    int descriptor;
} points[MUSTER_POINTS];

static int64_t points_rank = -1;

void muster_testing_arm(enum muster_point point, enum muster_point_action action, uint64_t nth,
                        int64_t rank, int descriptor)
{
    if (point <= MUSTER_POINT_NONE || point >= MUSTER_POINTS)
        return;
    points[point].action = action;
    points[point].remaining = nth;
    points[point].rank = rank;
    points[point].descriptor = descriptor;
    muster__points_armed = 1;
}

void muster_testing_set_rank(int64_t rank)
{
    points_rank = rank;
}

void muster__point_reached(uint32_t point)
{
    if (point >= MUSTER_POINTS || points[point].remaining == 0)
        return;
    if (points[point].rank >= 0 && points[point].rank != points_rank)
        return;
    if (--points[point].remaining != 0)
        return;
    if (points[point].action == MUSTER_POINT_KILL)
        kill(getpid(), SIGKILL);
    if (points[point].action == MUSTER_POINT_STOP) {
        kill(getpid(), SIGSTOP);
        return;
    }
    unsigned char byte = (unsigned char)point;
    if (write(points[point].descriptor, &byte, 1) == 1)
        for (;;)
            pause();
}

/* -- helpers -------------------------------------------------------------------------------- */

/* The result of a call that returns -1 and sets errno, as a negative errno; errno restored. */
static int64_t taken(int64_t result, int saved_errno)
{
    if (result < 0)
        result = -errno;
    errno = saved_errno;
    return result;
}

#define ENTER() int errno_before = errno
#define RETRY(result, expression)                                                                  \
    do {                                                                                           \
        result = taken((int64_t)(expression), errno_before);                                       \
    } while (result == -EINTR)

/* -- memory --------------------------------------------------------------------------------- */

int muster__os_memfd(const char *name)
{
    INJECT();
    ENTER();
    return (int)taken(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), errno_before);
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

int muster__os_map(int fd, uint64_t offset_bytes, uint64_t size_bytes, bool writable, void *at,
                   void **address)
{
    INJECT();
    ENTER();
    int protection = fd < 0 ? PROT_NONE : writable ? PROT_READ | PROT_WRITE : PROT_READ;
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED | MAP_NORESERVE;
    if (at)
        flags |= MAP_FIXED;
    void *mapped = mmap(at, size_bytes, protection, flags, fd, (off_t)offset_bytes);
    int status = mapped == MAP_FAILED ? -errno : 0;
    errno = errno_before;
    if (status == 0)
        *address = mapped;
    return status;
}

int muster__os_unmap(void *address, uint64_t size_bytes)
{
    ENTER(); /* clean-up: not injected */
    return (int)taken(munmap(address, size_bytes), errno_before);
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
    return (int)result;
}

int muster__os_advise(void *address, uint64_t size_bytes, int advice)
{
    INJECT();
    ENTER();
    return (int)taken(madvise(address, size_bytes, advice), errno_before);
}

/* -- NUMA ----------------------------------------------------------------------------------- */

int muster__os_mbind(void *address, uint64_t size_bytes, int mode, const uint64_t *nodes,
                     uint32_t mask_bits, uint32_t flags)
{
    INJECT();
    ENTER();
    /* The kernel reads maxnode - 1 bits (numa-facts: off by one), hence + 1. */
    return (int)taken(mbind(address, size_bytes, mode, (const unsigned long *)nodes,
                            nodes ? mask_bits + 1ul : 0ul, flags),
                      errno_before);
}

void muster__os_forget_policy(void *address, uint64_t size_bytes)
{
    ENTER();
    (void)mbind(address, size_bytes, MPOL_DEFAULT, NULL, 0, 0);
    errno = errno_before;
}

int muster__os_move_pages(void **pages, uint64_t count, const int *nodes, int *status)
{
    INJECT();
    ENTER();
    return (int)taken(move_pages(0, count, pages, nodes, status, nodes ? MPOL_MF_MOVE : 0),
                      errno_before);
}

int muster__os_memory_nodes(uint64_t *mask, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    int mode = 0;
    memset(mask, 0, (mask_bits + 7) / 8);
    return (int)taken(
        get_mempolicy(&mode, (unsigned long *)mask, mask_bits, NULL, MPOL_F_MEMS_ALLOWED),
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

/* -- processes ------------------------------------------------------------------------------ */

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
    int64_t pid = taken(fork(), errno_before);
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
    return (int)taken(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0), errno_before);
}

int muster__os_reap(int pidfd, bool wait, int *code, int *status)
{
    ENTER(); /* clean-up: not injected */
    siginfo_t info;
    int64_t result;
    info.si_pid = 0;
    RETRY(result, waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | (wait ? 0 : WNOHANG)));
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
    int64_t result;
    kill(pid, SIGKILL);
    RETRY(result, waitpid(pid, NULL, 0));
    (void)result;
}

int muster__os_die_with_parent(void)
{
    INJECT();
    ENTER();
    return (int)taken(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), errno_before);
}

int muster__os_parent(void)
{
    return getppid();
}

uint32_t muster__os_page_bytes(void)
{
    return (uint32_t)sysconf(_SC_PAGESIZE);
}

int muster__os_pid(void)
{
    return getpid();
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

void muster__os_worker_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    for (int number = 1; number < NSIG; number++) {
        bool leader_decides = number == SIGINT || number == SIGTERM || number == SIGHUP;
        action.sa_handler = leader_decides ? SIG_IGN : SIG_DFL;
        /* SIGKILL, SIGSTOP and glibc's own two refuse, rightly. */
        sigaction(number, &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void muster__os_name_thread(const char *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

_Noreturn void muster__os_exit(int status)
{
    _exit(status);
}

/* -- waiting -------------------------------------------------------------------------------- */

int muster__os_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    INJECT();
    ENTER();
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                               .tv_nsec = timeout_ns % 1000000000};
    /* Not FUTEX_PRIVATE: the word is shared between processes. */
    int64_t result = taken(
        syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_ns < 0 ? NULL : &timeout, NULL, 0),
        errno_before);
    return result == -EAGAIN || result == -EINTR ? 0 : (int)result;
}

int muster__os_futex_wake(const uint32_t *word, int count)
{
    ENTER(); /* a wake that failed would be a hang, and the kernel has no reason to fail it */
    return (int)taken(syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0), errno_before);
}

int muster__os_eventfd(void)
{
    INJECT();
    ENTER();
    return (int)taken(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), errno_before);
}

int muster__os_eventfd_signal(int fd)
{
    ENTER(); /* as futex_wake */
    uint64_t one = 1;
    int64_t result;
    RETRY(result, write(fd, &one, sizeof one));
    return result < 0 && result != -EAGAIN ? (int)result : 0;
}

int muster__os_eventfd_clear(int fd)
{
    ENTER();
    uint64_t count;
    int64_t result;
    RETRY(result, read(fd, &count, sizeof count));
    return result < 0 && result != -EAGAIN ? (int)result : 0;
}

int muster__os_epoll(void)
{
    INJECT();
    ENTER();
    return (int)taken(epoll_create1(EPOLL_CLOEXEC), errno_before);
}

int muster__os_epoll_add(int epoll, int fd, uint64_t tag)
{
    INJECT();
    ENTER();
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    return (int)taken(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), errno_before);
}

int muster__os_epoll_remove(int epoll, int fd)
{
    ENTER(); /* clean-up: not injected */
    return (int)taken(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), errno_before);
}

int muster__os_epoll_wait(int epoll, uint64_t *tags, int capacity, int timeout_ms)
{
    INJECT();
    ENTER();
    struct epoll_event events[64];
    if (capacity > 64)
        capacity = 64;
    int64_t count = taken(epoll_wait(epoll, events, capacity, timeout_ms), errno_before);
    if (count == -EINTR)
        return 0;
    for (int64_t i = 0; i < count; i++)
        tags[i] = events[i].data.u64;
    return (int)count;
}

int muster__os_wait_readable(int fd, int timeout_ms)
{
    ENTER(); /* clean-up: not injected */
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return (int)taken(poll(&wanted, 1, timeout_ms), errno_before);
}

uint64_t muster__os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* -- descriptors and files ------------------------------------------------------------------ */

int muster__os_socketpair(int ends[2])
{
    INJECT();
    ENTER();
    return (int)taken(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), errno_before);
}

int muster__os_send_descriptor(int socket, int fd, const void *data, size_t size_bytes)
{
    INJECT();
    ENTER();
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size_bytes};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    int64_t result;
    RETRY(result, sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
    return result < 0 ? (int)result : 0;
}

int muster__os_receive_descriptor(int socket, int *fd, void *data, size_t capacity)
{
    INJECT();
    ENTER();
    struct iovec part = {.iov_base = data, .iov_len = capacity};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    int64_t result;
    RETRY(result, recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
    if (result < 0)
        return (int)result;
    *fd = -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    return (int)result;
}

int muster__os_open(const char *path, bool writable, bool create)
{
    INJECT();
    ENTER();
    int flags = O_CLOEXEC | O_NOCTTY | (writable ? O_RDWR : O_RDONLY);
    if (create)
        flags |= O_CREAT | O_TRUNC;
    else
        flags |= O_NONBLOCK; /* a FIFO must be refused, not waited for */
    int64_t result;
    RETRY(result, open(path, flags, 0666));
    return (int)result;
}

int muster__os_stat(int fd, uint64_t *size_bytes, uint32_t *mode_bits)
{
    INJECT();
    ENTER();
    struct stat information;
    int status = (int)taken(fstat(fd, &information), errno_before);
    if (status == 0) {
        *size_bytes = (uint64_t)information.st_size;
        *mode_bits = information.st_mode;
    }
    return status;
}

int muster__os_allocate(int fd, uint64_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    RETRY(result, fallocate(fd, 0, 0, (off_t)size_bytes));
    return (int)result;
}

int64_t muster__os_read_at(int fd, void *buffer, size_t size_bytes, uint64_t offset_bytes)
{
    INJECT();
    ENTER();
    size_t done = 0;
    while (done < size_bytes) {
        int64_t result;
        RETRY(result,
              pread(fd, (char *)buffer + done, size_bytes - done, (off_t)(offset_bytes + done)));
        if (result < 0)
            return result;
        if (result == 0)
            break;
        done += (size_t)result;
    }
    return (int64_t)done;
}

int64_t muster__os_write(int fd, const void *buffer, size_t size_bytes)
{
    INJECT();
    ENTER();
    size_t done = 0;
    while (done < size_bytes) {
        int64_t result;
        RETRY(result, write(fd, (const char *)buffer + done, size_bytes - done));
        if (result < 0)
            return result;
        done += (size_t)result;
    }
    return (int64_t)done;
}

int muster__os_rename(const char *from, const char *to)
{
    INJECT();
    ENTER();
    return (int)taken(rename(from, to), errno_before);
}

int muster__os_finish(int fd)
{
    ENTER();
    int injected_status = injected();
    int status = (int)taken(close(fd), errno_before);
    return injected_status < 0 ? injected_status : status;
}

void muster__os_unlink(const char *path)
{
    ENTER(); /* clean-up: not injected */
    unlink(path);
    errno = errno_before;
}

void muster__os_close(int fd)
{
    ENTER();
    close(fd);
    errno = errno_before;
}

int64_t muster__os_read_text(const char *path, char *text, size_t capacity)
{
    int fd = muster__os_open(path, false, false);
    if (fd < 0)
        return fd;
    /* Files of /proc and /sys give a page at a time, so read until the end. */
    int64_t length = 0;
    for (;;) {
        if ((size_t)length + 1 >= capacity) {
            length = -EFBIG;
            break;
        }
        ENTER();
        int64_t result;
        RETRY(result, read(fd, text + length, capacity - 1 - (size_t)length));
        if (result <= 0) {
            length = result < 0 ? result : length;
            break;
        }
        length += result;
    }
    muster__os_close(fd);
    if (length >= 0)
        text[length] = '\0';
    return length;
}

int muster__os_list(const char *path, int (*visit)(const char *name, void *context), void *context)
{
    INJECT();
    ENTER();
    DIR *directory = opendir(path);
    if (!directory)
        return (int)taken(-1, errno_before);
    int status = 0;
    struct dirent *entry;
    while (status == 0 && (errno = 0, entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(entry->d_name, context);
    if (status == 0 && errno != 0)
        status = -errno;
    closedir(directory);
    errno = errno_before;
    return status;
}
