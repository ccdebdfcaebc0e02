"""Every way to start Python, and what a leader may have done before."""

import os
import subprocess
import sys
import textwrap

import pytest

import muster
from conftest import script

SEED_LISTINGS = """
    import muster

    def hello(me):
        print(f"Hello from process {me.rank} of {me.size}")

    print("begin")
    for _ in range(2):
        with muster.Team(8) as team:
            print(team.each_rank(hello))
    with muster.Team(8) as team:
        print(team.run(hello, count=12, grain=1, schedule="cyclic"))
    print("end")
"""


@pytest.mark.parametrize("how", ["file", "-c", "-m", "stdin"])
def test_the_three_listings(how):
    """Ranks 0..7 of 8, twice, and 12 chunks by 8 processes, each exactly once."""
    done = script(SEED_LISTINGS, how=how)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "begin" and lines[-1] == "end" and lines.count("begin") == 1
    hellos = [line for line in lines if line.startswith("Hello")]
    for part in (hellos[:8], hellos[8:16]):
        assert sorted(part) == [f"Hello from process {rank} of 8" for rank in range(8)]
    assert len(hellos) == 28
    assert lines.count("8 chunks, each exactly once, by 8 ranks") == 2
    assert lines.count("12 chunks, each exactly once, by 8 ranks") == 1


def test_interactive():
    done = subprocess.run(
        [sys.executable, "-i", "-q"],
        input=textwrap.dedent("""
            import muster
            team = muster.Team(2)
            def f(chunk): print("rank", chunk.rank)

            print(team.each_rank(f))
            team.close()
            """),
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("rank")) == ["rank 0", "rank 1"]
    assert "2 chunks, each exactly once" in done.stdout, done


def test_a_console_entry_point(tmp_path):
    (tmp_path / "mytool.py").write_text(
        "import muster\n"
        "def work(chunk):\n    print('working', chunk.index)\n"
        "def main():\n    with muster.Team(2) as team:\n        print(team.run(work, count=3, grain=1))\n"
    )
    entry = tmp_path / "mytool"
    entry.write_text(f"#!{sys.executable}\nimport sys\nfrom mytool import main\nsys.exit(main())\n")
    entry.chmod(0o755)
    done = subprocess.run(
        [entry], capture_output=True, text=True, timeout=100, cwd="/",
        env=dict(os.environ, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"),
    )  # fmt: skip
    assert done.returncode == 0 and "3 chunks, each exactly once" in done.stdout, done


@pytest.mark.parametrize("options", [[], ["-s"], ["--capture=sys"], ["-W", "error"]])
def test_pytest_in_pytest(tmp_path, options):
    (tmp_path / "test_mine.py").write_text(
        "import muster, pytest\n"
        "class Mine(Exception): pass\n"
        "def helper(x): return x + 1\n"
        "def work(chunk, x):\n    print('working')\n    assert len(x)\n    x[:] = helper(0)\n"
        "def bad(chunk):\n    a = 1\n    assert a == 2, 'no'\n"
        "def worse(chunk):\n    raise Mine(1)\n"
        "def test_it(capsys):\n"
        "    with muster.Team(2) as team:\n"
        "        x = team.array(10)\n"
        "        team.run(work, muster.output(x))\n"
        "        assert (x == 1).all() and 'working' in capsys.readouterr().out\n"
        "        with pytest.raises(AssertionError, match='no'):\n            team.run(bad, count=1)\n"
        "        with pytest.raises(Mine):\n            team.run(worse, count=1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, tmp_path / "test_mine.py"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_warnings_are_errors():
    done = script("""
        import subprocess, sys
        source = '''
        import muster
        with muster.Team(2) as team:
            x = team.array(10)
            print(team.run(lambda chunk, x: x.fill(1), muster.output(x)))
            team.map(abs, [1, 2])
        '''.replace(chr(10) + " " * 8, chr(10))
        sys.exit(subprocess.run([sys.executable, "-W", "error", "-X", "dev", "-c", source]).returncode)
        """)
    assert done.returncode == 0 and "exactly once" in done.stdout and not done.stderr, done


def test_a_leader_with_twenty_threads_and_a_large_heap():
    done = script("""
        import threading, time, numpy, muster
        for _ in range(20):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        heap = numpy.ones(1 << 25)
        heap @ heap
        with muster.Team(4) as team:
            print(team.each_rank(lambda me: None))
        """)
    assert "4 chunks, each exactly once, by 4 ranks" in done.stdout, done


def test_torch_imported_before():
    pytest.importorskip("torch")
    done = script("""
        import torch, muster
        (torch.ones(500, 500) @ torch.ones(500, 500)).sum()
        with muster.Team(2) as team:
            x = team.array(100)
            def f(chunk, x):
                import torch
                torch.from_numpy(x).fill_(3)
            try:
                print(team.run(f, muster.output(x)), x.sum())
            except muster.KernelError as error:
                print(error)
        """)
    assert "exactly once, by 2 ranks 300.0" in done.stdout, done


def test_preload():
    with muster.Team(2, preload=["decimal", "json"]) as team:

        def check(chunk):
            import sys

            assert "decimal" in sys.modules

        assert team.run(check, count=2).clean
        assert muster.Team(1, preload="decimal").size == 1


def test_default_size_is_that_of_the_cpus():
    with muster.Team() as team:
        assert team.size == len(os.sched_getaffinity(0))
        assert len(team.pids) == team.size and str(team.size) in repr(team)


def test_hundreds_of_ranks():
    with muster.Team(200) as team:
        assert team.each_rank(lambda me: None).chunks == 200


def test_a_notebook(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    folder = os.path.dirname(os.path.abspath(__file__))
    notebook = nbformat.read(os.path.join(folder, "example.ipynb"), as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "outputs are not stored"
    made = tmp_path / "made.ipynb"
    done = script(f"""
        import nbclient, nbformat
        notebook = nbformat.read({os.path.join(folder, "example.ipynb")!r}, as_version=4)
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
        nbformat.write(notebook, {str(made)!r})
        """)
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(made, as_version=4)
    text = "".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    for rank in range(4):
        assert f"Hello from process {rank} of 4" in text
    assert "each exactly once, by 4 ranks" in text and "in cell" in text
    assert any(
        "<table>" in str(output.get("data", {}).get("text/html", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
