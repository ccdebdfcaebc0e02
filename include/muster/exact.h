/* exact.h - sums without rounding errors, and what a run of numbers amounts to.
 *
 * An exact sum is a fixed-point number that is wide enough for any double and any count: adding is
 * integer arithmetic, so the order of additions does not matter, and neither do chunks, schedules,
 * teams or hosts. It is rounded once, to nearest, when it is asked for as a double: the same result
 * as Python's math.fsum.
 *
 * Two's complement numbers of 64-bit words, the least significant word first. Bit 0 of a sum stands
 * for 2^-1074, the least double; bit 0 of a sum of squares for 2^-2148.
 *
 * Sources: U. Kulisch, "Computer Arithmetic and Validity", 2008 (the long accumulator); R. M. Neal,
 * "Fast Exact Summation Using Small and Large Superaccumulators", 2015; S. Rump, T. Ogita, S.
 * Oishi, "Accurate Floating-Point Summation", 2008 (extraction by a large number).
 *
 * Concurrency: functions keep no state.
 */
#ifndef MUSTER_EXACT_H
#define MUSTER_EXACT_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 2^1024 times 2^63 numbers, a sign, down to 2^-1074: 2,176 bits. */
#define MUSTER_EXACT_WORDS 34u
/* The same of squares: 4,352 bits. */
#define MUSTER_EXACT_SQUARE_WORDS 68u

/* An exact sum of doubles. All zero: nothing yet. */
struct muster_exact_sum {
    uint64_t words[MUSTER_EXACT_WORDS];
    uint64_t nan_count;
    uint64_t positive_infinity_count;
    uint64_t negative_infinity_count;
    uint64_t reserved; /* 0 */
};

/* What a run of numbers amounts to. NaN and infinities are counted and otherwise left out: finite =
 * count - nan - infinity. Two of them combine by muster_moments_combine, in any order. All zero:
 * nothing yet. 2^63 elements are the most. */
struct muster_moments {
    uint64_t count; /* elements seen */
    uint64_t nan_count;
    uint64_t infinity_count;                     /* of either sign */
    double minimum;                              /* of the finite ones; +infinity: there are none */
    double maximum;                              /* of the finite ones; -infinity: there are none */
    uint64_t integer_minimum;                    /* 8-byte integers: the exact least one, an int64_t
                                                    or a uint64_t; 0 for other types */
    uint64_t integer_maximum;                    /* the exact greatest one */
    uint64_t is_signed;                          /* 1: elements are 8-byte signed integers */
    uint64_t sum[MUSTER_EXACT_WORDS];            /* of the finite ones, exact */
    uint64_t squares[MUSTER_EXACT_SQUARE_WORDS]; /* of the finite ones' squares. Its error is below
                                                    2^-50 of the squared differences from the mean
                                                    of each block of MUSTER_KERNEL_BLOCK elements */
};

/* Adds one double, which may be NaN or infinite. */
void muster_exact_add(struct muster_exact_sum *sum, double value);

/* Adds `other` to `sum`. */
void muster_exact_combine(struct muster_exact_sum *sum, const struct muster_exact_sum *other);

/* The sum, rounded once to the nearest double, ties to even. Returns: an infinity where the exact
 * sum is beyond the largest double, or the infinities that were added are of one sign; NaN where
 * one was added, or infinities of both signs. The sum of nothing is +0. */
double muster_exact_round(const struct muster_exact_sum *sum);

/* Combines two runs of numbers of one type. A side without finite elements adds its counts only. */
void muster_moments_combine(struct muster_moments *left, const struct muster_moments *right);

/* The sum of the finite elements, rounded once. Returns: an infinity where it is beyond the largest
 * double. */
double muster_moments_sum(const struct muster_moments *moments);

/* The same of integers, as a 128-bit two's complement number: *high * 2^64 + *low. */
void muster_moments_integer_sum(const struct muster_moments *moments, int64_t *high, uint64_t *low);

/* The mean of the finite elements: the exact sum over their number, rounded once. Returns: NaN:
 * there are none. */
double muster_moments_mean(const struct muster_moments *moments);

/* The standard deviation of the finite elements as a population (divided by their number), within 4
 * units in the last place of the exact one. Returns: 0 where all are equal; NaN: there are none. */
double muster_moments_deviation(const struct muster_moments *moments);

#ifdef __cplusplus
}
#endif

#endif
