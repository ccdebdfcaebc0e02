/* migrate.c - moving pages that have a place already. */
#include <muster/core/placement.h>
#include <stdlib.h>

#include "memory/placement.h"
#include "os/os.h"

int muster_placement_move(void *address, uint64_t size_bytes, uint64_t step_bytes, uint32_t node)
{
    struct muster__query *query = malloc(sizeof *query);
    int status = query ? 0 : -ENOMEM;
    uint64_t pages = (size_bytes + step_bytes - 1) / step_bytes;
    for (uint64_t done = 0; status == 0 && done < pages;) {
        uint64_t left = pages - done;
        uint64_t count = left < MUSTER__QUERY_PAGES ? left : MUSTER__QUERY_PAGES;
        for (uint64_t i = 0; i < count; i++) {
            query->pages[i] = (unsigned char *)address + (done + i) * step_bytes;
            query->nodes[i] = (int)node;
        }
        status = muster__placement_refusal(
            muster__os_move_pages(query->pages, count, query->nodes, query->status));
        /* Above 0: so many were not even tried, since one could not be moved. They stay, which is
         * for the caller to find out, as of any page. */
        if (status > 0)
            status = 0;
        done += count;
    }
    free(query);
    return status;
}
