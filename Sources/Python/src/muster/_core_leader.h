/* _core_leader.h - what the leader's parts of the extension share. */
#ifndef MUSTER_PYTHON_LEADER_H
#define MUSTER_PYTHON_LEADER_H

#include "_core.h"

#include <sys/stat.h>

/* A team, and this process as its leader. */
typedef struct {
    PyObject head;
    struct muster_leader *leader;
    unsigned long thread;
    int pid;
    unsigned forks; /* when it was made */
    int running;
    PyThreadState *state; /* while a loop runs, of the thread that runs it */
    PyObject *tick;       /* called about ten times a second while a loop runs; NULL */
    PyObject *raised[3];  /* by it, or by a signal's handler */
    struct muster_array **doomed;
    size_t doomed_count, doomed_room;
    struct stat outputs[2]; /* where descriptors 1 and 2 led when the server was started */
} Leader;

/* The shared memory of an array. */
typedef struct {
    PyObject head;
    Leader *leader;
    struct muster_array *array;
    char *address;
    Py_ssize_t bytes;
    int is_read_only;
    unsigned long long number; /* no other memory of this process has had it */
} Memory;

extern PyTypeObject *muster_python_memory_type;

/* Sets the exception for an error of the library's. Returns: NULL. */
PyObject *muster_python_refuse(const struct muster_error *error);

/* Whether this thread may use the leader now. Returns: 0, or -1 with an exception. */
int muster_python_check(Leader *self);

/* Whether this process is the one that has made the leader: no child of a fork. */
int muster_python_is_own(const Leader *self);

/* Methods of a leader: see _core_loop.c. */
PyObject *muster_python_run(Leader *self, PyObject *arguments);
PyObject *muster_python_reduce(Leader *self, PyObject *arguments);
PyObject *muster_python_report(Leader *self, PyObject *unused);

#endif
