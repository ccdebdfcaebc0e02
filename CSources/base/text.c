/* text.c - parsers for the text files of /sys and /proc.
 *
 * A recorded tree can come from anywhere, so every parser takes a whole text or nothing: what is
 * left over after the value is an error, and no number wraps round.
 */
#include "base/text.h"
#include <muster/core/topology.h>
#include <string.h>

/* Largest number of a list. Linux has at most 8192 CPUs (NR_CPUS on x86) and 1024 nodes; a host's
 * arrays stay affordable with any list that passes. */
#define LIST_NUMBER_MAX 1048575u

static bool is_blank(char character)
{
    return character == ' ' || character == '\t';
}

static const char *skip_blanks(const char *text)
{
    while (is_blank(*text))
        text++;
    return text;
}

/* Whether nothing but blanks and one line end is left. */
static bool is_end(const char *text)
{
    text = skip_blanks(text);
    if (*text == '\n')
        text++;
    return *text == '\0';
}

/* Scans digits at *text and moves past them. strtoull would take signs, leading blanks and "0x". */
static int scan_number(const char **text, uint64_t max, uint64_t *number)
{
    const char *next = *text;
    uint64_t sum = 0;

    if (*next < '0' || *next > '9')
        return -EUCLEAN;
    for (; *next >= '0' && *next <= '9'; next++) {
        uint64_t digit = (uint64_t)(*next - '0');
        if (sum > (max - digit) / 10)
            return -EUCLEAN;
        sum = sum * 10 + digit;
    }
    *text = next;
    *number = sum;
    return 0;
}

bool muster__text_number(const char *text, uint32_t max, uint32_t *number)
{
    uint64_t scanned;
    if (scan_number(&text, max, &scanned) < 0 || *text != '\0')
        return false;
    *number = (uint32_t)scanned;
    return true;
}

int64_t muster_list_parse(const char *text, uint32_t *ids, size_t capacity)
{
    uint64_t count = 0, least = 0;

    if (is_end(text))
        return 0;
    for (;;) {
        uint64_t first, last;
        text = skip_blanks(text);
        if (scan_number(&text, LIST_NUMBER_MAX, &first))
            return -EUCLEAN;
        last = first;
        if (*text == '-') {
            text++;
            if (scan_number(&text, LIST_NUMBER_MAX, &last))
                return -EUCLEAN;
        }
        /* `least` rises with each range: no number comes twice, so the count is bounded too. */
        if (first < least || last < first)
            return -EUCLEAN;
        for (uint64_t id = first; id <= last && count + (id - first) < capacity; id++)
            ids[count + (id - first)] = (uint32_t)id;
        count += last - first + 1;
        least = last + 1;
        if (is_end(text))
            return (int64_t)count;
        text = skip_blanks(text);
        if (*text++ != ',')
            return -EUCLEAN;
    }
}

int muster__text_integer(const char *text, int32_t *value)
{
    uint64_t number;
    bool negative = *text == '-';

    if (negative)
        text++;
    if (scan_number(&text, INT32_MAX, &number) || !is_end(text))
        return -EUCLEAN;
    *value = negative ? -(int32_t)number : (int32_t)number;
    return 0;
}

int muster__text_size(const char *text, uint64_t *size_bytes)
{
    uint64_t number;
    unsigned shift;

    /* 2^33 G is the most that 64 bits hold; one limit for all units is simpler, and no cache is
     * larger. */
    if (scan_number(&text, UINT64_C(1) << 33, &number))
        return -EUCLEAN;
    switch (*text++) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    default:
        return -EUCLEAN;
    }
    if (!is_end(text))
        return -EUCLEAN;
    *size_bytes = number << shift;
    return 0;
}

int64_t muster__text_row(const char *text, uint32_t *values, size_t count, uint32_t max)
{
    int64_t found = 0;
    while (!is_end(text)) {
        uint64_t number;
        const char *start = skip_blanks(text);
        if (found > 0 && start == text)
            return -EUCLEAN;
        text = start;
        if (scan_number(&text, UINT32_MAX, &number))
            return -EUCLEAN;
        if ((uint64_t)found < count)
            values[found] = number > max ? 0 : (uint32_t)number;
        found++;
    }
    return found;
}

static int hex_digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

/* Scans one group of at most eight hexadecimal digits, as strtoul would but for signs and blanks.
 */
static int scan_group(const char **text, uint32_t *group)
{
    const char *next = *text;
    uint32_t bits = 0;
    for (int digit; (digit = hex_digit(*next)) >= 0; next++) {
        if (next - *text == 8)
            return -EUCLEAN;
        bits = bits << 4 | (uint32_t)digit;
    }
    if (next == *text)
        return -EUCLEAN;
    *text = next;
    *group = bits;
    return 0;
}

int64_t muster__text_map(const char *map, uint32_t *ids, size_t capacity)
{
    uint64_t count = 0, groups = 0;
    const char *text = skip_blanks(map), *start = text;
    for (;; text++) {
        uint32_t group;
        if (scan_group(&text, &group))
            return -EUCLEAN;
        if (is_end(text))
            break;
        if (*text != ',' || ++groups > LIST_NUMBER_MAX / 32)
            return -EUCLEAN;
    }
    /* The lowest group is the last one: backwards, so that numbers rise. */
    for (uint64_t first = 0;; first += 32) {
        while (text > start && text[-1] != ',')
            text--;
        uint32_t group;
        const char *at = text;
        if (scan_group(&at, &group))
            return -EUCLEAN;
        for (uint32_t bit = 0; bit < 32; bit++) {
            if (!(group >> bit & 1))
                continue;
            if (count < capacity)
                ids[count] = (uint32_t)(first + bit);
            count++;
        }
        if (text == start)
            break;
        text--; /* the comma */
    }
    return (int64_t)count;
}

bool muster__text_is(const char *text, const char *word)
{
    size_t length = strlen(word);
    return strncmp(text, word, length) == 0 && is_end(text + length);
}

const char *muster__text_line(const char *text, const char *head)
{
    size_t length = strlen(head);

    while (strncmp(text, head, length) != 0) {
        text = strchr(text, '\n');
        if (text == NULL)
            return NULL;
        text++;
    }
    return text + length;
}

int muster__text_memory(const char *text, const char *head, uint64_t *size_bytes)
{
    uint64_t number;
    const char *line = muster__text_line(text, head);

    if (line == NULL)
        return -EUCLEAN;
    line = skip_blanks(line);
    if (scan_number(&line, UINT64_MAX / 1024, &number))
        return -EUCLEAN;
    /* The unit's absence is how a file that was cut off inside a number shows. */
    if (strncmp(line, " kB", 3) != 0 || (line[3] != '\n' && line[3] != '\0'))
        return -EUCLEAN;
    *size_bytes = number * 1024;
    return 0;
}
