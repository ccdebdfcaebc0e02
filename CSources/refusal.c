/* refusal.c - why the kernel would not execute a program, where its errno does not say. */
#define _GNU_SOURCE
#include <elf.h>
#include <limits.h>
#include <muster/supervisor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os.h"

/* Of a file's beginning; the kernel looks at as much for a script's first line (execve(2)). */
#define HEAD_BYTES 256

/* Opens what execvpe would execute. */
static int open_program(const char *name)
{
    if (strchr(name, '/'))
        return muster__os_open(name, false, false);
    const char *folders = getenv("PATH");
    if (!folders)
        folders = "/bin:/usr/bin";
    int found = -ENOENT;
    for (const char *end; found < 0 && folders; folders = *end ? end + 1 : NULL) {
        char path[PATH_MAX];
        end = strchrnul(folders, ':');
        /* No folder between two colons is this one. */
        int length = snprintf(path, sizeof path, "%.*s%s%s", (int)(end - folders), folders,
                              end == folders ? "" : "/", name);
        if (length > 0 && (size_t)length < sizeof path)
            found = muster__os_open(path, false, false);
    }
    return found;
}

/* A script's interpreter. Returns: whether it names one. */
static bool script_interpreter(const char *head, char *interpreter, size_t size)
{
    if (head[0] != '#' || head[1] != '!')
        return false;
    const char *start = head + 2 + strspn(head + 2, " \t");
    int length = (int)strcspn(start, " \t\r\n");
    snprintf(interpreter, size, "%.*s", length, start);
    return length > 0;
}

/* A binary's loader. Returns: whether it names one. */
static bool binary_interpreter(int fd, const char *head, char *interpreter, size_t size)
{
    Elf64_Ehdr header;
    memcpy(&header, head, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64)
        return false;
    for (unsigned i = 0; i < header.e_phnum && i < 64; i++) {
        Elf64_Phdr part;
        uint64_t at = header.e_phoff + (uint64_t)i * sizeof part;
        if (muster__os_read_at(fd, &part, sizeof part, at) != (int64_t)sizeof part)
            return false;
        if (part.p_type != PT_INTERP)
            continue;
        int64_t length = muster__os_read_at(fd, interpreter, size - 1, part.p_offset);
        interpreter[length > 0 ? length : 0] = '\0'; /* the name ends in NUL itself */
        return length > 0;
    }
    return false;
}

/* Whether a file is executed by another one, whose name goes into `interpreter`. */
static bool interpreter_of(int fd, char *interpreter, size_t size)
{
    char head[HEAD_BYTES + 1] = "";
    if (muster__os_read_at(fd, head, HEAD_BYTES, 0) < 0)
        return false;
    return script_interpreter(head, interpreter, size) ||
           binary_interpreter(fd, head, interpreter, size);
}

static bool is_there(const char *path)
{
    int fd = muster__os_open(path, false, false);
    if (fd >= 0)
        muster__os_close(fd);
    return fd != -ENOENT;
}

int muster_supervisor_explain(const char *name, int32_t status, char *text, size_t size_bytes)
{
    char interpreter[PATH_MAX];
    uint64_t length;
    uint32_t mode = 0;
    int fd = status == -ENOENT || status == -EACCES ? open_program(name) : -ENOENT;
    if (fd < 0)
        return 0;
    int explained = muster__os_stat(fd, &length, &mode) == 0;
    if (explained && status == -EACCES && S_ISDIR(mode))
        snprintf(text, size_bytes, "it is a directory");
    else if (explained && status == -EACCES && S_ISREG(mode) && (mode & 0111) == 0)
        snprintf(text, size_bytes, "nobody may execute it: chmod +x");
    else if (explained && status == -ENOENT && S_ISREG(mode) &&
             interpreter_of(fd, interpreter, sizeof interpreter) && !is_there(interpreter))
        snprintf(text, size_bytes, "its interpreter %s is not there", interpreter);
    else
        explained = 0;
    muster__os_close(fd);
    return explained;
}
