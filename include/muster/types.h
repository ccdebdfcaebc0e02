/* types.h - types of numbers, by their bits. */
#ifndef MUSTER_TYPES_H
#define MUSTER_TYPES_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an array or a file holds. The names beside are those of `.npy` files. */
enum muster_type {
    MUSTER_TYPE_F16 = 1, /* f2: IEEE 754 half */
    MUSTER_TYPE_F32,     /* f4: float */
    MUSTER_TYPE_F64,     /* f8: double */
    MUSTER_TYPE_I8,      /* i1: int8_t */
    MUSTER_TYPE_I16,     /* i2: int16_t */
    MUSTER_TYPE_I32,     /* i4: int32_t */
    MUSTER_TYPE_I64,     /* i8: int64_t */
    MUSTER_TYPE_U8,      /* u1: uint8_t */
    MUSTER_TYPE_U16,     /* u2: uint16_t */
    MUSTER_TYPE_U32,     /* u4: uint32_t */
    MUSTER_TYPE_U64,     /* u8: uint64_t */
    MUSTER_TYPE_BOOL     /* b1: a byte; any but 0 is true */
};

/* Bytes of one value. type: enum muster_type. Returns: 1, 2, 4 or 8; 0: no such type. */
uint32_t muster_type_bytes(uint32_t type);

#ifdef __cplusplus
}
#endif

#endif
