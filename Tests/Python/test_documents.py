"""The article: its programs run, and print what stands beneath them."""

import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def test_the_article(tmp_path):
    programs = os.path.join(ROOT, "Tests/Documents/programs.py")
    article = os.path.join(ROOT, "Sources/Muster/Muster.docc/Python.md")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    for what in ("extract", "run"):
        done = subprocess.run(
            [sys.executable, programs, what, article, tmp_path],
            capture_output=True, text=True, timeout=110,
            env=dict(os.environ, PATH=f"{tmp_path}/bin:{os.environ['PATH']}"),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
