/* read.c - reads the files of one host, live or recorded, and keeps the notes about them.
 *
 * The only place that knows where a host's files lie and how long they can be.
 */
#include "host/read.h"
#include "base/text.h"
#include "os/os.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest text is a list of CPUs without any two in a row: 20 KiB for 8192 of them. */
#define TEXT_BYTES 65536u

/* A note, until all files like its first are counted. */
struct muster__remark {
    char path[160];
    const char *what;
    const char *effect;
    uint32_t others; /* files like it */
    bool is_about_caches;
};

/* A host has some dozen kinds of file, and each can be wrong in a few ways. */
#define REMARKS_MAX 64u

int muster__reader_open(struct muster__reader *reader, const char *root)
{
    char *text = malloc(TEXT_BYTES);
    struct muster__remark *remarks = calloc(REMARKS_MAX, sizeof *remarks);
    if (text == NULL || remarks == NULL) {
        free(text);
        free(remarks);
        return -ENOMEM;
    }
    *reader = (struct muster__reader){
        .root = root ? root : "", .is_live = root == NULL, .text = text, .remarks = remarks};
    return 0;
}

void muster__reader_close(struct muster__reader *reader)
{
    free(reader->text);
    free(reader->ids);
    free(reader->remarks);
}

bool muster__reader_fails(struct muster__reader *reader, int64_t status)
{
    if (status == -ENOMEM || status == -EMFILE || status == -ENFILE)
        reader->failure = (int)status;
    return reader->failure != 0;
}

/* -- files ---------------------------------------------------------------------------------- */

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

/* What may not be read stays so; what failed otherwise may be read the next time. */
static void note_failure(struct muster__reader *reader, int status)
{
    if (status < 0 && status != -ENOENT && status != -ENOTDIR && status != -EACCES &&
        status != -EPERM)
        reader->is_blurred = true;
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

    reader->text[0] = '\0';
    int64_t length = muster__os_read_text(full, reader->text, TEXT_BYTES);
    if (muster__reader_fails(reader, length))
        return reader->failure;
    if (length < 0) {
        reader->text[0] = '\0';
        if (length == -EFBIG)
            return MUSTER__GARBLED;
        if (length == -ENOENT || length == -ENOTDIR)
            return -ENOENT;
        note_failure(reader, (int)length);
        return (int)length;
    }
    if (length == 0)
        return MUSTER__EMPTY;
    /* Bytes behind a NUL would be hidden from the parsers; NULs are all that may stand there. */
    size_t text_length = strlen(reader->text);
    for (size_t i = text_length; i < (size_t)length; i++)
        if (reader->text[i] != '\0' && reader->text[i] != '\n')
            return MUSTER__GARBLED;
    return text_length == 0 ? MUSTER__EMPTY : 0;
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
    if (status == 0)
        status = muster__os_list(full, visit, context);
    if (muster__reader_fails(reader, status))
        return reader->failure;
    note_failure(reader, status);
    return status == -ENOTDIR ? -ENOENT : status;
}

static int end_walk(const char *name, void *context)
{
    (void)name;
    (void)context;
    return 1;
}

bool muster__reader_has(struct muster__reader *reader, const char *folder)
{
    return muster__reader_list(reader, end_walk, NULL, "%s", folder) >= 0;
}

/* -- sets of numbers ------------------------------------------------------------------------ */

static int make_room(struct muster__reader *reader, uint64_t count)
{
    if (count <= reader->ids_capacity)
        return 0;
    uint32_t *ids = realloc(reader->ids, (size_t)count * sizeof *ids);
    if (ids == NULL)
        return reader->failure = -ENOMEM;
    reader->ids = ids;
    reader->ids_capacity = count;
    return 0;
}

int64_t muster__reader_ids(struct muster__reader *reader, const char *list)
{
    int64_t count = muster_list_parse(list, NULL, 0);
    if (count <= 0)
        return count;
    int status = make_room(reader, (uint64_t)count);
    return status ? status : muster_list_parse(list, reader->ids, (size_t)count);
}

int64_t muster__reader_map(struct muster__reader *reader, const char *map)
{
    int64_t count = muster__text_map(map, NULL, 0);
    if (count <= 0)
        return count;
    int status = make_room(reader, (uint64_t)count);
    return status ? status : muster__text_map(map, reader->ids, (size_t)count);
}

struct numbered_names {
    struct muster__reader *reader;
    const char *head;
    uint64_t count;
};

static int visit_name(const char *name, void *context)
{
    struct numbered_names *names = context;
    size_t length = strlen(names->head);
    uint32_t number;
    if (strncmp(name, names->head, length) != 0 ||
        !muster__text_number(name + length, MUSTER__CPU_IDS_MAX - 1, &number))
        return 0;
    if (names->count == names->reader->ids_capacity &&
        make_room(names->reader, 2 * names->count + 64) < 0)
        return -ENOMEM;
    names->reader->ids[names->count++] = number;
    return 0;
}

static int by_number(const void *left, const void *right)
{
    uint32_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

int64_t muster__reader_names(struct muster__reader *reader, const char *folder, const char *head)
{
    struct numbered_names names = {.reader = reader, .head = head};
    int status = muster__reader_list(reader, visit_name, &names, "%s", folder);
    if (status < 0)
        return status;
    if (names.count > 0)
        qsort(reader->ids, names.count, sizeof *reader->ids, by_number);
    /* "cpu1" and "cpu01" can't both be there in /sys, but in a recording. */
    uint64_t kept = 0;
    for (uint64_t i = 0; i < names.count; i++)
        if (i == 0 || reader->ids[i] != reader->ids[kept - 1])
            reader->ids[kept++] = reader->ids[i];
    return (int64_t)kept;
}

static bool has_number(const struct muster__reader *reader, int64_t count, uint32_t number)
{
    for (int64_t i = 0; i < count; i++)
        if (reader->ids[i] == number)
            return true;
    return false;
}

int64_t muster__reader_set(struct muster__reader *reader, const char *folder,
                           const struct muster__set_file *files, uint32_t count, uint32_t self,
                           const char *effect, const char *missing)
{
    const char *wrong = NULL, *why = NULL;
    for (uint32_t i = 0; i < count; i++) {
        int64_t status = muster__reader_file(reader, "%s/%s", folder, files[i].name);
        if (status == 0)
            status = files[i].is_map ? muster__reader_map(reader, reader->text)
                                     : muster__reader_ids(reader, reader->text);
        if (reader->failure)
            return reader->failure;
        const char *what = NULL;
        if (status < 0)
            what = muster__reader_why((int)status);
        else if (self != MUSTER__NO_ID && !has_number(reader, status, self))
            what = "leaves out its own CPU";
        if (what == NULL) {
            if (wrong)
                muster__reader_note_in(reader, folder, wrong, why,
                                       "another file beside it is read instead");
            return status;
        }
        if (status != -ENOENT && wrong == NULL) {
            wrong = files[i].name;
            why = what;
        }
    }
    if (wrong)
        muster__reader_note_in(reader, folder, wrong, why, effect);
    else if (missing)
        muster__reader_note_in(reader, folder, files[0].name, muster__reader_why(-ENOENT), missing);
    return -ENOENT;
}

/* -- notes ---------------------------------------------------------------------------------- */

const char *muster__reader_why(int status)
{
    switch (status) {
    case -ENOENT:
        return "is not there";
    case MUSTER__EMPTY:
        return "is empty";
    case MUSTER__GARBLED:
        return "makes no sense";
    case -EACCES:
    case -EPERM:
        return "may not be read by this process";
    default:
        return "can't be read";
    }
}

/* Whether two paths differ in numbers only. */
static bool is_like(const char *a, const char *b)
{
    while (*a && *b) {
        bool is_number = *a >= '0' && *a <= '9';
        if (is_number && *b >= '0' && *b <= '9') {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

void muster__reader_note(struct muster__reader *reader, const char *path, const char *what,
                         const char *effect)
{
    struct muster__remark *remarks = reader->remarks;
    for (uint32_t i = 0; i < reader->remark_count; i++)
        if (is_like(remarks[i].path, path) && strcmp(remarks[i].what, what) == 0 &&
            strcmp(remarks[i].effect, effect) == 0) {
            remarks[i].others += strcmp(remarks[i].path, path) != 0;
            return;
        }
    if (reader->remark_count == REMARKS_MAX)
        return;
    struct muster__remark *remark = &remarks[reader->remark_count++];
    *remark = (struct muster__remark){
        .what = what, .effect = effect, .is_about_caches = reader->is_about_caches};
    snprintf(remark->path, sizeof remark->path, "%s", path);
}

void muster__reader_note_in(struct muster__reader *reader, const char *folder, const char *name,
                            const char *what, const char *effect)
{
    char path[sizeof reader->remarks->path];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    muster__reader_note(reader, path, what, effect);
}

uint32_t muster__reader_note_count(const struct muster__reader *reader)
{
    return reader->remark_count;
}

int muster__reader_give_notes(const struct muster__reader *reader, struct muster_topology *topology)
{
    if (reader->remark_count == 0)
        return 0;
    size_t count = (size_t)topology->note_count + reader->remark_count;
    struct muster_note *notes = realloc(topology->notes, count * sizeof *notes);
    if (notes == NULL)
        return -ENOMEM;
    topology->notes = notes;
    for (uint32_t i = 0; i < reader->remark_count; i++) {
        const struct muster__remark *remark = &reader->remarks[i];
        struct muster_note *note = &notes[topology->note_count++];
        char others[48] = "";
        if (remark->others > 0)
            snprintf(others, sizeof others, " (and %u more like it)", remark->others);
        *note = (struct muster_note){.is_about_caches = remark->is_about_caches};
        snprintf(note->text, sizeof note->text, "/%s%s %s: %s", remark->path, others, remark->what,
                 remark->effect);
    }
    return 0;
}
