/* uses.c - the arrays that a member's loop deals: whether their lengths fit the loop, and
 * what an index stands for in each.
 *
 * The rules are those of a team's loops (LoopExtent.swift). A member keeps no journal, so what they
 * prevent here is a loop that leaves elements out, or in which a rank takes others' for its own.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "member/state.h"

static const struct muster__member_array *array_of(const struct muster_member *me,
                                                   const struct muster_member_use *use)
{
    for (uint32_t i = 0; i < me->array_count; i++)
        if (me->arrays[i].address == use->address)
            return &me->arrays[i];
    return NULL;
}

static uint64_t per_index(const struct muster_member_use *use)
{
    return use->elements_per_index ? use->elements_per_index : 1;
}

bool muster__uses_can_be(const struct muster_member *me,
                         const struct muster_member_loop_options *options)
{
    const uint32_t flags = MUSTER_USE_PREFIX | MUSTER_USE_GATHER;
    if (options->use_count > MUSTER_ARRAYS_MAX || (options->use_count > 0 && !options->uses))
        return false;
    for (uint32_t i = 0; i < options->use_count; i++) {
        const struct muster_member_use *use = &options->uses[i];
        const struct muster__member_array *array = array_of(me, use);
        if (!array || use->access > MUSTER_ACCESS_IN_PLACE || (use->flags & ~flags) != 0 ||
            ((use->flags & MUSTER_USE_GATHER) != 0 && use->access != MUSTER_ACCESS_INPUT) ||
            use->element_bytes == 0 || array->size_bytes % use->element_bytes != 0)
            return false;
    }
    return true;
}

uint64_t muster__hash_uses(const struct muster_member *me,
                           const struct muster_member_loop_options *options, uint64_t hash)
{
    for (uint32_t i = 0; i < options->use_count; i++) {
        const struct muster_member_use *use = &options->uses[i];
        hash ^= muster__call(MUSTER__CALL_LOOP_BEGIN, use->access, per_index(use),
                             (uint64_t)use->flags << 32 | use->element_bytes);
        hash = muster__hash_text(hash, array_of(me, use)->name);
    }
    return hash;
}

static bool any_is_written(const struct muster_member_loop_options *options)
{
    for (uint32_t i = 0; i < options->use_count; i++)
        if (options->uses[i].access != MUSTER_ACCESS_INPUT)
            return true;
    return false;
}

uint64_t muster__index_bytes(const struct muster_member_loop_options *options)
{
    bool writes = any_is_written(options);
    uint64_t most = 0;
    for (uint32_t i = 0; i < options->use_count; i++) {
        const struct muster_member_use *use = &options->uses[i];
        uint64_t bytes;
        if ((writes && use->access == MUSTER_ACCESS_INPUT) || (use->flags & MUSTER_USE_GATHER) != 0)
            continue;
        if (__builtin_mul_overflow(per_index(use), (uint64_t)use->element_bytes, &bytes))
            bytes = UINT64_MAX;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static bool fits(const struct muster_member *me, const struct muster_member_use *use,
                 uint64_t indices)
{
    uint64_t elements = array_of(me, use)->size_bytes / use->element_bytes;
    uint64_t own = elements / per_index(use);
    if ((use->flags & MUSTER_USE_PREFIX) != 0)
        return indices <= own;
    return indices == own && own * per_index(use) == elements;
}

int muster_member_loop_advice(const struct muster_member *me,
                              const struct muster_member_loop_options *options, char *text,
                              size_t text_bytes)
{
    const struct muster_member_use *unfit = NULL;
    if (text_bytes > 0)
        text[0] = '\0';
    if (options->size_bytes != sizeof *options || (options->use_count > 0 && !options->uses))
        return 0; /* an earlier version's; or -EINVAL */
    bool writes = any_is_written(options);
    for (uint32_t i = 0; i < options->use_count; i++) {
        const struct muster_member_use *use = &options->uses[i];
        if (!array_of(me, use) || use->element_bytes == 0)
            return 0; /* -EINVAL */
        bool counts =
            writes ? use->access != MUSTER_ACCESS_INPUT : (use->flags & MUSTER_USE_GATHER) == 0;
        if (!counts)
            continue;
        bool fit = fits(me, use, options->elements);
        if (!writes && fit)
            return 0;
        if (!fit && !unfit)
            unfit = use;
    }
    if (!unfit)
        return 0;
    const struct muster__member_array *array = array_of(me, unfit);
    uint64_t elements = array->size_bytes / unfit->element_bytes, wanted = options->elements;
    char rows[96] = "";
    if (wanted > 0 && elements % wanted == 0 && elements > wanted && per_index(unfit) == 1)
        snprintf(rows, sizeof rows,
                 "set its elements_per_index to %llu where an index is a row, or ",
                 (unsigned long long)(elements / wanted));
    if (text_bytes > 0)
        snprintf(
            text, text_bytes,
            "array \"%s\" has %llu elements, %llu an index, and the loop has %llu indices: %s%s",
            array->name, (unsigned long long)elements, (unsigned long long)per_index(unfit),
            (unsigned long long)wanted, rows,
            elements / per_index(unfit) >= wanted
                ? "give it MUSTER_USE_PREFIX where the rest is to be left alone"
                : "make the array longer, or the loop shorter");
    return 1;
}
