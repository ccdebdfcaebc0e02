"""Random arrays for exact_statistics.py, and what exact arithmetic says about them.

Arrays come in families, each with one way to break a sum, a mean or a deviation. Results are made of
Python's integers: a double is a whole multiple of 2^-1074, so sums and sums of squares are exact.
"""

import bisect
import math
import struct
from fractions import Fraction

import numpy as np

FLOATS = ("f2", "f4", "f8")
INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")

# Around lanes, blocks of 2,048 elements and chunks of 65,536.
EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 127, 2047, 2048, 2049, 4096, 4099)
LARGE = (65_535, 65_537, 131_073)


def length(random):
    kind = random.integers(100)
    if kind < 40:
        return int(random.choice(EDGES))
    if kind < 99:
        return int(random.integers(1, 3000))
    return int(random.choice(LARGE))


# -- doubles ------------------------------------------------------------------------------------


def normal(random, n):
    return random.standard_normal(n) * 10.0 ** random.integers(-10, 11)


def offset_normal(random, n):
    return 10.0 ** random.integers(5, 17) + random.standard_normal(n)


def equal(random, n):
    return np.full(n, random.choice([0.1, 1e308, 5e-324, 12345678901234567.0, -1e-200, 1.7e308]))


def one_differs(random, n):
    value = float(random.choice([0.1, 1.0, 1e300, 1e-300, 3e14, 5e-324, 1.7e308]))
    array = np.full(n, value)
    if n:
        array[random.integers(n)] = np.nextafter(value, random.choice([-np.inf, np.inf]))
    return array


def few_ulps(random, n):
    start = np.array([random.choice([1.0, 2.0, 1e14, 1e-300, 1e300])]).view(np.int64)[0]
    return (start + random.integers(-3, 4, n)).view(np.float64)


def huge(random, n):
    return random.choice([1.7e308, -1.7e308, 1e308, -1e308, 1.0, 1.7976931348623157e308], n)


def tiny(random, n):
    return random.integers(-60, 61, n) * 5e-324


def tiny_positive(random, n):
    return random.integers(0, 56, n) * 5e-324


def small(random, n):
    return random.choice([1e-200, -1e-200, 1e-160, 3e-310], n)


def wide(random, n):
    return random.standard_normal(n) * 10.0 ** random.integers(-290, 291, n)


def cancelling(random, n):
    array = random.standard_normal(n) * 10.0 ** random.integers(-20, 21, n)
    half = n // 2
    array[half : 2 * half] = -array[:half]
    random.shuffle(array)
    return array


def ties(random, n):
    """Sums that are just on, above or below the middle of two doubles."""
    array = np.zeros(n)
    parts = [1.0, 2.0**-53, 2.0**-106, -(2.0**-106), 2.0**-1074][: min(n, 5)]
    array[: len(parts)] = parts
    array[1:3] *= random.choice([0, 1, 1, -1])
    array *= 2.0 ** random.integers(-900, 900)
    random.shuffle(array)
    return array


def outlier(random, n):
    array = random.standard_normal(n)
    if n:
        array[random.choice([0, n - 1, n // 2])] = 10.0 ** random.integers(3, 300)
    return array


def ramp(random, n):
    return np.arange(n) * float(random.choice([0.1, 1e-310, 1e290, 1 / 3])) - 7


def zeros(random, n):
    return random.choice([0.0, -0.0], n)


def any_bits(random, n):
    return random.integers(0, 1 << 64, n, dtype=np.uint64).view(np.float64)


def with_specials(random, n):
    array = random.standard_normal(n)
    for value in (np.nan, np.inf, -np.inf):
        array[random.random(n) < random.choice([0.0, 0.002, 0.2])] = value
    return array


def only_specials(random, n):
    return random.choice([np.nan, np.inf, -np.inf], n)


REALS = (
    normal, offset_normal, equal, one_differs, few_ulps, huge, tiny, tiny_positive, small, wide,
    cancelling, ties, outlier, ramp, zeros, any_bits, with_specials, only_specials,
)  # fmt: skip


# -- other types --------------------------------------------------------------------------------


def narrow(random, n, dtype):
    """float16 and float32: any bits, or a family of doubles that is rounded to them."""
    if random.integers(3) == 0:
        unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
        return random.integers(0, 1 << (8 * unsigned.itemsize), n, dtype=unsigned).view(dtype)
    family = REALS[random.integers(len(REALS))]
    with np.errstate(over="ignore", under="ignore"):
        return family(random, n).astype(dtype)


def whole(random, n, dtype):
    least, most = (int(x) for x in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    kind = random.integers(7)
    if kind == 0:
        low, high = least, most
    elif kind == 1:  # both ends only
        return random.choice(np.array([least, most], dtype=dtype), n)
    elif kind == 2:
        low, high = max(least, most - 9), most
    elif kind == 3:
        low, high = least, min(most, least + 9)
    elif kind == 4:  # where a double holds every second integer
        middle = min(most, 1 << 53)
        low, high = max(least, middle - 5), min(most, middle + 9)
    elif kind == 5:  # nanoseconds since 1970 within a millisecond
        start = min(most // 2, 1_700_000_000_000_000_000 + int(random.integers(1 << 40)))
        low, high = start, min(most, start + 1_000_000)
    else:  # all equal
        low = high = int(random.integers(least, most, dtype=dtype, endpoint=True))
    return random.integers(low, high, n, dtype=dtype, endpoint=True)


def draw(random):
    """One array: its family's name, and its elements."""
    n = length(random)
    kind = random.integers(10)
    if kind < 4:
        family = REALS[random.integers(len(REALS))]
        with np.errstate(all="ignore"):
            return family.__name__, family(random, n)
    if kind < 6:
        dtype = ("f2", "f4")[kind - 4]
        with np.errstate(all="ignore"):
            return f"{dtype} narrow", narrow(random, n, dtype)
    if kind < 9:
        dtype = INTEGERS[random.integers(len(INTEGERS))]
        return dtype, whole(random, n, dtype)
    return "bool", random.random(n) < random.choice([0, 0.3, 1])


# -- exact arithmetic ---------------------------------------------------------------------------

UNIT = 1074  # a double is a whole multiple of 2^-1074


def multiples(array):
    """Finite doubles as whole multiples of 2^-1074."""
    bits = array.view(np.uint64)
    exponents = (bits >> np.uint64(52)) & np.uint64(0x7FF)
    mantissas = (bits & np.uint64((1 << 52) - 1)) | (
        (exponents != 0).astype(np.uint64) << np.uint64(52)
    )
    shifts = np.where(exponents == 0, 0, exponents.astype(np.int64) - 1)
    negative = bits >> np.uint64(63)
    return [
        -(m << s) if sign else m << s
        for m, s, sign in zip(mantissas.tolist(), shifts.tolist(), negative.tolist())
    ]


def rounded(numerator, denominator):
    """The quotient of integers, rounded once to a double; infinite beyond the largest."""
    try:
        return numerator / denominator  # Python divides integers with one rounding
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


class Exact:
    """What an array amounts to."""

    def __init__(self, array):
        flat = array.reshape(-1)
        self.is_real = flat.dtype.kind == "f"
        self.count = flat.size
        self.nan_count = int(np.isnan(flat).sum()) if self.is_real else 0
        self.infinity_count = int(np.isinf(flat).sum()) if self.is_real else 0
        self.finite = flat[np.isfinite(flat)] if self.is_real else flat
        if self.is_real:
            self.values = np.ascontiguousarray(self.finite, dtype=np.float64)
            self.units, self.shift = multiples(self.values), UNIT
        else:
            self.units, self.shift = [int(x) for x in self.finite.tolist()], 0
        n = self.n = len(self.units)
        self.total = sum(self.units)
        self.sum = rounded(self.total, 1 << self.shift)
        self.mean = rounded(self.total, n << self.shift) if n else None
        # n^2 times the variance, in units of 2^(-2 shift).
        self.spread = n * sum(x * x for x in self.units) - self.total**2 if n else None

    def deviation_fits(self, found, ulps=4):
        """Whether `found` is within so many units in the last place of the exact deviation."""
        if self.spread == 0:
            return found == 0
        if not (math.isfinite(found) and found >= 0):
            return False
        slack = ulps * Fraction(math.ulp(found))
        low, high = max(Fraction(0), Fraction(found) - slack), Fraction(found) + slack
        scale = Fraction(self.n << self.shift) ** 2
        return low * low * scale <= self.spread <= high * high * scale

    def counts(self, edges):
        """Elements between edges, the last bin closed, compared as the numbers that they are."""
        counts = [0] * (len(edges) - 1)
        values = self.values.tolist() if self.is_real else self.units
        for x in values:
            if edges[0] <= x <= edges[-1]:
                counts[min(bisect.bisect_right(edges, x), len(counts)) - 1] += 1
        return counts


def bits(value):
    return struct.pack(">d", value).hex()
