/* state.h - what a launcher knows in addition to the shared memory. Private. */
#ifndef MUSTER_LAUNCHER_STATE_H
#define MUSTER_LAUNCHER_STATE_H

#include "member/state.h"

/* Connections that have not said yet what they want. More than that wait in the socket's queue. */
#define MUSTER__CALLERS_MOST 64u

/* What a descriptor in epoll is: the kind in the high half, a rank or place in the low one. */
enum muster__tag {
    MUSTER__TAG_LISTENER = 1,
    MUSTER__TAG_CALLER = 2,
    MUSTER__TAG_MEMBER = 3,  /* a rank's socket */
    MUSTER__TAG_PROCESS = 4, /* a rank's pidfd */
    MUSTER__TAG_TIMER = 5
};

/* The launcher's knowledge of a rank: what it steers by, since any member can write into the shared
 * memory. */
struct muster__launcher_rank {
    int pid; /* 0: none */
    int pidfd, socket;
    enum muster__state state;
    uint32_t incarnation;
    bool missed; /* has been lost before: a process that joins must recover first */
    struct muster__member_fault *last; /* of its process that died last; NULL: it said nothing */
};

struct muster__launcher_array {
    char name[MUSTER_NAME_BYTES];
    uint64_t size_bytes;
    int fd;
};

struct muster_launcher {
    struct muster_segment control;
    struct muster__member_plan plan;
    struct muster__member_parts parts;
    uint64_t breaks;
    uint64_t interrupted;    /* the loop that a death has interrupted last; 0: none */
    uint32_t interrupted_by; /* the rank that was gone first */
    struct muster__launcher_rank *ranks;
    struct muster__launcher_array *arrays;
    uint32_t array_count;
    int callers[MUSTER__CALLERS_MOST]; /* -1: none */
    int epoll, listener;
    int spare;                 /* a descriptor to give up when there is none left; -1: it is */
    uint64_t starved_since_ns; /* callers wait for a descriptor; 0: none does */
    int timer;                 /* runs out when callers that starved are looked at again */
    bool listening;            /* in epoll: not while no caller could be taken */
    char address[MUSTER_NAME_BYTES]; /* with the sign */
};

/* Changes what has become of a rank, with the others told. */
void muster__launcher_change(struct muster_launcher *launcher, uint32_t rank,
                             enum muster__state state);

/* Keeps what a rank's process, which is dead, has noted of its crash. */
void muster__launcher_hear(struct muster_launcher *launcher, uint32_t rank);

/* How a dead process ended, as waitpid has it; -1: the kernel does not say. pidfd: of it. */
int muster__end_of(int pid, int pidfd);

/* Forgets a rank's process. */
void muster__launcher_forget(struct muster_launcher *launcher, uint32_t rank);

#endif
