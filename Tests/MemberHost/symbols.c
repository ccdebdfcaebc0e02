/* symbols.c - functions and lines of programs as compilers really write them: DWARF 2 to 5, both
 * widths of offsets, optimised or not, compressed, stripped, cut off.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <muster/core/symbol.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "support.h"

/* Two files. A function on a line of its own has that line, whatever the compiler makes of it. */
static const char header[] = "\n\n\nstatic inline int in_header(int x) { return x * 7 - 1; }\n"
                             "__attribute__((noinline)) int of_header(int x) { return x ^ 77; }\n";
static const char source[] = "#include \"sub/part.h\"\n\n"
                             "__attribute__((noinline)) int first(int x) { return x * 3 + 1; }\n\n"
                             "__attribute__((noinline)) int second(int x) { return x + 99; }\n"
                             "#line 70000\n"
                             "__attribute__((noinline)) int third(int x) { return x / 5; }\n"
                             "int uses(int x) { return in_header(first(x)) + second(x); }\n";

static const struct {
    const char *name, *file;
    uint32_t line;
} functions[] = {{"first", "part.c", 3},
                 {"second", "part.c", 5},
                 {"third", "part.c", 70000},
                 {"of_header", "part.h", 5}};

static const char *const kinds[] = {"-gdwarf-2",
                                    "-gdwarf-3",
                                    "-gdwarf-4",
                                    "-gdwarf-5",
                                    "-gdwarf-5 -O2",
                                    "-gdwarf-4 -O2 -ffunction-sections -Wl,--gc-sections",
                                    "-gdwarf64 -gdwarf-5",
                                    "-gdwarf64 -gdwarf-4",
                                    "-g -gz", /* what is compressed is not read */
                                    "-g0"};

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Cut anywhere, a file gives no more than it did. */
static void check_cut(const char *path, uint64_t offset, struct random *random)
{
    struct muster_symbol symbol;
    struct stat information;
    char cut[4096 + 8];
    snprintf(cut, sizeof cut, "%s.cut", path);
    CHECK(stat(path, &information) == 0);
    int from = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = malloc((size_t)information.st_size);
    CHECK(from >= 0 && bytes && read(from, bytes, (size_t)information.st_size) > 0);
    close(from);
    for (int i = 0; i < 30; i++) {
        size_t size = random_below(random, (uint32_t)information.st_size);
        int to = open(cut, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        CHECK(to >= 0 && write(to, bytes, size) == (ssize_t)size && close(to) == 0);
        int status = muster_symbol_find(cut, offset, true, &symbol);
        CHECK(status == 0 || status == -ENOENT || status == -ENOEXEC);
    }
    unlink(cut);
    free(bytes);
}

static void check_library(const char *path, const char *kind, struct random *random)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    bool has_none = strstr(kind, "-g0") != NULL, may_have_none = strstr(kind, "-gz") != NULL;
    CHECK(library);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        char mapped[4096];
        uint64_t offset = 0;
        struct muster_symbol symbol, named;
        void *address = dlsym(library, functions[i].name);
        CHECK(address);
        CHECK(muster__os_mapped_file((uintptr_t)address, mapped, sizeof mapped, &offset) == 1);
        CHECK_STATUS(muster_symbol_find(mapped, offset, true, &symbol), 0);
        if (strcmp(symbol.function, functions[i].name) != 0)
            fail(__FILE__, __LINE__, symbol.function);
        bool has_line = !has_none && !(may_have_none && symbol.line == 0);
        if (has_line &&
            (strcmp(symbol.file, functions[i].file) != 0 || symbol.line != functions[i].line)) {
            fprintf(stderr, "%s, %s: %s:%u\n", kind, functions[i].name, symbol.file, symbol.line);
            fail(__FILE__, __LINE__, "another line");
        }
        CHECK(!has_none || symbol.line == 0);
        CHECK_STATUS(muster_symbol_find(mapped, offset, false, &named), 0);
        CHECK(strcmp(named.function, symbol.function) == 0 && named.line == 0);
        if (i == 0)
            check_cut(mapped, offset, random);
    }
    dlclose(library);
}

/* arguments: compilers, and at last a folder to work in. */
int symbols(int count, char **arguments)
{
    const char *folder = arguments[count - 1];
    struct random random = {.state = 20261130};
    char command[16384], path[4096];
    uint32_t checked = 0;
    watch(120);
    snprintf(path, sizeof path, "%s/sub", folder);
    CHECK(mkdir(path, 0700) == 0);
    write_file(folder, "sub/part.h", header);
    write_file(folder, "part.c", source);
    for (int i = 0; i < count - 1; i++)
        for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
            snprintf(path, sizeof path, "%s/%s-%zu.so", folder, strrchr(arguments[i], '/') + 1,
                     kind);
            snprintf(command, sizeof command, "%s %s -shared -fPIC '%s/part.c' -o '%s' 2>'%s/said'",
                     arguments[i], kinds[kind], folder, path, folder);
            CHECK(system(command) == 0);
            check_library(path, kinds[kind], &random);
            checked++;
        }
    struct muster_symbol symbol;
    snprintf(path, sizeof path, "%s/part.c", folder);
    CHECK_STATUS(muster_symbol_find(path, 0, true, &symbol), -ENOEXEC);
    CHECK_STATUS(muster_symbol_find(folder, 0, true, &symbol), -ENODEV);
    CHECK_STATUS(muster_symbol_find("/nowhere/at/all", 0, true, &symbol), -ENOENT);
    CHECK_STATUS(muster_symbol_find("/dev/null", 0, true, &symbol), -ENOEXEC);
    snprintf(path, sizeof path, "%s/fifo", folder); /* refused, and not waited for */
    CHECK(mkfifo(path, 0600) == 0);
    CHECK_STATUS(muster_symbol_find(path, 0, true, &symbol), -ENOEXEC);
    snprintf(command, sizeof command, "rm -r '%s/'*", folder);
    CHECK(system(command) == 0);
    printf("libraries %u\n", checked);
    return 0;
}
