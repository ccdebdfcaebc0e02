/* file.h - files that become arrays: opened, measured, read and written in pieces.
 *
 * Descriptors are close-on-exec. Mapping is the space's business (segment.h).
 */
#ifndef MUSTER_CORE_FILE_H
#define MUSTER_CORE_FILE_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a regular file and measures it.
 *
 * Returns: 0; -EISDIR; -EINVAL: a device, pipe or socket; or an errno of open. */
int muster_file_open(const char *path, bool writable, int *fd, uint64_t *size_bytes);

/* Creates a file, or empties one, for writing. Returns: 0, or an errno of open. */
int muster_file_create(const char *path, int *fd);

/* Its size now. Returns: 0, or an errno of fstat. */
int muster_file_size(int fd, uint64_t *size_bytes);

/* Gives it blocks on disk for size_bytes, and at least that size. Returns: 0; -ENOSPC; -EOPNOTSUPP:
 * this file system can't; or another errno of fallocate. */
int muster_file_allocate(int fd, uint64_t size_bytes);

/* Reads up to size_bytes at an offset. Returns: bytes read, fewer only at the end of the file. */
int64_t muster_file_read(int fd, void *buffer, size_t size_bytes, uint64_t offset_bytes);

/* Writes all bytes at the file's position. Returns: size_bytes, or an errno of write. */
int64_t muster_file_write(int fd, const void *buffer, size_t size_bytes);

/* Closes a written file. Returns: 0, or an errno of close, which can be the first to report a full
 * disk on a network file system. */
int muster_file_finish(int fd);

/* Puts a finished file in the place of another, or of none. Returns: 0, or an errno of rename. */
int muster_file_rename(const char *from, const char *to);

/* Removes a file that was not finished. */
void muster_file_remove(const char *path);

/* Closes a file that was only read. */
void muster_file_close(int fd);

#ifdef __cplusplus
}
#endif

#endif
