"""A view that a function keeps after its chunk is found, and named."""

import numpy
import pytest

import muster

KEEPERS = {
    "list": "kept.append(x)",
    "slice in a list": "kept.append(x[3:5])",
    "reshaped": "kept.append(x.reshape(-1, 1)[::2])",
    "closure": "kept.append(lambda: x[0])",
    "exception": """
try:
    raise ValueError(x)
except ValueError as error:
    kept.append(error)
""",
    "memoryview, as torch and others do": "kept.append(memoryview(x))",
    "asarray": "kept.append(numpy.asarray(x))",
    "object array": "o = numpy.empty(1, object); o[0] = x; kept.append(o)",
    "cycle that something holds": "c = [x]; c.append(c); kept.append(c)",
}


@pytest.mark.parametrize("how", KEEPERS)
@pytest.mark.parametrize("access", [muster.in_place, muster.output, muster.input])
def test_kept_views_are_found(team, how, access):
    source = KEEPERS[how]

    def keep(chunk, factor, x):
        import builtins

        kept = builtins.__dict__.setdefault("kept_by_test", [])
        kept.clear()
        exec(source, {"kept": kept, "x": x, "numpy": numpy})

    x = team.array(1000)
    with pytest.raises(muster.KernelError, match=r"kept its array argument 1 .*copy\(\)"):
        team.run(keep, 2.0, access(x), grain=100)

    def forget(chunk):
        import builtins

        builtins.__dict__.pop("kept_by_test", None)

    team.each_rank(forget)


def test_garbage_in_a_cycle_is_kept_by_nobody(team):
    x = team.array(1000)

    def cycle(chunk, part):
        loop = [part]
        loop.append(loop)
        part += 1

    assert team.run(cycle, muster.in_place(x), grain=100).clean
    assert (x == 1).all()


def test_copies_may_be_kept(team):
    x = team.array(1000)

    def copy(chunk, part):
        copy.kept = [part.copy(), part.sum(), part[3], part * 2]

    assert team.run(copy, muster.input(x), grain=100).clean


def test_canary_without_the_check_nothing_is_found(team):
    """The tests above fail if the mechanism is off: here it is."""
    x = team.array(1000)

    def keep(chunk, part):
        keep.kept = part

    with pytest.raises(muster.KernelError, match="kept"):
        team.run(keep, muster.in_place(x))
    team._canary = 4
    try:
        assert team.run(keep, muster.in_place(x)).clean
    finally:
        team._canary = 0
