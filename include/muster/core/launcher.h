/* launcher.h - the launcher's side of a team of members: which process holds which rank, and which
 * is dead.
 *
 * A launcher makes the team's shared memory, listens at an abstract socket, and gives each process
 * that asks for a vacant rank the memory's descriptor. It watches that process by a pidfd, taken
 * from the socket's credentials: it may be anybody's child. It starts and reaps nothing; the
 * program that starts the processes (`muster run`) tells it what has become of a rank: lost for
 * good, or to be started again.
 *
 * A rank's life. Open: no process yet. Held: one has joined. Gone: it has died, and the caller has
 * not yet said what follows. Lost: it will not come back. Left: by muster_leave. Open again:
 * reopened. Every change that ranks must know of is made while the team's word `breaks` is odd and
 * is followed by a ring at every rank's bell: see member.h, "Why no wait is missed".
 *
 * Callers: one thread of one process. No call waits.
 */
#ifndef MUSTER_CORE_LAUNCHER_H
#define MUSTER_CORE_LAUNCHER_H

#include <muster/base.h>
#include <muster/core/fault.h>
#include <muster/core/limits.h>
#include <muster/core/timeline.h>
#include <muster/member.h>

#ifdef __cplusplus
extern "C" {
/* A function has a struct's name here, which hides that struct's constructor from g++. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

struct muster_launcher;

/* How the team should be. */
struct muster_launcher_options {
    uint32_t size_bytes;      /* sizeof this struct, as the caller was compiled */
    uint32_t size;            /* ranks, 1 ..= MUSTER_RANKS_MAX */
    uint32_t usable_cpus;     /* CPUs that all ranks together may use: with fewer than ranks, a wait
                                 does not spin but yields, before it sleeps; 0: not known, the same */
    int32_t spin_ns;          /* -1: chosen; otherwise how long a wait spins before it sleeps */
    uint32_t global_first;    /* global rank of rank 0 */
    uint32_t global_size;     /* 0: the same as size */
    const int32_t *nodes;     /* home node of each rank, -1: none; NULL: none has one */
    const int32_t *cpus;      /* CPU that each rank is bound to, -1: none; NULL: none is */
    uint64_t timeline_events; /* chunks, and loops, of each rank that are recorded at most, up to
                                 MUSTER_EVENTS_MAX; 0: none */
    struct muster_shortage
        *shortage; /* receives what ran short where the call fails; may be NULL */
};

/* What has happened. */
enum muster_launcher_event_kind {
    MUSTER_LAUNCHER_JOINED = 1,  /* pid has the rank */
    MUSTER_LAUNCHER_REFUSED = 2, /* pid asked for the rank: status says why it did not get it */
    MUSTER_LAUNCHER_LEFT = 3,    /* pid has given the rank back; its process may go on */
    MUSTER_LAUNCHER_DIED = 4     /* pid is dead and had not left: say muster_launcher_lose or
                                    muster_launcher_reopen, the survivors wait for it */
};

struct muster_launcher_event {
    uint32_t kind; /* enum muster_launcher_event_kind */
    uint32_t rank; /* that it is about; as asked for, where it was refused */
    int32_t pid;
    int32_t status; /* MUSTER_LAUNCHER_REFUSED: negative errno; MUSTER_LAUNCHER_DIED: how, as by
                       waitpid, -1: the kernel does not say; otherwise 0 */
};

/* What the audits of all loops of one name amount to: a sum. */
struct muster_launcher_audit {
    char name[MUSTER_NAME_BYTES];
    struct muster_report report;
};

/* Makes a team's shared memory and its socket. No process is started.
 *
 * options: see the struct. Returns: 0; -EINVAL: size 0 or above MUSTER_RANKS_MAX, or a size_bytes
 * that this library does not know; -ENOMEM, -EMFILE; or an errno. Ownership:
 * muster_launcher_destroy. */
int muster_launcher_create(const struct muster_launcher_options *options,
                           struct muster_launcher **launcher);

/* The value of MUSTER_TEAM for the ranks. Returns: a text owned by the launcher. */
const char *muster_launcher_address(const struct muster_launcher *launcher);

/* A descriptor that is readable while muster_launcher_serve has something to do. Returns: a
 * descriptor owned by the launcher (of epoll). */
int muster_launcher_descriptor(const struct muster_launcher *launcher);

/* Does what is to be done: joins, requests for arrays, leaves, deaths.
 *
 * events: receives up to `capacity` of what happened, at least 1; further ones come with the next
 * call. Returns: how many; or a negative errno of epoll_wait. */
int muster_launcher_serve(struct muster_launcher *launcher, struct muster_launcher_event *events,
                          uint32_t capacity);

/* Says that a rank will not come back, or never came: the others get -EOWNERDEAD from calls that
 * need it, and muster_recover leaves it out.
 *
 * rank: 0..<size. Returns: 0, also where it is lost or left already; -EINVAL: no such rank; -EBUSY:
 * a live process holds it. */
int muster_launcher_lose(struct muster_launcher *launcher, uint32_t rank);

/* Says that a rank will be started again: it may be joined again, and muster_recover waits for it.
 *
 * rank: 0..<size. Returns: the new incarnation, from 2; -EINVAL: no such rank; -EBUSY: a live
 * process holds it. */
int muster_launcher_reopen(struct muster_launcher *launcher, uint32_t rank);

/* Sends a signal to the process that holds a rank.
 *
 * rank: 0..<size. signal: 1 to 64. Returns: 0; -ESRCH: none holds it, or it is dead; -EINVAL: no
 * such rank or signal. */
int muster_launcher_kill(struct muster_launcher *launcher, uint32_t rank, int signal);

/* The process that holds a rank, as last seen. Returns: its pid, or 0: none. */
int muster_launcher_process(const struct muster_launcher *launcher, uint32_t rank);

/* What was audited or interrupted, by the loops' names, in the order of their first ends.
 *
 * A team's first 247 names are kept apart. Loops of further names are counted together, under
 * "other loops"; eight of those names are kept apart too, each from the first of its loops on that
 * fails or is interrupted, so that what went wrong has a name.
 *
 * index: from 0. Returns: 1 and the audit; 0: there are no more; -EUCLEAN: what ranks have noted
 * makes no sense. Concurrency: while ranks work, a count may be one loop behind. */
int muster_launcher_audited(const struct muster_launcher *launcher, uint32_t index,
                            struct muster_launcher_audit *audit);

/* The loop that a rank has begun and never ended: not audited, so nobody vouches for its chunks. A
 * loop whose end said -EOWNERDEAD is over, and one whose rank was killed in it; and one that others
 * have audited, with MUSTER_LOOP_ADOPT, after this rank had left in it.
 *
 * rank: 0..<size. name: receives the loop's name. Returns: 1; 0: there is none; -EINVAL: no such
 * rank; -EUCLEAN: what ranks have noted makes no sense. */
int muster_launcher_unended(const struct muster_launcher *launcher, uint32_t rank,
                            char name[MUSTER_NAME_BYTES]);

/* What a process of a rank has noted of the signal that ended it. */
struct muster_launcher_words {
    int32_t pid;
    int32_t signal;       /* that it died of */
    uint32_t stray;       /* enum muster_stray: what check mode has found */
    int32_t status;       /* MUSTER_STRAY_UNCHECKED: negative errno of the system's refusal */
    uint32_t has_address; /* 1: the signal is of an access to `address` */
    uint32_t is_overflow; /* 1: its stack had no room left */
    uint64_t address;
    uint64_t chunk; /* in work; UINT64_MAX: none */
    uint64_t first; /* its indices */
    uint64_t end;
    uint64_t found_bytes; /* changed next to the chunk, if a comparison at the chunk's end found it;
                             0: it was not */
    uint64_t kind;        /* the same for deaths of one signal at one place */
    char loop[MUSTER_NAME_BYTES]; /* that the rank was in; empty: none */
    char deed[256];               /* "wrote element 9 of array "x", right beyond its chunk 0..<9";
                                     empty: it has not to do with an array */
    char place[1024];             /* as muster_fault_place; empty: not known */
    char said[MUSTER_FAULT_LINE_BYTES]; /* what a runtime said last; empty: nothing */
};

/* Reads what the process of a rank that died last has noted of its death.
 *
 * rank: 0..<size. words: receives it; names and lines were written by other processes and may hold
 * any bytes, each ends with a NUL. Returns: 1; 0: it has noted nothing; -EINVAL: no such rank. */
int muster_launcher_last_words(const struct muster_launcher *launcher, uint32_t rank,
                               struct muster_launcher_words *words);

/* A loop as one rank has seen it. */
struct muster_timeline_loop {
    uint64_t number; /* the same in all ranks, and in the loop's events */
    uint64_t elements;
    uint64_t grain;
    uint64_t begin_ns; /* CLOCK_MONOTONIC */
    uint64_t end_ns;   /* 0: the rank has not come to its end */
    uint32_t schedule; /* enum muster_schedule */
    uint32_t whole;    /* 1: each chunk exactly once */
    char name[MUSTER_NAME_BYTES];
};

/* What a rank has recorded. Owned by the launcher. */
struct muster_launcher_timeline {
    const struct muster_event *events; /* in their order */
    uint64_t event_count;
    uint64_t dropped_events; /* for which there was no room */
    const struct muster_timeline_loop *loops;
    uint64_t loop_count;
    uint64_t dropped_loops;
};

/* Reads what a rank has recorded, where options.timeline_events was not 0.
 *
 * rank: 0..<size. Returns: 0; -ENODATA: nothing is recorded; -EINVAL: no such rank; -EUCLEAN: the
 * lists make no sense. What the events and names say was written by other processes, and must be
 * checked. Concurrency: while ranks work, lists grow. */
int muster_launcher_timeline(const struct muster_launcher *launcher, uint32_t rank,
                             struct muster_launcher_timeline *timeline);

/* Closes the socket and unmaps everything: members that are still there are killed by the kernel.
 * NULL is allowed. */
void muster_launcher_destroy(struct muster_launcher *launcher);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif
