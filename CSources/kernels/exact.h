/* exact.h - exact sums for the kernels: what is added to them. Private to the C core. */
#ifndef MUSTER_KERNELS_EXACT_H
#define MUSTER_KERNELS_EXACT_H

#include <muster/exact.h>

__extension__ typedef __int128 muster__int128;
__extension__ typedef unsigned __int128 muster__uint128;

double muster__power(int exponent); /* 2^exponent; 0 below 2^-1074; 1023 at most */

void muster__exact_add_words(uint64_t *sum, const uint64_t *other);

/* A sum's words over a count above 0, rounded once. */
double muster__exact_mean(const uint64_t *sum, uint64_t count);

/* Finite doubles into the words of a sum. */
void muster__exact_add_finite(uint64_t *sum, double value);

/* An integer. */
void muster__exact_add_integer(uint64_t *sum, muster__int128 value);

/* value * 2^(2 * exponent) into a sum of squares; bits below its least one are dropped. */
void muster__squares_add(uint64_t *squares, double value, int exponent);

/* Into a sum of squares, exactly, the squares of `count` numbers about `centre`, less those about
 * 0: 2 * centre * sum - count * centre^2, where the sum is that of `parts`. count: below 2^11 + 1.
 */
void muster__squares_shift(uint64_t *squares, double centre, const double *parts, size_t part_count,
                           uint64_t count);

/* The same where the sum is not a few doubles: a sum's words. */
void muster__squares_shift_words(uint64_t *squares, double centre, const uint64_t *sum,
                                 uint64_t count);

/* The same of integers: centre is an int64_t or, where it is not below 0, a uint64_t. */
void muster__squares_shift_integer(uint64_t *squares, muster__int128 centre, muster__int128 sum,
                                   uint64_t count);

#endif
