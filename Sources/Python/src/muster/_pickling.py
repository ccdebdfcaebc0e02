"""How functions and arguments travel: cloudpickle, with file names, and shared arrays by reference.

cloudpickle writes "<dynamic-code>" for the file name of each code object (since 3.1.2), so that equal
functions have equal bytes; a traceback then names no file and no line. Here code objects keep theirs.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import sysconfig
import types
from collections import ChainMap
from typing import Any, Callable

import cloudpickle  # type: ignore[import-untyped]
import numpy

from . import _core


def find_memory(array: numpy.ndarray) -> Any:
    """The memory of a team's that an array lies in; None: it lies elsewhere."""
    base: Any = array
    while isinstance(base, numpy.ndarray):
        base = base.base
    return base if type(base) is _core.Memory else None


def _reduce_code(code: types.CodeType) -> tuple[Any, ...]:
    return types.CodeType, (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_nlocals,
        code.co_stacksize,
        code.co_flags,
        code.co_code,
        code.co_consts,
        tuple(code.co_names),
        tuple(code.co_varnames),
        "".join(code.co_filename),
        "".join(code.co_name),
        code.co_qualname,
        code.co_firstlineno,
        code.co_linetable,
        code.co_exceptiontable,
        tuple(code.co_freevars),
        tuple(code.co_cellvars),
    )


class Pickler(cloudpickle.Pickler):
    """Pickles for the ranks of one team.

    attach: called with an array of the team's and its memory; returns what stands for it, or raises.
    """

    dispatch_table = ChainMap({types.CodeType: _reduce_code}, cloudpickle.Pickler.dispatch_table)

    def __init__(
        self,
        file: Any,
        attach: Callable[[numpy.ndarray, Any], tuple[Any, ...]] | None = None,
        buffers: list[pickle.PickleBuffer] | None = None,
    ):
        super().__init__(
            file, protocol=5, buffer_callback=None if buffers is None else buffers.append
        )
        self._attach = attach
        self.modules: set[str] = set()
        """User's modules of which something went by name: the ranks must have the same code."""

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is numpy.ndarray:
            memory = find_memory(obj)
            if memory is not None and self._attach is not None:
                return self._attach(obj, memory)
            return NotImplemented
        if not isinstance(obj, (types.FunctionType, type)):
            return super().reducer_override(obj)
        name = getattr(obj, "__module__", None) or ""
        if _is_rewritten(name):
            module = sys.modules[name]
            cloudpickle.register_pickle_by_value(module)
            try:
                return super().reducer_override(obj)
            finally:
                cloudpickle.unregister_pickle_by_value(module)
        made = super().reducer_override(obj)
        if made is NotImplemented and is_users(name):
            self.modules.add(name)
        return made


_LIBRARIES = tuple(
    {
        path.rstrip("/") + "/"
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_paths().get(name))
    }
)
_OURS = __name__.partition(".")[0]
_known_users: dict[str, tuple[Any, bool]] = {}


def is_users(name: str) -> bool:
    """Whether a module is the user's own: no part of Python, no installed package, no built-in."""
    module = sys.modules.get(name)
    if module is None or name == "__main__" or name.partition(".")[0] == _OURS:
        return False
    known = _known_users.get(name)
    if known is None or known[0] is not module:
        file = getattr(module, "__file__", None)
        known = (module, bool(file) and not str(file).startswith(_LIBRARIES))
        _known_users[name] = known
    return known[1]


def _is_rewritten(name: str) -> bool:
    """Whether a module has other code than its file: pytest rewrites the assertions of tests. Ranks would
    import the file's, so what is in such a module travels by value."""
    loader = getattr(module_spec(name), "loader", None)
    return type(loader).__module__.startswith("_pytest.")


def _add_code(digest: Any, code: types.CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _add_code(digest, constant)
        elif not isinstance(constant, (frozenset, set)):  # their order is another in each process
            digest.update(repr(constant).encode())


_fingerprints: dict[str, tuple[Any, bytes]] = {}


def fingerprint(name: str) -> bytes:
    """A hash of the code of a module's functions and methods, as they are loaded here."""
    module = sys.modules[name]
    spec = getattr(module, "__spec__", None)  # a new one after each reload
    known = _fingerprints.get(name)
    if known is not None and known[0] is spec:
        return known[1]
    digest = hashlib.blake2b(digest_size=16)
    for key, value in sorted(vars(module).items(), key=lambda item: item[0]):
        members = [value]
        if isinstance(value, type) and value.__module__ == name:
            members = [vars(value)[member] for member in sorted(vars(value))]
        for member in members:
            member = getattr(member, "__func__", getattr(member, "fget", None) or member)
            member = getattr(member, "py_func", member)  # of numba
            code = getattr(member, "__code__", None)
            if isinstance(code, types.CodeType) and getattr(member, "__module__", name) == name:
                digest.update(key.encode())
                _add_code(digest, code)
    made = digest.digest()
    _fingerprints[name] = (spec, made)
    return made


def module_spec(name: str) -> Any:
    """What is another object after a module was loaded again."""
    return getattr(sys.modules.get(name), "__spec__", None)


def related(names: set[str]) -> set[str]:
    """Modules of the user's that these modules use, with themselves."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found or not is_users(name):
            continue
        found.add(name)
        for value in list(vars(sys.modules[name]).values()):
            if isinstance(value, types.ModuleType):
                todo.append(value.__name__)
            elif isinstance(value, (types.FunctionType, type)):
                todo.append(getattr(value, "__module__", None) or "")
    return found


def dump(
    value: Any,
    attach: Callable[[numpy.ndarray, Any], tuple[Any, ...]] | None = None,
    by_value: bool = False,
) -> tuple[bytes, list[pickle.PickleBuffer], set[str]]:
    """The pickle of a value, its large buffers apart, and the user's modules that it names."""
    buffers: list[pickle.PickleBuffer] = []
    with io.BytesIO() as file:
        pickler = Pickler(file, attach, buffers)
        module = None
        if by_value:
            module = sys.modules.get(getattr(value, "__module__", None) or "")
        if module is not None and module.__name__ != "__main__":
            cloudpickle.register_pickle_by_value(module)
        try:
            pickler.dump(value)
        finally:
            if module is not None and module.__name__ != "__main__":
                cloudpickle.unregister_pickle_by_value(module)
        return file.getvalue(), buffers, pickler.modules


def pack(data: bytes, buffers: list[pickle.PickleBuffer]) -> list[Any]:
    """A pickle and its buffers as one run of bytes, in parts; `unpack` reads it.

    Each buffer begins at a multiple of 64 bytes, so that arrays in it are aligned.
    """
    views = [buffer.raw() for buffer in buffers]
    sizes = [len(data), *(view.nbytes for view in views)]
    head = numpy.array([len(sizes), *sizes], dtype=numpy.uint64).tobytes()
    parts: list[Any] = [head, data]
    at = len(head) + len(data)
    for view in views:
        fill = -at % 64
        parts += [bytes(fill), view]
        at += fill + view.nbytes
    return parts


def unpack(memory: memoryview) -> Any:
    """The value that `pack` has made; its arrays are read-only views of `memory`."""
    count = int(numpy.frombuffer(memory[:8], dtype=numpy.uint64)[0])
    head = 8 * (count + 1)
    sizes = [int(size) for size in numpy.frombuffer(memory[8:head], dtype=numpy.uint64)]
    data = memory[head : head + sizes[0]]
    at = head + sizes[0]
    buffers = []
    for size in sizes[1:]:
        at += -at % 64
        buffers.append(memory[at : at + size].toreadonly())
        at += size
    return pickle.loads(data, buffers=buffers)
