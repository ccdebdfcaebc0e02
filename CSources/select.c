/* select.c - counts of numbers by the leading bits of their keys. */
#include <muster/select.h>

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

static size_t keys_of(enum muster_dtype dtype, const unsigned char *from, size_t n, uint64_t *keys)
{
    size_t kept = 0;
    switch (dtype) {
    case MUSTER_F2:
        FLOAT_KEYS(uint16_t, 0x7c00u);
    case MUSTER_F4:
        FLOAT_KEYS(uint32_t, UINT32_C(0x7f800000));
    case MUSTER_F8:
        FLOAT_KEYS(uint64_t, UINT64_C(0x7ff0000000000000));
    case MUSTER_I1:
        INTEGER_KEYS(uint8_t, 0x80u);
    case MUSTER_I2:
        INTEGER_KEYS(uint16_t, 0x8000u);
    case MUSTER_I4:
        INTEGER_KEYS(uint32_t, UINT32_C(1) << 31);
    case MUSTER_I8:
        INTEGER_KEYS(uint64_t, UINT64_C(1) << 63);
    case MUSTER_U1:
        INTEGER_KEYS(uint8_t, 0u);
    case MUSTER_U2:
        INTEGER_KEYS(uint16_t, 0u);
    case MUSTER_U4:
        INTEGER_KEYS(uint32_t, 0u);
    case MUSTER_U8:
        INTEGER_KEYS(uint64_t, 0u);
    case MUSTER_BOOL:
        for (size_t i = 0; i < n; i++)
            keys[i] = from[i] != 0;
        return n;
    }
    assert(!"a known dtype");
    return 0;
}

void muster_count_keys(enum muster_dtype dtype, const void *a, size_t count,
                       const struct muster_key_interval *intervals, size_t interval_count,
                       unsigned shift, size_t bins, uint64_t *counts)
{
    const size_t bytes = muster_dtype_bytes(dtype);
    uint64_t keys[BLOCK];
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t n = count - start < BLOCK ? count - start : BLOCK;
        const size_t kept = keys_of(dtype, (const unsigned char *)a + start * bytes, n, keys);
        for (size_t i = 0; i < interval_count; i++) {
            const uint64_t first = intervals[i].first, width = intervals[i].last - first;
            uint64_t *const row = counts + i * bins;
            for (size_t k = 0; k < kept; k++) {
                const uint64_t place = keys[k] - first; /* wraps around below the first one */
                if (place <= width)
                    row[place >> shift]++;
            }
        }
    }
}
