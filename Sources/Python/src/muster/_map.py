"""map: any function over any items, with results of any kind, which survives killed ranks."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
from typing import TYPE_CHECKING, Any

import numpy

from . import _pickling
from ._access import Kernel, Output
from ._blobs import Blob
from ._errors import ArgumentError

if TYPE_CHECKING:
    from ._leader import Team

_PLACE = struct.Struct("=QQ")


class Runner:
    """What the ranks call: it reads a chunk's items, and leaves the results.

    Each chunk's results are appended to a file of the leader's; `index` says where. Its place in the index is
    the chunk's own, so the results of a chunk that was begun twice are there once.
    """

    def __init__(self, function: Any, items: tuple[int, int], results: int, number: int):
        self.function, self.items, self.results = function, items, results
        self.number = number  # no other call's: descriptors are given out again
        self._file: Any = None
        self._fd = -1

    def __reduce__(self) -> Any:
        return Runner, (self.function, self.items, self.results, self.number)

    def __call__(self, chunk: Any, index: Any) -> None:
        from . import _rank

        if self._file is None:
            fd = os.open(f"/proc/{_rank.leader}/fd/{self.items[0]}", os.O_RDONLY | os.O_CLOEXEC)
            self._file = memoryview(mmap.mmap(fd, self.items[1], prot=mmap.PROT_READ))
            os.close(fd)
            self._fd = os.open(
                f"/proc/{_rank.leader}/fd/{self.results}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            )
        start, end = _PLACE.unpack_from(self._file, 8 * chunk.index)
        function = self.function
        results = []
        for number, item in enumerate(pickle.loads(self._file[start:end]), chunk.first):
            try:
                results.append(function(item))
            except BaseException as error:
                try:
                    error._muster_item = number  # type: ignore[attr-defined]
                except AttributeError:
                    pass
                raise
        try:
            data = pickle.dumps(results, 5)  # most results need nothing more, and it takes a tenth
        except Exception:
            with io.BytesIO() as file:
                _pickling.Pickler(file).dump(results)
                data = file.getvalue()
        written = os.write(self._fd, data)
        if written != len(data):
            raise OSError(f"only {written} of {len(data)} bytes of results could be written")
        # The first of the chunk's places is the one that is read.
        _PLACE.pack_into(index, 0, os.lseek(self._fd, 0, os.SEEK_CUR) - written, written)


def run(
    team: Team,
    function: Any,
    items: list[Any],
    grain: int | None,
    schedule: str,
    recovery: str,
    redo_limit: int,
    stall: float | None,
    progress: Any,
) -> list[Any]:
    """See Team.map."""
    from ._prepare import integer, serials

    if not callable(function):
        raise ArgumentError(f"{function!r} can't be called: give a function of one item")
    if isinstance(function, Kernel):
        function = function.function
    count = len(items)
    if count == 0:
        return []
    grain = max(1, -(-count // (4 * team.size))) if grain is None else integer(grain, "grain", 1)
    chunks = -(-count // grain)
    pickles = []
    modules: set[str] = set()
    for first in range(0, count, grain):
        part = items[first : first + grain]
        file = io.BytesIO()
        try:
            pickler = _pickling.Pickler(file)
            pickler.dump(part)
        except Exception as error:
            raise ArgumentError(
                f"items {first}..<{first + len(part)} can't be sent to the ranks: "
                f"{type(error).__name__}: {error}"
            ) from error
        pickles.append(file.getvalue())
        modules |= pickler.modules
    ends = 8 * (chunks + 1) + numpy.cumsum([0, *map(len, pickles)], dtype=numpy.uint64)
    blob = Blob([ends.astype(numpy.uint64).tobytes(), *pickles])
    del pickles
    results = os.memfd_create("muster-results", os.MFD_CLOEXEC)
    try:
        index = team._index
        if index is None or len(index) != count:
            index = team._index = team.array((count, 2), numpy.uint64, name="results of map")
        runner = Runner(function, (blob.fd, blob.size), results, next(serials))
        options = (None, grain, schedule, recovery, redo_limit, stall, False)
        prepared = team._prepare(runner, (Output(index),), options)
        prepared.modules |= modules
        team._dispatch(prepared, progress)
        size = os.fstat(results).st_size
        made: list[Any] = []
        memory = mmap.mmap(results, size, prot=mmap.PROT_READ)
        with memory:
            for start, length in index[::grain].tolist():
                made += pickle.loads(memory[start : start + length])
        return made
    finally:
        # Ranks have them open until their next loop.
        os.ftruncate(results, 0)
        os.ftruncate(blob.fd, 0)
        os.close(results)
