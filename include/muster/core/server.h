/* server.h - the fork server: ranks for leaders that have threads or large private heaps.
 *
 * A fork copies locks that other threads hold and the page tables of the whole private heap. So the
 * leader executes its own program once more (/proc/self/exe, same arguments, directory and
 * environment), and that clean process, the server, forks the ranks. One server a team, started
 * with the team's first rank.
 *
 * A leader may name another program to execute: one whose own program is an interpreter has to,
 * since a copy would run the user's job a second time.
 *
 * The program takes part with one line at the top of `main` (muster_server_serve): in the server it
 * does not come back, in any other process it returns at once. The leader knows whether this line
 * was reached in its own process, and starts no server of its own program otherwise: that would
 * only run its job a second time.
 *
 * Protocol. Leader and server talk over one socket, packets kept whole: the leader asks, the server
 * answers, nothing else is ever sent. The server reaps a rank only when it is asked for the rank's
 * exit status, so a pid that the leader knows is never another process. Descriptors (segments,
 * eventfd, pidfds, files) travel along.
 *
 * Deaths that follow a death. Ranks get SIGKILL when the server ends. The server ends when the
 * leader's pidfd says so or the socket is closed, having killed and reaped its ranks; a stopped
 * server is woken for that (its parent-death signal is SIGCONT). The leader has the server's pidfd
 * in epoll, as it has those of the ranks: a dead server is the death of all its ranks, and is told
 * apart (muster_team_server_trouble). The next rank that is started gets a new server.
 */
#ifndef MUSTER_CORE_SERVER_H
#define MUSTER_CORE_SERVER_H

#include <muster/base.h>
#include <muster/core/team.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The environment variable that tells a process that it was started as a server. */
#define MUSTER_SERVER_VARIABLE "MUSTER_FORK_SERVER"

/* What went wrong with a team's server. */
struct muster_server_trouble {
    int32_t status;    /* negative errno of what the leader was doing with it */
    int32_t lost;      /* 1: it was running; 0: it could not be started */
    int32_t died;      /* 1: it was dead before the leader gave it up */
    int32_t signal;    /* died: that killed it; 0: it left by itself */
    int32_t exit_code; /* died, signal 0 */
    int32_t late;      /* 1: it did not come to its line in time */
    int32_t threads;   /* above 1: so many it had when it came to its line, and refused */
    uint32_t serial;   /* how many troubles there have been: from 1 */
};

/* -- the program ---------------------------------------------------------------------------- */

/* The one line: serves, where this process was started for that.
 *
 * Must be reached before anything starts a thread. Takes the variable out of the environment.
 * Returns: 0: not asked, go on; 1: this process is a new rank of a team, and goes on with
 * muster_worker_wait; *team, *rank and *cpu (to bind itself to; -1: none) are set. The server
 * itself leaves by _exit. */
int muster_server_serve(struct muster_team **team, uint32_t *rank, int32_t *cpu);

/* Whether muster_server_serve was reached in this process (or one that it was forked from). */
bool muster_server_is_possible(void);

/* Whether this process was started as a server and has not come to its line: then it must not make
 * teams, since it runs a job that another process runs already. */
bool muster_server_is_stray(void);

/* -- leader --------------------------------------------------------------------------------- */

/* Makes a team start its ranks by a server. Called before the first muster_team_spawn; starts
 * nothing yet.
 *
 * cpus: CPU of each rank, or MUSTER_NO_CPU; NULL: none is bound. Copied. program: the path and the
 * arguments of the program to execute, NULL-ended; copied. NULL: this program once more. Returns:
 * 0, -ENOMEM; -EPERM: this program is to be executed, and the line was not reached in this process;
 * -EACCES: this process, or this program's file, has privileges of its own (set-user-ID,
 * set-group-ID, file capabilities, changed ids). */
int muster_team_use_server(struct muster_team *team, const uint32_t *cpus,
                           const char *const *program);

/* What went wrong with the server since muster_team_forget_deaths.
 *
 * Returns: false: nothing, or there is none. */
bool muster_team_server_trouble(const struct muster_team *team,
                                struct muster_server_trouble *trouble);

/* The server's pid; 0: none is running, as far as the leader knows. */
int muster_team_server_process(const struct muster_team *team);

/* -- places in the program ------------------------------------------------------------------ */

/* Where an address lies in the program's own image, which another process that executes the same
 * file may have elsewhere. Returns: -1: not in it (heap, stack, a library). */
int64_t muster_program_offset(const void *address);

/* The address that another process of this program gave as an offset. Returns: NULL: no such. */
const void *muster_program_address(int64_t offset);

/* -- places in libraries -------------------------------------------------------------------- */

/* A place in a file that another process may have loaded too, at another address: in a library, or
 * in another program. */
struct muster_place {
    uint64_t offset; /* from the address that the file is loaded at */
    uint64_t build;  /* hash of the file's build-id; never 0 */
    uint64_t name;   /* hash of the file's name without folders, by which another build is told from
                        none; 0: it is the program's own file */
};

/* Where an address lies in the file that it was loaded from.
 *
 * Returns: 0; -ENOENT: it lies in no file (heap, stack, made at run time); -ENODATA: the file has
 * no build-id (`-Wl,--build-id` makes the linker write one). */
int muster_place_find(const void *address, struct muster_place *place);

/* The address that another process gave as a place.
 *
 * Returns: 0; -ENOENT: this process has not loaded the file; -ESTALE: it has loaded a file of that
 * name, and another build of it. */
int muster_place_address(const struct muster_place *place, const void **address);

#ifdef __cplusplus
}
#endif

#endif
