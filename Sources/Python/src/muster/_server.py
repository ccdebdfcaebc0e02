"""The fork server: a clean interpreter that forks the ranks.

The leader executes it with `python -c`, so it never runs the user's script. It has one thread, because
a process with threads can't be forked safely: numerical libraries are told to start none.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback

# What numerical libraries look at when they are loaded: how many threads they start.
_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

CODE = f"""
import os, sys, json
how = json.loads(sys.argv[1])
sys.path[:] = how["path"]
os.environ.update(dict.fromkeys({_THREADS!r}, "1"))
try:
    from muster._server import main
except BaseException as error:
    with open("/proc/%d/fd/%d" % (how["leader"], how["files"]["log"]), "a") as file:
        file.write("muster can't be imported there: %s: %s" % (type(error).__name__, error))
    raise SystemExit(4)
main(how)
"""
"""What the interpreter executes, its argument in JSON: threads are few before NumPy is imported."""


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _preload(name: str) -> None:
    try:
        importlib.import_module(name)
    except BaseException as error:
        words = "".join(traceback.format_exception_only(type(error), error)).strip()
        raise SystemExit(f"preload {name}: it can't be imported: {words}") from None
    if _threads() > 1:
        raise SystemExit(
            f"preload {name}: importing it has started {_threads() - 1} threads, and a process with "
            "threads can't be forked: leave it to the ranks, which import it when they need it"
        )


def _say(leader: int, log: int, words: str) -> None:
    """Tells the leader why there is no server."""
    try:
        fd = os.open(f"/proc/{leader}/fd/{log}", os.O_WRONLY | os.O_APPEND)
        os.write(fd, words.encode(errors="backslashreplace"))
        os.close(fd)
    except OSError:
        print(f"muster: {words}", file=sys.stderr)


def main(how: dict) -> None:
    """Serves; does not return."""
    leader, files = how["leader"], how["files"]
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)  # standard input is the leader's alone
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdin = open(0, closefd=False)
        sys.argv[:] = how["argv"] or [""]
        importlib.import_module("numpy.random")  # a rank that takes over is to draw numbers at once

        from . import _core, _rank

        if _core.version != how["version"]:
            raise SystemExit(f"it has found Muster {_core.version}, and the leader has {how['version']}")
        try:
            os.close(os.open(f"/proc/{leader}/fd/{files['mail']}", os.O_WRONLY))
        except OSError as error:
            raise SystemExit(
                f"/proc/{leader}/fd can't be opened ({error.strerror}), by which ranks reach the leader's "
                "memory: let /proc be mounted, and the leader be dumpable (prctl PR_SET_DUMPABLE)"
            ) from None
        _rank.leader, _rank.files = leader, files
        for name in how["preload"]:
            _preload(name)
        if "numba" in sys.modules:
            from . import _numba

            _numba.prepare()
        if _threads() > 1:
            raise SystemExit(
                f"it has {_threads()} threads before anything is preloaded: look for a sitecustomize or "
                "a .pth file that starts them"
            )
        _rank.open_outputs()
        import gc

        gc.collect()
        gc.freeze()  # so that a collection in a rank does not copy the server's pages
    except SystemExit as error:
        _say(leader, files["log"], str(error))
        os._exit(4)
    except BaseException:
        _say(leader, files["log"], " ".join(traceback.format_exc(limit=-1).split()))
        os._exit(4)
    _core.serve()
