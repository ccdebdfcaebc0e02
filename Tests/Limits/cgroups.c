/* cgroups.c - what the C core takes from recorded files of cgroups, of both versions: how many
 * processes a group lets a team have, and how much memory. Linked with
 * `--wrap`, so that the files are those of a table.
 *
 * Exit: 0 all held; 1 the line says what did not.
 */
#include <errno.h>
#include <muster/core/segment.h>
#include <stdio.h>
#include <string.h>

#include "memory/arena.h"

#define GIB     (UINT64_C(1) << 30)
#define V2      "/sys/fs/cgroup"
#define NOTHING UINT64_MAX
#define FILES   12

struct file {
    const char *path, *text;
};

/* A host whose meminfo leaves 8 GiB. */
struct host {
    const char *what;
    struct file files[FILES];
    uint64_t most; /* of 10 processes more; 0: there is room for them */
    uint64_t used;
    uint64_t available; /* bytes; NOTHING: what meminfo says */
};

static const struct host *current;

int64_t __wrap_muster__os_read_text(const char *path, char *text, size_t capacity);
int __wrap_muster__os_memory(uint64_t *total_bytes, uint64_t *free_bytes);

/* The kernel's own figures: where they differ, the file is taken for a fake. */
int __wrap_muster__os_memory(uint64_t *total_bytes, uint64_t *free_bytes)
{
    *total_bytes = 9 * GIB;
    *free_bytes = GIB;
    return 0;
}

int64_t __wrap_muster__os_read_text(const char *path, char *text, size_t capacity)
{
    const char *found = strcmp(path, "/proc/meminfo") == 0
                            ? "MemTotal: 9437184 kB\nMemAvailable: 8388608 kB\n"
                            : NULL;
    for (int i = 0; i < FILES && current->files[i].path; i++)
        if (strcmp(current->files[i].path, path) == 0)
            found = current->files[i].text;
    if (!found)
        return -ENOENT;
    return snprintf(text, capacity, "%s", found);
}

static const struct host hosts[] = {
    {.what = "no cgroups", .available = NOTHING},
    {.what = "version 2, no limits",
     .files = {{"/proc/self/cgroup", "0::/job\n"},
               {V2 "/job/pids.max", "max\n"},
               {V2 "/job/pids.current", "500\n"},
               {V2 "/job/memory.max", "max\n"},
               {V2 "/job/memory.current", "1073741824\n"}},
     .available = NOTHING},
    {.what = "version 2, the group itself",
     .files = {{"/proc/self/cgroup", "0::/job\n"},
               {V2 "/job/pids.max", "100\n"},
               {V2 "/job/pids.current", "95\n"},
               {V2 "/job/memory.max", "4294967296\n"},
               {V2 "/job/memory.current", "1073741824\n"}},
     .most = 100,
     .used = 95,
     .available = 3 * GIB},
    {.what = "version 2, exactly enough",
     .files = {{"/proc/self/cgroup", "0::/job\n"},
               {V2 "/job/pids.max", "100\n"},
               {V2 "/job/pids.current", "90\n"}},
     .available = NOTHING},
    {.what = "version 2, a group above",
     .files = {{"/proc/self/cgroup", "0::/a/b/c\n"},
               {V2 "/a/b/c/pids.max", "max\n"},
               {V2 "/a/b/c/pids.current", "2\n"},
               {V2 "/a/pids.max", "40\n"},
               {V2 "/a/pids.current", "40\n"},
               {V2 "/a/b/memory.max", "2147483648\n"},
               {V2 "/a/b/memory.current", "1073741824\n"},
               {V2 "/a/memory.max", "6442450944\n"},
               {V2 "/a/memory.current", "6442450944\n"}},
     .most = 40,
     .used = 40,
     .available = 0},
    {.what = "version 2, page cache is given back",
     .files = {{"/proc/self/cgroup", "0::/job\n"},
               {V2 "/job/memory.max", "2147483648\n"},
               {V2 "/job/memory.current", "2147483648\n"},
               {V2 "/job/memory.stat", "anon 5\ninactive_file 536870912\nactive_file 536870912\n"}},
     .available = GIB},
    {.what = "version 1, each controller by itself",
     .files = {{"/proc/self/cgroup", "8:pids:/p\n4:memory:/m\n1:cpu,cpuacct:/c\n0::/\n"},
               {V2 "/pids/p/pids.max", "12\n"},
               {V2 "/pids/p/pids.current", "12\n"},
               {V2 "/memory/m/memory.limit_in_bytes", "2147483648\n"},
               {V2 "/memory/m/memory.usage_in_bytes", "1073741824\n"},
               {V2 "/memory/m/memory.stat", "cache 7\ntotal_inactive_file 536870912\n"}},
     .most = 12,
     .used = 12,
     .available = 3 * GIB / 2},
    {.what = "version 1, no limits",
     .files = {{"/proc/self/cgroup", "8:pids:/\n4:memory:/\n"},
               {V2 "/pids/pids.max", "max\n"},
               {V2 "/memory/memory.limit_in_bytes", "9223372036854771712\n"},
               {V2 "/memory/memory.usage_in_bytes", "1073741824\n"}},
     .available = NOTHING},
    {.what = "the root's own group",
     .files = {{"/proc/self/cgroup", "0::/\n"},
               {V2 "/pids.max", "7\n"},
               {V2 "/pids.current", "7\n"}},
     .most = 7,
     .used = 7,
     .available = NOTHING},
    {.what = "files that make no sense limit nothing",
     .files = {{"/proc/self/cgroup", "nonsense\n0::/job\n7:\n"},
               {V2 "/job/pids.max", "many\n"},
               {V2 "/job/pids.current", "95\n"},
               {V2 "/job/memory.max", "\n"},
               {V2 "/job/memory.current", "1\n"}},
     .available = NOTHING},
};

int main(void)
{
    int faults = 0;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        const struct host *host = current = &hosts[i];
        uint64_t most = 0, used = 0, available = 0;
        bool is_short = muster__group_processes(10, &most, &used);
        int status = muster_memory_available(&available);
        uint64_t wanted = host->available == NOTHING ? 8 * GIB : host->available;
        if (is_short != (host->most > 0) || most != host->most || used != host->used ||
            status != 0 || available != wanted) {
            printf("%s: %llu of %llu processes, status %d, %llu bytes and not %llu\n", host->what,
                   (unsigned long long)used, (unsigned long long)most, status,
                   (unsigned long long)available, (unsigned long long)wanted);
            faults++;
        }
    }
    printf("%zu recorded cgroups, %d faults\n", sizeof hosts / sizeof *hosts, faults);
    return faults != 0;
}
