/* fuzz_topology.c - the parsers of the kernel's texts, on any text.
 *
 * What must hold: no access outside the text or the numbers; the numbers of a list or of a bit map
 * rise, their count does not depend on the room, and written again they parse to the same.
 */
#include <muster/core/topology.h>

#include "base/text.h"
#include "fuzz.h"

#define ROOM 300u

static void check_list(const char *text, uint64_t room)
{
    int64_t count = muster_list_parse(text, NULL, 0);
    HOLDS(count == -EUCLEAN || (count >= 0 && count <= 1048576), "%lld numbers", (long long)count);
    uint32_t *ids = exactly(room * sizeof *ids);
    int64_t again = muster_list_parse(text, ids, room);
    HOLDS(again == count, "%lld numbers, then %lld", (long long)count, (long long)again);
    uint64_t held = count < 0 ? 0 : (uint64_t)count < room ? (uint64_t)count : room;
    char *rewritten = exactly(held * 9 + 1);
    size_t length = 0;
    for (uint64_t i = 0; i < held; i++) {
        HOLDS(ids[i] <= 1048575 && (i == 0 || ids[i - 1] < ids[i]), "number %u", ids[i]);
        length += (size_t)snprintf(rewritten + length, held * 9 + 1 - length, i > 0 ? ",%u" : "%u",
                                   ids[i]);
    }
    uint32_t *others = exactly(held * sizeof *others);
    HOLDS(muster_list_parse(rewritten, others, held) == (int64_t)held, "%s", rewritten);
    HOLDS(memcmp(ids, others, held * sizeof *ids) == 0, "%s", rewritten);
#ifdef MUSTER_FUZZ_CANARY
    HOLDS(held < 5, "the canary: a list with a range and more");
#endif
    free(others);
    free(rewritten);
    free(ids);
}

/* The map of these numbers, below 32 * groups, as a kernel writes it. */
static char *write_map(const uint32_t *ids, uint64_t count, uint64_t groups)
{
    char *text = exactly(groups * 9 + 1);
    uint64_t at = count;
    for (uint64_t group = groups; group-- > 0;) {
        uint32_t bits = 0;
        for (; at > 0 && ids[at - 1] / 32 == group; at--)
            bits |= 1u << ids[at - 1] % 32;
        snprintf(text + (groups - 1 - group) * 9, 10, group > 0 ? "%08x," : "%08x", bits);
    }
    return text;
}

static void check_map(const char *text, uint64_t room)
{
    int64_t count = muster__text_map(text, NULL, 0);
    HOLDS(count == -EUCLEAN || (count >= 0 && count <= 1048576), "%lld numbers", (long long)count);
    uint32_t *ids = exactly(room * sizeof *ids);
    int64_t again = muster__text_map(text, ids, room);
    HOLDS(again == count, "%lld numbers, then %lld", (long long)count, (long long)again);
    uint64_t held = count < 0 ? 0 : (uint64_t)count < room ? (uint64_t)count : room;
    for (uint64_t i = 0; i < held; i++)
        HOLDS(ids[i] <= 1048575 && (i == 0 || ids[i - 1] < ids[i]), "number %u", ids[i]);
    char *rewritten = write_map(ids, held, held > 0 ? ids[held - 1] / 32 + 1 : 1);
    uint32_t *others = exactly(held * sizeof *others);
    HOLDS(muster__text_map(rewritten, others, held) == (int64_t)held, "%s", rewritten);
    HOLDS(memcmp(ids, others, held * sizeof *ids) == 0, "%s", rewritten);
    free(others);
    free(rewritten);
    free(ids);
}

static void check_values(const char *text, uint64_t columns)
{
    int32_t integer = 7;
    if (muster__text_integer(text, &integer) == 0) {
        char rewritten[16];
        int32_t again = 7;
        snprintf(rewritten, sizeof rewritten, "%d\n", integer);
        HOLDS(muster__text_integer(rewritten, &again) == 0 && again == integer, "%d", integer);
    }
    uint64_t size_bytes = 7;
    if (muster__text_size(text, &size_bytes) == 0)
        HOLDS(size_bytes % 1024 == 0, "%llu", (unsigned long long)size_bytes);
    uint32_t *row = exactly(columns * sizeof *row);
    int64_t found = muster__text_row(text, row, columns, 255);
    HOLDS(found >= -EUCLEAN, "%lld columns", (long long)found);
    for (int64_t i = 0; i < found && (uint64_t)i < columns; i++)
        HOLDS(row[i] <= 255, "column %lld", (long long)i);
    free(row);
    if (muster__text_memory(text, "MemTotal:", &size_bytes) == 0)
        HOLDS(size_bytes % 1024 == 0, "%llu", (unsigned long long)size_bytes);
    const char *line = muster__text_line(text, "Node 0");
    HOLDS(!line || (line > text && line <= text + strlen(text)), "a line outside the text");
    if (muster__text_is(text, "Unified"))
        HOLDS(strncmp(text, "Unified", 7) == 0, "%s", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint64_t room = take_below(&input, ROOM);
    char *text = exactly(input.left + 1);
    if (input.left > 0)
        memcpy(text, input.next, input.left);
    check_list(text, room);
    check_map(text, room);
    check_values(text, room % 9);
    free(text);
    return 0;
}
