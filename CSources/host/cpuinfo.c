/* cpuinfo.c - what proc/cpuinfo says, where /sys does not.
 *
 * Its lines differ from architecture to architecture; those of use here begin with "processor" (on
 * s390 "processor 0: version = ..."), "physical id", "core id", "vendor_id" and "cpu family". It is
 * read in pieces: of a host with thousands of CPUs it has megabytes.
 */
#include "base/text.h"
#include "host/read.h"
#include "os/os.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES  128u
#define PIECE_BYTES 4096u

/* One line after the other. */
struct lines {
    int fd;
    uint64_t offset_bytes;
    char piece[PIECE_BYTES];
    int64_t length, next;
};

static bool open_lines(struct lines *lines, const struct muster__reader *reader)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/proc/cpuinfo", reader->root);
    if (length < 0 || length >= (int)sizeof path)
        return false;
    *lines = (struct lines){.fd = muster__os_open(path, false, false)};
    return lines->fd >= 0;
}

/* The next byte; -1: no more. */
static int next_byte(struct lines *lines)
{
    if (lines->next == lines->length) {
        lines->length =
            muster__os_read_at(lines->fd, lines->piece, PIECE_BYTES, lines->offset_bytes);
        lines->next = 0;
        if (lines->length <= 0) {
            lines->length = 0;
            return -1;
        }
        lines->offset_bytes += (uint64_t)lines->length;
    }
    return (unsigned char)lines->piece[lines->next++];
}

/* The next line as head and value, without the blanks around the colon; what is longer is cut.
 * false: no more. A line without a colon has an empty value. */
static bool next_line(struct lines *lines, char head[LINE_BYTES], const char **value)
{
    uint32_t length = 0;
    int byte;
    while ((byte = next_byte(lines)) >= 0 && byte != '\n')
        if (length < LINE_BYTES - 1)
            head[length++] = byte == '\t' || byte == '\0' ? ' ' : (char)byte;
    head[length] = '\0';
    if (byte < 0 && length == 0)
        return false;
    char *colon = strchr(head, ':');
    *value = head + length;
    if (colon == NULL)
        return true;
    *value = colon + 1 + strspn(colon + 1, " ");
    while (colon > head && colon[-1] == ' ')
        colon--;
    *colon = '\0';
    return true;
}

uint32_t muster__topology_cpuinfo(struct muster__reader *reader,
                                  void (*visit)(uint32_t id, int32_t core, int32_t package,
                                                void *context),
                                  void *context)
{
    struct lines lines;
    if (!open_lines(&lines, reader))
        return 0;
    char head[LINE_BYTES];
    const char *value;
    uint32_t count = 0, id = 0;
    int32_t core = -1, package = -1;
    bool is_in = false;
    while (next_line(&lines, head, &value)) {
        uint32_t number;
        bool is_processor = strncmp(head, "processor", 9) == 0;
        const char *where = is_processor && head[9] == ' ' ? head + 10 : value;
        if (is_processor && muster__text_number(where, MUSTER__CPU_IDS_MAX - 1, &number)) {
            if (is_in)
                visit(id, core, package, context);
            is_in = true;
            id = number;
            core = package = -1;
            count++;
        } else if (strcmp(head, "core id") == 0) {
            (void)muster__text_integer(value, &core);
        } else if (strcmp(head, "physical id") == 0) {
            (void)muster__text_integer(value, &package);
        }
    }
    if (is_in)
        visit(id, core, package, context);
    muster__os_close(lines.fd);
    return count;
}

bool muster__topology_has_compute_units(struct muster__reader *reader)
{
    if (reader->compute_units != 0)
        return reader->compute_units > 0;
    reader->compute_units = -1;
    struct lines lines;
    if (!open_lines(&lines, reader))
        return false;
    char head[LINE_BYTES];
    const char *value;
    bool is_amd = false, is_of_family = false;
    /* The first processor's block ends with an empty line. */
    while (next_line(&lines, head, &value) && head[0] != '\0') {
        if (strcmp(head, "vendor_id") == 0)
            is_amd = strcmp(value, "AuthenticAMD") == 0;
        else if (strcmp(head, "cpu family") == 0)
            is_of_family = strcmp(value, "21") == 0 || strcmp(value, "22") == 0;
    }
    muster__os_close(lines.fd);
    if (is_amd && is_of_family)
        reader->compute_units = 1;
    return reader->compute_units > 0;
}
