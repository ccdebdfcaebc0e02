"""Loops: what a function gets, and what becomes of it."""

import functools
import itertools
import operator

import numpy
import pytest

import muster

SCHEDULES = ["static", "cyclic", "dynamic", "guided", "static-steal"]


def scale(chunk, x, factor):
    x *= factor


def test_in_place(team):
    x = team.array(100_000)
    x[:] = 21
    report = team.run(scale, muster.in_place(x), 2.0)
    assert (x == 42).all()
    assert report.clean and report.size == 3 and report.elements == 100_000
    assert str(report) == f"{report.chunks} chunks, each exactly once, by 3 ranks"
    assert "exactly once" in repr(report) and "<table>" in report._repr_html_()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("grain", [None, 1, 7, 5000])
def test_each_row_once(team, schedule, grain):
    x = team.array((500, 3), numpy.int32)

    def add(chunk, part):
        assert part.shape == (len(chunk), 3)
        part += numpy.arange(chunk.first, chunk.end)[:, None] + 1

    report = team.run(add, muster.in_place(x), schedule=schedule, grain=grain)
    assert (x == numpy.arange(500)[:, None] + 1).all()
    assert report.schedule == schedule and (grain is None or report.grain == grain)


def test_output_input_and_whole_arrays(team):
    u, v = team.array(10_001), team.array(10_001)
    u[:] = numpy.random.default_rng(1).random(10_001)

    def blur(chunk, whole, part, out):
        assert not whole.flags.writeable and not part.flags.writeable and out.flags.writeable
        assert (whole[chunk.slice] == part).all()
        out[:] = 0
        lo, hi = max(chunk.first, 1), min(chunk.end, len(whole) - 1)
        out[lo - chunk.first : hi - chunk.first] = (
            whole[lo - 1 : hi - 1] + whole[lo:hi] + whole[lo + 1 : hi + 1]
        ) / 3

    team.run(blur, u, muster.input(u), muster.output(v), grain=97)
    assert numpy.array_equal(v[1:-1], (u[:-2] + u[1:-1] + u[2:]) / 3) and v[0] == v[-1] == 0


def test_whole_arrays_keep_any_view(team):
    x = team.array((40, 30), numpy.int64)
    x[:] = numpy.arange(1200).reshape(40, 30)
    out = team.array(40, numpy.int64)

    def check(chunk, column, strided, flipped, transposed, out):
        for view in (column, strided, flipped, transposed, x):
            with pytest.raises(ValueError, match="read-only"):
                view[0] = 1
        assert transposed.shape == (30, 40) and (flipped[0] == transposed.T[-1]).all()
        out[:] = column[chunk.slice] + strided[0, 0] + x[0, 1]

    team.run(check, x[:, 3], x[1::3, ::2], x[::-1], x.T, muster.output(out), grain=9)
    assert (out == x[:, 3] + x[1, 0] + 1).all()


class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, chunk, x):
        x *= self.factor

    def method(self, chunk, x):
        x *= self.factor


def test_what_can_be_called(team):
    x = team.array(1000)
    factor = 3.0
    for function in (
        lambda chunk, x: operator.imul(x, 3.0),
        lambda chunk, x: operator.imul(x, factor),
        Scaler(3.0),
        Scaler(3.0).method,
        functools.partial(scale, factor=3.0),
        muster.kernel(Scaler(3.0)),
    ):
        x[:] = 1
        team.run(function, muster.in_place(x))
        assert (x == 3).all(), function


def test_captured_data_small_and_large(team):
    for size in (10, 100_000, 3_000_000):
        table = numpy.arange(size, dtype=numpy.float64)
        x = team.array(1000)

        def fill(chunk, out):
            with pytest.raises(ValueError, match="read-only"):
                table[0] = 1
            assert table.flags.aligned
            out[:] = table[-1]

        team.run(fill, muster.output(x))
        assert (x == size - 1).all()


@pytest.mark.parametrize("kernel", [False, True])
def test_a_gigabyte_captured(kernel):
    table = numpy.ones(1 << 27)
    table[-1] = 5
    with muster.Team(2) as team:
        x = team.array(100)

        def fill(chunk, out):
            out[:] = table[-1]

        function = muster.kernel(fill) if kernel else fill
        for _ in range(2):
            team.run(function, muster.output(x))
        assert (x == 5).all()


def test_kernels_again_and_again(team):
    x = team.array(1000)
    step = muster.kernel(scale)
    x[:] = 1
    for factor in itertools.islice(itertools.cycle([2.0, 0.5]), 40):
        team.run(step, muster.in_place(x), factor)
    for _ in range(5):
        team.run(step, muster.in_place(x), 2.0)
    assert (x == 32).all()
    x = x.reshape(10, 100)
    team.run(step, muster.in_place(x), 2.0)
    assert (x == 64).all() and team.report.elements == 10
    mutable = [0.5]
    halve = muster.kernel(lambda chunk, x, factors: operator.imul(x, factors[0]))
    for _ in range(3):
        team.run(halve, muster.in_place(x), mutable)
        mutable[0] *= 0.5
    assert (x == 64 * 0.5 * 0.25 * 0.125).all()


def test_two_teams_use_one_kernel():
    step = muster.kernel(scale)
    with muster.Team(1) as one, muster.Team(2) as two:
        x, y = one.array(10), two.array(10)
        x[:], y[:] = 1, 1
        for _ in range(3):
            assert one.run(step, muster.in_place(x), 2.0).size == 1
            assert two.run(step, muster.in_place(y), 3.0).size == 2
        assert (x == 8).all() and (y == 27).all()


def test_elementwise(team):
    x, y = team.array(100_003), team.array(100_003, numpy.float32)
    x[:], y[:] = 2, 3

    def add(chunk, x, y):
        assert x.ndim == 1 and x.size == y.size and x.nbytes <= 4096
        x += y

    team.run(add, muster.in_place(x), muster.input(y), elementwise=True)
    assert (x == 5).all()

    def fill(chunk, out):
        out[:] = 7

    z = team.array((77, 5))
    team.run(fill, muster.output(z), elementwise=True)
    assert (z == 7).all()
    with pytest.raises(muster.ArgumentError, match="one array in place"):
        team.run(add, muster.in_place(x), muster.in_place(y), elementwise=True)


def test_counts(team):
    seen = team.array(64, numpy.int64)
    team.run(lambda chunk, out: operator.setitem(out, slice(None), chunk.index), muster.output(seen), grain=1)
    assert (seen == numpy.arange(64)).all()
    assert team.run(lambda chunk: None, count=10, grain=3).chunks == 4
    assert team.run(lambda chunk: None, count=0).chunks == 0
    empty = team.array(0)
    assert team.run(scale, muster.in_place(empty), 1.0).clean
    x = team.array(10)
    assert team.run(lambda chunk, x: None, muster.input(x)).elements == 10


def test_each_rank(team):
    ranks = team.array(3, numpy.int64)

    def note(me, out):
        assert (me.first, me.end, me.index) == (me.rank, me.rank + 1, me.rank) and len(me) == 1
        out[0] = me.rank + 1

    report = team.each_rank(note, muster.output(ranks))
    assert (ranks == [1, 2, 3]).all() and report.chunks == 3


def test_a_chunk_says_what_it_is():
    chunk = muster.Chunk(3, 30, 40, 1, 2)
    assert (chunk.index, chunk.first, chunk.end, chunk.rank, chunk.size) == (3, 30, 40, 1, 2)
    assert chunk.slice == slice(30, 40) and len(chunk) == 10
    assert repr(chunk) == "<chunk 3: 30..<40, rank 1 of 2>"
    with pytest.raises(AttributeError):
        chunk.first = 7


def test_views_are_lent_as_the_function_left_them(team):
    """A function may change the shape or the flags of what it was lent: the next chunk has its own."""
    x = team.array((64, 4))

    def twist(chunk, part):
        assert part.shape == (1, 4) and part.flags.writeable
        part += 1
        part.shape = (4, 1)
        part.flags.writeable = False

    team.run(twist, muster.in_place(x), grain=1)
    assert (x == 1).all()


def test_a_function_raises_and_its_view_is_held(team):
    """The exception's traceback has the view: the next chunk gets another."""
    x = team.array(64)

    def sometimes(chunk, part):
        part += 1
        if chunk.index == 40:
            raise LookupError("forty")

    with pytest.raises(LookupError):
        team.run(sometimes, muster.in_place(x), grain=1)
    assert x[40] == 0
    assert set(x) <= {0.0, 1.0}
