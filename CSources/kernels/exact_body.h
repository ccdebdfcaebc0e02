/* exact_body.h - the part of body.h that adds doubles without error.
 *
 * A block's numbers are added to a running value that is so large that its last bit does not move
 * (extraction by a large number; muster/exact.h names the sources). t = large + x rounds x to a
 * multiple of that bit, and x - (t - large) is, exactly, what the rounding has left. The running
 * values add without error, since all of them are multiples of one bit and have room; so do the
 * rests where the block's numbers are of similar size, or at a second large number. Results are
 * exact, so they don't depend on the number of lanes.
 */

/* Vectors at a time: two hide the latency of an addition, and leave registers. */
#define EXACT_VECTORS 2
#define LANES_EXACT   ((size_t)EXACT_VECTORS * WIDTH)

/* How a block is added. */
enum way {
    ONE_LEVEL,       /* numbers of similar size */
    ONE_BESIDE_ZERO, /* the same, and zeros */
    TWO_LEVELS
};

/* How the block before was added: the next one is tried so first. */
struct habit {
    int place;
    enum way way;
};

/* What a block's numbers are like. NaN is overlooked. */
struct seen {
    double low, high;   /* extremes */
    double least, most; /* of magnitudes; ONE_BESIDE_ZERO: least of those above 0 */
};

/* A block's exact sum: two doubles, or a whole long number. */
struct block_sum {
    double parts[2];
    bool is_long;
    uint64_t words[MUSTER_EXACT_WORDS];
};

INLINE vector magnitudes(vector x)
{
    return (vector)((mask)x & INT64_MAX);
}

/* Below 2^this; -1022 for subnormal numbers and 0. */
INLINE int upper_exponent(double magnitude)
{
    uint64_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    return (int)(bits >> 52 & 0x7ff) - 1022;
}

/* The last vectors of a run, filled up with a number. */
INLINE void fill_up(const double *x, size_t n, double filler, double *to, size_t lanes)
{
    for (size_t l = 0; l < lanes; l++)
        to[l] = l < n ? x[l] : filler;
}

/* What the passes over a block keep for each of their vectors. */
struct tracks {
    vector low[EXACT_VECTORS], high[EXACT_VECTORS], least[EXACT_VECTORS];
};

INLINE void track(struct tracks *tracks, size_t v, vector value, enum way way)
{
    tracks->low[v] = lesser(value, tracks->low[v]);
    tracks->high[v] = greater(value, tracks->high[v]);
    vector magnitude = magnitudes(value);
    if (way == ONE_BESIDE_ZERO)
        magnitude = (vector)((mask)magnitude | ((mask)(value == 0) & (mask)splat(INFINITY)));
    if (way != TWO_LEVELS)
        tracks->least[v] = lesser(magnitude, tracks->least[v]);
}

INLINE struct seen conclude(const struct tracks *tracks, const double *rest, size_t n, enum way way)
{
    struct seen seen = {INFINITY, -INFINITY, INFINITY, 0};
    for (size_t v = 0; v < EXACT_VECTORS; v++)
        for (size_t l = 0; l < WIDTH; l++) {
            seen.low = tracks->low[v][l] < seen.low ? tracks->low[v][l] : seen.low;
            seen.high = tracks->high[v][l] > seen.high ? tracks->high[v][l] : seen.high;
            seen.least = tracks->least[v][l] < seen.least ? tracks->least[v][l] : seen.least;
        }
    for (size_t i = 0; i < n; i++) {
        seen.low = rest[i] < seen.low ? rest[i] : seen.low;
        seen.high = rest[i] > seen.high ? rest[i] : seen.high;
        if (rest[i] != 0 || way != ONE_BESIDE_ZERO)
            seen.least = fabs(rest[i]) < seen.least ? fabs(rest[i]) : seen.least;
    }
    seen.most = fabs(seen.low) > fabs(seen.high) ? fabs(seen.low) : fabs(seen.high);
    return seen;
}

/* Adds a block whose numbers are below 2^(place - room). One level: what the large number leaves is
 * added as it is, which is exact for numbers that don't differ much. seen: what is found out on the
 * way. Returns: whether a second large number left nothing; where numbers were in range, both parts
 * are NaN if one of them was. */
INLINE bool extract(const double *x, size_t n, int place, int room, enum way way, double parts[2],
                    struct seen *seen)
{
    const vector large = splat(1.5 * muster__power(place));
    const vector small =
        way == TWO_LEVELS ? splat(1.5 * muster__power(place - 53 + room)) : splat(0);
    vector first[EXACT_VECTORS], second[EXACT_VECTORS], rest[EXACT_VECTORS];
    struct tracks tracks;
    for (size_t v = 0; v < EXACT_VECTORS; v++) {
        first[v] = large;
        second[v] = small;
        rest[v] = splat(0);
        tracks.low[v] = tracks.least[v] = splat(INFINITY);
        tracks.high[v] = splat(-INFINITY);
    }
    double last[LANES_EXACT];
    const size_t whole = n - n % LANES_EXACT;
    fill_up(x + whole, n - whole, 0, last, LANES_EXACT);
    for (size_t i = 0; i < n; i += LANES_EXACT) {
        const double *from = i < whole ? x + i : last;
        UNROLL
        for (size_t v = 0; v < EXACT_VECTORS; v++) {
            const vector value = load(from + v * WIDTH);
            const vector sum = first[v] + value;
            const vector left = value - (sum - first[v]);
            first[v] = sum;
            if (i < whole)
                track(&tracks, v, value, way);
            if (way != TWO_LEVELS) {
                second[v] += left;
            } else {
                const vector lower = second[v] + left;
                rest[v] = (vector)((mask)rest[v] | (mask)(left - (lower - second[v])));
                second[v] = lower;
            }
        }
    }
    parts[0] = parts[1] = 0;
    uint64_t remains = 0;
    for (size_t v = 0; v < EXACT_VECTORS; v++) {
        first[v] -= large;
        second[v] -= small;
        for (size_t l = 0; l < WIDTH; l++) {
            parts[0] += first[v][l];
            parts[1] += second[v][l];
            remains |= (uint64_t)((mask)rest[v])[l] << 1; /* but the sign of a 0 */
        }
    }
    *seen = conclude(&tracks, x + whole, n - whole, way);
    return remains == 0;
}

/* Adds a block in one way and says whether what came out is its exact sum. plain: no sum of its
 * numbers needs more than 53 bits. */
INLINE bool try_way(const double *x, size_t n, int place, int room, enum way way, bool plain,
                    double parts[2], struct seen *seen)
{
    const bool whole = extract(x, n, place, room, way, parts, seen);
    if (!(seen->most <= DBL_MAX) || upper_exponent(seen->most) + room > place)
        return false;
    /* A number from 2^e on is a multiple of 2^(e - 52), and the rests' sum is 2^(place - 53 + room)
     * at most: a double, where that is not above 2^(e + 1). */
    return way == TWO_LEVELS ? whole : plain || place <= upper_exponent(seen->least) + 53 - room;
}

/* Adds numbers one by one, 2^28 of them at most, of any size. A digit counts 2^32 times the one
 * below it, and carries wait for the end: a number adds less than 2^33 to a digit. Neighbours go to
 * ROWS of digits in turn, since an addition waits for the last one to the same digit. */
static void sum_long(const double *x, size_t n, uint64_t *words)
{
    const uint64_t digit = UINT32_MAX;
    enum { ROWS = 4 };
    int64_t digits[ROWS][2 * MUSTER_EXACT_WORDS] = {{0}};
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const int64_t sign = -(int64_t)(bits >> 63);
        const uint64_t biased = bits >> 52 & 0x7ff, fraction = bits & ((UINT64_C(1) << 52) - 1);
        const uint64_t bit = biased ? biased - 1 : 0;
        const uint64_t mantissa = biased ? fraction | UINT64_C(1) << 52 : fraction;
        const uint64_t low = (mantissa & digit) << bit % 32, high = (mantissa >> 32) << bit % 32;
        int64_t *const to = digits[i % ROWS] + bit / 32;
        to[0] += ((int64_t)(low & digit) ^ sign) - sign;
        to[1] += ((int64_t)((low >> 32) + (high & digit)) ^ sign) - sign;
        to[2] += ((int64_t)(high >> 32) ^ sign) - sign;
    }
    int64_t carry = 0;
    memset(words, 0, MUSTER_EXACT_WORDS * sizeof *words);
    for (size_t i = 0; i < 2 * MUSTER_EXACT_WORDS; i++) {
        for (size_t row = 0; row < ROWS; row++)
            carry += digits[row][i];
        words[i / 2] |= ((uint64_t)carry & digit) << 32 * (i % 2);
        carry >>= 32; /* rounds down, so that a negative sum becomes a two's complement number */
    }
}

/* The same in a way that was chosen for the block before, or, where there was none, for any. */
INLINE bool try_habit(const double *x, size_t n, int room, bool plain, const struct habit *habit,
                      double parts[2], struct seen *seen)
{
    switch (habit->way) {
    case ONE_LEVEL:
        return try_way(x, n, habit->place, room, ONE_LEVEL, plain, parts, seen);
    case ONE_BESIDE_ZERO:
        return try_way(x, n, habit->place, room, ONE_BESIDE_ZERO, plain, parts, seen);
    default:
        return try_way(x, n, habit->place, room, TWO_LEVELS, plain, parts, seen);
    }
}

/* Sum of a block, and what its numbers are like. room: n is 2^room at most. habit: of the block
 * before, since one that is like it takes one pass. Returns: false: some numbers are not finite. */
INLINE bool sum_block(const double *x, size_t n, int room, bool plain, struct habit *habit,
                      struct seen *seen, struct block_sum *sum)
{
    sum->is_long = false;
    if (try_habit(x, n, room, plain, habit, sum->parts, seen))
        return sum->parts[0] == sum->parts[0];
    if (!(seen->most <= DBL_MAX))
        return false; /* infinite; or all are NaN */
    /* One place more than is needed, so that somewhat larger numbers fit as well. */
    const int place = upper_exponent(seen->most) + room + 1;
    /* Numbers that two levels can't hold have been tried in vain: no other way holds more. */
    const bool is_wide =
        habit->way == TWO_LEVELS && habit->place >= place - 1 && habit->place <= place + 1;
    habit->place = place;
    for (habit->way = ONE_LEVEL; place < 1000 && !is_wide; habit->way++) {
        if (try_habit(x, n, room, plain, habit, sum->parts, seen))
            return sum->parts[0] == sum->parts[0];
        if (habit->way == TWO_LEVELS)
            break;
    }
    *habit = place < 1000 ? (struct habit){place, TWO_LEVELS} : (struct habit){0};
    for (size_t i = 0; i < n; i++)
        if (x[i] != x[i])
            return false;
    sum->is_long = true;
    sum_long(x, n, sum->words);
    return true;
}

/* Of two numbers, the distance of the farther one from a centre. */
INLINE double farthest(double low, double high, double centre)
{
    const double below = centre - low, above = high - centre;
    return below > above ? below : above;
}

/* Adds (x - centre)^2 * 2^(2 * exponent), where no difference is above `most`. Each square is
 * rounded twice; their sum is as good as exact, by a large number again. Sixteen lanes: the order
 * of additions decides about the last bits. */
INLINE void add_squares(uint64_t *squares, const double *x, size_t n, double centre, double most,
                        int exponent)
{
    if (most == 0)
        return;
    const vector large = splat(1.5 * muster__power(2 * upper_exponent(most) + 11));
    vector first[VECTORS], rest[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) {
        first[v] = large;
        rest[v] = splat(0);
    }
    double last[16];
    for (size_t i = 0; i < n; i += LANES) {
        const double *from = x + i;
        if (n - i < LANES) {
            fill_up(from, n - i, centre, last, LANES);
            from = last;
        }
        UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            const vector difference = load(from + v * WIDTH) - centre;
            const vector square = difference * difference;
            const vector sum = first[v] + square;
            rest[v] += square - (sum - first[v]);
            first[v] = sum;
        }
    }
    double sums[16], rests[16];
    for (size_t v = 0; v < VECTORS; v++)
        first[v] -= large;
    memcpy(sums, first, sizeof sums);
    memcpy(rests, rest, sizeof rests);
    muster__squares_add(squares, fold(sums), exponent);
    muster__squares_add(squares, fold(rests), exponent);
}

/* ---- exact sum ---- */

/* Longer blocks than those of statistics: their sums are added word by word. */
#define EXACT_ROOM 13

static void exact_sum(const double *a, size_t count, struct muster_exact_sum *sum)
{
    const size_t most = (size_t)1 << EXACT_ROOM;
    struct habit habit = {0};
    for (size_t start = 0; start < count; start += most) {
        const double *x = a + start;
        const size_t n = count - start < most ? count - start : most;
        struct seen seen;
        struct block_sum block;
        if (!sum_block(x, n, EXACT_ROOM, false, &habit, &seen, &block)) {
            for (size_t i = 0; i < n; i++)
                muster_exact_add(sum, x[i]);
        } else if (block.is_long) {
            muster__exact_add_words(sum->words, block.words);
        } else {
            muster__exact_add_finite(sum->words, block.parts[0]);
            muster__exact_add_finite(sum->words, block.parts[1]);
        }
    }
}
