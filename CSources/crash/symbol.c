/* symbol.c - reads ELF files for the names of functions, and says in words where a crash was.
 *
 * Invariant: nothing outside the mapped file is read, for any contents of the file. A file that
 * becomes shorter meanwhile would end this process by SIGBUS, so what is needed is mapped for as
 * short as can be: programs are replaced, not cut.
 */
#include <elf.h>
#include <muster/core/symbol.h>
#include <string.h>

#include "crash/line_table.h"
#include "os/os.h"

struct image {
    const unsigned char *bytes;
    uint64_t size_bytes;
    const Elf64_Shdr *sections;
    uint32_t section_count;
    struct muster__bytes names;
};

/* Whether a part lies in the file. */
static bool holds(const struct image *image, uint64_t offset, uint64_t size_bytes)
{
    return offset <= image->size_bytes && size_bytes <= image->size_bytes - offset;
}

static struct muster__bytes contents(const struct image *image, const Elf64_Shdr *section)
{
    struct muster__bytes none = {NULL, 0};
    bool is_there = section->sh_type != SHT_NOBITS && !(section->sh_flags & SHF_COMPRESSED) &&
                    holds(image, section->sh_offset, section->sh_size);
    return is_there ? (struct muster__bytes){image->bytes + section->sh_offset, section->sh_size}
                    : none;
}

static struct muster__bytes section_named(const struct image *image, const char *name)
{
    for (uint32_t i = 0; i < image->section_count; i++) {
        uint64_t at = image->sections[i].sh_name, length = strlen(name) + 1;
        if (at < image->names.size_bytes && length <= image->names.size_bytes - at &&
            memcmp(image->names.start + at, name, length) == 0)
            return contents(image, &image->sections[i]);
    }
    return (struct muster__bytes){NULL, 0};
}

/* Checks the head, finds sections, and turns the place in the file into an address. */
static int read_head(struct image *image, uint64_t offset_bytes, uint64_t *address)
{
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)(const void *)image->bytes;
    if (image->size_bytes < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
        head->e_phentsize != sizeof(Elf64_Phdr) || head->e_phoff % 8 != 0 ||
        !holds(image, head->e_phoff, head->e_phnum * sizeof(Elf64_Phdr)))
        return -ENOEXEC;
    const Elf64_Phdr *parts = (const Elf64_Phdr *)(const void *)(image->bytes + head->e_phoff);
    bool is_loaded = false;
    for (uint32_t i = 0; i < head->e_phnum && !is_loaded; i++) {
        is_loaded = parts[i].p_type == PT_LOAD && offset_bytes >= parts[i].p_offset &&
                    offset_bytes - parts[i].p_offset < parts[i].p_filesz;
        *address = parts[i].p_vaddr + (offset_bytes - parts[i].p_offset);
    }
    if (!is_loaded)
        return -ENOENT;
    if (head->e_shentsize != sizeof(Elf64_Shdr) || head->e_shoff % 8 != 0 ||
        !holds(image, head->e_shoff, head->e_shnum * sizeof(Elf64_Shdr)) ||
        head->e_shstrndx >= head->e_shnum)
        return 0; /* stripped of them: no names */
    image->sections = (const Elf64_Shdr *)(const void *)(image->bytes + head->e_shoff);
    image->section_count = head->e_shnum;
    image->names = contents(image, &image->sections[head->e_shstrndx]);
    return 0;
}

/* The function of an address in one symbol table. */
static bool find_function(const struct image *image, const Elf64_Shdr *table, uint64_t address,
                          struct muster_symbol *symbol)
{
    struct muster__bytes entries = contents(image, table);
    if (table->sh_link >= image->section_count || table->sh_offset % 8 != 0)
        return false;
    struct muster__bytes names = contents(image, &image->sections[table->sh_link]);
    const Elf64_Sym *all = (const Elf64_Sym *)(const void *)entries.start;
    for (uint64_t i = 0; i < entries.size_bytes / sizeof *all; i++) {
        if (ELF64_ST_TYPE(all[i].st_info) != STT_FUNC || all[i].st_shndx == SHN_UNDEF ||
            address < all[i].st_value || address - all[i].st_value >= all[i].st_size ||
            all[i].st_name >= names.size_bytes)
            continue;
        const char *name = (const char *)names.start + all[i].st_name;
        size_t length = strnlen(name, names.size_bytes - all[i].st_name);
        if (length == 0)
            continue;
        if (length >= sizeof symbol->function)
            length = sizeof symbol->function - 1;
        memcpy(symbol->function, name, length);
        symbol->function[length] = '\0';
        return true;
    }
    return false;
}

static int find_in(struct image *image, uint64_t offset_bytes, bool with_line,
                   struct muster_symbol *symbol)
{
    uint64_t address = 0;
    int status = read_head(image, offset_bytes, &address);
    if (status < 0)
        return status;
    static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};
    for (uint32_t kind = 0; kind < 2 && !symbol->function[0]; kind++)
        for (uint32_t i = 0; i < image->section_count; i++)
            if (image->sections[i].sh_type == kinds[kind] &&
                find_function(image, &image->sections[i], address, symbol))
                break;
    struct muster__line_sections lines = {section_named(image, ".debug_line"),
                                          section_named(image, ".debug_line_str"),
                                          section_named(image, ".debug_str")};
    if (with_line && lines.lines.start)
        (void)muster__line_find(&lines, address, symbol);
    return symbol->function[0] || symbol->line > 0 ? 0 : -ENOENT;
}

int muster_symbol_find(const char *path, uint64_t offset_bytes, bool with_line,
                       struct muster_symbol *symbol)
{
    memset(symbol, 0, sizeof *symbol);
    uint32_t mode_bits = 0;
    uint64_t size_bytes = 0;
    void *address = NULL;
    int fd = muster__os_open(path, false, false);
    if (fd < 0)
        return fd;
    int status = muster__os_stat(fd, &size_bytes, &mode_bits);
    if (status == 0 && size_bytes == 0)
        status = -ENOEXEC;
    if (status == 0)
        status = muster__os_map(fd, 0, size_bytes, false, NULL, &address);
    muster__os_close(fd);
    if (status < 0)
        return status;
    struct image image = {.bytes = address, .size_bytes = size_bytes};
    status = find_in(&image, offset_bytes, with_line, symbol);
    muster__os_unmap(address, size_bytes);
    return status;
}
