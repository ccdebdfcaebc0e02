/* swap.c - numbers in the other byte order.
 *
 * Elements are loaded and stored by memcpy, since data in a file may have any alignment. Compilers
 * turn each loop into vector shuffles or shifts.
 */
#include <muster/core/swap.h>

#include <assert.h>
#include <string.h>

#define SWAP(type, swap)                                                                           \
    for (size_t i = 0; i < count; i++) {                                                           \
        type x;                                                                                    \
        memcpy(&x, source + i * sizeof x, sizeof x);                                               \
        x = swap(x);                                                                               \
        memcpy(target + i * sizeof x, &x, sizeof x);                                               \
    }                                                                                              \
    break

void muster_swap_bytes(void *to, const void *from, size_t count, size_t element_bytes)
{
    unsigned char *restrict target = to;
    const unsigned char *restrict source = from;
    switch (element_bytes) {
    case 1:
        if (count > 0)
            memcpy(target, source, count);
        break;
    case 2:
        SWAP(uint16_t, __builtin_bswap16);
    case 4:
        SWAP(uint32_t, __builtin_bswap32);
    case 8:
        SWAP(uint64_t, __builtin_bswap64);
    default:
        assert(!"elements of 1, 2, 4 or 8 bytes");
    }
}
