/* image.c - places in the program's own image, as numbers that every process of this program
 * understands: it may be loaded anywhere.
 *
 * Invariant: an address that muster_program_address gives lies in the image.
 */
#define _GNU_SOURCE
#include <link.h>
#include <muster/core/server.h>

struct place {
    int64_t offset;
    uintptr_t address;
};

static bool lies_in(const struct dl_phdr_info *image, uintptr_t offset)
{
    for (int i = 0; i < image->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &image->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && offset >= part->p_vaddr &&
            offset - part->p_vaddr < part->p_memsz)
            return true;
    }
    return false;
}

/* The first image is the program's own (dl_iterate_phdr(3)), hence the non-zero returns. */
static int find_offset(struct dl_phdr_info *image, size_t size, void *context)
{
    struct place *place = context;
    (void)size;
    uintptr_t offset = place->address - image->dlpi_addr;
    place->offset = lies_in(image, offset) ? (int64_t)offset : -1;
    return 1;
}

static int find_address(struct dl_phdr_info *image, size_t size, void *context)
{
    struct place *place = context;
    (void)size;
    if (place->offset >= 0 && lies_in(image, (uintptr_t)place->offset))
        place->address = image->dlpi_addr + (uintptr_t)place->offset;
    return 1;
}

int64_t muster_program_offset(const void *address)
{
    struct place place = {.offset = -1, .address = (uintptr_t)address};
    dl_iterate_phdr(find_offset, &place);
    return place.offset;
}

const void *muster_program_address(int64_t offset)
{
    struct place place = {.offset = offset, .address = 0};
    dl_iterate_phdr(find_address, &place);
    return (const void *)place.address;
}
