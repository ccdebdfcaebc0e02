"""reduce, map, random numbers: the same bits for any team, with and without deaths."""

import operator
import os
import signal

import numpy
import pytest

import muster
from conftest import Killer


def results(size, rng=None):
    """What a team of this size computes; killed at random where there is a generator."""
    with muster.Team(size) as team:
        x = team.array(60_000, numpy.float32)
        y = team.array(60_000)

        def fill(chunk, out):
            chunk.random(7).random(out=out)

        killer = Killer(team, rng, pause=(0.005, 0.03)) if rng else None
        if killer:
            killer.__enter__()
        try:
            made = []
            while True:
                team.run(fill, muster.output(y), grain=500, redo_limit=1000)
                x[:] = y
                total = team.reduce(
                    lambda chunk, part: part.sum(), muster.input(x), dtype=numpy.float32, grain=500,
                    redo_limit=1000,
                )
                counts = team.reduce(
                    lambda chunk, part: numpy.histogram(part, 20, (0, 1))[0],
                    muster.input(x), shape=20, dtype=int, redo_limit=1000,
                )
                least = team.reduce(
                    lambda chunk, part: part.min(), muster.input(x), op=numpy.minimum,
                    dtype=numpy.float32, redo_limit=1000,
                )
                pair = team.reduce(
                    lambda chunk, part: (part.mean(), part.std()), muster.input(x), shape=2, grain=500,
                    op=lambda a, b: numpy.hypot(a, b) * 0.5 + a, redo_limit=1000,
                )
                mapped = team.map(lambda i: numpy.float64(i) ** 0.5, range(100), redo_limit=1000)
                made.append(
                    (y.tobytes(), total.tobytes(), counts.tobytes(), least.tobytes(), pair.tobytes(), mapped)
                )
                if killer is None or killer.kills >= 40:
                    break
        finally:
            if killer:
                killer.__exit__()
        assert all(one == made[0] for one in made)
        assert counts.sum() == 60_000
        return made[0]


def test_same_bits_for_any_team(rng):
    one = results(1)
    assert results(2) == one
    assert results(5) == one
    assert results(3, rng) == one, "also where ranks are killed"


def test_reduce(team):
    x = team.array(1000, numpy.int64)
    x[:] = numpy.arange(1000)
    assert team.reduce(lambda chunk, part: part.sum(), muster.input(x), dtype=int) == 499500
    assert isinstance(team.reduce(lambda chunk, part: part.sum(), muster.input(x)), numpy.float64)
    assert team.reduce(lambda chunk: 1, count=77, grain=1, dtype=int) == 77
    assert team.reduce(lambda chunk: 2.0, count=10, grain=1, op=operator.mul) == 1024
    assert team.reduce(lambda chunk: 2.0, count=0) == 0
    words = team.reduce(lambda chunk: (chunk.index, 1), count=9, grain=2, shape=2, dtype="i4")
    assert words.tolist() == [10, 5] and words.dtype == numpy.int32
    best = team.reduce(
        lambda chunk, part: part[part % 97 == 5].max(initial=-1),
        muster.input(x), op=numpy.maximum, dtype=int,
    )
    assert best == 975
    assert team.report.clean and team.report.chunks > 0


def test_chunk_random_is_independent(team):
    x = team.array((64, 8))
    team.run(lambda chunk, out: chunk.random(1).random(out=out[0]), muster.output(x), grain=1)
    assert len(set(x.ravel())) == 512
    y = team.array((64, 8))
    team.run(lambda chunk, out: chunk.random(2).random(out=out[0]), muster.output(y), grain=1)
    assert not set(x.ravel()) & set(y.ravel())


def test_numpys_own_generator_differs_by_rank(team):
    x = team.array(3)
    team.each_rank(lambda me, out: operator.setitem(out, 0, numpy.random.random()), muster.output(x))
    assert len(set(x)) == 3


def test_map(team):
    assert team.map(str, []) == []
    assert team.map(str, range(1000)) == [str(i) for i in range(1000)]
    assert team.map(lambda i: i, (i for i in range(7)), grain=2) == list(range(7))
    things = [None, "x" * 1_000_000, numpy.arange(100_000), {1: [2]}, lambda a: a + 1]
    made = team.map(lambda thing: thing, things, grain=1)
    assert made[:2] == things[:2] and made[3] == {1: [2]} and made[4](1) == 2
    assert numpy.array_equal(made[2], things[2])
    table = team.array(1000)
    table[:] = numpy.arange(1000)
    assert team.map(lambda i: table[i], [3, 5]) == [3.0, 5.0]
    with pytest.raises(ZeroDivisionError) as caught:
        team.map(lambda i: 1 // (i - 37), range(100))
    assert "item 37" in caught.value.__notes__[-1]
    with pytest.raises(muster.Quarantined):
        team.map(lambda i: os.kill(os.getpid(), signal.SIGKILL) if i == 5 else i, range(10), grain=1)
    for turn in range(4):  # descriptors are given out again: a rank must not take one call for another
        assert team.map(abs, [-1 - turn, -2]) == [1 + turn, 2]
        assert not team.report.deaths


def test_map_of_kernels(team):
    double = muster.kernel(lambda i: 2 * i)
    for _ in range(3):
        assert team.map(double, range(10)) == list(range(0, 20, 2))
    assert double(4) == 8


def test_native_kernels(team, kernels):
    x, table = team.array(1000), team.array(10)
    x[:] = 2
    table[7] = 100
    scale = muster.native(kernels, "scale")
    for _ in range(3):
        team.run(scale, muster.in_place(x), table, 3.0, numpy.int32(7), -1)
    expected = 2.0
    for _ in range(3):
        expected = expected * 3 + 100 - 1
    assert (x == expected).all()
    with pytest.raises(muster.KernelError, match="three is not allowed") as caught:
        team.run(muster.native(kernels, "fail"), count=10, grain=1)
    assert caught.value.report.failed_chunk == 3
    assert team.run(muster.native(str(kernels), "nothing"), count=5).clean
    with pytest.raises(muster.ArgumentError, match="no_such"):
        muster.native(kernels, "no_such")
    with pytest.raises(muster.ArgumentError, match="list as an argument"):
        team.run(scale, muster.in_place(x), [1])
