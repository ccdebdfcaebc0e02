/* os.h - every system call that Muster makes, behind one contract. Private to the C core.
 *
 * The contract: 0, a count or a descriptor on success; negative errno on failure; outputs set on
 * success only; EINTR is retried except where the caller waits for events; descriptors are
 * close-on-exec; `errno` is left as it was. Each function first asks the fault injector
 * (muster/testing.h), so tests can make the n-th call of a process fail. Nothing outside this room
 * calls the kernel; a function here does one system call and decides nothing.
 */
#ifndef MUSTER_OS_OS_H
#define MUSTER_OS_OS_H

#include <muster/base.h>
#include <stdio.h>
#include <sys/types.h>

/* -- fault injection and named points ------------------------------------------------------- */

/* Non-zero while a test has armed any point; read on paths that must cost nothing otherwise. */
extern uint32_t muster__points_armed;
void muster__point_reached(uint32_t point);

/* The way in which a test wants the protocol broken (enum muster_breakage in testing.h). */
extern uint32_t muster__broken;

/* A named place where a test can stop or kill this process (enum muster_point in testing.h). */
#define MUSTER__POINT(point)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(muster__points_armed != 0, 0))                                        \
            muster__point_reached(point);                                                          \
    } while (0)

/* -- refused calls (os/refusal.c) ------------------------------------------------------------ */

/* NULL: the status is none of those below MUSTER_REFUSED. */
const char *muster__os_refusal_text(int status);
/* The status of a call that was answered with -EPERM or -ENOSYS: the same, or one of those below
 * MUSTER_REFUSED. expression: the call, as it stands in the source. */
int muster__os_refusal(int status, const char *expression);
int muster__os_ask_call(const char *name); /* 0, or the status of its refusal; -EINVAL: not ours */
/* Statuses of all that are refused. Returns: how many. */
int muster__os_ask_calls(int32_t *statuses, uint32_t capacity);

/* -- memory --------------------------------------------------------------------------------- */

/* realloc, which a test can make fail (os/testing.c). */
void *muster__memory(void *old, size_t size_bytes);

int muster__os_memfd(const char *name);                           /* sealable */
int muster__os_memfd_pool(const char *name, uint64_t page_bytes); /* of huge pages of the pool */
int muster__os_truncate(int fd, uint64_t size_bytes);
int muster__os_seal_size(int fd);   /* no growing, no shrinking, no more seals */
int muster__os_sealed_size(int fd); /* 1: size is sealed, 0: not */
int muster__os_punch(int fd, uint64_t offset_bytes, uint64_t size_bytes);

/* Arrays of this size and more have this much between them: kernels go through several at once, and
 * where those lie a power of two apart, some cores take their lines for one another (Zen's caches
 * find a line by a hash of its virtual address). With 256 or 512 MiB between two arrays, a triad
 * took 1.2 to 1.3 times as long. */
#define MUSTER__LARGE_BYTES (16ull << 20)
#define MUSTER__APART_BYTES (10ull << 20)

/* What lies between two arrays where addresses are plenty: a kernel that is wrong by some ten
 * million elements still meets a signal and not the next array. No power of two either. */
#define MUSTER__GUARD_BYTES ((64ull << 20) + MUSTER__APART_BYTES)

void *muster__os_zeros(uint64_t size_bytes); /* pages of this process's own; NULL; not injected */

/* Maps fd (or -1: a reservation without access) at `at` (NULL: anywhere; otherwise exactly there,
 * over what lies there). writable: read and write; otherwise read only. */
int muster__os_map(int fd, uint64_t offset_bytes, uint64_t size_bytes, bool writable, void *at,
                   void **address);
int muster__os_unmap(void *address, uint64_t size_bytes);
int muster__os_populate(void *address, uint64_t size_bytes, bool write); /* MADV_POPULATE_* */
int muster__os_advise(void *address, uint64_t size_bytes, int advice);
/* Memory that no child of this process gets: a copy of a rank finds nothing there, and the kernel
 * ends it with SIGSEGV at its first access. Best effort; holes in the range are left alone. */
void muster__os_forbid(void *address, uint64_t size_bytes); /* no access any more; best effort */
enum muster__protection { MUSTER__NO_ACCESS, MUSTER__READ_ONLY, MUSTER__READ_WRITE };
int muster__os_protect(void *address, uint64_t size_bytes, enum muster__protection protection);
/* Maps what is mapped shared at `from` a second time: at `to`, or where `to` is NULL anywhere. */
int muster__os_map_again(void *from, uint64_t size_bytes, void *to, void **address);
void *muster__os_shared_zeros(uint64_t size_bytes); /* pages that can be mapped again; NULL */
void muster__os_keep_from_children(void *address, uint64_t size_bytes);
int muster__os_collapse(void *address, uint64_t size_bytes); /* MADV_COLLAPSE: all, or an error */

/* -- limits (os/limit.c) -------------------------------------------------------------------- */

enum muster__resource {
    MUSTER__ADDRESSES, /* RLIMIT_AS */
    MUSTER__DATA,
    MUSTER__FILE, /* RLIMIT_FSIZE */
    MUSTER__STACK,
    MUSTER__LOCKED, /* RLIMIT_MEMLOCK */
    MUSTER__PROCESSES,
    MUSTER__FILES
};

/* What this process has of it. */
struct muster__used {
    uint64_t address_bytes, resident_bytes;
    uint64_t data_bytes; /* with its stack */
};

uint64_t muster__os_limit(enum muster__resource resource); /* soft; UINT64_MAX: none */
void muster__os_used(struct muster__used *used);           /* zeros without /proc */
uint64_t muster__os_open_files(uint64_t below);            /* descriptors below a number */
/* Whether a reservation takes memory: an emulator may keep a record of each page. Tries it. */
bool muster__os_addresses_cost(uint64_t probe_bytes);

/* -- NUMA ----------------------------------------------------------------------------------- */

/* mode: MPOL_*; nodes: bit mask of mask_bits bits, rounded up to a whole of 64. */
int muster__os_mbind(void *address, uint64_t size_bytes, int mode, const uint64_t *nodes,
                     uint32_t mask_bits, uint32_t flags);
void muster__os_forget_policy(void *address, uint64_t size_bytes); /* clean-up */
/* The policy of this process's own allocations; mask_bits bits, at least as many as the kernel has
 * nodes (numa-facts: a short buffer is written over). */
int muster__os_task_policy(int *mode, uint64_t *nodes, uint32_t mask_bits);
int muster__os_set_task_policy(int mode, const uint64_t *nodes, uint32_t mask_bits);
void muster__os_restore_task_policy(int mode, const uint64_t *nodes, uint32_t mask_bits);
/* Node of each page into status[], or a negative errno there; nodes != NULL moves them. */
int muster__os_move_pages(void **pages, uint64_t count, const int *nodes, int *status);
/* Has the kernel look for pages of a range as if from a CPU of this node; the range has a policy of
 * MPOL_BIND. -ENOSYS before Linux 5.17. */
int muster__os_home_node(void *address, uint64_t size_bytes, uint32_t node);
int muster__os_memory_nodes(uint64_t *mask, uint32_t mask_bits); /* nodes this process may use */
int muster__os_affinity_get(uint64_t *mask, uint32_t mask_bits); /* CPUs; returns bytes filled */
int muster__os_affinity_set(const uint64_t *mask, uint32_t mask_bits);
int muster__os_cpu(uint32_t *cpu, uint32_t *node);
int muster__os_memory(uint64_t *total_bytes, uint64_t *free_bytes); /* sysinfo */

/* -- processes ------------------------------------------------------------------------------ */

int muster__os_fork(void);         /* in the parent: the child's pid; in the child: 0 */
bool muster__os_is_own_fork(void); /* for fork handlers: this one is muster__os_fork's */
int muster__os_pidfd(int pid);
int muster__os_kill(int pidfd, int signal);
/* Reaps a dead child. Returns 1 with *code and *status as waitid gives them, 0: still alive. */
int muster__os_reap(int pidfd, bool wait, int *code, int *status);
/* How a process ended that is not a child, as waitpid has it. Known to Linux 6.15 and later, and
 * only once the process is reaped. Returns: 0; -ENODATA: not reaped; -ENOTTY, -EINVAL: not this
 * kernel. */
int muster__os_ended(int pidfd, int *status);
void muster__os_end_child(int pid);       /* kills and reaps a child that has no pidfd */
int muster__os_die_with_parent(void);     /* SIGKILL when the thread that forked us ends */
int muster__os_may_die_with_parent(void); /* whether the above is allowed, without a change */
int muster__os_parent(void);
int muster__os_pid(void);
/* The same without a system call, for a process that has called muster__os_mark_process: this looks
 * at a page that the kernel clears in each child. 0: such a child, which has not. */
int muster__os_marked_pid(void);
void muster__os_mark_process(void);
uint32_t muster__os_user(void); /* effective user */
/* Whether this process has privileges that the process which executed it may lack: a set-user-ID or
 * set-group-ID program, file capabilities, or ids that have been changed since. */
bool muster__os_is_raised(void);
/* A variable of the environment; NULL: not set, or muster__os_is_raised. Everything that Muster
 * reads from the environment to act on it is read by this. */
const char *muster__os_variable(const char *name);
/* Whether executing this program's file would grant privileges (1) or not (0). */
int muster__os_program_raises(void);
uint32_t muster__os_page_bytes(void);
int64_t muster__os_line_bytes(void); /* of the first data cache, by the C library; 0: unknown */
int muster__os_thread_count(void);
/* Workers ignore INT, TERM and HUP, have the default for the rest, and block none. The first says
 * which signals this process handles otherwise (bit n - 1: signal n), the second sets those. */
uint64_t muster__os_other_signals(void);
#define MUSTER__ALL_SIGNALS UINT64_MAX
void muster__os_worker_signals(uint64_t which);
void muster__os_name_thread(const char *name);
/* Calls what workers call first, to no effect. The dynamic linker finds a function when it is
 * called for the first time; otherwise each worker would have that done for itself. */
void muster__os_rehearse_worker(void);
_Noreturn void muster__os_exit(int status);

/* Executes a program, with `fd` as its descriptor `as_fd` and none above. path: NULL: this program
 * once more. Returns: the new process's pid. SIGINT, SIGTERM and SIGHUP are blocked in it.
 * (os/spawn.c) */
int muster__os_spawn(const char *path, int fd, int as_fd, char *const arguments[],
                     char *const environment[]);
int muster__os_wake_with_parent(void); /* SIGCONT when the thread that started us ends */

/* -- waiting -------------------------------------------------------------------------------- */

/* Sleeps while *word == expected. 0: woken or changed, possibly spurious; -ETIMEDOUT. */
int muster__os_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_ns);
int muster__os_futex_wake(const uint32_t *word, int count);
int muster__os_eventfd(void); /* non-blocking */
int muster__os_eventfd_signal(int fd);
int muster__os_eventfd_clear(int fd);
int muster__os_timer(void); /* readable when it has run out; muster__os_eventfd_clear reads it */
int muster__os_timer_start(int fd, uint64_t ns);
int muster__os_epoll(void);
int muster__os_epoll_add(int epoll, int fd, uint64_t tag);
int muster__os_epoll_remove(int epoll, int fd);
/* Tags of up to capacity ready descriptors. 0: time-out or a signal. timeout_ms -1: for ever. */
int muster__os_epoll_wait(int epoll, uint64_t *tags, int capacity, int timeout_ms);
int muster__os_wait_readable(int fd, int timeout_ms);
/* 1: the first is readable, 2: the second, 3: both; 0: time-out or a signal. */
int muster__os_wait_two(int first, int second, int timeout_ms);
uint64_t muster__os_now_ns(void); /* CLOCK_MONOTONIC; not injected, can't fail */
void muster__os_yield(void);      /* the same: lets another process have the CPU */

/* -- descriptors and files ------------------------------------------------------------------ */

int muster__os_socketpair(int ends[2]); /* packets kept whole */
int muster__os_close_on_exec(int fd);
/* Sockets with an abstract name, packets kept whole (os/socket.c). */
int muster__os_socket(bool blocks);
int muster__os_bind(int fd, const char *name); /* name: without the NUL in front */
int muster__os_listen(int fd);
int muster__os_connect(int fd, const char *name);
int muster__os_accept(int fd);                         /* -EAGAIN: nobody asks */
int muster__os_peer(int fd, int *pid, uint32_t *user); /* the process that connected, or listens */
int muster__os_die_with_peer(int fd);                  /* SIGKILL when the other end closes */
void muster__os_outlive_peer(int fd);                  /* no longer; clean-up */
bool muster__os_hung_up(int fd);                       /* the other end is closed */
int muster__os_random(void *bytes, size_t size_bytes);
/* fd -1: data only. */
int muster__os_send_descriptor(int socket, int fd, const void *data, size_t size_bytes);
/* Returns bytes received; *fd is a new descriptor or -1. 0 and -ECONNRESET: the other end is
 * closed, and nothing that it has sent is left. -EAGAIN: nothing there; -EPROTO: several came,
 * which are closed again; -EMFILE: no room for the one that came. */
int muster__os_receive_descriptor(int socket, int *fd, void *data, size_t capacity);
int muster__os_open(const char *path, bool writable, bool create);
/* mode_bits as in st_mode. */
int muster__os_stat(int fd, uint64_t *size_bytes, uint32_t *mode_bits);
bool muster__os_is_noexec(int fd);             /* whether its file system is mounted with noexec */
bool muster__os_may_execute(const char *path); /* false also where it is not there */
int muster__os_allocate(int fd, uint64_t size_bytes); /* blocks on disk, file grown to this size */
int64_t muster__os_read_at(int fd, void *buffer, size_t size_bytes, uint64_t offset_bytes);
int64_t muster__os_write(int fd, const void *buffer, size_t size_bytes); /* all, or an error */
int muster__os_make_directory(const char *path);
int muster__os_rename(const char *from, const char *to);
int muster__os_finish(int fd); /* close, with its status */
void muster__os_close(int fd);
void muster__os_unlink(const char *path);

/* Reads a whole small file, NUL-terminated. Returns its length; -EFBIG when it exceeds capacity
 * - 1. */
int64_t muster__os_read_text(const char *path, char *text, size_t capacity);

/* Names in a directory, one call of `visit` each, "." and ".." left out, in no order. A non-zero
 * return of visit ends the walk and is returned. */
int muster__os_list(const char *path, int (*visit)(const char *name, void *context), void *context);

#endif
