"""@njit functions at C's speed: compiled once in the leader, loaded by the ranks, called for each chunk.

The leader compiles an entry around the user's function and sends its object code: ranks load that in
some milliseconds instead of compiling for themselves. What numba keeps private is used here and nowhere
else (`serialize_using_object_code`, `unserialize_library`, `rtsys`). Where an argument has no type that is
known here, the function is called as any other, and each rank compiles it.

The entry has five arguments: the chunk's numbers, where the lent arrays begin, how many rows they have,
numbers among the arguments (8 bytes each), and where the arrays among the arguments lie.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

import numba
import numpy
from numba.core import types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from ._access import INPUT

Chunk = namedtuple("Chunk", ["index", "first", "end", "rank", "size"])


@intrinsic
def _readonly(context: Any, array: Any) -> Any:
    """The same array, to which compiled code can't write."""
    made = array.copy(readonly=True)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return impl_ret_borrowed(context, builder, made, arguments[0])

    return made(array), generate


class Called:
    """An @njit function that is called as any other: compiled code knows a chunk as a named tuple."""

    def __init__(self, function: Any):
        self.function = function

    def __call__(self, chunk: Any, *arguments: Any) -> Any:
        numbers = Chunk(chunk.index, chunk.first, chunk.end, chunk.rank, chunk.size)
        return self.function(numbers, *arguments)


class Compiled:
    """Object code, and the entry's name in it."""

    def __init__(self, state: Any, name: str):
        self.state, self.name = state, name


def _describe(dtype: numpy.dtype) -> str:
    return repr(dtype.descr if dtype.names else dtype.str)


class _Entry:
    """Writes the entry's source."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self.slots: list[bytes] = []
        self.arrays: list[numpy.ndarray] = []
        self.key: list[Any] = []

    def _dtype(self, dtype: numpy.dtype) -> str | None:
        try:
            numba.from_dtype(dtype)
        except NotImplementedError:
            return None
        if not dtype.isnative:
            return None
        self.names[f"t{len(self.names)}"] = dtype
        return f"t{len(self.names) - 1}"

    def lent(self, number: int, name: str, array: numpy.ndarray, kind: int, is_flat: bool) -> bool:
        """An array of which the function gets its chunk's part."""
        dtype = self._dtype(array.dtype)
        if dtype is None:
            return False
        row = () if is_flat else array.shape[1:]
        shape = ", ".join([f"rows[{number}]", *map(str, row)])
        self.lines.append(f"{name} = carray(starts[{number}], ({shape},), {dtype})")
        if kind == INPUT:
            self.lines.append(f"{name}_ = readonly({name})")
        self.key.append((number, name, _describe(array.dtype), row, kind))
        return True

    def whole(self, name: str, array: numpy.ndarray) -> bool:
        """An array that is there as a whole."""
        dtype = self._dtype(array.dtype)
        if dtype is None or not array.flags.c_contiguous:
            return False
        shape = []
        for size in array.shape:
            shape.append(f"whole[{len(self.slots)}]")
            self.slots.append(numpy.int64(size).tobytes())
        sizes = "".join(f"{size}, " for size in shape)
        self.lines.append(f"{name} = carray(extras[{len(self.arrays)}], ({sizes}), {dtype})")
        self.lines.append(f"{name}_ = readonly({name})")
        self.arrays.append(array)
        self.key.append((name, _describe(array.dtype), array.ndim))
        return True

    def number(self, name: str, value: Any) -> bool:
        """A number."""
        slot = len(self.slots)
        packed: Any
        if isinstance(value, (bool, numpy.bool_)):
            text, packed = f"whole[{slot}] != 0", numpy.int64(bool(value))
        elif isinstance(value, int):
            if not -(1 << 63) <= value < 1 << 63:
                return False
            text, packed = f"whole[{slot}]", numpy.int64(value)
        elif isinstance(value, float):  # numpy.float64 too
            text, packed = f"real[{slot}]", numpy.float64(value)
        elif isinstance(value, numpy.float32):
            text, packed = f"f4(real[{slot}])", numpy.float64(value)
        elif isinstance(value, numpy.integer) and value.dtype != numpy.uint64:
            kind = value.dtype.name
            self.names[kind] = getattr(numpy, kind)
            text, packed = f"{kind}(whole[{slot}])", numpy.int64(value)
        else:
            return False
        self.lines.append(f"{name} = {text}")
        self.slots.append(packed.tobytes())
        self.key.append((name, text))
        return True


@functools.cache
def _signature() -> Any:
    whole = types.CPointer(types.int64)
    return types.int32(
        whole, types.CPointer(types.voidptr), whole, whole, types.CPointer(types.float64),
        types.CPointer(types.voidptr),
    )  # fmt: skip


def compile(
    function: Any, template: list[Any], lent: list[tuple[Any, int]], elementwise: bool
) -> tuple[Compiled, bytes, list[numpy.ndarray]] | None:
    """Compiles the entry of an @njit function, unless it is known. Returns: None: it can't be done; the
    entry, the numbers among the arguments, and the arrays among them."""
    entry = _Entry()
    at = {position: (number, access) for number, (access, position) in enumerate(lent)}
    arguments = []
    for position, value in enumerate(template):
        name = f"a{position}"
        if position in at:
            number, access = at[position]
            fits = entry.lent(number, name, access.array, access.kind, elementwise)
            is_read = access.kind == INPUT
        elif isinstance(value, numpy.ndarray):
            fits = entry.whole(name, value)
            is_read = True
        else:
            fits = entry.number(name, value)
            is_read = False
        if not fits:
            return None
        arguments.append(f"{name}_" if is_read else name)
    cache = function.__dict__.setdefault("_muster_entries", {})
    key = repr(entry.key)
    if key not in cache:
        call = ", ".join(["Chunk(chunk[0], chunk[1], chunk[2], chunk[3], chunk[4])", *arguments])
        body = "\n        ".join([*entry.lines, f"function({call})"])
        source = (
            "def muster_entry(chunk, starts, rows, whole, real, extras):\n"
            f"    try:\n        {body}\n    except Exception:\n        return 1\n    return 0\n"
        )
        names = dict(
            entry.names, carray=numba.carray, readonly=_readonly, Chunk=Chunk, function=function,
            f4=numpy.float32,
        )  # fmt: skip
        exec(source, names)
        made: Any = numba.cfunc(_signature())(names["muster_entry"])
        cache[key] = Compiled(made._library.serialize_using_object_code(), made._wrapper_name)
    return cache[key], b"".join(entry.slots), entry.arrays


_loaded: dict[str, Any] = {}


@functools.cache
def prepare() -> Any:
    """What loading code needs, which takes some tenths of a second: in the server, if it has numba."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys

    context = cpu_target.target_context
    context.refresh()
    rtsys.initialize(context)
    return context.codegen()


def load(compiled: Compiled) -> int:
    """In a rank: the entry's address."""
    if compiled.name not in _loaded:
        library = prepare().unserialize_library(compiled.state)
        _loaded[compiled.name] = (library, library.get_pointer_to_function(compiled.name))
    return _loaded[compiled.name][1]
