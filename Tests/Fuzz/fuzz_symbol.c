/* fuzz_symbol.c - the reader of ELF files and DWARF line tables, which other programs' compilers
 * have written and anybody may have damaged.
 *
 * What must hold: of a right file each address has the function and the line of a naive model, in
 * every version from 2 to 5 and both widths of offsets; of a damaged one nothing is read outside of
 * its bytes, and names end within their room.
 */
#include "crash/symbol.c"

#include "fuzz.h"

#define ROWS_MOST      24u
#define SEQUENCES_MOST 3u
#define UNITS_MOST     2u
#define FILES          3u

struct row_of_model {
    uint64_t address, line;
    uint32_t file;
};

struct sequence {
    struct row_of_model rows[ROWS_MOST];
    uint32_t count;
    uint64_t end;
};

struct unit {
    uint32_t version, offset_bytes;
    struct sequence sequences[SEQUENCES_MOST];
    uint32_t count;
};

/* Bytes as they are written. */
struct output {
    unsigned char bytes[8192];
    size_t length;
};

static void put(struct output *output, uint64_t number, size_t bytes)
{
    HOLDS(output->length + bytes <= sizeof output->bytes, "%zu bytes", output->length);
    memcpy(output->bytes + output->length, &number, bytes);
    output->length += bytes;
}

static void put_text(struct output *output, const char *text)
{
    for (; *text; text++)
        put(output, (unsigned char)*text, 1);
    put(output, 0, 1);
}

static void put_unsigned(struct output *output, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        put(output, (number & 0x7f) | 0x80, 1);
    put(output, number, 1);
}

static void put_signed(struct output *output, int64_t number)
{
    while (number < -64 || number >= 64) {
        put(output, (uint64_t)(number & 0x7f) | 0x80, 1);
        number >>= 7;
    }
    put(output, (uint64_t)(number & 0x7f), 1);
}

/* -- a right table -------------------------------------------------------------------------- */

/* Names by their number, as they stand in the tables of strings: "a.c" is at 1. */
static const char strings[] = "\0a.c\0deep/b.h\0c.c";
static const uint32_t places[FILES] = {1, 5, 14};
static const char *const shown[FILES] = {"a.c", "b.h", "c.c"};

static struct unit make_unit(struct input *input, uint64_t *address, uint32_t least)
{
    struct unit unit = {.version = 2 + (uint32_t)take_below(input, 4),
                        .offset_bytes = take_below(input, 2) ? 8 : 4};
    unit.count = 1 + (uint32_t)take_below(input, SEQUENCES_MOST);
    for (uint32_t i = 0; i < unit.count; i++) {
        struct sequence *sequence = &unit.sequences[i];
        sequence->count = 1 + (uint32_t)take_below(input, ROWS_MOST);
        *address += take_below(input, 300) * least;
        for (uint32_t row = 0; row < sequence->count; row++) {
            sequence->rows[row] =
                (struct row_of_model){.address = *address,
                                      .line = 1 + take_below(input, row % 3 ? 200 : 100000),
                                      .file = (uint32_t)take_below(input, FILES)};
            *address += take_below(input, row % 4 ? 20 : 70000) * least;
        }
        sequence->end = *address;
    }
    return unit;
}

/* The row of an address: of the first sequence that has it, the last one that begins no later. */
static const struct row_of_model *row_of(const struct unit *units, uint32_t count, uint64_t address)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < units[i].count; j++) {
            const struct sequence *sequence = &units[i].sequences[j];
            const struct row_of_model *found = NULL;
            for (uint32_t row = 0; row < sequence->count && address < sequence->end; row++)
                if (sequence->rows[row].address <= address)
                    found = &sequence->rows[row];
            if (found)
                return found;
        }
    return NULL;
}

/* Files of versions 2 to 4: directories, then names with three numbers each. */
static void put_old_files(struct output *head)
{
    put_text(head, "/src");
    put(head, 0, 1);
    for (uint32_t i = 0; i < FILES; i++) {
        put_text(head, strings + places[i]);
        put_unsigned(head, 1);
        put_unsigned(head, 1000000);
        put_unsigned(head, 77);
    }
    put(head, 0, 1);
}

/* A name by one of its three forms. */
static void put_name(struct output *head, const struct unit *unit, uint32_t form, uint32_t place)
{
    if (form == 0)
        put_text(head, strings + place);
    else
        put(head, place, unit->offset_bytes);
}

/* Files of version 5: formats, and then entries, of directories and of names. */
static void put_new_files(struct output *head, const struct unit *unit, struct input *input)
{
    static const uint32_t forms[] = {0x08, 0x1f, 0x0e};
    uint32_t form = (uint32_t)take_below(input, 3), extras = (uint32_t)take(input, 1);
    put(head, 1, 1);
    put_unsigned(head, 1);
    put_unsigned(head, forms[form]);
    put_unsigned(head, 2);
    put_name(head, unit, form, 1);
    put_name(head, unit, form, 5);
    /* Beside the name: its directory, a checksum, a length, a block. */
    put(head, 2 + (extras & 1) + (extras >> 1 & 1) + (extras >> 2 & 1), 1);
    if (extras & 1) { /* before the name, too */
        put_unsigned(head, 5);
        put_unsigned(head, 0x1e);
    }
    put_unsigned(head, 1);
    put_unsigned(head, forms[form]);
    put_unsigned(head, 2);
    put_unsigned(head, extras & 8 ? 0x05 : 0x0b);
    if (extras & 2) {
        put_unsigned(head, 4);
        put_unsigned(head, extras & 16 ? 0x0f : 0x06);
    }
    if (extras & 4) {
        put_unsigned(head, 0x2001);
        put_unsigned(head, 0x09);
    }
    put_unsigned(head, FILES + 1);
    for (uint32_t i = 0; i <= FILES; i++) { /* the first stands for the unit itself */
        if (extras & 1)
            put(head, 0, 8), put(head, 0, 8);
        put_name(head, unit, form, places[i > 0 ? i - 1 : 0]);
        put(head, 1, extras & 8 ? 2 : 1);
        if (extras & 2 && extras & 16)
            put_unsigned(head, 70000);
        else if (extras & 2)
            put(head, 70000, 4);
        if (extras & 4)
            put_unsigned(head, 3), put(head, 0x010203, 3);
    }
}

/* How a table is encoded. */
struct coding {
    uint32_t least, range, base;
    int32_t line_base;
};

static void put_opcode_that_changes_nothing(struct output *program, uint64_t choice)
{
    switch (choice) {
    case 1:
        put(program, 5, 1); /* set_column */
        put_unsigned(program, 300);
        break;
    case 2:
        put(program, 6, 1); /* negate_stmt */
        break;
    case 3:
        put(program, 7, 1); /* set_basic_block */
        break;
    case 4: /* set_discriminator */
        put(program, 0, 1);
        put_unsigned(program, 2);
        put(program, 4, 1);
        put(program, 9, 1);
        break;
    case 5: /* of somebody else's */
        put(program, 0, 1);
        put_unsigned(program, 4);
        put(program, 0x80, 4);
        break;
    default:
        break;
    }
}

static void put_step(struct output *program, const struct coding *coding, uint64_t by,
                     int64_t lines, uint64_t choice)
{
    uint64_t units = by / coding->least, constant = (255 - coding->base) / coding->range;
    if (choice & 1 && units >= constant) {
        put(program, 8, 1); /* const_add_pc */
        units -= constant;
    }
    if (choice & 2 && units * coding->least < 65536) {
        put(program, 9, 1); /* fixed_advance_pc */
        put(program, units * coding->least, 2);
        units = 0;
    }
    int64_t step = lines - coding->line_base;
    uint64_t opcode = (uint64_t)step + units * coding->range + coding->base;
    if (choice & 4 && step >= 0 && step < coding->range && units < 256 && opcode < 256) {
        put(program, opcode, 1);
        return;
    }
    if (units > 0) {
        put(program, 2, 1); /* advance_pc */
        put_unsigned(program, units);
    }
    if (lines != 0) {
        put(program, 3, 1); /* advance_line */
        put_signed(program, lines);
    }
    put(program, 1, 1); /* copy */
}

static void put_sequence(struct output *program, const struct coding *coding,
                         const struct sequence *sequence, struct input *input)
{
    uint64_t address = sequence->rows[0].address, line = 1;
    uint32_t file = 1;
    put(program, 0, 1);
    put_unsigned(program, 9);
    put(program, 2, 1); /* set_address */
    put(program, address, 8);
    for (uint32_t i = 0; i < sequence->count; i++) {
        const struct row_of_model *row = &sequence->rows[i];
        put_opcode_that_changes_nothing(program, take_below(input, 8));
        if (row->file + 1 != file) {
            file = row->file + 1;
            put(program, 4, 1); /* set_file */
            put_unsigned(program, file);
        }
        put_step(program, coding, row->address - address, (int64_t)(row->line - line),
                 take_below(input, 8));
        address = row->address;
        line = row->line;
    }
    put(program, 2, 1);
    put_unsigned(program, (sequence->end - address) / coding->least);
    put(program, 0, 1);
    put_unsigned(program, 1);
    put(program, 1, 1); /* end_sequence */
}

static void put_unit(struct output *output, const struct unit *unit, uint32_t least,
                     struct input *input)
{
    static const unsigned char lengths[] = {0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 2};
    struct coding coding = {.least = least,
                            .range = 1 + (uint32_t)take_below(input, 20),
                            .base = 10 + (uint32_t)take_below(input, 5),
                            .line_base = -(int32_t)take_below(input, 6)};
    static struct output head, program;
    head.length = program.length = 0;
    put(&head, coding.least, 1);
    if (unit->version >= 4)
        put(&head, 1, 1);
    put(&head, 1, 1);
    put(&head, (unsigned char)coding.line_base, 1);
    put(&head, coding.range, 1);
    put(&head, coding.base, 1);
    for (uint32_t i = 0; i < coding.base - 1; i++)
        put(&head, lengths[i], 1);
    if (unit->version >= 5)
        put_new_files(&head, unit, input);
    else
        put_old_files(&head);
    for (uint32_t i = 0; i < unit->count; i++)
        put_sequence(&program, &coding, &unit->sequences[i], input);
    if (unit->offset_bytes == 8)
        put(output, 0xffffffff, 4);
    uint64_t between = unit->version >= 5 ? 2 : 0;
    put(output, 2 + between + unit->offset_bytes + head.length + program.length,
        unit->offset_bytes);
    put(output, unit->version, 2);
    if (between > 0)
        put(output, 8, 2);
    put(output, head.length, unit->offset_bytes);
    for (size_t i = 0; i < head.length; i++)
        put(output, head.bytes[i], 1);
    for (size_t i = 0; i < program.length; i++)
        put(output, program.bytes[i], 1);
}

/* -- a right file ---------------------------------------------------------------------------- */

static const char section_names[] = "\0.debug_line\0.debug_line_str\0.debug_str\0.symtab\0.strtab";
static const char function_names[] = "\0first\0second";
enum { TEXT_AT = 0x1000, TEXT_BYTES = 0x4000, FUNCTIONS = 2 };

static uint64_t append(struct output *file, const void *bytes, size_t size)
{
    while (file->length % 8 != 0)
        put(file, 0, 1);
    uint64_t at = file->length;
    for (size_t i = 0; i < size; i++)
        put(file, ((const unsigned char *)bytes)[i], 1);
    return at;
}

/* The file of these lines: one part is loaded, and two functions share it. */
static void put_file(struct output *file, const struct output *lines)
{
    Elf64_Ehdr head = {.e_type = ET_DYN,
                       .e_machine = EM_X86_64,
                       .e_phoff = sizeof head,
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = 1,
                       .e_shentsize = sizeof(Elf64_Shdr),
                       .e_shnum = 7,
                       .e_shstrndx = 6};
    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    Elf64_Phdr part = {.p_type = PT_LOAD, .p_vaddr = TEXT_AT, .p_filesz = TEXT_BYTES};
    Elf64_Sym symbols[1 + FUNCTIONS] = {{.st_name = 0}};
    for (uint32_t i = 0; i < FUNCTIONS; i++)
        symbols[1 + i] = (Elf64_Sym){.st_name = i == 0 ? 1 : 7,
                                     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                     .st_shndx = 1,
                                     .st_value = TEXT_AT + i * TEXT_BYTES / FUNCTIONS,
                                     .st_size = TEXT_BYTES / FUNCTIONS};
    file->length = 0;
    (void)append(file, &head, sizeof head);
    (void)append(file, &part, sizeof part);
    Elf64_Shdr sections[7] = {{.sh_type = SHT_NULL}};
    const struct {
        const void *bytes;
        size_t size;
        uint32_t name, type, link;
    } all[6] = {{lines->bytes, lines->length, 1, SHT_PROGBITS, 0},
                {strings, sizeof strings, 13, SHT_PROGBITS, 0},
                {strings, sizeof strings, 29, SHT_PROGBITS, 0},
                {symbols, sizeof symbols, 40, SHT_SYMTAB, 5},
                {function_names, sizeof function_names, 48, SHT_STRTAB, 0},
                {section_names, sizeof section_names, 48, SHT_STRTAB, 0}};
    for (int i = 0; i < 6; i++)
        sections[i + 1] = (Elf64_Shdr){.sh_name = all[i].name,
                                       .sh_type = all[i].type,
                                       .sh_link = all[i].link,
                                       .sh_offset = append(file, all[i].bytes, all[i].size),
                                       .sh_size = all[i].size};
    head.e_shoff = append(file, sections, sizeof sections);
    memcpy(file->bytes, &head, sizeof head);
}

/* -- what is asked ------------------------------------------------------------------------- */

static int ask(const unsigned char *bytes, size_t size, uint64_t offset,
               struct muster_symbol *symbol)
{
    unsigned char *copy = exactly(size);
    memcpy(copy, bytes, size);
    struct image image = {.bytes = copy, .size_bytes = size};
    memset(symbol, 0, sizeof *symbol);
    int status = find_in(&image, offset, true, symbol);
    free(copy);
    HOLDS(memchr(symbol->function, 0, sizeof symbol->function), "a name without end");
    HOLDS(memchr(symbol->file, 0, sizeof symbol->file), "a file's name without end");
    HOLDS(status == 0 || status == -ENOENT || status == -ENOEXEC, "status %d", status);
    return status;
}

static void check_right(const struct output *file, const struct unit *units, uint32_t count,
                        struct input *input)
{
    struct muster_symbol symbol;
    for (int i = 0; i < 8; i++) {
        uint64_t offset = take_below(input, TEXT_BYTES), address = TEXT_AT + offset;
        const struct row_of_model *row = row_of(units, count, address);
        uint64_t line = row ? row->line : 0;
#ifdef MUSTER_FUZZ_CANARY
        line += row && row->file == 1 && units[0].version == 3; /* believes in another line */
#endif
        int status = ask(file->bytes, file->length, offset, &symbol);
        HOLDS(status == 0, "status %d", status);
        HOLDS(strcmp(symbol.function, offset < TEXT_BYTES / 2 ? "first" : "second") == 0,
              "offset %llu is in %s", (unsigned long long)offset, symbol.function);
        HOLDS(symbol.line == line, "offset %llu: line %u, not %llu", (unsigned long long)offset,
              symbol.line, (unsigned long long)line);
        HOLDS(!row || strcmp(symbol.file, shown[row->file]) == 0, "offset %llu: file %s",
              (unsigned long long)offset, symbol.file);
    }
    HOLDS(ask(file->bytes, file->length, TEXT_BYTES, &symbol) == -ENOENT, "beyond what is loaded");
}

/* Changes bytes, cuts the end off, and asks. */
static void check_damaged(struct output *file, struct input *input)
{
    struct muster_symbol symbol;
    for (uint64_t changes = take_below(input, 12); changes > 0; changes--) {
        uint64_t at = take_below(input, file->length), width = 1 << take_below(input, 4);
        uint64_t number = take_below(input, 3) ? take(input, 1) : UINT64_MAX - take_below(input, 2);
        if (at + width <= file->length)
            memcpy(file->bytes + at, &number, width);
    }
    if (take_below(input, 4) == 1)
        file->length = take_below(input, file->length);
    for (int i = 0; i < 4; i++)
        (void)ask(file->bytes, file->length, take_below(input, 2 * TEXT_BYTES), &symbol);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct output lines, file;
    struct input input = {data, size};
    struct unit units[UNITS_MOST];
    uint64_t address = TEXT_AT;
    uint32_t count = 1 + (uint32_t)take_below(&input, UNITS_MOST);
    lines.length = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t least = 1 + (uint32_t)take_below(&input, 4);
        units[i] = make_unit(&input, &address, least);
        put_unit(&lines, &units[i], least, &input);
    }
    put_file(&file, &lines);
    check_right(&file, units, count, &input);
    check_damaged(&file, &input);
    return 0;
}
