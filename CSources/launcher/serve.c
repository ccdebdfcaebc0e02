/* serve.c - what comes in at a launcher: callers, their requests, leaves and deaths.
 *
 * A caller's credentials are the kernel's, not what it says of itself. A process is watched from
 * before it has the memory, so nobody takes part whose death would not be seen. What a rank has
 * said before it died (that it leaves) is read before its death is noted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/state.h"
#include "os/process_stat.h"

/* After how long it is seen again whether there are descriptors for callers. */
#define STARVED_NS      50000000
#define STARVED_MOST_NS 1000000000ull /* that callers wait before they are refused */

/* Of one call of muster_launcher_serve. */
struct serving {
    struct muster_launcher *launcher;
    struct muster_launcher_event *events;
    uint32_t capacity, count;
    uint32_t accepted;
    bool starved; /* there was a caller, and no descriptor or memory for it */
};

static void report(struct serving *serving, uint32_t kind, uint32_t rank, int pid, int status)
{
    serving->events[serving->count++] =
        (struct muster_launcher_event){.kind = kind, .rank = rank, .pid = pid, .status = status};
}

static uint64_t tag_of(enum muster__tag kind, uint32_t place)
{
    return (uint64_t)kind << 32 | place;
}

/* -- members -------------------------------------------------------------------------------- */

/* Whether a process is on its way out: it closes its descriptors before its pidfd says so. */
static bool is_ending(int pid)
{
    char text[MUSTER__STAT_BYTES];
    const char *fields;
    unsigned long flags = 0;
    /* The ninth field: the kernel's PF_ flags (proc(5)). */
    if (muster__process_stat(pid, text, &fields) < 0 ||
        sscanf(fields, "%*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
        return true;
    return (flags & 0x4) != 0; /* PF_EXITING */
}

/* What a rank's socket has. */
enum heard { HEARD_NOTHING, HEARD_LEAVE, HEARD_END };

static enum heard hear(struct muster__launcher_rank *known)
{
    struct muster__hello hello;
    int fd = -1;
    if (known->socket < 0)
        return HEARD_NOTHING;
    int length = muster__os_receive_descriptor(known->socket, &fd, &hello, sizeof hello);
    if (fd >= 0)
        muster__os_close(fd);
    if (length == -EAGAIN)
        return HEARD_NOTHING;
    /* A socket that was closed with our answer unread gives an error, for anything that was said
     * before. */
    bool leaves = length == sizeof hello && hello.magic == MUSTER__HELLO_MAGIC &&
                  hello.request == MUSTER__LEAVE;
    return leaves ? HEARD_LEAVE : HEARD_END;
}

static void note_leave(struct serving *serving, uint32_t rank)
{
    int pid = serving->launcher->ranks[rank].pid;
    muster__launcher_forget(serving->launcher, rank);
    muster__launcher_change(serving->launcher, rank, MUSTER__LEFT);
    report(serving, MUSTER_LAUNCHER_LEFT, rank, pid, 0);
}

static void note_end(struct serving *serving, uint32_t rank)
{
    struct muster_launcher *launcher = serving->launcher;
    struct muster__launcher_rank *known = &launcher->ranks[rank];
    if (hear(known) == HEARD_LEAVE) {
        note_leave(serving, rank);
        return;
    }
    int pid = known->pid, status = muster__end_of(pid, known->pidfd);
    muster__launcher_hear(launcher, rank);
    /* A rank that has exited well has forgotten the loop's end, if any (muster_launcher_unended).
     */
    if (status != 0)
        muster__note_lost(&launcher->parts, &launcher->plan, rank, &launcher->interrupted,
                          &launcher->interrupted_by);
    muster__launcher_forget(launcher, rank);
    muster__launcher_change(launcher, rank, MUSTER__GONE);
    report(serving, MUSTER_LAUNCHER_DIED, rank, pid, status);
}

/* A rank's socket has something, or is closed. A process that closes it and lives on has left too,
 * as a program does that executes another one. If it closes because the process is exiting, the
 * pidfd event handles it. */
static void hear_member(struct serving *serving, uint32_t rank)
{
    struct muster_launcher *launcher = serving->launcher;
    struct muster__launcher_rank *known = &launcher->ranks[rank];
    enum heard heard = hear(known);
    if (heard == HEARD_NOTHING)
        return;
    if (heard == HEARD_LEAVE || !is_ending(known->pid)) {
        note_leave(serving, rank);
        return;
    }
    (void)muster__os_epoll_remove(launcher->epoll, known->socket);
    muster__os_close(known->socket);
    known->socket = -1;
}

/* -- requests ------------------------------------------------------------------------------- */

static int join(struct muster_launcher *launcher, int socket, int pid,
                const struct muster__hello *hello, struct muster__answer *answer)
{
    if (hello->rank >= launcher->plan.size)
        return -EINVAL;
    struct muster__launcher_rank *known = &launcher->ranks[hello->rank];
    if (known->state == MUSTER__HELD)
        return known->pid == pid ? -EALREADY : -EBUSY;
    if (known->state != MUSTER__OPEN)
        return -ESHUTDOWN;
    int pidfd = muster__os_pidfd(pid);
    if (pidfd < 0)
        return pidfd;
    /* Whose end is still open has not ended, so the pid was not given to another since. */
    int status = muster__os_hung_up(socket) ? -ESRCH : 0;
    if (status == 0)
        status =
            muster__os_epoll_add(launcher->epoll, pidfd, tag_of(MUSTER__TAG_PROCESS, hello->rank));
    if (status == 0)
        status =
            muster__os_epoll_add(launcher->epoll, socket, tag_of(MUSTER__TAG_MEMBER, hello->rank));
    if (status < 0) {
        (void)muster__os_epoll_remove(launcher->epoll, pidfd);
        muster__os_close(pidfd);
        return status;
    }
    known->pid = pid;
    known->pidfd = pidfd;
    known->socket = socket;
    known->state = MUSTER__HELD;
    __atomic_store_n(&launcher->parts.posts[hello->rank].state, MUSTER__HELD, __ATOMIC_SEQ_CST);
    answer->incarnation = known->incarnation;
    answer->must_recover = known->missed;
    return 0;
}

/* Finds or makes an array. Returns: its descriptor, or a negative errno. */
static int array(struct muster_launcher *launcher, int pid, const struct muster__hello *hello)
{
    if (hello->rank >= launcher->plan.size || launcher->ranks[hello->rank].pid != pid)
        return -EPERM;
    if (!memchr(hello->name, 0, sizeof hello->name) || hello->size_bytes == 0)
        return -EINVAL;
    for (uint32_t i = 0; i < launcher->array_count; i++)
        if (strcmp(launcher->arrays[i].name, hello->name) == 0)
            return launcher->arrays[i].size_bytes == hello->size_bytes ? launcher->arrays[i].fd
                                                                       : -EINVAL;
    if (launcher->array_count == MUSTER_ARRAYS_MAX)
        return -ENOSPC;
    if (!launcher->arrays) {
        launcher->arrays = calloc(MUSTER_ARRAYS_MAX, sizeof *launcher->arrays);
        if (!launcher->arrays)
            return -ENOMEM;
    }
    int fd = muster__array_memory("muster-array", hello->size_bytes);
    if (fd < 0)
        return fd;
    struct muster__launcher_array *made = &launcher->arrays[launcher->array_count++];
    memcpy(made->name, hello->name, sizeof made->name);
    made->size_bytes = hello->size_bytes;
    made->fd = fd;
    return fd;
}

/* Does what a caller asks. Returns: whether its socket is a member's now. */
static bool answer_caller(struct serving *serving, int socket, const struct muster__hello *hello)
{
    struct muster_launcher *launcher = serving->launcher;
    struct muster__answer answer = {.magic = MUSTER__HELLO_MAGIC,
                                    .layout_version = MUSTER_LAYOUT_VERSION};
    int pid = 0, fd = -1;
    uint32_t user;
    bool joins = hello->request == MUSTER__JOIN;
    int status = muster__os_peer(socket, &pid, &user);
    if (status == 0 && hello->layout_version != MUSTER_LAYOUT_VERSION)
        status = -EPROTO;
    if (status == 0 && joins) {
        status = join(launcher, socket, pid, hello, &answer);
        fd = launcher->control.fd;
    } else if (status == 0 && hello->request == MUSTER__ARRAY) {
        fd = status = array(launcher, pid, hello);
    } else if (status == 0) {
        status = -EPROTO;
    }
    answer.status = status < 0 ? status : 0;
    /* A caller that is gone meanwhile shows by its pidfd, where it joined. */
    (void)muster__os_send_descriptor(socket, status < 0 ? -1 : fd, &answer, sizeof answer);
    MUSTER__POINT(MUSTER_POINT_ANSWERED);
    if (status >= 0 && hello->request == MUSTER__JOIN)
        __atomic_store_n(&launcher->parts.posts[hello->rank].answered, answer.incarnation,
                         __ATOMIC_RELEASE);
    if (!joins)
        return false;
    report(serving, status < 0 ? MUSTER_LAUNCHER_REFUSED : MUSTER_LAUNCHER_JOINED, hello->rank, pid,
           answer.status);
    return status >= 0;
}

static void hear_caller(struct serving *serving, uint32_t place)
{
    struct muster_launcher *launcher = serving->launcher;
    struct muster__hello hello;
    int socket = launcher->callers[place], fd = -1;
    int length = muster__os_receive_descriptor(socket, &fd, &hello, sizeof hello);
    if (length == -EAGAIN)
        return;
    if (fd >= 0)
        muster__os_close(fd);
    launcher->callers[place] = -1;
    (void)muster__os_epoll_remove(launcher->epoll, socket);
    bool is_member = length == sizeof hello && hello.magic == MUSTER__HELLO_MAGIC &&
                     answer_caller(serving, socket, &hello);
    if (!is_member)
        muster__os_close(socket);
}

/* A place for a caller that has none yet; -1: all are taken. */
static int free_place(const struct muster_launcher *launcher)
{
    for (int place = 0; place < (int)MUSTER__CALLERS_MOST; place++)
        if (launcher->callers[place] < 0)
            return place;
    return -1;
}

/* Another user's process gets nothing, not even a place that its silence would hold. */
static bool is_ours(int socket)
{
    int pid;
    uint32_t user;
    return muster__os_peer(socket, &pid, &user) == 0 && user == muster__os_user();
}

/* A caller that asks while there is no descriptor waits for one in the queue, since others may
 * leave. If none has left after a while, the spare one is given up to hear a caller, which is
 * refused for want of another, and so says why. Without it, ranks would wait for ever for those in
 * the queue. */
static bool spend_spare(struct muster_launcher *launcher)
{
    uint64_t now = muster__os_now_ns();
    if (launcher->starved_since_ns == 0)
        launcher->starved_since_ns = now;
    if (launcher->spare < 0 || now - launcher->starved_since_ns < STARVED_MOST_NS)
        return false;
    muster__os_close(launcher->spare);
    launcher->spare = -1;
    return true;
}

static void accept_callers(struct serving *serving)
{
    struct muster_launcher *launcher = serving->launcher;
    int place;
    while (serving->accepted < MUSTER__CALLERS_MOST && (place = free_place(launcher)) >= 0) {
        int socket = muster__os_accept(launcher->listener);
        if (socket == -EAGAIN)
            return;
        if (socket == -EMFILE && spend_spare(launcher))
            continue;
        serving->starved = socket < 0; /* the caller waits in the queue */
        if (socket < 0)
            break;
        serving->accepted++;
        if (!is_ours(socket) ||
            muster__os_epoll_add(launcher->epoll, socket,
                                 tag_of(MUSTER__TAG_CALLER, (uint32_t)place)) < 0)
            muster__os_close(socket);
        else
            launcher->callers[place] = socket;
    }
    /* Not looked at again in this call, or one that callers flood would never end. */
    launcher->listening = muster__os_epoll_remove(launcher->epoll, launcher->listener) < 0;
}

/* A wait for the descriptor ends for a caller that there is room for, and for no other. */
static void listen_again(struct muster_launcher *launcher)
{
    if (!launcher->listening && free_place(launcher) >= 0)
        launcher->listening = muster__os_epoll_add(launcher->epoll, launcher->listener,
                                                   tag_of(MUSTER__TAG_LISTENER, 0)) == 0;
}

static int serve(struct serving *serving)
{
    struct muster_launcher *launcher = serving->launcher;
    uint64_t tags[64];
    /* Every descriptor gives one event at most. Descriptors are not edge-triggered: what there is
     * no room for comes again. */
    while (serving->count < serving->capacity) {
        uint32_t room = serving->capacity - serving->count;
        int ready = muster__os_epoll_wait(launcher->epoll, tags, room < 64 ? (int)room : 64, 0);
        if (ready < 0)
            return serving->count > 0 ? 0 : ready;
        if (ready == 0)
            break;
        for (int i = 0; i < ready; i++) {
            uint32_t place = (uint32_t)tags[i];
            /* What came first in this round may have ended what comes later. */
            switch (tags[i] >> 32) {
            case MUSTER__TAG_LISTENER:
                accept_callers(serving);
                break;
            case MUSTER__TAG_CALLER:
                if (launcher->callers[place] >= 0)
                    hear_caller(serving, place);
                break;
            case MUSTER__TAG_MEMBER:
                if (launcher->ranks[place].socket >= 0)
                    hear_member(serving, place);
                break;
            case MUSTER__TAG_PROCESS:
                if (launcher->ranks[place].pidfd >= 0)
                    note_end(serving, place);
                break;
            case MUSTER__TAG_TIMER: /* this call looks at the listener, as every call does */
                (void)muster__os_eventfd_clear(launcher->timer);
                break;
            }
        }
    }
    return 0;
}

int muster_launcher_serve(struct muster_launcher *launcher, struct muster_launcher_event *events,
                          uint32_t capacity)
{
    struct serving serving = {.launcher = launcher, .events = events, .capacity = capacity};
    listen_again(launcher);
    int status = serve(&serving);
    if (launcher->spare < 0)
        launcher->spare = muster__os_eventfd();
    else if (!serving.starved && serving.accepted > 0)
        launcher->starved_since_ns = 0;
    /* Places may have become free, and nothing else would make the descriptor readable for those
     * in the queue. Without descriptors it would be readable all the time: they wait for a while.
     */
    if (serving.starved)
        (void)muster__os_timer_start(launcher->timer, STARVED_NS);
    else
        listen_again(launcher);
    return status < 0 ? status : (int)serving.count;
}
