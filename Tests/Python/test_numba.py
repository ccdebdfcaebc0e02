"""@njit functions: the same call, compiled once, at C's speed."""

import numpy
import pytest

import muster

numba = pytest.importorskip("numba")
DESCRIPTORS = 16  # a team keeps a file for each of the last entries


@numba.njit
def scale(chunk, x, factor):
    for i in range(x.size):
        x[i] *= factor


@numba.njit
def place(chunk, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = (chunk.first + i) * 10 + j


@numba.njit
def blur(chunk, u, part, v, weight, flip, small):
    for i in range(v.size):
        at = chunk.first + i
        left, right = max(at - 1, 0), min(at + 1, u.size - 1)
        v[i] = (u[left] + u[at] + u[right]) * weight + part[i] * small
        if flip:
            v[i] = -v[i]


@numba.njit
def fail(chunk, x):
    if chunk.index == 3:
        raise ValueError("three")
    x[:] = 1


@numba.njit
def write_to_input(chunk, part):
    part[0] = 1


@pytest.fixture(scope="module")
def compiled_team():
    with muster.Team(2, preload=["numba"]) as team:
        yield team


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "c16"])
def test_in_place(compiled_team, elementwise, dtype):
    x = compiled_team.array(100_003, dtype)
    x[:] = 3
    for factor in (2.0, 3, numpy.float32(0.5)):
        report = compiled_team.run(scale, muster.in_place(x), factor, elementwise=elementwise)
    assert (x == 9).all() and report.clean


def test_rows(compiled_team):
    x = compiled_team.array((1001, 7), numpy.int64)
    compiled_team.run(place, muster.output(x), grain=10)
    assert (x == numpy.arange(1001)[:, None] * 10 + numpy.arange(7)).all()


def test_whole_arrays_and_numbers(compiled_team):
    u, v = compiled_team.array(5000), compiled_team.array(5000)
    u[:] = numpy.random.default_rng(1).random(5000)
    padded = numpy.concatenate([u[:1], u, u[-1:]])
    expected = (padded[:-2] + padded[1:-1] + padded[2:]) * 0.5 + u * 3
    step = muster.kernel(blur)
    for flip in (False, True):
        compiled_team.run(step, u, muster.input(u), muster.output(v), 0.5, flip, numpy.int16(3))
        assert numpy.allclose(v, -expected if flip else expected, rtol=1e-15)
    table = numpy.arange(5000.0)  # one that is none of the team's
    compiled_team.run(step, table, muster.input(u), muster.output(v), 1.0, False, 0)
    assert v[1] == 0 + 1 + 2


def test_kernels_are_compiled_once(compiled_team):
    entries = len(scale.__dict__.get("_muster_entries", {}))
    x = compiled_team.array(10)
    x[:] = 1
    for factor in (1.5, 2.5, 3.5):
        compiled_team.run(scale, muster.in_place(x), factor)
    assert len(scale.__dict__["_muster_entries"]) <= entries + 1
    assert numpy.allclose(x, 1.5 * 2.5 * 3.5)


def test_exceptions(compiled_team):
    x = compiled_team.array(10)
    with pytest.raises(muster.KernelError, match="py_func") as caught:
        compiled_team.run(fail, muster.in_place(x), grain=1)
    assert caught.value.report.failed_chunk == 3 and x[3] == 0


def test_inputs_are_read_only(compiled_team):
    x = compiled_team.array(10)
    with pytest.raises(numba.core.errors.TypingError, match="[Rr]ead-?only|readonly"):
        compiled_team.run(write_to_input, muster.input(x))


def test_what_has_no_type_is_called_as_python(compiled_team):
    @numba.njit
    def add(chunk, x, values):
        for i in range(x.size):
            x[i] += values[0] + values[1]

    x = compiled_team.array(100)
    compiled_team.run(add, muster.in_place(x), (1.0, 2.5))
    assert (x == 3.5).all()
    total = compiled_team.reduce(numba.njit(lambda chunk, part: part.sum() + chunk.index), muster.input(x), grain=10)
    assert total == 350 + 45


def test_a_team_without_numba_preloaded(team):
    x = team.array(100)
    x[:] = 2
    team.run(scale, muster.in_place(x), 2.0)
    assert (x == 4).all()
