/* team_state.h - what a process knows of its team beside the shared memory. Private. */
#ifndef MUSTER_TEAM_STATE_H
#define MUSTER_TEAM_STATE_H

#include <muster/team.h>

#include "os.h"

/* The leader's knowledge of a rank. */
struct muster__rank {
    int pid;    /* 0: vacant, or not a process of its own */
    int pidfd;  /* -1: none */
    int socket; /* the leader's end; -1: none */
    bool held;  /* by a live process (or thread), as far as is known */
};

/* The leader's knowledge of the loop last dispatched, which may have had several jobs. */
struct muster__loop {
    uint64_t number; /* of its first job */
    uint64_t first, count, batch;
    uint32_t schedule; /* of its newest job */
    bool traced;
};

struct muster_team {
    struct muster_segment control;
    struct muster_space space;
    struct muster_team_block *block;
    /* What the leader steers by is its own copy: the shared words can be overwritten by a stray
     * store of any kernel, and must then not become an index, a bound or a divisor. */
    struct muster_team_block plan; /* constants, as created */
    uint32_t job_kind;             /* of the job last dispatched */
    struct muster__loop loop;
    struct muster_job *job;
    struct muster_interval *list; /* MUSTER_LIST_MAX of them */
    struct muster_slot *slots;
    struct muster_roll **rolls; /* block->size of them */
    struct muster__rank *ranks; /* block->size of them; leader only */
    struct muster_death *deaths;
    uint32_t death_count, death_capacity;
    uint64_t job_number; /* last dispatched */
    uint32_t not_done;   /* ranks below this one have ended the job */
    bool someone_died;   /* during the job last dispatched */
    bool running;        /* that job has not been joined */
    int epoll, eventfd;
    int worker_socket; /* in a worker: its end */
};

/* A mapping that travels to the workers. */
struct muster__mapping {
    struct muster_extent extent;
    uint64_t file_offset_bytes;
    uint32_t writable;
    uint32_t mapped; /* 0: take it away */
};

/* One turn of a wait that spins. */
static inline void muster__pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` is a no-op on most cores; isb waits a little */
#endif
}

static inline const uint32_t *muster__epoch_futex(const struct muster_team_block *block)
{
    return (const uint32_t *)&block->epoch; /* the low half: little-endian, see base.h */
}

#endif
