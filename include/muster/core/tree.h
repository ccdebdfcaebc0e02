/* tree.h - the binary tree in which partial results are combined.
 *
 * Its shape is that of a binary counter: whole subtrees of 2^k neighbours, and at the end what is
 * left, from right to left. The shape depends on the number of values alone. So a reduction gives
 * the same bits for any team size, schedule and crash history.
 */
#ifndef MUSTER_CORE_TREE_H
#define MUSTER_CORE_TREE_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Levels that a tree over any number of values needs: 64 for the bits of a count, 1 for the value
 * that comes in. */
#define MUSTER_TREE_LEVELS_MAX 66u

/* A tree over values that come in order. */
struct muster_tree {
    unsigned char *stack; /* muster_tree_levels(count) values, the caller's */
    uint64_t value_bytes;
    uint64_t count; /* values pushed; 0 at first */
    uint32_t depth; /* values on the stack; 0 at first */
    muster_combine combine;
    void *context; /* of `combine` */
};

/* Levels that a tree over `count` values needs. */
uint32_t muster_tree_levels(uint64_t count);

/* Adds the next value: value_bytes of it are copied. Joins the subtrees that it completes. */
void muster_tree_push(struct muster_tree *tree, const void *value);

/* Joins what is left. Returns: the value of all, in the stack; NULL: there were none. */
const void *muster_tree_value(struct muster_tree *tree);

/* Puts two neighbouring subtrees together under the left one's number. Each is named by the number
 * of its leftmost value. */
typedef void (*muster_tree_join)(uint64_t left, uint64_t right, void *context);

/* Walks the same tree over the numbers 0 ..< count, for values that stay where they are. */
void muster_tree_walk(uint64_t count, muster_tree_join join, void *context);

#ifdef __cplusplus
}
#endif

#endif
