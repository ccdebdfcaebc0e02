/* worker.c - the rank's side: beginning, waiting for jobs, and the jobs that need no kernel.
 *
 * Invariant: a worker touches the job slot only between seeing a new epoch and storing `done`.
 */
#define _GNU_SOURCE
#include <link.h>
#include <muster/core/mirror.h>
#include <muster/core/populate.h>
#include <muster/testing.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "memory/arena.h"
#include "os/fault.h"
#include "os/output.h"
#include "team/state.h"

void muster__before_worker(struct muster_team *team, uint32_t rank)
{
    if (!team->has_rehearsed) {
        muster__os_rehearse_worker();
        (void)muster_address_is_static(team);
        muster__os_prepare_unwinding();
        team->has_rehearsed = true;
    }
    snprintf(team->worker_name, sizeof team->worker_name, "muster-%u", rank);
    /* A rank that the leader forks has what the leader has at the fork: read by the rank itself,
     * the table could be further on than its mappings. */
    if (team->known_version != team->rooms->version && muster__os_pid() == team->plan.leader_pid) {
        memcpy(team->known, team->rooms->rooms, team->rooms->count * sizeof *team->known);
        team->known_version = team->rooms->version;
    }
}

/* The life of a new worker up to its first wait. Does not return on failure: the leader sees an
 * exit like any death. */
void muster__begin_worker(struct muster_team *team, uint32_t rank, int socket, int parent)
{
    muster_testing_set_rank(rank); /* first: so that a point can be armed for this rank only */
    MUSTER__POINT(MUSTER_POINT_FORKED);
    /* The parent may have died before the signal was asked for: then it is another now. */
    if (muster__os_die_with_parent() < 0 || muster__os_parent() != parent)
        muster__os_exit(127);
    muster__os_worker_signals(team->other_signals);
    muster__os_name_thread(team->worker_name);
    muster__os_output_begin();
    team->worker_socket = socket;
    team->mappings = 0;
    /* Order: before the rank is held, so before any kernel can run here.
     * Why: a kernel may fork and both processes may come back from it. The copy has this rank's
     * cursor and would claim and commit as the rank does, in the same roll.
     * Breaks otherwise: chunks worked on twice, in an audit that finds each exactly once. */
    muster__os_keep_from_children(team->control.address, team->control.size_bytes);
    muster__os_keep_from_children(team->space.address, team->space.size_bytes);
    team->space.is_ranks = 1;
    if (muster_rank_hold(team->block, rank, muster__os_pid()) < 0)
        muster__os_exit(126);
    /* After the leader's handlers have been taken away. Without it only the note is missing. */
    (void)muster_fault_watch(&team->faults[rank], team->space.address, team->space.size_bytes);
    muster_fault_listen();
    /* Before any job: the arrays that this rank has a copy of. */
    if (muster__enter_mirrors(team, rank) < 0)
        muster__os_exit(125);
    MUSTER__POINT(MUSTER_POINT_RANK_HELD);
}

static uint64_t wait_for_epoch(struct muster_team *team, uint32_t rank, uint64_t seen)
{
    struct muster_team_block *block = team->block;
    struct muster_slot *slot = &team->slots[rank];
    uint64_t epoch;
    struct muster__wait look =
        muster__wait_begin(&team->backoff, team->plan.spin_ns_worker, team->plan.yields);
    do {
        epoch = __atomic_load_n(&block->epoch, __ATOMIC_ACQUIRE);
    } while (epoch == seen && muster__wait_again(&look));
    while (epoch == seen) {
        /* The flag, then the epoch again, both seq_cst: see team.h, "Dispatch". */
        __atomic_exchange_n(&slot->sleeping, 1, __ATOMIC_SEQ_CST);
        epoch = __atomic_load_n(&block->epoch, __ATOMIC_SEQ_CST);
        if (epoch == seen)
            (void)muster__os_futex_wait(muster__epoch_futex(block), (uint32_t)seen, -1);
        __atomic_store_n(&slot->sleeping, 0, __ATOMIC_SEQ_CST);
        epoch = __atomic_load_n(&block->epoch, __ATOMIC_ACQUIRE);
    }
    return epoch;
}

/* Maps what was sent to this process. Order: all that the slot says was sent, and no look for more.
 * Why: an empty socket says nothing where a call fails. Breaks otherwise: the rank goes on without
 * an array; its addresses can't be touched, but a checked loop would open them, and they hold
 * zeros. */
static int attach_mappings(struct muster_team *team, uint32_t rank)
{
    while (team->mappings < team->slots[rank].mappings) {
        struct muster__mapping mapping = {.number = 0};
        int fd = -1;
        int length =
            muster__os_receive_descriptor(team->worker_socket, &fd, &mapping, sizeof mapping);
        if (mapping.number > team->mappings) /* also where its descriptor was lost (-EMFILE) */
            team->mappings = mapping.number;
        if (length < 0)
            return length;
        int status = length == sizeof mapping && fd >= 0 ? 0 : -EUCLEAN;
        if (status == 0)
            status = muster_space_map(&team->space, mapping.extent, mapping.mapped ? fd : -1,
                                      mapping.file_offset_bytes, mapping.writable);
        if (fd >= 0)
            muster__os_close(fd);
        if (status < 0)
            return status;
    }
    return 0;
}

int muster__follow_arrays(struct muster_team *team)
{
    uint64_t version = __atomic_load_n(&team->rooms->version, __ATOMIC_ACQUIRE);
    if (version == team->known_version || muster__os_pid() == team->plan.leader_pid)
        return 0;
    int status = muster__space_follow(&team->space, team->rooms, team->known);
    if (status == 0)
        team->known_version = version;
    return status;
}

int muster_worker_wait(struct muster_team *team, uint32_t rank, uint64_t *seen)
{
    struct muster_slot *slot = &team->slots[rank];
    for (;;) {
        *seen = wait_for_epoch(team, rank, *seen);
        /* An audit may have read it, and this rank will write there: the line is on its way
         * meanwhile. */
        __builtin_prefetch(team->rolls[rank], 1);
        MUSTER__POINT(MUSTER_POINT_JOB_SEEN);
        int status = 0;
        if (team->job->kind == MUSTER_JOB_COMMIT || team->job->kind == MUSTER_JOB_MIRROR) {
            /* So that a death while memory is committed can be told from one before it. */
            __atomic_store_n(&slot->current, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&slot->current_job, *seen, __ATOMIC_RELEASE);
            status = muster__follow_arrays(team);
        }
        switch (team->job->kind) {
        case MUSTER_JOB_LOOP:
            return 1;
        case MUSTER_JOB_END:
            return 0;
        case MUSTER_JOB_COMMIT:
            status = status < 0 ? status : muster_worker_commit(team, rank);
            break;
        case MUSTER_JOB_ATTACH:
            status = team->worker_socket < 0 ? 0 : attach_mappings(team, rank);
            break;
        case MUSTER_JOB_MIRROR:
            status = status < 0 ? status : muster_worker_mirror(team, rank);
            break;
        default:
            status = -EUCLEAN;
        }
        slot->outcome = status < 0 ? MUSTER_OUTCOME_ERROR : MUSTER_OUTCOME_FINE;
        slot->outcome_status = status;
        muster_worker_done(team, rank, *seen);
    }
}

/* Whether every rank that somebody holds has ended the job: read only while the leader sleeps. */
static bool everybody_done(struct muster_team *team, uint64_t job)
{
    for (uint32_t rank = 0; rank < team->plan.size; rank++)
        if (__atomic_load_n(&team->slots[rank].done, __ATOMIC_SEQ_CST) != job &&
            __atomic_load_n(&team->slots[rank].holder, __ATOMIC_RELAXED) != 0)
            return false;
    return true;
}

void muster_worker_done(struct muster_team *team, uint32_t rank, uint64_t job)
{
    /* Before the leader is told: when the loop returns, what kernels have written is out. */
    muster__os_output_job_end();
    /* seq_cst, and only then the flag: of the ranks that end last, at least one sees all others
     * done, and the leader that set its flag before is woken; one that sets it after looks at the
     * slots again before it sleeps. It also publishes, as release, everything this rank did. */
    __atomic_store_n(&team->slots[rank].done, job, __ATOMIC_SEQ_CST);
    uint32_t sleeping = __atomic_load_n(&team->block->leader_sleeping, __ATOMIC_SEQ_CST);
    if (sleeping == 2 || (sleeping == 1 && everybody_done(team, job)))
        muster__os_eventfd_signal(team->eventfd);
}

MUSTER_NORETURN void muster_worker_exit(void)
{
    muster__os_output_end();
    muster__os_exit(0);
}

/* Looks whether an address lies in what is loaded of an object. */
static int visit_object(struct dl_phdr_info *object, size_t size_bytes, void *address)
{
    (void)size_bytes;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD &&
            (uintptr_t)address - (object->dlpi_addr + part->p_vaddr) < part->p_memsz)
            return 1;
    }
    return 0;
}

/* Not dladdr, which goes through all symbols of an object for a name: each new rank asks this
 * before its first loop, with none of those pages mapped. */
bool muster_address_is_static(const void *address)
{
    return dl_iterate_phdr(visit_object, (void *)(uintptr_t)address) != 0;
}

int muster_process_id(void)
{
    return muster__os_pid();
}

/* Length: one line a signal. */
const char *muster_signal_name(int signal)
{
#define NAMED(signal) [signal] = #signal
#define NUMBERED(n)   [n] = "signal " #n
    static const char *const names[] = {
        NAMED(SIGHUP),
        NAMED(SIGINT),
        NAMED(SIGQUIT),
        NAMED(SIGILL),
        NAMED(SIGTRAP),
        NAMED(SIGABRT),
        NAMED(SIGBUS),
        NAMED(SIGFPE),
        NAMED(SIGKILL),
        NAMED(SIGUSR1),
        NAMED(SIGSEGV),
        NAMED(SIGUSR2),
        NAMED(SIGPIPE),
        NAMED(SIGALRM),
        NAMED(SIGTERM),
        NAMED(SIGCHLD),
        NAMED(SIGCONT),
        NAMED(SIGSTOP),
        NAMED(SIGTSTP),
        NAMED(SIGTTIN),
        NAMED(SIGTTOU),
        NAMED(SIGURG),
        NAMED(SIGXCPU),
        NAMED(SIGXFSZ),
        NAMED(SIGVTALRM),
        NAMED(SIGPROF),
        NAMED(SIGWINCH),
        NAMED(SIGIO),
        NAMED(SIGPWR),
        NAMED(SIGSYS),
#ifdef SIGSTKFLT
        NAMED(SIGSTKFLT),
#endif
        /* From SIGRTMIN on they are programs' own; the two before are the C library's. */
        NUMBERED(32),
        NUMBERED(33),
        NUMBERED(34),
        NUMBERED(35),
        NUMBERED(36),
        NUMBERED(37),
        NUMBERED(38),
        NUMBERED(39),
        NUMBERED(40),
        NUMBERED(41),
        NUMBERED(42),
        NUMBERED(43),
        NUMBERED(44),
        NUMBERED(45),
        NUMBERED(46),
        NUMBERED(47),
        NUMBERED(48),
        NUMBERED(49),
        NUMBERED(50),
        NUMBERED(51),
        NUMBERED(52),
        NUMBERED(53),
        NUMBERED(54),
        NUMBERED(55),
        NUMBERED(56),
        NUMBERED(57),
        NUMBERED(58),
        NUMBERED(59),
        NUMBERED(60),
        NUMBERED(61),
        NUMBERED(62),
        NUMBERED(63),
        NUMBERED(64),
    };
#undef NAMED
#undef NUMBERED
    bool has_name = signal > 0 && signal < (int)(sizeof names / sizeof *names) && names[signal];
    return has_name ? names[signal] : "unknown signal";
}

int muster_process_threads(void)
{
    return muster__os_thread_count();
}
