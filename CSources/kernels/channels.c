/* channels.c - moments of channels whose elements are mixed in memory.
 *
 * The kernels take runs of one channel. Long runs are taken where they lie; short ones are
 * collected first, those of channels that share a cache line in one sweep, so that each line is
 * read once.
 */
#include <muster/core/channels.h>

#include <assert.h>
#include <string.h>

#define LINE_BYTES 64u
#define GROUP_MOST 64u /* channels of one byte in a line */
/* Elements of a channel at a time: their lines stay in the first-level cache for the next channel.
 */
#define SWEEP 256u
/* Runs from here on are taken where they lie: below, a call of the kernel costs more than a copy.
 */
#define LONG_RUN MUSTER_KERNEL_BLOCK

/* A part of an array. */
struct part {
    enum muster_type dtype;
    size_t bytes; /* of an element */
    const unsigned char *start;
    uint64_t first, end; /* elements of the array */
    uint64_t channels, inner;
};

/* Neighbouring channels that are collected together. */
struct group {
    uint64_t first;
    size_t count;
    size_t room; /* elements of each channel */
    unsigned char *rows;
    size_t filled[GROUP_MOST];
    struct muster_moments *moments; /* of all channels */
};

static const unsigned char *address(const struct part *part, uint64_t element)
{
    return part->start + (element - part->first) * part->bytes;
}

static unsigned char *row(const struct part *part, const struct group *group, size_t member)
{
    return group->rows + member * group->room * part->bytes;
}

static void add(const struct part *part, const void *from, size_t count,
                struct muster_moments *moments)
{
    struct muster_moments found;
    muster_kernels_best()->moments(part->dtype, from, count, &found);
    muster_moments_combine(moments, &found);
}

static void empty(const struct part *part, struct group *group, size_t member)
{
    if (group->filled[member] > 0)
        add(part, row(part, group, member), group->filled[member],
            &group->moments[group->first + member]);
    group->filled[member] = 0;
}

/* Collects what the part has of one run. */
static void take_run(const struct part *part, struct group *group, size_t member, uint64_t begin)
{
    uint64_t end = begin + part->inner;
    begin = begin < part->first ? part->first : begin;
    end = end > part->end ? part->end : end;
    if (begin >= end)
        return;
    if (end - begin >= LONG_RUN) {
        add(part, address(part, begin), (size_t)(end - begin),
            &group->moments[group->first + member]);
        return;
    }
    while (begin < end) {
        size_t *const filled = &group->filled[member];
        const size_t left = (size_t)(end - begin), space = group->room - *filled;
        const size_t n = left < space ? left : space;
        memcpy(row(part, group, member) + *filled * part->bytes, address(part, begin),
               n * part->bytes);
        *filled += n;
        begin += n;
        if (*filled == group->room)
            empty(part, group, member);
    }
}

#define COLLECT(type)                                                                              \
    for (size_t i = 0; i < n; i++)                                                                 \
    memcpy(to + i * sizeof(type), from + i * step, sizeof(type))

/* Elements that lie `step` bytes apart. */
static void collect(unsigned char *to, const unsigned char *from, size_t n, size_t step,
                    size_t bytes)
{
    switch (bytes) {
    case 1:
        COLLECT(uint8_t);
        break;
    case 2:
        COLLECT(uint16_t);
        break;
    case 4:
        COLLECT(uint32_t);
        break;
    default:
        COLLECT(uint64_t);
        break;
    }
}

/* Collects the group's single elements out of whole rounds through all channels, of which
 * `element` begins the first. Returns: how many rounds. */
static size_t take_rounds(const struct part *part, struct group *group, uint64_t element,
                          uint64_t rounds)
{
    size_t n = rounds < SWEEP ? (size_t)rounds : SWEEP;
    for (size_t member = 0; member < group->count; member++) {
        const size_t space = group->room - group->filled[member];
        n = n < space ? n : space;
    }
    const unsigned char *const from = address(part, element + group->first);
    for (size_t member = 0; member < group->count; member++) {
        size_t *const filled = &group->filled[member];
        collect(row(part, group, member) + *filled * part->bytes, from + member * part->bytes, n,
                (size_t)part->channels * part->bytes, part->bytes);
        *filled += n;
        if (*filled == group->room)
            empty(part, group, member);
    }
    return n;
}

static void take_group(const struct part *part, struct group *group)
{
    const uint64_t period = part->channels * part->inner;
    for (uint64_t at = part->first / period * period; at < part->end;) {
        const uint64_t whole = at >= part->first ? (part->end - at) / period : 0;
        if (part->inner == 1 && whole > 0) {
            at += take_rounds(part, group, at, whole) * period;
            continue;
        }
        for (size_t member = 0; member < group->count; member++)
            take_run(part, group, member, at + (group->first + member) * part->inner);
        at += period;
    }
    for (size_t member = 0; member < group->count; member++)
        empty(part, group, member);
}

void muster_channel_moments(enum muster_type dtype, const void *a, size_t count, uint64_t first,
                            uint64_t channels, uint64_t inner, void *room,
                            struct muster_moments *moments)
{
    const size_t bytes = muster_type_bytes(dtype);
    assert(bytes != 0 && channels > 0 && inner > 0);
    const struct part part = {.dtype = dtype,
                              .bytes = bytes,
                              .start = a,
                              .first = first,
                              .end = first + count,
                              .channels = channels,
                              .inner = inner};
    /* Where a channel's run is a line or more, a channel for itself. */
    uint64_t together = inner >= LINE_BYTES / bytes ? 1 : LINE_BYTES / bytes / inner;
    together = together < channels ? together : channels;
    for (uint64_t at = 0; at < channels; at += together) {
        struct group group = {.first = at, .rows = room, .moments = moments};
        group.count = (size_t)(channels - at < together ? channels - at : together);
        group.room = MUSTER_CHANNEL_ROOM_BYTES / bytes / group.count;
        take_group(&part, &group);
    }
}
