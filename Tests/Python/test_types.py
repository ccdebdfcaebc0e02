"""The package's types: the stub of the extension, and the annotations."""

import os
import subprocess
import sys

import pytest

import muster

HERE = os.path.dirname(muster.__file__)


def run(*arguments, cwd="/"):
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=110, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stub_is_what_the_extension_has():
    run("mypy.stubtest", "muster._core", "--concise")


def test_annotations(tmp_path):
    installed = "site-packages" in HERE  # a folder that mypy must not be in
    run(
        "mypy", "-p", "muster", "--cache-dir", str(tmp_path), cwd="/" if installed else os.path.dirname(HERE)
    )


def test_a_program_of_the_users(tmp_path):
    (tmp_path / "program.py").write_text(
        "import numpy\nimport muster\n\n"
        "def scale(chunk: muster.Chunk, x: numpy.ndarray, factor: float) -> None:\n"
        "    x *= factor + chunk.first\n\n"
        "with muster.Team(2) as team:\n"
        "    x: numpy.ndarray = team.array((10, 2), numpy.int64)\n"
        "    report: muster.Report = team.run(scale, muster.in_place(x), 2.0, grain=3)\n"
        "    names: list[str] = [str(death) for death in report.deaths]\n"
    )
    run("mypy", "--strict", "--cache-dir", str(tmp_path), str(tmp_path / "program.py"))


def test_every_public_name_is_described():
    for name in muster.__all__:
        if name != "__version__":
            value = getattr(muster, name)
            assert value.__doc__, name
            for member, found in vars(value).items() if isinstance(value, type) else ():
                if not member.startswith("_") and callable(found):
                    assert found.__doc__, f"{name}.{member}"
    assert os.path.exists(os.path.join(HERE, "py.typed"))
