/* _core_member.c - a rank of a program that `muster run` has started: muster/member.h for Python.
 *
 * What is called in which order, and with what, member.py decides. Here a member that has left and
 * a loop that is over are never touched.
 */
#define _GNU_SOURCE
#include "_core.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static PyObject *status_error; /* muster._core.StatusError */

typedef struct {
    PyObject head;
    struct muster_member *member;    /* NULL: it has left */
    struct muster_member_loop *loop; /* the one that was begun last; NULL: none */
} Member;

static PyObject *refuse(int status, const char *words)
{
    PyObject *arguments = Py_BuildValue("(is)", status, words);
    if (arguments)
        PyErr_SetObject(status_error, arguments);
    Py_XDECREF(arguments);
    return NULL;
}

static PyObject *answer(int status)
{
    if (status < 0)
        return refuse(status, muster_status_text(status));
    return PyLong_FromLong(status);
}

static int is_here(Member *self)
{
    if (self->member)
        return 1;
    refuse(-ESHUTDOWN, "this member has left its team, and can't be used any more");
    return 0;
}

static int has_loop(Member *self)
{
    if (!is_here(self))
        return 0;
    if (self->loop)
        return 1;
    refuse(-EINVAL, "no loop is open");
    return 0;
}

/* Member(): joins. */
static PyObject *member_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    (void)names;
    if (!PyArg_ParseTuple(arguments, ""))
        return NULL;
    struct muster_member *member = NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS status = muster_join(&member);
    Py_END_ALLOW_THREADS if (status < 0)
    {
        char text[1024] = "";
        muster_join_advice(status, text, sizeof text);
        return refuse(status, text[0] ? text : muster_status_text(status));
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Member *self = (Member *)allocate(type, 0);
    if (self)
        self->member = member;
    else
        muster_leave(member);
    return (PyObject *)self;
}

static void member_free(Member *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    /* One that has not left stays: its process's end is what the launcher is to see. */
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *member_describe(Member *self, PyObject *unused)
{
    struct muster_member_description about = {.size_bytes = sizeof about};
    (void)unused;
    if (!is_here(self))
        return NULL;
    int status = muster_member_describe(self->member, &about);
    if (status < 0)
        return answer(status);
    return Py_BuildValue("(IIIIiiIi)", about.rank, about.size, about.global_rank, about.global_size,
                         about.node, about.cpu, about.incarnation, (int)about.alone);
}

static PyObject *member_alive(Member *self, PyObject *rank)
{
    unsigned long number = PyLong_AsUnsignedLong(rank);
    if (PyErr_Occurred() || !is_here(self))
        return NULL;
    return PyBool_FromLong(muster_member_alive(self->member, (uint32_t)number));
}

/* leave(arrays): tuples (address, bytes) of arrays that are still in use. They stay where they are:
 * a second mapping of each takes the place of the one that goes with the member. */
static PyObject *member_leave(Member *self, PyObject *arrays)
{
    Py_ssize_t count = PyList_Size(arrays);
    if (count < 0 || !is_here(self))
        return NULL;
    struct kept {
        char *address, *copy;
        size_t bytes;
    } *kept = PyMem_Calloc((size_t)count + 1, sizeof *kept);
    if (!kept)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        unsigned long long address;
        Py_ssize_t bytes;
        if (!PyArg_ParseTuple(PyList_GetItem(arrays, i), "Kn", &address, &bytes)) {
            PyMem_Free(kept);
            return NULL;
        }
        kept[i].address = (char *)(uintptr_t)address;
        kept[i].bytes = ((size_t)bytes + 4095) & ~(size_t)4095;
        /* Of a shared mapping, 0 old bytes make a second one (mremap(2)). */
        void *copy = mremap(kept[i].address, 0, kept[i].bytes, MREMAP_MAYMOVE);
        kept[i].copy = copy == MAP_FAILED ? NULL : copy;
    }
    struct muster_member *member = self->member;
    self->member = NULL;
    self->loop = NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS status = muster_leave(member);
    Py_END_ALLOW_THREADS for (Py_ssize_t i = 0; i < count; i++) if (kept[i].copy)(void) mremap(
        kept[i].copy, kept[i].bytes, kept[i].bytes, MREMAP_MAYMOVE | MREMAP_FIXED, kept[i].address);
    PyMem_Free(kept);
    return answer(status);
}

static PyObject *member_recover(Member *self, PyObject *unused)
{
    (void)unused;
    if (!is_here(self))
        return NULL;
    int status;
    self->loop = NULL;
    Py_BEGIN_ALLOW_THREADS status = muster_recover(self->member);
    Py_END_ALLOW_THREADS return answer(status);
}

static PyObject *member_barrier(Member *self, PyObject *unused)
{
    (void)unused;
    if (!is_here(self))
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS status = muster_member_barrier(self->member);
    Py_END_ALLOW_THREADS return answer(status);
}

/* array(name, bytes): its address. */
static PyObject *member_array(Member *self, PyObject *arguments)
{
    const char *name;
    unsigned long long bytes;
    if (!PyArg_ParseTuple(arguments, "sK", &name, &bytes) || !is_here(self))
        return NULL;
    void *address = NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS status = muster_member_array(self->member, name, bytes, &address);
    Py_END_ALLOW_THREADS return status < 0 ? answer(status) : PyLong_FromVoidPtr(address);
}

/* combine(how, buffer, count, type, operation, root or scan) */
static PyObject *member_combine(Member *self, PyObject *arguments)
{
    int how;
    Py_buffer data;
    unsigned long long count;
    unsigned type, operation, last;
    if (!PyArg_ParseTuple(arguments, "iw*KIII", &how, &data, &count, &type, &operation, &last))
        return NULL;
    int status = -EINVAL;
    if (!is_here(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS if (how == 0) status =
        muster_member_broadcast(self->member, data.buf, (uint64_t)data.len, last);
    else if (how == 1) status =
        muster_member_reduce(self->member, data.buf, count, type, operation, last);
    else if (how == 2) status =
        muster_member_all_reduce(self->member, data.buf, count, type, operation);
    else status = muster_member_scan(self->member, data.buf, count, type, operation, last);
    Py_END_ALLOW_THREADS PyBuffer_Release(&data);
    return answer(status);
}

/* begin(name, elements, grain, schedule, batch, adopts, partial_bytes): chunks of the loop. */
static PyObject *member_begin(Member *self, PyObject *arguments)
{
    const char *name;
    unsigned long long elements, grain, batch;
    unsigned schedule, partial_bytes;
    int adopts;
    if (!PyArg_ParseTuple(arguments, "sKKIKpI", &name, &elements, &grain, &schedule, &batch,
                          &adopts, &partial_bytes) ||
        !is_here(self))
        return NULL;
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .schedule = schedule,
                                                 .elements = elements,
                                                 .grain = grain,
                                                 .batch = batch,
                                                 .partial_bytes = partial_bytes,
                                                 .flags = adopts ? MUSTER_LOOP_ADOPT : 0,
                                                 .name = name};
    struct muster_member_loop *loop = NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS status = muster_member_loop_begin(self->member, &options, &loop);
    Py_END_ALLOW_THREADS if (status < 0) return answer(status);
    self->loop = loop;
    return PyLong_FromUnsignedLongLong(muster_member_loop_chunks(loop));
}

/* next(): (index, first, end), or None. */
static PyObject *member_next(Member *self, PyObject *unused)
{
    (void)unused;
    if (!has_loop(self))
        return NULL;
    struct muster_chunk chunk;
    int status;
    if (self->loop->cursor.next != self->loop->cursor.end) {
        status = muster_member_loop_next(self->loop, &chunk); /* mostly at hand: without a wait */
    } else {
        Py_BEGIN_ALLOW_THREADS status = muster_member_loop_next(self->loop, &chunk);
        Py_END_ALLOW_THREADS
    }
    if (status < 0)
        return answer(status);
    if (status == 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(KKK)", (unsigned long long)chunk.index, (unsigned long long)chunk.first,
                         (unsigned long long)chunk.end);
}

static int read_chunk(PyObject *arguments, struct muster_chunk *chunk)
{
    unsigned long long index, first, end;
    if (!PyArg_ParseTuple(arguments, "KKK", &index, &first, &end))
        return 0;
    *chunk = (struct muster_chunk){index, first, end};
    return 1;
}

static PyObject *member_commit(Member *self, PyObject *arguments)
{
    struct muster_chunk chunk;
    if (!read_chunk(arguments, &chunk) || !has_loop(self))
        return NULL;
    muster_member_loop_commit(self->loop, &chunk);
    Py_RETURN_NONE;
}

/* partial(index, first, end): the address; 0: the loop has none. */
static PyObject *member_partial(Member *self, PyObject *arguments)
{
    struct muster_chunk chunk;
    if (!read_chunk(arguments, &chunk) || !has_loop(self))
        return NULL;
    return PyLong_FromVoidPtr(muster_member_loop_partial(self->loop, &chunk));
}

/* end(): (status, chunks, exactly_once, missing, repeated, adopted, own, deaths, elements, grain)
 */
static PyObject *member_end(Member *self, PyObject *unused)
{
    (void)unused;
    if (!has_loop(self))
        return NULL;
    struct muster_report report = {.size_bytes = sizeof report};
    int status;
    Py_BEGIN_ALLOW_THREADS status = muster_member_loop_end(self->loop, &report);
    Py_END_ALLOW_THREADS if (status < 0 && status != -EBADMSG) return answer(status);
    return Py_BuildValue("(iKKKKKKKKK)", status, (unsigned long long)report.chunks,
                         (unsigned long long)report.exactly_once,
                         (unsigned long long)report.missing, (unsigned long long)report.repeated,
                         (unsigned long long)report.adopted, (unsigned long long)report.own,
                         (unsigned long long)report.death_count,
                         (unsigned long long)report.elements, (unsigned long long)report.grain);
}

/* loop_reduce(result, type, operation) */
static PyObject *member_loop_reduce(Member *self, PyObject *arguments)
{
    Py_buffer result;
    unsigned type, operation;
    if (!PyArg_ParseTuple(arguments, "w*II", &result, &type, &operation))
        return NULL;
    int status = -1;
    if (has_loop(self))
        status = muster_member_loop_reduce(self->loop, type, operation, result.buf);
    PyBuffer_Release(&result);
    return PyErr_Occurred() ? NULL : answer(status);
}

static PyMethodDef methods[] = {
    {"describe", (PyCFunction)member_describe, METH_NOARGS, NULL},
    {"alive", (PyCFunction)member_alive, METH_O, NULL},
    {"leave", (PyCFunction)member_leave, METH_O, NULL},
    {"recover", (PyCFunction)member_recover, METH_NOARGS, NULL},
    {"barrier", (PyCFunction)member_barrier, METH_NOARGS, NULL},
    {"array", (PyCFunction)member_array, METH_VARARGS, NULL},
    {"combine", (PyCFunction)member_combine, METH_VARARGS, NULL},
    {"begin", (PyCFunction)member_begin, METH_VARARGS, NULL},
    {"next", (PyCFunction)member_next, METH_NOARGS, NULL},
    {"commit", (PyCFunction)member_commit, METH_VARARGS, NULL},
    {"partial", (PyCFunction)member_partial, METH_VARARGS, NULL},
    {"end", (PyCFunction)member_end, METH_NOARGS, NULL},
    {"loop_reduce", (PyCFunction)member_loop_reduce, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};
static PyType_Slot slots[] = {
    {Py_tp_doc, "A rank of a launched program. Private: see muster.join."},
    {Py_tp_new, member_new},
    {Py_tp_dealloc, member_free},
    {Py_tp_methods, methods},
    {0, NULL}};
static PyType_Spec spec = {"muster._core.Member", sizeof(Member), 0, Py_TPFLAGS_DEFAULT, slots};

int muster_python_add_member(PyObject *module)
{
    status_error = PyErr_NewExceptionWithDoc("muster._core.StatusError",
                                             "(negative errno, message)", NULL, NULL);
    PyObject *type = PyType_FromSpec(&spec);
    if (!status_error || !type || PyModule_AddObjectRef(module, "StatusError", status_error) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "Member", type);
}
