/* topology_read.c - reads the files of one host, live or recorded.
 *
 * The only place that knows where a host's files lie and how long they can be.
 */
#include "topology_read.h"
#include "os.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest text is a list of CPUs without any two in a row: 20 KiB for 8192 of them. */
#define TEXT_BYTES 65536u

int muster__reader_open(struct muster__reader *reader, const char *root)
{
    char *text = malloc(TEXT_BYTES);
    if (text == NULL)
        return -ENOMEM;
    *reader =
        (struct muster__reader){.root = root ? root : "", .is_live = root == NULL, .text = text};
    return 0;
}

void muster__reader_close(struct muster__reader *reader)
{
    free(reader->text);
    free(reader->ids);
}

__attribute__((format(printf, 3, 0))) static int make_path(const struct muster__reader *reader,
                                                           char full[PATH_MAX], const char *path,
                                                           va_list arguments)
{
    int head = snprintf(full, PATH_MAX, "%s/", reader->root);
    if (head < 0 || head >= PATH_MAX)
        return -ENAMETOOLONG;
    int tail = vsnprintf(full + head, (size_t)(PATH_MAX - head), path, arguments);
    return tail < 0 || tail >= PATH_MAX - head ? -ENAMETOOLONG : 0;
}

int muster__reader_file(struct muster__reader *reader, const char *path, ...)
{
    char full[PATH_MAX];
    va_list arguments;
    va_start(arguments, path);
    int status = make_path(reader, full, path, arguments);
    va_end(arguments);
    if (status)
        return status;

    int64_t length = muster__os_read_text(full, reader->text, TEXT_BYTES);
    if (length < 0)
        return length == -EFBIG ? -EUCLEAN : (int)length;
    /* A NUL byte would hide what follows it from the parsers. */
    return strlen(reader->text) == (size_t)length ? 0 : -EUCLEAN;
}

int muster__reader_list(struct muster__reader *reader,
                        int (*visit)(const char *name, void *context), void *context,
                        const char *path, ...)
{
    char full[PATH_MAX];
    va_list arguments;
    va_start(arguments, path);
    int status = make_path(reader, full, path, arguments);
    va_end(arguments);
    return status ? status : muster__os_list(full, visit, context);
}

int64_t muster__reader_ids(struct muster__reader *reader, const char *list)
{
    int64_t count = muster_list_parse(list, NULL, 0);
    if (count <= 0)
        return count;
    if ((uint64_t)count > reader->ids_capacity) {
        uint32_t *ids = realloc(reader->ids, (size_t)count * sizeof *ids);
        if (ids == NULL)
            return -ENOMEM;
        reader->ids = ids;
        reader->ids_capacity = (uint64_t)count;
    }
    return muster_list_parse(list, reader->ids, (size_t)count);
}
