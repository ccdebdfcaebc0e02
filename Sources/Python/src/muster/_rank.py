"""What a rank does: reads orders, runs functions, sends exceptions, prints.

Called by the extension, in a process that the fork server has forked (_server.py). One order is read
once; from then on the extension calls the function for each chunk by itself.
"""

from __future__ import annotations

import faulthandler
import gc
import io
import mmap
import os
import pickle
import sys
import traceback
from collections import OrderedDict
from typing import Any

import numpy

from . import _core, _pickling
from ._errors import KernelError, MusterError, StaleCodeError

leader = 0  # its process
files: dict[str, int] = {}  # its descriptors: "mail", "out", "err"

_opened: dict[str, int] = {}
_standard: dict[int, int] = {}


def begin(rank: int, size: int) -> None:
    """Called once, before the first chunk."""
    # A copy of the server's generator would give every rank the same numbers.
    if "numpy.random" in sys.modules:
        numpy.random.seed()
    faulthandler.enable()
    _core.share_library()


# -- printing ------------------------------------------------------------------------------------


class _Buffer(io.BufferedWriter):
    """Bytes for a descriptor. What no line ends goes out at the chunk's end."""

    def write(self, data: Any) -> int:
        _core.set_unflushed(sys.modules[__name__])
        return super().write(data)


class _Output(io.TextIOWrapper):
    """Text for a descriptor, by whole lines: one line, one write."""

    def write(self, text: str) -> int:
        if not text.endswith("\n"):
            _core.set_unflushed(sys.modules[__name__])
        return super().write(text)


def open_outputs() -> None:
    """Replaces sys.stdout and sys.stderr, in the server: its ranks inherit them."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(fd, "w", closefd=False)
        buffer = _Buffer(raw, 1 << 16)
        stream = _Output(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def flush() -> None:
    """Writes what was printed without a line's end."""
    _core.set_unflushed(None)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    _core.set_unflushed(None)


def _open(name: str, flags: int) -> int:
    """A file of the leader's, opened for this process alone."""
    if name not in _opened:
        _opened[name] = os.open(f"/proc/{leader}/fd/{files[name]}", flags | os.O_CLOEXEC)
    return _opened[name]


def relay(on: int) -> None:
    """Lets descriptors 1 and 2 lead to files of the leader's, or to where they led at first."""
    flush()
    for fd, name in ((1, "out"), (2, "err")):
        if fd not in _standard:
            _standard[fd] = os.dup(fd)
        os.dup2(_open(name, os.O_WRONLY | os.O_APPEND) if on else _standard[fd], fd)


# -- orders --------------------------------------------------------------------------------------

_addresses: dict[int, int] = {}  # of whole arrays, while an order is read
# Functions that are not read again. Those in files keep the files' memory, so few and small ones only.
_functions: OrderedDict[int, tuple[Any, int]] = OrderedDict()
_KEPT_FUNCTIONS = 64
_KEPT_BYTES = 64 << 20


def attached(number: int, offset: int, dtype: Any, shape: Any, strides: Any) -> numpy.ndarray:
    """A whole array of the team's, or any view of one: read-only here."""
    return _core.view(_addresses[number] + offset, dtype, shape, strides, False, "a team's array")


def _read(source: Any) -> Any:
    """A value from its bytes, or from a file of the leader's."""
    if isinstance(source, bytes):
        room = numpy.empty(len(source) + 64, numpy.uint8)  # arrays in it are to be aligned
        start = -room.ctypes.data % 64
        memory = memoryview(room.data)[start : start + len(source)]
        memory[:] = source
        return _pickling.unpack(memory.toreadonly())
    fd, size = source
    file = os.open(f"/proc/{leader}/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _pickling.unpack(memoryview(mmap.mmap(file, size, prot=mmap.PROT_READ)))
    finally:
        os.close(file)


def _check_modules(modules: dict[str, bytes]) -> None:
    for name, theirs in modules.items():
        if name in sys.modules and _pickling.fingerprint(name) != theirs:
            raise StaleCodeError(
                f"module {name}: this rank has loaded other code than the leader has, because the file "
                "has changed in between: make a new team, or send the function with "
                "muster.kernel(function, by_value=True)"
            )


def _read_function(source: tuple[int, Any]) -> Any:
    serial, data = source
    if serial not in _functions:
        _functions[serial] = (_read(data), 0 if isinstance(data, bytes) else data[1])
    _functions.move_to_end(serial)
    while len(_functions) > 1 and (
        len(_functions) > _KEPT_FUNCTIONS or sum(size for _, size in _functions.values()) > _KEPT_BYTES
    ):
        _functions.popitem(last=False)
    return _functions[serial][0]


def load(serial: int, payload: bytes, addresses: list[int]) -> tuple[Any, ...]:
    """Reads an order: (function, arguments, lent arrays, dtype and shape of a partial result, code,
    where the whole arrays of compiled code are listed)."""
    order = pickle.loads(payload)
    _addresses.clear()
    _addresses.update(zip(order["arrays"], addresses))
    modules = order["modules"]
    _check_modules(modules)
    dtype, shape = order["partial"] or (None, ())
    code = extras = 0
    function = None
    arguments: tuple[Any, ...] = ()
    kind = order["kind"]
    if kind == "native":
        code = _load_native(*order["function"][1])
    else:
        function = _read_function(order["function"])
        source = order["arguments"]
        arguments = _read(source[1]) if source else (None,) * order["argument_count"]
        _check_modules(modules)  # also those that were imported just now
        if kind == "compiled":
            from . import _numba

            code = _numba.load(function)
            # Where its whole arrays lie. The template keeps the list, and the arrays.
            places = numpy.array([value.ctypes.data for value in arguments], dtype=numpy.uint64)
            extras = places.ctypes.data
            arguments = (places, *arguments)
    return function, arguments, order["lent"], dtype, shape, code, extras


_libraries: dict[str, tuple[int, ...]] = {}


def _load_native(path: str, name: str, version: tuple[int, ...]) -> int:
    status = os.stat(path)
    now = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if now != version or _libraries.setdefault(path, now) != now:
        raise StaleCodeError(
            f"{path}: the file has changed since this rank or the leader has looked at it: make a new "
            "team after a library is built again"
        )
    return _core.find_symbol(path, name)


# -- results -------------------------------------------------------------------------------------


def collect() -> None:
    """Before a function is said to have kept something: garbage in a cycle is kept by nobody."""
    gc.collect()


def kept(position: int) -> None:
    """Raises: the function has kept what it was lent."""
    raise KernelError(
        f"the function kept its array argument {position} after its chunk: the memory is lent for one "
        "chunk, and is another rank's afterwards; keep a copy of it (x.copy())"
    )


def compiled_failed() -> None:
    """Raises: compiled code has ended with a status."""
    raise KernelError(
        "compiled code raised an exception, which numba does not pass on from there: call the function's "
        "py_func to see it"
    )


def store(view: numpy.ndarray, result: Any) -> None:
    """Leaves what a reduction's function has returned as the chunk's partial result."""
    value = numpy.asarray(result)
    if value.shape != view.shape:
        raise MusterError(
            f"the function returned shape {value.shape}, and the reduction was asked for with "
            f"shape={view.shape}: give reduce the shape that the function returns"
        )
    numpy.copyto(view, value, casting="same_kind")
    if value.dtype != view.dtype and not _is_held(view, value):
        raise MusterError(
            f"the function returned {value.dtype} values that {view.dtype} can't hold: ask reduce for "
            f"dtype={value.dtype}"
        )


def _is_held(copy: numpy.ndarray, value: numpy.ndarray) -> bool:
    """Whether a copy of another dtype has each integer as it was, and no number that became infinite."""
    with numpy.errstate(all="ignore"):
        if value.dtype.kind in "iu":
            return numpy.array_equal(copy.astype(value.dtype), value)
        if value.dtype.kind in "fc" and copy.dtype.kind in "fc":
            return numpy.array_equal(numpy.isfinite(copy), numpy.isfinite(value))
    return True


def append(name: str, data: bytes) -> int:
    """Writes to the end of a file of the leader's, all or nothing. Returns: where it begins."""
    fd = _open(name, os.O_WRONLY | os.O_APPEND)
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(f"only {written} of {len(data)} bytes could be written for the leader")
    return os.lseek(fd, 0, os.SEEK_CUR) - written


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _frames(trace: Any) -> list[tuple[str, int, str]]:
    return [
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(trace)
        if not frame.f_code.co_filename.startswith(_HERE)
    ]


def _chain(error: BaseException) -> list[tuple[str, list[tuple[str, int, str]], str]]:
    """An exception and those that it came from, the first one first: how it came, frames, words."""
    chain = []
    seen: set[int] = set()
    link, how = error, ""
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        words = "".join(traceback.TracebackException(type(link), link, None).format_exception_only())
        chain.append((how, _frames(link.__traceback__), words))
        if link.__cause__ is not None:
            link, how = link.__cause__, "cause"
        elif link.__context__ is not None and not link.__suppress_context__:
            link, how = link.__context__, "context"
        else:
            break
    return chain


def fail(error: BaseException, chunk: Any) -> tuple[int, str]:
    """Sends an exception to the leader. Returns: the kernel's status, and words for its error."""
    flush()
    words = str(error).partition("\n")[0]
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    record = {
        "chain": _chain(error),
        "text": text,
        "chunk": chunk.index,
        "rank": chunk.rank,
        "error": None,
        "item": getattr(error, "_muster_item", None),
    }
    if isinstance(error, Exception):
        try:
            data, _, _ = _pickling.dump(error)
            if type(pickle.loads(data)) is type(error):  # some can be pickled, and not made again
                record["error"] = data
        except Exception:
            pass
    data = pickle.dumps(record, protocol=5)
    return 1 + append("mail", len(data).to_bytes(8, "little") + data), text[:200]
