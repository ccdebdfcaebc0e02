/* _core_task.c - how a rank gets from an order, the bytes that come with a loop, to a function and
 * what is lent to it; and how a failure gets back.
 */
#include "_core_rank.h"

#include <string.h>

struct task muster_python_task;
PyObject *muster_python_rank_module;
static int is_relayed;

/* -- errors --------------------------------------------------------------------------------- */

int muster_python_fail(const struct muster_work *work)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value && trace)
        PyException_SetTraceback(value, trace);
    int status = 0;
    PyObject *chunk = muster_python_lend_chunk(work);
    PyObject *answer =
        chunk && value ? PyObject_CallMethod(muster_python_rank_module, "fail", "OO", value, chunk)
                       : NULL;
    const char *text = NULL;
    if (answer && PyArg_ParseTuple(answer, "is", &status, &text))
        muster_work_explain(work, text);
    else
        muster_work_explain(work, "the function raised, and its exception can't be sent");
    PyErr_Clear();
    Py_XDECREF(answer);
    Py_XDECREF(chunk);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return status > 0 ? status : INT32_MAX;
}

/* -- tasks ---------------------------------------------------------------------------------- */

static void forget(struct task *task)
{
    task->serial = 0;
    for (int i = 0; i < task->lent_count; i++) {
        Py_CLEAR(task->lent[i].view);
        Py_CLEAR(task->lent[i].descr);
    }
    task->lent_count = 0;
    Py_CLEAR(task->function);
    Py_CLEAR(task->template);
    Py_CLEAR(task->partial_descr);
}

static int read_shape(PyObject *tuple, npy_intp *shape, int most)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (count < 0 || count > most)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        shape[i] = PyLong_AsSsize_t(PyTuple_GetItem(tuple, i));
    return PyErr_Occurred() ? -1 : (int)count;
}

/* item: (position, use, access, dtype, shape of a row). */
static int read_lent(PyObject *item, struct lent *lent)
{
    PyObject *dtype, *row;
    if (!PyArg_ParseTuple(item, "iIIOO!", &lent->position, &lent->use, &lent->access, &dtype,
                          &PyTuple_Type, &row) ||
        !PyArray_DescrConverter(dtype, &lent->descr))
        return -1;
    int count = read_shape(row, lent->shape + 1, NPY_MAXDIMS - 1);
    if (count < 0)
        return -1;
    lent->dimensions = count + 1;
    lent->element_bytes = PyDataType_ELSIZE(lent->descr);
    lent->row_elements = 1;
    for (int i = 1; i < lent->dimensions; i++)
        lent->row_elements *= lent->shape[i];
    return 0;
}

/* Addresses of the arrays that are read as a whole: by the number of their use. */
static PyObject *inputs_of(const struct muster_work *work, uint64_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint64_t i = 0; list && i < count; i++) {
        PyObject *address =
            PyLong_FromVoidPtr((void *)(uintptr_t)muster_work_input(work, (uint32_t)i));
        if (!address || PyList_SetItem(list, (Py_ssize_t)i, address) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* Reads an order that this process has not seen, or has forgotten. Returns: 0, or -1 with an
 * exception. */
static int load(const struct muster_work *work, const struct order *order)
{
    forget(&muster_python_task);
    const char *payload = (const char *)(order + 1) + order->argument_bytes;
    /* The arrays that are read as a whole are the first uses: their number is in `reserved`. */
    PyObject *inputs = inputs_of(work, order->reserved);
    PyObject *bytes = PyBytes_FromStringAndSize(payload, order->payload_bytes);
    PyObject *answer = inputs && bytes
                           ? PyObject_CallMethod(muster_python_rank_module, "load", "KOO",
                                                 (unsigned long long)order->serial, bytes, inputs)
                           : NULL;
    Py_XDECREF(inputs);
    Py_XDECREF(bytes);
    if (!answer)
        return -1;
    PyObject *function, *template, *lent, *dtype, *shape;
    unsigned long long code, extras;
    int status = -1;
    if (!PyArg_ParseTuple(answer, "OO!O!OO!KK", &function, &PyTuple_Type, &template, &PyTuple_Type,
                          &lent, &dtype, &PyTuple_Type, &shape, &code, &extras))
        goto done;
    Py_ssize_t count = PyTuple_Size(lent);
    for (Py_ssize_t i = 0; i < count && i < (Py_ssize_t)LENT_MOST; i++) {
        struct lent *one = &muster_python_task.lent[i];
        memset(one, 0, sizeof *one);
        muster_python_task.lent_count = (int)i + 1;
        if (read_lent(PyTuple_GetItem(lent, i), one) < 0)
            goto done;
    }
    if (dtype != Py_None) {
        if (!PyArray_DescrConverter(dtype, &muster_python_task.partial_descr))
            goto done;
        muster_python_task.partial_dimensions =
            read_shape(shape, muster_python_task.partial_shape, NPY_MAXDIMS);
        if (muster_python_task.partial_dimensions < 0)
            goto done;
    }
    Py_INCREF(function);
    Py_INCREF(template);
    muster_python_task.function = function;
    muster_python_task.template = template;
    muster_python_task.argument_count = PyTuple_Size(template);
    muster_python_task.code = (uintptr_t)code;
    muster_python_task.extras = (uintptr_t)extras;
    muster_python_task.serial = order->serial;
    status = 0;
done:
    if (status < 0)
        forget(&muster_python_task);
    Py_DECREF(answer);
    return status;
}

int muster_python_enter(const struct muster_work *work, const struct order **order)
{
    *order = work->arguments;
    if (__builtin_expect(!muster_python_rank_module, 0)) {
        PyOS_AfterFork_Child();
        muster_python_rank_module = PyImport_ImportModule("muster._rank");
        PyObject *answer = muster_python_rank_module
                               ? PyObject_CallMethod(muster_python_rank_module, "begin", "II",
                                                     work->rank, work->size)
                               : NULL;
        if (!answer) {
            PyErr_Print();
            muster_work_explain(work, "this rank's Python can't begin: see its standard error");
            return INT32_MAX;
        }
        Py_DECREF(answer);
    }
    int relayed = ((*order)->flags & ORDER_RELAY) != 0;
    if (__builtin_expect(relayed != is_relayed, 0)) {
        PyObject *answer = PyObject_CallMethod(muster_python_rank_module, "relay", "i", relayed);
        if (!answer)
            return muster_python_fail(work);
        Py_DECREF(answer);
        is_relayed = relayed;
    }
    if (__builtin_expect((*order)->serial != muster_python_task.serial, 0) &&
        load(work, *order) < 0)
        return muster_python_fail(work);
    return 0;
}
