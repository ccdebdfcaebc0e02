/* populate.c - a rank commits its static share of an array: each page on the node where it belongs,
 * huge where that can be had, read back and mended before anybody else maps it.
 *
 * Invariant: at most a preferred policy is in force here, so that a full node makes pages spill and
 * nothing is killed. Pages are moved while this process is the only one that maps them: a page that
 * two processes map can hardly be moved.
 *
 * Huge pages (shared memory has none by default, for any anonymous setting): one base page of
 * each 2 MiB is touched, then MADV_COLLAPSE makes the whole a huge page, zeroing what was never
 * there. Measured on Linux 6.18, 1 GiB: 125 ms, against 1.4 s for touching 4 KiB pages and 4.0 s
 * for touching all and collapsing then.
 */
#include <linux/mempolicy.h>
#include <muster/core/populate.h>
#include <stdlib.h>
#include <string.h>

#include "memory/placement.h"
#include "team/state.h"

/* Committed at once, so that an end of the team is not waited for long: 64 MiB take some 10 ms. */
#define STEP_BYTES (64ull << 20)

#define HUGE_BYTES MUSTER_HUGE_PAGE_BYTES

/* One rank's work on one array. */
struct commit {
    unsigned char *address; /* of the array */
    uint64_t page_bytes;
    uint64_t pool_bytes; /* of a page, if the array is made of a pool's; otherwise 0 */
    uint32_t flags;      /* enum muster_commit_flag */
    struct muster__query *query;
    uint64_t misplaced_bytes, huge_bytes;
    uint64_t *counts;     /* of pages by node, or NULL: not asked for */
    uint32_t count_nodes; /* of counts */
    uint32_t remarks;     /* enum muster_commit_remark */
    bool is_full;         /* a node took no more: moving is given up */
};

/* Makes huge pages of whole units. What can't be had is left to ordinary pages. */
static int collapse(struct commit *commit, unsigned char *start, uint64_t size_bytes)
{
    for (uint64_t at = 0; at < size_bytes; at += HUGE_BYTES) {
        int status = muster__os_populate(start + at, commit->page_bytes, true);
        if (status < 0)
            return status;
    }
    if (muster__os_collapse(start, size_bytes) == 0) {
        commit->huge_bytes += size_bytes;
        return 0;
    }
    /* One by one, to know how many there are: a unit that is huge already collapses at once. */
    for (uint64_t at = 0; at < size_bytes; at += HUGE_BYTES) {
        if (muster__os_collapse(start + at, HUGE_BYTES) == 0)
            commit->huge_bytes += HUGE_BYTES;
        else
            commit->remarks |= MUSTER_COMMIT_NOT_HUGE;
    }
    return 0;
}

/* Asks where pages lie, and moves those that lie elsewhere. step_bytes: from one page to the next.
 */
static int mend(struct commit *commit, unsigned char *start, uint64_t size_bytes,
                uint64_t step_bytes, uint32_t node)
{
    struct muster__query *query = commit->query;
    uint64_t pages = (size_bytes + step_bytes - 1) / step_bytes;
    for (uint64_t done = 0; done < pages;) {
        uint64_t count = pages - done < MUSTER__QUERY_PAGES ? pages - done : MUSTER__QUERY_PAGES,
                 wrong = 0;
        int status = muster__query_nodes(query, start + done * step_bytes, count, step_bytes);
        if (status == -EXDEV) {
            commit->remarks |= MUSTER_COMMIT_UNREAD;
            return 0;
        }
        if (status < 0)
            return status;
        for (uint64_t i = 0; i < count; i++)
            if (query->status[i] != (int)node) {
                query->pages[wrong] = query->pages[i];
                query->nodes[wrong++] = (int)node;
            }
        done += count;
        if (wrong == 0)
            continue;
        /* A full node is a clean -ENOMEM here: no kill (numa-facts, "Migration"). Pages that were
         * moved before are counted right below. */
        if (!commit->is_full) {
            status = muster__os_move_pages(query->pages, wrong, query->nodes, query->status);
            commit->is_full = status < 0;
            if (status == -EACCES)
                commit->remarks |= MUSTER_COMMIT_FORBIDDEN;
        }
        status = muster__placement_refusal(
            muster__os_move_pages(query->pages, wrong, NULL, query->status));
        if (status < 0)
            return status;
        for (uint64_t i = 0; i < wrong; i++)
            if (query->status[i] != (int)node)
                commit->misplaced_bytes += step_bytes;
    }
    return 0;
}

/* Counts the base pages of a range by node. step_bytes: from one page to the next. */
static int count_nodes(struct commit *commit, unsigned char *start, uint64_t size_bytes,
                       uint64_t step_bytes)
{
    struct muster__query *query = commit->query;
    uint64_t pages = (size_bytes + step_bytes - 1) / step_bytes;
    for (uint64_t done = 0; done < pages;) {
        uint64_t count = pages - done < MUSTER__QUERY_PAGES ? pages - done : MUSTER__QUERY_PAGES;
        int status = muster__query_nodes(query, start + done * step_bytes, count, step_bytes);
        if (status == -EXDEV) {
            commit->remarks |= MUSTER_COMMIT_UNREAD;
            return 0;
        }
        if (status < 0)
            return status;
        for (uint64_t i = 0; i < count; i++) {
            int node = query->status[i];
            if (node >= 0 && (uint32_t)node < commit->count_nodes)
                commit->counts[node] += step_bytes / commit->page_bytes;
            else
                commit->remarks |= MUSTER_COMMIT_UNCOUNTED;
        }
        done += count;
    }
    return 0;
}

/* Looks where a range lies that is committed, and mends it where it has a node. huge_bytes: how
 * much of its beginning is in huge pages. */
static int look(struct commit *commit, unsigned char *start, uint64_t size_bytes,
                uint64_t huge_bytes, uint64_t huge_step_bytes, uint32_t node)
{
    bool mends = node != MUSTER_NODE_ANY && commit->flags & MUSTER_COMMIT_PLACE;
    int status = 0;
    if (!mends && !commit->counts)
        return 0;
    if (huge_bytes)
        status = mends ? mend(commit, start, huge_bytes, huge_step_bytes, node)
                       : count_nodes(commit, start, huge_bytes, huge_step_bytes);
    if (status == 0 && huge_bytes < size_bytes)
        status = mends ? mend(commit, start + huge_bytes, size_bytes - huge_bytes,
                              commit->page_bytes, node)
                       : count_nodes(commit, start + huge_bytes, size_bytes - huge_bytes,
                                     commit->page_bytes);
    return status;
}

/* Commits a range that belongs on one node. */
static int commit_range(struct commit *commit, uint64_t first, uint64_t end, uint32_t node)
{
    uint64_t step = commit->pool_bytes > STEP_BYTES ? commit->pool_bytes : STEP_BYTES;
    for (uint64_t at = first, next; at < end; at = next) {
        next = end - at < step ? end : at + step;
        unsigned char *start = commit->address + at;
        uint64_t huge_before = commit->huge_bytes;
        /* The end of the array may have no whole unit. */
        uint64_t units = commit->flags & MUSTER_COMMIT_HUGE && (uintptr_t)start % HUGE_BYTES == 0
                             ? (next - at) / HUGE_BYTES * HUGE_BYTES
                             : 0;
        int status = units ? collapse(commit, start, units) : 0;
        if (status == 0)
            status = muster__os_populate(start, next - at, !(commit->flags & MUSTER_COMMIT_READ));
        if (status < 0)
            return status;
        if (commit->pool_bytes) {
            commit->huge_bytes += next - at;
            status = look(commit, start, next - at, next - at, commit->pool_bytes, node);
        } else {
            bool all_huge = commit->huge_bytes - huge_before == units;
            status = look(commit, start, next - at, all_huge ? units : 0, HUGE_BYTES, node);
        }
        if (status < 0)
            return status;
    }
    return 0;
}

/* Prefers a node for what this process touches, where that is not refused. */
static int prefer(struct commit *commit, uint32_t node)
{
    uint64_t mask[MUSTER_NODES_MAX / 64] = {0};
    if (node >= MUSTER_NODES_MAX)
        return -EUCLEAN;
    mask[node / 64] = (uint64_t)1 << (node % 64);
    int status = muster__placement_refusal(
        muster__os_set_task_policy(MPOL_PREFERRED, mask, MUSTER_NODES_MAX));
    if (status == -EXDEV)
        commit->remarks |= MUSTER_COMMIT_REFUSED;
    /* The leader has looked that there is such a node, so it is this rank's cpuset that has not. */
    if (status == -EINVAL)
        commit->remarks |= MUSTER_COMMIT_FORBIDDEN;
    return status == -EXDEV || status == -EINVAL ? 0 : status;
}

/* The pieces of a share. The list was written by another process: a copy of each is checked. */
static int commit_pieces(struct commit *commit, const struct muster_piece *pieces, uint64_t count,
                         struct muster_interval share)
{
    int status = 0;
    uint64_t begin = 0;
    for (uint64_t i = 0; status == 0 && i < count && begin < share.end; i++) {
        struct muster_piece piece = pieces[i];
        if (piece.end_bytes <= begin)
            return -EUCLEAN;
        uint64_t first = begin > share.first ? begin : share.first;
        uint64_t end = piece.end_bytes < share.end ? piece.end_bytes : share.end;
        begin = piece.end_bytes;
        if (first >= end)
            continue;
        if (piece.node != MUSTER_NODE_ANY && commit->flags & MUSTER_COMMIT_PLACE &&
            !(commit->remarks & MUSTER_COMMIT_REFUSED))
            status = prefer(commit, piece.node);
        if (status == 0)
            status = commit_range(commit, first, end, piece.node);
    }
    return status;
}

int muster_worker_commit(struct muster_team *team, uint32_t rank)
{
    const struct muster_job *job = team->job;
    struct muster_slot *slot = &team->slots[rank];
    uint64_t chunk = job->block_bytes, size = job->extent_bytes, unit = job->unit_bytes;
    uint64_t pieces = job->list_count;
    struct commit commit = {.address = team->space.address + job->extent_offset,
                            .page_bytes = team->plan.page_bytes,
                            .flags = job->flags};
    if (commit.flags & MUSTER_COMMIT_POOL)
        commit.pool_bytes = unit;
    if (chunk == 0 || unit == 0 || unit % commit.page_bytes || pieces > MUSTER_LIST_MAX ||
        job->extent_offset > team->space.size_bytes ||
        size > team->space.size_bytes - job->extent_offset ||
        (job->extent_offset < team->space.arena_bytes &&
         size > team->space.arena_bytes - job->extent_offset))
        return -EUCLEAN;
    struct muster_interval share = muster_placement_share(size, chunk, unit, team->plan.size, rank);
    const struct muster_piece whole = {.end_bytes = size, .node = MUSTER_NODE_ANY};
    uint64_t policy[MUSTER_NODES_MAX / 64];
    int mode = 0, status = 0;
    bool counts = commit.flags & MUSTER_COMMIT_COUNT && pieces == 0;
    if (counts) {
        commit.counts = muster_commit_counts(team, rank, &commit.count_nodes);
        memset(commit.counts, 0, commit.count_nodes * sizeof *commit.counts);
    }
    if (counts || commit.flags & MUSTER_COMMIT_PLACE) {
        commit.query = malloc(sizeof *commit.query);
        if (!commit.query)
            return -ENOMEM;
    }
    if (commit.flags & MUSTER_COMMIT_PLACE) {
        /* The leader commits for ranks that are vacant, and has a policy of its own. */
        status = muster__placement_refusal(muster__os_task_policy(&mode, policy, MUSTER_NODES_MAX));
        if (status == -EXDEV)
            commit.remarks |= MUSTER_COMMIT_REFUSED;
        status = status == -EXDEV ? 0 : status;
    }
    bool restores = commit.flags & MUSTER_COMMIT_PLACE && status == 0 &&
                    !(commit.remarks & MUSTER_COMMIT_REFUSED);
    if (status == 0)
        status = pieces == 0 ? commit_pieces(&commit, &whole, 1, share)
                             : commit_pieces(&commit, (const struct muster_piece *)team->list,
                                             pieces, share);
    if (restores)
        muster__os_restore_task_policy(mode, policy, MUSTER_NODES_MAX);
    free(commit.query);
    slot->misplaced_bytes = commit.misplaced_bytes;
    slot->huge_bytes = commit.huge_bytes;
    slot->remarks = commit.remarks;
    return status;
}

struct muster_piece *muster_team_pieces(struct muster_team *team)
{
    _Static_assert(sizeof(struct muster_piece) == sizeof(struct muster_interval), "one list");
    return (struct muster_piece *)team->list;
}

uint64_t *muster_commit_counts(struct muster_team *team, uint32_t rank, uint32_t *count)
{
    uint64_t room = MUSTER_LIST_MAX * sizeof *team->list / sizeof(uint64_t);
    uint64_t each = room / team->plan.size;
    *count = each < MUSTER_NODES_MAX ? (uint32_t)each : MUSTER_NODES_MAX;
    return (uint64_t *)(void *)team->list + rank * (uint64_t)*count;
}

uint64_t muster_huge_page_bytes(void)
{
    char text[32];
    /* No bytes at all are refused only by a kernel that does not know the advice. */
    if (muster__os_collapse(NULL, 0) < 0 ||
        muster__os_read_text("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", text,
                             sizeof text) < 0)
        return 0;
    return strtoull(text, NULL, 10);
}
