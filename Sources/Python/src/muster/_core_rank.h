/* _core_rank.h - what the parts of the extension share that run in ranks. */
#ifndef MUSTER_PYTHON_RANK_H
#define MUSTER_PYTHON_RANK_H

#include "_core.h"

#define LENT_MOST MUSTER_USES_MAX

/* An array that is lent chunk by chunk. */
struct lent {
    int position;    /* among the function's arguments */
    uint32_t use;    /* its number in the loop */
    uint32_t access; /* enum muster_access */
    int dimensions;
    npy_intp shape[NPY_MAXDIMS]; /* the first is the chunk's rows, and set for each chunk */
    npy_intp element_bytes, row_elements;
    PyArray_Descr *descr;
    PyObject *view; /* of the last chunk, to be used again; NULL: none */
};

/* What the order of a serial number is, in this process. */
struct task {
    uint64_t serial; /* 0: none */
    PyObject *function;
    PyObject *template; /* arguments, with None where something is lent */
    Py_ssize_t argument_count;
    struct lent lent[LENT_MOST];
    int lent_count;
    PyArray_Descr *partial_descr; /* of a reduction; NULL: it is none */
    int partial_dimensions;
    npy_intp partial_shape[NPY_MAXDIMS];
    uintptr_t code;   /* of a native or compiled kernel */
    uintptr_t extras; /* of a compiled one: where its whole arrays are listed */
};

/* Hidden: looked at in each chunk, without a way by a table of the library's. */
#pragma GCC visibility push(hidden)

/* The order that this process works on. */
extern struct task muster_python_task;
/* muster._rank; NULL before the first chunk. */
extern PyObject *muster_python_rank_module;

/* Sends the exception that is set to the leader. Returns: the kernel's status, above 0. */
int muster_python_fail(const struct muster_work *work);

/* What each kernel does first: this rank's Python begins, the order is read. Returns: 0, or a
 * status. */
int muster_python_enter(const struct muster_work *work, const struct order **order);

#pragma GCC visibility pop

#endif
