/* segment.c - making, validating and mapping nameless shared memory.
 *
 * Invariant: a segment that muster_segment_attach has accepted is exactly as long as its header
 * says and can't be shortened, so no access inside it can raise SIGBUS for want of a file.
 */
#include <muster/core/segment.h>
#include <string.h>

#include "base/hash.h"
#include "os/os.h"

#define MAGIC 0x0a0d52455453554dull /* "MUSTER\r\n": text-mode transfers break it visibly */

#define DONT_DUMP 16 /* MADV_DONTDUMP: a crash must not write out terabytes of reserved room */

static uint64_t header_checksum(const struct muster_segment_header *header)
{
    return muster__hash_bytes(MUSTER__HASH_START, header,
                              offsetof(struct muster_segment_header, checksum));
}

int muster_segment_create(const char *name, enum muster_segment_kind kind, uint64_t size_bytes,
                          struct muster_segment *segment)
{
    int fd = muster__os_memfd(name);
    if (fd < 0)
        return fd;
    void *address = NULL;
    int status = muster__os_truncate(fd, size_bytes);
    if (status == 0)
        status = muster__os_seal_size(fd);
    if (status == 0)
        status = muster__os_map(fd, 0, size_bytes, true, NULL, &address);
    if (status < 0) {
        muster__os_close(fd);
        return status;
    }
    (void)muster__os_advise(address, size_bytes, DONT_DUMP);
    struct muster_segment_header header = {.magic = MAGIC,
                                           .layout_version = MUSTER_LAYOUT_VERSION,
                                           .kind = kind,
                                           .size_bytes = size_bytes};
    header.checksum = header_checksum(&header);
    memcpy(address, &header, sizeof header);
    *segment = (struct muster_segment){.fd = fd, .size_bytes = size_bytes, .address = address};
    return 0;
}

static int validate(const struct muster_segment_header *header, enum muster_segment_kind kind,
                    uint64_t file_bytes)
{
    if (header->magic != MAGIC || header->layout_version != MUSTER_LAYOUT_VERSION)
        return -EPROTO;
    if (header->checksum != header_checksum(header) || header->size_bytes != file_bytes)
        return -EUCLEAN;
    return header->kind == (uint32_t)kind ? 0 : -EPROTO;
}

int muster_segment_attach(int fd, enum muster_segment_kind kind, struct muster_segment *segment)
{
    uint64_t size_bytes = 0;
    uint32_t mode_bits = 0;
    int status = muster__os_stat(fd, &size_bytes, &mode_bits);
    if (status < 0)
        return status;
    if (size_bytes < sizeof(struct muster_segment_header))
        return -EPROTO;
    int sealed = muster__os_sealed_size(fd);
    if (sealed < 0)
        return sealed == -EINVAL ? -EPROTO : sealed; /* no memfd at all */
    if (!sealed)
        return -EUCLEAN;
    /* Copied before it is looked at: another process may still write to it. */
    struct muster_segment_header header;
    int64_t length = muster__os_read_at(fd, &header, sizeof header, 0);
    if (length < 0)
        return (int)length;
    status = length == sizeof header ? validate(&header, kind, size_bytes) : -EUCLEAN;
    if (status < 0)
        return status;
    void *address = NULL;
    status = muster__os_map(fd, 0, size_bytes, true, NULL, &address);
    if (status < 0)
        return status;
    *segment = (struct muster_segment){.fd = -1, .size_bytes = size_bytes, .address = address};
    return 0;
}

void muster_segment_destroy(struct muster_segment *segment)
{
    if (!segment->address)
        return;
    muster__os_unmap(segment->address, segment->size_bytes);
    if (segment->fd >= 0)
        muster__os_close(segment->fd);
    *segment = (struct muster_segment){.fd = -1};
}
