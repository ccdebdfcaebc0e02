/* hash.h - FNV-1a with 64 bits, by bytes or by words. Private. Source: draft-eastlake-fnv. */
#ifndef MUSTER_BASE_HASH_H
#define MUSTER_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define MUSTER__HASH_START 0xcbf29ce484222325ull

/* A hash that goes on with one value, of any width. */
static inline uint64_t muster__hash_word(uint64_t hash, uint64_t word)
{
    return (hash ^ word) * 0x100000001b3ull;
}

static inline uint64_t muster__hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = muster__hash_word(hash, ((const unsigned char *)bytes)[i]);
    return hash;
}

static inline uint64_t muster__hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = muster__hash_word(hash, (unsigned char)*text);
    return hash;
}

#endif
