#!/usr/bin/env python3
"""Compares the options of `muster stats` with NumPy and exact arithmetic on random files.

    numpy_readers.py MUSTER [--cases N] [--seed S] [--first I] [DIRECTORY]

Each case has a seed of its own, S + its number, so that one that fails is made again by
`--seed S --first I --cases 1`. Kinds of case, in turn:

percentiles  those of one or more files: numpy.percentile of their elements as float64, bit for bit; the
             element itself where one is asked for; of integers that float64 does not hold, and of ranges
             that overflow, exact arithmetic rounded once.
range        numpy.histogram with range: edges and counts.
log          counts as numpy.histogram's with the same edges, which are numpy.geomspace's but for
             rounding.
files        several files of any types: each row, and all as one data set, against exact arithmetic.
axis         a row for each channel along any axis, of one or more files, with its percentiles, against
             exact arithmetic.

Exit status 1 when anything differs.
"""

import argparse
import collections
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile
from fractions import Fraction

import numpy as np

from exact_arrays import FLOATS, INTEGERS, UNIT, Exact, draw, rounded
from exact_statistics import SCHEDULES, check_numbers, npy, shapes

KINDS = ("percentiles", "range", "log", "files", "axis")


class Together:
    """Several Exact as one data set: what exact_statistics.check_numbers asks of an Exact."""

    def __init__(self, parts):
        self.is_real = any(part.is_real for part in parts)
        self.count, self.nan_count, self.infinity_count, self.n = (
            sum(getattr(part, name) for part in parts)
            for name in ("count", "nan_count", "infinity_count", "n")
        )
        self.shift = UNIT if self.is_real else 0
        self.units = [u << (self.shift - part.shift) for part in parts for u in part.units]
        self.total = sum(self.units)
        self.sum = rounded(self.total, 1 << self.shift)
        self.mean = rounded(self.total, self.n << self.shift) if self.n else None
        self.spread = self.n * sum(x * x for x in self.units) - self.total**2 if self.n else None
        types = {part.finite.dtype for part in parts}
        if len(types) == 1:
            self.finite = np.concatenate([part.finite for part in parts])
        elif self.is_real:
            self.finite = np.concatenate([part.finite.astype(np.float64) for part in parts])
        else:
            self.finite = np.array(self.units, dtype=object)

    deviation_fits = Exact.deviation_fits


class Case:
    """Files of one kind of case, and how the tool is asked."""

    def __init__(self, seed, folder):
        self.random = random = np.random.default_rng(seed)
        self.seed, self.folder, self.arrays, self.paths = seed, folder, [], []
        self.kind = KINDS[seed % len(KINDS)]
        self.options = ["-n", str(random.choice([1, 1, 2])), "--bins", str(random.choice([1, 5, 20]))]
        self.options += ["--schedule", str(random.choice(SCHEDULES))]
        self.troubles = []

    def add(self, array):
        """Writes an array in any layout."""
        random, shape = self.random, array.shape
        fortran = bool(random.integers(3) == 0) and len(shape) > 1
        big = bool(random.integers(4) == 0)
        pad = int(random.integers(1, 64)) if random.integers(6) == 0 else 0
        path = os.path.join(self.folder, f"{self.seed}-{len(self.paths)}.npy")
        with open(path, "wb") as file:
            file.write(npy(array, int(random.choice([1, 2, 3])), fortran, big, shape, pad))
        self.arrays.append(array)
        self.paths.append(path)

    def ask(self, *options):
        self.options += options
        command = [self.muster, "stats", *self.paths, "--json", *self.options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        for path in self.paths:
            os.unlink(path)
        if done.returncode != 0:
            self.trouble(f"exit status {done.returncode}: {done.stderr.decode(errors='replace')}")
            return None
        found = json.loads(done.stdout)
        if found["audit"]["exactly_once"] != found["audit"]["chunks"]:
            self.trouble(f"audit {found['audit']}")
        return found

    def trouble(self, what):
        shapes_text = ", ".join(f"{array.dtype} {array.shape}" for array in self.arrays)
        self.troubles.append(
            f"seed {self.seed}: {self.kind}, {shapes_text}, {' '.join(self.options)}: {what}"
        )


def array_of(random, dtype):
    """A flat array of one type, from the families of exact_arrays."""
    while True:
        _, array = draw(random)
        if array.dtype == np.dtype(dtype):
            return array


# -- percentiles --------------------------------------------------------------------------------


def percentile(values, percent):
    """Of sorted elements of one type. Returns: the value, and whether it is an element."""
    n = len(values)
    place = percent / 100 * (n - 1)
    lower = min(math.floor(place), n - 1)
    part = 0.0 if lower == n - 1 else place - lower
    low, high = values[lower], values[lower + (part != 0)]
    if part == 0 or low == high:
        return low, True
    if values.dtype.kind == "f":
        low, high = float(low), float(high)
        if math.isinf(high - low):
            return low * (1 - part) + high * part, False
    elif max(abs(int(low)), abs(int(high))) > 1 << 53:
        exact = int(low) + (int(high) - int(low)) * Fraction(part)
        return int(exact) if exact.denominator == 1 else float(exact), False
    low, high = float(low), float(high)
    # As numpy.percentile, from the nearer end.
    near = low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)
    return near, False


def check_percentiles(case):
    random = case.random
    dtype = random.choice(FLOATS + INTEGERS + ("b1",))
    for _ in range(random.choice([1, 1, 2, 3])):
        flat = array_of(random, dtype)
        case.add(flat.reshape(shapes(random, flat.size)))
    count = int(random.choice([1, 2, 5, 32]))
    percents = [
        float(random.choice([0, 50, 100, 25, 99.9, 1e-7, random.random() * 100]))
        for _ in range(count)
    ]
    found = case.ask("--percentiles", ",".join(repr(p) for p in percents))
    if found is None:
        return
    values = np.concatenate([array.reshape(-1) for array in case.arrays])
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    values = np.sort(values)
    listed = found["percentiles"]
    if len(values) == 0:
        if listed != []:
            case.trouble(f"percentiles {listed} of nothing")
        return
    if [entry["percent"] for entry in listed] != percents:
        case.trouble(f"percentiles of {listed}, not of {percents}")
    theirs = None
    if values.dtype.kind == "f":
        with np.errstate(all="ignore"):
            theirs = np.percentile(values.astype(np.float64), percents)
    for index, (entry, percent) in enumerate(zip(listed, percents)):
        value, is_element = percentile(values, percent)
        ours = entry["value"]
        same = values.dtype.type(ours) == value if is_element else ours == value
        if not same:
            case.trouble(f"percentile {percent!r}: {ours!r}, not {value!r}")
        # NumPy's own answer for all of them, where it has no overflow on the way.
        if theirs is not None and math.isfinite(theirs[index]):
            same = values.dtype.type(ours) == theirs[index] if is_element else ours == theirs[index]
            if not same:
                case.trouble(f"percentile {percent!r}: {ours!r}, not NumPy's {theirs[index]!r}")


# -- histograms ---------------------------------------------------------------------------------


def finite_doubles(arrays):
    flat = np.concatenate([array.reshape(-1).astype(np.float64) for array in arrays])
    return flat[np.isfinite(flat)]


def check_range(case):
    random = case.random
    for _ in range(random.choice([1, 1, 2])):
        _, flat = draw(random)
        case.add(flat.reshape(shapes(random, flat.size)))
    with np.errstate(all="ignore"):
        values = finite_doubles(case.arrays)
        spread = float(np.std(values)) if values.size else 1.0
    scale = spread if 1e-300 < spread < 1e300 else 1.0
    centre = float(random.choice(values)) if values.size else 0.0
    low, high = sorted(centre + scale * random.standard_normal(2))
    if not low < high:
        high = float(np.nextafter(low, np.inf))
    found = case.ask(f"--range={float(low)!r},{float(high)!r}")
    if found is None:
        return
    histogram = found["histogram"]
    if values.size == 0:
        if histogram is not None:
            case.trouble("a histogram of nothing")
        return
    bins = int(case.options[3])
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    if histogram["edges"] != edges.tolist():
        case.trouble(f"edges {histogram['edges'][:3]}, not NumPy's {edges[:3].tolist()}")
    elif all(a < b for a, b in zip(edges, edges[1:])) and histogram["counts"] != counts.tolist():
        case.trouble(f"counts {histogram['counts']}, not NumPy's {counts.tolist()}")
    if histogram["outside_count"] != values.size - sum(histogram["counts"]):
        case.trouble(f"{histogram['outside_count']} outside")


def check_log(case):
    random = case.random
    values = 10.0 ** random.uniform(-3, random.choice([0, 5, 200]), random.integers(1, 3000))
    values[random.random(values.size) < 0.01] = np.nan
    dtype = random.choice(["f8", "f4", "u2"])
    with np.errstate(all="ignore"):
        array = np.maximum(values, 1).astype(dtype) if dtype == "u2" else values.astype(dtype)
    case.add(array)
    low, high = 10.0 ** np.sort(random.uniform(-3, 4, 2))
    has_range = bool(random.integers(2))
    finite = finite_doubles(case.arrays)
    if not has_range:
        if finite.size == 0 or finite.min() <= 0:
            has_range = True
        else:
            low, high = float(finite.min()), float(finite.max())
    found = case.ask("--log", *([f"--range={float(low)!r},{float(high)!r}"] if has_range else []))
    if found is None:
        return
    histogram = found["histogram"]
    if histogram is None:
        if finite.size:
            case.trouble("no histogram")
        return
    edges, bins = histogram["edges"], int(case.options[3])
    if len(edges) != bins + 1 or edges[0] != low or edges[-1] != high:
        case.trouble(f"{len(edges)} edges from {edges[0]!r} to {edges[-1]!r}")
    elif not np.allclose(edges, np.geomspace(low, high, bins + 1), rtol=1e-12, atol=0):
        case.trouble(f"edges {edges} are not of equal ratios")
    counts = np.histogram(finite, bins=np.array(edges))[0].tolist()
    if histogram["counts"] != counts:
        case.trouble(f"counts {histogram['counts']}, not NumPy's {counts}")
    if histogram["outside_count"] != finite.size - sum(counts):
        case.trouble(f"{histogram['outside_count']} outside")


# -- rows ---------------------------------------------------------------------------------------


def check_row(case, name, row, exact):
    check_numbers(dict(row, histogram=None), exact, lambda what: case.trouble(f"{name}: {what}"))


def check_files(case):
    random = case.random
    kinds = [None] if random.integers(2) else [random.choice(FLOATS + INTEGERS)]
    for _ in range(random.integers(2, 6)):
        _, flat = draw(random) if kinds[0] is None else (None, array_of(random, kinds[0]))
        flat = flat[:3000]
        case.add(flat.reshape(shapes(random, flat.size)))
    found = case.ask()
    if found is None:
        return
    parts = [Exact(array) for array in case.arrays]
    if found["file"] is not None or found["shape"] is not None:
        case.trouble("a file and a shape of several files")
    names = {array.dtype.name for array in case.arrays}
    if found["dtype"] != (names.pop() if len(names) == 1 else None):
        case.trouble(f"dtype {found['dtype']}")
    rows = found["files"]
    if [row["file"] for row in rows] != case.paths:
        case.trouble("rows of other files")
    for index, (row, part, array) in enumerate(zip(rows, parts, case.arrays)):
        if row["shape"] != list(array.shape) or row["dtype"] != array.dtype.name:
            case.trouble(f"file {index}: {row['dtype']} {row['shape']}")
        check_row(case, f"file {index}", row, part)
    whole = Together(parts)
    check_row(case, "all", found, whole)
    histogram = found["histogram"]
    if whole.n and sum(histogram["counts"]) != whole.n:
        case.trouble(f"{sum(histogram['counts'])} elements in bins, not {whole.n}")
    if whole.n:
        with np.errstate(all="ignore"):
            theirs = np.histogram(finite_doubles(case.arrays), bins=np.array(histogram["edges"]))[0]
        edges = histogram["edges"]
        if all(a < b for a, b in zip(edges, edges[1:])) and theirs.tolist() != histogram["counts"]:
            case.trouble(f"counts {histogram['counts']}, not NumPy's {theirs.tolist()}")


def check_axis(case):
    random = case.random
    dimensions = int(random.integers(1, 5))
    axis = int(random.integers(dimensions))
    channels = int(random.choice([1, 2, 3, 4, 7, 17, 64, 65, 200]))
    dtype = random.choice(FLOATS + INTEGERS + ("b1",))
    for _ in range(random.choice([1, 1, 2, 3])):
        shape = [int(random.choice([0, 1, 2, 3, 5, 40])) for _ in range(dimensions)]
        if random.integers(4) == 0:
            # Long runs of one channel, and long sweeps through all.
            shape[random.integers(dimensions)] = 5000
        shape[axis] = channels
        while math.prod(shape) > 400_000:
            largest = max((i for i in range(dimensions) if i != axis), key=lambda i: shape[i])
            shape[largest] = max(1, shape[largest] // 4)
        flat = array_of(random, dtype)
        size = math.prod(shape)
        flat = np.resize(flat, size) if flat.size else np.zeros(size, dtype=dtype)
        case.add(flat.reshape(shape))
    given = axis if random.integers(2) else axis - dimensions
    percents = [0.0, 25.0, 50.0, float(random.random() * 100)][: int(random.integers(0, 5))]
    percents = percents if channels <= 64 else []
    more = ["--percentiles", ",".join(repr(p) for p in percents)] if percents else []
    found = case.ask(f"--axis={given}", *more)
    if found is None:
        return
    if found["axis"] != given or len(found["channels"]) != channels:
        case.trouble(f"axis {found['axis']}, {len(found['channels'])} channels, not {channels}")
        return
    # Exact arithmetic takes its time: of many channels, some.
    some = range(channels) if channels < 8 else sorted(set(random.integers(0, channels, 6).tolist()))
    for channel in some:
        parts = [np.take(array, channel, axis).reshape(-1) for array in case.arrays]
        row = found["channels"][channel]
        if row["index"] != channel:
            case.trouble(f"channel {channel}: index {row['index']}")
        check_row(case, f"channel {channel}", row, Exact(np.concatenate(parts)))
        check_channel_percentiles(case, channel, row["percentiles"], np.concatenate(parts), percents)


def check_channel_percentiles(case, channel, listed, values, percents):
    if not percents:
        if listed is not None:
            case.trouble(f"channel {channel}: percentiles {listed} that nobody asked for")
        return
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    values = np.sort(values)
    if [entry["percent"] for entry in listed] != (percents if len(values) else []):
        case.trouble(f"channel {channel}: percentiles of {listed}, not of {percents}")
        return
    for entry in listed:
        value, is_element = percentile(values, entry["percent"])
        ours = entry["value"]
        if not (values.dtype.type(ours) == value if is_element else ours == value):
            case.trouble(
                f"channel {channel}: percentile {entry['percent']!r}: {ours!r}, not {value!r}")


CHECKS = {
    "percentiles": check_percentiles,
    "range": check_range,
    "log": check_log,
    "files": check_files,
    "axis": check_axis,
}


def run_case(binary, folder, seed):
    """Returns: the kind of case, and what is wrong, a line each."""
    case = Case(seed, folder)
    case.muster = binary
    CHECKS[case.kind](case)
    return case.kind, case.troubles


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("muster")
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=20261201)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    binary = os.path.abspath(given.muster)
    compared, failed = collections.Counter(), 0
    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        first = given.seed + given.first
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(run_case, binary, folder, seed)
                for seed in range(first, first + given.cases)
            ]
            for job in jobs:
                kind, troubles = job.result()
                compared[kind] += 1
                failed += bool(troubles)
                for line in troubles if failed <= 20 else []:
                    print(f"FAILED: {line[:600]}", flush=True)
    cases = ", ".join(f"{count} {kind}" for kind, count in sorted(compared.items()))
    print(f"seed {given.seed}: {cases}; {failed} differ")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
