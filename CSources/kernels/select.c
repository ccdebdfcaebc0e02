/* select.c - counts of numbers by the leading bits of their keys. */
#include <muster/core/select.h>

#include <assert.h>
#include <string.h>

/* Elements at a time: their keys stay in the first-level cache. */
#define BLOCK 1024u

/* A float's key: its bits with the sign flipped; of a negative number all bits, since their order
 * is the other way round. Returns: how many keys were written; NaN and infinities have none. */
#define FLOAT_KEYS(type, exponent)                                                                 \
    for (size_t i = 0; i < n; i++) {                                                               \
        type x;                                                                                    \
        memcpy(&x, from + i * sizeof x, sizeof x);                                                 \
        const type sign = (type)((type)1 << (sizeof x * 8 - 1));                                   \
        keys[kept] = (type)(x & sign ? ~x : x | sign);                                             \
        kept += (x & (exponent)) != (exponent);                                                    \
    }                                                                                              \
    return kept

#define INTEGER_KEYS(type, flip)                                                                   \
    for (size_t i = 0; i < n; i++) {                                                               \
        type x;                                                                                    \
        memcpy(&x, from + i * sizeof x, sizeof x);                                                 \
        keys[i] = (type)(x ^ (flip));                                                              \
    }                                                                                              \
    return n

static size_t keys_of(enum muster_type dtype, const unsigned char *from, size_t n, uint64_t *keys)
{
    size_t kept = 0;
    switch (dtype) {
    case MUSTER_TYPE_F16:
        FLOAT_KEYS(uint16_t, 0x7c00u);
    case MUSTER_TYPE_F32:
        FLOAT_KEYS(uint32_t, UINT32_C(0x7f800000));
    case MUSTER_TYPE_F64:
        FLOAT_KEYS(uint64_t, UINT64_C(0x7ff0000000000000));
    case MUSTER_TYPE_I8:
        INTEGER_KEYS(uint8_t, 0x80u);
    case MUSTER_TYPE_I16:
        INTEGER_KEYS(uint16_t, 0x8000u);
    case MUSTER_TYPE_I32:
        INTEGER_KEYS(uint32_t, UINT32_C(1) << 31);
    case MUSTER_TYPE_I64:
        INTEGER_KEYS(uint64_t, UINT64_C(1) << 63);
    case MUSTER_TYPE_U8:
        INTEGER_KEYS(uint8_t, 0u);
    case MUSTER_TYPE_U16:
        INTEGER_KEYS(uint16_t, 0u);
    case MUSTER_TYPE_U32:
        INTEGER_KEYS(uint32_t, 0u);
    case MUSTER_TYPE_U64:
        INTEGER_KEYS(uint64_t, 0u);
    case MUSTER_TYPE_BOOL:
        for (size_t i = 0; i < n; i++)
            keys[i] = from[i] != 0;
        return n;
    }
    assert(!"a known dtype");
    return 0;
}

/* -- intervals ------------------------------------------------------------------------------ */

#define CELL_BITS 12u

/* Tells which interval a key may lie in: a cell is 2^shift keys from `first` on. Most keys lie in
 * cells without an interval, so that they cost one look, however many intervals there are. */
struct finder {
    uint64_t first, width, shift;
    uint16_t earliest[1u << CELL_BITS]; /* the first interval that a cell meets; none: how many */
};

static void prepare(struct finder *finder, const struct muster_key_interval *intervals,
                    size_t interval_count)
{
    finder->first = intervals[0].first;
    finder->width = intervals[interval_count - 1].last - finder->first;
    const unsigned bits = finder->width ? 64 - (unsigned)__builtin_clzll(finder->width) : 0;
    finder->shift = bits > CELL_BITS ? bits - CELL_BITS : 0;
    size_t next = 0;
    for (uint64_t cell = 0; cell < 1u << CELL_BITS; cell++) {
        const uint64_t start = cell << finder->shift;
        const uint64_t last = start + ((UINT64_C(1) << finder->shift) - 1);
        while (next < interval_count && intervals[next].last - finder->first < start)
            next++;
        const bool meets = next < interval_count && intervals[next].first - finder->first <= last;
        finder->earliest[cell] = (uint16_t)(meets ? next : interval_count);
    }
}

static void count_in_one(const uint64_t *keys, size_t n, struct muster_key_interval interval,
                         unsigned shift, uint64_t *counts)
{
    const uint64_t width = interval.last - interval.first;
    for (size_t k = 0; k < n; k++) {
        const uint64_t place = keys[k] - interval.first; /* wraps around below the first one */
        if (place <= width)
            counts[place >> shift]++;
    }
}

static void count_in_all(const uint64_t *keys, size_t n, const struct finder *finder,
                         const struct muster_key_interval *intervals, size_t interval_count,
                         unsigned shift, size_t bins, uint64_t *counts)
{
    for (size_t k = 0; k < n; k++) {
        const uint64_t place = keys[k] - finder->first;
        if (place > finder->width)
            continue;
        size_t i = finder->earliest[place >> finder->shift];
        while (i < interval_count && intervals[i].last < keys[k])
            i++;
        if (i < interval_count && intervals[i].first <= keys[k])
            counts[i * bins + ((keys[k] - intervals[i].first) >> shift)]++;
    }
}

void muster_count_keys(enum muster_type dtype, const void *a, size_t count,
                       const struct muster_key_interval *intervals, size_t interval_count,
                       unsigned shift, size_t bins, uint64_t *counts)
{
    assert(interval_count > 0 && interval_count <= MUSTER_KEY_INTERVALS_MAX);
    const size_t bytes = muster_type_bytes(dtype);
    uint64_t keys[BLOCK];
    struct finder finder = {0};
    if (interval_count > 1)
        prepare(&finder, intervals, interval_count);
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t n = count - start < BLOCK ? count - start : BLOCK;
        const size_t kept = keys_of(dtype, (const unsigned char *)a + start * bytes, n, keys);
        if (interval_count == 1)
            count_in_one(keys, kept, intervals[0], shift, counts);
        else
            count_in_all(keys, kept, &finder, intervals, interval_count, shift, bins, counts);
    }
}

/* Elements of a channel that have been collected. */
struct collected {
    size_t count;
    unsigned char elements[BLOCK * sizeof(uint64_t)];
};

void muster_count_channel_keys(enum muster_type dtype, const void *a, size_t count, uint64_t first,
                               uint64_t channels, uint64_t inner, uint64_t channel,
                               const struct muster_key_interval *intervals, size_t interval_count,
                               unsigned shift, size_t bins, uint64_t *counts)
{
    assert(channels > 0 && inner > 0 && channel < channels);
    const size_t bytes = muster_type_bytes(dtype);
    const uint64_t period = channels * inner, end = first + count;
    struct collected room = {.count = 0};
    for (uint64_t run = first / period * period + channel * inner; run < end; run += period) {
        uint64_t at = run < first ? first : run;
        const uint64_t last = run + inner < end ? run + inner : end;
        while (at < last) {
            const size_t space = BLOCK - room.count;
            const size_t n = last - at < space ? (size_t)(last - at) : space;
            memcpy(room.elements + room.count * bytes,
                   (const unsigned char *)a + (at - first) * bytes, n * bytes);
            room.count += n;
            at += n;
            if (room.count == BLOCK) {
                muster_count_keys(dtype, room.elements, BLOCK, intervals, interval_count, shift,
                                  bins, counts);
                room.count = 0;
            }
        }
    }
    if (room.count > 0)
        muster_count_keys(dtype, room.elements, room.count, intervals, interval_count, shift, bins,
                          counts);
}
