/* channels.h - statistics of an array with several dimensions, channel by channel.
 *
 * A channel is all elements that have one index along one axis: with the axis of colours, a colour.
 * In memory, runs of `inner` elements of one channel follow one another, channel after channel, and
 * begin again with the first: element e belongs to channel e / inner % channels.
 */
#ifndef MUSTER_CORE_CHANNELS_H
#define MUSTER_CORE_CHANNELS_H

#include <muster/bulk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for elements of channels that share cache lines: 4,096 each, or more. */
#define MUSTER_CHANNEL_ROOM_BYTES (1u << 18)

/* Adds the moments of a part of an array to those of its channels.
 *
 * dtype: type of the elements.
 * a: `count` elements at any alignment, in this machine's byte order.
 * first: number of the first of them in the array.
 * channels, inner: as above, 1 or more.
 * room: MUSTER_CHANNEL_ROOM_BYTES, aligned to 8 bytes; what it holds does not matter.
 * moments: one a channel. Channels that have no element in the part are left as they are.
 *
 * Concurrency: keeps no state; `room` and `moments` are the caller's alone. */
void muster_channel_moments(enum muster_type dtype, const void *a, size_t count, uint64_t first,
                            uint64_t channels, uint64_t inner, void *room,
                            struct muster_moments *moments);

#ifdef __cplusplus
}
#endif

#endif
