"""Arrays: plain ndarrays of any type and shape over shared memory, and files."""

import gc

import numpy
import pytest

import muster

DTYPES = [
    "?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "g", "c8", "c16", "G", ">f8", ">i4", "S5", "U3", "V7",
    "M8[ns]", "m8[s]", [("a", "i4"), ("b", "f8", (2, 2))],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(37,), (37, 3), (37, 2, 4)])
def test_types_and_shapes(team, dtype, shape):
    source, target = team.array(shape, dtype), team.array(shape, dtype)
    assert source.dtype == numpy.dtype(dtype) and source.shape == shape and type(source) is numpy.ndarray
    assert source.flags.c_contiguous and source.flags.writeable
    assert not source.view(numpy.uint8).any() if source.dtype.names is None else True
    raw = numpy.random.default_rng(3).integers(0, 2, source.nbytes, numpy.uint8)
    numpy.frombuffer(memoryview(source).cast("B") if False else source.base, numpy.uint8)[:] = raw

    def copy(chunk, whole, part, out):
        assert part.dtype == out.dtype == whole.dtype == numpy.dtype(dtype)
        assert part[:1].tobytes() == whole[chunk.first : chunk.first + 1].tobytes()
        out[...] = part

    team.run(copy, source, muster.input(source), muster.output(target), grain=5)
    assert target.tobytes() == source.tobytes()


def test_an_array_outlives_its_team_and_goes_with_its_last_view():
    with muster.Team(2) as team:
        x = team.array(1000)
        x[:] = 3
    row = x[10:20]
    del x, team
    gc.collect()
    assert (row == 3).all()


def test_placements_and_pages(team):
    for placement in ("first-touch", "interleave", "blocked", "bind:0", "mirrored"):
        for pages in ("4k", "thp", "auto"):
            x = team.array(10_000, placement=placement, pages=pages, name="x")
            x[:] = 2
            muster.mirror(x)
            assert team.reduce(lambda chunk, whole: whole[chunk.slice].sum(), x, count=10_000) == 20_000
    with pytest.raises(muster.ArgumentError, match="none of a team's"):
        muster.mirror(numpy.ones(3))


def test_memory_is_given_back(team):
    def available():
        with open("/proc/meminfo") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))

    for _ in range(200):  # 200 x 64 MiB
        team.array(1 << 26, numpy.uint8)[-1] = 1


def test_files(team, tmp_path):
    path = tmp_path / "x.npy"
    numpy.save(path, numpy.arange(10_000, dtype=numpy.int32).reshape(1000, 10))
    x = team.map_file(path)
    assert x.shape == (1000, 10) and x.dtype == numpy.int32 and not x.flags.writeable
    total = team.reduce(lambda chunk, part: part.sum(), muster.input(x), dtype=int)
    assert total == 49_995_000
    y = team.map_file(str(path), writable=True)

    def double(chunk, part):
        part *= 2

    team.run(double, muster.in_place(y))
    assert numpy.load(path).sum() == 2 * 49_995_000
    (tmp_path / "raw").write_bytes(numpy.arange(30.0).tobytes())
    z = team.map_file(tmp_path / "raw", dtype=float, shape=(5, 6))
    assert z[4, 5] == 29 and team.map_file(tmp_path / "raw", dtype="f8").shape == (30,)
    with pytest.raises(muster.ArgumentError, match="31"):
        team.map_file(tmp_path / "raw", dtype=float, shape=(31,))


def test_two_teams_at_once():
    with muster.Team(2) as one, muster.Team(3) as two:
        x, y = one.array(100), two.array(100)
        for _ in range(3):
            one.run(lambda chunk, part: part.__iadd__(1), muster.in_place(x))
            two.run(lambda chunk, part: part.__iadd__(2), muster.in_place(y))
        assert (x == 3).all() and (y == 6).all()
        assert not set(one.pids) & set(two.pids)


def test_other_libraries_see_plain_arrays(team):
    x = team.array(100, numpy.float32)
    x[:] = 1
    assert memoryview(x).nbytes == 400
    assert numpy.from_dlpack(x).sum() == 100
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(x)
    tensor *= 3
    assert (x == 3).all()
    assert team.reduce(
        lambda chunk, part: __import__("torch").from_numpy(part.copy()).sum().item(), muster.input(x)
    ) == 300
