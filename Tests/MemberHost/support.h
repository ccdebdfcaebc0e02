/* support.h - a launcher for tests: forks the ranks of a team, watches them, and says how each
 * ended.
 *
 * What ranks find out goes into shared memory that the test maps before it starts them. A check
 * that fails says where and ends its process with status 1; a team that hangs is ended by the
 * test's own watchdog with status 3, so a hang is never taken for anything else.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <muster/core/launcher.h>
#include <muster/member.h>
#include <muster/testing.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define RANKS_MOST 16u

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__FILE__, __LINE__, #condition);                                                  \
    } while (0)

/* The status of a call, expected to be `wanted`. */
#define CHECK_STATUS(call, wanted)                                                                 \
    do {                                                                                           \
        int status_of_call = (call);                                                               \
        if (status_of_call != (wanted))                                                            \
            fail_status(__FILE__, __LINE__, #call, status_of_call, (wanted));                      \
    } while (0)

_Noreturn void fail(const char *file, int line, const char *what);
_Noreturn void fail_status(const char *file, int line, const char *what, int status, int wanted);

/* What follows the death of a rank. */
enum policy { LOSE, RESTART };

struct team {
    uint32_t size;
    enum policy policy;
    uint32_t restarts_most; /* of all ranks together; then they are lost */
    int32_t spin_ns;        /* of the launcher's options */
    /* A rank's program, in a process of its own. Its result is the process's exit status. */
    int (*program)(struct team *team, uint32_t rank, uint32_t incarnation);
    void *context; /* in shared memory */
    void (*event)(struct team *team, const struct muster_launcher_event *event); /* or NULL */

    /* Filled in. */
    struct muster_launcher *launcher;
    char address[MUSTER_NAME_BYTES];
    pid_t pids[RANKS_MOST];   /* 0: none */
    int statuses[RANKS_MOST]; /* of the process that had the rank last, as waitpid gives it */
    uint32_t joined, refused, left, died, restarts;
};

/* Runs a team to its end. */
void run_team(struct team *team);

/* Ends whatever is left, and the launcher. Audits can be read before. */
void end_team(struct team *team);

/* Whether a rank's last process ended by itself with status 0, or was killed. */
bool ended_well(const struct team *team, uint32_t rank);
bool was_killed(const struct team *team, uint32_t rank);

/* Every rank is one or the other; says which is not. */
void check_ends(const struct team *team);

/* Forks. In the child, which ends with its parent: 0. */
pid_t fork_child(void);

/* Joins as the rank of a team. */
struct muster_member *join_as(const struct team *team, uint32_t rank);

/* How join_told tells a process its place: by options, or by variables. */
extern bool told_by_environment;

/* muster_join_with, or muster_join under variables that say the same. options: with an address. */
int join_told(const struct muster_join_options *options, struct muster_member **me);

/* A launcher in this process. */
struct muster_launcher *launcher_of(uint32_t size);

/* Serves a launcher until a child has ended. Returns: its exit status. */
int serve_until_end(struct muster_launcher *launcher, pid_t child,
                    struct muster_launcher_event *last);

/* Joins in a child. Returns: the status of the join there. */
int join_elsewhere(struct muster_launcher *launcher, const char *address, uint32_t rank, bool stays,
                   pid_t *process, struct muster_launcher_event *event);

/* Zeroed memory that forked processes share. */
void *shared(size_t size_bytes);

/* Seconds until a hang is ended. */
void watch(unsigned seconds);

/* A small generator (xorshift64*), the same everywhere. */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);
uint32_t random_below(struct random *random, uint32_t limit);

/* Scenarios. arguments: after the scenario's name. */
int join_errors(int count, char **arguments);
int raised_join(int count, char **arguments);
int call_errors(int count, char **arguments);
int launcher_errors(int count, char **arguments);
int callers(int count, char **arguments);
int joining(int count, char **arguments);
int notes(int count, char **arguments);
int giving_up(int count, char **arguments);
int guard(int count, char **arguments);
int loops(int count, char **arguments);
int loop_errors(int count, char **arguments);
int deaths(int count, char **arguments);
int adoption(int count, char **arguments);
int recovery(int count, char **arguments);
int replacement(int count, char **arguments);
int rows(int count, char **arguments);
int history(int count, char **arguments);
int same_bits(int count, char **arguments);
int symbols(int count, char **arguments);
int stray(int count, char **arguments);
int grandchild(int count, char **arguments);
int launcher_death(int count, char **arguments);
int faults(int count, char **arguments);
int example(int count, char **arguments);
int interruption(int count, char **arguments);
int launcher_gone(int count, char **arguments);
int supervision(int count, char **arguments);
int copies(int count, char **arguments);
int bench(int count, char **arguments);

#endif
