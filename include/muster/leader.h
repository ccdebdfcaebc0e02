/* leader.h - a leader in C: starts a team, makes its arrays, runs its loops, reads the audit.
 *
 * These functions are implemented in Swift and are in libmuster.so, not in libCMuster.a: link with
 * `pkg-config --libs muster`. They promise what the Swift library promises. Ranks are exactly
 * 0..<size. Each chunk is committed exactly once, or the call fails and says which was not. A
 * worker's death costs only its unfinished chunk, which is put back and done again.
 *
 *     struct muster_leader_options options = {.size_bytes = sizeof options, .size = 8};
 *     struct muster_leader *leader;
 *     struct muster_error error;
 *     if (muster_leader_create(&options, &leader, &error) < 0)
 *         return fputs(error.message, stderr), 1;
 *     ... muster_array_create, muster_leader_run, muster_leader_report ...
 *     muster_leader_destroy(leader);
 *
 * Errors. Each function that takes a `struct muster_error *` returns 0 or one of the negative
 * values of enum muster_error_code. After an error it fills the struct in, unless it is NULL, with
 * one line of text: what failed, on what, why, and what to do. Outputs are set on success only. A
 * call that finds ranks without a process starts them, and can then fail as muster_leader_create
 * does.
 *
 * Pointers. A pointer that is NULL is MUSTER_ERROR_ARGUMENT, and the text names it, unless the
 * function or the struct says what NULL means; `error` may be NULL. Of no leader and no array,
 * functions that return no status give 0, NULL or an empty string, and do nothing.
 *
 * Workers are copies. Ranks that are forked see the program's memory as it was when they were
 * forked, a replacement for a dead one as it was later; ranks of a fork server are other processes
 * of the same program, or of the one that muster_leader_options.server names. So give a kernel what
 * it needs as argument bytes and arrays. A pointer among the arguments means something only in
 * forked ranks, and only to memory that has been there, and has not changed, since before
 * muster_leader_create. A kernel is a function of the program or of a library that was loaded by
 * then. For a fork server, the server must have loaded the same file before muster_leader_serve, or
 * its ranks since then; they find a function by the file's build-id and its place in the file.
 *
 * Functions that a call is given for the leader's process (progress, combine) must not leave by
 * longjmp or by an exception, nor call back into the leader, but for muster_leader_cancel and
 * muster_leader_process.
 *
 * Concurrency: a leader and its arrays belong to the thread that made it; a process that forks goes
 * on to be the leader, and its child is not (-EPERM).
 */
#ifndef MUSTER_LEADER_H
#define MUSTER_LEADER_H

#include <muster/kernel.h>
#include <muster/report.h>
#include <muster/schedule.h>
#include <muster/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A team, and this process as its leader, which holds no rank. */
struct muster_leader;

/* An array of a leader's team, in shared memory. */
struct muster_array;

/* -- errors --------------------------------------------------------------------------------- */

/* What can go wrong; also what a function returns. */
enum muster_error_code {
    MUSTER_ERROR_ARGUMENT = -EINVAL,    /* an argument that can't work, or not on this host */
    MUSTER_ERROR_NOT_LEADER = -EPERM,   /* this process was forked by the leader's, or is a rank */
    MUSTER_ERROR_THREADS = -EBUSY,      /* this process has threads: workers can't be forked */
    MUSTER_ERROR_START = -EAGAIN,       /* a worker could not be started */
    MUSTER_ERROR_MEMORY = -ENOMEM,      /* not enough memory, address space or descriptors */
    MUSTER_ERROR_PLACEMENT = -EXDEV,    /* a node that is not there or has not enough */
    MUSTER_ERROR_FILE = -ENOENT,        /* a file that can't be opened, mapped or read */
    MUSTER_ERROR_FILE_SHRANK = -ESTALE, /* a file became shorter while a loop used it */
    MUSTER_ERROR_KERNEL = -EREMOTEIO,   /* a kernel returned other than 0 */
    MUSTER_ERROR_STRAY = -EFAULT, /* check mode: a kernel has touched what is not its chunk's */
    MUSTER_ERROR_NO_KERNEL = -ENOEXEC, /* the ranks have no such function */
    MUSTER_ERROR_DEATH = -EOWNERDEAD,  /* workers died, and what they left was not done again */
    MUSTER_ERROR_QUARANTINE = -ENOTRECOVERABLE, /* chunks killed each worker that tried them */
    MUSTER_ERROR_SERVER = -EHOSTDOWN,           /* the fork server died, and all ranks with it */
    MUSTER_ERROR_CANCELLED = -ECANCELED,        /* the loop was cancelled */
    MUSTER_ERROR_AUDIT = -EUCLEAN, /* chunks are missing or repeated for another reason */
    MUSTER_ERROR_SYSTEM = -EIO     /* a system call failed that has no business failing */
};

/* Room for an error's text. */
#define MUSTER_ERROR_TEXT_BYTES 1024u

/* An error in words. Written whole by the call that fails, and left alone by others. */
struct muster_error {
    int32_t code;          /* enum muster_error_code: what the function returned */
    int32_t error_number;  /* errno of the system call behind it; 0: there is none */
    int32_t kernel_status; /* MUSTER_ERROR_KERNEL: what the kernel returned */
    int32_t reserved;
    char subject[MUSTER_MESSAGE_BYTES];    /* what it is about: "rank 3", "chunk 7", a path */
    char message[MUSTER_ERROR_TEXT_BYTES]; /* one line: "subject: reason, remedy" */
};

/* -- leader --------------------------------------------------------------------------------- */

/* Where a team's ranks come from. */
enum muster_start {
    MUSTER_START_FORK = 0, /* by fork: this process must have one thread; ranks see its variables */
    MUSTER_START_SERVER = 1 /* by a clean copy of this program, or by another one: it needs
                               muster_leader_serve; in its ranks each global variable has its
                               initial value */
};

/* How a team should be. */
struct muster_leader_options {
    uint32_t size_bytes; /* sizeof this struct, as the caller was compiled */
    uint32_t size;       /* ranks, 1 ..= MUSTER_RANKS_MAX */
    uint32_t start;      /* enum muster_start */
    uint32_t works;      /* 1: this process is rank 0: the fastest dispatch, but a kernel that
                            crashes there takes the program along */
    const char *binding; /* CPUs of the ranks: "spread", "compact", "none", or a list: "0-3,8";
                            NULL: "spread" */
    uint32_t check; /* enum muster_check_mode: whether a kernel can touch only its chunk. The leader
                       of a team that is checked waits, for any value of `works` */
    uint32_t wait;  /* enum muster_wait: how ranks wait for the next loop */
    const char *const *server; /* MUSTER_START_SERVER: the program that is executed as the server,
                                  its path and its arguments, NULL-ended; NULL: this program. For
                                  leaders in an interpreter, whose copy would run the user's script
                                  a second time */
};

/* Serves, where this process was started as a fork server; returns at once everywhere else.
 *
 * For MUSTER_START_SERVER it must be the first line of `main`, before anything starts a thread:
 * such a team executes this program once more, with the same arguments, directory and environment,
 * and there this call does not return. A program that muster_leader_options.server names must come
 * to this call within 30 seconds, with one thread; it can first load what its ranks need. */
void muster_leader_serve(void);

/* Starts a team.
 *
 * Returns: 0. MUSTER_ERROR_ARGUMENT: a size of 0 or above MUSTER_RANKS_MAX, an unknown start, a
 * binding that makes no sense here, a `server` without a path or for another start, or a size_bytes
 * that this library does not know. MUSTER_ERROR_START: also if MUSTER_START_SERVER is asked for
 * without `server`, and muster_leader_serve was not called. MUSTER_ERROR_THREADS;
 * MUSTER_ERROR_MEMORY; MUSTER_ERROR_SERVER; MUSTER_ERROR_SYSTEM. Ownership: muster_leader_destroy.
 * Concurrency: the ranks die with the thread that makes the team.
 */
int muster_leader_create(const struct muster_leader_options *options, struct muster_leader **leader,
                         struct muster_error *error);

/* Ends the ranks of a team. Its arrays and its report stay until muster_leader_destroy: the leader
 * reads and writes the arrays as before, and makes no new ones. A loop is then
 * MUSTER_ERROR_ARGUMENT. A second call does nothing; NULL is allowed. In a process that the
 * leader's has forked nothing happens. Must not be called while a loop runs. */
void muster_leader_end(struct muster_leader *leader);

/* Ends a team and frees its arrays and its report. NULL is allowed. In a process that the leader's
 * has forked nothing happens. Must not be called while a loop runs. */
void muster_leader_destroy(struct muster_leader *leader);

/* Ranks of the team. */
uint32_t muster_leader_size(const struct muster_leader *leader);

/* The process that has a rank. Returns: its pid; 0: vacant, or no such rank. */
int muster_leader_process(const struct muster_leader *leader, uint32_t rank);

/* -- arrays --------------------------------------------------------------------------------- */

/* How an array should be. */
struct muster_array_options {
    uint32_t size_bytes;    /* sizeof this struct */
    uint32_t element_bytes; /* 1 or more; kernels see chunks of whole elements */
    uint64_t count;         /* elements */
    const char *placement;  /* "first-touch", "bind:1", "interleave", "interleave:0,2",
                               "weighted:0=3,1=1", "blocked", "mirrored"; NULL: "first-touch" */
    const char *pages;      /* "4k", "thp", "2m", "1g", "auto"; NULL: "auto" */
    const char *name;       /* what errors call it; NULL: they say its number */
};

/* Makes an array of zero bytes, its memory committed by the ranks, each its static share.
 *
 * Returns: 0. MUSTER_ERROR_ARGUMENT: elements of 0 bytes, more bytes than a number can hold, a
 * placement or pages that are none of those, or a size_bytes that this library does not know.
 * MUSTER_ERROR_MEMORY: the machine or a cgroup has not enough, or the team has MUSTER_ARRAYS_MAX
 * arrays. MUSTER_ERROR_ARGUMENT: also of a team that has ended. MUSTER_ERROR_PLACEMENT;
 * MUSTER_ERROR_NOT_LEADER. MUSTER_ERROR_START, MUSTER_ERROR_THREADS: all ranks died at it, and none
 * could be started again. Ownership: muster_array_destroy, or with the leader. */
int muster_array_create(struct muster_leader *leader, const struct muster_array_options *options,
                        struct muster_array **array, struct muster_error *error);

/* How a file becomes an array. */
struct muster_file_options {
    uint32_t size_bytes;    /* sizeof this struct */
    uint32_t element_bytes; /* of a raw file; 0: a .npy file, whose header says */
    uint32_t dtype;         /* enum muster_type that a .npy file must have */
    uint32_t writable;      /* 1: changes go to the file; its blocks on disk are allocated first */
};

/* Maps a file in every rank. Its placement is the page cache's.
 *
 * Returns: 0. MUSTER_ERROR_FILE: it can't be opened or mapped, is no whole number of elements, no
 * .npy file in C order and this host's byte order, or of another dtype. MUSTER_ERROR_ARGUMENT: a
 * size_bytes or dtype that this library does not know, or a team that has ended.
 * MUSTER_ERROR_MEMORY; MUSTER_ERROR_NOT_LEADER. Ownership: as muster_array_create. */
int muster_array_map(struct muster_leader *leader, const char *path,
                     const struct muster_file_options *options, struct muster_array **array,
                     struct muster_error *error);

/* The address of an array's element 0 in this process, for use between loops; NULL for an array
 * without bytes. Other processes may have it elsewhere. Of a file that was mapped without
 * `writable` for reading only. A mirrored array counts as written to from this call on: see
 * muster_array_mirror. */
void *muster_array_elements(const struct muster_array *array);

/* Elements of an array. */
uint64_t muster_array_count(const struct muster_array *array);

/* What could not be done as asked, one line each: pages that are not where they should be.
 *
 * Returns: a string that lives as long as the array; empty: all could be done. */
const char *muster_array_notes(const struct muster_array *array);

/* Brings what the leader has written to a mirrored array to the copies on all nodes. A loop that
 * reads one is refused after a call of muster_array_elements, until this is called; what is written
 * through the pointer later is for the next call. Any other array is what it is: nothing happens.
 *
 * Returns: 0; MUSTER_ERROR_ARGUMENT: no array, or a team that has ended; MUSTER_ERROR_MEMORY: a
 * rank could not make its copy, or was killed at it again and again; MUSTER_ERROR_START,
 * MUSTER_ERROR_THREADS: all ranks died at it, and none could be started again;
 * MUSTER_ERROR_NOT_LEADER. */
int muster_array_mirror(struct muster_array *array, struct muster_error *error);

/* Frees an array: for files, changes are in the page cache. NULL is allowed. In a process that the
 * leader's has forked nothing happens. Must not be called while a loop runs. */
void muster_array_destroy(struct muster_array *array);

/* -- loops ---------------------------------------------------------------------------------- */

/* An array that a kernel uses; the kernel knows it by its place in the list.
 *
 * An index of the loop stands for `elements_per_index` neighbouring elements, a row: index i for
 * the elements i * elements_per_index ..< (i + 1) * elements_per_index. A chunk is whole rows, and
 * those are what its rank may write and what is put back after a death. So an array that is written
 * has exactly count * elements_per_index elements, or MUSTER_USE_PREFIX, and more: a loop over
 * anything else would leave elements out, or work on some that are not its chunk's, and is refused.
 * Inputs may have any length; but where nothing is written, one that is no MUSTER_USE_GATHER must
 * have it as well, since a loop that fits none of its arrays reads only a part of what it should.
 */
struct muster_use {
    struct muster_array *array;
    uint32_t access;             /* enum muster_access */
    uint32_t flags;              /* enum muster_use_flag, added up */
    uint64_t elements_per_index; /* 0: 1 */
};

/* What happens when a worker dies. */
enum muster_recovery {
    MUSTER_RECOVERY_REDO =
        0, /* a new process takes the rank over, and the chunk is put back and done again */
    MUSTER_RECOVERY_FAIL =
        1 /* the loop ends; chunks in work may be half-written: no journal is kept */
};

/* How far a loop is. */
struct muster_progress {
    uint64_t done;   /* chunks committed so far */
    uint64_t chunks; /* of the loop */
    uint64_t elapsed_ns;
};

/* What a loop does. All zero is a sensible default for everything but size_bytes, kernel and count.
 */
struct muster_loop_options {
    uint32_t size_bytes; /* sizeof this struct */
    uint32_t schedule;   /* enum muster_schedule up to MUSTER_SCHEDULE_STATIC_STEAL */
    muster_kernel kernel;
    uint64_t count; /* indices of the loop: what each array has of them, see struct muster_use */
    uint64_t grain; /* indices a chunk; 0: a power of two that depends on count and the size of a
                       row only: 512 KiB at most. See muster_schedule_grain_of_rows */
    const struct muster_use *uses; /* the kernel's arrays: use_count of them, copied */
    const void *arguments;         /* bytes for the kernel, copied to every rank; NULL: none */
    uint32_t use_count;            /* at most MUSTER_USES_MAX */
    uint32_t argument_bytes;       /* at most MUSTER_WORK_ARGUMENT_BYTES_MAX */
    uint32_t by_rank;    /* 1: once in each rank: chunk r, of one element, goes to rank r; count is
                            the team's size or 0, and grain and schedule count for nothing */
    uint32_t recovery;   /* enum muster_recovery */
    uint32_t redo_limit; /* deaths after which a chunk is quarantined; 0: 3 */
    uint32_t reserved;
    uint64_t stall_ns; /* longest that a chunk may take: its worker is then killed, and that counts
                          as any death; 0: no limit. Not for a leader that works */
    /* Called about ten times a second while the leader waits, first after some 100 ms, with
     * progress_context. Returns: 0; else the loop is cancelled. NULL: never. */
    int (*progress)(void *progress_context, const struct muster_progress *progress);
    void *progress_context;
};

/* Runs a kernel over the elements of a loop, each chunk exactly once.
 *
 * Returns: 0: every chunk was done exactly once, and muster_leader_report says by whom, also which
 * workers have died on the way. Else, with a report: MUSTER_ERROR_KERNEL (in-place arrays then have
 * that chunk's old contents); MUSTER_ERROR_STRAY (in check mode, in-place arrays alike);
 * MUSTER_ERROR_NO_KERNEL (a rank has not loaded the kernel's file, or another build of it);
 * MUSTER_ERROR_DEATH (with MUSTER_RECOVERY_FAIL, or
 * where nobody is left and nobody can be started); MUSTER_ERROR_QUARANTINE; MUSTER_ERROR_SERVER;
 * MUSTER_ERROR_CANCELLED; MUSTER_ERROR_FILE_SHRANK; MUSTER_ERROR_AUDIT. Before the loop, without a
 * report: MUSTER_ERROR_NOT_LEADER; MUSTER_ERROR_NO_KERNEL: a kernel that is in no file that the
 * ranks can have, or, for a fork server, in a library without a build-id. MUSTER_ERROR_START,
 * MUSTER_ERROR_THREADS: no rank has a process, and none could be started. MUSTER_ERROR_ARGUMENT: no
 * kernel; a count that does not fit the arrays (see struct muster_use); an array of another team;
 * an array that is used twice and not only read. Also: an array that is written and mapped for
 * reading; too many uses, argument bytes or chunks; a chunk too large for the journal. Also: an
 * enumerator, flag or size_bytes that this library does not know. A kernel must stay loaded between
 * loops that use it. */
int muster_leader_run(struct muster_leader *leader, const struct muster_loop_options *options,
                      struct muster_error *error);

/* Runs a reduction: the same bits for any team size, schedule and crash history.
 *
 * Each chunk leaves partial_bytes at work->partial, all zero when its kernel begins; they are
 * combined in a fixed binary tree over chunk numbers. Partial results of a grain that is asked for
 * may take more than the data; see muster_schedule_grain for one that is not.
 *
 * partial_bytes: 1 or more. combine_context: handed to `combine`, which is called in the leader.
 * result: receives partial_bytes; left as it is where the loop has no elements. Returns: as
 * muster_leader_run; MUSTER_ERROR_ARGUMENT also without `combine` or with 0 bytes;
 * MUSTER_ERROR_MEMORY: there is no room for the partial results. */
int muster_leader_reduce(struct muster_leader *leader, const struct muster_loop_options *options,
                         uint32_t partial_bytes, muster_combine combine, void *combine_context,
                         void *result, struct muster_error *error);

/* Asks the loop in progress to end: ranks finish the chunk they are at, and the call that runs it
 * returns MUSTER_ERROR_CANCELLED. Async-signal-safe, and any thread of the leader's process. */
void muster_leader_cancel(struct muster_leader *leader);

/* -- report --------------------------------------------------------------------------------- */

/* The audit of the last loop, also of one that has failed.
 *
 * Returns: NULL: no loop has run, or the last call failed before its loop began. Ownership: the
 * leader's, until its next loop. Later versions may append fields. */
const struct muster_report *muster_leader_report(const struct muster_leader *leader);

#ifdef __cplusplus
}
#endif

#endif
