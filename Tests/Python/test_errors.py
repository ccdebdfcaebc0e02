"""Every row of the table of errors: the class, the words, and that the team goes on."""

import os
import pickle
import sys
import threading

import numpy
import pytest

import muster
from conftest import script


class Unlucky(Exception):
    def __init__(self, number, why):
        super().__init__(number, why)
        self.number, self.why = number, why


class Unpicklable(Exception):
    """Can be pickled, and not made again."""

    def __init__(self, number, why):
        super().__init__(f"{number}: {why}")


def test_exceptions_have_their_class_and_where_they_were(team):
    x = team.array(8192)
    x[:] = 1

    def fail(chunk, part):
        part += 1
        if chunk.index == 7:
            raise Unlucky(7, "because")

    with pytest.raises(Unlucky) as caught:
        team.run(fail, muster.in_place(x), grain=1024)
    error = caught.value
    assert (error.number, error.why) == (7, "because") and error.args == (7, "because")
    note = error.__notes__[-1]
    assert "chunk 7 (elements 7168..<8192)" in note and " of 8 chunks were done" in note and "rank " in note
    text = str(error.__cause__)
    assert isinstance(error.__cause__, muster.RemoteTraceback)
    assert 'raise Unlucky(7, "because")' in text and os.path.basename(__file__) in text
    assert "_core" not in text and "_leader" not in text
    assert (x[7168:] == 1).all(), "what the failed chunk had changed in place is put back"
    assert team.report.failed_chunk == 7 and team.report.failed_rank in range(3)


def test_chained_exceptions(team):
    def fail(chunk):
        try:
            {}["key"]
        except KeyError as error:
            raise ValueError("value") from error

    with pytest.raises(ValueError, match="value") as caught:
        team.run(fail, count=1)
    text = str(caught.value.__cause__)
    assert text.index("KeyError") < text.index("direct cause") < text.index("ValueError: value")


@pytest.mark.parametrize(
    "make", ["sys.exit(3)", "raise KeyboardInterrupt", "raise GeneratorExit", "raise Unpicklable(1, 'x')"]
)
def test_what_is_no_exception_of_its_own_is_a_kernel_error(team, make):
    def fail(chunk):
        exec(make, {"sys": sys, "Unpicklable": Unpicklable})

    with pytest.raises(muster.KernelError, match="chunk 0.*raised") as caught:
        team.run(fail, count=1)
    assert caught.value.report.failed_chunk == 0
    assert "Traceback" in str(caught.value.__cause__)


def test_arguments(team):
    x = team.array((10, 2))
    with muster.Team(1) as other:
        z = other.array(10)
        cases = [
            (lambda: muster.Team(0), "1 to 4096"),
            (lambda: muster.Team(5000), "1 to 4096"),
            (lambda: muster.Team(2.0), "integer"),
            (lambda: muster.Team(True), "integer"),
            (lambda: muster.Team("2"), "integer"),
            (lambda: muster.Team(2, start="fork"), "server"),
            (lambda: muster.Team(2, binding="sideways"), "binding sideways"),
            (lambda: team.run(3, count=1), "can't be called"),
            (lambda: team.run(abs), "count=..."),
            (lambda: team.run(abs, muster.in_place(x[2:])), "a part of an array"),
            (lambda: team.run(abs, muster.output(x[:, 0])), "a part of an array"),
            (lambda: team.run(abs, muster.input(x.T)), "another order"),
            (lambda: team.run(abs, muster.in_place(z)), "another team"),
            (lambda: team.run(abs, z, count=1), "another team"),
            (lambda: team.run(abs, muster.in_place(numpy.ones(3))), "none of this team's"),
            (lambda: team.run(abs, muster.in_place(x), muster.output(x)), "two roles"),
            (lambda: team.run(abs, muster.in_place(x), x), "two roles"),
            (lambda: team.run(abs, muster.in_place(x), muster.input(x)), "two roles"),
            (lambda: team.run(lambda c, a: x[0], muster.in_place(x)), "two roles"),
            (lambda: team.run(abs, muster.in_place(x), muster.output(team.array(11))), "11 rows"),
            (lambda: team.run(abs, muster.in_place(x), count=5), "10 rows"),
            (lambda: team.run(abs, [muster.in_place(x)], count=5), "of its own"),
            (lambda: team.run(abs, muster.in_place(team.array(()))), "no rows to deal"),
            (lambda: team.run(abs, muster.in_place(team.array((4, 0)))), "no elements"),
            (lambda: muster.in_place([1, 2]), "not an array"),
            (lambda: team.run(abs, count=-1), "count"),
            (lambda: team.run(abs, count=10, grain=0), "grain"),
            (lambda: team.run(abs, count=10, schedule="best"), "static-steal"),
            (lambda: team.run(abs, count=10, recovery="maybe"), "redo"),
            (lambda: team.run(abs, count=10, stall=0), "stall"),
            (lambda: team.run(abs, count=1 << 62, grain=1), "larger grain"),
            (lambda: team.run(abs, count=10, progress=3), "progress"),
            (lambda: team.array(-1), "a size"),
            (lambda: team.array(10, object), "references"),
            (lambda: team.array(10, "S"), "no bytes"),
            (lambda: team.array(1.5), "integer"),
            (lambda: team.array(1 << 62), "more bytes"),
            (lambda: team.array(10, placement="upstairs"), "placement upstairs"),
            (lambda: team.array(10, pages="5k"), "pages 5k"),
            (lambda: team.run(threading.Lock().acquire, count=1), "can't be sent"),
            (lambda: team.run(abs, (i for i in ()), count=1), "can't be sent"),
            (lambda: team.run(abs, team, count=1), "a team can't be sent"),
            (lambda: team.map(abs, [threading.Lock()]), "items 0..<1"),
            (lambda: team.map(3, [1]), "can't be called"),
            (lambda: team.reduce(abs, count=1, shape=(-1,)), "a size"),
            (lambda: team.reduce(abs, count=1, dtype=object), "no objects"),
            (lambda: muster.native("/no/such.so", "f"), "no/such.so"),
            (lambda: muster.kernel(3), "can't be called"),
            (lambda: team.run(abs, *[team.array(1) for _ in range(65)], count=1), "at most 64"),
        ]
        for call, words in cases:
            with pytest.raises(muster.ArgumentError, match=words) as caught:
                call()
            assert isinstance(caught.value, ValueError) and isinstance(caught.value, muster.MusterError)
            assert "\n" not in str(caught.value)


def test_reduce_says_which_shape_came(team):
    with pytest.raises(muster.MusterError, match=r"returned shape \(2,\).*shape=\(3,\)"):
        team.reduce(lambda chunk: [1, 2], count=4, shape=3)
    with pytest.raises(TypeError, match="same_kind"):
        team.reduce(lambda chunk: 1.5, count=4, dtype=int)
    with pytest.raises(ZeroDivisionError):
        team.reduce(lambda chunk: 1.0, count=4, grain=1, op=lambda a, b: 1 // 0)


def test_memory_placement_and_files(team, tmp_path):
    with pytest.raises(muster.OutOfMemoryError, match="available") as caught:
        team.array(1 << 44, numpy.uint8)
    assert isinstance(caught.value, MemoryError)
    with pytest.raises(muster.PlacementError, match="1023"):
        team.array(1000, placement="bind:1023")
    with pytest.raises(muster.FileError, match="no-such") as caught:
        team.map_file(tmp_path / "no-such.npy")
    assert isinstance(caught.value, OSError) and caught.value.errno == 2
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(muster.FileError, match="no .npy file"):
        team.map_file(tmp_path / "text.npy")
    numpy.save(tmp_path / "fortran.npy", numpy.ones((3, 4), order="F"))
    with pytest.raises(muster.FileError, match="Fortran"):
        team.map_file(tmp_path / "fortran.npy")
    numpy.save(tmp_path / "big.npy", numpy.ones(3, ">f8"))
    with pytest.raises(muster.FileError, match="byte order"):
        team.map_file(tmp_path / "big.npy")
    (tmp_path / "odd.raw").write_bytes(b"12345")
    with pytest.raises(muster.FileError, match="whole number"):
        team.map_file(tmp_path / "odd.raw", dtype=numpy.int16)
    numpy.save(tmp_path / "good.npy", numpy.ones(10))
    x = team.map_file(tmp_path / "good.npy")
    with pytest.raises(muster.ArgumentError, match="writable=True"):
        team.run(lambda chunk, x: None, muster.in_place(x))


def test_start_errors(tmp_path, monkeypatch):
    with pytest.raises(muster.StartError, match="preload no_such_module.*ModuleNotFoundError"):
        muster.Team(2, preload=["no_such_module"])
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(muster.StartError, match="preload threaded.*1 threads"):
        muster.Team(2, preload="threaded")
    python = sys.executable
    for executable in ("", None, "/no/such/python"):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(muster.StartError, match="sys.executable"):
            muster.Team(2)
    monkeypatch.setattr(sys, "executable", python)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/cloudpickle.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "broken"), *sys.path])
    with pytest.raises(muster.StartError, match="can't be imported there: ImportError: broken on purpose"):
        muster.Team(2)
    monkeypatch.setattr(sys, "path", sys.path[1:])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(muster.StartError, match="exit status 1"):
        muster.Team(2)


def test_a_closed_team():
    team = muster.Team(2)
    x = team.array(10)
    report = team.run(lambda chunk, x: x.fill(3), muster.output(x))
    team.close()
    team.close()
    assert (x == 3).all() and report.clean and "closed" in repr(team) and team.pids == (0, 0)
    x += 1
    assert x.sum() == 40
    for call in (
        lambda: team.run(abs, count=1),
        lambda: team.array(3),
        lambda: team.each_rank(abs),
        lambda: team.map(abs, [1]),
        lambda: team.reduce(abs, count=1),
    ):
        with pytest.raises(muster.MusterError, match="has been closed"):
            call()
    with muster.Team(1) as other, pytest.raises(muster.ArgumentError, match="another team"):
        other.run(lambda chunk, x: None, x, count=1)


def test_another_thread(team):
    caught = []

    def use():
        for call in (lambda: team.run(abs, count=1), lambda: team.array(3)):
            try:
                call()
            except muster.MusterError as error:
                caught.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(caught) == 2 and all("belongs to the thread that made it" in text for text in caught)


def test_an_array_may_go_in_another_thread(team):
    holder = [team.array(1000)]
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()
    assert team.run(abs, count=0).clean  # the array is freed here


def test_a_forked_process():
    done = script("""
        import os, muster
        team = muster.Team(2)
        x = team.array(100)
        x[:] = 5
        pid = os.fork()
        if pid == 0:
            try:
                team.run(abs, count=1)
            except muster.MusterError as error:
                print("child:", error, flush=True)
            del x
            team.close()
            os._exit(0)
        os.waitpid(pid, 0)
        print(team.run(lambda chunk, x: x.fill(6), muster.output(x)), x.sum())
        """)
    assert "child: team: this process was forked by the leader's" in done.stdout, done
    assert "exactly once, by 2 ranks 600.0" in done.stdout, done
    assert done.returncode == 0, done


def test_what_a_loop_calls_cant_use_its_team(team):
    errors = []

    def progress(done, chunks, seconds):
        if done == chunks:
            return  # the loop is over
        try:
            team.run(abs, count=1)
        except muster.MusterError as error:
            errors.append(str(error))

    import time

    team.run(lambda chunk: time.sleep(0.05), count=15, grain=1, progress=progress)
    assert any("a loop is running" in text for text in errors)


def test_a_rank_leads_no_team(team):
    with pytest.raises(muster.MusterError, match="a rank can't lead a team"):
        team.run(lambda chunk: muster.Team(1), count=1)


def test_errors_can_be_pickled_but_teams_not(team):
    with pytest.raises(muster.ArgumentError):
        pickle.dumps(team)
    report = team.run(abs, count=0)
    assert str(pickle.loads(pickle.dumps(report))) == str(report)
    assert issubclass(muster.AuditError, muster.MusterError)


def test_an_input_as_long_as_the_loop_or_no_chunk_has_a_part_of_it(team):
    """A chunk's part of a shorter array would lie behind its end."""
    x, shorter, longer = team.array(16), team.array(12), team.array(30)
    for other in (shorter, longer):
        with pytest.raises(muster.ArgumentError, match=rf"it has {len(other)} rows, and the loop 16"):
            team.run(lambda chunk, x, y: None, muster.output(x), muster.input(other), grain=5)
    with pytest.raises(muster.ArgumentError, match="it has 16 rows, and each_rank deals one row to each of 3 ranks"):
        team.each_rank(lambda me, x: None, muster.in_place(x))
    team.run(lambda chunk, x, y: x.fill(len(y)), muster.output(x), shorter)  # all of it, in each chunk
    assert (x == 12).all()
    ranks = team.array(team.size)
    team.each_rank(lambda me, mine: mine.fill(me.rank), muster.output(ranks))
    assert ranks.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("returned", "dtype"),
    [
        (numpy.int64(1000), numpy.int8),
        (numpy.uint64(300), numpy.uint8),
        ((1 << 60) + 1, float),
        (numpy.float64(1e300), numpy.float32),
    ],
)
def test_a_result_that_the_dtype_of_a_reduction_can_not_hold(team, returned, dtype):
    with pytest.raises(muster.MusterError, match="can't hold: ask reduce for dtype="):
        team.reduce(lambda chunk: returned, count=4, grain=1, dtype=dtype)
    kind = numpy.asarray(returned).dtype
    assert team.reduce(lambda chunk: returned, count=1, dtype=kind) == returned
    assert team.reduce(lambda chunk: 1 << 40, count=2, grain=1) == 1 << 41  # each bit of it


def test_a_reduction_of_nothing_is_the_identity_or_an_error(team):
    none = team.array(0)
    assert team.reduce(lambda chunk, x: x.sum(), muster.input(none)) == 0
    assert team.reduce(lambda chunk, x: x.prod(), muster.input(none), op=numpy.multiply) == 1
    with pytest.raises(muster.ArgumentError, match="minimum of none has no value"):
        team.reduce(lambda chunk, x: x.min(), muster.input(none), op=numpy.minimum)
    with pytest.raises(muster.ArgumentError, match="a reduction of nothing"):
        team.reduce(lambda chunk, x: x.min(), muster.input(none), op=lambda a, b: a)
