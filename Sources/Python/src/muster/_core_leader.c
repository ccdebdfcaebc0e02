/* _core_leader.c - the leader's side: a team, its arrays, its loops.
 *
 * What is checked in Python is not checked again here; what the library refuses is raised as
 * muster._core.Error, which Python turns into the error that the user sees.
 *
 * A leader and its arrays belong to the thread that made them. An array may lose its last reference
 * in another one, or while a loop runs: it is then freed by the next call of the leader's own
 * thread.
 */
#define _GNU_SOURCE
#include "_core_leader.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <structmember.h>
#include <sys/stat.h>
#include <unistd.h>

PyTypeObject *muster_python_memory_type;
static PyObject *error_type; /* muster._core.Error */
static PyTypeObject *leader_type;

PyObject *muster_python_refuse(const struct muster_error *error)
{
    PyObject *subject =
        PyUnicode_DecodeUTF8(error->subject, (Py_ssize_t)strlen(error->subject), "replace");
    PyObject *message =
        PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message), "replace");
    PyObject *arguments = subject && message
                              ? Py_BuildValue("(iiiOO)", error->code, error->error_number,
                                              error->kernel_status, subject, message)
                              : NULL;
    if (arguments)
        PyErr_SetObject(error_type, arguments);
    Py_XDECREF(arguments);
    Py_XDECREF(subject);
    Py_XDECREF(message);
    return NULL;
}

/* -- the leader ----------------------------------------------------------------------------- */

/* How often this process is the child of a fork: asking for its pid takes a tenth of an empty loop.
 */
static unsigned forks;

static void note_fork(void)
{
    forks++;
}

int muster_python_is_own(const Leader *self)
{
    return self->forks == forks;
}

static void free_doomed(Leader *self)
{
    while (self->doomed_count > 0)
        muster_array_destroy(self->doomed[--self->doomed_count]);
}

static PyObject *wrong_state(const char *words)
{
    struct muster_error error = {.code = MUSTER_ERROR_NOT_LEADER, .subject = "team"};
    snprintf(error.message, sizeof error.message, "%s", words);
    return muster_python_refuse(&error);
}

int muster_python_check(Leader *self)
{
    if (!muster_python_is_own(self))
        wrong_state(
            "team: this process was forked by the leader's, and only that one leads the team: "
            "make a team of its own");
    else if (self->thread != PyThread_get_thread_ident())
        wrong_state("team: it belongs to the thread that made it: use it there, for example in an "
                    "executor with one thread");
    else if (self->running)
        wrong_state("team: a loop is running on it: what a loop calls can't use its team");
    else
        return free_doomed(self), 0;
    return -1;
}

/* Leader(size, binding, server, wait): a list of strings is the server's program. */
static PyObject *leader_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    static char *keywords[] = {"size", "binding", "server", NULL};
    unsigned size;
    const char *binding;
    PyObject *server;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "IsO!", keywords, &size, &binding,
                                     &PyList_Type, &server))
        return NULL;
    Py_ssize_t count = PyList_Size(server);
    const char **program = PyMem_Calloc((size_t)count + 1, sizeof *program);
    PyObject *texts = PyList_New(count); /* keep the bytes */
    if (!program || !texts) {
        PyMem_Free(program);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *bytes = NULL;
        if (!PyUnicode_FSConverter(PyList_GetItem(server, i), &bytes)) {
            PyMem_Free(program);
            Py_DECREF(texts);
            return NULL;
        }
        program[i] = PyBytes_AsString(bytes);
        PyList_SetItem(texts, i, bytes);
    }
    struct muster_leader_options options = {.size_bytes = sizeof options,
                                            .size = size,
                                            .start = MUSTER_START_SERVER,
                                            .binding = binding,
                                            .server = program};
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Leader *self = (Leader *)allocate(type, 0);
    struct muster_error error;
    int status = 0;
    if (self) {
        self->thread = PyThread_get_thread_ident();
        self->pid = getpid();
        self->forks = forks;
        for (int i = 0; i < 2; i++)
            if (fstat(i + 1, &self->outputs[i]) < 0)
                memset(&self->outputs[i], 0, sizeof self->outputs[i]);
        struct muster_leader *leader = NULL;
        Py_BEGIN_ALLOW_THREADS status = muster_leader_create(&options, &leader, &error);
        Py_END_ALLOW_THREADS self->leader = leader;
    }
    PyMem_Free(program);
    Py_DECREF(texts);
    if (status < 0) {
        Py_DECREF((PyObject *)self);
        return muster_python_refuse(&error);
    }
    return (PyObject *)self;
}

static void leader_free(Leader *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->leader && muster_python_is_own(self)) {
        struct muster_leader *leader = self->leader;
        Py_BEGIN_ALLOW_THREADS muster_leader_destroy(leader); /* with the doomed */
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(self->doomed);
    Py_XDECREF(self->tick);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *leader_end(Leader *self, PyObject *unused)
{
    (void)unused;
    if (!muster_python_is_own(self))
        Py_RETURN_NONE;
    if (self->running) {
        wrong_state("team: a loop is running on it: it can't end now");
        return NULL;
    }
    struct muster_leader *leader = self->leader;
    Py_BEGIN_ALLOW_THREADS muster_leader_end(leader);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyObject *leader_pids(Leader *self, PyObject *unused)
{
    (void)unused;
    uint32_t size = muster_leader_size(self->leader);
    PyObject *list = PyList_New(size);
    for (uint32_t rank = 0; list && rank < size; rank++)
        PyList_SetItem(list, rank, PyLong_FromLong(muster_leader_process(self->leader, rank)));
    return list;
}

static PyObject *leader_check(Leader *self, PyObject *unused)
{
    (void)unused;
    if (muster_python_check(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Whether descriptors 1 and 2 still lead where the server's do. */
static PyObject *leader_same_outputs(Leader *self, PyObject *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct stat now;
        if (self->outputs[i].st_ino == 0 || fstat(i + 1, &now) < 0 ||
            now.st_ino != self->outputs[i].st_ino || now.st_dev != self->outputs[i].st_dev)
            Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}

/* -- memory --------------------------------------------------------------------------------- */

static PyObject *new_memory(Leader *leader, struct muster_array *array, uint64_t bytes,
                            int is_read_only)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(muster_python_memory_type, Py_tp_alloc);
    Memory *made = (Memory *)allocate(muster_python_memory_type, 0);
    if (!made) {
        muster_array_destroy(array);
        return NULL;
    }
    Py_INCREF((PyObject *)leader);
    made->leader = leader;
    made->array = array;
    made->address = muster_array_elements(array);
    made->bytes = (Py_ssize_t)bytes;
    made->is_read_only = is_read_only;
    static unsigned long long last;
    made->number = ++last;
    return (PyObject *)made;
}

static void memory_free(Memory *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Leader *leader = self->leader;
    if (leader && self->array) {
        if (muster_python_is_own(leader) && !leader->running &&
            leader->thread == PyThread_get_thread_ident()) {
            muster_array_destroy(self->array);
        } else if (muster_python_is_own(leader)) {
            if (leader->doomed_count == leader->doomed_room) {
                size_t room = leader->doomed_room * 2 + 16;
                void *grown = PyMem_Realloc(leader->doomed, room * sizeof *leader->doomed);
                if (grown) {
                    leader->doomed = grown;
                    leader->doomed_room = room;
                }
            }
            if (leader->doomed_count < leader->doomed_room) /* else with the leader */
                leader->doomed[leader->doomed_count++] = self->array;
        }
    }
    Py_XDECREF((PyObject *)leader);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int memory_buffer(Memory *self, Py_buffer *view, int flags)
{
    static char nothing;
    return PyBuffer_FillInfo(view, (PyObject *)self, self->address ? self->address : &nothing,
                             self->bytes, self->is_read_only, flags);
}

static PyObject *memory_address(Memory *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(self->address);
}

static PyObject *memory_leader(Memory *self, void *unused)
{
    (void)unused;
    Py_INCREF((PyObject *)self->leader);
    return (PyObject *)self->leader;
}

static PyObject *memory_notes(Memory *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(muster_array_notes(self->array));
}

static PyObject *memory_mirror(Memory *self, PyObject *unused)
{
    (void)unused;
    if (muster_python_check(self->leader) < 0)
        return NULL;
    struct muster_error error;
    int status;
    Py_BEGIN_ALLOW_THREADS status = muster_array_mirror(self->array, &error);
    Py_END_ALLOW_THREADS if (status < 0) return muster_python_refuse(&error);
    Py_RETURN_NONE;
}

static PyGetSetDef memory_fields[] = {
    {"address", (getter)memory_address, NULL, "Where it lies in the leader; 0: it has no bytes.",
     NULL},
    {"leader", (getter)memory_leader, NULL, "The leader that it belongs to.", NULL},
    {"notes", (getter)memory_notes, NULL, "What could not be done as asked, one line each.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef memory_members[] = {
    {"nbytes", T_PYSSIZET, offsetof(Memory, bytes), READONLY, "Bytes."},
    {"number", T_ULONGLONG, offsetof(Memory, number), READONLY, "Its own number."},
    {"is_read_only", T_INT, offsetof(Memory, is_read_only), READONLY, "Mapped for reading."},
    {NULL, 0, 0, 0, NULL}};
static PyMethodDef memory_methods[] = {
    {"mirror", (PyCFunction)memory_mirror, METH_NOARGS,
     "mirror($self)\n--\n\nBrings what was written to all copies."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot memory_slots[] = {
    {Py_tp_doc, "The shared memory of an array. Arrays over it keep it."},
    {Py_tp_dealloc, memory_free},
    {Py_tp_getset, memory_fields},
    {Py_tp_members, memory_members},
    {Py_tp_methods, memory_methods},
    {Py_bf_getbuffer, memory_buffer},
    {0, NULL}};
static PyType_Spec memory_spec = {"muster._core.Memory", sizeof(Memory), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  memory_slots};

/* array(count, element_bytes, placement or None, pages or None, name or None) */
static PyObject *leader_array(Leader *self, PyObject *arguments)
{
    unsigned long long count;
    unsigned element_bytes;
    const char *placement, *pages, *name;
    if (!PyArg_ParseTuple(arguments, "KIzzz", &count, &element_bytes, &placement, &pages, &name) ||
        muster_python_check(self) < 0)
        return NULL;
    struct muster_array_options options = {.size_bytes = sizeof options,
                                           .element_bytes = element_bytes,
                                           .count = count,
                                           .placement = placement,
                                           .pages = pages,
                                           .name = name};
    struct muster_array *array = NULL;
    struct muster_error error;
    int status;
    self->running = 1;
    Py_BEGIN_ALLOW_THREADS status = muster_array_create(self->leader, &options, &array, &error);
    Py_END_ALLOW_THREADS self->running = 0;
    if (status < 0)
        return muster_python_refuse(&error);
    return new_memory(self, array, count * element_bytes, 0);
}

/* map(path, element_bytes, dtype, writable) */
static PyObject *leader_map(Leader *self, PyObject *arguments)
{
    PyObject *path = NULL;
    unsigned element_bytes, dtype, own_bytes;
    int writable;
    if (!PyArg_ParseTuple(arguments, "O&IIpI", PyUnicode_FSConverter, &path, &element_bytes, &dtype,
                          &writable, &own_bytes))
        return NULL;
    if (muster_python_check(self) < 0) {
        Py_DECREF(path);
        return NULL;
    }
    struct muster_file_options options = {.size_bytes = sizeof options,
                                          .element_bytes = element_bytes,
                                          .dtype = dtype,
                                          .writable = writable ? 1 : 0};
    struct muster_array *array = NULL;
    struct muster_error error;
    int status;
    self->running = 1;
    Py_BEGIN_ALLOW_THREADS status =
        muster_array_map(self->leader, PyBytes_AsString(path), &options, &array, &error);
    Py_END_ALLOW_THREADS self->running = 0;
    Py_DECREF(path);
    if (status < 0)
        return muster_python_refuse(&error);
    return new_memory(self, array, muster_array_count(array) * own_bytes, !writable);
}

static PyMemberDef leader_members[] = {
    {"running", T_INT, offsetof(Leader, running), READONLY, "Whether a loop runs."},
    {"thread", T_ULONG, offsetof(Leader, thread), READONLY, "The thread that it belongs to."},
    {"pid", T_INT, offsetof(Leader, pid), READONLY, "The process that it belongs to."},
    {NULL, 0, 0, 0, NULL}};
static PyMethodDef leader_methods[] = {
    {"end", (PyCFunction)leader_end, METH_NOARGS, "end($self)\n--\n\nEnds the ranks; arrays stay."},
    {"pids", (PyCFunction)leader_pids, METH_NOARGS,
     "pids($self)\n--\n\nProcesses by rank; 0: vacant."},
    {"check", (PyCFunction)leader_check, METH_NOARGS,
     "muster_python_check($self)\n--\n\nRaises where this thread can't use it now."},
    {"same_outputs", (PyCFunction)leader_same_outputs, METH_NOARGS,
     "same_outputs($self)\n--\n\nWhether descriptors 1 and 2 lead where the ranks' do."},
    {"array", (PyCFunction)leader_array, METH_VARARGS, "array(...)\n--\n\nMakes an array."},
    {"map", (PyCFunction)leader_map, METH_VARARGS, "map(...)\n--\n\nMaps a file as an array."},
    {"run", (PyCFunction)muster_python_run, METH_VARARGS,
     "run($self, loop, tick, /)\n--\n\nRuns a loop."},
    {"reduce", (PyCFunction)muster_python_reduce, METH_VARARGS,
     "reduce(...)\n--\n\nRuns a reduction."},
    {"report", (PyCFunction)muster_python_report, METH_NOARGS,
     "report($self)\n--\n\nThe last loop's audit."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot leader_slots[] = {
    {Py_tp_doc, "A team of ranks, and this process as its leader."},
    {Py_tp_new, leader_new},
    {Py_tp_dealloc, leader_free},
    {Py_tp_members, leader_members},
    {Py_tp_methods, leader_methods},
    {0, NULL}};
static PyType_Spec leader_spec = {"muster._core.Leader", sizeof(Leader), 0, Py_TPFLAGS_DEFAULT,
                                  leader_slots};

int muster_python_add_leader(PyObject *module)
{
    if (pthread_atfork(NULL, NULL, note_fork) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    error_type = PyErr_NewExceptionWithDoc(
        "muster._core.Error", "(code, error number, kernel's status, subject, message)", NULL,
        NULL);
    leader_type = (PyTypeObject *)PyType_FromSpec(&leader_spec);
    muster_python_memory_type = (PyTypeObject *)PyType_FromSpec(&memory_spec);
    if (!error_type || !leader_type || !muster_python_memory_type)
        return -1;
    if (PyModule_AddObjectRef(module, "Error", error_type) < 0 ||
        PyModule_AddObjectRef(module, "Leader", (PyObject *)leader_type) < 0 ||
        PyModule_AddObjectRef(module, "Memory", (PyObject *)muster_python_memory_type) < 0)
        return -1;
    const struct {
        const char *name;
        long value;
    } constants[] = {{"ERROR_ARGUMENT", MUSTER_ERROR_ARGUMENT},
                     {"ERROR_NOT_LEADER", MUSTER_ERROR_NOT_LEADER},
                     {"ERROR_START", MUSTER_ERROR_START},
                     {"ERROR_MEMORY", MUSTER_ERROR_MEMORY},
                     {"ERROR_PLACEMENT", MUSTER_ERROR_PLACEMENT},
                     {"ERROR_FILE", MUSTER_ERROR_FILE},
                     {"ERROR_FILE_SHRANK", MUSTER_ERROR_FILE_SHRANK},
                     {"ERROR_KERNEL", MUSTER_ERROR_KERNEL},
                     {"ERROR_STRAY", MUSTER_ERROR_STRAY},
                     {"ERROR_NO_KERNEL", MUSTER_ERROR_NO_KERNEL},
                     {"ERROR_DEATH", MUSTER_ERROR_DEATH},
                     {"ERROR_QUARANTINE", MUSTER_ERROR_QUARANTINE},
                     {"ERROR_SERVER", MUSTER_ERROR_SERVER},
                     {"ERROR_CANCELLED", MUSTER_ERROR_CANCELLED},
                     {"ERROR_AUDIT", MUSTER_ERROR_AUDIT},
                     {"ARGUMENT_BYTES_MAX", MUSTER_WORK_ARGUMENT_BYTES_MAX},
                     {"USES_MAX", MUSTER_USES_MAX},
                     {"RANKS_MAX", MUSTER_RANKS_MAX}};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
            return -1;
    return 0;
}
