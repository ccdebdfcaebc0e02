/* _core.h - what the parts of the extension share. */
#ifndef MUSTER_PYTHON_CORE_H
#define MUSTER_PYTHON_CORE_H

/* One binary for Python 3.11 and later. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <muster/muster.h>

#define NPY_NO_DEPRECATED_API  NPY_1_23_API_VERSION
#define NPY_TARGET_VERSION     NPY_1_23_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL muster_python_array_api
#ifndef MUSTER_PYTHON_IMPORTS_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

/* The head of an order: of what a leader sends along with each loop, at the start of the kernel's
 * arguments. A payload in bytes follows; for the rank's Python it says the rest. */
struct order {
    uint64_t serial; /* of the payload: two orders with one serial have the same */
    uint32_t flags;  /* enum order_flag */
    uint32_t
        argument_bytes; /* of a native kernel: they follow the head, the payload follows them */
    uint32_t payload_bytes;
    uint32_t reserved;
    unsigned char fill[40]; /* a native kernel's arguments are aligned to 64 bytes, as in C */
};
_Static_assert(sizeof(struct order) == 64, "the head takes a line of the cache");

enum order_flag {
    ORDER_RELAY = 1, /* what ranks print goes to the leader's files, not to descriptors 1, 2 */
    ORDER_ELEMENTWISE = 2, /* arrays are lent tile by tile */
    ORDER_NO_KEPT = 4      /* kept views are not looked for: for the test of that very check */
};

/* The C kernels, which a leader names by address and its ranks find by the file's build-id. */
int muster_python_kernel(const struct muster_work *work);
int muster_python_native(const struct muster_work *work);
int muster_python_compiled(const struct muster_work *work);

/* The chunk in work, as Python sees it. Returns: a new reference, NULL with an exception. */
PyObject *muster_python_lend_chunk(const struct muster_work *work);

/* Adds what a part has to the module. Returns: 0, or -1 with an exception. */
int muster_python_add_chunk(PyObject *module);
int muster_python_add_loop(PyObject *module);
int muster_python_add_rank(PyObject *module);
int muster_python_add_leader(PyObject *module);
int muster_python_add_member(PyObject *module);

/* A new array over memory that lives as long as `owner`.
 *
 * descr: stolen. Returns: NULL with an exception. */
PyObject *muster_python_view(PyArray_Descr *descr, int dimensions, const npy_intp *shape,
                             const npy_intp *strides, void *data, int writable, PyObject *owner);

#endif
