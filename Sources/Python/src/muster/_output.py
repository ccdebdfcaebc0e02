"""What comes back from the ranks besides numbers: exceptions, prints, progress."""

from __future__ import annotations

import linecache
import os
import pickle
import sys
import time
import traceback
from typing import Any, Callable

from . import _core
from ._errors import KernelError, MusterError, RemoteTraceback, StaleCodeError
from ._report import Report


class Files:
    """Files in memory that the ranks write to: exceptions, what they print, why no server has started."""

    def __init__(self) -> None:
        names = ("mail", "out", "err", "log")
        self.numbers = {}
        try:
            for name in names:
                self.numbers[name] = os.memfd_create(f"muster-{name}", os.MFD_CLOEXEC)
        except OSError:
            self.close()
            raise
        self._read = {"out": 0, "err": 0}
        self._direct: tuple[Any, ...] = (None, None, False)

    def close(self) -> None:
        """Closes them."""
        for fd in self.numbers.values():
            os.close(fd)
        self.numbers = {}

    def __del__(self) -> None:
        self.close()

    def read_log(self) -> str:
        """Why no server has started: its last lines."""
        fd = self.numbers["log"]
        return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace").strip()

    def take_mail(self) -> bytes:
        """All that was sent in the last loop. It is gone then."""
        fd = self.numbers["mail"]
        size = os.fstat(fd).st_size
        data = b""
        while len(data) < size:
            part = os.pread(fd, min(size - len(data), 1 << 30), len(data))
            if not part:
                break
            data += part
        if size:
            os.ftruncate(fd, 0)
        return data

    def is_direct(self, leader: Any) -> bool:
        """Whether ranks can print to descriptors 1 and 2 themselves: Python's output goes there too.

        In a notebook, under pytest and within redirect_stdout it goes elsewhere.
        """
        out, err = sys.stdout, sys.stderr
        if out is not sys.__stdout__ or err is not sys.__stderr__ or out is None:
            return False
        if self._direct[0] is not out or self._direct[1] is not err:
            try:
                plain = out.fileno() == 1 and err.fileno() == 2  # type: ignore[union-attr]
            except (OSError, ValueError, AttributeError):
                plain = False
            self._direct = (out, err, plain)
        return self._direct[2] and leader.same_outputs()

    def drain(self, everything: bool) -> None:
        """Writes what ranks have printed to sys.stdout and sys.stderr: whole lines, or everything."""
        for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
            fd = self.numbers[name]
            start = self._read[name]
            size = os.fstat(fd).st_size
            if size == start:
                continue
            data = os.pread(fd, size - start, start)
            if not everything:
                data = data[: data.rfind(b"\n") + 1]
            if not data:
                continue
            self._read[name] = start + len(data)
            if stream is not None:
                stream.write(data.decode(errors="replace"))
                stream.flush()
            _core.free_hole(fd, self._read[name] & -4096)

    def ticker(self, bar: Any, relayed: bool) -> Callable[[int, int, int], None]:
        """What is called about ten times a second while a loop runs."""

        def tick(done: int, chunks: int, elapsed_ns: int) -> None:
            if relayed:
                self.drain(False)
            if bar is not None:
                bar(done, chunks, elapsed_ns / 1e9)

        return tick

    def finish(self, bar: Any, report: Report, relayed: bool) -> None:
        """After a loop."""
        if relayed:
            self.drain(True)
        if bar is not None:
            bar.end(report)


class _Line:
    """One line on a terminal that shows how far a loop is."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._shown = False

    def __call__(self, done: int, chunks: int, seconds: float) -> None:
        share = done / chunks if chunks else 1.0
        left = f", {seconds / share - seconds:.0f} s left" if 0 < share < 1 else ""
        width = 24
        full = int(share * width)
        sys.stderr.write(
            f"\r\x1b[K[{'#' * full}{'.' * (width - full)}] {done:,} of {chunks:,} chunks, {seconds:.0f} s{left}"
        )
        sys.stderr.flush()
        self._shown = True

    def end(self, report: Report) -> None:
        """Takes the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class _Called:
    """A function of the user's that is told how far a loop is."""

    def __init__(self, function: Callable[[int, int, float], Any]):
        self._function = function
        self._start = time.monotonic()

    def __call__(self, done: int, chunks: int, seconds: float) -> None:
        self._function(done, chunks, seconds)

    def end(self, report: Report) -> None:
        """Tells it the end."""
        if report.chunks:
            self._function(report.exactly_once, report.chunks, time.monotonic() - self._start)


def bar(progress: Any) -> Any:
    """What shows progress; None: nothing does."""
    if progress is None or progress is False:
        return None
    if progress is True:
        try:
            return _Line() if sys.stderr is not None and sys.stderr.isatty() else None
        except (AttributeError, ValueError):
            return None
    if not callable(progress):
        from ._errors import ArgumentError

        raise ArgumentError(f"progress is {progress!r}: give True, or a function of (done, chunks, seconds)")
    return _Called(progress)


def _format(chain: list[Any]) -> str:
    """A traceback, with the source lines that this process knows: a notebook's cells are nowhere else."""
    joints = {
        "cause": "\nThe above exception was the direct cause of the following exception:\n\n",
        "context": "\nDuring handling of the above exception, another exception occurred:\n\n",
    }
    text = ""
    for number, (_, frames, words) in enumerate(reversed(chain)):
        if number:
            text += joints[chain[len(chain) - number][0]]
        if frames:
            linecache.checkcache()
            summary = [traceback.FrameSummary(file, line, name) for file, line, name in frames]
            text += "Traceback (most recent call last):\n"
            text += "".join(traceback.StackSummary.from_list(summary).format())
        text += words
    return text


def read_exception(files: Files, status: int, report: Report) -> BaseException | None:
    """What the function has raised in its rank; None: it has raised nothing, it returned a status."""
    mail = files.take_mail()
    at = status - 1
    if not mail or at < 0 or at + 8 > len(mail):
        return None
    size = int.from_bytes(mail[at : at + 8], "little")
    try:
        record = pickle.loads(mail[at + 8 : at + 8 + size])
    except Exception:
        return None
    rank, chunk = record["rank"], record["chunk"]
    where = f"in rank {rank}, chunk {chunk}"
    if report.grain:
        first = chunk * report.grain
        where += f" (elements {first}..<{min(first + report.grain, report.elements)})"
    if record["item"] is not None:
        where += f", item {record['item']}"
    done = f"{report.exactly_once} of {report.chunks} chunks were done"
    made: BaseException | None = None
    if record["error"] is not None:
        try:
            made = pickle.loads(record["error"])
        except Exception:
            made = None
    if made is None:
        words = record["text"]
        made = KernelError(f"{where}: the function raised {words}")
    if isinstance(made, (KernelError, StaleCodeError, MusterError)):
        made.report = report
    made.__cause__ = RemoteTraceback(_format(record["chain"]))
    made.add_note(f"muster: {where}; {done}")
    return made
