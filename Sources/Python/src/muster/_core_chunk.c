/* _core_chunk.c - muster.Chunk: a part of a loop, as functions see it. */
#include "_core.h"

typedef struct {
    PyObject head;
    struct muster_chunk chunk;
    uint32_t rank, size;
} Chunk;

static PyTypeObject *chunk_type;
static Chunk *spare_chunk;

static PyObject *chunk_index(Chunk *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->chunk.index);
}

static PyObject *chunk_first(Chunk *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->chunk.first);
}

static PyObject *chunk_end(Chunk *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->chunk.end);
}

static PyObject *chunk_rank(Chunk *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(self->rank);
}

static PyObject *chunk_size(Chunk *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(self->size);
}

static PyObject *chunk_slice(Chunk *self, void *unused)
{
    (void)unused;
    PyObject *first = chunk_first(self, NULL), *end = chunk_end(self, NULL), *made = NULL;
    if (first && end)
        made = PySlice_New(first, end, NULL);
    Py_XDECREF(first);
    Py_XDECREF(end);
    return made;
}

static Py_ssize_t chunk_length(Chunk *self)
{
    return (Py_ssize_t)(self->chunk.end - self->chunk.first);
}

static PyObject *chunk_random(Chunk *self, PyObject *seed)
{
    PyObject *module = PyImport_ImportModule("muster._random");
    if (!module)
        return NULL;
    PyObject *made =
        PyObject_CallMethod(module, "generator", "OK", seed, (unsigned long long)self->chunk.index);
    Py_DECREF(module);
    return made;
}

static PyObject *chunk_repr(Chunk *self)
{
    return PyUnicode_FromFormat("<chunk %llu: %llu..<%llu, rank %u of %u>",
                                (unsigned long long)self->chunk.index,
                                (unsigned long long)self->chunk.first,
                                (unsigned long long)self->chunk.end, self->rank, self->size);
}

static PyObject *chunk_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    static char *keywords[] = {"index", "first", "end", "rank", "size", NULL};
    unsigned long long index, first, end;
    unsigned rank = 0, size = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "KKK|II", keywords, &index, &first, &end,
                                     &rank, &size))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Chunk *made = (Chunk *)allocate(type, 0);
    if (made) {
        made->chunk = (struct muster_chunk){index, first, end};
        made->rank = rank;
        made->size = size;
    }
    return (PyObject *)made;
}

static void chunk_free(Chunk *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *chunk_reduce(Chunk *self, PyObject *unused)
{
    (void)unused;
    return Py_BuildValue("O(KKKII)", (PyObject *)Py_TYPE((PyObject *)self),
                         (unsigned long long)self->chunk.index,
                         (unsigned long long)self->chunk.first, (unsigned long long)self->chunk.end,
                         self->rank, self->size);
}

static PyGetSetDef chunk_fields[] = {
    {"index", (getter)chunk_index, NULL, "The chunk's number, from 0.", NULL},
    {"first", (getter)chunk_first, NULL, "Its first element (or row).", NULL},
    {"end", (getter)chunk_end, NULL, "The element (or row) after its last.", NULL},
    {"rank", (getter)chunk_rank, NULL, "The rank that works on it, 0..<size.", NULL},
    {"size", (getter)chunk_size, NULL, "Ranks of the team.", NULL},
    {"slice", (getter)chunk_slice, NULL, "slice(first, end), to index whole arrays with.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMethodDef chunk_methods[] = {
    {"random", (PyCFunction)chunk_random, METH_O,
     "random($self, seed, /)\n--\n\nA numpy.random.Generator of this "
     "chunk's own: the same numbers for any team, "
     "schedule and death."},
    {"__reduce__", (PyCFunction)chunk_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};

static PyType_Slot chunk_slots[] = {
    {Py_tp_doc, "Chunk(index, first, end, rank=0, size=1)\n--\n\n"
                "A part of a loop: elements (or rows) first..<end, worked on exactly once.\n\n"
                "The first argument of each function that a team runs. len(chunk) is end - first."},
    {Py_tp_new, chunk_new},
    {Py_tp_dealloc, chunk_free},
    {Py_tp_repr, chunk_repr},
    {Py_tp_getset, chunk_fields},
    {Py_tp_methods, chunk_methods},
    {Py_sq_length, chunk_length},
    {0, NULL}};

static PyType_Spec chunk_spec = {"muster.Chunk", sizeof(Chunk), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, chunk_slots};

/* The chunk as Python sees it. The last one is used again unless somebody has kept it. */
PyObject *muster_python_lend_chunk(const struct muster_work *work)
{
    if (spare_chunk && Py_REFCNT((PyObject *)spare_chunk) != 1)
        Py_CLEAR(spare_chunk);
    if (!spare_chunk) {
        allocfunc allocate = (allocfunc)PyType_GetSlot(chunk_type, Py_tp_alloc);
        spare_chunk = (Chunk *)allocate(chunk_type, 0);
        if (!spare_chunk)
            return NULL;
    }
    spare_chunk->chunk = work->chunk;
    spare_chunk->rank = work->rank;
    spare_chunk->size = work->size;
    Py_INCREF((PyObject *)spare_chunk);
    return (PyObject *)spare_chunk;
}

int muster_python_add_chunk(PyObject *module)
{
    chunk_type = (PyTypeObject *)PyType_FromSpec(&chunk_spec);
    return chunk_type ? PyModule_AddObjectRef(module, "Chunk", (PyObject *)chunk_type) : -1;
}
