"""A rank of a program that is started as a team, as under mpirun.

    muster run -n 8 -- python3 program.py

    me = muster.join()
    x = me.array("x", 1 << 20)
    with me.loop("fill", len(x), adopt=True) as loop:
        for chunk in loop:
            x[chunk.slice] = me.rank

Started alone, the same program is a team of one. The functions that are called *collective* are called by
every rank in the same order. When a rank dies, every collective call of the others raises WorkerDied until
they have called recover; a loop with adopt=True goes on without the dead.
"""

from __future__ import annotations

import errno
import math
import weakref
from types import TracebackType
from typing import Any, Iterator, Sequence

import numpy

from . import _core
from ._core import Chunk
from ._errors import ArgumentError, AuditError, MusterError, OutOfMemoryError, StartError, WorkerDied
from ._report import SCHEDULES, Report

_OPERATIONS = {"sum": 1, "product": 2, "min": 3, "max": 4, "and": 5, "or": 6, "xor": 7}
_CLASSES = {
    -errno.EINVAL: ArgumentError,
    -errno.E2BIG: ArgumentError,
    -errno.EOWNERDEAD: WorkerDied,
    -errno.ENOMEM: OutOfMemoryError,
}


def _explain(error: BaseException, what: str) -> MusterError:
    status, words = error.args
    return _CLASSES.get(status, MusterError)(f"{what}: {words}")


def _code(dtype: numpy.dtype, what: str) -> int:
    from ._files import type_code

    code = type_code(dtype)
    if code == 0:
        raise ArgumentError(f"{what}: values of dtype {dtype} can't be combined: use integers or floats")
    return code


def _operation(name: str, what: str) -> int:
    if name not in _OPERATIONS:
        raise ArgumentError(f"{what}: op is {name!r}: it is one of {', '.join(_OPERATIONS)}")
    return _OPERATIONS[name]


class Member:
    """This process as a rank of a launched program: see muster.join."""

    def __init__(self) -> None:
        try:
            self._core = _core.Member()
        except _core.StatusError as error:
            raise StartError(f"muster.join: {error.args[1]}") from None
        (
            self.rank,
            self.size,
            self.global_rank,
            self.global_size,
            self.node,
            self.cpu,
            self.incarnation,
            alone,
        ) = self._core.describe()
        self.alone = bool(alone)
        self._arrays: dict[int, tuple[Any, int]] = {}
        self._loop: Loop | None = None

    def __repr__(self) -> str:
        return f"<muster.Member: rank {self.rank} of {self.size}>"

    def _call(self, what: str, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except _core.StatusError as error:
            raise _explain(error, what) from None

    def leave(self) -> None:
        """Leaves the team for good. Arrays keep what they hold, in this process."""
        used = [
            (address, size) for address, (kept, size) in self._arrays.items() if kept() is not None
        ]
        self._call("leave", self._core.leave, used)

    def alive(self, rank: int) -> bool:
        """Whether a rank takes part in collective calls, as of the last recover."""
        return self._call("alive", self._core.alive, rank)

    def recover(self) -> None:
        """Makes collective calls work again after a death. Collective over the survivors.

        If the launcher starts dead ranks again, a new one (incarnation above 1) calls it first.
        """
        self._loop = None
        self._call("recover", self._core.recover)

    def barrier(self) -> None:
        """Waits until every rank has come here. Collective."""
        self._call("barrier", self._core.barrier)

    def array(self, name: str, shape: int | Sequence[int], dtype: Any = float) -> numpy.ndarray:
        """An array that all ranks share, zeros when it is made by the first call with this name. Collective.

        name: 1 to 63 bytes. shape, dtype: the same in all ranks. It lives as long as the launcher: a rank that
        is started again finds it with its contents.
        """
        dtype = numpy.dtype(dtype)
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        size = math.prod(sizes) * dtype.itemsize
        if dtype.hasobject or size < 1:
            raise ArgumentError(f"array {name}: shape {sizes} of {dtype} has no bytes, or holds objects")
        address = self._call(f"array {name}", self._core.array, name, size)
        kept, _ = self._arrays.get(address, (None, 0))
        memory = kept() if kept is not None else None
        if memory is None:
            memory = _Memory()
            self._arrays[address] = (weakref.ref(memory), size)
        return _core.view(address, dtype, sizes, None, True, memory)

    def _values(self, values: Any, what: str) -> numpy.ndarray:
        if not isinstance(values, numpy.ndarray) or not values.flags.c_contiguous or not values.flags.writeable:
            raise ArgumentError(f"{what}: give a NumPy array that is contiguous and can be written")
        return values

    def broadcast(self, values: numpy.ndarray, root: int = 0) -> numpy.ndarray:
        """Gives every rank the values of one, in place. Collective. Returns: values."""
        data = self._values(values, "broadcast")
        self._call("broadcast", self._core.combine, 0, data.view(numpy.uint8).data, 0, 0, 0, root)
        return values

    def reduce(self, values: numpy.ndarray, op: str = "sum", root: int = 0) -> numpy.ndarray:
        """Combines an array of each rank into that of `root`, value by value. Collective.

        op: "sum", "product", "min", "max", "and", "or" or "xor". Returns: values.
        """
        return self._combine("reduce", 1, values, op, root)

    def all_reduce(self, values: numpy.ndarray, op: str = "sum") -> numpy.ndarray:
        """The same into every rank's, with the same bits in all. Collective. Returns: values."""
        return self._combine("all_reduce", 2, values, op, 0)

    def scan(self, values: numpy.ndarray, op: str = "sum", exclusive: bool = False) -> numpy.ndarray:
        """Gives each rank what the ranks up to it (or before it) combine to. Collective. Returns: values."""
        return self._combine("scan", 3, values, op, int(exclusive))

    def _combine(self, what: str, how: int, values: Any, op: str, last: int) -> numpy.ndarray:
        data = self._values(values, what)
        self._call(
            what,
            self._core.combine,
            how,
            data,
            data.size,
            _code(data.dtype, what),
            _operation(op, what),
            last,
        )
        return data

    def loop(
        self,
        name: str,
        count: int,
        *,
        grain: int | None = None,
        schedule: str = "dynamic",
        adopt: bool = False,
        partial: int | Sequence[int] | None = None,
        dtype: Any = float,
    ) -> Loop:
        """Begins a loop over count indices, each chunk of which is worked on by one rank. Collective.

        schedule: as Team.run. adopt: the survivors do what a dead rank has left; the body then writes only
        what it does not read. partial: shape of what each chunk leaves behind for loop.reduce, of `dtype`.
        """
        if schedule not in SCHEDULES:
            raise ArgumentError(f"loop {name}: schedule is one of {', '.join(SCHEDULES)}")
        return Loop(self, name, count, grain or 0, SCHEDULES.index(schedule), adopt, partial, dtype)


class _Memory:
    """Lives as long as any array over a member's memory."""


class Loop:
    """A loop of a member: `for chunk in loop` claims chunks, and commits each when the body is through.

    As a context manager it ends itself: `report` is then the audit. A body that raises leaves its chunk
    uncommitted, and the audit shows it as missing.
    """

    def __init__(
        self,
        member: Member,
        name: str,
        count: int,
        grain: int,
        schedule: int,
        adopt: bool,
        partial: int | Sequence[int] | None,
        dtype: Any,
    ):
        self.name = name
        self.report: Report | None = None
        self._member = member
        self._dtype = numpy.dtype(dtype)
        self._shape: tuple[int, ...] | None = None
        if partial is not None:
            self._shape = (partial,) if isinstance(partial, int) else tuple(partial)
        size = 0 if self._shape is None else math.prod(self._shape) * self._dtype.itemsize
        self._schedule = schedule
        self.chunks: int = member._call(
            f"loop {name}", member._core.begin, name, count, grain, schedule, 1, adopt, size
        )
        member._loop = self

    def _check(self) -> None:
        if self._member._loop is not self:
            raise MusterError(f"loop {self.name}: it is over: a later loop has begun, or recover was called")

    def __iter__(self) -> Iterator[Chunk]:
        member, core = self._member, self._member._core
        while True:
            self._check()
            found = member._call(f"loop {self.name}", core.next)
            if found is None:
                return
            index, first, end = found
            yield Chunk(index, first, end, member.rank, member.size)
            # Not reached where the body has raised.
            member._call(f"loop {self.name}", core.commit, index, first, end)

    def partial(self, chunk: Chunk) -> numpy.ndarray:
        """Where a chunk leaves its partial result, to be written before it is committed."""
        self._check()
        if self._shape is None:
            raise ArgumentError(f"loop {self.name}: it was begun without partial=...")
        address = self._member._call(
            "partial", self._member._core.partial, chunk.index, chunk.first, chunk.end
        )
        return _core.view(address, self._dtype, self._shape, None, True, self)

    def end(self) -> Report:
        """Waits for all ranks, and audits. Collective. Raises AuditError where chunks are missing."""
        self._check()
        status, *counts = self._member._call(f"loop {self.name}", self._member._core.end)
        names = (
            "chunks", "exactly_once", "missing", "repeated", "adopted", "own", "deaths", "elements", "grain",
        )  # fmt: skip
        values: dict[str, Any] = dict(zip(names, counts))
        values.update(
            deaths=(),
            size=self._member.size,
            schedule=self._schedule,
            redone=values["adopted"],
            clean=status == 0,
        )
        chunks, once = values["chunks"], values["exactly_once"]
        ranks = "1 rank" if self._member.size == 1 else f"{self._member.size} ranks"
        values["text"] = (
            f"{chunks} chunks, each exactly once, by {ranks}"
            if status == 0
            else f"{once} of {chunks} chunks exactly once; {values['missing']} missing, "
            f"{values['repeated']} repeated"
        )
        self.report = Report(None, values)
        if status < 0:
            error = AuditError(f"loop {self.name}: {self.report}")
            error.report = self.report
            raise error
        return self.report

    def reduce(self, op: str = "sum") -> Any:
        """Combines the partial results of an ended loop: the same bits in every rank, for any number."""
        self._check()
        if self._shape is None:
            raise ArgumentError(f"loop {self.name}: it was begun without partial=...")
        result = numpy.zeros(self._shape, self._dtype)
        self._member._call(
            "reduce",
            self._member._core.loop_reduce,
            result.reshape(-1),
            _code(self._dtype, "reduce"),
            _operation(op, "reduce"),
        )
        return result[()]

    def __enter__(self) -> Loop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()


def join() -> Member:
    """Joins the team that this process was started for by `muster run`. Alone, it is a team of one.

    Errors: StartError.
    """
    return Member()
