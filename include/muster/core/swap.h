/* swap.h - numbers in the other byte order. */
#ifndef MUSTER_CORE_SWAP_H
#define MUSTER_CORE_SWAP_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Copies elements with the bytes of each in reverse order: big-endian numbers become this
 * machine's.
 *
 * to: room for count elements, at any alignment; does not overlap `from`.
 * from: the elements, at any alignment.
 * count: number of elements.
 * element_bytes: 1, 2, 4 or 8; elements of another size are an assertion. */
void muster_swap_bytes(void *to, const void *from, size_t count, size_t element_bytes);

#ifdef __cplusplus
}
#endif

#endif
