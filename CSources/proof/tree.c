/* tree.c - combines partial results in a binary tree. The rule is told in muster/core/tree.h. */
#include <muster/core/tree.h>
#include <string.h>

uint32_t muster_tree_levels(uint64_t count)
{
    uint32_t levels = 2; /* one for the value that comes in */
    while (count >>= 1)
        levels++;
    return levels;
}

void muster_tree_push(struct muster_tree *tree, const void *value)
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

const void *muster_tree_value(struct muster_tree *tree)
{
    for (; tree->depth > 1; tree->depth--) {
        unsigned char *top = tree->stack + (tree->depth - 1) * tree->value_bytes;
        tree->combine(top - tree->value_bytes, top, tree->context);
    }
    return tree->depth == 1 ? tree->stack : NULL;
}

struct walk {
    muster_tree_join join;
    void *context;
};

/* A subtree's value is the number of its leftmost value. */
static void join_numbers(void *left, const void *right, void *context)
{
    const struct walk *walk = context;
    walk->join(*(uint64_t *)left, *(const uint64_t *)right, walk->context);
}

void muster_tree_walk(uint64_t count, muster_tree_join join, void *context)
{
    uint64_t stack[MUSTER_TREE_LEVELS_MAX];
    struct walk walk = {join, context};
    struct muster_tree tree = {.stack = (unsigned char *)stack,
                               .value_bytes = sizeof(uint64_t),
                               .combine = join_numbers,
                               .context = &walk};
    for (uint64_t number = 0; number < count; number++)
        muster_tree_push(&tree, &number);
    (void)muster_tree_value(&tree);
}
