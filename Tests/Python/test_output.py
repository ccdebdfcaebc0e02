"""What ranks print appears where sys.stdout is, by whole lines; progress."""

import contextlib
import io
import os
import pty
import subprocess
import sys
import time

import pytest

from conftest import script


def shout(chunk):
    print("chunk", chunk.index, "of", chunk.size, "x" * 3000)
    print("to stderr", chunk.index, file=sys.stderr)


def check(text, count):
    lines = text.splitlines()
    expected = sorted(f"chunk {i} of 3 {'x' * 3000}" for i in range(count))
    assert sorted(lines) == expected


def test_capsys(team, capsys):
    team.run(shout, count=50, grain=1)
    out, err = capsys.readouterr()
    check(out, 50)
    assert sorted(err.splitlines()) == sorted(f"to stderr {i}" for i in range(50))


def test_capfd_of_a_team_that_is_older(team, capfd):
    team.run(shout, count=20, grain=1)
    check(capfd.readouterr().out, 20)
    team.run(lambda chunk: os.system(f"echo from a shell {chunk.index}"), count=3, grain=1)
    assert sorted(capfd.readouterr().out.splitlines()) == [f"from a shell {i}" for i in range(3)]


def test_redirect_stdout(team):
    for _ in range(3):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            team.run(shout, count=10, grain=1)
        check(text.getvalue(), 10)


def test_text_without_a_lines_end(team, capsys):
    team.run(lambda chunk: print(".", end=""), count=30, grain=1)
    assert capsys.readouterr().out == "." * 30

    def raw(chunk):
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.write("\u00e4\u20ac\n")

    team.run(raw, count=2, grain=1)
    assert sorted(capsys.readouterr().out.split()) == ["bytes", "bytes", "\u00e4\u20ac", "\u00e4\u20ac"]


def test_prints_come_while_the_loop_runs(team):
    class Stamped(io.StringIO):
        def write(self, text):
            self.times = [*getattr(self, "times", []), time.monotonic()]
            return super().write(text)

    def slow(chunk):
        print("now", flush=True)
        time.sleep(0.1)

    with contextlib.redirect_stdout(Stamped()) as text:
        team.run(slow, count=30, grain=1)
    assert text.times[-1] - text.times[0] > 0.3 and text.getvalue() == "now\n" * 30


def test_before_an_exception(team, capsys):
    def fail(chunk):
        print("before it fails")
        raise ValueError

    with pytest.raises(ValueError):
        team.run(fail, count=1)
    assert capsys.readouterr().out == "before it fails\n"


def test_a_program_prints_to_its_own_descriptors():
    done = script("""
        import muster
        with muster.Team(3) as team:
            team.run(lambda chunk: print("chunk", chunk.index, "x" * 4000), count=60, grain=1)
        """)
    assert done.returncode == 0 and not done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(f"chunk {i} {'x' * 4000}" for i in range(60))


def test_input_is_the_leaders_alone(team):
    with pytest.raises(EOFError):
        team.run(lambda chunk: input(), count=1)


def test_progress_calls(team):
    calls = []
    report = team.run(
        lambda chunk: time.sleep(0.02), count=60, grain=1, progress=lambda *now: calls.append(now)
    )
    assert calls[-1][:2] == (60, 60) and calls[0][0] < 60 and report.clean
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    assert team.run(lambda chunk: None, count=3, progress=True).clean


def test_progress_on_a_terminal():
    """One line on a terminal, taken away at the end; nothing where there is none."""
    source = (
        "import muster, time\n"
        "with muster.Team(2) as team:\n"
        "    team.run(lambda c: time.sleep(0.05), count=16, grain=1, progress=True)\n"
        "    team.map(lambda i: time.sleep(0.05), range(16), grain=1, progress=True)\n"
    )
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", source], stderr=follower, stdout=subprocess.PIPE)
    os.close(follower)
    text = b""
    with contextlib.suppress(OSError):
        while part := os.read(leader, 4096):
            text += part
    process.wait()
    process.stdout.close()
    os.close(leader)
    assert b"of 16 chunks" in text and text.endswith(b"\r\x1b[K")
    assert process.returncode == 0
    assert script(source).stderr == ""
