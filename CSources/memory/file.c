/* file.c - files that become arrays. */
#include <muster/core/file.h>
#include <sys/stat.h>

#include "os/os.h"

int muster_file_open(const char *path, bool writable, int *fd, uint64_t *size_bytes)
{
    int opened = muster__os_open(path, writable, false);
    if (opened < 0)
        return opened == -ENXIO ? -EINVAL : opened; /* a socket, or a device without a driver */
    uint64_t size = 0;
    uint32_t mode = 0;
    int status = muster__os_stat(opened, &size, &mode);
    if (status == 0 && !S_ISREG(mode))
        status = S_ISDIR(mode) ? -EISDIR : -EINVAL;
    if (status < 0) {
        muster__os_close(opened);
        return status;
    }
    *fd = opened;
    *size_bytes = size;
    return 0;
}

int muster_file_create(const char *path, int *fd)
{
    int opened = muster__os_open(path, true, true);
    if (opened < 0)
        return opened;
    *fd = opened;
    return 0;
}

int muster_file_size(int fd, uint64_t *size_bytes)
{
    uint32_t mode;
    return muster__os_stat(fd, size_bytes, &mode);
}

int muster_file_allocate(int fd, uint64_t size_bytes)
{
    return size_bytes ? muster__os_allocate(fd, size_bytes) : 0;
}

int64_t muster_file_read(int fd, void *buffer, size_t size_bytes, uint64_t offset_bytes)
{
    return muster__os_read_at(fd, buffer, size_bytes, offset_bytes);
}

int64_t muster_file_write(int fd, const void *buffer, size_t size_bytes)
{
    return muster__os_write(fd, buffer, size_bytes);
}

int muster_file_finish(int fd)
{
    return muster__os_finish(fd);
}

int muster_file_rename(const char *from, const char *to)
{
    return muster__os_rename(from, to);
}

void muster_file_remove(const char *path)
{
    muster__os_unlink(path);
}

void muster_file_close(int fd)
{
    muster__os_close(fd);
}
