"""Code that is another in the ranks is an error, and never runs."""

import importlib
import sys

import pytest

import muster


def write(path, value, constant=1):
    path.write_text(
        f"import helper_of_stale\nCONSTANT = {constant}\n"
        f"def f(chunk, out):\n    out[:] = {value} * CONSTANT + helper_of_stale.g()\n"
        f"class C:\n    def method(self, chunk, out):\n        out[:] = {value}\n"
    )


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(tmp_path / "stale_module.py", 1)
    (tmp_path / "helper_of_stale.py").write_text("def g():\n    return 0\n")
    importlib.invalidate_caches()
    yield importlib.import_module("stale_module"), tmp_path
    for name in ("stale_module", "helper_of_stale"):
        sys.modules.pop(name, None)


def test_a_module_that_was_loaded_again(module):
    module, folder = module
    with muster.Team(2) as team:
        x = team.array(10)
        team.run(module.f, muster.output(x))
        assert (x == 1).all()
        write(folder / "stale_module.py", 22)
        importlib.reload(module)
        with pytest.raises(muster.StaleCodeError, match="stale_module was loaded again.*by_value"):
            team.run(module.f, muster.output(x))
        team.run(muster.kernel(module.f, by_value=True), muster.output(x))
        assert (x == 22).all()
    with muster.Team(2) as team:
        x = team.array(10)
        team.run(module.f, muster.output(x))
        assert (x == 22).all()


def test_a_constant_or_a_helper_that_has_changed(module):
    module, folder = module
    with muster.Team(1) as team:
        x = team.array(10)
        kernel = muster.kernel(module.f)
        for _ in range(3):
            team.run(kernel, muster.output(x))
        write(folder / "stale_module.py", 1, constant=5)
        importlib.reload(module)
        with pytest.raises(muster.StaleCodeError):
            team.run(kernel, muster.output(x))
    with muster.Team(1) as team:
        x = team.array(10)
        team.run(module.f, muster.output(x))
        (folder / "helper_of_stale.py").write_text("def g():\n    return 100\n")
        importlib.reload(sys.modules["helper_of_stale"])
        with pytest.raises(muster.StaleCodeError, match="helper_of_stale"):
            team.run(module.f, muster.output(x))


def test_a_file_that_changed_under_the_leader(module):
    """The leader has the old code, a rank imports the new."""
    module, folder = module
    write(folder / "stale_module.py", 333)
    with muster.Team(1) as team:
        x = team.array(10)
        with pytest.raises(muster.StaleCodeError, match="the file has changed"):
            team.run(module.f, muster.output(x))
        with pytest.raises(muster.StaleCodeError):
            team.run(module.C().method, muster.output(x))
        assert (x == 0).all()


def test_a_library_that_was_built_again(team, kernels, tmp_path):
    import shutil

    library = tmp_path / "mine.so"
    shutil.copy(kernels, library)
    nothing = muster.native(library, "nothing")
    assert team.run(nothing, count=3).clean
    library.unlink()
    shutil.copy(kernels, library)
    assert team.run(nothing, count=4).clean, "what was loaded is what the leader has looked at"
    with pytest.raises(muster.StaleCodeError, match="built again"):
        team.run(muster.native(library, "nothing"), count=4)
