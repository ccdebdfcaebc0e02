/* team.h - rank slots, the job slot, dispatch and join.
 *
 * A team's control segment holds the team block, one slot a rank, the job slot and one roll a rank.
 * Each word has one writer at a time, named next to it. Numbers of jobs rise from 1 and stand next
 * to everything that belongs to a job (done, current, claim words, rolls), so that what an earlier
 * job left behind is never taken for this one's.
 *
 * Dispatch. The leader writes the job, then exchanges the epoch (seq_cst), then reads each slot's
 * sleeping flag and wakes the sleepers if there are any. A worker that wants to sleep exchanges its
 * flag (seq_cst), then reads the epoch again. In the one order that all seq_cst operations have,
 * either the leader sees the flag or the worker sees the epoch: no wake-up is lost.
 *
 * Join. A worker stores the job's number in its slot's `done` (seq_cst) and then reads the leader's
 * sleeping flag; a sleeping leader is woken by the worker that finds all others done. The leader
 * waits in epoll on an eventfd and on the workers' pidfds, so a death ends the wait as well: no
 * wait hangs on a dead process.
 *
 * Callers: "leader" functions are for the process that created the team, from one thread;
 * "worker" functions for the process (or, in tests, thread) that runs a rank.
 */
#ifndef MUSTER_CORE_TEAM_H
#define MUSTER_CORE_TEAM_H

#include <muster/base.h>
#include <muster/core/check.h>
#include <muster/core/fault.h>
#include <muster/core/journal.h>
#include <muster/core/limits.h>
#include <muster/core/roll.h>
#include <muster/core/schedule.h>
#include <muster/core/segment.h>
#include <muster/core/topology.h>

#ifdef __cplusplus
extern "C" {
/* A function has a struct's name here, which hides that struct's constructor from g++. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/* What a job asks of a worker. */
enum muster_job_kind {
    MUSTER_JOB_LOOP = 1,   /* run a kernel over chunks */
    MUSTER_JOB_COMMIT = 2, /* populate this rank's share of an array */
    MUSTER_JOB_ATTACH = 3, /* map what the leader has sent */
    MUSTER_JOB_END = 4,    /* leave */
    MUSTER_JOB_MIRROR = 5  /* copy a mirrored array again, and map this rank's copy (mirror.h) */
};

/* Options of a loop's job. */
enum muster_job_flag {
    MUSTER_JOB_KERNEL_IN_IMAGE = 1, /* the words that name the kernel are right in every process */
    MUSTER_JOB_JOURNALED = 2,       /* save what is changed in place */
    MUSTER_JOB_POISONED = 4,        /* overwrite outputs before each chunk */
    MUSTER_JOB_TRACED = 8,          /* keep the slot's phase */
    MUSTER_JOB_KERNEL_IN_PROGRAM = 16, /* those words are places in the program's image */
    MUSTER_JOB_RECORDED = 32,          /* note when each chunk begins and ends (timeline.h) */
    MUSTER_JOB_CHECKED = 64            /* only the claimed chunk can be touched (check.h) */
};

/* A job, as it stands in the control segment. Written by the leader while no worker is in a job. */
struct muster_job {
    /* A line by themselves, since they change with every job: for readers that know nothing more of
     * it. Ranks take both numbers from the team block, in the line that they wait for. */
    uint64_t number; /* from 1 */
    uint64_t loop;   /* of the loop's first job, which rolls and journals carry: set by dispatch */
    uint64_t reserved1[14];

    /* From here on what mostly is as in the job before: dispatch stays cheap where it is only
     * written when it differs, since ranks then have the lines still. */
    uint32_t kind;
    uint32_t schedule;
    uint64_t first_chunk; /* this job deals chunks first_chunk ..< first_chunk + chunk_count */
    uint64_t chunk_count;
    uint64_t elements; /* of the whole loop: chunk c is elements c * grain ..< (c + 1) * grain */
    uint64_t grain;
    uint64_t batch; /* chunks a claim: cyclic, dynamic, least of guided */
    uint64_t
        partials_offset; /* in the space: where chunk c leaves its partial result; 0 with bytes 0 */
    uint32_t partial_bytes; /* distance from one partial to the next */
    uint32_t kernel;        /* number of the kernel in the leader's table */
    uint32_t argument_bytes;
    uint32_t flags;
    uint64_t extent_offset; /* MUSTER_JOB_COMMIT: the array */
    uint64_t extent_bytes;
    uint64_t block_bytes; /* MUSTER_JOB_COMMIT: bytes of a chunk */
    uint64_t unit_bytes;  /* MUSTER_JOB_COMMIT: borders of shares are multiples of it */
    uint64_t list_count; /* MUSTER_SCHEDULE_LISTED: intervals in the team's list; MUSTER_JOB_COMMIT:
                            pieces; MUSTER_JOB_MIRROR: number of the mirror */
    uint64_t timeline_offset; /* MUSTER_JOB_RECORDED: in the space, the first rank's list */
    uint64_t timeline_events; /* MUSTER_JOB_RECORDED: that each list has room for */
    unsigned char arguments[MUSTER_ARGUMENT_BYTES_MAX];
};

/* Where a job's argument bytes are. (Swift does not see arrays of this size as fields.) */
static inline unsigned char *muster_job_arguments(struct muster_job *job)
{
    return job->arguments;
}

/* How a rank's part of a job ended. */
enum muster_outcome {
    MUSTER_OUTCOME_FINE = 0,
    MUSTER_OUTCOME_THREW = 1, /* the kernel threw: outcome_chunk and message say where and what */
    MUSTER_OUTCOME_ERROR = 2, /* a system call failed: outcome_status */
    MUSTER_OUTCOME_KERNEL = 3 /* this process can't find the kernel */
};

/* What a worker is at. Kept in jobs with MUSTER_JOB_TRACED only. */
enum muster_phase {
    MUSTER_PHASE_IDLE = 0, /* has ended the job */
    MUSTER_PHASE_DISPATCH, /* has not begun it */
    MUSTER_PHASE_CLAIM,
    MUSTER_PHASE_KERNEL,
    MUSTER_PHASE_JOURNAL,
    MUSTER_PHASE_COMMIT,
    MUSTER_PHASE_RESTORE,
    MUSTER_PHASES
};

/* A rank's slot. Lines of MUSTER_LINE_BYTES, one writer each. */
struct muster_slot {
    /* Line 1: written by the rank at the borders of a job, read by the leader. */
    uint64_t done;     /* number of the last job that this rank has ended */
    uint32_t sleeping; /* 1: going into, or in, a futex wait on the epoch */
    uint32_t outcome;  /* enum muster_outcome of job `done` */
    int32_t outcome_status;
    uint32_t remarks; /* MUSTER_JOB_COMMIT: enum muster_commit_remark */
    uint64_t outcome_chunk;
    uint64_t outcome_job; /* that the outcome is of, also when the rank did not come to `done` */
    uint64_t misplaced_bytes; /* MUSTER_JOB_COMMIT: of the share, elsewhere than asked */
    uint64_t huge_bytes;      /* MUSTER_JOB_COMMIT: of the share, in huge pages */
    uint64_t tally; /* of outcome_job, a loop: muster_roll_tally, so that the leader, which looks at
                       this line anyway, need not fetch the roll's as well */
    uint64_t reserved2[8];

    /* Line 2: claim word, written by the leader before a job and by owner and thieves within. */
    uint64_t claim; /* muster_schedule_pack, relative to first_chunk */
    uint64_t claim_job;
    /* Written by the leader while the rank has no process: where a successor goes on in job
     * resume_job. The first interval that it notes as current ends that. */
    uint64_t resume; /* packed interval of its predecessor's chunks, to be done first; 0: none */
    uint64_t resume_position; /* muster_schedule_after */
    uint64_t resume_job;
    uint64_t
        mappings; /* sent to the rank's process: it has them all once MUSTER_JOB_ATTACH is done */
    uint64_t reserved3[10];

    /* Line 3: written by the rank, once a claim; read when it is dead, or for progress. */
    uint64_t current; /* interval taken last, packed as a claim word; 0: none in this job yet */
    uint64_t current_job;
    uint32_t phase; /* enum muster_phase */
    uint32_t reserved6;
    uint64_t resumed_ns; /* traced: when a successor took up its predecessor's interval */
    uint64_t redone_ns;  /* traced: when it committed the first chunk of it */
    uint64_t reserved4[11];

    /* Line 4: the holder of the rank. */
    uint64_t holder;      /* pid of the process that holds it; 0: vacant */
    uint32_t incarnation; /* how many processes have held it */
    uint32_t place;       /* number of its home node among the team's: muster_team_settle */
    uint64_t reserved7[14];

    char message[MUSTER_MESSAGE_BYTES]; /* of a kernel that threw; ends with NUL */
};

/* Says how a rank's part of a job has ended: what else belongs to that is in the slot.
 *
 * tally: of the rank's roll; 0: that is to be looked at. */
MUSTER_INLINE void muster_slot_conclude(struct muster_slot *slot, uint32_t outcome, uint64_t tally,
                                        uint64_t job)
{
    slot->outcome = outcome;
    slot->tally = tally;
    __atomic_store_n(&slot->outcome_job, job, __ATOMIC_RELEASE);
}

/* The first part of the control segment, after the segment's header. Offsets are from the start of
 * the segment. All but the last lines is written once, before the first worker starts. */
struct muster_team_block {
    uint32_t size;
    uint32_t leader_works; /* 1: the leader is rank 0 */
    int32_t leader_pid;
    uint32_t spin_ns_worker; /* how long to look before sleeping */
    uint32_t spin_ns_leader;
    uint32_t page_bytes; /* of this host */
    uint64_t slots_offset;
    uint64_t job_offset;
    uint64_t rolls_offset;
    uint64_t roll_bytes;     /* distance from one rank's roll to the next */
    uint64_t chunk_capacity; /* chunks that each roll has room for */
    uint64_t list_offset;    /* intervals of a MUSTER_SCHEDULE_LISTED job */
    uint64_t journals_offset;
    uint64_t journal_bytes;    /* distance from one rank's journal to the next */
    uint64_t distances_offset; /* place_count rows of `size` distances, a byte each */
    uint64_t mirrors_offset;   /* MUSTER_MIRRORS_MAX entries */
    uint32_t place_count;      /* home nodes of all ranks, each counted once; 0: not known */
    uint32_t yields;           /* 1: between looks the CPU is offered to others; 0: it is kept */
    uint64_t faults_offset;    /* a note of its crash for each rank (fault.h) */
    uint64_t rooms_offset;     /* which pieces of the arena are in use */
    uint64_t checks_offset;    /* what a checked loop may touch */
    uint64_t reserved1[15];

    uint64_t epoch; /* number of the newest job; its low half is the futex that workers sleep on */
    /* Written before the epoch; not written by muster_team_dispatch_same. */
    uint64_t shape; /* number of the job that the job slot was last written for, but for arguments:
                       what ranks have found out of it then is good for the newest job too */
    uint64_t loop;  /* number of the loop of job `shape`; a later job is a loop by itself */
    uint64_t reserved2[13];
    uint64_t cancelled;       /* number of the job that should end early; written by anybody */
    uint64_t cancel_requests; /* muster_team_cancel has been called so often */
    uint64_t reserved3[14];
    uint32_t leader_sleeping; /* 1: wake when all are done; 2: wake at each that is done */
    uint32_t reserved4[31];
    uint64_t counter; /* dynamic and guided: chunks dealt so far */
    uint64_t reserved5[15];
};

/* A death that the leader has seen. */
struct muster_death {
    uint32_t rank;
    int32_t pid;
    int32_t signal;            /* that killed it; 0: it left by itself */
    int32_t exit_code;         /* where signal is 0 */
    uint64_t job;              /* it was in; 0: it was idle */
    uint64_t chunk;            /* it was working on; UINT64_MAX: on none */
    uint64_t seen_ns;          /* when it was noted, CLOCK_MONOTONIC */
    uint32_t phase;            /* enum muster_phase, where the job was traced */
    uint32_t has_fault;        /* 1: the process has left a note */
    struct muster_fault fault; /* that note */
};

/* Most intervals that a MUSTER_SCHEDULE_LISTED job can deal; with more holes than that, there are
 * more such jobs. */
#define MUSTER_LIST_MAX 65536u

struct muster_team;

/* How a team should be. */
struct muster_team_options {
    uint32_t size_bytes;   /* sizeof this struct, as the caller was compiled */
    uint32_t size;         /* ranks, 1 ..= MUSTER_RANKS_MAX */
    uint32_t leader_works; /* 1: this process is rank 0 */
    uint32_t usable_cpus;  /* from muster_topology_create: decides about spinning */
    int32_t spin_ns;       /* -1: chosen; otherwise how long a wait looks before it sleeps */
    uint32_t wait;         /* enum muster_wait */
    struct muster_shortage
        *shortage; /* receives what ran short where the call fails; may be NULL */
};

/* -- leader --------------------------------------------------------------------------------- */

/* Makes the shared memory of a team. No process is started.
 *
 * Returns: 0; -EINVAL: size 0 or above MUSTER_RANKS_MAX, or a size_bytes or a wait that this
 * library does not know; -ENOMEM, -EFBIG, -EMFILE: it does not fit into a limit; or an errno.
 * Ownership: muster_team_destroy. */
int muster_team_create(const struct muster_team_options *options, struct muster_team **team);

/* Ends all workers: asks them to leave, kills those that don't within a second or are in a job,
 * reaps all. Memory and arrays stay. A second call does nothing; nor does one in a process that the
 * leader has forked on its own account. */
void muster_team_end(struct muster_team *team);

/* Ends a team: muster_team_end, then unmaps everything. In a forked worker
 * it must not be called. NULL is allowed. */
void muster_team_destroy(struct muster_team *team);

/* Tells the team where its ranks' memory lies, before the first of them is started. A rank that
 * steals then looks at near ranks first, and arrays can be mirrored.
 *
 * homes: the home node of each rank. Without this call, all ranks are as far from each other.
 * Returns: 0; -EBUSY: a rank has a process; -ENOMEM. */
int muster_team_settle(struct muster_team *team, const struct muster_topology *topology,
                       const uint32_t *homes);

/* Distances from a rank to the memory of each rank, SLIT values up to 255; NULL: all alike. */
const unsigned char *muster_team_distances(const struct muster_team *team, uint32_t rank);

/* Starts a worker for a vacant rank by fork; in a team with a fork server (server.h) by that: then
 * no call returns 0, and the caller may have threads.
 *
 * Returns: in the leader the new pid; in the new worker 0: it has its rank, dies with the leader,
 * and must go on with muster_worker_wait and never return to its caller's caller. -EBUSY: the rank
 * is held; -EINVAL: no such rank, or the leader's own; -EAGAIN, -ENOMEM, -EMFILE: no more
 * processes, memory, descriptors. Concurrency: the caller has one thread (muster_process_threads):
 * a fork would copy locks that other threads hold, and the worker dies with the thread that forked
 * it. */
int muster_team_spawn(struct muster_team *team, uint32_t rank);

/* Starts a worker for each vacant rank, as muster_team_spawn does for one, by rising rank.
 *
 * Returns: in the leader 1: every rank is held; in a new worker 0, and its rank; or the errno of
 * the first that could not be started, and its rank. */
int muster_team_spawn_vacant(struct muster_team *team, uint32_t *rank);

/* For tests under a thread sanitizer: declares that a thread of this process will run a rank.
 * Returns: 0, or -EBUSY: held, or no such rank. */
int muster_team_adopt(struct muster_team *team, uint32_t rank);

/* The job slot, to be filled in before muster_team_dispatch. Leader, between jobs. */
struct muster_job *muster_team_job(struct muster_team *team);

/* Where the intervals of a MUSTER_SCHEDULE_LISTED job go: room for MUSTER_LIST_MAX, relative to
 * first_chunk. Leader, between jobs. */
struct muster_interval *muster_team_list(struct muster_team *team);

/* Publishes the job slot's content under a new number. A new loop begins: rolls are emptied.
 * Returns: the number. */
uint64_t muster_team_dispatch(struct muster_team *team);

/* The same for a further job of the loop last dispatched, for what it has left undone: rolls stay,
 * and muster_team_audit counts all of its jobs. Range, grain and kernel must be the same. */
uint64_t muster_team_dispatch_again(struct muster_team *team);

/* Dispatches the loop in the job slot once more, as a new one. Nothing but argument bytes has been
 * written there since it was last dispatched.
 *
 * Returns: the number; 0: somebody has died meanwhile, and nothing was done. */
uint64_t muster_team_dispatch_same(struct muster_team *team);

/* How a join ended. */
enum muster_join { MUSTER_JOIN_TIMEOUT = 0, MUSTER_JOIN_ENDED = 1, MUSTER_JOIN_DEATHS = 2 };

/* Waits until every live rank has ended the job.
 *
 * timeout_ns: -1: for ever. Returns: MUSTER_JOIN_ENDED; MUSTER_JOIN_TIMEOUT; MUSTER_JOIN_DEATHS:
 * there are new ones in muster_team_deaths, and the job goes on; or a negative errno of epoll_wait.
 */
int muster_team_join(struct muster_team *team, int64_t timeout_ns);

/* Lets a vacant rank's next process go on where the last one, which died in the job in progress,
 * has stopped: to be called after its death was noted and before muster_team_spawn.
 *
 * skip: leave out the chunk that it was working on (it is quarantined). */
void muster_team_plan_successor(struct muster_team *team, uint32_t rank, bool skip);

/* Puts back what a rank's dead process was changing in place: for a rank that stays vacant.
 *
 * Returns: 0; -EBUSY: a process holds the rank; -EUCLEAN: its journal or roll makes no sense. */
int muster_team_restore(struct muster_team *team, uint32_t rank);

/* Ends a worker: the next join sees its death. Returns: 0, -EINVAL: the rank has no process of its
 * own, or an errno of pidfd_send_signal. */
int muster_team_kill(struct muster_team *team, uint32_t rank);

/* Notices deaths without waiting. Returns: how many ranks are vacant. */
uint32_t muster_team_poll(struct muster_team *team);

/* Deaths seen since the last muster_team_forget_deaths. Owned by the team. */
const struct muster_death *muster_team_deaths(const struct muster_team *team, uint32_t *count);

/* Empties the list of deaths. */
void muster_team_forget_deaths(struct muster_team *team);

/* Audits the loop last dispatched, all of its jobs: muster_audit over the rolls of all slots. */
int64_t muster_team_audit(struct muster_team *team, struct muster_audit *audit,
                          struct muster_finding *findings, uint64_t findings_capacity);

/* Whether the loop last dispatched, of one job that has ended, went as it should: audited, each
 * chunk exactly once, every rank held and its part ended well, no death, no cancelling. */
bool muster_team_is_clean(struct muster_team *team);

/* muster_team_join and then muster_team_is_clean, in one call. timeout_ns: as muster_team_join has
 * it. Returns: false: not clean, or something has come between: the job may still be going on. */
bool muster_team_finish(struct muster_team *team, int64_t timeout_ns);

/* muster_audit_ranks for the loop last dispatched. */
int64_t muster_team_audit_ranks(struct muster_team *team, struct muster_interval interval,
                                uint32_t *ranks, uint64_t ranks_capacity);

/* Chunks committed so far in the loop last dispatched; a guess, for progress. */
uint64_t muster_team_progress(const struct muster_team *team);

/* The same of one rank. */
uint64_t muster_team_rank_progress(const struct muster_team *team, uint32_t rank);

/* Whether the calling process is the one that created the team, not one that it has forked. */
bool muster_team_leads(const struct muster_team *team);

/* Whether a job has been dispatched and its end not been seen. */
bool muster_team_running(const struct muster_team *team);

/* Room in each rank's journal. */
uint64_t muster_team_journal_bytes(const struct muster_team *team);

/* Asks the job in progress to end early: ranks finish the chunk they are at and claim no more.
 * Async-signal-safe; any process or thread of the team. */
void muster_team_cancel(struct muster_team *team);

/* How often a job has been asked to end early. A caller that notes it before it prepares a job
 * learns of requests that came before the job had a number. */
uint64_t muster_team_cancel_requests(const struct muster_team *team);

/* Whether the job last dispatched has been asked to end early. */
bool muster_team_cancelled(const struct muster_team *team);

/* Most chunks that a loop of this team can have. */
uint64_t muster_team_capacity(const struct muster_team *team);

/* The size of a page, in bytes. */
uint64_t muster_team_page_bytes(const struct muster_team *team);

/* A rank's slot, for reading its outcome. rank: 0..<size. */
struct muster_slot *muster_team_slot(struct muster_team *team, uint32_t rank);

/* The team block in shared memory. */
struct muster_team_block *muster_team_block(struct muster_team *team);

/* What ran short where an array or a file of so many bytes finds no room in the team's space: see
 * muster_shortage_text; no limit where none is to blame. */
void muster_team_shortage(const struct muster_team *team, uint64_t bytes,
                          struct muster_shortage *shortage);

/* The range of addresses of the team's arrays, as this process has it. */
struct muster_space *muster_team_space(struct muster_team *team);

/* A rank's roll. rank: 0..<size. */
struct muster_roll *muster_team_roll(struct muster_team *team, uint32_t rank);

/* A rank's journal. rank: 0..<size. */
struct muster_journal *muster_team_journal(struct muster_team *team, uint32_t rank);

/* Whether a live process holds the rank, as far as the leader knows. */
bool muster_team_holds(const struct muster_team *team, uint32_t rank);

/* The process that has a rank, from its start on; 0: vacant, as far as the leader knows. */
int muster_team_process(const struct muster_team *team, uint32_t rank);

/* Sends a mapping of a file to every worker: each maps it in the next MUSTER_JOB_ATTACH job. fd -1
 * takes it away again. Returns: 0; or the errno of the first
 * worker that it could not be sent to: take the mapping away again. */
int muster_team_send_mapping(struct muster_team *team, struct muster_extent extent, int fd,
                             uint64_t file_offset_bytes, bool writable);

/* -- worker --------------------------------------------------------------------------------- */

/* Takes a vacant rank for a process.
 *
 * Returns: 0, or -EBUSY: a process holds it. */
int muster_rank_hold(struct muster_team_block *block, uint32_t rank, int pid);

/* Gives a rank back. Returns: 0, or -EPERM: this pid does not hold it. */
int muster_rank_release(struct muster_team_block *block, uint32_t rank, int pid);

/* Waits for the next loop and does the other kinds of jobs on the way.
 *
 * seen: number of the last job that this rank has ended, updated. Returns: 1: a loop is in the job
 * slot; 0: leave; the worker then calls muster_worker_exit. */
int muster_worker_wait(struct muster_team *team, uint32_t rank, uint64_t *seen);

/* Says that this rank has ended a job. The outcome must be in the slot. */
void muster_worker_done(struct muster_team *team, uint32_t rank, uint64_t job);

/* Ends a rank. What its kernels have written with stdio is flushed, nothing that it has inherited.
 */
MUSTER_NORETURN void muster_worker_exit(void);

/* Whether an address lies in the program or a library, hence is the same in a forked worker. */
bool muster_address_is_static(const void *address);

/* This process's id. */
int muster_process_id(void);

/* Name of a signal: "SIGKILL" for 9, "signal 40" for one that has no name of its own. Returns: a
 * constant string, "unknown signal" for no signal. */
const char *muster_signal_name(int signal);

/* Threads of this process. Returns: at least 1, or a negative errno of reading /proc/self/task. */
int muster_process_threads(void);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif
