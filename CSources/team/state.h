/* state.h - what a process knows of its team in addition to the shared memory. Private. */
#ifndef MUSTER_TEAM_STATE_H
#define MUSTER_TEAM_STATE_H

#include <muster/core/placement.h>
#include <muster/core/team.h>

#include "os/os.h"
#include "os/wait.h"

#define MUSTER__BLOCK_OFFSET MUSTER_LINE_BYTES /* of the team block: after the segment's header */

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
    struct muster_fault *faults; /* one a rank */
    struct muster_rooms *rooms;
    struct muster_extent *known; /* MUSTER_ROOMS_MAX: those that this process has access to */
    uint64_t known_version;
    struct muster_roll **rolls; /* block->size of them */
    struct muster__rank *ranks; /* block->size of them; leader only */
    struct muster_death *deaths;
    uint32_t death_count, death_capacity;
    uint64_t job_number; /* last dispatched */
    uint32_t not_done;   /* ranks below this one have ended the job */
    bool someone_died;   /* during the job last dispatched */
    bool running;        /* that job has not been joined */
    int epoll, eventfd;
    int worker_socket;      /* in a worker: its end */
    uint64_t mappings;      /* in a worker: number of the last one that has come */
    char worker_name[24];   /* of the one that is started next; the kernel keeps 15 characters */
    bool has_rehearsed;     /* muster__os_rehearse_worker */
    uint64_t other_signals; /* that the worker which is started next has to set */
    struct muster__backoff backoff;
    struct muster_team *next_working; /* leader/copies.c */
    struct muster__server *server;    /* leader only; NULL: ranks are forked from the leader */
};

/* A mapping that travels to the workers. */
struct muster__mapping {
    struct muster_extent extent;
    uint64_t file_offset_bytes;
    uint32_t writable;
    uint32_t mapped; /* 0: take it away */
    uint64_t number; /* among those that are sent to this process, from 1 */
};

/* In epoll: ranks' pidfds have their rank, the others these. */
#define MUSTER__EVENT_TAG  UINT64_MAX       /* the eventfd */
#define MUSTER__SERVER_TAG (UINT64_MAX - 1) /* the server's pidfd */

/* Whether every rank that has a process has ended the job last dispatched. (leader/dispatch.c) */
bool muster__all_done(struct muster_team *team);

/* Gives this rank access to the arrays that there are now, before a job that may touch one. In the
 * leader's process nothing happens: it has it. (team/worker.c) Returns: as muster__space_follow. */
int muster__follow_arrays(struct muster_team *team);

/* team/worker.c: what is done before a worker is forked, since each would do it for itself; and
 * what a new worker does first. */
void muster__before_worker(struct muster_team *team, uint32_t rank);
void muster__begin_worker(struct muster_team *team, uint32_t rank, int socket, int parent);

/* Where the parts of a mapped control segment are. `rolls` has room; the plan is sound. (layout.c)
 */
void muster__find_parts(struct muster_team *team, const struct muster_team_block *plan);

/* leader/deaths.c: notes that a rank has died, if it has; and, after each call of the functions
 * below, the deaths of all ranks if the server was lost in it. */
void muster__note_death(struct muster_team *team, uint32_t rank);
void muster__note_fallen(struct muster_team *team);

/* server/client.c, for the leader's room: only if there is a server, but for the last three.
 *
 * muster__server_spawn: ends[1] goes to the rank, ends[0] becomes the leader's; both are taken over
 * in any case. muster__server_reap: as muster__os_reap without wait; -EOWNERDEAD: the server was
 * lost. muster__server_end: as muster_team_end, after the job that ends idle ranks.
 * muster__server_has_fallen: whether the server was lost since this was last asked. */
int muster__server_spawn(struct muster_team *team, uint32_t rank, const int ends[2]);
int muster__server_reap(struct muster_team *team, uint32_t rank, int *code, int *status);
int muster__server_send_mapping(struct muster_team *team, const struct muster__mapping *mapping,
                                int fd);
void muster__server_event(struct muster_team *team);
void muster__server_end(struct muster_team *team, bool idle);
bool muster__server_has_fallen(struct muster_team *team);
void muster__server_forget_trouble(struct muster_team *team);
void muster__server_destroy(struct muster_team *team);

/* Most places of so many ranks: as many as there are ranks, or nodes. */
static inline uint64_t muster__most_places(uint32_t ranks)
{
    return ranks < MUSTER_NODES_MAX ? ranks : MUSTER_NODES_MAX;
}

/* A rank's place, of plan.place_count; 0 where the slot does not make sense. (team/distances.c) */
uint32_t muster__place(const struct muster_team *team, uint32_t rank);

/* Maps this rank's copies of all mirrored arrays: a new worker, before its first job.
 * (team/mirror.c) */
int muster__enter_mirrors(struct muster_team *team, uint32_t rank);

/* leader/copies.c, for a leader that works: from now on a copy of it that a kernel forks finds
 * nothing of the team; and no longer. Returns: 0, -ENOMEM. */
int muster__watch_copies(struct muster_team *team);
void muster__forget_copies(struct muster_team *team);

/* How long a team that ends waits for its idle ranks to leave by themselves. */
#define MUSTER__END_WAIT_NS 1000000000ull

static inline const uint32_t *muster__epoch_futex(const struct muster_team_block *block)
{
    return (const uint32_t *)&block->epoch; /* the low half: little-endian, see base.h */
}

#endif
