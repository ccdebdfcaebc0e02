/* client.c - the fork server as the leader sees it: starting it, asking it, losing it.
 *
 * Invariant: `pidfd >= 0` implies a child process that has not been reaped and that is in step:
 * every question has had its answer. Whatever breaks that (a failed send, a strange answer, its
 * death) ends in lose(). The kernel ends its ranks with it; the leader's room notes their deaths
 * after each call of this file's functions (muster__note_fallen).
 */
#define _GNU_SOURCE
#include <muster/core/binding.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/protocol.h"

/* How long a program may take to its line. It is the first in main, but libraries are loaded before
 * it, and the machine may be busy. A program that never comes to it must not go on for ever. */
#define LINE_WAIT_MS 30000

#define CLD_KILLED_VALUE 2 /* CLD_KILLED of waitid(2) */

/* -- losing it ------------------------------------------------------------------------------ */

/* Reaps the server, killing it if need be, and notes what was wrong. */
static void lose(struct muster_team *team, int status)
{
    struct muster__server *server = team->server;
    if (server->pidfd < 0)
        return;
    struct muster_server_trouble *trouble = &server->trouble;
    int code = 0, value = 0;
    /* A closed socket comes a moment before the end of the process. */
    if (status == -EOWNERDEAD)
        (void)muster__os_wait_readable(server->pidfd, 1000);
    int reaped = muster__os_reap(server->pidfd, false, &code, &value);
    trouble->status = status;
    trouble->lost = 1;
    trouble->serial = ++server->troubles;
    trouble->died = reaped != 0;
    if (reaped == 0) {
        muster__os_kill(server->pidfd, 9);
        muster__os_reap(server->pidfd, true, &code, &value);
    } else if (reaped < 0) {
        trouble->exit_code = -1; /* somebody else has reaped it */
    } else if (code == 1 /* CLD_EXITED */) {
        trouble->exit_code = value;
    } else {
        trouble->signal = value;
    }
    server->in_trouble = true;
    muster__os_epoll_remove(team->epoll, server->pidfd);
    muster__os_close(server->pidfd);
    muster__os_close(server->socket);
    server->pidfd = server->socket = -1;
    server->pid = 0;
    server->has_fallen = true; /* and all its ranks: the caller notes their deaths */
}

bool muster__server_has_fallen(struct muster_team *team)
{
    bool fallen = team->server && team->server->has_fallen;
    if (fallen)
        team->server->has_fallen = false;
    return fallen;
}

void muster__server_event(struct muster_team *team)
{
    lose(team, -EOWNERDEAD);
}

/* -- asking it ------------------------------------------------------------------------------ */

/* Waits for the answer. fd: NULL, or where a descriptor that comes along goes (-1: none did).
 * Returns: 0; or what broke: then the server is lost. */
static int answer(struct muster_team *team, struct muster__server_reply *reply, int *fd,
                  int timeout_ms)
{
    struct muster__server *server = team->server;
    uint64_t start = muster__os_now_ns();
    int status;
    for (;;) {
        int left_ms = -1;
        if (timeout_ms >= 0) {
            uint64_t waited_ms = (muster__os_now_ns() - start) / 1000000;
            left_ms = waited_ms < (uint64_t)timeout_ms ? timeout_ms - (int)waited_ms : 0;
        }
        int ready = muster__os_wait_two(server->socket, server->pidfd, left_ms);
        status = ready < 0 ? ready : ready == 0 && left_ms == 0 ? -ETIMEDOUT : -EAGAIN;
        if (ready > 0) {
            int received = -1;
            status = muster__os_receive_descriptor(server->socket, &received, reply, sizeof *reply);
            if (status == sizeof *reply) {
                if (fd)
                    *fd = received;
                else if (received >= 0)
                    muster__os_close(received);
                return 0;
            }
            if (received >= 0)
                muster__os_close(received);
            /* What it sent before it died is heard first. */
            if (status >= 0 || status == -ECONNRESET)
                status = status > 0 ? -EUCLEAN : -EOWNERDEAD;
            else if (status == -EAGAIN && (ready & 2))
                status = -EOWNERDEAD;
        }
        if (status != -EAGAIN)
            break;
    }
    server->trouble.late = status == -ETIMEDOUT;
    lose(team, status);
    return status;
}

/* Sends a question. Returns as answer(). */
static int say(struct muster_team *team, struct muster__server_request *request, int fd)
{
    request->layout_version = MUSTER_LAYOUT_VERSION;
    int status = muster__os_send_descriptor(team->server->socket, fd, request, sizeof *request);
    if (status == -EPIPE || status == -ECONNRESET || status == -ENOTCONN)
        status = -EOWNERDEAD;
    if (status < 0)
        lose(team, status);
    return status;
}

/* A question and its answer. Returns: 0 with *reply; otherwise the server is lost. */
static int ask(struct muster_team *team, struct muster__server_request *request, int fd,
               struct muster__server_reply *reply, int *reply_fd)
{
    int status = say(team, request, fd);
    return status < 0 ? status : answer(team, reply, reply_fd, -1);
}

/* -- starting it ---------------------------------------------------------------------------- */

/* Starts the process. On success the server's end of the socket is its own alone. */
static int begin(struct muster_team *team)
{
    struct muster__server *server = team->server;
    int ends[2];
    int status = muster__os_socketpair(ends);
    if (status < 0)
        return status;
    int pid = muster__server_execute(server, ends[1]);
    muster__os_close(ends[1]);
    if (pid < 0) {
        muster__os_close(ends[0]);
        return pid;
    }
    int pidfd = muster__os_pidfd(pid);
    status = pidfd < 0 ? pidfd : muster__os_epoll_add(team->epoll, pidfd, MUSTER__SERVER_TAG);
    if (status < 0) {
        muster__os_end_child(pid);
        if (pidfd >= 0)
            muster__os_close(pidfd);
        muster__os_close(ends[0]);
        return status;
    }
    server->pid = pid;
    server->pidfd = pidfd;
    server->socket = ends[0];
    return 0;
}

/* Gives it the team's shared memory, and waits until it has come to its line and taken it over. */
static int introduce(struct muster_team *team)
{
    struct muster__server *server = team->server;
    const struct {
        uint32_t verb;
        int fd;
    } gifts[] = {{MUSTER__SERVER_CONTROL, team->control.fd},
                 {MUSTER__SERVER_ARENA, team->space.arena_fd},
                 {MUSTER__SERVER_EVENT, team->eventfd}};
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof gifts / sizeof *gifts; i++) {
        struct muster__server_request request = {.verb = gifts[i].verb,
                                                 .space_bytes = team->space.size_bytes,
                                                 .arena_bytes = team->space.arena_bytes};
        status = say(team, &request, gifts[i].fd);
    }
    struct muster__server_reply reply;
    if (status == 0)
        status = answer(team, &reply, NULL, LINE_WAIT_MS);
    if (status == 0 && reply.status < 0) {
        status = reply.status;
        server->trouble.threads = reply.threads;
        lose(team, status);
        server->trouble.died = 0; /* it may have left by now: it has said why */
    }
    return status;
}

static int map_there(struct muster_team *team, const struct muster__server_mapping *mapping)
{
    struct muster__server_request request = {.verb = MUSTER__SERVER_MAP,
                                             .mapping = mapping->mapping};
    struct muster__server_reply reply;
    int status = ask(team, &request, mapping->fd, &reply, NULL);
    return status < 0 ? status : reply.status;
}

static int start(struct muster_team *team)
{
    struct muster__server *server = team->server;
    server->trouble = (struct muster_server_trouble){0};
    server->in_trouble = false;
    int status = begin(team);
    if (status < 0) {
        server->trouble.status = status;
        server->in_trouble = true;
        return status;
    }
    status = introduce(team);
    for (uint32_t i = 0; status == 0 && i < server->mapping_count; i++) {
        status = map_there(team, &server->mappings[i]);
        if (status < 0)
            lose(team, status); /* a rank without a live array's file would be killed in a loop */
    }
    return status;
}

/* -- what the leader asks for ---------------------------------------------------------------- */

static void free_server(struct muster__server *server)
{
    free(server->mappings);
    free(server->cpus);
    free(server->program);
    free(server);
}

int muster_team_use_server(struct muster_team *team, const uint32_t *cpus,
                           const char *const *program)
{
    if (!program && !muster_server_is_possible())
        return -EPERM;
    /* Executed once more, such a program would have privileges that this process may have dropped,
     * or take its environment for a stranger's and run its own job again. */
    if (muster__os_is_raised() || (!program && muster__os_program_raises() != 0))
        return -EACCES;
    struct muster__server *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->pidfd = made->socket = -1;
    made->mappings = calloc(MUSTER_ARRAYS_MAX + 1, sizeof *made->mappings);
    made->cpus = cpus ? calloc(team->plan.size, sizeof *made->cpus) : NULL;
    made->program = program ? muster__server_copy_program(program) : NULL;
    if (!made->mappings || (cpus && !made->cpus) || (program && !made->program)) {
        free_server(made);
        return -ENOMEM;
    }
    for (uint32_t rank = 0; cpus && rank < team->plan.size; rank++)
        made->cpus[rank] = cpus[rank] == MUSTER_NO_CPU ? -1 : (int32_t)cpus[rank];
    team->server = made;
    return 0;
}

int muster__server_spawn(struct muster_team *team, uint32_t rank, const int ends[2])
{
    struct muster__server *server = team->server;
    struct muster__rank *entry = &team->ranks[rank];
    int status = server->pidfd < 0 ? start(team) : 0;
    int pidfd = -1;
    struct muster__server_reply reply = {0};
    if (status == 0) {
        struct muster__server_request request = {.verb = MUSTER__SERVER_SPAWN,
                                                 .rank = rank,
                                                 .cpu = server->cpus ? server->cpus[rank] : -1};
        status = ask(team, &request, ends[1], &reply, &pidfd);
    }
    muster__os_close(ends[1]);
    if (status == 0)
        status = reply.status;
    if (status < 0) {
        muster__os_close(ends[0]);
        return status;
    }
    /* No room for the descriptor here: then it does not come. */
    status = pidfd < 0 ? -EMFILE : muster__os_epoll_add(team->epoll, pidfd, rank);
    if (status < 0) {
        /* A worker whose death could not be noticed must not exist. */
        struct muster__server_request request = {.verb = MUSTER__SERVER_ABANDON, .rank = rank};
        (void)ask(team, &request, -1, &reply, NULL);
        if (pidfd >= 0)
            muster__os_close(pidfd);
        muster__os_close(ends[0]);
        __atomic_store_n(&team->slots[rank].holder, 0, __ATOMIC_RELEASE);
        return status;
    }
    *entry =
        (struct muster__rank){.pid = reply.pid, .pidfd = pidfd, .socket = ends[0], .held = true};
    return reply.pid;
}

int muster__server_reap(struct muster_team *team, uint32_t rank, int *code, int *status)
{
    struct muster__server_request request = {.verb = MUSTER__SERVER_REAP, .rank = rank};
    struct muster__server_reply reply = {0};
    int pidfd = team->ranks[rank].pidfd;
    if (team->server->pidfd >= 0) {
        if (ask(team, &request, -1, &reply, NULL) < 0)
            return -EOWNERDEAD;
        if (reply.status > 0) {
            *code = reply.code;
            *status = reply.value;
        }
        return reply.status;
    }
    /* The kernel kills it with the server; it is dead once its pidfd says so. */
    muster__os_kill(pidfd, 9);
    (void)muster__os_wait_readable(pidfd, -1);
    int ignored[2];
    (void)muster__os_reap(pidfd, false, &ignored[0], &ignored[1]); /* a subreaper has it now */
    *code = CLD_KILLED_VALUE;
    *status = 9;
    return 1;
}

int muster__server_send_mapping(struct muster_team *team, const struct muster__mapping *mapping,
                                int fd)
{
    struct muster__server *server = team->server;
    struct muster__server_mapping entry = {.mapping = *mapping, .fd = fd};
    uint32_t at = 0;
    while (at < server->mapping_count &&
           server->mappings[at].mapping.extent.offset_bytes != mapping->extent.offset_bytes)
        at++;
    if (fd >= 0) {
        if (at > MUSTER_ARRAYS_MAX)
            return -ENOMEM;
        server->mappings[at] = entry;
        server->mapping_count += at == server->mapping_count;
    } else if (at < server->mapping_count) {
        server->mappings[at] = server->mappings[--server->mapping_count];
    }
    if (server->pidfd < 0)
        return 0; /* the next one is told everything */
    int status = map_there(team, &entry);
    return server->pidfd < 0 ? 0 : status;
}

void muster__server_end(struct muster_team *team, bool idle)
{
    struct muster__server *server = team->server;
    uint32_t size = team->plan.size;
    uint64_t start = muster__os_now_ns();
    for (uint32_t rank = 0; rank < size; rank++) {
        int pidfd = team->ranks[rank].pidfd;
        if (pidfd < 0)
            continue;
        while (idle && muster__os_now_ns() - start < MUSTER__END_WAIT_NS &&
               muster__os_wait_readable(pidfd, 100) <= 0)
            ;
        muster__os_kill(pidfd, 9);
    }
    if (server->pidfd >= 0) {
        /* At the socket's end it reaps its ranks and leaves; left to us, they would go to init. */
        int code, status;
        muster__os_epoll_remove(team->epoll, server->pidfd);
        muster__os_close(server->socket);
        (void)muster__os_wait_readable(server->pidfd, 1000);
        muster__os_kill(server->pidfd, 9);
        muster__os_reap(server->pidfd, true, &code, &status);
        muster__os_close(server->pidfd);
        server->pidfd = server->socket = -1;
        server->pid = 0;
    }
    for (uint32_t rank = 0; rank < size; rank++) {
        struct muster__rank *entry = &team->ranks[rank];
        int code, status;
        if (entry->pidfd < 0)
            continue;
        (void)muster__os_wait_readable(entry->pidfd, -1);
        (void)muster__os_reap(entry->pidfd, false, &code, &status); /* where we are a subreaper */
        muster__os_epoll_remove(team->epoll, entry->pidfd);
        muster__os_close(entry->pidfd);
        muster__os_close(entry->socket);
        *entry = (struct muster__rank){.pidfd = -1, .socket = -1};
        __atomic_store_n(&team->slots[rank].holder, 0, __ATOMIC_RELEASE);
    }
}

void muster__server_destroy(struct muster_team *team)
{
    if (!team->server)
        return;
    free_server(team->server);
    team->server = NULL;
}

void muster__server_forget_trouble(struct muster_team *team)
{
    if (team->server)
        team->server->in_trouble = false;
}

/* -- looking -------------------------------------------------------------------------------- */

bool muster_team_server_trouble(const struct muster_team *team,
                                struct muster_server_trouble *trouble)
{
    if (!team->server || !team->server->in_trouble)
        return false;
    *trouble = team->server->trouble;
    return true;
}

int muster_team_server_process(const struct muster_team *team)
{
    return team->server ? team->server->pid : 0;
}
