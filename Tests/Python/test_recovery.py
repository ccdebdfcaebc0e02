"""Deaths: what is redone, what is given up, and that nothing is left over."""

import os
import signal
import sys
import time

import numpy
import pytest

import muster
from conftest import Killer, children, script


def increment(chunk, x):
    x += 1


def test_ways_to_die_once(team, tmp_path):
    """Each chunk's first attempt dies half-way; what it had changed is put back."""
    for number, death in enumerate(
        ("os._exit(3)", "os.kill(os.getpid(), 9)", "ctypes.string_at(0)", "os.abort()")
    ):
        marker = str(tmp_path / f"died-{number}")
        x = team.array(4000)

        def once(chunk, part):
            import ctypes

            part += 1
            if chunk.index == 5 and not os.path.exists(marker):
                open(marker, "w").close()
                exec(death, {"os": os, "ctypes": ctypes})

        report = team.run(once, muster.in_place(x), grain=100)
        assert (x == 1).all() and report.clean and report.redone == 1
        (dead,) = report.deaths
        assert dead.chunk == 5 and dead.attempt == 1 and str(dead.rank) in str(dead)
        assert (dead.exit_code == 3) if number == 0 else dead.signal in (9, 11, 6)


def test_a_segfault_shows_pythons_stack(team, tmp_path, capfd):
    marker = str(tmp_path / "died")

    def crash(chunk):
        import ctypes

        if not os.path.exists(marker):
            open(marker, "w").close()
            ctypes.string_at(0)

    team.run(crash, count=1)
    assert "Fatal Python error: Segmentation fault" in capfd.readouterr().err


def test_quarantine(team):
    x = team.array(64)
    x[:] = 1

    def deadly(chunk, part):
        part += 1
        if chunk.index == 9:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(muster.Quarantined, match="chunk 9.*SIGKILL") as caught:
        team.run(deadly, muster.in_place(x), grain=1)
    report = caught.value.report
    assert report.quarantined == (9,) and report.exactly_once == 63 and len(report.deaths) == 3
    assert [death.attempt for death in report.deaths] == [1, 2, 3]
    assert x[9] == 1 and (numpy.delete(x, 9) == 2).all()
    with pytest.raises(muster.Quarantined) as caught:
        team.run(deadly, muster.in_place(x), grain=1, redo_limit=1)
    assert len(caught.value.report.deaths) == 1
    assert caught.value.report is team.report


def test_recovery_fail(team):
    def deadly(chunk):
        if chunk.index == 9:
            os._exit(1)

    with pytest.raises(muster.WorkerDied, match="exit status 1") as caught:
        team.run(deadly, count=64, grain=1, recovery="fail")
    assert caught.value.report.missing >= 1 and not caught.value.report.clean
    assert caught.value.report.findings[0].repeated is False


def test_stall(team, tmp_path):
    marker = str(tmp_path / "slept")

    def slow_once(chunk):
        if chunk.index == 3 and not os.path.exists(marker):
            open(marker, "w").close()
            time.sleep(60)

    start = time.monotonic()
    report = team.run(slow_once, count=8, grain=1, stall=0.3)
    assert time.monotonic() - start < 30
    (death,) = report.deaths
    assert death.stalled and death.chunk == 3 and "too long" in str(death) and report.redone == 1


KILLS = int(os.environ.get("MUSTER_KILLS", "60"))  # of each kind of loop


@pytest.mark.parametrize("kind", ["python", "steal", "elementwise", "output", "kernel", "njit", "native"])
def test_storm(rng, kind, kernels):
    """Ranks are killed at random: every element is right, and every chunk was done once."""
    function, preload, pause = increment, [], (0.001, 0.01)
    if kind == "njit":
        numba = pytest.importorskip("numba")
        preload, pause = ["numba"], (0.01, 0.03)  # a new rank loads its code in some milliseconds

        @numba.njit
        def function(chunk, x):
            for i in range(x.size):
                x[i] += 1

    elif kind == "native":
        function = muster.native(kernels, "increment")
    elif kind == "kernel":
        function = muster.kernel(increment)
    with muster.Team(3, preload=preload) as team:
        x = team.array(400_000)
        rounds = redone = 0
        with Killer(team, rng, pause) as killer:
            while killer.kills < KILLS:
                rounds += 1
                if kind == "output":
                    report = team.run(
                        lambda chunk, out: out.fill(rounds), muster.output(x), grain=2000, redo_limit=1000
                    )
                else:
                    report = team.run(
                        function,
                        muster.in_place(x),
                        grain=2000,
                        schedule="static-steal" if kind == "steal" else "dynamic",
                        elementwise=kind == "elementwise",
                        redo_limit=1000,
                    )
                redone += report.redone
                assert report.clean
        assert (x == rounds).all()
        print(f"{kind}: {rounds} loops, {killer.kills} kills, {redone} chunks redone")


def test_a_storm_over_map_and_reduce(rng):
    redone = 0
    with muster.Team(3) as team:
        x = team.array(200_000)
        x[:] = numpy.random.default_rng(5).random(len(x))
        calm = team.reduce(lambda chunk, part: part.sum(), muster.input(x), grain=1000)
        with Killer(team, rng) as killer:
            while killer.kills < KILLS:
                made = team.map(lambda i: (i, "x" * (i % 50)), range(500), grain=5, redo_limit=1000)
                assert made == [(i, "x" * (i % 50)) for i in range(500)]
                redone += team.report.redone
                stormy = team.reduce(
                    lambda chunk, part: part.sum(), muster.input(x), grain=1000, redo_limit=1000
                )
                assert stormy == calm
                redone += team.report.redone
        print(f"{killer.kills} kills, {redone} chunks redone")


def test_the_canary_without_a_journal(rng, tmp_path):
    """What the storms prove fails without the journal: with recovery="fail" a killed chunk is half-done."""
    with muster.Team(2) as team:
        x = team.array(4000)

        def half(chunk, part):
            part[: len(part) // 2] += 1
            if chunk.index == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            part[len(part) // 2 :] += 1

        with pytest.raises(muster.WorkerDied):
            team.run(half, muster.in_place(x), grain=100, recovery="fail")
        assert set(x[500:600]) == {0.0, 1.0}, "half-done, since nothing has put it back"
        x[:] = 0
        with pytest.raises(muster.Quarantined):
            team.run(half, muster.in_place(x), grain=100)
        assert set(x[500:600]) == {0.0}


@pytest.fixture
def memory_cgroup():
    """A memory cgroup of 400 MiB below this process's, as the file that a process enters it by."""
    with open("/proc/self/cgroup") as file:
        groups = dict(line.strip().split(":", 2)[1:] for line in file)
    if "memory" in groups:
        folder, limit = "/sys/fs/cgroup/memory" + groups["memory"], "memory.limit_in_bytes"
    else:
        folder, limit = "/sys/fs/cgroup" + groups.get("", "/"), "memory.max"
    folder = f"{folder.rstrip('/')}/muster-test-{os.getpid()}"
    try:
        os.mkdir(folder)
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made: {error}")
    try:
        try:
            with open(f"{folder}/{limit}", "w") as file:
                file.write(str(400 << 20))
        except OSError as error:
            pytest.skip(f"a memory cgroup can't be limited: {error}")
        yield f"{folder}/cgroup.procs"
    finally:
        end = time.monotonic() + 10
        while True:
            try:
                os.rmdir(folder)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


def test_a_rank_runs_out_of_memory(memory_cgroup, tmp_path):
    """The kernel kills it: its chunk is done again. What is too much from the start is an error."""
    done = script(f"""
        import os
        with open({memory_cgroup!r}, "w") as file:
            file.write(str(os.getpid()))
        import numpy, muster
        marker = {str(tmp_path / "died")!r}
        def greedy(chunk, x):
            x += 1
            if chunk.index == 3 and not os.path.exists(marker):
                open(marker, "w").close()
                numpy.ones(1 << 27)
        with muster.Team(2) as team:
            x = team.array(1000)
            report = team.run(greedy, muster.in_place(x), grain=100)
            print(report, (x == 1).all(), [str(death) for death in report.deaths])
            for call in (lambda: team.array(1 << 28), lambda: team.run(
                    (lambda table: lambda chunk: table[0])(numpy.zeros(1 << 27)), count=1)):
                try:
                    call()
                except muster.OutOfMemoryError as error:
                    print("refused:", error)
        """)
    assert done.returncode == 0, done
    assert "True ['rank" in done.stdout and "SIGKILL" in done.stdout and "in chunk 3" in done.stdout, done
    assert done.stdout.count("refused:") == 2, done


def parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_the_server_is_killed_between_loops_and_in_one():
    with muster.Team(2) as team:
        x = team.array(1000)
        team.run(increment, muster.in_place(x))
        os.kill(parent(team.pids[0]), signal.SIGKILL)
        time.sleep(0.1)
        assert team.run(increment, muster.in_place(x)).clean
        assert (x == 2).all()
        server = parent(team.pids[0])

        def kill_it(chunk):
            if chunk.index == 0 and os.path.exists(f"/proc/{server}"):
                os.kill(server, signal.SIGKILL)
            time.sleep(0.2)

        try:
            team.run(kill_it, count=6, grain=1)
        except (muster.WorkerDied, muster.Quarantined) as error:
            assert "server" in str(error) or "SIGKILL" in str(error)
        assert team.run(increment, muster.in_place(x)).clean


def test_kill_9_of_the_leader_leaves_nothing(tmp_path):
    import subprocess

    program = tmp_path / "leader.py"
    program.write_text(
        "import muster, time\n"
        "team = muster.Team(4)\n"
        "x = team.array(1 << 20)\n"
        "print(*team.pids, flush=True)\n"
        "team.run(lambda chunk: time.sleep(100), count=4, grain=1)\n"
    )
    process = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    pids.append(parent(pids[0]))
    time.sleep(0.3)
    process.kill()
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < end:
        time.sleep(0.005)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids), "processes are left"


def test_many_teams_leave_nothing():
    """Descriptors and memory stay as they are. (MUSTER_TEAMS=1000 for the long run.)"""
    count = int(os.environ.get("MUSTER_TEAMS", "25"))

    def state():
        with open("/proc/self/statm") as file:
            return len(os.listdir("/proc/self/fd")), int(file.read().split()[1]) * 4096

    def one():
        with muster.Team(2) as team:
            x = team.array(1000)
            team.run(increment, muster.in_place(x))
            team.map(abs, [1, 2])

    for _ in range(5):
        one()
    processes = set(children())
    before = state()
    for _ in range(count):
        one()
    after = state()
    print(f"{count} teams: descriptors {before[0]} -> {after[0]}, resident {before[1] >> 20} -> {after[1] >> 20} MiB")
    assert after[0] == before[0]
    assert after[1] - before[1] < 16 << 20
    assert not set(children()) - processes
