/* operation.c - how two values become one, and the tree in which many do.
 *
 * The tree is that of a counter in binary: whole subtrees of 2^k neighbours, and at the end what is
 * left from right to left. It depends on nothing but how many values there are, and is the one that
 * Team.run uses in Swift (combineTree in Team.swift): the same bits come out of both.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "member/state.h"

uint32_t muster_type_bytes(uint32_t type)
{
    switch (type) {
    case MUSTER_F64:
    case MUSTER_I64:
    case MUSTER_U64:
        return 8;
    case MUSTER_F32:
    case MUSTER_I32:
    case MUSTER_U32:
        return 4;
    }
    return 0;
}

bool muster__operation_fits(uint32_t type, uint32_t operation)
{
    if (muster_type_bytes(type) == 0 || operation < MUSTER_SUM || operation > MUSTER_XOR)
        return false;
    return operation < MUSTER_AND || (type != MUSTER_F64 && type != MUSTER_F32);
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
    case MUSTER_SUM:                                                                               \
        EACH(wrapping, a[i] + b[i]);                                                               \
        break;                                                                                     \
    case MUSTER_PRODUCT:                                                                           \
        EACH(wrapping, a[i] * b[i]);                                                               \
        break;                                                                                     \
    case MUSTER_MIN:                                                                               \
        EACH(type, b[i] < a[i] ? b[i] : a[i]);                                                     \
        break;                                                                                     \
    case MUSTER_MAX:                                                                               \
        EACH(type, a[i] < b[i] ? b[i] : a[i]);                                                     \
        break

#define BITWISE(type)                                                                              \
    case MUSTER_AND:                                                                               \
        EACH(type, a[i] & b[i]);                                                                   \
        break;                                                                                     \
    case MUSTER_OR:                                                                                \
        EACH(type, a[i] | b[i]);                                                                   \
        break;                                                                                     \
    case MUSTER_XOR:                                                                               \
        EACH(type, a[i] ^ b[i]);                                                                   \
        break

void muster__operate(uint32_t type, uint32_t operation, void *into, const void *right,
                     uint64_t count)
{
    switch (type) {
    case MUSTER_F64:
        switch (operation) {
            ARITHMETIC(double, double);
        }
        break;
    case MUSTER_F32:
        switch (operation) {
            ARITHMETIC(float, float);
        }
        break;
    case MUSTER_I64:
        switch (operation) {
            ARITHMETIC(int64_t, uint64_t);
            BITWISE(uint64_t);
        }
        break;
    case MUSTER_U64:
        switch (operation) {
            ARITHMETIC(uint64_t, uint64_t);
            BITWISE(uint64_t);
        }
        break;
    case MUSTER_I32:
        switch (operation) {
            ARITHMETIC(int32_t, uint32_t);
            BITWISE(uint32_t);
        }
        break;
    case MUSTER_U32:
        switch (operation) {
            ARITHMETIC(uint32_t, uint32_t);
            BITWISE(uint32_t);
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
    FILL(type, operation == MUSTER_PRODUCT ? (one)                                                 \
               : operation == MUSTER_MIN   ? (most)                                                \
               : operation == MUSTER_MAX   ? (least)                                               \
                                           : 0)

void muster__identity(uint32_t type, uint32_t operation, void *into, uint64_t count)
{
    if (operation == MUSTER_AND) {
        memset(into, 0xff, count * muster_type_bytes(type));
        return;
    }
    switch (type) {
    case MUSTER_F64:
        IDENTITIES(double, -(double)INFINITY, (double)INFINITY, 1.0);
        break;
    case MUSTER_F32:
        IDENTITIES(float, -INFINITY, INFINITY, 1.0f);
        break;
    case MUSTER_I64:
        IDENTITIES(int64_t, INT64_MIN, INT64_MAX, 1);
        break;
    case MUSTER_U64:
        IDENTITIES(uint64_t, 0, UINT64_MAX, 1);
        break;
    case MUSTER_I32:
        IDENTITIES(int32_t, INT32_MIN, INT32_MAX, 1);
        break;
    case MUSTER_U32:
        IDENTITIES(uint32_t, 0, UINT32_MAX, 1);
        break;
    }
}

/* -- the tree ------------------------------------------------------------------------------- */

uint32_t muster__tree_levels(uint64_t count)
{
    uint32_t levels = 2; /* one for the value that comes in */
    while (count >>= 1)
        levels++;
    return levels;
}

void muster__tree_push(struct muster__tree *tree, const void *value)
{
    unsigned char *top = tree->stack + tree->depth * tree->value_bytes;
    memcpy(top, value, tree->value_bytes);
    /* Each trailing one bit of its number is a whole subtree to its left that waits for it. */
    for (uint64_t number = tree->count; number & 1; number >>= 1) {
        tree->combine(top - tree->value_bytes, top, tree->context);
        top -= tree->value_bytes;
        tree->depth--;
    }
    tree->depth++;
    tree->count++;
}

const void *muster__tree_value(struct muster__tree *tree)
{
    for (; tree->depth > 1; tree->depth--) {
        unsigned char *top = tree->stack + (tree->depth - 1) * tree->value_bytes;
        tree->combine(top - tree->value_bytes, top, tree->context);
    }
    return tree->depth == 1 ? tree->stack : NULL;
}
