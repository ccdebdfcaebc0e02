"""The leader: a team of ranks, its arrays, and the loops that they run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any, Callable, Iterable, Sequence

import numpy

from . import _access, _core, _errors, _files, _output, _server
from ._access import Kernel, Native
from ._errors import ArgumentError, MusterError, StartError
from ._prepare import RELAY, Prepared, Preparing, integer
from ._report import Report

Progress = Callable[[int, int, float], Any]


class Team(Preparing):
    """A team of processes with ranks 0..<size, which run loops over shared arrays.

    Every chunk of a loop is done exactly once, or the call raises and says which was not. A rank that
    is killed costs its unfinished chunk, which is put back and done again by a new process.

        with muster.Team(8) as team:
            x = team.array(1 << 28)
            print(team.run(scale, muster.in_place(x), 2.0))

    size: ranks; None: one for each CPU that this process may use.
    binding: CPUs of the ranks: "spread", "compact", "none", or a list such as "0-3,8".
    preload: names of modules that are imported before the ranks are forked, so that they share them.
    start: "server", the only one: a clean interpreter forks the ranks, so this process may have
        threads, and no `if __name__ == "__main__"` is needed.

    A team belongs to the thread that made it. Errors: ArgumentError, StartError, OutOfMemoryError.
    """

    _closed = True  # until it has started

    def __init__(
        self,
        size: int | None = None,
        *,
        binding: str = "spread",
        preload: Sequence[str] = (),
        start: str = "server",
    ):
        self._leader: Any = None
        if size is None:
            size = len(os.sched_getaffinity(0))
        size = integer(size, "a team's size", 1, _core.RANKS_MAX)
        if start != "server":
            raise ArgumentError(f'start is {start!r}: "server" is the only way to start a team from Python')
        if isinstance(preload, str):
            preload = (preload,)
        from . import _rank

        if _rank.leader:
            raise MusterError(
                "a rank can't lead a team of its own: make the team in the program, and give its loops more "
                "chunks"
            )
        self._size = size
        self._files = _output.Files()
        try:
            self._leader = _core.Leader(size, binding, self._program(list(preload)))
        except _core.Error as error:
            words = self._files.read_log()
            if words:
                made: MusterError = StartError(f"the fork server could not start: {words}")
            else:
                made = _errors.from_library(error)
                if not isinstance(made, (ArgumentError, _errors.OutOfMemoryError)):
                    made = StartError(str(made))
            raise made from None
        finally:
            if self._leader is None:
                self._files.close()
        self._closed = False
        self._pending: Any = None
        self._last: Prepared | None = None
        self._known = {}
        self._code = {}
        self._specs = {}
        self._index: Any = None
        self._canary = 0

    def _program(self, preload: list[str]) -> list[str]:
        executable = sys.executable
        if not executable or not os.access(executable, os.X_OK):
            self._files.close()
            raise StartError(
                f"sys.executable is {executable!r}, no program that can be executed: set it to the "
                "interpreter's path before the team is made"
            )
        how = {
            "leader": os.getpid(),
            "files": self._files.numbers,
            "preload": preload,
            "version": _core.version,
            "path": [os.path.abspath(path) if path else os.getcwd() for path in sys.path],
            "argv": list(getattr(sys, "argv", None) or [""]),
        }
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        return [executable, *flags, "-c", _server.CODE, json.dumps(how)]

    # -- the team's life ---------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Ranks of the team."""
        return self._size

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids by rank; 0: the rank has no process."""
        return (0,) * self._size if self._closed else tuple(self._leader.pids())

    @property
    def report(self) -> Report | None:
        """The audit of the last loop, also of one that failed; None: none has run."""
        if self._pending is None or not self._pending._fill().get("text"):
            return None
        return self._pending

    def close(self) -> None:
        """Ends the ranks. Arrays and reports stay as they are."""
        if not self._closed:
            if os.getpid() == self._leader.pid:
                if self._leader.running:
                    raise MusterError("team: a loop is running on it: it can't be closed now")
                if self._pending is not None:
                    self._pending._fill()
                self._leader.end()
            self._closed = True
            self._last = None
            self._known.clear()
            self._code.clear()
            self._index = None
            self._files.close()

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_closed", True) is False:
            try:
                self.close()
            except BaseException:
                pass  # in another thread, or at the interpreter's end: the library ends with the leader

    def __repr__(self) -> str:
        if self._leader is None:
            return "<muster.Team: not started>"
        state = "closed" if self._closed else f"pids {', '.join(map(str, self.pids))}"
        return f"<muster.Team of {self._size}: {state}>"

    def __reduce__(self) -> Any:
        raise ArgumentError("a team can't be sent to its ranks: pass what the function needs of it")

    def _check(self) -> None:
        if self._closed:
            raise MusterError("the team has been closed: make a new one (its arrays are still there)")
        try:
            self._leader.check()
        except _core.Error as error:
            raise _errors.from_library(error) from None

    # -- arrays ------------------------------------------------------------------------------------

    def array(
        self,
        shape: int | Sequence[int],
        dtype: Any = float,
        *,
        placement: str | None = None,
        pages: str | None = None,
        name: str | None = None,
    ) -> numpy.ndarray:
        """A new array of zeros in memory that all ranks share: a plain numpy.ndarray.

        shape: elements; loops deal the first dimension. dtype: any but object.
        placement: "first-touch", "bind:1", "interleave", "interleave:0,2", "weighted:0=3,1=1",
            "blocked" or "mirrored". pages: "4k", "thp", "2m", "1g" or "auto". name: what errors call it.

        It can be used after the team has ended. Errors: ArgumentError, OutOfMemoryError, PlacementError.
        """
        self._check()
        dtype = numpy.dtype(dtype)
        if dtype.hasobject:
            raise ArgumentError(
                f"dtype {dtype}: references mean nothing in another process: use numbers, bytes, or "
                "team.map for objects"
            )
        if dtype.itemsize == 0:
            raise ArgumentError(f"dtype {dtype} has no bytes: give its length, as in 'S16'")
        if hasattr(shape, "__index__"):
            shape = (shape,)  # type: ignore[assignment]
        try:
            sizes = tuple(integer(size, "a size", 0) for size in shape)  # type: ignore[union-attr]
        except TypeError:
            raise ArgumentError(f"shape is {shape!r}: give an integer or several") from None
        count = math.prod(sizes)
        if count * dtype.itemsize >= 1 << 63:
            raise ArgumentError(f"shape {sizes}: more bytes than a number can hold")
        try:
            memory = self._leader.array(count, dtype.itemsize, placement, pages, name)
        except _core.Error as error:
            raise _errors.from_library(error) from None
        finally:
            self._last = None
        return _core.view(memory.address, dtype, sizes, None, True, memory)

    def map_file(
        self,
        path: str | os.PathLike[str],
        *,
        writable: bool = False,
        dtype: Any = None,
        shape: Sequence[int] | None = None,
    ) -> numpy.ndarray:
        """A file as an array, which is never read as a whole: a .npy file, or any other with a dtype.

        writable: what is written goes to the file. dtype: of a file that is no .npy file. shape: of the
        array; None: that of the .npy file, or one dimension. Errors: FileError, ArgumentError.
        """
        self._check()
        path = os.fspath(path)
        element_bytes = code = 0
        try:
            if dtype is None:
                found, dtype, code = _files.read_header(path)
                shape = found if shape is None else shape
            else:
                dtype = numpy.dtype(dtype)
                element_bytes = dtype.itemsize
                if dtype.hasobject or element_bytes == 0:
                    raise ArgumentError(f"dtype {dtype} can't be in a file")
            memory = self._leader.map(path, element_bytes, code, bool(writable), dtype.itemsize)
        except _core.Error as error:
            raise _errors.from_library(error) from None
        except OSError as error:
            if isinstance(error, MusterError):
                raise
            made = _errors.FileError(f"{path}: it can't be read: {error.strerror}")
            made.errno = error.errno
            raise made from None
        finally:
            self._last = None
        count = memory.nbytes // dtype.itemsize
        sizes = (count,) if shape is None else tuple(int(size) for size in shape)
        if math.prod(sizes) != count:
            raise ArgumentError(f"shape {sizes} has {math.prod(sizes)} elements, and {path} has {count}")
        return _core.view(memory.address, dtype, sizes, None, bool(writable), memory)

    # -- loops -------------------------------------------------------------------------------------

    def run(
        self,
        function: Any,
        *arguments: Any,
        count: int | None = None,
        grain: int | None = None,
        schedule: str = "static",
        recovery: str = "redo",
        redo_limit: int = 3,
        stall: float | None = None,
        progress: bool | Progress | None = None,
        elementwise: bool = False,
    ) -> Report:
        """Calls function(chunk, *arguments) for each chunk of a loop, exactly once.

        function: any function, muster.kernel, muster.native or an @njit function.
        arguments: muster.in_place(x), muster.output(x) and muster.input(x) give the function the
            chunk's part of an array; an array without a marker is there as a whole, for reading;
            anything else is pickled. Arrays are dealt by their first dimension.
        count: indices of the loop; None: what the arrays that are written have, or else the inputs.
        grain: indices a chunk; None: a power of two that depends on count and a row's bytes only, for
            chunks of up to 512 KiB.
        schedule: "static", "cyclic", "dynamic", "guided" or "static-steal".
        recovery: "redo", or "fail": end the loop if a rank dies; then nothing is journaled.
        redo_limit: deaths after which a chunk is left alone. stall: longest that a chunk may take, in
            seconds; its rank is then killed. progress: True for a line on a terminal, or a function of
            (chunks done, chunks, seconds). elementwise: the function gets parts of 4 KiB instead of
            whole chunks: for functions that treat each element by itself.

        Returns: the audit. Errors: what the function raised, with the rank's traceback; KernelError,
        Quarantined, WorkerDied, StaleCodeError, AuditError, ArgumentError; KeyboardInterrupt.
        """
        options = (count, grain, schedule, recovery, redo_limit, stall, elementwise)
        last = self._last
        if (
            last is not None
            and last.function is function
            and last.options == options
            and self._is_same(last, arguments)
        ):
            return self._dispatch(last, progress)
        self._check()
        prepared = self._prepare(function, arguments, options)
        self._last = prepared if isinstance(function, (Kernel, Native)) else None
        return self._dispatch(prepared, progress)

    def each_rank(
        self,
        function: Any,
        *arguments: Any,
        recovery: str = "redo",
        redo_limit: int = 3,
        stall: float | None = None,
        progress: bool | Progress | None = None,
    ) -> Report:
        """Calls function(chunk, *arguments) once in each rank: chunk r by rank r. The rest as run."""
        self._check()
        options = (None, None, "static", recovery, redo_limit, stall, False)
        return self._dispatch(self._prepare(function, arguments, options, by_rank=True), progress)

    def reduce(
        self,
        function: Any,
        *arguments: Any,
        op: Callable[[Any, Any], Any] = numpy.add,
        shape: int | Sequence[int] = (),
        dtype: Any = float,
        count: int | None = None,
        grain: int | None = None,
        schedule: str = "static",
        recovery: str = "redo",
        redo_limit: int = 3,
        stall: float | None = None,
        progress: bool | Progress | None = None,
    ) -> Any:
        """Combines what function(chunk, *arguments) returns for each chunk, by `op`.

        op: of two arrays (or numbers), associative; a NumPy ufunc such as numpy.maximum, or any
        function. shape, dtype: of what the function returns. Results are combined in a fixed binary tree
        over the chunks: the same bits for any team size, schedule and death. Of a loop without elements
        the result is the identity of `op` (0 of numpy.add); an ArgumentError where it has none, as
        numpy.minimum. The rest as run. Returns: a NumPy scalar, or an array.
        """
        self._check()
        if isinstance(shape, int):
            shape = (shape,)
        sizes = tuple(integer(size, "a size", 0) for size in shape)
        dtype = numpy.dtype(dtype)
        bytes_each = math.prod(sizes) * dtype.itemsize
        if dtype.hasobject or not 0 < bytes_each <= 1 << 30:
            raise ArgumentError(
                f"results of shape {sizes} and dtype {dtype}: they have 1 byte to 1 GiB each, and no objects"
            )
        options = (count, grain, schedule, recovery, redo_limit, stall, False)
        prepared = self._prepare(function, arguments, options, partial=(dtype, sizes))
        result = numpy.zeros(sizes, dtype)
        is_ufunc = isinstance(op, numpy.ufunc)

        def join(left: int, right: int) -> None:
            one = _core.view(left, dtype, sizes, None, True, self)
            other = _core.view(right, dtype, sizes, None, False, self)
            if is_ufunc:
                op(one, other, out=one)  # type: ignore[call-arg]
            else:
                one[...] = op(one[()], other[()])

        self._dispatch(prepared, progress, (bytes_each, join, result.ctypes.data))
        report = self.report
        if report is not None and report.chunks == 0:
            identity = getattr(op, "identity", None)
            if identity is None:
                raise ArgumentError(
                    f"a reduction of nothing: the loop has no elements, and {getattr(op, '__name__', op)} of "
                    "none has no value"
                )
            result[...] = identity
        return result[()]

    def map(
        self,
        function: Any,
        items: Iterable[Any],
        *,
        grain: int | None = None,
        schedule: str = "dynamic",
        recovery: str = "redo",
        redo_limit: int = 3,
        stall: float | None = None,
        progress: bool | Progress | None = None,
    ) -> list[Any]:
        """[function(item) for item in items], by all ranks: as Pool.map, but a killed rank costs nothing.

        grain: items a chunk; None: about four chunks a rank. An exception names the item. The rest as
        run. Results and items lie in shared memory until the call returns.
        """
        from . import _map

        self._check()
        return _map.run(
            self, function, list(items), grain, schedule, recovery, redo_limit, stall, progress
        )

    # -- running -----------------------------------------------------------------------------------

    def _dispatch(
        self, prepared: Prepared, progress: Any = None, reduction: tuple[Any, ...] | None = None
    ) -> Report:
        leader = self._leader
        if self._closed:
            self._check()
        if prepared.modules:
            self._fingerprints(prepared.modules)
        pending = self._pending
        # Read the last report before this loop replaces it, if anybody still has it.
        if pending is not None and pending._values is None and sys.getrefcount(pending) > 3:
            pending._fill()
        files = self._files
        relayed = bool(prepared.flags & RELAY)
        bar = tick = None
        if progress is not None or relayed:
            bar = _output.bar(progress)
            tick = files.ticker(bar, relayed)
        error: BaseException
        try:
            if reduction is None:
                leader.run(prepared.loop, tick)
            else:
                leader.reduce(prepared.loop, tick, *reduction)
        except BaseException as problem:
            error = problem
        else:
            report = self._pending = Report(leader)
            if tick is not None:
                files.finish(bar, report, relayed)
            return report
        self._last = None
        report = self._pending = Report(self._leader)
        report._fill()
        try:
            files.finish(bar, report, relayed)
        finally:
            made = self._explain(error, report)
            del error
            try:
                raise made
            finally:
                del made

    def _explain(self, error: BaseException, report: Report) -> BaseException:
        """The exception that the user gets for a loop that failed."""
        if not isinstance(error, _core.Error):  # Ctrl-C, or a function for progress
            if report._values and report._values.get("chunks"):
                error.add_note(f"muster: {report}")
            return error
        made: BaseException | None = None
        if error.args[0] == _core.ERROR_KERNEL:
            made = _output.read_exception(self._files, error.args[2], report)
        if made is None:
            made = _errors.from_library(error)
        if isinstance(made, MusterError):
            made.report = report if report._values and "chunks" in report._values else None
        made.__suppress_context__ = True
        return made


def mirror(array: numpy.ndarray) -> None:
    """Brings what the leader has written to a "mirrored" array to the copies on all nodes.

    A loop that reads such an array is refused until then. Of any other array nothing happens.
    """
    memory = _access.describe_memory(array)
    if memory is None:
        raise ArgumentError("muster.mirror: the array is none of a team's")
    try:
        memory.mirror()
    except _core.Error as error:
        raise _errors.from_library(error) from None
