"""Programs that run as a team: muster.join, under `muster run`, and alone.

The tool is MUSTER_TOOL, or `muster` on the PATH.
"""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy
import pytest

import muster
from conftest import script

TOOL = os.environ.get("MUSTER_TOOL") or shutil.which("muster")
needs_tool = pytest.mark.skipif(not TOOL, reason="no `muster` on the PATH: set MUSTER_TOOL")
EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Examples/PythonMember/member.py")


def launch(arguments, *options, ranks=4, meanwhile=None):
    process = subprocess.Popen(
        [TOOL, "run", "-n", str(ranks), *options, "--", sys.executable, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if meanwhile:
            meanwhile(process)
        out, errors = process.communicate(timeout=100)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, errors


def results(text):
    return {line.rpartition(", ")[2] for line in text.splitlines()}


@needs_tool
def test_eight_processes_fill_and_reduce_one_array():
    status, out, errors = launch([EXAMPLE, str(1 << 20), "1"], ranks=8)
    assert status == 0, errors
    assert len(out.splitlines()) == 8 and len(results(out)) == 1
    for name in ("fill", "sum "):
        assert f"audit  {name}  256 chunks, each exactly once, by 8 ranks" in errors
    alone = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=100)
    assert results(alone.stdout) == results(out), "the same bits for any number of ranks"


@needs_tool
@pytest.mark.parametrize("on_death", ["kill", "continue", "restart"])
def test_killed_at_any_moment(rng, on_death):
    calm = results(launch([EXAMPLE, str(1 << 16), "1"])[1])
    for _ in range(2):
        delay, victim = rng.uniform(0, 0.8), rng.randrange(4)
        hit = []

        def kill(process):
            end = time.monotonic() + 20
            while time.monotonic() < end and process.poll() is None:
                ranks = members_of(process.pid)
                if len(ranks) == 4:
                    time.sleep(delay)
                    try:
                        os.kill(ranks[victim], signal.SIGKILL)
                        hit.append(ranks[victim])
                    except ProcessLookupError:
                        pass
                    return
                time.sleep(0.005)

        status, out, errors = launch(
            [EXAMPLE, str(1 << 16), "30"], "--on-death", on_death, meanwhile=kill
        )
        was_killed = bool(hit) and f"(process {hit[0]}) was killed" in errors
        print(on_death, delay, victim, was_killed, status)
        if not was_killed:
            assert status == 0
        elif on_death == "restart":
            assert status == 0, errors
        else:
            assert status == 137, errors
        if on_death != "kill" or not was_killed:
            assert results(out) == calm, errors


def members_of(launcher):
    """Processes of the program below a launcher, which has a guard of its own."""
    below, found = {launcher}, []
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    text = file.read()
            except OSError:
                continue
            parents[int(name)] = (int(text.rpartition(")")[2].split()[1]), text)
    for _ in range(4):
        below |= {pid for pid, (parent, _) in parents.items() if parent in below}
    for pid in below - {launcher}:
        if pid in parents and "(python" in parents[pid][1]:
            found.append(pid)
    return sorted(found)


PROGRAM = """
import numpy, muster
me = muster.join()
assert repr(me) == f"<muster.Member: rank {me.rank} of {me.size}>" and me.alive(me.rank)
x = me.array("x", (100, 3), numpy.float32)
assert x.shape == (100, 3) and x.dtype == numpy.float32
with me.loop("fill", 100, grain=7, schedule="static") as loop:
    for chunk in loop:
        assert chunk.rank == me.rank and chunk.size == me.size
        x[chunk.slice] = chunk.first
assert loop.report.clean and loop.report.chunks == 15 and "each exactly once" in str(loop.report)
total = me.all_reduce(numpy.array([me.rank + 1, 1]))
assert total.tolist() == [me.size * (me.size + 1) // 2, me.size]
assert me.reduce(numpy.array([float(me.rank)]), "max", 0)[0] == (me.size - 1 if me.rank == 0 else me.rank)
assert me.scan(numpy.array([1]))[0] == me.rank + 1 and me.scan(numpy.array([1]), exclusive=True)[0] == me.rank
word = numpy.frombuffer(bytearray(b"root0" if me.rank == 0 else b"....."), numpy.uint8)
assert me.broadcast(word).tobytes() == b"root0"
with me.loop("parts", 64, grain=4, partial=2, dtype=int) as parts:
    for chunk in parts:
        parts.partial(chunk)[:] = (chunk.first, 1)
assert parts.reduce().tolist() == [480, 16]
y = me.array("x", (100, 3), numpy.float32)
y[0, 0] = 9
assert x[0, 0] == 9
me.barrier()
me.leave()
assert x[99, 2] == y[99, 2] == 98, "arrays keep what they hold"
x[99, 2] = 98
for call in (me.barrier, me.leave, lambda: me.array("z", 4), loop.end, lambda: list(loop)):
    try:
        call()
    except muster.MusterError as error:
        assert "has left its team" in str(error) or "it is over" in str(error), error
    else:
        assert False
print("fine")
"""


@needs_tool
def test_everything_in_four_ranks():
    status, out, errors = launch(["-c", PROGRAM])
    assert status == 0 and out == "fine\n" * 4, errors


def test_everything_alone():
    done = script(PROGRAM)
    assert done.returncode == 0 and done.stdout == "fine\n", done.stderr


@needs_tool
def test_a_body_that_raises_shows_as_missing():
    program = textwrap.dedent("""
        import muster
        me = muster.join()
        loop = me.loop("broken", 10, grain=1, schedule="static")
        try:
            for chunk in loop:
                if chunk.index == 3:
                    raise ValueError
        except ValueError:
            pass
        try:
            loop.end()
        except muster.AuditError as error:
            assert error.report.missing >= 1 and not error.report.clean
            print("found")
        me.leave()
        """)
    status, out, errors = launch(["-c", program], ranks=2)
    assert out == "found\n" * 2 and "missing" in errors


def test_wrong_calls(monkeypatch):
    me = muster.join()
    try:
        for call, words in (
            (lambda: me.array("", 10), "array"),
            (lambda: me.array("x", 0), "no bytes"),
            (lambda: me.all_reduce([1, 2]), "contiguous"),
            (lambda: me.all_reduce(numpy.ones(3), "mean"), "sum, product"),
            (lambda: me.all_reduce(numpy.ones(3, "S3")), "can't be combined"),
            (lambda: me.loop("x", 10, schedule="best"), "static-steal"),
        ):
            with pytest.raises(muster.ArgumentError, match=words):
                call()
        with me.loop("one", 4) as one:
            list(one)
        with pytest.raises(muster.ArgumentError, match="partial"):
            one.reduce()
        with me.loop("two", 4) as two:
            list(two)
        with pytest.raises(muster.MusterError, match="it is over"):
            one.end()
    finally:
        me.leave()
    monkeypatch.setenv("MUSTER_SIZE", "4")
    with pytest.raises(muster.StartError, match="MUSTER_TEAM"):
        muster.join()
