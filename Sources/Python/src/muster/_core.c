/* _core.c - the extension's module: views of memory, and small things that Python has no call for.
 */
#define _GNU_SOURCE
#define MUSTER_PYTHON_IMPORTS_ARRAY
#include "_core.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

PyObject *muster_python_view(PyArray_Descr *descr, int dimensions, const npy_intp *shape,
                             const npy_intp *strides, void *data, int writable, PyObject *owner)
{
    int flags = NPY_ARRAY_ALIGNED | (writable ? NPY_ARRAY_WRITEABLE : 0);
    PyObject *view =
        PyArray_NewFromDescr(&PyArray_Type, descr, dimensions, shape, strides, data, flags, NULL);
    if (!view)
        return NULL;
    PyArray_UpdateFlags((PyArrayObject *)view,
                        NPY_ARRAY_ALIGNED | NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS);
    Py_INCREF(owner);
    if (PyArray_SetBaseObject((PyArrayObject *)view, owner) < 0) {
        Py_DECREF(view);
        return NULL;
    }
    return view;
}

/* view(address, dtype, shape, strides or None, writable, owner): see muster_python_view. */
static PyObject *view(PyObject *module, PyObject *arguments)
{
    unsigned long long address;
    PyObject *dtype, *shape, *strides, *owner;
    int writable;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KOO!OpO", &address, &dtype, &PyTuple_Type, &shape, &strides,
                          &writable, &owner))
        return NULL;
    PyArray_Descr *descr = NULL;
    if (!PyArray_DescrConverter(dtype, &descr))
        return NULL;
    npy_intp sizes[NPY_MAXDIMS], steps[NPY_MAXDIMS];
    Py_ssize_t dimensions = PyTuple_Size(shape);
    int has_strides = strides != Py_None;
    if (dimensions > NPY_MAXDIMS ||
        (has_strides && (!PyTuple_Check(strides) || PyTuple_Size(strides) != dimensions))) {
        Py_DECREF(descr);
        PyErr_SetString(PyExc_ValueError, "view: shape and strides do not match");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < dimensions; i++) {
        sizes[i] = PyLong_AsSsize_t(PyTuple_GetItem(shape, i));
        if (has_strides)
            steps[i] = PyLong_AsSsize_t(PyTuple_GetItem(strides, i));
    }
    if (PyErr_Occurred()) {
        Py_DECREF(descr);
        return NULL;
    }
    /* An array without bytes has no address, and NumPy would allocate for NULL. */
    static char nothing;
    void *data = address ? (void *)(uintptr_t)address : &nothing;
    return muster_python_view(descr, (int)dimensions, sizes, has_strides ? steps : NULL, data,
                              writable, owner);
}

/* free_hole(fd, end): gives back the memory of the file's first `end` bytes. Best effort. */
static PyObject *free_hole(PyObject *module, PyObject *arguments)
{
    int fd;
    long long end;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "iL", &fd, &end))
        return NULL;
    if (end > 0)
        (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end);
    Py_RETURN_NONE;
}

/* library(): the file that libmuster was loaded from. */
static PyObject *library(PyObject *module, PyObject *unused)
{
    Dl_info info;
    (void)module;
    (void)unused;
    void *address;
    int (*function)(struct muster_member **) = muster_join;
    memcpy(&address, &function, sizeof address);
    if (!dladdr(address, &info) || !info.dli_fname)
        return PyErr_Format(PyExc_OSError, "libmuster.so is in no file");
    return PyUnicode_DecodeFSDefault(info.dli_fname);
}

/* find_symbol(path, name): the address of a function in a library, which is loaded and stays. */
static PyObject *find_symbol(PyObject *module, PyObject *arguments)
{
    PyObject *path = NULL;
    const char *name;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O&s", PyUnicode_FSConverter, &path, &name))
        return NULL;
    void *loaded = dlopen(PyBytes_AsString(path), RTLD_NOW | RTLD_LOCAL);
    void *address = loaded ? dlsym(loaded, name) : NULL;
    Py_DECREF(path);
    if (!address) {
        const char *words = dlerror();
        return PyErr_Format(PyExc_OSError, "%s", words ? words : "no such function");
    }
    return PyLong_FromVoidPtr(address);
}

/* share_library(): lets libraries that are loaded from now on find libmuster's functions. */
static PyObject *share_library(PyObject *module, PyObject *unused)
{
    PyObject *path = library(module, unused), *bytes = NULL;
    if (path && PyUnicode_FSConverter(path, &bytes))
        (void)dlopen(PyBytes_AsString(bytes), RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
    Py_XDECREF(path);
    Py_XDECREF(bytes);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* signal_name(number): "SIGKILL". */
static PyObject *signal_name(PyObject *module, PyObject *number)
{
    long value = PyLong_AsLong(number);
    (void)module;
    if (value == -1 && PyErr_Occurred())
        return NULL;
    const char *names[] = {
        [1] = "SIGHUP",   [2] = "SIGINT",   [3] = "SIGQUIT",  [4] = "SIGILL",   [5] = "SIGTRAP",
        [6] = "SIGABRT",  [7] = "SIGBUS",   [8] = "SIGFPE",   [9] = "SIGKILL",  [10] = "SIGUSR1",
        [11] = "SIGSEGV", [12] = "SIGUSR2", [13] = "SIGPIPE", [14] = "SIGALRM", [15] = "SIGTERM"};
    int has_name = value > 0 && value < (long)(sizeof names / sizeof *names) && names[value];
    return has_name ? PyUnicode_FromString(names[value])
                    : PyUnicode_FromFormat("signal %ld", value);
}

static PyMethodDef methods[] = {
    {"view", view, METH_VARARGS,
     "view(address, dtype, shape, strides, writable, owner, /)\n--\n\nAn array over memory that "
     "`owner` keeps."},
    {"free_hole", free_hole, METH_VARARGS,
     "free_hole(fd, end, /)\n--\n\nGives back the memory of a file's first bytes."},
    {"library", library, METH_NOARGS, "library()\n--\n\nThe file that libmuster was loaded from."},
    {"find_symbol", find_symbol, METH_VARARGS,
     "find_symbol(path, name, /)\n--\n\nThe address of a function in a library."},
    {"share_library", share_library, METH_NOARGS,
     "share_library()\n--\n\nLets libraries find libmuster's functions."},
    {"signal_name", signal_name, METH_O, "signal_name(number, /)\n--\n\nThe name of a signal."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "muster._core",
                                        .m_doc = "Muster's C library for Python. Private.",
                                        .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit__core(void)
{
    import_array();
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    if (PyModule_AddStringConstant(module, "version", MUSTER_VERSION) < 0 ||
        muster_python_add_chunk(module) < 0 || muster_python_add_rank(module) < 0 ||
        muster_python_add_loop(module) < 0 || muster_python_add_leader(module) < 0 ||
        muster_python_add_member(module) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
