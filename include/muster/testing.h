/* testing.h - fault injection and named stopping points, for Muster's own tests.
 *
 * Not part of muster.h and not installed. State is per process and is inherited by a fork.
 */
#ifndef MUSTER_TESTING_H
#define MUSTER_TESTING_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the n-th system call of this process from now on fail, once.
 *
 * n: 1 is the next one; 0 disarms.
 * error: a positive errno value.
 * Calls that can't fail (pid, clock) and clean-up (close, unmap, kill, reap) are not counted. */
void muster_testing_fail_call(uint64_t n, int error);

/* System calls counted since muster_testing_fail_call was last used. */
uint64_t muster_testing_calls(void);

/* Whether the armed failure has been delivered. */
bool muster_testing_failed(void);

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
 * nth: the how-manieth time it is reached in one process, from 1.
 * rank: only in the worker of this rank; -1: any process, the leader included.
 * descriptor: for MUSTER_POINT_PAUSE, where the byte goes. */
void muster_testing_arm(enum muster_point point, enum muster_point_action action, uint64_t nth,
                        int64_t rank, int descriptor);

/* Tells the points which rank this process has (the library calls it in a new worker). */
void muster_testing_set_rank(int64_t rank);

#ifdef __cplusplus
}
#endif

#endif
