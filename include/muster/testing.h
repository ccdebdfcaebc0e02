/* testing.h - fault injection and named stopping points, for Muster's own tests.
 *
 * Not part of muster.h and not installed. State is per process, the injector's per
 * thread, and is inherited by a fork.
 */
#ifndef MUSTER_TESTING_H
#define MUSTER_TESTING_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the n-th system call of this thread from now on fail, once.
 *
 * n: 1 is the next one; 0 disarms.
 * error: a positive errno value.
 * Calls that can't fail (pid, clock) and clean-up (close, unmap, kill, reap) are not counted. */
void muster_testing_fail_call(uint64_t n, int error);

/* System calls of this thread counted since muster_testing_fail_call was last used. */
uint64_t muster_testing_calls(void);

/* Makes the n-th request for memory of this thread from now on fail, once: of those that a member's
 * loop makes after its begin.
 *
 * n: 1 is the next one; 0 disarms. */
void muster_testing_fail_memory(uint64_t n);

/* A named point: an array has room and a policy, and no page yet. */
void muster_testing_point_array(void);

/* Whether the armed failure has been delivered. */
bool muster_testing_failed(void);

/* What a sandbox can refuse. */
enum muster_refusal {
    MUSTER_REFUSE_PLACEMENT = 0,     /* mbind, set_mempolicy, get_mempolicy, move_pages: as Docker's
                                        default seccomp profile does without CAP_SYS_NICE */
    MUSTER_REFUSE_AFFINITY = 1,      /* sched_setaffinity */
    MUSTER_REFUSE_RESIDENCY = 2,     /* move_pages */
    MUSTER_REFUSE_MEMORY = 3,        /* madvise, mmap: a call ends the process (SIGSYS) */
    MUSTER_REFUSE_SOCKET_SIGNALS = 4 /* fcntl(F_SETSIG): a member does not end with its launcher */
};

/* Makes the kernel refuse these system calls (a real seccomp filter), with EPERM if the kind says
 * nothing else, in this process and in all that come of it, also after an exec, for good. Returns:
 * 0 or a negative errno. */
int muster_testing_refuse(enum muster_refusal what);

/* Asks the kernel for the nodes of pages (move_pages), so that a test need not trust the library's
 * own reading back. Returns: 0, or a negative errno; status: a node, or a negative errno, by page.
 */
int muster_testing_move_pages(void **pages, uint64_t count, int *status);

/* Moves all of this process's pages from one node to another, as an administrator or the kernel's
 * balancing does (migrate_pages). Returns: how many could not be moved, or a negative errno. */
int muster_testing_migrate(uint32_t from, uint32_t to);

struct muster_topology;

/* Predicts the home of each node that is not allowed, as for a recorded host: after a test has
 * changed what is allowed, or to be held against what a kernel said. Returns: 0 or -ENOMEM. */
int muster_testing_predict_homes(struct muster_topology *topology);

/* Words that processes of a test share, acquire and release. */
static inline uint64_t muster_testing_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Adds to such a word. */
static inline void muster_testing_add(uint64_t *word, uint64_t value)
{
    __atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}

/* Named places in the life of a team. */
enum muster_point {
    MUSTER_POINT_NONE = 0,
    MUSTER_POINT_FORKED,    /* worker: just forked, before the parent-death signal is asked for */
    MUSTER_POINT_RANK_HELD, /* worker: has its rank, before it waits for a job */
    MUSTER_POINT_ARRAY_CREATED, /* leader: room and policy of an array are set, no page committed */
    MUSTER_POINT_DISPATCHED,    /* leader: the job is published, nobody joined yet */
    MUSTER_POINT_JOB_SEEN,      /* worker: has seen a job, roll not yet emptied */
    MUSTER_POINT_CLAIMED,       /* worker: an interval claimed, not yet noted as current */
    MUSTER_POINT_CURRENT,       /* worker: interval noted as current, nothing run */
    MUSTER_POINT_LOOP_ENDED,    /* worker: no more claims, not yet done */
    MUSTER_POINT_JOURNALING,    /* worker: half of a tile is in the journal */
    MUSTER_POINT_JOURNALED,     /* worker: a tile is published, nothing stored in it */
    MUSTER_POINT_COMMITTING,    /* worker: the kernel has ended, the chunk is not in the roll */
    MUSTER_POINT_COMMITTED,     /* worker: the chunk is in the roll */
    MUSTER_POINT_RESTORING,     /* worker or leader: one record has been put back */
    MUSTER_POINT_RESTORED,      /* worker or leader: all have, the journal is not emptied yet */
    MUSTER_POINT_CONNECTED,     /* member: has the launcher's answer, nothing is mapped yet */
    MUSTER_POINT_JOINED,        /* member: has its rank, before muster_join returns */
    MUSTER_POINT_MAILED,        /* member: its contribution is written, it has not arrived */
    MUSTER_POINT_ARRIVING,      /* member: in a collective call, not arrived */
    MUSTER_POINT_ARRIVED,       /* member: arrived, nobody woken */
    MUSTER_POINT_MET,           /* member: all have arrived, nothing read from them yet */
    MUSTER_POINT_MAPPED,        /* member: an array is mapped, its share not touched */
    MUSTER_POINT_ADOPTING,      /* member: knows what the dead have left, none of it claimed */
    MUSTER_POINT_AUDITING,      /* member: all have ended the loop, not audited */
    MUSTER_POINT_AUDITED,       /* member: audited, not noted for the launcher */
    MUSTER_POINT_RECOVERING,    /* member: says that it recovers, before it waits */
    MUSTER_POINT_RECOVERED,     /* member: all have, before its first collective call */
    MUSTER_POINT_ANSWERED,      /* launcher: a caller has its answer, its post does not say so */
    MUSTER_POINT_AWAITING, /* member: has the answer, and its post does not say that it is over */
    MUSTER_POINTS
};

/* What happens at an armed point. */
enum muster_point_action {
    MUSTER_POINT_KILL = 1,  /* SIGKILL to this process */
    MUSTER_POINT_PAUSE = 2, /* one byte (the point's number) to the descriptor given, then sleep */
    MUSTER_POINT_STOP = 3   /* SIGSTOP to this process, which goes on after SIGCONT */
};

/* Arms a point.
 *
 * nth: the number of the time that it is reached in one process, from 1; 0 disarms.
 * rank: only in the worker of this rank; -1: any process, the leader included; -2: any worker.
 * descriptor: for MUSTER_POINT_PAUSE, where the byte goes. For MUSTER_POINT_KILL -1, or the reading
 * end of a pipe (not blocking): each death takes a byte. So of all processes that inherit the point
 * only as many die as there are bytes. Without a byte the point stays armed. */
void muster_testing_arm(enum muster_point point, enum muster_point_action action, uint64_t nth,
                        int64_t rank, int descriptor);

/* Tells the points which rank this process has (the library calls it in a new worker). */
void muster_testing_set_rank(int64_t rank);

/* Ways to break the protocol on purpose: what proves that nothing is lost must notice each. */
enum muster_breakage {
    MUSTER_BROKEN_NOT = 0,
    MUSTER_BROKEN_NO_JOURNAL,     /* old contents are not saved */
    MUSTER_BROKEN_NO_RESTORE,     /* nor put back */
    MUSTER_BROKEN_COMMIT_EARLY,   /* a chunk is committed before its kernel runs */
    MUSTER_BROKEN_STALE_ROLL,     /* a roll keeps what an earlier loop left in it */
    MUSTER_BROKEN_ROLL_FORGOTTEN, /* a successor empties its predecessor's roll */
    MUSTER_BROKEN_REDO_ALL,       /* a successor does its predecessor's interval from the start */
    MUSTER_BROKEN_UNRUNG,         /* a launcher rings nobody's bell at a death */
    MUSTER_BROKEN_FOLDED,         /* ranks combine from left to right and not in a tree */
    MUSTER_BROKEN_ONE_MAIL,       /* mail is not used in turns */
    MUSTER_BROKEN_STAY_DEAD       /* nobody adopts what a dead rank has left */
};

/* Breaks the protocol in this process, and in those that it forks later. */
void muster_testing_break(enum muster_breakage breakage);

#ifdef __cplusplus
}
#endif

#endif
