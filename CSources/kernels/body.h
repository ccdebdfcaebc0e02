/* body.h - the kernels, compiled once for each variant.
 *
 * A variant's file sets MUSTER__VARIANT, MUSTER__WIDTH (doubles in a vector) and MUSTER__TABLE (the
 * function that returns its table), switches the compiler to its instructions and includes this
 * file.
 *
 * Invariant: the order of additions never depends on MUSTER__WIDTH. A sum always has sixteen lanes,
 * held in 16 / width vectors. Conversions are exact or round once. Extremes don't depend on any
 * order, since -0.0 counts as less than +0.0, so they may use fewer lanes.
 */
#include "kernels/exact.h"
#include "kernels/variants.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* Contraction to fused multiply-add would change bits between variants. AS_WRITTEN keeps a loop
 * that copies from becoming a memcpy. gcc's -O2 by itself vectorises hardly anything. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#define AS_WRITTEN __attribute__((no_builtin("memcpy")))
#else
#pragma GCC optimize("fp-contract=off")
#pragma GCC optimize("tree-vectorize", "vect-cost-model=dynamic")
#define AS_WRITTEN __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

_Static_assert(FLT_EVAL_METHOD == 0, "wider intermediate results would change bits");

/* Without optimisation each inlined call has room of its own in its caller's frame: 87 KB of a
 * stack that may have 128 KiB. */
#ifdef __OPTIMIZE__
#define INLINE __attribute__((always_inline)) static inline
#else
#define INLINE static inline
#endif
#define WIDTH   MUSTER__WIDTH
#define LANES   ((size_t)MUSTER_KERNEL_LANES)
#define VECTORS (LANES / WIDTH)
#define LINE    8 /* elements of a line of memory */
#define BLOCK   ((size_t)MUSTER_KERNEL_BLOCK)

/* Lanes live in registers only where the loop over a group's vectors is unrolled. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

typedef double vector __attribute__((vector_size(WIDTH * 8)));
typedef int64_t mask __attribute__((vector_size(WIDTH * 8)));
/* A vector anywhere in an array of doubles. */
typedef double loose __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));

INLINE vector load(const double *from)
{
    return *(const loose *)from;
}
INLINE void store(double *to, vector value)
{
    *(loose *)to = value;
}

/* Not `value + (vector){0}`, which would quiet a signalling NaN. */
INLINE vector splat(double value)
{
    vector all = {0};
    for (size_t l = 0; l < WIDTH; l++)
        all[l] = value;
    return all;
}

/* x < y ? x : y, so y where either is NaN, which is what the instruction does. gcc doesn't find it
 * in the generic form. */
INLINE vector lesser(vector x, vector y)
{
#if !defined(__x86_64__)
    mask less = (mask)(x < y);
    return (vector)((less & (mask)x) | (~less & (mask)y));
#elif MUSTER__WIDTH == 2
    return _mm_min_pd(x, y);
#elif MUSTER__WIDTH == 4
    return _mm256_min_pd(x, y);
#else
    return _mm512_min_pd(x, y);
#endif
}

INLINE vector greater(vector x, vector y)
{
#if !defined(__x86_64__)
    mask more = (mask)(x > y);
    return (vector)((more & (mask)x) | (~more & (mask)y));
#elif MUSTER__WIDTH == 2
    return _mm_max_pd(x, y);
#elif MUSTER__WIDTH == 4
    return _mm256_max_pd(x, y);
#else
    return _mm512_max_pd(x, y);
#endif
}

/* Non-temporal where there is such a store; `to` is aligned to the vector. */
INLINE void stream(double *to, vector value)
{
#if !defined(__x86_64__)
    store(to, value);
#elif MUSTER__WIDTH == 2
    _mm_stream_pd(to, value);
#elif MUSTER__WIDTH == 4
    _mm256_stream_pd(to, value);
#else
    _mm512_stream_pd(to, value);
#endif
}

INLINE void store_fence(void)
{
#ifdef __x86_64__
    _mm_sfence();
#endif
}

/* A NaN's sign and payload depend on the order of operands, which compilers may swap. */
INLINE double one_nan(double x)
{
    return x == x ? x : (double)NAN;
}

/* Lane l with lane l + half, for half = 8, 4, 2, 1. */
INLINE double fold(double lanes[16])
{
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

/* ---- one element in, one out ---- */

/* Streaming stores go out by whole lines of 64 bytes, since a line that is written in parts costs a
 * read; head and tail are ordinary stores. The fence is what makes a later release store publish
 * them: non-temporal stores are not ordered by it (Intel SDM 3A, 9.2.2). */
#define ELEMENTWISE(scalar, vectorial)                                                             \
    size_t i = 0;                                                                                  \
    if (streaming) {                                                                               \
        for (; i < count && ((uintptr_t)(to + i) & 63) != 0; i++)                                  \
            to[i] = (scalar);                                                                      \
        for (; count - i >= 8; i += 8) {                                                           \
            UNROLL                                                                                 \
            for (size_t v = i; v < i + 8; v += WIDTH)                                              \
                stream(to + v, (vectorial));                                                       \
        }                                                                                          \
    } else {                                                                                       \
        for (; count - i >= LANES; i += LANES) {                                                   \
            UNROLL                                                                                 \
            for (size_t v = i; v < i + LANES; v += WIDTH)                                          \
                store(to + v, (vectorial));                                                        \
        }                                                                                          \
    }                                                                                              \
    for (; i < count; i++)                                                                         \
        to[i] = (scalar);                                                                          \
    if (streaming) {                                                                               \
        store_fence();                                                                             \
    }

static void fill(double *restrict to, double value, size_t count, bool streaming)
{
    const vector all = splat(value);
    ELEMENTWISE(value, all)
}

/* Not a memcpy, which chooses by itself when to stream: a benchmark must know which it measures. */
AS_WRITTEN static void copy(double *restrict to, const double *restrict from, size_t count,
                            bool streaming)
{
    ELEMENTWISE(from[i], load(from + v))
}

static void scale(double *restrict to, double factor, const double *restrict from, size_t count,
                  bool streaming)
{
    ELEMENTWISE(factor * from[i], factor * load(from + v))
}

static void add(double *restrict to, const double *restrict a, const double *restrict b,
                size_t count, bool streaming)
{
    ELEMENTWISE(a[i] + b[i], load(a + v) + load(b + v))
}

static void triad(double *restrict to, const double *restrict a, double factor,
                  const double *restrict b, size_t count, bool streaming)
{
    ELEMENTWISE(a[i] + factor * b[i], load(a + v) + factor * load(b + v))
}

/* ---- reductions over doubles ---- */

static double dot(const double *a, const double *b, size_t count)
{
    vector total[VECTORS] = {{0}};
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        UNROLL
        for (size_t v = 0; v < VECTORS; v++)
            total[v] += load(a + i + v * WIDTH) * load(b + i + v * WIDTH);
    }
    double lanes[16];
    memcpy(lanes, total, sizeof lanes);
    for (size_t l = 0; i < count; i++, l++)
        lanes[l] += a[i] * b[i];
    return one_nan(fold(lanes));
}

/* ahead: how many elements further memory is asked for meanwhile; 0: not at all. It may lie beyond
 * the end. */
INLINE double sum_asking(const double *a, size_t count, size_t ahead)
{
    vector total[VECTORS] = {{0}};
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        if (ahead) {
            UNROLL
            for (size_t line = 0; line < LANES; line += LINE)
                __builtin_prefetch((const void *)((uintptr_t)(a + i) + 8 * (ahead + line)));
        }
        UNROLL
        for (size_t v = 0; v < VECTORS; v++)
            total[v] += load(a + i + v * WIDTH);
    }
    double lanes[16];
    memcpy(lanes, total, sizeof lanes);
    for (size_t l = 0; i < count; i++, l++)
        lanes[l] += a[i];
    return one_nan(fold(lanes));
}

static double sum(const double *a, size_t count)
{
    return muster__asks_ahead() ? sum_asking(a, count, 1024) : sum_asking(a, count, 0);
}

struct extremes {
    double minimum, maximum;
};

INLINE struct extremes no_extremes(void)
{
    return (struct extremes){INFINITY, -INFINITY};
}

/* Gives a zero among the extremes its sign: the instructions keep whichever zero came last. Only a
 * block whose extreme is a zero pays for the second look, and that from the first-level cache. */
INLINE void sign_zeros(struct extremes *found, const double *x, size_t n)
{
    if (found->minimum != 0 && found->maximum != 0)
        return;
    uint64_t negative = 0, positive = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, x + i, sizeof bits);
        negative |= bits == UINT64_C(1) << 63;
        positive |= bits == 0;
    }
    if (found->minimum == 0)
        found->minimum = negative ? -0.0 : 0.0;
    if (found->maximum == 0)
        found->maximum = positive ? 0.0 : -0.0;
}

INLINE struct extremes widen(struct extremes found, double minimum, double maximum)
{
    found.minimum = muster__minimum(found.minimum, minimum);
    found.maximum = muster__maximum(found.maximum, maximum);
    return found;
}

static void minmax(const double *a, size_t count, double *minimum, double *maximum)
{
    struct extremes all = no_extremes();
    for (size_t start = 0; start < count; start += BLOCK) {
        const double *x = a + start;
        const size_t n = count - start < BLOCK ? count - start : BLOCK;
        vector low[4], high[4];
        for (size_t v = 0; v < 4; v++) {
            low[v] = splat(INFINITY);
            high[v] = splat(-INFINITY);
        }
        size_t i = 0;
        for (; n - i >= 4 * WIDTH; i += 4 * WIDTH) {
            UNROLL
            for (size_t v = 0; v < 4; v++) {
                const vector value = load(x + i + v * WIDTH);
                low[v] = lesser(value, low[v]);
                high[v] = greater(value, high[v]);
            }
        }
        struct extremes block = no_extremes();
        for (size_t v = 0; v < 4; v++)
            for (size_t l = 0; l < WIDTH; l++)
                block = widen(block, low[v][l], high[v][l]);
        for (; i < n; i++)
            if (x[i] == x[i])
                block = widen(block, x[i], x[i]);
        sign_zeros(&block, x, n);
        all = widen(all, block.minimum, block.maximum);
    }
    *minimum = all.minimum;
    *maximum = all.maximum;
}

#include "kernels/statistics_body.h"

static const struct muster_kernels table = {
    .variant = MUSTER__VARIANT,
    .fill = fill,
    .copy = copy,
    .scale = scale,
    .add = add,
    .triad = triad,
    .sum = sum,
    .exact_sum = exact_sum,
    .dot = dot,
    .minmax = minmax,
    .moments = moments,
    .histogram = histogram,
};

const struct muster_kernels *MUSTER__TABLE(void)
{
    return &table;
}
