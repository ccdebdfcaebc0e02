/* layout.c - where the parts of a team's control memory are, for every process that maps it; who
 * holds a rank; and a request to cancel, which any process and any signal handler may make. */
#include "team/state.h"

_Static_assert(sizeof(struct muster_slot) == 4 * MUSTER_LINE_BYTES + MUSTER_MESSAGE_BYTES,
               "a slot is four lines and a message");
_Static_assert(offsetof(struct muster_slot, claim) == MUSTER_LINE_BYTES, "claim: line 2");
_Static_assert(offsetof(struct muster_slot, current) == 2 * MUSTER_LINE_BYTES, "current: line 3");
_Static_assert(offsetof(struct muster_slot, holder) == 3 * MUSTER_LINE_BYTES, "holder: line 4");
_Static_assert(offsetof(struct muster_team_block, epoch) % MUSTER_LINE_BYTES == 0, "epoch");
_Static_assert(offsetof(struct muster_team_block, cancelled) % MUSTER_LINE_BYTES == 0, "cancelled");
_Static_assert(offsetof(struct muster_team_block, counter) % MUSTER_LINE_BYTES == 0, "counter");
_Static_assert(offsetof(struct muster_job, arguments) % 16 == 0, "arguments are aligned to 16");

void muster__find_parts(struct muster_team *team, const struct muster_team_block *plan)
{
    unsigned char *base = team->control.address;
    team->block = (struct muster_team_block *)(base + MUSTER__BLOCK_OFFSET);
    team->plan = *plan;
    team->slots = (struct muster_slot *)(base + plan->slots_offset);
    team->job = (struct muster_job *)(base + plan->job_offset);
    team->list = (struct muster_interval *)(base + plan->list_offset);
    team->faults = (struct muster_fault *)(base + plan->faults_offset);
    team->rooms = (struct muster_rooms *)(base + plan->rooms_offset);
    for (uint32_t rank = 0; rank < plan->size; rank++)
        team->rolls[rank] =
            (struct muster_roll *)(base + plan->rolls_offset + rank * plan->roll_bytes);
}

/* -- ranks ---------------------------------------------------------------------------------- */

static struct muster_slot *slot_of(struct muster_team_block *block, uint32_t rank)
{
    return (struct muster_slot *)((unsigned char *)block - MUSTER__BLOCK_OFFSET +
                                  block->slots_offset) +
           rank;
}

int muster_rank_hold(struct muster_team_block *block, uint32_t rank, int pid)
{
    struct muster_slot *slot = slot_of(block, rank);
    uint64_t vacant = 0;
    /* Acquire: what the last holder's undertaker stored in the slot is seen by the new one. */
    if (!__atomic_compare_exchange_n(&slot->holder, &vacant, (uint64_t)pid, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return -EBUSY;
    __atomic_store_n(&slot->incarnation, slot->incarnation + 1, __ATOMIC_RELEASE);
    return 0;
}

int muster_rank_release(struct muster_team_block *block, uint32_t rank, int pid)
{
    uint64_t holder = (uint64_t)pid;
    return __atomic_compare_exchange_n(&slot_of(block, rank)->holder, &holder, 0, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)
               ? 0
               : -EPERM;
}

bool muster_team_holds(const struct muster_team *team, uint32_t rank)
{
    return rank < team->plan.size && team->ranks[rank].held;
}

int muster_team_process(const struct muster_team *team, uint32_t rank)
{
    if (rank >= team->plan.size || !team->ranks[rank].held)
        return 0;
    return team->ranks[rank].pid ? team->ranks[rank].pid : team->plan.leader_pid;
}

/* -- cancelling ----------------------------------------------------------------------------- */

void muster_team_cancel(struct muster_team *team)
{
    __atomic_fetch_add(&team->block->cancel_requests, 1, __ATOMIC_ACQ_REL);
    /* Only ever raised: a canceller that is late must not take back a newer request. */
    uint64_t number = __atomic_load_n(&team->block->epoch, __ATOMIC_ACQUIRE);
    uint64_t before = __atomic_load_n(&team->block->cancelled, __ATOMIC_RELAXED);
    while (before < number &&
           !__atomic_compare_exchange_n(&team->block->cancelled, &before, number, true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

uint64_t muster_team_cancel_requests(const struct muster_team *team)
{
    return __atomic_load_n(&team->block->cancel_requests, __ATOMIC_ACQUIRE);
}

bool muster_team_cancelled(const struct muster_team *team)
{
    return __atomic_load_n(&team->block->cancelled, __ATOMIC_ACQUIRE) == team->job_number;
}

/* -- the parts ------------------------------------------------------------------------------ */

bool muster_team_leads(const struct muster_team *team)
{
    return muster__os_marked_pid() == team->plan.leader_pid;
}

bool muster_team_running(const struct muster_team *team)
{
    return team->running;
}

struct muster_job *muster_team_job(struct muster_team *team)
{
    return team->job;
}

struct muster_slot *muster_team_slot(struct muster_team *team, uint32_t rank)
{
    return &team->slots[rank];
}

struct muster_team_block *muster_team_block(struct muster_team *team)
{
    return team->block;
}

struct muster_roll *muster_team_roll(struct muster_team *team, uint32_t rank)
{
    return team->rolls[rank];
}

struct muster_journal *muster_team_journal(struct muster_team *team, uint32_t rank)
{
    return (struct muster_journal *)(team->control.address + team->plan.journals_offset +
                                     rank * team->plan.journal_bytes);
}

uint64_t muster_team_journal_bytes(const struct muster_team *team)
{
    return team->plan.journal_bytes;
}

struct muster_check_table *muster_team_check_table(struct muster_team *team)
{
    return (struct muster_check_table *)(team->control.address + team->plan.checks_offset);
}

struct muster_interval *muster_team_list(struct muster_team *team)
{
    return team->list;
}

struct muster_space *muster_team_space(struct muster_team *team)
{
    return &team->space;
}

uint64_t muster_team_capacity(const struct muster_team *team)
{
    return team->plan.chunk_capacity;
}

uint64_t muster_team_page_bytes(const struct muster_team *team)
{
    return team->plan.page_bytes;
}
