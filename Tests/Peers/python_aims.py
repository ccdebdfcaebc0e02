#!/usr/bin/env python3
"""The Python package beside what people use in Python, in turn, in one run; and the package's aims.

    python_aims.py --prefix PREFIX [--rounds N] [--elements N] [--json FILE]

PREFIX: an installed Muster, for a C leader's empty loop. Needs the package, numba and joblib; mpi4py with
mpirun where it is there. Each round goes through all programs; a ratio compares what one round has measured.
The table has the ratios' median, least and greatest. Data are checked before a figure is printed. Exit
status 1: a result is wrong, or an aim is missed by its median.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory

import numba
import numpy as np

import muster

CPUS = len(os.sched_getaffinity(0))
HERE = os.path.dirname(os.path.abspath(__file__))


def best_of(call, seconds, block=1):
    """The median time of a call, in nanoseconds."""
    call()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter_ns()
        for _ in range(block):
            call()
        times.append((time.perf_counter_ns() - start) / block)
    return statistics.median(times)


def in_turn(calls, rounds):
    """The median time of each call, in nanoseconds: each round makes all of them, one after the other."""
    times = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            call()
            times[name].append(time.perf_counter_ns() - start)
    return {name: statistics.median(one[1:]) for name, one in times.items()}


# -- what is run ---------------------------------------------------------------------------------


def nothing(_):
    return None


def empty(chunk):
    pass


def with_view(chunk, x):
    pass


def scale(chunk, x, factor):
    x *= factor


@numba.njit
def scale_njit(chunk, x, factor):
    for i in range(x.size):
        x[i] *= factor


@numba.njit
def empty_njit(chunk, x):
    pass


@numba.njit(parallel=True)
def scale_prange(x, factor):
    for i in numba.prange(x.size):
        x[i] *= factor


section_array = None


def open_section(name, count):
    global section_array, section_memory
    section_memory = shared_memory.SharedMemory(name=name)
    section_array = np.ndarray(count, buffer=section_memory.buf)


def scale_section(work):
    rank, size, factor = work
    first, end = rank * len(section_array) // size, (rank + 1) * len(section_array) // size
    section_array[first:end] *= factor


def scale_memmap(x, first, end, factor):
    x[first:end] *= factor


KERNELS = """
#include <muster/kernel.h>
int nothing(const struct muster_work *work) { (void)work; return 0; }
int scale(const struct muster_work *work)
{
    double factor = *(const double *)work->arguments;
    struct muster_tile tile = {0};
    while (muster_work_update(work, 0, &tile))
        for (uint64_t i = tile.first; i < tile.end; i++)
            ((double *)tile.elements)[i] *= factor;
    return 0;
}
"""

WINDOW = """
import statistics, sys, time
import numpy as np
from mpi4py import MPI
world, count = MPI.COMM_WORLD, int(sys.argv[1])
if world.size != int(sys.argv[2]):
    sys.exit("mpirun is of another MPI")
window = MPI.Win.Allocate_shared(8 * count if world.rank == 0 else 0, 8, comm=world)
x = np.ndarray(count, buffer=window.Shared_query(0)[0])
first, end = world.rank * count // world.size, (world.rank + 1) * count // world.size
x[first:end] = 1
times = []
for _ in range(4):
    world.Barrier()
    start = time.perf_counter_ns()
    x[first:end] *= 1.5
    world.Barrier()
    times.append(time.perf_counter_ns() - start)
if world.rank == 0:
    print(statistics.median(times[1:]))
"""


class Bench:
    """Everything that lives as long as the run."""

    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp()
        library = f"{self.folder}/kernels.so"
        include = f"{options.prefix}/include"
        with open(f"{self.folder}/kernels.c", "w") as file:
            file.write(KERNELS)
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", f"-I{include}", f"{self.folder}/kernels.c", "-o", library],
            check=True,
        )
        lib = f"{options.prefix}/lib"
        subprocess.run(
            ["gcc", "-O2", f"-I{include}", f"{HERE}/python_aims.c", f"-L{lib}", f"-Wl,-rpath,{lib}", "-lmuster",
             "-o", f"{self.folder}/leader"],
            check=True,
        )  # fmt: skip
        self.library = library
        # mpi4py and mpirun are to be of one MPI: where they aren't, there is no team (WINDOW looks).
        self.mpirun = [name for name in ("mpirun.openmpi", "mpirun.mpich", "mpirun") if shutil.which(name)]
        try:
            import joblib

            self.joblib = joblib
        except ImportError:
            self.joblib = None

    def close(self):
        shutil.rmtree(self.folder)

    # Each of these adds to a dictionary: nanoseconds, or bytes.

    def dispatch(self, found):
        done = subprocess.run([f"{self.folder}/leader", "1"], capture_output=True, text=True, check=True)
        found["C leader, empty loop, 1 rank"] = float(done.stdout)
        with muster.Team(1) as team:
            step = muster.native(self.library, "nothing")
            run = team.run
            found["team.run(native), empty loop, 1 rank"] = best_of(
                lambda: run(step, count=1, grain=1), 0.4, 200
            )
            step = muster.kernel(empty)
            found["team.run(kernel), empty loop, 1 rank"] = best_of(
                lambda: run(step, count=1, grain=1), 0.4, 200
            )
            found["team.run(function), empty loop, 1 rank"] = best_of(
                lambda: run(empty, count=1, grain=1), 0.3, 20
            )
        tasks = range(CPUS)
        with muster.Team(CPUS) as team:
            run = team.run
            found["team.run(kernel), a task a CPU"] = best_of(
                lambda: run(step, count=CPUS, grain=1), 0.4, 100
            )
        with multiprocessing.get_context("fork").Pool(CPUS) as pool:
            found["Pool.map, a task a CPU"] = best_of(lambda: pool.map(nothing, tasks, chunksize=1), 0.4, 10)
        with ProcessPoolExecutor(CPUS, mp_context=multiprocessing.get_context("fork")) as pool:
            found["executor.map, a task a CPU"] = best_of(lambda: list(pool.map(nothing, tasks)), 0.3, 5)
        if self.joblib:
            with self.joblib.Parallel(n_jobs=CPUS) as parallel:
                task = self.joblib.delayed(nothing)
                found["joblib, a task a CPU"] = best_of(lambda: parallel(task(i) for i in tasks), 0.3)

    def chunks(self, found):
        count = 100_000
        with muster.Team(1, preload=["numba"]) as team:
            x = team.array(count)
            calls = {
                "Python, no array": (muster.kernel(empty), ()),
                "Python, one view": (muster.kernel(with_view), (muster.input(x),)),
                "Python, in place": (muster.kernel(with_view), (muster.in_place(x),)),
                "njit, one view": (muster.kernel(empty_njit), (muster.input(x),)),
                "native": (muster.native(self.library, "nothing"), (muster.input(x),)),
            }
            times = in_turn(
                {
                    name: lambda call=call: team.run(call[0], *call[1], count=count, grain=1)
                    for name, call in calls.items()
                },
                21,
            )
            for name, one in times.items():
                found[f"chunk: {name}"] = one / count

    def bandwidth(self, found):
        count = self.options.elements
        memory = shared_memory.SharedMemory(create=True, size=8 * count)
        context = multiprocessing.get_context("fork")
        pool = context.Pool(CPUS, open_section, (memory.name, count))
        x, z = np.ones(count), np.ndarray(count, buffer=memory.buf)
        z[:] = 1
        factors = {}

        def factor(name):
            factors[name] = 1 / factors.get(name, 1 / 1.5)
            return factors[name]

        with muster.Team(CPUS, preload=["numba"]) as team:
            y = team.array(count)
            y[:] = 1
            python, njit = muster.kernel(scale), muster.kernel(scale_njit)
            native = muster.native(self.library, "scale")

            def ours(name, function, **named):
                return lambda: team.run(function, muster.in_place(y), factor("muster"), **named)

            sections = [(rank, CPUS) for rank in range(CPUS)]
            calls = {
                "numba prange": lambda: scale_prange(x, factor("prange")),
                "muster, Python, no journal": ours("", python, recovery="fail"),
                "muster, Python, journaled": ours("", python),
                "muster, njit elementwise, no journal": ours("", njit, elementwise=True, recovery="fail"),
                "muster, njit elementwise, journaled": ours("", njit, elementwise=True),
                "muster, native, no journal": ours("", native, recovery="fail"),
                "muster, native, journaled": ours("", native),
                "Pool and SharedMemory": lambda: [
                    factor("pool"),
                    pool.map(scale_section, [(*one, factors["pool"]) for one in sections], chunksize=1),
                ],
            }
            for name, one in in_turn(calls, 9).items():
                found[f"scale: {name}"] = one
            for name, array in (("prange", x), ("muster", y), ("pool", z)):
                # Each factor is followed by its inverse: where one was left out, the array shows it.
                expected = 1.5 if factors[name] == 1.5 else 1.0
                if not np.allclose(array[:: max(1, count // 1000)], expected):
                    sys.exit(f"{name}: the array is wrong")
            del y
        del x, z
        pool.terminate()
        memory.close()
        memory.unlink()
        self.others(found, count)

    def others(self, found, count):
        """joblib over a file in memory, and MPI's shared window."""
        if self.joblib and shutil.disk_usage(self.folder).free > 16 * count:
            path = f"{self.folder}/map"
            w = np.memmap(path, float, "w+", shape=(count,))
            w[:] = 1
            with self.joblib.Parallel(n_jobs=CPUS) as parallel:
                task = self.joblib.delayed(scale_memmap)
                found["scale: joblib and memmap"] = in_turn(
                    {
                        "": lambda: parallel(
                            task(w, r * count // CPUS, (r + 1) * count // CPUS, 1.0) for r in range(CPUS)
                        )
                    },
                    3,
                )[""]
            del w
            os.unlink(path)
        for mpirun in self.mpirun:
            done = subprocess.run(
                [mpirun, "-n", str(CPUS), sys.executable, "-c", WINDOW, str(count), str(CPUS)],
                capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode == 0:
                found["scale: mpi4py shared window"] = float(done.stdout)
                break

    def starts(self, found):
        def interpreter():
            subprocess.run([sys.executable, "-c", "import numpy, cloudpickle"], check=True)

        def team():
            with muster.Team(8) as made:
                made.each_rank(empty)

        def pool(kind):
            with multiprocessing.get_context(kind).Pool(8) as made:
                made.map(nothing, range(8), chunksize=1)

        found["one interpreter that imports NumPy and cloudpickle"] = best_of(interpreter, 0.8)
        start = time.perf_counter_ns()
        made = muster.Team(8)
        found["Team(8)"] = time.perf_counter_ns() - start
        made.each_rank(empty)
        private = []
        for pid in made.pids:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                private.append(
                    sum(int(line.split()[1]) for line in file if line.startswith("Private_")) * 1024
                )
        found["private bytes of a rank"] = statistics.median(private)
        made.close()
        found["Team(8), a task each, end"] = best_of(team, 0.8)
        found["Pool(8) spawn, a task each, end"] = best_of(lambda: pool("spawn"), 0.1)
        found["Pool(8) fork, a task each, end"] = best_of(lambda: pool("fork"), 0.3)

    def maps(self, found):
        items = list(range(12_800))
        with muster.Team(CPUS) as team:
            found["team.map, chunks of 64, an item"] = (
                best_of(lambda: team.map(nothing, items, grain=64), 0.4) / len(items)
            )
            found["team.map, one by one, an item"] = (
                best_of(lambda: team.map(nothing, items[:2000], grain=1), 0.4) / 2000
            )
        with multiprocessing.get_context("fork").Pool(CPUS) as pool:
            found["Pool.map, chunks of 64, an item"] = (
                best_of(lambda: pool.map(nothing, items, chunksize=64), 0.4) / len(items)
            )
            found["Pool.map, one by one, an item"] = (
                best_of(lambda: pool.map(nothing, items[:2000], chunksize=1), 0.4) / 2000
            )


# What is compared: name, how, of what, by what, at most.
AIMS = (
    ("empty loop: kernel less C leader, us", "less", "team.run(kernel), empty loop, 1 rank",
     "C leader, empty loop, 1 rank", 3.0),
    ("empty loop: over Pool.map", "over", "team.run(kernel), a task a CPU", "Pool.map, a task a CPU", 0.1),
    ("chunk with one view over none", "over", "chunk: Python, one view", "chunk: Python, no array", 1.3),
    ("chunk of njit, ns", "is", "chunk: njit, one view", None, 60),
    ("chunk of C, ns", "is", "chunk: native", None, 60),
    ("scale, no journal, over prange", "over", "scale: muster, Python, no journal", "scale: numba prange", 1.1),
    ("scale, no journal, over Pool", "over", "scale: muster, Python, no journal",
     "scale: Pool and SharedMemory", 1.0),
    ("journal, Python", "over", "scale: muster, Python, journaled", "scale: muster, Python, no journal", 1.5),
    ("journal, njit elementwise", "over", "scale: muster, njit elementwise, journaled",
     "scale: muster, njit elementwise, no journal", 1.25),
    ("Team(8) over one interpreter", "over", "Team(8)", "one interpreter that imports NumPy and cloudpickle", 1.5),
    ("Team(8), task, end over Pool spawn", "over", "Team(8), a task each, end",
     "Pool(8) spawn, a task each, end", 0.2),
    ("private memory of a rank, MB", "mega", "private bytes of a rank", None, 3.0),
    ("map in chunks of 64 over Pool.map", "over", "team.map, chunks of 64, an item",
     "Pool.map, chunks of 64, an item", 2.0),
    ("map one by one over Pool.map", "over", "team.map, one by one, an item", "Pool.map, one by one, an item", 0.5),
)  # fmt: skip


def value(how, one, other):
    return {"over": lambda: one / other, "less": lambda: (one - other) / 1e3, "is": lambda: one,
            "mega": lambda: one / 1e6}[how]()  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--elements", type=int, default=100_000_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    bench = Bench(options)
    rounds = []
    for number in range(options.rounds):
        found = {}
        for part in (bench.dispatch, bench.chunks, bench.bandwidth, bench.starts, bench.maps):
            part(found)
        rounds.append(found)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    bench.close()
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rounds, file, indent=1)
    print(f"{'median of all rounds':52} {'ns':>14}")
    for name in rounds[0]:
        print(f"{name:52} {statistics.median(one[name] for one in rounds):>14,.0f}")
    print(f"\n{'aim':40} {'median':>8} {'least':>8} {'greatest':>8} {'at most':>8}")
    missed = 0
    for name, how, one, other, most in AIMS:
        values = [value(how, found[one], found.get(other)) for found in rounds]
        median = statistics.median(values)
        missed += median > most
        print(f"{name:40} {median:8.2f} {min(values):8.2f} {max(values):8.2f} {most:8.2f}"
              f"{'   MISSED' if median > most else ''}")  # fmt: skip
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
