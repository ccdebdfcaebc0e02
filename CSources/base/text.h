/* text.h - the values that the text files of /sys and /proc hold. Private to the C core.
 *
 * Pure functions over one NUL-terminated text each, the whole of a file. Those that return an int
 * return 0, or -EUCLEAN for a text that is not such a value. Lists: see muster_list_parse.
 */
#ifndef MUSTER_BASE_TEXT_H
#define MUSTER_BASE_TEXT_H

#include <muster/base.h>

/* One whole number, perhaps negative, for instance "-1\n". */
int muster__text_integer(const char *text, int32_t *value);

/* A number of digits only, up to `max`, and nothing after it: false for any other text. */
bool muster__text_number(const char *text, uint32_t max, uint32_t *number);

/* One size with its unit, K, M or G as powers of 1024: "32768K\n". */
int muster__text_size(const char *text, uint64_t *size_bytes);

/* A row of numbers, "10 21 31\n", of which the first `count` are set; 0 for one above `max`.
 * Returns how many the row has. Values may be set even where the row is bad. */
int64_t muster__text_row(const char *text, uint32_t *values, size_t count, uint32_t max);

/* A kernel's bit map, "00000000,000000ff\n": groups of 32 bits, the highest first. ids, capacity
 * and the result are as in muster_list_parse. */
int64_t muster__text_map(const char *map, uint32_t *ids, size_t capacity);

/* The value in kB of the line that begins with `head`: "Node 0 MemTotal:  4548820 kB\n". */
int muster__text_memory(const char *text, const char *head, uint64_t *size_bytes);

/* Whether the text is this word. */
bool muster__text_is(const char *text, const char *word);

/* The rest of the line that begins with `head`, NULL when no line does. */
const char *muster__text_line(const char *text, const char *head);

#endif
