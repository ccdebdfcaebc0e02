/* serve.c - the fork server itself: a clean copy of the program that forks the ranks.
 *
 * Invariant: until it forks, it has one thread and no private memory worth speaking of. It does one
 * thing at a time, and what the leader asked for last; anything out of step, and the leader's end,
 * ends it. It never goes back to the program's own `main`: a server leaves by _exit, and only a new
 * rank comes back from muster_server_serve.
 */
#define _GNU_SOURCE
#include <muster/core/mirror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os/output.h"
#include "server/protocol.h"

/* Exit statuses, for the process that looks at what a dead server left. */
#define EXIT_FINE   0
#define EXIT_BROKEN 125

struct server {
    int socket;
    int leader; /* pidfd */
    int leader_pid, own_pid;
    struct muster_team *team;
    int *pidfds; /* by rank; -1: not ours */
};

/* Ends the server: no rank is left, and all are reaped. */
static _Noreturn void end(struct server *server, int status)
{
    int code, value;
    uint32_t size = server->team ? server->team->plan.size : 0;
    for (uint32_t rank = 0; server->pidfds && rank < size; rank++)
        if (server->pidfds[rank] >= 0)
            muster__os_kill(server->pidfds[rank], 9);
    for (uint32_t rank = 0; server->pidfds && rank < size; rank++)
        if (server->pidfds[rank] >= 0)
            muster__os_reap(server->pidfds[rank], true, &code, &value);
    muster__os_exit(status);
}

/* -- what the leader gives ------------------------------------------------------------------ */

/* Waits for the next question. A server whose leader has gone does not come back. */
static void hear(struct server *server, struct muster__server_request *request, int *fd)
{
    for (;;) {
        int length = muster__os_receive_descriptor(server->socket, fd, request, sizeof *request);
        if (length == sizeof *request && request->layout_version == MUSTER_LAYOUT_VERSION)
            return;
        if (length != -EAGAIN)
            end(server, length == 0 ? EXIT_FINE : EXIT_BROKEN);
        /* The pidfd too: a process that the leader has forked may hold the socket open. */
        int ready = muster__os_wait_two(server->socket, server->leader, -1);
        if (ready < 0 || (ready & 2))
            end(server, ready < 0 ? EXIT_BROKEN : EXIT_FINE);
    }
}

static void reply(struct server *server, const struct muster__server_reply *answer, int fd)
{
    /* A leader that does not hear would wait for ever: it sees an end instead. */
    if (muster__os_send_descriptor(server->socket, fd, answer, sizeof *answer) < 0)
        end(server, EXIT_BROKEN);
}

/* Whether a team block, written by another process, describes what fits into its segment. */
static bool is_sound(const struct muster_team_block *plan, uint64_t segment_bytes)
{
    return plan->size > 0 && plan->size <= MUSTER_RANKS_MAX && plan->leader_works <= 1 &&
           plan->page_bytes == muster__os_page_bytes() && plan->chunk_capacity > 0 &&
           plan->chunk_capacity <= MUSTER_CHUNKS_MAX &&
           plan->roll_bytes == muster_roll_bytes(plan->chunk_capacity) &&
           plan->slots_offset % MUSTER_LINE_BYTES == 0 &&
           plan->job_offset % MUSTER_LINE_BYTES == 0 &&
           plan->rolls_offset % MUSTER_LINE_BYTES == 0 &&
           plan->slots_offset >= MUSTER__BLOCK_OFFSET + sizeof *plan &&
           plan->slots_offset <= segment_bytes &&
           plan->size * sizeof(struct muster_slot) <= segment_bytes - plan->slots_offset &&
           plan->job_offset <= segment_bytes &&
           sizeof(struct muster_job) <= segment_bytes - plan->job_offset &&
           plan->list_offset % MUSTER_LINE_BYTES == 0 && plan->list_offset <= segment_bytes &&
           MUSTER_LIST_MAX * sizeof(struct muster_interval) <= segment_bytes - plan->list_offset &&
           plan->place_count <= plan->size && plan->distances_offset <= segment_bytes &&
           (uint64_t)plan->place_count * plan->size <= segment_bytes - plan->distances_offset &&
           plan->mirrors_offset % MUSTER_LINE_BYTES == 0 && plan->mirrors_offset <= segment_bytes &&
           MUSTER_MIRRORS_MAX * sizeof(struct muster_mirror) <=
               segment_bytes - plan->mirrors_offset &&
           plan->faults_offset % MUSTER_LINE_BYTES == 0 && plan->faults_offset <= segment_bytes &&
           plan->size * sizeof(struct muster_fault) <= segment_bytes - plan->faults_offset &&
           plan->rooms_offset % MUSTER_LINE_BYTES == 0 && plan->rooms_offset <= segment_bytes &&
           sizeof(struct muster_rooms) <= segment_bytes - plan->rooms_offset &&
           plan->checks_offset % MUSTER_LINE_BYTES == 0 && plan->checks_offset <= segment_bytes &&
           sizeof(struct muster_check_table) <= segment_bytes - plan->checks_offset &&
           plan->journals_offset % MUSTER_LINE_BYTES == 0 &&
           plan->journal_bytes % MUSTER_LINE_BYTES == 0 && plan->journal_bytes > 0 &&
           plan->journals_offset <= segment_bytes &&
           plan->size <= (segment_bytes - plan->journals_offset) / plan->journal_bytes &&
           plan->rolls_offset <= segment_bytes &&
           plan->size <= (segment_bytes - plan->rolls_offset) / plan->roll_bytes;
}

/* Maps the team's memory. What is made stays: a server that can't attach ends. */
static int attach(struct server *server, const int fds[3],
                  const struct muster__server_request *arena)
{
    struct muster_team *team = calloc(1, sizeof *team);
    if (!team)
        return -ENOMEM;
    team->epoll = team->worker_socket = -1;
    team->eventfd = fds[MUSTER__SERVER_EVENT - 1];
    int status = muster_segment_attach(fds[MUSTER__SERVER_CONTROL - 1], MUSTER_SEGMENT_CONTROL,
                                       &team->control);
    if (status < 0)
        return status;
    if (team->control.size_bytes < MUSTER__BLOCK_OFFSET + sizeof *team->block)
        return -EUCLEAN;
    struct muster_team_block plan;
    memcpy(&plan, team->control.address + MUSTER__BLOCK_OFFSET, sizeof plan);
    if (!is_sound(&plan, team->control.size_bytes) || plan.leader_pid != server->leader_pid)
        return -EUCLEAN;
    team->rolls = calloc(plan.size, sizeof *team->rolls);
    team->known = calloc(MUSTER_ROOMS_MAX, sizeof *team->known);
    server->pidfds = malloc(plan.size * sizeof *server->pidfds);
    if (!team->rolls || !team->known || !server->pidfds)
        return -ENOMEM;
    muster__find_parts(team, &plan);
    for (uint32_t rank = 0; rank < plan.size; rank++)
        server->pidfds[rank] = -1;
    server->team = team;
    status = muster_space_attach(fds[MUSTER__SERVER_ARENA - 1], arena->space_bytes,
                                 arena->arena_bytes, &team->space);
    /* Kept: a rank that takes over another maps its copies of mirrored arrays by it. */
    if (status == 0)
        team->space.arena_fd = fds[MUSTER__SERVER_ARENA - 1];
    return status;
}

/* Everything up to the first rank. trouble: what this process could not do before, or 0: the leader
 * is told, once it has said all that it says before it listens. */
static void prepare(struct server *server, int trouble)
{
    struct muster__server_request request = {0}, arena = {0};
    struct muster__server_reply answer = {0};
    int fds[3];
    for (uint32_t verb = MUSTER__SERVER_CONTROL; verb <= MUSTER__SERVER_EVENT; verb++) {
        hear(server, &request, &fds[verb - 1]);
        if (request.verb != verb || fds[verb - 1] < 0)
            end(server, EXIT_BROKEN);
        if (verb == MUSTER__SERVER_ARENA)
            arena = request;
    }
    answer.threads = muster__os_thread_count();
    answer.status = trouble < 0          ? trouble
                    : answer.threads < 0 ? answer.threads
                    : answer.threads > 1 ? -EBUSY
                                         : 0;
    if (answer.status == 0)
        answer.status = attach(server, fds, &arena);
    muster__os_close(fds[MUSTER__SERVER_CONTROL - 1]);
    reply(server, &answer, -1);
    if (answer.status < 0)
        end(server, EXIT_BROKEN);
}

/* -- what the leader asks ------------------------------------------------------------------- */

/* Returns true in the new rank. */
static bool spawn(struct server *server, const struct muster__server_request *request, int fd)
{
    struct muster__server_reply answer = {0};
    uint32_t rank = request->rank;
    if (fd < 0 || server->pidfds[rank] >= 0) {
        answer.status = fd < 0 ? -EMFILE : -EUCLEAN;
        reply(server, &answer, -1);
        return false;
    }
    muster__before_worker(server->team, rank);
    server->team->other_signals = 0; /* the server has them as workers do */
    muster__os_output_before_fork(true);
    int pid = muster__os_fork();
    if (pid == 0) {
        muster__os_close(server->socket);
        muster__os_close(server->leader);
        for (uint32_t other = 0; other < server->team->plan.size; other++)
            if (server->pidfds[other] >= 0)
                muster__os_close(server->pidfds[other]);
        muster__begin_worker(server->team, rank, fd, server->own_pid);
        return true;
    }
    answer.status = pid < 0 ? pid : 0;
    answer.pid = pid;
    int pidfd = pid < 0 ? -1 : muster__os_pidfd(pid);
    if (pid > 0 && pidfd < 0) {
        muster__os_end_child(pid);
        answer.status = pidfd;
    }
    if (answer.status == 0)
        server->pidfds[rank] = pidfd;
    reply(server, &answer, pidfd);
    return false;
}

static void reap(struct server *server, uint32_t rank, bool kill)
{
    struct muster__server_reply answer = {.status = -ECHILD};
    int pidfd = server->pidfds[rank];
    if (pidfd >= 0) {
        if (kill)
            muster__os_kill(pidfd, 9);
        answer.status = muster__os_reap(pidfd, kill, &answer.code, &answer.value);
        if (answer.status != 0) {
            muster__os_close(pidfd);
            server->pidfds[rank] = -1;
        }
    }
    reply(server, &answer, -1);
}

static void map(struct server *server, const struct muster__server_request *request, int fd)
{
    const struct muster__mapping *mapping = &request->mapping;
    struct muster__server_reply answer = {0};
    if (mapping->mapped && fd < 0)
        answer.status = -EMFILE;
    else
        answer.status =
            muster_space_map(&server->team->space, mapping->extent, mapping->mapped ? fd : -1,
                             mapping->file_offset_bytes, mapping->writable);
    reply(server, &answer, -1);
}

/* Answers until a fork comes back as a rank. Returns its number, its CPU in *cpu. */
static uint32_t answer_all(struct server *server, int32_t *cpu)
{
    for (;;) {
        struct muster__server_request request;
        int fd = -1;
        hear(server, &request, &fd);
        if (request.rank >= server->team->plan.size)
            end(server, EXIT_BROKEN);
        switch (request.verb) {
        case MUSTER__SERVER_SPAWN:
            if (spawn(server, &request, fd)) {
                *cpu = request.cpu;
                return request.rank;
            }
            break;
        case MUSTER__SERVER_REAP:
        case MUSTER__SERVER_ABANDON:
            reap(server, request.rank, request.verb == MUSTER__SERVER_ABANDON);
            break;
        case MUSTER__SERVER_MAP:
            map(server, &request, fd);
            break;
        default:
            end(server, EXIT_BROKEN);
        }
        if (fd >= 0)
            muster__os_close(fd);
    }
}

/* -- the line ------------------------------------------------------------------------------- */

/* The leader's pid from the variable; 0: there is none, or it is nobody's we know. */
static int asking_process(void)
{
    const char *text = muster__os_variable(MUSTER_SERVER_VARIABLE);
    unsigned version = 0;
    int pid = 0, end_of_text = 0;
    if (!text || sscanf(text, "%u:%d%n", &version, &pid, &end_of_text) != 2 ||
        text[end_of_text] != '\0' || version != MUSTER_LAYOUT_VERSION)
        return 0;
    return pid > 0 ? pid : 0;
}

/* Whether the descriptor is a socket whose other end the leader, of this user, has made. Returns:
 * 0: it is; -EPERM: it is not; or which call was refused that would have told. */
static int check_socket(int fd, int leader_pid)
{
    uint64_t size_bytes;
    uint32_t mode_bits = 0, user;
    int pid, status = muster__os_stat(fd, &size_bytes, &mode_bits);
    if (status == 0 && !S_ISSOCK(mode_bits))
        return -EPERM;
    status = status < 0 ? status : muster__os_peer(fd, &pid, &user);
    if (status < 0)
        return status <= MUSTER_REFUSED ? status : -EPERM;
    return pid == leader_pid && user == muster__os_user() ? 0 : -EPERM;
}

int muster_server_serve(struct muster_team **team, uint32_t *rank, int32_t *cpu)
{
    muster__server_line_reached();
    struct server server = {.socket = MUSTER__SERVER_SOCKET,
                            .leader_pid = asking_process(),
                            .own_pid = muster__os_pid()};
    if (server.leader_pid == 0)
        return 0;
    /* In this order: once the parent is seen to be the leader, the pidfd is the leader's. */
    server.leader = muster__os_pidfd(server.leader_pid);
    if (server.leader < 0 || muster__os_wait_readable(server.leader, 0) != 0)
        muster__os_exit(EXIT_BROKEN); /* it has died meanwhile */
    if (muster__os_parent() != server.leader_pid) {
        /* A server that never came to its line has started this process and handed the variable
         * down. It is left there, so that no team is made here. */
        muster__os_close(server.leader);
        return 0;
    }
    int trouble = check_socket(server.socket, server.leader_pid);
    if (trouble == -EPERM)
        muster__os_exit(EXIT_BROKEN);
    muster__os_worker_signals(MUSTER__ALL_SIGNALS);
    muster__os_name_thread("muster-server");
    unsetenv(MUSTER_SERVER_VARIABLE); /* what ranks execute is no server */
    if (trouble == 0)
        trouble = muster__os_wake_with_parent();
    if (trouble == 0)
        trouble = muster__os_close_on_exec(server.socket);
    prepare(&server, trouble);
    *rank = answer_all(&server, cpu);
    *team = server.team;
    free(server.pidfds);
    return 1;
}
