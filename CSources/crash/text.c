/* text.c - a note of a crash in words, in the process that reads it.
 *
 * What people look for is the function of theirs that crashed. So the frames of runtimes above it
 * are left out, as are Muster's own and everything below the kernel.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <muster/core/symbol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Functions that are shown. */
#define SHOWN 4

/* Libraries whose functions report a mistake of their caller's. */
static bool is_runtime(const char *path)
{
    static const char *const names[] = {
        "libc.so", "libc-",   "libswift",   "libstdc++", "libc++",   "libgcc_s", "ld-linux",
        "ld-musl", "libm.so", "libpthread", "libasan",   "libubsan", "libtsan",  "libclang_rt"};
    const char *slash = strrchr(path, '/');
    path = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(path, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* -- names ---------------------------------------------------------------------------------- */

typedef char *(*swift_demangler)(const char *name, size_t length, char *buffer, size_t *capacity,
                                 uint32_t flags);
typedef char *(*cxx_demangler)(const char *name, char *buffer, size_t *capacity, int *status);

/* A library's function, where the library is loaded. */
static void find_function(const char *name, void *function)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &found, sizeof found);
}

/* The name as in the source; the caller frees it. NULL: it has no other, or nobody can tell. */
static char *demangled(const char *name)
{
    if (begins(name, "$s") || begins(name, "$S")) {
        swift_demangler demangle;
        find_function("swift_demangle", &demangle);
        return demangle ? demangle(name, strlen(name), NULL, NULL, 0) : NULL;
    }
    if (begins(name, "_Z")) {
        cxx_demangler demangle;
        int status = 0;
        find_function("__cxa_demangle", &demangle);
        return demangle ? demangle(name, NULL, NULL, &status) : NULL;
    }
    return NULL;
}

/* The last place after a word, outside of brackets; the whole where it is not there. */
static char *after_last(char *text, const char *word)
{
    char *found = text;
    int depth = 0;
    for (char *at = text; *at; at++) {
        depth += *at == '(' || *at == '<'                      ? 1
                 : *at == ')' || (*at == '>' && at[-1] != '-') ? -1
                                                               : 0;
        if (depth == 0 && begins(at, word))
            found = at + strlen(word);
    }
    return found;
}

/* "static (extension in A):B.f(C) -> ()" becomes "B.f(C) -> ()". */
static char *without_head(char *name)
{
    static const char extension[] = "(extension in ";
    if (begins(name, "static "))
        name += strlen("static ");
    if (begins(name, extension) && strstr(name, "):"))
        name = strstr(name, "):") + 2;
    return name;
}

/* What is private in Swift has its file's number with it: "main.(Fill in _6B5A).process(B) -> ()"
 * becomes "main.Fill.process(B) -> ()", in its place. */
static void drop_file_numbers(char *name)
{
    static const char number[] = " in _";
    char *from = name, *open;
    while ((open = strchr(from, '('))) {
        from = open + 1;
        char *end = open + 1 + strcspn(open + 1, "()"), *in = strstr(open, number);
        if (*end != ')' || !in || in > end ||
            in + strlen(number) + strspn(in + strlen(number), "0123456789ABCDEF") != end)
            continue;
        size_t length = (size_t)(in - open - 1);
        memmove(open, open + 1, length);
        memmove(open + length, end + 1, strlen(end + 1) + 1);
        from = open; /* there may be another one right behind it */
    }
}

/* "closure #1 (inout A) -> () in main.Fill.process(B) throws -> ()" becomes "main.Fill.process". */
static char *shortened(char *name)
{
    drop_file_numbers(name);
    name = after_last(name, " of ");
    name = after_last(name, " for ");
    name = without_head(after_last(name, " in "));
    char *end = name;
    /* "(anonymous namespace)::f" keeps what it begins with. */
    if (*end == '(')
        end = strchr(end, ')') ? strchr(end, ')') : end;
    end += strcspn(end, "(<");
    if (end > name)
        *end = '\0';
    return name;
}

/* -- frames --------------------------------------------------------------------------------- */

enum kind { THEIRS, LEFT_OUT, LAST };

struct frame {
    char name[MUSTER_SYMBOL_NAME_BYTES];
    struct muster_symbol symbol;
};

static enum kind look(const struct muster_fault *fault, uint32_t number, struct frame *frame)
{
    const struct muster_fault_frame *place = &fault->frames[number];
    frame->name[0] = '\0';
    if (place->file == UINT32_MAX || is_runtime(fault->files[place->file]) ||
        muster_symbol_find(fault->files[place->file], place->offset_bytes, false, &frame->symbol) <
            0)
        return LEFT_OUT;
    char *name = demangled(frame->symbol.function);
    char *shown = name ? name : frame->symbol.function;
    enum kind kind = THEIRS;
    if (begins(frame->symbol.function, "muster_") || !*shown || strstr(shown, "thunk") ||
        strstr(shown, "protocol witness"))
        kind = LEFT_OUT;
    shown = shortened(shown);
    /* The standard library's may be linked in, or specialized in the program. */
    if (begins(shown, "Swift.") || begins(shown, "Muster.") || begins(shown, "std::"))
        kind = LEFT_OUT;
    /* What is below called the kernel, or is the program's main, which forked. */
    if (begins(shown, "Muster.RankPart") || begins(shown, "Muster._Work") ||
        begins(shown, "Muster.Kernel._work") || begins(shown, "Muster.Reduction._work") ||
        strcmp(shown, "muster_work_run") == 0 || strcmp(shown, "_start") == 0)
        kind = LAST;
    snprintf(frame->name, sizeof frame->name, "%s", shown);
    free(name);
    if (kind == THEIRS)
        (void)muster_symbol_find(fault->files[place->file], place->offset_bytes, true,
                                 &frame->symbol);
    return kind;
}

uint64_t muster_fault_place(const struct muster_fault *fault, char *text, uint64_t capacity)
{
    static const char called[] = ", called by ";
    char last[MUSTER_SYMBOL_NAME_BYTES] = "";
    uint64_t length = 0;
    uint32_t shown = 0;
    if (capacity > 0)
        text[0] = '\0';
    for (uint32_t i = 0; i < fault->frame_count && shown < SHOWN; i++) {
        struct frame frame;
        enum kind kind = look(fault, i, &frame);
        if (kind == LAST)
            break;
        /* A function and its closures, or one that calls itself, count as one. */
        if (kind == LEFT_OUT || strcmp(frame.name, last) == 0)
            continue;
        char line[MUSTER_SYMBOL_NAME_BYTES + MUSTER_SYMBOL_FILE_BYTES + 64];
        int size = frame.symbol.line > 0
                       ? snprintf(line, sizeof line, "%s%s (%s:%u)", shown ? called : "",
                                  frame.name, frame.symbol.file, frame.symbol.line)
                       : snprintf(line, sizeof line, "%s%s", shown ? called : "", frame.name);
        if (size < 0 || length + (uint64_t)size + 1 > capacity)
            break;
        memcpy(text + length, line, (size_t)size + 1);
        length += (uint64_t)size;
        memcpy(last, frame.name, sizeof last);
        shown++;
    }
    return length;
}

uint64_t muster_fault_kind(const struct muster_fault *fault)
{
    /* FNV-1a (Fowler, Noll, Vo). */
    uint64_t kind = UINT64_C(14695981039346656037);
    uint64_t words[9] = {(uint64_t)(uint32_t)fault->signal};
    /* A stack that has run over shows where chance has it. */
    for (uint32_t i = 0; i < 8 && i < fault->frame_count && !fault->is_overflow; i++)
        words[i + 1] = fault->frames[i].offset_bytes;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        kind = (kind ^ words[i]) * UINT64_C(1099511628211);
    return kind;
}
