/* pool.h - memory from the system's pools of huge pages (hugetlb).
 *
 * An administrator fills a pool; it holds pages of one size that nothing else can use. Three things
 * are different from other memory. A policy belongs to a mapping, not to the memory, so the process
 * that touches a page first puts it on its node. A mapping reserves its pages, of all nodes
 * together. Touching a page that can't be had is a SIGBUS, so every page is committed by a call
 * that fails instead (muster_worker_commit).
 */
#ifndef MUSTER_CORE_POOL_H
#define MUSTER_CORE_POOL_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pages of a pool that nobody has or has reserved.
 *
 * page_bytes: of the pool. node: the pages there, reserved ones among them, since a reservation
 * names no node; MUSTER_NODE_ANY: all nodes.
 * Returns: 0; -ENOENT: this kernel has no such pool, or no such node; -EUCLEAN: its files make no
 * sense; or an errno. Source: Documentation/admin-guide/mm/hugetlbpage.rst. */
int muster_pool_free_pages(uint64_t page_bytes, uint32_t node, uint64_t *pages);

/* Makes nameless memory of a pool's pages, of sealed size. Mapping it reserves its pages (-ENOMEM).
 *
 * size_bytes: a multiple of page_bytes. Returns: 0; -ENOENT, -EINVAL, -ENODEV: there is no such
 * pool; or an errno. Ownership: the caller closes *fd (muster_file_close). */
int muster_pool_create(uint64_t page_bytes, uint64_t size_bytes, int *fd);

/* Makes nameless memory of ordinary pages, of sealed size: for an array that the arena has no room
 * for.
 *
 * size_bytes: a whole number of pages. Returns: 0 and a descriptor; -EFBIG: longer than files may
 * be; or an errno. Ownership: muster_file_close. */
int muster_memory_create(uint64_t size_bytes, int *fd);

#ifdef __cplusplus
}
#endif

#endif
