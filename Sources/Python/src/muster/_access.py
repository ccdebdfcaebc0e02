"""What a function does with an array, and functions that are prepared once."""

from __future__ import annotations

import itertools
import os
from typing import Any, Callable

import numpy

from . import _core, _pickling
from ._errors import ArgumentError

INPUT, OUTPUT, IN_PLACE = range(3)
PREFIX, GATHER = 1, 2


class Access:
    """An array of which a function gets its chunk's part."""

    __slots__ = ("array",)
    kind = -1
    word = ""

    def __init__(self, array: numpy.ndarray):
        if not isinstance(array, numpy.ndarray):
            raise ArgumentError(
                f"muster.{self.word}: got {type(array).__name__}, not an array: make one by team.array(...)"
            )
        self.array = array

    def __repr__(self) -> str:
        return f"muster.{self.word}(array of shape {self.array.shape}, {self.array.dtype})"

    def __reduce__(self) -> Any:
        raise ArgumentError(
            f"muster.{self.word}(...) must be an argument of its own, not inside of another object"
        )


class InPlace(Access):
    """See muster.in_place."""

    __slots__ = ()
    kind, word = IN_PLACE, "in_place"


class Output(Access):
    """See muster.output."""

    __slots__ = ()
    kind, word = OUTPUT, "output"


class Input(Access):
    """See muster.input."""

    __slots__ = ()
    kind, word = INPUT, "input"


def in_place(array: numpy.ndarray) -> InPlace:
    """The function changes the chunk's part of the array: its rows first..<end, and no others.

    If a rank dies or the function raises, the chunk's old contents are put back.
    """
    return InPlace(array)


def output(array: numpy.ndarray) -> Output:
    """The function writes the chunk's part of the array, every element of it, and reads none.

    What it holds before is undefined: after a death it is overwritten with one bits.
    """
    return Output(array)


def input(array: numpy.ndarray) -> Input:
    """The function reads the chunk's part of the array. (A whole array: pass it without a marker.)"""
    return Input(array)


_serials = itertools.count(1)


class Kernel:
    """A function that is pickled once, for loops that run again and again.

    What it captures is what it was when the kernel was made.
    """

    def __init__(self, function: Callable[..., Any], *, by_value: bool = False):
        if not callable(function):
            raise ArgumentError(f"muster.kernel: {function!r} can't be called")
        self.function = function
        self.by_value = by_value
        self._pickled: Any = None

    def __repr__(self) -> str:
        return f"<muster.kernel of {self.function!r}>"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def __reduce__(self) -> Any:
        return Kernel, (self.function,)


def kernel(function: Callable[..., Any], *, by_value: bool = False) -> Kernel:
    """Prepares a function for many loops: it is pickled once, and a loop then takes a few microseconds.

    by_value: send the function's code itself, also where ranks could import it by its module's name.
    """
    return Kernel(function, by_value=by_value)


class Native:
    """A kernel in C, by library and name. See muster.native."""

    def __init__(self, library: str | os.PathLike[str], name: str):
        self.library = os.path.abspath(os.fspath(library))
        self.name = name
        try:
            status = os.stat(self.library)
            _core.share_library()
            _core.find_symbol(self.library, name)
        except OSError as error:
            raise ArgumentError(
                f"muster.native: {error}: build it with `gcc -shared -fPIC -I$(python3 -m muster include)`"
            ) from None
        self.version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def __repr__(self) -> str:
        return f"muster.native({self.library!r}, {self.name!r})"


def native(library: str | os.PathLike[str], name: str) -> Native:
    """A kernel in C: the function `name` of a shared library, as muster/kernel.h describes it.

    Arrays are its uses, in the order of the call: 0, 1, ... Other arguments are NumPy scalars, ints
    (int64) and floats (double); they follow each other in work->arguments as in a C struct.
    """
    return Native(library, name)


def pack_native(arguments: list[Any]) -> bytes:
    """Arguments as a C struct has them: each aligned to its own size."""
    packed = bytearray()
    for value in arguments:
        if isinstance(value, (bool, numpy.bool_)):
            value = numpy.bool_(value)
        elif isinstance(value, int):
            value = numpy.int64(value)
        elif isinstance(value, float):
            value = numpy.float64(value)
        if not isinstance(value, numpy.generic) or value.dtype.hasobject:
            raise ArgumentError(
                f"a kernel in C can't have {type(value).__name__} as an argument: give it NumPy scalars, "
                "ints and floats"
            )
        packed += bytes(-len(packed) % value.dtype.alignment)
        packed += value.tobytes()
    return bytes(packed)


def whole(array: numpy.ndarray, memory: Any) -> bool:
    """Whether an array is all of its memory, in order."""
    return (
        array.nbytes == memory.nbytes
        and array.flags.c_contiguous
        and (memory.address == 0 or array.ctypes.data == memory.address)
    )


def describe_memory(array: Any) -> Any:
    """The memory of a team's that an array lies in, or None."""
    return _pickling.find_memory(array) if isinstance(array, numpy.ndarray) else None
