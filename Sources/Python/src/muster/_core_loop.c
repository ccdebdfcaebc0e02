/* _core_loop.c - the leader's loops: prepared once, run again and again; and their reports. */
#define _GNU_SOURCE
#include "_core_leader.h"

#include <signal.h>
#include <string.h>

static PyTypeObject *loop_type;

/* A loop that is ready to run, again and again. */
typedef struct {
    PyObject head;
    struct muster_loop_options options;
    struct muster_use uses[MUSTER_USES_MAX];
    PyObject *memories; /* keeps the arrays */
    unsigned char arguments[MUSTER_WORK_ARGUMENT_BYTES_MAX];
} Loop;

/* Loop(kernel, uses, argument, count, grain, schedule, by_rank, recovery, redo_limit, stall_ns)
 *
 * uses: tuples (memory, access, flags, elements_per_index). */
static PyObject *loop_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    unsigned long long kernel, count, grain, stall_ns;
    unsigned schedule, by_rank, recovery, redo_limit;
    PyObject *uses;
    Py_buffer bytes;
    (void)names;
    if (!PyArg_ParseTuple(arguments, "KO!y*KKIIIIK", &kernel, &PyList_Type, &uses, &bytes, &count,
                          &grain, &schedule, &by_rank, &recovery, &redo_limit, &stall_ns))
        return NULL;
    Py_ssize_t use_count = PyList_Size(uses);
    Loop *self = NULL;
    if (use_count > (Py_ssize_t)MUSTER_USES_MAX ||
        bytes.len > (Py_ssize_t)MUSTER_WORK_ARGUMENT_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "more arrays or bytes than a loop can have");
        goto done;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    self = (Loop *)allocate(type, 0);
    if (!self)
        goto done;
    memcpy(self->arguments, bytes.buf, (size_t)bytes.len);
    self->options = (struct muster_loop_options){.size_bytes = sizeof self->options,
                                                 .schedule = schedule,
                                                 .kernel = (muster_kernel)(uintptr_t)kernel,
                                                 .count = count,
                                                 .grain = grain,
                                                 .uses = self->uses,
                                                 .arguments = self->arguments,
                                                 .use_count = (uint32_t)use_count,
                                                 .argument_bytes = (uint32_t)bytes.len,
                                                 .by_rank = by_rank,
                                                 .recovery = recovery,
                                                 .redo_limit = redo_limit,
                                                 .stall_ns = stall_ns};
    self->memories = PyList_New(use_count);
    for (Py_ssize_t i = 0; self->memories && i < use_count; i++) {
        struct muster_use *use = &self->uses[i];
        PyObject *memory;
        unsigned long long per_index;
        if (!PyArg_ParseTuple(PyList_GetItem(uses, i), "O!IIK", muster_python_memory_type, &memory,
                              &use->access, &use->flags, &per_index)) {
            Py_CLEAR(self->memories);
            break;
        }
        use->array = ((Memory *)memory)->array;
        use->elements_per_index = per_index;
        Py_INCREF(memory);
        PyList_SetItem(self->memories, i, memory);
    }
    if (!self->memories) {
        Py_DECREF((PyObject *)self);
        self = NULL;
    }
done:
    PyBuffer_Release(&bytes);
    return (PyObject *)self;
}

static void loop_free(Loop *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(self->memories);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyType_Slot loop_slots[] = {{Py_tp_doc, "A loop that is ready to run, again and again."},
                                   {Py_tp_new, loop_new},
                                   {Py_tp_dealloc, loop_free},
                                   {0, NULL}};
static PyType_Spec loop_spec = {"muster._core.Loop", sizeof(Loop), 0, Py_TPFLAGS_DEFAULT,
                                loop_slots};

/* Keeps the exception that is set, or forgets it where one is kept already. */
static void keep_raised(Leader *self)
{
    if (self->raised[0])
        PyErr_Clear();
    else
        PyErr_Fetch(&self->raised[0], &self->raised[1], &self->raised[2]);
}

/* About ten times a second, while the leader waits: signals' handlers get their turn, and the
 * team's tick (progress, what ranks print). An exception ends the loop, chunks in work first; a
 * second one, Ctrl-C once more, kills the ranks with their chunks. */
static int progress(void *context, const struct muster_progress *now)
{
    Leader *self = context;
    PyEval_RestoreThread(self->state);
    int before = self->raised[0] != NULL;
    if (PyErr_CheckSignals() < 0) {
        keep_raised(self);
        uint32_t size = before ? muster_leader_size(self->leader) : 0;
        for (uint32_t rank = 0; rank < size; rank++) {
            int pid = muster_leader_process(self->leader, rank);
            if (pid > 0)
                kill(pid, SIGKILL);
        }
    }
    if (self->tick && self->tick != Py_None) {
        PyObject *answer = PyObject_CallFunction(self->tick, "KKK", (unsigned long long)now->done,
                                                 (unsigned long long)now->chunks,
                                                 (unsigned long long)now->elapsed_ns);
        if (!answer)
            keep_raised(self);
        Py_XDECREF(answer);
    }
    int ends = self->raised[0] != NULL;
    self->state = PyEval_SaveThread();
    return ends;
}

struct joining {
    Leader *leader;
    PyObject *function; /* of the addresses of left and right; leaves the result in left */
};

static void join(void *left, const void *right, void *context)
{
    struct joining *joining = context;
    PyEval_RestoreThread(joining->leader->state);
    if (!joining->leader->raised[0]) {
        PyObject *answer =
            PyObject_CallFunction(joining->function, "KK", (unsigned long long)(uintptr_t)left,
                                  (unsigned long long)(uintptr_t)right);
        if (!answer)
            keep_raised(joining->leader);
        Py_XDECREF(answer);
    }
    joining->leader->state = PyEval_SaveThread();
}

static PyObject *finish(Leader *self, int status, const struct muster_error *error)
{
    if (self->raised[0]) {
        PyErr_Restore(self->raised[0], self->raised[1], self->raised[2]);
        memset(self->raised, 0, sizeof self->raised);
        return NULL;
    }
    if (status < 0)
        return muster_python_refuse(error);
    Py_RETURN_NONE;
}

static void set_tick(Leader *self, PyObject *tick)
{
    PyObject *before = self->tick;
    Py_INCREF(tick);
    self->tick = tick;
    Py_XDECREF(before);
}

/* run(loop, tick or None) */
PyObject *muster_python_run(Leader *self, PyObject *arguments)
{
    Loop *loop;
    PyObject *tick;
    if (!PyArg_ParseTuple(arguments, "O!O", loop_type, &loop, &tick) ||
        muster_python_check(self) < 0)
        return NULL;
    struct muster_error error;
    loop->options.progress = progress;
    loop->options.progress_context = self;
    set_tick(self, tick);
    self->running = 1;
    self->state = PyEval_SaveThread();
    int status = muster_leader_run(self->leader, &loop->options, &error);
    PyEval_RestoreThread(self->state);
    self->running = 0;
    return finish(self, status, &error);
}

/* reduce(loop, tick or None, bytes of a partial result, function, address of the result) */
PyObject *muster_python_reduce(Leader *self, PyObject *arguments)
{
    Loop *loop;
    PyObject *tick, *function;
    unsigned bytes;
    unsigned long long result;
    if (!PyArg_ParseTuple(arguments, "O!OIOK", loop_type, &loop, &tick, &bytes, &function,
                          &result) ||
        muster_python_check(self) < 0)
        return NULL;
    struct muster_error error;
    struct joining joining = {self, function};
    loop->options.progress = progress;
    loop->options.progress_context = self;
    set_tick(self, tick);
    self->running = 1;
    self->state = PyEval_SaveThread();
    int status = muster_leader_reduce(self->leader, &loop->options, bytes, join, &joining,
                                      (void *)(uintptr_t)result, &error);
    PyEval_RestoreThread(self->state);
    self->running = 0;
    return finish(self, status, &error);
}

/* -- reports -------------------------------------------------------------------------------- */

static PyObject *deaths_of(const struct muster_report *report)
{
    PyObject *list = PyList_New((Py_ssize_t)(report->deaths ? report->death_count : 0));
    for (uint64_t i = 0; list && report->deaths && i < report->death_count; i++) {
        const struct muster_report_death *death = &report->deaths[i];
        PyObject *chunk = death->chunk == UINT64_MAX ? Py_NewRef(Py_None)
                                                     : PyLong_FromUnsignedLongLong(death->chunk);
        PyObject *item = Py_BuildValue("(INiiiIi)", death->rank, chunk, death->pid, death->signal,
                                       death->exit_code, death->attempt, (int)death->stalled);
        if (!item)
            return Py_DECREF(list), NULL;
        PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    return list;
}

static PyObject *findings_of(const struct muster_report *report)
{
    PyObject *list = PyList_New((Py_ssize_t)(report->findings ? report->finding_count : 0));
    for (uint64_t i = 0; list && report->findings && i < report->finding_count; i++) {
        const struct muster_finding *finding = &report->findings[i];
        PyObject *item = Py_BuildValue("(KKi)", (unsigned long long)finding->first,
                                       (unsigned long long)finding->end, finding->repeated ? 1 : 0);
        if (!item)
            return Py_DECREF(list), NULL;
        PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    return list;
}

static PyObject *numbers_of(const uint64_t *wide, const uint32_t *narrow, uint64_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint64_t i = 0; list && i < count; i++)
        PyList_SetItem(list, (Py_ssize_t)i,
                       PyLong_FromUnsignedLongLong(wide ? wide[i] : narrow[i]));
    return list;
}

/* report(): None, or what the last loop's audit says, as a dictionary. */
PyObject *muster_python_report(Leader *self, PyObject *unused)
{
    (void)unused;
    if (!muster_python_is_own(self))
        Py_RETURN_NONE;
    const struct muster_report *report = muster_leader_report(self->leader);
    if (!report)
        Py_RETURN_NONE;
    PyObject *failed_chunk = report->failed_chunk == UINT64_MAX
                                 ? Py_NewRef(Py_None)
                                 : PyLong_FromUnsignedLongLong(report->failed_chunk);
    PyObject *failed_rank = report->failed_rank == UINT32_MAX
                                ? Py_NewRef(Py_None)
                                : PyLong_FromUnsignedLong(report->failed_rank);
    return Py_BuildValue(
        "{sKsKsKsKsKsKsKsIsIsNsNsNsNsNsNsNsNss}", "chunks", (unsigned long long)report->chunks,
        "exactly_once", (unsigned long long)report->exactly_once, "missing",
        (unsigned long long)report->missing, "repeated", (unsigned long long)report->repeated,
        "redone", (unsigned long long)report->redone, "elements",
        (unsigned long long)report->elements, "grain", (unsigned long long)report->grain, "size",
        report->size, "schedule", report->schedule, "clean", PyBool_FromLong(report->clean != 0),
        "cancelled", PyBool_FromLong(report->cancelled != 0), "findings", findings_of(report),
        "deaths", deaths_of(report), "quarantined",
        numbers_of(report->quarantined, NULL, report->quarantined ? report->quarantined_count : 0),
        "vacant", numbers_of(NULL, report->vacant, report->vacant ? report->vacant_count : 0),
        "failed_chunk", failed_chunk, "failed_rank", failed_rank, "text",
        report->text ? report->text : "");
}

int muster_python_add_loop(PyObject *module)
{
    loop_type = (PyTypeObject *)PyType_FromSpec(&loop_spec);
    return loop_type ? PyModule_AddObjectRef(module, "Loop", (PyObject *)loop_type) : -1;
}
