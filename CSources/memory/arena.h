/* arena.h - what the files of this room share: sizes of spaces, pieces of the arena, and the
 * cgroups that bound this process. Private. */
#ifndef MUSTER_MEMORY_ARENA_H
#define MUSTER_MEMORY_ARENA_H

#include <muster/core/limits.h>
#include <muster/core/segment.h>

#include "os/os.h"

/* What arrays are rounded up to: a huge page on x86-64 and on aarch64 with 4 KiB pages. */
#define MUSTER__SPACE_UNIT  (2ull << 20)
#define MUSTER__SPACE_MOST  (8ull << 40)
#define MUSTER__SPACE_LEAST (4 * MUSTER__SPACE_UNIT) /* an arena and a window of two units each */

/* Reserves a planned space, or a smaller one where the system refuses it: then the plan follows.
 * Returns: as muster_space_create; -EAGAIN: mlockall is in force, and its limit leaves no room. */
int muster__space_make(struct muster_reservation *planned, struct muster_space *space);

/* Makes an extent of the arena accessible, as many bytes of it, here and in the ranks. Returns: 0;
 * -ENOMEM: too many rooms, or mappings. */
int muster__room_open(struct muster_space *space, struct muster_extent extent, uint64_t size_bytes);
/* Takes the access away again. */
void muster__room_close(struct muster_space *space, struct muster_extent extent);

/* Gives this process access to the rooms that are in use, and takes away what it has of others.
 *
 * known: MUSTER_ROOMS_MAX rooms that it has access to now; updated. Returns: 0; -EUCLEAN: a room
 * that can't be; -ENOMEM: too many mappings. */
int muster__space_follow(struct muster_space *space, const struct muster_rooms *rooms,
                         struct muster_extent *known);

/* Whether a cgroup of this process, or one above it, has no room for so many more processes: then
 * with its limit and how many there are. */
bool muster__group_processes(uint64_t more, uint64_t *most, uint64_t *used);

#endif
