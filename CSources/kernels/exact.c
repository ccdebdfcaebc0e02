/* exact.c - fixed-point numbers of many words: adding to them, and rounding them once.
 *
 * Invariant: nothing is lost but bits of a square below 2^-2148, which no square of a double has.
 */
#include "kernels/exact.h"

#include <math.h>
#include <string.h>

#define SUM_UNIT     (-1074) /* exponent of a sum's bit 0 */
#define SQUARES_UNIT (-2148)
#define WORDS        MUSTER_EXACT_WORDS
#define SQUARE_WORDS MUSTER_EXACT_SQUARE_WORDS

/* -- words ---------------------------------------------------------------------------------- */

/* number += or -= value * 2^bit. bit: not negative; what would lie beyond the last word is sign. */
static void add_at(uint64_t *number, size_t words, uint32_t bit, muster__uint128 value, bool minus)
{
    size_t at = bit / 64;
    const uint32_t shift = bit % 64;
    const uint64_t low = (uint64_t)value, high = (uint64_t)(value >> 64);
    const uint64_t parts[3] = {low << shift, shift ? high << shift | low >> (64 - shift) : high,
                               shift ? high >> (64 - shift) : 0};
    uint64_t carry = 0;
    for (size_t i = 0; i < 3 && at < words; i++, at++) {
        const uint64_t before = number[at];
        if (minus) {
            const uint64_t after = before - parts[i];
            number[at] = after - carry;
            carry = (before < parts[i]) | (after < carry);
        } else {
            const uint64_t after = before + parts[i];
            number[at] = after + carry;
            carry = (after < before) | (number[at] < carry);
        }
    }
    for (; carry && at < words; at++) {
        number[at] += minus ? UINT64_MAX : 1;
        carry = minus ? number[at] == UINT64_MAX : number[at] == 0;
    }
}

static void add_words(uint64_t *number, const uint64_t *other, size_t words)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < words; i++) {
        const muster__uint128 sum = (muster__uint128)number[i] + other[i] + carry;
        number[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

/* Makes a two's complement number its magnitude. Returns: whether it was negative. */
static bool make_magnitude(uint64_t *number, size_t words)
{
    if (!(number[words - 1] >> 63))
        return false;
    uint64_t carry = 1;
    for (size_t i = 0; i < words; i++) {
        number[i] = ~number[i] + carry;
        carry = carry && number[i] == 0;
    }
    return true;
}

/* Bits up to the highest that is set. */
static size_t bit_length(const uint64_t *number, size_t words)
{
    for (size_t i = words; i > 0; i--)
        if (number[i - 1])
            return 64 * i - (size_t)__builtin_clzll(number[i - 1]);
    return 0;
}

/* 64 bits of a number from `bit` on. */
static uint64_t bits_from(const uint64_t *number, size_t words, size_t bit)
{
    const size_t at = bit / 64, shift = bit % 64;
    uint64_t low = at < words ? number[at] : 0, high = at + 1 < words ? number[at + 1] : 0;
    return shift ? low >> shift | high << (64 - shift) : low;
}

static bool any_below(const uint64_t *number, size_t bit)
{
    for (size_t i = 0; i < bit / 64; i++)
        if (number[i])
            return true;
    return bit % 64 && number[bit / 64] << (64 - bit % 64) != 0;
}

/* 2^exponent, for exponents from -1074 to 1023. */
double muster__power(int exponent)
{
    const uint64_t bits =
        exponent >= -1022 ? (uint64_t)(exponent + 1023) << 52 : UINT64_C(1) << (exponent + 1074);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* magnitude * 2^unit, rounded to nearest, ties to even. more: a further part below the last bit. */
static double rounded(const uint64_t *magnitude, size_t words, int unit, bool more, bool negative)
{
    const size_t length = bit_length(magnitude, words);
    if (length == 0)
        return negative ? -0.0 : 0.0;
    if ((int)length - 1 + unit > 1023)
        return negative ? -INFINITY : INFINITY;
    /* The lowest bit that a double of this size has: 53 bits, none below 2^-1074. */
    int lowest = (int)length - 53;
    if (lowest + unit < SUM_UNIT)
        lowest = SUM_UNIT - unit;
    uint64_t mantissa;
    if (lowest <= 0) {
        mantissa = magnitude[0] << -lowest; /* fewer than 53 bits, and nothing to drop but `more` */
    } else {
        mantissa = bits_from(magnitude, words, (size_t)lowest) & ((UINT64_C(1) << 53) - 1);
        const bool half = bits_from(magnitude, words, (size_t)lowest - 1) & 1;
        const bool below = more || any_below(magnitude, (size_t)lowest - 1);
        mantissa += half && (below || (mantissa & 1));
    }
    const int exponent = lowest + unit;
    double value = (double)mantissa; /* exact: 2^53 at most */
    if (exponent > 971)
        value =
            value * muster__power(971) * muster__power(exponent - 971); /* may become an infinity */
    else
        value *= muster__power(exponent);
    return negative ? -value : value;
}

/* -- doubles -------------------------------------------------------------------------------- */

/* |value| = mantissa * 2^exponent. Returns: the mantissa. */
static uint64_t take_apart(double value, int *exponent, bool *negative)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    *negative = bits >> 63;
    const int biased = (int)(bits >> 52 & 0x7ff);
    const uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    *exponent = biased ? biased - 1075 : SUM_UNIT;
    return biased ? fraction | UINT64_C(1) << 52 : fraction;
}

void muster__exact_add_finite(uint64_t *sum, double value)
{
    int exponent;
    bool negative;
    const uint64_t mantissa = take_apart(value, &exponent, &negative);
    add_at(sum, WORDS, (uint32_t)(exponent - SUM_UNIT), mantissa, negative);
}

void muster__exact_add_words(uint64_t *sum, const uint64_t *other)
{
    add_words(sum, other, WORDS);
}

void muster__exact_add_integer(uint64_t *sum, muster__int128 value)
{
    const bool negative = value < 0;
    const muster__uint128 magnitude = negative ? -(muster__uint128)value : (muster__uint128)value;
    add_at(sum, WORDS, -SUM_UNIT, magnitude, negative);
}

/* -- squares -------------------------------------------------------------------------------- */

/* squares += or -= value * 2^exponent */
static void add_square(uint64_t *squares, muster__uint128 value, int exponent, bool minus)
{
    int bit = exponent - SQUARES_UNIT;
    if (bit < 0) {
        value = bit <= -128 ? 0 : value >> -bit;
        bit = 0;
    }
    add_at(squares, SQUARE_WORDS, (uint32_t)bit, value, minus);
}

void muster__squares_add(uint64_t *squares, double value, int exponent)
{
    int own;
    bool negative;
    const uint64_t mantissa = take_apart(value, &own, &negative);
    add_square(squares, mantissa, own + 2 * exponent, negative);
}

/* squares -= count * centre^2 */
static void take_centre(uint64_t *squares, double centre, uint64_t count)
{
    int exponent;
    bool negative;
    const uint64_t mantissa = take_apart(centre, &exponent, &negative);
    add_square(squares, (muster__uint128)(mantissa * count) * mantissa, 2 * exponent, true);
}

void muster__squares_shift(uint64_t *squares, double centre, const double *parts, size_t part_count,
                           uint64_t count)
{
    int exponent, other;
    bool negative, other_negative;
    const uint64_t mantissa = take_apart(centre, &exponent, &negative);
    for (size_t i = 0; i < part_count; i++) {
        const uint64_t part = take_apart(parts[i], &other, &other_negative);
        add_square(squares, (muster__uint128)mantissa * part, exponent + other + 1,
                   negative != other_negative);
    }
    take_centre(squares, centre, count);
}

void muster__squares_shift_words(uint64_t *squares, double centre, const uint64_t *sum,
                                 uint64_t count)
{
    int exponent;
    bool negative;
    const uint64_t mantissa = take_apart(centre, &exponent, &negative);
    uint64_t magnitude[WORDS];
    memcpy(magnitude, sum, sizeof magnitude);
    const bool minus = make_magnitude(magnitude, WORDS) != negative;
    for (size_t i = 0; i < WORDS; i++)
        if (magnitude[i])
            add_square(squares, (muster__uint128)mantissa * magnitude[i],
                       exponent + SUM_UNIT + 64 * (int)i + 1, minus);
    take_centre(squares, centre, count);
}

void muster__squares_shift_integer(uint64_t *squares, muster__int128 centre, muster__int128 sum,
                                   uint64_t count)
{
    /* centre * (2 * sum - count * centre): below 2^65 times 2^78. */
    const muster__int128 rest = 2 * sum - (muster__int128)count * centre;
    const muster__uint128 one = centre < 0 ? -(muster__uint128)centre : (muster__uint128)centre;
    const muster__uint128 two = rest < 0 ? -(muster__uint128)rest : (muster__uint128)rest;
    const bool minus = (centre < 0) != (rest < 0);
    for (int i = 0; i < 2; i++) {
        const muster__uint128 half = i ? two >> 64 : (uint64_t)two;
        add_square(squares, (uint64_t)one * half, 64 * i, minus);
        if (one >> 64)
            add_square(squares, half, 64 * i + 64, minus);
    }
}

/* -- sums for users ------------------------------------------------------------------------- */

void muster_exact_add(struct muster_exact_sum *sum, double value)
{
    if (value - value == 0)
        muster__exact_add_finite(sum->words, value);
    else if (value != value)
        sum->nan_count++;
    else if (value > 0)
        sum->positive_infinity_count++;
    else
        sum->negative_infinity_count++;
}

void muster_exact_combine(struct muster_exact_sum *sum, const struct muster_exact_sum *other)
{
    add_words(sum->words, other->words, WORDS);
    sum->nan_count += other->nan_count;
    sum->positive_infinity_count += other->positive_infinity_count;
    sum->negative_infinity_count += other->negative_infinity_count;
}

static double round_sum(const uint64_t *sum)
{
    uint64_t magnitude[WORDS];
    memcpy(magnitude, sum, sizeof magnitude);
    const bool negative = make_magnitude(magnitude, WORDS);
    return rounded(magnitude, WORDS, SUM_UNIT, false, negative);
}

double muster_exact_round(const struct muster_exact_sum *sum)
{
    if (sum->nan_count || (sum->positive_infinity_count && sum->negative_infinity_count))
        return (double)NAN;
    if (sum->positive_infinity_count || sum->negative_infinity_count)
        return sum->positive_infinity_count ? INFINITY : -INFINITY;
    return round_sum(sum->words);
}

/* -- moments -------------------------------------------------------------------------------- */

static uint64_t finite_count(const struct muster_moments *run)
{
    return run->count - run->nan_count - run->infinity_count;
}

static bool is_less(const struct muster_moments *run, uint64_t one, uint64_t other)
{
    return run->is_signed ? (int64_t)one < (int64_t)other : one < other;
}

void muster_moments_combine(struct muster_moments *left, const struct muster_moments *right)
{
    const bool has_left = finite_count(left) > 0, has_right = finite_count(right) > 0;
    if (has_right) {
        /* -0.0 counts as less than +0.0, so that the order of sides doesn't matter. */
        const bool is_lower = right->minimum < left->minimum ||
                              (right->minimum == left->minimum && signbit(right->minimum));
        const bool is_higher = right->maximum > left->maximum ||
                               (right->maximum == left->maximum && !signbit(right->maximum));
        if (!has_left || is_lower)
            left->minimum = right->minimum;
        if (!has_left || is_higher)
            left->maximum = right->maximum;
        left->is_signed = right->is_signed;
        if (!has_left || is_less(right, right->integer_minimum, left->integer_minimum))
            left->integer_minimum = right->integer_minimum;
        if (!has_left || is_less(right, left->integer_maximum, right->integer_maximum))
            left->integer_maximum = right->integer_maximum;
        add_words(left->sum, right->sum, WORDS);
        add_words(left->squares, right->squares, SQUARE_WORDS);
    } else if (!has_left) {
        left->minimum = INFINITY;
        left->maximum = -INFINITY;
    }
    left->count += right->count;
    left->nan_count += right->nan_count;
    left->infinity_count += right->infinity_count;
}

double muster_moments_sum(const struct muster_moments *moments)
{
    return round_sum(moments->sum);
}

void muster_moments_integer_sum(const struct muster_moments *moments, int64_t *high, uint64_t *low)
{
    *low = bits_from(moments->sum, WORDS, -SUM_UNIT);
    *high = (int64_t)bits_from(moments->sum, WORDS, -SUM_UNIT + 64);
}

double muster__exact_mean(const uint64_t *sum, uint64_t count)
{
    /* A word below the least bit, so that a quotient has all bits that decide how it is rounded. */
    uint64_t quotient[WORDS + 1] = {0};
    memcpy(quotient + 1, sum, WORDS * sizeof *sum);
    const bool negative = make_magnitude(quotient + 1, WORDS);
    muster__uint128 rest = 0;
    for (size_t i = WORDS + 1; i > 0; i--) {
        rest = rest << 64 | quotient[i - 1];
        quotient[i - 1] = (uint64_t)(rest / count);
        rest %= count;
    }
    return rounded(quotient, WORDS + 1, SUM_UNIT - 64, rest != 0, negative);
}

double muster_moments_mean(const struct muster_moments *moments)
{
    const uint64_t count = finite_count(moments);
    return count == 0 ? (double)NAN : muster__exact_mean(moments->sum, count);
}

/* The root of a number, rounded down. */
static uint64_t root(muster__uint128 number)
{
    uint64_t found = 0;
    for (int bit = 63; bit >= 0; bit--) {
        const uint64_t trial = found | UINT64_C(1) << bit;
        if ((muster__uint128)trial * trial <= number)
            found = trial;
    }
    return found;
}

/* count * squares - sum^2, which is count^2 times the variance. Returns: false: not above 0. */
static bool scaled_variance(const struct muster_moments *moments, uint64_t count,
                            uint64_t result[SQUARE_WORDS + 2])
{
    uint64_t magnitude[WORDS], square[SQUARE_WORDS + 2] = {0};
    memcpy(magnitude, moments->sum, sizeof magnitude);
    make_magnitude(magnitude, WORDS);
    for (uint32_t i = 0; i < WORDS; i++)
        for (uint32_t j = 0; j < WORDS && magnitude[i]; j++)
            add_at(square, SQUARE_WORDS + 2, 64 * (i + j),
                   (muster__uint128)magnitude[i] * magnitude[j], false);
    memset(result, 0, (SQUARE_WORDS + 2) * sizeof *result);
    uint64_t squares[SQUARE_WORDS];
    memcpy(squares, moments->squares, sizeof squares);
    if (make_magnitude(squares, SQUARE_WORDS))
        return false;
    for (uint32_t i = 0; i < SQUARE_WORDS; i++)
        add_at(result, SQUARE_WORDS + 2, 64 * i, (muster__uint128)squares[i] * count, false);
    for (uint32_t i = 0; i < SQUARE_WORDS + 2; i++)
        add_at(result, SQUARE_WORDS + 2, 64 * i, square[i], true);
    return !(result[SQUARE_WORDS + 1] >> 63);
}

double muster_moments_deviation(const struct muster_moments *moments)
{
    const uint64_t count = finite_count(moments);
    uint64_t variance[SQUARE_WORDS + 2];
    if (count == 0)
        return (double)NAN;
    if (!scaled_variance(moments, count, variance))
        return 0;
    /* Its highest 127 or 128 bits, at an even place: the root then has 64 bits. */
    const size_t length = bit_length(variance, SQUARE_WORDS + 2);
    const size_t place = length <= 128 ? 0 : (length - 127) / 2 * 2;
    const muster__uint128 top = (muster__uint128)bits_from(variance, SQUARE_WORDS + 2, place + 64)
                                    << 64 |
                                bits_from(variance, SQUARE_WORDS + 2, place);
    /* A short number has room below for the bits of its root. */
    const int spare =
        top ? (int)(128 - bit_length((uint64_t[]){(uint64_t)top, (uint64_t)(top >> 64)}, 2)) / 2 * 2
            : 0;
    const uint64_t found = root(top << spare);
    const muster__uint128 quotient = ((muster__uint128)found << 64) / count;
    const uint64_t words[2] = {(uint64_t)quotient, (uint64_t)(quotient >> 64)};
    return rounded(words, 2, ((int)place - spare) / 2 - 64 + SUM_UNIT, top != 0, false);
}
