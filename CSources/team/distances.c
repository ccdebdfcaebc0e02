/* distances.c - the home nodes of a team's ranks, each counted once, and how far all ranks are from
 * each.
 *
 * Settled before the first worker starts, and only read from then on: thieves look for the nearest
 * victims there, and mirrored arrays have one copy a place.
 */
#include <stdlib.h>

#include "team/state.h"

static uint32_t distance_between(const struct muster_topology *topology, uint32_t from, uint32_t to)
{
    int near = muster_topology_node_position(topology, from);
    int far = muster_topology_node_position(topology, to);
    if (near < 0 || far < 0 || !topology->distances)
        return from == to ? 10 : 20; /* what firmware says that says nothing else */
    uint32_t distance = topology->distances[(uint32_t)near * topology->node_count + (uint32_t)far];
    return distance < 255 ? distance : 255;
}

int muster_team_settle(struct muster_team *team, const struct muster_topology *topology,
                       const uint32_t *homes)
{
    uint32_t size = team->plan.size, count = 0;
    uint32_t *nodes = malloc(size * sizeof *nodes); /* by place */
    if (!nodes)
        return -ENOMEM;
    for (uint32_t rank = 0; rank < size; rank++)
        if (team->ranks[rank].pid) {
            free(nodes);
            return -EBUSY;
        }
    for (uint32_t rank = 0; rank < size; rank++) {
        uint32_t place = 0;
        while (place < count && nodes[place] != homes[rank])
            place++;
        if (place == count && count < muster__most_places(size))
            nodes[count++] = homes[rank];
        team->slots[rank].place = place;
    }
    /* One place needs no rows: all distances are alike. */
    for (uint32_t place = 0; count > 1 && place < count; place++) {
        unsigned char *row =
            team->control.address + team->plan.distances_offset + (uint64_t)place * size;
        for (uint32_t rank = 0; rank < size; rank++)
            row[rank] = (unsigned char)distance_between(topology, nodes[place], homes[rank]);
    }
    free(nodes);
    team->plan.place_count = team->block->place_count = count;
    return 0;
}

uint32_t muster__place(const struct muster_team *team, uint32_t rank)
{
    uint32_t place = team->slots[rank].place;
    return place < team->plan.place_count ? place : 0;
}

const unsigned char *muster_team_distances(const struct muster_team *team, uint32_t rank)
{
    if (team->plan.place_count < 2)
        return NULL;
    return team->control.address + team->plan.distances_offset +
           (uint64_t)muster__place(team, rank) * team->plan.size;
}
