/* statistics_body.h - the second half of body.h: numbers of any type, block by block.
 *
 * Each block is turned into doubles, in a buffer that stays in the first-level cache unless the run
 * already is aligned doubles, and everything after that is one piece of code for all types.
 */

/* ---- conversion ---- */

INLINE double double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Without multiplications of subnormals, which some CPUs do slowly, and without F16C, which AVX2
 * doesn't promise. Exponents move from bias 15 to bias 127; a subnormal half is given an implied
 * one, 2^-14, which is subtracted again. */
INLINE float float_of_half(uint16_t half)
{
    const uint32_t magnitude = half & 0x7fffu, shifted = magnitude << 13;
    const uint32_t lifted = shifted + (113u << 23);
    float small, x;
    memcpy(&small, &lifted, sizeof small);
    small -= 0x1p-14f;
    uint32_t small_bits;
    memcpy(&small_bits, &small, sizeof small_bits);
    const uint32_t normal_bits = shifted + (magnitude < 0x7c00u ? 112u << 23 : 224u << 23);
    const uint32_t bits = magnitude < 0x400u ? small_bits : normal_bits;
    const uint32_t with_sign = bits | (half & 0x8000u) << 16;
    memcpy(&x, &with_sign, sizeof x);
    return x;
}

/* Half-words become mantissas of 2^52 and 2^84; one addition rounds once. AVX2 has no instruction
 * for it. An i8 comes with its sign bit flipped, and `base` takes that 2^63 back too. */
INLINE double double_of_word(uint64_t word, double base)
{
    const double low = double_of_bits((word & 0xffffffffu) | UINT64_C(0x433) << 52);
    const double high = double_of_bits(word >> 32 | UINT64_C(0x453) << 52);
    return (high - base) + low;
}

/* For loops over elements of any alignment. */
#define CONVERT(type, expression)                                                                  \
    for (size_t i = 0; i < n; i++) {                                                               \
        type x;                                                                                    \
        memcpy(&x, from + i * sizeof x, sizeof x);                                                 \
        to[i] = (expression);                                                                      \
    }                                                                                              \
    break

INLINE void convert(enum muster_type dtype, const unsigned char *restrict from, size_t n,
                    double *restrict to)
{
    switch (dtype) {
    case MUSTER_TYPE_F16:
        CONVERT(uint16_t, (double)float_of_half(x));
    case MUSTER_TYPE_F32:
        CONVERT(float, (double)x);
    case MUSTER_TYPE_F64:
        CONVERT(double, x);
    case MUSTER_TYPE_I8:
        CONVERT(int8_t, (double)x);
    case MUSTER_TYPE_I16:
        CONVERT(int16_t, (double)x);
    case MUSTER_TYPE_I32:
        CONVERT(int32_t, (double)x);
    case MUSTER_TYPE_I64:
        CONVERT(uint64_t, double_of_word(x ^ UINT64_C(1) << 63, 0x1p84 + 0x1p63 + 0x1p52));
    case MUSTER_TYPE_U8:
        CONVERT(uint8_t, (double)x);
    case MUSTER_TYPE_U16:
        CONVERT(uint16_t, (double)x);
    case MUSTER_TYPE_U32:
        CONVERT(uint32_t, double_of_bits(x | UINT64_C(0x433) << 52) - 0x1p52);
    case MUSTER_TYPE_U64:
        CONVERT(uint64_t, double_of_word(x, 0x1p84 + 0x1p52));
    case MUSTER_TYPE_BOOL:
        CONVERT(uint8_t, (double)(x != 0));
    }
}

/* The run's n elements from `from` on as doubles, in place if they can be read there. */
INLINE const double *as_doubles(enum muster_type dtype, const unsigned char *from, size_t n,
                                double *buffer)
{
    if (dtype == MUSTER_TYPE_F64 && (uintptr_t)from % sizeof(double) == 0)
        return (const double *)(const void *)from;
    convert(dtype, from, n, buffer);
    return buffer;
}

#include "kernels/exact_body.h"

/* ---- moments ---- */

/* Sum of a block of 8-byte integers: halves are added apart, where 2,048 of them can't overflow. */
INLINE muster__int128 exact_words(const unsigned char *from, size_t n, bool with_sign)
{
    const uint64_t flip = with_sign ? UINT64_C(1) << 63 : 0;
    uint64_t low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t x;
        memcpy(&x, from + i * sizeof x, sizeof x);
        x ^= flip;
        low += x & 0xffffffffu;
        high += x >> 32;
    }
    return (muster__int128)(((muster__uint128)high << 32) + low - (muster__uint128)flip * n);
}

/* Extremes and squares of a block of 8-byte integers. Differences from a whole centre are exact
 * before they are rounded to doubles, however large the numbers are. */
static void integer_block(const unsigned char *from, size_t n, bool with_sign,
                          struct muster_moments *block)
{
    const uint64_t flip = with_sign ? UINT64_C(1) << 63 : 0;
    const muster__int128 sum = exact_words(from, n, with_sign);
    const muster__int128 centre = (sum + (sum < 0 ? 1 - (muster__int128)n : 0)) / (muster__int128)n;
    const uint64_t moved_centre = (uint64_t)centre ^ flip;
    _Alignas(64) double distances[MUSTER_KERNEL_BLOCK];
    uint64_t least = UINT64_MAX, greatest = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t x;
        memcpy(&x, from + i * sizeof x, sizeof x);
        x ^= flip; /* in the order of unsigned numbers */
        least = x < least ? x : least;
        greatest = x > greatest ? x : greatest;
        const uint64_t distance = x > moved_centre ? x - moved_centre : moved_centre - x;
        distances[i] = double_of_word(distance, 0x1p84 + 0x1p52);
    }
    block->is_signed = with_sign;
    block->integer_minimum = least ^ flip;
    block->integer_maximum = greatest ^ flip;
    block->minimum = with_sign ? (double)(int64_t)block->integer_minimum : (double)least;
    block->maximum = with_sign ? (double)(int64_t)block->integer_maximum : (double)greatest;
    muster__exact_add_integer(block->sum, sum);
    const uint64_t below = moved_centre - least, above = greatest - moved_centre;
    add_squares(block->squares, distances, n, 0, (double)(below > above ? below : above), 0);
    muster__squares_shift_integer(block->squares, centre, sum, n);
}

/* Squares about a centre near the mean, and what that leaves out of the squares about 0. */
static void square_block(const double *x, size_t n, const struct seen *seen,
                         const struct block_sum *sum, struct muster_moments *block)
{
    const double centre = sum->is_long ? muster__exact_mean(sum->words, n)
                                       : (sum->parts[0] + sum->parts[1]) / (double)n;
    const int exponent = upper_exponent(seen->most);
    if (exponent > 300 || (exponent < -300 && seen->most > 0)) {
        /* Squares would leave the range of a double: so the block is brought near 1. What is lost
         * of its smallest numbers is below 2^-1000 of its largest. */
        _Alignas(64) double scaled[MUSTER_KERNEL_BLOCK];
        const double factor = muster__power(-exponent);
        for (size_t i = 0; i < n; i++)
            scaled[i] = x[i] * factor;
        const double middle = centre * factor;
        add_squares(block->squares, scaled, n, middle,
                    farthest(seen->low * factor, seen->high * factor, middle), exponent);
    } else {
        add_squares(block->squares, x, n, centre, farthest(seen->low, seen->high, centre), 0);
    }
    if (sum->is_long)
        muster__squares_shift_words(block->squares, centre, sum->words, n);
    else
        muster__squares_shift(block->squares, centre, sum->parts, 2, n);
}

#define BLOCK_ROOM 11
_Static_assert(MUSTER_KERNEL_BLOCK == 1u << BLOCK_ROOM, "room for the sum of a block");

/* plain: any sum of 2,048 elements of this type is a double. */
static void double_block(const double *x, size_t n, bool plain, struct habit *habit,
                         struct muster_moments *block)
{
    _Alignas(64) double finite[MUSTER_KERNEL_BLOCK];
    struct seen seen;
    struct block_sum sum;
    if (!sum_block(x, n, BLOCK_ROOM, plain, habit, &seen, &sum)) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            finite[kept] = x[i];
            block->nan_count += x[i] != x[i];
            kept += x[i] - x[i] == 0;
        }
        block->infinity_count = n - kept - block->nan_count;
        if (kept == 0)
            return;
        x = finite;
        n = kept;
        (void)sum_block(x, n, BLOCK_ROOM, plain, habit, &seen, &sum);
    }
    struct extremes extremes = {seen.low, seen.high};
    sign_zeros(&extremes, x, n);
    block->minimum = extremes.minimum;
    block->maximum = extremes.maximum;
    if (sum.is_long) {
        memcpy(block->sum, sum.words, sizeof block->sum);
    } else {
        muster__exact_add_finite(block->sum, sum.parts[0]);
        muster__exact_add_finite(block->sum, sum.parts[1]);
    }
    square_block(x, n, &seen, &sum, block);
}

static void moments(enum muster_type dtype, const void *a, size_t count,
                    struct muster_moments *result)
{
    const size_t bytes = muster_type_bytes(dtype);
    assert(bytes != 0);
    _Alignas(64) double buffer[MUSTER_KERNEL_BLOCK];
    struct habit habit = {0};
    *result = (struct muster_moments){.minimum = INFINITY, .maximum = -INFINITY};
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t n = count - start < BLOCK ? count - start : BLOCK;
        const unsigned char *from = (const unsigned char *)a + start * bytes;
        struct muster_moments block = {.count = n, .minimum = INFINITY, .maximum = -INFINITY};
        if (dtype == MUSTER_TYPE_I64 || dtype == MUSTER_TYPE_U64)
            integer_block(from, n, dtype == MUSTER_TYPE_I64, &block);
        else
            double_block(as_doubles(dtype, from, n, buffer), n,
                         dtype != MUSTER_TYPE_F64 && dtype != MUSTER_TYPE_F32, &habit, &block);
        muster_moments_combine(result, &block);
    }
}

/* ---- histogram ---- */

/* Where an element lies among even edges: position 2.7 is in the middle of bin 2 or 3. */
struct ruler {
    double part, base, scale;
};

/* Never above the bin of x and at most one below it, for edges that is_even accepts. */
INLINE double lower_bin(struct ruler ruler, double x)
{
    const double position = (x * ruler.part - ruler.base) * ruler.scale - 0.5;
    return position > 0 ? position : 0; /* 0 for NaN too */
}

/* Rounding keeps order in each step of lower_bin, so it is enough to know it at the edges: if edge
 * k is always given to bin k - 1, then elements between edges k and k + 1 are given to k - 1 or k.
 */
static bool is_even(struct ruler ruler, const double *edges, size_t bins)
{
    bool even = true;
    for (size_t k = 1; k <= bins; k++) {
        const double guess = lower_bin(ruler, edges[k]);
        even &= (size_t)(int32_t)(guess < INT32_MAX ? guess : INT32_MAX) == k - 1;
    }
    return even;
}

/* For elements within the first and last edge. Its steps depend on bins only, and no branch on x.
 */
static size_t search_bin(const double *edges, size_t bins, double x)
{
    size_t low = 0;
    for (size_t left = bins; left > 1;) {
        const size_t half = left / 2;
        low += (size_t)(x >= edges[low + half]) * half;
        left -= half;
    }
    return low;
}

static void count_even(struct ruler ruler, const double *x, size_t n, const double *edges,
                       size_t bins, uint64_t *counts)
{
    const double first = edges[0], last = edges[bins];
    int32_t guesses[MUSTER_KERNEL_BLOCK];
    for (size_t i = 0; i < n; i++) {
        const double guess = lower_bin(ruler, x[i]);
        const bool within = (x[i] >= first) & (x[i] <= last);
        guesses[i] = (int32_t)(within ? guess : -1.0);
    }
    for (size_t i = 0; i < n; i++) {
        if (guesses[i] < 0)
            continue;
        size_t bin = (size_t)guesses[i];
        bin += x[i] >= edges[bin + 1];
        bin -= bin == bins; /* the last edge belongs to the last bin */
        counts[bin]++;
    }
}

static void count_uneven(const double *x, size_t n, const double *edges, size_t bins,
                         uint64_t *counts)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] >= edges[0] && x[i] <= edges[bins])
            counts[search_bin(edges, bins, x[i])]++;
}

static void histogram(enum muster_type dtype, const void *a, size_t count, const double *edges,
                      size_t bins, uint64_t *counts)
{
    const size_t bytes = muster_type_bytes(dtype);
    assert(bytes != 0);
    if (bins == 0)
        return;
    /* Halves, where the range itself overflows. */
    struct ruler ruler = {.part = edges[bins] - edges[0] <= DBL_MAX ? 1 : 0.5};
    ruler.base = edges[0] * ruler.part;
    const double width = edges[bins] * ruler.part - ruler.base;
    ruler.scale = width > 0 ? (double)bins / width : 0;
    /* Looking at the edges has to pay. */
    const bool even = bins <= count && bins < INT32_MAX && is_even(ruler, edges, bins);

    _Alignas(64) double buffer[MUSTER_KERNEL_BLOCK];
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t n = count - start < BLOCK ? count - start : BLOCK;
        const double *x = as_doubles(dtype, (const unsigned char *)a + start * bytes, n, buffer);
        if (even)
            count_even(ruler, x, n, edges, bins, counts);
        else
            count_uneven(x, n, edges, bins, counts);
    }
}
