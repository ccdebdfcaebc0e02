"""How a call becomes a loop: what it is checked for, and what travels to the ranks.

An order is a head (struct order in _core.h), the arguments of a kernel in C, and a payload: a pickle that
says which function, which arguments, which arrays. Long pickles are files in memory (Blob). Loops that
are asked for again with arguments that can't have changed are not prepared again.
"""

from __future__ import annotations

import itertools
import math
import pickle
import struct
import weakref
from typing import Any, Callable

import numpy

from . import _access, _core, _output, _pickling
from ._access import GATHER, IN_PLACE, INPUT, Access, Kernel, Native
from ._blobs import Blob
from ._errors import ArgumentError, MusterError, StaleCodeError
from ._report import SCHEDULES

_PYTHON, _NATIVE, _COMPILED = _core.addresses()
RELAY, ELEMENTWISE, NO_KEPT = 1, 2, 4
_HEAD = struct.Struct("<QIIII40x")
_INLINE = _core.ARGUMENT_BYTES_MAX - _HEAD.size
_DATA_INLINE = 1500  # bytes of one pickle in a loop's arguments; longer ones are files in memory
serials = itertools.count(1)


def integer(value: Any, name: str, least: int, most: int | None = None) -> int:
    try:
        number = value.__index__()
    except (AttributeError, TypeError):
        raise ArgumentError(f"{name} is {value!r}: give an integer") from None
    if isinstance(value, (bool, numpy.bool_)):
        raise ArgumentError(f"{name} is {value!r}: give an integer")
    if number < least or (most is not None and number > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise ArgumentError(f"{name} is {number}: it must be {limits}")
    return number


class Data:
    """A pickle for the ranks: in a loop's arguments, or in a file."""

    def __init__(self, value: Any, team: Preparing, by_value: bool = False):
        self.memories: dict[int, Any] = {}
        self.number = next(serials)
        try:
            data, buffers, modules = _pickling.dump(value, self._attach(team), by_value)
        except MusterError:
            raise
        except Exception as error:
            raise ArgumentError(
                f"it can't be sent to the ranks: {type(error).__name__}: {error}: open files, locks and "
                "connections within the function, or pass what they are made from"
            ) from error
        self.modules = modules
        parts = _pickling.pack(data, buffers)
        size = sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)
        self.blob: Blob | None = None
        self.data: Any
        if size > _DATA_INLINE:
            self.blob = Blob(parts)
            self.data = (self.blob.fd, self.blob.size)
        else:
            self.data = b"".join(parts)
        self.key = None if self.blob else (self.data, tuple(self.memories))

    def _attach(self, team: Preparing) -> Callable[[numpy.ndarray, Any], tuple[Any, ...]]:
        from ._rank import attached

        def attach(array: numpy.ndarray, memory: Any) -> tuple[Any, ...]:
            team._check_memory(memory)
            self.memories[memory.number] = memory
            offset = array.ctypes.data - memory.address if array.size else 0
            return attached, (memory.number, offset, array.dtype, array.shape, array.strides)

        return attach


class Prepared:
    """A loop that can run again: what it was asked for, and the library's own form of it."""

    __slots__ = ("arguments", "data", "flags", "function", "loop", "modules", "options", "shapes")

    function: Any
    arguments: tuple[Any, ...]
    options: tuple[Any, ...]
    shapes: list[tuple[int, ...] | None]
    flags: int
    data: list[Data]
    modules: set[str]
    loop: Any


_IMMUTABLE = (int, float, complex, str, bytes, bool, type(None), numpy.generic)


class Preparing:
    """The part of a team that prepares its loops."""

    _leader: Any
    _files: _output.Files
    _size: int
    _canary: int
    _known: dict[Any, Any]
    _code: dict[str, Data]
    _specs: dict[str, Any]

    def _check_memory(self, memory: Any) -> None:
        if memory.leader is not self._leader:
            raise ArgumentError(
                "an array of another team: make it by this team's array(), or copy it into one of those"
            )

    def _is_same(self, last: Prepared, arguments: tuple[Any, ...]) -> bool:
        """Whether a loop is the last one, with arguments that can't have changed."""
        mine = last.arguments
        if len(arguments) != len(mine) or self._relay_flag() != last.flags & RELAY:
            return False
        for new, old, shape in zip(arguments, mine, last.shapes):
            if shape is None:
                if new is not old:
                    return False
            elif type(new) is not type(old):
                return False
            else:
                array = new.array if isinstance(new, Access) else new
                if array is not (old.array if isinstance(old, Access) else old) or array.shape != shape:
                    return False
        return True

    def _relay_flag(self) -> int:
        return 0 if self._files.is_direct(self._leader) else RELAY

    def _pickled(self, value: Any, by_value: bool = False) -> Data:
        """The pickle of a value. Where one with the same bytes is known, ranks know it too."""
        made = Data(value, self, by_value)
        if made.key is None:
            return made
        if len(self._known) > 256:
            self._known.clear()
        return self._known.setdefault(made.key, made)

    def _function_data(self, function: Any) -> Data:
        if not isinstance(function, Kernel):
            return self._pickled(function)
        if function._pickled is None or function._pickled[0]() is not self:
            data = self._pickled(function.function, function.by_value)
            function._pickled = (weakref.ref(self), data)
        return function._pickled[1]

    def _compiled(self, made: Any) -> Data:
        """The pickle of compiled code: one a team, since ranks load it once."""
        data = self._code.pop(made.name, None) or Data(made, self)
        self._code[made.name] = data
        if len(self._code) > 16:  # each has a file
            del self._code[next(iter(self._code))]
        return data

    def _fingerprints(self, names: set[str]) -> dict[str, bytes]:
        """Hashes of the user's modules that the ranks use. A module that was loaded again is an error."""
        made = {}
        for name in _pickling.related(names):
            spec = _pickling.module_spec(name)
            if self._specs.setdefault(name, spec) is not spec:
                raise StaleCodeError(
                    f"module {name} was loaded again since this team first used it, and its ranks have the "
                    "code from before: make a new team, or send the function with "
                    "muster.kernel(function, by_value=True)"
                )
            made[name] = _pickling.fingerprint(name)
        return made

    def _lent(self, access: Access, position: int) -> tuple[Any, int, int]:
        """The memory, the rows and the elements of a row of an array that is dealt."""
        array = access.array
        what = f"argument {position}, muster.{access.word}"
        memory = _pickling.find_memory(array)
        if memory is None:
            raise ArgumentError(
                f"{what}: the array is none of this team's: make it by team.array({array.shape}, "
                f"{str(array.dtype)!r}) and copy the values, x[...] = values"
            )
        self._check_memory(memory)
        if array.ndim == 0:
            raise ArgumentError(f"{what}: an array without dimensions has no rows to deal: give it a shape of 1")
        if not _access.whole(array, memory):
            raise ArgumentError(
                f"{what}: a part of an array can't be dealt, or one in another order: give the whole array, "
                "and look at chunk.first and chunk.end in the function, or make an array of its own for it"
            )
        elements = math.prod(array.shape[1:])
        if elements == 0 and array.shape[0] > 0:
            raise ArgumentError(f"{what}: its rows have no elements (shape {array.shape})")
        return memory, array.shape[0], max(1, elements)

    def _prepare(
        self,
        function: Any,
        arguments: tuple[Any, ...],
        options: tuple[Any, ...],
        *,
        by_rank: bool = False,
        partial: tuple[numpy.dtype, tuple[int, ...]] | None = None,
    ) -> Prepared:
        count, grain, schedule, recovery, redo_limit, stall, elementwise = options
        if not callable(function) and not isinstance(function, Native):
            raise ArgumentError(f"{function!r} can't be called: give a function of (chunk, ...)")
        if schedule not in SCHEDULES:
            raise ArgumentError(f"schedule is {schedule!r}: it is one of {', '.join(SCHEDULES)}")
        if recovery not in ("redo", "fail"):
            raise ArgumentError(f'recovery is {recovery!r}: it is "redo" or "fail"')
        redo_limit = integer(redo_limit, "redo_limit", 1, 1 << 31)
        grain = 0 if grain is None else integer(grain, "grain", 1)
        if stall is not None and not stall > 0:
            raise ArgumentError(f"stall is {stall!r}: give seconds above 0, or None")

        lent: list[tuple[Access, int, Any, int, int]] = []
        template: list[Any] = []
        for position, value in enumerate(arguments):
            if isinstance(value, Access):
                memory, rows, elements = self._lent(value, position)
                lent.append((value, position, memory, rows, elements))
                template.append(None)
            else:
                template.append(value)
        count = self._count(count, lent, by_rank)

        is_native = isinstance(function, Native)
        kind, address = ("native", _NATIVE) if is_native else ("python", _PYTHON)
        memories: dict[int, Any] = {}
        modules: set[str] = set()
        datas: list[Data] = []
        native_bytes = b""
        function_source: Any
        arguments_source: Any = None
        if is_native:
            if partial is not None:
                raise ArgumentError("reduce takes Python functions: a kernel in C is for run and each_rank")
            function_source = (0, (function.library, function.name, function.version))
            scalars = []
            for position, value in enumerate(arguments):
                if isinstance(value, numpy.ndarray):
                    memory = _pickling.find_memory(value)
                    if memory is None:
                        raise ArgumentError(
                            f"argument {position}: a kernel in C can't have an array that is none of the "
                            "team's: make it by team.array(...)"
                        )
                    self._check_memory(memory)
                    if not _access.whole(value, memory):
                        raise ArgumentError(
                            f"argument {position}: a kernel in C has whole arrays: give all of it"
                        )
                elif not isinstance(value, Access):
                    scalars.append(value)
            native_bytes = _access.pack_native(scalars)
        else:
            target = function.function if isinstance(function, Kernel) else function
            made = None
            if not _is_njit(target):
                data = self._function_data(function)
            else:
                from . import _numba

                if partial is None:
                    made = _numba.compile(target, template, [item[:2] for item in lent], elementwise)
                if made is None:
                    data = self._pickled(_numba.Called(target))
                else:
                    kind, address = "compiled", _COMPILED
                    data, native_bytes, template = self._compiled(made[0]), made[1], list(made[2])
            datas.append(data)
            # The numbers tell two files apart that have had one descriptor, one after the other.
            function_source = (data.number, data.data)
            if any(value is not None for value in template):
                more = self._pickled(tuple(template))
                datas.append(more)
                arguments_source = (more.number, more.data)
            for data in datas:
                memories.update(data.memories)
                modules |= data.modules

        uses = self._uses(arguments, lent, memories, is_native)
        lent_order = tuple(
            (position, use, access.kind, access.array.dtype, access.array.shape[1:])
            for use, (access, position, *_) in zip(uses[1], lent)
        )
        if elementwise:
            self._check_elementwise(lent)
        if len(uses[0]) > _core.USES_MAX:
            raise ArgumentError(f"{len(uses[0])} arrays in one loop: at most {_core.USES_MAX} can be used")
        payload = pickle.dumps(
            {
                "kind": kind,
                "function": function_source,
                "arguments": arguments_source,
                "argument_count": 0 if is_native else len(template),
                "arrays": tuple(memories),
                "lent": () if is_native else lent_order,
                "partial": partial,
                "modules": self._fingerprints(modules),
            },
            protocol=5,
        )
        native_bytes += bytes(-len(native_bytes) % 64)
        flags = self._relay_flag() | (ELEMENTWISE if elementwise else 0) | self._canary
        if len(payload) + len(native_bytes) > _INLINE:
            raise ArgumentError(
                f"a loop with {len(uses[0])} arrays and {len(native_bytes)} bytes of arguments takes more room "
                "than there is: put several arrays into one, with a further dimension"
            )
        serial = self._serial(payload)
        head = _HEAD.pack(serial, flags, len(native_bytes), len(payload), len(memories))
        prepared = Prepared()
        prepared.function, prepared.arguments, prepared.options = function, arguments, options
        prepared.flags = flags
        prepared.data = datas
        prepared.modules = modules
        prepared.shapes = [
            value.array.shape
            if isinstance(value, Access)
            else value.shape
            if isinstance(value, numpy.ndarray) and _pickling.find_memory(value) is not None
            else None
            for value in arguments
        ]
        prepared.loop = _core.Loop(
            address,
            uses[0],
            head + native_bytes + payload,
            count,
            grain,
            SCHEDULES.index(schedule),
            int(by_rank),
            int(recovery == "fail"),
            redo_limit,
            0 if stall is None else max(1, int(stall * 1e9)),
        )
        if not all(
            shape is not None or isinstance(value, _IMMUTABLE)
            for value, shape in zip(arguments, prepared.shapes)
        ):
            prepared.function = None  # something in it can change: never taken for the same loop
        return prepared

    def _serial(self, payload: bytes) -> int:
        """The number of a payload: the same one for the same bytes."""
        known = self._known.get(payload)
        if known is None:
            if len(self._known) > 256:
                self._known.clear()
            known = self._known[payload] = next(serials)  # type: ignore[assignment]
        return known  # type: ignore[return-value]

    def _count(
        self, count: int | None, lent: list[tuple[Access, int, Any, int, int]], by_rank: bool
    ) -> int:
        if by_rank:
            for access, position, _, rows, _ in lent:
                if rows != self._size:
                    raise ArgumentError(
                        f"argument {position}, muster.{access.word}: it has {rows} rows, and each_rank deals "
                        f"one row to each of {self._size} ranks: use run, or give the array {self._size} rows"
                    )
            return self._size
        written = [item for item in lent if item[0].kind != INPUT]
        dealt = written or lent
        if count is not None:
            count = integer(count, "count", 0)
        elif dealt:
            count = dealt[0][3]
        else:
            raise ArgumentError(
                "how many chunks? No array is dealt (in_place, output, input), so give count=..., or use "
                "team.each_rank"
            )
        # Inputs as well: a chunk's part of a shorter array would lie behind its end.
        for access, position, _, rows, _ in lent:
            if rows != count:
                raise ArgumentError(
                    f"argument {position}, muster.{access.word}: it has {rows} rows, and the loop {count}: "
                    "all arrays that are dealt must be as long as the loop"
                )
        return count

    def _uses(
        self,
        arguments: tuple[Any, ...],
        lent: list[tuple[Access, int, Any, int, int]],
        memories: dict[int, Any],
        is_native: bool,
    ) -> tuple[list[Any], list[int]]:
        """The loop's uses, and the numbers of those that are lent: whole arrays come first."""
        uses: list[Any] = []
        numbers: list[int] = []
        if is_native:  # in the order of the call, as the kernel counts them
            at = {position: item for item in lent for position in [item[1]]}
            for position, value in enumerate(arguments):
                if position in at:
                    access, _, memory, _, elements = at[position]
                    numbers.append(len(uses))
                    uses.append((memory, access.kind, 0, elements))
                elif isinstance(value, numpy.ndarray):
                    uses.append((_pickling.find_memory(value), INPUT, GATHER, 1))
        else:
            uses = [(memory, INPUT, GATHER, 1) for memory in memories.values()]
            for access, _, memory, _, elements in lent:
                numbers.append(len(uses))
                uses.append((memory, access.kind, 0, elements))
        seen: dict[int, int] = {}
        for memory, kind, _, _ in uses:
            before = seen.setdefault(memory.number, kind)
            if before != kind or (kind != INPUT and sum(use[0] is memory for use in uses) > 1):
                raise ArgumentError(
                    "one array in two roles: an array that a loop writes is its output or changed in place, "
                    "once, and the function can't read other parts of it: copy it first, or write to a "
                    "second array"
                )
            if kind != INPUT and memory.is_read_only:
                raise ArgumentError("a loop can't write to a file that was mapped for reading: writable=True")
        return uses, numbers

    def _check_elementwise(self, lent: list[tuple[Access, int, Any, int, int]]) -> None:
        if sum(item[0].kind == IN_PLACE for item in lent) > 1:
            raise ArgumentError("elementwise=True is for loops that change one array in place: leave it out")
        if len({item[4] for item in lent}) > 1:
            raise ArgumentError("elementwise=True: all arrays that are dealt must have rows of one length")


def _is_njit(function: Any) -> bool:
    return type(function).__module__.startswith("numba.") and hasattr(function, "py_func")
