"""What the tests share: a watchdog, teams, a killer of ranks, and what must not be left over.

Seeds are printed; MUSTER_SEED repeats a run. Longer runs: MUSTER_KILLS, MUSTER_TEAMS, and MUSTER_WATCHDOG seconds
for a test.
"""

import contextlib
import faulthandler
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import numpy
import pytest

import muster

WATCHDOG_SECONDS = int(os.environ.get("MUSTER_WATCHDOG", "120"))
SEED = int(os.environ.get("MUSTER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)

# A copy of the real descriptor: pytest puts another file in its place.
_watchdog_file = os.fdopen(os.dup(2), "w")


def pytest_report_header(config):
    return f"muster {muster.__version__}, NumPy {numpy.__version__}, MUSTER_SEED={SEED}"


@pytest.fixture(autouse=True)
def watchdog():
    """A test that hangs ends the run, with the stacks of all threads."""
    faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True, file=_watchdog_file)
    yield
    faulthandler.cancel_dump_traceback_later()


def children():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.append(int(name))
    return found


@pytest.fixture(autouse=True)
def nothing_left(request):
    """No process is left after a test, and no descriptor. (A team of a module may have some.)"""
    before = set(children())
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    import gc

    gc.collect()
    assert not set(children()) - before, "processes are left over"
    now = len(os.listdir("/proc/self/fd"))
    assert now <= descriptors + getattr(request.module, "DESCRIPTORS", 1), f"descriptors: {descriptors} before, {now} after"


@pytest.fixture(scope="session")
def shared_team():
    """A team for tests that leave it as it was: it starts once."""
    with muster.Team(3) as team:
        yield team


@pytest.fixture
def team(shared_team):
    yield shared_team
    assert shared_team.run(lambda chunk: None, count=8, grain=1).clean, "the team is not usable"


KERNELS = """
#include <muster/kernel.h>
#include <string.h>

int increment(const struct muster_work *work)
{
    struct muster_tile tile = {0};
    while (muster_work_update(work, 0, &tile))
        for (uint64_t i = tile.first; i < tile.end; i++)
            ((double *)tile.elements)[i] += 1;
    return 0;
}

struct arguments { double factor; int32_t offset; int64_t last; };

int scale(const struct muster_work *work)
{
    const struct arguments *a = work->arguments;
    const double *table = muster_work_input(work, 1);
    struct muster_tile tile = {0};
    while (muster_work_update(work, 0, &tile))
        for (uint64_t i = tile.first; i < tile.end; i++)
            ((double *)tile.elements)[i] =
                ((double *)tile.elements)[i] * a->factor + table[a->offset] + (double)a->last;
    return 0;
}

int nothing(const struct muster_work *work) { (void)work; return 0; }

int fail(const struct muster_work *work)
{
    if (work->chunk.index == 3) {
        muster_work_explain(work, "three is not allowed");
        return 33;
    }
    return 0;
}
"""


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """A library with kernels in C, which links to nothing."""
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "kernels.c").write_text(KERNELS)
    include = os.environ.get("MUSTER_INCLUDE") or muster.get_include()
    subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", f"-I{include}", folder / "kernels.c", "-o", folder / "kernels.so"],
        check=True,
    )
    return folder / "kernels.so"


@pytest.fixture
def rng(request):
    seed = SEED ^ hash_of(request.node.nodeid)
    print(f"MUSTER_SEED={SEED}")
    return random.Random(seed)


def hash_of(text):
    import zlib

    return zlib.crc32(text.encode())


class Killer:
    """Kills ranks at random, in a thread of its own, until it is told to stop."""

    def __init__(self, team, rng, pause=(0.001, 0.01), most=1 << 30):
        self.team, self.rng, self.pause, self.most = team, rng, pause, most
        self.kills = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set() and self.kills < self.most:
            time.sleep(self.rng.uniform(*self.pause))
            # The library's list changes under us: a pid that has gone is no matter.
            pid = self.rng.choice([pid for pid in self.team._leader.pids() if pid] or [0])
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def script(source, *arguments, how="file", **options):
    """Runs Python source as a program. Returns: the completed process."""
    source = textwrap.dedent(source)
    environment = dict(os.environ, **options.pop("env", {}))
    settings = dict(capture_output=True, text=True, timeout=100, env=environment, **options)
    if how == "-c":
        return subprocess.run([sys.executable, "-c", source, *arguments], **settings)
    if how == "stdin":
        return subprocess.run([sys.executable, "-", *arguments], input=source, **settings)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "program.py")
        with open(path, "w") as file:
            file.write(source)
        if how == "-m":
            return subprocess.run([sys.executable, "-m", "program", *arguments], cwd=folder, **settings)
        return subprocess.run([sys.executable, path, *arguments], **settings)
