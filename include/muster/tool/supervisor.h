/* supervisor.h - a process that starts other programs, and ends all that comes of them.
 *
 * For Muster's own tool: `muster run` is one. Not part of muster.h and not installed. A supervisor
 * is a new process: the one that asks for it becomes its guard, tells it of every signal that it
 * gets, and ends as it ends; between them is a keeper, in a session of its own. Orphans among
 * their descendants become their children (PR_SET_CHILD_SUBREAPER), so that nobody gets away by
 * forking twice; and where any of the three is killed, or all that is in the guard's process group,
 * the others end all that is left. Only the guard can be stopped; SIGTSTP stops it, and the
 * supervisor is told by the number of that signal. A process that has children already when it asks
 * adopts and ends none: it waits in front of the three. A supervisor ignores the signals that its
 * guard gets for it, SIGPIPE, SIGXFSZ, SIGTTIN and SIGTTOU, and takes the default for SIGCHLD. Its
 * soft limit of open files is the hard one. Standard descriptors that are closed are opened: input
 * has nothing in it, output refuses every write with -EBADF, and what is written to the errors
 * vanishes. Programs have none of that. They have default signals, an empty mask, the old limit, a
 * process group of their own, and SIGKILL when the supervisor ends. HUP, INT, QUIT, TERM, USR1,
 * USR2 and the signals of job control stay ignored if they were ignored from the start, as nohup
 * means it. One supervisor a process, all by one thread.
 */
#ifndef MUSTER_TOOL_SUPERVISOR_H
#define MUSTER_TOOL_SUPERVISOR_H

#include <muster/base.h>
#include <muster/core/binding.h>
#include <muster/core/placement.h>

#ifdef __cplusplus
extern "C" {
#endif

struct muster_supervisor;

/* Steps on the way to a running program. */
enum muster_step {
    MUSTER_STEP_NONE = 0,
    MUSTER_STEP_START,     /* descriptors, death signal */
    MUSTER_STEP_CPU,       /* sched_setaffinity: the only one that it goes on without */
    MUSTER_STEP_PLACEMENT, /* set_mempolicy */
    MUSTER_STEP_PROGRAM    /* the exec */
};

/* What a program is started with. */
struct muster_program {
    const char *name;               /* with a slash: a path; without: looked for in PATH */
    const char *const *arguments;   /* NULL-ended, the first by custom the name */
    const char *const *environment; /* NULL-ended */
    int32_t input, output, errors;  /* descriptors that become its 0, 1 and 2 */
    uint32_t cpu;                   /* to be bound to, or MUSTER_NO_CPU: to all that this process
                                       may use */
    uint32_t home;                  /* node for MUSTER_BLOCKED */
    uint32_t reserved;
    const struct muster_placement *placement; /* policy of its memory; NULL: as inherited */
};

/* Makes a supervisor: returns in a new process, see above; the calling one becomes its guard.
 *
 * Returns: 0; -EBUSY: this process is a supervisor, or has threads, which a fork would lose;
 * -ENOENT: /proc is not there, by which descendants are found. Any other negative errno: in the
 * calling process that of a step before the fork; in the new process that of a later step. The new
 * process is no supervisor then, and its guard ends with it. */
int muster_supervisor_create(struct muster_supervisor **supervisor);

/* Gives back what muster_supervisor_create changed. Programs that run are not its business: end
 * them first. NULL is allowed. */
void muster_supervisor_destroy(struct muster_supervisor *supervisor);

/* Opens a file for a program's output, and makes the directories above it.
 *
 * append: goes on behind what is in it; otherwise it is emptied. Returns: a descriptor,
 * close-on-exec, the caller's; or a negative errno: -ENOTDIR, -EACCES, ... */
int muster_supervisor_open_output(const char *path, bool append);

/* Opens an input that has nothing in it. Returns: as muster_supervisor_open_output. */
int muster_supervisor_open_nothing(void);

/* Closes what the two above have opened, or what a relay has. */
void muster_supervisor_close(int descriptor);

/* Whether a descriptor is a terminal. */
bool muster_supervisor_is_terminal(int descriptor);

/* Starts a program.
 *
 * Placements say what a process's own memory gets. MUSTER_FIRST_TOUCH is the kernel's default, for
 * any inherited policy. MUSTER_BIND is only that node. MUSTER_INTERLEAVE is page by page over those
 * nodes, or over all with memory that may be used. MUSTER_BLOCKED is its home node first, then
 * others. step: where it failed, or, on success, MUSTER_STEP_CPU where it could not be bound.
 * step_status: the negative errno of that step.
 * Returns: its pid; -ECHILD: a step failed, and nothing is left of it; -EINVAL: a placement that is
 * none of these; or a negative errno of a pipe or a fork. */
int muster_supervisor_start(struct muster_supervisor *supervisor,
                            const struct muster_program *program, uint32_t *step,
                            int32_t *step_status);

/* Says why a program could not be executed, where an errno alone would mislead: its interpreter is
 * not there, it is a directory, or nobody may execute it.
 *
 * name, status: of the program and of MUSTER_STEP_PROGRAM. text: receives a part of a line.
 * Returns: 1; 0: there is no more to say than the errno does, and text is left alone. */
int muster_supervisor_explain(const char *name, int32_t status, char *text, size_t size_bytes);

/* Readable when a signal has come, or a child has ended. */
int muster_supervisor_descriptor(const struct muster_supervisor *supervisor);

/* The next signal that came, by number: INT, TERM, HUP, QUIT, USR1, USR2, TSTP, CONT, or CHLD for
 * an end among the children. 0: none. */
int muster_supervisor_signal(struct muster_supervisor *supervisor);

/* Reaps a child, started or adopted.
 *
 * exit_code: what it exited with; signal: what killed it, or 0.
 * Returns: 1; 0: none has ended; -ECHILD: no descendant is left. */
int muster_supervisor_reap(struct muster_supervisor *supervisor, int32_t *pid, int32_t *exit_code,
                           int32_t *signal);

/* Sends a signal to the process group of a program that is not reaped yet. Returns: 0; -ESRCH. */
int muster_supervisor_forward(struct muster_supervisor *supervisor, int32_t pid, int signal);

/* Sends a signal to every descendant, in any group or session.
 *
 * A descendant that forks meanwhile may leave one that got none: with SIGKILL call it again until
 * muster_supervisor_reap says -ECHILD. Returns: how many got it, or a negative errno of /proc. */
int muster_supervisor_signal_all(struct muster_supervisor *supervisor, int signal);

/* Waits until one of at most 64 descriptors is readable.
 *
 * ready: a bit for each that is. timeout_ms: -1: for ever. Returns: 0 or a negative errno. */
int muster_supervisor_wait(const int *descriptors, uint32_t count, int timeout_ms, uint64_t *ready);

#ifdef __cplusplus
}
#endif

#endif
