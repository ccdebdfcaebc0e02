/* operation.c - how two numbers become one, for each type and operation. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "member/state.h"

bool muster__operation_fits(uint32_t type, uint32_t operation)
{
    if (muster_type_bytes(type) == 0 || type == MUSTER_TYPE_F16 || type == MUSTER_TYPE_BOOL ||
        operation < MUSTER_OP_SUM || operation > MUSTER_OP_XOR)
        return false;
    return operation < MUSTER_OP_AND || (type != MUSTER_TYPE_F64 && type != MUSTER_TYPE_F32);
}

#define EACH(type, expression)                                                                     \
    do {                                                                                           \
        type *a = into;                                                                            \
        const type *b = right;                                                                     \
        for (uint64_t i = 0; i < count; i++)                                                       \
            a[i] = (expression);                                                                   \
    } while (0)

/* Sums and products of signed numbers are made of unsigned ones, which wrap around. */
#define ARITHMETIC(type, wrapping)                                                                 \
    case MUSTER_OP_SUM:                                                                            \
        EACH(wrapping, (wrapping)(a[i] + b[i]));                                                   \
        break;                                                                                     \
    case MUSTER_OP_PRODUCT:                                                                        \
        EACH(wrapping, (wrapping)(1u * a[i] * b[i])); /* short ones would be multiplied as int */  \
        break;                                                                                     \
    case MUSTER_OP_MIN:                                                                            \
        EACH(type, b[i] < a[i] ? b[i] : a[i]);                                                     \
        break;                                                                                     \
    case MUSTER_OP_MAX:                                                                            \
        EACH(type, a[i] < b[i] ? b[i] : a[i]);                                                     \
        break

#define BITWISE(type)                                                                              \
    case MUSTER_OP_AND:                                                                            \
        EACH(type, (type)(a[i] & b[i]));                                                           \
        break;                                                                                     \
    case MUSTER_OP_OR:                                                                             \
        EACH(type, (type)(a[i] | b[i]));                                                           \
        break;                                                                                     \
    case MUSTER_OP_XOR:                                                                            \
        EACH(type, (type)(a[i] ^ b[i]));                                                           \
        break

void muster__operate(uint32_t type, uint32_t operation, void *into, const void *right,
                     uint64_t count)
{
    switch (type) {
    case MUSTER_TYPE_F64:
        switch (operation) {
            ARITHMETIC(double, double);
        }
        break;
    case MUSTER_TYPE_F32:
        switch (operation) {
            ARITHMETIC(float, float);
        }
        break;
    case MUSTER_TYPE_I64:
        switch (operation) {
            ARITHMETIC(int64_t, uint64_t);
            BITWISE(uint64_t);
        }
        break;
    case MUSTER_TYPE_U64:
        switch (operation) {
            ARITHMETIC(uint64_t, uint64_t);
            BITWISE(uint64_t);
        }
        break;
    case MUSTER_TYPE_I32:
        switch (operation) {
            ARITHMETIC(int32_t, uint32_t);
            BITWISE(uint32_t);
        }
        break;
    case MUSTER_TYPE_U32:
        switch (operation) {
            ARITHMETIC(uint32_t, uint32_t);
            BITWISE(uint32_t);
        }
        break;
    case MUSTER_TYPE_I16:
        switch (operation) {
            ARITHMETIC(int16_t, uint16_t);
            BITWISE(uint16_t);
        }
        break;
    case MUSTER_TYPE_U16:
        switch (operation) {
            ARITHMETIC(uint16_t, uint16_t);
            BITWISE(uint16_t);
        }
        break;
    case MUSTER_TYPE_I8:
        switch (operation) {
            ARITHMETIC(int8_t, uint8_t);
            BITWISE(uint8_t);
        }
        break;
    case MUSTER_TYPE_U8:
        switch (operation) {
            ARITHMETIC(uint8_t, uint8_t);
            BITWISE(uint8_t);
        }
        break;
    }
}

void muster__combine_numbers(void *into, const void *right, void *context)
{
    const struct muster__numbers *numbers = context;
    muster__operate(numbers->type, numbers->operation, into, right, numbers->count);
}

#define FILL(type, value)                                                                          \
    do {                                                                                           \
        type *a = into;                                                                            \
        for (uint64_t i = 0; i < count; i++)                                                       \
            a[i] = (value);                                                                        \
    } while (0)

#define IDENTITIES(type, least, most, one)                                                         \
    FILL(type, operation == MUSTER_OP_PRODUCT ? (one)                                              \
               : operation == MUSTER_OP_MIN   ? (most)                                             \
               : operation == MUSTER_OP_MAX   ? (least)                                            \
                                              : 0)

void muster__identity(uint32_t type, uint32_t operation, void *into, uint64_t count)
{
    if (operation == MUSTER_OP_AND) {
        memset(into, 0xff, count * muster_type_bytes(type));
        return;
    }
    switch (type) {
    case MUSTER_TYPE_F64:
        IDENTITIES(double, -(double)INFINITY, (double)INFINITY, 1.0);
        break;
    case MUSTER_TYPE_F32:
        IDENTITIES(float, -INFINITY, INFINITY, 1.0f);
        break;
    case MUSTER_TYPE_I64:
        IDENTITIES(int64_t, INT64_MIN, INT64_MAX, 1);
        break;
    case MUSTER_TYPE_U64:
        IDENTITIES(uint64_t, 0, UINT64_MAX, 1);
        break;
    case MUSTER_TYPE_I32:
        IDENTITIES(int32_t, INT32_MIN, INT32_MAX, 1);
        break;
    case MUSTER_TYPE_U32:
        IDENTITIES(uint32_t, 0, UINT32_MAX, 1);
        break;
    case MUSTER_TYPE_I16:
        IDENTITIES(int16_t, INT16_MIN, INT16_MAX, 1);
        break;
    case MUSTER_TYPE_U16:
        IDENTITIES(uint16_t, 0, UINT16_MAX, 1);
        break;
    case MUSTER_TYPE_I8:
        IDENTITIES(int8_t, INT8_MIN, INT8_MAX, 1);
        break;
    case MUSTER_TYPE_U8:
        IDENTITIES(uint8_t, 0, UINT8_MAX, 1);
        break;
    }
}
