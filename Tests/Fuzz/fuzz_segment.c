/* fuzz_segment.c - muster_segment_attach on any descriptor, size, seals and bytes.
 *
 * What must hold: 0 only where no rule of the header is broken, and then all of the memory is there
 * and is the file's; an error that a broken rule is documented to give; outputs set on success
 * only; the descriptor not taken over, and none left over.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <muster/core/segment.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

/* Written down here a second time: a change of either is a change of layout. */
#define MAGIC 0x0a0d52455453554dull

/* Sizes around every border in the code and in the kernel. */
static const uint64_t sizes[] = {0,       31,         32,         33,         4095,
                                 4096,    4097,       8192,       1ull << 20, 1ull << 33,
                                 1 << 22, 1ull << 46, 1ull << 62, INT64_MAX,  65536};

/* Rules that a file breaks, as bits. */
enum { TOO_SHORT = 1, FOREIGN = 2, UNSEALED = 4, TORN = 8, UNMAPPABLE = 16 };

static uint64_t checksum(const struct muster_segment_header *header)
{
    const unsigned char *bytes = (const unsigned char *)header;
    uint64_t hash = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < 24; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    return hash;
}

/* A header that is right, then changed in places; its checksum is mended in half of the cases, so
 * that what is checked after it is reached. */
static struct muster_segment_header make_header(struct input *input, uint64_t size_bytes)
{
    struct muster_segment_header header = {.magic = MAGIC,
                                           .layout_version = MUSTER_LAYOUT_VERSION,
                                           .kind = 1 + (uint32_t)take_below(input, 2),
                                           .size_bytes = size_bytes};
    header.checksum = checksum(&header);
    for (uint64_t changes = take_below(input, 4); changes > 0; changes--) {
        uint64_t at = take_below(input, sizeof header);
        ((unsigned char *)&header)[at] ^= (unsigned char)take(input, 1);
    }
    if (take(input, 1) & 1)
        header.checksum = checksum(&header);
    return header;
}

static uint32_t rules_broken(const struct muster_segment_header *header, uint32_t kind,
                             uint64_t size_bytes, int seals)
{
    uint32_t broken = 0;
    if (header->magic != MAGIC || header->layout_version != MUSTER_LAYOUT_VERSION ||
        header->kind != kind)
        broken |= FOREIGN;
    if (header->checksum != checksum(header) || header->size_bytes != size_bytes)
        broken |= TORN;
    if ((seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_GROW) == 0)
        broken |= UNSEALED;
    if (size_bytes < sizeof *header)
        broken |= TOO_SHORT;
    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) || size_bytes > 1ull << 40)
        broken |= UNMAPPABLE;
    return broken;
}

static int attach(int fd, uint32_t kind, struct muster_segment *segment)
{
    *segment = (struct muster_segment){.fd = -5, .size_bytes = 5};
    int status = muster_segment_attach(fd, (enum muster_segment_kind)kind, segment);
    HOLDS(status <= 0, "status %d", status);
    HOLDS(status == 0 || (segment->fd == -5 && segment->size_bytes == 5 && !segment->address),
          "an output is set though the status is %d", status);
    return status;
}

static void check_memfd(struct input *input)
{
    uint64_t choice = take_below(input, 32);
    uint64_t size_bytes = choice < sizeof sizes / sizeof *sizes ? sizes[choice] : take(input, 2);
    int seals = (int)take(input, 1) &
                (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
    /* One bit decides whether most inputs get past the seals at all. */
    if (seals & F_SEAL_SEAL)
        seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
    uint32_t kind = (uint32_t)take_below(input, 3);
    struct muster_segment_header header = make_header(input, size_bytes);
    if (take_below(input, 8) == 1) {
        memset(&header, 0, sizeof header);
        memcpy(&header, input->next, input->left < sizeof header ? input->left : sizeof header);
    }

    int fd = memfd_create("muster-fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    HOLDS(fd >= 0, "memfd_create");
    if (ftruncate(fd, (off_t)size_bytes) < 0) {
        close(fd);
        return;
    }
    size_t written = size_bytes < sizeof header ? (size_t)size_bytes : sizeof header;
    HOLDS(pwrite(fd, &header, written, 0) == (ssize_t)written, "pwrite");
    HOLDS(fcntl(fd, F_ADD_SEALS, seals) == 0, "seals %x", seals);

    uint32_t broken = rules_broken(&header, kind, size_bytes, seals);
#ifdef MUSTER_FUZZ_CANARY
    broken &= ~(uint32_t)FOREIGN; /* believes that any kind is accepted */
#endif
    struct muster_segment segment;
    int status = attach(fd, kind, &segment);
    switch (status) {
    case 0:
        HOLDS((broken & ~(uint32_t)UNMAPPABLE) == 0, "accepted, but broken: %x", broken);
        HOLDS(segment.fd == -1 && segment.size_bytes == size_bytes, "size %llu",
              (unsigned long long)size_bytes);
        HOLDS(memcmp(segment.address, &header, sizeof header) == 0, "other bytes");
        *(volatile unsigned char *)(segment.address + size_bytes - 1) = 1;
        HOLDS(ftruncate(fd, 0) < 0, "a segment that can be shortened");
        muster_segment_destroy(&segment);
        muster_segment_destroy(&segment);
        break;
    case -EPROTO:
        HOLDS(broken & (TOO_SHORT | FOREIGN), "-EPROTO, but broken: %x", broken);
        break;
    case -EUCLEAN:
        HOLDS(broken & (UNSEALED | TORN), "-EUCLEAN, but broken: %x", broken);
        break;
    default:
        HOLDS(broken == UNMAPPABLE, "status %d, but broken: %x", status, broken);
    }
    HOLDS(fcntl(fd, F_GETFD) >= 0, "the descriptor was taken over");
    close(fd);
}

/* What is no memfd at all. */
static void check_other(struct input *input)
{
    int ends[2] = {-1, -1}, fd = -1;
    uint64_t what = take_below(input, 8);
    switch (what) {
    case 0:
        HOLDS(pipe(ends) == 0, "pipe");
        fd = ends[take_below(input, 2)];
        break;
    case 1:
        fd = open("/", O_RDONLY | O_DIRECTORY);
        break;
    case 2:
        fd = open("/dev/zero", O_RDWR);
        break;
    case 3:
        fd = open("/proc/self/exe", O_RDONLY);
        break;
    case 4:
        fd = eventfd(0, 0);
        break;
    case 5:
        fd = (int)take(input, 4) | 1 << 24; /* beyond any that is open; half of them negative */
        break;
    case 6:
        fd = open("/proc/self/exe", O_PATH);
        break;
    default:
        fd = open("/proc/self/maps", O_RDONLY);
    }
    struct muster_segment segment;
    int status = attach(fd, (uint32_t)take(input, 4), &segment);
    /* O_PATH: neither fstat nor mmap can tell what it is, fcntl says -EBADF. */
    HOLDS(status == (what == 5 || what == 6 ? -EBADF : -EPROTO), "descriptor %llu: status %d",
          (unsigned long long)what, status);
    if (what != 5)
        close(fd);
    if (ends[0] >= 0)
        close(fd == ends[0] ? ends[1] : ends[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The lowest free descriptor is the same afterwards, or one is left over. */
    int before = dup(2);
    close(before);
    struct input input = {data, size};
    if (take_below(&input, 16) == 1)
        check_other(&input);
    else
        check_memfd(&input);
    int after = dup(2);
    close(after);
    HOLDS(after == before, "a descriptor is left over");
    return 0;
}
