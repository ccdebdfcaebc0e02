/* _core_rank.c - the rank's side: kernels that call Python, a C function, or compiled numba code.
 *
 * A rank is forked by the fork server (_server.py), which has the interpreter, NumPy and the
 * modules that the user preloads. The process that forks holds the GIL in `serve` and never leaves
 * it, so a rank has it too, from its first instruction to its last.
 *
 * Invariant: a view of memory that is lent for a chunk has one reference when the function has
 * returned. If it has more, the function has kept it, and the chunk is not committed: it could be
 * written to later, when the chunk is another rank's.
 */
#include "_core_rank.h"

static PyObject *keeper; /* the base of lent views: any object that is no array */

/* -- views ---------------------------------------------------------------------------------- */

/* Whether the view of the last chunk can serve again: its function may have changed its shape, its
 * type or what it may do with it. */
static int is_as_lent(const struct lent *lent)
{
    PyArrayObject *view = (PyArrayObject *)lent->view;
    if (PyArray_NDIM(view) != lent->dimensions || PyArray_DESCR(view) != lent->descr ||
        PyArray_ISWRITEABLE(view) != (lent->access != MUSTER_ACCESS_INPUT) ||
        PyArray_BASE(view) != keeper)
        return 0;
    const npy_intp *shape = PyArray_DIMS(view), *strides = PyArray_STRIDES(view);
    npy_intp bytes = lent->element_bytes;
    for (int i = lent->dimensions - 1; i > 0; i--) {
        if (shape[i] != lent->shape[i] || strides[i] != bytes)
            return 0;
        bytes *= shape[i];
    }
    return strides[0] == bytes;
}

/* Lends elements of an array: `rows` of them, or a flat run. */
static PyObject *lend(struct lent *lent, char *data, npy_intp rows, int is_flat)
{
    /* One that an exception still holds is left to it. */
    if (!is_flat && lent->view && Py_REFCNT(lent->view) == 1 && is_as_lent(lent) &&
        PyArray_DIMS((PyArrayObject *)lent->view)[0] == rows) {
        ((PyArrayObject_fields *)lent->view)->data = data;
        return lent->view;
    }
    Py_CLEAR(lent->view);
    lent->shape[0] = rows;
    Py_INCREF((PyObject *)lent->descr);
    lent->view = muster_python_view(lent->descr, is_flat ? 1 : lent->dimensions, lent->shape, NULL,
                                    data, lent->access != MUSTER_ACCESS_INPUT, keeper);
    return lent->view;
}

/* Whether the function has kept what it was lent. The arguments' tuple is gone by now. */
static int has_kept(const struct task *task, uint32_t flags)
{
    if (flags & ORDER_NO_KEPT)
        return 0;
    for (int i = 0; i < task->lent_count; i++)
        if (__builtin_expect(task->lent[i].view && Py_REFCNT(task->lent[i].view) != 1, 0))
            return 1;
    return 0;
}

/* After has_kept: garbage in a cycle is not kept by anybody. Returns: 0, or -1 with an exception.
 */
static int check_kept(struct task *task, uint32_t flags)
{
    PyObject *answer = PyObject_CallMethod(muster_python_rank_module, "collect", NULL);
    if (!answer)
        return -1;
    Py_DECREF(answer);
    if (!has_kept(task, flags))
        return 0;
    for (int i = 0; i < task->lent_count; i++) {
        struct lent *lent = &task->lent[i];
        if (!lent->view || Py_REFCNT(lent->view) == 1)
            continue;
        /* The keeper has it now; this rank may go on to write there no more through it. */
        Py_CLEAR(lent->view);
        answer = PyObject_CallMethod(muster_python_rank_module, "kept", "i", lent->position);
        Py_XDECREF(answer);
        return -1;
    }
    return 0;
}

/* -- kernels -------------------------------------------------------------------------------- */

/* Stores what a reduction's function has returned as the chunk's partial result. */
static int store_partial(const struct muster_work *work, PyObject *result)
{
    Py_INCREF((PyObject *)muster_python_task.partial_descr);
    PyObject *view =
        muster_python_view(muster_python_task.partial_descr, muster_python_task.partial_dimensions,
                           muster_python_task.partial_shape, NULL, work->partial, 1, keeper);
    PyObject *answer =
        view ? PyObject_CallMethod(muster_python_rank_module, "store", "OO", view, result) : NULL;
    Py_XDECREF(view);
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

/* Calls the function for what is lent now. Returns: 0, or -1 with an exception. */
static int call(const struct muster_work *work, uint32_t flags)
{
    PyObject *chunk = muster_python_lend_chunk(work);
    PyObject *arguments = chunk ? PyTuple_New(muster_python_task.argument_count + 1) : NULL;
    if (!arguments) {
        Py_XDECREF(chunk);
        return -1;
    }
    PyTuple_SetItem(arguments, 0, chunk);
    for (Py_ssize_t i = 0; i < muster_python_task.argument_count; i++) {
        PyObject *item = PyTuple_GetItem(muster_python_task.template, i);
        Py_INCREF(item);
        PyTuple_SetItem(arguments, i + 1, item);
    }
    for (int i = 0; i < muster_python_task.lent_count; i++) {
        Py_INCREF(muster_python_task.lent[i].view);
        PyTuple_SetItem(arguments, muster_python_task.lent[i].position + 1,
                        muster_python_task.lent[i].view);
    }
    PyObject *result = PyObject_Call(muster_python_task.function, arguments, NULL);
    Py_DECREF(arguments);
    if (!result)
        return -1;
    int status = muster_python_task.partial_descr ? store_partial(work, result) : 0;
    Py_DECREF(result);
    if (status == 0 && __builtin_expect(has_kept(&muster_python_task, flags), 0))
        status = check_kept(&muster_python_task, flags);
    return status;
}

/* Lends the whole chunk. Returns: 0, or -1 with an exception. */
static int lend_all(const struct muster_work *work, int is_flat)
{
    for (int i = 0; i < muster_python_task.lent_count; i++) {
        struct lent *lent = &muster_python_task.lent[i];
        char *start;
        if (lent->access == MUSTER_ACCESS_INPUT)
            start = (char *)(uintptr_t)muster_work_input(work, lent->use);
        else if (lent->access == MUSTER_ACCESS_OUTPUT)
            start = muster_work_output(work, lent->use);
        else
            start = muster_work_update_whole(work, lent->use);
        npy_intp rows = (npy_intp)(work->chunk.end - work->chunk.first);
        start += (npy_intp)work->chunk.first * lent->row_elements * lent->element_bytes;
        if (!lend(lent, start, is_flat ? rows * lent->row_elements : rows, is_flat))
            return -1;
    }
    return 0;
}

/* Lends flat runs of one array's elements, as they are journaled, and of the others' the same. */
static int call_by_tiles(const struct muster_work *work, uint32_t flags)
{
    struct lent *changed = NULL;
    for (int i = 0; i < muster_python_task.lent_count; i++)
        if (muster_python_task.lent[i].access == MUSTER_ACCESS_IN_PLACE)
            changed = &muster_python_task.lent[i];
    if (!changed)
        return lend_all(work, 1) < 0 ? -1 : call(work, flags);
    char *starts[LENT_MOST];
    for (int i = 0; i < muster_python_task.lent_count; i++) {
        const struct lent *lent = &muster_python_task.lent[i];
        starts[i] = lent->access == MUSTER_ACCESS_INPUT
                        ? (char *)(uintptr_t)muster_work_input(work, lent->use)
                    : lent->access == MUSTER_ACCESS_OUTPUT ? muster_work_output(work, lent->use)
                                                           : NULL;
    }
    struct muster_tile tile = {0};
    while (muster_work_update_elements(work, changed->use, &tile)) {
        for (int i = 0; i < muster_python_task.lent_count; i++) {
            struct lent *lent = &muster_python_task.lent[i];
            char *start = lent == changed ? tile.elements : starts[i];
            if (!lend(lent, start + (npy_intp)tile.first * lent->element_bytes,
                      (npy_intp)(tile.end - tile.first), 1))
                return -1;
        }
        if (call(work, flags) < 0)
            return -1;
    }
    return 0;
}

static PyObject *flush_module; /* muster._rank, once something was printed that no line ends */

int muster_python_kernel(const struct muster_work *work)
{
    const struct order *order;
    int status = muster_python_enter(work, &order);
    if (status != 0)
        return status;
    if (order->flags & ORDER_ELEMENTWISE)
        status = call_by_tiles(work, order->flags);
    else
        status = lend_all(work, 0) < 0 ? -1 : call(work, order->flags);
    if (status < 0)
        status = muster_python_fail(work);
    if (__builtin_expect(flush_module != NULL, 0)) {
        PyObject *answer = PyObject_CallMethod(flush_module, "flush", NULL);
        if (!answer)
            PyErr_Clear();
        Py_XDECREF(answer);
    }
    return status;
}

int muster_python_native(const struct muster_work *work)
{
    const struct order *order;
    int status = muster_python_enter(work, &order);
    if (status != 0)
        return status;
    struct muster_work theirs = *work;
    theirs.arguments = order->argument_bytes ? (const void *)(order + 1) : NULL;
    return ((muster_kernel)muster_python_task.code)(&theirs);
}

/* Compiled code gets the chunk's numbers, of each lent array where it begins and how many rows (or
 * elements) it has, the numbers among the arguments twice, and where the whole arrays are listed.
 */
typedef int (*compiled)(const int64_t *chunk, char *const *starts, const int64_t *rows,
                        const void *whole, const void *real, const void *extras);

int muster_python_compiled(const struct muster_work *work)
{
    const struct order *order;
    int status = muster_python_enter(work, &order);
    if (status != 0)
        return status;
    compiled code = (compiled)muster_python_task.code;
    const int64_t numbers[] = {(int64_t)work->chunk.index, (int64_t)work->chunk.first,
                               (int64_t)work->chunk.end, work->rank, work->size};
    const void *scalars = order + 1, *extras = (const void *)muster_python_task.extras;
    char *starts[LENT_MOST];
    int64_t rows[LENT_MOST];
    int changed = -1;
    int by_tiles = (order->flags & ORDER_ELEMENTWISE) != 0;
    int64_t count = (int64_t)(work->chunk.end - work->chunk.first);
    for (int i = 0; i < muster_python_task.lent_count; i++) {
        const struct lent *lent = &muster_python_task.lent[i];
        rows[i] = by_tiles ? count * lent->row_elements : count;
        if (lent->access == MUSTER_ACCESS_IN_PLACE && by_tiles) {
            changed = i;
            continue;
        }
        starts[i] = lent->access == MUSTER_ACCESS_INPUT
                        ? (char *)(uintptr_t)muster_work_input(work, lent->use)
                    : lent->access == MUSTER_ACCESS_OUTPUT
                        ? muster_work_output(work, lent->use)
                        : muster_work_update_whole(work, lent->use);
        starts[i] += (int64_t)work->chunk.first * lent->row_elements * lent->element_bytes;
    }
    if (changed < 0) {
        status = code(numbers, starts, rows, scalars, scalars, extras);
    } else {
        struct muster_tile tile = {0};
        int64_t before = 0;
        while (status == 0 &&
               muster_work_update_elements(work, muster_python_task.lent[changed].use, &tile)) {
            int64_t length = (int64_t)(tile.end - tile.first);
            for (int i = 0; i < muster_python_task.lent_count; i++) {
                const struct lent *lent = &muster_python_task.lent[i];
                rows[i] = length;
                if (i == changed)
                    starts[i] = (char *)tile.elements + tile.first * (uint64_t)lent->element_bytes;
                else if (before > 0)
                    starts[i] += before * lent->element_bytes;
            }
            before = length;
            status = code(numbers, starts, rows, scalars, scalars, extras);
        }
    }
    if (status != 0) {
        PyObject *answer = PyObject_CallMethod(muster_python_rank_module, "compiled_failed", NULL);
        Py_XDECREF(answer);
        return muster_python_fail(work);
    }
    return 0;
}

/* -- for Python ----------------------------------------------------------------------------- */

/* serve(): becomes the fork server. In one it does not return. */
static PyObject *serve(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    /* From 3.13 on PyOS_AfterFork_Child gives back the import lock, which is taken here. Once
     * serves for all ranks: each of them gives back its own copy. */
    PyOS_BeforeFork();
    muster_leader_serve();
    PyOS_AfterFork_Parent();
    PyErr_SetString(PyExc_RuntimeError, "this process was not started as a fork server");
    return NULL;
}

/* set_unflushed(module or None): whether something was printed that no line ends. */
static PyObject *set_unflushed(PyObject *module, PyObject *flusher)
{
    (void)module;
    flush_module = flusher == Py_None ? NULL : flusher; /* borrowed: a module that stays loaded */
    Py_RETURN_NONE;
}

/* addresses(): of the three kernels, for the leader. */
static PyObject *addresses(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("(KKK)", (unsigned long long)(uintptr_t)muster_python_kernel,
                         (unsigned long long)(uintptr_t)muster_python_native,
                         (unsigned long long)(uintptr_t)muster_python_compiled);
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_NOARGS,
     "serve()\n--\n\nBecomes the fork server: does not return in one."},
    {"set_unflushed", set_unflushed, METH_O,
     "set_unflushed(module, /)\n--\n\nWho flushes after this chunk."},
    {"addresses", addresses, METH_NOARGS, "addresses()\n--\n\nThe kernels' addresses."},
    {NULL, NULL, 0, NULL}};

int muster_python_add_rank(PyObject *module)
{
    keeper = PyUnicode_FromString("memory that a team lends for one chunk");
    if (!keeper || PyModule_AddFunctions(module, methods) < 0)
        return -1;
    return 0;
}
