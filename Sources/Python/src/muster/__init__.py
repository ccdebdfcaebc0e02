"""Muster: teams of processes with ranks, shared arrays, and every chunk exactly once.

    import muster

    def scale(chunk, x, factor):            # x is this chunk's part
        x *= factor

    with muster.Team(8) as team:
        x = team.array(1 << 28)             # a plain NumPy array, in shared memory
        x[:] = 21
        print(team.run(scale, muster.in_place(x), 2.0))
"""

from ._access import Kernel, Native, in_place, input, kernel, native, output
from ._core import Chunk
from ._core import version as __version__
from ._errors import (
    ArgumentError,
    AuditError,
    FileError,
    KernelError,
    MusterError,
    OutOfMemoryError,
    PlacementError,
    Quarantined,
    RemoteTraceback,
    StaleCodeError,
    StartError,
    WorkerDied,
)
from ._leader import Team, mirror
from ._report import Death, Finding, Report
from .member import Loop, Member, join

__all__ = [
    "ArgumentError",
    "AuditError",
    "Chunk",
    "Death",
    "FileError",
    "Finding",
    "Kernel",
    "KernelError",
    "Loop",
    "Member",
    "MusterError",
    "Native",
    "OutOfMemoryError",
    "PlacementError",
    "Quarantined",
    "RemoteTraceback",
    "Report",
    "StaleCodeError",
    "StartError",
    "Team",
    "WorkerDied",
    "__version__",
    "get_include",
    "in_place",
    "input",
    "join",
    "kernel",
    "mirror",
    "native",
    "output",
]


def get_include() -> str:
    """The folder of muster's C headers: `gcc -I$(python3 -m muster include)`."""
    import os

    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


for _name in __all__:  # as users see them, in tracebacks too
    if isinstance(globals()[_name], type) and _name != "Chunk":
        globals()[_name].__module__ = __name__
del _name
