/* line_table.c - finds the line of an address in DWARF line tables.
 *
 * Invariant: nothing outside the sections is read, for any contents: a reader that comes to its
 * end gives zeros from then on.
 */
#include "crash/line_table.h"

#include <string.h>

struct reader {
    const unsigned char *at, *end;
};

static uint64_t take(struct reader *reader, uint32_t bytes)
{
    uint64_t value = 0;
    if ((uint64_t)(reader->end - reader->at) < bytes) {
        reader->at = reader->end;
        return 0;
    }
    memcpy(&value, reader->at, bytes); /* little-endian, see base.h */
    reader->at += bytes;
    return value;
}

static uint64_t take_unsigned(struct reader *reader)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; reader->at < reader->end; shift += 7) {
        unsigned char byte = *reader->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return value;
}

static int64_t take_signed(struct reader *reader)
{
    uint64_t value = 0;
    uint32_t shift = 0;
    unsigned char byte = 0;
    while (reader->at < reader->end) {
        byte = *reader->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80))
            break;
    }
    if (shift < 64 && (byte & 0x40))
        value |= UINT64_MAX << shift;
    return (int64_t)value;
}

static void skip(struct reader *reader, uint64_t bytes)
{
    uint64_t left = (uint64_t)(reader->end - reader->at);
    reader->at += bytes < left ? bytes : left;
}

/* A string that ends within the reader; "" where it doesn't. */
static const char *take_string(struct reader *reader)
{
    const unsigned char *start = reader->at;
    const unsigned char *zero = memchr(start, 0, (size_t)(reader->end - start));
    reader->at = zero ? zero + 1 : reader->end;
    return zero ? (const char *)start : "";
}

static const char *string_at(struct muster__bytes section, uint64_t offset)
{
    if (offset >= section.size_bytes)
        return "";
    struct reader reader = {section.start + offset, section.start + section.size_bytes};
    return take_string(&reader);
}

/* -- one table ------------------------------------------------------------------------------ */

struct table {
    const struct muster__line_sections *sections;
    struct reader files; /* from where the names of files begin */
    struct reader program;
    uint32_t version, offset_bytes; /* of references into other sections: 4 or 8 */
    uint32_t least, line_range, opcode_base;
    int32_t line_base;
    const unsigned char *lengths; /* of standard opcodes' arguments */
};

/* Attribute forms that names of files may have (7.5.6). Returns a name, or NULL. */
static const char *take_form(struct reader *reader, const struct table *table, uint64_t form)
{
    switch (form) {
    case 0x08: /* DW_FORM_string */
        return take_string(reader);
    case 0x0e: /* DW_FORM_strp */
        return string_at(table->sections->strings, take(reader, table->offset_bytes));
    case 0x1f: /* DW_FORM_line_strp */
        return string_at(table->sections->line_strings, take(reader, table->offset_bytes));
    case 0x0b: /* DW_FORM_data1 */
        skip(reader, 1);
        break;
    case 0x05: /* DW_FORM_data2 */
        skip(reader, 2);
        break;
    case 0x06: /* DW_FORM_data4 */
        skip(reader, 4);
        break;
    case 0x07: /* DW_FORM_data8 */
        skip(reader, 8);
        break;
    case 0x1e: /* DW_FORM_data16: a checksum */
        skip(reader, 16);
        break;
    case 0x0f: /* DW_FORM_udata */
        (void)take_unsigned(reader);
        break;
    case 0x09: /* DW_FORM_block */
        skip(reader, take_unsigned(reader));
        break;
    default: /* unknown: its length is too */
        reader->at = reader->end;
    }
    return NULL;
}

/* Goes through a list of version 5: a description of its entries, then the entries. Returns the
 * name of entry `wanted`, NULL where there is none. */
static const char *name_in_list(struct reader *reader, const struct table *table, uint64_t wanted)
{
    struct {
        uint64_t type, form;
    } formats[16];
    uint64_t format_count = take(reader, 1);
    for (uint64_t i = 0; i < format_count; i++) {
        uint64_t type = take_unsigned(reader), form = take_unsigned(reader);
        if (i < 16) {
            formats[i].type = type;
            formats[i].form = form;
        }
    }
    if (format_count == 0 || format_count > 16)
        return NULL;
    uint64_t count = take_unsigned(reader);
    const char *found = NULL;
    for (uint64_t entry = 0; entry < count && reader->at < reader->end; entry++)
        for (uint64_t i = 0; i < format_count; i++) {
            const char *name = take_form(reader, table, formats[i].form);
            if (name && formats[i].type == 1 /* DW_LNCT_path */ && entry == wanted)
                found = name;
        }
    return found;
}

static const char *file_name(const struct table *table, uint64_t number)
{
    struct reader reader = table->files;
    if (table->version >= 5) {
        (void)name_in_list(&reader, table, UINT64_MAX); /* directories */
        return name_in_list(&reader, table, number);
    }
    while (reader.at < reader.end && *take_string(&reader)) {
    } /* directories */
    for (uint64_t entry = 1; reader.at < reader.end; entry++) {
        const char *name = take_string(&reader);
        if (!*name)
            break;
        for (int i = 0; i < 3; i++)
            (void)take_unsigned(&reader);
        if (entry == number)
            return name;
    }
    return NULL;
}

/* Reads a table's head. Returns false: of a version that is not known here. */
static bool begin_table(struct reader *unit, uint32_t offset_bytes, struct table *table)
{
    table->offset_bytes = offset_bytes;
    table->version = (uint32_t)take(unit, 2);
    if (table->version < 2 || table->version > 5)
        return false;
    if (table->version >= 5)
        skip(unit, 2); /* sizes of an address and of a segment selector */
    uint64_t head_bytes = take(unit, offset_bytes);
    if (head_bytes > (uint64_t)(unit->end - unit->at))
        return false;
    table->program = (struct reader){unit->at + head_bytes, unit->end};
    struct reader head = {unit->at, unit->at + head_bytes};
    table->least = (uint32_t)take(&head, 1);
    if (table->version >= 4)
        skip(&head, 1); /* operations an instruction: 1 on machines that are no VLIW */
    skip(&head, 1);     /* default_is_stmt */
    table->line_base = (signed char)take(&head, 1);
    table->line_range = (uint32_t)take(&head, 1);
    table->opcode_base = (uint32_t)take(&head, 1);
    table->lengths = head.at;
    skip(&head, table->opcode_base ? table->opcode_base - 1 : 0);
    table->files = head;
    return table->line_range > 0 && table->opcode_base > 0 && head.at < head.end;
}

/* -- its program ---------------------------------------------------------------------------- */

struct row {
    uint64_t address, file, line;
};

struct search {
    uint64_t wanted;
    struct row last; /* of the sequence; valid where has_last */
    struct row found;
    bool has_last, has_found;
};

/* A row of the matrix: what the one before says holds up to this one's address. */
static void emit(struct search *search, struct row row, bool ends_sequence)
{
    if (search->has_last && search->last.address <= search->wanted &&
        search->wanted < row.address) {
        search->found = search->last;
        search->has_found = true;
    }
    search->last = row;
    search->has_last = !ends_sequence;
}

static void run_extended(struct reader *program, struct search *search, struct row *row)
{
    uint64_t bytes = take_unsigned(program);
    struct reader body = {program->at, program->end};
    skip(program, bytes);
    body.end = program->at;
    switch (take(&body, 1)) {
    case 1: /* DW_LNE_end_sequence */
        emit(search, *row, true);
        *row = (struct row){.file = 1, .line = 1};
        break;
    case 2: /* DW_LNE_set_address */
        row->address = take(&body, 8);
        break;
    default:
        break;
    }
}

static void run_standard(struct reader *program, const struct table *table, struct search *search,
                         struct row *row, uint32_t opcode)
{
    switch (opcode) {
    case 1: /* DW_LNS_copy */
        emit(search, *row, false);
        break;
    case 2: /* DW_LNS_advance_pc */
        row->address += take_unsigned(program) * table->least;
        break;
    case 3: /* DW_LNS_advance_line */
        row->line += (uint64_t)take_signed(program);
        break;
    case 4: /* DW_LNS_set_file */
        row->file = take_unsigned(program);
        break;
    case 8: /* DW_LNS_const_add_pc */
        row->address += (uint64_t)((255 - table->opcode_base) / table->line_range) * table->least;
        break;
    case 9: /* DW_LNS_fixed_advance_pc */
        row->address += take(program, 2);
        break;
    default:
        for (uint32_t i = 0; i < table->lengths[opcode - 1]; i++)
            (void)take_unsigned(program);
    }
}

static bool search_table(struct table *table, uint64_t address, struct row *found)
{
    struct search search = {.wanted = address};
    struct row row = {.file = 1, .line = 1};
    while (table->program.at < table->program.end && !search.has_found) {
        uint32_t opcode = (uint32_t)take(&table->program, 1);
        if (opcode == 0) {
            run_extended(&table->program, &search, &row);
        } else if (opcode < table->opcode_base) {
            run_standard(&table->program, table, &search, &row, opcode);
        } else {
            uint32_t step = opcode - table->opcode_base;
            row.address += (uint64_t)(step / table->line_range) * table->least;
            row.line += (uint64_t)(table->line_base + (int64_t)(step % table->line_range));
            emit(&search, row, false);
        }
    }
    *found = search.found;
    return search.has_found;
}

bool muster__line_find(const struct muster__line_sections *sections, uint64_t address,
                       struct muster_symbol *symbol)
{
    struct reader all = {sections->lines.start, sections->lines.start + sections->lines.size_bytes};
    while (all.at < all.end) {
        uint32_t offset_bytes = 4;
        uint64_t bytes = take(&all, 4);
        if (bytes == 0xffffffff) {
            offset_bytes = 8;
            bytes = take(&all, 8);
        }
        struct reader unit = {all.at, all.end};
        skip(&all, bytes);
        unit.end = all.at;
        struct table table = {.sections = sections};
        struct row row;
        if (!begin_table(&unit, offset_bytes, &table) || !search_table(&table, address, &row))
            continue;
        const char *name = file_name(&table, row.file);
        if (row.line == 0 || row.line > UINT32_MAX || !name || !*name)
            return false; /* the compiler's own instructions; or names that are compressed */
        const char *slash = strrchr(name, '/');
        name = slash ? slash + 1 : name;
        size_t length = strnlen(name, sizeof symbol->file - 1);
        memcpy(symbol->file, name, length);
        symbol->file[length] = '\0';
        symbol->line = (uint32_t)row.line;
        return true;
    }
    return false;
}
