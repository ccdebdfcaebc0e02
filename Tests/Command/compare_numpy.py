#!/usr/bin/env python3
"""Compares `muster stats` with NumPy.

    compare_numpy.py MUSTER [ELEMENTS] [DIRECTORY]

Writes arrays of several types with numpy.save, asks both for their statistics and compares: counts,
extremes and sums exactly (math.fsum for floats); mean and deviation closely; the histogram exactly, that
of integers with our edges. Then the largest file with several team
sizes and all schedules, which must give the same bits. Exit status 1 when anything differs.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

BINS = 20
TEAM_SIZES = (1, 2, 3, 8, 31)
SCHEDULES = ("static", "cyclic", "dynamic", "guided", "static-steal")

passed = failed = 0


def check(holds, what):
    global passed, failed
    if holds:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}", flush=True)


def muster(binary, path, *options):
    command = [binary, "stats", path, "--json", "--bins", str(BINS), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.decode()}")
    return json.loads(done.stdout)


def arrays(elements):
    """Name, array: one at a time, since they are large."""
    random = np.random.default_rng(20261122)
    small = max(1, elements // 20)
    # Large values of both signs that nearly cancel, so that a naive sum would show.
    awkward = random.standard_normal(small) * 10.0 ** random.integers(-8, 9, small)
    awkward[:: max(1, small // 7)] = np.nan
    awkward[1 :: max(1, small // 5)] = np.inf
    awkward[2 :: max(1, small // 3)] = -np.inf
    yield "awkward float64", awkward
    yield "float32", random.standard_normal(small).astype(np.float32)
    yield "float16", random.standard_normal(small).astype(np.float16)
    for dtype in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        limits = np.iinfo(dtype)
        yield dtype, random.integers(limits.min, limits.max, small, dtype=dtype, endpoint=True)
    yield "bool", random.random(small) < 0.3
    yield "two dimensions", random.random((max(1, small // 64), 64))
    yield "no elements", np.zeros((0, 3))
    yield "no dimensions", np.float64(-2.5)
    yield "float64", random.standard_normal(elements)


def compare(name, array, found):
    flat = np.asarray(array).reshape(-1)
    is_float = flat.dtype.kind == "f"
    # float16 and float32 are summed as doubles, integers exactly.
    finite = flat[np.isfinite(flat)].astype(np.float64) if is_float else flat
    check(found["count"] == flat.size, f"{name}: count")
    check(found["dtype"] == flat.dtype.name, f"{name}: dtype {found['dtype']}")
    check(found["shape"] == list(np.shape(array)), f"{name}: shape {found['shape']}")
    check(found["nan_count"] == int(np.isnan(flat).sum() if is_float else 0), f"{name}: NaN")
    check(
        found["infinity_count"] == int(np.isinf(flat).sum() if is_float else 0), f"{name}: infinity"
    )
    check(found["audit"]["exactly_once"] == found["audit"]["chunks"], f"{name}: audit")
    check(not found["audit"]["missing"] and not found["audit"]["repeated"], f"{name}: audit lists")
    if finite.size == 0:
        check(found["sum"] == 0 and found["mean"] is None, f"{name}: sum and mean of nothing")
        check(found["histogram"] is None, f"{name}: histogram of nothing")
        return
    if is_float:
        check(found["sum"] == math.fsum(finite), f"{name}: sum {found['sum']}")
    else:
        exact = int(np.sum(finite.astype(object)))
        check(found["sum"] == exact, f"{name}: sum {found['sum']} for {exact}")
    # Digits of a narrow type are the shortest that read back as that type.
    element = flat.dtype.type if is_float else int
    for key, value in (("minimum", finite.min()), ("maximum", finite.max())):
        check(element(found[key]) == value, f"{name}: {key} {found[key]}")
    values = finite.astype(np.float64)
    mean, deviation = values.mean(), values.std()
    scale = np.abs(values).mean()
    check(abs(found["mean"] - mean) <= 1e-12 * scale, f"{name}: mean {found['mean']}, {mean}")
    check(
        abs(found["standard_deviation"] - deviation) <= 1e-10 * deviation,
        f"{name}: deviation {found['standard_deviation']}, {deviation}",
    )
    if not is_float:
        # Bins of one whole width, so as many as make it.
        counts, edges = np.histogram(values, bins=found["histogram"]["edges"])
        check(found["histogram"]["counts"] == counts.tolist(), f"{name}: counts of the histogram")
        return
    counts, edges = np.histogram(values, bins=BINS)
    check(found["histogram"]["edges"] == edges.tolist(), f"{name}: edges")
    check(found["histogram"]["counts"] == counts.tolist(), f"{name}: counts of the histogram")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary = os.path.abspath(sys.argv[1])
    elements = int(float(sys.argv[2])) if len(sys.argv) > 2 else 1_000_000
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as folder:
        path = os.path.join(folder, "array.npy")
        for name, array in arrays(elements):
            np.save(path, array)
            compare(name, array, muster(binary, path))
        # `array` and `path` are the last and largest ones now.
        bits = set()
        for size in TEAM_SIZES:
            for schedule in SCHEDULES:
                found = muster(binary, path, "-n", str(size), "--schedule", schedule)
                bits.add((found["sum_bits"], found["mean"], found["standard_deviation"]))
                check(
                    found["audit"]["exactly_once"] == found["audit"]["chunks"],
                    f"-n {size} --schedule {schedule}: audit",
                )
        check(len(bits) == 1, f"team sizes and schedules differ: {bits}")

        mapped = np.load(path, mmap_mode="r")
        start = time.perf_counter()
        mapped.sum(), mapped.mean(), mapped.std(), mapped.min(), mapped.max()
        np.histogram(mapped, bins=BINS)
        theirs = time.perf_counter() - start
        ours = muster(binary, path)
        print(
            f"{elements} float64: muster {ours['elapsed_s']:.3f} s, "
            f"{ours['rate_gb_per_s']:.2f} GB/s with {ours['team']['size']} ranks; "
            f"NumPy {np.__version__} {theirs:.3f} s with one"
        )
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
