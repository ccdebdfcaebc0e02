/* meeting.c - how ranks wait for one another, and how they begin again after a death.
 *
 * Every collective call is one meeting or several: a rank stores the meeting's number in its own
 * post and waits until it reads that number, or a higher one of the same generation, in the posts
 * of all others. Nothing is counted down and nobody is in charge, so nothing is lost with a rank
 * but its own word. Why no wait is missed: see member.h.
 *
 * A rank's words stay as they are until every survivor has called muster_recover. So a rank that
 * has come has come for all: a rank that looks later, after its death too, sees the same. Survivors
 * that wait only for ranks that can still come agree on which did not.
 *
 * Reading n posts in each of n ranks costs n * n line transfers a meeting, n of them one after the
 * other: the shortest way for the ranks of one host (two on two CPUs: one transfer each way).
 */
#include "member/state.h"

/* How often a sleeper looks whether the launcher is still there, where the kernel could not be
 * asked to kill this process with it. */
#define LOOK_NS 500000000

/* What a wait is for, and how far it is. */
struct wait {
    uint64_t number;        /* of the meeting; or of the change that ranks recover from */
    uint32_t next;          /* this many of the ranks that are looked at need no second look */
    uint32_t gone;          /* of them, those that will never come */
    bool tolerant;          /* a rank that can't come is not waited for */
    const uint32_t *states; /* recovering: of all ranks */
};

/* Returns 1: over; 0: not yet; or a negative errno: it will never be. */
typedef int (*condition)(const struct muster_member *me, struct wait *wait);

uint64_t muster__call(enum muster__call kind, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t hash = muster__hash_word(MUSTER__HASH_START, kind);
    return muster__hash_word(muster__hash_word(muster__hash_word(hash, a), b), c);
}

/* Wakes the ranks that sleep. What they wait for is stored already (seq_cst). */
static void ring_sleepers(struct muster_member *me)
{
    for (uint32_t rank = 0; rank < me->size; rank++) {
        struct muster__post *post = &me->parts.posts[rank];
        if (rank != me->rank && __atomic_load_n(&post->sleeping, __ATOMIC_SEQ_CST) != 0) {
            __atomic_fetch_add(&post->bell, 1, __ATOMIC_SEQ_CST);
            muster__os_futex_wake(&post->bell, 1);
        }
    }
}

static uint64_t breaks_now(const struct muster_member *me)
{
    return __atomic_load_n(&me->parts.block->breaks, __ATOMIC_SEQ_CST);
}

/* One wait: looks for a while, then sleeps. */
MUSTER_INLINE int wait_until(struct muster_member *me, struct wait *wait, condition over)
{
    int status = over(me, wait);
    if (status == 0) {
        struct muster__wait look = muster__wait_begin(&me->backoff, me->spin_ns, me->yields);
        while (status == 0 && muster__wait_again(&look))
            status = over(me, wait);
    }
    while (status == 0) {
        /* The bell, then the flag, then the look, all seq_cst: see member.h. */
        int slept = 0;
        uint32_t bell = __atomic_load_n(&me->post->bell, __ATOMIC_SEQ_CST);
        __atomic_exchange_n(&me->post->sleeping, 1, __ATOMIC_SEQ_CST);
        status = over(me, wait);
        if (status == 0)
            slept = muster__os_futex_wait(&me->post->bell, bell, me->looks ? LOOK_NS : -1);
        __atomic_store_n(&me->post->sleeping, 0, __ATOMIC_SEQ_CST);
        if (status == 0)
            status = over(me, wait);
        if (status == 0 && slept < 0) {
            if (me->looks && muster__os_hung_up(me->socket))
                return -ECONNRESET;
            if (slept != -ETIMEDOUT)
                muster__os_yield(); /* where no sleep can be had, the wait goes on without */
        }
    }
    return status;
}

/* -- meetings ------------------------------------------------------------------------------- */

static bool has_come(const struct muster_member *me, const struct muster__post *post,
                     uint64_t number)
{
    /* The generation first: `arrived` is reset before a new one is stored. */
    return __atomic_load_n(&post->generation, __ATOMIC_SEQ_CST) == me->generation &&
           __atomic_load_n(&post->arrived, __ATOMIC_SEQ_CST) >= number;
}

/* Whether a rank will never come to another meeting of this generation. */
static bool has_gone(const struct muster_member *me, const struct muster__post *post)
{
    return __atomic_load_n(&post->lost, __ATOMIC_SEQ_CST) > me->generation ||
           __atomic_load_n(&post->recovered, __ATOMIC_SEQ_CST) > me->generation;
}

static bool all_here(const struct muster_member *me, struct wait *wait)
{
    for (; wait->next < me->live_count; wait->next++) {
        const struct muster__post *post = &me->parts.posts[me->live[wait->next]];
        if (wait->next == me->live_index || has_come(me, post, wait->number))
            continue;
        if (!wait->tolerant || !has_gone(me, post))
            return false;
        /* Once more: it may have come before it went, and then others have seen it. */
        wait->gone += !has_come(me, post, wait->number);
    }
    return true;
}

static int meeting_over(const struct muster_member *me, struct wait *wait)
{
    if (all_here(me, wait))
        return 1;
    if (wait->tolerant || breaks_now(me) == me->generation)
        return 0;
    /* A rank that died may have come first; and if all have come, others may have gone on already.
     */
    return all_here(me, wait) ? 1 : -EOWNERDEAD;
}

/* Whether all ranks that came have called the same. */
static bool all_agree(const struct muster_member *me, uint64_t number, uint64_t call)
{
    bool agree = true;
    for (uint32_t place = 0; place < me->live_count; place++) {
        const struct muster__post *post = &me->parts.posts[me->live[place]];
        if (__atomic_load_n(&post->call[number & 1], __ATOMIC_RELAXED) != call)
            agree &= !has_come(me, post, number); /* gone without having come */
    }
    return agree;
}

static int meet(struct muster_member *me, uint64_t call, struct wait *wait)
{
    struct muster__post *post = me->post;
    wait->number = ++me->sequence;
    __atomic_store_n(&post->call[wait->number & 1], call, __ATOMIC_RELAXED);
    MUSTER__POINT(MUSTER_POINT_ARRIVING);
    /* seq_cst: of the ranks that come last at least one sees all others here, and wakes those that
     * set their flag before it came. It also publishes, as release, all that this rank did. */
    __atomic_exchange_n(&post->arrived, wait->number, __ATOMIC_SEQ_CST);
    MUSTER__POINT(MUSTER_POINT_ARRIVED);
    int status = meeting_over(me, wait);
    if (status == 1)
        ring_sleepers(me);
    else if (status == 0)
        status = wait_until(me, wait, meeting_over);
    if (status < 0)
        return status;
    MUSTER__POINT(MUSTER_POINT_MET);
    return all_agree(me, wait->number, call) ? 0 : -EINVAL;
}

int muster__meet(struct muster_member *me, uint64_t call)
{
    int ready = muster__ready(me);
    if (ready < 0)
        return ready;
    struct wait wait = {.tolerant = false};
    return meet(me, call, &wait);
}

int muster__meet_survivors(struct muster_member *me, uint64_t call, uint32_t *gone)
{
    struct wait wait = {.tolerant = true};
    int status = meet(me, call, &wait);
    *gone = wait.gone;
    return status;
}

int muster__meet_refusing(struct muster_member *me, int status)
{
    int met = muster__meet(me, muster__call(MUSTER__CALL_REFUSED, 0, 0, 0));
    return met == 0 || met == -EINVAL ? status : met;
}

int muster_member_barrier(struct muster_member *me)
{
    return muster__meet(me, MUSTER__CALL_BARRIER);
}

/* -- recovering ----------------------------------------------------------------------------- */

static int change_over(const struct muster_member *me, struct wait *wait)
{
    return breaks_now(me) != wait->number;
}

static bool takes_part(uint32_t state)
{
    return state == MUSTER__OPEN || state == MUSTER__HELD;
}

static int recovery_over(const struct muster_member *me, struct wait *wait)
{
    if (breaks_now(me) != wait->number)
        return -EAGAIN;
    for (; wait->next < me->size; wait->next++)
        if (takes_part(wait->states[wait->next]) &&
            __atomic_load_n(&me->parts.posts[wait->next].recovered, __ATOMIC_SEQ_CST) <
                wait->number)
            return 0;
    return 1;
}

/* The states of all ranks at one value of `breaks`. Returns: 1: complete; 0: something is still to
 * be decided, or changes; -EUCLEAN. */
static int read_states(const struct muster_member *me, uint64_t breaks, uint32_t *states)
{
    bool decided = breaks % 2 == 0;
    for (uint32_t rank = 0; rank < me->size; rank++) {
        states[rank] = __atomic_load_n(&me->parts.posts[rank].state, __ATOMIC_SEQ_CST);
        if (states[rank] > MUSTER__LEFT)
            return -EUCLEAN;
        decided &= states[rank] != MUSTER__GONE;
    }
    if (states[me->rank] != MUSTER__HELD)
        return -EUCLEAN;
    return decided && breaks_now(me) == breaks;
}

void muster__count_live(struct muster_member *me, const uint32_t *states)
{
    me->live_count = 0;
    for (uint32_t rank = 0; rank < me->size; rank++) {
        if (states && !takes_part(states[rank]))
            continue;
        if (rank == me->rank)
            me->live_index = me->live_count;
        me->live[me->live_count++] = rank;
    }
}

int muster_recover(struct muster_member *me)
{
    if (muster__is_copy(me))
        return -EPERM;
    for (;;) {
        uint64_t breaks = breaks_now(me);
        if (breaks == me->generation)
            return 0;
        struct wait wait = {.number = breaks, .states = me->states};
        int status = read_states(me, breaks, me->states);
        if (status < 0)
            return status;
        if (status == 0) {
            status = wait_until(me, &wait, change_over);
            if (status < 0)
                return status;
            continue;
        }
        /* Survivors in a loop that adopts take it for a sign that this rank won't come any more. */
        __atomic_exchange_n(&me->post->recovered, breaks, __ATOMIC_SEQ_CST);
        MUSTER__POINT(MUSTER_POINT_RECOVERING);
        ring_sleepers(me);
        status = wait_until(me, &wait, recovery_over);
        if (status == -EAGAIN)
            continue;
        if (status < 0)
            return status;
        if (me->loop_open) {
            muster__timeline_over(me, false);
            muster__note_interruption(me);
            muster__note_over(me);
        }
        muster__count_live(me, me->states);
        me->generation = breaks;
        me->sequence = 0;
        muster__close_loop(me);
        /* Everybody has come here, so nobody looks at the old words any more. */
        __atomic_store_n(&me->post->arrived, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&me->post->generation, breaks, __ATOMIC_SEQ_CST);
        MUSTER__POINT(MUSTER_POINT_RECOVERED);
        return 0;
    }
}

int muster_member_alive(const struct muster_member *me, uint32_t rank)
{
    for (uint32_t place = 0; place < me->live_count; place++)
        if (me->live[place] == rank)
            return 1;
    return 0;
}
