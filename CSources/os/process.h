/* process.h - the system calls behind starting other programs and forwarding what they write.
 * Private to the C core. The contract is that of os.h.
 */
#ifndef MUSTER_OS_PROCESS_H
#define MUSTER_OS_PROCESS_H

#include <muster/base.h>
#include <muster/tool/supervisor.h>

#include "os/os.h"

/* A limit that could not be looked at. */
#define MUSTER__UNCHANGED UINT64_MAX

/* What a program is started with. */
struct muster__program {
    const char *name; /* as execvp finds it */
    const char *const *arguments;
    const char *const *environment;
    const int *descriptors;  /* three, that become 0, 1 and 2 */
    const uint64_t *cpus;    /* a mask of cpu_bits, or NULL: as inherited */
    const uint64_t *nodes;   /* a mask of node_bits, for policy */
    const uint64_t *ignored; /* signals by number - 1 that stay ignored; all others are default */
    uint64_t open_files;     /* the soft limit it gets; MUSTER__UNCHANGED: as inherited */
    uint32_t cpu_bits;
    uint32_t node_bits;
    int policy; /* MPOL_*, or -1: as inherited */
};

/* Starts a program in a process group of its own that dies with the calling thread. Returns: its
 * pid; -ECHILD: it was started and has ended again, because a step failed; *step says which, and
 * *step_status how. A step that is not fatal (MUSTER_STEP_CPU) is told with a pid. */
int muster__os_start_program(const struct muster__program *program, uint32_t *step,
                             int *step_status);

/* A child that has ended, reaped. 1: there was one; 0: none has; -ECHILD: there is none. */
int muster__os_reap_any(int *pid, int *code, int *status);
int muster__os_reap_child(int child, int *code, int *status); /* this one only */
bool muster__os_has_children(void);                           /* also such as have ended */
int muster__os_signal_process(int pid, int signal);           /* negative: a process group */
int muster__os_stop_self(void); /* SIGSTOP, until somebody continues us */

/* Blocks these signals in this thread (before: what was blocked) and gives a descriptor that they
 * come by. */
int muster__os_signals_open(uint64_t signals, uint64_t *before);
void muster__os_signals_close(int fd, uint64_t before);
int muster__os_signals_next(int fd);            /* a number; 0: none has come */
void muster__os_signals_mask(uint64_t signals); /* blocks these and no others */
int muster__os_signal_with_parent(int number);  /* when the thread that forked us ends */
void muster__os_continue_stopped(int child);    /* if it has stopped since the last call */
/* Ends this process as another one has, by waitid's code and status. */
_Noreturn void muster__os_end_like(int code, int status);
int muster__os_ignored_signals(uint64_t *signals);
int muster__os_ignore_signal(int number, bool ignore);

/* The soft limit of open descriptors, raised as far as it goes; before: as it was, or
 * MUSTER__UNCHANGED. */
int muster__os_raise_open_files(uint64_t *before);
void muster__os_restore_open_files(uint64_t before);

/* Made where it is not there. append: not emptied; each write goes to its end. */
int muster__os_open_output(const char *path, bool append);
int muster__os_pipe(int ends[2]); /* close-on-exec; the reading end does not block */
int muster__os_nonblocking(int fd);
int muster__os_blocking(int fd);

/* What a descriptor is, as far as writing without blocking goes. */
struct muster__sink {
    uint64_t device, file; /* which file it is */
    bool is_writable;      /* opened to be written to */
    bool is_stream;        /* pipe or terminal: may block */
    bool is_socket;
};
int muster__os_sink(int fd, struct muster__sink *sink);
/* The same pipe or terminal once more, opened not to block: the flag is the file description's, and
 * other processes share that one. */
int muster__os_reopen_nonblocking(int fd);

/* What can be had at once. -EAGAIN: nothing; 0: the end. */
int64_t muster__os_read_some(int fd, void *buffer, size_t size_bytes);
/* What fits at once, some of it; -EAGAIN: nothing fits. */
int64_t muster__os_write_some(int fd, const void *buffer, size_t size_bytes);
int64_t muster__os_send_some(int socket, const void *buffer, size_t size_bytes);
int muster__os_is_writable(int fd);

/* Waits until one of these is readable. ready: a bit each. 0: time-out or a signal. */
int muster__os_wait_readable_any(const int *fds, uint32_t count, int timeout_ms, uint64_t *ready);
int muster__os_epoll_add_writable(int epoll, int fd, uint64_t tag);

bool muster__os_is_terminal(int fd);
void muster__os_leave_session(void);         /* for one of its own */
bool muster__os_is_foreground(int terminal); /* this process may read from it */

#endif
