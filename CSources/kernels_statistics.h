/* kernels_statistics.h - the second half of kernels_body.h: numbers of any type, block by block.
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

INLINE void convert(enum muster_dtype dtype, const unsigned char *restrict from, size_t n,
                    double *restrict to)
{
    switch (dtype) {
    case MUSTER_F2:
        CONVERT(uint16_t, (double)float_of_half(x));
    case MUSTER_F4:
        CONVERT(float, (double)x);
    case MUSTER_F8:
        CONVERT(double, x);
    case MUSTER_I1:
        CONVERT(int8_t, (double)x);
    case MUSTER_I2:
        CONVERT(int16_t, (double)x);
    case MUSTER_I4:
        CONVERT(int32_t, (double)x);
    case MUSTER_I8:
        CONVERT(uint64_t, double_of_word(x ^ UINT64_C(1) << 63, 0x1p84 + 0x1p63 + 0x1p52));
    case MUSTER_U1:
        CONVERT(uint8_t, (double)x);
    case MUSTER_U2:
        CONVERT(uint16_t, (double)x);
    case MUSTER_U4:
        CONVERT(uint32_t, double_of_bits(x | UINT64_C(0x433) << 52) - 0x1p52);
    case MUSTER_U8:
        CONVERT(uint64_t, double_of_word(x, 0x1p84 + 0x1p52));
    case MUSTER_BOOL:
        CONVERT(uint8_t, (double)(x != 0));
    }
}

/* The run's n elements from `from` on as doubles, in place if they can be read there. */
INLINE const double *as_doubles(enum muster_dtype dtype, const unsigned char *from, size_t n,
                                double *buffer)
{
    if (dtype == MUSTER_F8 && (uintptr_t)from % sizeof(double) == 0)
        return (const double *)(const void *)from;
    convert(dtype, from, n, buffer);
    return buffer;
}

/* ---- moments ---- */

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* Sum of a block of 8-byte integers: halves are added apart, where 2,048 of them can't overflow. */
INLINE int128 exact_words(const unsigned char *from, size_t n, bool with_sign)
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
    return (int128)(((uint128)high << 32) + low - (uint128)flip * n);
}

struct survey {
    double sum;
    struct extremes extremes; /* with zeros of unsettled sign */
    uint64_t finite, nan;     /* set where masked */
};

/* First look at a block. Unmasked it takes every number for finite; then a NaN or an infinity among
 * them shows in the sum, which costs nothing. Masked it counts those and leaves them out; numbers
 * that merely overflow the sum give the same bits either way, since a lane starts at +0.0, is never
 * -0.0, and adding +0.0 in place of what is left out doesn't change it. */
INLINE struct survey survey(const double *x, size_t n, bool masked)
{
    /* Two vectors each for the extremes: with the sums they fit sixteen registers. */
    vector total[VECTORS] = {{0}};
    vector low[2] = {splat(INFINITY), splat(INFINITY)};
    vector high[2] = {splat(-INFINITY), splat(-INFINITY)};
    mask nan = {0}, finite = {0};
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            vector value = load(x + i + v * WIDTH);
            if (masked) {
                /* x - x is 0 for finite numbers only. What isn't finite becomes a NaN for the
                 * extremes, which keep their old value then, and +0.0 for the sum. */
                const mask keep = (mask)(value - value == 0.0);
                nan -= (mask)(value != value);
                finite -= keep;
                total[v] += (vector)((mask)value & keep);
                value = (vector)((mask)value | ~keep);
            } else {
                total[v] += value;
            }
            low[v % 2] = lesser(value, low[v % 2]);
            high[v % 2] = greater(value, high[v % 2]);
        }
    }
    double lanes[16];
    memcpy(lanes, total, sizeof lanes);
    struct survey seen = {.extremes = no_extremes()};
    for (size_t v = 0; v < 2; v++)
        for (size_t l = 0; l < WIDTH; l++)
            seen.extremes = widen(seen.extremes, low[v][l], high[v][l]);
    for (size_t l = 0; l < WIDTH; l++) {
        seen.nan += (uint64_t)nan[l];
        seen.finite += (uint64_t)finite[l];
    }
    for (size_t l = 0; i < n; i++, l++) {
        seen.nan += x[i] != x[i];
        if (masked && !(x[i] - x[i] == 0))
            continue;
        seen.finite++;
        lanes[l] += x[i];
        seen.extremes = widen(seen.extremes, x[i], x[i]);
    }
    seen.sum = fold(lanes);
    return seen;
}

/* Second look: squared differences from the mean. */
INLINE double squares(const double *x, size_t n, double mean, bool masked)
{
    vector total[VECTORS] = {{0}};
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            const vector value = load(x + i + v * WIDTH);
            vector difference = value - mean;
            if (masked)
                difference = (vector)((mask)difference & (mask)(value - value == 0.0));
            total[v] += difference * difference;
        }
    }
    double lanes[16];
    memcpy(lanes, total, sizeof lanes);
    for (size_t l = 0; i < n; i++, l++) {
        const double difference = x[i] - mean;
        if (!masked || x[i] - x[i] == 0)
            lanes[l] += difference * difference;
    }
    return fold(lanes);
}

static struct muster_moments block_moments(enum muster_dtype dtype, const unsigned char *from,
                                           const double *x, size_t n)
{
    const bool floating = dtype == MUSTER_F2 || dtype == MUSTER_F4 || dtype == MUSTER_F8;
    struct survey seen = survey(x, n, false);
    bool masked = false;
    seen.finite = n;
    if (!(seen.sum - seen.sum == 0)) {
        masked = true;
        seen = survey(x, n, true);
    }
    struct muster_moments block = {
        .count = n,
        .nan_count = masked ? seen.nan : 0,
        .infinity_count = masked ? n - seen.nan - seen.finite : 0,
        .minimum = INFINITY,
        .maximum = -INFINITY,
    };
    if (seen.finite == 0)
        return block;

    if (floating) {
        sign_zeros(&seen.extremes, x, n);
    } else {
        /* Up to 4 bytes an integer, the doubles' sum is exact: 2,048 numbers below 2^32. */
        const int128 exact = dtype == MUSTER_I8 || dtype == MUSTER_U8
                                 ? exact_words(from, n, dtype == MUSTER_I8)
                                 : (int128)(int64_t)seen.sum;
        block.sum_high = (int64_t)(uint64_t)((uint128)exact >> 64);
        block.sum_low = (uint64_t)exact;
        seen.sum = (double)exact;
    }
    block.sum = one_nan(seen.sum);
    block.mean = one_nan(seen.sum / (double)seen.finite);
    block.m2 = one_nan(masked ? squares(x, n, block.mean, true) : squares(x, n, block.mean, false));
    block.minimum = seen.extremes.minimum;
    block.maximum = seen.extremes.maximum;
    return block;
}

static void moments(enum muster_dtype dtype, const void *a, size_t count,
                    struct muster_moments *result)
{
    const size_t bytes = muster_dtype_bytes(dtype);
    assert(bytes != 0);
    _Alignas(64) double buffer[MUSTER_KERNEL_BLOCK];
    struct muster_moments all = {.minimum = INFINITY, .maximum = -INFINITY};
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t n = count - start < BLOCK ? count - start : BLOCK;
        const unsigned char *from = (const unsigned char *)a + start * bytes;
        const double *x = as_doubles(dtype, from, n, buffer);
        const struct muster_moments block = block_moments(dtype, from, x, n);
        all = muster_moments_combine(&all, &block);
    }
    *result = all;
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

static void histogram(enum muster_dtype dtype, const void *a, size_t count, const double *edges,
                      size_t bins, uint64_t *counts)
{
    const size_t bytes = muster_dtype_bytes(dtype);
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
