"""What can go wrong: every error is a MusterError, and what Python calls it besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from ._report import Report


class MusterError(Exception):
    """An error of Muster's: what failed, the cause, and what to do, in one line.

    `report` is the audit of the loop that failed; None where no loop had begun.
    """

    report: Report | None = None


class ArgumentError(MusterError, ValueError):
    """An argument that can't work: the text says what to write instead."""


class OutOfMemoryError(MusterError, MemoryError):
    """There is not enough memory, by the machine's count or a cgroup's."""


class PlacementError(MusterError):
    """Memory can't lie where it was asked for: a node that is not there, or has not enough."""


class FileError(MusterError, OSError):
    """A file that can't be opened, mapped or read, or that became shorter while a loop used it."""


class StartError(MusterError):
    """The ranks can't be started."""


class KernelError(MusterError):
    """A function failed in a way that is no exception of its own.

    It kept a view, left by SystemExit or KeyboardInterrupt, raised something that can't be pickled, or
    is compiled code that returned a status.
    """


class WorkerDied(MusterError):
    """Workers died, and what they left was not done again."""


class Quarantined(MusterError):
    """Chunks killed each worker that tried them. The other chunks are done."""


class StaleCodeError(MusterError):
    """A rank has other code than the leader: a module or a library has changed since it was loaded."""


class AuditError(MusterError):
    """Chunks are missing or repeated though no rank died: a fault of Muster's or of the machine."""


class RemoteTraceback(Exception):
    """Where an exception was raised in a rank: the cause of the exception in the leader."""

    def __init__(self, text: str):
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


_CLASSES = {
    _core.ERROR_ARGUMENT: ArgumentError,
    _core.ERROR_START: StartError,
    _core.ERROR_MEMORY: OutOfMemoryError,
    _core.ERROR_PLACEMENT: PlacementError,
    _core.ERROR_FILE: FileError,
    _core.ERROR_FILE_SHRANK: FileError,
    _core.ERROR_KERNEL: KernelError,
    _core.ERROR_STRAY: KernelError,
    _core.ERROR_DEATH: WorkerDied,
    _core.ERROR_SERVER: WorkerDied,
    _core.ERROR_QUARANTINE: Quarantined,
    _core.ERROR_AUDIT: AuditError,
}

# What a remedy of the library's is called here.
_NAMES = (
    ("recovery = MUSTER_RECOVERY_FAIL", 'recovery="fail"'),
    ("muster_array_mirror on the array", "muster.mirror(array)"),
    ("MUSTER_USE_GATHER", "the array itself, without muster.input"),
)


def from_library(error: BaseException) -> MusterError:
    """The error for a muster._core.Error."""
    code, number, _, _, message = error.args
    for theirs, ours in _NAMES:
        message = message.replace(theirs, ours)
    made = _CLASSES.get(code, MusterError)(message)
    if isinstance(made, OSError):
        made.errno = number or None
    return made
