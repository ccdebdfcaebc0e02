/* refusal.c - why the kernel would not execute a program, where its errno does not say. */
#define _GNU_SOURCE
#include <elf.h>
#include <limits.h>
#include <muster/tool/supervisor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os/os.h"

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
    /* A carriage return is a part of the name to the kernel. */
    int length = (int)strcspn(start, " \t\n");
    snprintf(interpreter, size, "%.*s", length, start);
    return length > 0;
}

/* The same of a binary of 32 bits. */
static bool narrow_interpreter(int fd, const char *head, char *interpreter, size_t size)
{
    Elf32_Ehdr header;
    memcpy(&header, head, sizeof header);
    for (unsigned i = 0; i < header.e_phnum && i < 64; i++) {
        Elf32_Phdr part;
        uint64_t at = header.e_phoff + (uint64_t)i * sizeof part;
        if (muster__os_read_at(fd, &part, sizeof part, at) != (int64_t)sizeof part)
            return false;
        if (part.p_type != PT_INTERP)
            continue;
        int64_t length = muster__os_read_at(fd, interpreter, size - 1, part.p_offset);
        interpreter[length > 0 ? length : 0] = '\0';
        return length > 0;
    }
    return false;
}

/* A binary's loader. Returns: whether it names one. */
static bool binary_interpreter(int fd, const char *head, char *interpreter, size_t size)
{
    Elf64_Ehdr header;
    memcpy(&header, head, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    if (header.e_ident[EI_CLASS] == ELFCLASS32)
        return narrow_interpreter(fd, head, interpreter, size);
    if (header.e_ident[EI_CLASS] != ELFCLASS64)
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

/* Whether a file's beginning is that of a binary for another kind of machine than this library's.
 */
static bool is_foreign(int fd, unsigned *machine)
{
    Elf64_Ehdr own, header;
    int self = muster__os_open("/proc/self/exe", false, false);
    bool is_known = self >= 0 && muster__os_read_at(self, &own, sizeof own, 0) == sizeof own;
    if (self >= 0)
        muster__os_close(self);
    /* Class and machine stand at the same places in binaries of 32 bits, which are shorter. */
    if (!is_known || muster__os_read_at(fd, &header, sizeof header, 0) < (int64_t)EI_NIDENT + 4)
        return false;
    *machine = header.e_machine;
    return memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
           (header.e_machine != own.e_machine ||
            header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] ||
            header.e_ident[EI_DATA] != own.e_ident[EI_DATA]);
}

/* What a file's interpreter, or the way to it, has to do with a refusal. Returns: whether it has.
 */
static bool explain_interpreter(int fd, int32_t status, char *text, size_t size)
{
    char interpreter[PATH_MAX];
    if (!interpreter_of(fd, interpreter, sizeof interpreter))
        return false;
    bool there = is_there(interpreter);
    size_t length = strlen(interpreter);
    if (status == -ENOENT && !there && interpreter[length - 1] == '\r')
        snprintf(text, size,
                 "its interpreter '%s' is not there: its first line ends in CR LF; convert it "
                 "with dos2unix",
                 interpreter);
    else if (status == -ENOENT && !there)
        snprintf(text, size, "its interpreter %s is not there", interpreter);
    else if (status == -EACCES && there && !muster__os_may_execute(interpreter))
        snprintf(text, size, "its interpreter %s may not be executed", interpreter);
    else
        return false;
    return true;
}

/* Words for a refusal whose file does not matter. NULL: there are none. */
static const char *explain_alone(int32_t status)
{
    if (status == -E2BIG)
        return "its arguments and environment are too long: a word has room for 128 KiB, all "
               "together for a quarter of ulimit -s; pass them in a file";
    if (status == -ETXTBSY)
        return "somebody has it open for writing: wait until it is written";
    return NULL;
}

int muster_supervisor_explain(const char *name, int32_t status, char *text, size_t size_bytes)
{
    char interpreter[PATH_MAX];
    uint64_t length;
    uint32_t mode = 0;
    unsigned machine = 0;
    const char *alone = explain_alone(status);
    if (alone) {
        snprintf(text, size_bytes, "%s", alone);
        return 1;
    }
    bool has_reasons = status == -ENOENT || status == -EACCES || status == -ENOEXEC;
    int fd = has_reasons ? open_program(name) : -ENOENT;
    if (fd < 0)
        return 0;
    int explained = muster__os_stat(fd, &length, &mode) == 0;
    if (explained && status == -EACCES && S_ISDIR(mode))
        snprintf(text, size_bytes, "it is a directory");
    else if (explained && status == -EACCES && S_ISREG(mode) && (mode & 0111) == 0)
        snprintf(text, size_bytes, "nobody may execute it: chmod +x");
    else if (explained && status == -EACCES && S_ISREG(mode) && muster__os_is_noexec(fd))
        snprintf(text, size_bytes,
                 "nothing on its file system may be executed: it is mounted with noexec");
    else if (explained && S_ISREG(mode) && explain_interpreter(fd, status, text, size_bytes))
        explained = 1;
    else if (explained && status == -ENOEXEC && S_ISREG(mode) && is_foreign(fd, &machine))
        snprintf(text, size_bytes, "it is a binary for another kind of machine (ELF machine %u)",
                 machine);
    else if (explained && status == -ENOEXEC && S_ISREG(mode))
        snprintf(text, size_bytes, "it is neither a binary of this machine nor a script");
    else if (explained && status == -ENOENT && S_ISREG(mode) &&
             !interpreter_of(fd, interpreter, sizeof interpreter))
        snprintf(text, size_bytes, "what it is executed by is not there");
    else
        explained = 0;
    muster__os_close(fd);
    return explained;
}
