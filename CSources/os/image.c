/* image.c - places in the program's own image and in libraries, as numbers that another process
 * understands: each of them may be loaded anywhere.
 *
 * Invariant: an address that muster_program_address or muster_place_address gives lies in the image
 * that was asked for.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <muster/core/server.h>
#include <string.h>

#include "base/hash.h"

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

/* -- libraries ------------------------------------------------------------------------------ */

/* The hash of an image's build-id; 0: it has none. Notes are names and contents, each filled up to
 * the segment's alignment (elf(5), "Notes"). */
static uint64_t hash_build(const struct dl_phdr_info *image)
{
    for (int i = 0; i < image->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &image->dlpi_phdr[i];
        if (part->p_type != PT_NOTE || !lies_in(image, part->p_vaddr))
            continue;
        const unsigned char *at = (const unsigned char *)(image->dlpi_addr + part->p_vaddr);
        uint64_t left = part->p_memsz, unit = part->p_align == 8 ? 8 : 4;
        ElfW(Nhdr) note;
        while (left >= sizeof note) {
            memcpy(&note, at, sizeof note);
            uint64_t name = sizeof note + note.n_namesz;
            name = (name + unit - 1) / unit * unit;
            uint64_t whole = (name + note.n_descsz + unit - 1) / unit * unit;
            if (name + note.n_descsz > left)
                break;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
                memcmp(at + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
                uint64_t hash = muster__hash_bytes(MUSTER__HASH_START, at + name, note.n_descsz);
                return hash ? hash : 1;
            }
            whole = whole < left ? whole : left;
            at += whole;
            left -= whole;
        }
    }
    return 0;
}

/* 0: the program's own image, which has no name: two programs are not two builds of one file. */
static uint64_t hash_name(const struct dl_phdr_info *image)
{
    const char *name = image->dlpi_name ? image->dlpi_name : "";
    const char *last = strrchr(name, '/');
    return *name ? muster__hash_text(MUSTER__HASH_START, last ? last + 1 : name) : 0;
}

struct search {
    struct muster_place place;
    uintptr_t address;
    bool is_other; /* a file of that name, and of another build, was seen */
};

static int find_place(struct dl_phdr_info *image, size_t size, void *context)
{
    struct search *search = context;
    (void)size;
    uintptr_t offset = search->address - image->dlpi_addr;
    if (!lies_in(image, offset))
        return 0;
    search->place = (struct muster_place){
        .offset = offset, .build = hash_build(image), .name = hash_name(image)};
    return 1;
}

static int find_build(struct dl_phdr_info *image, size_t size, void *context)
{
    struct search *search = context;
    (void)size;
    if (hash_build(image) == search->place.build && lies_in(image, search->place.offset)) {
        search->address = image->dlpi_addr + search->place.offset;
        return 1;
    }
    search->is_other |= search->place.name != 0 && hash_name(image) == search->place.name;
    return 0;
}

int muster_place_find(const void *address, struct muster_place *place)
{
    struct search search = {.address = (uintptr_t)address};
    if (dl_iterate_phdr(find_place, &search) == 0)
        return -ENOENT;
    if (search.place.build == 0)
        return -ENODATA;
    *place = search.place;
    return 0;
}

int muster_place_address(const struct muster_place *place, const void **address)
{
    struct search search = {.place = *place};
    if (dl_iterate_phdr(find_build, &search) == 0)
        return search.is_other ? -ESTALE : -ENOENT;
    *address = (const void *)search.address;
    return 0;
}
