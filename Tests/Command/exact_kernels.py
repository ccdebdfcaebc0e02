#!/usr/bin/env python3
"""Compares the C core's exact sums and moments with exact arithmetic, in every variant of the kernels.

    exact_kernels.py [--arrays N] [--seed S] [--first I] [--library FILE]

Builds CSources/kernels/ as a library of its own (or takes FILE, for one that was broken on
purpose) and calls it from here, so that an array costs no process. Each array lies at any alignment, is cut
at random places, and its parts are combined in random order: sums, means, extremes and counts must be the
exact ones bit for bit, the deviation within 4 units in the last place. Exit status 1 when anything differs.
"""

import argparse
import ctypes
import math
import os
import random as shuffling
import subprocess
import sys
import tempfile

import numpy as np

from exact_arrays import FLOATS, INTEGERS, Exact, bits, draw

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SOURCES = ("base/types", "kernels/choice", "kernels/portable", "kernels/avx2", "kernels/avx512", "kernels/exact")
CODES = {name: code for code, name in enumerate(FLOATS + INTEGERS, start=1)} | {"b1": 12}
WORDS, SQUARE_WORDS = 34, 68


class Moments(ctypes.Structure):
    """struct muster_moments"""

    _fields_ = (
        [(name, ctypes.c_uint64) for name in ("count", "nan_count", "infinity_count")]
        + [(name, ctypes.c_double) for name in ("minimum", "maximum")]
        + [(name, ctypes.c_uint64) for name in ("least", "greatest", "is_signed")]
        + [("sum", ctypes.c_uint64 * WORDS), ("squares", ctypes.c_uint64 * SQUARE_WORDS)]
    )


class ExactSum(ctypes.Structure):
    """struct muster_exact_sum"""

    _fields_ = [("words", ctypes.c_uint64 * WORDS), ("counts", ctypes.c_uint64 * 4)]


SUM = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ExactSum))
MOMENTS = ctypes.CFUNCTYPE(
    None, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(Moments)
)


class Kernels(ctypes.Structure):
    """struct muster_kernels, up to what is called here"""

    _fields_ = (
        [("variant", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]
        + [
            (name, ctypes.c_void_p)
            for name in ("fill", "copy", "scale", "add", "triad", "plain_sum", "dot", "minmax")
        ]
        + [("exact_sum", SUM), ("moments", MOMENTS)]
    )


def build(folder):
    path = os.path.join(folder, "libkernels.so")
    sources = [os.path.join(ROOT, "CSources", f"{name}.c") for name in SOURCES]
    include, core = os.path.join(ROOT, "include"), os.path.join(ROOT, "CSources")
    subprocess.run(
        ["gcc", "-std=gnu11", "-O2", "-fPIC", "-shared", f"-I{include}", f"-I{core}", "-o", path, *sources, "-lm"],
        check=True,
    )
    return path


def load(path):
    library = ctypes.CDLL(path)
    library.muster_kernels_variant.restype = ctypes.POINTER(Kernels)
    for name in ("moments_sum", "moments_mean", "moments_deviation", "exact_round"):
        getattr(library, f"muster_{name}").restype = ctypes.c_double
    found = [library.muster_kernels_variant(which) for which in range(3)]
    return library, [kernels.contents for kernels in found if kernels]


def fsum(array):
    """The sum of doubles as math.fsum defines it, without its errors."""
    if np.isnan(array).any() or (np.isposinf(array).any() and np.isneginf(array).any()):
        return math.nan
    infinite = array[np.isinf(array)]
    return float(infinite[0]) if infinite.size else Exact(array).sum


def moments(library, kernels, code, address, itemsize, parts):
    total = Moments()
    for first, end in parts:
        part = Moments()
        kernels.moments(code, address + first * itemsize, end - first, ctypes.byref(part))
        library.muster_moments_combine(ctypes.byref(total), ctypes.byref(part))
    return total


def check_moments(library, total, exact, itemsize, trouble):
    counts = (total.count, total.nan_count, total.infinity_count)
    if counts != (exact.count, exact.nan_count, exact.infinity_count):
        trouble(f"counts {counts}")
    found = {
        name: getattr(library, f"muster_moments_{name}")(ctypes.byref(total))
        for name in ("sum", "mean", "deviation")
    }
    if bits(found["sum"]) != bits(exact.sum):
        trouble(f"sum {found['sum']!r}, not {exact.sum!r}")
    if exact.n == 0:
        return
    if bits(found["mean"]) != bits(exact.mean):
        trouble(f"mean {found['mean']!r}, not {exact.mean!r}")
    if not exact.deviation_fits(found["deviation"]):
        trouble(f"deviation {found['deviation']!r} is more than 4 ulp off")
    low, high = exact.finite.min(), exact.finite.max()
    if (total.minimum, total.maximum) != (float(low), float(high)):
        trouble(f"extremes {total.minimum!r} {total.maximum!r}, not {low!r} {high!r}")
    if not exact.is_real:
        high_word, low_word = ctypes.c_int64(), ctypes.c_uint64()
        library.muster_moments_integer_sum(
            ctypes.byref(total), ctypes.byref(high_word), ctypes.byref(low_word)
        )
        if (high_word.value << 64) + low_word.value != exact.total:
            trouble(f"integer sum is not {exact.total}")
    if not exact.is_real and itemsize == 8:
        sign = 1 << 63 if total.is_signed else 0
        ends = [(word ^ sign) - sign for word in (total.least, total.greatest)]
        if ends != [int(low), int(high)]:
            trouble(f"integer extremes {ends}, not {low} {high}")


def check_array(library, variants, seed):
    """Returns: what is wrong, a line each."""
    random = np.random.default_rng(seed)
    family, array = draw(random)
    exact, code, itemsize = Exact(array), CODES[array.dtype.str[1:]], array.dtype.itemsize
    room = np.zeros(array.nbytes + 64, np.uint8)
    offset = int(random.integers(64))
    room[offset : offset + array.nbytes] = array.view(np.uint8) if array.size else []
    troubles = []
    for kernels in variants:
        cuts = random.integers(0, array.size + 1, random.integers(5))
        cuts = sorted({0, array.size, *(int(cut) for cut in cuts)})
        parts = list(zip(cuts, cuts[1:]))
        shuffling.Random(seed).shuffle(parts)

        def trouble(what):
            name = f"seed {seed}: {family}, {array.dtype}, {array.size} elements"
            troubles.append(f"{name}, {len(parts)} parts, variant {kernels.variant}: {what}")

        total = moments(library, kernels, code, room.ctypes.data + offset, itemsize, parts)
        check_moments(library, total, exact, itemsize, trouble)
        if array.dtype == np.float64:
            total = ExactSum()
            for first, end in parts:
                kernels.exact_sum(array[first:end].ctypes.data, end - first, ctypes.byref(total))
            found, wanted = library.muster_exact_round(ctypes.byref(total)), fsum(array)
            if bits(found) != bits(wanted) and not (found != found and wanted != wanted):
                trouble(f"exact sum {found!r}, not {wanted!r}")
    return troubles


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--arrays", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--library")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library, variants = load(given.library or build(folder))
        names = ", ".join(("portable", "AVX2", "AVX-512")[kernels.variant] for kernels in variants)
        failed, first = 0, given.seed + given.first
        for seed in range(first, first + given.arrays):
            troubles = check_array(library, variants, seed)
            failed += bool(troubles)
            for line in troubles if failed <= 20 else []:
                print(f"FAILED: {line[:500]}", flush=True)
    print(f"seed {given.seed}: {given.arrays} arrays, kernels {names}: {failed} differ")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
