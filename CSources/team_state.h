/* team_state.h - what a process knows of its team beside the shared memory. Private. */
#ifndef MUSTER_TEAM_STATE_H
#define MUSTER_TEAM_STATE_H

#include <muster/placement.h>
#include <muster/team.h>

#include "os.h"

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
    /* See muster__look. Relaxed atomics, since ranks that are threads share them: a hint. */
    uint32_t pause_left, pause_next;
    struct muster__server *server; /* leader only; NULL: ranks are forked from the leader */
};

/* A mapping that travels to the workers. */
struct muster__mapping {
    struct muster_extent extent;
    uint64_t file_offset_bytes;
    uint32_t writable;
    uint32_t mapped; /* 0: take it away */
};

#define MUSTER__SERVER_TAG (UINT64_MAX - 1) /* of the server's pidfd in epoll */

/* team.c, for the fork server: where the parts of a mapped control segment are (`rolls` has room;
 * the plan is sound), what a new worker does first, and a look whether a rank has died. */
void muster__find_parts(struct muster_team *team, const struct muster_team_block *plan);
void muster__begin_worker(struct muster_team *team, uint32_t rank, int socket, int parent);
void muster__note_death(struct muster_team *team, uint32_t rank);

/* server.c, for team.c; all but the last two only where there is a server.
 *
 * muster__server_spawn: ends[1] goes to the rank, ends[0] becomes the leader's; both are taken over
 * in any case. muster__server_reap: as muster__os_reap without wait; 0 also where the death has
 * been noted within. muster__server_end: as muster_team_end, after the job that ends idle ranks. */
int muster__server_spawn(struct muster_team *team, uint32_t rank, const int ends[2]);
int muster__server_reap(struct muster_team *team, uint32_t rank, int *code, int *status);
int muster__server_send_mapping(struct muster_team *team, const struct muster__mapping *mapping,
                                int fd);
void muster__server_event(struct muster_team *team);
void muster__server_end(struct muster_team *team, bool idle);
void muster__server_forget_trouble(struct muster_team *team);
void muster__server_destroy(struct muster_team *team);

/* Most places of so many ranks: as many as there are ranks, or nodes. */
static inline uint64_t muster__most_places(uint32_t ranks)
{
    return ranks < MUSTER_NODES_MAX ? ranks : MUSTER_NODES_MAX;
}

/* A rank's place, of plan.place_count; 0 where the slot does not make sense. (places.c) */
uint32_t muster__place(const struct muster_team *team, uint32_t rank);

/* Maps this rank's copies of all mirrored arrays: a new worker, before its first job. (mirror.c) */
int muster__enter_mirrors(struct muster_team *team, uint32_t rank);

/* One turn of a wait that spins. */
static inline void muster__pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` is a no-op on most cores; isb waits a little */
#endif
}

/* How long a wait looks before it sleeps, where each process has a CPU. A halted virtual CPU takes
 * 50 to 60 us to wake (numa-facts), so spinning about as long costs at most twice what sleeping at
 * once would. */
#define MUSTER__SPIN_NS 50000u

/* How long a team that ends waits for its idle ranks to leave by themselves. */
#define MUSTER__END_WAIT_NS 1000000000ull

/* A wait that has not gone to sleep yet. */
struct muster__look {
    struct muster_team *team;
    uint64_t start_ns; /* 0: the clock has not been read */
    uint32_t limit_ns;
    uint32_t turns;
};

/* Looks without a pause between them: an answer mostly comes within a microsecond, and one that a
 * pause (25 ns on Zen 4) would be late for. */
#define MUSTER__PROMPT_TURNS 256u

/* A yield that takes longer has let others work, not only look: ranks in long chunks, or another
 * program. Who yields to those comes last in turn (5 ms a job on a machine that was compiling),
 * whereas a sleeper that is woken is let in soon. So the next waits sleep at once: after one such
 * yield one of them, after each further one twice as many, up to a limit. */
#define MUSTER__LONG_YIELD_NS 100000u
#define MUSTER__PAUSES_MOST   256u

static inline struct muster__look muster__look_begin(struct muster_team *team, uint32_t limit_ns)
{
    uint32_t left = __atomic_load_n(&team->pause_left, __ATOMIC_RELAXED);
    if (left > 0) {
        __atomic_store_n(&team->pause_left, left - 1, __ATOMIC_RELAXED);
        limit_ns = 0;
    }
    return (struct muster__look){.team = team, .limit_ns = limit_ns};
}

/* Lets others run. Returns: the time after it. */
static inline uint64_t muster__look_yield(struct muster_team *team)
{
    uint64_t before = muster__os_now_ns();
    muster__os_yield();
    uint64_t now = muster__os_now_ns();
    uint32_t next = __atomic_load_n(&team->pause_next, __ATOMIC_RELAXED);
    if (now - before >= MUSTER__LONG_YIELD_NS) {
        next = next == 0 ? 1 : next < MUSTER__PAUSES_MOST ? 2 * next : next;
        __atomic_store_n(&team->pause_next, next, __ATOMIC_RELAXED);
        __atomic_store_n(&team->pause_left, next, __ATOMIC_RELAXED);
    } else if (next > 0) {
        __atomic_store_n(&team->pause_next, next - 1, __ATOMIC_RELAXED);
    }
    return now;
}

/* Between two looks. Returns: false: it has been long enough. */
static inline bool muster__look_again(struct muster__look *look)
{
    uint64_t now;
    look->turns++;
    if (look->limit_ns == 0)
        return false;
    if (look->team->plan.yields) {
        now = muster__look_yield(look->team);
    } else {
        if (look->turns <= MUSTER__PROMPT_TURNS)
            return true;
        muster__pause();
        if (look->turns % 32 != 0)
            return true;
        now = muster__os_now_ns();
    }
    if (look->start_ns == 0)
        look->start_ns = now;
    return now - look->start_ns < look->limit_ns;
}

static inline const uint32_t *muster__epoch_futex(const struct muster_team_block *block)
{
    return (const uint32_t *)&block->epoch; /* the low half: little-endian, see base.h */
}

#endif
