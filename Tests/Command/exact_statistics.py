#!/usr/bin/env python3
"""Compares `muster stats` with exact arithmetic on random files.

    exact_statistics.py MUSTER [--arrays N] [--seed S] [--first I] [--known GAP ...] [DIRECTORY]

Each array has a seed of its own, S + its number, so that one that fails is made again by
`--seed S --first I --arrays 1`. Held to be true of every file: the sum and the mean are the correctly
rounded ones, bit for bit; counts and extremes are exact, those of integers as JSON integers; the
deviation is within 4 units in the last place; the histogram counts what NumPy counts with the same
edges. Header versions, byte orders, Fortran order and data that are not aligned are drawn as well.

--known names a kind of file that this build can't read yet (fortran, big-endian, unaligned); how many
files were left out for it is printed. Exit status: 1 when anything differs, 2 when nothing was compared.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from exact_arrays import Exact, bits, draw

BINS = (1, 2, 7, 20, 64)
SCHEDULES = ("static", "cyclic", "dynamic", "guided", "static-steal")
TYPES = ("sum", "minimum", "maximum")


def npy(array, version, fortran, big, shape, pad):
    """A file's bytes. pad: spaces more than numpy.save writes, which move the data off 64 bytes."""
    order = ">" if big and array.dtype.itemsize > 1 else "|" if array.dtype.itemsize == 1 else "<"
    descr = order + array.dtype.str[1:]
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape!r}, }}"
    fixed = 10 if version == 1 else 12
    blank = -(fixed + len(header) + 1) % 64 + pad
    header = (header + " " * blank + "\n").encode()
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    data = array.astype(descr).tobytes("F" if fortran else "C")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def shapes(random, n):
    """A shape of n elements; None: what 1-d arrays have."""
    divisors = [d for d in (2, 3, 4, 5, 8, 16) if n and n % d == 0]
    if not divisors or random.integers(2):
        return (n,)
    d = int(random.choice(divisors))
    return (d, n // d) if random.integers(2) else (n // d, 1, d)


class Case:
    """One file, what is special about it, and how the tool is asked."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.seed = seed
        self.family, flat = draw(random)
        shape = shapes(random, flat.size)
        self.array = flat.reshape(shape)
        version = int(random.choice([1, 1, 1, 2, 3]))
        fortran = bool(random.integers(4) == 0) and len(shape) > 1
        big = bool(random.integers(4) == 0) and self.array.dtype.itemsize > 1
        pad = int(random.integers(1, 64)) if random.integers(6) == 0 else 0
        self.traits = [
            name
            for name, has in (("fortran", fortran), ("big-endian", big), ("unaligned", pad > 0))
            if has
        ]
        self.bytes = npy(self.array, version, fortran, big, shape, pad)
        self.options = ["--bins", str(random.choice(BINS)), "-n", str(random.choice([1, 1, 1, 2]))]
        self.options += ["--schedule", str(random.choice(SCHEDULES))]

    def name(self):
        return (
            f"seed {self.seed}: {self.family}, {self.array.dtype}, shape {self.array.shape}, "
            f"{' '.join(self.traits + self.options)}"
        )


def check_numbers(found, exact, trouble):
    """Sum, mean, deviation, extremes and counts."""
    for key, value in (
        ("count", exact.count),
        ("nan_count", exact.nan_count),
        ("infinity_count", exact.infinity_count),
    ):
        if found[key] != value:
            trouble(f"{key} {found[key]}, not {value}")
    if found["sum_bits"] != bits(exact.sum):
        trouble(f"sum_bits {found['sum_bits']}, not {bits(exact.sum)} ({exact.sum!r})")
    if exact.is_real:
        wanted = exact.sum if np.isfinite(exact.sum) else None
        if found["sum"] != wanted:
            trouble(f"sum {found['sum']!r}, not {wanted!r}")
    elif type(found["sum"]) is not int or found["sum"] != exact.total:
        trouble(f"sum {found['sum']!r}, not the integer {exact.total}")
    if exact.n == 0:
        for key in ("mean", "standard_deviation", "minimum", "maximum", "histogram"):
            if found[key] is not None:
                trouble(f"{key} {found[key]!r} of nothing")
        return
    mean = found["mean"]
    # The sign of a zero is not kept in every JSON reader; all other means are compared by their bits.
    if mean is None or (mean != exact.mean if exact.mean == 0 else bits(mean) != bits(exact.mean)):
        trouble(f"mean {mean!r}, not {exact.mean!r}")
    deviation = found["standard_deviation"]
    if deviation is None or not exact.deviation_fits(float(deviation)):
        trouble(f"deviation {deviation!r} is more than 4 ulp off")
    for key, value in (("minimum", exact.finite.min()), ("maximum", exact.finite.max())):
        if exact.is_real:
            # Digits of a narrow type are the shortest that read back as that type.
            same = found[key] is not None and exact.finite.dtype.type(found[key]) == value
        else:
            same = type(found[key]) is int and found[key] == int(value)
        if not same:
            trouble(f"{key} {found[key]!r}, not {value!r}")


def check_histogram(found, exact, bins, trouble):
    histogram = found["histogram"]
    if exact.n == 0 or histogram is None:
        if exact.n:
            trouble("no histogram")
        return
    edges, counts = histogram["edges"], histogram["counts"]
    if len(edges) != len(counts) + 1 or not 1 <= len(counts) <= bins:
        trouble(f"{len(counts)} counts between {len(edges)} edges, {bins} bins asked for")
        return
    if any(a > b for a, b in zip(edges, edges[1:])):
        trouble(f"edges that fall: {edges}")
    # Whole numbers that doubles hold, so that edges and elements are compared as what they are.
    holds_all = not exact.is_real and max(abs(x) for x in exact.units) < 1 << 52
    if holds_all:
        if any(edge != int(edge) for edge in edges):
            trouble(f"edges of integers that are not whole: {edges[:4]}")
        if len({int(b) - int(a) for a, b in zip(edges, edges[1:])}) > 1:
            trouble(f"bins of integers that are not equally wide: {edges[:4]}")
    elif exact.is_real and len(counts) != bins:
        trouble(f"{len(counts)} bins of real numbers, {bins} asked for")
    if sum(counts) != exact.n:
        trouble(f"{sum(counts)} elements in bins, not {exact.n}")
    if (exact.is_real or holds_all) and counts != exact.counts(edges):
        trouble(f"counts {counts}, not {exact.counts(edges)}")
    with np.errstate(all="ignore"):
        values = exact.finite.astype(np.float64)
        theirs = np.histogram(values, bins=np.array(edges, dtype=np.float64))[0].tolist()
        if counts != theirs:
            trouble(f"counts {counts}, not NumPy's {theirs}")
        if exact.is_real:
            check_edges(edges, exact, bins, trouble)


def check_edges(edges, exact, bins, trouble):
    """NumPy's own edges, but where it has none that rise to the end: ranges that overflow, and bins
    whose width is subnormal and has lost digits."""
    low, high = float(exact.values.min()), float(exact.values.max())
    if not np.isfinite(high - low) or 0 < (high - low) < bins * sys.float_info.min:
        return
    try:
        theirs = np.histogram_bin_edges(exact.values, bins=bins).tolist()
    except ValueError:
        return
    if all(a < b for a, b in zip(theirs, theirs[1:])) and edges != theirs:
        trouble(f"edges {edges[:3]}..., not NumPy's {theirs[:3]}...")


def run_case(binary, folder, seed, known):
    """Returns: troubles, the traits it was left out for, and whether it was compared."""
    case = Case(seed)
    left_out = [trait for trait in case.traits if trait in known]
    if left_out:
        return [], left_out, False
    path = os.path.join(folder, f"{seed}.npy")
    with open(path, "wb") as file:
        file.write(case.bytes)
    command = [binary, "stats", path, "--json", *case.options]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    except subprocess.TimeoutExpired:
        return [f"{case.name()}: no answer within 120 s"], [], False
    os.unlink(path)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().replace(path, "FILE")
        return [f"{case.name()}: exit status {done.returncode}: {words}"], [], False
    troubles = []

    def trouble(what):
        troubles.append(f"{case.name()}: {what}")

    found, exact = json.loads(done.stdout), Exact(case.array)
    if found["shape"] != list(case.array.shape):
        trouble(f"shape {found['shape']}")
    if found["audit"]["exactly_once"] != found["audit"]["chunks"]:
        trouble(f"audit {found['audit']}")
    check_numbers(found, exact, trouble)
    check_histogram(found, exact, int(case.options[1]), trouble)
    return troubles, [], True


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("muster")
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--arrays", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--known", action="append", default=[])
    given = parser.parse_args()
    binary, known = os.path.abspath(given.muster), set(given.known)
    compared, failed, left_out = 0, 0, collections.Counter()
    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        numbers = range(given.seed + given.first, given.seed + given.first + given.arrays)
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(run_case, binary, folder, seed, known) for seed in numbers]
            for job in jobs:
                troubles, traits, was_compared = job.result()
                compared += was_compared
                failed += bool(troubles)
                left_out.update(traits[:1])
                for line in troubles if failed <= 20 else []:
                    print(f"FAILED: {line[:600]}", flush=True)
    for trait, count in sorted(left_out.items()):
        print(f"left out, since --known {trait}: {count} files")
    print(f"seed {given.seed}: {compared} files compared with exact arithmetic, {failed} differ")
    sys.exit(1 if failed else 2 if compared == 0 else 0)


if __name__ == "__main__":
    main()
