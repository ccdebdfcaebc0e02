/* join.c - joining a team and leaving it.
 *
 * A process that is killed anywhere in here holds nothing that others wait for, but its rank: the
 * launcher has a pidfd of it before it answers, and a rank without an answer was never held.
 */
#define _GNU_SOURCE
#include <muster/environment.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "member/state.h"
#include "os/inherited.h"

/* How often a joining member looks whether the launcher's answer is over: it mostly is. */
#define ANSWER_LOOK_NS 200000

/* What MUSTER_TEAM begins with: the sign that people write abstract names with. */
#define ADDRESS_SIGN '@'

/* What this process was told about its place. */
struct place {
    const char *address; /* without the sign; NULL: alone */
    uint32_t rank;
};

/* Whether several processes like this one were started by a program that knows no rank of ours. */
static int ask_environment(void)
{
    struct muster_environment found;
    int status = muster_environment_read(NULL, &found);
    if (status == -ENODATA)
        return -ENOTCONN; /* a rank of somebody's, of how many is not known */
    if (status < 0)
        return status == -ENOTUNIQ ? status : -EINVAL;
    return found.rank.name && found.host_size > 1 ? -ENOTCONN : 0;
}

/* The team's size where somebody has dropped MUSTER_TEAM on the way here, as sudo does: alone, each
 * of its ranks would do all the work. Returns: 0: it has not been. */
static uint32_t lost_team(void)
{
    const char *team = muster__os_variable(MUSTER_VARIABLE_TEAM);
    const char *text = muster__os_variable(MUSTER_VARIABLE_SIZE);
    uint32_t size;
    if ((team && *team) || !text || !muster__text_number(text, UINT32_MAX, &size) || size < 2)
        return 0;
    return size;
}

static int find_place(const struct muster_join_options *options, struct place *place)
{
    *place = (struct place){.address = options->address, .rank = options->rank};
    if (!place->address) {
        /* Alone, each rank would do all the work: refused, and not taken for a team of one. */
        if (muster__os_is_raised() &&
            (getenv(MUSTER_VARIABLE_TEAM) || getenv(MUSTER_VARIABLE_SIZE)))
            return -EACCES;
        place->address = muster__os_variable(MUSTER_VARIABLE_TEAM);
        if (!place->address || !*place->address) {
            place->address = NULL;
            return lost_team() > 0 ? -ENOTCONN : ask_environment();
        }
        const char *rank = muster__os_variable(MUSTER_VARIABLE_RANK);
        if (!rank || !muster__text_number(rank, UINT32_MAX, &place->rank))
            return -EINVAL;
    }
    size_t length = strlen(place->address);
    if (place->address[0] != ADDRESS_SIGN || length < 2 || length > MUSTER_NAME_BYTES)
        return -EINVAL;
    place->address++;
    return 0;
}

/* What the last join of this thread that was refused ran short of, for muster_join_advice. */
static _Thread_local struct muster_shortage refused;

/* Takes the memory behind fd for this member's team. */
static int take_team(struct muster_member *me, int fd, uint32_t rank,
                     const struct muster__answer *answer)
{
    int status = muster__member_attach(fd, &me->control, &me->plan, &me->parts);
    if (status == -ENOMEM) {
        uint64_t size_bytes = 0;
        uint32_t mode_bits = 0;
        (void)muster__os_stat(fd, &size_bytes, &mode_bits);
        muster_limits_blame(status, size_bytes, false, &refused);
    }
    if (status < 0)
        return status;
    me->size = me->plan.size;
    me->rank = rank;
    /* A child that this process forks is no member: team/worker.c says why. */
    muster__os_keep_from_children(me->control.address, me->control.size_bytes);
    if (rank >= me->size)
        return -EUCLEAN;
    me->post = &me->parts.posts[rank];
    me->live = calloc(me->size, sizeof *me->live);
    me->states = calloc(me->size, sizeof *me->states);
    me->rolls = calloc(me->size, sizeof *me->rolls);
    if (!me->live || !me->states || !me->rolls)
        return -ENOMEM;
    for (uint32_t i = 0; i < me->size; i++)
        me->rolls[i] = (const struct muster_roll *)(me->parts.rolls + i * me->plan.roll_bytes);
    /* The launcher has refused all other callers. This refuses a second process all the same,
     * should anything hand out the memory to two. */
    uint64_t nobody = 0;
    if (!__atomic_compare_exchange_n(&me->post->holder, &nobody, (uint64_t)muster__os_pid(), false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return -EBUSY;
    muster__note_over(me); /* what an earlier process of this rank was in */
    struct muster__member_block *block = me->parts.block;
    me->generation = answer->must_recover ? UINT64_MAX : 0;
    muster__count_live(me, NULL);
    me->description = (struct muster_member_description){
        .size_bytes = sizeof me->description,
        .rank = rank,
        .size = me->size,
        .global_rank = block->global_first + rank,
        .global_size = block->global_size,
        .node = me->post->node,
        .cpu = me->post->cpu,
        .incarnation = answer->incarnation,
    };
    return 0;
}

/* Gives the rank back. */
static int say_leave(const struct muster_member *me, uint32_t rank)
{
    struct muster__hello hello = {.magic = MUSTER__HELLO_MAGIC,
                                  .layout_version = MUSTER_LAYOUT_VERSION,
                                  .request = MUSTER__LEAVE,
                                  .rank = rank};
    muster__os_outlive_peer(me->socket); /* its answer to this is to close the socket */
    int status = muster__os_send_descriptor(me->socket, -1, &hello, sizeof hello);
    return status == -EPIPE || status == -ENOTCONN ? -ECONNRESET : status;
}

/* Waits until the launcher is done with its answer. The kernel queues a message first and then
 * tells the receiving end that there is input: where the launcher loses its CPU between the two,
 * the answer is here before that, which would be a signal to die once the socket carries one. */
static int let_answer_end(const struct muster_member *me)
{
    uint32_t answered;
    while ((answered = __atomic_load_n(&me->post->answered, __ATOMIC_ACQUIRE)) !=
           me->description.incarnation) {
        if (muster__os_hung_up(me->socket))
            return -ECONNRESET;
        MUSTER__POINT(MUSTER_POINT_AWAITING);
        (void)muster__os_futex_wait(&me->post->answered, answered, ANSWER_LOOK_NS);
    }
    return 0;
}

static int join_launcher(struct muster_member *me, const struct place *place)
{
    snprintf(me->address, sizeof me->address, "%s", place->address);
    me->socket = muster__os_socket(true);
    if (me->socket < 0)
        return me->socket;
    struct muster__hello hello = {.magic = MUSTER__HELLO_MAGIC,
                                  .layout_version = MUSTER_LAYOUT_VERSION,
                                  .request = MUSTER__JOIN,
                                  .rank = place->rank};
    struct muster__answer answer;
    int fd = -1, launcher = 0;
    uint32_t user = 0;
    int status = muster__os_connect(me->socket, me->address);
    if (status == 0)
        status = muster__os_peer(me->socket, &launcher, &user);
    /* Anybody can listen at an abstract name. */
    if (status == 0 && user != muster__os_user() && user != 0)
        status = -EPERM;
    if (status < 0)
        return status;
    status = muster__ask(me->socket, &hello, &answer, &fd);
    /* Root's launcher hangs up on callers of other users. */
    if (status == -ECONNRESET && user != muster__os_user())
        status = -EPERM;
    MUSTER__POINT(MUSTER_POINT_CONNECTED);
    if (status == 0) {
        status = take_team(me, fd, place->rank, &answer);
        muster__os_close(fd);
    }
    if (status == 0)
        status = let_answer_end(me);
    if (status < 0) {
        /* The launcher may hold the rank for us already, as long as this process lives. */
        (void)say_leave(me, place->rank);
        return status;
    }
    /* Without it a launcher's death is noticed when this rank waits next. */
    me->looks = muster__os_die_with_peer(me->socket) < 0;
    return muster__os_hung_up(me->socket) ? -ECONNRESET : 0;
}

/* A team of one, on the same code as any other. */
static int join_nobody(struct muster_member *me)
{
    struct muster_launcher_options options = {.size_bytes = sizeof options,
                                              .size = 1,
                                              .spin_ns = 0,
                                              .global_size = 1,
                                              .shortage = &refused};
    struct muster_segment made = {.fd = -1};
    struct muster__member_plan plan;
    struct muster__member_parts parts;
    int status = muster__member_segment(&options, &made, &plan, &parts);
    if (status < 0)
        return status;
    parts.posts[0].state = MUSTER__HELD;
    struct muster__answer answer = {.incarnation = 1};
    status = take_team(me, made.fd, 0, &answer);
    muster_segment_destroy(&made);
    me->description.alone = 1;
    return status;
}

static void forget(struct muster_member *me)
{
    muster__member_check_destroy(me);
    muster__member_unlisten(me);
    muster__member_unwatch(me);
    muster__forget_arrays(me);
    if (me->socket >= 0)
        muster__os_close(me->socket);
    muster_segment_destroy(&me->control);
    free(me->live);
    free(me->states);
    free(me->rolls);
    free(me->holes);
    free(me);
    muster__crash_handlers_back();
}

int muster_join_with(const struct muster_join_options *options, struct muster_member **me)
{
    struct muster_join_options defaults = {.size_bytes = sizeof defaults};
    if (!options)
        options = &defaults;
    if (options->size_bytes != sizeof *options || options->spin_ns < -1)
        return -EINVAL;
    struct place place;
    int status = find_place(options, &place);
    if (status < 0)
        return status;
    struct muster_member *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    muster__end_on_crash();
    muster__os_mark_process();
    refused = (struct muster_shortage){.limit = MUSTER_LIMIT_NONE};
    made->pid = muster__os_pid();
    made->socket = made->control.fd = -1;
    status = place.address ? join_launcher(made, &place) : join_nobody(made);
    if (status < 0) {
        forget(made);
        return status;
    }
    made->spin_ns = options->spin_ns == 0  ? made->parts.block->spin_ns
                    : options->spin_ns < 0 ? 0
                                           : (uint32_t)options->spin_ns;
    made->yields = options->spin_ns == 0 && made->parts.block->yields != 0;
    muster_testing_set_rank(made->rank);
    if (made->socket >= 0)
        muster__member_watch(made); /* alone there is nobody to read it */
    MUSTER__POINT(MUSTER_POINT_JOINED);
    *me = made;
    return 0;
}

int muster_join(struct muster_member **me)
{
    return muster_join_with(NULL, me);
}

int muster_leave(struct muster_member *me)
{
    if (!me)
        return 0;
    if (muster__is_copy(me))
        return -EPERM; /* the rank is its parent's */
    int status = me->socket >= 0 ? say_leave(me, me->rank) : 0;
    forget(me);
    return status;
}

/* Length: one sentence a status. */
int muster_join_advice(int status, char *text, size_t size_bytes)
{
    struct muster_environment found;
    char environment[512] = "", limit[256];
    if (size_bytes == 0)
        return -EINVAL;
    int read = muster_environment_read(NULL, &found);
    if (status == -ENOTCONN || status == -ENOTUNIQ || read < 0)
        (void)muster_environment_describe(read, &found, environment, sizeof environment);
    const char *advice = muster_status_text(status);
    switch (status) {
    case -ENOTCONN:
        if (lost_team() > 0) {
            snprintf(
                text, size_bytes,
                "MUSTER_SIZE=%u is set and MUSTER_TEAM is not: what started this program "
                "(sudo, env) has dropped it; hand MUSTER_TEAM and MUSTER_RANK on (sudo "
                "--preserve-env=MUSTER_TEAM,MUSTER_RANK), or unset MUSTER_SIZE and MUSTER_RANK "
                "to run it alone",
                lost_team());
            return 0;
        }
        snprintf(text, size_bytes,
                 "%s; put `muster run` between it and the program: mpirun -n HOSTS muster run -n "
                 "RANKS -- PROGRAM",
                 environment);
        return 0;
    case -ENOTUNIQ:
        snprintf(text, size_bytes, "%s", environment);
        return 0;
    case -EBUSY:
        advice = "a live process holds this rank: every process of a team needs a MUSTER_RANK of "
                 "its own";
        break;
    case -EALREADY:
        advice = "this process has joined already: muster_leave comes first";
        break;
    case -ECONNREFUSED:
        advice = "nobody listens at MUSTER_TEAM: its launcher has ended; start the program with "
                 "`muster run`, or unset MUSTER_TEAM to run it alone";
        break;
    case -ECONNRESET:
        advice = "the launcher ended while this process joined";
        break;
    case -ESHUTDOWN:
        advice = "this rank's process died or left, and the launcher has given the rank up";
        break;
    case -EINVAL:
        advice = read < 0 ? environment
                          : "MUSTER_RANK and MUSTER_TEAM are not as `muster run` sets them";
        break;
    case -ENOMEM:
    case -EFBIG:
    case -EMFILE:
    case -EAGAIN:
        if (refused.limit == MUSTER_LIMIT_NONE && status == -EMFILE)
            muster_limits_blame(status, 1, false, &refused);
        if (muster_shortage_text(&refused, limit, sizeof limit) > 0)
            advice = limit;
        else if (status == -ENOMEM)
            advice = "not enough memory or address space (ulimit -v)";
        break;
    case -EPROTO:
        advice = "the launcher is of another version of Muster than this program";
        break;
    case -EACCES:
        advice =
            "this program has privileges of its own (set-user-ID, set-group-ID or file "
            "capabilities), so it does not act on MUSTER_TEAM: start a program without them, or "
            "unset the variables MUSTER_* to run it alone";
        break;
    case -EPERM:
        advice = "the launcher at MUSTER_TEAM belongs to another user";
        break;
    }
    snprintf(text, size_bytes, "%s", advice);
    return 0;
}

int muster_member_describe(const struct muster_member *me,
                           struct muster_member_description *description)
{
    if (description->size_bytes != sizeof *description)
        return -EINVAL;
    *description = me->description;
    return 0;
}

uint32_t muster_member_rank(const struct muster_member *me)
{
    return me->rank;
}

uint32_t muster_member_size(const struct muster_member *me)
{
    return me->size;
}
