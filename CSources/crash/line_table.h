/* line_table.h - DWARF line tables, versions 2 to 5. Private to the C core.
 * Source: DWARF Debugging Information Format, version 5, section 6.2. */
#ifndef MUSTER_CRASH_LINE_TABLE_H
#define MUSTER_CRASH_LINE_TABLE_H

#include <muster/core/symbol.h>

/* Bytes of a file. */
struct muster__bytes {
    const unsigned char *start;
    uint64_t size_bytes;
};

/* The sections that name lines. */
struct muster__line_sections {
    struct muster__bytes lines, line_strings, strings; /* .debug_line, _line_str, _str */
};

/* Finds the line of an address. Returns: true, with file and line of the symbol filled in. */
bool muster__line_find(const struct muster__line_sections *sections, uint64_t address,
                       struct muster_symbol *symbol);

#endif
